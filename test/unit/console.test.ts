// What may be typed at the console, and what is refused; that the docs list every command and every column; how cells look in
// PostgreSQL's binary forms; the gate of PAUSE. No clients, no servers.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { parseConfigText } from '../../src/config/yaml.js'
import { columns, dataRow } from '../../src/doors/proxy/console/cells.js'
import { commandForms, tables } from '../../src/doors/proxy/console/command.js'
import { readConsole } from '../../src/doors/proxy/console/read-command.js'
import type { Shown } from '../../src/doors/proxy/console/shown.js'
import { tableSpecs } from '../../src/doors/proxy/console/tables.js'
import { Bans } from '../../src/execute/bans.js'
import { Gate } from '../../src/execute/gate.js'
import { createObserver } from '../../src/observe/observer.js'

const commandsOf = (text: string) => readConsole(text).map(({ command }) => command)

t.test('commands', (t) => {
  t.same(commandsOf(' ; show Nodes;\n-- a comment\nSHOW /* another */ pools ; '), [
    { kind: 'show', table: 'nodes' },
    { kind: 'show', table: 'pools' },
  ])
  const one = (text: string, command: unknown) => t.same(commandsOf(text), [command], text)
  one("read only main on 'it''s late; wait'", { kind: 'read-only', cluster: 'main', on: true, message: "it's late; wait" })
  one('READ ONLY ON', { kind: 'read-only', cluster: null, on: true, message: null })
  one('READ ONLY "on" OFF', { kind: 'read-only', cluster: 'on', on: false, message: null })
  one('ALLOW STALE 60s FOR 1.5h ON comments_0', { kind: 'allow-stale', cluster: 'comments_0', maxMs: 60_000, forMs: 5_400_000 })
  one("ALLOW STALE '500 ms' FOR 10m", { kind: 'allow-stale', cluster: null, maxMs: 500, forMs: 600_000 })
  one('ALLOW STALE OFF ON main', { kind: 'forbid-stale', cluster: 'main' })
  one('PAUSE', { kind: 'pause', target: { kind: 'all', name: '' } })
  one('pause app', { kind: 'pause', target: { kind: 'any', name: 'app' } })
  one('RESUME CLUSTER main', { kind: 'resume', target: { kind: 'cluster', name: 'main' } })
  one('WAIT_CLOSE DATABASE "app"', { kind: 'wait-close', target: { kind: 'database', name: 'app' } })
  one('BAN 10.0.0.1:5432 FOR 10m', { kind: 'ban', node: '10.0.0.1:5432', forMs: 600_000 })
  one('DRAIN OFF', { kind: 'drain', name: null })
  one('DRAIN "off"', { kind: 'drain', name: 'off' })
  one('KILL_CLIENT 12', { kind: 'kill-client', id: 12 })
  one('SHUTDOWN WAIT_FOR_CLIENTS', { kind: 'shutdown', mode: 'clients' })
  one("SET log_level='debug'", { kind: 'set', name: 'log_level', value: 'debug' })
  one("EXPLAIN ROUTE 'SELECT ''x''' IN app AS bob", { kind: 'explain-route', sql: "SELECT 'x'", database: 'app', user: 'bob' })
  one('SET VIRTUAL media LOG', { kind: 'virtual', name: 'media', mode: 'log', rollout: 100 })
  one('set virtual "LOG" refuse 25', { kind: 'virtual', name: 'LOG', mode: 'refuse', rollout: 25 })
  one('CLEAR AUDIT', { kind: 'clear-audit' })
  one('SHOW FDS', { kind: 'show-refused', table: 'fds' })
  t.same(commandsOf('  -- nothing'), [])
  t.same(readConsole("EXPLAIN ROUTE 'SELECT secret' IN app")[0]?.words, "EXPLAIN ROUTE '…' IN app", 'the audit has no texts')
  t.end()
})

t.test('what drivers begin with is answered, and does nothing', (t) => {
  const harmless = [
    'SELECT 1',
    'select version()',
    'SELECT pg_catalog.version()',
    'SET extra_float_digits = 3',
    "SET application_name = 'x'",
    "SET client_encoding TO 'UTF8'",
    "SET DATESTYLE TO 'ISO'",
    'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY',
    'SHOW standard_conforming_strings',
    'SHOW TRANSACTION ISOLATION LEVEL',
    'show transaction_read_only',
    'DISCARD ALL',
    'RESET ALL',
    'DEALLOCATE ALL',
  ]
  for (const text of harmless) t.match(commandsOf(text), [{ kind: 'small-talk' }], text)
  for (const text of ['BEGIN', 'begin read only', 'START TRANSACTION', 'COMMIT', 'ROLLBACK', 'ABORT', 'END']) {
    t.match(commandsOf(text), [{ kind: 'transaction' }], text)
  }
  t.end()
})

t.test('what cannot be read is refused whole, and says what was expected', (t) => {
  const wrong = [
    ['SELECT 2', /runs no SQL/],
    ['SELECT * FROM users', /runs no SQL/],
    ['INSERT', /at "INSERT": expected SHOW, EXPLAIN/],
    ['SET VIRTUAL media', /at the end of the command: expected OFF, LOG/],
    ['SET VIRTUAL media REFUSE 101', /a percentage from 0 to 100/],
    ['SET VIRTUAL media LOG 25', /of REFUSE alone/],
    ['SHOW', /at the end of the command: expected HELP, POOLS/],
    ['SHOW NODES please', /expected the end of the command/],
    ['READ ONLY main', /expected ON, OFF/],
    ["READ ONLY 'main' ON", /expected the name of a cluster/],
    ["READ ONLY main OFF 'why'", /expected the end/],
    ['READ ONLY ON because', /expected a message in 'quotes'/],
    ['ALLOW STALE 60 FOR 10m', /at "60": expected a duration/],
    ['ALLOW STALE 0 FOR 10m', /expected a duration/],
    ['ALLOW STALE 60s', /expected FOR/],
    ['ALLOW STALE 60s FOR 400d', /lasts a day at most/],
    ['ALLOW STALE 60s FOR 10m main', /expected ON/],
    ["READ ONLY ON 'open", /a quote is not closed/],
    ['SHOW NODES; DROP TABLE users', /at "DROP"/],
    ['KILL_CLIENT all', /expected the id of a client/],
    ['DISABLE', /expected the name of a database/],
    ['SHUTDOWN NOW', /expected WAIT_FOR_SERVERS/],
    ['SET log_level debug', /expected =, TO/],
    ['EXPLAIN ROUTE SELECT 1', /expected a statement in 'quotes'/],
  ] as const
  for (const [text, message] of wrong) t.throws(() => readConsole(text), { code: '42601', message }, text)
  t.throws(() => readConsole(`READ ONLY ON '${'x'.repeat(40_000_000)}'`), { code: '54000' }, 'a text of tens of megabytes')
  t.equal(commandsOf(`READ ONLY ON '${'x'.repeat(1_000_000)}'`).length, 1, 'one of nearly a megabyte is read')
  t.end()
})

t.test('SHOW HELP lists what can be read, and the docs have every command and every column', (t) => {
  const docs = readFileSync(new URL('../../docs/console.md', import.meta.url), 'utf8')
  for (const [form] of commandForms) {
    const filled = form.replace('[database|cluster]', '[app]').replace('WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS', 'WAIT_FOR_SERVERS')
    const concrete = filled.replace(' id', ' 7').replace('node|cluster', 'node')
    const [plain, full] = [concrete.replaceAll(/\[[^\]]*\]/g, ''), concrete.replaceAll(/[[\]]/g, '')]
    t.equal(readConsole(plain).length, 1, plain)
    t.equal(readConsole(full).length, 1, full)
    t.ok(docs.includes(`| \`${form.replaceAll('|', '\\|')}\` |`), `the docs have ${form}`)
  }
  const documented = [...docs.matchAll(/^\| `([A-Z][^`]*)` \|/gm)].map(([, form]) => form?.replaceAll('\\|', '|'))
  t.same(
    documented,
    commandForms.map(([form]) => form),
    'the docs have no others, and the same order',
  )
  t.same(commandForms.flatMap(([form]) => /^SHOW (\w+)$/.exec(form)?.[1]?.toLowerCase() ?? []).sort(), [...tables].sort())
  for (const table of tables) {
    const chapter = new RegExp(`^### SHOW ${table.toUpperCase()}\\n([^#]*)`, 'm').exec(docs)?.[1] ?? ''
    const line = /^Columns: (.*)$/m.exec(chapter)?.[1] ?? ''
    t.same(
      [...line.matchAll(/`(\w+)`/g)].map(([, name]) => name),
      tableSpecs[table].columns.map(({ name }) => name),
      table,
    )
  }
  t.end()
})

t.test('cells in binary form', (t) => {
  const row = dataRow(columns('a:int4 b:int8 c:numeric d:text e:numeric'), [-2, 2 ** 40, 123_456_789, 'x', 0], [1])
  t.equal(
    row.subarray(7).toString('hex'),
    ['00000004fffffffe', '000000080000010000000000', '0000000e0003000200000000000109291a85', '0000000178', '000000080000000000000000'].join(
      '',
    ),
  )
  t.equal(dataRow(columns('a:int4 b:text'), [7, null], []).subarray(7).toString('hex'), '0000000137ffffffff', 'as text unless asked')
  t.end()
})

t.test('the gate: what waits goes on in its order, and only what is free', async (t) => {
  const gate = new Gate()
  const passed: string[] = []
  const { signal } = new AbortController()
  const wait = (name: string, cluster: string, database: string) => gate.pass(cluster, database, signal).then(() => passed.push(name))
  t.ok(gate.open)
  await wait('0', 'main', 'app')
  t.ok(gate.pause({ kind: 'database', name: 'app' }, 'ops'))
  t.notOk(gate.pause({ kind: 'database', name: 'app' }, 'ops'), 'twice')
  t.ok(gate.pause({ kind: 'cluster', name: 'media' }, 'ops'))
  const all = [wait('1', 'main', 'app'), wait('2', 'media', 'app'), wait('3', 'media', 'other'), wait('4', 'main', 'app')]
  await wait('free', 'main', 'other')
  const gone = new AbortController()
  const left = gate.pass('main', 'app', gone.signal)
  gone.abort(new Error('left'))
  await t.rejects(left, /left/)
  t.equal(gate.waiting, 4)
  t.ok(gate.resume({ kind: 'database', name: 'app' }))
  t.notOk(gate.resume({ kind: 'database', name: 'app' }), 'it is not paused any more')
  await all[0]
  await all[3]
  t.same(passed, ['0', 'free', '1', '4'])
  t.notOk(gate.open)
  t.ok(gate.resume({ kind: 'all', name: '' }), 'everything')
  await Promise.all(all)
  t.same(passed, ['0', 'free', '1', '4', '2', '3'])
  t.ok(gate.open)
  gate.setDisabled('app', 'ops')
  t.throws(() => gate.requireEnabled('app'), { code: '55000' })
  gate.setDisabled('app', null)
  gate.requireEnabled('app')
})

t.test('bans end by themselves; a drain does not', (t) => {
  const clock = { now: 0 }
  const observer = createObserver()
  const told: string[] = []
  observer.on('switch.changed', (event) => told.push(`${event.switch} ${event.detail} ${event.on ? 'on' : 'off'}`))
  const bans = new Bans(observer, () => clock.now)
  t.teardown(() => bans.close())
  bans.set('main', 'a:1', 'ban', 1_000, 'ops')
  bans.set('main', 'b:1', 'drain', null, 'ops')
  t.equal(bans.of('a:1'), 'ban')
  clock.now = 1_000
  t.equal(bans.of('a:1'), null)
  t.equal(bans.of('b:1'), 'drain')
  t.ok(bans.any)
  t.ok(bans.lift('main', 'b:1', 'ops'))
  t.notOk(bans.lift('main', 'b:1', 'ops'))
  t.same(told, ['ban a:1 on', 'drain b:1 on', 'drain b:1 off'])
  t.end()
})

t.test('pool_size of SHOW POOLS counts a server once, however many workers tell of it', (t) => {
  const parsed = parseConfigText(
    `version: 1
auth: { users: [{ name: app, password: secret }] }
clusters: { main: { dbname: app, user: app, password: secret, nodes: ['a:1', 'b:1'] } }
databases: { app: { default: main } }`,
    { env: {}, readFile: () => '' },
  )
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
  const pool = { cluster: 'main', user: 'app', dbname: 'app', busy: 1, idle: 1, opening: 0, waiting: 0, max: 8, longestWaitMs: 0 }
  const pools = ['a:1', 'b:1'].map((node) => ({ ...pool, node, draining: false }))
  const reports = [1, 2].map((worker) => ({ worker, report: { pools } }))
  const shown = { config: parsed.config, gate: new Gate(), reports } as unknown as Shown
  const columnsOf = tableSpecs.pools.columns.map(({ name }) => name)
  const [row = []] = tableSpecs.pools.rows(shown)
  t.equal(row[columnsOf.indexOf('sv_active')], 4, 'connections are added up')
  t.equal(row[columnsOf.indexOf('pool_size')], 16, 'bounds are not')
  t.end()
})
