// monitor/tell.ts — what is different about a cluster, as events: each once, when it happens.
import { formatLsn } from '../consistency/lsn.js'
import { stalenessOf } from '../consistency/position.js'
import type { Observer } from '../observe/events.js'
import type { Acknowledged } from '../topology/acknowledged.js'
import type { ClusterState, Handover } from '../topology/cluster-state.js'
import { usableReplicas, type ClusterSnapshot, type NodeSnapshot } from '../topology/topology.js'

/** A state, and its snapshotOf(). */
export interface Told {
  readonly state: ClusterState
  readonly snapshot: ClusterSnapshot
}

/** `acknowledged`: the writes of which some may be lost where another primary has taken over. */
export function tellChanges(observer: Observer, before: Told, after: Told, acknowledged: Acknowledged): void {
  tellNodes(observer, before.snapshot, after.snapshot)
  tellPrimary(observer, before.snapshot, after.snapshot)
  tellFenced(observer, before.state, after.state)
  tellReplicas(observer, before.snapshot, after.snapshot)
  const { id, handover } = after.state
  if (handover !== null && handover !== before.state.handover) tellLost(observer, id, handover, acknowledged)
}

/** At most how stale a replica is, whether that has changed or not. */
export function tellStaleness(observer: Observer, snapshot: ClusterSnapshot, id: string, now: number): void {
  const node = snapshot.nodes.find((candidate) => candidate.id === id)
  if (node === undefined || node.role === 'primary') return
  const bound = stalenessOf(snapshot, node.position, now)
  observer.emit('node.staleness', { cluster: snapshot.id, node: id, seconds: bound === null ? null : bound / 1_000 })
}

function tellNodes(observer: Observer, before: ClusterSnapshot, after: ClusterSnapshot): void {
  for (const node of after.nodes) {
    const reason = troubleOf(node)
    const old = before.nodes.find(({ id }) => id === node.id)
    if (old?.health === node.health && old.role === node.role && troubleOf(old) === reason) continue
    observer.emit('node.state', { cluster: node.cluster, node: node.id, state: node.health, role: node.role ?? 'unknown', reason })
  }
}

function troubleOf(node: NodeSnapshot): string {
  return node.unfit ?? node.limited ?? ''
}

function tellPrimary(observer: Observer, before: ClusterSnapshot, { id, primary, timeline }: ClusterSnapshot): void {
  if (before.primary?.id === primary?.id && (primary === null || before.timeline === timeline)) return
  observer.emit('primary.changed', { cluster: id, from: before.primary?.id ?? null, to: primary?.id ?? null, timeline })
}

function tellFenced(observer: Observer, before: ClusterState, { id, refused }: ClusterState): void {
  for (const [node, reason] of refused) {
    if (before.refused.get(node) !== reason) observer.emit('primary.fenced', { cluster: id, node, reason })
  }
}

function tellReplicas(observer: Observer, before: ClusterSnapshot, after: ClusterSnapshot): void {
  const [was, is] = [countReplicas(before), countReplicas(after)]
  if (was.usable !== is.usable || was.of !== is.of) observer.emit('replicas.usable', { cluster: after.id, ...is })
}

function countReplicas(cluster: ClusterSnapshot): { readonly usable: number; readonly of: number } {
  const others = cluster.nodes.filter(({ id }) => id !== cluster.primary?.id)
  return { usable: usableReplicas(cluster).length, of: others.length }
}

function tellLost(observer: Observer, cluster: string, { from, to, safeUntil, at, kept }: Handover, acknowledged: Acknowledged): void {
  const { count, whole } = acknowledged.since(safeUntil)
  if (count === 0) return
  const proof = kept === null ? `nothing is known of what ${to} had of it` : `${to} is known to have had it up to ${formatLsn(kept)}`
  const least = whole ? '' : '; there may be more'
  observer.emit('writes.lost', {
    cluster,
    possible: count,
    from: Math.max(0, safeUntil),
    to: at,
    reason: `${to} follows ${from} as the primary, and ${proof}${least}`,
  })
}
