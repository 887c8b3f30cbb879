// doors/admin/readiness.ts — whether this process can answer: every database's default cluster has a proved primary or
// a replica that may be read from. A cluster that only partitions use may be down; the rest goes on.
import type { Config } from '../../config/config.js'
import type { Topology } from '../../topology/topology.js'

export interface Readiness {
  readonly ready: boolean
  /** `app: no server of cluster main is usable`, one per database that cannot be served. */
  readonly missing: readonly string[]
}

export function readiness(config: Config, topology: Topology): Readiness {
  const missing = [...config.databases.values()]
    .filter((database) => !isServed(topology, database.default))
    .map((database) => `${database.name}: no server of cluster ${database.default} is usable`)
  return { ready: missing.length === 0, missing }
}

function isServed(topology: Topology, id: string): boolean {
  const cluster = topology.clusters.get(id)
  if (cluster === undefined) return false
  return cluster.primary !== null || cluster.nodes.some((node) => node.role === 'replica' && node.health === 'up' && node.unfit === null)
}
