// The console in the database `pointsman`, through the proxy over real servers: who may use it, what it shows, and that what
// is switched there holds for clients at once.
import t from 'tap'
import { until } from '../../src/embedded/until.js'
import { findCommand } from '../support/commands.js'
import { runProgram } from '../support/program.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 1,
      seed: 'CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items VALUES (1, 0), (2, 0); CREATE SEQUENCE s',
    },
  },
})
const main = running.cluster('main')
const users = ['app', 'ops', 'oncall'].map((name) => ({ name, password: 'app' }))
const config = routerConfig(running, {
  default: 'main',
  reads: {
    default: { consistency: 'any' },
    users: { oncall: { consistency: 'any', max_tx_age: '50ms' } },
  },
})
const { connect, port, proxy } = await withProxy(t, {
  ...config,
  auth: { method: 'scram-sha-256', users, admins: ['ops'], viewers: ['oncall'] },
})
const as = (user: string) => connect({ user, database: 'pointsman' })
const code = (wanted: string, message = /./) => ({ code: wanted, message }) as never

t.test('admins use every command, viewers SHOW, nobody else anything', async (t) => {
  await t.rejects(as('app'), code('42501', /user "app" may not use the console/))
  const viewer = await as('oncall')
  t.match((await viewer.query('SHOW NODES')).rows, [
    { cluster: 'main', role: 'primary' },
    { role: 'replica', receiving: 'yes' },
  ])
  await t.rejects(viewer.query('READ ONLY ON'), code('42501', /may only SHOW and EXPLAIN ROUTE/))
  await t.rejects(viewer.query('SHOW NODES; ALLOW STALE OFF'), code('42501'))
  await t.rejects(connect({ user: 'ops', password: 'wrong', database: 'pointsman' }), code('28P01'))
})

t.test('what it shows, and what it does not understand', async (t) => {
  const ops = await as('ops')
  const client = await connect()
  await client.query('SELECT n FROM items')
  t.match((await ops.query('SHOW CLUSTERS')).rows, [
    { cluster: 'main', primary: main.primary.address, replicas: 1, nodes: 2, read_only: null },
  ])
  t.ok((await ops.query('show pools')).rows.some((row) => (row as Record<string, string>)['database'] === 'app'))
  t.match((await ops.query('SHOW VERSION')).rows, [{ version: /^Pointsman / }])
  t.ok((await ops.query('SHOW HELP')).rows.length > 5)
  t.same((await ops.query('SHOW SWITCHES')).rows, [])
  t.equal((await ops.query('')).rows.length, 0)
  await t.rejects(ops.query('SELECT 2'), code('42601', /runs no SQL/))
  await t.rejects(ops.query('SHOW NODES', ['a parameter']), code('0A000', /take no parameters/))
  await t.rejects(ops.query('READ ONLY nowhere ON'), code('42704', /"nowhere" does not exist/))
  t.equal((await ops.query('SHOW NODES')).rows.length, 2, 'and it goes on')
})

t.test('READ ONLY by hand: new writes are refused with the message, what has begun to write finishes', async (t) => {
  const [writing, reading, batch, ops] = await Promise.all([connect(), connect(), connect(), as('ops')])
  await writing.query('BEGIN')
  await writing.query('UPDATE items SET n = 1 WHERE id = 1')
  await reading.query('BEGIN')
  await reading.query('SELECT n FROM items')
  const say = "READ ONLY main ON 'moving to another house'"
  if (findCommand('psql') === null) await ops.query(say)
  else t.match(await runProgram('psql', port, ['-X', '-U', 'ops', '-d', 'pointsman', '-c', say]), { code: 0, out: 'READ ONLY\n' })
  t.match((await ops.query('SHOW SWITCHES')).rows, [{ cluster: 'main', switch: 'read_only', value: 'moving to another house', by: 'ops' }])
  const refused = code('25006', /moving to another house/)
  for (const sql of [
    'INSERT INTO items VALUES (3, 0)',
    "SELECT nextval('s')",
    'SELECT n FROM items FOR UPDATE',
    'SELECT pg_advisory_lock(1)',
    'CREATE TABLE x ()',
  ]) {
    await t.rejects(batch.query(sql), refused, sql)
  }
  await t.rejects(batch.query('INSERT INTO items VALUES ($1, 0)', [3]), refused, 'prepared')
  await t.rejects(reading.query('UPDATE items SET n = 9'), refused, 'a transaction that has not written')
  await t.rejects(reading.query('SELECT 1'), code('25P02'), 'has failed, as after any error')
  await reading.query('ROLLBACK')
  t.equal((await batch.query('SELECT n FROM items WHERE id = 2')).rows[0].n, 0, 'reads go on')
  await writing.query('UPDATE items SET n = 1 WHERE id = 2')
  await writing.query('COMMIT')
  t.same(await main.primary.sql('SELECT n FROM items ORDER BY id'), [{ n: 1 }, { n: 1 }])
  await t.rejects(writing.query('UPDATE items SET n = 2'), refused, 'its next transaction does not begin to')
  await ops.query('READ ONLY OFF')
  t.equal((await writing.query('UPDATE items SET n = 0')).rowCount, 2)
})

t.test('read_only in the configuration: in the library too, and OFF says that it is not the switch', async (t) => {
  const configured = routerConfig(running, { default: 'main' }, (_id, cluster) => ({ ...cluster, read_only: 'for ever' }))
  const pool = router(t, configured)
  await t.rejects(pool.query('UPDATE items SET n = 5'), code('25006', /for ever/))
  t.equal((await pool.query('SELECT n FROM items WHERE id = 1')).rows[0].n, 0)
  const client = await pool.connect()
  await client.query('BEGIN')
  await client.query('SELECT n FROM items')
  await t.rejects(client.query('DELETE FROM items'), code('25006'))
  await t.rejects(client.query('SELECT 1'), code('25P02'))
  await client.query('ROLLBACK')
  client.release()
  const other = await withProxy(t, { ...configured, auth: { users, admins: ['ops'] } })
  const ops = await other.connect({ user: 'ops', database: 'pointsman' })
  await t.rejects(ops.query('READ ONLY OFF'), code('22023', /configuration says that main is read-only/))
})

t.test('ALLOW STALE: older answers while it lasts, and no longer', async (t) => {
  const ops = await as('ops')
  const client = await connect()
  await client.query("SET pointsman.consistency = 'bounded'; SET pointsman.max_staleness = '1ms'")
  await main.replica().pauseReplay()
  const stop = new AbortController()
  const pump = (async () => {
    while (!stop.signal.aborted) await main.primary.sql('UPDATE items SET n = n + 1')
  })()
  t.teardown(async () => {
    stop.abort()
    await pump
    await main.replica().resumeReplay()
  })
  const route = async (): Promise<string> => {
    await client.query('SELECT n FROM items')
    return lastRoute(client)
  }
  await until('the replica is behind', async () => (await route()).startsWith('primary'))
  await ops.query('ALLOW STALE 10m FOR 1h ON main')
  t.match(await route(), /^replica .*after degraded/)
  t.match((await ops.query('SHOW CLUSTERS')).rows, [{ allow_stale: '10m' }])
  await ops.query('ALLOW STALE OFF')
  t.match(await route(), /^primary/)
  await ops.query('ALLOW STALE 10m FOR 300ms')
  await until('it has ended by itself', async () => (await route()).startsWith('primary'))
  t.same((await ops.query('SHOW SWITCHES')).rows, [])
})

t.test('max_tx_age: a read-only transaction on a replica ends with an error, not elsewhere', async (t) => {
  const client = await connect({ user: 'oncall' })
  await client.query('BEGIN READ ONLY')
  await client.query('SELECT n FROM items')
  t.match(await lastRoute(client), /^replica/)
  await new Promise((resolve) => setTimeout(resolve, 60))
  await t.rejects(client.query('SELECT n FROM items'), code('25P04', /max_tx_age is 50ms/))
  await client.query('COMMIT')
  await client.query('SELECT n FROM items')
})

t.test('who uses the console is told when the proxy closes', async (t) => {
  const ops = await as('ops')
  const told = new Promise((resolve) => ops.on('error', resolve))
  await proxy.close({ graceMs: 5_000 })
  t.match(await told, { code: '57P01' })
})
