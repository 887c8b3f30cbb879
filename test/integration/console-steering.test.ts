// Steering the proxy from its console over real servers: PAUSE and RESUME, RECONNECT, DISABLE, KILL, BAN, DRAIN, and what SHOW
// says of clients, server connections and traffic meanwhile; every driver's protocol; what is written down of it.
import pg from 'pg'
import t from 'tap'
import { until } from '../../src/embedded/until.js'
import type { Events } from '../../src/observe/events.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, {
  clusters: {
    main: { replicas: 1, seed: 'CREATE TABLE log (id serial PRIMARY KEY, who text); CREATE TABLE items (id int PRIMARY KEY, n int)' },
  },
})
const main = running.cluster('main')
const primary = main.primary.address
const replica = main.replica().address
const users = ['app', 'ops', 'viewer'].map((name) => ({ name, password: 'app' }))
const { connect, port, observer, runtime } = await withProxy(t, {
  ...routerConfig(running, { default: 'main', reads: { default: { consistency: 'any' } } }, (_id, cluster) => ({
    ...cluster,
    pool: { max: 1, wait: '20s' },
  })),
  auth: { method: 'scram-sha-256', users, admins: ['ops'], viewers: ['viewer'] },
})
const audited: Events['console.command'][] = []
observer.on('console.command', (event) => audited.push(event))
const ops = await connect({ user: 'ops', database: 'pointsman' })
type Row = Record<string, string | number | null>
const show = async (what: string): Promise<Row[]> => (await ops.query<Row>(`SHOW ${what}`)).rows
const code = (wanted: string, message = /./) => ({ code: wanted, message }) as never
const clientsWaiting = async () => (await show('CLIENTS')).filter(({ state, paused }) => state === 'waiting' && paused === 'yes').length

t.test('PAUSE waits for what runs and closes connections; new work waits; RESUME lets it go on in its order', async (t) => {
  const open = await connect()
  await open.query('BEGIN')
  await open.query("INSERT INTO log (who) VALUES ('open')")
  const [other, second, third, canceled] = await Promise.all([connect(), connect(), connect(), connect()])
  let paused = false
  const pausing = ops.query('PAUSE').then(() => (paused = true))
  const watcher = await connect({ user: 'viewer', database: 'pointsman' })
  const waiting: Promise<unknown>[] = []
  await until('it is paused', async () =>
    (await watcher.query<Row>('SHOW STATE')).rows.some(({ key, value }) => key === 'paused' && value === 'yes'),
  )
  waiting.push(other.query("INSERT INTO log (who) VALUES ('first')"))
  t.notOk(paused, 'a transaction is open')
  await open.query("INSERT INTO log (who) VALUES ('still open')")
  await open.query('COMMIT')
  await pausing
  t.same((await show('SERVERS')).length, 0, 'every server connection is closed')
  for (const [who, client] of [
    ['second', second],
    ['third', third],
  ] as const) {
    waiting.push(client.query('INSERT INTO log (who) VALUES ($1)', [who]))
    await until(`the ${who} waits`, async () => (await clientsWaiting()) === waiting.length)
  }
  const [row] = await show('DATABASES')
  t.match(row, { name: 'app', paused: 1, disabled: 0 })
  const pools = await show('POOLS')
  t.match(
    pools.find(({ database }) => database === 'app'),
    { cl_waiting: 3, sv_active: 0, paused: 'yes' },
  )
  await t.rejects(ops.query('PAUSE'), code('55000', /paused already/))
  const running = t.rejects(canceled.query('SELECT 1'), code('57014'))
  await until('it waits too', async () => (await clientsWaiting()) === 4)
  const { processID, secretKey } = canceled as unknown as { processID: number; secretKey: number }
  const cancel = new pg.Client({ host: '127.0.0.1', port }) as unknown as {
    connection: {
      connect: (port: number, host: string) => void
      on: (event: string, done: () => void) => void
      cancel: (pid: number, key: number) => void
    }
  }
  cancel.connection.on('connect', () => cancel.connection.cancel(processID, secretKey))
  cancel.connection.connect(port, '127.0.0.1')
  await running
  await ops.query('RESUME')
  await Promise.all(waiting)
  const logged = await main.primary.sql('SELECT who FROM log ORDER BY id')
  t.same(
    logged,
    ['open', 'still open', 'first', 'second', 'third'].map((who) => ({ who })),
  )
  await t.rejects(ops.query('RESUME'), code('55000', /not paused/))
})

t.test('PAUSE of one cluster and one database; a PAUSE that is given up is taken back', async (t) => {
  const client = await connect()
  await ops.query('PAUSE CLUSTER main')
  t.match(await show('CLUSTERS'), [{ cluster: 'main', paused: 'yes' }])
  t.match(await show('SWITCHES'), [{ cluster: 'main', switch: 'pause', value: 'cluster main', by: 'ops' }])
  const answered = client.query('SELECT 1 AS one')
  await until('it waits', async () => (await clientsWaiting()) === 1)
  await ops.query('RESUME CLUSTER main')
  t.same((await answered).rows, [{ one: 1 }])
  await client.query('BEGIN')
  await client.query('SELECT 1')
  const impatient = new pg.Client({ host: '127.0.0.1', port, user: 'ops', password: 'app', database: 'pointsman' })
  impatient.on('error', () => undefined)
  await impatient.connect()
  impatient.query('PAUSE app').catch(() => undefined)
  await until('app is paused', async () => (await show('DATABASES'))[0]?.['paused'] === 1)
  await impatient.end()
  await until('who paused it has left', async () => (await show('DATABASES'))[0]?.['paused'] === 0)
  await client.query('COMMIT')
  await t.rejects(ops.query('PAUSE nowhere'), code('42704', /"nowhere" does not exist/))
})

t.test('a reload while work waits: it goes on with the new configuration', async (t) => {
  const client = await connect()
  await ops.query('PAUSE')
  const answered = client.query('SELECT 1 AS one')
  await until('it waits', async () => (await clientsWaiting()) === 1)
  const { config } = runtime.current()
  const cluster = config.clusters.get('main')
  if (cluster === undefined) throw new Error('no cluster')
  const changed = { ...config, clusters: new Map([['main', { ...cluster, pool: { ...cluster.pool, max: 2 } }]]) }
  t.match(await runtime.reload(changed), { outcome: 'applied' })
  await ops.query('RESUME')
  t.same((await answered).rows, [{ one: 1 }])
  t.match(
    (await show('NODE_POOLS')).find(({ draining }) => draining === 'no'),
    { pool_size: 2 },
  )
})

t.test('SHOW CLIENTS and SHOW SERVERS tell who has what, and why', async (t) => {
  const client = await connect({ application_name: 'the one' })
  const idle = async () => (await show('CLIENTS')).find(({ application_name }) => application_name === 'the one')
  t.match(await idle(), {
    type: 'C',
    state: 'idle',
    user: 'app',
    database: 'app',
    addr: '127.0.0.1',
    transaction: 'none',
    pins: null,
    link: '',
  })
  await client.query('BEGIN')
  t.match(await idle(), { transaction: 'begun', state: 'idle' })
  await client.query({ name: 'insert', text: 'INSERT INTO items VALUES ($1, 0)', values: [1] })
  await client.query('CREATE TEMPORARY TABLE mine (id int)')
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const active = await idle()
  t.match(active, { transaction: 'open', state: 'active', prepared_statements: 1, route: `primary main/${primary}` })
  t.match(active?.['pins'], /main: .*temporary/)
  t.equal(active?.['id'], rows[0]?.pid ?? (client as unknown as { processID: number }).processID)
  const servers = await show('SERVERS')
  const mine = servers.find(({ ptr }) => ptr === active?.['link'])
  t.match(mine, {
    type: 'S',
    state: 'active',
    node: primary,
    role: 'primary',
    kind: 'lease',
    application_name: 'the one',
    prepared_statements: 1,
  })
  t.equal(mine?.['link'], active?.['ptr'])
  t.ok(
    await main.primary.sql(`SELECT 1 FROM pg_stat_activity WHERE pid = ${String(mine?.['remote_pid'])}`).then(({ length }) => length === 1),
  )
  await t.rejects(client.query('SELECT 1/0'))
  // pg rejects with the error, whose ReadyForQuery PostgreSQL sends after it.
  await until('its transaction has failed', async () => (await idle())?.['transaction'] === 'failed')
  await client.end()
  await until('it is gone', async () => (await idle()) === undefined)
})

t.test('KILL_CLIENT, KILL and DISABLE', async (t) => {
  const victim = await connect({ application_name: 'victim' })
  await victim.query('BEGIN')
  await victim.query('INSERT INTO items VALUES (2, 0)')
  const running = t.rejects(victim.query('SELECT pg_sleep(60)'), code('57P01', /administrator/))
  const find = async () =>
    (await show('CLIENTS')).find(({ application_name, state }) => application_name === 'victim' && state === 'active')
  await until(
    'it sleeps',
    async () =>
      (await main.primary.sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()")).length === 1,
  )
  await ops.query(`KILL_CLIENT ${String((await find())?.['id'])}`)
  await running
  await until(
    'its query is',
    async () =>
      (await main.primary.sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()")).length === 0,
  )
  t.same(await main.primary.sql('SELECT id FROM items'), [])
  await t.rejects(ops.query('KILL_CLIENT 1'), code('42704', /client 1 does not exist/))

  const bystander = await connect()
  const told = new Promise((resolve) => bystander.on('error', resolve))
  await ops.query('KILL app')
  t.match(await told, { code: '57P01' })
  const late = connect()
  await until('who comes waits', async () => (await show('LISTS')).some(({ list, items }) => list === 'used_clients' && items === 0))
  await ops.query('RESUME app')
  await (await late).query('SELECT 1')

  await ops.query('DISABLE app')
  await t.rejects(connect(), code('55000', /"app" is not accepting/))
  t.match(await show('DATABASES'), [{ disabled: 1 }])
  await ops.query('ENABLE app')
  await connect()
  await t.rejects(ops.query('DISABLE nowhere'), code('42704'))
})

t.test('RECONNECT and WAIT_CLOSE', async (t) => {
  const client = await connect()
  await client.query('BEGIN')
  await client.query("INSERT INTO log (who) VALUES ('x')")
  const before = (await show('SERVERS')).find(({ role }) => role === 'primary')
  await ops.query('RECONNECT')
  t.match(
    (await show('SERVERS')).filter(({ role }) => role === 'primary'),
    [{ remote_pid: before?.['remote_pid'], close_needed: 1 }],
  )
  let closed = false
  const waiting = (await connect({ user: 'ops', database: 'pointsman' })).query('WAIT_CLOSE').then(() => (closed = true))
  t.notOk(closed)
  await client.query('COMMIT')
  await waiting
  await client.query("INSERT INTO log (who) VALUES ('x')")
  const after = (await show('SERVERS')).find(({ role }) => role === 'primary')
  t.not(after?.['remote_pid'], before?.['remote_pid'])
  t.equal(after?.['close_needed'], 0)
})

t.test('BAN and DRAIN take reads from a replica; the primary cannot go', async (t) => {
  const client = await connect()
  const route = async (): Promise<string> => {
    await client.query('SELECT n FROM items')
    return lastRoute(client)
  }
  t.match(await route(), /^replica/)
  await ops.query(`BAN ${replica} FOR 1h`)
  t.match(await route(), /^primary/)
  t.match(
    (await show('NODES')).find(({ node }) => node === replica),
    { banned: 'ban' },
  )
  t.match(await show('SWITCHES'), [{ cluster: 'main', switch: 'ban', value: replica, by: 'ops', ends_in_s: '3600' }])
  await ops.query(`UNBAN ${replica}`)
  t.match(await route(), /^replica/)
  await t.rejects(ops.query(`UNBAN ${replica}`), code('55000', /not banned/))
  await t.rejects(ops.query(`BAN ${primary}`), code('55000', /is the primary/))
  await t.rejects(ops.query('BAN 1.2.3.4:5'), code('42704'))

  const reader = await connect()
  await reader.query('BEGIN READ ONLY')
  await reader.query('SELECT n FROM items')
  t.match(await lastRoute(reader), /^replica/)
  let drained = false
  const draining = ops.query(`DRAIN ${replica}`).then(() => (drained = true))
  await until('it is drained', () => Promise.resolve(runtime.bans.of(replica) === 'drain'))
  t.match(await route(), /^primary/)
  t.notOk(drained, 'a transaction reads there')
  await reader.query('COMMIT')
  await draining
  t.same(
    (await show('SERVERS')).filter(({ node }) => node === replica),
    [],
  )
  await ops.query('DRAIN OFF')
  t.match(await route(), /^replica/)
  await t.rejects(ops.query(`DRAIN ${primary}`), code('55000', /is the primary/))
  await t.rejects(ops.query('DRAIN nowhere'), code('42704', /node or cluster "nowhere" does not exist/))
})

t.test('SHOW STATS counts, by database', async (t) => {
  const stats = async () => (await show('STATS_TOTALS')).find(({ database }) => database === 'app') ?? {}
  const before = await stats()
  const client = await connect()
  await client.query('SELECT n FROM items')
  await client.query('BEGIN')
  await client.query('SELECT n FROM items')
  await client.query('COMMIT')
  await client.query({ name: 'q', text: 'SELECT n FROM items WHERE id = $1', values: [1] })
  const during = await stats()
  await client.end()
  const grown = (after: Row, name: string): number => Number(after[name]) - Number(before[name])
  t.equal(grown(during, 'query_count'), 5)
  t.equal(grown(during, 'xact_count'), 3)
  t.equal(grown(during, 'client_parse_count'), 1)
  t.equal(grown(during, 'server_parse_count'), 1)
  t.equal(grown(during, 'bind_count'), 1)
  t.ok(grown(during, 'server_assignment_count') >= 3)
  t.ok(
    grown(during, 'bytes_received') > 100 &&
      grown(during, 'bytes_sent') > 100 &&
      grown(during, 'query_time') > 0 &&
      grown(during, 'xact_time') > 0,
  )
  await until('who left is counted', async () => (await show('CLIENTS')).length < 40)
  t.ok(grown(await stats(), 'bytes_received') >= grown(during, 'bytes_received'), 'what a client did is not forgotten')
  const totals = await show('TOTALS')
  t.ok(totals.some(({ name, value }) => name === 'total_query_count' && Number(value) >= 5))
  const [shape] = (await show('SHAPES')).filter(({ query }) => String(query).includes('from items where'))
  t.match(shape, { calls: '1', errors: '0', cluster: 'main' })
  t.notMatch(JSON.stringify(await show('CONFIG')), /"app"\],|password[^}]*"app"/, 'no secret')
  t.ok((await show('CONFIG')).some(({ key, value }) => key === 'max_client_conn' && Number(value) > 0))
})

t.test('EXPLAIN ROUTE, for viewers too; nothing is sent', async (t) => {
  const viewer = await connect({ user: 'viewer', database: 'pointsman' })
  const { rows } = await viewer.query<{ route: string }>("EXPLAIN ROUTE 'INSERT INTO items VALUES (77, 0)' IN app AS app")
  t.match(rows.map(({ route }) => route).join('\n'), /primary/)
  t.same(await main.primary.sql('SELECT 1 FROM items WHERE id = 77'), [])
  await t.rejects(viewer.query("EXPLAIN ROUTE 'SELECT 1' IN nowhere"), code('3D000'))
  await t.rejects(viewer.query('PAUSE'), code('42501', /may only SHOW and EXPLAIN ROUTE/))
})

t.test('the extended protocol: named statements, row limits, transactions as drivers open them', async (t) => {
  const named = await ops.query<Row>({ name: 'lists', text: 'SHOW LISTS' })
  t.same(named.rows, (await ops.query<Row>({ name: 'lists', text: 'SHOW LISTS' })).rows, 'prepared once, run twice')
  t.type(named.rows[0]?.['items'], 'number', 'int4')
  t.match(named.fields, [
    { name: 'list', dataTypeID: 25 },
    { name: 'items', dataTypeID: 23 },
  ])
  t.match((await ops.query({ text: 'SHOW STATS', queryMode: 'extended' } as pg.QueryConfig)).fields[1], { dataTypeID: 1700 })
  let suspended = 0
  const more = (): void => void (suspended += 1)
  const { connection } = ops as unknown as { readonly connection: NodeJS.EventEmitter }
  connection.on('portalSuspended', more)
  const portions = await ops.query<Row>({ name: 'lists', text: 'SHOW LISTS', rows: 5 } as pg.QueryConfig)
  connection.off('portalSuspended', more)
  t.same(portions.rows, named.rows, 'in portions: every row, and once')
  t.equal(suspended, Math.ceil(named.rows.length / 5) - 1)
  await t.rejects(ops.query({ name: 'bad', text: 'SHOW NONSENSE' }), code('42601'))
  await t.rejects(ops.query({ name: 'two', text: 'SHOW LISTS; SHOW POOLS' }), code('42601', /one command/))
  t.equal((await ops.query({ name: 'empty', text: '' })).rows.length, 0)
  await ops.query('BEGIN')
  await t.rejects(ops.query('SHOW NONSENSE'), code('42601'))
  await t.rejects(ops.query('SHOW LISTS'), code('25P02'))
  await ops.query('ROLLBACK')
  t.same((await ops.query('SELECT 1')).rows, [{ '?column?': 1 }])
  t.equal((await ops.query('SET extra_float_digits = 3')).command, 'SET')
})

t.test('what cannot be done here is refused with words, and every command that changes something is written down', async (t) => {
  for (const command of ['RELOAD', 'RESTART', 'SHUTDOWN', 'SET log_level = debug', 'SUSPEND', 'SHOW FDS', 'SHOW DNS_ZONES']) {
    await t.rejects(ops.query(command), code('0A000'), command)
  }
  await t.rejects(ops.query('SET pool_mode = session'), code('42704', /cannot be set here/))
  await ops.query("READ ONLY ON 'a secret reason'")
  await ops.query('READ ONLY OFF')
  const [last] = audited.slice(-2)
  t.match(last, { user: 'ops', command: "READ ONLY ON '…'", sqlstate: null })
  t.ok(audited.some(({ command, sqlstate }) => command === 'PAUSE' && sqlstate === '55000'))
  t.ok(audited.some(({ user, command, sqlstate }) => user === 'viewer' && command === 'PAUSE' && sqlstate === '42501'))
  t.notOk(
    audited.some(({ command }) => /SHOW|EXPLAIN/.test(command)),
    'who only looks is not written down',
  )
})
