// pool_mode: what a client keeps of its server connection, and protocol 3.2, on real servers.
import type pg from 'pg'
import t from 'tap'
import { until } from '../../src/embedded/until.js'
import { encodeStartupMessage } from '../../src/protocol/startup.js'
import { backendOf, withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { cancel, WireClient } from '../support/wire-client.js'

const running = await withTopology(t, { clusters: { main: { replicas: 1, seed: 'CREATE TABLE t (id int)' } } })
const nodes = running.cluster('main').nodes.map((node) => node.address)
const reads = { default: { consistency: 'any' as const } }
const proxy = await withProxy(t, {
  version: 1,
  auth: {
    method: 'trust',
    users: [{ name: 'app' }, { name: 'sticky', pool_mode: 'session' }, { name: 'plain', pool_mode: 'transaction' }],
  },
  clusters: {
    main: {
      dbname: 'app',
      user: 'app',
      password: 'app',
      tls: { mode: 'disable' },
      nodes,
      pool: { max: 3, wait: '200ms' },
      protocol: '3.2',
    },
  },
  databases: {
    app: { default: 'main', reads },
    session: { default: 'main', pool_mode: 'session', reads },
    statement: { default: 'main', pool_mode: 'statement', reads },
  },
})

const inSession = (options: pg.ClientConfig = {}) => proxy.connect({ database: 'session', ...options })

t.test('session: one connection for everything, from the first statement to the last', async (t) => {
  const [a, b] = [await inSession(), await inSession()]
  const pids = [await backendOf(a), await backendOf(b)]
  await a.query('PREPARE p AS SELECT 42 AS n')
  await a.query('CREATE TEMPORARY TABLE mine (id int)')
  await a.query('SELECT pg_advisory_lock(7)')
  await a.query("SELECT set_config(x, '77', false) FROM (VALUES ('work_mem')) v(x)")
  await a.query('DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 3) AS n')
  t.same((await a.query('EXECUTE p')).rows, [{ n: 42 }])
  t.same((await a.query('SELECT count(*)::int AS n FROM mine')).rows, [{ n: 0 }])
  t.same((await a.query('FETCH 1 FROM c')).rows, [{ n: 1 }])
  t.same((await b.query("SELECT current_setting('work_mem') AS m")).rows, [{ m: '4MB' }])
  t.same((await a.query("SELECT current_setting('work_mem') AS m")).rows, [{ m: '77kB' }])
  await a.query('DISCARD ALL')
  t.same([await backendOf(a), await backendOf(b)], pids, 'also after DISCARD ALL')
  t.same((await a.query('SELECT pg_is_in_recovery() AS r')).rows, [{ r: false }])
  const lost = await inSession()
  await backendOf(lost)
  const late = await inSession()
  await t.rejects(late.query('SELECT 1'), { code: '53300' }, 'as many clients as connections')
  await lost.end()
  await a.end()
  await b.end()
})

t.test('session: LISTEN is on the connection itself, and tells the PIDs that clients know', async (t) => {
  const client = await WireClient.login(t, proxy.port, { database: 'session' })
  client.query('LISTEN jobs')
  await client.until('ReadyForQuery')
  client.query("NOTIFY jobs, 'x'")
  t.same(await client.until('ReadyForQuery'), [
    'CommandComplete "NOTIFY"',
    `NotificationResponse ${String(client.key.pid)} "jobs" "x"`,
    'ReadyForQuery I',
  ])
  client.destroy()
})

t.test('a user’s mode wins over the database’s', async (t) => {
  const sticky = await proxy.connect({ user: 'sticky' })
  const [sticks, plain] = [await backendOf(sticky), await proxy.connect({ database: 'session', user: 'plain' })]
  for (let n = 0; n < 3; n++) t.equal(await backendOf(sticky), sticks)
  await plain.query('SELECT 1')
  const pinned = proxy.runtime.snapshot().pools.reduce((sum, { busy }) => sum + busy, 0)
  t.equal(pinned, 1, 'only the first keeps its connection')
  await sticky.end()
  await plain.end()
})

t.test('statement: no transaction blocks', async (t) => {
  const client = await proxy.connect({ database: 'statement' })
  await client.query('INSERT INTO t VALUES (1)')
  await t.rejects(client.query('BEGIN'), { code: '0A000', message: 'transaction blocks not allowed in statement pooling mode' })
  await t.rejects(client.query('INSERT INTO t VALUES (2); BEGIN; INSERT INTO t VALUES (3)'), { code: '0A000' })
  t.same((await client.query('SELECT count(*)::int AS n FROM t')).rows, [{ n: 1 }])
  await client.end()
})

t.test('protocol 3.2: long cancel keys, which cancel; newer versions and unknown options are negotiated down', async (t) => {
  const bytes = async (minor: number, extension: string | null = null): Promise<{ client: WireClient; lines: string[] }> => {
    const client = await WireClient.open(t, proxy.port)
    client.raw(
      encodeStartupMessage(Object.entries({ user: 'app', database: 'app', ...(extension === null ? {} : { [extension]: '1' }) }), minor),
    )
    return { client, lines: await client.until('ReadyForQuery') }
  }
  const negotiated = (lines: readonly string[]) => lines.filter((line) => line.startsWith('Negotiate'))
  const old = await bytes(0)
  t.equal(old.client.key.secret.length, 4)
  t.same(negotiated(old.lines), [])
  const now = await bytes(2)
  t.equal(now.client.key.secret.length, 32)
  t.same(negotiated(now.lines), [])
  const grease = await bytes(9999, '_pq_.test_protocol_negotiation')
  t.equal(grease.client.key.secret.length, 32)
  t.match(negotiated(grease.lines), [/u0000.u0003.u0000.u0002.*_pq_\.test_protocol_negotiation/])
  t.match(negotiated((await bytes(0, '_pq_.x')).lines), [/_pq_\.x/])
  now.client.query('SELECT pg_sleep(60)')
  const sleeping = async () =>
    (
      await Promise.all(
        running
          .cluster('main')
          .nodes.map((node) => node.sql("SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'")),
      )
    ).flat().length === 1
  await until('it runs', sleeping)
  const { pid, secret } = now.client.key
  await cancel(proxy.port, { pid, secret: secret.subarray(0, 4) })
  await cancel(proxy.port, { pid, secret: Uint8Array.from(secret).fill(0) })
  await cancel(proxy.port, now.client.key)
  t.match((await now.client.until('ReadyForQuery')).join(), /57014/)
})
