// runtime/create-runtime.ts — config → monitor → pools → executor: a generation; and the next one put in its place.
//
//   reload(): what changed? ─ new nodes prove one connection ─ the monitor takes the config ─ one assignment swaps
//             │ nothing            │ cannot be reached                                      │
//             ▼                    ▼                                                        ▼
//          unchanged            refused, nothing changed      pools that nobody asks for any more drain
import type { ClusterConfig, Config, NodeConfig, Problem } from '../config/config.js'
import { describeDiff, diffConfig } from '../config/diff.js'
import { createExecutor } from '../execute/create-executor.js'
import { Bans } from '../execute/bans.js'
import { Gate } from '../execute/gate.js'
import { Load } from '../execute/load.js'
import { Switches } from '../execute/switches.js'
import { connectNode } from '../monitor/connect-node.js'
import { createMonitor } from '../monitor/create-monitor.js'
import type { Monitor } from '../monitor/contract.js'
import type { Observer } from '../observe/events.js'
import type { Connect, PermitsFor, PooledConnection } from '../pool/contract.js'
import { PoolSet } from '../pool/set.js'
import { lagOf, type ClusterLag } from '../topology/lag.js'
import type { Generation, ReloadResult, Runtime } from './contract.js'
import { LiveAudit } from './audit.js'
import { Chaos } from './chaos.js'
import { DirectoryCache } from './directory-cache.js'
import { UniqueIds } from './unique-ids.js'
import { createIdentities } from './identity.js'
import { Parties } from './parties.js'
import { TwoPhaseKeeper } from './two-phase.js'

export interface RuntimeParts<C extends PooledConnection> {
  readonly config: Config
  readonly observer: Observer
  /** How this door opens a connection to a node of that cluster (its TLS settings). */
  readonly connect: (cluster: ClusterConfig) => Connect<C>
  /** Process-monotonic milliseconds. */
  readonly now: () => number
  /** In [0, 1). */
  readonly random: () => number
  /** How long the start waits for a first look at every cluster; it comes up without one. Default 3 s. */
  readonly readyMs?: number
  /** Where several processes share `pool.max`. */
  readonly permits?: PermitsFor | null
  /** Number of the first generation, where other processes have counted before. Default: 1. */
  readonly generation?: number
  /** How many processes serve the configuration; each allows its share of what a user or a database may have. Default: 1. */
  readonly workers?: number
  /** Measuring servers does not keep the process alive. */
  readonly background?: boolean
}

const defaultReadyMs = 3_000
const proveMs = 5_000

/** Comes up even where no server can be reached: statements then fail by their own rules. */
export async function createRuntime<C extends PooledConnection>(parts: RuntimeParts<C>): Promise<Runtime<C>> {
  const { config, observer, now, random, readyMs = defaultReadyMs, background = false } = parts
  const chaos = new Chaos({ observer, random, monitor: () => monitor })
  const connect = chaos.measuring(connectNode(now, background))
  const monitor: Monitor = createMonitor({ config, observer, now, random, background, connect })
  const broken = { ...parts, connect: (cluster: ClusterConfig) => chaos.connecting(cluster.id, parts.connect(cluster)) }
  const runtime = new RunningRuntime(broken, monitor, chaos, readyMs)
  await monitor.ready(readyMs)
  runtime.twoPhase.configured()
  return runtime
}

class RunningRuntime<C extends PooledConnection> implements Runtime<C> {
  readonly #parts: RuntimeParts<C>
  readonly #monitor: Monitor
  readonly #chaos: Chaos
  readonly #readyMs: number
  readonly #pools: PoolSet<C>
  readonly #load = new Load()
  readonly #parties: Parties
  readonly switches: Switches
  readonly gate = new Gate()
  readonly bans: Bans
  readonly audit: LiveAudit
  readonly twoPhase: TwoPhaseKeeper
  readonly directories: DirectoryCache
  readonly uniqueIds: UniqueIds
  readonly #old = new Set<HeldGeneration<C>>()
  readonly #deaf: () => void
  #current: HeldGeneration<C>
  #reloading: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | null = null

  constructor(parts: RuntimeParts<C>, monitor: Monitor, chaos: Chaos, readyMs: number) {
    const { connect, observer, now, random } = parts
    this.#parts = parts
    this.#monitor = monitor
    this.#chaos = chaos
    chaos.configure(parts.config.chaos)
    this.#readyMs = readyMs
    this.#parties = new Parties(parts.config, parts.workers ?? 1)
    this.switches = new Switches(observer, now)
    this.bans = new Bans(observer, now)
    this.audit = new LiveAudit(observer)
    const onFailure = (node: string, error: unknown): void => monitor.reportFailure(node, error)
    this.#pools = new PoolSet<C>({ connect, observer, now, random, onFailure, permits: parts.permits ?? null })
    this.directories = new DirectoryCache({
      config: () => this.#current.config,
      topology: () => monitor.current(),
      now,
      background: parts.background ?? false,
    })
    // eslint-disable-next-line no-restricted-properties -- ids are ordered by the time of day over all processes and restarts
    this.uniqueIds = new UniqueIds({ node: () => this.#current.config.identity.node, wall: Date.now })
    this.#deaf = this.#heed(observer)
    this.#current = this.#generation(parts.config, parts.generation ?? 1)
    this.twoPhase = new TwoPhaseKeeper({
      config: () => this.#current.config,
      topology: () => monitor.current(),
      observer,
      now,
      background: parts.background ?? false,
    })
  }

  /** Told within the publication, before anybody who waits for it goes on: what must not be used any more is cut off first. */
  #heed(observer: Observer): () => void {
    const offs = [
      observer.on('primary.changed', ({ cluster, to, timeline }) => {
        if (to !== null) this.#pools.fence(cluster, { node: to, timeline }, `fenced: ${to} is the primary of cluster ${cluster} now`)
      }),
      observer.on('node.state', ({ cluster, node, state, reason }) => {
        if (state === 'down') this.#pools.abandon(cluster, node, reason)
      }),
    ]
    return () => {
      for (const off of offs) off()
    }
  }

  current(): Generation<C> {
    return this.#current
  }

  reload(config: Config, proved = false): Promise<ReloadResult> {
    const result = this.#reloading.then(() => this.#reload(config, proved))
    this.#reloading = result.catch(() => undefined)
    return result
  }

  alter(change: (config: Config) => Config): Promise<ReloadResult> {
    const result = this.#reloading.then(() => this.#reload(change(this.#current.config), true))
    this.#reloading = result.catch(() => undefined)
    return result
  }

  refuse(problems: readonly Problem[]): ReloadResult {
    return this.#told({ outcome: 'refused', generation: this.#current.number, problems })
  }

  snapshot(): ReturnType<Runtime<C>['snapshot']> {
    return {
      generation: this.#current.number,
      draining: this.#old.size,
      pools: this.#pools.counts(),
      topology: this.#monitor.current(),
      inFlight: this.#load.snapshot(),
    }
  }

  connections(): ReturnType<Runtime<C>['connections']> {
    return this.#pools.connections()
  }

  renew(...args: Parameters<Runtime<C>['renew']>): void {
    this.#pools.renew(...args)
  }

  countShared(inFlight: (node: string) => number): void {
    this.#load.shared = inFlight
  }

  lag(cluster: string): ClusterLag | null {
    const snapshot = this.#monitor.current().clusters.get(cluster)
    if (snapshot === undefined) return null
    this.#monitor.wanted(cluster)
    return lagOf(snapshot, this.#parts.now())
  }

  close(graceMs: number): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  async #close(graceMs: number): Promise<void> {
    await this.#reloading
    this.#deaf()
    this.#chaos.close()
    await this.#pools.close(graceMs)
    this.twoPhase.close()
    this.directories.close()
    this.uniqueIds.close()
    await this.#monitor.close()
    this.switches.close()
    this.audit.close()
    this.bans.close()
  }

  prove(config: Config): Promise<readonly Problem[]> {
    return this.#prove(this.#current.config, config)
  }

  async #reload(config: Config, proved: boolean): Promise<ReloadResult> {
    const before = this.#current
    const diff = diffConfig(before.config, config)
    if (diff.unchanged) return this.#told({ outcome: 'unchanged', generation: before.number })
    const problems = proved ? [] : await this.#prove(before.config, config)
    if (problems.length > 0 || this.#closing !== null) return this.#told({ outcome: 'refused', generation: before.number, problems })
    this.#monitor.configure(config)
    await this.#monitor.ready(this.#readyMs)
    this.#parties.configure(config)
    this.#current = this.#generation(config, before.number + 1)
    this.twoPhase.configured()
    this.#chaos.configure(config.chaos)
    this.#old.add(before)
    before.retire()
    return this.#told({ outcome: 'applied', generation: this.#current.number, changes: describeDiff(diff) })
  }

  #told(result: ReloadResult): ReloadResult {
    const problems =
      result.outcome === 'refused' ? result.problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)) : []
    this.#parts.observer.emit('config.reloaded', { outcome: result.outcome, generation: result.generation, problems })
    return result
  }

  #generation(config: Config, number: number): HeldGeneration<C> {
    const { observer, now, random } = this.#parts
    const monitor = this.#monitor
    const executor = createExecutor<C>({
      config,
      monitor,
      pools: this.#pools,
      load: this.#load,
      switches: this.switches,
      bans: this.bans,
      observer,
      now,
      random,
    })
    return new HeldGeneration<C>(
      {
        number,
        config,
        executor,
        topology: () => monitor.current(),
        sampleNow: (cluster) => monitor.sampleNow(cluster),
        changed: (signal) => monitor.changed(signal),
        catalogs: () => monitor.catalogs(),
        catalogChanged: (cluster) => monitor.catalogChanged(cluster),
        writeAcknowledged: (cluster, at) => monitor.writeAcknowledged(cluster, at),
        commitsWatched: (cluster) => monitor.commitsWatched(cluster),
        asynchronousCommit: (cluster, reason) => monitor.asynchronousCommit(cluster, reason),
        directories: this.directories,
        identityFor: createIdentities(config, this.#parties),
      },
      (generation) => this.#drained(generation),
    )
  }

  #drained(generation: HeldGeneration<C>): void {
    this.#old.delete(generation)
    if (this.#closing === null) this.#pools.keep([this.#current, ...this.#old].map(({ config }) => config))
  }

  /** One connection to every node that the old config did not have, where the cluster has a login of its own. */
  async #prove(before: Config, after: Config): Promise<readonly Problem[]> {
    const known = new Set([...before.clusters.values()].flatMap(({ nodes }) => nodes.map(({ id }) => id)))
    const fresh = [...after.clusters.values()].flatMap((cluster) =>
      cluster.nodes.filter(({ id }) => !known.has(id)).map((node) => ({ cluster, node })),
    )
    const found = await Promise.all(fresh.map(({ cluster, node }) => this.#problemOf(after, cluster, node)))
    return found.filter((problem) => problem !== null)
  }

  async #problemOf(config: Config, cluster: ClusterConfig, node: NodeConfig): Promise<Problem | null> {
    if (cluster.user === null) return null
    const database = [...config.databases.keys()].find((name) => name !== '*') ?? 'postgres'
    const identity = createIdentities(config, this.#parties)(cluster.id, { database, user: cluster.user, password: null })
    try {
      const connection = await this.#parts.connect(cluster)(node, identity, AbortSignal.timeout(proveMs))
      connection.close()
      return null
    } catch (error) {
      const message = `no connection could be opened to ${node.id}: ${error instanceof Error ? error.message : String(error)}`
      const path = `clusters.${cluster.id}.nodes`
      return { line: null, column: null, path, found: node.id, allowed: 'a server that answers', message }
    }
  }
}

/** A generation and the sessions that hold it. */
class HeldGeneration<C extends PooledConnection> implements Generation<C> {
  readonly #parts: Omit<Generation<C>, 'enter' | 'leave'>
  readonly #drained: (generation: HeldGeneration<C>) => void
  #held = 0
  #retired = false

  constructor(parts: Omit<Generation<C>, 'enter' | 'leave'>, drained: (generation: HeldGeneration<C>) => void) {
    this.#parts = parts
    this.#drained = drained
  }

  get number(): number {
    return this.#parts.number
  }

  get config(): Config {
    return this.#parts.config
  }

  get executor(): Generation<C>['executor'] {
    return this.#parts.executor
  }

  get directories(): Generation<C>['directories'] {
    return this.#parts.directories
  }

  topology(): ReturnType<Generation<C>['topology']> {
    return this.#parts.topology()
  }

  sampleNow(cluster: string): Promise<void> {
    return this.#parts.sampleNow(cluster)
  }

  changed(signal: AbortSignal): Promise<void> {
    return this.#parts.changed(signal)
  }

  catalogs(): ReturnType<Generation<C>['catalogs']> {
    return this.#parts.catalogs()
  }

  catalogChanged(cluster: string): void {
    this.#parts.catalogChanged(cluster)
  }

  writeAcknowledged(cluster: string, now: number): void {
    this.#parts.writeAcknowledged(cluster, now)
  }

  commitsWatched(cluster: string): boolean {
    return this.#parts.commitsWatched(cluster)
  }

  asynchronousCommit(cluster: string, reason: string): void {
    this.#parts.asynchronousCommit(cluster, reason)
  }

  identityFor(...args: Parameters<Generation<C>['identityFor']>): ReturnType<Generation<C>['identityFor']> {
    return this.#parts.identityFor(...args)
  }

  enter(): void {
    this.#held++
  }

  leave(): void {
    this.#held--
    if (this.#retired && this.#held === 0) this.#drained(this)
  }

  /** The next one is in place. */
  retire(): void {
    this.#retired = true
    if (this.#held === 0) this.#drained(this)
  }
}
