// consistency/requirement.ts — a read's policy and its session's floors → one position on the present timeline, and
// whether a server, and then a very connection, is proved to be there. All that a policy asks is in that one LSN:
//
//   floor = max(session floor, LSN of the first primary sample sent at or after `invokedAt − max_staleness`)
//
// Admission is asked twice: of the node when it is chosen, and of the leased connection before the read is sent, because
// a position counts only for connections that were already open when the monitor asked for it (CONSISTENCY §2.4).
import { firstSampleAtOrAfter } from './series.js'
import type { SameServer, SessionFloors } from './floors.js'
import type { Lsn } from './lsn.js'
import type { ReadPolicy } from './policy.js'
import type { ClusterView, Position } from './position.js'

export type Requirement =
  /** Whatever is up. */
  | { readonly kind: 'any' }
  /** Nothing but the primary will do: strong, or a bound of 0. */
  | { readonly kind: 'primary' }
  /** A replica at `lsn` of `timeline`, or later; `same` narrows it to one server. */
  | FloorRequirement
  /** No replica can be proved to meet it now. A sample, which `wait` asks for, may change that. */
  | UnmetRequirement

export interface UnmetRequirement {
  readonly kind: 'unmet'
  readonly reason: string
  readonly impatient: boolean
  /** The primary that is known here may lack it as well: every server is to be asked first (Standing). */
  readonly elsewhere: boolean
}

export interface FloorRequirement {
  readonly kind: 'floor'
  readonly timeline: number
  readonly lsn: Lsn
  readonly same: SameServer | null
  /** `lsn` is what a token claims, and no primary sample has confirmed it yet: one would end a forged one. */
  readonly claimed: boolean
}

/** What a connection proved of its server when it was opened; pool/contract.ts' Evidence is one. */
export interface ConnectionEvidence {
  readonly node: string
  /** Process-monotonic ms, taken before the position was asked for on this connection. */
  readonly openedAt: number
  readonly inRecovery: boolean
  readonly position: Lsn | null
  readonly postmasterStart: string
  readonly timeline: number | null
}

/** What a read invoked at `invokedAt` (process-monotonic ms) asks of the server that answers it. */
export function requirement(policy: ReadPolicy, floors: SessionFloors, cluster: ClusterView, invokedAt: number): Requirement {
  const { consistency, maxStalenessMs } = policy
  if (consistency === 'strong' || (maxStalenessMs !== null && maxStalenessMs <= 0)) return { kind: 'primary' }
  if (consistency === 'bounded' && maxStalenessMs === null) return { kind: 'primary' }
  if (cluster.contested === true && (consistency === 'session' || maxStalenessMs !== null))
    return { kind: 'unmet', reason: 'two primaries have had the same timeline', impatient: false, elsewhere: false }
  const session = consistency === 'session' ? ofSession(floors, cluster, invokedAt) : { kind: 'any' as const }
  if (maxStalenessMs === null || session.kind === 'unmet') return session
  const bound = ofBound(cluster, invokedAt - maxStalenessMs)
  if (session.kind === 'any' || bound.kind === 'unmet') return bound
  return { ...session, lsn: bound.lsn > session.lsn ? bound.lsn : session.lsn }
}

function ofSession(floors: SessionFloors, cluster: ClusterView, invokedAt: number): FloorRequirement | UnmetRequirement {
  const standing = floors.standing(cluster, invokedAt)
  return standing.kind === 'floor' ? standing : { ...standing, kind: 'unmet' }
}

function ofBound(cluster: ClusterView, time: number): FloorRequirement | UnmetRequirement {
  const sample = firstSampleAtOrAfter(cluster.series, time)
  if (sample === null || cluster.timeline === null) {
    return { kind: 'unmet', reason: 'no sample of the primary is recent enough for the bound', impatient: false, elsewhere: false }
  }
  return { kind: 'floor', timeline: cluster.timeline, lsn: sample.lsn, same: null, claimed: false }
}

/** Whether the node, as the monitor last saw it, is worth a connection for this read. Not yet a proof: admits() is. */
export function mayAdmit(asked: Requirement, node: { readonly id: string; readonly position: Position | null }): boolean {
  if (asked.kind === 'any') return true
  if (asked.kind !== 'floor') return false
  if (asked.same !== null && asked.same.node !== node.id) return false
  return node.position !== null && node.position.timeline === asked.timeline && node.position.lsn >= asked.lsn
}

/** Whether this very connection is proved to meet what is asked. `latest`: the newest position of its node, or null. */
export function admits(asked: Requirement, evidence: ConnectionEvidence, latest: Position | null): boolean {
  if (asked.kind === 'any') return true
  if (asked.kind === 'primary') return !evidence.inRecovery
  if (asked.kind === 'unmet' || !evidence.inRecovery) return false
  if (asked.same !== null && (asked.same.node !== evidence.node || evidence.openedAt > asked.same.openedBefore)) return false
  const proved = usablePosition(evidence, latest, asked.timeline)
  return proved !== null && proved >= asked.lsn
}

/**
 * The position on `timeline` that may be relied on for a connection: its own when it was opened, or a sample sent after
 * that and answered by the same start of the same server. An older sample proves nothing: the server may have gone
 * through recovery in between, and come back further behind, without even changing its start time.
 */
export function usablePosition(evidence: ConnectionEvidence, latest: Position | null, timeline: number): Lsn | null {
  const sameStart = latest !== null && latest.postmasterStart === evidence.postmasterStart
  const own = (evidence.timeline ?? (sameStart ? latest.timeline : null)) === timeline ? evidence.position : null
  const sampled = sameStart && latest.sentAt > evidence.openedAt && latest.timeline === timeline ? latest.lsn : null
  if (own === null || sampled === null) return own ?? sampled
  return own > sampled ? own : sampled
}
