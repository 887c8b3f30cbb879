// Replication connections through the proxy, on real servers: what PostgreSQL's own tools send, said by hand.
import { spawn, spawnSync } from 'node:child_process'
import t from 'tap'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { cancel, names, WireClient } from '../support/wire-client.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 1,
      settings: { wal_level: 'logical' },
      seed: 'CREATE TABLE t (id int PRIMARY KEY)',
      prepare: 'ALTER ROLE app REPLICATION',
    },
  },
})
const nodes = running.cluster('main').nodes.map((node) => node.address)
const { port, proxy } = await withProxy(t, {
  version: 1,
  auth: { method: 'trust', users: [{ name: 'app' }, { name: 'other' }, { name: 'ops' }], admins: ['ops'], replication: ['app'] },
  clusters: { main: { dbname: 'app', user: 'app', password: 'app', tls: { mode: 'disable' }, nodes } },
  databases: { app: { default: 'main' } },
})

t.test('who is not named may not', async (t) => {
  const client = await WireClient.open(t, port)
  client.startup({ user: 'other', replication: 'database' })
  t.match((await client.closed()).at(-1), /42501.*permission denied to start a replication connection.*auth\.replication/)
  const physical = await WireClient.open(t, port)
  physical.startup({ user: 'other', replication: 'true', database: 'replication' })
  t.match((await physical.closed()).at(-1), /42501.*permission denied to start a replication connection.*auth\.replication/)
})

t.test('logical decoding: a slot, its stream, and a cancel', async (t) => {
  const client = await WireClient.login(t, port, { replication: 'database' })
  client.query('IDENTIFY_SYSTEM')
  t.match(names(await client.until('ReadyForQuery')), ['RowDescription', 'DataRow', 'CommandComplete', 'ReadyForQuery'])
  client.query("CREATE_REPLICATION_SLOT s TEMPORARY LOGICAL test_decoding (SNAPSHOT 'nothing')")
  await client.until('ReadyForQuery')
  const writer = await WireClient.login(t, port)
  writer.query('INSERT INTO t VALUES (1)')
  await writer.until('ReadyForQuery')
  client.query('START_REPLICATION SLOT s LOGICAL 0/0')
  await client.until('CopyBothResponse')
  const said: string[] = []
  while (!said.some((line) => line.includes('table public.t: INSERT'))) said.push(...(await client.until('CopyData')))
  t.pass('the change came')
  client.send('CopyDone')
  t.match(names(await client.until('ReadyForQuery')).at(-1), 'ReadyForQuery')
  client.query('SELECT pg_sleep(60)')
  await cancel(port, client.key)
  t.match((await client.until('ReadyForQuery')).join(' '), /57014/)
})

t.test('a physical connection needs no database of that name, and a replica may be asked for', async (t) => {
  const client = await WireClient.login(t, port, { replication: 'true', database: 'replication', options: '-c pointsman.consistency=any' })
  client.query('SHOW in_hot_standby')
  t.match((await client.until('ReadyForQuery')).join(' '), /"on"/)
  const primary = await WireClient.login(t, port, { replication: 'true', database: 'replication' })
  primary.query('SHOW in_hot_standby')
  t.match((await primary.until('ReadyForQuery')).join(' '), /"off"/)
})

t.test('the console shows replication connections, where they go, and KILL_CLIENT ends them; PAUSE does not wait for them', async (t) => {
  const logical = await WireClient.login(t, port, { replication: 'database' })
  const physical = await WireClient.login(t, port, { replication: 'true', database: 'replication' })
  const ops = await WireClient.login(t, port, { user: 'ops', database: 'pointsman' })
  const told = async (sql: string): Promise<readonly string[]> => {
    ops.query(sql)
    return ops.until('ReadyForQuery')
  }
  const shown = (await told('SHOW CLIENTS')).filter((line) => line.startsWith('DataRow'))
  const of = (client: WireClient): string => shown.find((line) => line.includes(`"${String(client.key.pid)}"`)) ?? ''
  t.match(of(logical), /"app".*"app".*"logical".*"active".*"primary main\//)
  t.match(of(physical), /"replication".*"physical".*"active".*"primary main\//)
  t.match((await told('PAUSE')).join(' '), /CommandComplete.*PAUSE/)
  t.match((await told('RESUME')).join(' '), /CommandComplete.*RESUME/)
  await told(`KILL_CLIENT ${String(physical.key.pid)}`)
  await physical.closed()
  logical.query('IDENTIFY_SYSTEM')
  t.match((await logical.until('ReadyForQuery')).join(' '), /DataRow/, 'the other one stays')
})

/** Not in this process's turn: the proxy that it talks to is here. */
function run(program: string, args: readonly string[]): Promise<{ code: number | null; said: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, ['-h', '127.0.0.1', '-p', String(port), '-U', 'app', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    child.stdout.on('data', (data: Buffer) => (said += data.toString()))
    child.stderr.on('data', (data: Buffer) => (said += data.toString()))
    child.on('close', (code) => resolve({ code, said }))
  })
}

const tool = 'pg_recvlogical'
const missing = spawnSync(tool, ['--version']).status !== 0 && 'not installed'
t.test('pg_recvlogical', { skip: missing }, async (t) => {
  t.same(await run(tool, ['-d', 'app', '-S', 'tool', '--create-slot', '-P', 'test_decoding']), { code: 0, said: '' })
  t.same(await run(tool, ['-d', 'app', '-S', 'tool', '--drop-slot']), { code: 0, said: '' })
})

t.test('one that is open when the proxy closes ends with it', async (t) => {
  const client = await WireClient.login(t, port, { replication: 'true', database: 'replication' })
  await proxy.close({ graceMs: 0 })
  await client.closed()
  t.pass('it was closed')
})
