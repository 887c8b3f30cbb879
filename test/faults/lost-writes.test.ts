// Replicas that miss what the primary has: cut off or paused, they answer no read whose bound they may break (I6); and one of them is
// promoted, so that acknowledged writes are lost (I10). A third server stays behind on the old timeline, further on by number than the new
// primary: whoever compared positions across timelines would read there.
import t from 'tap'
import { until } from '../../src/embedded/until.js'
import type { Events } from '../../src/observe/events.js'
import { countersSchema } from '../support/counters.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const boundMs = 1000
/** The longest time between two samples of a primary that is asked for, and what a busy machine may add. */
const [sampleMs, patienceMs] = [1000, 2000]

const running = await withTopology(t, { clusters: { main: { replicas: 2, seed: countersSchema } } })
const main = running.cluster('main')
const first = main.primary
const [heir, other] = [main.replica(0), main.replica(1)]
const config = routerConfig(running, { default: 'main', reads: { default: { consistency: 'session' } } }, (_id, cluster) => ({
  ...cluster,
  failover: { wait: '20s' },
}))
const proxy = await withProxy(t, { ...config, auth: { method: 'trust', users: [{ name: 'app' }] } })
const pool = router(t, config)
const lost: Events['writes.lost'][] = []
pool.events.on('writes.lost', (event) => void lost.push(event))
await pool.ready()
const outside = await proxy.connect()
const inside = await pool.connect()
inside.on('error', () => undefined)
t.teardown(() => inside.release())

/** A value, and the node that told it. */
interface Told {
  readonly n: number
  readonly node: string
}
type Client = (sql: string) => Promise<Told>

const clients: readonly Client[] = [
  async (sql) => {
    const { rows } = await outside.query<{ n: string }>(sql)
    return { n: Number(rows[0]?.n), node: /(\S+:\d+)/.exec(await lastRoute(outside))?.[1] ?? '' }
  },
  async (sql) => {
    const { rows, routed } = await inside.query<{ n: string }>(sql)
    return { n: Number(rows[0]?.n), node: routed?.node ?? '' }
  },
]
const bounded = `/* pointsman: consistency=bounded, max_staleness=${String(boundMs)}ms */ SELECT n FROM counter`

t.test('I6: replicas that are cut off or paused break no bound, whatever they have received', async (t) => {
  await Promise.all([heir.cutLink(), other.pauseReplay()])
  // Nothing is written: nothing is missing, and they stay.
  const idleSince = performance.now()
  await until('both doors read on replicas', async () =>
    (await Promise.all(clients.map((ask) => ask(bounded)))).every(({ node }) => node !== first.address),
  )
  const strays: string[] = []
  while (performance.now() - idleSince < boundMs + sampleMs + 500) {
    for (const ask of clients) strays.push((await ask(bounded)).node)
  }
  t.notOk(strays.includes(first.address), 'on an idle primary they rightly stay')

  const acked: { readonly n: number; readonly at: number }[] = []
  const session = await first.open()
  t.teardown(() => session.close())
  const stop = new AbortController()
  const writing = (async () => {
    while (!stop.signal.aborted) {
      const [row] = await session.query('UPDATE counter SET n = n + 1 RETURNING n')
      acked.push({ n: Number(row?.['n']), at: performance.now() })
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  })()
  await until('the first is written', () => Promise.resolve(acked.length > 0))
  const brokenAt = acked[0]?.at ?? 0
  const wrong: string[] = []
  let lastOnReplica = 0
  const ask = async (client: Client): Promise<boolean> => {
    const invokedAt = performance.now()
    const owed = acked.findLast(({ at }) => at < invokedAt - boundMs)?.n ?? 0
    const { n, node } = await client(bounded)
    if (n < owed) wrong.push(`I3: ${String(owed)} was owed, ${String(n)} read on ${node}`)
    if (node !== first.address) lastOnReplica = Math.max(lastOnReplica, invokedAt)
    return node === first.address
  }
  await until('both doors have left the replicas', async () => (await Promise.all(clients.map(ask))).every(Boolean))
  // And they stay away for as long again.
  const leftAt = performance.now()
  while (performance.now() - leftAt < boundMs + sampleMs) for (const client of clients) await ask(client)
  t.same(wrong, [])
  const took = lastOnReplica === 0 ? 0 : lastOnReplica - brokenAt
  t.ok(
    took < boundMs + sampleMs + patienceMs,
    `the last read on one was invoked ${took.toFixed(0)} ms after the first write that it missed`,
  )
  const [row] = await heir.sql('SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AS same')
  t.equal(row?.['same'], 't', 'although it has replayed all that it received')
  stop.abort()
  await writing
  await Promise.all([heir.restoreLink(), other.resumeReplay()])
  await main.waitCaughtUp()
  await until('they are used again', async () => (await Promise.all(clients.map(ask))).every((primary) => !primary))
})

/** One more of its own, acknowledged. */
const count = (reader: number) => `UPDATE own SET n = n + 1 WHERE reader = ${String(reader)} RETURNING n`
const read = (reader: number) => `SELECT n FROM own WHERE reader = ${String(reader)}`

t.test('I10: a promotion that loses writes: no old floor is met by its number, no read hangs, and the loss is told', async (t) => {
  const each = async (run: (client: Client, reader: number) => Promise<void>): Promise<void> => {
    await Promise.all(clients.map((client, reader) => run(client, reader)))
  }
  await each(async (client, reader) => {
    for (let n = 0; n < 100; n++) await client(count(reader))
  })
  await main.waitCaughtUp()
  const lastAt = performance.now()
  await until('both routers have seen that the heir has them', () =>
    Promise.resolve(
      [proxy.runtime.snapshot(), pool.snapshot()].every((snapshot) => {
        const cluster = snapshot?.topology.clusters.get('main')
        const at = cluster?.nodes.find(({ id }) => id === heir.address)?.position
        const sample = cluster?.series.samples.find(({ sentAt }) => sentAt > lastAt)
        return at !== null && at !== undefined && sample !== undefined && at.lsn >= sample.lsn
      }),
    ),
  )
  await heir.cutLink()
  // Lost with the primary, and seen by their writers before: so their floors lie beyond all that the heir has.
  await each(async (client, reader) => {
    for (let n = 0; n < 20; n++) await client(count(reader))
    t.equal((await client(read(reader))).n, 120)
  })
  await main.waitCaughtUp([other])
  await first.kill9()
  await heir.promote()
  // Until a router has heard of it, reads go on where they were, and rightly so.
  await until('both routers have heard of it', () =>
    Promise.resolve(
      [proxy.runtime.snapshot(), pool.snapshot()].every(
        (snapshot) => snapshot?.topology.clusters.get('main')?.primary?.id === heir.address,
      ),
    ),
  )
  const slowest = { ms: 0 }
  const timed = async (client: Client, sql: string): Promise<Told> => {
    const at = performance.now()
    const told = await client(sql)
    slowest.ms = Math.max(slowest.ms, performance.now() - at)
    return told
  }
  // As long as nobody knows of the promotion, the other replica, which has it all, may answer.
  await until('both routers know of it', async () => {
    await each(async (client, reader) => {
      await timed(client, read(reader))
    })
    return [proxy.runtime.snapshot(), pool.snapshot()].every(
      (snapshot) => snapshot?.topology.clusters.get('main')?.primary?.id === heir.address,
    )
  })
  const wrong: string[] = []
  let expected = 100
  const goOn = async (rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      await each(async (client, reader) => {
        const seen = await timed(client, read(reader))
        if (seen.n !== expected) wrong.push(`${String(seen.n)} in place of ${String(expected)} on ${seen.node}`)
        if (seen.node === other.address) wrong.push('a session was sent to the server on the old timeline')
        const loose = await timed(client, bounded)
        if (loose.node === other.address) wrong.push('a read with a bound was sent to the server on the old timeline')
        await client(count(reader))
      })
      expected += 1
    }
  }
  await goOn(50)
  // By number the new log passes all that the old one had, on a server that still stands in the old one.
  await heir.sql("CREATE TABLE filler AS SELECT repeat('x', 1000) AS pad FROM generate_series(1, 5000)")
  await goOn(50)
  t.comment(`the slowest read took ${slowest.ms.toFixed(0)} ms`)
  t.same(wrong, [])
  t.ok(slowest.ms < 20_000, 'no read took longer than a failover may')
  for (const [door, events] of [
    ['proxy', proxy.events('writes.lost')],
    ['library', lost],
  ] as const) {
    t.equal(events.length, 1, `${door}: told once`)
    const possible = events[0]?.possible ?? 0
    t.ok(possible >= 20 && possible <= 40, `${door}: ${String(possible)} of 20 are told`)
  }
  await other.rebuild(heir)
  await until('rebuilt, it answers sessions', async () => (await clients[1]?.(read(1)))?.node === other.address)
  await goOn(0)
  await each(async (client, reader) => {
    t.equal((await client(read(reader))).n, expected)
  })
})
