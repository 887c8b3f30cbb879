// execute/place.ts — where a read would go now, without a connection of its own: the same choice as for a lease, and the same
// second check, asked of each connection that it might share. What takes waiting, or asking a server, gets no place.
import { admits, usablePosition, type Requirement } from '../consistency/requirement.js'
import { stalenessOf } from '../consistency/position.js'
import type { Evidence, PooledConnection } from '../pool/contract.js'
import type { Pool } from '../pool/pool.js'
import type { OnePlan } from '../routing/plan.js'
import type { ClusterSnapshot, NodeSnapshot } from '../topology/topology.js'
import type { RouteTaken } from './contract.js'
import { isPrimary } from './primary.js'
import { onlyPrimaries, pickReplica } from './replicas.js'
import type { Search } from './search.js'

/** A node that may answer, and what its connection must prove. */
export interface Place<C extends PooledConnection> {
  readonly pool: Pool<C>
  readonly role: 'primary' | 'replica'
  readonly asked: Requirement
  readonly node: NodeSnapshot
  readonly snapshot: ClusterSnapshot
}

/** What of it the connections are asked by. */
export type Asked = Omit<Place<PooledConnection>, 'pool'>

/** null: only acquire() can tell. */
export function place<C extends PooledConnection>(search: Search<C>): Place<C> | null {
  const asked = search.request.plan.role === 'primary' ? strong : search.asked()
  if (asked.kind === 'primary') return onPrimary(search, asked)
  search.tellWanted()
  if (onlyPrimaries(search)) return asked.kind === 'unmet' && asked.elsewhere ? null : onPrimary(search, strong)
  const node = pickReplica(search, asked)
  return node === null ? null : made(search, node, 'replica', asked)
}

const strong: Requirement = { kind: 'primary' }

function onPrimary<C extends PooledConnection>(search: Search<C>, asked: Requirement): Place<C> | null {
  const { primary } = search.snapshot
  if (primary === null || search.lines.waits(search.request.identity.key) || !search.believed(primary)) return null
  return made(search, primary, 'primary', asked)
}

function made<C extends PooledConnection>(
  search: Search<C>,
  node: NodeSnapshot,
  role: Place<C>['role'],
  asked: Requirement,
): Place<C> | null {
  const config = search.config(node)
  if (config === undefined) return null
  const pool = search.parts.pools.pool(search.cluster, config, search.request.identity)
  return { pool, role, asked, node, snapshot: search.snapshot }
}

/** Whether a connection to that node is proved to be good for what was asked. */
export function fitsPlace({ role, asked, node, snapshot }: Asked, evidence: Evidence): boolean {
  if (role === 'primary') return isPrimary(evidence, snapshot.timeline)
  return evidence.inRecovery && admits(asked, evidence, node.position)
}

/** What that connection proved when it was opened is not so any more: it fits nobody who asks now. */
export function outlived({ role, snapshot }: Asked, evidence: Evidence): boolean {
  return role === 'primary' ? !isPrimary(evidence, snapshot.timeline) : !evidence.inRecovery
}

/** The route of a read that ran there. */
export function routeTo({ role, node, snapshot }: Asked, evidence: Evidence, { why }: OnePlan, invokedAt: number): RouteTaken {
  const { timeline, contested, id: cluster } = snapshot
  const lsn = timeline === null || contested ? null : usablePosition(evidence, node.position, timeline)
  const position = timeline === null || lsn === null ? null : { timeline, lsn }
  const boundMs = role === 'primary' ? 0 : stalenessOf(snapshot, position, invokedAt)
  return { cluster, node: node.id, role, boundMs, step: 'first', position, why }
}
