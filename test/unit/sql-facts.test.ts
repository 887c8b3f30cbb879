// Facts of statements: what they touch, call and change. Above all what other routers get wrong.
import t, { type Test } from 'tap'
import { functions, named, only, relations, understand } from '../support/sql-brief.js'

const writes = (sql: string): boolean => only(sql).writes

t.test('reads by grammar', (t) => {
  for (const sql of [
    'SELECT 1',
    'TABLE users',
    'VALUES (1), (2)',
    'SELECT * FROM users -- FOR UPDATE',
    "SELECT 'DELETE FROM users'",
    'WITH x AS (SELECT 1) SELECT * FROM x',
    'SELECT f()',
    'EXPLAIN DELETE FROM users',
    'EXPLAIN (ANALYZE off) DELETE FROM users',
    'EXPLAIN (ANALYZE false, VERBOSE) DELETE FROM users',
    'EXPLAIN (ANALYZE 0) DELETE FROM users',
    'EXPLAIN (ANALYZE, ANALYZE FALSE) DELETE FROM users',
    'EXPLAIN ANALYZE SELECT 1',
    'COPY users TO STDOUT',
    'COPY (SELECT 1) TO STDOUT',
    'PREPARE p AS SELECT 1',
    'DECLARE c CURSOR FOR SELECT 1',
    'FETCH ALL FROM c',
    'SHOW all',
    'SET x.y = 1',
    'RESET ALL',
    'BEGIN',
    'COMMIT AND CHAIN',
    'SET TRANSACTION READ ONLY',
    'DEALLOCATE ALL',
    'DISCARD PLANS',
    'UNLISTEN *',
    'CLOSE ALL',
    "SELECT * FROM XMLTABLE('/r' PASSING x COLUMNS a int PATH '@a') AS t",
    "SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS (a int PATH '$.a')) AS t",
    "SELECT JSON_VALUE('{}', '$.a' RETURNING int DEFAULT 1 ON EMPTY), JSON_OBJECT('a': 1), JSON_ARRAY(1), JSON_ARRAYAGG(x), JSON('{}'), JSON_SCALAR(1), JSON_SERIALIZE('{}'), '{}' IS JSON",
    'SELECT sum(x) OVER w FROM t GROUP BY GROUPING SETS ((a), ROLLUP (b, c)), CUBE (d) HAVING GROUPING(a) = 1 WINDOW w AS (PARTITION BY a ORDER BY b ROWS 1 PRECEDING)',
    'SELECT CASE a WHEN 1 THEN 2 END, COALESCE(a, b), GREATEST(a), NULLIF(a, b), ROW(1, 2), ARRAY[1], a[1:2], (r).f, x IS DISTINCT FROM y, xmlelement(name x, xmlattributes(a AS b)), CURRENT_TIMESTAMP, a COLLATE "C", CAST(a AS int), (a, b) OVERLAPS (c, d), x AT TIME ZONE \'UTC\'',
    'SELECT DISTINCT ON (a) a FROM t ORDER BY a USING < LIMIT ALL OFFSET 1',
    'SELECT a FROM t ORDER BY a FETCH FIRST 3 ROWS WITH TIES',
    'WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SEARCH DEPTH FIRST BY n SET o CYCLE n SET c USING p SELECT * FROM r',
  ]) {
    t.notOk(writes(sql), sql)
  }
  t.end()
})

t.test('writes by grammar', (t) => {
  for (const sql of [
    'INSERT INTO users DEFAULT VALUES',
    'WITH x AS (INSERT INTO users DEFAULT VALUES RETURNING id) SELECT * FROM x',
    'WITH x AS (SELECT 1), y AS (WITH z AS (DELETE FROM users RETURNING id) SELECT * FROM z) SELECT * FROM y',
    'SELECT * FROM users FOR UPDATE',
    'SELECT * FROM users FOR NO KEY UPDATE SKIP LOCKED',
    'SELECT * FROM users FOR SHARE /* trailing */',
    'SELECT * FROM users FOR KEY SHARE NOWAIT',
    'SELECT * FROM (SELECT * FROM users FOR UPDATE) u',
    'SELECT (SELECT id FROM users FOR UPDATE)',
    'SELECT 1 INTO t',
    'SELECT 1 INTO TEMP t',
    'SELECT 1 INTO t UNION SELECT 2',
    '/* SELECT */ DELETE FROM users',
    'SELECT 1; DELETE FROM users',
    'EXPLAIN ANALYZE DELETE FROM users',
    'EXPLAIN (VERBOSE, ANALYZE) DELETE FROM users',
    'EXPLAIN (ANALYZE on) WITH x AS (DELETE FROM users RETURNING 1) SELECT * FROM x',
    'EXPLAIN (ANALYZE 1) CREATE TABLE t AS SELECT 1',
    'EXPLAIN ANALYZE EXECUTE p',
    'COPY users FROM STDIN',
    "COPY users TO PROGRAM 'cat'",
    "COPY users TO '/tmp/x'",
    'COPY (DELETE FROM users RETURNING *) TO STDOUT',
    'PREPARE p AS DELETE FROM users',
    'EXECUTE p(1)',
    'DECLARE c CURSOR FOR SELECT * FROM users FOR UPDATE',
    'MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DO NOTHING',
    "DO 'BEGIN END'",
    'CALL p(1)',
    'NOTIFY ch',
    'LISTEN ch',
    'LOCK users',
    'TRUNCATE users',
    "PREPARE TRANSACTION 'x'",
    "COMMIT PREPARED 'x'",
    "ROLLBACK PREPARED 'x'",
    "LOAD 'x'",
    'VACUUM',
    'ANALYZE users',
    'CHECKPOINT',
    'REFRESH MATERIALIZED VIEW m',
    'SET CONSTRAINTS ALL DEFERRED',
    'ALTER SYSTEM SET work_mem = 1',
  ]) {
    t.ok(
      understand(sql).shape.statements?.some((statement) => statement.writes),
      sql,
    )
  }
  t.end()
})

t.test('relations: CTE names and aliases are none', (t) => {
  const rows: readonly (readonly [string, string])[] = [
    ['SELECT * FROM a, s.b AS c, "D"', 'read D, read a, read s.b'],
    ['SELECT * FROM a x JOIN a y ON true', 'read a'],
    ['SELECT c FROM a WHERE x IN (SELECT y FROM b) ORDER BY (SELECT 1 FROM c) LIMIT (SELECT 1 FROM d)', 'read a, read b, read c, read d'],
    [
      'SELECT (SELECT 1 FROM a), CASE WHEN EXISTS (SELECT FROM b) THEN 1 END, ARRAY(SELECT 1 FROM c) FROM LATERAL (SELECT 1 FROM d) x, f((SELECT 1 FROM e))',
      'read a, read b, read c, read d, read e',
    ],
    ['WITH a AS (SELECT * FROM b) SELECT * FROM a', 'read b'],
    ['WITH a AS (SELECT * FROM a) SELECT * FROM a', 'read a'],
    ['WITH RECURSIVE a AS (SELECT 1 UNION SELECT * FROM a) SELECT * FROM a', ''],
    ['WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a, b', 'read b'],
    ['WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a, b', ''],
    ['WITH a AS (SELECT 1) SELECT * FROM public.a', 'read public.a'],
    ['WITH a AS (SELECT 1) SELECT * FROM (SELECT * FROM a) x UNION SELECT * FROM a', ''],
    ['SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) x, a', 'read a'],
    ['WITH a AS (SELECT 1) (WITH b AS (SELECT * FROM a) SELECT * FROM b) UNION SELECT * FROM b', 'read b'],
    ['WITH a AS (SELECT 1) DELETE FROM a', 'write a'],
    ['WITH a AS (SELECT 1) INSERT INTO b SELECT * FROM a', 'write b'],
    ['WITH a AS (DELETE FROM b RETURNING *) INSERT INTO c SELECT * FROM a RETURNING (SELECT 1 FROM d)', 'read d, write b, write c'],
    [
      'UPDATE a SET x = (SELECT 1 FROM b) FROM c WHERE y = (SELECT 1 FROM d) RETURNING (SELECT 1 FROM e)',
      'read b, read c, read d, read e, write a',
    ],
    ['DELETE FROM ONLY a USING b', 'read b, write a'],
    [
      'INSERT INTO a VALUES ((SELECT 1 FROM b)) ON CONFLICT (x) DO UPDATE SET y = (SELECT 1 FROM c) WHERE EXISTS (SELECT FROM d)',
      'read b, read c, read d, write a',
    ],
    [
      'MERGE INTO a USING (SELECT * FROM b) s ON true WHEN MATCHED THEN UPDATE SET x = (SELECT 1 FROM c) RETURNING (SELECT 1 FROM d)',
      'read b, read c, read d, write a',
    ],
    ['SELECT * FROM a, b FOR UPDATE OF b', 'lock b, read a, read b'],
    ['SELECT * FROM a x, b FOR UPDATE OF x', 'lock a, read a, read b'],
    ['SELECT * FROM a, b FOR SHARE', 'lock a, lock b, read a, read b'],
    ['TABLE a', 'read a'],
    ['SELECT * INTO b FROM a', 'define b, read a'],
    ['LOCK TABLE a, s.b IN SHARE MODE', 'lock a, lock s.b'],
    ['COPY a FROM STDIN', 'write a'],
    ['COPY a TO STDOUT', 'read a'],
    ['COPY (SELECT * FROM a) TO STDOUT', 'read a'],
    ['CREATE TABLE a (x int REFERENCES b, LIKE c)', 'define a, define b, define c'],
    ['CREATE TABLE a AS SELECT * FROM b', 'define a, read b'],
    ['CREATE TABLE a PARTITION OF b FOR VALUES IN (1)', 'define a, define b'],
    ['ALTER TABLE a ATTACH PARTITION b DEFAULT', 'define a, define b'],
    ['CREATE VIEW a AS WITH b AS (SELECT 1) SELECT * FROM b, c', 'define a, read c'],
    ['CREATE MATERIALIZED VIEW a AS SELECT * FROM b', 'define a, read b'],
    ['REFRESH MATERIALIZED VIEW a', 'write a'],
    ['CREATE INDEX ON a (x)', 'define a'],
    ['DROP TABLE a, s.b', 'define a, define s.b'],
    ['DROP TRIGGER t ON s.a', 'define s.a'],
    ['DROP FUNCTION f(int)', ''],
    ['COMMENT ON COLUMN s.a.x IS $$y$$', 'define s.a'],
    ['COMMENT ON TABLE a IS NULL', 'define a'],
    ['TRUNCATE a, b CASCADE', 'write a, write b'],
    ['GRANT SELECT ON a TO x', 'define a'],
    ['ALTER TABLE a RENAME TO b', 'define a'],
    ['CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION f()', 'define a'],
    ['CREATE POLICY p ON a USING (EXISTS (SELECT FROM b))', 'define a, read b'],
    ['CREATE RULE r AS ON INSERT TO a DO INSTEAD DELETE FROM b', 'define a, write b'],
    ['ALTER TABLE a ADD FOREIGN KEY (x) REFERENCES b', 'define a, define b'],
    ['VACUUM a', 'write a'],
    ['REINDEX TABLE a', 'write a'],
    ["SELECT nextval('s')", 'write s'],
    ["SELECT nextval('\"S\"'), setval('x.Y', 1), currval('z'::regclass)", 'read z, write S, write x.y'],
    ["SELECT nextval($1), my.nextval('s')", ''],
  ]
  for (const [sql, expected] of rows) t.equal(relations(sql), expected, sql)
  t.same(only("SELECT nextval('public.s')").sequences.map(named), ['public.s'])
  t.end()
})

t.test('functions, wherever they hide', (t) => {
  const rows: readonly (readonly [string, string])[] = [
    [
      'SELECT f(1, 2), s.g(), count(*), sum(DISTINCT x) FILTER (WHERE h()), rank() OVER (ORDER BY i())',
      'count/*, f/2, h/0, i/0, rank/0, s.g/0, sum/1',
    ],
    ['SELECT f(VARIADIC x), g(a => 1)', 'f/*, g/1'],
    ['SELECT * FROM f() AS x, ROWS FROM (g(1), h()) AS y, LATERAL (SELECT i()) z', 'f/0, g/1, h/0, i/0'],
    [
      'SELECT EXTRACT(year FROM x), OVERLAY(a PLACING b FROM 1), POSITION(a IN b), SUBSTRING(a FROM 1), TRIM(a)',
      'pg_catalog.btrim/1, pg_catalog.extract/2, pg_catalog.overlay/3, pg_catalog.position/2, pg_catalog.substring/2',
    ],
    [
      "SELECT (a, b) OVERLAPS (c, d), x AT TIME ZONE 'UTC', a SIMILAR TO b",
      'pg_catalog.overlaps/4, pg_catalog.similar_to_escape/1, pg_catalog.timezone/2',
    ],
    ['SELECT 1 FROM t WHERE f() GROUP BY g() HAVING h() ORDER BY i() LIMIT j() OFFSET k()', 'f/0, g/0, h/0, i/0, j/0, k/0'],
    ['INSERT INTO t VALUES (f()) ON CONFLICT (x) DO UPDATE SET y = g() RETURNING h()', 'f/0, g/0, h/0'],
    ['SELECT * FROM t TABLESAMPLE mine(f())', 'f/0, mine/*'],
    ['SELECT * FROM t TABLESAMPLE system(1)', 'pg_catalog.system/*'],
    ["SELECT * FROM XMLTABLE(f() PASSING g() COLUMNS a int PATH 'x' DEFAULT h())", 'f/0, g/0, h/0'],
    [
      "SELECT JSON_VALUE(f(), '$' PASSING g() AS a DEFAULT h() ON ERROR), JSON_OBJECT(i(): j()), JSON_ARRAYAGG(k())",
      'f/0, g/0, h/0, i/0, j/0, k/0',
    ],
    ['SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY x)', 'percentile_disc/*'],
    ['CALL p(f())', 'f/0, p/1'],
    ['EXECUTE p(f())', 'f/0'],
    ['SELECT "Touch"()', 'Touch/0'],
    ['SELECT CURRENT_USER, CURRENT_DATE, COALESCE(a), GREATEST(a)', ''],
  ]
  for (const [sql, expected] of rows) t.equal(functions(sql), expected, sql)
  t.same([...only('SELECT t.f, (r).g, s.t.h, u FROM t').attributes].sort(), ['f', 'g', 'h', 't'])
  t.end()
})

t.test('operators and types', (t) => {
  const operators = (sql: string): string => only(sql).operators.map(named).sort().join(' ')
  const types = (sql: string): string => only(sql).types.map(named).sort().join(' ')
  t.equal(operators('SELECT a + b, a OPERATOR(s.@@) b, -c, a LIKE b, a NOT ILIKE b'), '!~~* + - s.@@ ~~')
  t.equal(operators('SELECT 1 FROM t ORDER BY a USING OPERATOR(s.<)'), 's.<')
  t.equal(operators('SELECT a BETWEEN b AND c'), '<= >=')
  t.equal(operators('SELECT a NOT BETWEEN SYMMETRIC b AND c'), '< >')
  t.equal(operators('SELECT a IN (1), b NOT IN (1), NULLIF(c, d), e IS DISTINCT FROM f'), '<> =')
  t.equal(operators('SELECT CASE a WHEN 1 THEN 2 END'), '=')
  t.equal(operators('SELECT a IN (SELECT 1), b > ALL (SELECT 1), c ~ ANY (ARRAY[1])'), '= > ~')
  t.equal(operators('SELECT * FROM a JOIN b USING (x)'), '=')
  t.equal(types("SELECT a::my.type, CAST(b AS mine), date 'x', c::int[]"), 'date mine my.type pg_catalog.int4')
  t.equal(types('SELECT * FROM f() AS x(a mine)'), 'mine')
  t.equal(types('SELECT JSON_VALUE(a, $$x$$ RETURNING mine)'), 'mine')
  t.equal(types('SELECT a::float(10), b::float(30)'), 'pg_catalog.float4 pg_catalog.float8')
  t.end()
})

t.test('advisory locks', (t) => {
  const locks = (sql: string): string => only(sql).cursorsOrLocks
  t.equal(locks('SELECT pg_advisory_lock(1)'), 'session-advisory-lock')
  t.equal(locks('SELECT pg_catalog.pg_try_advisory_lock_shared(1, 2)'), 'session-advisory-lock')
  t.equal(locks('SELECT pg_advisory_unlock(1)'), 'session-advisory-unlock')
  t.equal(locks('SELECT pg_advisory_unlock_all()'), 'session-advisory-unlock')
  t.equal(locks('SELECT pg_advisory_xact_lock(1)'), 'transaction-advisory-lock')
  t.equal(locks('SELECT pg_advisory_xact_lock(1), pg_advisory_unlock(1), pg_advisory_lock(1)'), 'session-advisory-lock')
  t.equal(locks('SELECT my.pg_advisory_lock(1)'), 'none')
  t.equal(locks('SELECT 1'), 'none')
  t.end()
})

t.test('set_config() that can be followed, and that cannot', (t) => {
  const settings = (sql: string): unknown => {
    const { detail, hiddenSettings } = only(sql)
    const shown =
      detail.kind === 'select' && detail.settings !== null
        ? detail.settings.map((change) => `${change.scope} ${change.name}=${JSON.stringify(change.value)}`)
        : null
    if (hiddenSettings !== (shown === null)) throw new Error('hiddenSettings disagrees')
    return shown?.join(' ') ?? null
  }
  const text = (value: string): string => JSON.stringify([{ kind: 'text', text: value }])
  t.equal(settings("SELECT pg_catalog.set_config('Search_Path', '', false)"), `session search_path=${text('')}`)
  t.equal(
    settings("SELECT set_config('a.b', 'x', true), 1, set_config('c.d', $2, false)"),
    `local a.b=${text('x')} session c.d=[{"kind":"param","number":2}]`,
  )
  t.equal(settings("SELECT set_config('a.b', NULL, false)"), 'session a.b=null')
  t.equal(settings("SELECT set_config('a.b'::text, 'x'::text, false)"), `session a.b=${text('x')}`)
  t.equal(settings('SELECT 1'), '')
  for (const sql of [
    "SELECT set_config('a.b', 'x', false) FROM t",
    "SELECT set_config('a.b', 'x', false) WHERE f()",
    "SELECT set_config('a.b', 'x', false) LIMIT 0",
    "SELECT set_config('a.b', 'x', false) UNION SELECT 'y'",
    "WITH q AS (SELECT 1) SELECT set_config('a.b', 'x', false)",
    "WITH q AS (SELECT set_config('a.b', 'x', false)) SELECT * FROM q",
    "SELECT set_config($1, 'x', false)",
    "SELECT set_config('a.b', x(), false)",
    "SELECT set_config('a.b', 'x', $1)",
    "SELECT set_config('a.b', 'x', NOT true)",
    "SELECT set_config('a' || 'b', 'x', false)",
    "SELECT coalesce(set_config('a.b', 'x', false))",
    "SELECT set_config(setting_name => 'a.b', new_value => 'x', is_local => false)",
    "SELECT (SELECT set_config('a.b', 'x', false))",
    "SELECT * FROM set_config('a.b', 'x', false)",
    "VALUES (set_config('a.b', 'x', false))",
    "EXPLAIN ANALYZE SELECT set_config('a.b', 'x', false)",
    "DECLARE c CURSOR FOR SELECT set_config('a.b', 'x', false)",
    "INSERT INTO t SELECT set_config('a.b', 'x', false)",
    "CREATE TABLE t AS SELECT set_config('a.b', 'x', false)",
    'SELECT U&"\\0073et_config"($$a.b$$, f(), false)',
  ]) {
    t.equal(settings(sql), null, sql)
  }
  t.notOk(only("EXPLAIN SELECT set_config('a.b', 'x', false)").hiddenSettings)
  t.notOk(only("SELECT my.set_config('a.b', 'x', false)").hiddenSettings)
  const reads = (sql: string): unknown => {
    const { detail } = only(sql)
    return detail.kind === 'select' ? detail.reads : 'no select'
  }
  t.same(reads("SELECT current_setting('pointsman.Token', true)"), { name: 'pointsman.token', column: 'current_setting' })
  t.same(reads("SELECT pg_catalog.current_setting('a.b') AS x"), { name: 'a.b', column: 'x' })
  for (const sql of [
    "SELECT current_setting('a.b'), 1",
    "SELECT current_setting('a.b') FROM t",
    'SELECT current_setting($1)',
    "SELECT current_setting('a.b', f())",
  ])
    t.equal(reads(sql), null, sql)
  t.end()
})

t.test('SET and RESET', (t) => {
  const change = (sql: string): unknown => {
    const { detail } = only(sql)
    if (detail.kind !== 'set') return detail.kind
    const value = detail.change.value?.map((part) => (part.kind === 'text' ? part.text : `$${String(part.number)}`)) ?? null
    return `${detail.change.scope} ${detail.change.name} ${JSON.stringify(value)}`
  }
  const rows: readonly (readonly [string, string])[] = [
    ['SET Search_Path = a, "B", \'c d\'', 'session search_path ["a","B","c d"]'],
    ['SET LOCAL work_mem TO 64', 'local work_mem ["64"]'],
    ['SET SESSION x.y = -1.5', 'session x.y ["-1.5"]'],
    ['SET x.y = on', 'session x.y ["on"]'],
    ['SET x.y TO DEFAULT', 'session x.y null'],
    ["SET pointsman.max_staleness = '2s'", 'session pointsman.max_staleness ["2s"]'],
    ["SET NAMES 'LATIN1'", 'session client_encoding ["LATIN1"]'],
    ['SET NAMES', 'session client_encoding null'],
    ["SET TIME ZONE 'Europe/Rome'", 'session timezone ["Europe/Rome"]'],
    ['SET TIME ZONE -7', 'session timezone ["-7"]'],
    ['SET TIME ZONE LOCAL', 'session timezone null'],
    ["SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", 'session timezone ["INTERVAL \'-08:00\'"]'],
    ["SET SCHEMA 'x'", 'session search_path ["x"]'],
    ['SET ROLE none', 'session role ["none"]'],
    ['RESET ROLE', 'session role null'],
    ['SET SESSION AUTHORIZATION joe', 'session session_authorization ["joe"]'],
    ['RESET SESSION AUTHORIZATION', 'session session_authorization null'],
    ['RESET ALL', 'session all null'],
    ['RESET work_mem', 'session work_mem null'],
    ['SET XML OPTION DOCUMENT', 'session xmloption ["DOCUMENT"]'],
  ]
  for (const [sql, expected] of rows) t.equal(change(sql), expected, sql)
  t.equal(understand("SET TIME ZONE INTERVAL '-8' HOUR").shape.statements, null, 'a value that cannot be written down')
  t.end()
})

t.test('transactions', (t) => {
  const facts = (sql: string): unknown => {
    const { detail } = only(sql)
    return detail.kind === 'transaction' ? detail.transaction : detail.kind
  }
  const none = { name: null, readOnly: null, isolation: null, deferrable: null, chain: false, snapshot: false }
  const rows: readonly (readonly [string, object])[] = [
    ['BEGIN', { op: 'begin' }],
    [
      'START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE',
      { op: 'begin', isolation: 'serializable', readOnly: true, deferrable: true },
    ],
    ['BEGIN READ WRITE NOT DEFERRABLE', { op: 'begin', readOnly: false, deferrable: false }],
    ['BEGIN ISOLATION LEVEL REPEATABLE READ', { op: 'begin', isolation: 'repeatable read' }],
    ['END', { op: 'commit' }],
    ['COMMIT AND CHAIN', { op: 'commit', chain: true }],
    ['ABORT', { op: 'rollback' }],
    ['ROLLBACK AND NO CHAIN', { op: 'rollback' }],
    ['SAVEPOINT "A"', { op: 'savepoint', name: 'A' }],
    ['RELEASE a', { op: 'release', name: 'a' }],
    ['ROLLBACK TO a', { op: 'rollback-to', name: 'a' }],
    ["PREPARE TRANSACTION 'g'", { op: 'prepare-transaction', name: 'g' }],
    ["COMMIT PREPARED 'g'", { op: 'commit-prepared', name: 'g' }],
    ["ROLLBACK PREPARED 'g'", { op: 'rollback-prepared', name: 'g' }],
    ['SET TRANSACTION READ ONLY', { op: 'set-transaction', readOnly: true }],
    ["SET TRANSACTION SNAPSHOT '1'", { op: 'set-transaction', snapshot: true }],
    [
      'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED',
      { op: 'set-characteristics', isolation: 'read committed' },
    ],
  ]
  for (const [sql, expected] of rows) t.same(facts(sql), { ...none, ...expected }, sql)
  t.end()
})

t.test('kinds and details', (t) => {
  const rows: readonly (readonly [string, object])[] = [
    ['SELECT 1 INTO TEMP a', { kind: 'select', into: { name: { name: 'a' }, temporary: true } }],
    ['SELECT 1 INTO s.a UNION SELECT 2', { kind: 'select', into: { name: { schema: 's' }, temporary: false } }],
    ['EXPLAIN SELECT 1', { kind: 'explain', analyze: false, inner: { detail: { kind: 'select' } } }],
    ['EXPLAIN ANALYZE SELECT 1', { kind: 'explain', analyze: true }],
    ['COPY a (x, y) FROM STDIN', { kind: 'copy', direction: 'from', end: 'client', target: { name: 'a' }, columns: ['x', 'y'] }],
    ["COPY a FROM '/x'", { kind: 'copy', end: 'file', columns: null }],
    ["COPY (SELECT 1) TO PROGRAM 'x'", { kind: 'copy', direction: 'to', end: 'program', target: null }],
    ['SHOW Work_Mem', { kind: 'show', name: 'work_mem' }],
    ['SHOW TIME ZONE', { kind: 'show', name: 'timezone' }],
    ['PREPARE p(int) AS DELETE FROM a', { kind: 'prepare', name: 'p', inner: { writes: true } }],
    ['EXECUTE p', { kind: 'execute', name: 'p' }],
    ['DEALLOCATE PREPARE p', { kind: 'deallocate', name: 'p' }],
    ['DEALLOCATE ALL', { kind: 'deallocate', name: null }],
    ['DISCARD TEMP', { kind: 'discard', what: 'temp' }],
    ['DISCARD SEQUENCES', { kind: 'discard', what: 'sequences' }],
    ['LISTEN ch', { kind: 'listen', channel: 'ch' }],
    ['UNLISTEN *', { kind: 'unlisten', channel: null }],
    ["NOTIFY ch, 'x'", { kind: 'notify', channel: 'ch' }],
    ['DECLARE c CURSOR WITH HOLD FOR SELECT 1', { kind: 'declare', name: 'c', hold: true }],
    ['DECLARE c SCROLL CURSOR FOR SELECT 1', { kind: 'declare', hold: false }],
    ['MOVE 3 FROM c', { kind: 'fetch', name: 'c' }],
    ['CLOSE c', { kind: 'close', name: 'c' }],
    ['CLOSE ALL', { kind: 'close', name: null }],
    ['CREATE TEMP TABLE a (x int)', { kind: 'ddl', what: 'create table', temporary: true, ownTransaction: false }],
    ['CREATE TABLE pg_temp.a (x int)', { kind: 'ddl', temporary: true }],
    ['CREATE TABLE a (x int)', { kind: 'ddl', temporary: false }],
    ['CREATE TEMP TABLE a AS SELECT 1', { kind: 'ddl', what: 'create table as', temporary: true }],
    ['CREATE TEMP VIEW a AS SELECT 1', { kind: 'ddl', what: 'create view', temporary: true }],
    ['CREATE TEMP SEQUENCE a', { kind: 'ddl', what: 'create sequence', temporary: true }],
    ['CREATE FUNCTION pg_temp.f() RETURNS int RETURN 1', { kind: 'ddl', what: 'create function', temporary: true }],
    ['DROP TABLE pg_temp.a', { kind: 'ddl', what: 'drop table', temporary: false }],
    ['DROP MATERIALIZED VIEW a', { kind: 'ddl', what: 'drop materialized view' }],
    ['TRUNCATE a', { kind: 'ddl', what: 'truncate' }],
    ['VACUUM (ANALYZE) a', { kind: 'utility', what: 'vacuum', ownTransaction: true }],
    ['ANALYZE a', { kind: 'utility', what: 'analyze', ownTransaction: false }],
  ]
  for (const [sql, expected] of rows) t.match(only(sql).detail, expected, sql)
  t.end()
})

t.test('what cannot run in a transaction block', (t) => {
  const check = (t: Test, own: boolean, list: readonly string[]): void => {
    for (const sql of list) t.equal(only(sql).ownTransaction, own, sql)
  }
  check(t, true, [
    'CREATE DATABASE d',
    'DROP DATABASE d',
    'CREATE INDEX CONCURRENTLY ON a (x)',
    'DROP INDEX CONCURRENTLY i',
    'REINDEX TABLE CONCURRENTLY a',
    'REINDEX DATABASE d',
    'ALTER TABLE a DETACH PARTITION b CONCURRENTLY',
    'VACUUM a',
    'CLUSTER',
    'ALTER SYSTEM RESET ALL',
    "CREATE TABLESPACE t LOCATION '/x'",
    'DROP TABLESPACE t',
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
    'DROP SUBSCRIPTION s',
    'DISCARD ALL',
    "COMMIT PREPARED 'x'",
    'CALL p()',
    "DO 'BEGIN END'",
  ])
  check(t, false, [
    'CREATE INDEX ON a (x)',
    'DROP INDEX i',
    'ALTER TABLE a DETACH PARTITION b',
    'ANALYZE',
    'SELECT 1',
    'DISCARD TEMP',
    'COMMIT',
    'EXPLAIN SELECT 1',
  ])
  t.end()
})

t.test('parameters', (t) => {
  t.equal(only('SELECT $3 FROM t WHERE x = $1 AND y IN ($2)').params, 3)
  t.equal(only('INSERT INTO t VALUES ($1, $12)').params, 12)
  t.equal(only('SELECT 1').params, 0)
  t.equal(only('SELECT $2147483647').params, 2147483647, 'a large number costs nothing')
  t.same(only('SELECT $3, $1 FROM t WHERE x = $1 AND y IN ($2, $1)').repeatedParams, [{ number: 1, uses: 3 }])
  t.end()
})
