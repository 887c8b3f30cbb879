// execute/search.ts — one acquire() on its way: what it may look at, what it has lost so far, and how a lease becomes a
// grant. Which server it should be is decided in replicas.ts, primary.ts and ladder.ts.
import { PointsmanError } from '../errors/error.js'
import { requirement, usablePosition, type Requirement } from '../consistency/requirement.js'
import { stalenessOf } from '../consistency/position.js'
import type { ClusterConfig, NodeConfig } from '../config/config.js'
import type { Lease, PooledConnection } from '../pool/contract.js'
import { speaksOfNode, sqlstateOf } from '../pool/failure.js'
import { roleExpiryMs } from '../topology/node-state.js'
import type { ClusterSnapshot, NodeSnapshot, Topology } from '../topology/topology.js'
import type { AcquireRequest, Grant, RouteTaken } from './contract.js'
import { countedLease } from './counted-lease.js'
import type { ExecutorParts } from './parts.js'
import type { WaitingLines } from './waiting-line.js'

export type Step = RouteTaken['step']

/** What was looked at for a search that ends within the call. */
export interface Still {
  readonly topology: Topology
  /** Process-monotonic ms. */
  readonly now: number
}

const nowhere: ReadonlySet<string> = new Set()

export class Search<C extends PooledConnection> {
  readonly parts: ExecutorParts<C>
  readonly cluster: ClusterConfig
  readonly request: AcquireRequest<C>
  /** Who waits for a primary. */
  readonly lines: WaitingLines
  /** Nodes that could not be reached, or were lost by the caller. */
  lost: ReadonlySet<string>
  lastError: unknown = null
  /** The node that would do, if only one of its connections were free. */
  full: { readonly node: NodeSnapshot; readonly fits: (connection: C) => boolean } | null = null
  #still: ClusterSnapshot | null
  #now: number | null

  /** `still`: what is known, and when; null: it waits, and looks anew each time. */
  constructor(
    parts: ExecutorParts<C>,
    cluster: ClusterConfig,
    lines: WaitingLines,
    request: AcquireRequest<C>,
    still: Still | null = null,
  ) {
    this.parts = parts
    this.cluster = cluster
    this.lines = lines
    this.request = request
    this.#still = still === null ? null : snapshotOf(still.topology, cluster.id)
    this.#now = still === null ? null : still.now
    this.lost = request.avoid ?? nowhere
  }

  /** From here on it waits: what is known is looked at anew each time. */
  waits(): void {
    this.#still = null
    this.#now = null
  }

  // ---- what is known now

  get snapshot(): ClusterSnapshot {
    return this.#still ?? snapshotOf(this.parts.monitor.current(), this.cluster.id)
  }

  node(id: string): NodeSnapshot | null {
    return this.snapshot.nodes.find((node) => node.id === id) ?? null
  }

  /** What the monitor knows of this generation's nodes; it may already measure those of the next. */
  nodes(): readonly NodeSnapshot[] {
    const { nodes } = this.snapshot
    for (const node of nodes) if (this.config(node) === undefined) return nodes.filter((one) => this.config(one) !== undefined)
    return nodes
  }

  config({ id }: NodeSnapshot): NodeConfig | undefined {
    for (const node of this.cluster.nodes) if (node.id === id) return node
    return undefined
  }

  /** Its role was told recently enough to be believed: where the monitor stands still, so does the clock of this proof. */
  believed({ roleProvedAt }: NodeSnapshot): boolean {
    return roleProvedAt !== null && (this.#now ?? this.parts.now()) - roleProvedAt <= roleExpiryMs
  }

  /** What the policy and the session ask of a replica now. */
  asked(): Requirement {
    const { plan, floors, invokedAt } = this.request
    return requirement(plan.policy, floors, this.snapshot, invokedAt)
  }

  /** Reads that need fresh samples are coming. */
  tellWanted(): void {
    const { policy } = this.request.plan
    if (policy.consistency !== 'any' || policy.maxStalenessMs !== null)
      this.parts.monitor.wanted(this.cluster.id, this.#now ?? this.parts.now())
  }

  // ---- leases

  /** Null where the node could not be reached: the pool has reported that, and it is not tried again. */
  async lease(node: NodeSnapshot, fits: (connection: C) => boolean): Promise<Lease<C> | null> {
    const { load, pools } = this.parts
    const { identity, signal } = this.request
    const config = this.config(node)
    if (config === undefined) return null
    const end = load.begin(node.id)
    try {
      const lease = await pools
        .pool(this.cluster, config, identity)
        .lease({ prefer: this.#score(fits), signal, party: identity.party ?? null })
      return countedLease(lease, [end])
    } catch (error) {
      end()
      signal.throwIfAborted()
      const final = this.#lostTo(node, error)
      if (final !== null) throw final as Error
      return null
    }
  }

  /** An idle connection, or null. */
  leaseAtOnce(node: NodeSnapshot, fits: (connection: C) => boolean): Lease<C> | null {
    const { load, pools } = this.parts
    const config = this.config(node)
    if (config === undefined) return null
    const { identity } = this.request
    const lease = pools.pool(this.cluster, config, identity).tryLease(this.#score(fits), identity.party)
    if (lease !== null) return countedLease(lease, [load.begin(node.id)])
    this.full = { node, fits }
    return null
  }

  /** lease() without a promise. `failed`: with what ends the request; or with null, where another node may do (`lost`). */
  leaseSoon(
    node: NodeSnapshot,
    fits: (connection: C) => boolean,
    granted: (lease: Lease<C>) => void,
    failed: (error: unknown) => void,
  ): void {
    const { load, pools } = this.parts
    const { identity, signal } = this.request
    const config = this.config(node)
    if (config === undefined) {
      failed(null)
      return
    }
    const end = load.begin(node.id)
    pools.pool(this.cluster, config, identity).wait(
      { prefer: this.#score(fits), signal, party: identity.party ?? null },
      {
        granted: (lease) => granted(countedLease(lease, [end])),
        failed: (error) => {
          end()
          failed(signal.aborted ? signal.reason : this.#lostTo(node, error))
        },
      },
    )
  }

  /** What ends the request; null: the node could not be reached, and is not tried again. */
  #lostTo(node: NodeSnapshot, error: unknown): unknown {
    if (isFinal(error)) return error
    this.lastError = error
    this.lost = new Set(this.lost).add(node.id)
    return null
  }

  #score(fits: (connection: C) => boolean): (connection: C) => number {
    const { prefer } = this.request
    return (it) => (fits(it) ? 1e9 : 0) + (prefer === undefined ? 0 : prefer(it))
  }

  /** `ended`: called when the lease ends. */
  grant(lease: Lease<C>, role: 'primary' | 'replica', step: Step, ended: readonly (() => void)[] = []): Grant<C> {
    const proved = this.proved(lease)
    const route: RouteTaken = {
      cluster: this.cluster.id,
      node: lease.node,
      role,
      boundMs: role === 'primary' ? 0 : this.bound(proved),
      step,
      position: proved,
      why: this.request.plan.why,
    }
    return { lease: ended.length === 0 ? lease : countedLease(lease, ended), route }
  }

  /** At least up to here this very connection's server has come. */
  proved(lease: Lease<C>): RouteTaken['position'] {
    const { timeline, contested } = this.snapshot
    if (contested) return null
    const latest = this.node(lease.node)?.position ?? null
    const lsn = timeline === null ? null : usablePosition(lease.connection.evidence, latest, timeline)
    return timeline === null || lsn === null ? null : { timeline, lsn }
  }

  /** At most how stale, in ms, a server at `proved` is for this read; null: nothing is proved. */
  bound(proved: RouteTaken['position']): number | null {
    return stalenessOf(this.snapshot, proved, this.request.invokedAt)
  }

  // ---- waiting

  /** Waits for `work` at most `ms`, and not past the caller's signal. */
  async limited(work: Promise<void>, ms: number): Promise<void> {
    const { signal } = this.request
    let stop = (): void => undefined
    const over = new Promise<void>((resolve) => (stop = resolve))
    const timer = setTimeout(stop, ms)
    signal.addEventListener('abort', stop, { once: true })
    await Promise.race([work, over])
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
    signal.throwIfAborted()
  }
}

/** Another server, or the same one later, would say the same: the pool's own limits, a login that is refused. */
function isFinal(error: unknown): boolean {
  if (error instanceof PointsmanError)
    return error.key === 'too_many_connections' || error.key === 'shutting_down' || error.code.startsWith('28')
  return !speaksOfNode(error) && !serverIsFull(error)
}

export function serverIsFull(error: unknown): boolean {
  return !(error instanceof PointsmanError) && (sqlstateOf(error)?.startsWith('53') ?? false)
}

function snapshotOf({ clusters }: Topology, id: string): ClusterSnapshot {
  return clusters.get(id) ?? emptyCluster(id)
}

function emptyCluster(id: string): ClusterSnapshot {
  return {
    id,
    system: null,
    since: -Infinity,
    exact: true,
    contested: false,
    headlessSince: null,
    nodes: [],
    primary: null,
    timeline: null,
    series: { samples: [] },
  }
}
