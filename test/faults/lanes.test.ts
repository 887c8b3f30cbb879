// Lanes when connections break, and everything at once: nobody ever sees another's answer, and reads of which nothing was given
// out go elsewhere unseen.
import t, { type Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import { seededRandom } from '../../src/runtime/seeded-random.js'
import { untilOnLane } from '../support/lanes.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { cancel, WireClient } from '../support/wire-client.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 1,
      seed: `CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL);
        INSERT INTO items SELECT g, g * 2 FROM generate_series(1, 1000) g;
        CREATE TABLE locked (id int); INSERT INTO locked VALUES (1)`,
    },
  },
})
const { primary, nodes } = running.cluster('main')
const replica = nodes.find((node) => node !== primary) ?? primary
const config = (consistency: 'strong' | 'session', connections: number) => ({
  version: 1 as const,
  auth: { method: 'trust' as const, users: [{ name: 'app' }] },
  clusters: {
    main: {
      dbname: 'app',
      user: 'app',
      password: 'app',
      tls: { mode: 'disable' as const },
      nodes: nodes.map(({ address }) => address),
      pool: { max: 24, wait: '30s' },
    },
  },
  databases: { app: { default: 'main', reads: { default: { consistency } } } },
  lanes: { connections, depth: 64, stall: '5s' },
})

const byId = 'SELECT n FROM items WHERE id = '
const value = (lines: readonly string[]): string | undefined => lines.find((line) => line.startsWith('DataRow'))

/** Server processes behind lanes: nothing else is read-only by default without being in a transaction that says so. */
async function laneBackends(): Promise<readonly number[]> {
  const rows = await primary.sql(
    `SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND backend_type = 'client backend' AND query LIKE '%lane_mark%'`,
  )
  return rows.map((row) => Number(Object.values(row)[0]))
}

async function clientsOf(t: Test, port: number, count: number): Promise<readonly [WireClient, ...WireClient[]]> {
  const first = await WireClient.login(t, port)
  return [first, ...(await Promise.all(Array.from({ length: count - 1 }, () => WireClient.login(t, port))))]
}

t.test('a server process killed with eight groups in flight: all go elsewhere, and nobody hears of it', async (t) => {
  const { port, proxy } = await withProxy(t, config('strong', 1))
  const [head, ...followers] = await clientsOf(t, port, 8)
  const locker = await WireClient.login(t, port)
  const sql = 'SELECT count(*) AS lane_mark FROM locked'
  await untilOnLane(proxy, head, () => head.query(sql))
  await untilOnLane(proxy, head, () => head.query(`${byId}1`))
  await untilOnLane(proxy, head, () => head.query(sql))
  locker.query('BEGIN')
  await locker.until('ReadyForQuery')
  locker.query('LOCK TABLE locked IN ACCESS EXCLUSIVE MODE')
  await locker.until('ReadyForQuery')
  head.query(sql)
  await until('the head is on the lane', () => Promise.resolve(proxy.lanes().lanes.some(({ inFlight }) => inFlight === 1)))
  for (const [index, client] of followers.entries()) client.query(`${byId}${String(index + 1)}`)
  await until('eight groups are in flight', () => Promise.resolve(proxy.lanes().lanes.some(({ inFlight }) => inFlight === 8)))
  const waiting = await primary.sql(`SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%lane_mark%'`)
  const { missed } = proxy.lanes().counts
  for (const row of waiting) await primary.killBackend(Number(Object.values(row)[0]))
  for (const [index, client] of followers.entries()) {
    t.equal(value(await client.until('ReadyForQuery')), `DataRow 1 "${String((index + 1) * 2)}"`)
  }
  t.equal(proxy.lanes().counts.missed - missed, 8)
  locker.query('COMMIT')
  await locker.until('ReadyForQuery')
  t.equal(value(await head.until('ReadyForQuery')), 'DataRow 1 "1"')
})

t.test('a lane lost in the middle of a result that has begun ends its reader, and only that one', async (t) => {
  const { port, proxy } = await withProxy(t, config('strong', 1))
  const [large, other] = await clientsOf(t, port, 2)
  const sql = (bytes: number): string => `SELECT repeat('lane_mark ', ${String(bytes)}) FROM generate_series(1, 400)`
  await untilOnLane(proxy, large, () => large.query(sql(1)))
  const before = proxy.lanes().counts.large
  large.pause()
  large.query(sql(20_000))
  await until('the result is streamed', () => Promise.resolve(proxy.lanes().counts.large > before))
  other?.query(`${byId}3`)
  t.equal(value((await other?.until('ReadyForQuery')) ?? []), 'DataRow 1 "6"')
  for (const pid of await laneBackends()) await primary.killBackend(pid)
  large.resume()
  const lines = await large.closed()
  t.notOk(lines.some((line) => line.startsWith('ReadyForQuery')))
  other?.query(`${byId}4`)
  t.equal(value((await other?.until('ReadyForQuery')) ?? []), 'DataRow 1 "8"')
})

t.test('I1: a session sees what it wrote, on lanes of replicas too', async (t) => {
  const { port, proxy } = await withProxy(t, config('session', 2))
  const clients = await clientsOf(t, port, 6)
  const [first] = clients
  await until('a lane of the replica is used', async () => {
    for (let round = 0; round < 20; round++) {
      first.query(`${byId}1`)
      await first.until('ReadyForQuery')
    }
    return proxy.lanes().lanes.some(({ node, served }) => node === replica.address && served > 0)
  })
  let onReplica = 0
  await Promise.all(
    clients.map(async (client, index) => {
      const id = String(100 + index)
      for (let round = 1; round <= 25; round++) {
        client.query(`UPDATE items SET n = ${String(round)} WHERE id = ${id}`)
        await client.until('ReadyForQuery')
        for (let reads = 0; reads < 6; reads++) {
          client.query(`${byId}${id}`)
          t.equal(value(await client.until('ReadyForQuery')), `DataRow 1 "${String(round)}"`)
        }
      }
    }),
  )
  for (const { node, served } of proxy.lanes().lanes) if (node === replica.address) onReplica += served
  t.ok(onReplica > 0)
})

t.test('cross-talk: under errors, cancels, kills and leaving clients everybody gets only the own answers', async (t) => {
  const { port, proxy } = await withProxy(t, config('strong', 3))
  const random = seededRandom(20261122)
  const [probe] = await clientsOf(t, port, 1)
  await untilOnLane(proxy, probe, () => probe.query(`SELECT 'canary-0-0' AS lane_mark, n / 1 FROM items WHERE id = 1`))
  const canaries = { over: false }
  let wrong = 0
  const seen = { ok: 0, error: 0, canceled: 0 }
  const one = async (me: number): Promise<void> => {
    let client = await WireClient.login(t, port)
    for (let round = 0; round < 120; round++) {
      const mark = `canary-${String(me)}-${String(round)}`
      const kind = random()
      const divisor = kind < 0.15 ? 0 : 1
      const sql = `SELECT '${mark}' AS lane_mark, n / ${String(divisor)} FROM items WHERE id = ${String(me + 1)}`
      if (kind < 0.5) client.query(sql)
      else {
        client.send(
          `Parse "" "SELECT $1::text AS lane_mark, n / $2::int FROM items WHERE id = $3" 0`,
          `Bind "" "" 0 3 "${mark}" "${String(divisor)}" "${String(me + 1)}" 0`,
          'Describe P ""',
          'Execute "" 0',
          'Sync',
        )
      }
      if (kind > 0.97) {
        client.destroy()
        client = await WireClient.login(t, port)
        continue
      }
      const canceled = kind > 0.85 ? cancel(port, client.key) : null
      const lines = await client.until('ReadyForQuery')
      await canceled
      const rows = lines.filter((line) => line.startsWith('DataRow'))
      const error = lines.find((line) => line.startsWith('ErrorResponse'))
      if (error === undefined && rows.length === 1 && rows[0] === `DataRow 2 "${mark}" "${String((me + 1) * 2)}"`) seen.ok += 1
      else if (error?.includes('22012') === true && divisor === 0) seen.error += 1
      else if (error?.includes('57014') === true && canceled !== null) seen.canceled += 1
      else {
        wrong += 1
        t.comment(`${mark}: ${lines.join(' | ')}`)
      }
    }
  }
  const killer = (async (): Promise<void> => {
    while (!canaries.over) {
      for (const pid of (await laneBackends()).slice(0, 1)) await primary.killBackend(pid).catch(() => undefined)
      await until(
        'lanes were used again',
        () => Promise.resolve(canaries.over || proxy.lanes().lanes.some(({ served }) => served > 100)),
        60_000,
      )
    }
  })()
  await Promise.all(Array.from({ length: 16 }, (_, me) => one(me)))
  canaries.over = true
  await killer
  t.equal(wrong, 0)
  t.ok(seen.ok > 500, `${String(seen.ok)} answers`)
  t.ok(seen.error > 50, `${String(seen.error)} errors`)
  t.ok(proxy.lanes().counts.served > 500, `${String(proxy.lanes().counts.served)} on lanes`)
  t.comment(JSON.stringify({ ...seen, ...proxy.lanes().counts }))
})
