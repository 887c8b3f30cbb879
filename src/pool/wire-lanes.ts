// pool/wire-lanes.ts — the proxy's lanes: how a pooled connection becomes one.
import type { ServerConnection } from '../server/contract.js'
import { fit, replayChanges, replaySql } from '../session/replay.js'
import { Lane } from './lane.js'
import type { LaneKind } from './lane-kind.js'
import type { LaneRequest } from './lane-request.js'
import type { LaneGroup, Lanes } from './lanes.js'

export type WireLanes = Lanes<ServerConnection, LaneRequest, Lane>
export type WireLaneGroup = LaneGroup<ServerConnection, LaneRequest, Lane>

/** The proxy's lanes: replies are passed on as the bytes they are. */
export const wireLanes: LaneKind<ServerConnection, LaneRequest, Lane> = {
  suits: ({ settings }, wanted) => fit(wanted, settings),
  prepare: async (connection, wanted) => {
    const changes = replayChanges(wanted, connection.settings)
    if (changes.length > 0) await connection.query(replaySql(changes))
    connection.settings.clear()
    for (const [name, value] of wanted) connection.settings.set(name, value)
    return joins(connection)
  },
  open: (lease, owner, joined) => new Lane(lease, owner, joined),
}

/**
 * Whether several autocommit reads may be one transaction on it: each has a snapshot of its own there only under READ COMMITTED,
 * no time limit counts for all of them, and PostgreSQL looks for a deadlock later than we do. The first is made to stay so.
 */
async function joins(connection: ServerConnection): Promise<boolean> {
  const { rows } = await connection.query(joinable)
  if (rows[0]?.[0] !== 't') return false
  await connection.query("SET default_transaction_isolation = 'read committed'")
  return true
}

const joinable = `SELECT pg_catalog.current_setting('default_transaction_isolation') = 'read committed'
 AND COALESCE(pg_catalog.current_setting('transaction_timeout', true), '0') = '0'
 AND pg_catalog.current_setting('deadlock_timeout')::pg_catalog.interval >= '1s'`
