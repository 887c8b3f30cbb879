// config/ownership.ts — tables that are there, against the homes that the config gives them: what nobody owns, and what lies
// where no statement looks for it.
import type { DatabaseConfig, TableHome } from './config.js'
import { homeFor } from './home-for.js'

/** Why a table of a cluster is nobody's; null: somebody owns it. `table`: `schema.table`, of the root of a partition tree. */
export function whyUnowned(database: DatabaseConfig, cluster: string, table: string): string | null {
  const home = homeFor(database, table)
  if (home === undefined && cluster !== database.default) return `has no home; statements look for it on ${database.default}`
  if (home === undefined) return database.owner === null ? 'has no home and no owner' : null
  if (home.kind === 'reference') return null
  if (!livesOn(home, cluster))
    return `its home is ${home.kind === 'partition' ? home.cluster : home.sharded.clusters.join(', ')}; nothing reaches it here`
  return home.owner === null ? 'has no owner' : null
}

function livesOn(home: Exclude<TableHome, { readonly kind: 'reference' }>, cluster: string): boolean {
  return home.kind === 'partition' ? home.cluster === cluster : home.sharded.clusters.includes(cluster)
}
