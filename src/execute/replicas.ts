// execute/replicas.ts — a replica for a read: chosen by what the monitor knows of the nodes, then asked again of the very
// connection that was leased, since a position counts only for connections that were open when it was read (CONSISTENCY §2.4).
import { admits, mayAdmit, type Requirement } from '../consistency/requirement.js'
import { stalenessOf } from '../consistency/position.js'
import type { Lease, PooledConnection } from '../pool/contract.js'
import { choose } from '../routing/choose.js'
import type { NodeSnapshot } from '../topology/topology.js'
import type { Grant } from './contract.js'
import type { Search, Step } from './search.js'

/** A lease on a replica that meets the policy now; null where there is none. */
export function replica<C extends PooledConnection>(search: Search<C>, step: Step): Promise<Grant<C> | null> {
  return first(search, step, () => {
    const asked = search.asked()
    return {
      node: (it) => mayAdmit(asked, it),
      fits: fitFor(asked),
      lease: ({ connection, node }) => admits(asked, connection.evidence, search.node(node)?.position ?? null),
    }
  })
}

/** The one that a read goes to now, as far as the nodes tell; null: none. */
export function pickReplica<C extends PooledConnection>(search: Search<C>, asked: Requirement): NodeSnapshot | null {
  return pick(search, (it) => mayAdmit(asked, it), search.lost)
}

/** replica() within the call. */
export function replicaAtOnce<C extends PooledConnection>(search: Search<C>, asked: Requirement): Grant<C> | null {
  const node = pickReplica(search, asked)
  if (node === null) return null
  const lease = search.leaseAtOnce(node, fitFor(asked))
  if (lease === null) return null
  return admitted(search, lease, 'first', admits(asked, lease.connection.evidence, search.node(lease.node)?.position ?? null))
}

/** A connection that was waited for, if it meets what is asked now; null: it is ended. */
export function admittedNow<C extends PooledConnection>(search: Search<C>, lease: Lease<C>): Grant<C> | null {
  return admitted(search, lease, 'first', admits(search.asked(), lease.connection.evidence, search.node(lease.node)?.position ?? null))
}

/** Whether a lease on a replica, of an earlier read, meets this one's policy. */
export function meets<C extends PooledConnection>(search: Search<C>, { node: id, connection }: Lease<C>): boolean {
  const node = search.node(id)
  return admits(search.asked(), connection.evidence, node?.position ?? null) && (node === null || mayServe(search, node))
}

/** Any replica that is up, however old. */
export function anyReplica<C extends PooledConnection>(search: Search<C>): Promise<Grant<C> | null> {
  return first(search, 'stale', () => ({ node: () => true, fits: inRecovery, lease: () => true }))
}

/** A replica that is proved to be at most `maxMs` behind, whatever the policy and the session ask. */
export function degradedReplica<C extends PooledConnection>(search: Search<C>, maxMs: number): Promise<Grant<C> | null> {
  const meets = (bound: number | null): boolean => bound !== null && bound <= maxMs
  return first(search, 'degraded', () => {
    const { snapshot, request } = search
    return {
      node: ({ position }) => meets(stalenessOf(snapshot, position, request.invokedAt)),
      fits: inRecovery,
      lease: (lease) => meets(search.bound(search.proved(lease))),
    }
  })
}

/** Those that could serve at all. */
export function replicasOf<C extends PooledConnection>(search: Search<C>): readonly NodeSnapshot[] {
  return search.nodes().filter(({ id, role, unfit }) => role === 'replica' && unfit === null && !search.lost.has(id))
}

/** There is nobody but the primary: to go there is no spill. */
export function onlyPrimaries<C extends PooledConnection>(search: Search<C>): boolean {
  const nodes = search.nodes()
  return nodes.length > 0 && nodes.every(({ role }) => role === 'primary')
}

/** What is asked twice. */
interface Test<C extends PooledConnection> {
  readonly node: (node: NodeSnapshot) => boolean
  /** Such connections are preferred. */
  readonly fits: (connection: C) => boolean
  readonly lease: (lease: Lease<C>) => boolean
}

/** The first of the candidates whose connection passes; `test` is made anew for each, from the newest topology. */
async function first<C extends PooledConnection>(search: Search<C>, step: Step, test: () => Test<C>): Promise<Grant<C> | null> {
  const passed = new Set(search.lost)
  for (;;) {
    const tested = test()
    const node = pick(search, tested.node, passed)
    if (node === null) return null
    const lease = await search.lease(node, tested.fits)
    const grant = lease === null ? null : admitted(search, lease, step, tested.lease(lease))
    if (grant !== null) return grant
    passed.add(node.id)
  }
}

/** The second check, on the leased connection itself. */
function admitted<C extends PooledConnection>(search: Search<C>, lease: Lease<C>, step: Step, passes: boolean): Grant<C> | null {
  const node = search.node(lease.node)
  if (lease.connection.evidence.inRecovery && passes && (node === null || mayServe(search, node)))
    return search.grant(lease, 'replica', step)
  // One whose server has changed its role since it was opened is good for nobody.
  const role = node?.role ?? null
  const outdated = role !== null && (role === 'replica') !== lease.connection.evidence.inRecovery
  if (outdated) lease.destroy('opened while its server had another role')
  else lease.release(null)
  return null
}

function pick<C extends PooledConnection>(
  search: Search<C>,
  admissible: (node: NodeSnapshot) => boolean,
  avoid: ReadonlySet<string>,
): NodeSnapshot | null {
  const { load, random } = search.parts
  const { floors, plan, affinity } = search.request
  const session = plan.policy.consistency === 'session'
  const allowed = search.parts.bans.any ? (node: NodeSnapshot): boolean => admissible(node) && !isBanned(search, node) : admissible
  const choice = choose({
    nodes: search.nodes(),
    primary: null,
    role: 'replica',
    admissible: plan.policy.cutOff === 'serve' ? allowed : (node) => allowed(node) && mayServe(search, node),
    avoid,
    prefer: session ? (affinity?.replica(search.cluster.id) ?? floors.lastReplica(search.cluster.id)) : null,
    own: session ? (affinity?.underWay() ?? 0) : 0,
    inFlight: (id) => load.inFlight(id),
    random: [random(), random(), random()],
  })
  if (choice.kind === 'none') return null
  if (session) affinity?.chose(search.cluster.id, choice.node.id)
  return choice.node
}

/**
 * An operator has taken it out of reading. A BAN is set aside while nobody else could answer: neither a replica nor a primary;
 * a DRAIN is not.
 */
function isBanned<C extends PooledConnection>(search: Search<C>, { id }: NodeSnapshot): boolean {
  const { bans } = search.parts
  const kind = bans.of(id)
  if (kind !== 'ban') return kind !== null
  return search.snapshot.primary !== null || replicasOf(search).some((other) => bans.of(other.id) === null)
}

/** `cut_off: refuse`: only a replica that is known to receive from a primary that is proved, on its timeline: not from a former one. */
function mayServe<C extends PooledConnection>(search: Search<C>, node: NodeSnapshot): boolean {
  if (search.request.plan.policy.cutOff === 'serve') return true
  const { headlessSince, primary } = search.snapshot
  if (headlessSince !== null || primary === null || !search.believed(primary)) return false
  return node.receiving === true && node.limited === null && search.believed(node)
}

function fitFor(asked: Requirement): (connection: PooledConnection) => boolean {
  const same = asked.kind === 'floor' ? asked.same : null
  return same === null ? inRecovery : ({ evidence }) => evidence.inRecovery && evidence.openedAt <= same.openedBefore
}

function inRecovery({ evidence }: PooledConnection): boolean {
  return evidence.inRecovery
}
