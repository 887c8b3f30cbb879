// doors/proxy/conversation.ts — what simple queries and batches share: the session, the server connections it has at the
// moment, and how a statement is sent, settled, sent again or given up.
//
//   plan ─▶ hold ─▶ prepare (settings, deferred BEGIN) ─▶ send ─▶ end ─▶ settle ─▶ kept (transaction, pin) or released
//             ▲                                            │
//             └──────────── once more elsewhere ◀──────────┘  only while nothing was forwarded and nothing written
import type { ResultCache } from '../../cache/result-cache.js'
import { createFloors, type SessionFloors } from '../../consistency/floors.js'
import { asOverride, type PolicyOverride } from '../../consistency/policy.js'
import { PointsmanError } from '../../errors/error.js'
import type { Observer } from '../../observe/events.js'
import { encodeParameterStatus, encodeReadyForQuery } from '../../protocol/backend-messages.js'
import { encodeErrorResponse, type ErrorFields } from '../../protocol/error-fields.js'
import type { PlanInput } from '../../routing/input.js'
import { one } from '../../routing/make.js'
import type { OnePlan, Plan } from '../../routing/plan.js'
import { why } from '../../routing/rules.js'
import { boundSeconds, policyName } from '../../execute/measured.js'
import type { AcquireRequest, Grant, RouteTaken } from '../../execute/contract.js'
import { forgive, maxAttempts, rerunFor } from '../../execute/again.js'
import { lossError } from '../../execute/loss-error.js'
import { objection } from '../../execute/objection.js'
import { readEnd } from '../../execute/read-end.js'
import { writeBegins, writeEnds } from '../../execute/write-marks.js'
import type { Identity } from '../../pool/contract.js'
import type { ClientLogin, Generation, Runtime } from '../../runtime/contract.js'
import type { ExpectReply, Loss, ServerConnection, TransactionStatus } from '../../server/contract.js'
import { settleStatement, Session, type ClientStatement, type Greeting } from '../../session/session.js'
import { asynchronousCommit, startsAsynchronous } from '../../session/asynchronous-commit.js'
import { fit, isOwn, replayChanges, replaySql } from '../../session/replay.js'
import { settle, type Settings, type SettingsState } from '../../session/settings.js'
import { afterReady, fail, modeOf, poison, readyByte, withMode, type TransactionMode } from '../../session/transaction.js'
import type { Statement, Understood } from '../../sql/statement.js'
import type { UnderstandingStats } from '../../sql/understand.js'
import type { ClusterSnapshot } from '../../topology/topology.js'
import type { ClientInput } from './client-input.js'
import type { ClientOutput } from './client-output.js'
import { errorFields, unforeseen } from './error-reply.js'
import { Hold, type End, type HoldOwner } from './hold.js'
import { databaseOf, type Login } from './login.js'
import type { Proof, ProvedStatements } from './proved-statements.js'
import type { Reply } from './recording.js'
import { Request } from './request.js'

/** How statements are read and routed; the proxy is given these so that tests and doors share one core. */
export interface Core {
  understand(text: string): Understood
  plan(input: PlanInput): Plan
  /** Several that must go together. */
  planBatch(inputs: readonly PlanInput[]): Plan
  printRoute(plan: Plan, route: RouteTaken | null): string
  /** The same of a statement that is over. */
  printTaken(plan: Plan, route: RouteTaken | null): string
  stats(): UnderstandingStats
}

/** A statement and its parameters. */
export type Planned = Pick<PlanInput, 'understood' | 'parameters'>

export interface ConversationParts {
  readonly login: Login
  readonly password: string | null
  readonly greeting: Greeting
  readonly runtime: Runtime<ServerConnection>
  readonly observer: Observer
  readonly core: Core
  /** Of all clients. */
  readonly proved: ProvedStatements
  /** Of all clients. */
  readonly cache: ResultCache<Reply>
  readonly now: () => number
}

/** A write whose client has left is given this long to end. */
const orphanMs = 60_000

const readyFrames: Readonly<Record<TransactionStatus, Uint8Array>> = {
  I: encodeReadyForQuery('I'),
  T: encodeReadyForQuery('T'),
  E: encodeReadyForQuery('E'),
}

/** Fixed for a server's life or told as the primary's: never passed on from whichever server answers. */
const fixedParameters: ReadonlySet<string> = new Set(['server_version', 'server_encoding', 'integer_datetimes', 'in_hot_standby'])
const roleParameters: ReadonlySet<string> = new Set(['is_superuser', 'session_authorization'])

export class Conversation implements HoldOwner {
  readonly session: Session
  readonly input: ClientInput
  readonly output: ClientOutput
  readonly core: Core
  readonly proved: ProvedStatements
  readonly cache: ResultCache<Reply>
  readonly observer: Observer
  readonly now: () => number
  readonly floors: SessionFloors = createFloors()
  /** Set once: the client is told and closed when the request at hand returns. */
  ending: ErrorFields | null = null
  /** The last statement that had a route, for SHOW pointsman.last_route. */
  lastRoute: { readonly plan: Plan; readonly route: RouteTaken | null } | null = null
  /** Pumps CopyData to the server; set by the client's loop. */
  onCopyIn: ((hold: Hold) => void) | null = null
  readonly #parts: ConversationParts
  readonly #login: ClientLogin
  /** Parameters as the client was last told. */
  readonly told: Map<string, string>
  readonly #holds = new Map<string, Hold>()
  #generation: Generation<ServerConnection> | null = null
  #request: Request | null = null
  /** One for all requests until a cancel uses it up: making one costs more than a lease does. */
  #abort = new AbortController()
  #waiting = false
  #gone = false
  /** The server connection on which the last write of a client that has left is being ended. */
  #finishing: { readonly hold: Hold; readonly timer: NodeJS.Timeout } | null = null
  #mode: TransactionMode | null = null
  /** Number of the generation that this client had last. */
  #adopted = 0
  #overrides: PolicyOverride = {}
  /** Logins of this client, by cluster, as the generation at hand has them. */
  readonly #identities = new Map<string, Identity>()
  /** What the client was last told parameters from; telling them again would tell nothing. */
  #toldFrom: Told | null = null
  readonly #prefer = (connection: ServerConnection): number => fit(this.session.settings.values, connection.settings)

  constructor(parts: ConversationParts) {
    const { login, greeting } = parts
    this.#parts = parts
    this.#login = { database: login.database, user: login.user, password: parts.password }
    this.input = login.input
    this.output = login.output
    this.core = parts.core
    this.proved = parts.proved
    this.cache = parts.cache
    this.observer = parts.observer
    this.now = parts.now
    this.told = new Map(greeting.parameters)
    this.session = new Session({ database: login.database, user: login.user, settings: login.settings, greeting })
  }

  // ---- one request

  begin(): Request {
    this.#adopt()
    this.#request = new Request(this.now())
    return this.#request
  }

  finish(request: Request): void {
    this.#request = null
    request.recording?.close()
    const { plan, route } = request
    if (plan !== null && plan.kind !== 'answer') this.lastRoute = { plan, route }
    this.#report(request)
    if (this.#holds.size === 0 && this.session.transaction.kind !== 'open') this.#leave()
  }

  /** The plan of statements that go together. `view`: the session as they will find it, where that is not as it is now. */
  plan(statements: readonly [Planned, ...Planned[]], view: Session['view'] = this.session.view): Plan {
    const plan =
      statements.length === 1
        ? this.core.plan(this.#planInput(statements[0], view))
        : this.core.planBatch(statements.map((each) => this.#planInput(each, view)))
    if (plan.kind === 'one' && this.generation.commitsWatched(plan.cluster)) this.#watchCommit(plan.cluster, statements)
    return plan
  }

  #watchCommit(cluster: string, statements: readonly Planned[]): void {
    for (const { understood } of statements) {
      const reason = asynchronousCommit(understood, this.session.settings)
      if (reason !== null) this.generation.asynchronousCommit(cluster, reason)
    }
  }

  #planInput({ understood, parameters }: Planned, session: Session['view']): PlanInput {
    const { config } = this.generation
    const database = databaseOf(config, this.session.database)
    if (database === undefined) throw new PointsmanError('unknown_database', { values: { database: this.session.database } })
    return { understood, parameters, session, config, database, catalogs: this.generation.catalogs() }
  }

  get generation(): Generation<ServerConnection> {
    if (this.#generation === null) throw new Error('no generation entered')
    return this.#generation
  }

  /** The plan of everything sent while a server's transaction is failed: PostgreSQL itself says what may still run. */
  failedPlan(): OnePlan | null {
    const { transaction } = this.session
    if (transaction.kind !== 'open' || transaction.status !== 'E') return null
    const { cluster, role } = transaction.home
    return one({ cluster, role, why: [why('transaction', 'the failed transaction stays on its server')] })
  }

  /** The plan of what can only mean the open transaction; null when none is open on a server. `runs`: it may change data. */
  homePlan(runs: boolean): OnePlan | null {
    const { transaction } = this.session
    if (transaction.kind !== 'open') return null
    const { cluster, role } = transaction.home
    const writes = runs && role === 'primary'
    return one({ cluster, role, writes, readsData: runs, why: [why('transaction', 'a portal of the open transaction')] })
  }

  /** The server connection that this client already has on a cluster. */
  held(cluster: string): Hold | undefined {
    return this.#holds.get(cluster)
  }

  /** The server connection of the open transaction, if one is open on a server. */
  get home(): Hold | null {
    const { transaction } = this.session
    return transaction.kind === 'open' ? (this.#holds.get(transaction.home.cluster) ?? null) : null
  }

  /** What a Parse of this statement would prove now; null where it would prove nothing: once a transaction has begun, and beside temporary tables. */
  proofOf(cluster: string, statement: ClientStatement): Proof | null {
    const { transaction, settings } = this.session
    if (transaction.kind === 'open' || settings.locals.size > 0 || this.#holds.size > 0) return null
    const { number: generation } = this.generation
    const catalog = this.generation.catalogs().get(cluster)
    const { database, user } = this.session
    return this.proved.proof({ generation, cluster, catalog, database, user, settings: settings.values }, statement.key)
  }

  get busy(): boolean {
    return this.#request !== null
  }

  /** Nothing of this client's is open anywhere: it may be closed without loss. */
  get settled(): boolean {
    return this.#request === null && this.session.transaction.kind === 'idle'
  }

  // ---- telling the client

  tell(fields: ErrorFields): void {
    this.output.write(encodeErrorResponse(fields))
  }

  ready(): void {
    if (this.ending === null) this.output.write(readyFrames[readyByte(this.session.transaction)])
  }

  /** The client is told `error` and closed when the present request returns. */
  endWith(error: unknown): void {
    this.ending ??= errorFields(error, 'FATAL')
  }

  // ---- failing

  /** An error of ours: told, and the transaction fails as it would have on a server. The caller tells ReadyForQuery. */
  async refuse(request: Request, error: unknown): Promise<void> {
    request.outcome = outcomeOf(error)
    if (unforeseen(error)) this.#log(error)
    await this.failTransaction()
    if (this.ending === null) this.tell(errorFields(error))
  }

  /** Makes the open transaction a failed one, on the server too. */
  async failTransaction(): Promise<void> {
    const { transaction } = this.session
    this.session.transaction = fail(transaction)
    if (transaction.kind !== 'open' || transaction.status !== 'T') return
    const hold = this.home
    if (hold === null) return
    await hold.connection.query(poison).catch(() => undefined)
    hold.unnamed = null
    if (hold.lost) return
    this.session.transaction = { ...transaction, status: 'E' }
  }

  /** A batch that only we answered has ended: outside a transaction its settings stand now, or never did. */
  endLocal(failed: boolean): void {
    if (this.session.transaction.kind !== 'idle' || this.session.settings.undo.length === 0) return
    this.session.settings = settle(this.session.settings, { kind: failed ? 'rollback' : 'commit' })
  }

  // ---- server connections

  /**
   * A connection for `plan`, ready for the client's own frames: settings replayed, BEGIN sent. Within the call where
   * nothing has to be waited for. Throws or rejects with what the client is to be told.
   */
  holdFor(plan: OnePlan, request: Request): Hold | Promise<Hold> {
    const kept = this.#holds.get(plan.cluster)
    this.requireAllowed(plan, kept ?? null)
    const hold = kept ?? this.#acquireAtOnce(plan, request)
    if (hold === null || !this.#isPrepared(hold)) return this.#holdLater(plan, request, kept === undefined ? hold : null)
    request.attempts += 1
    request.before ??= this.session.settings
    request.route = routeOf(hold, plan)
    this.#tellParameters(hold)
    return hold
  }

  /** Throws what speaks against sending `plan` now: a cluster that takes no writes, a transaction that is too old. */
  requireAllowed(plan: OnePlan, held: Hold | null): void {
    const found = objection(this.generation.executor, plan, held, this.session.transaction, this.now)
    if (found !== null) throw found
  }

  /** `fresh`: acquired just now, for the first attempt. */
  async #holdLater(plan: OnePlan, request: Request, fresh: Hold | null): Promise<Hold> {
    let acquired = fresh
    for (;;) {
      request.attempts += 1
      request.before ??= this.session.settings
      const kept = acquired === null ? this.#holds.get(plan.cluster) : undefined
      const hold = kept ?? acquired ?? (await this.#acquire(plan, request))
      acquired = null
      request.route = routeOf(hold, plan)
      try {
        await this.#prepare(hold)
        return hold
      } catch (error) {
        this.#unprepared(hold, error, kept !== undefined)
        if (hold.lost) forgive(request, hold)
        // Nothing of the client's was on a connection that it did not have before.
        if (!hold.lost || kept !== undefined || this.#gone || request.attempts >= maxAttempts) throw error
        avoid(request, hold)
      }
    }
  }

  #unprepared(hold: Hold, error: unknown, kept: boolean): void {
    if (hold.lost) {
      this.#drop(hold, 'lost while it was prepared')
      if (kept) this.endWith(error)
    } else if (hold.connection.transaction === 'I' && hold.pins.size === 0 && this.#holds.get(hold.cluster) === hold) this.#release(hold)
  }

  async #acquire(plan: OnePlan, request: Request): Promise<Hold> {
    this.requirePresent()
    this.#waiting = true
    try {
      const grant = await this.generation.executor.acquire(this.#acquireRequest(plan, request))
      if (this.#gone) {
        grant.lease.release(null)
        throw new PointsmanError('canceled')
      }
      return this.#taken(grant)
    } finally {
      this.#waiting = false
    }
  }

  /** null: it takes waiting. */
  #acquireAtOnce(plan: OnePlan, request: Request): Hold | null {
    this.requirePresent()
    const grant = this.generation.executor.tryAcquire(this.#acquireRequest(plan, request))
    return grant === null ? null : this.#taken(grant)
  }

  #acquireRequest(plan: OnePlan, request: Request): AcquireRequest<ServerConnection> {
    return {
      plan,
      identity: this.#identityOn(plan.cluster),
      floors: this.floors,
      invokedAt: request.invokedAt,
      prefer: this.#prefer,
      avoid: request.avoid,
      signal: this.#abort.signal,
    }
  }

  /** Whether the replica that a batch has run on is proved to be good for `plan` as well, which came later. */
  meets(hold: Hold, plan: OnePlan, request: Request): boolean {
    return this.generation.executor.meets(this.#acquireRequest(plan, request), hold.lease)
  }

  #identityOn(cluster: string): Identity {
    const known = this.#identities.get(cluster)
    if (known !== undefined) return known
    const identity = this.generation.identityFor(cluster, this.#login)
    this.#identities.set(cluster, identity)
    return identity
  }

  #taken(grant: Grant<ServerConnection>): Hold {
    const hold = new Hold(grant, this, this.now())
    this.#holds.set(hold.cluster, hold)
    return hold
  }

  /** Throws where the client has left: nothing may be begun for it any more. */
  requirePresent(): void {
    if (this.#gone) throw new PointsmanError('canceled')
  }

  /** True: #prepare would send nothing. */
  #isPrepared(hold: Hold): boolean {
    const { transaction, settings } = this.session
    return transaction.kind !== 'deferred' && replayChanges(settings.values, hold.settings.values).length === 0
  }

  /** Brings the connection to where the client believes to be. */
  async #prepare(hold: Hold): Promise<void> {
    const { transaction, settings } = this.session
    const deferred = transaction.kind === 'deferred' && hold.settings.undo.length === 0 ? transaction : null
    // What was set since a BEGIN that is still deferred comes with its texts.
    const wanted = deferred === null ? settings.values : (settings.undo[0]?.values ?? settings.values)
    const changes = replayChanges(wanted, hold.settings.values)
    if (changes.length > 0) {
      await this.#own(hold, replaySql(changes))
      for (const { name, value } of changes)
        hold.settings = settle(hold.settings, { kind: 'change', change: { name, local: false, value } })
    }
    if (deferred !== null) {
      const begun = this.#own(hold, deferred.waiting.map(({ text }) => text).join(';\n'))
      hold.settings = mirrored(settings)
      // A plain BEGIN cannot fail but with its connection, and then what follows it fails too: no need to wait.
      if (deferred.waiting.every(({ plain }) => plain)) begun.catch(() => undefined)
      else await this.#begun(hold, begun)
    }
    this.#tellParameters(hold)
  }

  /** The deferred statements had their turn; if one failed, the client hears it as the error of the statement at hand. */
  async #begun(hold: Hold, begun: Promise<unknown>): Promise<void> {
    try {
      await begun
    } catch (error) {
      if (!hold.lost) this.#atReady(hold, hold.connection.transaction, true)
      throw error
    }
  }

  async #own(hold: Hold, sql: string): Promise<void> {
    hold.unnamed = null
    await hold.connection.query(sql)
  }

  /** Before anything of `plan` is written. */
  starting(hold: Hold, plan: OnePlan, request: Request): void {
    if (hold.connection.evidence.asynchronous === true) this.generation.asynchronousCommit(hold.cluster, startsAsynchronous)
    request.rerun = null
    request.hold = hold
    if (this.session.transaction.kind !== 'open') hold.begunAt = request.startedAt
    const alone = this.session.transaction.kind === 'idle' && hold.pins.size === 0
    request.repeatable = !plan.writes && alone && plan.pins === null && request.attempts < maxAttempts
    if (plan.taints !== null) hold.taint ??= plan.taints
    if (plan.pins !== null) this.#pin(hold, plan.pins)
    if (plan.writes) writeBegins(hold, plan, this.cache, this.floors)
    this.#record(hold, plan, request)
    this.#mode = modeOf(this.session.transaction)
    this.#overrides = asOverride(plan.policy)
  }

  /** Its transaction is over, whatever became of it. */
  #endWrite(hold: Hold, now: number): void {
    writeEnds(hold, this.cache, this.floors, now)
  }

  /**
   * After the end of what was sent for `plan`. True: nothing has reached the client and it is to be sent again, elsewhere
   * or prepared anew; the connection has been given back where it must not be used for that.
   */
  settle(hold: Hold, plan: OnePlan, request: Request, end: End): boolean {
    if (request.recording !== null) this.#recorded(hold, request, end)
    if (this.#gone) {
      this.#orphanEnded(hold, end)
      return false
    }
    if (end.kind === 'lost') return this.#settleLost(hold, request, end.loss)
    if (hold.writing && end.status === 'I' && end.error === null) this.generation.writeAcknowledged(hold.cluster, this.now())
    this.#settleFloors(hold, plan, request, end.status)
    const again = request.rerun !== null && end.withheld
    if (end.error !== null && !again) request.outcome = end.error.code === '57014' ? 'canceled' : 'error'
    if (plan.unpins !== null && end.error === null) this.#unpin(hold, plan.unpins)
    if (plan.changesCatalog && end.error === null) hold.definedSomething = true
    if (hold.definedSomething && end.status === 'I') {
      hold.definedSomething = false
      this.proved.changed(hold.cluster)
      this.generation.catalogChanged(hold.cluster)
    }
    this.#atReady(hold, end.status, end.error !== null)
    if (again && request.rerun !== 'prepare') avoid(request, hold)
    return again
  }

  #settleFloors(hold: Hold, plan: OnePlan, request: Request, status: TransactionStatus): void {
    const endedAt = this.now()
    if (status === 'I') this.#endWrite(hold, endedAt)
    if (plan.readsData) this.floors.readEnded(hold.cluster, readEnd(hold, request.startedAt, endedAt))
  }

  /** The reply to what is about to be sent is held, where it may be kept. */
  #record(hold: Hold, { keptOn }: OnePlan, request: Request): void {
    const { recording } = request
    hold.recording = recording
    if (recording === null) return
    const { cluster, node, role, position } = hold.route
    const system = this.#clusterNow(cluster)?.system ?? null
    if (keptOn === null) recording.close()
    else recording.sent({ cluster, node, role, system, position, sentAt: this.now() })
  }

  #recorded(hold: Hold, request: Request, end: End): void {
    const cluster = this.#clusterNow(hold.cluster)
    hold.recording = null
    if (cluster === undefined || end.kind === 'lost' || end.error !== null || end.withheld || end.status !== 'I') return
    request.recording?.complete(readEnd(hold, request.startedAt, this.now()), cluster)
  }

  /** Also when this client holds no generation any more. */
  #clusterNow(id: string): ClusterSnapshot | undefined {
    return this.#parts.runtime.current().topology().clusters.get(id)
  }

  #atReady(hold: Hold, status: TransactionStatus, failed: boolean): void {
    if (status === 'I') {
      const event = { kind: failed ? 'rollback' : 'commit' } as const
      if (hold.settings.undo.length > 0) hold.settings = settle(hold.settings, event)
      if (this.session.settings.undo.length > 0) this.session.settings = settle(this.session.settings, event)
    }
    const { cluster, node, role } = hold.route
    this.session.transaction = afterReady(
      this.session.transaction,
      status,
      { cluster, node, role },
      this.#mode ?? modeOf(this.session.transaction),
      this.#overrides,
    )
    if (status === 'I' && hold.pins.size === 0) this.#release(hold)
  }

  #release(hold: Hold, taint: string | null = hold.taint): void {
    if (hold.ended) return
    this.#holds.delete(hold.cluster)
    hold.detach()
    const { connection, lease } = hold
    // The map belongs to the connection; only its content is ours to keep true.
    if (!sameSettings(connection.settings, hold.settings.values)) {
      connection.settings.clear()
      for (const [name, value] of hold.settings.values) connection.settings.set(name, value)
    }
    if (!hold.canceled) lease.release(taint)
    else {
      void connection.quiesce().then(
        () => lease.release(taint),
        () => lease.destroy('a cancel could not be awaited'),
      )
    }
    if (hold.pins.size > 0) this.#showPins()
  }

  #drop(hold: Hold, reason: string): void {
    if (hold.ended) return
    this.#holds.delete(hold.cluster)
    this.#endWrite(hold, this.now())
    hold.detach()
    hold.lease.destroy(reason)
    if (hold.pins.size > 0) this.#showPins()
  }

  #settleLost(hold: Hold, request: Request, loss: Loss): boolean {
    const wrote = hold.writing && loss.written
    const { kind } = this.session.transaction
    const pinned = hold.pins.size > 0
    this.#drop(hold, loss.reason)
    const unknown = wrote && (kind === 'idle' || request.commits)
    forgive(request, hold)
    const ends = kind === 'open' || pinned || loss.forwarded || (kind === 'deferred' && wrote)
    const moves = !ends && !wrote && request.attempts < maxAttempts
    if (!moves) request.outcome = 'lost'
    if (ends) {
      // Its session state, or a result half told, died with the connection: as a server's own end would close it.
      if (loss.torn) this.output.silence()
      this.endWith(lostError(hold, loss, unknown))
      return false
    }
    if (moves) {
      avoid(request, hold)
      if (request.before !== null) this.session.settings = request.before
      return true
    }
    if (kind === 'idle') this.session.settings = settle(this.session.settings, { kind: 'rollback' })
    else this.session.transaction = fail(this.session.transaction)
    this.tell(errorFields(lostError(hold, loss, unknown)))
    return false
  }

  // ---- pins

  #pin(hold: Hold, reason: string): void {
    if (hold.pins.has(reason)) return
    hold.pins.add(reason)
    hold.taint ??= reason
    this.#showPins()
  }

  #unpin(hold: Hold, reason: string): void {
    if (reason === 'all' || reason === 'DISCARD ALL') hold.pins.clear()
    else hold.pins.delete(reason)
    this.#showPins()
  }

  #showPins(): void {
    const pins = new Map<string, string>()
    for (const hold of this.#holds.values()) {
      const [reason] = hold.pins
      if (reason !== undefined) pins.set(hold.cluster, reason)
    }
    this.session.pins = pins
  }

  // ---- what a Hold asks of its owner

  failed(hold: Hold, fields: ErrorFields, expect: ExpectReply): 'forward' | 'withhold' {
    // The connection is about to close; what the client is told is decided then.
    if (fields.severity === 'FATAL' || fields.severity === 'PANIC') return 'withhold'
    const request = this.#request
    if (expect.label === poison) {
      request?.onPoisoned?.()
      return 'withhold'
    }
    if (request === null) return 'forward'
    if (request.complete && !hold.forwarded && this.#sendAgain(hold, fields, expect, request)) return 'withhold'
    request.onFailed?.(expect.label)
    return 'forward'
  }

  #sendAgain(hold: Hold, fields: ErrorFields, expect: ExpectReply, request: Request): boolean {
    const rerun = rerunFor(fields.code, hold.route.role) ?? prepareAgain(fields, expect)
    if (rerun === 'prepare' && fields.code !== '26000' && request.onStalePlan?.() === false) return false
    const allowed = rerun === 'prepare' ? this.session.transaction.kind === 'idle' && request.attempts < maxAttempts : request.repeatable
    if (rerun === null || !allowed) return false
    request.rerun = rerun
    if (rerun === 'primary')
      this.#parts.observer.emit('read.misrouted', { cluster: hold.cluster, node: hold.route.node, shape: request.shape })
    return true
  }

  completed(hold: Hold, tag: string, expect: ExpectReply): void {
    const running = this.#request?.running?.(expect.label) ?? null
    if (running === null) return
    const { statement, parameter } = running
    if (!touchesSession(statement)) return
    hold.settings = effectOf(hold.settings, statement, tag, parameter)
    this.session.settings = effectOf(this.session.settings, statement, tag, parameter)
    const { detail } = statement
    if (detail.kind === 'transaction' && this.#mode !== null) {
      const { op } = detail.transaction
      if (op === 'begin' || op === 'set-transaction') this.#mode = withMode(this.#mode, detail.transaction)
    }
    if (detail.kind === 'ddl' && detail.temporary) {
      this.session.addTemporary(statement.relations.filter(({ access }) => access === 'define').map(({ name }) => name.name))
    }
    if (detail.kind === 'select' && detail.into?.temporary === true) this.session.addTemporary([detail.into.name.name])
    if (detail.kind === 'discard' && detail.what === 'all') this.session.prepared.clear()
    if (detail.kind === 'deallocate' && detail.name === null) this.session.prepared.clear()
  }

  parametersDescribed(oids: readonly number[], expect: ExpectReply): void {
    this.#request?.onDescribed?.(oids, expect.label)
  }

  parameterChanged(hold: Hold, name: string, value: string): void {
    if (this.told.get(name) === value || !this.#tellable(hold, name)) return
    this.told.set(name, value)
    this.#toldFrom = null
    this.output.write(encodeParameterStatus(name, value))
  }

  copyIn(hold: Hold): void {
    this.onCopyIn?.(hold)
  }

  lostIdle(hold: Hold, loss: Loss): void {
    // A connection that is only kept is missed when it is used next.
    if (this.#request !== null && this.#request.hold !== hold) return
    const needed = hold.pins.size > 0 || this.home === hold || this.#request !== null
    this.#drop(hold, loss.reason)
    if (needed) this.endWith(lostError(hold, loss))
    this.onEnding?.()
  }

  /** Called when `ending` was set while no request runs. */
  onEnding: (() => void) | null = null

  // ---- cancel and leave

  /** Waits for what others do, until this client cancels or leaves. */
  async unlessCanceled<T>(work: Promise<T>): Promise<T> {
    this.requirePresent()
    this.#waiting = true
    const { signal } = this.#abort
    let stop = (): void => undefined
    const canceled = new Promise<never>((_resolve, reject) => {
      stop = (): void => reject(signal.reason as Error)
    })
    signal.addEventListener('abort', stop, { once: true })
    try {
      return await Promise.race([work, canceled])
    } finally {
      this.#waiting = false
      signal.removeEventListener('abort', stop)
    }
  }

  /** As a CancelRequest asks: whatever runs or waits ends with 57014. */
  cancel(): void {
    this.#stopWaiting()
    for (const hold of this.#holds.values()) if (hold.owed) void this.#cancel(hold)
  }

  #stopWaiting(): void {
    if (!this.#waiting) return
    this.#abort.abort(new PointsmanError('canceled'))
    this.#abort = new AbortController()
  }

  #cancel(hold: Hold): Promise<void> {
    hold.canceled = true
    return hold.connection.cancel().catch(() => undefined)
  }

  /** The client is gone: nothing of its must stay behind on any server connection. */
  leave(): void {
    this.#gone = true
    this.#stopWaiting()
    for (const hold of this.#holds.values()) this.#abandon(hold)
    if (this.#request === null) this.#leave()
  }

  /** The client's loop has ended, if need be in the middle of a batch. */
  close(): void {
    this.leave()
    this.#request = null
    this.#leave()
  }

  #abandon(hold: Hold): void {
    if (hold.owed) {
      if (this.#finishes(hold)) {
        this.#orphan(hold)
        return
      }
      // A server notices a closed socket only when it writes to it: tell it to stop first.
      void this.#cancel(hold).then(() => hold.lease.destroy('its client left while it was busy'))
      this.#holds.delete(hold.cluster)
      this.#endWrite(hold, this.now())
      hold.detach()
      return
    }
    if (hold.connection.transaction === 'I') {
      this.#release(hold, hold.taint ?? 'its client left')
      return
    }
    this.#holds.delete(hold.cluster)
    this.#endWrite(hold, this.now())
    hold.detach()
    void hold.connection.query('ROLLBACK').then(
      () => hold.lease.release('its client left in a transaction'),
      () => hold.lease.destroy('its client left in a transaction'),
    )
  }

  /** A whole write was sent: PostgreSQL would end it for a client that has left, and so do we. In a transaction nothing of it could stand, COMMIT aside. */
  #finishes(hold: Hold): boolean {
    const request = this.#request
    if (request?.hold !== hold || !request.complete) return false
    // Others wait for the same.
    if (request.recording?.shared === true) return true
    // What only takes locks lets go of them at its end, so nobody misses it.
    if (request.plan?.why.at(-1)?.rule === 'lock') return false
    return hold.writing && !hold.copying && (this.session.transaction.kind === 'idle' || request.commits)
  }

  #orphan(hold: Hold): void {
    this.#holds.delete(hold.cluster)
    hold.discard()
    const giveUp = (): void => {
      this.#finishing = null
      this.#endWrite(hold, this.now())
      void this.#cancel(hold).then(() => hold.lease.destroy('its client left while it was busy'))
      hold.detach()
    }
    this.#finishing = { hold, timer: setTimeout(giveUp, orphanMs) }
  }

  #orphanEnded(hold: Hold, end: End): void {
    if (this.#finishing?.hold !== hold) return
    clearTimeout(this.#finishing.timer)
    this.#finishing = null
    this.#endWrite(hold, this.now())
    hold.detach()
    if (end.kind === 'ready' && end.status === 'I') hold.lease.release('its client left while it was busy')
    else hold.lease.destroy('its client left while it was busy')
  }

  // ---- generations and reports

  /** Takes the present generation, unless something of this client's still stands in the one it has. */
  #adopt(): void {
    if (this.#generation !== null) return
    const current = this.#parts.runtime.current()
    current.enter()
    this.#generation = current
    if (this.#adopted !== current.number) {
      this.#identities.clear()
      this.cache.enter(current.number, current.config, this.now())
    }
    this.#adopted = current.number
    if (databaseOf(current.config, this.session.database) === undefined) {
      this.endWith(
        new PointsmanError('shutting_down', { detail: `The database "${this.session.database}" was taken out of the configuration.` }),
      )
    }
  }

  #leave(): void {
    this.#generation?.leave()
    this.#generation = null
  }

  #tellParameters(hold: Hold): void {
    const { parametersKey } = hold.connection
    const { role } = hold.route
    const { values } = this.session.settings
    const last = this.#toldFrom
    if (last?.key === parametersKey && last.cluster === hold.cluster && last.role === role && last.values === values) return
    for (const [name, value] of hold.connection.parameters) this.parameterChanged(hold, name, value)
    this.#toldFrom = { key: parametersKey, cluster: hold.cluster, role, values }
  }

  #tellable(hold: Hold, name: string): boolean {
    if (fixedParameters.has(name)) return false
    if (name === 'default_transaction_read_only') return hold.route.role === 'primary' || this.session.settings.values.has(name)
    if (!roleParameters.has(name)) return true
    return hold.cluster === databaseOf(this.generation.config, this.session.database)?.default
  }

  #report(request: Request): void {
    const { plan, route, shape, outcome } = request
    this.#parts.observer.emit('query.end', {
      door: 'proxy',
      database: this.session.database,
      user: this.session.user,
      cluster: route?.cluster ?? null,
      node: route?.node ?? null,
      role: route?.role ?? 'none',
      owner: plan?.owner ?? null,
      outcome,
      seconds: (this.now() - request.startedAt) / 1000,
      why: plan?.why ?? [],
      shape,
      policy: policyName(plan),
      step: route?.step ?? null,
      boundSeconds: boundSeconds(plan, route),
    })
  }

  #log(error: unknown): void {
    const fields = { error: error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error) }
    this.#parts.observer.emit('log', { level: 'error', message: 'a request failed for a reason no rule foresaw', fields })
  }
}

/** Everything that decides which of a connection's parameters a client is told. */
interface Told {
  readonly key: string
  readonly cluster: string
  readonly role: 'primary' | 'replica'
  readonly values: Settings
}

function routeOf(hold: Hold, { why: reasons }: OnePlan): RouteTaken {
  return hold.route.why === reasons ? hold.route : { ...hold.route, why: reasons }
}

/** There is but one primary: a lost connection to it is simply opened again. */
function avoid(request: Request, hold: Hold): void {
  if (hold.route.role === 'replica') request.avoid.add(hold.route.node)
}

function outcomeOf(error: unknown): Request['outcome'] {
  if (!(error instanceof PointsmanError)) return 'error'
  return error.key === 'canceled' ? 'canceled' : 'refused'
}

/** The client's state as it stands on a connection on which all of it was said; our own settings were not. */
function mirrored(settings: SettingsState): SettingsState {
  const strip = (values: Settings): Settings => {
    for (const name of values.keys()) if (isOwn(name)) return new Map([...values].filter(([key]) => !isOwn(key)))
    return values
  }
  return {
    defaults: new Map(),
    values: strip(settings.values),
    locals: strip(settings.locals),
    undo: settings.undo.map((point) => ({ ...point, values: strip(point.values), locals: strip(point.locals) })),
  }
}

function sameSettings(left: Settings, right: Settings): boolean {
  if (left.size !== right.size) return false
  for (const [name, value] of left) if (right.get(name) !== value) return false
  return true
}

/** Only these kinds change what session/ keeps. */
function touchesSession(statement: Statement): boolean {
  const { detail } = statement
  switch (detail.kind) {
    case 'set':
    case 'transaction':
    case 'discard':
    case 'deallocate':
      return true
    case 'select':
      return (detail.settings !== null && detail.settings.length > 0) || detail.into?.temporary === true
    case 'ddl':
      return detail.temporary
    default:
      return false
  }
}

/** Opens an undo point for a change outside a transaction: an error later in the same group takes it back. */
function effectOf(
  state: SettingsState,
  statement: Statement,
  tag: string,
  parameter: Parameters<typeof settleStatement>[3],
): SettingsState {
  return settleStatement(settle(state, { kind: 'begin' }), statement, tag, parameter)
}

/** `unknown`: a write may have run. */
function lostError(hold: Hold, { error }: Loss, unknown = false): PointsmanError {
  return lossError(hold.route, unknown, error === null || unknown ? {} : { detail: `The server said: ${error.message} (${error.code})` })
}

/** The plan of a statement that we prepared for somebody, somewhere, earlier: the client never saw that. */
function prepareAgain(fields: ErrorFields, expect: ExpectReply): 'prepare' | null {
  const prepared = expect.reply === 'bind' || expect.reply === 'execute' || expect.reply === 'describe-statement'
  if (prepared && (fields.code === '26000' || (fields.code === '0A000' && fields.message.includes('cached plan')))) return 'prepare'
  return null
}
