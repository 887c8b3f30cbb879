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
`

const running = await withTopology(t, { clusters: { main: { seed, prepare: 'GRANT pg_monitor TO app' } } })
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
  for (const sql of writes.slice(0, 9)) t.equal(await readOnly(sql), '25006', `it does write: ${sql}`)
})
