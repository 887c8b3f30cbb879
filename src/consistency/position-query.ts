// consistency/position-query.ts — the one question that a server is asked about itself, and how its answer is read. The
// monitor asks it at every poll, a pool once on each connection it opens. pg_is_in_recovery() is called once (OFFSET 0
// keeps the subquery apart): a promotion between two calls must not pair the role of one with the position of the other.
import { normaliseInsertLsn, parseLsn, type Lsn, type WalSizes } from './lsn.js'

/**
 * One row, text or null: in recovery, LSN, postmaster start, timeline (null unless the role may read the receiver's: pg_monitor),
 * wal_block_size, wal_segment_size, timeline of the minimum recovery point. PostgreSQL 14 to 18. No side effects, no privileges needed.
 */
export const positionQuery = `SELECT r::text,
 CASE WHEN r THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END::text,
 pg_catalog.to_char(pg_catalog.pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'),
 CASE WHEN r THEN (SELECT received_tli::text FROM pg_catalog.pg_stat_wal_receiver)
  ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8) END,
 pg_catalog.current_setting('wal_block_size'),
 pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))::text,
 CASE WHEN r THEN (SELECT min_recovery_end_timeline::text FROM pg_catalog.pg_control_recovery()) END
FROM (SELECT pg_catalog.pg_is_in_recovery() AS r OFFSET 0) q`

/** What a server said of itself. */
export interface ServerPosition {
  readonly inRecovery: boolean
  /** Replay position, or normalised insert position; null: a standby that has not replayed anything yet. */
  readonly lsn: Lsn | null
  /** The same instant has the same text on every connection, whatever its settings. */
  readonly postmasterStart: string
  /** null: not told (no receiver, or no right to see it). */
  readonly timeline: number | null
  /** A standby has replayed at least up to here; null: not told. It trails, so it proves no timeline, but may disprove one. */
  readonly replayedTimeline: number | null
}

/** Reads the row of positionQuery. Throws RangeError on an answer it cannot read: unknown is never guessed. */
export function readPosition(row: readonly (string | null)[] | undefined): ServerPosition {
  const [recovery, lsn, postmasterStart, timeline, block, segment, replayed] = row ?? []
  if ((recovery !== 'true' && recovery !== 'false') || typeof postmasterStart !== 'string') throw new RangeError('unreadable position')
  const inRecovery = recovery === 'true'
  const sizes = { block: Number(block), segment: Number(segment) }
  return {
    inRecovery,
    lsn: typeof lsn === 'string' ? readLsn(lsn, inRecovery, sizes) : null,
    postmasterStart,
    timeline: typeof timeline === 'string' ? readTimeline(timeline, inRecovery) : null,
    replayedTimeline: typeof replayed === 'string' && Number(replayed) > 0 ? Number(replayed) : null,
  }
}

function readLsn(text: string, inRecovery: boolean, sizes: WalSizes): Lsn {
  if (inRecovery) return parseLsn(text)
  if (!(sizes.block > 0) || !(sizes.segment > 0)) throw new RangeError('unreadable WAL sizes')
  return normaliseInsertLsn(parseLsn(text), sizes)
}

/** The receiver tells it in decimal, the name of a WAL file in hexadecimal. */
function readTimeline(text: string, inRecovery: boolean): number {
  const timeline = Number.parseInt(text, inRecovery ? 10 : 16)
  if (!(timeline > 0)) throw new RangeError('unreadable timeline')
  return timeline
}
