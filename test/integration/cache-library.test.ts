// The result cache of the library on real servers: what each receiver is given is its own, made by its own parsers.
// `past` changes rows without the router, so a value from before the change can only have come from the cache.
import t from 'tap'
import pg from 'pg'
import Cursor from 'pg-cursor'
import { until } from '../../src/embedded/until.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 1,
      seed: `CREATE TABLE items (id int PRIMARY KEY, v text, at timestamptz DEFAULT '2026-01-01Z', tags text[] DEFAULT '{a,b}', doc jsonb DEFAULT '{"n": 1}', raw bytea DEFAULT '\\x0102');
             INSERT INTO items (id, v) VALUES (1, 'a'), (2, 'b');
             CREATE TABLE written (id int PRIMARY KEY, v text); INSERT INTO written VALUES (1, 'a');
             CREATE TABLE own (id int PRIMARY KEY, v text); INSERT INTO own VALUES (1, 'a');
             CREATE TABLE waited (id int PRIMARY KEY, v text); INSERT INTO waited VALUES (1, 'a');
             CREATE TABLE noisy (id int); INSERT INTO noisy VALUES (1);
             CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.items AS SELECT 1 AS id, 'elsewhere'::text AS v;`,
    },
  },
})
const main = running.cluster('main')
const { primary } = main
const config = routerConfig(running, {
  default: 'main',
  reads: { default: { consistency: 'any', cache: '60s' }, tables: { own: { consistency: 'session', cache: '60s' } } },
})
const pool = router(t, { ...config, cache: { max_bytes: '1MB', max_result: '64KB' } })
await pool.ready()
const outcomes: string[] = []
pool.events.on('cache.read', ({ outcome }) => void outcomes.push(outcome))

async function past(sql: string): Promise<void> {
  await primary.sql(sql, { user: 'app' })
  await main.waitCaughtUp()
}
const outcome = async (work: () => Promise<unknown>): Promise<string | undefined> => {
  outcomes.length = 0
  await work()
  return outcomes[0]
}

t.test('what was read is given again, told by its route', async (t) => {
  const text = 'SELECT v FROM items WHERE id = $1'
  const first = await pool.query(text, [1])
  t.match(first.routed, { role: 'replica', step: 'first' })
  await past("UPDATE items SET v = 'c' WHERE id = 1")
  const again = await pool.query(text, [1])
  t.same(again.rows, [{ v: 'a' }])
  t.match(again.routed, { role: 'replica', step: 'cache', node: first.routed?.node })
  t.type(again.routed?.boundMs, 'number')
  t.same((await pool.query(text, [2])).rows, [{ v: 'b' }], 'another value is another read')
  t.same((await pool.query({ name: 'named', text, values: [1] })).rows, [{ v: 'a' }], 'also by name')
  const client = await pool.connect()
  t.same((await client.query(text, [1])).rows, [{ v: 'a' }])
  await client.query('BEGIN')
  t.same((await client.query(text, [1])).rows, [{ v: 'c' }], 'not in a transaction')
  await client.query('COMMIT')
  await client.query('SET search_path = elsewhere')
  t.same((await client.query(text, [1])).rows, [{ v: 'elsewhere' }])
  client.release()
  t.match(await pool.explainText('SELECT v FROM items'), /or the cache \(up to 1m\)/)
})

t.test('each receiver has its own values, by its own parsers', async (t) => {
  const text = 'SELECT id, v, at, tags, doc, raw FROM items WHERE id = 2'
  const direct = new pg.Client(running.url(primary))
  await direct.connect()
  t.teardown(() => direct.end())
  const expected = await direct.query<Record<string, unknown>>(text)
  const given = await Promise.all([pool.query(text), pool.query(text), pool.query(text)])
  given.push(await pool.query(text))
  t.equal(outcomes.at(-1), 'hit')
  for (const each of given) {
    t.same(each.rows, expected.rows)
    t.same(JSON.parse(JSON.stringify(each.fields)), JSON.parse(JSON.stringify(expected.fields)))
    t.match(each, { command: 'SELECT', rowCount: 1 })
    t.ok(each instanceof (expected.constructor as new () => object))
  }
  const [first, second] = given
  const one = first.rows[0] as { at: Date; tags: string[]; doc: { n: number }; raw: Buffer }
  one.at.setFullYear(1999)
  one.tags.push('c')
  one.doc.n = 2
  one.raw.fill(0)
  first.rows.push('more')
  t.same(second.rows, expected.rows)
  t.same((await pool.query(text)).rows, expected.rows)
  t.same((await pool.query({ text, rowMode: 'array' })).rows, [Object.values(expected.rows[0] ?? {})])
  const types = { getTypeParser: () => (value: unknown) => `<${String(value)}>` }
  t.match((await pool.query({ text, types } as pg.QueryConfig)).rows, [{ id: '<2>', v: '<b>' }])
  t.equal(outcomes.at(-1), 'hit', 'parsers are no part of it')
  const client = await pool.connect()
  client.setTypeParser(pg.types.builtins.INT4, (value: string) => Number(value) + 100)
  t.match((await client.query(text)).rows, [{ id: 102 }])
  client.release()
  t.same((await pool.query(text)).rows, expected.rows)
  t.equal(await outcome(() => pool.query({ text, binary: true } as pg.QueryConfig)), undefined, 'bytes would be shared')
})

t.test('errors are as ever', async (t) => {
  await t.rejects(pool.query('SELECT 1 / (id - 1) FROM items'), { code: '22012' })
  await t.rejects(pool.query('SELECT nothing FROM items'), { code: '42703' })
  const types = {
    getTypeParser: () => () => {
      throw new RangeError('a parser of the application')
    },
  }
  for (let n = 0; n < 2; n++) await t.rejects(pool.query({ text: 'SELECT id FROM items', types } as never), { message: /a parser of/ })
  t.same((await pool.query('SELECT id FROM items ORDER BY id')).rows, [{ id: 1 }, { id: 2 }])
})

t.test('I1: what this process has written is seen, whoever wrote it; a write outdates', async (t) => {
  for (let n = 0; n < 20; n++) {
    await pool.query('UPDATE own SET v = $1 WHERE id = 1', [String(n)])
    t.same((await pool.query('SELECT v FROM own WHERE id = 1')).rows, [{ v: String(n) }])
    t.same((await pool.query('SELECT v FROM own WHERE id = 1')).rows, [{ v: String(n) }])
  }
  await until('it is kept', async () => (await outcome(() => pool.query('SELECT v FROM written'))) === 'hit')
  const client = await pool.connect()
  await client.query('BEGIN')
  await client.query("UPDATE written SET v = 'new'")
  t.same((await pool.query('SELECT v FROM written')).rows, [{ v: 'a' }])
  await client.query('COMMIT')
  client.release()
  await main.waitCaughtUp()
  t.same((await pool.query('SELECT v FROM written')).rows, [{ v: 'new' }])
})

t.test('identical reads under way are made once', async (t) => {
  const locker = await primary.open({ user: 'app' })
  t.teardown(() => locker.close())
  await locker.query('BEGIN; LOCK TABLE waited IN ACCESS EXCLUSIVE MODE')
  await past('UPDATE noisy SET id = id')
  outcomes.length = 0
  const results = Array.from({ length: 8 }, () => pool.query('SELECT v FROM waited'))
  await until('it waits for the lock', async () => {
    const rows = await main.replica().sql("SELECT count(*) AS n FROM pg_stat_activity WHERE query = 'SELECT v FROM waited'")
    return rows[0]?.['n'] === '1'
  })
  await locker.query('COMMIT')
  t.same(
    (await Promise.all(results)).map(({ rows }) => rows as unknown),
    Array(8).fill([{ v: 'a' }]),
  )
  t.same(outcomes.toSorted(), ['miss', ...Array<string>(7).fill('shared')])
})

t.test('cursors and large results are not kept; a reload empties it', async (t) => {
  const client = await pool.connect()
  const cursor = client.query(new Cursor('SELECT v FROM items ORDER BY id'))
  outcomes.length = 0
  t.same(await cursor.read(1), [{ v: 'c' }])
  await cursor.close()
  client.release()
  t.same(outcomes, [])
  const large = 'SELECT repeat(v, 100000) AS v FROM items WHERE id = 2'
  t.equal(await outcome(() => pool.query(large)), 'miss')
  t.equal(await outcome(() => pool.query(large)), 'miss')
  const small = 'SELECT v FROM items WHERE id = 2'
  await until('it is kept', async () => (await outcome(() => pool.query(small))) === 'hit')
  await pool.reload({ ...config, cache: { max_bytes: '2MB', max_result: '64KB' } })
  t.equal(await outcome(() => pool.query(small)), 'miss')
  await until('and kept again', async () => (await outcome(() => pool.query(small))) === 'hit')
  await pool.reload({ ...config, cache: { max_bytes: 0 } })
  for (let n = 0; n < 2; n++) t.equal(await outcome(() => pool.query(small)), 'miss')
})
