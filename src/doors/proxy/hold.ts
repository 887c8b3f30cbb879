// doors/proxy/hold.ts — one leased server connection while a client has it: for a request, a transaction, or as long as
// the session is pinned. It is the connection's only reply sink: bytes go straight to the client, and whoever sent a
// group waits for its end here. What to make of errors, tags and changed parameters is the owner's business.
import type { Grant, RouteTaken } from '../../execute/contract.js'
import type { Traffic } from '../../observe/traffic.js'
import type { Lease } from '../../pool/contract.js'
import type { ErrorFields } from '../../protocol/error-fields.js'
import type { OnePlan } from '../../routing/plan.js'
import type { Exchange, Expect, ExpectReply, Loss, ReplySink, ServerConnection, TransactionStatus } from '../../server/contract.js'
import { connectionSettings, type SettingsState } from '../../session/settings.js'
import type { ClientStatement } from '../../session/session.js'
import type { ClientOutput } from './client-output.js'
import type { Diversion } from './diversion.js'
import type { Recording } from './recording.js'

/** How a group ended. */
export type End =
  | { readonly kind: 'ready'; readonly status: TransactionStatus; readonly error: ErrorFields | null; readonly withheld: boolean }
  | { readonly kind: 'lost'; readonly loss: Loss }

export interface HoldOwner {
  readonly output: ClientOutput
  readonly traffic: Traffic
  /** Decides about an ErrorResponse before its frame is given (see ReplySink.error). */
  failed(hold: Hold, fields: ErrorFields, expect: ExpectReply, frame: Uint8Array): 'forward' | 'withhold' | Uint8Array
  completed(hold: Hold, tag: string, expect: ExpectReply): void
  parametersDescribed(oids: readonly number[], expect: ExpectReply): void
  rowsDescribed(hold: Hold, frame: Uint8Array, expect: ExpectReply): void
  parameterChanged(hold: Hold, name: string, value: string): void
  /** The server waits for the client's CopyData. */
  copyIn(hold: Hold): void
  /** A NotificationResponse came on the connection itself. */
  notified(hold: Hold, frame: Uint8Array): void
  /** The connection was lost while nothing was owed. */
  lostIdle(hold: Hold, loss: Loss): void
}

/** What is made up of a frame that nobody wants any more; written as often as it takes, so its size costs no memory. */
const filler = Buffer.alloc(256 * 1024)

/** What stands on most connections. */
const noSettings = connectionSettings(new Map())

interface Waiter {
  readonly expect: ExpectReply
  readonly resolve: (end: End) => void
  /** It is told by a call, when all that came with the end has been read. */
  readonly called: boolean
}

/** Told by a call: how it ended. */
interface Over {
  readonly listener: (end: End) => void
  readonly end: End
}

export class Hold implements ReplySink {
  readonly lease: Lease<ServerConnection>
  readonly connection: ServerConnection
  readonly route: RouteTaken
  /** Process-monotonic ms at which this hold began. */
  readonly since: number
  /** Process-monotonic ms at which the first statement of the present transaction came. */
  begunAt: number
  /** What stands on the connection, with its own undo. */
  settings: SettingsState
  /** Why the connection must be scrubbed before another client gets it, or null. */
  taint: string | null = null
  /** This client has written here since it has the connection. */
  wrote = false
  /** The connection's memory of sequences was empty when that began. */
  draws = false
  /** It is to be kept for a moment when it could be given back (sequences.ts), and is. */
  lingers = false
  lingering: NodeJS.Timeout | null = null
  /** What the server is to be asked when the transaction is over (OnePlan.asks). */
  asks: OnePlan['asks'] = null
  /** It is being asked. */
  inspecting: Promise<void> | null = null
  /** Something stands on it that nothing undoes: it is closed when it is given back. Why, or null. */
  closes: string | null = null
  /** Why the session keeps it beyond the transaction. */
  readonly pins: Set<string> = new Set()
  /** The unnamed statement that stands on the server, if this client's session put it there. */
  unnamed: ClientStatement | null = null
  /** The server is in copy-in mode. */
  copying = false
  /** A batch's Sync was read in copy-in mode, and ignored: what has run is not whole before there is another. */
  lacksSync = false
  /** The transaction of several clusters that it is a part of is being ended: nobody else touches it. */
  engaged = false
  /** A cancel was sent for something that ran here. */
  canceled = false
  /** What ran here may have notified: the connection is given back when that has arrived. */
  notifies = false
  /** Of the replies that the client was given, since somebody last set it to 0. */
  bytesGiven = 0
  /** A write was sent whose transaction has not ended. */
  writing = false
  /** The session's floor waits for the end of that transaction: one of its writes was sticky. */
  marked = false
  /** OnePlan.place of the first statement of the transaction that has one. */
  place: string | null = null
  /** DDL ran in the present transaction: when it commits, the catalog is to be read again. */
  definedSomething = false
  /** What the writes of the present transaction outdate (OnePlan.changes), each once; null: there were none. */
  changes: Set<readonly string[] | null> | null = null
  /** Holds the reply at hand for the result cache. */
  recording: Recording | null = null
  /** Has the replies in the client's place; null: nobody. */
  diversion: Diversion | null = null
  readonly #owner: HoldOwner
  readonly #exchange: Exchange
  #waiters: Waiter[] = []
  #error: ErrorFields | null = null
  #withheld = false
  #lost: Loss | null = null
  #over: Over[] | null = null
  #drained: (() => void)[] = []
  #ended = false
  /** It goes on when the client has caught up. */
  #waits = false
  /** What the server still waits for of the CopyData frame that it was given the beginning of. */
  #copyRest = 0

  constructor(grant: Grant<ServerConnection>, owner: HoldOwner, since: number) {
    this.lease = grant.lease
    this.connection = grant.lease.connection
    this.route = grant.route
    this.since = since
    this.begunAt = since
    const { settings } = this.connection
    this.settings = settings.size === 0 ? noSettings : connectionSettings(new Map(settings))
    this.#owner = owner
    this.#exchange = this.connection.exchange(this)
  }

  get traffic(): Traffic {
    return this.#owner.traffic
  }

  get cluster(): string {
    return this.lease.cluster
  }

  /** Of the last ReadyForQuery. */
  get status(): TransactionStatus {
    return this.connection.transaction
  }

  /** Sends a text of our own. */
  say(sql: string): ReturnType<ServerConnection['query']> {
    this.unnamed = null
    return this.connection.query(sql)
  }

  get lost(): boolean {
    return this.#lost !== null
  }

  /** detach() was called: the lease has been ended, or is about to be. */
  get ended(): boolean {
    return this.#ended
  }

  /** Something is in flight. */
  get owed(): boolean {
    return this.#exchange.owed > 0
  }

  /** Bytes of the present group's replies have gone to the client. */
  get forwarded(): boolean {
    return this.#exchange.forwarded
  }

  /** Writes a group, or a part of one. Nothing once the hold has ended, as when its client has left: end() tells it as lost. */
  send(frames: readonly Uint8Array[], expects: readonly Expect[]): boolean {
    return this.#ended || this.#exchange.send(frames, expects)
  }

  /** Passes on a piece of CopyData; `rest` bytes of its last frame are still to come. False: wait for drained(). */
  copyData(bytes: Uint8Array, rest: number): boolean {
    this.#copyRest = rest
    return this.#ended || this.#exchange.write(bytes)
  }

  /** Resolves when the server takes more. */
  drained(): Promise<void> {
    return this.#lost === null ? new Promise((resolve) => this.#drained.push(resolve)) : Promise.resolve()
  }

  /** The end of the group that `expect` closes; ask before its reply can have come (in the turn that sent it). */
  end(expect: ExpectReply): Promise<End> {
    const lost = this.#lost
    if (lost !== null) return Promise.resolve({ kind: 'lost', loss: lost })
    return new Promise((resolve) => this.#waiters.push({ expect, resolve, called: false }))
  }

  /** end(), without a promise. `listener` is called once, never within this call; it must not throw. */
  whenEnded(expect: ExpectReply, listener: (end: End) => void): void {
    const loss = this.#lost
    if (loss === null) this.#waiters.push({ expect, resolve: listener, called: true })
    else queueMicrotask(() => listener({ kind: 'lost', loss }))
  }

  /** Lets go of the connection's replies. Must be called once, before the lease ends. */
  detach(): void {
    if (this.#ended) return
    this.#ended = true
    this.#stopWaiting()
    this.#exchange.end()
    this.#conclude({ reason: 'given up', error: null, written: true, forwarded: true, torn: false, owed: true })
  }

  /** Nobody reads the replies any more: they must not wait for anybody. */
  discard(): void {
    this.#stopWaiting()
    this.#exchange.resume()
  }

  /** Ends the pause that a diversion asked for. */
  resume(): void {
    this.#exchange.resume()
  }

  bytes(chunk: Uint8Array): boolean {
    if (this.diversion !== null) return this.diversion.bytes(chunk)
    this.bytesGiven += chunk.length
    const held = this.recording?.bytes(chunk) ?? false
    if (this.#owner.output.write(chunk) || held) return true
    this.#waits = true
    this.#owner.output.onDrain = () => {
      this.#stopWaiting()
      this.#exchange.resume()
    }
    return false
  }

  /** Another may be writing to the client by now, whose wait is no concern of this one's. */
  #stopWaiting(): void {
    if (!this.#waits) return
    this.#waits = false
    this.#owner.output.onDrain = null
  }

  ready(status: TransactionStatus, expect: ExpectReply): void {
    const end: End = { kind: 'ready', status, error: this.#error, withheld: this.#withheld }
    this.#error = null
    this.#withheld = false
    this.copying = false
    this.lacksSync = false
    const first = this.#waiters[0]
    if (first?.expect === expect && this.#waiters.length === 1) {
      this.#waiters.length = 0
      this.#end(first, end)
      return
    }
    const at = this.#waiters.findIndex((waiter) => waiter.expect === expect)
    // A Sync that the server ignored in copy-in mode ends with the one that it did not.
    for (const waiter of this.#waiters.splice(0, at + 1)) this.#end(waiter, end)
  }

  #end({ resolve, called }: Waiter, end: End): void {
    if (called) (this.#over ??= []).push({ listener: resolve, end })
    else resolve(end)
  }

  chunkRead(): void {
    const over = this.#over
    if (over === null) return
    this.#over = null
    for (const { listener, end } of over) listener(end)
  }

  error(fields: ErrorFields, expect: ExpectReply, frame: Uint8Array): 'forward' | 'withhold' | Uint8Array {
    if (this.diversion !== null) {
      this.#error = fields
      this.#withheld = true
      this.diversion.failed(fields)
      return 'withhold'
    }
    const verdict = this.#owner.failed(this, fields, expect, frame)
    this.#error = fields
    this.copying = false
    this.#completeCopyData()
    if (verdict === 'withhold') this.#withheld = true
    return verdict
  }

  /**
   * The copy failed in the middle of a frame. The server ignores what is left of it, but takes it for that: were it not
   * sent, the next messages on this connection, the next client's perhaps, would be swallowed in its place.
   */
  #completeCopyData(): void {
    for (; this.#copyRest > 0; this.#copyRest -= Math.min(this.#copyRest, filler.length)) {
      this.#exchange.write(filler.subarray(0, this.#copyRest))
    }
  }

  commandComplete(tag: string, expect: ExpectReply): void {
    if (this.diversion === null) this.#owner.completed(this, tag, expect)
  }

  parameterStatus(name: string, value: string): void {
    this.#owner.parameterChanged(this, name, value)
  }

  notification(frame: Uint8Array): void {
    this.#owner.notified(this, frame)
  }

  notice(frame: Uint8Array): void {
    this.#owner.output.write(frame)
  }

  rowsDescribed(frame: Uint8Array, expect: ExpectReply): void {
    if (this.diversion !== null) this.diversion.rowsDescribed(frame, expect)
    else this.#owner.rowsDescribed(this, frame, expect)
  }

  parameterDescription(oids: readonly number[], expect: ExpectReply): void {
    if (this.diversion !== null) this.diversion.parametersDescribed(oids)
    else this.#owner.parametersDescribed(oids, expect)
  }

  copyStarted(direction: 'in' | 'out' | 'both'): void {
    if (direction !== 'in') return
    this.copying = true
    // Whoever has the replies also has the rows.
    if (this.diversion === null) this.#owner.copyIn(this)
  }

  drain(): void {
    const waiting = this.#drained
    this.#drained = []
    for (const resolve of waiting) resolve()
  }

  closed(loss: Loss): void {
    const idle = this.#waiters.length === 0
    this.#conclude(loss)
    if (idle && !this.#ended) this.#owner.lostIdle(this, loss)
  }

  #conclude(loss: Loss): void {
    this.#lost ??= loss
    this.copying = false
    const waiting = this.#waiters
    this.#waiters = []
    // Whoever ends the hold is in the middle of something.
    if (this.#over !== null) queueMicrotask(() => this.chunkRead())
    for (const { resolve, called } of waiting) {
      if (called) queueMicrotask(() => resolve({ kind: 'lost', loss }))
      else resolve({ kind: 'lost', loss })
    }
    this.drain()
  }
}
