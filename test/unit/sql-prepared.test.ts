// Where a text names a prepared statement, and what an EXECUTE comes to.
import t from 'tap'
import { described, executed, typeOid } from '../../src/routing/executed.js'
import { preparedLists } from '../../src/sql/prepared-list.js'
import { namesPrepared, preparedBy, preparedName } from '../../src/sql/prepared.js'
import type { Statement, Understood } from '../../src/sql/statement.js'
import { loadSql } from '../../src/sql/parser.js'
import { createUnderstanding } from '../../src/sql/understand.js'

await loadSql()
const understanding = createUnderstanding({ maxParseBytes: 100_000, shapeCacheBytes: 1_000_000 })
const understand = (sql: string): Understood => understanding.understand(sql)
const only = (sql: string): Statement => {
  const [statement] = understand(sql).shape.statements ?? []
  if (statement === undefined) throw new Error(`not understood: ${sql}`)
  return statement
}

t.test('the name is where the parser says that it is, and nowhere else', (t) => {
  // [text, how the name is written]
  const texts: [string, string][] = [
    ['PREPARE p AS SELECT 1', 'p'],
    ['prepare/* p */"P""q"as select \'prepare p\'', '"P""q"'],
    ['PREPARE prepare (int) AS SELECT $1', 'prepare'],
    ["EXECUTE P(1, 'EXECUTE q')", 'P'],
    ['-- EXECUTE x\nEXECUTE execute;', 'execute'],
    ['EXECUTE"a b"(1)', '"a b"'],
    ['EXECUTE U&"d\\0061t"(1)', 'U&"d\\0061t"'],
    ['EXPLAIN EXECUTE p', 'p'],
    ["EXPLAIN (COSTS off, FORMAT 'json') EXECUTE execute(1)", 'execute'],
    ['EXPLAIN ANALYZE VERBOSE EXECUTE "analyze"', '"analyze"'],
    ['CREATE TABLE execute AS EXECUTE p(1)', 'p'],
    ['CREATE TEMP TABLE s.as (a, b) WITH (fillfactor = 70) AS EXECUTE "as"(\'AS EXECUTE\') WITH NO DATA', '"as"'],
    ['EXPLAIN CREATE TABLE execute AS EXECUTE p', 'p'],
    ['DEALLOCATE p', 'p'],
    ['DEALLOCATE PREPARE p', 'p'],
    ['DEALLOCATE PREPARE', 'PREPARE'],
    ['DEALLOCATE PREPARE prepare ;', 'prepare'],
    [`EXECUTE ${'x'.repeat(70)}`, 'x'.repeat(70)],
    ['EXECUTE \u00c4B(1)', '\u00c4B'],
  ]
  for (const [sql, written] of texts) {
    const understood = understand(sql)
    const span = preparedName(understood)
    t.equal(span === null ? null : sql.slice(span.start, span.end), written, sql)
    t.equal(understood.shape.names, true, sql)
  }
  for (const sql of ['DEALLOCATE ALL', 'DEALLOCATE PREPARE ALL']) {
    t.equal(preparedName(understand(sql)), null, sql)
    t.ok(namesPrepared(only(sql)), sql)
  }
  for (const sql of ['SELECT 1', 'EXECUTE a; EXECUTE b', 'CREATE TABLE t AS SELECT execute FROM prepare'])
    t.equal(preparedName(understand(sql)), null, sql)
  t.equal(understand('SELECT prepare FROM execute').shape.names, false)
  t.equal(understand('SELECT 1; EXECUTE b').shape.names, true)
  t.end()
})

t.test('a query of WITH that is called as the list of prepared statements is not taken for it', (t) => {
  const written = (sql: string): readonly string[] => preparedLists(understand(sql)).map(({ start, end }) => sql.slice(start, end))
  const list = 'pg_prepared_statements'
  t.same(written(`SELECT * FROM ${list} JOIN pg_catalog."${list}" AS p USING (name)`), [list, `pg_catalog."${list}"`])
  t.same(written(`WITH q AS (SELECT * FROM ${list}) SELECT * FROM q`), [list])
  const one = `WITH ${list} AS (SELECT name FROM pg_catalog.${list} LIMIT 1) SELECT * FROM ${list}`
  t.same(written(one), [`pg_catalog.${list}`])
  t.end()
})

const prepare = (sql: string) => {
  const inner = preparedBy(understand(sql))
  const { detail } = only(sql)
  if (inner === null || detail.kind !== 'prepare') throw new Error(sql)
  return { understood: inner, types: detail.types.map(typeOid) }
}

t.test('what was prepared is read as if it had been sent', (t) => {
  const { understood } = prepare('PREPARE p (bigint, text[]) AS DELETE FROM a WHERE k = 7')
  t.match(understood.shape.statements, [
    { detail: { kind: 'delete' }, entries: [{ bindings: [{ values: [{ kind: 'literal', index: 0 }] }] }] },
  ])
  t.equal(understood.text.slice(understood.literals[0]?.start, understood.literals[0]?.end), '7')
  t.same(prepare('PREPARE p (bigint, text[], varchar(3), mine, "char") AS SELECT 1').types, [20, 1009, 1, 1, 1])
  t.equal(preparedBy(understand('SELECT 1')), null)
  const asked = described(understood).understood.shape.statements?.[0]
  t.match(asked, { writes: false, detail: { kind: 'explain', analyze: false } })
  t.end()
})

t.test('arguments are parameters where they are values', (t) => {
  const value = (args: string, types = '(bigint)') => {
    const { parameters } = executed(understand(`EXECUTE p(${args})`), prepare(`PREPARE p ${types} AS SELECT * FROM a WHERE k = $1`))
    return parameters?.get(1)
  }
  t.same(value('42'), { text: '42', oid: 20 })
  t.same(value('-42'), { text: '-42', oid: 20 })
  t.same(value("'42'"), { text: '42', oid: 20 })
  t.same(value('42', ''), { text: '42' })
  t.same(value("'7'::bigint", ''), { text: '7', oid: 20 })
  t.same(value("E'\\x41'", '(text)'), { text: 'A', oid: 25 })
  t.equal(value('NULL'), null)
  const unread = { text: '', oid: 1 }
  for (const args of ['1 + 1', '1.5', "nextval('s')", "'7'::text", 'true', "'7'::mine", '$1']) t.same(value(args), unread, args)
  t.same(value('42', '(mine)'), { text: '42', oid: 1 })
  t.equal(executed(understand('EXECUTE p'), prepare('PREPARE p AS SELECT $1')).parameters?.get(1), undefined)
  t.end()
})

t.test('what arguments call and what stands around EXECUTE counts too', (t) => {
  const run = (sql: string, prepared = 'PREPARE p AS SELECT f(k) FROM a WHERE k = $1') =>
    executed(understand(sql), prepare(prepared)).understood.shape.statements?.[0]
  const plain = prepare('PREPARE p AS SELECT f(k) FROM a WHERE k = $1')
  t.equal(executed(understand('EXECUTE p(1)'), plain).understood.shape, plain.understood.shape, 'nothing but values: the same shape')
  t.equal(
    executed(understand('EXECUTE p(1 + 2)'), plain).understood.shape,
    executed(understand('EXECUTE p(3 + 4)'), plain).understood.shape,
  )
  t.match(run('EXECUTE p(g())'), {
    detail: { kind: 'select' },
    functions: [{ name: { name: 'f' } }, { name: { name: 'g' } }],
    writes: false,
  })
  t.match(run("EXECUTE p('7'::mine)")?.types, [{ name: 'mine' }], 'a type may be a user’s')
  t.match(run("EXECUTE p(nextval('s'))")?.relations, [{ name: { name: 'a' } }, { name: { name: 's' }, access: 'write' }])
  t.match(run('EXPLAIN EXECUTE p(1)', 'PREPARE p AS DELETE FROM a'), {
    writes: false,
    detail: { kind: 'explain', analyze: false, inner: { detail: { kind: 'delete' } } },
  })
  t.match(run('EXPLAIN ANALYZE EXECUTE p(1)', 'PREPARE p AS DELETE FROM a'), { writes: true, detail: { kind: 'explain', analyze: true } })
  t.match(run('CREATE TABLE b AS EXECUTE p(1)'), {
    writes: true,
    detail: { kind: 'ddl', what: 'create table as' },
    relations: [
      { name: { name: 'b' }, access: 'define' },
      { name: { name: 'a' }, access: 'read' },
    ],
    entries: [{ relation: { name: 'a' } }],
    functions: [{ name: { name: 'f' } }],
  })
  const sets = "PREPARE p AS SELECT set_config('search_path', $1, false)"
  t.equal(run("EXECUTE p('x')", sets)?.hiddenSettings, false)
  t.equal(run("EXECUTE p(lower('X'))", sets)?.hiddenSettings, true)
  t.end()
})

t.test('hints of both, those of EXECUTE first', (t) => {
  const prepared = prepare('/* pointsman: consistency=any, cluster=b */ PREPARE p AS SELECT 1')
  t.match(executed(understand('EXECUTE p'), prepared).understood.hints, { consistency: 'any', cluster: 'b' })
  t.match(executed(understand('/* pointsman: cluster=c */ EXECUTE p'), prepared).understood.hints, { consistency: 'any', cluster: 'c' })
  t.end()
})
