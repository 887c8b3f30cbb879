// topology/cluster-state.ts — everything that is known of one cluster, changed by one event at a time, and shown as a
// ClusterSnapshot. Pure: the monitor feeds it with answers of servers, the model test with those of simulated ones.
import type { NodeConfig } from '../config/config.js'
import { emptySeries, extendSeries, type SampleSeries } from '../consistency/series.js'
import { systemKey } from '../consistency/token.js'
import { elect, type Incumbent } from './elect.js'
import { afterEvent, newNode, roleExpiryMs, type NodeEvent, type NodeState } from './node-state.js'
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
  readonly series: SampleSeries
}

export function newCluster(id: string, nodes: readonly NodeConfig[]): ClusterState {
  return { id, nodes: nodes.map(newNode), incumbent: null, proved: false, headlessSince: null, refused: new Map(), series: emptySeries }
}

/** One event of one node; an unknown node changes nothing. `now`: process-monotonic ms. */
export function observe(cluster: ClusterState, node: string, event: NodeEvent, now: number): ClusterState {
  const nodes = cluster.nodes.map((state) => expire(state.node.id === node ? afterEvent(state, event) : state, now))
  return settle({ ...cluster, nodes }, now)
}

/** The next config's nodes: those that stay keep what is known of them. Without its primary a cluster starts anew. */
export function reconfigure(cluster: ClusterState, nodes: readonly NodeConfig[]): ClusterState {
  const kept = nodes.map((node): NodeState => {
    const before = cluster.nodes.find((state) => state.node.id === node.id)
    return before === undefined ? newNode(node) : { ...before, node }
  })
  const stays = nodes.some((node) => node.id === cluster.incumbent?.node)
  return settle(stays ? { ...cluster, nodes: kept } : { ...newCluster(cluster.id, []), nodes: kept }, cluster.headlessSince)
}

/** Leaves a replica unused, for `reason`; null: no longer. An unknown node changes nothing. */
export function setAside(cluster: ClusterState, node: string, reason: string | null): ClusterState {
  return { ...cluster, nodes: cluster.nodes.map((state) => (state.node.id === node ? { ...state, aside: reason } : state)) }
}

/** Forgets the samples: the clock that they were taken by cannot be trusted across this moment. */
export function discardSeries(cluster: ClusterState): ClusterState {
  return { ...cluster, series: emptySeries }
}

function expire(state: NodeState, now: number): NodeState {
  return state.evidence !== null && now - state.evidence.sentAt > roleExpiryMs ? { ...state, evidence: null, position: null } : state
}

/** `now`: null where no time is known, and nothing can be said of when the primary was lost. */
function settle(cluster: ClusterState, now: number | null): ClusterState {
  const { primary, refused } = elect(cluster.nodes, cluster.incumbent)
  const incumbent = primary ?? cluster.incumbent
  const same = incumbent !== null && isSame(incumbent, cluster.incumbent)
  const series = same ? cluster.series : emptySeries
  return {
    ...cluster,
    incumbent: same ? cluster.incumbent : incumbent,
    proved: primary !== null,
    headlessSince: primary === null ? (cluster.headlessSince ?? now) : null,
    refused,
    series: primary === null ? series : sampled(cluster, primary, series),
  }
}

function isSame(a: Incumbent, b: Incumbent | null): boolean {
  return a.node === b?.node && a.timeline === b.timeline && a.systemIdentifier === b.systemIdentifier
}

/** Every position of the proved primary is a sample; one that is known already changes nothing. */
function sampled(cluster: ClusterState, primary: Incumbent, series: SampleSeries): SampleSeries {
  const position = cluster.nodes.find((state) => state.node.id === primary.node)?.position ?? null
  return position?.timeline === primary.timeline ? extendSeries(series, { sentAt: position.sentAt, lsn: position.lsn }) : series
}

/** The cluster as routing and execution see it. */
export function snapshotOf(cluster: ClusterState): ClusterSnapshot {
  const nodes = cluster.nodes.map((state) => nodeSnapshot(cluster, state))
  return {
    id: cluster.id,
    system: cluster.incumbent === null ? null : systemKey(cluster.incumbent.systemIdentifier),
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
    position,
    unfit: unfit(cluster, state),
    limited: limited(cluster, state),
  }
}

function unfit(cluster: ClusterState, state: NodeState): string | null {
  const { evidence, health } = state
  if (health === 'down') return `down: ${state.trouble ?? 'no answer'}`
  if (evidence === null) return `its role is not known: ${state.trouble ?? 'no answer'}`
  if (state.aside !== null && evidence.role === 'replica') return `set aside: ${state.aside}`
  const refused = cluster.refused.get(state.node.id)
  if (refused !== undefined) return refused
  if (evidence.role === 'primary' && !(cluster.proved && cluster.incumbent?.node === state.node.id))
    return 'not all nodes of the cluster have been asked yet'
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
  return position.timeline === timeline ? null : `it is on timeline ${String(position.timeline)}, the primary on ${String(timeline)}`
}
