// Plans over the catalog of a real server: what is planned as a read runs in a read-only transaction, and what could
// write, however well it hides, is planned for the primary.
import t from 'tap'
import pg from 'pg'
import { validateConfig } from '../../src/config/validate.js'
import { plan } from '../../src/routing/planner.js'
import { printRoute } from '../../src/routing/print.js'
import type { OnePlan } from '../../src/routing/plan.js'
import { givenSession } from '../support/plan-given.js'
import { withTopology } from '../support/topology.js'
import { understanding } from '../support/understanding.js'
import { clusterConfigs, watch } from '../support/watched.js'

const seed = `
CREATE TABLE users (id bigint PRIMARY KEY, name text, karma int DEFAULT 0);
CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY, note text);
CREATE SEQUENCE tickets;
CREATE FUNCTION note(text) RETURNS text LANGUAGE sql AS 'INSERT INTO log (note) VALUES ($1) RETURNING note';
CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)';
CREATE FUNCTION note_sum(bigint, int) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN PERFORM note(''x''); RETURN $1 + $2; END';
CREATE AGGREGATE noting_sum(int) (SFUNC = note_sum, STYPE = bigint, INITCOND = '0');
CREATE FUNCTION noted(text, text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM note($1); RETURN $1 = $2; END';
CREATE OPERATOR !== (LEFTARG = text, RIGHTARG = text, FUNCTION = noted);
CREATE FUNCTION check_it(text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM note($1); RETURN true; END';
CREATE DOMAIN checked AS text CHECK (check_it(VALUE));
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE VIEW names AS SELECT name FROM users;
CREATE VIEW loud AS SELECT shout(name) FROM names;
CREATE VIEW next_ticket AS SELECT nextval('tickets');
CREATE VIEW noting AS SELECT note(name) FROM users;
CREATE TABLE guarded (id bigint);
CREATE POLICY noisy ON guarded USING (check_it('x'));
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
INSERT INTO users VALUES (1, 'ada'), (2, 'bea');
INSERT INTO guarded VALUES (1);
CREATE FUNCTION with_default(bigint DEFAULT nextval('tickets')) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION sets(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM set_config(''app.seen'', ''yes'', false); RETURN $1; END';
CREATE DOMAIN setting AS bigint CHECK (sets(VALUE) > 0);
CREATE TABLE by_default (id bigint, n bigint DEFAULT sets(1));
CREATE TABLE by_check (id bigint CHECK (sets(id) > 0));
CREATE TABLE by_index (id bigint);
CREATE INDEX ON by_index (sets(id));
CREATE TABLE by_column (id bigint, n bigint GENERATED ALWAYS AS (sets(id)) STORED);
CREATE TABLE by_domain (id setting);
CREATE TABLE by_policy (id bigint);
CREATE POLICY sets ON by_policy FOR INSERT WITH CHECK (sets(id) > 0);
ALTER TABLE by_policy ENABLE ROW LEVEL SECURITY;
ALTER TABLE by_policy FORCE ROW LEVEL SECURITY;
CREATE TABLE parent (id bigint PRIMARY KEY);
CREATE TABLE child (id bigint REFERENCES parent ON DELETE SET DEFAULT DEFAULT sets(1));
CREATE FUNCTION same(varchar, varchar) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT lower($1::text) OPERATOR(pg_catalog.=) lower($2::text)';
CREATE OPERATOR = (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = same);
CREATE SCHEMA places;
CREATE FUNCTION places.same(point, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR places.= (LEFTARG = point, RIGHTARG = text, FUNCTION = places.same);
`
const prepare = `
GRANT pg_monitor TO app;
CREATE SEQUENCE hidden;
GRANT ALL ON SEQUENCE hidden TO app;
CREATE VIEW information_schema.added AS SELECT nextval('hidden');
GRANT SELECT ON information_schema.added TO app;
CREATE FUNCTION seen() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM set_config(''app.seen'', ''yes'', false); END';
CREATE EVENT TRIGGER seen ON ddl_command_end EXECUTE FUNCTION seen();
`

const running = await withTopology(t, { clusters: { main: { seed, prepare } } })
const { primary, dbname } = running.cluster('main')
const watched = watch(t, clusterConfigs(running))
await watched.until('the catalog is loaded', () => watched.monitor.catalogs().has('main'))

const result = validateConfig(
  {
    version: 1,
    auth: { method: 'trust', users: [{ name: 'app' }] },
    clusters: { main: { user: 'app', nodes: [primary.address] } },
    databases: { app: { default: 'main', reads: { default: { consistency: 'any' } } } },
  },
  { env: {}, readFile: () => '' },
)
if (!result.ok) throw new Error(JSON.stringify(result.problems))
const { config } = result
const database = config.databases.get('app')
if (database === undefined) throw new Error('no database')
const understand = await understanding()

function route(sql: string): OnePlan {
  const session = givenSession({ searchPath: ['app', 'public'] })
  const made = plan({
    understood: understand(sql),
    parameters: null,
    session,
    config,
    database: database as never,
    catalogs: watched.monitor.catalogs(),
  })
  if (made.kind !== 'one') throw new Error(`${sql}: ${printRoute(made, null)}`)
  return made
}

const client = new pg.Client({ host: primary.host, port: primary.port, user: running.user, password: running.password, database: dbname })
await client.connect()
t.teardown(() => client.end())

async function readOnly(sql: string): Promise<string | null> {
  await client.query('BEGIN READ ONLY')
  try {
    await client.query(sql)
    return null
  } catch (error) {
    return (error as { code?: string }).code ?? 'unknown'
  } finally {
    await client.query('ROLLBACK')
  }
}

const reads = [
  'SELECT * FROM users WHERE id = 1',
  'SELECT count(*), max(karma) FROM users GROUP BY name HAVING count(*) > 0 ORDER BY 1',
  'SELECT name, row_number() OVER (PARTITION BY karma ORDER BY id) FROM users',
  'SELECT * FROM names JOIN users USING (name)',
  'SELECT * FROM loud',
  'SELECT shout(name), now(), random(), gen_random_uuid(), EXTRACT(epoch FROM now()) FROM users',
  "SELECT 'good'::mood, ARRAY['good']::mood[], '{\"a\":[1]}'::jsonb -> 'a' ->> 0, '1 day'::interval + now()",
  "SELECT to_tsvector('english', name) @@ to_tsquery('ada') FROM users",
  'SELECT u FROM users u WHERE u.name LIKE $$a%$$ AND u.id BETWEEN 1 AND 5 AND u.karma IN (0, 1)',
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n',
  "SELECT json_agg(row_to_json(u)), string_agg(name, ',') FROM users u",
  'SELECT * FROM generate_series(1, 3) g, LATERAL (SELECT g * 2) x, unnest(ARRAY[1, 2]) WITH ORDINALITY',
  "SELECT COALESCE(NULLIF(name, ''), trim(both ' ' FROM name)), substring(name FROM 1 FOR 2), position('a' IN name), name COLLATE \"C\" FROM users",
  'SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY karma), grouping(karma) FROM users GROUP BY ROLLUP (karma)',
  'COPY users TO STDOUT',
  // What psql asks.
  "SELECT n.nspname, c.relname, CASE c.relkind WHEN 'r' THEN 'table' END, pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam WHERE c.relkind IN ('r','p','v','m','S','f','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast' AND n.nspname <> 'information_schema' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2",
  "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname OPERATOR(pg_catalog.~) '^(users)$' COLLATE pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3",
  "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), a.attnotnull FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'users'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
  "SELECT c2.relname, i.indisprimary, pg_catalog.pg_get_indexdef(i.indexrelid, 0, true), pg_catalog.pg_get_constraintdef(con.oid, true) FROM pg_catalog.pg_class c, pg_catalog.pg_class c2, pg_catalog.pg_index i LEFT JOIN pg_catalog.pg_constraint con ON (conrelid = i.indrelid AND conindid = i.indexrelid AND contype IN ('p','u','x')) WHERE c.oid = 'users'::regclass AND c.oid = i.indrelid AND i.indexrelid = c2.oid",
  "SELECT c.oid::pg_catalog.regclass, c.relkind, inhdetachpending, pg_catalog.pg_get_expr(c.relpartbound, c.oid) FROM pg_catalog.pg_class c, pg_catalog.pg_inherits i WHERE c.oid = i.inhrelid AND i.inhparent = '16384'",
  // What ORMs ask.
  "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'",
  'SELECT current_schema(), current_database(), current_user, version()',
  "SELECT pg_relation_size('users'), pg_size_pretty(pg_total_relation_size('users'::regclass)), obj_description('users'::regclass)",
]

t.test('what is planned for a replica writes nothing', async (t) => {
  for (const sql of reads) {
    t.equal(route(sql).role, 'replica', `${sql.slice(0, 100)}: ${printRoute(route(sql), null)}`)
    if (!sql.startsWith('COPY')) t.equal(await readOnly(sql), null, `runs read-only: ${sql.slice(0, 100)}`)
  }
})

const writes = [
  "SELECT note('x')",
  'SELECT noting_sum(karma) FROM users',
  "SELECT name !== 'x' FROM users",
  "SELECT 'x'::checked",
  "SELECT ARRAY['x']::checked[]",
  'SELECT * FROM next_ticket',
  'SELECT * FROM noting',
  'SELECT * FROM guarded',
  "SELECT nextval('tickets')",
  'SELECT with_default()',
  "SELECT ('tickets'::regclass).nextval",
  'SELECT * FROM information_schema.added',
  "SELECT pg_input_is_valid('x', 'checked')",
  'SELECT u.name.note FROM users u',
  "WITH w AS (INSERT INTO log (note) VALUES ('x') RETURNING id) SELECT id FROM w",
  'SELECT * FROM users FOR KEY SHARE',
  'SELECT * INTO copied FROM users',
  'EXPLAIN ANALYZE DELETE FROM users',
  'SELECT txid_current()',
]

t.test('what could write is planned for the primary', async (t) => {
  for (const sql of writes) {
    const made = route(sql)
    t.equal(made.role, 'primary', `${sql}: ${printRoute(made, null)}`)
    t.equal(made.writes, true, sql)
  }
  for (const sql of writes.slice(0, 13)) t.equal(await readOnly(sql), '25006', `it does write: ${sql}`)
})

t.test('what defaults, checks, indexes, policies and event triggers run leaves a connection that is scrubbed', async (t) => {
  const tables = ['by_default', 'by_check', 'by_index', 'by_column', 'by_domain', 'by_policy']
  const writes = [...tables.map((table) => `INSERT INTO ${table} (id) VALUES (1)`), 'DELETE FROM parent', 'CREATE TABLE made (id bigint)']
  for (const sql of writes) t.not(route(sql).taints, null, sql)
  for (const sql of writes.filter((text) => !text.startsWith('DELETE'))) {
    await client.query("BEGIN; SET app.seen = 'no'")
    await client.query(sql)
    const { rows } = await client.query<{ seen: string }>("SELECT current_setting('app.seen') AS seen")
    t.equal(rows[0]?.seen, 'yes', `it does leave something: ${sql}`)
    await client.query('ROLLBACK')
  }
  t.equal(route('INSERT INTO users (id) VALUES (3)').taints, null)
})

t.test('indexes belong to their tables, a = of users is known where keys could mean it', (t) => {
  const catalog = watched.monitor.catalogs().get('main')
  t.equal(catalog?.relations.get('public.users_pkey')?.partitionRoot, 'public.users')
  t.same(catalog?.keyEquals, ['public'], 'not that of points')
  t.end()
})
