// consistency/position-query.ts — the one question that a server is asked about itself, and how its answer is read. The
// monitor asks it at every poll, a pool once on each connection it opens. pg_is_in_recovery() is called once (OFFSET 0
// keeps the subquery apart): a promotion between two calls must not pair the role of one with the position of the other.
import { normaliseInsertLsn, parseLsn, type Lsn, type WalSizes } from './lsn.js'

/** When the server was started; the same instant has the same text on every connection, whatever its settings. */
export const startedAt: string = `pg_catalog.to_char(pg_catalog.pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')`

/** Of a primary, in hexadecimal. */
export const ownTimeline: string = 'pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8)'

/**
 * One row, text or null: in recovery, LSN, postmaster start, timeline (null unless the role may read the receiver's: pg_monitor),
 * wal_block_size, wal_segment_size, timeline of the minimum recovery point, flush LSN (primary), synchronous_commit.
 * PostgreSQL 14 to 18. No side effects, no privileges needed.
 */
export const positionQuery: string = `SELECT r::text,
 CASE WHEN r THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END::text,
 ${startedAt},
 CASE WHEN r THEN (SELECT received_tli::text FROM pg_catalog.pg_stat_wal_receiver)
  ELSE ${ownTimeline} END,
 pg_catalog.current_setting('wal_block_size'),
 pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))::text,
 CASE WHEN r THEN (SELECT min_recovery_end_timeline::text FROM pg_catalog.pg_control_recovery()) END,
 CASE WHEN r THEN NULL ELSE pg_catalog.pg_current_wal_flush_lsn() END::text,
 pg_catalog.current_setting('synchronous_commit')
FROM (SELECT pg_catalog.pg_is_in_recovery() AS r OFFSET 0) q`

/** What a server said of itself. */
export interface ServerPosition {
  /** A replica: in recovery, or a logical subscriber. */
  readonly inRecovery: boolean
  /** Replay position, or normalised insert position, or heartbeat; null: not told (a standby that has not replayed anything yet). */
  readonly lsn: Lsn | null
  readonly postmasterStart: string
  /** null: not told (no receiver, or no right to see it). */
  readonly timeline: number | null
  /** A standby has replayed at least up to here; null: not told. It trails, so it proves no timeline, but may disprove one. */
  readonly replayedTimeline: number | null
  /** A standby's WAL receiver is connected, as far as the role may see it. */
  readonly receiving: boolean
  /** How far a primary's log is safe on disk; null: a replica, or no WAL positions are measured. */
  readonly commits: CommitPositions | null
  /** Why no position can be told, in words, where that is a fault of the set-up; null: it can, or could soon. */
  readonly blind: string | null
}

/** What tells a commit that waited for its record to be on disk from one that did not (CONSISTENCY §2.2). */
export interface CommitPositions {
  /** Normalised. */
  readonly insert: Lsn
  readonly flush: Lsn
  /** Bytes written to the log and not safe on disk yet. */
  readonly ahead: number
  /** The session that asked commits without waiting: so may others. */
  readonly asynchronous: boolean
}

/** Reads the row of positionQuery. Throws RangeError on an answer it cannot read: unknown is never guessed. */
export function readPosition(row: readonly (string | null)[] | undefined): ServerPosition {
  const [recovery, lsn, postmasterStart, timeline, block, segment, replayed, flush, commit] = row ?? []
  if ((recovery !== 'true' && recovery !== 'false') || typeof postmasterStart !== 'string') throw new RangeError('unreadable position')
  const inRecovery = recovery === 'true'
  const position = typeof lsn === 'string' ? readLsn(lsn, inRecovery, { block: Number(block), segment: Number(segment) }) : null
  return {
    inRecovery,
    lsn: position,
    postmasterStart,
    timeline: typeof timeline === 'string' ? readTimeline(timeline, inRecovery) : null,
    replayedTimeline: typeof replayed === 'string' && Number(replayed) > 0 ? Number(replayed) : null,
    receiving: inRecovery && typeof timeline === 'string',
    commits: typeof flush === 'string' && position !== null ? readCommits(parseLsn(flush), position, commit ?? '') : null,
    blind: null,
  }
}

function readCommits(flush: Lsn, insert: Lsn, setting: string): CommitPositions {
  return { insert, flush, ahead: insert > flush ? Number(insert - flush) : 0, asynchronous: !waitsForDisk(setting) }
}

/** Values of synchronous_commit under which a commit is acknowledged only once it is on disk. */
export const waitingForDisk: readonly string[] = ['on', 'local', 'remote_write', 'remote_apply', 'true', 'yes', '1']

/** Whether a commit under this value of synchronous_commit is acknowledged only once it is on disk. What is not known is not. */
export function waitsForDisk(setting: string): boolean {
  return waitingForDisk.includes(setting.toLowerCase())
}

function readLsn(text: string, inRecovery: boolean, sizes: WalSizes): Lsn {
  if (inRecovery) return parseLsn(text)
  if (!(sizes.block > 0) || !(sizes.segment > 0)) throw new RangeError('unreadable WAL sizes')
  return normaliseInsertLsn(parseLsn(text), sizes)
}

/** The receiver tells it in decimal, the name of a WAL file in hexadecimal. */
export function readTimeline(text: string, inRecovery: boolean): number {
  const timeline = Number.parseInt(text, inRecovery ? 10 : 16)
  if (!(timeline > 0)) throw new RangeError('unreadable timeline')
  return timeline
}
