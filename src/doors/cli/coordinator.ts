// doors/cli/coordinator.ts — `pointsman coordinator sql`: a script that makes a PostgreSQL see the rows of all clusters of a database,
// for `databases.<d>.coordinator`. Names come from the config; with --live also those that only the servers know.
import type { Config, DatabaseConfig } from '../../config/config.js'
import { clustersOf } from '../../config/clusters-of.js'
import { homeFor } from '../../config/home-for.js'
import { readTables, withServer } from './ask-server.js'
import { anyConfig, goodConfig } from './config-file.js'
import { coordinatorSql, type SeenTable } from './coordinator-sql.js'
import { CommandError, exit, type ExitCode, type Io } from './io.js'
import { databaseOf } from './look.js'
import { withProgress } from './progress.js'

export interface CoordinatorOptions {
  readonly config?: string
  readonly database?: string
  readonly live?: boolean
  readonly reader?: readonly string[]
}

export async function coordinator(options: CoordinatorOptions, io: Io): Promise<ExitCode> {
  const { config } = await goodConfig(anyConfig(options.config, io), io)
  const { name, database } = databaseOf(config, options.database)
  const there = options.live === true ? await withProgress(io, 'asking the servers', () => tablesThere(config, database, name)) : null
  const tables = tablesOf(database, there)
  if (tables.length === 0) throw new CommandError(exit.usage, `no table of ${name} is known to lie elsewhere; --live asks the servers`)
  if (there === null) {
    const left = database.patterns.length > 0 ? 'tables that are named by a pattern or a schema, and those' : 'tables'
    io.err(`pointsman: ${left} of cluster ${database.default} that the config does not name are left out; --live asks the servers for them`)
  }
  const readers = options.reader ?? readersOf(config, database)
  for (const line of coordinatorSql({ database: name, tables, clusters: config.clusters, readers })) io.out(line)
  return exit.done
}

function readersOf({ clusters }: Config, { coordinator: id }: DatabaseConfig): readonly string[] {
  const user = id === undefined ? null : (clusters.get(id)?.user ?? null)
  return user === null ? [] : [user]
}

type There = ReadonlyMap<string, readonly string[]>

/** Tables of every cluster but the coordinator's own. */
async function tablesThere(config: Config, database: DatabaseConfig, name: string): Promise<There> {
  const ids = clustersOf(database).filter((id) => id !== database.coordinator)
  return new Map(await Promise.all(ids.map(async (id) => [id, await tablesOn(config, id, name)] as const)))
}

async function tablesOn(config: Config, id: string, name: string): Promise<readonly string[]> {
  const cluster = config.clusters.get(id)
  if (cluster === undefined) return []
  const { user, password } = cluster.user === null && cluster.monitor !== null ? cluster.monitor : cluster
  const login = { user: user ?? '', password, dbname: cluster.dbname ?? name }
  let last: unknown = null
  for (const node of cluster.nodes) {
    try {
      return [...(await withServer(cluster, node, login, readTables)).keys()]
    } catch (error) {
      last = error
    }
  }
  throw new CommandError(exit.no, `no server of cluster ${id} could be asked: ${last instanceof Error ? last.message : String(last)}`)
}

/** Every table that does not lie on the coordinator itself, with the clusters that hold its rows, by name. */
function tablesOf(database: DatabaseConfig, there: There | null): readonly SeenTable[] {
  const keys = new Set([...database.homes.keys(), ...[...(there?.values() ?? [])].flat()])
  const found = [...keys].flatMap((key) => {
    const clusters = holders(database, key)
    const exists = there === null || clusters.every((id) => there.get(id)?.includes(key) ?? false)
    return exists && !clusters.includes(database.coordinator ?? '') ? [{ key, clusters }] : []
  })
  return found.sort((a, b) => (a.key < b.key ? -1 : 1))
}

function holders(database: DatabaseConfig, key: string): readonly string[] {
  const found = homeFor(database, key)
  switch (found?.kind) {
    case 'sharded':
      if (found.sharded.clusters.includes(database.coordinator ?? ''))
        throw new CommandError(
          exit.usage,
          `the coordinator ${database.coordinator ?? ''} holds shards of ${found.sharded.name}: its table ${key} has the name that all rows together need. Give the coordinator a cluster of its own, which may be another database of the same server`,
        )
      return found.sharded.clusters
    case 'partition':
      return [found.cluster]
    default:
      // Copies are the same everywhere.
      return [database.default]
  }
}
