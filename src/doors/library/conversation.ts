// doors/library/conversation.ts — statements of one client, one after another, each on the server its plan names.
//
//   plan ─▶ hold ─▶ prepare (settings, deferred BEGIN) ─▶ send ─▶ settle ─▶ kept (transaction, pin) or released
//             ▲                                            │
//             └──────────── once more elsewhere ◀──────────┘  only a read outside a transaction, with nothing given out
//
// pool.query() has a conversation per statement that keeps nothing (`keeps` false): what would belong to a session is
// scrubbed away, and BEGIN is refused, since its COMMIT could never find it.
import type { EventEmitter } from 'node:events'
import type { SessionFloors } from '../../consistency/floors.js'
import { asOverride } from '../../consistency/policy.js'
import { PointsmanError } from '../../errors/error.js'
import { cannotBroadcast, copiesAlone, one } from '../../routing/make.js'
import type { ParameterSource } from '../../routing/input.js'
import type { AnswerPlan, BroadcastPlan, OnePlan, Plan, ScatterPlan } from '../../routing/plan.js'
import { why } from '../../routing/rules.js'
import { boundSeconds, policyName } from '../../execute/measured.js'
import { homesTouched } from '../../execute/homes-touched.js'
import type { RouteTaken } from '../../execute/contract.js'
import { asWrite, forgive, maxAttempts, rerunFor } from '../../execute/again.js'
import { readEnd } from '../../execute/read-end.js'
import { writeBegins } from '../../execute/write-marks.js'
import { sqlstateOf } from '../../pool/failure.js'
import { takeToken, tokenOf, tokenResolved } from '../../runtime/session-token.js'
import { asynchronousCommit, startsAsynchronous } from '../../session/asynchronous-commit.js'
import { mayCommit } from '../../session/commits.js'
import { mirrored } from '../../session/replay.js'
import { settleStatement, type Session } from '../../session/session.js'
import { effective, settle, type ParameterText, type Settings } from '../../session/settings.js'
import { tokenSetting } from '../../session/route-settings.js'
import { tokensIn } from '../../session/tokens-in.js'
import { afterReady, defer, deferBegin, fail, idle, isJoint, modeOf, recover, modeAfter } from '../../session/transaction.js'
import type { Statement, Understood } from '../../sql/statement.js'
import { asksUniqueIds } from '../../sql/unique-ids.js'
import type { Begun, Moved } from './begun.js'
import { commandResult, notAsStream, onlyAsText, textResult, withRoute } from './answers.js'
import { BroadcastWrite, canBroadcast } from './broadcast.js'
import { CachedRead } from './cached-read.js'
import type { Core, Ground } from './core.js'
import type { Hold, LeaseListener } from './hold.js'
import { asTold, Holds } from './holds.js'
import { isTimeout, lossOf, nameLoss } from './loss.js'
import { parameterSource } from './parameters.js'
import { directoryTries } from '../../sharding/directories.js'
import type { PgResult } from './pg-client.js'
import type { Status } from './pg-connection.js'
import type { PlainQuery, Query } from './query-arguments.js'
import type { CarriedSession } from './request-context.js'
import { withRouteOptions } from './route-hints.js'
import { readScattered } from './scatter.js'
import { withUniqueIds } from './unique-ids.js'

export type Answer = PgResult | PgResult[] | undefined

/** A cursor that is still open when its client leaves has this long to be read to its end. */
const streamGraceMs = 1000
/** A token that needs a sample waits for it no longer than this. */
const tokenMs = 1000
const nothing: Settings = new Map()

/** One statement on its way. */
interface Request {
  readonly query: Query
  readonly ground: Ground
  readonly startedAt: number
  readonly understood: Understood
  readonly parameters: ParameterSource | null
  readonly avoid: Set<string>
  attempts: number
  plan: Plan | null
  route: RouteTaken | null
  outcome: 'ok' | 'error' | 'refused' | 'lost' | 'canceled'
  /** Its rows are read so that they can be kept. */
  filling: CachedRead | null
  /** null: it was on no lane. */
  readonly moved: Moved | null
}

export interface ConversationOptions {
  readonly keeps: boolean
  readonly listener: EventEmitter | null
  readonly leases?: LeaseListener
  /** Whose reads and writes these are; null: nobody's in particular. */
  readonly session?: CarriedSession | null
}

/** What is not known of a request before it runs. */
const unbegun = { attempts: 0, plan: null, route: null, outcome: 'ok', filling: null } as const

type Sent = { readonly ok: true; readonly result: Answer } | { readonly ok: false; readonly error: unknown }

export class Conversation {
  readonly #core: Core
  readonly #keeps: boolean
  readonly #requestSession: CarriedSession | null
  readonly #floors: SessionFloors
  readonly #holds: Holds
  /** Texts by name. */
  readonly #prepared = new Map<string, string>()
  #ground: Ground | null = null
  #tail: Promise<unknown> = Promise.resolve()
  #lastRoute: { readonly plan: Plan; readonly route: RouteTaken | null } | null = null
  #streaming = false
  /** end() was called; `over`: it has given everything back, and nothing may be taken any more. */
  #ended = false
  #over = false
  /** The connection that ran the last statement. */
  #last: Hold['connection'] | null = null

  constructor(core: Core, options: ConversationOptions) {
    this.#core = core
    const { listener, leases = null, session = null } = options
    this.#requestSession = session
    this.#floors = session?.floors ?? core.newFloors()
    this.#keeps = options.keeps
    this.#holds = new Holds({ core, floors: this.#floors, listener, leases, session })
  }

  get #session(): Session | null {
    return this.#holds.session
  }

  get connection(): Hold['connection'] | null {
    return this.#last
  }

  /** As ReadyForQuery would tell it; null before the first statement. */
  get transactionStatus(): Status | null {
    const transaction = this.#session?.transaction
    if (transaction === undefined) return null
    if (transaction.kind === 'idle') return 'I'
    return transaction.kind === 'open' ? transaction.status : transaction.failed ? 'E' : 'T'
  }

  /** Runs after everything that was given before. */
  run(query: Query): Promise<Answer> {
    const run = this.#tail.then(() => this.#core.alive.during(() => this.#run(query, null)))
    this.#tail = run.catch(() => undefined)
    return run
  }

  /** The one statement of a conversation that keeps nothing. `begun`: what is known of it already. */
  runAlone(query: Query, begun: Begun | null): Promise<Answer> {
    return this.#run(query, begun)
  }

  /** Where it would go now. */
  async explain(query: Query): Promise<{ readonly plan: Plan; readonly text: string }> {
    const request = await this.#core.alive.during(() => this.#request(query))
    const plan = this.#plan(request, this.#session ?? request.ground.fresh)
    return { plan, text: request.ground.planner.printRoute(plan, null) }
  }

  /** Gives back what it holds, after what was given before has ended; with a reason, connections are closed instead. */
  async end(destroy: string | null): Promise<void> {
    this.#ended = true
    const drained = await this.#drained()
    this.#over = true
    this.#holds.end(destroy ?? (drained ? null : 'its client left while a stream was open'))
    this.#ground?.generation.leave()
    this.#ground = null
  }

  /** What was given has ended. False: a cursor or stream is open that nobody reads any more; it would hold its connection for ever. */
  async #drained(): Promise<boolean> {
    for (;;) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<false>((resolve) => (timer = setTimeout(resolve, streamGraceMs, false)))
      const ended = await Promise.race([this.#tail.then(() => true), late])
      clearTimeout(timer)
      if (ended) return true
      if (this.#streaming) return false
    }
  }

  // ---- one statement

  async #run(query: Query, begun: Begun | null): Promise<Answer> {
    if (this.#over) throw new Error('Client was released to the pool and is not queryable')
    if (query.kind === 'submittable' && query.closing.closed()) return undefined
    let request = begun === null ? await this.#request(query) : this.#continued(query, begun)
    request.ground.generation.enter()
    const end = this.#requestSession?.begin()
    try {
      if (asksUniqueIds(request.understood)) request = await this.#withIds(request)
      const result = await this.#dispatch(request)
      return result === undefined ? undefined : withRoute(result, request.route)
    } catch (error) {
      if (request.outcome === 'ok') request.outcome = error instanceof PointsmanError ? 'refused' : 'error'
      // Also where no server has its transaction yet: what follows must not stand without this.
      if (this.#session !== null) this.#session.transaction = fail(this.#session.transaction)
      throw error
    } finally {
      this.#finish(request)
      end?.()
      request.ground.generation.leave()
    }
  }

  async #request(given: Query): Promise<Request> {
    const startedAt = this.#core.now()
    const query = this.#withText(given)
    const ground = this.#ground ?? (await this.#core.ground())
    if (this.#keeps) this.#holds.session ??= this.#core.newSession(ground.greeting)
    const understood = withRouteOptions(ground.planner.understand(query.text), query.route, query.scope)
    const parameters = query.values.length === 0 ? null : parameterSource(this.#core.pg, query.values)
    return this.#continued(query, { ground, startedAt, understood, parameters, moved: null })
  }

  async #withIds(request: Request): Promise<Request> {
    const { query: given, ground, startedAt, moved } = request
    const ids = this.#core.runtime?.uniqueIds
    if (given.kind !== 'plain' || ids === undefined || !(this.#session ?? ground.fresh).view.understood) return request
    // What PREPARE makes is run by EXECUTE, which would have to bring ids of its own.
    if (request.understood.shape.statements?.[0]?.detail.kind === 'prepare') return request
    const query = await withUniqueIds(given, ids)
    if (query === null) return request
    const understood = withRouteOptions(ground.planner.understand(query.text), query.route, query.scope)
    return this.#continued(query, { ground, startedAt, understood, parameters: parameterSource(this.#core.pg, query.values), moved })
  }

  #continued(query: Query, { ground, startedAt, understood, parameters, moved }: Begun): Request {
    const avoid = new Set(moved?.avoid)
    return { ...{ query, ground, startedAt, understood, parameters, avoid, moved }, ...unbegun }
  }

  /** pg lets a prepared statement be run by its name alone; the connection it runs on now may not know it yet. */
  #withText(query: Query): Query {
    if (query.kind === 'submittable') return query
    const { name, onlyNamed } = query
    if (!onlyNamed) {
      if (name !== null) this.#prepared.set(name, query.text)
      return query
    }
    const text = name === null ? undefined : this.#prepared.get(name)
    if (text === undefined) throw new Error('A query must have either text or a name. Supplying neither is unsupported.')
    return { ...query, text, config: Object.assign(query.config, { text }) }
  }

  #plan({ ground, understood, parameters }: Request, session: Session): Plan {
    const { generation, database, planner } = ground
    const failed = this.#failedPlan()
    if (failed !== null) return failed
    const plan = planner.plan({
      understood,
      parameters,
      session: session.view,
      config: generation.config,
      database,
      catalogs: generation.catalogs(),
      directories: generation.directories,
    })
    if (plan.kind === 'one' && generation.commitsWatched(plan.cluster)) {
      const reason = asynchronousCommit(understood, session.settings)
      if (reason !== null) generation.asynchronousCommit(plan.cluster, reason)
    }
    return plan
  }

  /** While a server's transaction is failed PostgreSQL itself says what may still run. */
  #failedPlan(): OnePlan | null {
    const transaction = this.#session?.transaction
    // What is open on several clusters ends on all of them.
    if (transaction?.kind !== 'open' || transaction.status !== 'E' || transaction.joined.length > 0) return null
    const { cluster, role } = transaction.home
    return one({ cluster, role, why: [why('transaction', 'the failed transaction stays on its server')] })
  }

  #planned(request: Request): Plan {
    const plan = this.#plan(request, this.#session ?? request.ground.fresh)
    return request.moved?.writes === true && plan.kind === 'one' ? asWrite(plan) : plan
  }

  /** What a directory says of its keys is asked for, as long as it can still be told anew. */
  async #plannedByDirectory(request: Request): Promise<Plan> {
    let plan = this.#planned(request)
    for (let tries = 0; plan.kind === 'refuse' && plan.lookup !== undefined && tries < directoryTries; tries++) {
      await request.ground.generation.directories.ask(plan.lookup, request.ground.database.name)
      plan = this.#planned(request)
    }
    return plan
  }

  async #dispatch(request: Request): Promise<Answer> {
    const plan = await this.#plannedByDirectory(request)
    request.plan = plan
    this.#holds.ground = request.ground
    switch (plan.kind) {
      case 'refuse':
        await this.#holds.failTransaction()
        throw new PointsmanError(plan.error, { values: { what: plan.message }, hint: plan.hint })
      case 'scatter':
        if (plan.copy !== undefined) throw copiesAlone()
        return this.#scatter(request, plan)
      case 'broadcast':
        return this.#broadcast(request, plan)
      case 'answer':
        if (request.query.kind === 'submittable') throw onlyAsText()
        return this.#answer(request, plan, request.query.config)
      case 'one':
        if (plan.settings.length > 0) this.#takeTokens(request)
        if (this.#requestSession === null) this.#core.warnings.readWithoutSession(plan)
        return plan.keptOn === null || request.query.kind !== 'plain'
          ? this.#one(request, plan)
          : this.#cached(request, plan, request.query)
    }
  }

  /** From the cache, or else on a server. */
  async #cached(request: Request, plan: OnePlan, query: PlainQuery): Promise<Answer> {
    const { ground, understood, parameters, startedAt } = request
    const settings = this.#session?.settings.values ?? nothing
    const read = CachedRead.of({
      ...{ core: this.#core, ground, floors: this.#floors, plan, query, understood, parameters, settings },
      invokedAt: startedAt,
    })
    const given = read === null ? null : await read.answer()
    if (given !== null) {
      request.route = given.route
      return given.result
    }
    if (read?.fills !== true) return this.#one(request, plan)
    request.filling = read
    try {
      const result = await this.#one(request, plan)
      return result === undefined || Array.isArray(result) ? result : read.own(result)
    } finally {
      read.close()
    }
  }

  /** On several clusters; nothing of it stays with the session. */
  async #scatter(request: Request, plan: ScatterPlan): Promise<PgResult> {
    const { query, ground, startedAt, avoid } = request
    if (query.kind === 'submittable' || plan.copy !== undefined) throw notAsStream()
    try {
      return await readScattered({
        ...{ core: this.#core, ground, floors: this.#floors, plan, query, startedAt, avoid },
        take: (part) => this.#holds.lease(request, part),
        prepare: (hold) => this.#holds.prepare(hold),
        onRoute: (route) => (request.route = route),
      })
    } catch (error) {
      const code = error instanceof PointsmanError ? null : sqlstateOf(error)
      if (code === '57014') request.outcome = 'canceled'
      throw error
    }
  }

  /** A write on several clusters: one transaction of its own, or a part of the open one. */
  async #broadcast(request: Request, plan: BroadcastPlan): Promise<PgResult> {
    const { query, ground } = request
    const { joint } = this.#holds
    const own = (this.#session?.transaction ?? idle).kind === 'idle'
    try {
      if (query.kind === 'submittable' || !canBroadcast(plan)) throw cannotBroadcast(plan)
      const write = new BroadcastWrite(this.#core, plan, query, ground.generation.config.limits.mergeMemoryBytes)
      this.#holds.session ??= this.#core.newSession(ground.greeting)
      if (own) joint.beginOwn()
      for (const [index, part] of plan.parts.entries()) {
        request.attempts = 0
        await this.#one(request, part, (hold) => write.send(hold, index))
      }
      const result = write.result()
      if (own) await joint.end('commit')
      return result
    } catch (error) {
      if (own && this.#session !== null) await joint.takeBack()
      else await this.#holds.failTransaction()
      throw asTold(error)
    }
  }

  #finish(request: Request): void {
    const { plan, route, ground, startedAt, outcome, understood } = request
    if (plan !== null && plan.kind !== 'answer') this.#lastRoute = { plan, route }
    this.#keepGeneration(ground)
    if (request.moved?.silent() === true) return
    this.#core.observer.emit('query.end', {
      door: 'library',
      database: this.#core.login.database,
      user: this.#core.login.user,
      cluster: route?.cluster ?? null,
      node: route?.node ?? null,
      role: route?.role ?? 'none',
      owner: plan?.owner ?? null,
      outcome,
      seconds: (this.#core.now() - startedAt) / 1000,
      why: plan?.why ?? [],
      shape: understood.shape.id,
      policy: policyName(plan),
      step: route?.step ?? null,
      boundSeconds: boundSeconds(plan, route),
      homes: homesTouched(plan, understood.shape.key, () => ground.database),
    })
  }

  /** A generation is kept as long as something of this client's stands in it. */
  #keepGeneration(ground: Ground): void {
    const needed = !this.#ended && (this.#holds.size > 0 || (this.#session !== null && this.#session.transaction.kind !== 'idle'))
    if (needed && this.#ground === null) {
      ground.generation.enter()
      this.#ground = ground
    } else if (!needed && this.#ground !== null) {
      this.#ground.generation.leave()
      this.#ground = null
    }
  }

  // ---- answers

  async #answer(request: Request, { answer }: AnswerPlan, config: object): Promise<PgResult> {
    const { pg } = this.#core
    switch (answer.what) {
      case 'empty':
        return commandResult(pg, null)
      case 'begin-deferred':
        return this.#begin(request)
      case 'end-deferred':
        return this.#endDeferred(answer.tag)
      case 'deferred':
        return this.#defer(request, answer.tag)
      case 'set':
        this.#takeTokens(request)
        this.#settleSettings(request, [commandResult(pg, 'SET')])
        return commandResult(pg, answer.change.value === null ? 'RESET' : 'SET')
      case 'show':
        return textResult(pg, config, answer.name, [await this.#show(request, answer.name)], 'SHOW')
      case 'explain':
        return textResult(pg, config, 'QUERY PLAN', request.ground.planner.printRoute(answer.plan, null).split('\n'), 'EXPLAIN')
      case 'joint':
        return this.#control(answer)
      case 'deallocate':
        return commandResult(pg, answer.name === null ? 'DEALLOCATE ALL' : 'DEALLOCATE')
    }
  }

  /** Of a transaction on several clusters. */
  async #control(control: Extract<AnswerPlan['answer'], { what: 'joint' }>): Promise<PgResult> {
    const { joint } = this.#holds
    await joint.run(control)
    try {
      return commandResult(this.#core.pg, joint.result())
    } catch (error) {
      throw asTold(error)
    }
  }

  #begin(request: Request): PgResult {
    const session = this.#session
    const facts = transactionFacts(request.understood.shape.statements?.[0])
    if (session === null || facts === null) {
      throw new PointsmanError('feature_not_supported', {
        values: { what: 'BEGIN outside a checked-out client: its statements would go to different connections' },
        hint: 'Use const client = await pool.connect(), and release it after COMMIT or ROLLBACK.',
      })
    }
    session.transaction = deferBegin(request.query.text, facts)
    session.settings = settle(session.settings, { kind: 'begin' })
    return commandResult(this.#core.pg, request.query.text.trimStart().toLowerCase().startsWith('start') ? 'START' : 'BEGIN')
  }

  #endDeferred(tag: 'COMMIT' | 'ROLLBACK'): PgResult {
    const session = this.#session
    if (session !== null) {
      const failed = this.transactionStatus === 'E'
      session.transaction = idle
      session.settings = settle(session.settings, { kind: tag === 'ROLLBACK' || failed ? 'rollback' : 'commit' })
      return commandResult(this.#core.pg, failed ? 'ROLLBACK' : tag)
    }
    return commandResult(this.#core.pg, tag)
  }

  #defer(request: Request, tag: string): PgResult {
    const session = this.#session
    const statement = request.understood.shape.statements?.[0]
    if (session === null || statement === undefined) return commandResult(this.#core.pg, tag)
    const facts = transactionFacts(statement)
    const name = facts?.op === 'rollback-to' ? (facts.name ?? '') : null
    const back = name === null ? null : recover(session.transaction, name)
    if (name !== null && back === null) {
      session.transaction = fail(session.transaction)
      throw new PointsmanError('undefined_savepoint', { values: { name } })
    }
    session.transaction = back ?? defer(session.transaction, request.query.text, facts)
    session.settings = settleStatement(session.settings, statement, tag, parameterText(request.parameters))
    return commandResult(this.#core.pg, tag)
  }

  async #show({ ground }: Request, name: Extract<AnswerPlan['answer'], { what: 'show' }>['name']): Promise<string | null> {
    if (name === tokenSetting) {
      const bearer = { floors: this.#floors, database: ground.database, generation: ground.generation }
      await tokenResolved(bearer, tokenMs)
      return tokenOf(bearer)
    }
    if (name === 'pointsman.last_route') {
      return this.#lastRoute === null ? null : ground.planner.printTaken(this.#lastRoute.plan, this.#lastRoute.route)
    }
    return this.#session === null ? null : (effective(this.#session.settings, name) ?? null)
  }

  /** A token counts from its receipt, whatever becomes of the statement; one that cannot be used is no error. */
  #takeTokens({ ground, understood, parameters }: Request): void {
    const bearer = { floors: this.#floors, database: ground.database, generation: ground.generation }
    for (const text of tokensIn(understood, parameterText(parameters))) {
      const problem = takeToken(bearer, text, this.#core.now())
      if (problem !== null) this.#core.observer.emit('log', { level: 'warn', message: `a token was not used: ${problem}`, fields: {} })
    }
  }

  // ---- on a server

  /** `send`: how, where that is not as pg would. */
  async #one(request: Request, plan: OnePlan, send: Send | null = null): Promise<Answer> {
    const alone = this.#session === null || this.#session.transaction.kind === 'idle'
    let wanted = plan
    for (;;) {
      const hold = await this.#holdFor(request, wanted)
      request.attempts += 1
      const repeatable = !wanted.writes && wanted.pins === null && alone && hold.pins.size === 0 && request.attempts < maxAttempts
      const sent = await this.#sendOn(hold, request, wanted, send)
      const rerun = this.#settle(hold, request, wanted, sent, repeatable)
      if (sent.status === 'E') await this.#holds.failOthers(hold)
      if (rerun === null) return this.#given(sent)
      if (rerun === 'primary') wanted = asWrite(wanted)
      else request.avoid.add(hold.route.node)
    }
  }

  #given(sent: SentOn): Answer {
    if (sent.ok) return sent.result
    throw sent.error
  }

  async #holdFor(request: Request, plan: OnePlan): Promise<Hold> {
    const holds = this.#holds
    const kept = holds.on(plan.cluster)
    if (kept?.lost === true) {
      this.#lost(kept, request, false)
      request.outcome = 'lost'
      throw lossOf(kept, false, undefined)
    }
    const transaction = this.#session?.transaction ?? idle
    const found = holds.objection(request, plan)
    if (found !== null) {
      await holds.failTransaction()
      throw found
    }
    const hold = holds.isJoint(plan) ? await holds.takeJoint(request, plan) : await holds.take(request, plan)
    if (transaction.kind !== 'open') hold.begunAt = request.startedAt
    this.#last = hold.connection
    request.route = { ...hold.route, why: plan.why }
    return hold
  }

  async #sendOn(hold: Hold, request: Request, plan: OnePlan, send: Send | null): Promise<SentOn> {
    const prepared = await this.#prepare(hold, plan)
    if (!prepared.ok) return { ...prepared, status: await hold.connection.settled(), written: false }
    if (!hold.connection.usable) return { ok: false, error: lossOf(hold, false, undefined), status: null, written: false }
    if (hold.connection.evidence.asynchronous === true) request.ground.generation.asynchronousCommit(hold.cluster, startsAsynchronous)
    if (plan.taints !== null) hold.taint ??= plan.taints
    if (plan.pins !== null) this.#holds.pin(hold, plan.pins)
    if (plan.writes) writeBegins(hold, plan, this.#core.cache, this.#floors)
    const { filling } = request
    if (filling !== null) this.#fill(filling, hold, plan)
    const learns = plan.lane && request.query.kind === 'plain' ? this.#core.shapes.begin(hold.connection) : null
    const sent = await (send === null ? this.#send(hold, filling?.query ?? request.query) : send(hold))
    if (learns !== null && sent.ok) learns(plan.cluster, request.understood.shape.id)
    if (!sent.ok && isTimeout(sent.error)) {
      // pg gave up on the statement, the server did not.
      hold.connection.close()
      return { ...sent, status: null, written: true, given: true }
    }
    const status = await hold.connection.settled()
    if (filling !== null && status === 'I' && sent.ok && sent.result !== undefined && !Array.isArray(sent.result))
      filling.complete(hold, sent.result, readEnd(hold, request.startedAt, this.#core.now()))
    return { ...sent, status, written: true }
  }

  /** Its rows may be kept, unless it has turned out to write. */
  #fill(filling: CachedRead, hold: Hold, { keptOn }: OnePlan): void {
    if (keptOn === null) filling.close()
    else filling.sent(hold)
  }

  async #prepare(hold: Hold, plan: OnePlan): Promise<Sent> {
    try {
      if (!this.#holds.isJoint(plan)) await this.#holds.prepare(hold)
      return { ok: true, result: undefined }
    } catch (error) {
      return { ok: false, error }
    }
  }

  async #send(hold: Hold, query: Query): Promise<Sent> {
    const { connection } = hold
    connection.begin()
    try {
      if (query.kind === 'plain') return { ok: true, result: await connection.client.query(query.config) }
      if (query.closing.closed()) {
        return { ok: true, result: undefined }
      }
      this.#streaming = true
      // A stream's user hears of its end from pg, before the promises here go on; what it reads elsewhere then must see this.
      connection.onReady = (status) => {
        if (status === 'I') this.#holds.writeEnded(hold)
      }
      query.closing.submitted()
      nameLoss(query.submittable, hold, () => hold.writing && this.#session?.transaction.kind !== 'open')
      void connection.client.query(query.submittable, ...query.rest)
      if ((await connection.settled()) === null) connection.endStreams()
      return { ok: true, result: undefined }
    } catch (error) {
      return { ok: false, error }
    } finally {
      this.#streaming = false
      connection.onReady = null
    }
  }

  // ---- afterwards

  /** Null: this is the answer. Else nothing was given out, and it is to be sent again. */
  #settle(hold: Hold, request: Request, plan: OnePlan, sent: SentOn, repeatable: boolean): 'primary' | 'elsewhere' | null {
    if (sent.status === null) return this.#settleLost(hold, request, sent, repeatable)
    if (sent.status === 'I' && isJoint(this.#session?.transaction ?? idle)) throw this.#endedAlone(hold, request)
    const rerun = repeatable && !sent.ok && request.query.kind === 'plain' ? rerunFor(sqlstateOf(sent.error), hold.route.role) : null
    if (rerun === 'primary') {
      this.#core.observer.emit('read.misrouted', { cluster: hold.cluster, node: hold.route.node, shape: request.understood.shape.id })
    }
    if (hold.writing && sent.status === 'I' && sent.ok) request.ground.generation.writeAcknowledged(hold.cluster, this.#core.now())
    this.#settleFloors(hold, request, plan, sent.status)
    if (sent.ok) {
      if (plan.unpins !== null) this.#holds.unpin(hold, plan.unpins)
      if (plan.changesCatalog) hold.definedSomething = true
      this.#settleSettings(request, resultsOf(sent.result), hold)
    } else if (rerun === null) {
      request.outcome = sqlstateOf(sent.error) === '57014' ? 'canceled' : 'error'
    }
    if (hold.definedSomething && sent.status === 'I') {
      hold.definedSomething = false
      request.ground.generation.catalogChanged(hold.cluster)
    }
    this.#atReady(hold, request, plan, sent.status, !sent.ok)
    return rerun
  }

  #settleLost(hold: Hold, request: Request, sent: SentOn, repeatable: boolean): 'elsewhere' | null {
    const { transaction } = this.#session ?? request.ground.fresh
    const unknown = hold.writing && sent.written && (transaction.kind === 'idle' || mayCommit(request.understood))
    forgive(request, hold)
    const moves = transaction.kind !== 'open' && request.query.kind === 'plain' && sent.given !== true
    const again = moves && (!sent.written || repeatable) && request.attempts < maxAttempts
    this.#lost(hold, request, again)
    if (again) return 'elsewhere'
    request.outcome = 'lost'
    if (sent.given === true) return null
    if (request.query.kind === 'submittable') return null // pg has told it
    throw lossOf(hold, unknown, sent.ok ? undefined : sent.error)
  }

  #settleFloors(hold: Hold, request: Request, plan: OnePlan, status: Status): void {
    if (status === 'I') this.#holds.writeEnded(hold)
    if (!plan.readsData) return
    this.#floors.readEnded(hold.cluster, readEnd(hold, request.startedAt, this.#core.now()))
  }

  /** One part of a transaction on several clusters is not open any more, by nothing that was asked for. */
  #endedAlone(hold: Hold, request: Request): PointsmanError {
    const what = `the transaction has ended on cluster ${hold.cluster} alone, which nothing of it was to do`
    this.#lost(hold, request, false)
    return new PointsmanError('feature_not_supported', { values: { what } })
  }

  /** What the statements that ended changed in the session, and on the connection they ran on. */
  #settleSettings(request: Request, results: readonly PgResult[], hold: Hold | null = null): void {
    const session = this.#session
    const statements = request.understood.shape.statements
    if (!statements?.some(touchesSession)) return
    if (session === null || statements.length !== results.length) {
      if (hold !== null) hold.settings = null
      return
    }
    statements.forEach((statement, index) => {
      const tag = results[index]?.command ?? ''
      session.settings = settleStatement(settle(session.settings, { kind: 'begin' }), statement, tag, parameterText(request.parameters))
      this.#noteTemporary(session, statement)
    })
    if (hold === null && session.transaction.kind === 'idle') session.settings = settle(session.settings, { kind: 'commit' })
    if (hold !== null) hold.settings = mirrored(session.settings)
  }

  #noteTemporary(session: Session, { detail, relations }: Statement): void {
    if (detail.kind === 'ddl' && detail.temporary) {
      session.addTemporary(relations.filter(({ access }) => access === 'define').map(({ name }) => name.name))
    }
    if (detail.kind === 'select' && detail.into?.temporary === true) session.addTemporary([detail.into.name.name])
  }

  #atReady(hold: Hold, request: Request, plan: OnePlan, status: Status, failed: boolean): void {
    const session = this.#session
    if (session !== null) {
      const mode = (request.understood.shape.statements ?? []).reduce(modeAfter, modeOf(session.transaction))
      if (status === 'I' && session.settings.undo.length > 0) {
        session.settings = settle(session.settings, { kind: failed ? 'rollback' : 'commit' })
        if (hold.settings !== null) hold.settings = mirrored(session.settings)
      }
      const { cluster, node, role } = hold.route
      session.transaction = afterReady(
        session.transaction,
        status,
        { cluster, node, role, place: plan.place },
        mode,
        asOverride(plan.policy),
      )
    }
    // Of several statements of which one failed nobody can say what the others set.
    if (failed && (request.understood.shape.statements?.length ?? 2) > 1) hold.settings = null
    if (session === null || (status === 'I' && hold.pins.size === 0)) this.#holds.release(hold)
  }

  /** `again`: the client does not hear of it. */
  #lost(hold: Hold, { understood }: Request, again: boolean): void {
    this.#holds.lost(hold, { ends: endsTransaction(understood), again })
  }
}

/** How one statement is sent on a connection. */
type Send = (hold: Hold) => Promise<Sent>

type SentOn = Sent & {
  /** The server's state afterwards; null: the connection is gone. */
  readonly status: Status | null
  /** It may have run. */
  readonly written: boolean
  /** pg has told its own error, which stands. */
  readonly given?: boolean
}

function resultsOf(result: Answer): readonly PgResult[] {
  return result === undefined ? [] : Array.isArray(result) ? result : [result]
}

function transactionFacts(statement: Statement | undefined): Extract<Statement['detail'], { kind: 'transaction' }>['transaction'] | null {
  return statement?.detail.kind === 'transaction' ? statement.detail.transaction : null
}

function endsTransaction({ shape }: Understood): boolean {
  return shape.statements?.some((statement) => /^(commit|rollback)$/.test(transactionFacts(statement)?.op ?? '')) === true
}

function touchesSession({ detail }: Statement): boolean {
  switch (detail.kind) {
    case 'set':
    case 'transaction':
    case 'discard':
      return true
    case 'select':
      return detail.settings === null || detail.settings.length > 0 || detail.into?.temporary === true
    case 'ddl':
      return detail.temporary
    default:
      return false
  }
}

function parameterText(parameters: ParameterSource | null): ParameterText {
  return (n) => {
    const value = parameters?.get(n)
    if (value === undefined || value === null) return value
    return 'text' in value ? value.text : undefined
  }
}
