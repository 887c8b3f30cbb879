// LISTEN and NOTIFY through shared server connections, on real servers. Pools hold one connection, so that listener and
// notifier meet on it all the time.
import type pg from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { WireClient } from '../support/wire-client.js'

const running = await withTopology(t, {
  clusters: { main: { replicas: 1, seed: 'CREATE TABLE t (id int)' }, media: { seed: 'CREATE TABLE images (id int)' } },
})
const login = { dbname: 'app', user: 'app', password: 'app', tls: { mode: 'disable' as const } }
const cluster = (name: string, max: number) => ({
  ...login,
  nodes: running.cluster(name).nodes.map((node) => node.address),
  pool: { max, wait: '5s' },
})
const database = { default: 'main', partitions: { media: { cluster: 'media', tables: ['images'] } } }
const proxy = await withProxy(t, {
  version: 1,
  auth: { method: 'trust' },
  limits: { listener_queue: '64KB' },
  clusters: { main: cluster('main', 1), media: cluster('media', 1) },
  databases: { app: database, all: { ...database, bus: 'all' } },
})

interface Told {
  readonly channel: string
  readonly payload?: string | undefined
  readonly processId: number
}

/** A client of pg and everything that it was notified of. */
async function listener(...listens: string[]): Promise<{ client: pg.Client; told: Told[] }> {
  const client = await proxy.connect()
  const told: Told[] = []
  client.on('notification', (message) => told.push({ ...message }))
  for (const sql of listens) await client.query(sql)
  return { client, told }
}

const wire = (t: Test, parameters = {}) => WireClient.login(t, proxy.port, parameters)

/** Everything that a simple query is answered with, RowDescription and DataRow aside. */
async function said(client: WireClient, sql: string): Promise<string[]> {
  client.query(sql)
  return (await client.until('ReadyForQuery')).filter((line) => !/^(RowDescription|DataRow|ParameterStatus)/.test(line))
}

t.test('what somebody notifies reaches those who listen, in order, and nobody else', async (t) => {
  const [a, b, other] = [await listener('LISTEN jobs'), await listener('LISTEN jobs'), await listener('LISTEN elsewhere')]
  const sender = await proxy.connect()
  for (let n = 0; n < 50; n++) await sender.query("SELECT pg_notify('jobs', $1)", [String(n)])
  await until('all have come', () => Promise.resolve(a.told.length === 50 && b.told.length === 50))
  const payloads = Array.from({ length: 50 }, (_, n) => String(n))
  t.same(
    a.told.map(({ payload }) => payload),
    payloads,
  )
  t.same(
    b.told.map(({ payload }) => payload),
    payloads,
  )
  t.same(other.told, [])
  t.equal((await sender.query('SELECT count(*) FROM t')).rows.length, 1, 'one connection serves all of them')
  for (const { client } of [a, b, other]) await client.end()
  await sender.end()
})

t.test('a client hears what was notified before its query, its own too, with its own PID', async (t) => {
  const client = await wire(t)
  const pid = client.key.pid
  t.same(await said(client, 'LISTEN jobs'), ['CommandComplete "LISTEN"', 'ReadyForQuery I'])
  t.same(await said(client, "NOTIFY jobs, 'mine'"), [
    'CommandComplete "NOTIFY"',
    `NotificationResponse ${String(pid)} "jobs" "mine"`,
    'ReadyForQuery I',
  ])
  const sender = await wire(t)
  await said(sender, "NOTIFY jobs, 'theirs'")
  await client
    .until('NotificationResponse')
    .then((lines) => t.same(lines, [`NotificationResponse ${String(sender.key.pid)} "jobs" "theirs"`]))
  await said(sender, "BEGIN; SELECT pg_notify('jobs', 'x'); COMMIT")
  t.same(await said(client, 'SELECT 1'), [
    `NotificationResponse ${String(sender.key.pid)} "jobs" "x"`,
    'CommandComplete "SELECT 1"',
    'ReadyForQuery I',
  ])
})

t.test('nothing comes within a transaction', async (t) => {
  const [client, sender] = [await wire(t), await wire(t)]
  await said(client, 'LISTEN jobs')
  t.same(await said(client, 'BEGIN'), ['CommandComplete "BEGIN"', 'ReadyForQuery T'])
  await said(sender, "NOTIFY jobs, 'held'")
  t.same(await said(client, '/* pointsman: cluster=media */ SELECT 1'), ['CommandComplete "SELECT 1"', 'ReadyForQuery T'])
  t.same(await said(client, 'COMMIT'), [
    'CommandComplete "COMMIT"',
    `NotificationResponse ${String(sender.key.pid)} "jobs" "held"`,
    'ReadyForQuery I',
  ])
})

t.test('LISTEN counts from COMMIT, and not at all after ROLLBACK', async (t) => {
  const [client, sender] = [await wire(t), await wire(t)]
  const notify = async () => {
    for (const channel of ['a', 'b', 'c', 'd']) await said(sender, `NOTIFY ${channel}`)
    return (await said(client, 'SELECT 1')).filter((line) => line.startsWith('Notif')).map((line) => line.split(' ')[2])
  }
  await said(client, 'BEGIN; LISTEN a; SAVEPOINT s; LISTEN b; ROLLBACK TO s; LISTEN c; COMMIT')
  t.same(await notify(), ['"a"', '"c"'])
  await said(client, 'BEGIN; UNLISTEN a; LISTEN d; ROLLBACK')
  t.same(await notify(), ['"a"', '"c"'])
  await said(client, 'BEGIN; LISTEN d; SELECT 1/0')
  t.same(await said(client, 'COMMIT'), ['CommandComplete "ROLLBACK"', 'ReadyForQuery I'])
  t.same(await notify(), ['"a"', '"c"'])
  await said(client, 'UNLISTEN a')
  t.same(await notify(), ['"c"'])
  await said(client, 'LISTEN a; LISTEN b')
  t.same(await notify(), ['"a"', '"b"', '"c"'])
  await said(client, 'UNLISTEN *')
  t.same(await notify(), [])
  await said(client, 'LISTEN a')
  await said(client, 'DISCARD ALL')
  t.same(await notify(), [])
})

t.test('a client hears what it notifies in the transaction in which it begins to listen', async (t) => {
  const client = await wire(t)
  const heard = (lines: readonly string[]): readonly string[] => lines.filter((line) => line.startsWith('Notif'))
  const own = (what: string): string => `NotificationResponse ${String(client.key.pid)} ${what}`
  t.same((await said(client, "LISTEN a; NOTIFY a, '1'")).slice(-2), [own('"a" "1"'), 'ReadyForQuery I'], 'as the first thing it listens to')
  t.same(heard(await said(client, 'SELECT 1')), [], 'once')
  await said(client, 'BEGIN')
  await said(client, 'LISTEN b')
  t.same(heard(await said(client, "NOTIFY b, '2'; SAVEPOINT s; LISTEN c; NOTIFY c; ROLLBACK TO s; NOTIFY b, '3'")), [])
  t.same(heard(await said(client, 'COMMIT')), [own('"b" "2"'), own('"b" "3"')])
  client.send('Parse "" "LISTEN d" 0', 'Bind "" "" 0 0 0', 'Execute "" 0')
  client.send(`Parse "" "SELECT pg_notify('d', '4')" 0`, 'Bind "" "" 0 0 0', 'Execute "" 0', 'Sync')
  t.same((await client.until('ReadyForQuery')).slice(-2), [own('"d" "4"'), 'ReadyForQuery I'])
  await said(client, 'BEGIN; INSERT INTO images VALUES (1); LISTEN e')
  t.same(heard(await said(client, 'NOTIFY e; COMMIT')), [], 'it listens on the default cluster, and notified on another')
  t.same(heard(await said(client, 'SELECT 1')), [])
})

t.test('the extended protocol says the same', async (t) => {
  const [client, sender] = [await wire(t), await wire(t)]
  client.send('Parse "" "LISTEN jobs" 0', 'Bind "" "" 0 0 0', 'Describe P ""', 'Execute "" 0', 'Sync')
  t.match((await client.until('ReadyForQuery')).slice(-2), ['CommandComplete "LISTEN"', 'ReadyForQuery I'])
  await said(sender, "NOTIFY jobs, 'x'")
  t.same(await client.until('NotificationResponse'), [`NotificationResponse ${String(sender.key.pid)} "jobs" "x"`])
  // Flushed, with the transaction that the Sync ends.
  client.send('Parse "" "UNLISTEN jobs" 0', 'Bind "" "" 0 0 0', 'Execute "" 0', 'Flush')
  await client.until('CommandComplete')
  client.send('Sync')
  t.same(await client.until('ReadyForQuery'), ['ReadyForQuery I'])
  await said(sender, 'NOTIFY jobs')
  t.same(await said(client, 'SELECT 1'), ['CommandComplete "SELECT 1"', 'ReadyForQuery I'])
})

t.test('clusters: the default, the one that a hint names, or all', async (t) => {
  const [own, hinted, all, sender] = [await wire(t), await wire(t), await wire(t, { database: 'all' }), await wire(t)]
  await said(own, 'LISTEN jobs')
  await said(hinted, '/* pointsman: cluster=media */ LISTEN jobs')
  await said(all, 'LISTEN jobs')
  await said(sender, "NOTIFY jobs, 'main'")
  await said(sender, "/* pointsman: cluster=media */ NOTIFY jobs, 'media'")
  const heard = async (client: WireClient) =>
    (await said(client, 'SELECT 1')).filter((line) => line.startsWith('Notif')).map((line) => line.split(' ')[3])
  t.same(await heard(own), ['"main"'])
  t.same(await heard(hinted), ['"media"'])
  t.same((await heard(all)).sort(), ['"main"', '"media"'])
  await said(hinted, 'UNLISTEN jobs')
  await said(sender, '/* pointsman: cluster=media */ NOTIFY jobs')
  t.same(await heard(hinted), [], 'UNLISTEN without a cluster means wherever it listens')
})

t.test('pg_listening_channels() tells what the client listens to, and nobody else gets any of it', async (t) => {
  const [client, other] = [await listener('LISTEN "select"', 'LISTEN b'), await listener()]
  const channels = async ({ client }: { client: pg.Client }) =>
    (await client.query<{ c: string }>('SELECT c FROM pg_listening_channels() c ORDER BY 1')).rows.map(({ c }) => c)
  t.same(await channels(client), ['b', 'select'])
  t.same(await channels(other), [])
  await client.client.end()
  await other.client.end()
})

t.test('a payload of the longest kind, and a channel of the longest name', async (t) => {
  const name = 'c'.repeat(63)
  const { client, told } = await listener(`LISTEN ${name}xyz`)
  await client.query('SELECT pg_notify($1, $2)', [name, 'p'.repeat(7999)])
  await until('it has come', () => Promise.resolve(told.length === 1))
  t.match(told, [{ channel: name, payload: 'p'.repeat(7999) }])
  await client.end()
})

t.test('a listening connection that is lost: the listener is told, and listens again', async (t) => {
  const { client, told } = await listener('LISTEN jobs')
  const { primary } = running.cluster('main')
  await primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pointsman bus'")
  await until('it is told', () => Promise.resolve(told.length === 2))
  const [lost, restored] = told.map(({ channel, payload }) => ({ channel, ...(JSON.parse(payload ?? '') as Record<string, string>) }))
  t.match(lost, { channel: 'pointsman.bus', event: 'lost', cluster: 'main', channels: ['jobs'], from: /^\d{4}-.*Z$/ })
  t.match(restored, {
    channel: 'pointsman.bus',
    event: 'restored',
    cluster: 'main',
    channels: ['jobs'],
    from: (lost as Record<string, unknown> | undefined)?.['from'],
    to: /^\d{4}-.*Z$/,
  })
  await client.query("NOTIFY jobs, 'again'")
  t.match(told[2], { channel: 'jobs', payload: 'again' })
  await client.end()
})

t.test('a listener that does not take its notifications is closed, and costs no more than it may', async (t) => {
  const [slow, sender] = [await wire(t), await wire(t)]
  await said(slow, 'LISTEN jobs')
  await said(slow, 'BEGIN')
  for (let n = 0; n < 10; n++) await said(sender, `SELECT pg_notify('jobs', repeat('x', 7000) || ${String(n)})`)
  const lines = await slow.closed()
  t.match(lines.at(-1), /^ErrorResponse .*54000/)
  t.match(lines.at(-1), /does not take its notifications/)
})

t.test('clients that leave are forgotten, and the connection with the last of them', { timeout: 30_000 }, async (t) => {
  const { primary } = running.cluster('main')
  await until('no connection listens', async () => {
    return (await primary.sql("SELECT FROM pg_stat_activity WHERE application_name = 'pointsman bus'")).length === 0
  })
  t.pass('it was closed')
})
