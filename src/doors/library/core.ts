// doors/library/core.ts — what all clients of one router share: the runtime, how statements are read and planned, the
// floors of the process, and what a session starts with.
//
// Writes are everybody's: whatever this process has been told was written, every later `session` read of this process sees.
// Reads are a client's own: only statements of one checked-out client come after one another (monotonic reads).
import { setMaxListeners } from 'node:events'
import { ResultCache } from '../../cache/result-cache.js'
import { PointsmanError } from '../../errors/error.js'
import { createFloors, type SessionFloors } from '../../consistency/floors.js'
import type { Config, DatabaseConfig } from '../../config/config.js'
import type { RouteTaken } from '../../execute/contract.js'
import { DescribedReads } from '../../execute/described-reads.js'
import type { Observer } from '../../observe/events.js'
import { one } from '../../routing/make.js'
import type { PlanInput } from '../../routing/input.js'
import type { Plan } from '../../routing/plan.js'
import { why } from '../../routing/rules.js'
import type { ClientLogin, Generation, Runtime } from '../../runtime/contract.js'
import { Session, type Greeting } from '../../session/session.js'
import type { Understood } from '../../sql/statement.js'
import { KeepAlive } from './keep-alive.js'
import type { PgConnection } from './pg-connection.js'
import type { PgModule } from './public.js'
import type { RawRows } from './raw-rows.js'
import type { RequestContext } from './request-context.js'
import { describedBytes, type DescribedRead } from './scatter-part.js'
import { ShapeLearning } from './shape-learning.js'
import { Warnings } from './warnings.js'

/** How statements are read and routed; the same functions that the proxy uses. */
export interface Planner {
  understand(text: string): Understood
  plan(input: PlanInput): Plan
  printRoute(plan: Plan, route: RouteTaken | null): string
  /** The same of a statement that is over. */
  printTaken(plan: Plan, route: RouteTaken | null): string
}

export interface CoreParts {
  readonly pg: PgModule
  readonly planner: Promise<Planner>
  readonly runtime: Promise<Runtime<PgConnection>>
  readonly observer: Observer
  readonly now: () => number
  readonly login: ClientLogin
  /** What it starts with. */
  readonly config: Config
  readonly context: RequestContext
}

/** What a statement needs before it can be planned. */
export interface Ground {
  readonly planner: Planner
  readonly generation: Generation<PgConnection>
  readonly database: DatabaseConfig
  readonly greeting: Greeting
  /** A session that has done nothing, for statements outside any: never changed. */
  readonly fresh: Session
}

export interface HomeConfig {
  readonly config: Config
  readonly database: DatabaseConfig
}

export class Core {
  readonly pg: PgModule
  readonly observer: Observer
  readonly now: () => number
  readonly login: ClientLogin
  /** What this process has written. */
  readonly written: SessionFloors = createFloors()
  readonly cache: ResultCache<RawRows> = new ResultCache()
  /** Of merged reads (scatter.ts). */
  readonly described: DescribedReads<DescribedRead> = new DescribedReads(describedBytes)
  /** Aborted by end(): what still waits for a server then is told. */
  readonly stopping: AbortController = new AbortController()
  /** Neither measuring nor idle connections keep the process alive; work under way does. */
  readonly alive: KeepAlive = new KeepAlive()
  /** Whose statement the present one is. */
  readonly context: RequestContext
  readonly warnings: Warnings
  readonly shapes: ShapeLearning
  readonly #config: Config
  readonly #planner: Promise<Planner>
  readonly #runtime: Promise<Runtime<PgConnection>>
  #running: { readonly planner: Planner; readonly runtime: Runtime<PgConnection> } | null = null
  #ground: { readonly generation: number; readonly ground: Promise<Ground> } | null = null
  /** The same, once it is there. */
  #stands: Ground | null = null

  constructor(parts: CoreParts) {
    this.pg = parts.pg
    this.observer = parts.observer
    this.now = parts.now
    this.login = parts.login
    this.context = parts.context
    this.warnings = new Warnings(parts.observer, parts.context)
    this.shapes = new ShapeLearning(parts.now)
    this.#config = parts.config
    this.#planner = parts.planner
    this.#runtime = parts.runtime
    // Every statement that waits for a server listens.
    setMaxListeners(0, this.stopping.signal)
  }

  /** Resolves when statements can be planned. */
  async ready(): Promise<{ readonly planner: Planner; readonly runtime: Runtime<PgConnection> }> {
    if (this.#running !== null) return this.#running
    return this.alive.during(async () => {
      this.#running = { planner: await this.#planner, runtime: await this.#runtime }
      return this.#running
    })
  }

  get runtime(): Runtime<PgConnection> | null {
    return this.#running?.runtime ?? null
  }

  /** What ground() would resolve with, where that is known. */
  get standing(): Ground | null {
    const ground = this.#stands
    return ground !== null && this.#running?.runtime.current().number === ground.generation.number ? ground : null
  }

  /** The present generation with what its servers say at login; asked once per generation, again where that failed. */
  async ground(): Promise<Ground> {
    const { planner, runtime } = this.#running ?? (await this.ready())
    const generation = runtime.current()
    if (this.#ground?.generation === generation.number) return this.#ground.ground
    const ground = this.#prepare(planner, generation)
    this.#ground = { generation: generation.number, ground }
    ground.then(
      (found) => {
        if (this.#ground?.ground === ground) this.#stands = found
      },
      () => {
        if (this.#ground?.ground === ground) this.#ground = null
      },
    )
    return ground
  }

  /** What is configured now, also before anything runs. */
  home(config: Config = this.#running?.runtime.current().config ?? this.#config): HomeConfig {
    const database = config.databases.get(this.login.database) ?? config.databases.get('*')
    if (database === undefined) throw new PointsmanError('unknown_database', { values: { database: this.login.database } })
    return { config, database }
  }

  async #prepare(planner: Planner, generation: Generation<PgConnection>): Promise<Ground> {
    this.cache.enter(generation.number, generation.config, this.now())
    const { database } = this.home(generation.config)
    const greeting = await this.#greet(generation, database.default)
    return { planner, generation, database, greeting, fresh: this.newSession(greeting) }
  }

  /** The floors of one client, over what the process has written. */
  newFloors(): SessionFloors {
    return createFloors(this.written)
  }

  newSession(greeting: Greeting): Session {
    return new Session({ database: this.login.database, user: this.login.user, settings: new Map(), greeting, joins: true })
  }

  /** Any server of the default cluster tells it; the primary rather, but a process must also come up while there is none. */
  async #greet(generation: Generation<PgConnection>, cluster: string): Promise<Greeting> {
    const role = (generation.topology().clusters.get(cluster)?.primary ?? null) === null ? 'replica' : 'primary'
    const { lease } = await generation.executor.acquire({
      plan: one({ cluster, role, why: [why('setting', 'what the server reports at login')] }),
      identity: generation.identityFor(cluster, this.login),
      floors: this.newFloors(),
      invokedAt: this.now(),
      signal: this.stopping.signal,
    })
    const { greeting } = lease.connection
    lease.release(null)
    return greeting
  }
}
