// runtime/session-token.ts — the token of a session, told and taken, as every door does it: over all clusters of its
// database, signed by the configuration's key, with a sample where one is needed (CONSISTENCY §2.7).
import { exportToken, importToken } from '../consistency/token-exchange.js'
import type { SessionFloors } from '../consistency/floors.js'
import { clustersOf } from '../config/clusters-of.js'
import type { Config, DatabaseConfig } from '../config/config.js'
import { resolveFloors } from '../execute/resolve-floors.js'
import type { Topology } from '../topology/topology.js'

/** Whose token, and what is measured of the clusters. */
export interface TokenBearer {
  readonly floors: SessionFloors
  readonly database: DatabaseConfig
  /** A Generation is one. */
  readonly generation: { readonly config: Config; topology(): Topology; sampleNow(cluster: string): Promise<void> }
}

/** Resolves when tokenOf() can say all that a sample tells, after `ms` at the latest; null: it can now. Never rejects. */
export function tokenResolved({ floors, database, generation }: TokenBearer, ms: number): Promise<void> | null {
  const known = generation.topology().clusters
  const open = clustersOf(database).filter((id) => {
    const view = known.get(id)
    return view !== undefined && floors.unresolved(view)
  })
  return open.length === 0 ? null : resolveFloors(generation, floors, open, ms)
}

/** What whoever brings it must see of what the session has written and seen; '' for nothing. */
export function tokenOf({ floors, database, generation }: TokenBearer): string {
  const known = generation.topology().clusters
  const views = clustersOf(database).flatMap((id) => known.get(id) ?? [])
  return exportToken(floors, views, generation.config.tokens.key)
}

/** Takes a token in, received at `now` (process-monotonic ms). Never throws; what was wrong with it in words, none of them its own, or null. */
export function takeToken({ floors, database, generation }: TokenBearer, text: string, now: number): string | null {
  const { config } = generation
  const known = generation.topology().clusters
  const reading = importToken(floors, text, {
    clusters: clustersOf(database),
    key: config.tokens.key,
    now,
    known: config.clusters,
    system: (cluster) => known.get(cluster)?.system ?? null,
  })
  return reading.ok ? null : reading.reason
}
