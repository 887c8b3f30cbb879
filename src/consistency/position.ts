// consistency/position.ts — where a server stood in the write-ahead log, and who proved it. A position is a lower bound
// of what its server shows, but only until that server goes through recovery again (CONSISTENCY §2.4), so it carries
// everything that is needed to tell whether it may be used for a given connection.
import type { Lsn } from './lsn.js'
import { boundOf, type SampleSeries } from './series.js'

/** A position that the monitor read. Usable for another connection only by CONSISTENCY §2.4 (see admits()). */
export interface Position {
  readonly lsn: Lsn
  /** Process-monotonic ms, just before the query was sent. */
  readonly sentAt: number
  /** Process-monotonic ms at which the monitor's own connection was already open. A crash of the server breaks it. */
  readonly connectedAt: number
  /** pg_postmaster_start_time() of the server that answered, as text. */
  readonly postmasterStart: string
  readonly timeline: number | null
  /** A primary's insert position, where `lsn` is not that (`lsn_source: flush`). */
  readonly insert?: Lsn
}

/** What this room reads of a cluster; topology's ClusterSnapshot is one. */
export interface ClusterView {
  readonly id: string
  /** systemKey() of the present (or last) primary's system identifier; null: never known. */
  readonly system: string | null
  /** Of the present (or, while there is none, the last) primary; null: never known. */
  readonly timeline: number | null
  /**
   * When that primary was first proved on its timeline, or seen to have lost the end of its log since, process-monotonic ms:
   * positions from before it do not compare with its own.
   */
  readonly since: number
  /** A replica shows nothing beyond its position. A heartbeat tells only what it shows at least. */
  readonly exact: boolean
  /** Two primaries have had this timeline, so positions on it do not compare; left out: no. */
  readonly contested?: boolean
  readonly series: SampleSeries
  readonly nodes: readonly { readonly id: string; readonly position: Position | null }[]
}

/** At most how stale, in ms, whoever has come to `at` is for a read invoked at `now`; null: nothing is proved. */
export function stalenessOf(
  cluster: Pick<ClusterView, 'timeline' | 'contested' | 'series'>,
  at: Pick<Position, 'timeline' | 'lsn'> | null,
  now: number,
): number | null {
  const { timeline, contested = false, series } = cluster
  if (at === null || timeline === null || at.timeline !== timeline || contested) return null
  return boundOf(series, at.lsn, now)
}
