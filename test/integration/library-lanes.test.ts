// The library's lanes on real servers: reads of pool.query() on a few shared clients of pg, and every way in which a lane may
// fail them (docs/lanes.md).
import pg from 'pg'
import Cursor from 'pg-cursor'
import { from as copyFrom } from 'pg-copy-streams'
import QueryStream from 'pg-query-stream'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import t from 'tap'
import { until } from '../../src/embedded/until.js'
import type { Events, RoutedPool, RouterOptions } from '../../src/index.js'
import type { ConfigInput } from '../../src/config/input.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      seed: `CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL);
        INSERT INTO items SELECT g, g * 2 FROM generate_series(1, 100) g;
        CREATE TABLE wide (id int PRIMARY KEY, text text); INSERT INTO wide SELECT 1, repeat('x', 3000000);
        CREATE TABLE locked (id int); INSERT INTO locked VALUES (1);
        CREATE SEQUENCE numbers; CREATE VIEW harmless AS SELECT 1 AS n;`,
    },
  },
})
const { primary } = running.cluster('main')
const text = 'SELECT n FROM items WHERE id = $1'
const ids = Array.from({ length: 100 }, (_, index) => index + 1)

const configOf = (lanes: ConfigInput['lanes']): ConfigInput => ({
  ...routerConfig(running, { default: 'main', reads: { default: { consistency: 'session' } } }, (_id, cluster) => ({
    ...cluster,
    pool: { max: 8, wait: '20s' },
  })),
  // Long enough that what is to stand behind a slow head does.
  lanes: { connections: 1, depth: 32, stall: '1s', ...lanes },
})
const laned = (lanes: ConfigInput['lanes'] = {}, options: Partial<RouterOptions> = {}): RoutedPool => {
  const pool = router(t, configOf(lanes), options)
  pool.on('error', () => undefined)
  return pool
}
const served = (pool: RoutedPool): number => pool.lanes().counts.served

/** Until reads of this kind are answered by a lane. */
async function untilOnLane(pool: RoutedPool, read: () => Promise<unknown>): Promise<void> {
  for (let runs = 0; runs < 10_000; runs++) {
    const before = served(pool)
    await read()
    if (served(pool) > before) return
  }
  throw new Error('no lane was ever used')
}

/** A session past the router. */
async function direct(): Promise<pg.Client> {
  const client = new pg.Client({ host: primary.host, port: primary.port, database: 'app', user: running.user, password: running.password })
  await client.connect()
  t.teardown(() => client.end())
  return client
}

const pool = laned()
const other = await direct()

t.test('what has proved fast and small shares a client of pg, and everybody gets the own answer', async (t) => {
  const plain = new pg.Pool({ host: primary.host, port: primary.port, database: 'app', user: running.user, password: running.password })
  t.teardown(() => plain.end())
  const ended: Events['query.end'][] = []
  await untilOnLane(pool, () => pool.query(text, [1]))
  t.teardown(pool.events.on('query.end', (event) => ended.push(event)))
  const before = served(pool)
  const results = await Promise.all(ids.map((id) => pool.query(text, [id])))
  t.equal(served(pool) - before, 100, 'all of them on the one lane')
  t.same(
    results.map(({ rows }) => (rows as { n: number }[])[0]?.n),
    ids.map((id) => id * 2),
  )
  t.equal(ended.length, 100)
  t.match(ended[0], { door: 'library', cluster: 'main', node: primary.address, role: 'primary', outcome: 'ok', step: 'first' })
  t.match(results[0]?.routed, { cluster: 'main', node: primary.address, role: 'primary', step: 'first' })
  const [ours, theirs] = [await pool.query(text, [7]), await plain.query(text, [7])]
  t.equal(ours.constructor, theirs.constructor)
  t.same({ ...ours, _types: null }, { ...theirs, _types: null }, 'the result is as pg makes it')
  const { lanes } = pool.lanes()
  t.match(lanes, [{ cluster: 'main', node: primary.address, user: running.user, dbname: 'app', state: 'open' }])
  t.ok(pool.totalCount <= 8 && pool.totalCount - pool.idleCount === 1, 'a lane counts as one of the connections of the pool')
})

t.test('named, in the literal form, with a callback, within sessions, with options', async (t) => {
  await untilOnLane(pool, () => pool.query({ name: 'by-id', text, values: [1] }))
  await untilOnLane(pool, () => pool.query('SELECT n FROM items WHERE id = 5'))
  await untilOnLane(pool, () => pool.query({ text, values: [1], maxStaleness: '5s' }))
  const before = served(pool)
  const named = await Promise.all(ids.map((id) => pool.query({ name: 'by-id', text, values: [id] })))
  t.same(
    named.map(({ rows }) => (rows as { n: number }[])[0]?.n),
    ids.map((id) => id * 2),
  )
  const called = await new Promise<pg.QueryResult<{ n: number }>>((resolve, reject) => {
    pool.query<{ n: number }>(text, [9], (error: Error | undefined, result) => {
      if (error instanceof Error) reject(error)
      else resolve(result)
    })
  })
  t.equal(called.rows[0]?.n, 18)
  const within = await pool.run(pool.session.create(), async () => {
    await pool.query('UPDATE items SET n = n WHERE id = 3')
    return pool.query(text, [3])
  })
  t.same(within.rows, [{ n: 6 }])
  t.ok(served(pool) - before >= 101)
  const another = 'SELECT id FROM items WHERE id = $1'
  await untilOnLane(pool, () => pool.query(another, [1]))
  const { missed } = pool.lanes().counts
  const some = (): Promise<unknown>[] => ids.slice(0, 10).map((id) => pool.query(text, [id]))
  const [again] = await Promise.all([
    pool.query({ name: 'by-id', text: another, values: [4] }).catch((error: unknown) => error),
    ...some(),
    pool.query({ name: 'by-id', text: another, values: [4] }).catch(() => null),
    ...some(),
  ])
  if (again instanceof Error) t.match(again, /must be unique/, 'as pg says where a connection knows the name as another text')
  else t.same((again as pg.QueryResult).rows, [{ id: 4 }])
  t.equal(pool.lanes().counts.missed, missed, 'a lane that knows the name as another text is not asked, and goes on')
  t.same((await pool.query({ name: 'by-id', text, values: [4] })).rows, [{ n: 8 }])
})

t.test("an error in the middle is its owner's, and looks as it does elsewhere", async (t) => {
  const read = (id: number): Promise<pg.QueryResult> => pool.query(text, [id])
  const broken = (): Promise<pg.QueryResult> => pool.query('SELECT n / $1::int AS n FROM items WHERE id = 1', [0])
  await untilOnLane(pool, () => pool.query('SELECT n / $1::int AS n FROM items WHERE id = 1', [1]))
  const expected = await other.query('SELECT n / $1::int AS n FROM items WHERE id = 1', [0]).catch((error: unknown) => error)
  const before = served(pool)
  const found = await Promise.allSettled(ids.map((id) => (id % 10 === 0 ? broken() : read(id))))
  t.equal(served(pool) - before, 100)
  found.forEach((one, index) => {
    const id = index + 1
    if (one.status === 'fulfilled') t.same(one.value.rows, [{ n: id * 2 }])
    else t.equal((one.reason as pg.DatabaseError).code, '22012', `of ${String(id)}`)
    t.equal(one.status, id % 10 === 0 ? 'rejected' : 'fulfilled')
  })
  const error: unknown = await broken().catch((reason: unknown) => reason)
  t.ok(error instanceof pg.DatabaseError)
  t.same({ ...(error as object) }, { ...(expected as object) })
  t.match(await stackOf(broken), /stackOf/, 'its stack says who asked')
})

async function stackOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work()
    return ''
  } catch (error) {
    return (error as Error).stack ?? ''
  }
}

t.test("values that pg cannot send, and parsers that throw, are their owner's business", async (t) => {
  const circle: { self?: unknown } = {}
  circle.self = circle
  await untilOnLane(pool, () => pool.query('SELECT $1::text AS n', ['x']))
  const all = await Promise.allSettled([pool.query(text, [1]), pool.query('SELECT $1::text AS n', [circle]), pool.query(text, [2])])
  t.same(
    all.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  await t.rejects(pool.query({ text, values: 'no array' as unknown as unknown[] }), /Query values must be an array/)
  const late = [1]
  const answer = pool.query(text, late)
  late[0] = 50
  t.same((await answer).rows, [{ n: 2 }], 'values are those of the call')
})

t.test('whoever stands behind a slow head is run elsewhere; the head is waited for, and barred', async (t) => {
  const slow = laned({ stall: '50ms' })
  const onLocked = 'SELECT id FROM locked WHERE id = $1'
  await untilOnLane(slow, () => slow.query(text, [1]))
  await untilOnLane(slow, () => slow.query(onLocked, [1]))
  await other.query('BEGIN; LOCK TABLE locked')
  const head = slow.query(onLocked, [1])
  const followers = ids.slice(0, 6).map((id) => slow.query(text, [id]))
  // The lock's owner ends only when those behind the head have their answers.
  const answers = await Promise.all(followers)
  t.same(
    answers.map(({ rows }) => (rows as { n: number }[])[0]?.n),
    ids.slice(0, 6).map((id) => id * 2),
  )
  t.match(slow.lanes().counts, { stalled: 1, moved: 6 })
  await other.query('COMMIT')
  t.same((await head).rows, [{ id: 1 }])
  await slow.end()
})

t.test('of those who wait for a connection while the lane is slow each is answered and told once', async (t) => {
  const slow = laned({ stall: '50ms' })
  const onLocked = 'SELECT id FROM locked WHERE id = $1'
  await untilOnLane(slow, () => slow.query(text, [1]))
  await untilOnLane(slow, () => slow.query(onLocked, [1]))
  // All that the pool has left.
  const held = await Promise.all(Array.from({ length: 7 }, () => slow.connect()))
  await Promise.all(held.map((client) => client.query('BEGIN')))
  await Promise.all(held.map((client) => client.query('SELECT pg_backend_pid()')))
  let ended = 0
  slow.events.on('query.end', () => (ended += 1))
  await other.query('BEGIN; LOCK TABLE locked')
  const head = slow.query(onLocked, [1])
  const followers = ids.slice(0, 4).map((id) => slow.query(text, [id]))
  await until('the followers wait for connections', () => Promise.resolve(slow.waitingCount === 4))
  await other.query('COMMIT')
  const answers = await Promise.all([head, ...followers])
  t.equal(answers.length, 5)
  for (const client of held) {
    await client.query('ROLLBACK')
    client.release()
  }
  await until('nobody waits', () => Promise.resolve(slow.waitingCount === 0))
  await slow.end()
  t.equal(ended, 5 + 7, 'five reads and what the clients ran; nothing twice')
})

t.test('a lane that is killed under many reads: nobody notices', async (t) => {
  const own = laned()
  await untilOnLane(own, () => own.query(text, [1]))
  const onLocked = 'SELECT id FROM locked WHERE id = $1'
  await untilOnLane(own, () => own.query(onLocked, [1]))
  await other.query('BEGIN; LOCK TABLE locked')
  const reads = [own.query(onLocked, [1]), ...ids.slice(0, 20).map((id) => own.query(text, [id]))]
  const waiting =
    "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM locked%' AND pid <> pg_backend_pid()"
  const monitor = await direct()
  let pid = 0
  await until('the head waits for its lock', async () => {
    const { rows } = await monitor.query<{ pid: number }>(waiting)
    pid = rows[0]?.pid ?? 0
    return pid !== 0
  })
  t.equal(own.lanes().lanes[0]?.inFlight, 21)
  await monitor.query('SELECT pg_terminate_backend($1)', [pid])
  await other.query('COMMIT')
  const answers = await Promise.all(reads)
  t.same(
    answers.slice(1).map(({ rows }) => (rows as { n: number }[])[0]?.n),
    ids.slice(0, 20).map((id) => id * 2),
  )
  t.ok(own.lanes().counts.missed >= 20)
  await own.end()
})

t.test('a read that turns out to write is run where it may, once, and is never on a lane again', async (t) => {
  const misrouted: unknown[] = []
  t.teardown(pool.events.on('read.misrouted', (event) => misrouted.push(event)))
  await untilOnLane(pool, () => pool.query('SELECT n FROM harmless'))
  // Past the router, which does not know the view as it is now.
  await other.query("CREATE OR REPLACE VIEW harmless AS SELECT nextval('numbers')::int AS n")
  t.same((await pool.query('SELECT n FROM harmless')).rows, [{ n: 1 }])
  t.equal(misrouted.length, 1)
  t.equal(pool.lanes().counts.misrouted, 1)
  t.same((await pool.query('SELECT n FROM harmless')).rows, [{ n: 2 }])
  t.equal(misrouted.length, 1)
})

t.test('settings, transactions, clients, cursors, streams and COPY are not there', async (t) => {
  await untilOnLane(pool, () => pool.query(text, [1]))
  await until('lanes at rest', () => Promise.resolve(pool.lanes().lanes.every(({ inFlight }) => inFlight === 0)))
  const before = served(pool)
  const client = await pool.connect()
  await client.query("SET work_mem = '7MB'")
  t.same((await client.query("SELECT current_setting('work_mem') AS w")).rows, [{ w: '7MB' }])
  t.same((await client.query(text, [1])).rows, [{ n: 2 }])
  await client.query('BEGIN')
  t.same((await client.query(text, [1])).rows, [{ n: 2 }])
  await client.query('COMMIT')
  const cursor = client.query(new Cursor(text, [2]))
  t.same(await cursor.read(10), [{ n: 4 }])
  await cursor.close()
  const rows: unknown[] = []
  for await (const row of client.query(new QueryStream(text, [3]))) rows.push(row)
  t.same(rows, [{ n: 6 }])
  await client.query('CREATE TABLE IF NOT EXISTS copied (id int)')
  await pipeline(Readable.from(['1\n2\n']), client.query(copyFrom('COPY copied FROM STDIN')))
  client.release()
  t.same((await pool.query({ text, values: [1], rowMode: 'array' })).rows, [[2]])
  const types = { getTypeParser: () => (value: string) => `<${value}>` } as unknown as pg.CustomTypesConfig
  t.same((await pool.query({ text, values: [1], types })).rows, [{ n: '<2>' }])
  await pool.query({ text, values: [1], query_timeout: 10_000 } as pg.QueryConfig)
  await pool.query('SELECT 1 AS a; SELECT 2 AS b')
  await pool.query('INSERT INTO copied VALUES (3)')
  await pool.query('SELECT id FROM items WHERE id = 1 FOR UPDATE')
  t.equal(served(pool), before)
  t.same(
    (await pool.query("SELECT current_setting('default_transaction_read_only') AS r")).rows,
    [{ r: 'off' }],
    "that lanes only read is nobody else's business",
  )
})

t.test('what answers with more than max_result leaves the lanes', async (t) => {
  const large = 'SELECT left(text, $1) AS text FROM wide'
  await untilOnLane(pool, () => pool.query(large, [10]))
  const [{ rows }] = await Promise.all([pool.query<{ text: string }>(large, [3_000_000]), pool.query(text, [1]), pool.query(text, [2])])
  t.equal(rows[0]?.text.length, 3_000_000)
  t.equal(pool.lanes().counts.large, 1)
  const before = served(pool)
  await pool.query(large, [3_000_000])
  t.equal(served(pool), before)
})

t.test('also where it came whole, before anybody looked', async (t) => {
  const own = laned({ max_result: '1KB' })
  const large = 'SELECT left(text, $1) AS text FROM wide'
  await untilOnLane(own, () => own.query(large, [10]))
  t.equal((await own.query<{ text: string }>(large, [2_000])).rows[0]?.text.length, 2_000)
  t.equal(own.lanes().counts.large, 1)
  await own.end()
})

t.test('what has been a lane is as new afterwards', async (t) => {
  const own = laned()
  await untilOnLane(own, () => own.query(text, [1]))
  await own.reload(configOf({ enabled: false }))
  await until('the lane has gone back', () => Promise.resolve(own.lanes().lanes.length === 0))
  const clients = await Promise.all(Array.from({ length: 8 }, () => own.connect()))
  for (const client of clients) {
    await client.query('BEGIN')
    t.same((await client.query("SELECT current_setting('default_transaction_read_only') AS r")).rows, [{ r: 'off' }])
    await client.query('ROLLBACK')
    client.release()
  }
  const before = served(own)
  await Promise.all(ids.map((id) => own.query(text, [id])))
  t.equal(served(own), before, 'off by the switch')
  await own.end()
})

t.test('query_timeout of the clients, and a pg without pipeline mode: no lanes, told once', async (t) => {
  class Older extends pg.Client {}
  Object.defineProperty(Older.prototype, '_pulsePipelinedQueryQueue', { value: undefined })
  for (const [options, expected] of [
    [{ client: { query_timeout: 60_000 } }, /query_timeout/],
    [{ pg: { ...pg, Client: Older, Pool: pg.Pool } }, /no pipeline mode/],
  ] as const) {
    const own = laned({}, options)
    const told: string[] = []
    own.events.on('log', ({ message }) => {
      if (message.startsWith('lanes are off')) told.push(message)
    })
    await until('it is told', async () => {
      await Promise.all(ids.map((id) => own.query(text, [id])))
      return told.length > 0
    })
    await Promise.all(ids.map((id) => own.query(text, [id])))
    t.equal(told.length, 1)
    t.match(told[0], expected)
    t.equal(served(own), 0)
    await own.end()
  }
})

t.test('end() waits for what is on lanes, and then every connection is closed', async (t) => {
  const own = laned()
  await untilOnLane(own, () => own.query(text, [1]))
  const reads = ids.map((id) => own.query(text, [id]))
  await own.end()
  t.equal((await Promise.all(reads)).length, 100)
  t.equal(own.totalCount, 0)
  await t.rejects(own.query(text, [1]), /after calling end/)
})
