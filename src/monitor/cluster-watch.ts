// monitor/cluster-watch.ts — one cluster: a poller per node, the state they feed, and the catalog. What is decided from
// the answers is decided in topology/, which is pure; here are only the questions, and who is told.
import type { ClusterConfig } from '../config/config.js'
import type { Catalog } from '../catalog/catalog.js'
import type { Lsn } from '../consistency/lsn.js'
import { positionProvider } from '../consistency/position-provider.js'
import type { Observer } from '../observe/events.js'
import { Acknowledged } from '../topology/acknowledged.js'
import {
  discardSeries,
  expireRoles,
  newCluster,
  nextExpiry,
  observe,
  reconfigure,
  setAside,
  snapshotOf,
  type ClusterState,
} from '../topology/cluster-state.js'
import type { NodeEvent } from '../topology/node-state.js'
import type { ClusterSnapshot, NodeSnapshot } from '../topology/topology.js'
import { CatalogKeeper } from './catalog-keeper.js'
import { asynchronousQuery } from './commit-query.js'
import { monitorLogin, type ConnectMonitor, type MonitorConnection, type MonitorLogin } from './connection.js'
import { FlushGuard } from './flush-guard.js'
import { LsnWaiter, waitsSince } from './lsn-waiter.js'
import type { ReadText } from './read-body.js'
import { Poller } from './poller.js'
import { tellChanges, tellStaleness, type Told } from './tell.js'

export interface WatchParts {
  readonly connect: ConnectMonitor
  readonly reader: () => Promise<ReadText>
  readonly observer: Observer
  readonly now: () => number
  readonly random: () => number
  readonly background: boolean
  readonly epoch: () => number
  /** The snapshot has changed. */
  readonly changed: () => void
  readonly catalogLoaded: () => void
}

/** Ms between two questions to a node. */
const IDLE_MS = 1_000
const BUSY_MS = 100
/** For a while after the last read with a bound: the next one, of a second, finds a sample that is young enough (I5). */
const WARM_MS = 500
const WARM_FOR_MS = 60_000
/** While there is no primary somebody may be waiting for one. */
const HEADLESS_MS = 200
/** Whoever waits for a primary has given up by then. */
const HEADLESS_LONG_MS = 60_000
/** Reads that need fresh samples were asked for within this time. */
const WANTED_MS = 1_000

export class ClusterWatch {
  readonly #parts: WatchParts
  readonly #pollers = new Map<string, Poller>()
  readonly #waiters = new Map<string, LsnWaiter>()
  readonly #catalog: CatalogKeeper
  /** Writes acknowledged, as the doors tell. */
  readonly acknowledged: Acknowledged = new Acknowledged()
  #flush: FlushGuard | null
  #expiry: NodeJS.Timeout | undefined
  #config: ClusterConfig
  #state: ClusterState
  /** The state that was last told of, and as which it is shown. */
  #told: Told
  #wantedAt = -Infinity

  constructor(config: ClusterConfig, parts: WatchParts) {
    this.#parts = parts
    this.#config = config
    this.#state = newCluster(config.id, config.nodes, positionsKey(config))
    this.#flush = config.lsnSource === 'flush' ? new FlushGuard() : null
    this.#told = { state: this.#state, snapshot: snapshotOf(this.#state) }
    this.#catalog = new CatalogKeeper({
      cluster: config.id,
      connect: (signal) => this.#connectForCatalog(signal),
      reader: parts.reader,
      observer: parts.observer,
      background: parts.background,
      inspect: (query) => this.#inspect(query),
      loaded: parts.catalogLoaded,
    })
    this.#watchNodes()
  }

  get snapshot(): ClusterSnapshot {
    return this.#told.snapshot
  }

  get catalog(): Catalog | null {
    return this.#catalog.current
  }

  get config(): ClusterConfig {
    return this.#config
  }

  /** Every node was asked once, and the catalog was loaded or could not be. */
  get ready(): boolean {
    return this.#state.nodes.every((node) => node.asked) && (this.#catalog.tried || !this.#hasServer())
  }

  wanted(now: number): void {
    const before = this.#wantedAt
    this.#wantedAt = now
    if (now - before > WANTED_MS) for (const poller of this.#pollers.values()) poller.hurry()
  }

  async samplePrimary(): Promise<void> {
    const id = this.#state.incumbent?.node
    if (id !== undefined) await this.#pollers.get(id)?.poll()
  }

  async checkNode(id: string): Promise<void> {
    await this.#pollers.get(id)?.poll()
  }

  /** The server waits by itself; see Monitor.waitFor(). */
  waitFor(id: string, lsn: Lsn, ms: number): boolean {
    const version = this.#pollers.get(id)?.version ?? 0
    return version >= waitsSince && this.#config.position.kind === 'wal' && this.#waiter(id).waitFor(lsn, ms)
  }

  /** The flush position is relied on, or may be yet. */
  get commitsWatched(): boolean {
    return this.#flush !== null && this.#flush.broken === null
  }

  asynchronousCommit(reason: string): void {
    if (this.#flush?.seen(reason) === true) this.#tellFallback(reason)
  }

  /** Roles older than the last word of any node are forgotten, and that is told. */
  expireRoles(): void {
    const after = expireRoles(this.#state, this.#parts.now())
    if (after === this.#state) return
    this.#state = after
    this.#publish()
  }

  /** The last moment at which all that is known of roles is believed. */
  get expiresAt(): number {
    return nextExpiry(this.#state)
  }

  reportFailure(id: string, reason: string): void {
    const poller = this.#pollers.get(id)
    if (poller === undefined) return
    // While the monitor's own connection lives its answer decides whether the node is down: one that takes no new connections
    // (too busy, or shutting down slowly) would lose the reads that it is answering.
    const health = this.#state.nodes.find(({ node }) => node.id === id)?.health
    if (!poller.connected || health === 'up') this.#observe(id, { kind: 'lost', reason })
    poller.retryNow()
  }

  setAside(node: string, reason: string | null): void {
    this.#state = setAside(this.#state, node, reason)
    this.#publish()
  }

  catalogChanged(): void {
    this.#catalog.changed()
  }

  discardSeries(): void {
    this.#state = discardSeries(this.#state, this.#parts.now())
    this.#publish()
    for (const poller of this.#pollers.values()) void poller.poll()
  }

  /** Nodes that stay keep their connection and what is known of them, unless the login or TLS changed. */
  configure(config: ClusterConfig): void {
    const before = this.#config
    this.#config = config
    for (const id of this.#pollers.keys()) if (nodeKey(before, id) !== nodeKey(config, id)) this.#leave(id)
    if (config.lsnSource !== before.lsnSource) this.#flush = config.lsnSource === 'flush' ? new FlushGuard() : null
    // Nobody has looked through the other database, and what was found in this one may be at work in it too.
    else if (config.dbname !== before.dbname) this.#flush = this.#flush?.anew() ?? null
    this.#state = reconfigure(this.#state, config.nodes, this.#parts.now(), positionsKey(config))
    this.#watchNodes()
    this.#publish()
    this.#catalog.changed()
  }

  stop(): void {
    for (const id of [...this.#pollers.keys()]) this.#leave(id)
    clearTimeout(this.#expiry)
    this.#expiry = undefined
    this.#catalog.stop()
  }

  #leave(id: string): void {
    this.#pollers.get(id)?.stop()
    this.#pollers.delete(id)
    this.#waiters.get(id)?.stop()
    this.#waiters.delete(id)
  }

  #waiter(id: string): LsnWaiter {
    const known = this.#waiters.get(id)
    if (known !== undefined) return known
    const over = (): void => void this.checkNode(id)
    const waiter = new LsnWaiter({ now: this.#parts.now, connect: (signal) => this.#connect(id, signal), over })
    this.#waiters.set(id, waiter)
    return waiter
  }

  #watchNodes(): void {
    const { now, random, epoch, background } = this.#parts
    for (const node of this.#config.nodes) {
      const { id } = node
      if (this.#pollers.has(id)) continue
      const poller = new Poller({
        now,
        random,
        epoch,
        background,
        positions: positionProvider(this.#config, node),
        isPrimary: () => this.#state.proved && this.#state.incumbent?.node === id,
        connect: (signal) => this.#connect(id, signal),
        report: (event) => {
          if (this.#pollers.get(id) === poller) this.#observe(id, event)
        },
        period: () => this.#period(),
        lifetime: () => this.#config.pool.lifetimeMs,
      })
      this.#pollers.set(id, poller)
    }
  }

  #period(): number {
    if (this.#parts.now() - this.#wantedAt <= WANTED_MS) return BUSY_MS
    const { proved, headlessSince } = this.#state
    const lately = headlessSince === null || this.#parts.now() - headlessSince <= HEADLESS_LONG_MS
    if (!proved && lately) return HEADLESS_MS
    return this.#parts.now() - this.#wantedAt <= WARM_FOR_MS ? WARM_MS : IDLE_MS
  }

  async #connect(id: string, signal: AbortSignal): ReturnType<ConnectMonitor> {
    const node = this.#config.nodes.find((candidate) => candidate.id === id)
    if (node === undefined) throw new Error('the node is not configured any more')
    return this.#parts.connect(node, this.#config, this.#login(), signal)
  }

  /** The primary's catalog, else that of any replica; a cluster of many databases has none. */
  async #connectForCatalog(signal: AbortSignal): ReturnType<ConnectMonitor> {
    const source = this.#catalogSource()
    const node = this.#config.nodes.find((candidate) => candidate.id === source?.id)
    if (node === undefined) throw new Error('no server to read the catalog from')
    return this.#parts.connect(node, this.#config, this.#login(), signal)
  }

  #login(): MonitorLogin {
    const login = monitorLogin(this.#config)
    if (login === null) throw new Error(`cluster ${this.#config.id} names no user for the monitor`)
    return login
  }

  #hasServer(): boolean {
    return this.#catalogSource() !== null
  }

  #catalogSource(): NodeSnapshot | null {
    if (this.#config.dbname === null) return null
    return this.snapshot.primary ?? this.snapshot.nodes.find((node) => node.unfit === null) ?? null
  }

  #observe(id: string, event: NodeEvent): void {
    this.#state = observe(this.#state, id, this.#guarded(event), this.#parts.now())
    this.#publish()
    tellStaleness(this.#parts.observer, this.snapshot, id, this.#parts.now())
    if (this.#hasServer()) this.#catalog.start()
  }

  #guarded(event: NodeEvent): NodeEvent {
    if (this.#flush === null || event.kind !== 'answer') return event
    const { server } = event.answer
    if (this.#config.dbname === null) this.asynchronousCommit('it serves many databases, whose functions nobody has looked through')
    if (server.commits?.asynchronous === true) this.asynchronousCommit('synchronous_commit is off where the primary was asked')
    return { ...event, answer: { ...event.answer, server: this.#flush.position(server) } }
  }

  /** The settings of the cluster's own database. */
  async #inspect(query: MonitorConnection['query']): Promise<void> {
    const flush = this.#flush
    if (flush === null) return
    const [row] = await query(asynchronousQuery)
    const found = row?.[0] ?? null
    if (flush.looked(found) && flush === this.#flush) this.#tellFallback(found ?? '')
  }

  #tellFallback(reason: string): void {
    this.#parts.observer.emit('position.fallback', { cluster: this.#config.id, reason })
  }

  #publish(): void {
    const before = this.#told
    this.#told = { state: this.#state, snapshot: snapshotOf(this.#state) }
    tellChanges(this.#parts.observer, before, this.#told, this.acknowledged)
    this.#expireLater()
    this.#parts.changed()
  }

  /** One timer for all nodes: nobody may ask, and what is not known any more is to be told all the same. */
  #expireLater(): void {
    const { now, background } = this.#parts
    if (this.#expiry !== undefined || this.expiresAt === Infinity || this.#pollers.size === 0) return
    this.#expiry = setTimeout(
      () => {
        this.#expiry = undefined
        this.expireRoles()
        this.#expireLater()
      },
      Math.max(0, this.expiresAt - now()) + 1,
    )
    if (background) this.#expiry.unref()
  }
}

function positionsKey(config: ClusterConfig): string {
  return positionProvider(config, { subscriber: false }).key
}

/** What the monitor's connection to a node, and what is asked on it, depend on; null: there is no such node. */
function nodeKey(cluster: ClusterConfig, id: string): string | null {
  const node = cluster.nodes.find((one) => one.id === id)
  return node === undefined ? null : JSON.stringify([monitorLogin(cluster), cluster.tls, cluster.position, node.subscriber])
}
