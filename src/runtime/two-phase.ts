// runtime/two-phase.ts — transactions over several clusters as the doors use them: their commit, and the recovery that every
// process runs from its start on. Its connections are its own: a pool that is full must not keep a lock from being let go.
import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type { Config } from '../config/config.js'
import { PointsmanError } from '../errors/error.js'
import { TwoPhaseRecovery, type InDoubt } from '../execute/two-phase-recovery.js'
import { commitTogether, decisionsPlace, type Ending, type OwnConnection, type Participant } from '../execute/two-phase.js'
import type { Observer } from '../observe/events.js'
import { connectServer } from '../server/connect-server.js'
import type { ServerConnection } from '../server/contract.js'
import type { Topology } from '../topology/topology.js'

export interface TwoPhaseKeeperParts {
  readonly config: () => Config
  readonly topology: () => Topology
  readonly observer: Observer
  /** Process-monotonic ms. */
  readonly now: () => number
  /** Recovery does not keep the process alive. */
  readonly background: boolean
}

/** Recovery looks this often, and no more seldom than three times in `grace`. */
const longestPauseMs = 10_000
const leastPauseMs = 500
/** A connection that is not done by then is closed: what it waited for is looked at again. */
const connectionMs = 60_000

export class TwoPhaseKeeper {
  readonly #parts: TwoPhaseKeeperParts
  readonly #recovery: TwoPhaseRecovery
  readonly #closing = new AbortController()
  readonly #open = new Set<ServerConnection>()
  /** Tables of decisions, by database and cluster, as they were last found: a decision is only made in the one that is meant. */
  readonly #places = new Map<string, Promise<string>>()
  #timer: NodeJS.Timeout | null = null

  constructor(parts: TwoPhaseKeeperParts) {
    this.#parts = parts
    const { config, observer } = parts
    // Recovery opens a connection to every cluster at once.
    setMaxListeners(0, this.#closing.signal)
    this.#recovery = new TwoPhaseRecovery({ config, observer, open: (cluster, database) => this.#connect(cluster, database) })
  }

  /** The configuration is there, or another one is: recovery looks at once. */
  configured(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#places.clear()
    void this.#round()
  }

  /** Prepared by us and older than `grace`, as recovery saw it last. */
  inDoubt(): readonly InDoubt[] {
    return this.#recovery.inDoubt
  }

  /** Ends what is left prepared, as far as it can be ended now. Never rejects. */
  recover(): Promise<void> {
    return this.#recovery.pass()
  }

  /** Commits a transaction in which two or more clusters have written. Never rejects. */
  async commit(database: string, participants: readonly [Participant, ...Participant[]]): Promise<Ending> {
    const { config, now, observer } = this.#parts
    const { databases, clusters } = config()
    const ending = await commitTogether(participants, {
      database,
      unique: randomUUID().replaceAll('-', ''),
      open: (cluster, name) => this.#connect(cluster, name),
      place: (cluster) => this.#place(cluster, database),
      observer,
      now,
      limitMs: databases.get(database)?.twoPhase?.graceMs ?? 0,
      waitMs: Math.max(...participants.map(({ cluster }) => clusters.get(cluster)?.failover.waitMs ?? 0)),
    })
    if (ending.kind === 'aborted' && ending.error instanceof PointsmanError) this.#places.clear()
    observer.emit('two-phase.end', { database, outcome: ending.kind })
    return ending
  }

  async #place(cluster: string, database: string): Promise<string> {
    const name = JSON.stringify([database, cluster])
    const known = this.#places.get(name)
    if (known !== undefined) return known
    const asked = this.#connect(cluster, database).then((connection) =>
      decisionsPlace(connection, cluster).finally(() => connection.close()),
    )
    this.#places.set(name, asked)
    asked.catch(() => this.#places.get(name) === asked && this.#places.delete(name))
    return asked
  }

  close(): void {
    this.#closing.abort(new PointsmanError('shutting_down'))
    if (this.#timer !== null) clearTimeout(this.#timer)
    for (const connection of this.#open) connection.close()
  }

  async #round(): Promise<void> {
    const graces = [...this.#parts.config().databases.values()].flatMap(({ twoPhase }) => (twoPhase === null ? [] : [twoPhase.graceMs]))
    if (graces.length > 0) await this.#recovery.pass()
    if (graces.length === 0 || this.#closed) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#round(), Math.max(leastPauseMs, Math.min(longestPauseMs, ...graces.map((ms) => ms / 3))))
    if (this.#parts.background) this.#timer.unref()
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted
  }

  async #connect(cluster: string, database: string): Promise<OwnConnection> {
    const { config, topology, now, background } = this.#parts
    const found = config().clusters.get(cluster)
    const primary = topology().clusters.get(cluster)?.primary
    const node = found?.nodes.find(({ id }) => id === primary?.id)
    if (found === undefined || node === undefined) {
      throw new PointsmanError('cluster_unreachable', { values: { cluster, why: 'it has no proved primary' } })
    }
    const identity = { cluster, dbname: found.dbname ?? database, user: found.user ?? '', password: found.password, key: 'two-phase' }
    const startup = { application_name: 'pointsman two-phase' }
    const options = { now, startup, maxStatements: 0, background, positions: found }
    const connection = await connectServer(node, found.tls, identity, options, this.#closing.signal)
    this.#open.add(connection)
    const timer = setTimeout(() => connection.close(), connectionMs)
    timer.unref()
    connection.onClosed(() => {
      clearTimeout(timer)
      this.#open.delete(connection)
    })
    return { query: (sql) => connection.query(sql), close: () => connection.close() }
  }
}
