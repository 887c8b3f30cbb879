// topology/lag.ts — how far a cluster's replicas are behind, for whoever writes in bulk and should wait for them. A replica
// that serves nobody (down, or not of this cluster) holds nobody up; one that serves and cannot be measured does.
import { stalenessOf } from '../consistency/position.js'
import type { ClusterSnapshot, NodeSnapshot, Role } from './topology.js'

export interface NodeLag {
  readonly node: string
  readonly role: Role | null
  /** At most so many ms behind, proved; null: nothing is proved. 0: the primary. */
  readonly ms: number | null
  /** Why it is not counted, in words, or null. */
  readonly ignored: string | null
}

export interface ClusterLag {
  readonly cluster: string
  /** Of the replicas that count; null: not known, since one of them cannot be measured, none is left, or there is no primary. */
  readonly worstMs: number | null
  readonly nodes: readonly NodeLag[]
}

/** `now`: process-monotonic ms. A primary alone has nobody who lags: 0. */
export function lagOf(cluster: ClusterSnapshot, now: number): ClusterLag {
  const nodes = cluster.nodes.map((node) => lagOfNode(cluster, node, now))
  return { cluster: cluster.id, worstMs: worst(cluster, nodes), nodes }
}

function lagOfNode(cluster: ClusterSnapshot, node: NodeSnapshot, now: number): NodeLag {
  const { id, role, unfit, position } = node
  if (id === cluster.primary?.id) return { node: id, role, ms: 0, ignored: null }
  if (unfit !== null || role !== 'replica') return { node: id, role, ms: null, ignored: unfit ?? 'its role is not known' }
  return { node: id, role, ms: stalenessOf(cluster, position, now), ignored: null }
}

function worst(cluster: ClusterSnapshot, nodes: readonly NodeLag[]): number | null {
  if (cluster.primary === null) return null
  const counted = nodes.filter(({ ignored }) => ignored === null)
  // Every replica is gone: nothing is known of how they will come back.
  if (counted.length === 1 && nodes.length > 1) return null
  let max = 0
  for (const { ms } of counted) {
    if (ms === null) return null
    max = Math.max(max, ms)
  }
  return max
}
