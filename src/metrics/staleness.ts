// metrics/staleness.ts — how stale every replica is at most, at the moment of asking (CONSISTENCY §2.5).
import { stalenessOf } from '../consistency/position.js'
import type { ClusterSnapshot, NodeSnapshot, Topology } from '../topology/topology.js'

/** Node → seconds; Infinity where nothing is proved. A server that stands in several clusters: the worst of them. */
export function replicaStaleness(topology: Topology, now: number): ReadonlyMap<string, number> {
  const all = new Map<string, number>()
  for (const cluster of topology.clusters.values()) {
    for (const node of cluster.nodes) {
      if (node.role === 'primary') continue
      all.set(node.id, Math.max(all.get(node.id) ?? 0, staleness(cluster, node, now)))
    }
  }
  return all
}

function staleness(cluster: ClusterSnapshot, node: NodeSnapshot, now: number): number {
  const bound = node.role === null ? null : stalenessOf(cluster, node.position, now)
  return bound === null ? Infinity : bound / 1000
}
