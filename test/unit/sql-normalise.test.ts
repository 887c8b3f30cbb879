// The shape key: what it merges, what it keeps apart, and what is not SQL to PostgreSQL's scanner.
import t from 'tap'
import { normalise } from '../../src/sql/normalise.js'

const key = (sql: string): string => normalise(sql).key

t.test('keys', (t) => {
  const rows: readonly (readonly [string, string])[] = [
    ['SELECT  A ,b FROM "T"\nWHERE x=1', 'select a,b from "T" where x={i}'],
    ["select 'a' 'b'", 'select {s} {s}'],
    ["select 'a'\n 'b'", 'select {s}'],
    // The scanner of libpg-query has lost this rule of scan.l; PostgreSQL has it.
    ["select 'a' -- c\n -- d\n 'b'", 'select {s}'],
    ["select 'a' /* c */\n 'b'", 'select {s} {s}'],
    ["select b'0'\n'1', E'a'\n'\\'b'", 'select {b},{s}'],
    ['select 1, 5000000000, 1.5', 'select {i},{I},{n}'],
    ['select true, t.true, FALSE', 'select {t},t.true,{t}'],
    ['select null', 'select null'],
    ["select N'x', n'x'", 'select nchar {s},nchar {s}'],
    ["select n 'x'", 'select n {s}'],
    ['select $1, $2::int', 'select $1,$2::int'],
    ['select $$a$$, $t$ $$ $t$', 'select {s},{s}'],
    ['select a$b$c', 'select a$b$c'],
    ["select U&'d!0061' /* c */ UESCAPE '!' , 1", 'select {s},{i}'],
    ['select U&"d\\0061", 1', 'select U&"d\\0061",1'],
    ['select a+-1, a- -1, a@-1', 'select a+ -{i},a- -{i},a@-{i}'],
    ['select a+--c\n1', 'select a+{i}'],
    ['select 1*/* c */2', 'select {i}*{i}'],
    ['select a/* x /* y */ z */b', 'select a b'],
    ['select a -- c\r, b', 'select a,b'],
    ['select ÄÖ, tÉte', 'select ÄÖ,tÉte'],
    ['select 1..2', 'select {i}..{i}'],
    ['select a[1:2], a[:b]', 'select a[{i}:{i}],a[:b]'],
    // Positions stay whole; other integers do not.
    ['select a from t order by 1, 2 desc, a + 3, (4) limit 5', 'select a from t order by 1,2 desc,a+{i},(4)limit {i}'],
    ['select a from t order by t.limit, 1, t.true, 2', 'select a from t order by t.limit,1,t.true,2'],
    ['select a from t group by 1, rollup (2, 3) having x in (4, 5)', 'select a from t group by 1,rollup(2,3)having x in({i},{i})'],
    ['select distinct on (1, 2) a, 3 from t', 'select distinct on(1,2)a,{i} from t'],
    ['select (select a from t order by 1) where b in (2)', 'select(select a from t order by 1)where b in({i})'],
    [
      'select count(*) over (partition by 1 order by 2) from t where c in (3)',
      'select count(*)over(partition by {i} order by 2)from t where c in({i})',
    ],
    // Arguments that name things stay whole.
    ["select nextval('s'), f('x')", "select nextval('s'),f({s})"],
    ["select pg_catalog.set_config('a', f('b'), true), 'c'", "select pg_catalog.set_config('a',f('b'),true),{s}"],
    ['select "nextval"(\'s\'), "f"(\'x\')', 'select "nextval"(\'s\'),"f"({s})'],
    ['select a::float(10), b::numeric(5)', 'select a::float(10),b::numeric({i})'],
    // Utility statements stay whole, each statement for itself.
    ["set a.b = 'c'; select 'c'; set d = 1", "set a.b='c';select {s};set d= 1"],
    ["create function f() returns int as 'select 1'", "create function f()returns int as 'select 1'"],
    ["explain (analyze 0, format 'json') select 1", "explain(analyze 0,format 'json')select {i}"],
    ['explain analyze verbose select 1', 'explain analyze verbose select {i}'],
    ['explain create table t as select 1', 'explain create table t as select 1'],
    ['( (select 1))', '((select {i}))'],
    ["execute p(1, 'x')", 'execute p({i},{s})'],
    ['', ''],
    [' -- nothing\n/* at all */ ', ''],
    [';;', ';;'],
  ]
  for (const [sql, expected] of rows) t.equal(key(sql), expected, sql)
  t.end()
})

t.test('what must stay apart', (t) => {
  const pairs: readonly (readonly [string, string])[] = [
    ['select a b', 'select ab'],
    ['select a - - b', 'select a -- b'],
    ['select a < = b', 'select a <= b'],
    ['select 1', "select '1'"],
    ['select 1', 'select 1.0'],
    ['select "a"', 'select a'],
    ['select "A"', 'select "a"'],
    ["select '1'", "select B'1'"],
    ['select $1', 'select $2'],
    ['select a from t order by 1', 'select a from t order by 2'],
    ['explain (analyze true) select 1', 'explain (analyze false) select 1'],
    ["select nextval('a')", "select nextval('b')"],
    ['set x = 1', 'set x = 2'],
    ['select true', 'select null'],
    ['select a.b', 'select a . . b'],
  ]
  for (const [one, other] of pairs) t.not(key(one), key(other), `${one} | ${other}`)
  t.end()
})

t.test('not SQL', (t) => {
  for (const sql of [
    "select 'a",
    'select "a',
    'select ""',
    'select /* a',
    'select /* /* */',
    'select $$a',
    'select $a$ $b$',
    "select E'a\\'",
    "select E'\\u12'",
    "select E'\\0x1F'",
    "select E'a\\x00'",
    "select E'\\400'",
    "select E'\\u0000'",
    "select b'0",
    'select 1a',
    'select 1_',
    'select 0x',
    'select 0b2',
    'select 1e+',
    'select 1.5x',
    'select 0b12',
    'select 1e5$x',
    'select $1a',
    'select $99999999999',
    'select \\',
    'select {',
    'select a $ b',
    'select \0',
    "select '\0'",
    'select \x01',
    `select ${'('.repeat(251)}`,
    `select ${'+*'.repeat(40)}`,
  ]) {
    t.type(normalise(sql).problem, 'string', JSON.stringify(sql))
    t.equal(key(sql), '')
  }
  t.equal(normalise("select E'\\\\0 \\101\\x41'").problem, null, 'no NUL')
  t.equal(normalise(`select ${'('.repeat(250)}1${')'.repeat(250)}`).problem, null)
  t.end()
})

t.test('literals and semicolons stand where they stand', (t) => {
  const sql = "select 'é😀', -7; select $$;$$, x'1' ;"
  const { literals, semicolons } = normalise(sql)
  t.same(
    literals.map(({ class: kind, start, end }) => `${kind} ${sql.slice(start, end)}`),
    ["string 'é😀'", 'integer 7', 'string $$;$$', "bit x'1'"],
  )
  t.same(
    semicolons.map((at) => sql[at]),
    [';', ';'],
  )
  t.end()
})
