// server/probe.ts — one question to a server: role, position, incarnation, timeline (CONSISTENCY §2.4). The same text for
// Evidence, for the monitor's samples and for the library's connections, so that their answers compare.
//
// The start time is asked as a number: as a timestamp its text would depend on the session's TimeZone and DateStyle.
// A role without pg_monitor gets no row from pg_stat_wal_receiver, or NULL: the timeline of a replica is unknown then.
import { normaliseInsertLsn, parseLsn, type Lsn } from '../consistency/lsn.js'

/** One row of six columns for readProbe(); everything is qualified, so that no search_path can change its meaning. */
export const probeSql = `SELECT pg_catalog.pg_is_in_recovery(),
 CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END,
 EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()),
 CASE WHEN pg_catalog.pg_is_in_recovery() THEN (SELECT received_tli::pg_catalog.text FROM pg_catalog.pg_stat_wal_receiver)
 ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8) END,
 pg_catalog.current_setting('wal_block_size'),
 pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))`.replaceAll('\n', '')

export interface Probe {
  readonly inRecovery: boolean
  /** Replay position (replica) or normalised insert position (primary); null: the server did not say. */
  readonly position: Lsn | null
  /** Compared for equality only. */
  readonly postmasterStart: string
  readonly timeline: number | null
}

/** Reads the row that probeSql gives, as text. Throws RangeError where the row is not one of it: unknown is never zero. */
export function readProbe(row: readonly (string | null)[]): Probe {
  const [recovery, lsn = null, start, tli = null, block, segment] = row
  if ((recovery !== 't' && recovery !== 'f') || typeof start !== 'string') throw new RangeError('unreadable answer to the position query')
  const inRecovery = recovery === 't'
  return { inRecovery, position: readPosition(lsn, inRecovery, Number(block), Number(segment)), postmasterStart: start, timeline: readTimeline(tli, inRecovery) }
}

function readPosition(text: string | null, inRecovery: boolean, block: number, segment: number): Lsn | null {
  if (text === null) return null
  const lsn = parseLsn(text)
  if (inRecovery) return lsn
  return block > 0 && segment > 0 ? normaliseInsertLsn(lsn, { block, segment }) : null
}

/** Decimal from pg_stat_wal_receiver, hexadecimal from a WAL file's name. */
function readTimeline(text: string | null, inRecovery: boolean): number | null {
  if (text === null) return null
  const timeline = Number.parseInt(text, inRecovery ? 10 : 16)
  return Number.isSafeInteger(timeline) && timeline > 0 ? timeline : null
}
