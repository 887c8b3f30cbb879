// The command as a process, on real servers: what it prints, how it takes a changed file, and how it ends.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import t, { type Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import { withTopology } from '../support/topology.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const bin = ['--import', join(root, 'scripts/typescript.mjs'), join(root, 'src/bin.ts')]

class Running {
  readonly child: ChildProcess
  out = ''
  err = ''
  readonly ended: Promise<number | null>

  constructor(t: Test, cwd: string, args: readonly string[]) {
    this.child = spawn(process.execPath, [...bin, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stdout?.on('data', (data: Buffer) => (this.out += data.toString()))
    this.child.stderr?.on('data', (data: Buffer) => (this.err += data.toString()))
    this.ended = new Promise((resolve) => this.child.on('close', (code) => resolve(code)))
    t.teardown(() => {
      this.child.kill('SIGKILL')
      return this.ended
    })
  }

  async saw(pattern: RegExp, stream: 'out' | 'err' = 'out'): Promise<string> {
    await until(`${String(pattern)} in ${stream}:\n${this.out}\n${this.err}`, () =>
      Promise.resolve(pattern.test(this[stream]) || this.child.exitCode !== null),
    )
    const found = pattern.exec(this[stream])
    if (found === null) throw new Error(`not seen: ${String(pattern)}\n${this.out}\n${this.err}`)
    return found[1] ?? found[0]
  }

  events(name: string): Record<string, unknown>[] {
    const lines = this.err.split('\n').filter((line) => line.startsWith('{'))
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((event) => event['event'] === name)
  }

  async reloaded(outcome: string, times = 1): Promise<Record<string, unknown>> {
    const those = () => this.events('config.reloaded').filter((event) => event['outcome'] === outcome)
    await until(`config.reloaded ${outcome}`, () => Promise.resolve(those().length >= times))
    return those().at(-1) ?? {}
  }
}

t.test('the command on real servers', async (t) => {
  const topology = await withTopology(t, {
    clusters: {
      main: {
        replicas: 1,
        seed: 'CREATE TABLE users (id bigint PRIMARY KEY); CREATE TABLE loose (id int); CREATE TABLE countries (code text)',
      },
      side: {
        seed: 'CREATE TABLE comments (image_id integer, body text); CREATE TABLE votes (image_id uuid); CREATE TABLE countries (code text); CREATE TABLE lost (id int)',
      },
    },
  })
  const main = topology.cluster('main')
  const side = topology.cluster('side')
  const [replica] = main.replicas
  if (replica === undefined) throw new Error('no replica')

  const config = (nodes: readonly string[], more = '') => `version: 1
listen: { port: 0 }
admin: { port: 0 }
auth: { users: [{ name: app, password: app }] }
clusters:
  main: { dbname: app, user: app, password: app, nodes: ${JSON.stringify(nodes)} }
databases:
  app: { default: main, owner: core, reads: { default: { consistency: any } } }
${more}`

  const serve = async (t: Test, cwd: string, file = 'p.yaml') => {
    const running = new Running(t, cwd, ['serve', '-c', file])
    const port = Number(await running.saw(/^listening on 127\.0\.0\.1:(\d+)$/m))
    const admin = await running.saw(/^admin: (http:\S+)/m)
    const connect = async () => {
      const client = new pg.Client({ host: '127.0.0.1', port, user: 'app', password: 'app', database: 'app' })
      client.on('error', () => undefined)
      await client.connect()
      t.teardown(() => client.end().catch(() => undefined))
      return client
    }
    return { running, admin, connect }
  }
  const route = async (client: pg.Client) => {
    await client.query('SELECT count(*) FROM users')
    const { rows } = await client.query<Record<string, string>>('SHOW pointsman.last_route')
    return Object.values(rows[0] ?? {})[0] ?? ''
  }

  t.test('serve: a changed file adds a replica; a bad one changes nothing; SIGTERM lets a transaction end', async (t) => {
    const cwd = t.testdir({ 'p.yaml': config([main.primary.address]) })
    const { running, admin, connect } = await serve(t, cwd)
    const client = await connect()
    t.match(await route(client), `primary ${main.primary.address}`)
    t.equal((await fetch(`${admin}/readyz`)).status, 200)
    t.match(
      await (await fetch(`${admin}/metrics`)).text(),
      'pointsman_queries_total{database="app",cluster="main",role="primary",owner="core",outcome="ok"} 1',
    )

    // As an editor writes: a new file, renamed over the old one.
    writeFileSync(join(cwd, 'new'), config([main.primary.address, 'nonsense:']))
    renameSync(join(cwd, 'new'), join(cwd, 'p.yaml'))
    t.match(await running.reloaded('refused'), { level: 'error', problems: [/^p\.yaml:6:\d+: clusters\.main\.nodes\[1\]/] })
    t.match(await (await fetch(`${admin}/metrics`)).text(), 'pointsman_config_reload_failures_total 1')
    t.match(await route(client), `primary ${main.primary.address}`)

    writeFileSync(join(cwd, 'p.yaml'), config([main.primary.address, replica.address]))
    await running.reloaded('applied')
    t.match(await route(client), `replica ${replica.address}`, 'the same client reads from the new replica')
    running.child.kill('SIGHUP')
    await running.reloaded('unchanged')

    await client.query('BEGIN')
    await client.query('INSERT INTO users VALUES (1)')
    running.child.kill('SIGTERM')
    await until('no new clients', () => connect().then(() => false, () => true)) // prettier-ignore
    await client.query('COMMIT')
    t.equal(await running.ended, 0)
    t.same(await main.primary.sql('SELECT id::text FROM users'), [{ id: '1' }])
    t.notMatch(running.err, /password|"app","password/)
  })

  t.test('serve: a second signal ends it at once', async (t) => {
    const { running, connect } = await serve(t, t.testdir({ 'p.yaml': config([main.primary.address]) }))
    const client = await connect()
    await client.query('BEGIN')
    await client.query('SELECT count(*) FROM users')
    running.child.kill('SIGTERM')
    await until('no new clients', () => connect().then(() => false, () => true)) // prettier-ignore
    running.child.kill('SIGTERM')
    t.equal(await running.ended, 143)
  })

  t.test('serve: a config map is swapped by a symlink', async (t) => {
    const cwd = t.testdir({})
    for (const [version, nodes] of [
      ['v1', [main.primary.address]],
      ['v2', [main.primary.address, replica.address]],
    ] as const) {
      // prettier-ignore
      mkdirSync(join(cwd, version))
      writeFileSync(join(cwd, version, 'p.yaml'), config(nodes))
    }
    symlinkSync('v1', join(cwd, '..data'))
    symlinkSync('..data/p.yaml', join(cwd, 'p.yaml'))
    const { running } = await serve(t, cwd)
    symlinkSync('v2', join(cwd, '..data_tmp'))
    renameSync(join(cwd, '..data_tmp'), join(cwd, '..data'))
    rmSync(join(cwd, 'v1'), { recursive: true })
    t.match(await running.reloaded('applied'), { generation: 2 })
  })

  t.test('serve: what is wrong at the start is told, exit 1', async (t) => {
    const taken = createServer().listen(0, '127.0.0.1')
    t.teardown(() => new Promise((resolve) => taken.close(resolve)))
    await new Promise((resolve) => taken.once('listening', resolve))
    const { port } = taken.address() as AddressInfo
    const cwd = t.testdir({
      'taken.yaml': config([main.primary.address]).replace('listen: { port: 0 }', `listen: { port: ${String(port)} }`),
      'bad.yaml': config([]),
    })
    const inUse = new Running(t, cwd, ['serve', '-c', 'taken.yaml'])
    const bad = new Running(t, cwd, ['serve', '-c', 'bad.yaml'])
    t.equal(await inUse.ended, 1)
    t.match(inUse.err, `cannot open listen on 127.0.0.1:${String(port)}: EADDRINUSE`)
    t.equal(await bad.ended, 1)
    t.match(bad.err, /bad\.yaml:6:\d+: clusters\.main\.nodes/)
  })

  t.test('check --live: what the servers say', async (t) => {
    const file = `version: 1
clusters:
  main: { dbname: app, user: app, password: app, nodes: ["${main.primary.address}", "${replica.address}"] }
  side: { dbname: app, user: app, password: app, nodes: ["${side.primary.address}"] }
  twin: { dbname: app, user: app, password: wrong, monitor: { user: app, password: app }, nodes: ["${side.primary.address}"] }
  mixed: { dbname: app, user: app, password: app, nodes: ["${main.primary.address}", "${side.primary.address}"] }
  beats: { dbname: app, user: app, password: app, nodes: ["${main.primary.address}", "${replica.address}"], position: { heartbeat: ops.beats } }
databases:
  app:
    default: main
    partitions:
      media: { cluster: side, tables: [images] }
    sharded:
      comments: { clusters: [side], shards: 8, key_type: bigint, tables: { comments: image_id, votes: image_id, nothing: id } }
    reference: [countries, currencies]
  other: { default: twin }
  third: { default: mixed }
  beating: { default: beats }
auth:
  auth_query: { cluster: main, user: app, password: app, sql: SELECT rolname FROM pg_roles WHERE rolname = $1 }
`
    const asking = (text: string, more: string): string =>
      text.replace('password: app }] }', `password: app }], auth_query: { cluster: main, user: app, password: app${more} } }`)
    const cwd = t.testdir({
      'p.yaml': file,
      'good.yaml': asking(
        config([main.primary.address, replica.address]),
        ', sql: "SELECT rolname, rolpassword FROM pg_roles WHERE rolname = $1"',
      ),
      'powerless.yaml': asking(config([main.primary.address]), ''),
    })
    const powerless = new Running(t, cwd, ['check', '-c', 'powerless.yaml', '--live'])
    t.equal(await powerless.ended, 1)
    t.match(powerless.err, /auth_query: users cannot be looked up on .*: permission denied for table pg_authid/)
    const good = new Running(t, cwd, ['check', '-c', 'good.yaml', '--live'])
    t.equal(await good.ended, 0, good.err)
    t.match(good.out, new RegExp(`main +${replica.address} +replica +18\\.\\d+ +1 `))
    t.equal(good.err, '')

    const run = new Running(t, cwd, ['check', '-c', 'p.yaml', '--live', '--json'])
    t.equal(await run.ended, 1)
    const report = JSON.parse(run.out) as {
      problems: { line: number; message: string }[]
      warnings: { message: string }[]
      unowned: { database: string; table: string; cluster: string }[]
    }
    const told = report.problems.map(({ line, message }) => `${String(line)} ${message}`).join('\n')
    t.match(told, /^5 user app cannot enter database app on .*password/m)
    t.match(told, /^6 several nodes of this cluster are primaries/m)
    t.match(told, /^6 .* does not replicate from the same system/m)
    t.match(
      told,
      /^7 replicas will answer only reads with consistency any: on .* the heartbeat failed: relation "ops\.beats" does not exist/m,
    )
    t.match(told, /^20 users cannot be looked up on .*: the statement gives 1 column, not the name and the secret/m)
    t.match(told, /^12 cluster side has no table public\.images/m)
    t.match(told, /^14 cluster side has no table public\.nothing/m)
    t.match(told, /^14 public\.votes\.image_id on side is uuid, not bigint/m)
    t.match(told, /^15 cluster main has no reference table public\.currencies/m)
    t.match(told, /^15 cluster side has no reference table public\.currencies/m)
    const warned = report.warnings.map(({ message }) => message).join('\n')
    t.match(warned, /public\.comments\.image_id on side is integer, not bigint; they hash alike/)
    t.match(warned, new RegExp(`${side.primary.address} is the same server as .* of cluster side`))
    t.same(
      report.unowned.filter(({ table, database }) => table === 'public.lost' && database === 'app').map(({ cluster }) => cluster),
      ['side'],
    )
    t.ok(report.unowned.some(({ table, cluster }) => table === 'public.loose' && cluster === 'main'))
    t.notMatch(run.out, /wrong/)
  })

  t.test('explain asks the servers for their catalog', async (t) => {
    const cwd = t.testdir({ 'p.yaml': config([main.primary.address, replica.address]) })
    const read = new Running(t, cwd, ['explain', '-c', 'p.yaml', 'SELECT * FROM users'])
    const write = new Running(t, cwd, ['explain', '-c', 'p.yaml', '--json', 'SELECT nextval($1), set_config($2, $3, true)'])
    t.equal(await read.ended, 0)
    t.match(read.out, /^replica of main\n/)
    t.notMatch(read.out, /note:/)
    await write.ended
    t.match(JSON.parse(write.out), { role: 'primary', withoutCatalogOf: [] })
  })
})
