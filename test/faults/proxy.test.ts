// What clients of the proxy see when servers fail, and what large results cost.
import type pg from 'pg'
import t from 'tap'
import { until } from '../../src/embedded/until.js'
import { encodeCopyData } from '../../src/protocol/query.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { WireClient } from '../support/wire-client.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 2,
      seed: [
        'CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT g, 0 FROM generate_series(1, 100) g',
        'CREATE TABLE gates (name text)',
        'CREATE SEQUENCE counter',
        "CREATE FUNCTION sneaky() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT nextval('counter') $$",
      ],
    },
  },
})
const main = running.cluster('main')
const { primary } = main
const { port, connect, events } = await withProxy(t, {
  version: 1,
  auth: { method: 'trust', users: [{ name: 'app' }] },
  clusters: {
    main: {
      dbname: 'app',
      user: 'app',
      password: 'app',
      tls: { mode: 'disable' },
      nodes: main.nodes.map((node) => node.address),
      pool: { max: 4, wait: '5s' },
      failover: { wait: '2s' },
    },
  },
  databases: { app: { default: 'main', reads: { default: { consistency: 'any' } } } },
})
const code = (wanted: string) => ({ code: wanted }) as never
const active = (part: string): string =>
  `SELECT pid FROM pg_stat_activity WHERE query LIKE '%${part}%' AND state = 'active' AND pid <> pg_backend_pid()`

/** Stands until the gate is open, as far as whoever begins it can see. */
const atGate = (name: string, long: string): string =>
  `pg_sleep(CASE WHEN EXISTS (SELECT FROM gates WHERE name = '${name}') THEN 0 ELSE ${long} END)`

async function openGate(name: string): Promise<void> {
  await primary.sql(`INSERT INTO gates VALUES ('${name}')`)
  await main.waitCaughtUp()
}

/** Ends the server process that runs a query with `part` in it, once `before` is done, and says on which node it ran. */
async function killRunning(part: string, before?: (part: string) => Promise<void>): Promise<string> {
  let where = ''
  await until(`${part} runs`, async () => {
    for (const node of main.nodes) {
      if (!node.running) continue
      const [row] = await node.sql(active(part))
      if (row === undefined) continue
      await before?.(part)
      await node.killBackend(Number(row['pid']))
      where = node.address
      return true
    }
    return false
  })
  return where
}

t.test('a read whose server dies under it is answered by another', async (t) => {
  const client = await connect()
  const answer = client.query(`SELECT count(*)::int AS n FROM items, ${atGate('first_try', '60')} s`)
  const where = await killRunning('first_try', openGate)
  t.equal((await answer).rows[0].n, 100)
  t.notMatch(await lastRoute(client), where)
  const prepared = client.query({ text: `SELECT count(*)::int AS n FROM items, ${atGate('second_try', '$1')} s`, values: [60] })
  await killRunning('second_try', openGate)
  t.equal((await prepared).rows[0].n, 100)
  t.notOk(
    events('query.end').some(({ outcome }) => outcome === 'lost'),
    'a read that moved and was answered is not counted as lost',
  )
})

t.test('a write whose server process dies is never repeated, and its outcome is said to be unknown', async (t) => {
  const client = await connect()
  const write = client.query('UPDATE items SET n = n + 1 FROM pg_sleep(30) AS lost_write WHERE id = 1').catch((error: unknown) => error)
  await killRunning('lost_write')
  t.match(await write, { code: '08007' })
  t.equal((await client.query('SELECT n FROM items WHERE id = 1')).rows[0].n, 0, 'the client goes on')
})

t.test('a transaction dies with its server process, and the client is told so and closed', async (t) => {
  const client = await connect()
  const closed = new Promise<void>((resolve) => client.on('end', () => resolve()))
  await client.query('BEGIN')
  await client.query('UPDATE items SET n = 7 WHERE id = 2')
  const [row] = await primary.sql("SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction'")
  await primary.killBackend(Number(row?.['pid']))
  await closed
  const next = await connect()
  t.equal((await next.query('SELECT n FROM items WHERE id = 2')).rows[0].n, 0)
})

t.test('a read that turns out to write runs on the primary, once', async (t) => {
  const client = await connect()
  const { rows } = await client.query('SELECT sneaky()::int AS n')
  t.equal(rows[0].n, 1)
  t.match(await lastRoute(client), /^primary/)
  t.equal(events('read.misrouted').length, 1)
  t.equal((await client.query({ text: 'SELECT sneaky()::int AS n WHERE $1', values: [true] })).rows[0].n, 2)
})

t.test('replicas killed under reads: no read fails', async (t) => {
  const [victim] = main.replicas
  if (victim === undefined) throw new Error('no replica')
  const clients = await Promise.all(Array.from({ length: 6 }, () => connect()))
  let going = true
  let done = 0
  const failures: unknown[] = []
  const work = clients.map(async (client, index) => {
    while (going) {
      const query =
        index % 2 === 0 ? { text: 'SELECT n FROM items WHERE id = $1', values: [index + 1], name: 'one' } : 'SELECT count(*) FROM items'
      await client.query(query as pg.QueryConfig).catch((error: unknown) => failures.push(error))
      done += 1
    }
  })
  await until('reads flow', async () => Promise.resolve(done > 200))
  await victim.kill9()
  const at = done
  await until('reads go on', async () => Promise.resolve(done > at + 500))
  await victim.start()
  going = false
  await Promise.all(work)
  t.same(failures, [])
})

t.test('no primary: writes wait and then fail, reads go on, and clients can still log in', async (t) => {
  const client = await connect()
  await primary.stop('immediate')
  const write = client.query('UPDATE items SET n = 1 WHERE id = 3').catch((error: unknown) => error)
  const reader = await connect({ application_name: 'after' })
  await until('reads are answered', async () => (await reader.query('SELECT count(*) FROM items')).rowCount === 1)
  t.match(await write, { code: /^(25006|57P03|08007|57P01)$/ })
  await primary.start()
  await until('writes are taken again', async () =>
    client.query('UPDATE items SET n = 1 WHERE id = 3').then(
      () => true,
      () => false,
    ),
  )
})

const megabyte = 2 ** 20

t.test('a row of 200 MB passes, and takes no such memory', async (t) => {
  const client = await WireClient.login(t, port)
  const before = process.memoryUsage().rss
  let peak = 0
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 5)
  client.query(`SELECT repeat('x', ${String(200 * megabyte)})`)
  t.equal((await client.until('ReadyForQuery')).at(-1), 'ReadyForQuery I')
  clearInterval(watch)
  t.ok(client.passed > 200 * megabyte, 'all of it came')
  t.ok(peak - before < 100 * megabyte, `memory grew by ${String(Math.round((peak - before) / megabyte))} MB`)
})

t.test('a client that does not read holds its server back, not our memory', async (t) => {
  const client = await WireClient.login(t, port)
  client.pause()
  client.query("SELECT repeat('y', 200000) AS held_back FROM generate_series(1, 500)")
  await until('the server waits for its reader', async () => {
    const waits = await Promise.all(
      main.nodes.map((node) => node.sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%held_back%' AND wait_event = 'ClientWrite'")),
    )
    return waits.some((rows) => rows.length > 0)
  })
  t.equal((await (await connect()).query('SELECT 1 AS one')).rows[0].one, 1, 'others are served')
  client.resume()
  t.equal((await client.until('CommandComplete')).at(-1), 'CommandComplete "SELECT 500"')
})

t.test('COPY of much data in is held back by the server, not kept', async (t) => {
  const client = await WireClient.login(t, port)
  client.query('CREATE TEMP TABLE much (t text)')
  await client.until('ReadyForQuery')
  client.query('COPY much FROM STDIN')
  await client.until('CopyInResponse')
  const before = process.memoryUsage().rss
  const chunk = encodeCopyData(Buffer.from(`${'z'.repeat(megabyte - 1)}\n`))
  for (let n = 0; n < 150; n++) if (!client.raw(chunk)) await client.drained()
  client.send('CopyDone')
  t.same(await client.until('ReadyForQuery'), ['CommandComplete "COPY 150"', 'ReadyForQuery I'])
  const grown = process.memoryUsage().rss - before
  t.ok(grown < 100 * megabyte, `memory grew by ${String(Math.round(grown / megabyte))} MB`)
})

t.test('errors keep their fields', async (t) => {
  const client = await connect()
  await t.rejects(client.query('INSERT INTO items VALUES (1, 1)'), { constraint: 'items_pkey', table: 'items' } as never)
  await t.rejects(client.query('SELECT 1 FROM items WHERE'), code('42601'))
})

t.test('nothing unforeseen happened', async (t) => {
  t.same(
    events('log').filter(({ level }) => level === 'error'),
    [],
  )
})
