// server/probe.ts — one question to a server: role, position, incarnation, timeline (CONSISTENCY §2.4). The same text for
// Evidence, for the monitor's samples and for the library's connections, so that their answers compare: it stands in
// consistency/position-query.ts.
import type { Lsn } from '../consistency/lsn.js'
import { positionQuery, readPosition } from '../consistency/position-query.js'

/** One row for readProbe(); everything is qualified, so that no search_path can change its meaning. */
export const probeSql: string = positionQuery.replaceAll('\n', '')

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
  const { inRecovery, lsn, postmasterStart, timeline } = readPosition(row)
  return { inRecovery, position: lsn, postmasterStart, timeline }
}
