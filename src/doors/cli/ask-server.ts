// doors/cli/ask-server.ts — what `check --live` asks one server, as one login. Read-only, one connection, bounded time.
import type { ClusterConfig, NodeConfig } from '../../config/config.js'
import { positionProvider } from '../../consistency/position-provider.js'
import { positionQuery, readPosition } from '../../consistency/position-query.js'
import { askPosition } from '../../server/ask-position.js'
import { connectServer } from '../../server/connect-server.js'
import type { ServerConnection } from '../../server/contract.js'

export interface Login {
  readonly user: string
  readonly password: string | null
  readonly dbname: string
}

/** What a server says of itself. */
export interface ServerFacts {
  readonly inRecovery: boolean
  /** 180004 */
  readonly version: number
  readonly systemIdentifier: string | null
  /** Compared for equality only: two entries with equal values are one server. */
  readonly incarnation: string
  readonly timeline: number | null
  readonly maxPreparedTransactions: number
  readonly maxConnections: number
  /** A replica's walreceiver runs. */
  readonly streaming: boolean
  readonly canMonitor: boolean
}

export interface TableFacts {
  /** `schema.table`; partitions of a table are left out, they follow it. */
  readonly name: string
  /** Column → type as format_type() prints it. */
  readonly columns: ReadonlyMap<string, ColumnFacts>
}

export interface ColumnFacts {
  readonly type: string
  readonly deterministic: boolean
}

const askMs = 5000

const factsQuery = `SELECT pg_catalog.current_setting('server_version_num'), (SELECT system_identifier FROM pg_catalog.pg_control_system()),
 pg_catalog.current_setting('max_prepared_transactions'), pg_catalog.current_setting('max_connections'),
 (SELECT count(*) FROM pg_catalog.pg_stat_get_wal_receiver() WHERE pid IS NOT NULL),
 pg_catalog.pg_has_role(current_user, 'pg_monitor', 'USAGE')`

const tablesQuery = `SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), coalesce(k.collisdeterministic, true)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 LEFT JOIN pg_catalog.pg_collation k ON k.oid = a.attcollation
WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
 AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2, a.attnum`

/** Connects, runs `ask`, closes. Rejects with the server's or the socket's error, or after 5 s. */
export async function withServer<T>(
  cluster: ClusterConfig,
  node: NodeConfig,
  login: Login,
  ask: (connection: ServerConnection) => Promise<T>,
): Promise<T> {
  const identity = { cluster: cluster.id, ...login, key: 'check' }
  const options = { timeoutMs: askMs, startup: { application_name: 'pointsman check' }, maxStatements: 0 }
  const connection = await connectServer(node, cluster.tls, identity, options, AbortSignal.timeout(askMs))
  // A server that does not answer after the login loses its connection, and so the query ends.
  const timer = setTimeout(() => connection.close(), 3 * askMs)
  try {
    return await ask(connection)
  } finally {
    clearTimeout(timer)
    connection.close()
  }
}

export async function readFacts(connection: ServerConnection): Promise<ServerFacts> {
  const position = readPosition((await connection.query(positionQuery)).rows[0])
  const [row = []] = (await connection.query(factsQuery)).rows
  const [version, systemIdentifier, prepared, connections, receivers, canMonitor] = row
  return {
    inRecovery: position.inRecovery,
    version: Number(version),
    systemIdentifier: systemIdentifier ?? null,
    incarnation: `${systemIdentifier ?? '?'} ${position.postmasterStart} ${position.inRecovery ? 'r' : 'p'}`,
    timeline: position.timeline,
    maxPreparedTransactions: Number(prepared),
    maxConnections: Number(connections),
    streaming: receivers !== '0',
    canMonitor: canMonitor === 't',
  }
}

/** Why the heartbeat of its cluster cannot be measured here; null: it can, or there is none. Nothing is written. */
export async function readHeartbeat(connection: ServerConnection, cluster: ClusterConfig, node: NodeConfig): Promise<string | null> {
  if (cluster.position.kind !== 'heartbeat') return null
  const provider = positionProvider(cluster, node)
  const { inRecovery, blind } = await askPosition(async (sql) => (await connection.query(sql)).rows, provider, provider.look)
  if (blind !== null || inRecovery) return blind
  const { schema, table } = cluster.position
  const names = [schema, table].map((name) => `'${name.replaceAll("'", "''")}'`).join(', ')
  const { rows } = await connection.query(`SELECT pg_catalog.has_table_privilege(pg_catalog.format('%I.%I', ${names}), 'UPDATE')`)
  return rows[0]?.[0] === 't' ? null : 'the monitoring user may not UPDATE the heartbeat table'
}

export async function readTables(connection: ServerConnection): Promise<ReadonlyMap<string, TableFacts>> {
  const tables = new Map<string, { name: string; columns: Map<string, ColumnFacts> }>()
  for (const [schema, table, column, type, deterministic] of (await connection.query(tablesQuery)).rows) {
    const name = `${schema ?? ''}.${table ?? ''}`
    const facts = tables.get(name) ?? { name, columns: new Map<string, ColumnFacts>() }
    tables.set(name, facts)
    if (column !== null && column !== undefined) facts.columns.set(column, { type: type ?? '', deterministic: deterministic !== 'f' })
  }
  return tables
}
