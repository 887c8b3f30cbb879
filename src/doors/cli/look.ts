// doors/cli/look.ts — what commands that plan statements must know of the servers: their catalogs, and the search_path that a
// client of a login would find.
import type { Catalog } from '../../catalog/catalog.js'
import type { Config, DatabaseConfig } from '../../config/config.js'
import { createMonitor } from '../../monitor/create-monitor.js'
import { createObserver } from '../../observe/observer.js'
import { withServer } from './ask-server.js'
import { CommandError, exit } from './io.js'

/** How long servers may take to show themselves and their catalogs. */
const readyMs = 5000

export interface Seen {
  readonly catalogs: ReadonlyMap<string, Catalog>
  readonly searchPath: string
}

const defaultPath = '"$user", public'
export const nothingSeen: Seen = { catalogs: new Map(), searchPath: defaultPath }

export async function look(config: Config, database: DatabaseConfig, name: string, user: string): Promise<Seen> {
  const monitor = createMonitor({ config, observer: createObserver(), now: () => performance.now(), random: Math.random })
  try {
    const [searchPath] = await Promise.all([searchPathOf(config, database, name, user), monitor.ready(readyMs)])
    return { catalogs: monitor.catalogs(), searchPath }
  } finally {
    await monitor.close()
  }
}

// As a client of this login would find it; roles and databases may have one of their own.
async function searchPathOf(config: Config, database: DatabaseConfig, name: string, user: string): Promise<string> {
  const cluster = config.clusters.get(database.default)
  if (cluster === undefined) return defaultPath
  const own = { user, password: config.auth.users.get(user)?.password ?? null }
  const login = { ...(cluster.user === null ? own : { user: cluster.user, password: cluster.password }), dbname: cluster.dbname ?? name }
  for (const node of cluster.nodes) {
    const found = await withServer(
      cluster,
      node,
      login,
      async (connection) => (await connection.query('SHOW search_path')).rows[0]?.[0],
    ).catch(() => null)
    if (typeof found === 'string') return found
  }
  return defaultPath
}

export function databaseOf(config: Config, wanted: string | undefined): { readonly name: string; readonly database: DatabaseConfig } {
  const names = [...config.databases.keys()]
  const name = wanted ?? (names.length === 1 ? names[0] : undefined)
  if (name === undefined || (name === '*' && wanted === undefined)) {
    throw new CommandError(exit.usage, `say which database: --database ${names.map((one) => (one === '*' ? 'NAME' : one)).join(' or ')}`)
  }
  const database = config.databases.get(name) ?? config.databases.get('*')
  if (database === undefined) throw new CommandError(exit.usage, `the config has no database ${name}; there is: ${names.join(', ')}`)
  return { name, database }
}
