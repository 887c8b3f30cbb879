// pool/lane.ts — one server connection that requests of several clients share at the same moment (docs/lanes.md). Replies come in
// the order of requests, and an error stays with its owner:
//
//   written ──▶ [head][follower][follower]      head: whose reply comes now
//   replies ◀── … Z │ … C … C … Z               a reply is passed on when it is whole, so until then nothing was given out,
//                                               and whoever loses its lane can be run elsewhere without anybody noticing
//
// What comes in within a turn of the event loop is written once. Batches among it share one Sync (**joined**): the server ends
// one transaction and sends one packet for all of them, which is most of what a small read costs it. After an error it passes over
// those that come before that Sync, so they are run elsewhere. What is slow, large, canceled or lost never keeps those behind it
// waiting: they are told, and look for another connection.
import { encodeReadyForQuery } from '../protocol/backend-messages.js'
import { decodeErrorFields, type ErrorFields } from '../protocol/error-fields.js'
import { Backend } from '../protocol/message-types.js'
import { violation } from '../protocol/violation.js'
import type { Loss, RawSink, RawWire, ServerConnection } from '../server/contract.js'
import type { Lease } from './contract.js'
import type { LaneOwner, LaneState, SharedLane } from './lane-kind.js'
import type { LaneOf, LaneRequest, LaneSlot } from './lane-request.js'
import { LaneSlots } from './lane-slots.js'
import { LaneWrites } from './lane-writes.js'
import { bar, keepAlone, measure } from './shape-book.js'

const readyIdle = encodeReadyForQuery('I')
const header = 5
/** A head that shares its Sync may hold what others wait for: at so many times the age at which one is slow it is canceled. */
const joinedStall = 2
/** And before PostgreSQL looks for a deadlock, which it does after a second (`deadlock_timeout`), ms. */
const joinedLimitMs = 500
/** Whatever is no row is kept until it is whole. */
const longestMessage = 1024 * 1024

export class Lane implements RawSink, LaneOf, SharedLane<LaneRequest> {
  readonly node: string
  readonly cluster: string
  readonly connection: ServerConnection
  /** Process-monotonic ms. */
  readonly openedAt: number
  /** When it last had nothing to do. */
  idleSince: number
  served = 0
  readonly #lease: Lease<ServerConnection>
  readonly #owner: LaneOwner<Lane>
  readonly #wire: RawWire
  readonly #slots = new LaneSlots()
  readonly #writes: LaneWrites
  #scheduled = false
  #reading = false
  /** Since when the head is the head. */
  #headSince = 0
  /** The beginning of a reply whose end has not come, and up to where its frames were read. */
  #carry: Uint8Array | null = null
  #scanned = 0
  /** The head's reply is passed on as it comes; so many bytes of the frame at hand are still to come. */
  #streaming = false
  #passing = 0
  /** Of the head's reply. */
  #error: ErrorFields | null = null
  /** The head shares its Sync with some that are answered; service time of each of them, or -1. */
  #joinedMs = -1
  /** Since when these have held their locks. */
  #joinedSince = 0
  /** Cancels sent whose empty round trip is not over. */
  #cancels = 0
  #slow = false
  #retiring: string | null = null
  /** A parameter has another value than the connection knows of. */
  #changed = false
  #gone = false
  readonly #flush = (): void => {
    this.#scheduled = false
    this.#write()
  }

  /** `joins`: several autocommit reads may be one transaction there, and nobody can tell. */
  constructor(lease: Lease<ServerConnection>, owner: LaneOwner<Lane>, joins: boolean) {
    this.#lease = lease
    this.#writes = new LaneWrites(joins)
    this.#owner = owner
    this.node = lease.node
    this.cluster = lease.cluster
    this.connection = lease.connection
    this.openedAt = owner.now()
    this.idleSince = this.openedAt
    this.#wire = this.connection.raw(this)
  }

  get inFlight(): number {
    return this.#slots.size
  }

  /** Takes another request now. */
  get open(): boolean {
    return (
      !this.#slow &&
      !this.#streaming &&
      this.#cancels === 0 &&
      this.#retiring === null &&
      !this.#gone &&
      this.#slots.size < this.#owner.limits.depth
    )
  }

  get gathers(): boolean {
    return this.#scheduled && this.#writes.room
  }

  /** Will take others when those at hand are answered: nothing on it is unusual. */
  get moving(): boolean {
    return !this.#slow && !this.#streaming && this.#cancels === 0 && this.#retiring === null && !this.#gone
  }

  get state(): LaneState {
    if (this.#retiring !== null) return 'retiring'
    if (this.#cancels > 0) return 'canceling'
    if (this.#streaming) return 'large'
    return this.#slow ? 'slow' : 'open'
  }

  has(request: LaneRequest): boolean {
    return this.#slots.of(request) !== undefined
  }

  /** Only where it is open. */
  push(request: LaneRequest, now: number): void {
    const slot = this.#slots.add(now)
    slot.request = request
    slot.record = request.record
    if (this.#writes.add(request, slot, this.connection.statements)) this.#owner.count('joined', 1)
    if (this.#reading || this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#flush)
  }

  /** The request wants nothing any more of what it has here; its reply is dropped. */
  drop(request: LaneRequest): void {
    const slot = this.#slots.of(request)
    if (slot === undefined) return
    slot.request = null
    if (this.#streaming && slot === this.#slots.head) this.#wire.resume()
  }

  /** `sent`: it is the head, and hears what becomes of it. `dropped`: it was not, and is let go of here. */
  cancel(request: LaneRequest): 'sent' | 'dropped' {
    const slot = this.#slots.of(request)
    if (slot === undefined) return 'dropped'
    // Whoever shares a Sync is let go of: which of them the server has come to nobody knows.
    if (slot !== this.#slots.head || (this.#joined && !this.#streaming)) {
      slot.request = null
      return 'dropped'
    }
    slot.canceled = true
    this.#cancelHead()
    return 'sent'
  }

  /** After streamed() had said that it must wait. */
  resume(): void {
    if (!this.#gone) this.#wire.resume()
  }

  /** No newcomers; the connection goes back when nothing is in flight. */
  retire(reason: string): void {
    this.#retiring ??= reason
    if (!this.#reading) this.#finishIfDone()
  }

  /** Looks at the head, which is slow if it is older than `patience`, in ms: to be called often, once what the socket has was read. */
  check(now: number, patience: number): void {
    const head = this.#slots.head
    if (head === undefined || this.#gone) return
    const age = now - (this.#joinedMs < 0 ? Math.max(head.sentAt, this.#headSince) : this.#joinedSince)
    const joined = this.#joined && !this.#streaming
    if (joined && !head.canceled && age >= Math.min(patience * joinedStall, joinedLimitMs)) this.#breakUp()
    if (age < patience) return
    this.#slow = true
    if (!head.slow) {
      head.slow = true
      if (joined) for (const { record } of this.#slots.together()) if (record !== null) keepAlone(record)
      if (!joined && !this.#streaming && head.record !== null) bar(head.record, 'stalled', now)
      this.#owner.count('stalled', 1)
      this.#tell(joined ? this.#slots.all() : this.#slots.behindHead())
    }
    if (joined || age < patience * longStall) return
    if (!head.long) {
      head.long = true
      if (!this.#streaming && head.record !== null) bar(head.record, 'stalled', now)
    }
    // Nobody waits for it (any more): why should the server?
    if (head.request === null && !head.canceled && !head.barrier) {
      head.canceled = true
      this.#cancelHead()
    }
  }

  // ---- replies

  data(chunk: Uint8Array): void {
    const now = this.#owner.now()
    this.#reading = true
    try {
      this.#read(chunk, now)
      if (this.#gone) return
      if (this.#slots.size === 0) this.idleSince = now
      this.#owner.moved(this)
    } finally {
      this.#reading = false
    }
    this.#write()
    this.#finishIfDone()
  }

  #read(chunk: Uint8Array, now: number): void {
    let bytes = chunk
    /** The next frame, and the first byte that was not given to anybody. */
    let at = 0
    let from = 0
    if (this.#passing > 0) {
      at = Math.min(this.#passing, bytes.length)
      this.#passing -= at
    } else if (this.#carry !== null) {
      bytes = Buffer.concat([this.#carry, chunk])
      at = this.#scanned
      this.#carry = null
    }
    while (at + header <= bytes.length) {
      const length = frameLength(bytes, at)
      const next = at + length
      const type = bytes[at] ?? 0
      if (length > longestMessage && type !== Backend.DataRow) throw violation(`a message of ${String(length)} bytes came on a lane`)
      if (next > bytes.length) break
      switch (type) {
        case Backend.DataRow:
        case Backend.RowDescription:
        case Backend.BindComplete:
        case Backend.NoData:
          break
        case Backend.CommandComplete:
        case Backend.EmptyQueryResponse: {
          const head = this.#head(type)
          if (!head.joined) break
          this.#over(head, bytes.subarray(from, next), false, now)
          if (this.#gone) return
          from = next
          break
        }
        case Backend.ReadyForQuery:
          this.#ready(bytes, from, next, now)
          if (this.#gone) return
          from = next
          break
        case Backend.ParseComplete:
        case Backend.CloseComplete: {
          const head = this.#head(type)
          if (type === Backend.ParseComplete) head.parsed = true
          if (head.skip === 0) break
          head.skip -= 1
          if (at === from) from = next
          else {
            bytes = without(bytes, at, next)
            continue
          }
          break
        }
        case Backend.ErrorResponse:
          this.#errorCame(bytes.subarray(at, next))
          // Owed by nobody: a server that ends an idle connection says why.
          if (this.#slots.size === 0) from = next
          else if (this.#slots.head?.joined === true && this.#error?.severity === 'ERROR') {
            this.#failJoined(bytes.subarray(from, next), now)
            if (this.#gone) return
            from = next
          }
          break
        case Backend.NoticeResponse:
          if (this.#slots.size > 0) break
          from = next
          break
        case Backend.ParameterStatus:
        case Backend.NotificationResponse:
          // What changes a setting behind everybody's back must not stay: the next group might answer by it.
          if (type === Backend.ParameterStatus) {
            this.#changed = true
            this.#retiring ??= 'a setting of the connection has changed'
          }
          if (at === from) from = next
          else {
            bytes = without(bytes, at, next)
            continue
          }
          break
        default:
          throw violation(`the server sent a message of type ${String(type)} on a lane`)
      }
      at = next
    }
    this.#keep(bytes, from, at)
  }

  /** bytes[from…] belong to a reply that is not whole; the frame at `at` is not either. */
  #keep(bytes: Uint8Array, from: number, at: number): void {
    if (from === bytes.length) return
    const head = this.#slots.head
    if (head === undefined && at > from) throw violation('the server sent what nobody asked for')
    if (!this.#streaming && bytes.length - from <= this.#owner.limits.maxResultBytes) {
      this.#carry = bytes.subarray(from)
      this.#scanned = at - from
      return
    }
    if (!this.#streaming) this.#stream()
    let end = bytes.length
    // Only a row may be passed on in pieces: all other messages say something that has to be heard.
    if (at < end && end - at >= header && bytes[at] === Backend.DataRow) this.#passing = at + frameLength(bytes, at) - end
    else if (at < end) {
      this.#carry = bytes.subarray(at)
      this.#scanned = 0
      end = at
    }
    if (end > from) this.#give(bytes.subarray(from, end), false)
  }

  /** The reply is larger than a lane is for: it goes on by itself, and whoever is behind it looks elsewhere. */
  #stream(): void {
    this.#streaming = true
    const head = this.#slots.head
    if (head !== undefined && head.record !== null) bar(head.record, 'too large', this.#owner.now())
    this.#owner.count('large', 1)
    if (head !== undefined && (this.#joinedMs >= 0 || (this.#cancels > 0 && !head.canceled))) this.#sendOff(head)
    this.#tell(this.#slots.behindHead())
  }

  /**
   * The cancel of the one before it may still hit it, and what was given out by then could not be run again; or others who have
   * shared its Sync would keep their locks for as long as its client takes to read.
   */
  #sendOff(head: LaneSlot): void {
    const { request } = head
    if (request === null) return
    head.request = null
    this.#owner.count('missed', 1)
    request.missed({ why: 'neighbour' })
  }

  #give(part: Uint8Array, last: boolean): void {
    const head = this.#slots.head
    if (head === undefined) return
    head.given += part.length
    const { request } = head
    if (request !== null && !request.streamed(part, last, this.#error, this) && !last) this.#wire.pause()
  }

  #head(type: number): LaneSlot {
    const head = this.#slots.head
    if (head === undefined) throw violation(`the server sent a message of type ${String(type)}, and nothing was asked`)
    return head
  }

  #errorCame(frame: Uint8Array): void {
    const fields = decodeErrorFields(frame)
    if (fields.severity === 'FATAL' || fields.severity === 'PANIC') this.#wire.fatal(fields)
    this.#error = fields
  }

  #ready(bytes: Uint8Array, from: number, end: number, now: number): void {
    const slot = this.#head(Backend.ReadyForQuery)
    if (bytes[end - 1] !== 0x49) throw violation('a transaction was left open on a lane')
    if (slot.joined) throw violation('a batch on a lane has ended before its Sync')
    this.#over(slot, bytes.subarray(from, end), true, now)
  }

  /** The head's reply is whole; `ready`: its ReadyForQuery is in it. */
  #over(slot: LaneSlot, reply: Uint8Array, ready: boolean, now: number): void {
    const error = this.#error
    const { request, record } = slot
    const streamed = this.#streaming
    if (streamed) this.#give(ready ? reply : Buffer.concat([reply, readyIdle]), true)
    const ms = this.#serviceTime(slot, now)
    const size = slot.given + reply.length
    const { parsed, canceled, barrier } = slot
    if (error !== null && slot.prepares !== null && !parsed) this.connection.statements.forget(slot.prepares)
    this.#shift(now)
    if (barrier) this.#cancels -= 1
    else if (record !== null) {
      this.served += 1
      this.#owner.served()
      if (error === null && !streamed) measure(record, ms, size)
    }
    if (request === null || streamed) return
    if (error === null) request.answered(reply, ready, this)
    else if (error.code === '57014' && this.#cancels > 0 && !canceled) {
      this.#owner.count('missed', 1)
      request.missed({ why: 'neighbour' })
    } else request.failed(error, parsed, ready ? reply : Buffer.concat([reply, readyIdle]), this)
  }

  /** Those that share a Sync are answered together: each has its share of the time. */
  #serviceTime(slot: LaneSlot, now: number): number {
    const ms = this.#joinedMs < 0 ? now - Math.max(slot.sentAt, this.#headSince) : this.#joinedMs
    if (!slot.joined) this.#joinedMs = -1
    else if (this.#joinedMs < 0) this.#share(slot, ms / this.#slots.together().length)
    return this.#joinedMs < 0 ? ms : this.#joinedMs
  }

  // ---- those that share a Sync

  /** Some of them are answered from now on; `slot` is the head. */
  #share(slot: LaneSlot, ms: number): void {
    if (this.#joinedMs < 0) this.#joinedSince = Math.max(slot.sentAt, this.#headSince)
    this.#joinedMs = ms
  }

  /** The head shares its Sync. */
  get #joined(): boolean {
    return this.#joinedMs >= 0 || this.#slots.head?.joined === true
  }

  /** The server passes over all that come before the Sync; only its ReadyForQuery comes. */
  #failJoined(reply: Uint8Array, now: number): void {
    const [head, ...behind] = this.#slots.together()
    if (head === undefined) return
    if (head.record !== null) keepAlone(head.record)
    const wanted = behind.flatMap(({ request }) => request ?? [])
    const last = behind.pop()
    if (last !== undefined) {
      last.request = null
      last.record = null
    }
    this.#slots.dropBehindHead(behind.length)
    this.#share(head, 0)
    this.#over(head, reply, false, now)
    this.#miss(wanted)
  }

  /** What the head, or one before it, has locked may be what the head waits for by way of a client: PostgreSQL would see a deadlock where without us there is none. */
  #breakUp(): void {
    const together = this.#slots.together()
    const wanted = together.flatMap(({ request }) => request ?? [])
    for (const slot of together) {
      slot.request = null
      slot.canceled = true
    }
    this.#cancelHead()
    this.#miss(wanted)
  }

  #miss(requests: readonly LaneRequest[]): void {
    for (const request of requests) request.missed({ why: 'neighbour' })
    if (requests.length > 0) this.#owner.count('missed', requests.length)
  }

  /** Takes the head off. */
  #shift(now: number): void {
    this.#slots.shift()
    this.#headSince = now
    this.#error = null
    this.#streaming = false
    this.#slow = false
  }

  // ---- whoever is behind

  /** They may look elsewhere. */
  #tell(slots: readonly LaneSlot[]): void {
    let told = 0
    for (const slot of slots) {
      if (slot.moved || slot.request === null) continue
      slot.moved = true
      told += 1
      slot.request.stalled()
    }
    if (told > 0) this.#owner.count('moved', told)
  }

  // ---- cancels

  /** Nobody new until it is sure that the cancel has hit, or will hit nobody: its socket's end, and one empty round trip after it. */
  #cancelHead(): void {
    this.#cancels += 1
    this.#owner.count('canceled', 1)
    this.connection.cancel().then(
      () => this.#barrier(),
      // It may still arrive, and hit whoever is here then.
      () => this.#end('a cancel could not be awaited'),
    )
  }

  #barrier(): void {
    if (this.#gone) return
    this.#slots.add(this.#owner.now()).barrier = true
    this.#writes.addSync()
    this.#write()
  }

  // ---- writing, and the end

  #write(): void {
    const bytes = this.#gone ? null : this.#writes.take()
    if (bytes !== null) this.#wire.write(bytes)
  }

  #finishIfDone(): void {
    if (this.#retiring === null || this.#gone || this.#slots.size > 0 || this.#cancels > 0) return
    this.#gone = true
    this.#wire.end()
    // Whatever it was used for, nobody inherits anything of it.
    if (this.#changed) this.#lease.destroy('a setting of the connection has changed')
    else this.#lease.release('it was a lane')
    this.#owner.ended(this)
  }

  #end(reason: string): void {
    if (this.#gone) return
    this.#retiring ??= reason
    this.connection.sever()
  }

  closed(loss: Loss): void {
    if (this.#gone) return
    this.#gone = true
    const left = this.#slots.drain()
    const begun = this.#streaming
    this.#writes.take()
    this.#lease.destroy(loss.reason)
    this.#owner.ended(this)
    left.forEach(({ request }, index) => {
      if (request === null) return
      if (begun && index === 0) request.broken(loss, this.#passing > 0, this)
      else request.missed({ why: 'lost', loss })
    })
    const missed = left.filter(({ request }) => request !== null).length
    if (missed > 0) this.#owner.count('missed', missed)
  }
}

/** A head that is so many times as old is slow by itself, whatever the machine does. */
const longStall = 5

/** Of the whole frame at `at`. Throws 08P01 where its length cannot be one. */
function frameLength(bytes: Uint8Array, at: number): number {
  const length = ((bytes[at + 1] ?? 0) << 24) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0)
  if (length < 4) throw violation('invalid message length')
  return length + 1
}

function without(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)])
}
