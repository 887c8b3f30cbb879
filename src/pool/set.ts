// pool/set.ts — every pool of the process, by node, login and settings. Generations share it: a pool whose settings did
// not change over a reload is simply found again; one that no live config asks for any more is drained.
import { PointsmanError } from '../errors/error.js'
import type { ClusterConfig, Config, NodeConfig } from '../config/config.js'
import type { Observer } from '../observe/events.js'
import type { Connect, Identity, PermitsFor, PooledConnection } from './contract.js'
import { Pool, type PoolCounts, type PooledState, type PoolSettings } from './pool.js'

export interface PoolSetParts<C extends PooledConnection> {
  /** How to open connections to nodes of this cluster (its TLS settings). */
  readonly connect: (cluster: ClusterConfig) => Connect<C>
  readonly observer: Observer
  readonly now: () => number
  readonly random: () => number
  readonly onFailure: (node: string, error: unknown) => void
  /** Where several processes share `pool.max`. */
  readonly permits?: PermitsFor | null
}

/** Node and login of a pool. */
export interface PoolName {
  readonly cluster: string
  readonly node: string
  readonly user: string
  readonly dbname: string
}

export interface SetPoolCounts extends PoolCounts, PoolName {}

export interface SetPoolConnection<C> extends PooledState<C>, PoolName {}

interface Member<C extends PooledConnection> {
  readonly pool: Pool<C>
  readonly node: string
  /** What of the config the pool was made from. */
  readonly source: string
}

const idleMs = 60_000
const connectMs = 5_000
const scrubMs = 5_000

export class PoolSet<C extends PooledConnection> {
  readonly #parts: PoolSetParts<C>
  readonly #members = new Map<string, Member<C>>()
  /** Pools found before, by the very objects they were asked for with: naming one costs more than lending from it. */
  readonly #found = new WeakMap<NodeConfig, WeakMap<Identity, { readonly cluster: ClusterConfig; readonly pool: Pool<C> }>>()
  readonly #leaving = new Set<Member<C>>()
  /** The last one that was asked for. */
  #last: { readonly cluster: ClusterConfig; readonly node: NodeConfig; readonly identity: Identity; readonly pool: Pool<C> } | null = null
  #closed = false

  constructor(parts: PoolSetParts<C>) {
    this.#parts = parts
  }

  /** The pool for this node and login, made if there is none. */
  pool(cluster: ClusterConfig, node: NodeConfig, identity: Identity): Pool<C> {
    const last = this.#last
    if (last?.node === node && last.identity === identity && last.cluster === cluster && !last.pool.draining) return last.pool
    const pool = this.#knownOrNamed(cluster, node, identity)
    this.#last = { cluster, node, identity, pool }
    return pool
  }

  #knownOrNamed(cluster: ClusterConfig, node: NodeConfig, identity: Identity): Pool<C> {
    const known = this.#found.get(node)?.get(identity)
    if (known?.cluster === cluster && !known.pool.draining) return known.pool
    const pool = this.#named(cluster, node, identity)
    const found = this.#found.get(node) ?? new WeakMap<Identity, { cluster: ClusterConfig; pool: Pool<C> }>()
    this.#found.set(node, found.set(identity, { cluster, pool }))
    return pool
  }

  #named(cluster: ClusterConfig, node: NodeConfig, identity: Identity): Pool<C> {
    const source = sourceOf(cluster, node)
    const key = `${source}\n${identity.key}`
    const found = this.#members.get(key)
    if (found !== undefined) return found.pool
    const member = this.#create(cluster, node, identity, key, source)
    if (!this.#closed) this.#members.set(key, member)
    else void member.pool.close(0)
    return member.pool
  }

  /** Drains the pools that none of `configs` asks for. */
  keep(configs: readonly Config[]): void {
    const wanted = new Set(configs.flatMap(sourcesOf))
    for (const [key, member] of this.#members) if (!wanted.has(member.source)) this.#retire(key, member, Infinity)
  }

  /**
   * The cluster has one primary, and it is `primary`: whatever was opened as a connection to another one, or to this one on an
   * older timeline, is ended, so that nothing can be committed there any more. Gives how many connections that were.
   */
  fence(cluster: string, primary: { readonly node: string; readonly timeline: number | null }, reason: string): number {
    const isOld = (node: string, { evidence }: C): boolean => {
      if (evidence.inRecovery) return false
      return node !== primary.node || (primary.timeline !== null && evidence.timeline !== null && evidence.timeline < primary.timeline)
    }
    let cut = 0
    for (const { pool, node } of this.#all()) {
      if (pool.identity.cluster === cluster) cut += pool.cutOff((connection) => isOld(node, connection), reason)
    }
    return cut
  }

  /**
   * The node does not answer: reads on it are cut off, so that they can move, and nobody waits for a connection to it any more.
   * What was opened as a connection to a primary stays: a write must not be given up because a monitor could not be answered.
   */
  abandon(cluster: string, node: string, reason: string): void {
    const values = { node, cluster, why: reason }
    for (const { pool, node: at } of this.#all()) {
      if (at !== node || pool.identity.cluster !== cluster) continue
      pool.giveUpWaiting(new PointsmanError('node_unreachable', { values }))
      pool.cutOff(({ evidence }) => evidence.inRecovery, reason)
    }
  }

  #all(): readonly Member<C>[] {
    return [...this.#members.values(), ...this.#leaving]
  }

  /** Every connection that is open, with the pool that it is of. */
  connections(): readonly SetPoolConnection<C>[] {
    return this.#all().flatMap(({ pool, node }) =>
      pool
        .connections()
        .map((state) => ({ ...state, cluster: pool.identity.cluster, node, user: pool.identity.user, dbname: pool.identity.dbname })),
    )
  }

  /** Closes what is open now in the pools for which `test` holds: idle connections at once, lent ones when they come back. */
  renew(test: (pool: PoolName) => boolean, reason: string): void {
    for (const { pool, node } of this.#all()) {
      const { cluster, user, dbname } = pool.identity
      if (test({ cluster, node, user, dbname })) pool.renew(reason)
    }
  }

  counts(): readonly SetPoolCounts[] {
    return this.#all().map(({ pool, node }) => ({
      cluster: pool.identity.cluster,
      node,
      user: pool.identity.user,
      dbname: pool.identity.dbname,
      ...pool.counts(),
    }))
  }

  /** Resolves when every connection is closed, at the latest `graceMs` from now. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true
    for (const [key, member] of this.#members) this.#retire(key, member, graceMs)
    await Promise.all([...this.#leaving].map(({ pool }) => pool.close(graceMs)))
  }

  #create(cluster: ClusterConfig, node: NodeConfig, identity: Identity, key: string, source: string): Member<C> {
    const { connect, observer, now, random, onFailure, permits = null } = this.#parts
    const pool = new Pool<C>({
      node,
      identity,
      settings: settingsOf(cluster),
      connect: connect(cluster),
      observer,
      now,
      random,
      onFailure,
      permits,
      onEmpty: () => {
        const member = this.#members.get(key)
        if (member?.pool === pool) this.#retire(key, member, Infinity)
      },
    })
    return { pool, node: node.id, source }
  }

  #retire(key: string, member: Member<C>, graceMs: number): void {
    this.#members.delete(key)
    this.#leaving.add(member)
    void member.pool.close(graceMs).finally(() => this.#leaving.delete(member))
  }
}

function settingsOf(cluster: ClusterConfig): PoolSettings {
  const { max, waitMs, lifetimeMs, queue } = cluster.pool
  return { max, waitMs, lifetimeMs, queue, idleMs, connectMs, scrubMs, reset: cluster.reset }
}

function sourcesOf(config: Config): string[] {
  return [...config.clusters.values()].flatMap((cluster) => cluster.nodes.map((node) => sourceOf(cluster, node)))
}

/**
 * Weight and zone are not part of it: they steer the choice of a node, not its connections. How positions are measured is:
 * what a connection proved when it was opened must compare with what is measured now.
 */
function sourceOf(cluster: ClusterConfig, node: NodeConfig): string {
  return JSON.stringify([cluster.id, node.host, node.port, node.subscriber, cluster.pool, cluster.tls, cluster.reset, cluster.position])
}
