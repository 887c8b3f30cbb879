// config/clusters-of.ts — the clusters of a database.
import type { DatabaseConfig } from './config.js'

/** Every cluster that statements of this database may go to, default first, each once. */
export function clustersOf(database: DatabaseConfig): readonly string[] {
  const partitions = [...database.partitions.values()].map((partition) => partition.cluster)
  const sharded = [...database.sharded.values()].flatMap((one) => one.clusters)
  return [...new Set([database.default, ...partitions, ...sharded])]
}
