// The catalog of a real server: what is harmless to run, what stands behind views and policies, what DML sets off; and
// that it is read again after DDL.
import t from 'tap'
import type { Catalog } from '../../src/catalog/catalog.js'
import { withTopology } from '../support/topology.js'
import { clusterConfigs, watch, type Watched } from '../support/watched.js'

const seed = `
CREATE SCHEMA shop;
CREATE TABLE users (id bigint PRIMARY KEY, name varchar(40), tags text[]);
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint REFERENCES users ON DELETE CASCADE, total numeric(10,2));
CREATE TABLE audit (at timestamptz);
CREATE SEQUENCE shop.tickets;
CREATE FUNCTION touch() RETURNS bigint LANGUAGE sql VOLATILE AS $$ INSERT INTO audit VALUES (now()); SELECT 1::bigint $$;
CREATE FUNCTION shop.tax(numeric, numeric DEFAULT 0.2) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT $1 * $2 $$;
CREATE FUNCTION pick(VARIADIC text[]) RETURNS text LANGUAGE sql STABLE AS $$ SELECT $1[1] $$;
CREATE FUNCTION adds(bigint, bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN $1 + $2; END $$;
CREATE AGGREGATE total_by(bigint) (SFUNC = adds, STYPE = bigint);
CREATE OPERATOR <+> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = adds);
CREATE FUNCTION checked(text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN true; END $$;
CREATE DOMAIN code AS text CHECK (checked(VALUE));
CREATE DOMAIN plain_code AS text CHECK (length(VALUE) > 2);
CREATE DOMAIN short AS char(3);
CREATE DOMAIN shorter AS short CHECK (VALUE <> 'x');
CREATE TABLE coded (a plain_code, b shorter, c code[]);
CREATE TYPE pair AS (one plain_code, two code);
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE VIEW spenders AS SELECT u.id, shop.tax(sum(o.total)) AS tax FROM users u JOIN orders o ON o.user_id = u.id GROUP BY u.id;
CREATE VIEW numbered AS SELECT nextval('shop.tickets') AS n, id FROM users;
CREATE VIEW hidden AS SELECT id <+> 1 AS more FROM users;
CREATE VIEW cast_away AS SELECT name::code FROM users;
CREATE MATERIALIZED VIEW names AS SELECT name FROM users;
CREATE TABLE guarded (id bigint, owner text);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON guarded USING (owner = current_user AND EXISTS (SELECT FROM users WHERE users.id = guarded.id) AND touch() > 0);
CREATE TABLE events (id bigint, at date) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (id);
CREATE TABLE events_2026_one PARTITION OF events_2026 FOR VALUES IN (1);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER noted AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER noted AFTER INSERT ON events_2026_one FOR EACH ROW EXECUTE FUNCTION note();
CREATE TABLE ruled (id bigint);
CREATE TABLE old_users () INHERITS (users);
CREATE TABLE older_users () INHERITS (old_users);
CREATE RULE away AS ON INSERT TO ruled DO INSTEAD NOTHING;
`

const running = await withTopology(t, { clusters: { main: { seed } } })
const watched = watch(t, clusterConfigs(running))
await watched.monitor.ready(20_000)
const catalog = present(watched)

function present({ monitor }: Watched): Catalog {
  const found = monitor.catalogs().get('main')
  if (found === undefined) throw new Error('no catalog')
  return found
}

const relation = (name: string): ReturnType<Catalog['relations']['get']> => catalog.relations.get(name)

t.test('functions: built-in and user-defined, volatility, arguments', (t) => {
  t.ok(catalog.serverVersion >= 140_000)
  t.match(catalog.functions.get('now'), [{ schema: 'pg_catalog', volatility: 'stable', builtin: true, minArgs: 0, maxArgs: 0 }])
  t.match(catalog.functions.get('nextval'), [{ volatility: 'volatile', builtin: true }])
  t.match(catalog.functions.get('touch'), [{ schema: 'public', volatility: 'volatile', builtin: false, language: 'sql' }])
  t.match(catalog.functions.get('tax'), [{ schema: 'shop', volatility: 'immutable', minArgs: 1, maxArgs: 2 }])
  t.match(catalog.functions.get('pick'), [{ minArgs: 0, maxArgs: Infinity, volatility: 'stable' }])
  t.match(catalog.functions.get('total_by'), [{ kind: 'aggregate', volatility: 'volatile' }], 'an aggregate is as bad as its parts')
  t.ok(catalog.functions.get('sum')?.every(({ volatility, kind }) => kind === 'aggregate' && volatility !== 'volatile'))
  t.ok((catalog.functions.get('count') ?? []).length > 1)
  t.end()
})

t.test('relations: kinds, columns in order, partitions, triggers', (t) => {
  t.match(relation('public.users'), { kind: 'table', partitionRoot: null, behind: null })
  t.same(relation('public.users')?.columns, [
    { name: 'id', type: 'bigint', collation: 'bytes' },
    { name: 'name', type: 'character varying(40)', collation: 'bytes' },
    { name: 'tags', type: 'text[]', collation: 'bytes' },
  ])
  t.same(
    relation('public.coded')?.columns.map(({ type }) => type),
    ['text', 'character(3)', 'public.code[]'],
    'a domain is what it is over',
  )
  t.equal(relation('shop.tickets')?.kind, 'sequence')
  t.equal(relation('public.names')?.kind, 'materialized')
  t.equal(relation('public.events')?.kind, 'partitioned')
  t.equal(relation('public.events_2026_one')?.partitionRoot, 'public.events')
  t.equal(relation('public.orders')?.triggers, true)
  t.equal(relation('public.users')?.triggers, true, 'a delete cascades to a table with triggers')
  t.equal(relation('public.events')?.triggers, true, 'a row may end in a partition with triggers')
  t.equal(relation('public.ruled')?.triggers, true, 'rules count')
  t.equal(relation('public.audit')?.triggers, false, 'the triggers of foreign keys themselves do not')
  t.equal(relation('pg_catalog.pg_class'), undefined)
  const changedWith = (name: string): readonly string[] => [...(relation(name)?.changesWith ?? [])].sort()
  t.same(changedWith('public.events'), ['public.events_2026', 'public.events_2026_one'], 'its rows are in its partitions')
  t.same(changedWith('public.events_2026_one'), ['public.events', 'public.events_2026'], 'and theirs show in it')
  t.same(changedWith('public.users'), ['public.old_users', 'public.older_users', 'public.orders'], 'a delete cascades')
  t.same(changedWith('public.orders'), [], 'but not upwards')
  t.same([...(relation('public.older_users')?.inherits ?? [])].sort(), ['public.old_users', 'public.users'])
  t.equal(relation('public.users')?.inherits, undefined)
  t.equal(relation('public.events_2026_one')?.inherits, undefined, 'a partition follows its root')
  t.end()
})

t.test('what stands behind views and policies', (t) => {
  const spenders = relation('public.spenders')?.behind
  t.equal(spenders?.unknown, false)
  t.same(spenders?.relations.map(({ schema, name }) => `${schema}.${name}`).sort(), ['public.orders', 'public.users'])
  t.ok(spenders?.functions.some(({ schema, name, args }) => schema === 'shop' && name === 'tax' && args === 1))
  t.ok(spenders?.functions.some(({ schema, name }) => schema === 'pg_catalog' && name === 'sum'))
  const numbered = relation('public.numbered')?.behind
  t.ok(numbered?.functions.some(({ name }) => name === 'nextval'))
  t.ok(
    relation('public.hidden')?.behind?.functions.some(({ name }) => name === 'adds'),
    'the function of an operator',
  )
  t.equal(relation('public.cast_away')?.behind?.unknown, true, 'a cast that runs something volatile')
  const guarded = relation('public.guarded')?.behind
  t.equal(guarded?.unknown, false)
  t.ok(guarded?.functions.some(({ name }) => name === 'touch'))
  t.ok(guarded?.relations.some(({ name }) => name === 'users'))
  t.end()
})

t.test('operators, types and casts', (t) => {
  const volatility = (name: string): string | undefined => catalog.types.get(name)?.[0]?.volatility
  t.match(catalog.operators.get('<+>'), [{ schema: 'public', volatility: 'volatile' }])
  t.equal(catalog.operators.get('='), undefined)
  t.equal(volatility('code'), 'volatile', 'its check is')
  t.equal(volatility('plain_code'), 'immutable')
  t.equal(volatility('pair'), 'volatile', 'one of its attributes is')
  t.equal(volatility('_code'), 'volatile', 'so is the array')
  t.equal(volatility('mood'), 'immutable')
  t.equal(catalog.volatileImplicitCast, false)
  t.end()
})

t.test('it is read again after DDL, and only then', async (t) => {
  const { monitor, observer, until } = watched
  const { primary } = running.cluster('main')
  const loads: number[] = []
  t.teardown(observer.on('catalog.loaded', ({ generation }) => loads.push(generation)))
  await primary.sql('ANALYZE users')
  monitor.catalogChanged('main')
  await primary.sql('CREATE TABLE later (id bigint); ALTER FUNCTION touch() STABLE')
  monitor.catalogChanged('main')
  await until('the table is known', () => present(watched).relations.has('public.later'))
  t.match(present(watched).functions.get('touch'), [{ volatility: 'stable' }])
  t.ok(present(watched).generation > catalog.generation)
  await primary.sql(`CREATE FUNCTION adds_pair(pair) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN 1; END $$;
    CREATE CAST (pair AS bigint) WITH FUNCTION adds_pair(pair) AS IMPLICIT`)
  monitor.catalogChanged('main')
  await until('the cast is known', () => present(watched).volatileImplicitCast)
  t.match(present(watched).types.get('int8'), [{ volatility: 'volatile' }])
  const before = loads.length
  monitor.catalogChanged('main')
  await primary.sql('CREATE TABLE last (id bigint)')
  monitor.catalogChanged('main')
  await until('the last table is known', () => present(watched).relations.has('public.last'))
  t.equal(loads.length, before + 1, 'calls in a row make one load')
})
