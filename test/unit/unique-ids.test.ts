// Ids of Pointsman's own: unique among processes, ascending, whatever the clock does; and calls of pointsman.unique_id() in texts.
import t from 'tap'
import { UniqueIds, type UniqueIdsParts } from '../../src/runtime/unique-ids.js'
import { loadSql } from '../../src/sql/parser.js'
import { uniqueIdCalls, withIdArguments, withIdParameters, withUniqueIds } from '../../src/sql/unique-ids.js'
import { appendParameters } from '../../src/protocol/append-parameters.js'
import { decodeBind, encodeBind } from '../../src/protocol/extended.js'

const scope = `test-${String(process.pid)}`
const wall = 1_800_000_000_000
const ids = (given: Partial<UniqueIdsParts> = {}): UniqueIds => {
  const made = new UniqueIds({ node: () => 7, wall: () => wall, scope, ...given })
  t.teardown(() => made.close())
  return made
}

// Each of them waits for more than a second for its place: all do at once.
t.jobs = 6

t.test('ascending and never twice, in one process and in several that live at once', { buffered: true }, async (t) => {
  const all = await Promise.all([ids(), ids(), ids()].map((one) => one.take(500, 64)))
  t.equal(new Set(all.flat()).size, 1500)
  for (const some of all) t.ok(some.every((id, index) => index === 0 || id > (some[index - 1] ?? 0n)))
  const [id = 0n] = all[0] ?? []
  t.equal(Number(id >> 22n), wall - 1_704_067_200_000, 'the moment stands first')
  t.equal(Number((id >> 12n) & 1023n), 7, 'then the node')
})

t.test('a clock that goes back by a little is waited out by counting on; by more, nothing is given', { buffered: true }, async (t) => {
  let now = wall
  const one = ids({ wall: () => now })
  const [before = 0n] = await one.take(1, 64)
  now -= 900
  const after = await one.take(1000, 64)
  t.ok(after.every((id, index) => id > (after[index - 1] ?? before)))
  now -= 5_000
  await t.rejects(one.take(1, 64), /ahead of the clock/)
  now += 10_000
  t.ok(((await one.take(1, 64))[0] ?? 0n) > (after.at(-1) ?? 0n))
})

t.test('more than a second of ids at once is refused', { buffered: true }, async (t) => {
  await t.rejects(ids().take(1_100 * 128, 64), /ahead of the clock/)
})

t.test('53 bits: exact in JavaScript, ascending, for the first 64 nodes', { buffered: true }, async (t) => {
  const made = await ids().take(2_000, 53)
  t.ok(made.every((id, index) => id <= BigInt(Number.MAX_SAFE_INTEGER) && id > (made[index - 1] ?? 0n)))
  await t.rejects(ids({ node: () => 64 }).take(1, 53), /gives nothing/)
  await t.rejects(ids({ node: () => null }).take(1, 64), /gives nothing/)
})

t.test('a place is taken over by who comes after, and no id is given twice', { buffered: true }, async (t) => {
  const first = new UniqueIds({ node: () => 9, wall: Date.now, scope })
  const [last = 0n] = (await first.take(2_000, 64)).slice(-1)
  first.close()
  await t.rejects(first.take(1, 64), { code: '57P01' }, 'whose place is free gives none')
  const second = new UniqueIds({ node: () => 9, wall: Date.now, scope })
  t.teardown(() => second.close())
  const [next = 0n] = await second.take(1, 64)
  t.ok(next > last)
  t.equal((next >> 7n) & 31n, (last >> 7n) & 31n, 'the same place')
})

t.test('calls in texts are replaced where they are made once, and nowhere else', async (t) => {
  await loadSql()
  const given = (text: string): string | null => {
    const calls = uniqueIdCalls(text)
    return calls === null
      ? null
      : withUniqueIds(
          text,
          calls.map((_, index) => BigInt(9_000_000_000_000 + index)),
        )
  }
  const id = (n: number): string => `'${String(9_000_000_000_000 + n)}'::pg_catalog.int8`
  t.equal(given('SELECT pointsman.unique_id()'), `SELECT ${id(0)} AS unique_id`)
  t.equal(given('/* é */ SELECT pointsman . "unique_id" ( 53 ) AS x, 1'), `/* é */ SELECT ${id(0)} AS x, 1`)
  t.equal(
    given("INSERT INTO t (a, id) VALUES ('é)', pointsman.unique_id()), ('b', pointsman.unique_id(64)) RETURNING id -- x"),
    `INSERT INTO t (a, id) VALUES ('é)', ${id(0)}), ('b', ${id(1)}) RETURNING id -- x`,
  )
  t.same(uniqueIdCalls('SELECT pointsman.unique_id(53), pointsman.unique_id()'), [53, 64])
  for (const text of [
    'SELECT pointsman.unique_id() FROM t',
    'INSERT INTO t SELECT pointsman.unique_id() FROM s',
    'SELECT pointsman.unique_id() UNION SELECT 1',
    'UPDATE t SET a = pointsman.unique_id()',
    'SELECT pointsman.unique_id(12)',
    'INSERT INTO t VALUES (pointsman.unique_id()) ON CONFLICT (a) DO UPDATE SET a = pointsman.unique_id()',
    'SELECT pointsman.unique_id(/* ) */)',
    'SELECT pointsman.unique_id(), (SELECT max(pointsman.unique_id()) FROM t)',
  ])
    t.equal(given(text), null, text)
})

t.test('what is prepared has parameters in the place of its calls, behind its own', async (t) => {
  await loadSql()
  const made = withIdParameters("INSERT INTO t (unique_id, id) VALUES ($3, pointsman.unique_id()), ('é', pointsman.unique_id(53))", 0)
  t.equal(made?.text, "INSERT INTO t (unique_id, id) VALUES ($3, $4::pg_catalog.int8), ('é', $5::pg_catalog.int8)")
  t.same([made?.parameters, made?.bits], [3, [64, 53]])
  t.same(made?.replaced[1], { start: 72, end: 95, to: '$5::pg_catalog.int8' })
  t.equal(withIdParameters('SELECT pointsman.unique_id(), $1', 4)?.text, 'SELECT $5::pg_catalog.int8 AS unique_id, $1')
  t.equal(
    withIdParameters('PREPARE p (text, int) AS SELECT pointsman.unique_id() AS a, $1', 0)?.text,
    'PREPARE p (text, int) AS SELECT $3::pg_catalog.int8 AS a, $1',
  )
  t.equal(withIdParameters('SELECT pointsman.unique_id()', 65_535), null, 'a Bind cannot have more')
  for (const text of ['SELECT $1', 'SELECT pointsman.unique_id() FROM t', 'EXPLAIN SELECT pointsman.unique_id()'])
    t.equal(withIdParameters(text, 0), null, text)
  t.equal(uniqueIdCalls('PREPARE p AS SELECT pointsman.unique_id()'), null, 'its text cannot have the value')
  const id = 9_000_000_000_000n
  const value = `'${String(id)}'::pg_catalog.int8`
  t.equal(withIdArguments('EXECUTE p', 9, [id]), `EXECUTE p (${value})`)
  t.equal(withIdArguments("EXECUTE p ('a)', (1)) -- )", 9, [id]), `EXECUTE p ('a)', (1), ${value}) -- )`)
  t.equal(withIdArguments('EXPLAIN EXECUTE p', 17, [id]), null)
})

t.test('a Bind with more parameters keeps the bytes and formats of its own', async (t) => {
  const bytes = [Buffer.from([0, 1]), null]
  for (const formats of [[], [0], [1], [1, 0]]) {
    const bind = decodeBind(appendParameters(encodeBind('p', 's', bytes, formats, [1, 0, 1]), [5n, 2n ** 40n]))
    t.match(bind, { portal: 'p', statement: 's', parameters: 4, results: [1, 0, 1] })
    const given = decodeBind(encodeBind('p', 's', bytes, formats))
    for (const number of [1, 2]) t.same(bind.parameter(number), given.parameter(number))
    const binary = formats.length === 1 && formats[0] === 1
    const last = bind.parameter(4)
    t.equal(last?.binary, binary)
    t.equal(binary ? Buffer.from(last?.bytes ?? []).readBigInt64BE() : BigInt(Buffer.from(last?.bytes ?? []).toString()), 2n ** 40n)
  }
  const one = decodeBind(appendParameters(encodeBind('', '', [], [1]), [7n]))
  t.same(Buffer.from(one.parameter(1)?.bytes ?? []), Buffer.from([0, 0, 0, 0, 0, 0, 0, 7]))
})
