// monitor/cluster-watch.ts — one cluster: a poller per node, the state they feed, and the catalog. What is decided from
// the answers is decided in topology/, which is pure; here are only the questions, and who is told.
import type { ClusterConfig } from '../config/config.js'
import type { Catalog } from '../catalog/catalog.js'
import { boundOf } from '../consistency/series.js'
import type { Observer } from '../observe/events.js'
import { discardSeries, newCluster, observe, reconfigure, setAside, snapshotOf, type ClusterState } from '../topology/cluster-state.js'
import type { NodeEvent } from '../topology/node-state.js'
import type { ClusterSnapshot, NodeSnapshot } from '../topology/topology.js'
import { CatalogKeeper } from './catalog-keeper.js'
import { monitorLogin, type ConnectMonitor, type MonitorLogin } from './connection.js'
import type { ReadText } from './read-body.js'
import { Poller } from './poller.js'

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
/** While there is no primary somebody may be waiting for one. */
const HEADLESS_MS = 200
/** Reads that need fresh samples were asked for within this time. */
const WANTED_MS = 1_000

export class ClusterWatch {
  readonly #parts: WatchParts
  readonly #pollers = new Map<string, Poller>()
  readonly #catalog: CatalogKeeper
  #config: ClusterConfig
  #state: ClusterState
  #snapshot: ClusterSnapshot
  #wantedAt = -Infinity

  constructor(config: ClusterConfig, parts: WatchParts) {
    this.#parts = parts
    this.#config = config
    this.#state = newCluster(config.id, config.nodes)
    this.#snapshot = snapshotOf(this.#state)
    this.#catalog = new CatalogKeeper({
      cluster: config.id,
      connect: (signal) => this.#connectForCatalog(signal),
      reader: parts.reader,
      observer: parts.observer,
      background: parts.background,
      loaded: parts.catalogLoaded,
    })
    this.#watchNodes()
  }

  get snapshot(): ClusterSnapshot {
    return this.#snapshot
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

  wanted(): void {
    const before = this.#wantedAt
    this.#wantedAt = this.#parts.now()
    if (this.#wantedAt - before > WANTED_MS) for (const poller of this.#pollers.values()) poller.hurry()
  }

  async samplePrimary(): Promise<void> {
    const id = this.#state.incumbent?.node
    if (id !== undefined) await this.#pollers.get(id)?.poll()
  }

  async checkNode(id: string): Promise<void> {
    await this.#pollers.get(id)?.poll()
  }

  reportFailure(id: string, reason: string): void {
    const poller = this.#pollers.get(id)
    if (poller === undefined) return
    this.#observe(id, { kind: 'lost', reason })
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
    this.#state = discardSeries(this.#state)
    this.#publish()
  }

  /** Nodes that stay keep their connection and what is known of them, unless the login or TLS changed. */
  configure(config: ClusterConfig): void {
    const before = this.#config
    this.#config = config
    const relogin = loginKey(before) !== loginKey(config)
    for (const [id, poller] of this.#pollers) {
      if (!relogin && config.nodes.some((node) => node.id === id)) continue
      poller.stop()
      this.#pollers.delete(id)
    }
    this.#state = reconfigure(this.#state, config.nodes)
    this.#watchNodes()
    this.#publish()
    this.#catalog.changed()
  }

  stop(): void {
    for (const poller of this.#pollers.values()) poller.stop()
    this.#pollers.clear()
    this.#catalog.stop()
  }

  #watchNodes(): void {
    const { now, random, epoch, background } = this.#parts
    for (const { id } of this.#config.nodes) {
      if (this.#pollers.has(id)) continue
      const poller = new Poller({
        now,
        random,
        epoch,
        background,
        connect: (signal) => this.#connect(id, signal),
        report: (event) => {
          if (this.#pollers.get(id) === poller) this.#observe(id, event)
        },
        period: () => this.#period(),
      })
      this.#pollers.set(id, poller)
    }
  }

  #period(): number {
    if (this.#parts.now() - this.#wantedAt <= WANTED_MS) return BUSY_MS
    return this.#state.proved ? IDLE_MS : HEADLESS_MS
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
    return this.#snapshot.primary ?? this.#snapshot.nodes.find((node) => node.unfit === null) ?? null
  }

  #observe(id: string, event: NodeEvent): void {
    this.#state = observe(this.#state, id, event, this.#parts.now())
    this.#publish()
    this.#staleness(id)
    if (this.#hasServer()) this.#catalog.start()
  }

  #publish(): void {
    const before = this.#snapshot
    this.#snapshot = snapshotOf(this.#state)
    this.#tellNodes(before)
    this.#tellPrimary(before)
    this.#parts.changed()
  }

  #tellNodes(before: ClusterSnapshot): void {
    for (const node of this.#snapshot.nodes) {
      const reason = troubleOf(node)
      const old = before.nodes.find(({ id }) => id === node.id)
      if (old?.health === node.health && old.role === node.role && troubleOf(old) === reason) continue
      this.#parts.observer.emit('node.state', {
        cluster: node.cluster,
        node: node.id,
        state: node.health,
        role: node.role ?? 'unknown',
        reason,
      })
    }
  }

  #tellPrimary(before: ClusterSnapshot): void {
    const { id, primary, timeline } = this.#snapshot
    if (before.primary?.id === primary?.id && (primary === null || before.timeline === timeline)) return
    this.#parts.observer.emit('primary.changed', { cluster: id, from: before.primary?.id ?? null, to: primary?.id ?? null, timeline })
  }

  #staleness(id: string): void {
    const { series, timeline, nodes } = this.#snapshot
    const node = nodes.find((candidate) => candidate.id === id)
    if (node === undefined || node.role === 'primary') return
    const lsn = node.position?.timeline === timeline ? node.position.lsn : null
    const bound = lsn === null ? null : boundOf(series, lsn, this.#parts.now())
    this.#parts.observer.emit('node.staleness', { cluster: node.cluster, node: id, seconds: bound === null ? null : bound / 1_000 })
  }
}

function troubleOf(node: NodeSnapshot): string {
  return node.unfit ?? node.limited ?? ''
}

/** What a connection of the monitor depends on. */
function loginKey(cluster: ClusterConfig): string {
  return JSON.stringify([monitorLogin(cluster), cluster.tls])
}
