// execute/loss-error.ts — what a client hears when the connection under its statement is gone, on both doors.
import { PointsmanError } from '../errors/error.js'
import type { RouteTaken } from './contract.js'

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
