// execute/create-executor.ts — from a plan to a leased connection that is proved to be good for it.
//
//   write, strong ─▶ the proved primary, waiting for one up to failover.wait
//   read ─▶ a replica that meets the policy: asked of the node, then of the leased connection
//             none ─▶ the rungs of on_unmet, in order: wait · primary · stale · error
//
// Every round looks at the newest topology and asks the requirement anew, so that choosing again is the only retry.
import { PointsmanError } from '../errors/error.js'
import { admits, mayAdmit, requirement, usablePosition, type Requirement } from '../consistency/requirement.js'
import { boundOf } from '../consistency/series.js'
import { formatLsn } from '../consistency/lsn.js'
import type { LadderStep } from '../consistency/policy.js'
import type { ClusterConfig, Config, NodeConfig } from '../config/config.js'
import type { Monitor } from '../monitor/contract.js'
import type { Observer } from '../observe/events.js'
import type { Lease, PooledConnection } from '../pool/contract.js'
import { speaksOfNode, sqlstateOf } from '../pool/failure.js'
import type { PoolSet } from '../pool/set.js'
import { choose } from '../routing/choose.js'
import type { ClusterSnapshot, NodeSnapshot } from '../topology/topology.js'
import { changedWithin } from './changed-within.js'
import type { AcquireRequest, Grant, RouteTaken } from './contract.js'
import { countedLease } from './counted-lease.js'
import type { Executor } from './executor.js'
import type { Load } from './load.js'

export interface ExecutorParts<C extends PooledConnection> {
  readonly config: Config
  readonly monitor: Monitor
  readonly pools: Pick<PoolSet<C>, 'pool'>
  readonly load: Load
  readonly observer: Observer
  /** Process-monotonic milliseconds. */
  readonly now: () => number
  /** In [0, 1). */
  readonly random: () => number
}

/** The executor of one generation. */
export function createExecutor<C extends PooledConnection>(parts: ExecutorParts<C>): Executor<C> {
  const clusterOf = ({ plan }: AcquireRequest<C>): ClusterConfig => {
    const cluster = parts.config.clusters.get(plan.cluster)
    if (cluster === undefined) throw new RangeError(`no cluster ${plan.cluster} in the configuration`)
    return cluster
  }
  return {
    acquire: async (request) => {
      request.signal.throwIfAborted()
      return new Acquisition(parts, clusterOf(request), request).run()
    },
    tryAcquire: (request) => new Acquisition(parts, clusterOf(request), request).atOnce(),
  }
}

/** A session whose own mark keeps sending it to the primary waits this long for the sample that ends that (CONSISTENCY §2.3 W0). */
const impatientMs = 50
/** How often the primary is tried again where nothing in the topology changes: a pool backs off by itself. */
const retryMs = 100

/** Between the first two askings of a replica that a read waits for; doubles from there. */
const firstPauseMs = 2

type Step = RouteTaken['step']

/** One acquire() on its way. */
class Acquisition<C extends PooledConnection> {
  readonly #parts: ExecutorParts<C>
  readonly #cluster: ClusterConfig
  readonly #request: AcquireRequest<C>
  /** Replicas that could not be reached, or were lost by the caller. */
  #lost: ReadonlySet<string>
  #lastError: unknown = null

  constructor(parts: ExecutorParts<C>, cluster: ClusterConfig, request: AcquireRequest<C>) {
    this.#parts = parts
    this.#cluster = cluster
    this.#request = request
    this.#lost = request.avoid ?? nowhere
  }

  async run(): Promise<Grant<C>> {
    const { plan } = this.#request
    if (plan.role === 'primary' || this.#asked().kind === 'primary') return this.#primaryOrFail('first', [])
    if (plan.policy.consistency !== 'any' || plan.policy.maxStalenessMs !== null) this.#parts.monitor.wanted(this.#cluster.id)
    const grant = await this.#replica('first')
    if (grant !== null) return grant
    // A primary all by itself is no spill: there is nobody to spare it, or to wait for.
    return this.#onlyPrimaries() ? this.#primaryOrFail('first', []) : this.#ladder()
  }

  /** run() without anything that waits. */
  atOnce(): Grant<C> | null {
    const { plan } = this.#request
    const asked = this.#asked()
    if (plan.role === 'primary' || asked.kind === 'primary') return this.#primaryAtOnce()
    if (plan.policy.consistency !== 'any' || plan.policy.maxStalenessMs !== null) this.#parts.monitor.wanted(this.#cluster.id)
    if (this.#onlyPrimaries()) return this.#primaryAtOnce()
    const node = this.#pick((it) => mayAdmit(asked, it), this.#lost)
    if (node === null) return null
    const lease = this.#leaseAtOnce(node, replicaFits(asked))
    return lease === null ? null : this.#admitted(lease, asked, 'first')
  }

  #primaryAtOnce(): Grant<C> | null {
    const { primary, timeline } = this.#snapshot()
    if (primary === null) return null
    const fits = (it: C): boolean => isPrimary(it, timeline)
    const lease = this.#leaseAtOnce(primary, fits)
    if (lease === null) return null
    if (fits(lease.connection)) return this.#grant(lease, 'primary', 'first', [])
    lease.destroy('opened while its server had another role')
    return null
  }

  #leaseAtOnce(node: NodeSnapshot, fits: (connection: C) => boolean): Lease<C> | null {
    const { load, pools } = this.#parts
    const config = this.#config(node)
    const lease = config === undefined ? null : pools.pool(this.#cluster, config, this.#request.identity).tryLease(this.#score(fits))
    return lease === null ? null : countedLease(lease, [load.begin(node.id)])
  }

  // ---- replicas

  /** A lease on a replica that meets the policy now; null where there is none. */
  async #replica(step: Step): Promise<Grant<C> | null> {
    const passed = new Set(this.#lost)
    for (;;) {
      const asked = this.#asked()
      const node = this.#pick((it) => mayAdmit(asked, it), passed)
      if (node === null) return null
      const grant = await this.#tryReplica(node, asked, step)
      if (grant !== null) return grant
      passed.add(node.id)
    }
  }

  /** Null: the node could not be reached, or none of its connections is proved to meet `asked`. */
  async #tryReplica(node: NodeSnapshot, asked: Requirement, step: Step): Promise<Grant<C> | null> {
    const lease = await this.#lease(node, replicaFits(asked))
    return lease === null ? null : this.#admitted(lease, asked, step)
  }

  /** The second check, on the leased connection itself. */
  #admitted(lease: Lease<C>, asked: Requirement, step: Step): Grant<C> | null {
    const { evidence } = lease.connection
    const latest = this.#node(lease.node)?.position ?? null
    if (evidence.inRecovery && admits(asked, evidence, latest)) return this.#grant(lease, 'replica', step, [])
    this.#pass(lease)
    return null
  }

  /** Not good for this read. One whose server has changed its role since it was opened is good for nobody. */
  #pass(lease: Lease<C>): void {
    const role = this.#node(lease.node)?.role ?? null
    const outdated = role !== null && (role === 'replica') !== lease.connection.evidence.inRecovery
    if (outdated) lease.destroy('opened while its server had another role')
    else lease.release(null)
  }

  /** Those that could serve at all. */
  #replicas(): readonly NodeSnapshot[] {
    return this.#nodes().filter(({ id, role, unfit }) => role === 'replica' && unfit === null && !this.#lost.has(id))
  }

  #onlyPrimaries(): boolean {
    const nodes = this.#nodes()
    return nodes.length > 0 && nodes.every(({ role }) => role === 'primary')
  }

  /** What the monitor knows of this generation's nodes; it may already measure those of the next. */
  #nodes(): readonly NodeSnapshot[] {
    const { nodes } = this.#snapshot()
    return nodes.every((node) => this.#config(node) !== undefined) ? nodes : nodes.filter((node) => this.#config(node) !== undefined)
  }

  #pick(admissible: (node: NodeSnapshot) => boolean, avoid: ReadonlySet<string>): NodeSnapshot | null {
    const { load, random } = this.#parts
    const { floors, plan } = this.#request
    const choice = choose({
      nodes: this.#nodes(),
      primary: null,
      role: 'replica',
      admissible,
      avoid,
      prefer: plan.policy.consistency === 'session' ? floors.lastReplica(this.#cluster.id) : null,
      inFlight: (id) => load.inFlight(id),
      random: [random(), random(), random()],
    })
    return choice.kind === 'node' ? choice.node : null
  }

  // ---- the ladder

  async #ladder(): Promise<Grant<C>> {
    const asked = this.#asked()
    const steps: LadderStep[] = [...this.#request.plan.policy.onUnmet]
    if (asked.kind === 'unmet' && steps[0]?.step !== 'wait') {
      if (asked.impatient) steps.unshift({ step: 'wait', ms: impatientMs })
      // Nobody waits for the answer, but the next read of this session should find the mark resolved.
      else void this.#askNow()
    }
    for (const [index, step] of steps.entries()) {
      const { policy, cluster } = this.#request.plan
      this.#parts.observer.emit('read.unmet', { cluster, policy: policy.consistency, step: step.step })
      const grant = await this.#rung(step, index === steps.length - 1)
      if (grant !== null) return grant
    }
    throw this.#unmet()
  }

  #rung(step: LadderStep, last: boolean): Promise<Grant<C> | null> {
    switch (step.step) {
      case 'wait':
        return this.#wait(step.ms)
      case 'primary':
        return this.#spill(step.limit, last)
      case 'stale':
        return this.#anyReplica()
      case 'error':
        return Promise.reject(this.#unmet())
    }
  }

  /**
   * Asks on the spot, and again after growing pauses or whenever the monitor publishes: a replica that streams is there a
   * few milliseconds after the first asking, long before the next sample that comes by itself. Sessions share the asking.
   */
  async #wait(ms: number): Promise<Grant<C> | null> {
    const { now, monitor } = this.#parts
    const deadline = now() + ms
    for (let pause = firstPauseMs; ; pause *= 2) {
      await this.#limited(this.#askNow(), Math.max(0, deadline - now()))
      const seen = monitor.current()
      const grant = await this.#replica('wait')
      if (grant !== null) return grant
      const left = deadline - now()
      if (left <= 0) return null
      if (monitor.current() === seen) await changedWithin(monitor, Math.min(pause, left), this.#request.signal)
    }
  }

  async #askNow(): Promise<void> {
    const { monitor } = this.#parts
    if (this.#asked().kind === 'unmet') await monitor.sampleNow(this.#cluster.id)
    const best = furthest(this.#replicas(), this.#asked())
    if (best !== null) await monitor.checkNow(this.#cluster.id, best.id)
  }

  /** Waits for `work` at most `ms`, and not past the caller's signal. */
  async #limited(work: Promise<void>, ms: number): Promise<void> {
    const { signal } = this.#request
    let stop = (): void => undefined
    const over = new Promise<void>((resolve) => (stop = resolve))
    const timer = setTimeout(stop, ms)
    signal.addEventListener('abort', stop, { once: true })
    await Promise.race([work, over])
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
    signal.throwIfAborted()
  }

  async #spill(limit: number | null, last: boolean): Promise<Grant<C> | null> {
    const end = this.#parts.load.spill(this.#cluster.id, limit)
    if (end === null) return null
    let granted = false
    try {
      const grant = last ? await this.#primaryOrFail('primary', [end]) : await this.#primary('primary', [end])
      granted = grant !== null
      return grant
    } finally {
      if (!granted) end()
    }
  }

  async #anyReplica(): Promise<Grant<C> | null> {
    const passed = new Set(this.#lost)
    for (;;) {
      const node = this.#pick(() => true, passed)
      if (node === null) return null
      const grant = await this.#tryReplica(node, { kind: 'any' }, 'stale')
      if (grant !== null) return grant
      passed.add(node.id)
    }
  }

  #unmet(): PointsmanError {
    const asked = this.#asked()
    const best = furthest(this.#replicas(), asked)
    const why = asked.kind === 'unmet' ? asked.reason : best === null ? 'no replica can be reached' : behind(asked, best)
    return new PointsmanError('read_unmet', { values: { cluster: this.#cluster.id, why }, cause: this.#lastError })
  }

  // ---- the primary

  async #primaryOrFail(step: Step, ended: readonly (() => void)[]): Promise<Grant<C>> {
    const { monitor, now } = this.#parts
    const deadline = now() + this.#cluster.failover.waitMs
    for (;;) {
      const seen = monitor.current()
      const grant = await this.#primary(step, ended)
      if (grant !== null) return grant
      const left = deadline - now()
      if (left <= 0) throw this.#noPrimary()
      // Where a primary is known it is the connection that failed, and a publication need not follow: try again soon.
      const pause = this.#snapshot().primary === null ? left : Math.min(left, retryMs)
      if (monitor.current() === seen) await changedWithin(monitor, pause, this.#request.signal)
    }
  }

  /** A lease on the proved primary; null where there is none, or it cannot be reached. */
  async #primary(step: Step, ended: readonly (() => void)[]): Promise<Grant<C> | null> {
    for (;;) {
      const { primary, timeline } = this.#snapshot()
      if (primary === null) return null
      const fits = (it: C): boolean => isPrimary(it, timeline)
      const lease = await this.#lease(primary, fits)
      if (lease === null) return null
      if (this.#snapshot().primary?.id !== primary.id) {
        lease.release(null)
        continue
      }
      if (fits(lease.connection)) return this.#grant(lease, 'primary', step, ended)
      // Opened before its server was promoted, or while it was the primary of an older timeline. The next one may be newer.
      const fresh = lease.connection.evidence.openedAt >= this.#request.invokedAt
      lease.destroy('opened while its server had another role')
      if (fresh) return null
    }
  }

  #noPrimary(): unknown {
    if (serverIsFull(this.#lastError)) return this.#lastError
    return new PointsmanError('read_only_no_primary', { values: { cluster: this.#cluster.id }, cause: this.#lastError })
  }

  // ---- both

  /** Null where the node could not be reached: the pool has reported that, and it is not tried again. */
  async #lease(node: NodeSnapshot, fits: (connection: C) => boolean): Promise<Lease<C> | null> {
    const { load, pools } = this.#parts
    const { identity, signal } = this.#request
    const config = this.#config(node)
    if (config === undefined) return null
    const end = load.begin(node.id)
    try {
      const lease = await pools.pool(this.#cluster, config, identity).lease({ prefer: this.#score(fits), signal })
      return countedLease(lease, [end])
    } catch (error) {
      end()
      signal.throwIfAborted()
      if (isFinal(error)) throw error
      this.#lastError = error
      this.#lost = new Set(this.#lost).add(node.id)
      return null
    }
  }

  #config({ id }: NodeSnapshot): NodeConfig | undefined {
    return this.#cluster.nodes.find((node) => node.id === id)
  }

  #score(fits: (connection: C) => boolean): (connection: C) => number {
    const { prefer } = this.#request
    return (it) => (fits(it) ? 1e9 : 0) + (prefer === undefined ? 0 : prefer(it))
  }

  #grant(lease: Lease<C>, role: 'primary' | 'replica', step: Step, ended: readonly (() => void)[]): Grant<C> {
    const proved = this.#proved(lease)
    const route: RouteTaken = {
      cluster: this.#cluster.id,
      node: lease.node,
      role,
      boundMs: role === 'primary' ? 0 : this.#bound(proved),
      step,
      position: proved,
      why: this.#request.plan.why,
    }
    return { lease: ended.length === 0 ? lease : countedLease(lease, ended), route }
  }

  #proved(lease: Lease<C>): RouteTaken['position'] {
    const { timeline } = this.#snapshot()
    const latest = this.#node(lease.node)?.position ?? null
    const lsn = timeline === null ? null : usablePosition(lease.connection.evidence, latest, timeline)
    return timeline === null || lsn === null ? null : { timeline, lsn }
  }

  #bound(proved: RouteTaken['position']): number | null {
    const { timeline, series } = this.#snapshot()
    return proved === null || proved.timeline !== timeline ? null : boundOf(series, proved.lsn, this.#request.invokedAt)
  }

  #asked(): Requirement {
    const { plan, floors, invokedAt } = this.#request
    return requirement(plan.policy, floors, this.#snapshot(), invokedAt)
  }

  #snapshot(): ClusterSnapshot {
    return this.#parts.monitor.current().clusters.get(this.#cluster.id) ?? emptyCluster(this.#cluster.id)
  }

  #node(id: string): NodeSnapshot | null {
    return this.#snapshot().nodes.find((node) => node.id === id) ?? null
  }
}

const nowhere: ReadonlySet<string> = new Set()

function replicaFits(asked: Requirement): (connection: PooledConnection) => boolean {
  const same = asked.kind === 'floor' ? asked.same : null
  return ({ evidence }) => evidence.inRecovery && (same === null || evidence.openedAt <= same.openedBefore)
}

function isPrimary({ evidence }: PooledConnection, timeline: number | null): boolean {
  return !evidence.inRecovery && (timeline === null || evidence.timeline === null || evidence.timeline >= timeline)
}

/** Another server, or the same one later, would say the same: the pool's own limits, a login that is refused. */
function isFinal(error: unknown): boolean {
  if (error instanceof PointsmanError) return error.key === 'too_many_connections' || error.key === 'shutting_down'
  return !speaksOfNode(error) && !serverIsFull(error)
}

function serverIsFull(error: unknown): boolean {
  return !(error instanceof PointsmanError) && (sqlstateOf(error)?.startsWith('53') ?? false)
}

/** The replica that has come furthest: of those asked for by name, only that one. */
function furthest(nodes: readonly NodeSnapshot[], asked: Requirement): NodeSnapshot | null {
  const only = asked.kind === 'floor' ? (asked.same?.node ?? null) : null
  let best: NodeSnapshot | null = null
  for (const node of nodes) {
    if (only !== null && node.id !== only) continue
    if (best === null || (node.position?.lsn ?? -1n) > (best.position?.lsn ?? -1n)) best = node
  }
  return best
}

function behind(asked: Requirement, best: NodeSnapshot): string {
  if (asked.kind !== 'floor') return 'no replica can be reached'
  if (best.position === null) return `the position of ${best.id} is unknown`
  if (best.position.timeline !== asked.timeline) return `${best.id} is not known to be on timeline ${String(asked.timeline)}`
  if (best.position.lsn >= asked.lsn) return `no connection to ${best.id} is proved to be at ${formatLsn(asked.lsn)}`
  const bytes = String(asked.lsn - best.position.lsn)
  return `the best, ${best.id}, is at ${formatLsn(best.position.lsn)}, ${bytes} bytes before the ${formatLsn(asked.lsn)} that is needed`
}

function emptyCluster(id: string): ClusterSnapshot {
  return { id, system: null, headlessSince: null, nodes: [], primary: null, timeline: null, series: { samples: [] } }
}
