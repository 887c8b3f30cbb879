// Equal key, equal facts: literals are exchanged for others of their class, white space and comments are put in, and the
// facts are taken anew, by an understanding that has not seen the shape.
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { normalise } from '../../src/sql/normalise.js'
import type { LiteralClass } from '../../src/sql/statement.js'
import { textPattern } from '../../src/sql/text-pattern.js'
import { createUnderstanding } from '../../src/sql/understand.js'
import { understand } from '../support/sql-brief.js'
import { corpus } from '../support/sql-corpus.js'

/** Comes with libpg-query. */
const typesOfParser = ['@pgsql', 'types', 'types.d.ts'].join('/')

t.test('the corpus has every statement of PostgreSQL 18', (t) => {
  const nodes = new Set(corpus.flatMap((sql) => understand(sql).shape.statements?.map((statement) => statement.node) ?? []))
  const types = readFileSync(new URL(`../../node_modules/${typesOfParser}`, import.meta.url), 'utf8')
  // These are no statements of their own, or only PL/pgSQL's.
  const inner = new Set(['RawStmt', 'SetOperationStmt', 'ReturnStmt', 'PLAssignStmt', 'ReplicaIdentityStmt'])
  const all = [...types.matchAll(/export interface (\w+Stmt) /g)].map((match) => match[1] ?? '').filter((name) => !inner.has(name))
  t.ok(all.length > 100)
  t.same(
    all.filter((name) => !nodes.has(name)),
    [],
    'none is missing',
  )
  for (const sql of corpus) t.equal(understand(sql).shape.statements?.length, 1, `${sql}: ${understand(sql).shape.problem ?? ''}`)
  t.end()
})

/** Other spellings of each class. Small integers stay small: the grammar wants some of them so. */
const spellings: Readonly<Record<LiteralClass, fc.Arbitrary<string>>> = {
  integer: fc.oneof(fc.nat({ max: 0x7fffffff }).map(String), fc.constantFrom('0', '7', '0x1F', '0b11', '0o7', '1_0')),
  numeric: fc.constantFrom('1.5', '.5', '2.', '1e3', '0.0'),
  string: fc.oneof(
    fc.stringMatching(/^[a-z é漢]{0,5}$/).map((s) => `'${s}'`),
    fc.constantFrom("''", "'it''s'", "E'\\''", '$$x$$', "$a$'$a$", "U&'\\0061'", "'a'\n'b'", "'-- no'", "'/* no'"),
  ),
  bit: fc.constantFrom("B'1'", "x'ff'", "b''"),
  boolean: fc.constantFrom('true', 'FALSE', 'True'),
}
const blank = fc.constantFrom(' ', '\n', '\t', '  ', ' -- c\n', ' /* c */ ', ' /* a /* b */ */ ')

/** The text with the literals that left the key exchanged, and with other blanks in the place of its own between tokens. */
function respelled(sql: string, pick: (values: fc.Arbitrary<string>) => string): string {
  const whole: boolean[] = []
  const { literals } = normalise(sql, whole)
  let text = ''
  let at = 0
  const between = (part: string): string => (/["'$]/.test(part) ? part : part.replace(/ /g, () => pick(blank)))
  literals.forEach((literal, i) => {
    text += between(sql.slice(at, literal.start))
    const source = sql.slice(literal.start, literal.end)
    const beyondInt4 = literal.class === 'integer' && Number(source) > 0x7fffffff
    // N'…' is the word NCHAR and a plain string.
    const national = /\bn$/i.test(sql.slice(0, literal.start))
    text += whole[i] === true || beyondInt4 || national ? source : pick(spellings[literal.class])
    at = literal.end
  })
  return text + between(sql.slice(at))
}

t.test('literals, blanks and comments change nothing', (t) => {
  let parsed = 0
  fc.assert(
    fc.property(fc.constantFrom(...corpus), fc.gen(), (sql, gen) => {
      const other = respelled(sql, (values) => gen(() => values))
      const before = understand(sql)
      const key = normalise(other).key
      if (key !== before.shape.key) throw new Error(`key of ${JSON.stringify(other)}\n  is   ${key}\n  want ${before.shape.key}`)
      const after = createUnderstanding({ maxParseBytes: 1_000_000, shapeCacheBytes: 100_000 }).understand(other)
      // A few positions take only some values of a class (`float(60)`, an escape that is none): PostgreSQL refuses those.
      if (after.shape.statements === null) return
      parsed++
      if (JSON.stringify(after.shape.statements) !== JSON.stringify(before.shape.statements))
        throw new Error(`facts of ${JSON.stringify(other)} differ`)
    }),
    { numRuns: 1500 },
  )
  t.ok(parsed > 1000, `${String(parsed)} texts were parsed anew`)
  t.end()
})

/** What may come in the place of a literal, or stand beside one: much of it makes other tokens of its neighbours. */
const intruders = fc.oneof(
  fc.nat().map(String),
  fc.stringMatching(/^[a-z0-9 é漢😀\\*\-/"$;]{0,6}$/u).map((s) => `'${s}'`),
  fc.constantFrom(
    "'it''s'",
    "''",
    "'a'\n'b'",
    "'a' 'b'",
    "'\0'",
    "'\u0001'",
    "E'\\''",
    "N'n'",
    "B'1'",
    "U&'a' uescape '!'",
    '$$x$$',
    "'",
    "'''",
  ),
  fc.constantFrom(
    '1.5',
    '1e3',
    '1e',
    '1_0',
    '0x1F',
    '0o8',
    '007',
    '2147483648',
    '999999999',
    '1000000000',
    '1..2',
    '1.',
    '.5',
    '-1',
    '1a',
    '$1',
    '',
  ),
  fc.constantFrom('\0', '\u0001', 'true', 'x', '+', '--', '/*', '"', '1 --', ' '),
)

const hundred = fc.noBias(fc.nat({ max: 99 }))

/** Most literals are exchanged for others that fit, some for what may not; now and then something is put in elsewhere. */
function disturbed(sql: string, draw: <T>(values: fc.Arbitrary<T>) => T): string {
  const now = (share: number): boolean => draw(hundred) < share * 100
  let text = ''
  let at = 0
  for (const { class: kind, start, end } of normalise(sql).literals) {
    const source = sql.slice(start, end)
    const other = now(0.1) ? draw(intruders) : now(0.2) ? draw(spellings[kind]) : source.replace(/[1-9a-z]/g, (c) => (now(0.5) ? '0' : c))
    const cut = now(0.03) ? 1 : 0
    text += sql.slice(at, start + cut) + other
    at = end - (now(0.03) ? 1 : 0)
  }
  text += sql.slice(at)
  if (!now(0.2)) return text
  const where = draw(fc.nat({ max: text.length }))
  return text.slice(0, where) + draw(intruders) + text.slice(where)
}

t.test('a text that fits the pattern of another is what it is when it is lexed', (t) => {
  const beside = [
    "SELECT a+1,-2 - 3 FROM t WHERE b='x'AND c=4",
    "INSERT INTO t VALUES (1, 'a', 2), (3, 'b', 4); SELECT 5 ; -- c\n",
    "SELECT 1 /* pointsman: shard_key=1 */ , 'a' -- b\n, x::int = 3 ORDER BY 1, 2 LIMIT 10",
    "SELECT u & 1, e'x', n'y' || 'z', 1..2, $1, .5, a[1:2]",
    "SELECT nextval('s'), 'a' /* c */ \n || 'b' LIMIT 1",
    "EXPLAIN (ANALYZE off) SELECT 1, '2'",
    'SELECT 1 ;; UPDATE t SET a = 2 WHERE true AND b = 3',
  ]
  const known = [...beside, ...corpus].flatMap((sql) => {
    const whole: boolean[] = []
    normalise(sql, whole)
    const pattern = textPattern(understand(sql), () => whole)
    return pattern === null ? [] : [{ sql, pattern }]
  })
  const counts = { fit: 0, not: 0 }
  fc.assert(
    fc.property(fc.constantFrom(...known), fc.gen(), ({ sql, pattern }, gen) => {
      const other = disturbed(sql, (values) => gen(() => values))
      const found = pattern.read(other)
      counts[found === null ? 'not' : 'fit'] += 1
      if (found === null) return
      const { key, literals, semicolons, problem } = normalise(other)
      const seen = [found.shape.key, found.text, found.literals, found.semicolons, null, found.hints]
      const want = [key, other, literals, semicolons, problem, understand(other).hints]
      if (JSON.stringify(seen) !== JSON.stringify(want))
        throw new Error(`${JSON.stringify(other)} as ${JSON.stringify(sql)}:\n  ${JSON.stringify(seen)}\n  ${JSON.stringify(want)}`)
    }),
    { numRuns: 10_000, endOnFailure: true },
  )
  t.ok(counts.fit > 1500 && counts.not > 1500, JSON.stringify(counts))
  t.end()
})
