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
import { PointsmanError } from '../../errors/error.js'
import { cannotBroadcast, copiesAlone, one } from '../../routing/make.js'
import type { BroadcastPlan, OnePlan, Plan, ScatterPlan } from '../../routing/plan.js'
import { why } from '../../routing/rules.js'
import { boundSeconds, policyName } from '../../execute/measured.js'
import { homesTouched } from '../../execute/homes-touched.js'
import type { RouteTaken } from '../../execute/contract.js'
import { asWrite, maxAttempts } from '../../execute/again.js'
import { readEnd } from '../../execute/read-end.js'
import { writeBegins } from '../../execute/write-marks.js'
import { sqlstateOf } from '../../pool/failure.js'
import { asynchronousCommit, startsAsynchronous } from '../../session/asynchronous-commit.js'
import type { Session } from '../../session/session.js'
import type { Settings } from '../../session/settings.js'
import { fail, idle } from '../../session/transaction.js'
import { directoryTries } from '../../sharding/directories.js'
import { asksUniqueIds } from '../../sql/unique-ids.js'
import type { Begun } from './begun.js'
import { notAsStream, onlyAsText, withRoute } from './answers.js'
import { BroadcastWrite, canBroadcast } from './broadcast.js'
import { CachedRead } from './cached-read.js'
import type { Core, Ground } from './core.js'
import type { Hold, LeaseListener } from './hold.js'
import { asTold, Holds } from './holds.js'
import { isTimeout, lossOf, nameLoss } from './loss.js'
import { OwnAnswers } from './own-answers.js'
import { parameterSource } from './parameters.js'
import type { PgResult } from './pg-client.js'
import type { Status } from './pg-connection.js'
import type { PlainQuery, Query } from './query-arguments.js'
import type { Answer, Request, Send, Sent, SentOn } from './request.js'
import type { CarriedSession } from './request-context.js'
import { withRouteOptions } from './route-hints.js'
import { readScattered } from './scatter.js'
import { Settling } from './settling.js'
import { withUniqueIds } from './unique-ids.js'

/** A cursor that is still open when its client leaves has this long to be read to its end. */
const streamGraceMs = 1000
const nothing: Settings = new Map()

export interface ConversationOptions {
  readonly keeps: boolean
  readonly listener: EventEmitter | null
  readonly leases?: LeaseListener
  /** Whose reads and writes these are; null: nobody's in particular. */
  readonly session?: CarriedSession | null
}

export class Conversation {
  readonly #core: Core
  readonly #keeps: boolean
  readonly #requestSession: CarriedSession | null
  readonly #floors: SessionFloors
  readonly #holds: Holds
  readonly #settling: Settling
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
    this.#settling = new Settling({ core, floors: this.#floors, holds: this.#holds })
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
    // Written out: spreading costs as much as a plan.
    return {
      query,
      ground,
      startedAt,
      understood,
      parameters,
      avoid,
      moved,
      attempts: 0,
      plan: null,
      route: null,
      outcome: 'ok',
      filling: null,
    }
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
        return this.#own().answer(request, plan, request.query.config)
      case 'one':
        if (plan.settings.length > 0) this.#own().takeTokens(request)
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

  #own(): OwnAnswers {
    return new OwnAnswers({
      core: this.#core,
      floors: this.#floors,
      holds: this.#holds,
      settling: this.#settling,
      lastRoute: this.#lastRoute,
      status: () => this.transactionStatus,
    })
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
      const rerun = this.#settling.settle(hold, request, wanted, sent, repeatable)
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
      this.#settling.lost(kept, request, false)
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
}
