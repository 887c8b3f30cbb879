// Bounded staleness, seen from outside: replay paused on both replicas of a primary that is written to once a second. Reads with a bound move
// to the primary as soon as the bound is broken and not before a replica is proved fresh again do they return; reads without one stay.
import type pg from 'pg'
import t, { type Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import { lastRoute } from '../support/proxy.js'
import { Served } from '../support/served.js'
import { withTopology } from '../support/topology.js'

const boundMs = 2000
/** The longest time between two samples of a primary that is asked for: see the monitor's idle period. */
const sampleMs = 1000
/** What a busy machine may add. */
const patienceMs = 1500

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 2,
      seed: 'CREATE TABLE loose (n int); CREATE TABLE tight (n int); CREATE TABLE plain (n int); CREATE TABLE ticks (n int)',
    },
  },
})
const main = running.cluster('main')
const { primary } = main
const served = await Served.start(
  t,
  `version: 1
listen: { port: 0 }
admin: { port: 0 }
auth: { users: [{ name: app, password: app }, { name: fresh, password: app }, { name: reports, password: app }] }
clusters:
  main: { dbname: app, user: app, password: app, tls: { mode: disable }, nodes: ${JSON.stringify(main.nodes.map((node) => node.address))} }
databases:
  app:
    default: main
    reads:
      default: { consistency: any }
      users: { fresh: { consistency: bounded, max_staleness: 2s }, reports: { consistency: any } }
      tables:
        tight: { consistency: bounded, max_staleness: 2s }
        loose: { consistency: any }
`,
)

/** One way to ask for a bound, or for none. */
interface Reader {
  readonly name: string
  readonly bounded: boolean
  readonly client: pg.Client
  readonly sql: string
}

const settled = async (sql: string): Promise<pg.Client> => {
  const client = await served.connect(t)
  await client.query(sql)
  return client
}
const app = await served.connect(t)
const readers: readonly Reader[] = [
  {
    name: 'a comment',
    bounded: true,
    client: app,
    sql: '/* pointsman: consistency=bounded, max_staleness=2s */ SELECT count(*) FROM plain',
  },
  {
    name: 'SET',
    bounded: true,
    client: await settled("SET pointsman.consistency = 'bounded'; SET pointsman.max_staleness = '2s'"),
    sql: 'SELECT count(*) FROM plain',
  },
  { name: 'a table', bounded: true, client: app, sql: 'SELECT count(*) FROM tight' },
  { name: 'a user', bounded: true, client: await served.connect(t, { user: 'fresh' }), sql: 'SELECT count(*) FROM plain' },
  { name: 'a bound added to any', bounded: true, client: app, sql: '/* pointsman: max_staleness=2s */ SELECT count(*) FROM plain' },
  { name: 'two tables: the stricter', bounded: true, client: app, sql: 'SELECT count(*) FROM loose, tight' },
  { name: 'no bound: default', bounded: false, client: app, sql: 'SELECT count(*) FROM plain' },
  { name: 'no bound: table', bounded: false, client: app, sql: 'SELECT count(*) FROM loose' },
  { name: 'no bound: user', bounded: false, client: await served.connect(t, { user: 'reports' }), sql: 'SELECT count(*) FROM plain' },
  {
    name: 'a comment: any, and the bound of the table',
    bounded: true,
    client: app,
    sql: '/* pointsman: consistency=any */ SELECT count(*) FROM tight',
  },
  { name: 'a comment: an hour', bounded: false, client: app, sql: '/* pointsman: max_staleness=1h */ SELECT count(*) FROM tight' },
]

const tight = readers.find(({ name }) => name === 'a table') as Reader

async function role(reader: Reader): Promise<string> {
  await reader.client.query(reader.sql)
  return lastRole(reader.client)
}

async function lastRole(client: pg.Client): Promise<string> {
  return (await lastRoute(client)).split(' ')[0] ?? ''
}

/** The roles of all readers, as `name: role`, of those for which `which` holds. */
async function roles(which: (reader: Reader) => boolean): Promise<string[]> {
  const told: string[] = []
  for (const reader of readers.filter(which)) told.push(`${reader.name}: ${await role(reader)}`)
  return told
}

const all = (): boolean => true
const expected = (which: (reader: Reader) => boolean, role: string): string[] => readers.filter(which).map(({ name }) => `${name}: ${role}`)
const become = (what: string, role: string): Promise<void> =>
  until(what, async () => (await roles((reader) => reader.bounded)).every((told) => told.endsWith(`: ${role}`)))

async function staleness(): Promise<number[]> {
  const text = await (await fetch(`${served.admin}/metrics`)).text()
  const lines = text.split('\n').filter((line) => line.startsWith('pointsman_replica_staleness_seconds{'))
  return lines.map((line) => Number(line.split(' ').at(-1)))
}

/** Writes once a second until it is stopped; resolves with the first write's acknowledgement. */
async function writing(t: Test): Promise<{ firstAt: number; readonly stop: () => Promise<void> }> {
  const session = await primary.open()
  const write = (): Promise<unknown> => session.query('INSERT INTO ticks VALUES (1)')
  await write()
  const firstAt = performance.now()
  let last: Promise<unknown> = Promise.resolve()
  const timer = setInterval(() => void (last = write()), 1000)
  const stop = async (): Promise<void> => {
    clearInterval(timer)
    await last
    session.close()
  }
  t.teardown(stop)
  return { firstAt, stop }
}

t.test('an idle primary: replicas serve every bound, also with replay paused, for nothing is missing', async (t) => {
  await main.waitCaughtUp()
  await become('all bounds are met', 'replica')
  await Promise.all(main.replicas.map((replica) => replica.pauseReplay()))
  const pausedAt = performance.now()
  const wrong: string[] = []
  // Past the bound and a sample, all the time: not once is the primary asked.
  while (performance.now() - pausedAt < boundMs + sampleMs + 500) {
    wrong.push(...(await roles(all)).filter((told) => !told.endsWith(': replica')))
  }
  t.same(wrong, [])
  t.ok(
    (await staleness()).every((seconds) => seconds < (boundMs + sampleMs) / 1000),
    `staleness ${String(await staleness())}`,
  )
})

t.test('a primary that is written to: bounds move to it in time, the rest stays, and the gauge rises', async (t) => {
  const { firstAt, stop } = await writing(t)
  await until('a bound is broken', async () => (await role(tight)) === 'primary')
  const took = performance.now() - firstAt
  t.ok(took < boundMs + sampleMs + patienceMs, `moved after ${took.toFixed(0)} ms`)
  await become('all bounds have moved', 'primary')
  t.ok(performance.now() - firstAt < boundMs + sampleMs + patienceMs, `all after ${(performance.now() - firstAt).toFixed(0)} ms`)
  t.same(
    await roles(({ bounded }) => bounded),
    expected(({ bounded }) => bounded, 'primary'),
  )
  t.same(
    await roles(({ bounded }) => !bounded),
    expected(({ bounded }) => !bounded, 'replica'),
  )
  const then = Math.min(...(await staleness()))
  await until('the gauge rises', async () => Math.min(...(await staleness())) > Math.max(then, boundMs / 1000) + 1)
  t.equal((await staleness()).length, 2)
  t.same(
    await roles(({ bounded }) => bounded),
    expected(({ bounded }) => bounded, 'primary'),
    'and they stay there',
  )
  await stop()
  t.same(
    await roles(({ bounded }) => bounded),
    expected(({ bounded }) => bounded, 'primary'),
    'something is missing still',
  )
})

t.test('one replica that goes on is enough; with both, all is as it was', async (t) => {
  await main.replica(0).resumeReplay()
  await become('bounds are met by the one', 'replica')
  await role(tight)
  t.match(await lastRoute(app), `replica ${main.replica(0).address} `)
  await main.replica(1).resumeReplay()
  await until('the gauge falls', async () => Math.max(...(await staleness())) < (boundMs + sampleMs) / 1000)
  t.same(await roles(all), expected(all, 'replica'))
})

t.test('whatever replay does, a bounded read sees every write that was acknowledged before its bound', async (t) => {
  const bound = 100
  const sql = `/* pointsman: consistency=bounded, max_staleness=${String(bound)}ms */ SELECT max(n) AS n FROM plain`
  const session = await primary.open()
  t.teardown(() => {
    session.close()
  })
  const acked: { at: number; n: number }[] = []
  const wrong: string[] = []
  let n = 0
  const readAfterWrite = async (): Promise<string> => {
    n += 1
    await session.query(`INSERT INTO plain VALUES (${String(n)})`)
    acked.push({ at: performance.now(), n })
    const invokedAt = performance.now()
    const { rows } = await app.query<{ n: number | null }>(sql)
    const owed = acked.findLast(({ at }) => at < invokedAt - bound)?.n ?? 0
    if ((rows[0]?.n ?? 0) < owed) wrong.push(`read ${String(rows[0]?.n)}, owed ${String(owed)}`)
    return lastRole(app)
  }
  const servedBy = async (role: string): Promise<void> => {
    let served = 0
    await until(`the ${role} served 20 of them`, async () => {
      if ((await readAfterWrite()) === role) served += 1
      return served === 20
    })
  }
  for (let round = 1; round <= 3; round++) {
    await servedBy('replica')
    await Promise.all(main.replicas.map((replica) => replica.pauseReplay()))
    await servedBy('primary')
    await Promise.all(main.replicas.map((replica) => replica.resumeReplay()))
  }
  t.same(wrong, [])
})
