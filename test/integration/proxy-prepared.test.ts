// Prepared statements, of the protocol and of SQL, over shared connections: message by message what a server itself would have
// answered, with two server connections that change under every step.
import t from 'tap'
import { by, flushed, playDirect, playThrough, query, type Step } from '../support/wire-differential.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { WireClient } from '../support/wire-client.js'

const seed = `
  DROP TABLE IF EXISTS items, made, wide CASCADE;
  CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL, name text);
  INSERT INTO items SELECT g, 0, 'item ' || g FROM generate_series(1, 50) g;
  CREATE TABLE wide (id int, a text);
  INSERT INTO wide VALUES (1, 'a');
  GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
  ALTER TABLE wide OWNER TO app; ALTER TABLE items OWNER TO app`
const running = await withTopology(t, {
  clusters: { main: { seed, hba: ['host all all 127.0.0.1/32 trust'] } },
})
const { primary, nodes } = running.cluster('main')
const { port } = await withProxy(t, {
  version: 1,
  auth: { method: 'trust', users: [{ name: 'app' }] },
  clusters: {
    main: {
      dbname: 'app',
      user: 'app',
      password: 'app',
      tls: { mode: 'disable' },
      nodes: nodes.map((node) => node.address),
      pool: { max: 2, wait: '5s' },
    },
  },
  databases: { app: { default: 'main' } },
})

const run = (portal: string, statement: string, ...values: string[]): string[] => [
  `Bind "${portal}" "${statement}" 0 ${String(values.length)} ${values.map((value) => JSON.stringify(value)).join(' ')} 0`,
  `Execute "${portal}" 0`,
]
const parse = (name: string, sql: string): string => `Parse "${name}" ${JSON.stringify(sql)} 0`
const unnamed = (sql: string, ...values: string[]): string[] => [parse('', sql), ...run('', '', ...values)]

const scripts: Readonly<Record<string, readonly Step[]>> = {
  'SQL prepares, executes and deallocates': [
    query('a', 'PREPARE p (int) AS SELECT id, name FROM items WHERE id = $1'),
    query('a', 'EXECUTE p(1)'),
    query('b', 'PREPARE p AS SELECT count(*) FROM items'),
    query('b', 'EXECUTE p'),
    query('a', 'EXECUTE p(1 + 1)'),
    query('a', "EXECUTE p('3')"),
    query('a', 'PREPARE "P" AS UPDATE items SET n = n + $1 WHERE id = $2 RETURNING n'),
    query('a', 'execute "P" (5, 1)'),
    query('a', '/* one */ EXECUTE "P" (5, 1);'),
    query('a', 'SELECT n FROM items WHERE id = 1'),
    query('a', 'EXPLAIN (COSTS off) EXECUTE p(1)'),
    query('a', 'EXPLAIN (COSTS off, ANALYZE, TIMING off, SUMMARY off, BUFFERS off) EXECUTE "P"(1, 1)'),
    query('a', 'CREATE TABLE made AS EXECUTE p(2)'),
    query('a', 'SELECT * FROM made'),
    query('a', 'DEALLOCATE p'),
    query('a', 'EXECUTE p(1)'),
    query('b', 'EXECUTE p'),
    query('a', 'DEALLOCATE PREPARE "P"'),
    query('a', 'DEALLOCATE PREPARE ALL'),
    query('b', 'DEALLOCATE ALL; DEALLOCATE ALL'),
    query('b', 'EXECUTE p'),
  ],
  'errors are those of PostgreSQL': [
    query('a', 'PREPARE p AS SELECT nothing FROM items'),
    query('a', 'EXECUTE p'),
    query('a', 'PREPARE p (int) AS SELECT 10 / $1'),
    query('a', 'PREPARE p (int) AS SELECT 1'),
    query('a', 'EXECUTE p'),
    query('a', 'EXECUTE p(1, 2)'),
    query('a', "EXECUTE p('x')"),
    query('a', 'EXECUTE p(nothing)'),
    query('a', 'EXECUTE p(0)'),
    query('a', 'EXECUTE p((SELECT 1))'),
    query('a', 'DEALLOCATE q'),
    query('a', 'PREPARE q (nothing) AS SELECT $1'),
    query('a', 'EXPLAIN EXECUTE q'),
    query('a', 'CREATE TABLE x AS EXECUTE q'),
    query('a', 'PREPARE w AS INSERT INTO items VALUES (1, 1)'),
    query('a', 'EXECUTE w'),
    query('a', 'EXECUTE p(2)'),
  ],
  'one namespace for both': [
    query('a', 'PREPARE p (int) AS SELECT $1 + 1 AS x'),
    by('a', ...run('', 'p', '41'), 'Sync'),
    by('a', 'Describe S "p"', 'Sync'),
    by('a', parse('p', 'SELECT 1'), 'Sync'),
    by('a', parse('q', 'SELECT $1::int * 2 AS y'), 'Sync'),
    query('a', 'EXECUTE q(21)'),
    query('a', 'PREPARE q AS SELECT 1'),
    query('a', 'DEALLOCATE q'),
    by('a', ...run('', 'q', '1'), 'Sync'),
    by('a', 'Close S "p"', 'Sync'),
    query('a', 'EXECUTE p(1)'),
    by('a', 'Close S "p"', 'Close P "nothing"', 'Sync'),
  ],
  'SQL by the extended protocol': [
    by('a', ...unnamed('PREPARE p (int) AS SELECT $1 AS x'), 'Sync'),
    by('a', parse('', 'EXECUTE p(7)'), 'Bind "" "" 0 0 0', 'Describe P ""', 'Execute "" 0', 'Sync'),
    by('a', parse('e', 'EXECUTE p(8)'), 'Describe S "e"', 'Sync'),
    by('a', ...run('', 'e'), 'Sync'),
    by('a', ...run('', 'e'), ...run('', 'e'), 'Sync'),
    by('a', ...unnamed('PREPARE p AS SELECT 1'), 'Sync'),
    by('a', parse('', 'PREPARE r AS SELECT 1'), 'Describe S ""', 'Bind "" "" 0 0 0', 'Describe P ""', 'Execute "" 0', 'Sync'),
    by('a', ...unnamed('EXECUTE nothing'), 'Sync'),
    by('a', parse('', 'EXECUTE nothing'), 'Describe S ""', 'Bind "" "" 0 0 0', 'Describe P ""', 'Sync'),
    by('a', ...unnamed('DEALLOCATE r'), ...unnamed('DEALLOCATE nothing'), ...unnamed('SELECT 1'), 'Sync'),
    by('a', ...unnamed('EXECUTE r'), 'Sync'),
    by('a', ...unnamed('DEALLOCATE p'), ...unnamed('PREPARE p AS SELECT 9 AS nine'), ...run('', 'e'), 'Sync'),
    by('a', ...unnamed('PREPARE z AS SELECT nothing'), 'Sync'),
    by('a', ...unnamed('EXECUTE z'), 'Sync'),
    by('a', ...unnamed('CREATE TABLE made AS EXECUTE p'), ...unnamed('EXPLAIN (COSTS off) EXECUTE p'), 'Sync'),
    by('a', ...unnamed('DEALLOCATE ALL'), ...unnamed('EXECUTE p'), 'Sync'),
  ],
  'several statements in a query': [
    query('a', 'PREPARE p (int) AS SELECT $1 AS x; EXECUTE p(1); EXECUTE p(2)'),
    query('a', 'EXECUTE p(3)'),
    query('a', 'EXECUTE p(4); DEALLOCATE p; PREPARE p AS SELECT 5; EXECUTE p'),
    query('a', 'EXECUTE p; SELECT 6; EXECUTE nothing; SELECT 7'),
    query('a', 'UPDATE items SET n = 9 WHERE id = 1; PREPARE q AS SELECT n FROM items WHERE id = 1; EXECUTE q; SELECT 1/0'),
    query('a', 'EXECUTE q'),
    query('a', 'PREPARE p AS SELECT 1'),
    query('a', "SELECT 'EXECUTE p(1); é', 1; PREPARE p AS SELECT 2"),
    query('a', "SELECT 'é'; EXECUTE p(nothing)"),
    query('a', 'DEALLOCATE p; DEALLOCATE p; DEALLOCATE q'),
    query('a', 'EXECUTE q; DEALLOCATE ALL; PREPARE r AS SELECT 8; EXECUTE r'),
    query('a', 'EXECUTE q'),
    query('a', 'BEGIN; EXECUTE r; COMMIT; EXECUTE r'),
    query('b', 'EXECUTE r'),
  ],
  transactions: [
    query('a', 'BEGIN'),
    query('a', 'CREATE TABLE made (k int)'),
    query('a', 'PREPARE p AS SELECT count(*) FROM made'),
    query('a', 'EXECUTE p'),
    query('a', 'DEALLOCATE nothing'),
    query('a', 'EXECUTE p'),
    query('a', 'DEALLOCATE p'),
    query('a', 'ROLLBACK'),
    query('a', 'EXECUTE p'),
    query('a', 'PREPARE p AS SELECT 1'),
    query('a', 'DEALLOCATE p'),
    query('a', 'BEGIN'),
    query('a', 'PREPARE p AS SELECT 1 AS one'),
    query('a', 'PREPARE p AS SELECT 1 AS one'),
    query('a', 'PREPARE q AS SELECT 1 AS one'),
    by('a', ...unnamed('DEALLOCATE p'), 'Sync'),
    by('a', ...unnamed('PREPARE q AS SELECT 1'), 'Sync'),
    query('a', 'ROLLBACK; EXECUTE p'),
    query('a', 'BEGIN; DEALLOCATE p; ROLLBACK'),
    query('a', 'EXECUTE p'),
    query('a', 'BEGIN'),
    by('a', ...unnamed('PREPARE t AS SELECT 2 AS two'), ...unnamed('EXECUTE t'), 'Sync'),
    query('a', 'SAVEPOINT s'),
    query('a', 'PREPARE u AS SELECT 3 AS three'),
    query('a', 'ROLLBACK TO s'),
    query('a', 'EXECUTE u'),
    query('a', 'COMMIT'),
    query('a', 'EXECUTE t'),
  ],
  'the unnamed statement goes along': [
    by('a', parse('', 'SELECT $1::int AS x'), 'Sync'),
    by('b', parse('', 'SELECT 2 AS two'), 'Sync'),
    by('a', ...run('', '', '1'), 'Sync'),
    by('b', ...run('', ''), 'Sync'),
    by('a', 'Describe S ""', 'Sync'),
    by('a', ...unnamed('SELECT 3'), ...unnamed('SELECT 4'), 'Sync'),
    by('a', ...run('', ''), 'Sync'),
    by('a', 'Close S ""', ...run('', ''), 'Sync'),
    by('a', parse('', 'SELEC'), 'Sync'),
    by('a', ...run('', ''), 'Sync'),
    by('a', parse('', 'SELECT 5'), 'Sync'),
    query('a', 'SELECT 6'),
    by('a', ...run('', ''), 'Sync'),
    by('a', parse('', ''), ...run('', ''), 'Describe P ""', 'Sync'),
  ],
  'errors in the middle': [
    by('a', parse('x', 'SELECT 1'), ...unnamed('SELECT 1/0'), parse('y', 'SELECT 2'), ...run('', 'x'), 'Sync'),
    by('a', ...run('', 'x'), 'Sync'),
    by('a', ...run('', 'y'), 'Sync'),
    by('a', parse('z', 'SELECT 3'), 'Bind "" "nothing" 0 0 0', parse('w', 'SELECT 4'), 'Sync'),
    by('a', ...run('', 'z'), 'Sync'),
    by('a', ...run('', 'w'), 'Sync'),
    by('a', parse('v', 'SELECT 5'), 'Execute "nothing" 0', 'Sync', parse('v', 'SELECT 6'), 'Sync', ...run('', 'v'), 'Sync'),
    by('a', 'Close S "v"', ...unnamed('SELECT 1/0'), 'Sync', ...run('', 'v'), 'Sync'),
    by('a', 'Describe S "nothing"', parse('u', 'SELECT 1'), 'Sync', 'Describe P "nothing"', 'Sync', 'Close S "nothing"', 'Sync'),
    by(
      'a',
      ...unnamed('UPDATE items SET n = 7 WHERE id = 3'),
      ...unnamed('UPDATE items SET n = 8 WHERE id = 4'),
      ...unnamed('SELECT 1/0'),
      'Sync',
    ),
    query('a', 'SELECT sum(n) FROM items WHERE id IN (3, 4)'),
    by('a', parse('bad', 'SELECT nothing FROM items'), 'Sync', parse('bad', 'SELECT 1'), 'Sync', ...run('', 'bad'), 'Sync'),
    by('a', parse('t', 'SELECT $1::int'), 'Bind "" "t" 0 0 0', 'Sync', 'Bind "" "t" 0 1 "x" 0', 'Sync', ...run('', 't', '1'), 'Sync'),
    by('a', ...unnamed('SELECT 1'), parse('x', 'SELECT 2'), ...unnamed('SELECT 3'), 'Sync'),
  ],
  'portals and row limits': [
    query('a', 'BEGIN'),
    by('a', parse('s', 'SELECT id FROM items ORDER BY id'), 'Bind "c" "s" 0 0 0', 'Describe P "c"', 'Execute "c" 2', 'Sync'),
    by('a', 'Execute "c" 2', 'Sync'),
    by('a', 'Close S "s"', 'Execute "c" 1', 'Sync'),
    by('a', 'Bind "d" "s" 0 0 0', 'Sync'),
    query('a', 'ROLLBACK'),
    by('a', parse('s', 'SELECT id FROM items ORDER BY id LIMIT 3'), 'Sync'),
    flushed('a', 'PortalSuspended', 'Bind "c" "s" 0 0 0', 'Execute "c" 2'),
    flushed('a', 'CommandComplete', 'Execute "c" 2'),
    by('a', 'Sync'),
    by('a', 'Execute "c" 1', 'Sync'),
    query('a', 'BEGIN'),
    flushed('a', 'PortalSuspended', 'Bind "c" "s" 0 0 0', 'Execute "c" 2'),
    flushed('a', 'DataRow', ...unnamed('SELECT 5')),
    flushed('a', 'CloseComplete', 'Close P "c"'),
    by('a', 'Execute "c" 2', 'Sync'),
    query('a', 'ROLLBACK'),
    by('a', 'Bind "" "s" 0 0 0', 'Describe P ""', 'Execute "" 1', 'Execute "" 1', 'Execute "" 0', 'Sync'),
    by('a', parse('n', 'SET work_mem = 4096'), 'Describe S "n"', 'Bind "" "n" 0 0 0', 'Describe P ""', 'Execute "" 0', 'Sync'),
    by('a', parse('i', 'INSERT INTO items VALUES (100, 1, NULL) RETURNING id'), 'Describe S "i"', ...run('', 'i'), 'Sync'),
    query('a', 'BEGIN'),
    by('a', 'Bind "k" "s" 0 0 0', 'Bind "k" "s" 0 0 0', 'Sync'),
    query('a', 'ROLLBACK'),
  ],
  'many Syncs in one write': [
    by('a', parse('s', 'SELECT $1::int AS x'), 'Describe S "s"', 'Sync'),
    by('a', ...Array.from({ length: 100 }, (_, i) => [...run('', 's', String(i)), 'Sync']).flat()),
    by(
      'a',
      ...Array.from({ length: 60 }, (_, i) => [
        parse(`q${String(i % 20)}`, `SELECT ${String(i % 7)} / ${String(i % 5)}`),
        `Describe S "q${String(i % 20)}"`,
        ...run('', `q${String(i % 20)}`),
        'Sync',
      ]).flat(),
    ),
    by('a', ...Array.from({ length: 40 }, (_, i) => run('', i === 20 ? 'nothing' : 's', String(i))).flat(), 'Sync'),
  ],
  'columns that change': [
    by('a', parse('s', 'SELECT * FROM wide'), 'Describe S "s"', 'Sync'),
    by('a', parse('p', 'SELECT * FROM wide WHERE id = $1'), ...run('', 'p', '1'), 'Sync'),
    by('a', ...run('', 's'), 'Sync'),
    by('a', 'Bind "" "p" 0 1 "1" 0', 'Describe P ""', 'Execute "" 0', 'Sync'),
    by('a', ...run('', 'p', '1'), 'Sync'),
    query('b', 'ALTER TABLE wide ADD COLUMN b int'),
    by('a', ...run('', 's'), 'Sync'),
    by('a', ...run('', 's'), 'Sync'),
    by('a', ...run('', 'p', '1'), 'Sync'),
    query('a', 'BEGIN'),
    by('a', ...run('', 's'), ...run('', 'p', '1'), 'Sync'),
    query('a', 'ROLLBACK'),
    by('a', 'Close S "s"', parse('s', 'SELECT * FROM wide'), 'Describe S "s"', 'Sync'),
    by('a', ...run('', 's'), 'Sync'),
    by('a', parse('i', 'INSERT INTO wide VALUES ($1, $2) RETURNING *'), 'Describe S "i"', 'Sync'),
    query('b', 'ALTER TABLE wide ADD COLUMN c int'),
    by('a', ...run('', 'i', '2', 'two'), 'Sync'),
    query('a', 'SELECT count(*) FROM wide'),
  ],
  'a cursor WITH HOLD as a portal of the protocol': [
    by('a', 'Describe P "held"', 'Sync'),
    query('a', 'DECLARE held CURSOR WITH HOLD FOR SELECT g FROM generate_series(1, 5) g'),
    by('a', 'Describe P "held"', 'Sync'),
    by('a', 'Execute "held" 2', 'Sync'),
    by('b', 'Describe P "held"', 'Execute "held" 2', 'Sync'),
    query('a', 'FETCH 1 FROM held'),
    by('a', 'Close P "held"', 'Describe P "held"', 'Sync'),
    query('a', 'FETCH 1 FROM held'),
  ],
  'a transaction with modes that a batch begins': [
    by('a', parse('s', 'SELECT id, name FROM items ORDER BY id LIMIT 1'), 'Describe S "s"', 'Sync'),
    by('a', ...unnamed('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY'), ...run('', 's'), ...run('', 's'), 'Sync'),
    query('a', 'SHOW transaction_isolation'),
    query('a', 'COMMIT'),
    by('a', ...unnamed('SELECT 1/0'), ...run('', 's'), 'Sync'),
    by('a', ...unnamed('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY'), 'Flush', ...run('', 's'), 'Sync'),
    query('a', 'COMMIT'),
  ],
  'what is prepared after DDL has the types of then, also where a connection has prepared the same before': [
    by('a', parse('s', 'SELECT * FROM wide WHERE id = $1'), 'Describe S "s"', 'Sync'),
    by('b', parse('s', 'SELECT * FROM wide WHERE id = $1'), 'Describe S "s"', 'Sync'),
    query('b', 'PREPARE p AS SELECT a FROM wide WHERE id = $1'),
    query('a', 'PREPARE p AS SELECT a FROM wide WHERE id = $1'),
    query('a', 'ALTER TABLE wide ALTER id TYPE text USING id::text'),
    by('a', parse('again', 'SELECT * FROM wide WHERE id = $1'), 'Describe S "again"', 'Sync'),
    by('b', parse('again', 'SELECT * FROM wide WHERE id = $1'), 'Describe S "again"', 'Sync'),
    by('b', ...run('', 'again', '1'), 'Sync'),
    query('b', 'DEALLOCATE p; PREPARE p AS SELECT a FROM wide WHERE id = $1'),
    query('b', "EXECUTE p('1')"),
    by('a', 'Close S "s"', parse('s', 'SELECT * FROM wide WHERE id = $1'), ...run('', 's', 'x'), 'Sync'),
    query('b', 'BEGIN'),
    query('b', 'ALTER TABLE wide DROP a'),
    by('b', parse('third', 'SELECT * FROM wide WHERE id = $1'), 'Describe S "third"', ...run('', 'third', '1'), 'Sync'),
    query('b', 'COMMIT'),
    query('a', 'BEGIN'),
    by('a', parse('third', 'SELECT * FROM wide WHERE id = $1'), 'Describe S "third"', ...run('', 'third', '1'), 'Sync'),
    query('a', 'COMMIT'),
  ],
  'what is prepared behind DDL in a pipeline, or after DDL was taken back, has the types of then': [
    by('a', parse('s', 'SELECT * FROM wide WHERE id = $1'), 'Describe S "s"', 'Sync'),
    by('b', parse('s', 'SELECT * FROM wide WHERE id = $1'), 'Describe S "s"', 'Sync'),
    by(
      'a',
      ...unnamed('ALTER TABLE wide ALTER id TYPE text USING id::text'),
      ...[parse('n', 'SELECT * FROM wide WHERE id = $1'), 'Describe S "n"', ...run('', 'n', '1'), 'Sync'],
    ),
    by('b', parse('n', 'SELECT * FROM wide WHERE id = $1'), 'Describe S "n"', ...run('', 'n', '1'), 'Sync'),
    query('a', 'BEGIN'),
    query('a', 'SAVEPOINT x'),
    query('a', 'ALTER TABLE wide ALTER id TYPE bigint USING id::bigint'),
    by('a', parse('t', 'SELECT id FROM wide WHERE id = $1'), 'Describe S "t"', 'Sync'),
    query('a', 'ROLLBACK TO x'),
    by('a', parse('u', 'SELECT id FROM wide WHERE id = $1'), 'Describe S "u"', ...run('', 'u', '1'), 'Sync'),
    query('a', 'ROLLBACK'),
    by(
      'a',
      ...unnamed('ALTER TABLE wide ALTER id TYPE bigint USING id::bigint'),
      ...[parse('v', 'SELECT id FROM wide WHERE id = $1'), 'Describe S "v"', ...unnamed('SELECT 1/0'), 'Sync'],
    ),
    by('a', parse('w', 'SELECT id FROM wide WHERE id = $1'), 'Describe S "w"', ...run('', 'w', '1'), 'Sync'),
  ],
  'an error longer than what is looked at': [
    by('a', ...unnamed('SELECT $1::text::uuid', 'x'.repeat(100_000)), 'Sync'),
    by('a', parse('s', 'SELECT $1::text::uuid'), ...run('', 's', 'y'.repeat(100_000)), 'Sync'),
    query('a', 'PREPARE p AS SELECT $1::text::uuid'),
    query('a', `EXECUTE p('${'z'.repeat(100_000)}')`),
    by('a', ...run('', 's', '00000000-0000-0000-0000-000000000000'), 'Sync'),
  ],
  'empty statements in a pipeline': [
    by('a', parse('e', '-- nothing'), 'Describe S "e"', 'Sync'),
    by('a', ...unnamed('-- nothing'), 'Bind "" "e" 0 0 0', 'Describe P ""', 'Execute "" 0', ...run('', 'e'), 'Sync'),
    by('a', ...unnamed(''), ...unnamed(';'), 'Flush', ...run('', 'e'), ...unnamed('SELECT 1'), ...run('', 'e'), 'Sync'),
  ],
  'what forgets': [
    query('a', 'PREPARE p AS SELECT 1 AS one'),
    by('a', parse('q', 'SELECT 2 AS two'), 'Sync'),
    query('a', 'DISCARD PLANS'),
    query('a', 'EXECUTE p'),
    query('a', 'DISCARD ALL'),
    query('a', 'EXECUTE p'),
    by('a', ...run('', 'q'), 'Sync'),
    query('b', 'PREPARE p AS SELECT 3 AS three'),
    query('a', 'PREPARE p AS SELECT 4 AS four'),
    query('a', 'DEALLOCATE ALL'),
    query('b', 'EXECUTE p'),
    by('a', ...unnamed('DISCARD ALL'), 'Sync'),
  ],
}

for (const [name, steps] of Object.entries(scripts)) {
  t.test(name, async (t) => {
    await primary.sql(seed)
    const expected = await playDirect(t, primary.port, steps)
    // Past Pointsman it would not be known at once that what stands prepared is of other tables now.
    const seeding = await WireClient.login(t, port)
    seeding.query(seed)
    t.notMatch((await seeding.until('ReadyForQuery')).join(), /ErrorResponse/)
    t.same(await playThrough(t, port, steps), expected)
  })
}

t.test('a client cannot prepare without end, and a connection does not keep all of it', async (t) => {
  const client = await WireClient.login(t, port)
  client.send(...Array.from({ length: 10_000 }, (_, i) => parse(`s${String(i)}`, `SELECT ${String(i)}`)), 'Sync')
  t.equal((await client.until('ReadyForQuery')).length, 10_001)
  client.send(parse('more', 'SELECT 1'), 'Sync')
  t.match(await client.until('ReadyForQuery'), [/ErrorResponse .*54000/, 'ReadyForQuery I'])
  client.query('PREPARE more AS SELECT 1')
  t.match(await client.until('ReadyForQuery'), [/ErrorResponse .*54000/, 'ReadyForQuery I'])
  client.send('Close S "s18"', parse('more', 'SELECT 1'), ...run('', 's17'), 'Sync')
  t.same((await client.until('ReadyForQuery')).at(3), 'DataRow 1 "17"')
  client.query('SELECT count(*) <= 500 FROM pg_prepared_statement()')
  t.equal((await client.until('ReadyForQuery'))[1], 'DataRow 1 "t"')
})

t.test('clients that prepare the same share one statement on a connection', async (t) => {
  const clients = [await WireClient.login(t, port), await WireClient.login(t, port)]
  for (const [index, client] of clients.entries()) {
    client.send(parse(`mine${String(index)}`, 'SELECT 4711 AS shared'), ...run('', `mine${String(index)}`), 'Sync')
    await client.until('ReadyForQuery')
    client.query('PREPARE by_sql AS SELECT 4712 AS shared')
    await client.until('ReadyForQuery')
    client.query('EXECUTE by_sql')
    await client.until('ReadyForQuery')
  }
  const [client] = clients
  client?.query(
    "SELECT max(n)::int FROM (SELECT count(*) AS n FROM pg_prepared_statement() WHERE statement LIKE '%471_ AS shared' GROUP BY right(statement, 21)) s",
  )
  t.equal((await client?.until('ReadyForQuery'))?.[1], 'DataRow 1 "1"')
})

t.test('pg_prepared_statements shows a client its own statements, and nothing of others', async (t) => {
  const [client, other] = [await WireClient.login(t, port), await WireClient.login(t, port)]
  const rows = async (sql: string): Promise<string[]> => {
    client.query(sql)
    return (await client.until('ReadyForQuery')).filter((line) => /^(DataRow|ErrorResponse)/.test(line))
  }
  other.query("PREPARE secret AS SELECT 'of another'")
  await other.until('ReadyForQuery')
  t.same(await rows('SELECT name FROM pg_prepared_statements'), [])
  client.query('PREPARE "Mine" (int) AS SELECT $1 AS n;')
  await client.until('ReadyForQuery')
  client.send(parse('wire', 'SELECT 2 AS two'), 'Sync')
  await client.until('ReadyForQuery')
  t.same(await rows('SELECT name, statement, parameter_types, result_types, from_sql FROM pg_prepared_statements ORDER BY 1'), [
    'DataRow 5 "Mine" "PREPARE \\"Mine\\" (int) AS SELECT $1 AS n;" "{integer}" "{integer}" "t"',
    'DataRow 5 "wire" "SELECT 2 AS two" "{}" "{integer}" "f"',
  ])
  const all = ['DataRow 1 "Mine"', 'DataRow 1 "wire"']
  t.same(
    await rows(
      '/* é */ SELECT p.name FROM pg_catalog.pg_prepared_statements p, "pg_prepared_statements" AS q WHERE q.name = p.name ORDER BY 1',
    ),
    all,
  )
  t.same(await rows('WITH a AS (SELECT * FROM pg_prepared_statements) SELECT name FROM a ORDER BY pg_typeof(a), name'), all)
  t.same(await rows('PREPARE late AS SELECT 3; SELECT count(*) FROM pg_prepared_statements; DEALLOCATE "Mine"'), ['DataRow 1 "3"'])
  t.same(await rows('BEGIN; SELECT name FROM pg_prepared_statements ORDER BY 1; COMMIT'), ['DataRow 1 "late"', 'DataRow 1 "wire"'])
  t.match(await rows('SELECT pg_prepared_statements.nope FROM pg_prepared_statements'), [/42703/])
  t.same(await rows('WITH pg_prepared_statements AS (SELECT 1 AS n) SELECT n FROM pg_prepared_statements'), ['DataRow 1 "1"'])
  t.same(await rows('DEALLOCATE ALL; SELECT * FROM pg_prepared_statements'), [])
  // Neither by way of a file or a table.
  client.query('COPY (SELECT name FROM pg_prepared_statements) TO STDOUT')
  t.same(await client.until('ReadyForQuery'), ['CopyOutResponse 0 1 0', 'CopyDone', 'CommandComplete "COPY 0"', 'ReadyForQuery I'])
  await rows('PREPARE own AS SELECT 4; CREATE TABLE told AS SELECT name FROM pg_prepared_statements')
  await rows('INSERT INTO told SELECT name FROM pg_prepared_statements')
  t.same(await rows('DELETE FROM told t USING pg_prepared_statements p WHERE p.name = t.name RETURNING t.name'), [
    'DataRow 1 "own"',
    'DataRow 1 "own"',
  ])
  t.same(await rows('DROP TABLE told; BEGIN; DECLARE c CURSOR FOR SELECT name FROM pg_prepared_statements; FETCH ALL c; COMMIT'), [
    'DataRow 1 "own"',
  ])
})

t.test('pg_prepared_statements tells of what cannot be prepared any more', async (t) => {
  await primary.sql('CREATE TABLE fleeting (n int); GRANT ALL ON fleeting TO app')
  const [client, other] = [await WireClient.login(t, port), await WireClient.login(t, port)]
  const rows = async (sql: string): Promise<string[]> => {
    client.query(sql)
    return (await client.until('ReadyForQuery')).filter((line) => /^(DataRow|ErrorResponse|ReadyForQuery)/.test(line))
  }
  await rows('PREPARE gone AS SELECT n FROM fleeting; PREPARE stays AS SELECT 1')
  await primary.sql('DROP TABLE fleeting')
  // One of the two connections has it, and the other one cannot.
  const names = ['DataRow 1 "gone"', 'DataRow 1 "stays"', 'ReadyForQuery I']
  t.same(await rows('SELECT name FROM pg_prepared_statements ORDER BY 1'), names)
  for (const held of ['client', 'other']) {
    if (held === 'other') {
      other.query('BEGIN; SELECT 1')
      await other.until('ReadyForQuery')
    }
    t.same(await rows('SELECT name FROM pg_prepared_statements ORDER BY 1'), names, held)
    t.same(await rows('BEGIN; SELECT 2'), ['DataRow 1 "2"', 'ReadyForQuery T'])
    t.same(await rows('SELECT name FROM pg_prepared_statements ORDER BY 1'), [...names.slice(0, 2), 'ReadyForQuery T'], held)
    t.same(await rows('COMMIT'), ['ReadyForQuery I'])
  }
  // Nobody has it now, whichever connection it is.
  client.send(parse('never', 'SELECT 1'), 'Sync')
  await client.until('ReadyForQuery')
  t.same((await rows('SELECT name FROM pg_prepared_statements')).length, 4)
})
