// What the library's users see when connections break: reads move on, an unknown outcome is told as unknown and never
// repeated, a transaction ends, and a client is good again afterwards.
import { once } from 'node:events'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import t from 'tap'
import type { EmbeddedNode } from '../../src/embedded/node.js'
import { until } from '../../src/embedded/until.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, {
  clusters: { main: { replicas: 1, seed: 'CREATE TABLE notes (id int); CREATE TABLE gate (id int)' } },
})
const main = running.cluster('main')
const config = routerConfig(running, { default: 'main', reads: { default: { consistency: 'any' } } })

const active = "FROM pg_stat_activity WHERE usename = 'app' AND pid <> pg_backend_pid() AND state <> 'idle' AND query LIKE '%-- mark%'"

async function marked(node: EmbeddedNode): Promise<void> {
  await until('the marked statement runs', async () => (await node.sql(`SELECT pid ${active}`)).length > 0)
}

/** Ends the server process that runs the marked statement, once it does. */
async function endMarked(node: EmbeddedNode): Promise<void> {
  await marked(node)
  await node.sql(`SELECT pg_terminate_backend(pid) ${active}`)
}

t.test('a read whose replica goes away is answered by another server', async (t) => {
  const pool = router(t, config)
  await until('reads are on the replica', async () => (await pool.query('SELECT 1')).routed?.node === main.replica().address)
  // It stands on the replica, and not on whoever begins it after the gate was opened.
  const read = pool.query('SELECT 7 AS n, pg_sleep(CASE WHEN EXISTS (SELECT FROM gate) THEN 0 ELSE 60 END) -- mark')
  await marked(main.replica())
  await main.primary.sql('INSERT INTO gate VALUES (1)')
  await endMarked(main.replica())
  const { rows, routed } = await read
  t.match(rows, [{ n: 7 }])
  t.equal(routed?.node, main.primary.address)
})

t.test('a write whose connection goes away is told as unknown, and ran once at most', async (t) => {
  const pool = router(t, config)
  const write = pool.query('INSERT INTO notes SELECT 1 FROM pg_sleep(20) -- mark')
  const failed = t.rejects(write, { code: '08007', message: /outcome of the write is unknown/ })
  await endMarked(main.primary)
  await failed
  t.same((await pool.query({ text: 'SELECT id FROM notes', consistency: 'strong' })).rows, [])
})

t.test('a transaction fails with its connection, and its client may begin anew', async (t) => {
  const pool = router(t, config)
  const client = await pool.connect()
  const errors: Error[] = []
  client.on('error', (error) => errors.push(error))
  await client.query('BEGIN')
  await client.query('INSERT INTO notes VALUES (2)')
  await main.primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' AND usename = 'app'")
  await until('the loss is noticed', () => Promise.resolve(errors.length > 0))
  await t.rejects(client.query('INSERT INTO notes VALUES (3)'), { code: '08006' })
  t.equal(client.getTransactionStatus(), 'E')
  await client.query('ROLLBACK')
  t.equal(client.getTransactionStatus(), 'I')
  await client.query('BEGIN')
  t.same((await client.query('SELECT id FROM notes')).rows, [])
  await client.query('COMMIT')
  client.release()
})

t.test('a cursor that breaks ends with an error, and is not begun again', async (t) => {
  const pool = router(t, config)
  const cursor = pool.query(new Cursor<{ i: number }>('SELECT i, pg_sleep(0.01) FROM generate_series(1, 100000) i -- mark'))
  t.match(await cursor.read(1), [{ i: 1 }])
  const rest = t.rejects(cursor.read(100_000), { code: '57P01' })
  await endMarked(main.replica())
  await rest
  t.same((await pool.query('SELECT 1 AS n')).rows, [{ n: 1 }])
})

t.test('a stream that breaks ends with an error, and does not hang', async (t) => {
  const pool = router(t, config)
  const stream = pool.query(new QueryStream('SELECT i, pg_sleep(0.01) FROM generate_series(1, 100000) i -- mark', [], { batchSize: 2 }))
  stream.on('data', () => undefined)
  const broken = once(stream, 'error')
  await endMarked(main.replica())
  t.match(await broken, [{ code: '57P01' }])
})

t.test('a stream that is not being read when it breaks ends with the error at its next read', async (t) => {
  const pool = router(t, config)
  const stream = pool.query(new QueryStream('SELECT i FROM generate_series(1, 1000) i -- unread', [], { batchSize: 1 }))
  let lost = false
  pool.events.on('query.end', ({ outcome }) => (lost ||= outcome === 'lost'))
  const rows = stream[Symbol.asyncIterator]() as AsyncIterator<{ i: number }>
  t.match(await rows.next(), { value: { i: 1 } })
  const replica = main.replica()
  const waiting = "FROM pg_stat_activity WHERE query LIKE '%-- unread' AND wait_event = 'ClientRead'"
  await until('it waits to be read', async () => (await replica.sql(`SELECT 1 ${waiting}`)).length > 0)
  await replica.sql(`SELECT pg_terminate_backend(pid, 10000) ${waiting}`)
  await until('the loss is noticed', () => Promise.resolve(lost))
  await t.rejects(
    (async () => {
      for (;;) if ((await rows.next()).done === true) return
    })(),
    { code: '57P01' },
  )
})

t.test('idle connections that end are replaced without a word', async (t) => {
  const pool = router(t, config)
  await Promise.all([1, 2, 3].map(() => pool.query('SELECT count(*) FROM notes')))
  for (const node of main.nodes)
    await node.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND state = 'idle'")
  for (let n = 0; n < 5; n++) t.same((await pool.query('SELECT 1 AS n FROM notes RIGHT JOIN (VALUES (1)) v(i) ON true')).rows, [{ n: 1 }])
})

t.test("pg's query_timeout ends the connection, not the pool", async (t) => {
  const pool = router(t, config)
  await t.rejects(pool.query({ text: 'SELECT pg_sleep(20)', query_timeout: 50 } as { text: string }), /Query read timeout/)
  t.same((await pool.query('SELECT 1 AS n')).rows, [{ n: 1 }])
})
