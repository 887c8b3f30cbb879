// doors/proxy/planning.ts — where one client's statements are to go: plan() of the core, given what this client's session and its
// generation are at the moment; and the plans that no statement has, of what a failed transaction or a kept connection is sent.
import { PointsmanError } from '../../errors/error.js'
import type { PlanInput } from '../../routing/input.js'
import { one } from '../../routing/make.js'
import type { OnePlan, Plan } from '../../routing/plan.js'
import { why } from '../../routing/rules.js'
import type { DirectoryLookup } from '../../runtime/directory-cache.js'
import { asynchronousCommit } from '../../session/asynchronous-commit.js'
import { pinReasons } from '../../session/pin-reasons.js'
import type { ClientStatement, Session } from '../../session/session.js'
import { directoryTries, hasDirectories } from '../../sharding/directories.js'
import type { ClientState } from './client-state.js'
import type { Core, Planned } from './core-contract.js'
import type { Generations } from './generations.js'
import type { Holds } from './holds.js'
import { databaseOf } from './login.js'
import type { Presence } from './presence.js'
import type { Proof } from './proved-statements.js'

interface PlanningParts {
  readonly state: ClientState
  readonly generations: Generations
  readonly presence: Presence
  readonly holds: Holds
  readonly core: Core
}

export class Planning {
  readonly #state: ClientState
  readonly #generations: Generations
  readonly #presence: Presence
  readonly #holds: Holds
  readonly #core: Core

  constructor({ state, generations, presence, holds, core }: PlanningParts) {
    this.#state = state
    this.#generations = generations
    this.#presence = presence
    this.#holds = holds
    this.#core = core
  }

  /** The plan of statements that go together. `view`: the session as they will find it, where that is not as it is now. */
  plan(statements: readonly [Planned, ...Planned[]], view: Session['view'] = this.#state.session.view): Plan {
    const plan =
      statements.length === 1
        ? this.#core.plan(this.#planInput(statements[0], view))
        : this.#core.planBatch(statements.map((each) => this.#planInput(each, view)))
    if (plan.kind === 'one' && plan.asks !== null) for (const each of statements) this.#holds.mentions(each)
    if (plan.kind === 'one' && this.#generations.current.commitsWatched(plan.cluster)) this.#watchCommit(plan.cluster, statements)
    return plan
  }

  #watchCommit(cluster: string, statements: readonly Planned[]): void {
    for (const { understood } of statements) {
      const reason = asynchronousCommit(understood, this.#state.session.settings)
      if (reason !== null) this.#generations.current.asynchronousCommit(cluster, reason)
    }
  }

  #planInput({ understood, parameters }: Planned, session: Session['view']): PlanInput {
    const { config } = this.#generations.current
    const database = databaseOf(config, this.#state.session.database)
    if (database === undefined) throw new PointsmanError('unknown_database', { values: { database: this.#state.session.database } })
    const { directories } = this.#generations.current
    return { understood, parameters, session, config, database, catalogs: this.#generations.current.catalogs(), directories }
  }

  get hasDirectories(): boolean {
    const database = databaseOf(this.#generations.current.config, this.#state.session.database)
    return database !== undefined && hasDirectories(database.sharded)
  }

  /** Whether a directory must be asked before these statements can be planned. */
  lacksKeys(statements: readonly [Planned, ...Planned[]], view: Session['view']): boolean {
    if (this.failedPlan() !== null) return false
    const plan = this.plan(statements, view)
    return plan.kind === 'refuse' && plan.lookup !== undefined
  }

  /** Has directories asked for what the plan of these statements lacks: plan() then finds it. Mostly it lacks nothing: null. */
  directoriesAsked(statements: readonly [Planned, ...Planned[]], view: Session['view'] = this.#state.session.view): Promise<void> | null {
    if (!this.hasDirectories || this.failedPlan() !== null) return null
    const plan = this.plan(statements, view)
    return plan.kind === 'refuse' && plan.lookup !== undefined ? this.#ask(plan.lookup, statements, view) : null
  }

  async #ask(first: DirectoryLookup, statements: readonly [Planned, ...Planned[]], view: Session['view']): Promise<void> {
    let lookup: DirectoryLookup | undefined = first
    for (let tries = 0; lookup !== undefined && tries < directoryTries; tries++) {
      await this.#generations.current.directories.ask(lookup, this.#state.session.database)
      this.#presence.require()
      const plan = this.plan(statements, view)
      lookup = plan.kind === 'refuse' ? plan.lookup : undefined
    }
  }

  /** The plan of everything sent while a server's transaction is failed: PostgreSQL itself says what may still run. */
  failedPlan(): OnePlan | null {
    const { transaction } = this.#state.session
    // What is open on several clusters ends on all of them.
    if (transaction.kind !== 'open' || transaction.status !== 'E' || transaction.joined.length > 0) return null
    const { cluster, role } = transaction.home
    return one({ cluster, role, why: [why('transaction', 'the failed transaction stays on its server')] })
  }

  /**
   * The plan of what can only mean the open transaction, or else a connection that the session keeps (a cursor WITH HOLD); null
   * where there is neither. `runs`: it may change data.
   */
  homePlan(runs: boolean): OnePlan | null {
    const { transaction, pins } = this.#state.session
    if (transaction.kind !== 'open') {
      const cluster = [...pins].find(([, reason]) => reason === pinReasons.cursor)?.[0] ?? pins.keys().next().value
      if (cluster === undefined) return null
      return one({
        cluster,
        role: 'primary',
        writes: runs,
        readsData: runs,
        why: [why('pinned', 'a portal that may outlive its transaction')],
      })
    }
    const { cluster, role } = transaction.home
    const writes = runs && role === 'primary'
    return one({ cluster, role, writes, readsData: runs, why: [why('transaction', 'a portal of the open transaction')] })
  }

  /** What a Parse of this statement would prove now; null where it would prove nothing: once a transaction has begun, and beside temporary tables. */
  proofOf(cluster: string, statement: ClientStatement): Proof | null {
    const { transaction, settings } = this.#state.session
    if (transaction.kind === 'open' || settings.locals.size > 0 || this.#holds.size > 0) return null
    const { number: generation } = this.#generations.current
    const catalog = this.#generations.current.catalogs().get(cluster)
    const { database, user } = this.#state.session
    return this.#state.proved.proof({ generation, cluster, catalog, database, user, settings: settings.values }, statement.key)
  }
}
