// execute/loss-error.ts — what a client hears when the connection under its statement is gone, on both doors.
import { PointsmanError } from '../errors/error.js'
import type { RouteTaken } from './contract.js'

/** What a server says when it ends a session by itself, and takes what was running back. */
const endings: ReadonlySet<string> = new Set(['57P01', '57P02', '57P03', '57P04', '57P05', '25P03', '25P04'])

/** True: a server that said this before it closed the connection is to be quoted, for its client would have heard the same. */
export function endedByServer(code: string): boolean {
  return endings.has(code)
}

/**
 * A replica may go at any time, and its clients hear what its own shutdown would tell them. `unknown`: a write may have run.
 * `said`: what the server, the system or a driver said of it.
 */
export function lossError(
  { cluster, node, role }: Pick<RouteTaken, 'cluster' | 'node' | 'role'>,
  unknown: boolean,
  said: { readonly detail?: string; readonly cause?: unknown },
): PointsmanError {
  const key = unknown ? 'outcome_unknown' : role === 'replica' ? 'replica_lost' : 'connection_lost'
  return new PointsmanError(key, { values: { node, cluster }, ...said })
}
