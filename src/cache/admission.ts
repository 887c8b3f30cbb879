// cache/admission.ts — may a kept result answer this read? It is asked what a server would be asked: a kept result is a
// replica of known age that stopped when the result was read (CONSISTENCY §2.5, §2.6). Two ways to prove it:
//
//   from a replica   by position: it showed everything up to `position`, so position ≥ floor proves it
//   from a primary   by time: it showed everything acknowledged before `sentAt`. Not by position: a primary's log holds
//                    commits that it does not show yet (between writing the record and the end of the commit, which may
//                    wait for synchronous standbys), so a read there may miss what its own position covers
//
// A policy that asks for nothing but `any` is met by whatever is young enough.
import type { SessionFloors } from '../consistency/floors.js'
import type { Lsn } from '../consistency/lsn.js'
import type { ReadPolicy } from '../consistency/policy.js'
import { requirement } from '../consistency/requirement.js'
import { boundOf, firstSampleAfter } from '../consistency/series.js'
import type { ClusterSnapshot } from '../topology/topology.js'

/** Where a result comes from. */
export interface Origin {
  readonly cluster: string
  readonly node: string
  readonly role: 'primary' | 'replica'
  /** ClusterSnapshot.system when it was read. */
  readonly system: string | null
  /** At least up to here the server had come when the read was sent; null: not proved. */
  readonly position: { readonly timeline: number; readonly lsn: Lsn } | null
  /** Process-monotonic ms, before the read was sent. */
  readonly sentAt: number
}

/** A read that asks. Times are process-monotonic ms. */
export interface Asking {
  readonly policy: ReadPolicy
  readonly floors: SessionFloors
  /** The newest that is known of its cluster. */
  readonly cluster: ClusterSnapshot
  /** When its statement arrived: bounds are relative to it. */
  readonly invokedAt: number
  readonly now: number
}

/** Whether a result of that origin, given now, keeps everything that the read's policy promises. */
export function serves(asking: Asking, origin: Origin): boolean {
  const { policy, cluster, now } = asking
  if (policy.cacheMs === null || now - origin.sentAt > policy.cacheMs) return false
  if (policy.cutOff === 'refuse' && cluster.primary === null) return false
  return origin.role === 'primary' ? meetsByTime(asking, origin) : meetsByPosition(asking, origin)
}

function meetsByPosition({ policy, floors, cluster, invokedAt }: Asking, origin: Origin): boolean {
  const asked = requirement(policy, floors, cluster, invokedAt)
  if (asked.kind === 'any') return true
  // `same` asks for more than what that server showed once: for what it shows now.
  if (asked.kind !== 'floor' || asked.same !== null || !comparable(cluster, origin)) return false
  return origin.position?.timeline === asked.timeline && origin.position.lsn >= asked.lsn
}

function meetsByTime({ policy, floors, cluster, invokedAt }: Asking, origin: Origin): boolean {
  const { consistency, maxStalenessMs } = policy
  if (consistency === 'any' && maxStalenessMs === null) return true
  if (consistency === 'strong' || (consistency === 'bounded' && maxStalenessMs === null)) return false
  if (!comparable(cluster, origin)) return false
  if (maxStalenessMs !== null && origin.sentAt < invokedAt - maxStalenessMs) return false
  return consistency !== 'session' || origin.sentAt > (floors.usedAt(cluster.id) ?? -Infinity)
}

/** It was read under the primary that is there now; what was read under another one proves nothing of what survived. */
function comparable(cluster: ClusterSnapshot, origin: Origin): boolean {
  const { timeline, system, since } = cluster
  return timeline !== null && origin.position?.timeline === timeline && origin.system === system && origin.sentAt >= since
}

/** Whether a result of that origin is proved to show every write that was acknowledged by `time`. */
export function shows(cluster: ClusterSnapshot, origin: Origin, time: number): boolean {
  if (time === -Infinity) return true
  if (!comparable(cluster, origin)) return false
  if (origin.role === 'primary') return origin.sentAt > time
  const sample = firstSampleAfter(cluster.series, time)
  return sample !== null && origin.position !== null && origin.position.lsn >= sample.lsn
}

/** At most how old the result is for a read invoked at `invokedAt`, ms; null: nothing is proved. */
export function boundNow(cluster: ClusterSnapshot, origin: Origin, invokedAt: number): number | null {
  if (!comparable(cluster, origin) || origin.position === null) return null
  if (origin.role === 'primary') return Math.max(0, invokedAt - origin.sentAt)
  return boundOf(cluster.series, origin.position.lsn, invokedAt)
}
