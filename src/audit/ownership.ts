// audit/ownership.ts — how many tables nobody owns.
import type { Catalog } from '../catalog/catalog.js'
import { tablesIn } from '../catalog/tables-in.js'
import { clustersOf } from '../config/clusters-of.js'
import type { Config } from '../config/config.js'
import { whyUnowned } from '../config/ownership.js'

/** By database; `*` has no tables that could be told. */
export function unownedCounts(config: Config, catalogs: ReadonlyMap<string, Catalog>): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const database of config.databases.values()) {
    if (database.name === '*') continue
    const unowned = clustersOf(database).map(
      (cluster) => tablesIn(catalogs.get(cluster)).filter((table) => whyUnowned(database, cluster, table) !== null).length,
    )
    counts.set(
      database.name,
      unowned.reduce((sum, one) => sum + one, 0),
    )
  }
  return counts
}
