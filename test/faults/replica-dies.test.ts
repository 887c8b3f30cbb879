// What readers see when a replica dies, hangs, lags or takes their snapshot away: nothing, unless a result had begun or a transaction was
// open there. Through the proxy and through the library.
import type { Socket } from 'node:net'
import QueryStream from 'pg-query-stream'
import t, { type Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import type { EmbeddedNode } from '../../src/embedded/node.js'
import { failing } from '../support/failing.js'
import { withProxy } from '../support/proxy.js'
import { asTheyCome, keepReading, libraryReader, newReading, proxyReader, type ReadFailure, type Reading } from '../support/readers.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 2,
      seed: [
        'CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT g, g FROM generate_series(1, 100) g',
        'CREATE TABLE few (); INSERT INTO few DEFAULT VALUES',
        'CREATE TABLE vacuumed AS SELECT i FROM generate_series(1, 10) i',
      ],
      // A snapshot on a replica gives way to replay at once.
      settings: { max_standby_streaming_delay: '50ms' },
    },
  },
})
const main = running.cluster('main')
const config = routerConfig(running, { default: 'main', reads: { default: { consistency: 'any' } } }, (_id, cluster) => ({
  ...cluster,
  pool: { max: 12, wait: '10s' },
  failover: { wait: '10s' },
}))
const proxy = await withProxy(t, { ...config, auth: { method: 'trust', users: [{ name: 'app' }] } })
const pool = router(t, config)
await pool.ready()

const policies = ['any', 'session', 'bounded 5s'] as const
const kinds = ['simple', 'prepared', 'rows', 'transaction'] as const

/** A result that had begun, or a transaction that was open, cannot move; nor can a cursor, whether it was read from or not. */
const mayBeTold =
  (cursors: boolean) =>
  ({ kind, code, rows }: ReadFailure): boolean =>
    code === '57P01' && (kind === 'transaction' || (kind === 'rows' && (rows > 0 || cursors)))

function tally(reading: Reading): string {
  const counts = new Map<string, number>()
  for (const { kind, code, rows } of reading.failures) {
    const what = `${kind} ${code}${rows > 0 ? ' after rows' : ''}`
    counts.set(what, (counts.get(what) ?? 0) + 1)
  }
  return `${JSON.stringify(reading.done)}; told: ${JSON.stringify(Object.fromEntries(counts))}`
}

function total(reading: Reading): number {
  return Object.values(reading.done).reduce((sum, n) => sum + n, 0)
}

/** Whether a read was answered by this node since `since`, by either door. */
const answers = (door: 'proxy' | 'library', node: EmbeddedNode, from: number): boolean =>
  (door === 'proxy' ? proxy.events('query.end') : ended).slice(from).some((event) => event.node === node.address && event.outcome === 'ok')
const ended: { readonly node: string | null; readonly outcome: string }[] = []
pool.events.on('query.end', (event) => void ended.push(event))

interface Row {
  readonly i: number
  readonly port: number
  readonly pad: string
}
/** A result without end, whose first rows come at once. */
const endless = (width: number, pause = 0.002): string =>
  `SELECT i, current_setting('port')::int AS port, repeat('x', ${String(width)}) AS pad, pg_sleep(${String(pause)}) FROM generate_series(1, 1000000) i, few`
/** Rows of this many bytes are more than any part of a stream on the way; rows of the other are told whole or not at all. */
const [wide, narrow] = [300_000, 9_000]

/** A result that has begun on a server: its rows so far, and its end as an error. */
interface Begun {
  readonly rows: Row[]
  readonly end: Promise<Error & { code?: string }>
  /** Breaks it off: a server that cannot send its rows stands in the way of replay. */
  readonly stop: () => void
}

async function begin(run: (seen: (row: Row) => void) => Promise<unknown>, stop: () => void): Promise<Begun> {
  const rows: Row[] = []
  let over = false
  const end = run((row) => void rows.push(row)).then(
    () => new Error('it came to its end'),
    (error: unknown) => error as Error,
  )
  void end.then(() => (over = true))
  await until('a result has begun', () => Promise.resolve(rows.length > 0 || over))
  return { rows, end, stop }
}

/** Begins results until one runs on `node`. */
async function begunOn<B extends Begun>(node: EmbeddedNode, start: () => Promise<B>): Promise<B> {
  for (let tries = 0; tries < 20; tries++) {
    const begun = await start()
    if (begun.rows[0]?.port === node.port) return begun
    begun.stop()
  }
  throw new Error(`no result was begun on ${node.id}`)
}

async function throughProxy(sql: string): Promise<Begun> {
  const client = await proxy.connect()
  return begin(
    (seen) => asTheyCome<Row>(client, sql, seen),
    () => socketOf(client).destroy(),
  )
}

function socketOf(client: object): Socket {
  return (client as { connection: { stream: Socket } }).connection.stream
}

/** Its client stops reading after the first row, so that its server stands still within one. */
async function heldBack(): Promise<Begun & { readonly resume: () => void }> {
  const client = await proxy.connect()
  const stream = socketOf(client)
  const begun = await begin(
    (seen) =>
      asTheyCome<Row>(client, endless(wide, 0), (row) => {
        seen(row)
        if (row.i === 1) stream.pause()
      }),
    () => stream.destroy(),
  )
  return { ...begun, resume: () => stream.resume() }
}

function streamed(sql: string): Promise<Begun> {
  const stream = pool.query(new QueryStream(sql, [], { batchSize: 1 }))
  return begin(
    async (seen) => {
      for await (const row of stream as AsyncIterable<Row>) seen(row)
    },
    () => void stream.destroy(),
  )
}

/** Told once, after rows that came in order and only once. */
async function toldAfterRows(t: Test, { rows, end }: Begun, node: EmbeddedNode, told: Record<string, unknown>): Promise<void> {
  t.match(await end, told)
  t.ok(rows.length > 0)
  t.ok(
    rows.every(({ i, port, pad }, index) => i === index + 1 && port === node.port && pad.length === rows[0]?.pad.length),
    'its rows came in order, once, from one server',
  )
}

/** As the door sees it. */
function isUp(door: 'proxy' | 'library', node: EmbeddedNode): boolean {
  const topology = door === 'proxy' ? proxy.runtime.snapshot().topology : pool.snapshot()?.topology
  return topology?.clusters.get('main')?.nodes.find(({ id }) => id === node.address)?.unfit === null
}

t.test('I13: kill -9 of a replica under 32 clients of the proxy and 16 of the library', async (t) => {
  const victim = main.replica(0)
  const [outside, inside] = [newReading(), newReading()]
  const clients = await Promise.all(
    Array.from({ length: 32 }, (_, n) => proxyReader(proxy.connect, kinds[n % 4] ?? 'simple', policies[n % 3] ?? 'any')),
  )
  const users = Array.from({ length: 16 }, (_, n) =>
    libraryReader(pool, (['simple', 'prepared', 'rows', 'transaction', 'buffered'] as const)[n % 5] ?? 'simple', policies[n % 3] ?? 'any'),
  )
  const work = [...clients.map((client) => keepReading(outside, client)), ...users.map((user) => keepReading(inside, user))]
  await until('reads flow everywhere', () => Promise.resolve(total(outside) > 300 && total(inside) > 150))
  await until('the victim serves both', () => Promise.resolve(answers('proxy', victim, 0) && answers('library', victim, 0)))
  const begun = [
    await begunOn(victim, () => throughProxy(endless(narrow))),
    await begunOn(victim, () => streamed(endless(narrow))),
  ] as const
  const torn = await begunOn(victim, heldBack)
  await victim.kill9()
  const then = [total(outside), total(inside)] as const
  await until('reads go on', () => Promise.resolve(total(outside) > then[0] + 300 && total(inside) > then[1] + 150))
  const from = [proxy.events('query.end').length, ended.length] as const
  await victim.start()
  await until('the victim serves both again', () =>
    Promise.resolve(answers('proxy', victim, from[0]) && answers('library', victim, from[1])),
  )
  outside.going = inside.going = false
  for (const each of begun) await toldAfterRows(t, each, victim, { code: '57P01' })
  // Cut within a row nothing can be told any more: the connection ends, and what there is of the row is not taken for one.
  torn.resume()
  await toldAfterRows(t, torn, victim, { message: /terminated unexpectedly/ })
  await Promise.all(work)
  t.comment(`proxy: ${tally(outside)}`)
  t.comment(`library: ${tally(inside)}`)
  t.same([...outside.wrong, ...inside.wrong], [])
  t.same(
    outside.failures.filter((failure) => !mayBeTold(false)(failure)),
    [],
  )
  t.same(
    inside.failures.filter((failure) => !mayBeTold(true)(failure)),
    [],
  )
})

t.test('I13: a conflict with recovery moves a read that has told nothing, and is told after rows', async (t) => {
  const [first, second] = [main.replica(0), main.replica(1)]
  const session = await main.primary.open({ user: 'app' })
  t.teardown(() => session.close())
  /** How many of the silent reads were cancelled on a replica. */
  const cancelled = async (): Promise<number> => {
    const logs = await Promise.all([first, second].map((node) => node.log(200)))
    return logs.join('\n').match(/conflict with recovery\n.*\n.*STATEMENT.*no_row_yet/g)?.length ?? 0
  }
  /** Takes away what older snapshots see. */
  const takeAway = async (): Promise<void> => {
    await session.query('DELETE FROM vacuumed; INSERT INTO vacuumed SELECT i FROM generate_series(1, 10) i')
    await session.query('VACUUM vacuumed')
  }
  const slowRows =
    "SELECT g.i, current_setting('port')::int AS port, repeat('x', 9000) AS pad, pg_sleep(0.01) " +
    'FROM generate_series(1, 100000) AS g(i), vacuumed WHERE vacuumed.i = 1'
  const silent = 'SELECT count(*)::int AS n FROM vacuumed, (SELECT pg_sleep(1)) AS no_row_yet'
  const client = await proxy.connect()
  const reads = [client.query<{ n: number }>(silent), pool.query<{ n: number }>(silent)]
  const begun = [await throughProxy(slowRows), await streamed(slowRows)]
  await until('both run on replicas', async () => {
    const found = await Promise.all(
      [first, second].map((node) =>
        node.sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%no_row_yet%' AND state = 'active' AND pid <> pg_backend_pid()"),
      ),
    )
    return found.flat().length === 2
  })
  await takeAway()
  for (const read of reads) t.equal((await read).rows[0]?.n, 10, 'moved, unseen')
  t.ok((await cancelled()) >= 2, 'they were cancelled')
  for (const { rows, end } of begun) {
    // A cursor between two of its reads is ended with its connection.
    t.match(await end, { code: /^(40001|57P01)$/ })
    t.ok(rows.length > 0)
    t.ok(
      rows.every(({ i, port }, index) => i === index + 1 && port === rows[0]?.port),
      'no row twice',
    )
  }
})

/** What a transaction looks at, on whichever server it is. */
const where = "SELECT current_setting('port')::int AS port, pg_sleep(0)::text, count(*)::int AS n FROM few"

t.test('I14: a transaction stays on its replica, however far behind it falls, and ends with it', async (t) => {
  const outside = await proxy.connect()
  const inside = await pool.connect()
  inside.on('error', () => undefined)
  t.teardown(() => inside.release())
  for (const client of [outside, inside]) {
    await client.query("SET pointsman.consistency = 'bounded'")
    await client.query("SET pointsman.max_staleness = '1s'")
    // The bound may be missed at first: the primary was sampled long ago.
    await until('it is open on a replica', async () => {
      await client.query('ROLLBACK')
      await client.query('BEGIN READ ONLY')
      const { rows } = await client.query<{ port: number }>(where)
      return main.replicas.some((node) => node.port === rows[0]?.port)
    })
  }
  const first = await Promise.all(
    [outside, inside].map(async (client) => Number((await client.query<{ port: number }>(where)).rows[0]?.port)),
  )
  await Promise.all(main.replicas.map((node) => node.pauseReplay()))
  const writer = setInterval(
    () => void main.primary.sql('INSERT INTO items VALUES ((SELECT max(id) + 1 FROM items), 0)').catch(() => undefined),
    200,
  )
  t.teardown(() => clearInterval(writer))
  const fresh = "/* pointsman: consistency=bounded, max_staleness=1s */ SELECT current_setting('port')::int AS port FROM few"
  await until('reads with that bound have moved to the primary', async () => {
    const { rows } = await pool.query<{ port: number }>(fresh)
    return rows[0]?.port === main.primary.port
  })
  for (let n = 0; n < 5; n++) {
    const ports = await Promise.all(
      [outside, inside].map(async (client) => Number((await client.query<{ port: number }>(where)).rows[0]?.port)),
    )
    t.same(ports, first, 'the transaction stays')
  }
  clearInterval(writer)
  await Promise.all(main.replicas.map((node) => node.resumeReplay()))
  const homes = main.replicas.filter((node) => first.includes(node.port))
  const underWay = outside.query(`${where}, pg_sleep(60) AS under_way`).catch((error: unknown) => error)
  await until('a statement is under way', async () => {
    const found = await Promise.all(
      homes.map((node) => node.sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%under_way' AND wait_event = 'PgSleep'")),
    )
    return found.flat().length > 0
  })
  for (const node of homes) await node.kill9()
  t.match(await underWay, { code: '57P01' })
  await t.rejects(inside.query(where), failing({ code: '57P01' }))
  await Promise.all(homes.map((node) => node.start()))
  await inside.query('ROLLBACK')
  t.equal((await inside.query<{ n: number }>(where)).rows[0]?.n, 1, 'a client of the library goes on')
})

t.test(
  'a replica that hangs: reads under way move, the next ones go elsewhere, and nobody waits longer than it takes to notice',
  async (t) => {
    const victim = main.replica(1)
    await until('it serves again', () => Promise.resolve(isUp('proxy', victim) && isUp('library', victim)))
    const [outside, inside] = [newReading(), newReading()]
    const clients = await Promise.all(
      Array.from({ length: 8 }, (_, n) => proxyReader(proxy.connect, (['simple', 'prepared'] as const)[n % 2] ?? 'simple', 'any')),
    )
    const users = Array.from({ length: 8 }, (_, n) => libraryReader(pool, (['simple', 'buffered'] as const)[n % 2] ?? 'simple', 'any'))
    const work = [...clients.map((client) => keepReading(outside, client)), ...users.map((user) => keepReading(inside, user))]
    const from = [proxy.events('query.end').length, ended.length] as const
    await until('the victim serves both', () => Promise.resolve(answers('proxy', victim, from[0]) && answers('library', victim, from[1])))
    await victim.freeze()
    t.teardown(() => victim.thaw())
    const frozenAt = performance.now()
    await until('both have noticed', () => Promise.resolve(!isUp('proxy', victim) && !isUp('library', victim)))
    t.comment(`noticed after ${(performance.now() - frozenAt).toFixed(0)} ms`)
    outside.going = inside.going = false
    await Promise.all(work)
    t.comment(`the last read under way had moved after ${(performance.now() - frozenAt).toFixed(0)} ms`)
    t.same([...outside.failures, ...inside.failures, ...outside.wrong, ...inside.wrong], [])
    await victim.thaw()
    const then = [proxy.events('query.end').length, ended.length] as const
    const again = [await proxyReader(proxy.connect, 'simple', 'any'), libraryReader(pool, 'simple', 'any')]
    await until('the victim serves both again', async () => {
      for (const reader of again) await reader.read(() => undefined)
      return answers('proxy', victim, then[0]) && answers('library', victim, then[1])
    })
  },
)
