// consistency/floors.ts — what one session must see again: its own writes and what its reads have shown (CONSISTENCY
// §2.3 W0 and §2.6). One per session, kept per cluster. It asks no server anything: a write or a read leaves a mark in
// time, and the first sample that the monitor SENT after that mark turns it into a position. Until then it is pending,
// which no replica meets. Pure: times are arguments.
import type { ClusterView } from './position.js'
import type { Lsn } from './lsn.js'

/** How a read ended, well or not. All times are process-monotonic ms. */
export interface ReadEnd {
  readonly node: string
  readonly role: 'primary' | 'replica'
  /** `evidence.openedAt` of the connection it ran on. */
  readonly openedAt: number
  /** Before the read was sent, at or after `openedAt`. */
  readonly startedAt: number
  /** After its last reply was read. */
  readonly endedAt: number
}

export interface SessionFloors {
  /** A write is about to be sent: pending until resolved, infinite while in flight. Called BEFORE sending. */
  writeStarted(cluster: string): void
  /** The write was acknowledged, failed, or its outcome is unknown (all count), at `now`. */
  writeEnded(cluster: string, now: number): void
  /** Every read counts, whatever its policy: a later `session` read must not show less. */
  readEnded(cluster: string, read: ReadEnd): void
  /** Resolves what the cluster's samples can resolve, and says what is asked of the next `session` read. */
  standing(cluster: ClusterView): Standing
  /** The replica that answered last, to be preferred (monotonic reads are free there), or null. */
  lastReplica(cluster: string): string | null
}

/** What a session asks of a replica, apart from its policy. */
export type Standing =
  /** `lsn` 0 where nothing was written or read yet. `same`: a read is not resolved yet, so only its own server may answer. */
  | { readonly kind: 'floor'; readonly timeline: number; readonly lsn: Lsn; readonly same: SameServer | null }
  /** `impatient`: this session has been sent to the primary several times in a row because of it. */
  | { readonly kind: 'pending'; readonly reason: string; readonly impatient: boolean }

/** A connection to `node` that was open at `openedBefore` and still is shows at least what was read there. */
export interface SameServer {
  readonly node: string
  readonly openedBefore: number
}
