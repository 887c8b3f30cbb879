// topology/cluster-state.ts — everything that is known of one cluster, changed by one event at a time, and shown as a
// ClusterSnapshot. Pure: the monitor feeds it with answers of servers, the model test with those of simulated ones.
import type { NodeConfig } from '../config/config.js'
import type { Lsn } from '../consistency/lsn.js'
import { emptySeries, extendSeries, lastSampleReached, type SampleSeries } from '../consistency/series.js'
import { systemKey } from '../consistency/token.js'
import { elect, rivalsAfter, type Incumbent, type Rivals } from './elect.js'
import { afterEvent, newNode, roleExpiryMs, type NodeEvent, type NodeState } from './node-state.js'
import { replayRate } from './replay-rate.js'
import type { ClusterSnapshot, NodeSnapshot } from './topology.js'

export interface ClusterState {
  readonly id: string
  /** In the config's order. */
  readonly nodes: readonly NodeState[]
  /** The present primary, or the last one. */
  readonly incumbent: Incumbent | null
  /** The incumbent is proved now. */
  readonly proved: boolean
  /** Since when the incumbent is not proved, process-monotonic ms; null: it is. */
  readonly headlessSince: number | null
  readonly refused: ReadonlyMap<string, string>
  readonly rivals: Rivals
  /** Two primaries, one after the other, have had the present timeline: which of them a replica on it followed nobody can tell. */
  readonly contested: boolean
  readonly series: SampleSeries
  /**
   * When the incumbent was first proved on its timeline, or seen to have lost the end of its log since, process-monotonic ms;
   * -Infinity: there is none yet.
   */
  readonly since: number
  /** The last change of the primary; null: there was none yet. */
  readonly handover: Handover | null
  /** PositionProvider.key: positions of two keys never compare. */
  readonly positions: string
}

/** One primary followed another. What was acknowledged before `safeUntil` is there; of later writes nobody can say (CONSISTENCY §2.8.4). */
export interface Handover {
  readonly from: string
  readonly to: string
  /** Process-monotonic ms; -Infinity: nothing is proved. */
  readonly safeUntil: number
  /** When it was seen. */
  readonly at: number
  /** Up to here at least the new primary has what the old one wrote; null: not known. */
  readonly kept: Lsn | null
}

export function newCluster(id: string, nodes: readonly NodeConfig[], positions: string = ''): ClusterState {
  return {
    id,
    nodes: nodes.map(newNode),
    incumbent: null,
    proved: false,
    headlessSince: null,
    refused: new Map(),
    rivals: new Map(),
    contested: false,
    series: emptySeries,
    since: -Infinity,
    handover: null,
    positions,
  }
}

/** One event of one node; an unknown node changes nothing. `now`: process-monotonic ms. */
export function observe(cluster: ClusterState, node: string, event: NodeEvent, now: number): ClusterState {
  const nodes = cluster.nodes.map((state) => expire(state.node.id === node ? next(state, event, cluster.series) : state, now))
  return settle({ ...cluster, nodes }, now)
}

function next(before: NodeState, event: NodeEvent, series: SampleSeries): NodeState {
  const after = afterEvent(before, event)
  return { ...after, replayRate: replayRate(before, after, series) }
}

/** Roles that nobody has proved for too long are not known any more, also where nothing else happens. The same value if none is. */
export function expireRoles(cluster: ClusterState, now: number): ClusterState {
  return now > nextExpiry(cluster) ? settle({ ...cluster, nodes: cluster.nodes.map((state) => expire(state, now)) }, now) : cluster
}

/** The last moment at which every role that is known is still believed, process-monotonic ms; Infinity: none is known. */
export function nextExpiry(cluster: ClusterState): number {
  return Math.min(...cluster.nodes.map(({ evidence }) => (evidence === null ? Infinity : evidence.sentAt + roleExpiryMs)))
}

/**
 * The next config's nodes: those that stay keep what is known of them. Without its primary, or with positions of another
 * kind, a cluster starts anew.
 */
export function reconfigure(
  cluster: ClusterState,
  nodes: readonly NodeConfig[],
  now: number,
  positions: string = cluster.positions,
): ClusterState {
  if (positions !== cluster.positions) return newCluster(cluster.id, nodes, positions)
  const kept = nodes.map((node): NodeState => {
    const before = cluster.nodes.find((state) => state.node.id === node.id)
    return before?.node.subscriber === node.subscriber ? { ...before, node } : newNode(node)
  })
  const stays = nodes.some((node) => node.id === cluster.incumbent?.node)
  return settle(stays ? { ...cluster, nodes: kept } : { ...newCluster(cluster.id, [], positions), nodes: kept }, now)
}

/** Leaves a replica unused, for `reason`; null: no longer. An unknown node changes nothing. */
export function setAside(cluster: ClusterState, node: string, reason: string | null): ClusterState {
  return { ...cluster, nodes: cluster.nodes.map((state) => (state.node.id === node ? { ...state, aside: reason } : state)) }
}

/**
 * Forgets everything that has a time: the clock that it was taken by cannot be trusted across this moment. A position of the
 * primary would come back as a sample with the next event, and a role that was told before is older than it looks.
 */
export function discardSeries(cluster: ClusterState, now: number): ClusterState {
  const nodes = cluster.nodes.map((state): NodeState => ({ ...state, evidence: null, position: null }))
  return settle({ ...cluster, nodes, series: emptySeries }, now)
}

function expire(state: NodeState, now: number): NodeState {
  return state.evidence !== null && now - state.evidence.sentAt > roleExpiryMs ? { ...state, evidence: null, position: null } : state
}

function settle(cluster: ClusterState, now: number): ClusterState {
  const { primary, refused } = elect(cluster.nodes, cluster.incumbent, cluster.rivals)
  const incumbent = primary ?? cluster.incumbent
  const same = incumbent !== null && isSame(incumbent, cluster.incumbent)
  const series = same ? cluster.series : emptySeries
  const samples = primary === null ? series : sampled(cluster, primary, series)
  const anew = !same || wentBack(series, samples)
  const before = cluster.incumbent
  return {
    ...cluster,
    incumbent: same ? cluster.incumbent : incumbent,
    proved: primary !== null,
    headlessSince: primary === null ? (cluster.headlessSince ?? now) : null,
    refused,
    rivals: rivalsAfter(cluster.nodes, primary, cluster.rivals),
    contested: same || incumbent === null ? cluster.contested : isContested(cluster, incumbent),
    series: samples,
    since: !anew || incumbent === null ? cluster.since : now,
    handover: same || before === null || incumbent === null ? cluster.handover : handover(cluster, before, incumbent, now),
  }
}

/**
 * A replica that is promoted takes the next number that it knows of to be free: one that never heard of the last promotion
 * takes the same again. (A server that never was a replica, and takes over on the same timeline, has the same disk.)
 */
function isContested({ incumbent: before, nodes }: ClusterState, { node, timeline, systemIdentifier }: Incumbent): boolean {
  if (before?.timeline !== timeline || before.systemIdentifier !== systemIdentifier) return false
  return nodes.some((state) => state.node.id === node && state.replayed !== null)
}

/** What the new primary had replayed when it was last seen as a replica of the old one is the least that it has kept. */
function handover(cluster: ClusterState, from: Incumbent, to: Incumbent, at: number): Handover {
  const replayed = cluster.nodes.find(({ node }) => node.id === to.node)?.replayed ?? null
  const kept = replayed?.timeline === from.timeline && to.systemIdentifier === from.systemIdentifier ? replayed.lsn : null
  const reached = kept === null ? null : lastSampleReached(cluster.series, kept)
  return { from: from.node, to: to.node, safeUntil: reached?.sentAt ?? -Infinity, at, kept }
}

function isSame(a: Incumbent, b: Incumbent | null): boolean {
  return a.node === b?.node && a.timeline === b.timeline && a.systemIdentifier === b.systemIdentifier
}

/** The primary restarted and has lost the end of its log, which nobody else ever had: what was measured in it will not be reached. */
function wentBack(before: SampleSeries, after: SampleSeries): boolean {
  const [last, next] = [before.samples.at(-1), after.samples.at(-1)]
  return last !== undefined && next !== undefined && next.lsn < last.lsn
}

/** Every position of the proved primary is a sample; one that is known already changes nothing. */
function sampled(cluster: ClusterState, primary: Incumbent, series: SampleSeries): SampleSeries {
  const position = cluster.nodes.find((state) => state.node.id === primary.node)?.position ?? null
  if (position?.timeline !== primary.timeline) return series
  const { sentAt, lsn, insert } = position
  return extendSeries(series, insert === undefined ? { sentAt, lsn } : { sentAt, lsn, insert })
}

/** The cluster as routing and execution see it. */
export function snapshotOf(cluster: ClusterState): ClusterSnapshot {
  const nodes = cluster.nodes.map((state) => nodeSnapshot(cluster, state))
  return {
    id: cluster.id,
    system: cluster.incumbent === null ? null : systemKey(`${cluster.incumbent.systemIdentifier}${cluster.positions}`),
    since: cluster.since,
    exact: cluster.positions === '',
    contested: cluster.contested,
    headlessSince: cluster.headlessSince,
    nodes,
    primary: cluster.proved ? (nodes.find((node) => node.id === cluster.incumbent?.node) ?? null) : null,
    timeline: cluster.incumbent?.timeline ?? null,
    series: cluster.series,
  }
}

function nodeSnapshot(cluster: ClusterState, state: NodeState): NodeSnapshot {
  const { node, health, position } = state
  const { id, host, port, weight, zone } = node
  const role = state.evidence?.role ?? null
  return {
    id,
    cluster: cluster.id,
    host,
    port,
    weight,
    zone,
    health,
    role,
    roleProvedAt: state.evidence?.sentAt ?? null,
    receiving: role === 'replica' ? (state.evidence?.receiving ?? false) : null,
    replayRate: state.replayRate,
    insertAheadBytes: state.insertAheadBytes,
    position,
    unfit: unfit(cluster, state),
    limited: limited(cluster, state),
  }
}

function unfit(cluster: ClusterState, state: NodeState): string | null {
  const { node, evidence, health } = state
  if (health === 'down') return `down: ${state.trouble ?? 'no answer'}`
  if (evidence === null) return `its role is not known: ${state.trouble ?? 'no answer'}`
  if (state.aside !== null && evidence.role === 'replica') return `set aside: ${state.aside}`
  const refused = cluster.refused.get(state.node.id)
  if (refused !== undefined) return refused
  if (evidence.role === 'primary' && !(cluster.proved && cluster.incumbent?.node === state.node.id))
    return 'not all nodes of the cluster have been asked yet'
  if (evidence.role === 'replica' && evidence.blind !== null) return `its position cannot be told: ${evidence.blind}`
  if (node.subscriber) return null
  const foreign = cluster.incumbent !== null && evidence.systemIdentifier !== cluster.incumbent.systemIdentifier
  return foreign ? 'belongs to another cluster (its system identifier differs)' : null
}

function limited(cluster: ClusterState, { evidence, position }: NodeState): string | null {
  if (evidence?.role !== 'replica') return null
  if (position === null) return 'its position is not known'
  if (position.timeline === null) {
    return evidence.tellsTimeline
      ? 'its timeline is not known: no WAL receiver has been seen'
      : "its timeline is not known: the monitor's user is not a member of pg_monitor"
  }
  const timeline = cluster.incumbent?.timeline ?? null
  if (timeline === null) return 'the cluster has had no primary yet'
  if (cluster.contested) return `two primaries have had timeline ${String(timeline)}: it is not known which of them it has followed`
  return position.timeline === timeline ? null : `it is on timeline ${String(position.timeline)}, the primary on ${String(timeline)}`
}
