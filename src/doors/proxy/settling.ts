// doors/proxy/settling.ts — one request on a server connection: what must stand before its bytes are written, what its errors
// mean, and what its end settles: floors, the catalog, the transaction, and whether it is sent again elsewhere.
import { asOverride } from '../../consistency/policy.js'
import { forgive, maxAttempts, rerunFor } from '../../execute/again.js'
import { endedByServer, lossError } from '../../execute/loss-error.js'
import { readEnd } from '../../execute/read-end.js'
import { isStaleStatement } from '../../execute/stale-statement.js'
import { writeBegins } from '../../execute/write-marks.js'
import { PointsmanError } from '../../errors/error.js'
import type { ErrorFields } from '../../protocol/error-fields.js'
import { measure } from '../../pool/shape-book.js'
import type { OnePlan } from '../../routing/plan.js'
import type { ExpectReply, Loss, TransactionStatus } from '../../server/contract.js'
import { somethingDefined } from '../../server/definitions.js'
import { ServerError } from '../../server/server-error.js'
import { startsAsynchronous } from '../../session/asynchronous-commit.js'
import { settle } from '../../session/settings.js'
import { fail, modeOf, poison } from '../../session/transaction.js'
import type { ClientState } from './client-state.js'
import type { Departure } from './departure.js'
import { errorFields } from './error-reply.js'
import type { Generations } from './generations.js'
import type { End, Hold } from './hold.js'
import { avoid, type Holds } from './holds.js'
import type { Presence } from './presence.js'
import type { Request } from './request.js'

interface SettlingParts {
  readonly state: ClientState
  readonly generations: Generations
  readonly presence: Presence
  readonly holds: Holds
  readonly departure: Departure
}

export class Settling {
  readonly #state: ClientState
  readonly #generations: Generations
  readonly #presence: Presence
  readonly #holds: Holds
  readonly #departure: Departure

  constructor({ state, generations, presence, holds, departure }: SettlingParts) {
    this.#state = state
    this.#generations = generations
    this.#presence = presence
    this.#holds = holds
    this.#departure = departure
  }

  /** Before anything of `plan` is written. */
  starting(hold: Hold, plan: OnePlan, request: Request): void {
    const state = this.#state
    const { transaction } = state.session
    if (hold.connection.evidence.asynchronous === true) {
      this.#generations.current.asynchronousCommit(hold.cluster, startsAsynchronous)
    }
    request.rerun = null
    request.hold = hold
    if (plan.lane && state.lanes !== null) {
      request.sentAt = state.now()
      hold.bytesGiven = 0
    }
    if (transaction.kind !== 'open') hold.begunAt = request.startedAt
    const alone = transaction.kind === 'idle' && hold.pins.size === 0
    request.repeatable = !plan.writes && alone && plan.pins === null && request.attempts < maxAttempts
    if (plan.taints !== null) hold.taint ??= plan.taints
    if (plan.place !== null) hold.place ??= plan.place
    if (plan.listens) state.listens()
    if (plan.notifies) hold.notifies = true
    if (plan.pins !== null) this.#holds.pin(hold, plan.pins)
    if (plan.asks !== null && hold.asks !== 'pins') hold.asks = plan.asks
    if (plan.writes && hold.route.role === 'primary') state.sequences.wrote(hold)
    if (transaction.kind !== 'open') hold.lingers = false
    this.#holds.unlinger(hold)
    if ((plan.writes || plan.readsSequences) && state.sequences.keeps) hold.lingers = true
    if (plan.writes) writeBegins(hold, plan, state.cache, state.floors)
    this.#record(hold, plan, request)
    state.mode = modeOf(transaction)
    state.overrides = asOverride(plan.policy)
  }

  /**
   * After the end of what was sent for `plan`. True: nothing has reached the client and it is to be sent again, elsewhere
   * or prepared anew; the connection has been given back where it must not be used for that.
   */
  settle(hold: Hold, plan: OnePlan, request: Request, end: End): boolean {
    if (request.recording !== null) this.#recorded(hold, request, end)
    if (this.#presence.gone) {
      this.#departure.orphanEnded(hold, end)
      return false
    }
    if (end.kind === 'lost') return this.#settleLost(hold, request, end.loss)
    if (hold.writing && end.status === 'I' && end.error === null) {
      this.#generations.current.writeAcknowledged(hold.cluster, this.#state.now())
    }
    this.#settleFloors(hold, plan, request, end.status)
    const again = request.rerun !== null && end.withheld
    if (plan.lane && end.error === null) this.#learn(hold, plan, request)
    if (end.error !== null && !again) request.outcome = end.error.code === '57014' ? 'canceled' : 'error'
    if (plan.unpins !== null && end.error === null) this.#holds.unpin(hold, plan.unpins)
    if (plan.changesCatalog) {
      // Also where it failed: what was prepared behind it in its pipeline has types that are taken back.
      somethingDefined()
      if (end.error === null) hold.definedSomething = true
    }
    if (hold.definedSomething && end.status === 'I') {
      hold.definedSomething = false
      this.#state.proved.changed(hold.cluster)
      this.#generations.current.catalogChanged(hold.cluster)
    }
    this.#holds.atReady(hold, end.status, end.error !== null)
    if (end.status !== 'I' && this.#state.session.pooling === 'statement') this.#refuseTransaction(hold)
    if (again && request.rerun !== 'prepare') avoid(request, hold)
    if (!again) this.#state.bus?.settled(end.status === 'I', end.error !== null, request.readyHeld)
    return again
  }

  /** A connection of several that a read was on is lost. */
  partLost(hold: Hold, loss: Loss): void {
    const { size } = hold.pins
    if (this.#presence.gone || hold.ended) return
    this.#holds.drop(hold, loss.reason)
    // Session state died with it.
    if (size > 0) this.#state.endWith(lostError(hold, loss))
  }

  unused(hold: Hold): void {
    if (hold.ended) return
    if (hold.lost || hold.owed) this.#holds.drop(hold, 'given up')
    else this.#holds.atReady(hold, hold.connection.transaction, false)
  }

  /** How long it took, and how much it answered: what lanes may take is learned on connections of its own. */
  #learn({ bytesGiven }: Hold, { cluster }: OnePlan, { shape, sentAt }: Request): void {
    const { lanes, now } = this.#state
    if (lanes === null || shape === null) return
    measure(lanes.book.of(cluster, shape), now() - sentAt, bytesGiven)
  }

  /** A transaction that its text did not tell. It ends with its client, as it does with PgBouncer. */
  #refuseTransaction(hold: Hold): void {
    this.#state.endWith(
      new PointsmanError('feature_not_supported', { values: { what: 'transaction blocks not allowed in statement pooling mode' } }),
    )
    this.#holds.drop(hold, 'a transaction in statement pooling mode')
  }

  #settleFloors(hold: Hold, plan: OnePlan, request: Request, status: TransactionStatus): void {
    const endedAt = this.#state.now()
    if (status === 'I') this.#holds.endWrite(hold, endedAt)
    if (plan.readsData) this.#state.floors.readEnded(hold.cluster, readEnd(hold, request.startedAt, endedAt))
  }

  #settleLost(hold: Hold, request: Request, loss: Loss): boolean {
    const state = this.#state
    const { session } = state
    const wrote = hold.writing && loss.written
    const { kind } = session.transaction
    const pinned = hold.pins.size > 0
    this.#holds.drop(hold, loss.reason)
    const unknown = wrote && (kind === 'idle' || request.commits)
    forgive(request, hold)
    const ends = kind === 'open' || pinned || loss.forwarded || (kind === 'deferred' && wrote)
    const moves = !ends && !wrote && request.attempts < maxAttempts
    if (!moves) request.outcome = 'lost'
    if (ends) {
      // Its session state, or a result half told, died with the connection: as a server's own end would close it.
      if (loss.torn) state.output.silence()
      state.endWith(lostError(hold, loss, unknown))
      return false
    }
    if (moves) {
      avoid(request, hold)
      if (request.before !== null) session.settings = request.before
      return true
    }
    if (kind === 'idle') session.settings = settle(session.settings, { kind: 'rollback' })
    else session.transaction = fail(session.transaction)
    state.tell(errorFields(lostError(hold, loss, unknown)))
    return false
  }

  /** The connection was lost while nothing was owed. True: this client ends with it. */
  lostIdle(hold: Hold, loss: Loss): boolean {
    const { request } = this.#state
    // A connection that is only kept is missed when it is used next.
    if (request !== null && request.hold !== hold) return false
    this.#holds.unlinger(hold)
    const needed = hold.pins.size > 0 || this.#holds.home === hold || request !== null || this.#isPart(hold)
    this.#holds.drop(hold, loss.reason)
    if (needed) this.#state.endWith(lostError(hold, loss))
    return true
  }

  #isPart({ cluster }: Hold): boolean {
    const { transaction } = this.#state.session
    return transaction.kind === 'open' && transaction.joined.includes(cluster)
  }

  // ---- errors of the server

  failed(hold: Hold, fields: ErrorFields, expect: ExpectReply, frame: Uint8Array): 'forward' | 'withhold' | Uint8Array {
    // The connection is about to close; what the client is told is decided then.
    if (fields.severity === 'FATAL' || fields.severity === 'PANIC') return 'withhold'
    const { request } = this.#state
    if (expect.label === poison) return request?.onPoisoned?.() ?? 'withhold'
    if (request === null) return 'forward'
    if (request.complete && !hold.forwarded && this.#sendAgain(hold, fields, expect, request)) return 'withhold'
    request.onFailed?.(expect.label)
    return request.renamed?.(frame, expect.label, hold) ?? 'forward'
  }

  #sendAgain(hold: Hold, fields: ErrorFields, expect: ExpectReply, request: Request): boolean {
    const { session, observer } = this.#state
    const rerun = rerunFor(fields.code, hold.route.role) ?? prepareAgain(fields, expect, request)
    if (rerun === 'prepare' && fields.code !== '26000' && request.onStalePlan?.() === false) return false
    const allowed = rerun === 'prepare' ? session.transaction.kind === 'idle' && request.attempts < maxAttempts : request.repeatable
    if (rerun === null || !allowed) return false
    request.rerun = rerun
    if (rerun === 'primary') observer.emit('read.misrouted', { cluster: hold.cluster, node: hold.route.node, shape: request.shape })
    return true
  }

  // ---- replies that are kept

  /** The reply to what is about to be sent is held, where it may be kept. */
  #record(hold: Hold, { keptOn }: OnePlan, request: Request): void {
    const { recording } = request
    hold.recording = recording
    if (recording === null) return
    const { cluster, node, role, position } = hold.route
    const system = this.#generations.clusterNow(cluster)?.system ?? null
    if (keptOn === null) recording.close()
    else recording.sent({ cluster, node, role, system, position, sentAt: this.#state.now() })
  }

  #recorded(hold: Hold, request: Request, end: End): void {
    const cluster = this.#generations.clusterNow(hold.cluster)
    hold.recording = null
    if (cluster === undefined || end.kind === 'lost' || end.error !== null || end.withheld || end.status !== 'I') return
    request.recording?.complete(readEnd(hold, request.startedAt, this.#state.now()), cluster)
  }
}

/** `unknown`: a write may have run. */
function lostError(hold: Hold, { error }: Loss, unknown = false): PointsmanError | ServerError {
  if (error !== null && !unknown && hold.route.role === 'primary' && endedByServer(error.code)) return new ServerError(error)
  return lossError(hold.route, unknown, error === null || unknown ? {} : { detail: `The server said: ${error.message} (${error.code})` })
}

/** The plan of a statement that we prepared for somebody, somewhere, earlier: the client never saw that. */
function prepareAgain(fields: ErrorFields, expect: ExpectReply, request: Request): 'prepare' | null {
  const { reply } = expect
  const prepared = reply === 'bind' || reply === 'execute' || reply === 'describe-statement' || (reply === 'query' && request.executes)
  return prepared && isStaleStatement(fields.code, fields.routine) ? 'prepare' : null
}
