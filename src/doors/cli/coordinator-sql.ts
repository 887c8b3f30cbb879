// doors/cli/coordinator-sql.ts — the script that makes a PostgreSQL see all rows of a database whose tables lie on several clusters:
//
//   statement ─▶ view public.comments ─▶ UNION ALL of foreign tables "shard_0.public".comments, "shard_1.public".comments
//
// Views, not inheritance: partitions of PostgreSQL's own would claim bounds that clusters do not have (each of them holds many
// logical shards), and of a parent with children ONLY gives nothing and tableoid gives the child. A view refuses what it cannot
// give, and nothing can be written through it. The servers' primaries are read, so that nothing is older than it is here.
import type { ClusterConfig } from '../../config/config.js'
import { CommandError, exit } from './io.js'
import { literal } from './literal.js'

/** A table as clients name it, and the clusters whose rows make it up. */
export interface SeenTable {
  /** `schema.table` */
  readonly key: string
  readonly clusters: readonly string[]
}

export interface CoordinatorInput {
  readonly database: string
  readonly tables: readonly SeenTable[]
  readonly clusters: ReadonlyMap<string, ClusterConfig>
  /** Roles that may read the views. */
  readonly readers: readonly string[]
}

/** Lines of a script for psql. Names and addresses are in it; users' passwords are variables that whoever runs it gives. */
export function coordinatorSql(input: CoordinatorInput): readonly string[] {
  const servers = serversOf(input)
  return [
    ...head(input, servers),
    'BEGIN;',
    ...again(input, servers),
    'CREATE EXTENSION IF NOT EXISTS postgres_fdw;',
    ...servers.flatMap((server) => serverLines(server)),
    ...helpers,
    ...servers.map(
      ({ cluster, dbname }) => `SELECT pg_temp.pointsman_same_locale(${literal(home(cluster.id, 'pg_catalog'))}, ${literal(dbname)});`,
    ),
    ...input.tables.flatMap((table) => viewLines(table, input.readers)),
    'COMMIT;',
    '',
    '-- What the planner goes by. Do it again from time to time: nothing does it by itself for foreign tables.',
    ...input.tables.flatMap(({ key, clusters }) => clusters.map((id) => `ANALYZE ${foreign(id, key)};`)),
  ]
}

interface Server {
  readonly cluster: ClusterConfig
  readonly dbname: string
  /** Name for psql variables. */
  readonly variable: string
  /** Remote schema → its tables that are needed. */
  readonly schemas: ReadonlyMap<string, readonly string[]>
}

function serversOf({ database, tables, clusters }: CoordinatorInput): readonly Server[] {
  const needed = [...new Set(tables.flatMap((table) => table.clusters))]
  return needed.map((id) => {
    const cluster = clusters.get(id)
    if (cluster === undefined) throw new CommandError(exit.usage, `there is no cluster ${id}`)
    const schemas = new Map<string, string[]>()
    for (const table of tables.filter((one) => one.clusters.includes(id))) {
      const [schema, name] = parted(table.key)
      schemas.set(schema, [...(schemas.get(schema) ?? []), name])
    }
    return { cluster, dbname: cluster.dbname ?? database, variable: id.replaceAll(/[^A-Za-z0-9]/g, '_'), schemas }
  })
}

function head({ database }: CoordinatorInput, servers: readonly Server[]): readonly string[] {
  const wanted = servers.flatMap((server) => variablesOf(server).map(({ name }) => name))
  return [
    `-- Makes this database see all rows of ${database}, through postgres_fdw. It can be run again: what it made before is made anew.`,
    '-- Run it with psql as a superuser, or as a role that may use postgres_fdw and create schemas here. It needs:',
    ...wanted.map((name) => `--   ${name}: psql -v ${name}=… or ${environment(name)} in the environment`),
    '-- Types of your own (enum, domain, composite) must be here before, in the same schemas.',
    '\\set ON_ERROR_STOP on',
    ...wanted.flatMap((name) => [`\\if :{?${name}}`, '\\else', `\\getenv ${name} ${environment(name)}`, '\\endif']),
  ]
}

function environment(name: string): string {
  return `POINTSMAN_${name.toUpperCase()}`
}

/** What an earlier run has made. Views that others have built on them stand in the way, and are not dropped. */
function again({ tables }: CoordinatorInput, servers: readonly Server[]): readonly string[] {
  return [
    ...tables.map(({ key }) => `DROP VIEW IF EXISTS ${view(key)};`),
    ...servers.map(({ cluster }) => `DROP SERVER IF EXISTS ${serverName(cluster.id)} CASCADE;`),
  ]
}

// ---- servers

function serverLines(server: Server): readonly string[] {
  const { cluster, schemas } = server
  const name = serverName(cluster.id)
  const mapping = variablesOf(server).flatMap(({ option, name: variable }) => (option === null ? [] : [`${option} :'${variable}'`]))
  const user = cluster.user === null ? [] : [`user ${literal(cluster.user)}`]
  return [
    '',
    `CREATE SERVER ${name} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (${serverOptions(server).join(', ')});`,
    `CREATE USER MAPPING FOR CURRENT_USER SERVER ${name} OPTIONS (${[...user, ...mapping].join(', ')});`,
    ...[...schemas, ['pg_catalog', ['pg_database']] as const].flatMap(([schema, tables]) => {
      const into = quoted(home(cluster.id, schema))
      const names = tables.map(quoted).join(', ')
      return [
        `CREATE SCHEMA IF NOT EXISTS ${into};`,
        `IMPORT FOREIGN SCHEMA ${quoted(schema)} LIMIT TO (${names}) FROM SERVER ${name} INTO ${into};`,
      ]
    }),
  ]
}

function serverOptions({ cluster, dbname, variable }: Server): readonly string[] {
  const { tls } = cluster
  // A logical subscriber is no standby, and would be taken for a primary.
  const nodes = cluster.nodes.filter(({ subscriber }) => !subscriber)
  return [
    `host ${literal(nodes.map(({ host }) => host).join(','))}`,
    `port ${literal(nodes.map(({ port }) => String(port)).join(','))}`,
    `dbname ${literal(dbname)}`,
    "target_session_attrs 'primary'",
    "application_name 'pointsman coordinator'",
    `sslmode ${literal(tls.mode)}`,
    ...(tls.ca === null ? [] : [`sslrootcert :'sslrootcert_${variable}'`]),
    ...(tls.negotiation === 'direct' ? ["sslnegotiation 'direct'"] : []),
    "async_capable 'true'",
    "fetch_size '10000'",
    "use_remote_estimate 'true'",
    "updatable 'false'",
  ]
}

/** What is not written into the script. `option`: of the user mapping; null: of the server. */
function variablesOf({ cluster, variable }: Server): readonly { readonly name: string; readonly option: string | null }[] {
  const { tls, user } = cluster
  return [
    ...(user === null ? [{ name: `user_${variable}`, option: 'user' }] : []),
    { name: `password_${variable}`, option: 'password' },
    ...(tls.ca === null ? [] : [{ name: `sslrootcert_${variable}`, option: null }]),
    ...(tls.cert === null ? [] : [{ name: `sslcert_${variable}`, option: 'sslcert' }]),
    ...(tls.key === null ? [] : [{ name: `sslkey_${variable}`, option: 'sslkey' }]),
  ]
}

// ---- views

function viewLines({ key, clusters }: SeenTable, readers: readonly string[]): readonly string[] {
  const [schema, name] = parted(key)
  const parts = clusters.map((id) => literal(foreign(id, key))).join(', ')
  const to = readers.map(quoted).join(', ')
  return [
    '',
    `CREATE SCHEMA IF NOT EXISTS ${quoted(schema)};`,
    `SELECT pg_temp.pointsman_view(${literal(schema)}, ${literal(name)}, ARRAY[${parts}]::regclass[]);`,
    ...(to === '' ? [] : [`GRANT USAGE ON SCHEMA ${quoted(schema)} TO ${to};`, `GRANT SELECT ON ${view(key)} TO ${to};`]),
  ]
}

/** Columns by name, since they need not stand in the same order everywhere; what differs is no table that one server could have. */
const helpers: readonly string[] = [
  '',
  `CREATE FUNCTION pg_temp.pointsman_view(home text, name text, parts regclass[]) RETURNS void LANGUAGE plpgsql AS $pointsman$
DECLARE
  part regclass;
  columns text;
  shape text[];
  first text[];
  body text;
BEGIN
  FOREACH part IN ARRAY parts LOOP
    SELECT array_agg(format('%I %s collation %s', a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation) ORDER BY a.attname)
      INTO shape FROM pg_catalog.pg_attribute a WHERE a.attrelid = part AND a.attnum > 0 AND NOT a.attisdropped;
    first := coalesce(first, shape);
    IF shape IS DISTINCT FROM first THEN
      RAISE EXCEPTION 'the columns of % are not those of %', part, parts[1] USING HINT = 'Bring the tables of all clusters to one definition.';
    END IF;
  END LOOP;
  SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
    INTO columns FROM pg_catalog.pg_attribute a WHERE a.attrelid = parts[1] AND a.attnum > 0 AND NOT a.attisdropped;
  SELECT string_agg(format('SELECT %s FROM %s', columns, one), ' UNION ALL ' ORDER BY at) INTO body FROM unnest(parts) WITH ORDINALITY u(one, at);
  EXECUTE format('CREATE VIEW %I.%I AS %s', home, name, body);
END
$pointsman$;`,
  `CREATE FUNCTION pg_temp.pointsman_same_locale(there text, name text) RETURNS void LANGUAGE plpgsql AS $pointsman$
DECLARE
  wanted text := 'SELECT to_jsonb(d) FROM %I.pg_database d WHERE datname = %L';
  ours jsonb;
  theirs jsonb;
  field text;
BEGIN
  EXECUTE format(wanted, 'pg_catalog', current_database()) INTO ours;
  EXECUTE format(wanted, there, name) INTO theirs;
  FOREACH field IN ARRAY ARRAY['encoding', 'datcollate', 'datctype', 'datlocprovider', 'datlocale', 'daticulocale'] LOOP
    IF ours ? field AND theirs ? field AND ours -> field IS DISTINCT FROM theirs -> field THEN
      RAISE EXCEPTION '% of database % (%) is %, here it is %: text would be sorted and compared in another way',
        field, name, there, theirs -> field, ours -> field USING HINT = 'Create this database with the same locale and encoding.';
    END IF;
  END LOOP;
END
$pointsman$;`,
]

// ---- names

function serverName(cluster: string): string {
  return quoted(`pointsman_${cluster}`)
}

/** The schema here that holds what is imported from there. */
function home(cluster: string, schema: string): string {
  return `${cluster}.${schema}`
}

function foreign(cluster: string, key: string): string {
  const [schema, name] = parted(key)
  return `${quoted(home(cluster, schema))}.${quoted(name)}`
}

function view(key: string): string {
  return parted(key).map(quoted).join('.')
}

function parted(key: string): readonly [string, string] {
  const dot = key.indexOf('.')
  return [key.slice(0, dot), key.slice(dot + 1)]
}

/** A longer one would be cut, and could then be another's. */
const longest = 63

function quoted(name: string): string {
  if (Buffer.byteLength(name) > longest) throw new CommandError(exit.no, `the name ${name} would be longer than ${String(longest)} bytes`)
  return `"${name.replaceAll('"', '""')}"`
}
