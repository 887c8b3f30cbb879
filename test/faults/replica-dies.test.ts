// What readers see when a replica dies, hangs, lags or takes their snapshot away: nothing, unless a result had begun or a transaction was
// open there. Through the proxy and through the library.
import QueryStream from 'pg-query-stream'
import t, { type Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import type { EmbeddedNode } from '../../src/embedded/node.js'
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

/** A result that had begun, or a transaction that was open, cannot move. */
function mayBeTold({ kind, code, rows }: ReadFailure): boolean {
  return code === '57P01' && (kind === 'transaction' || (kind === 'rows' && rows > 0))
}

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
const endless = (width: number): string =>
  `SELECT i, current_setting('port')::int AS port, repeat('x', ${String(width)}) AS pad, pg_sleep(0.002) FROM generate_series(1, 1000000) i, few`
/** Rows of this many bytes are more than any part of a stream on the way; rows of the other are told whole or not at all. */
const [wide, narrow] = [300_000, 9_000]

/** A result that has begun on a server: its rows so far, and its end as an error. */
interface Begun {
  readonly rows: Row[]
  readonly end: Promise<Error & { code?: string }>
}

async function begin(run: (seen: (row: Row) => void) => Promise<unknown>): Promise<Begun> {
  const rows: Row[] = []
  let over = false
  const end = run((row) => void rows.push(row)).then(
    () => new Error('it came to its end'),
    (error: unknown) => error as Error,
  )
  void end.then(() => (over = true))
  await until('a result has begun', () => Promise.resolve(rows.length > 0 || over))
  return { rows, end }
}

/** Begins results until one runs on `node`; the others are broken off at the end of the test. */
async function begunOn(node: EmbeddedNode, start: () => Promise<Begun>): Promise<Begun> {
  for (let tries = 0; tries < 20; tries++) {
    const begun = await start()
    if (begun.rows[0]?.port === node.port) return begun
  }
  throw new Error(`no result was begun on ${node.id}`)
}

const throughProxy = (width: number) => async (): Promise<Begun> => {
  const client = await proxy.connect()
  return begin((seen) => asTheyCome<Row>(client, endless(width), seen))
}

function throughLibrary(t: Test): () => Promise<Begun> {
  return () =>
    begin(async (seen) => {
      const stream = pool.query(new QueryStream(endless(narrow), [], { batchSize: 1 }))
      t.teardown(() => void stream.destroy())
      for await (const row of stream as AsyncIterable<Row>) seen(row)
    })
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
  const begun = [await begunOn(victim, throughProxy(narrow)), await begunOn(victim, throughLibrary(t))] as const
  const torn = await begunOn(victim, throughProxy(wide))
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
  await toldAfterRows(t, torn, victim, { message: /terminated unexpectedly|went away/ })
  await Promise.all(work)
  t.comment(`proxy: ${tally(outside)}`)
  t.comment(`library: ${tally(inside)}`)
  t.same([...outside.wrong, ...inside.wrong], [])
  t.same(
    outside.failures.filter((failure) => !mayBeTold(failure)),
    [],
  )
  t.same(
    inside.failures.filter((failure) => !mayBeTold(failure)),
    [],
  )
})
