// Several processes on one port, and one that takes over from another: nobody is refused, nothing is broken, and what holds
// for one process holds for all of them together.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import t, { type Test } from 'tap'
import { workerOfKey } from '../../src/doors/proxy/backend-keys.js'
import { until } from '../../src/embedded/until.js'
import { Served } from '../support/served.js'
import { withTopology } from '../support/topology.js'

/** A process may have to start, on a machine that is busy with others. */
const startMs = 120_000

t.test('processes', async (t) => {
  const topology = await withTopology(t, {
    clusters: { main: { seed: 'CREATE TABLE counted (id serial, who text); CREATE TABLE images (id int)' } },
  })
  const main = topology.cluster('main')

  interface Wish {
    readonly workers?: number
    readonly max?: number
    readonly drain?: string
    readonly unix?: string
    readonly users?: string
    readonly more?: string
  }
  const config = ({ workers = 1, max = 10, drain = '60s', unix, more = '' }: Wish = {}) => `version: 1
listen: { port: 0, workers: ${String(workers)}, drain: ${drain}${unix === undefined ? '' : `, unix: ${unix}`} }
admin: { port: 0 }
auth: { users: [{ name: app, password: app }], admins: [app] }
clusters:
  main: { dbname: app, user: app, password: app, nodes: ['${main.primary.address}'], pool: { max: ${String(max)}, wait: 30s } }
databases:
  app:
    default: main
    owner: core
    partitions: { media: { cluster: main, owner: media, tables: [images], virtual: true, mode: log } }
lanes: { enabled: false }
${more}`

  /** Connections to the server that clients' statements run on. */
  const connections = async (): Promise<number> => {
    const rows = await main.primary.sql(`SELECT count(*)::text AS n FROM pg_stat_activity WHERE query LIKE '/* counted */%'`)
    return Number(rows[0]?.['n'])
  }
  const client = (t: Test, served: Served, options: pg.ClientConfig = {}) =>
    served.connect(t, { connectionTimeoutMillis: 60_000, ...options })
  const keyOf = (client: pg.Client) => client as unknown as { readonly processID: number; readonly secretKey: number }
  const workerOf = (client: pg.Client) => workerOfKey(keyOf(client).processID)
  const workersOf = (pid: number): number[] =>
    readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8')
      .split(' ')
      .filter((text) => text.trim() !== '')
      .map(Number)
  /** What the console says to a command. */
  const console_ = async (t: Test, served: Served, command: string): Promise<Record<string, string>[]> => {
    const operator = await client(t, served, { database: 'pointsman' })
    const { rows } = await operator.query<Record<string, string>>(command)
    await operator.end()
    return rows
  }

  t.test('several workers', async (t) => {
    const served = await Served.start(t, config({ workers: 2, max: 3 }))
    const clients = await Promise.all(Array.from({ length: 8 }, () => client(t, served)))

    t.test('clients are spread evenly, and metrics add up', async (t) => {
      for (const worker of [1, 2]) t.equal(clients.filter((it) => workerOf(it) === worker).length, 4, `worker ${String(worker)}`)
      await Promise.all(clients.map((it) => it.query('SELECT 1')))
      const metrics = await served.metrics()
      t.match(metrics, /^pointsman_workers 2$/m)
      t.match(metrics, /^pointsman_clients 8$/m)
      t.match(metrics, /^pointsman_queries_total\{.*outcome="ok".*\} 8$/m)
      t.match(metrics, /^pointsman_node_state\{.*state="up".*\} 1$/m, 'what both have measured is no sum')
      t.equal((await fetch(`${served.admin}/readyz`)).status, 200)
      t.equal((await fetch(`${served.admin}/check?cluster=main&max_lag=10s`)).status, 200)
    })

    t.test('never more server connections than pool.max, and nobody starves', async (t) => {
      let most = 0
      const over = new AbortController()
      const watching = (async () => {
        while (!over.signal.aborted) most = Math.max(most, await connections())
      })()
      await Promise.all(
        clients.map(async (it) => {
          for (let turn = 0; turn < 15; turn++) await it.query('/* counted */ SELECT pg_sleep(0.01)')
        }),
      )
      over.abort()
      await watching
      t.ok(most >= 2 && most <= 3, `${String(most)} at once`)
      // One worker holds all of them, and does not let go by itself; the other one needs one.
      const [first] = clients
      const rich = clients.filter((it) => first !== undefined && workerOf(it) === workerOf(first))
      const poor = clients.filter((it) => !rich.includes(it))
      await Promise.all(rich.slice(0, 3).map((it) => it.query('BEGIN').then(() => it.query('/* counted */ SELECT pg_sleep(0.01)'))))
      const waits = Promise.all(poor.map((it) => it.query('/* counted */ SELECT 2 AS two')))
      t.equal(await connections(), 3)
      await Promise.all(rich.slice(0, 3).map((it) => it.query('COMMIT')))
      t.equal((await waits).length, poor.length)
      t.ok((await connections()) <= 3)
    })

    t.test('a cancel reaches the worker whose client it is', async (t) => {
      for (const it of clients) {
        const asleep = it.query('SELECT pg_sleep(60)').then(() => 'slept', (error: unknown) => (error as pg.DatabaseError).code) // prettier-ignore
        await until('it sleeps', async () => (await main.primary.sql(`SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(60)'`)).length === 1) // prettier-ignore
        const { processID, secretKey } = keyOf(it)
        await cancel(served.port, processID, secretKey ^ 1)
        await cancel(served.port, processID, secretKey)
        t.equal(await asleep, '57014')
      }
    })

    t.test('a worker is killed: its clients notice, nobody else; what was switched holds in the one that replaces it', async (t) => {
      await console_(t, served, "READ ONLY main ON 'frozen'")
      const crossing = 'SELECT FROM counted, images'
      await Promise.all(clients.map((it) => it.query(crossing)))
      await console_(t, served, 'SET VIRTUAL media REFUSE')
      for (const it of clients) await t.rejects(it.query(crossing), { code: '0A000' }, `worker ${String(workerOf(it))}`)
      const stays = clients.find((it) => workerOf(it) === 2)
      const goes = clients.find((it) => workerOf(it) === 1)
      if (stays === undefined || goes === undefined) throw new Error('no clients')
      await stays.query('BEGIN')
      await stays.query('SELECT 1')
      const [victim] = workersOf(served.pid)
      process.kill(victim ?? 0, 'SIGKILL')
      await t.rejects(goes.query('SELECT pg_sleep(60)'))
      t.same((await stays.query('SELECT 7 AS n')).rows, [{ n: 7 }])
      await stays.query('COMMIT')
      // Also while there is one only.
      const next = await client(t, served)
      await next.query('SELECT 1')
      await until('two workers serve', async () => /^pointsman_workers 2$/m.test(await served.metrics()), startMs)
      t.match(await served.metrics(), /^pointsman_workers_replaced_total 1$/m)
      const fresh = await Promise.all(Array.from({ length: 6 }, () => client(t, served)))
      t.same(new Set(fresh.map(workerOf)), new Set([1, 2]), 'the new one has its number, and clients')
      for (const it of fresh) await t.rejects(it.query("INSERT INTO counted (who) VALUES ('nobody')"), { code: '25006', message: /frozen/ })
      for (const it of fresh) await t.rejects(it.query(crossing), { code: '0A000' })
      await console_(t, served, 'SET VIRTUAL media OFF')
      for (const it of fresh) await it.query(crossing)
      await console_(t, served, 'READ ONLY main OFF')
      for (const it of fresh) await it.query("INSERT INTO counted (who) VALUES ('somebody')")
      // The permits of the dead one are there again.
      await Promise.all(fresh.map((it) => it.query('/* counted */ SELECT pg_sleep(0.2)')))
      t.ok((await connections()) <= 3)
    })

    t.test('two workers are killed: one that dies again before it serves is replaced, though the other serves by then', async (t) => {
      const before = workersOf(served.pid)
      const replaced = async () => Number(/^pointsman_workers_replaced_total (\d+)$/m.exec(await served.metrics())?.[1])
      const serves = (number: number) =>
        served.events('log').filter(({ message, worker }) => message === 'a worker serves again' && worker === number).length
      const servedBefore = [1, 2].map(serves)
      const replacedBefore = await replaced()
      for (const pid of before) process.kill(pid, 'SIGKILL')
      const numberOf = (pid: number) =>
        Number(/\0POINTSMAN_WORKER=(\d)\0/.exec(readFileSync(`/proc/${String(pid)}/environ`, 'utf8'))?.[1] ?? 0)
      const fresh = () => workersOf(served.pid).filter((pid) => !before.includes(pid) && numberOf(pid) > 0)
      await until('both are started again', () => Promise.resolve(fresh().length === 2), startMs)
      const [slow = 0, other = 0] = fresh()
      process.kill(slow, 'SIGSTOP')
      const number = numberOf(other)
      await until('the other serves', () => Promise.resolve(serves(number) > servedBefore[number - 1]!), startMs)
      process.kill(slow, 'SIGKILL')
      await until('two serve', async () => /^pointsman_workers 2$/m.test(await served.metrics()), startMs)
      t.equal((await replaced()) - replacedBefore, 3)
    })

    t.test('a reload reaches all of them, or none', async (t) => {
      const refused = await served.reconfigure(config({ workers: 2, max: 3, more: 'nonsense: 1\n' }))
      t.match(refused, { outcome: 'refused' })
      // Every worker can read it, and none can open a connection to it.
      const dead = await served.reconfigure(config({ workers: 2, max: 3 }).replace("nodes: ['", "nodes: ['127.0.0.1:1', '"))
      t.match(dead, { outcome: 'refused', problems: [/no connection could be opened to 127\.0\.0\.1:1/] })
      t.match(await served.metrics(), /^pointsman_config_reload_failures_total 2$/m)
      const all = () => served.events('config.reloaded').filter((event) => event['outcome'] === 'applied')
      // SET VIRTUAL is one of its own.
      const before = all().length
      await served.reconfigure(config({ workers: 2, max: 3, more: 'limits: { login: 16s }\n' }))
      const applied = () => all().slice(before)
      await until('all have it', () => Promise.resolve(applied().length === 3))
      t.same(applied().map(({ worker }) => worker ?? 0).sort(), [0, 1, 2], 'and each says so') // prettier-ignore
    })

    t.test('SIGTERM: a transaction may end; a second one does not wait', async (t) => {
      const fresh = await client(t, served)
      await fresh.query('BEGIN')
      await fresh.query('SELECT 1')
      served.kill('SIGTERM')
      await until('nobody is let in', () => client(t, served).then(() => false, () => true)) // prettier-ignore
      t.same((await fresh.query('SELECT 8 AS n')).rows, [{ n: 8 }])
      const workers = workersOf(served.pid)
      served.kill('SIGTERM')
      t.equal(await served.ended, 143)
      await until('the workers are gone too', () => Promise.resolve(workers.every((pid) => !lives(pid))))
    })
  })

  for (const mode of ['WAIT_FOR_SERVERS', 'WAIT_FOR_CLIENTS']) {
    t.test(`SHUTDOWN ${mode}: however long they take, and nothing is left`, async (t) => {
      const directory = mkdtempSync(join(tmpdir(), 'pm-'))
      t.teardown(() => rmSync(directory, { recursive: true, force: true }))
      const unix = join(directory, '.s.PGSQL.6432')
      const served = await Served.start(t, config({ workers: 2, unix }))
      const stays = await client(t, served)
      const local = await client(t, served, { host: directory, port: 6432 })
      for (const it of [stays, local]) await it.query('BEGIN')
      for (const it of [stays, local]) await it.query('SELECT 1')
      await console_(t, served, `SHUTDOWN ${mode}`)
      await until('nobody is let in', () => client(t, served).then(() => false, () => true)) // prettier-ignore
      // Both ask a worker, which would have heard by now if it were to end at once.
      for (const it of [stays, local]) t.same((await it.query('SELECT 8 AS n')).rows, [{ n: 8 }])
      for (const it of [stays, local]) await it.query('COMMIT')
      if (mode === 'WAIT_FOR_CLIENTS') {
        for (const it of [stays, local]) t.same((await it.query('SELECT 9 AS n')).rows, [{ n: 9 }])
        for (const it of [stays, local]) await it.end()
      }
      t.equal(await served.ended, 0)
      t.notOk(existsSync(unix), 'the file of the Unix socket is gone')
    })
  }

  for (const workers of [1, 2]) {
    t.test(`a restart of ${String(workers)}: nobody is refused, no transaction is broken`, async (t) => {
      const directory = mkdtempSync(join(tmpdir(), 'pm-'))
      t.teardown(() => rmSync(directory, { recursive: true, force: true }))
      const unix = join(directory, '.s.PGSQL.6432')
      const served = await Served.start(t, config({ workers, unix, drain: '1s' }))
      const before = served.pid
      await console_(t, served, "READ ONLY main ON 'frozen'")
      await console_(t, served, 'READ ONLY main OFF')
      await console_(t, served, 'ALLOW STALE 60s FOR 10m ON main')

      const stop = new AbortController()
      const counts = { connected: 0, failed: [] as string[] }
      /** Connects, asks, leaves, again and again. */
      const comeAndGo = async (options: pg.ClientConfig) => {
        while (!stop.signal.aborted) {
          const it = new pg.Client({ host: '127.0.0.1', port: served.port, user: 'app', password: 'app', database: 'app', ...options })
          it.on('error', (error) => counts.failed.push(error.message))
          try {
            await it.connect()
            await it.query('SELECT 1')
            await it.end()
            counts.connected += 1
          } catch (error) {
            counts.failed.push(String(error))
          }
        }
      }
      const loops = [comeAndGo({}), comeAndGo({}), comeAndGo({ host: directory, port: 6432 })]
      const writer = await client(t, served)
      const lazy = await client(t, served)
      const gone = new Promise<Error>((resolve) => lazy.on('error', resolve))
      await writer.query('BEGIN')
      await writer.query("INSERT INTO counted (who) VALUES ('the writer')")

      served.kill('SIGUSR2')
      await until('the new process serves', () => Promise.resolve(served.started === 2), startMs)
      t.equal(served.ports.length === 2 && served.ports[0] === served.ports[1], true, 'the same port')
      const admins = [...served.out.matchAll(/^admin: (\S+)/gm)].map(([, address]) => address)
      t.equal(admins.length === 2 && admins[0] === admins[1], true, 'and the same admin port')
      const { processID, secretKey } = keyOf(writer)
      const seen = counts.connected
      await until('clients of the new one come and go', () => Promise.resolve(counts.connected > seen + 20))

      // The old one still cancels what runs there, though the cancel comes to the new one.
      const asleep = writer.query('SAVEPOINT s; SELECT pg_sleep(60)').then(() => 'slept', (error: unknown) => (error as pg.DatabaseError).code) // prettier-ignore
      await until('it sleeps', async () => (await main.primary.sql(`SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SAVEPOINT%'`)).length === 1) // prettier-ignore
      await cancel(served.port, processID, secretKey)
      t.equal(await asleep, '57014')
      t.match(await gone, { code: '57P01', message: 'Pointsman was restarted' }, 'who does nothing is asked to come again')
      await writer.query('ROLLBACK TO s')
      await writer.query("INSERT INTO counted (who) VALUES ('the writer')")
      t.ok(lives(before), 'as long as a transaction is open')
      await writer.query('COMMIT')
      t.equal(await served.exited, 0, 'the old process has ended')
      t.equal((await main.primary.sql("SELECT 1 FROM counted WHERE who = 'the writer'")).length, 2)
      await main.primary.sql('DELETE FROM counted')

      t.match(await console_(t, served, 'SHOW SWITCHES'), [{ switch: 'allow_stale' }], 'what was switched is so in the new one')
      stop.abort()
      await Promise.all(loops)
      t.same(counts.failed, [])
      const pid = Number(readFileSync(served.pidFile, 'utf8'))
      t.not(pid, before)

      // A new process that cannot start changes nothing.
      served.write('version: 2\n')
      process.kill(pid, 'SIGUSR2')
      await until(
        'the restart fails',
        () => Promise.resolve(served.events('log').some(({ message }) => String(message).startsWith('the restart failed'))),
        startMs,
      )
      await (await client(t, served)).query('SELECT 1')
      const all = [pid, ...workersOf(pid)]
      process.kill(pid, workers === 1 ? 'SIGTERM' : 'SIGKILL')
      await until('it ends, and its workers do', () => Promise.resolve(!all.some(lives)))
      if (workers === 1) t.throws(() => readFileSync(served.pidFile))
    })
  }
})

/** As psql does: over a connection of its own; resolves when that is closed. */
function cancel(port: number, pid: number, secret: number): Promise<void> {
  const packet = Buffer.alloc(16)
  packet.writeInt32BE(16, 0)
  packet.writeInt32BE(80_877_102, 4)
  packet.writeInt32BE(pid, 8)
  packet.writeInt32BE(secret, 12)
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(packet))
    socket.on('close', () => resolve())
    socket.on('error', reject)
    socket.resume()
  })
}

function lives(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))
  } catch {
    return false
  }
}
