// doors/proxy/console/tables-config.ts — the configuration: databases and users with what they have open now, and every key.
// Secrets: a text is shown only under a key that is known to hold none.
import type { Config } from '../../../config/config.js'
import { restartKeys } from '../../../config/diff.js'
import { columns, type Cell } from './cells.js'
import { databaseOfPool, serverUser } from './names.js'
import { sum, told, yes, type Shown, type TableSpec } from './shown.js'

export const databases: TableSpec = {
  columns: columns(`name host port:int4 database force_user pool_size:int4 min_pool_size:int4 reserve_pool_size:int4 server_lifetime:int4
    pool_mode load_balance_hosts max_connections:int4 current_connections:int4 max_client_connections:int4
    current_client_connections:int4 paused:int4 disabled:int4 cluster owner`),
  parts: ['tally', 'pools'],
  rows: (shown) => {
    const { config, gate, topology } = shown
    const everything = gate.isPaused({ kind: 'all', name: '' })
    return [...config.databases.values()].map((database): readonly Cell[] => {
      const { name } = database
      const cluster = config.clusters.get(database.default)
      const node = topology.clusters.get(database.default)?.primary ?? cluster?.nodes[0]
      return [
        name,
        node?.host ?? null,
        node?.port ?? 0,
        cluster?.dbname ?? name,
        cluster?.user ?? null,
        cluster?.pool.max ?? 0,
        0,
        0,
        Math.round((cluster?.pool.lifetimeMs ?? 0) / 1_000),
        database.poolMode,
        null,
        database.maxConnections ?? 0,
        serverConnections(shown, (pool) => configuredName(config, databaseOfPool(config, pool)) === name),
        database.maxClients ?? 0,
        sum(
          told(shown, 'tally')
            .filter(([, tally]) => configuredName(config, tally.database) === name)
            .map(([, tally]) => tally.idle + tally.active + tally.waiting),
        ),
        everything || gate.isPaused({ kind: 'database', name }) ? 1 : 0,
        gate.isDisabled(name) ? 1 : 0,
        database.default,
        database.owner,
      ]
    })
  },
}

/** `*` takes the names that no other entry has. */
function configuredName(config: Config, name: string): string {
  return config.databases.has(name) ? name : '*'
}

type Pool = Parameters<typeof databaseOfPool>[1] & { readonly user: string }

function serverConnections(shown: Shown, test: (pool: Pool) => boolean): number {
  return sum(
    told(shown, 'pools')
      .filter(([, pool]) => test(pool))
      .map(([, { busy, idle, opening }]) => busy + idle + opening),
  )
}

export const users: TableSpec = {
  columns: columns(`name pool_size reserve_pool_size pool_mode max_user_connections:int4 current_connections:int4
    max_user_client_connections:int4 current_client_connections:int4 console`),
  parts: ['tally', 'pools'],
  rows: (shown) => {
    const { auth, databases: all } = shown.config
    const tally = told(shown, 'tally').map(([, item]) => item)
    const names = new Set([...auth.users.keys(), ...tally.map(({ user }) => user)])
    return [...names].map((name): readonly Cell[] => {
      const logins = new Set([...all.keys()].map((database) => serverUser(shown.config, database, name)))
      const own = serverConnections(shown, ({ user }) => user === name && logins.has(name))
      const clients = sum(tally.filter(({ user }) => user === name).map(({ idle, active, waiting }) => idle + active + waiting))
      const rights = auth.admins.includes(name) ? 'admin' : auth.viewers.includes(name) ? 'viewer' : null
      const { maxClients, maxConnections } = auth.users.get(name)?.limits ?? auth.defaultLimits
      return [name, '', '', auth.users.get(name)?.poolMode ?? null, maxConnections ?? 0, own, maxClients ?? 0, clients, rights]
    })
  },
}

// ---- SHOW CONFIG

export const config: TableSpec = {
  columns: columns('key value default changeable'),
  parts: [],
  rows: ({ config: present }) => [...bouncerKeys(present), ...ownKeys(present)],
}

/** What PgBouncer calls by another name, for tools that read it. */
function bouncerKeys({ listen, auth, limits, clusters }: Config): readonly (readonly Cell[])[] {
  const [first] = clusters.values()
  const rows: readonly (readonly [string, string | number, string, boolean])[] = [
    ['listen_addr', listen.host, '', false],
    ['listen_port', listen.port, '6432', false],
    ['unix_socket_dir', listen.unix ?? '', '', false],
    ['auth_type', auth.method, 'scram-sha-256', true],
    ['admin_users', auth.admins.join(','), '', true],
    ['stats_users', auth.viewers.join(','), '', true],
    ['pool_mode', 'transaction', 'transaction', true],
    ['max_client_conn', listen.maxClients, '', true],
    ['default_pool_size', first?.pool.max ?? 0, '', true],
    ['max_db_connections', 0, '0', true],
    ['max_user_connections', auth.defaultLimits.maxConnections ?? 0, '0', true],
    ['max_user_client_connections', auth.defaultLimits.maxClients ?? 0, '0', true],
    ['client_login_timeout', limits.loginMs / 1_000, '', true],
    ['query_wait_timeout', (first?.pool.waitMs ?? 0) / 1_000, '', true],
    ['server_lifetime', (first?.pool.lifetimeMs ?? 0) / 1_000, '', true],
    ['stats_period', 60, '60', false],
  ]
  return rows.map(([key, value, standard, changeable]) => [key, String(value), standard, yes(changeable)])
}

/** Texts under these keys hold no secret. A key that is not here is shown as what it is: set. */
const openKeys: ReadonlySet<string> = new Set(
  `host unix mode method level dbname user id zone reset lsnSource kind schema table readOnly name default owner cluster partition
  unparsed consistency cutOff step address tls poolMode bus by shard channel path coordinator scatter`.split(/\s+/),
)
/** Values below these keys are never looked into. */
const closedKeys: ReadonlySet<string> = new Set(['token', 'tokens', 'password', 'verifier', 'key', 'cert', 'ca', 'monitor', 'authQuery'])

function ownKeys(present: Config): readonly (readonly Cell[])[] {
  return flat(present, []).map(([path, value]) => [path, value, '', yes(!restartKeys.has(path))])
}

function flat(value: unknown, path: readonly string[]): readonly (readonly [path: string, value: string | null])[] {
  const key = path.at(-1) ?? ''
  const at = path.map(snake).join('.')
  if (value === undefined) return []
  if (value === null) return [[at, null]]
  if (closedKeys.has(key)) return [[at, '(set)']]
  if (typeof value === 'number' || typeof value === 'boolean') return [[at, String(value)]]
  if (typeof value === 'string') return [[at, openKeys.has(key) || openList(path) ? value : '(set)']]
  if (value instanceof Map)
    return [...(value as ReadonlyMap<unknown, unknown>)].flatMap(([name, item]) => flat(item, [...path, String(name)]))
  if (value instanceof Set || Array.isArray(value))
    return [...(value as Iterable<unknown>)].flatMap((item, index) => flat(item, [...path, nameOf(item, index)]))
  if (typeof value === 'object') return Object.entries(value).flatMap(([name, item]) => flat(item, [...path, name]))
  return []
}

/** Lists of names. */
function openList(path: readonly string[]): boolean {
  return ['admins', 'viewers', 'tables', 'clusters', 'databases', 'users', 'keyColumns', 'keyTypes', 'keys', 'map'].includes(
    path.at(-2) ?? '',
  )
}

function nameOf(item: unknown, index: number): string {
  const { id, name } = (typeof item === 'object' && item !== null ? item : {}) as { readonly id?: unknown; readonly name?: unknown }
  return typeof id === 'string' ? id : typeof name === 'string' ? name : String(index)
}

function snake(word: string): string {
  return word.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
