// topology/topology.ts — nodes, roles and positions as one immutable value. monitor/ publishes a new one on every
// change; routing and execute read it and never ask a server. All times are process-monotonic milliseconds.
import type { Position } from '../consistency/position.js'
import type { SampleSeries } from '../consistency/series.js'

export type { Position }

export type Role = 'primary' | 'replica'

/** `suspect` serves only where nobody healthy is left; `down` serves nobody; `probation` is being tried. */
export type Health = 'up' | 'suspect' | 'down' | 'probation'

export interface NodeSnapshot {
  /** `host:port` */
  readonly id: string
  readonly cluster: string
  readonly host: string
  readonly port: number
  readonly weight: number
  readonly zone: string | null
  readonly health: Health
  /** null: not known, so the node serves neither writes nor bounded reads. */
  readonly role: Role | null
  /** When the query was sent by whose answer the role is known; null: not known. Older than roleExpiryMs proves nothing. */
  readonly roleProvedAt: number | null
  /** A replica's WAL receiver was connected when last asked; false: cut off from its primary, or not told; null: no replica. */
  readonly receiving: boolean | null
  /** Bytes of WAL replayed per ms, of late; null: not known. */
  readonly replayRate: number | null
  /** Bytes that a primary had written to its log but not to disk when last asked; null: a replica, or not known. */
  readonly insertAheadBytes: number | null
  /** A replica's newest replay position, or a primary's newest insert position (normalised). null: unknown. */
  readonly position: Position | null
  /** Why the node is not used at all, in words, or null. */
  readonly unfit: string | null
  /** Why only `any` reads may go to this replica (its timeline or position is not proved), or null. */
  readonly limited: string | null
}

export interface ClusterSnapshot {
  readonly id: string
  /** systemKey() of the present, or the last, primary's system identifier; null: never known. */
  readonly system: string | null
  /**
   * When the present primary was first proved on its timeline, or seen to have lost the end of its log since; -Infinity: there was
   * none yet. Floors from before it do not compare.
   */
  readonly since: number
  /** A replica shows nothing beyond its position; false: positions are heartbeats, which tell only what is shown at least. */
  readonly exact: boolean
  /** Two primaries have had this timeline: no replica is known to have followed the present one, so only `any` reads go to them. */
  readonly contested: boolean
  /** Since when there is no proved primary; null: there is one. */
  readonly headlessSince: number | null
  readonly nodes: readonly NodeSnapshot[]
  /** The proved primary, or null. Two that claim it: the higher timeline. */
  readonly primary: NodeSnapshot | null
  /** Of the present primary or, while there is none, of the last one. */
  readonly timeline: number | null
  /** Samples of the primary's position on the present timeline; empty after a promotion. */
  readonly series: SampleSeries
}

export interface Topology {
  readonly generation: number
  readonly clusters: ReadonlyMap<string, ClusterSnapshot>
}

/** Replicas that can answer reads at all. */
export function usableReplicas({ nodes }: ClusterSnapshot): readonly NodeSnapshot[] {
  return nodes.filter(({ role, unfit }) => role === 'replica' && unfit === null)
}
