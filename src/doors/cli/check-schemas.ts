// doors/cli/check-schemas.ts — `check --live` of tables that stand on several clusters (sharded ones, and reference tables): they are
// to be the same everywhere, sequences of sharded tables must not give the same numbers, and what holds on each cluster apart is told. Asked of primaries, from the catalog.
import type { ClusterConfig, Config, DatabaseConfig, NodeConfig } from '../../config/config.js'
import { clustersOf } from '../../config/clusters-of.js'
import type { Path } from '../../config/locator.js'
import type { ServerConnection } from '../../server/contract.js'
import { quoted, quoteLiteral } from '../../session/quote.js'
import { readApart, tellApart, type Apart } from './check-apart.js'
import { withServer, type Login, type ServerFacts } from './ask-server.js'
import type { Told } from './told.js'

/** A server as `check --live` has found it. */
interface Asked {
  readonly cluster: string
  readonly node: string
  readonly facts: ServerFacts | null
}

interface Spread {
  readonly path: Path
  readonly clusters: readonly string[]
  /** `schema.name` */
  readonly tables: readonly string[]
  /** Each cluster gives values of its own, and has rows of its own: the shard key of each table. null: all have the same. */
  readonly keys: ReadonlyMap<string, readonly string[]> | null
}

/** Tells where tables of several clusters are not the same. Never rejects. */
export async function checkSchemas(
  config: Config,
  servers: readonly Asked[],
  loginOf: (cluster: ClusterConfig) => Login,
  warnings: Told[],
): Promise<void> {
  for (const database of config.databases.values()) {
    for (const spread of spreadOver(database)) {
      if (spread.clusters.length < 2 || spread.tables.length === 0) continue
      const read: Read[] = []
      for (const id of spread.clusters) {
        const cluster = config.clusters.get(id)
        const primary = servers.find((server) => server.cluster === id && server.facts?.inRecovery === false)
        const node = cluster?.nodes.find((one) => one.id === primary?.node)
        if (cluster === undefined || node === undefined) continue
        const login = { ...loginOf(cluster), dbname: cluster.dbname ?? database.name }
        const found = await asked(cluster, node, login, spread, warnings)
        if (found !== null) read.push(found)
      }
      tellDifferences(spread, read, warnings)
      if (spread.keys === null) continue
      tellSequences(spread, read, warnings)
      const apart = read.flatMap((one) => one.apart)
      tellApart(spread.path, spread.keys, apart, warnings)
    }
  }
}

function spreadOver(database: DatabaseConfig): readonly Spread[] {
  const path = ['databases', database.name]
  const sets = [...database.sharded.values()].map((set) => ({
    path: [...path, 'sharded', set.name],
    clusters: set.clusters,
    tables: [...set.tables.keys()],
    keys: set.tables,
  }))
  const reference = { path: [...path, 'reference'], clusters: clustersOf(database), tables: referencesOf(database), keys: null }
  return [...sets, reference]
}

function referencesOf({ homes }: DatabaseConfig): readonly string[] {
  return [...homes].filter(([, home]) => home.kind === 'reference').map(([table]) => table)
}

// ---- reading

interface Sequence {
  readonly next: bigint
  readonly increment: bigint
}

interface Read {
  readonly cluster: string
  /** `table kind name` → its definition. */
  readonly parts: ReadonlyMap<string, string>
  /** By `schema.name`. */
  readonly sequences: ReadonlyMap<string, Sequence>
  readonly apart: readonly Apart[]
}

async function asked(cluster: ClusterConfig, node: NodeConfig, login: Login, spread: Spread, warnings: Told[]): Promise<Read | null> {
  try {
    return await withServer(cluster, node, login, (connection) => read(connection, cluster.id, spread.tables))
  } catch (error) {
    warnings.push({
      path: spread.path,
      found: cluster.id,
      allowed: 'a catalog that can be read',
      message: `the tables on cluster ${cluster.id} cannot be compared: ${error instanceof Error ? error.message : String(error)}`,
    })
    return null
  }
}

async function read(connection: ServerConnection, cluster: string, tables: readonly string[]): Promise<Read> {
  const wanted = `ARRAY[${tables.map(quoteLiteral).join(', ')}]::text[]`
  const { rows } = await connection.query(partsSql(wanted))
  const parts = new Map(rows.map(([table, kind, name, definition]) => [`${table ?? ''} ${kind ?? ''} ${name ?? ''}`, definition ?? '']))
  const sequences = new Map<string, Sequence>()
  for (const [name, next, increment] of (await connection.query(sequencesSql(wanted))).rows)
    if (typeof name === 'string') sequences.set(name, { next: BigInt(next ?? '1'), increment: BigInt(increment ?? '1') })
  return { cluster, parts, sequences, apart: await readApart(connection, tables) }
}

function partsSql(wanted: string): string {
  return `WITH t AS (SELECT c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, n.nspname || '.' || c.relname AS name
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname || '.' || c.relname = ANY (${wanted}))
SELECT name, 'table', '', 'a table' || CASE WHEN relkind = 'p' THEN ', partitioned' ELSE '' END || CASE WHEN relrowsecurity THEN ', row security' ELSE '' END
 || CASE WHEN relforcerowsecurity THEN ', forced' ELSE '' END FROM t
UNION ALL SELECT t.name, 'column', a.attname, pg_catalog.concat_ws(' ', pg_catalog.format_type(a.atttypid, a.atttypmod),
  CASE WHEN k.collname <> 'default' THEN 'COLLATE ' || k.collname END, CASE WHEN a.attnotnull THEN 'NOT NULL' END,
  CASE WHEN a.attgenerated <> '' THEN 'GENERATED ALWAYS AS ' ELSE 'DEFAULT ' END || pg_catalog.pg_get_expr(d.adbin, d.adrelid),
  CASE a.attidentity WHEN 'a' THEN 'GENERATED ALWAYS AS IDENTITY' WHEN 'd' THEN 'GENERATED BY DEFAULT AS IDENTITY' END)
 FROM t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
 LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum LEFT JOIN pg_catalog.pg_collation k ON k.oid = a.attcollation
UNION ALL SELECT t.name, 'order', 'of columns', pg_catalog.string_agg(a.attname, ', ' ORDER BY a.attnum)
 FROM t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped GROUP BY t.name
UNION ALL SELECT t.name, 'constraint', c.conname, pg_catalog.pg_get_constraintdef(c.oid)
 FROM t JOIN pg_catalog.pg_constraint c ON c.conrelid = t.oid AND c.contype <> 'n'
UNION ALL SELECT t.name, 'index', x.relname, pg_catalog.pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ', not valid' END
 FROM t JOIN pg_catalog.pg_index i ON i.indrelid = t.oid JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
UNION ALL SELECT t.name, 'trigger', g.tgname, pg_catalog.pg_get_triggerdef(g.oid) || CASE g.tgenabled WHEN 'O' THEN '' ELSE ', enabled ' || g.tgenabled::text END
 FROM t JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
UNION ALL SELECT t.name, 'policy', p.polname, pg_catalog.concat_ws(' ', p.polcmd::text, pg_catalog.pg_get_expr(p.polqual, p.polrelid),
  'CHECK ' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)) FROM t JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid
UNION ALL SELECT '', 'collation', 'of the database', pg_catalog.concat_ws(' ', datcollate, datctype, pg_catalog.pg_encoding_to_char(encoding))
 FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()`
}

/** Those that columns take their values from. */
function sequencesSql(wanted: string): string {
  return `SELECT DISTINCT s.schemaname || '.' || s.sequencename, coalesce(s.last_value + s.increment_by, s.start_value)::text, s.increment_by::text
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class q ON q.relkind = 'S' JOIN pg_catalog.pg_namespace qn ON qn.oid = q.relnamespace
 JOIN pg_catalog.pg_sequences s ON s.schemaname = qn.nspname AND s.sequencename = q.relname
 JOIN pg_catalog.pg_class c ON true JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname || '.' || c.relname = ANY (${wanted})
 LEFT JOIN pg_catalog.pg_attrdef a ON a.adrelid = c.oid
WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = q.oid AND d.refobjid = c.oid AND d.deptype IN ('a', 'i')
 OR d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = a.oid AND d.refobjid = q.oid`
}

// ---- comparing

function tellDifferences({ path }: Spread, read: readonly Read[], warnings: Told[]): void {
  const [first, ...others] = read
  if (first === undefined) return
  for (const other of others) {
    for (const part of new Set([...first.parts.keys(), ...other.parts.keys()])) {
      const [here, there] = [first.parts.get(part), other.parts.get(part)]
      if (here === there || isOfMissing(part, first, other)) continue
      warnings.push({
        path,
        found: `${there ?? 'none'} on cluster ${other.cluster}`,
        allowed: `${here ?? 'none'}, as on cluster ${first.cluster}`,
        message: `${part.trim()} is not the same on clusters ${first.cluster} and ${other.cluster}`,
      })
    }
  }
}

/** That the table is missing is said once. */
function isOfMissing(part: string, first: Read, other: Read): boolean {
  const [table = ''] = part.split(' ')
  const whole = `${table} table `
  return part !== whole && table !== '' && first.parts.has(whole) !== other.parts.has(whole)
}

function tellSequences({ path }: Spread, read: readonly Read[], warnings: Told[]): void {
  for (const name of new Set(read.flatMap(({ sequences }) => [...sequences.keys()]))) {
    const all = read.flatMap(({ cluster, sequences }) => {
      const sequence = sequences.get(name)
      return sequence === undefined ? [] : [{ cluster, ...sequence }]
    })
    const meeting = all.some((one, index) => all.slice(index + 1).some((other) => meet(one, other)))
    if (!meeting) continue
    warnings.push({
      path,
      found: all.map(({ cluster, next, increment }) => `${cluster}: ${String(next)}, by ${String(increment)}`).join('; '),
      allowed: apart(name, all).join(' '),
      message: `the sequence ${name} will give the same numbers on several clusters`,
    })
  }
}

/** Whether both come to one number. */
function meet(one: Sequence, other: Sequence): boolean {
  return (one.next - other.next) % divisor(one.increment, other.increment) === 0n
}

function divisor(a: bigint, b: bigint): bigint {
  const [x, y] = [a < 0n ? -a : a, b < 0n ? -b : b]
  return y === 0n ? x : divisor(y, x % y)
}

/** What brings them apart, beyond all that they have given. */
function apart(name: string, all: readonly ({ readonly cluster: string } & Sequence)[]): readonly string[] {
  const count = BigInt(all.length)
  const beyond = all.reduce((most, { next }) => (next > most ? next : most), 1n)
  const base = ((beyond + count - 1n) / count) * count
  const [schema = '', sequence = ''] = name.split('.')
  return all.map(({ cluster }, index) => {
    const start = String(base + BigInt(index) + 1n)
    return `ALTER SEQUENCE ${quoted(schema)}.${quoted(sequence)} INCREMENT BY ${String(count)} START WITH ${String(index + 1)} RESTART WITH ${start}; -- on ${cluster}`
  })
}
