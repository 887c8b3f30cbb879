// doors/library/pipeline-lane.ts — a pg.Client that reads of several callers share at the same moment, in pg's own pipeline mode
// (pg 8.23 and later). pg ends each query with a Sync of its own, so an error stays with its owner, and keeps the rows until
// their end: whoever is on a lane that is slow or lost can be run elsewhere without anybody noticing.
//
// It writes at once when nothing is in flight, and gathers what one turn of the event loop brings while something is.
import { endedByServer } from '../../execute/loss-error.js'
import { sqlstateOf } from '../../pool/failure.js'
import type { Lease } from '../../pool/contract.js'
import type { LaneKind, LaneOwner, LaneState, SharedLane } from '../../pool/lane-kind.js'
import { bar, measure } from '../../pool/shape-book.js'
import { fit, replayChanges, replaySql } from '../../session/replay.js'
import { connectionSettings } from '../../session/settings.js'
import type { LaneRead } from './lane-read.js'
import type { PgClient, PgResult } from './pg-client.js'
import type { PgConnection } from './pg-connection.js'
import { sizeOfResult } from './raw-rows.js'

type Came = (error: unknown, result?: PgResult | PgResult[]) => void
type QueryClass = new (text: string, values: readonly unknown[] | undefined, callback: Came) => object

/** The slice of a pg.Client that shares a connection. */
type Piping = PgClient & {
  pipeline: boolean
  readonly connectionParameters?: { readonly query_timeout?: unknown }
  query(config: string | object, values: readonly unknown[] | undefined, callback: Came | undefined): unknown
}

/** A query that stands on a lane. */
interface Slot {
  /** null: nobody wants its result any more. */
  read: LaneRead | null
  readonly record: LaneRead['record']
  readonly sentAt: number
  /** pg has told its end. */
  over: boolean
  /** Those behind it have been told that it is slow; or, for long, that it still is. */
  slow: boolean
  long: boolean
  /** It was told that its lane is slow. */
  moved: boolean
}

/** A head that is so many times as old as it may be is slow by itself, whatever the machine does. */
const longStall = 5
const compactAt = 256

/** Whether this pg can have several queries of one client under way. */
export function canPipeline(Client: unknown): boolean {
  const { prototype } = Client as { readonly prototype?: { readonly _pulsePipelinedQueryQueue?: unknown } }
  return typeof prototype?._pulsePipelinedQueryQueue === 'function'
}

export class PipelineLane implements SharedLane<LaneRead> {
  readonly node: string
  readonly cluster: string
  readonly connection: PgConnection
  readonly openedAt: number
  idleSince: number
  served = 0
  readonly #lease: Lease<PgConnection>
  readonly #owner: LaneOwner<PipelineLane>
  readonly #client: Piping
  readonly #stream: Piping['connection']['stream']
  /** pg's own; null: it does not show it. */
  readonly #Query: QueryClass | null
  #slots: Slot[] = []
  #first = 0
  #corked = false
  /** Replies in this turn of the event loop: after several of them several queries will come. */
  #burst = 0
  /** Since when the head is the head, and what had been read when the one before it had ended. */
  #headSince = 0
  #headBytes = 0
  #slow = false
  #large = false
  #retiring: string | null = null
  #gone = false
  readonly #uncork = (): void => {
    this.#corked = false
    this.#burst = 0
    this.#stream.uncork?.()
  }

  constructor(lease: Lease<PgConnection>, owner: LaneOwner<PipelineLane>) {
    this.#lease = lease
    this.#owner = owner
    this.node = lease.node
    this.cluster = lease.cluster
    this.connection = lease.connection
    this.#client = lease.connection.client as Piping
    this.#stream = this.#client.connection.stream
    const { Query } = this.#client.constructor as { readonly Query?: unknown }
    this.#Query = typeof Query === 'function' ? (Query as QueryClass) : null
    this.#headBytes = this.#stream.bytesRead ?? 0
    this.openedAt = owner.now()
    this.idleSince = this.openedAt
    this.#client.pipeline = true
    // Its idle connection keeps no process alive; what is under way does (keep-alive.ts).
    this.connection.lent(null)
    this.#client.unref()
    // What changes a setting behind everybody's back must not stay: the next read might answer by it.
    this.connection.onParameter = () => this.retire('a setting of the connection has changed')
    this.connection.onClosed((reason) => this.#closed(reason))
  }

  get inFlight(): number {
    return this.#slots.length - this.#first
  }

  get open(): boolean {
    return this.moving && this.#slots.length - this.#first < this.#owner.limits.depth
  }

  get moving(): boolean {
    return !this.#slow && !this.#large && this.#retiring === null && !this.#gone
  }

  get state(): LaneState {
    if (this.#retiring !== null) return 'retiring'
    if (this.#large) return 'large'
    return this.#slow ? 'slow' : 'open'
  }

  has(read: LaneRead): boolean {
    return this.#slotOf(read) !== undefined
  }

  knowsNameAs(name: string, text: string): boolean {
    const { parsedStatements, submittedNamedStatements } = this.#client.connection
    const known = parsedStatements[name] ?? submittedNamedStatements?.[name]
    return known === undefined || known === text
  }

  push(read: LaneRead, now: number): void {
    const idle = this.#slots.length === this.#first
    if (idle) this.#headSince = now
    const slot: Slot = { read, record: read.record, sentAt: now, over: false, slow: false, long: false, moved: false }
    this.#slots.push(slot)
    if (!this.#corked && (!idle || this.#burst > 1)) this.#cork()
    this.connection.begin()
    const came: Came = (error, result) => this.#came(slot, error, result)
    const { text, values, name } = read.config
    // pg makes a copy of an object, property by property; of a text there is nothing to be copied.
    if (name === undefined) this.#client.query(text, values, came)
    else if (this.#Query === null) this.#client.query(read.config, undefined, came)
    else this.#client.query(Object.assign(new this.#Query(text, values, came), { name }), undefined, undefined)
  }

  #cork(): void {
    this.#corked = true
    this.#stream.cork?.()
    setImmediate(this.#uncork)
  }

  /** Its result is dropped when it comes. */
  drop(read: LaneRead): void {
    const slot = this.#slotOf(read)
    if (slot !== undefined) slot.read = null
  }

  retire(reason: string): void {
    this.#retiring ??= reason
    const abandoned = this.inFlight > 0 && this.#slots.every(({ read }, at) => at < this.#first || read === null)
    // What is under way is wanted by nobody: it must not keep a pool from ending.
    if (abandoned) this.connection.sever()
    this.#finishIfDone()
  }

  check(now: number, patience: number): void {
    const head = this.#slots[this.#first]
    if (head === undefined || this.#gone) return
    if (!this.#large && (this.#stream.bytesRead ?? 0) - this.#headBytes > this.#owner.limits.maxResultBytes) this.#tooLarge(head, now)
    const age = now - Math.max(head.sentAt, this.#headSince)
    if (age < patience) return
    this.#slow = true
    if (!head.slow) {
      head.slow = true
      if (!this.#large) bar(head.record, 'stalled', now)
      this.#owner.count('stalled', 1)
      this.#tellFollowers()
    }
    if (age < patience * longStall || head.long) return
    head.long = true
    if (!this.#large) bar(head.record, 'stalled', now)
  }

  // ---- results

  /** pg tells an error before ReadyForQuery, a result with it. */
  #came(slot: Slot, error: unknown, result: PgResult | PgResult[] | undefined): void {
    if (this.#gone || slot.over) return
    slot.over = true
    if (slot !== this.#slots[this.#first]) return this.#outOfTurn()
    const now = this.#owner.now()
    const ms = now - Math.max(slot.sentAt, this.#headSince)
    const { read, record } = slot
    const bytes = this.#stream.bytesRead ?? 0
    if (error === null || error === undefined) {
      if (!this.#large) this.#measure(record, ms, result, now, bytes - this.#headBytes)
    } else {
      // Until its ReadyForQuery has come, this connection is not at rest.
      this.connection.begin()
      if (isFatal(error)) this.#retiring ??= 'the server ended it'
    }
    this.#shift(now, bytes)
    if (read !== null) this.#tell(read, error, result, now)
    this.#goOn(now)
  }

  #tell(read: LaneRead, error: unknown, result: PgResult | PgResult[] | undefined, now: number): void {
    if (error === null || error === undefined) read.answered(result as PgResult, this, now)
    else if (isFatal(error)) read.missed({ why: 'lost' })
    else read.failed(error, this, now)
  }

  /** What was told may have ended it. */
  #goOn(now: number): void {
    if (this.#gone) return
    this.#owner.moved(this, now)
    this.#finishIfDone()
  }

  /** `most`: bytes. More was read than this reply alone; where even that is little, its size is not worth counting. */
  #measure(record: Slot['record'], ms: number, result: PgResult | PgResult[] | undefined, now: number, most: number): void {
    const { maxResultBytes } = this.#owner.limits
    const size = most <= maxResultBytes || result === undefined || Array.isArray(result) ? record.bytes : sizeOfResult(result)
    if (size > maxResultBytes) {
      bar(record, 'too large', now)
      this.#owner.count('large', 1)
    } else measure(record, ms, size)
  }

  /** Takes the head off, and what has ended behind it. */
  #shift(now: number, bytes: number): void {
    // The last one that is in flight, and the first to come: there is nobody to gather with.
    if (this.#burst > 0 || this.inFlight > 1) {
      this.#burst += 1
      if (this.#burst === 1) setImmediate(this.#calm)
    }
    this.served += 1
    this.#owner.served()
    do this.#first += 1
    while (this.#slots[this.#first]?.over === true)
    if (this.#first === this.#slots.length) {
      // The usual one, all by itself, makes no new array.
      if (this.#first === 1) this.#slots.pop()
      else this.#slots = []
      this.#first = 0
      this.idleSince = now
    } else if (this.#first >= compactAt) {
      this.#slots = this.#slots.slice(this.#first)
      this.#first = 0
    }
    this.#headSince = now
    this.#headBytes = bytes
    this.#slow = false
    this.#large = false
  }

  readonly #calm = (): void => {
    this.#burst = 0
  }

  /** pg would not send it: whatever the reason is, this lane is not what it was taken for. */
  #outOfTurn(): void {
    this.#retiring ??= 'pg refused a query'
    this.connection.sever()
  }

  #tooLarge(head: Slot, now: number): void {
    this.#large = true
    bar(head.record, 'too large', now)
    this.#owner.count('large', 1)
    this.#tellFollowers()
  }

  #tellFollowers(): void {
    let told = 0
    for (const slot of this.#slots.slice(this.#first + 1)) {
      if (slot.moved || slot.read === null) continue
      slot.moved = true
      told += 1
      slot.read.stalled()
    }
    if (told > 0) this.#owner.count('moved', told)
  }

  #slotOf(read: LaneRead): Slot | undefined {
    for (let at = this.#first; at < this.#slots.length; at++) if (this.#slots[at]?.read === read) return this.#slots[at]
    return undefined
  }

  // ---- the end

  #finishIfDone(): void {
    if (this.#retiring === null || this.#gone || this.#slots.length > this.#first) return
    this.#gone = true
    this.#client.pipeline = false
    this.connection.onParameter = null
    this.connection.returned()
    // Whatever it was used for, nobody inherits anything of it.
    this.connection.settings = null
    this.#lease.release('it was a lane')
    this.#owner.ended(this)
  }

  #closed(reason: string): void {
    if (this.#gone) return
    this.#gone = true
    const left = this.#slots.slice(this.#first)
    this.#slots = []
    this.#first = 0
    this.connection.returned()
    this.#lease.destroy(reason)
    this.#owner.ended(this)
    let missed = 0
    for (const { read, over } of left) {
      if (read === null || over) continue
      missed += 1
      read.missed({ why: 'lost' })
    }
    if (missed > 0) this.#owner.count('missed', missed)
  }
}

/** `unfit`: called where the clients of this application cannot share a connection after all. */
export function pipelineLanes(unfit: (reason: string) => void): LaneKind<PgConnection, LaneRead, PipelineLane> {
  return {
    suits: ({ settings }, wanted) => (settings === null ? -1 : fit(wanted, settings.values)),
    prepare: async (connection, wanted) => {
      const client = connection.client as Piping
      // pg destroys the connection of a query that takes longer, whoever else is on it.
      if (truthy(client.connectionParameters?.query_timeout)) {
        unfit('the option query_timeout closes connections under their queries')
        throw new Error('no lane')
      }
      const changes = replayChanges(wanted, connection.settings?.values ?? new Map())
      if (changes.length > 0) {
        connection.begin()
        await client.query(replaySql(changes))
      }
      connection.settings = connectionSettings(wanted)
      return false
    },
    open: (lease, owner) => new PipelineLane(lease, owner),
  }
}

function truthy(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false && value !== 0 && value !== '0' && value !== ''
}

/** The server ends the connection with it. */
function isFatal(error: unknown): boolean {
  const { severity } = error as { readonly severity?: unknown }
  const code = sqlstateOf(error)
  return code !== null && (severity === 'FATAL' || severity === 'PANIC' || endedByServer(code))
}
