// doors/proxy/console/names.ts — which database a pool is of, as clients call it. Where a cluster has a database and a login of
// its own, several databases of the configuration may share its pools; then they have the name that the server knows.
import { clustersOf } from '../../../config/clusters-of.js'
import type { Config } from '../../../config/config.js'
import { databaseOf } from '../login.js'

/** Clusters that tables of this database are on. */
export function databaseClusters(config: Config, name: string): readonly string[] {
  const database = databaseOf(config, name)
  return database === undefined ? [] : clustersOf(database)
}

/** The database whose pool this is, by its name for clients. */
export function databaseOfPool(config: Config, { cluster, dbname }: { readonly cluster: string; readonly dbname: string }): string {
  const own = config.clusters.get(cluster)?.dbname ?? null
  if (own === null) return dbname
  const sharing = [...config.databases.keys()].filter((name) => databaseClusters(config, name).includes(cluster))
  const [only] = sharing
  return sharing.length === 1 && only !== undefined && only !== '*' ? only : dbname
}

/** The login that a client's work has on the default cluster of its database. */
export function serverUser(config: Config, database: string, user: string): string {
  const cluster = databaseOf(config, database)?.default
  return (cluster === undefined ? null : config.clusters.get(cluster)?.user) ?? user
}
