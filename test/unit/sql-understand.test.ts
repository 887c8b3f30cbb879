// understand(): several statements, hints, what is not understood, and caches that keep their bounds.
import { loadModule, parseSync } from 'libpg-query'
import t from 'tap'
import { literalText } from '../../src/sql/literal-text.js'
import { normalise } from '../../src/sql/normalise.js'
import type { Hints } from '../../src/sql/statement.js'
import { textPattern } from '../../src/sql/text-pattern.js'
import { createUnderstanding, statementRange } from '../../src/sql/understand.js'
import { understand } from '../support/sql-brief.js'

await loadModule()

t.test('several statements', (t) => {
  const parts = (sql: string): readonly string[] => {
    const understood = understand(sql)
    return (understood.shape.statements ?? []).map((statement, i) => {
      const { start, end } = statementRange(understood, i)
      return `${statement.detail.kind}:${sql.slice(start, end).trim()}`
    })
  }
  t.same(parts('SELECT 1'), ['select:SELECT 1'])
  t.same(parts("SELECT ';é'; DELETE FROM t"), ["select:SELECT ';é'", 'delete:DELETE FROM t'])
  t.same(parts("select 'another;;' ; delete from t"), ["select:select 'another;;'", 'delete:delete from t'], 'same shape, another text')
  t.same(parts(';; SELECT 1 ;; SHOW a; '), ['select:SELECT 1', 'show:SHOW a'])
  t.same(parts('CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3'), [
    'ddl:CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END',
    'select:SELECT 3',
  ])
  for (const nothing of ['', '  ', ';', '-- c', '/* c */;']) t.same(understand(nothing).shape.statements, [], JSON.stringify(nothing))
  t.end()
})

t.test('hints', (t) => {
  const hints = (comment: string): Hints | null => understand(`SELECT 1 ${comment}`).hints
  t.equal(hints('/* other: x=1 */'), null)
  t.equal(hints("'/* pointsman: explain */'"), null, 'in a string it is text')
  t.match(hints('/* pointsman: max_staleness=2s, consistency=any, shard_key=42, cluster=media, explain */'), {
    maxStalenessMs: 2000,
    consistency: 'any',
    shardKey: '42',
    cluster: 'media',
    explain: true,
    problems: [],
  })
  t.match(hints('-- pointsman: consistency=strong'), { consistency: 'strong', explain: false, problems: [] })
  t.match(hints('/*pointsman:shard_key=\'it\'\'s, 7\' , cluster="a""b" */'), { shardKey: "it's, 7", cluster: 'a"b', problems: [] })
  t.match(hints("/* pointsman: shard_key='' */"), { shardKey: '', problems: [] })
  t.match(hints('/* pointsman: consistency=any */ /* Pointsman: Consistency=any, cluster=x */'), {
    consistency: 'any',
    cluster: 'x',
    problems: [],
  })
  for (const [comment, problem] of [
    ['/* pointsman: shard_key=1 */ /* pointsman: shard_key=2 */', /twice/],
    ['/* pointsman: max_stale=2s */', /unknown hint max_stale/],
    ['/* pointsman: max_staleness=2 */', /duration/],
    ['/* pointsman: max_staleness=-2s */', /duration/],
    ['/* pointsman: consistency=weak */', /strong, session, bounded or any/],
    ['/* pointsman: consistency */', /needs a value/],
    ['/* pointsman: cluster= */', /needs a value/],
    ['/* pointsman: explain=yes */', /takes no value/],
    ['/* pointsman: a b c */', /name=value/],
    ["/* pointsman: shard_key='x */", /name=value/],
  ] as const) {
    t.match(hints(comment)?.problems.join(), problem, comment)
  }
  t.equal(understand('SELECT 1 /* pointsman: shard_key=1 */').shape, understand('SELECT 2').shape, 'hints are not in the shape')
  t.end()
})

t.test('not understood', (t) => {
  const refused = (sql: string, limit = 1_000_000): string | null => {
    const { shape } = createUnderstanding({ maxParseBytes: limit, shapeCacheBytes: 1_000_000 }).understand(sql)
    return shape.statements === null ? shape.problem : null
  }
  t.match(refused('SELEC 1'), /syntax error/)
  t.match(refused('SELECT 1; SELEC 2'), /syntax error/)
  t.match(refused("SELECT 'x"), /unterminated/)
  t.match(refused('SELECT 1\0; DELETE FROM t'), /NUL/)
  t.match(refused(`SELECT '${'x'.repeat(100)}'`, 100), /max_parse_bytes/)
  t.match(refused(`SELECT '${'é'.repeat(50)}'`, 100), /max_parse_bytes/, 'bytes, not characters')
  t.equal(refused(`SELECT '${'é'.repeat(45)}'`, 100), null)
  t.type(refused(`SELECT ${'('.repeat(5000)}1${')'.repeat(5000)}`), 'string')
  t.type(refused(`SELECT ${'NOT '.repeat(20_000)} true`), 'string')
  t.equal(refused('SELECT 1'), null, 'the parser has taken no harm')
  t.end()
})

t.test('statements too deep for the parser do not break it', async (t) => {
  const own = createUnderstanding({ maxParseBytes: 1_000_000, shapeCacheBytes: 1_000_000 })
  // Each of these throws through the parser; an instance that went on after dozens of them would hang or answer nonsense.
  for (let i = 0; i < 60; i++) {
    t.equal(own.understand(`SELECT c${String(i)}, ${'1 + '.repeat(20_000)} 1`).shape.problem, 'too complex for the parser')
    await new Promise(setImmediate)
    t.equal(own.understand(`SELECT c${String(i)} FROM t${String(i)}`).shape.statements?.[0]?.relations[0]?.name.name, `t${String(i)}`)
  }
  // Several within one turn: the parser is not ready, which is not remembered.
  for (let i = 0; i < 3; i++) own.understand(`SELECT d${String(i)}, ${'1 + '.repeat(20_000)} 1`)
  t.equal(own.understand('SELECT later').shape.statements, null)
  t.equal(own.understand('SELECT later').shape.statements, null)
  await new Promise(setImmediate)
  t.equal(own.understand('SELECT later').shape.statements?.length, 1)
})

t.test('a text that does not parse does not spoil the shape for those that do', (t) => {
  const own = createUnderstanding({ maxParseBytes: 1_000_000, shapeCacheBytes: 1_000_000 })
  t.equal(own.understand("SELECT U&'\\zzzz'").shape.statements, null)
  t.equal(own.understand("SELECT U&'\\zzzz'").shape.statements, null)
  t.equal(own.understand("SELECT 'fine'").shape.statements?.length, 1)
  t.end()
})

t.test('texts and shapes are found again', (t) => {
  const own = createUnderstanding({ maxParseBytes: 1_000_000, shapeCacheBytes: 1_000_000 })
  const first = own.understand('SELECT * FROM t WHERE a = $1')
  own.understand('SELECT * FROM t WHERE a = $1')
  t.equal(own.understand('SELECT * FROM t WHERE a = $1').shape, first.shape)
  t.equal(own.understand('select * from t where a=$1 -- c').shape, first.shape)
  t.match(own.stats(), { misses: 1, shapes: 1, shapeHits: 2, textHits: 1 })
  t.same([...own.shapes()], [first.shape])
  // The table of texts has one place per hash: two texts that share it must not be taken for each other.
  for (let i = 0; i < 5000; i++) {
    const text = `SELECT ${String(i % 1000)} FROM t`
    const { text: same, literals } = own.understand(text)
    if (same !== text || text.slice(literals[0]?.start, literals[0]?.end) !== String(i % 1000)) t.fail(text)
  }
  t.end()
})

t.test('texts that differ in literals only are not lexed again, and are what lexing makes of them', (t) => {
  const own = createUnderstanding({ maxParseBytes: 600, shapeCacheBytes: 4_000_000 })
  const ask = (text: string): void => {
    const found = own.understand(text)
    const { key, literals, semicolons } = normalise(text)
    t.same([found.text, found.shape.key, found.literals, found.semicolons], [text, key, literals, semicolons], text)
  }
  const values = ['1', '22', '0', '333', '-4', '-5', '-66', '-7', '8', '1.5', '999999999', '2147483648', "'a'", "'it''s'", "'b'", 'x', '9']
  for (const value of values) ask(`UPDATE accounts SET balance = balance + ${value} WHERE id = ${value}; SELECT 'x'`)
  t.equal(own.understand('UPDATE accounts SET balance = balance + 5 WHERE id = 6; SELECT 7').shape.statements?.length, 2)
  const { misses, shapes } = own.stats()
  t.equal(misses, shapes, 'each shape was parsed once')
  // Hints go with the text, positions with the shape, and a limit is a limit.
  for (const id of ['1', '2', '3', '4']) {
    const text = `SELECT a, b FROM t WHERE id = ${id} ORDER BY 2 /* pointsman: shard_key=7 */`
    ask(text)
    t.equal(own.understand(text).hints?.shardKey, '7')
    t.equal(own.understand(text.replace('7', '8')).hints?.shardKey, '8')
    t.not(own.understand(text.replace('BY 2', 'BY 1')).shape, own.understand(text).shape)
  }
  const long = (length: number): string => `SELECT a, b FROM t WHERE name = '${'x'.repeat(length)}'`
  for (const length of [1, 2, 3, 4]) ask(long(length))
  t.match(own.understand(long(600)).shape.problem, /max_parse_bytes/)
  t.end()
})

t.test('a text that can have no pattern is not lexed once more for one', (t) => {
  const asked = (where: string): { readonly asked: number; readonly found: boolean } => {
    let asked = 0
    const tell = (): readonly boolean[] => Array.from({ length: 20 }, () => (asked++, false))
    const found = textPattern(
      createUnderstanding({ maxParseBytes: 10_000, shapeCacheBytes: 100_000 }).understand(`SELECT a FROM t WHERE ${where}`),
      tell,
    )
    return { asked: Math.sign(asked), found: found !== null }
  }
  for (const where of [
    'a = 12345678901',
    'a = 1.5',
    "a = E'x'",
    "a = 'it''s'",
    'a',
    `a IN (${'1, '.repeat(16)}1)`,
    "a = 'x' AND b = U&'x'",
  ])
    t.same(asked(where), { asked: 0, found: false }, where)
  t.same(asked('a = 12345678901 AND b = 1'), { asked: 1, found: true })
  t.end()
})

t.test('a pattern goes when its shape has gone', (t) => {
  const own = createUnderstanding({ maxParseBytes: 1_000_000, shapeCacheBytes: 400_000 })
  const ask = (i: number): number => own.understand(`SELECT a, b FROM t WHERE id = ${String(i)}`).shape.id
  const ids = new Set<number>()
  for (let i = 0; i < 2000; i++) {
    ids.add(ask(i))
    own.understand(`SELECT c${String(i)}, d FROM other_table`)
  }
  t.ok(
    [...own.shapes()].some(({ id }) => ids.has(id)),
    'what is used often is the shape that the cache has',
  )
  t.ok(ids.size < 50, String(ids.size))
  t.end()
})

t.test('memory is bounded under ever new texts', (t) => {
  const budget = 4_000_000
  const own = createUnderstanding({ maxParseBytes: 1_000_000, shapeCacheBytes: budget })
  const run = (from: number, to: number): void => {
    for (let i = from; i < to; i++)
      own.understand(
        i % 3 === 0
          ? `SELECT bad ${String(i)} bad bad`
          : `SELECT c${String(i)} FROM t WHERE k IN (1, 2, 3, ${String(i)}) AND f${String(i)}(a.x) = 'x'`,
      )
  }
  run(0, 10_000)
  const { shapes } = own.stats()
  run(10_000, 40_000)
  t.ok(own.stats().bytes <= budget, `${String(own.stats().bytes)} bytes`)
  t.ok(own.stats().shapes < shapes * 1.2 && shapes > 100, `${String(shapes)} shapes, then ${String(own.stats().shapes)}`)
  t.end()
})

t.test('the value of a literal is what PostgreSQL reads', (t) => {
  const value = (literal: string): string | null => {
    const sql = `SELECT ${literal}`
    const [first] = normalise(sql).literals
    return first === undefined ? null : literalText(sql, first)
  }
  const parsed = (literal: string): unknown =>
    JSON.parse(/"sval":\{(?:"sval":("(?:[^"\\]|\\.)*"))?\}/.exec(JSON.stringify(parseSync(`SELECT ${literal}`)))?.[1] ?? '""')
  for (const literal of [
    "''",
    "'a'",
    "'it''s'",
    "'a\\b'",
    "'a'\n'b''c'\n 'd'",
    "'é😀'",
    "E'\\n\\t\\b\\f\\r\\v\\q\\\\'",
    "E'\\'\\''",
    "E'it''s'",
    "E'\\x41\\x4a\\101\\7'",
    "E'\\u00e9\\U0001F600'",
    "E'\\ud83d\\ude00'",
    "E'\\xc3\\xa9\\303\\251x'",
    "E'é\\xc3\\xa9😀'",
    "E'a'\n'\\n'",
    '$$$$',
    "$$a'b$$",
    '$t$a$$b$t$',
    '$é$x$é$',
    "U&'d\\0061t\\+0000E9\\\\'",
    "U&'d!0061!!\\' UESCAPE '!'",
    "u&'d*0061''' uescape '*'",
    "U&'\\D83D\\DE00'",
    "U&'a'\n'\\0062'",
    "U&'[0041' UESCAPE '['",
  ]) {
    t.equal(value(literal), parsed(literal), literal)
  }
  for (const [literal, expected] of [
    ['42', '42'],
    ['007', '7'],
    ['0x1F', '31'],
    ['0XfF', '255'],
    ['0o17', '15'],
    ['0b1_01', '5'],
    ['1_000', '1000'],
    ['9223372036854775808', '9223372036854775808'],
    ['1_0.5_0', '10.50'],
    ['.5', '.5'],
  ] as const) {
    t.equal(value(literal), expected, literal)
  }
  for (const literal of ["B'01'", 'true', "E'\\x00'", "E'\\xff'", "E'\\ud83d'", "U&'\\0000'"]) t.equal(value(literal), null, literal)
  t.end()
})
