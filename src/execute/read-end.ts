// execute/read-end.ts — how a read ended, for the floors of whoever was given it, of the connection that it ran on.
import type { ReadEnd } from '../consistency/floors.js'
import type { PooledConnection } from '../pool/contract.js'
import type { RouteTaken } from './contract.js'

interface Ran {
  readonly route: RouteTaken
  readonly connection: Pick<PooledConnection, 'evidence'>
  /** When its client got the connection: nothing was sent on it before. */
  readonly since: number
}

/** `startedAt`: when the statement came. All times are process-monotonic ms. */
export function readEnd({ route, connection, since }: Ran, startedAt: number, endedAt: number): ReadEnd {
  const { openedAt, postmasterStart } = connection.evidence
  return { node: route.node, role: route.role, openedAt, postmasterStart, startedAt: Math.max(startedAt, since), endedAt }
}
