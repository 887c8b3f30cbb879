// monitor/create-monitor.ts — measures every node of every cluster and publishes what it finds as one immutable Topology.
// Nobody else asks a server for its role or position, and nobody waits for a question that was not asked on purpose.
import type { Catalog } from '../catalog/catalog.js'
import type { Config } from '../config/config.js'
import type { Lsn } from '../consistency/lsn.js'
import type { Observer } from '../observe/events.js'
import { speaksOfNode } from '../pool/failure.js'
import type { Topology } from '../topology/topology.js'
import { ClockGuard } from './clock-guard.js'
import { ClusterWatch } from './cluster-watch.js'
import type { ConnectMonitor } from './connection.js'
import type { Monitor } from './contract.js'
import type { ReadText } from './read-body.js'
import { readWithParser } from './read-with-parser.js'
import { connectNode } from './connect-node.js'

export interface MonitorParts {
  readonly config: Config
  readonly observer: Observer
  /** Process-monotonic ms. */
  readonly now: () => number
  /** In [0, 1). */
  readonly random: () => number
  /** Wall clock, ms; only its jumps against `now` matter. */
  readonly wall?: () => number
  readonly connect?: ConnectMonitor
  /** Measuring alone does not keep the process alive. */
  readonly background?: boolean
  /** Reads the texts of views and policies. Default: libpg-query. */
  readonly reader?: () => Promise<ReadText>
}

/** Starts at once; ready() tells when every cluster has been looked at. */
export function createMonitor(parts: MonitorParts): Monitor {
  return new RunningMonitor(parts)
}

class RunningMonitor implements Monitor {
  readonly #parts: MonitorParts
  readonly #clock: ClockGuard
  readonly #watches = new Map<string, ClusterWatch>()
  readonly #waiting = new Set<() => void>()
  #epoch: number
  #generation = 0
  #topology: Topology | null = null
  #catalogs: ReadonlyMap<string, Catalog> | null = null
  #closed = false
  /** Until then every role that is known is believed. */
  #expiresAt = Infinity

  constructor(parts: MonitorParts) {
    this.#parts = parts
    // eslint-disable-next-line no-restricted-properties -- only its jumps against the monotonic clock are looked at
    this.#clock = new ClockGuard(parts.now, parts.wall ?? Date.now)
    this.#epoch = this.#clock.epoch()
    this.configure(parts.config)
  }

  current(now: number = this.#parts.now()): Topology {
    this.#checkClock(now)
    // Also where nothing is heard of any node: what nobody has proved for too long is not handed out.
    if (now > this.#expiresAt) for (const watch of this.#watches.values()) watch.expireRoles()
    return this.#present()
  }

  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(asError(signal.reason))
        return
      }
      const settle = (): void => {
        signal.removeEventListener('abort', abort)
        resolve()
      }
      const abort = (): void => {
        this.#waiting.delete(settle)
        reject(asError(signal.reason))
      }
      signal.addEventListener('abort', abort, { once: true })
      this.#waiting.add(settle)
    })
  }

  wanted(cluster: string, now: number = this.#parts.now()): void {
    this.#watches.get(cluster)?.wanted(now)
  }

  async sampleNow(cluster: string): Promise<void> {
    await this.#watches.get(cluster)?.samplePrimary()
  }

  async checkNow(cluster: string, node: string): Promise<void> {
    await this.#watches.get(cluster)?.checkNode(node)
  }

  waitFor(cluster: string, node: string, lsn: Lsn, ms: number): boolean {
    return this.#watches.get(cluster)?.waitFor(node, lsn, ms) === true
  }

  writeAcknowledged(cluster: string, now: number): void {
    this.#watches.get(cluster)?.acknowledged.add(now)
  }

  commitsWatched(cluster: string): boolean {
    return this.#watches.get(cluster)?.commitsWatched === true
  }

  asynchronousCommit(cluster: string, reason: string): void {
    this.#watches.get(cluster)?.asynchronousCommit(reason)
  }

  reportFailure(node: string, error: unknown): void {
    if (!speaksOfNode(error)) return
    const reason = error instanceof Error ? error.message : 'a connection failed'
    for (const watch of this.#watches.values()) watch.reportFailure(node, reason)
  }

  setAside(cluster: string, node: string, reason: string | null): void {
    this.#watches.get(cluster)?.setAside(node, reason)
  }

  catalogs(): ReadonlyMap<string, Catalog> {
    this.#catalogs ??= new Map([...this.#watches].flatMap(([id, { catalog }]) => (catalog === null ? [] : [[id, catalog] as const])))
    return this.#catalogs
  }

  catalogChanged(cluster: string): void {
    this.#watches.get(cluster)?.catalogChanged()
  }

  configure(config: Config): void {
    for (const [id, watch] of this.#watches) {
      if (config.clusters.has(id)) continue
      watch.stop()
      this.#watches.delete(id)
    }
    for (const [id, cluster] of config.clusters) {
      const watch = this.#watches.get(id)
      if (watch === undefined) this.#watches.set(id, this.#watch(cluster))
      else if (watch.config !== cluster) watch.configure(cluster)
    }
    this.#catalogs = null
    this.#publish()
  }

  async ready(ms: number): Promise<void> {
    const deadline = AbortSignal.timeout(ms)
    while (!this.#closed && ![...this.#watches.values()].every((watch) => watch.ready)) {
      try {
        await this.changed(deadline)
      } catch {
        return
      }
    }
  }

  close(): Promise<void> {
    this.#closed = true
    for (const watch of this.#watches.values()) watch.stop()
    this.#publish()
    return Promise.resolve()
  }

  #watch(cluster: Config['clusters'] extends ReadonlyMap<string, infer C> ? C : never): ClusterWatch {
    const { observer, now, random, background = false, reader = readWithParser } = this.#parts
    const { connect = connectNode(now, background) } = this.#parts
    return new ClusterWatch(cluster, {
      connect,
      reader,
      observer,
      now,
      random,
      background,
      epoch: () => this.#checkClock(),
      changed: () => this.#publish(),
      catalogLoaded: () => {
        this.#catalogs = null
        this.#publish()
      },
    })
  }

  /** Samples from before a jump of the clocks are forgotten before anybody can use them. */
  #checkClock(now: number = this.#parts.now()): number {
    const epoch = this.#clock.epoch(now)
    if (epoch !== this.#epoch) {
      this.#epoch = epoch
      for (const watch of this.#watches.values()) watch.discardSeries()
    }
    return epoch
  }

  #present(): Topology {
    this.#topology ??= {
      generation: this.#generation,
      clusters: new Map([...this.#watches].map(([id, watch]) => [id, watch.snapshot])),
    }
    return this.#topology
  }

  #publish(): void {
    this.#generation += 1
    this.#topology = null
    this.#expiresAt = Math.min(...[...this.#watches.values()].map((watch) => watch.expiresAt))
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const settle of waiting) settle()
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('aborted')
}
