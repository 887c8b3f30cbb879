// Equal key, equal facts: literals are exchanged for others of their class, white space and comments are put in, and the
// facts are taken anew, by an understanding that has not seen the shape.
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { normalise } from '../../src/sql/normalise.js'
import type { LiteralClass } from '../../src/sql/statement.js'
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
