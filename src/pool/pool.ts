// pool/pool.ts — the connections of one node and one login. generic-pool counts and evicts; what it lacks is here:
//  · a failed opening is told to those who wait, and backs off (generic-pool opens again at once and tells nobody);
//  · while one connection lives, a failed opening costs nobody: they get the next one that comes free;
//  · a connection that dies while idle leaves at once (it is borrowed to be buried), so lending needs no round trip;
//  · a tainted connection is scrubbed while still on loan, so nobody can get it meanwhile;
//  · users take turns, each may be bounded (queue.ts), and a few connections are opened at a time, however many wait.
import { setMaxListeners } from 'node:events'
import { PointsmanError } from '../errors/error.js'
import type { NodeConfig } from '../config/config.js'
import type { Events, Observer } from '../observe/events.js'
import {
  PermitUnwanted,
  type Connect,
  type Identity,
  type Lease,
  type Permits,
  type PermitsFor,
  type PooledConnection,
} from './contract.js'
import { speaksOfNode } from './failure.js'
import { outOfTime, queueFull } from './refusal.js'
import { nobody, type Party } from './account.js'
import { createGenericPool, dispense, enqueue, takeIdle, type GenericPool, type Resource } from './generic.js'
import { Wait, WaitQueue, type Ticket } from './queue.js'
import { Shelf } from './shelf.js'

export interface PoolSettings {
  readonly max: number
  readonly waitMs: number
  /** Requests that may wait. */
  readonly queue: number
  readonly lifetimeMs: number
  /** Idle longer than this: closed. */
  readonly idleMs: number
  /** Opening longer than this: failed. */
  readonly connectMs: number
  readonly scrubMs: number
  /** `always`: scrubbed after every lease. */
  readonly reset: 'tainted' | 'always'
}

export interface PoolParts<C extends PooledConnection> {
  readonly node: NodeConfig
  readonly identity: Identity
  readonly settings: PoolSettings
  readonly connect: Connect<C>
  readonly observer: Observer
  /** Process-monotonic milliseconds. */
  readonly now: () => number
  /** In [0, 1): jitter of lifetime and back-off. */
  readonly random: () => number
  /** Could not open a connection, and the fault is the node's. */
  readonly onFailure: (node: string, error: unknown) => void
  /** Where other processes have a share of `max`. */
  readonly permits?: PermitsFor | null
  /** The last connection closed and nobody waits. */
  readonly onEmpty?: () => void
}

export interface LeaseRequest<C> {
  readonly prefer?: (connection: C) => number
  readonly signal: AbortSignal
  /** Who is to have it. Default: nobody in particular. */
  readonly party?: Party | null
}

/** Who waits for a connection. One of the two is called, once, within the call that gave it or that made a connection free; neither may throw. */
export interface LeaseWaiter<C extends PooledConnection> {
  granted(lease: Lease<C>): void
  failed(error: unknown): void
}

export interface PoolCounts {
  readonly busy: number
  readonly idle: number
  readonly opening: number
  readonly waiting: number
  readonly max: number
  readonly longestWaitMs: number
  readonly draining: boolean
}

type Phase = 'idle' | 'lent' | 'scrubbing' | 'gone'
interface Entry {
  phase: Phase
  idleSince: number
  /** -Infinity: it is closed as soon as nobody uses it. */
  expiresAt: number
}

/** One connection, as SHOW SERVERS tells it. */
export interface PooledState<C> {
  readonly connection: C
  readonly phase: 'idle' | 'lent' | 'scrubbing'
  /** Process-monotonic ms of its last return, or of its opening. */
  readonly since: number
  /** It is closed as soon as nobody uses it. */
  readonly closeNeeded: boolean
}

const lentElsewhere = 'another worker needs it'
/** Why a wait ended that took too long. */
const timedOut = Symbol('timed out')
/** Why one was not let into the queue, or had to leave it to somebody who has less there. */
const crowdedOut = Symbol('crowded out')
/** Connections that are opened side by side: a server that is slow to let in is not helped by more who ask. */
const openAtOnce = 4
const backOffFirstMs = 25
const backOffMaxMs = 1000

export class Pool<C extends PooledConnection> {
  readonly #parts: PoolParts<C>
  readonly #queue = new WaitQueue<C>({ idle: () => this.#generic.available, openAtOnce, onRoom: () => this.#serveSoon() })
  readonly #shelf = new Shelf<Resource<C>>((items) => this.#choose(items))
  readonly #reasons = new WeakMap<C, string>()
  readonly #generic: GenericPool<C>
  readonly #entries = new Map<C, Entry>()
  readonly #stop = new AbortController()
  readonly #permits: Permits | null
  #onDraining: (() => void)[] = []
  /** Signals whose end is heard; for as long as they live, since adding and removing a listener costs more than a lease. */
  readonly #heard = new WeakSet<AbortSignal>()
  readonly #ends: LeaseEnds<C> = {
    release: (connection, taint) => this.#returned(connection, taint),
    destroy: (connection, reason) => this.#discard(connection, reason),
  }
  #opening = 0
  #scrubbing = 0
  #failures = 0
  #retryAt = -Infinity
  #lastError: unknown = null
  #draining = false
  #servingSoon = false
  #closing: Promise<void> | null = null
  #settle: (() => void) | null = null
  /** One for all who wait: each has the same time, so the first in the queue is always the first to run out of it. */
  #patience: NodeJS.Timeout | null = null

  constructor(parts: PoolParts<C>) {
    this.#parts = parts
    const { settings } = parts
    this.#permits = parts.permits?.(parts.node, parts.identity, settings.max, (restedMs) => this.#closeIdle(restedMs)) ?? null
    // Every connection that is being opened listens.
    setMaxListeners(0, this.#stop.signal)
    this.#generic = createGenericPool<C>(
      { create: () => this.#open(), destroy: (connection) => this.#bury(connection) },
      this.#shelf,
      this.#queue,
      (connection) => this.#stale(connection),
      {
        max: settings.max,
        acquireTimeoutMillis: Math.max(1, Math.ceil(settings.waitMs)),
        idleTimeoutMillis: settings.idleMs,
        evictionRunIntervalMillis: Math.max(10, Math.min(5000, settings.idleMs / 4, settings.lifetimeMs / 4)),
      },
    )
  }

  get identity(): Identity {
    return this.#parts.identity
  }

  get node(): NodeConfig {
    return this.#parts.node
  }

  /** What of `pool.max` is this process's, where others have a part of it too. */
  get share(): number {
    return this.#permits?.share ?? this.#parts.settings.max
  }

  get lifetimeMs(): number {
    return this.#parts.settings.lifetimeMs
  }

  /** Called once, when it is closed: whoever keeps connections for long gives them back. */
  onDraining(listener: () => void): void {
    this.#onDraining.push(listener)
  }

  /** It was closed, or is closing: it lends nothing any more. */
  get draining(): boolean {
    return this.#draining
  }

  counts(): PoolCounts {
    const { oldest } = this.#queue
    return {
      busy: this.#generic.borrowed - this.#scrubbing,
      idle: this.#generic.available,
      opening: this.#opening + this.#scrubbing,
      waiting: this.#queue.waiting,
      max: this.#parts.settings.max,
      longestWaitMs: oldest === null ? 0 : this.#parts.now() - oldest.since,
      draining: this.#draining,
    }
  }

  /** Somebody waits who could have a connection if there were one: not who is at a bound of his own. */
  get wanted(): boolean {
    return this.#queue.ready
  }

  /** Every connection that is open. */
  connections(): readonly PooledState<C>[] {
    return [...this.#entries].flatMap(([connection, { phase, idleSince, expiresAt }]) =>
      phase === 'gone' ? [] : [{ connection, phase, since: idleSince, closeNeeded: expiresAt === -Infinity }],
    )
  }

  /** It is to be closed when it comes back. */
  closeNeeded(connection: C): boolean {
    return this.#entries.get(connection)?.expiresAt === -Infinity
  }

  /** What is open now is closed: idle connections at once, lent ones when they come back. New ones are opened as before. */
  renew(reason: string): void {
    for (const [connection, entry] of [...this.#entries]) {
      entry.expiresAt = -Infinity
      if (this.#reasons.has(connection)) continue
      this.#reasons.set(connection, reason)
      if (entry.phase === 'idle') this.#evictIdle(connection, reason)
    }
  }

  /** How many idle connections there are for which `test` holds. */
  countIdle(test: (connection: C) => boolean): number {
    let count = 0
    for (const [connection, entry] of this.#entries) if (entry.phase === 'idle' && test(connection)) count++
    return count
  }

  /**
   * Lends a connection, opening one if there is room. Rejects with `too_many_connections` after `waitMs` or where too many wait, with the
   * reason of the failed opening where no connection is left, with `signal.reason`, or with `shutting_down`.
   */
  lease(request: LeaseRequest<C>): Promise<Lease<C>> {
    return new Promise((granted, failed) => {
      const idle = request.signal.aborted ? null : this.tryLease(request.prefer, request.party)
      if (idle === null) this.wait(request, { granted, failed })
      else granted(idle)
    })
  }

  /** lease(), for whom tryLease() gave nothing, without a promise or a timer of its own. */
  wait(request: LeaseRequest<C>, waiter: LeaseWaiter<C>): void {
    const { signal } = request
    const refusal: unknown = signal.aborted
      ? signal.reason
      : this.#draining
        ? new PointsmanError('shutting_down')
        : this.#barred()
          ? this.#lastError
          : null
    if (refusal !== null) {
      waiter.failed(refusal)
      return
    }
    const now = this.#parts.now()
    const party = request.party ?? nobody
    const wait = new Wait<C>(party, request, now, performance.now() + this.#parts.settings.waitMs, {
      granted: (it, connection) => this.#granted(it, connection, waiter),
      failed: (it, reason) => this.#failed(it, reason, waiter),
    })
    if (!this.#makePlace(party)) {
      waiter.failed(this.#refusal(crowdedOut, wait))
      return
    }
    this.#hear(signal)
    this.#enqueue(wait, false)
  }

  /** In a full queue, for one whose user has less in it than another: that one's last leaves. */
  #makePlace(party: Party): boolean {
    if (this.#queue.waiting < this.#parts.settings.queue) return true
    const last = this.#queue.lastOfMost()
    if (last === null || this.#queue.loadOf(party) + 1 / party.user.weight >= this.#queue.loadOf(last.party)) return false
    this.#queue.cancel(last, crowdedOut)
    return true
  }

  #enqueue(wait: Wait<C>, again: boolean): void {
    enqueue(this.#generic, this.#queue, wait, again)
    if (this.#queue.waiting === 0) return
    if (this.#patience === null) this.#patience = setTimeout(() => this.#outOfPatience(), wait.deadline - performance.now())
    else if (this.#queue.waiting === 1) this.#patience.ref()
  }

  /** Somebody who was at his bound may have what is idle here, or what can be opened; not before what has just come back is given on. */
  #serveSoon(): void {
    if (this.#servingSoon) return
    this.#servingSoon = true
    queueMicrotask(() => {
      this.#servingSoon = false
      dispense(this.#generic)
    })
  }

  #granted(wait: Wait<C>, connection: C, waiter: LeaseWaiter<C>): void {
    if (!connection.usable) {
      this.#discard(connection)
      this.#enqueue(wait, true)
      return
    }
    if (this.#queue.waiting === 0) this.#patience?.unref()
    this.#waited(this.#parts.now() - wait.since, 'ok')
    waiter.granted(this.#lend(connection, wait.party))
  }

  #failed(wait: Wait<C>, reason: unknown, waiter: LeaseWaiter<C>): void {
    if (this.#queue.waiting === 0) this.#patience?.unref()
    this.#sweep()
    waiter.failed(this.#refusal(reason, wait))
  }

  /** Whoever has waited too long hears of it. */
  #outOfPatience(): void {
    this.#patience = null
    const now = performance.now()
    for (let { oldest } = this.#queue; oldest !== null && oldest.deadline <= now; { oldest } = this.#queue) {
      this.#queue.cancel(oldest, timedOut)
    }
    const next = this.#queue.oldest
    if (next !== null) this.#patience = setTimeout(() => this.#outOfPatience(), Math.max(1, next.deadline - now))
  }

  /** Lends an idle connection within the call: no promise, no timer. null: none is idle, or others wait, or the party has all it may have, or the pool takes nobody. */
  tryLease(prefer?: (connection: C) => number, party?: Party | null): Lease<C> | null {
    const holder = party ?? nobody
    if (this.#draining || holder.user.room === 0 || holder.database.room === 0) return null
    for (;;) {
      const connection = takeIdle(this.#generic, this.#queue, { prefer: prefer ?? null, take: null })
      if (connection === null) return null
      if (connection.usable) {
        this.#waited(0, 'ok')
        return this.#lend(connection, holder)
      }
      this.#discard(connection)
    }
  }

  /**
   * Ends the connections for which `test` holds: idle ones are closed, lent ones cut off under their holder, who hears of it as
   * of any loss. Gives how many.
   */
  cutOff(test: (connection: C) => boolean, reason: string): number {
    const cut = [...this.#entries.keys()].filter(test)
    for (const connection of cut) {
      if (this.#shelf.has((item) => item.obj === connection)) this.#evictIdle(connection, reason)
      else {
        this.#reasons.set(connection, reason)
        connection.sever()
      }
    }
    return cut.length
  }

  /** Whoever waits for a connection hears `error`: there will be none. */
  giveUpWaiting(error: unknown): void {
    this.#queue.cancelAll(error)
  }

  /**
   * Takes no new requests; idle connections close now, lent ones when they come back, and those who wait are still
   * served. After `graceMs` (Infinity: never) what is left is closed under its holder. Resolves when all are closed.
   */
  close(graceMs: number): Promise<void> {
    this.#closing ??= this.#drain()
    if (Number.isFinite(graceMs)) this.#forceAfter(graceMs)
    return this.#closing
  }

  #hear(signal: AbortSignal): void {
    if (this.#heard.has(signal)) return
    this.#heard.add(signal)
    // One of each pool that its client has waited for.
    setMaxListeners(0, signal)
    signal.addEventListener('abort', () => this.#queue.cancelOf(signal), { once: true, signal: this.#stop.signal })
  }

  #refusal(error: unknown, wait: Wait<C>): unknown {
    const { now, settings } = this.#parts
    const told = error === timedOut ? 'timeout' : error === crowdedOut ? 'full' : wait.signal.aborted ? 'canceled' : 'failed'
    this.#waited(now() - wait.since, told)
    if (error !== timedOut && error !== crowdedOut) return error
    const { node, identity } = this.#parts
    const numbers = { ...this.counts(), lastError: this.#lastError === null ? null : messageOf(this.#lastError) }
    const names = { node: node.id, cluster: identity.cluster, user: identity.user }
    return error === timedOut ? outOfTime(names, settings, numbers, wait.party) : queueFull(names, settings, numbers)
  }

  #waited(ms: number, outcome: Events['pool.wait']['outcome']): void {
    const { identity, node, observer } = this.#parts
    observer.emit('pool.wait', { cluster: identity.cluster, node: node.id, seconds: ms / 1000, outcome })
  }

  #lend(connection: C, party: Party): Lease<C> {
    const entry = this.#entries.get(connection)
    if (entry !== undefined) entry.phase = 'lent'
    party.user.take()
    party.database.take()
    return new PoolLease(connection, this.#parts, this.#ends, party)
  }

  #returned(connection: C, taint: string | null): void {
    const entry = this.#entries.get(connection)
    if (entry === undefined || entry.phase === 'gone') return
    if (!connection.usable || this.#parts.now() >= entry.expiresAt || this.#leaving()) this.#discard(connection)
    else if (taint !== null || this.#parts.settings.reset === 'always') void this.#scrub(connection, entry)
    else this.#giveBack(connection)
  }

  async #scrub(connection: C, entry: Entry): Promise<void> {
    entry.phase = 'scrubbing'
    this.#scrubbing++
    try {
      await within(this.#parts.settings.scrubMs, connection.scrub(), 'it was not reset in time')
      this.#scrubbing--
      if (connection.usable && !this.#leaving()) this.#giveBack(connection)
      else this.#discard(connection)
    } catch (error) {
      this.#scrubbing--
      this.#discard(connection, `could not be reset: ${messageOf(error)}`)
    }
  }

  #giveBack(connection: C): void {
    const entry = this.#entries.get(connection)
    if (entry === undefined || entry.phase === 'gone') return
    if (!connection.usable || entry.expiresAt === -Infinity) {
      this.#discard(connection)
      return
    }
    if (this.#permits?.owed() === true) {
      this.#discard(connection, lentElsewhere)
      return
    }
    const next = this.#queue.dequeue()
    if (next !== undefined) {
      // From hand to hand: generic-pool need not know that it is lent to another.
      next.resolve(connection)
      return
    }
    entry.phase = 'idle'
    entry.idleSince = this.#parts.now()
    void this.#generic.release(connection)
  }

  /** Ends a loan for good. */
  #discard(connection: C, reason = 'no longer usable'): void {
    if (!this.#reasons.has(connection)) this.#reasons.set(connection, reason)
    void this.#generic.destroy(connection).catch(() => undefined)
  }
  /** generic-pool has let go of it. */
  #bury(connection: C): Promise<void> {
    const entry = this.#entries.get(connection)
    if (entry !== undefined) entry.phase = 'gone'
    this.#entries.delete(connection)
    const { identity, node, observer } = this.#parts
    const reason = this.#reasons.get(connection) ?? 'idle or at the end of its lifetime'
    observer.emit('pool.closed', { cluster: identity.cluster, node: node.id, user: identity.user, reason })
    connection.close()
    queueMicrotask(() => this.#maybeEmpty())
    return Promise.resolve()
  }

  #maybeEmpty(): void {
    if (this.#entries.size > 0 || this.#opening > 0 || this.#queue.waiting > 0) return
    if (this.#draining) this.#settle?.()
    // A pool that failed is kept: it knows how long to back off.
    else if (this.#failures === 0) this.#parts.onEmpty?.()
  }

  /** The socket closed. A lent connection is its holder's business; an idle one is borrowed, by name, to be destroyed. */
  #closed(connection: C, reason: string): void {
    const entry = this.#entries.get(connection)
    if (entry?.phase !== 'idle') return
    this.#evictIdle(connection, reason)
  }

  #evictIdle(connection: C, reason: string): void {
    if (!this.#shelf.has((item) => item.obj === connection)) return // on its way to somebody, who will look at `usable`
    const ticket: Ticket<C> = { prefer: null, take: connection }
    const taken = this.#generic.acquire(ticket)
    // Where a connection is idle nobody waits, so generic-pool has served this within the call, or never will.
    if (this.#queue.withdraw(ticket)) taken.catch(() => undefined)
    else void taken.then((it) => (it === connection ? this.#discard(it, reason) : this.#giveBack(it)))
  }

  /** For another process. */
  #closeIdle(restedMs: number): boolean {
    const now = this.#parts.now()
    for (const [connection, entry] of this.#entries) {
      if (entry.phase !== 'idle' || now - entry.idleSince < restedMs || !this.#shelf.has((item) => item.obj === connection)) continue
      this.#evictIdle(connection, lentElsewhere)
      return true
    }
    return false
  }

  #choose(items: readonly Resource<C>[]): number {
    const ticket = this.#queue.first
    if (ticket === undefined) return 0
    if (ticket.take !== null) {
      const index = items.findIndex((item) => item.obj === ticket.take)
      return index < 0 ? 0 : index
    }
    return ticket.prefer === null ? 0 : indexOfBest(items, ticket.prefer)
  }

  #stale(connection: C): boolean {
    const entry = this.#entries.get(connection)
    const now = this.#parts.now()
    return entry === undefined || !connection.usable || now >= entry.expiresAt || now - entry.idleSince >= this.#parts.settings.idleMs
  }

  async #open(): Promise<C> {
    this.#opening++
    try {
      await this.#backOff()
      const connection = this.#permits === null ? await this.#connect() : await this.#permitted(this.#permits)
      this.#opened(connection)
      return connection
    } catch (error) {
      if (!(error instanceof PermitUnwanted)) this.#openFailed(error)
      throw error
    } finally {
      this.#opening--
      if (this.#draining) setImmediate(() => this.#sweep())
    }
  }

  /** Its permit is given back when its socket has closed: until then the server counts it. */
  async #permitted(permits: Permits): Promise<C> {
    await permits.take(() => this.#queue.ready, this.#stop.signal)
    try {
      const connection = await this.#connect()
      connection.onClosed(() => permits.give())
      return connection
    } catch (error) {
      permits.give()
      throw error
    }
  }

  async #connect(): Promise<C> {
    const { connect, node, identity, settings } = this.#parts
    const timeout = AbortSignal.timeout(settings.connectMs)
    try {
      return await connect(node, identity, AbortSignal.any([this.#stop.signal, timeout]))
    } catch (error) {
      if (!timeout.aborted || this.#stop.signal.aborted) throw error
      const why = `${node.id} did not answer within ${String(settings.connectMs)} ms`
      throw new PointsmanError('cluster_unreachable', { values: { cluster: identity.cluster, why }, cause: error })
    }
  }

  #opened(connection: C): void {
    const { identity, node, now, observer, random, settings } = this.#parts
    this.#failures = 0
    this.#lastError = null
    this.#retryAt = -Infinity
    // Up to a fifth earlier, so that connections opened together do not end together.
    this.#entries.set(connection, { phase: 'idle', idleSince: now(), expiresAt: now() + settings.lifetimeMs * (1 - 0.2 * random()) })
    connection.onClosed((reason) => this.#closed(connection, reason))
    observer.emit('pool.opened', { cluster: identity.cluster, node: node.id, user: identity.user })
  }

  #openFailed(error: unknown): void {
    if (this.#stop.signal.aborted) {
      this.#queue.cancelAll(new PointsmanError('shutting_down'))
      return
    }
    const { node, now, onFailure, random } = this.#parts
    const delay = Math.min(backOffMaxMs, backOffFirstMs * 2 ** this.#failures++)
    this.#retryAt = now() + delay * (0.75 + 0.5 * random())
    this.#lastError = error
    if (this.#entries.size === 0) this.#queue.cancelAll(error)
    if (speaksOfNode(error)) onFailure(node.id, error)
  }

  /** No connection lives and the last opening failed a moment ago: waiting here would only cost time. */
  #barred(): boolean {
    return this.#lastError !== null && this.#entries.size === 0 && this.#parts.now() < this.#retryAt
  }

  async #backOff(): Promise<void> {
    const delay = this.#retryAt - this.#parts.now()
    if (delay <= 0) return
    await pause(delay, this.#stop.signal)
    if (!this.#queue.ready) throw new PermitUnwanted()
  }

  #leaving(): boolean {
    return this.#draining && this.#queue.waiting === 0
  }

  async #drain(): Promise<void> {
    this.#draining = true
    const listeners = this.#onDraining
    this.#onDraining = []
    for (const listener of listeners) listener()
    const empty = new Promise<void>((resolve) => {
      this.#settle = resolve
    })
    this.#sweep()
    await empty
    // Nobody listens any more: a client may outlive many pools.
    this.#stop.abort(new PointsmanError('shutting_down'))
    if (this.#patience !== null) clearTimeout(this.#patience)
    await this.#generic.drain()
    this.#permits?.leave()
  }

  /** Nobody will want the idle ones any more. */
  #sweep(): void {
    if (this.#leaving()) for (const connection of [...this.#entries.keys()]) this.#evictIdle(connection, 'the pool is closing')
    this.#maybeEmpty()
  }

  #forceAfter(graceMs: number): void {
    const force = (): void => {
      this.#stop.abort(new PointsmanError('shutting_down'))
      this.#queue.cancelAll(new PointsmanError('shutting_down'))
      for (const [connection, entry] of [...this.#entries]) {
        if (entry.phase === 'lent' || entry.phase === 'scrubbing') this.#discard(connection, 'the pool is closing')
        else connection.close()
      }
      this.#sweep()
    }
    if (graceMs <= 0) force()
    else {
      const timer = setTimeout(force, graceMs)
      void this.#closing?.finally(() => clearTimeout(timer))
    }
  }
}

interface LeaseEnds<C> {
  release(connection: C, taint: string | null): void
  destroy(connection: C, reason: string): void
}

class PoolLease<C extends PooledConnection> implements Lease<C> {
  readonly connection: C
  readonly node: string
  readonly cluster: string
  readonly #party: Party
  #ends: LeaseEnds<C> | null

  constructor(connection: C, parts: PoolParts<C>, ends: LeaseEnds<C>, party: Party) {
    this.connection = connection
    this.node = parts.node.id
    this.cluster = parts.identity.cluster
    this.#ends = ends
    this.#party = party
  }

  release(taint: string | null): void {
    this.#end().release(this.connection, taint)
  }

  destroy(reason: string): void {
    this.#end().destroy(this.connection, reason)
  }

  #end(): LeaseEnds<C> {
    const ends = this.#ends
    if (ends === null) throw new Error(`the lease of a connection to ${this.node} was ended twice`)
    this.#ends = null
    // First, so that the next one may be of the same party.
    this.#party.user.give()
    this.#party.database.give()
    return ends
  }
}

function indexOfBest<C>(items: readonly Resource<C>[], score: (connection: C) => number): number {
  let best = 0
  let bestScore = -Infinity
  for (const [index, item] of items.entries()) {
    const value = score(item.obj)
    if (value <= bestScore) continue
    best = index
    bestScore = value
  }
  return best
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

async function within<T>(ms: number, promise: Promise<T>, why: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(why)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer)
      reject(signal.reason as Error)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, ms)
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
}
