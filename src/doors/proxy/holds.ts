// doors/proxy/holds.ts — the server connections that a client has at the moment, one per cluster: leased, brought to where the
// client believes to be (preparing.ts), kept while a transaction or a pin stands on them, and given back.
import type { AcquireRequest, Grant, RouteTaken } from '../../execute/contract.js'
import { forgive, maxAttempts } from '../../execute/again.js'
import { PointsmanError } from '../../errors/error.js'
import { Joint } from '../../execute/joint.js'
import { objection } from '../../execute/objection.js'
import { writeEnds } from '../../execute/write-marks.js'
import type { OnePlan } from '../../routing/plan.js'
import type { ServerConnection, TransactionStatus } from '../../server/contract.js'
import { lastingReasons, sessionMode } from '../../session/pin-reasons.js'
import { fit } from '../../session/replay.js'
import { lingerMs } from './sequences.js'
import { settle, type Settings } from '../../session/settings.js'
import { afterReady, isJoint, modeOf } from '../../session/transaction.js'
import { Acquisition, waitFor, type HoldWaiter } from './acquisition.js'
import type { ClientState } from './client-state.js'
import type { Planned } from './core-contract.js'
import type { Generations } from './generations.js'
import { Hold, type HoldOwner } from './hold.js'
import { Inspector } from './inspector.js'
import { jointOwner } from './joint.js'
import { Preparing } from './preparing.js'
import type { Presence } from './presence.js'
import type { Request } from './request.js'
import type { Told } from './told.js'

/** The pin of a connection that is kept for a moment. */
const lingers = 'sequence'

export interface HoldsParts {
  readonly state: ClientState
  readonly generations: Generations
  readonly presence: Presence
  readonly told: Told
  readonly owner: HoldOwner
}

export class Holds {
  readonly #state: ClientState
  readonly #generations: Generations
  readonly #presence: Presence
  readonly #told: Told
  readonly #owner: HoldOwner
  readonly #inspector: Inspector
  /** Of a transaction on several clusters. */
  readonly joint: Joint<Hold>
  readonly #held = new Map<string, Hold>()
  readonly #preparing: Preparing
  readonly #prefer = (connection: ServerConnection): number => fit(this.#state.session.settings.values, connection.settings)

  readonly #preferOwn = (connection: ServerConnection): number => this.#state.sequences.prefer(connection)

  constructor({ state, generations, presence, told, owner }: HoldsParts) {
    this.#state = state
    this.#generations = generations
    this.#presence = presence
    this.#told = told
    this.#owner = owner
    this.#preparing = new Preparing(state, told, (hold) => this.atReady(hold, hold.connection.transaction, true))
    this.joint = new Joint(jointOwner(state, generations, this))
    this.#inspector = new Inspector(state, generations, (hold, reason, stands) => {
      if (stands) this.pin(hold, reason)
      else if (hold.pins.has(reason)) this.unpin(hold, reason)
    })
  }

  /** See Inspector.mentions. */
  mentions(planned: Planned): void {
    this.#inspector.mentions(planned)
  }

  get size(): number {
    return this.#held.size
  }

  all(): IterableIterator<Hold> {
    return this.#held.values()
  }

  /** The server connection that this client already has on a cluster. */
  on(cluster: string): Hold | undefined {
    return this.#held.get(cluster)
  }

  /** The server connection of the open transaction, if one is open on a server. */
  get home(): Hold | null {
    const { transaction } = this.#state.session
    return transaction.kind === 'open' ? (this.#held.get(transaction.home.cluster) ?? null) : null
  }

  // ---- taking

  /**
   * A connection for `plan`, ready for the client's own frames: settings replayed, BEGIN sent. Within the call where
   * nothing has to be waited for. Throws or rejects with what the client is to be told.
   */
  take(plan: OnePlan, request: Request): Hold | Promise<Hold> {
    if (this.#isJoint(plan)) return this.#takeJoint(plan, request)
    const kept = this.#held.get(plan.cluster)
    this.requireAllowed(plan, kept ?? null)
    const hold = kept ?? this.#acquireAtOnce(plan, request)
    if (hold?.inspecting !== null || this.#preparing.asksFirst(hold, plan) || !this.#preparing.isPrepared(hold))
      return this.#takeLater(plan, request, kept === undefined ? hold : null)
    request.attempts += 1
    request.before ??= this.#state.session.settings
    request.route = routeOf(hold, plan)
    this.#told.comesTo(hold)
    return hold
  }

  /** take(), without a promise where only a connection to come free is waited for. null: `waiter` is told. Throws as take() does. */
  takeSoon(plan: OnePlan, request: Request, waiter: HoldWaiter): Hold | null {
    const kept = this.#held.get(plan.cluster)
    if (kept !== undefined || !this.#state.runtime.gate.open || this.#isJoint(plan)) return waitFor(this.take(plan, request), waiter)
    this.requireAllowed(plan, null)
    this.#presence.require()
    const acquisition = new Acquisition(this.#state, this.#presence, waiter, (grant) =>
      this.#prepared(this.#taken(grant), plan, request, waiter),
    )
    const grant = this.#generations.current.executor.take(this.#acquireRequest(plan, request), acquisition)
    if (grant !== null) return this.#prepared(this.#taken(grant), plan, request, waiter)
    acquisition.begin()
    return null
  }

  /** null: it must be prepared by what takes waiting. */
  #prepared(hold: Hold, plan: OnePlan, request: Request, waiter: HoldWaiter): Hold | null {
    if (!this.#preparing.atOnce(hold, plan)) return waitFor(this.#takeLater(plan, request, hold), waiter)
    request.attempts += 1
    request.before ??= this.#state.session.settings
    request.route = routeOf(hold, plan)
    return hold
  }

  /** The transaction is open on other clusters, or is about to be. */
  #isJoint({ cluster }: OnePlan): boolean {
    const { transaction } = this.#state.session
    return transaction.kind === 'open' && (transaction.home.cluster !== cluster || transaction.joined.length > 0)
  }

  /** A connection on which the transaction is open as well, and the client's settings stand. */
  async #takeJoint(plan: OnePlan, request: Request): Promise<Hold> {
    const { sequences, session } = this.#state
    const kept = this.#held.get(plan.cluster)
    this.requireAllowed(plan, kept ?? null)
    await kept?.inspecting
    request.attempts += 1
    request.before ??= session.settings
    const hold = kept ?? (await this.#acquire(plan, request))
    request.route = routeOf(hold, plan)
    if (plan.readsSequences) sequences.require(hold, plan)
    try {
      if (hold.connection.transaction === 'I' && sequences.mustForget(hold, plan)) await this.#preparing.own(hold, 'DISCARD SEQUENCES')
      await this.joint.join(hold)
    } catch (error) {
      this.#unprepared(hold, error, kept !== undefined)
      throw error
    }
    this.#told.comesTo(hold)
    return hold
  }

  /** Throws what speaks against sending `plan` now: a cluster that takes no writes, a transaction that is too old. */
  requireAllowed(plan: OnePlan, held: Hold | null): void {
    const found = objection(this.#generations.current.executor, plan, held, this.#state.session.transaction, this.#state.now)
    if (found !== null) throw found
  }

  /** Whether the replica that a batch has run on is proved to be good for `plan` as well, which came later. */
  meets(hold: Hold, plan: OnePlan, request: Request): boolean {
    return this.#generations.current.executor.meets(this.#acquireRequest(plan, request), hold.lease)
  }

  /** `fresh`: acquired just now, for the first attempt. */
  async #takeLater(plan: OnePlan, request: Request, fresh: Hold | null): Promise<Hold> {
    let acquired = fresh
    let reason: unknown = null
    for (;;) {
      request.attempts += 1
      await this.#held.get(plan.cluster)?.inspecting
      request.before ??= this.#state.session.settings
      const kept = acquired === null ? this.#held.get(plan.cluster) : undefined
      const hold = kept ?? acquired ?? (await this.#acquireInstead(plan, request, reason))
      acquired = null
      request.route = routeOf(hold, plan)
      try {
        await this.#preparing.prepare(hold, plan)
        return hold
      } catch (error) {
        // One that is given back counts as lost to whoever had it.
        const { lost } = hold
        const spoiled = !lost && kept === undefined && hold === this.#preparing.refused && this.#isSpoiled(hold)
        if (spoiled) hold.closes ??= 'temp_buffers cannot be set there any more'
        this.#unprepared(hold, error, kept !== undefined)
        if (lost) forgive(request, hold)
        // A replica may not have heard yet of a role, or of the right to take it.
        const unheard = !lost && hold === this.#preparing.refused && hold.route.role === 'replica'
        if (unheard) reason ??= error
        // Nothing of the client's was on a connection that it did not have before.
        if (!(lost || unheard || spoiled) || kept !== undefined || this.#presence.gone || request.attempts >= maxAttempts) throw error
        avoid(request, hold)
      }
    }
  }

  /** Once a connection has had a temporary table, whoever's that was, temp_buffers stays what it is there: only another one will do. */
  #isSpoiled(hold: Hold): boolean {
    const name = 'temp_buffers'
    return hold.connection.transaction === 'I' && hold.settings.values.get(name) !== this.#state.session.settings.values.get(name)
  }

  #unprepared(hold: Hold, error: unknown, kept: boolean): void {
    if (hold.lost) {
      this.drop(hold, 'lost while it was prepared')
      if (kept) this.#state.endWith(error)
    } else if (hold.connection.transaction === 'I' && hold.pins.size === 0 && this.#held.get(hold.cluster) === hold) this.release(hold)
  }

  /** `reason`: why another one would not do, which is the better word where there is no further one. */
  async #acquireInstead(plan: OnePlan, request: Request, reason: unknown): Promise<Hold> {
    try {
      return await this.#acquire(plan, request)
    } catch (error) {
      throw reason ?? error
    }
  }

  #acquire(plan: OnePlan, request: Request): Promise<Hold> {
    const state = this.#state
    state.waitingSince = state.now()
    return this.#presence
      .waiting(async () => {
        if (!state.runtime.gate.open) await this.#passGate(plan)
        const grant = await this.#generations.current.executor.acquire(this.#acquireRequest(plan, request))
        if (this.#presence.gone) grant.lease.release(null)
        this.#presence.require()
        return this.#taken(grant)
      })
      .finally(() => {
        state.traffic.waitMs += state.now() - (state.waitingSince ?? state.now())
        state.waitingSince = null
      })
  }

  /** Waits while its database or cluster is paused. What was changed meanwhile, a new primary or login, holds for what waited. */
  async #passGate({ cluster }: OnePlan): Promise<void> {
    const state = this.#state
    state.paused = true
    try {
      await state.runtime.gate.pass(cluster, state.session.database, this.#presence.signal)
    } finally {
      state.paused = false
    }
    if (this.#held.size === 0) this.#generations.renew()
  }

  /** null: it takes waiting. */
  #acquireAtOnce(plan: OnePlan, request: Request): Hold | null {
    this.#presence.require()
    const { gate } = this.#state.runtime
    if (!gate.open && gate.holds(plan.cluster, this.#state.session.database)) return null
    const grant = this.#generations.current.executor.tryAcquire(this.#acquireRequest(plan, request))
    return grant === null ? null : this.#taken(grant)
  }

  #acquireRequest(plan: OnePlan, request: Request): AcquireRequest<ServerConnection> {
    return {
      plan,
      identity: this.#generations.identityOn(plan.cluster),
      floors: this.#state.floors,
      invokedAt: request.invokedAt,
      prefer: plan.readsSequences ? this.#preferOwn : this.#prefer,
      avoid: request.avoid,
      signal: this.#presence.signal,
    }
  }

  #taken(grant: Grant<ServerConnection>): Hold {
    const hold = new Hold(grant, this.#owner, this.#state.now())
    this.#held.set(hold.cluster, hold)
    if (this.#state.notifications.active) this.#owns(hold)
    if (this.#state.kept.has(hold.cluster) && hold.route.role === 'primary') this.pin(hold, sessionMode)
    this.#state.traffic.assignments += 1
    return hold
  }

  tellOwners(): void {
    for (const hold of this.#held.values()) this.#owns(hold)
  }

  #owns({ route, connection }: Hold): void {
    const { notifications, pid } = this.#state
    notifications.owners.serves(route.node, connection.backend.pid, pid)
  }

  // ---- giving back

  /** A ReadyForQuery came: the transaction is where it says, and what holds the connection no longer lets it go. */
  atReady(hold: Hold, status: TransactionStatus, failed: boolean): void {
    const { session, mode, overrides } = this.#state
    if (status === 'I') {
      const event = { kind: failed ? 'rollback' : 'commit' } as const
      if (hold.settings.undo.length > 0) hold.settings = settle(hold.settings, event)
      if (session.settings.undo.length > 0) session.settings = settle(session.settings, event)
    }
    const { cluster, node, role } = hold.route
    const before = session.transaction
    if (isJoint(before) && status !== 'T') this.#partEnded(hold, status)
    const { place } = hold
    session.transaction = afterReady(before, status, { cluster, node, role, place }, mode ?? modeOf(before), overrides)
    if (status !== 'I') return
    hold.place = null
    if (hold.asks === 'pins' || (hold.asks !== null && hold.pins.size === 0)) this.#inspect(hold)
    else if (hold.pins.size === 0) this.#done(hold)
  }

  /** One part of a transaction on several clusters is not open any more: it takes the others with it. */
  #partEnded(hold: Hold, status: 'I' | 'E'): void {
    if (status === 'E') void this.joint.failOthers(hold)
    else {
      const what = `the transaction has ended on cluster ${hold.cluster} alone, which nothing of it was to do`
      this.#state.endWith(new PointsmanError('feature_not_supported', { values: { what } }))
    }
  }

  /** A transaction on several clusters has ended here too. */
  endedOn(hold: Hold, failed: boolean): void {
    if (!this.#presence.gone) {
      this.atReady(hold, 'I', failed)
      return
    }
    hold.settings = settle(hold.settings, { kind: failed ? 'rollback' : 'commit' })
    this.release(hold, hold.taint ?? 'its client left')
  }

  /** Nothing holds it any more. */
  #done(hold: Hold): void {
    if (!hold.lingers || this.#presence.gone) this.release(hold)
    else this.#linger(hold)
  }

  /** Kept for what asks for the sequences of the last write: that comes at once, or never. */
  #linger(hold: Hold): void {
    const state = this.#state
    hold.pins.add(lingers)
    this.#showPins()
    hold.lingering = setTimeout(() => {
      hold.lingering = null
      hold.pins.delete(lingers)
      this.#showPins()
      if (hold.ended || state.request !== null || hold.pins.size > 0) return
      this.release(hold)
      this.#leaveIfFree()
    }, lingerMs)
  }

  #leaveIfFree(): void {
    const { request, session } = this.#state
    if (request === null && this.#held.size === 0 && session.transaction.kind !== 'open') this.#generations.leave()
  }

  /** It is used again. */
  unlinger(hold: Hold): void {
    if (hold.lingering === null) return
    clearTimeout(hold.lingering)
    hold.lingering = null
    hold.pins.delete(lingers)
    this.#showPins()
  }

  /** The connection is kept until it has said what stands on it. */
  #inspect(hold: Hold): void {
    const state = this.#state
    hold.asks = null
    const inspecting = this.#inspector.inspect(hold).then(() => {
      hold.inspecting = null
      if (state.inspecting === all) state.inspecting = null
      if (this.#presence.gone) this.release(hold, hold.taint ?? 'its client left')
      else if (hold.pins.size === 0) this.#done(hold)
      this.#leaveIfFree()
    })
    const all = state.inspecting === null ? inspecting : state.inspecting.then(() => inspecting)
    hold.inspecting = inspecting
    state.inspecting = all
  }

  release(hold: Hold, taint: string | null = hold.taint): void {
    if (hold.ended) return
    if (hold.lingering !== null) this.unlinger(hold)
    this.#held.delete(hold.cluster)
    hold.detach()
    const { connection, lease, closes } = hold
    // The map belongs to the connection; only its content is ours to keep true.
    if (!sameSettings(connection.settings, hold.settings.values)) {
      connection.settings.clear()
      for (const [name, value] of hold.settings.values) connection.settings.set(name, value)
    }
    if (closes !== null) lease.destroy(`not to be lent again: ${closes}`)
    else this.giveBack(hold, taint)
    if (hold.pins.size > 0) this.#showPins()
  }

  /** Ends its lease, once nothing that was done here can touch or be taken for the next client's. */
  giveBack(hold: Hold, taint: string | null): void {
    const { connection, lease } = hold
    const arriving = this.#arriving(hold, taint)
    if (!hold.canceled && arriving === null) {
      lease.release(taint)
      return
    }
    void Promise.all([hold.canceled ? connection.quiesce() : null, arriving]).then(
      () => lease.release(taint),
      () => lease.destroy('a cancel could not be awaited'),
    )
  }

  /** What may have been notified here is on its way to listeners, who are to be told by whom. null: nobody listens, or it was not. */
  #arriving({ route, cluster, connection, notifies }: Hold, taint: string | null): Promise<void> | null {
    const { notifications, pid } = this.#state
    if (!notifications.active) return null
    const forget = (): void => notifications.owners.letsGo(route.node, connection.backend.pid, pid)
    const arriving = notifies || taint !== null ? notifications.arrived(cluster) : null
    if (arriving === null) forget()
    return arriving?.then(forget) ?? null
  }

  drop(hold: Hold, reason: string): void {
    if (hold.ended) return
    if (hold.lingering !== null) this.unlinger(hold)
    this.#held.delete(hold.cluster)
    this.endWrite(hold, this.#state.now())
    hold.detach()
    hold.lease.destroy(reason)
    if (hold.pins.size > 0) this.#showPins()
  }

  /** It is not this client's any more: whoever takes it out ends its lease. */
  takeOut(hold: Hold): void {
    if (hold.lingering !== null) this.unlinger(hold)
    this.#held.delete(hold.cluster)
  }

  /** Its transaction is over, whatever became of it. */
  endWrite(hold: Hold, now: number): void {
    writeEnds(hold, this.#state.cache, this.#state.floors, now)
  }

  // ---- pins

  pin(hold: Hold, reason: string): void {
    if (hold.pins.has(reason)) return
    hold.pins.add(reason)
    hold.taint ??= reason
    if (lastingReasons.has(reason)) hold.closes = reason
    this.#showPins()
  }

  unpin(hold: Hold, reason: string): void {
    if (reason === 'all' || reason === 'DISCARD ALL') {
      hold.pins.clear()
      if (this.#state.kept.has(hold.cluster)) hold.pins.add(sessionMode)
      hold.taint = null
      hold.asks = null
    } else hold.pins.delete(reason)
    this.#showPins()
  }

  #showPins(): void {
    const pins = new Map(this.#state.kept)
    for (const hold of this.#held.values()) {
      const [reason] = hold.pins
      if (reason !== undefined) pins.set(hold.cluster, reason)
    }
    this.#state.session.pins = pins
  }
}

/** There is but one primary: a lost connection to it is simply opened again. */
export function avoid(request: Request, hold: Hold): void {
  if (hold.route.role === 'replica') request.avoid = new Set(request.avoid).add(hold.route.node)
}

function routeOf(hold: Hold, { why: reasons }: OnePlan): RouteTaken {
  return hold.route.why === reasons ? hold.route : { ...hold.route, why: reasons }
}

function sameSettings(left: Settings, right: Settings): boolean {
  if (left.size !== right.size) return false
  for (const [name, value] of left) if (right.get(name) !== value) return false
  return true
}
