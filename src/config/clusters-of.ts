// config/clusters-of.ts — the clusters of a database.
import type { DatabaseConfig } from './config.js'

/** Every cluster that statements of this database may go to, default first, each once. */
export function clustersOf(database: DatabaseConfig): readonly string[] {
  const clusters = new Set([database.default])
  for (const partition of database.partitions.values()) clusters.add(partition.cluster)
  for (const sharded of database.sharded.values()) for (const cluster of sharded.clusters) clusters.add(cluster)
  return [...clusters]
}
