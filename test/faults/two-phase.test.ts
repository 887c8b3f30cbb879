// Transactions on two clusters, while the proxy or a server is killed (kill -9) before and after every step of their commit.
// Each transaction moves an amount from one cluster to the other and leaves its key on both: once recovery has been there, the
// sum is what it was, each key is on both or on none, and on both where the client was told COMMIT.
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { ConfigInput } from '../../src/config/input.js'
import { validateConfig } from '../../src/config/validate.js'
import { until } from '../../src/embedded/until.js'
import { TwoPhaseRecovery } from '../../src/execute/two-phase-recovery.js'
import { commitTogether, decided, decisionsPlace, type Participant, type Said } from '../../src/execute/two-phase.js'
import { createObserver } from '../../src/observe/observer.js'
import { decisionKey, decisionsDdl, forgetDecisions, partName, preparedSql, type DecisionName } from '../../src/session/decision.js'
import type { RoutedPool } from '../../src/index.js'
import { withProxy } from '../support/proxy.js'
import { router } from '../support/router.js'
import { withTopology } from '../support/topology.js'
import { moved } from '../support/two-phase-transfer.js'

const seed = `CREATE TABLE SCHEMA_accounts (id int PRIMARY KEY, amount bigint NOT NULL); INSERT INTO SCHEMA_accounts SELECT i, 1000 FROM generate_series(1, 8) i;
  CREATE TABLE SCHEMA_keys (key text PRIMARY KEY)`
const settings = { max_prepared_transactions: '50' }
const names = ['main', 'media'] as const
const running = await withTopology(t, {
  clusters: Object.fromEntries(names.map((name) => [name, { seed: seed.replaceAll('SCHEMA', name), settings }])),
})
const cluster = (name: string) => ({
  nodes: running.cluster(name).nodes.map(({ address }) => address),
  dbname: 'app',
  user: 'app',
  password: 'app',
  failover: { wait: '10s' },
})
const config: ConfigInput = {
  version: 1,
  clusters: { main: cluster('main'), media: cluster('media') },
  databases: {
    app: {
      default: 'main',
      two_phase: { grace: '1s', lock_timeout: '3s' },
      partitions: { media: { cluster: 'media', owner: 'media-team', tables: ['media_accounts', 'media_keys'] } },
    },
  },
}
const steps = ['prepare', 'prepared', 'commit', 'committed'].flatMap((step) => names.map((name) => `${step} ${name}`))
const points = ['decide main', 'decided main', ...steps]

const sql = (name: string, text: string): Promise<Record<string, unknown>[]> => running.cluster(name).primary.sql(text)
const keysOn = async (name: string): Promise<ReadonlySet<unknown>> =>
  new Set((await sql(name, `SELECT key FROM ${name}_keys`)).map(({ key }) => key))
const amountOn = async (name: string): Promise<number> =>
  Number((await sql(name, `SELECT sum(amount)::text AS sum FROM ${name}_accounts`))[0]?.['sum'])
const preparedOn = async (name: string): Promise<number> =>
  Number((await sql(name, 'SELECT count(*)::text AS n FROM pg_prepared_xacts'))[0]?.['n'])

interface Told {
  readonly committed: Set<string>
  readonly aborted: Set<string>
  asked: number
}
const told: Told = { committed: new Set(), aborted: new Set(), asked: 0 }

/** Transfers until its connection is lost or `over` says so. */
async function transfer(port: number, over: () => boolean): Promise<void> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'app', password: 'app', database: 'app' })
  client.on('error', () => undefined)
  try {
    await client.connect()
    while (!over()) {
      const key = `k${String(++told.asked)}`
      const id = 1 + (told.asked % 8)
      try {
        if ((await moved(client, key, id)) === 'COMMIT') told.committed.add(key)
      } catch (error) {
        const { code = '' } = error as { code?: string }
        if (code === '40000') told.aborted.add(key)
        if (/^(08|57|XX|E|25)/.test(code) || code === '') return
        await client.query('ROLLBACK')
      }
    }
  } catch {
    // The proxy is dead, or the server is: that is what this is about.
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** The same through the library, which outlives its servers. */
async function transferInside(pool: RoutedPool, over: () => boolean): Promise<void> {
  while (!over()) {
    const key = `k${String(++told.asked)}`
    const client = await pool.connect()
    try {
      if ((await moved(client, key, 1 + (told.asked % 8))) === 'COMMIT') told.committed.add(key)
    } catch (error) {
      if ((error as { code?: string }).code === '40000') told.aborted.add(key)
      await client.query('ROLLBACK').catch(() => undefined)
    } finally {
      client.release()
    }
  }
}

const transfers = (port: number, over: () => boolean): Promise<unknown> => Promise.all([1, 2, 3].map(() => transfer(port, over)))

/** Once nothing is in doubt any more. */
async function whole(t: Pick<Test, 'equal' | 'same'>, what: string): Promise<void> {
  await until(`nothing is prepared after ${what}`, async () => (await preparedOn('main')) + (await preparedOn('media')) === 0)
  const [main, media] = [await keysOn('main'), await keysOn('media')]
  t.same(
    [...main].filter((key) => !media.has(key)),
    [],
    `${what}: no key on main alone`,
  )
  t.same(
    [...media].filter((key) => !main.has(key)),
    [],
    `${what}: no key on media alone`,
  )
  t.same(
    [...told.committed].filter((key) => !main.has(key)),
    [],
    `${what}: what was told COMMIT is there`,
  )
  t.same(
    [...told.aborted].filter((key) => main.has(key)),
    [],
    `${what}: what was told to be rolled back is not`,
  )
  t.equal((await amountOn('main')) + (await amountOn('media')), 16_000, `${what}: the sum`)
  t.equal((await amountOn('media')) - 8_000, main.size, `${what}: as much has moved as there are keys`)
}

const programs = {
  proxy: new URL('../support/two-phase-program.ts', import.meta.url).pathname,
  library: new URL('../support/two-phase-library.ts', import.meta.url).pathname,
}

function spawned(program: string, input: ConfigInput, step: string, nth: number): ChildProcessByStdio<Writable, Readable, null> {
  const args = ['--import=./scripts/typescript.mjs', program, JSON.stringify(input), step, String(nth)]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'], cwd: new URL('../..', import.meta.url).pathname })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

async function start(
  step: string,
  nth: number,
): Promise<{ readonly port: number; readonly ended: Promise<unknown>; readonly end: () => void }> {
  const input: ConfigInput = {
    ...config,
    listen: { host: '127.0.0.1', port: 0 },
    auth: { method: 'scram-sha-256', users: [{ name: 'app', password: 'app' }] },
  }
  const child = spawned(programs.proxy, input, step, nth)
  child.stdin.on('error', () => undefined)
  const ended = once(child, 'exit')
  const [line] = (await Promise.race([once(child.stdout, 'data'), ended.then(() => ['0'])])) as [Buffer | string]
  return { port: Number(String(line).trim()), ended, end: () => child.stdin.end() }
}

t.test('kill -9 of Pointsman at every step: whole or absent', async (t) => {
  const before = told.committed.size
  for (const point of points) {
    const { port, ended } = await start(point, 4)
    t.ok(port > 0, `${point}: it serves`)
    await transfers(port, () => false)
    await ended
  }
  for (const point of ['prepared media', 'decided main', 'commit media']) {
    const child = spawned(programs.library, config, point, 4)
    const lines = createInterface(child.stdout)
    lines.on('line', (key) => void told.committed.add(key))
    const keys = once(lines, 'close')
    const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
    t.equal(signal, 'SIGKILL', `${point}: the program with the library`)
    await keys
  }
  // What the last one has left is ended by whoever comes next.
  const last = await start('', 0)
  await whole(t, 'the kills')
  let rounds = 0
  await transfers(last.port, () => ++rounds > 12)
  await whole(t, 'going on')
  last.end()
  await last.ended
  t.ok(told.committed.size > before + 3 * points.length, `${String(told.committed.size)} were committed`)
})

/** kill -9 for a server and its processes, within the call. */
function kill9(pid: number): void {
  const children = readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8')
    .trim()
    .split(' ')
  for (const each of [pid, ...children.map(Number)]) {
    try {
      process.kill(each, 'SIGKILL')
    } catch {
      // It has just ended.
    }
  }
}

t.test('kill -9 of a participant at every step: whole or absent', async (t) => {
  const { port, observer } = await withProxy(t, config)
  const pool = router(t, config)
  let wanted = ''
  let seen = 0
  /** Which of the doors is at work when a server is killed. */
  let through: unknown = observer
  for (const events of [observer, pool.events])
    events.on('two-phase.step', ({ step, cluster: name }) => {
      if (through !== events || `${step} ${name}` !== wanted || ++seen !== 3) return
      const pid = running.cluster(name).primary.pid
      if (pid !== null) kill9(pid)
    })
  for (const [index, point] of points.entries()) {
    through = index % 2 === 0 ? pool.events : observer
    const node = running.cluster(point.split(' ')[1] ?? '').primary
    const before = told.committed.size
    seen = 0
    wanted = point
    const over = (): boolean => seen > 3 && told.committed.size > before + 8
    const work = (async (): Promise<void> => {
      while (!over()) await transfers(port, over)
    })()
    const inside = Promise.all([1, 2].map(() => transferInside(pool, over)))
    await until(`${node.id} is dead at ${point}`, () => Promise.resolve(!node.running))
    await node.kill9()
    await node.start()
    await Promise.all([work, inside])
    wanted = ''
    await whole(t, point)
  }
})

// ---- one transaction, by hand

async function connected(name: string): Promise<pg.Client> {
  const { host, port } = running.cluster(name).primary
  const client = new pg.Client({ host, port, user: 'app', password: 'app', database: 'app' })
  client.on('error', () => undefined)
  await client.connect()
  t.teardown(() => client.end().catch(() => undefined))
  return client
}

async function said(client: pg.Client, text: string): Promise<Said> {
  // As the server writes it: a boolean is t or f.
  const types = { getTypeParser: () => (value: unknown) => value }
  const result = (await client.query({ text, rowMode: 'array', types } as unknown as pg.QueryArrayConfig)) as unknown as
    pg.QueryArrayResult | pg.QueryArrayResult[]
  const last = Array.isArray(result) ? result.at(-1) : result
  return { rows: (last?.rows ?? []) as (string | null)[][], tag: last?.command ?? '' }
}

/** Of a transaction that main decides. */
async function decisionName(unique: string): Promise<DecisionName> {
  const client = await connected('main')
  const place = await decisionsPlace({ query: (text) => said(client, text), close: () => undefined }, 'main')
  return { database: 'app', decider: 'main', place, unique }
}

/** `before`: what happens between the preparing and the decision. */
async function byHand(
  unique: string,
  before: (name: DecisionName, parts: readonly string[]) => Promise<void>,
): Promise<readonly [string, number]> {
  const clients = [await connected('main'), await connected('media')] as const
  for (const [index, client] of clients.entries()) await client.query(`BEGIN; INSERT INTO ${names[index] ?? ''}_keys VALUES ('${unique}')`)
  const name = await decisionName(unique)
  const parts = names.map((cluster) => partName({ ...name, cluster }))
  const participants = names.map((cluster, index): Participant => ({
    cluster,
    run: async (text) => {
      if (text.includes('INSERT INTO pointsman.decisions')) await before(name, parts)
      return said(clients[index] as pg.Client, text)
    },
  }))
  const [first, second] = participants
  if (first === undefined || second === undefined) throw new Error('two participants')
  const ending = await commitTogether([first, second], {
    database: 'app',
    unique,
    open: () => Promise.reject(new Error('nobody is lost')),
    place: () => Promise.resolve(name.place),
    observer: createObserver(),
    now: () => performance.now(),
    limitMs: 60_000,
    waitMs: 0,
  })
  const there = Number((await keysOn('main')).has(unique)) + Number((await keysOn('media')).has(unique))
  return [ending.kind, there]
}

t.test('nobody decides twice: a coordinator that recovery has overtaken rolls back', async (t) => {
  const other = await connected('main')
  t.same(await byHand('undisturbed', () => Promise.resolve()), ['committed', 2])
  t.same(
    await byHand('overtaken', async (name) => {
      t.equal(await decided((text) => said(other, text), name, [...names]), 'aborted')
    }),
    ['aborted', 0],
    'its insert meets aborted',
  )
  t.same(
    await byHand('forgotten', async (name, parts) => {
      await decided((text) => said(other, text), name, [...names])
      await other.query(`ROLLBACK PREPARED '${parts[0] ?? ''}'`)
      await other.query(forgetDecisions([decisionKey(name)]))
    }),
    ['aborted', 0],
    'its insert finds nothing prepared, though aborted was forgotten',
  )
  t.same(
    await byHand('made anew', async () => {
      await other.query(`ALTER SCHEMA pointsman RENAME TO aside; ${decisionsDdl.join(';')}`)
    }),
    ['aborted', 0],
    'its insert finds another table than its parts name',
  )
  await other.query('DROP SCHEMA pointsman CASCADE; ALTER SCHEMA aside RENAME TO pointsman')
  t.equal(await decided((text) => said(other, text), await decisionName('undisturbed'), []), 'commit')
  t.equal((await preparedOn('main')) + (await preparedOn('media')), 0)
})

t.test('what recovery cannot end is listed with the reason, and ended as soon as it can', async (t) => {
  const { runtime } = await withProxy(t, config)
  const media = await connected('media')
  const name = await decisionName('byhand')
  const [lost, found] = ['gone', 'main'].map((decider) => partName({ ...name, decider, cluster: 'media' }))
  const moved = partName({ ...name, cluster: 'main' })
  for (const gid of [lost, found, moved])
    await media.query(`BEGIN; INSERT INTO media_keys VALUES ('${String(gid)}'); PREPARE TRANSACTION '${String(gid)}'`)
  await media.query("BEGIN; INSERT INTO media_keys VALUES ('another'); PREPARE TRANSACTION 'another program''s'")
  await until('one is ended, one is in doubt', async () => (await preparedOn('media')) === 2 && runtime.twoPhase.inDoubt().length === 1)
  const [one] = runtime.twoPhase.inDoubt()
  t.match(one, { gid: lost, database: 'app', cluster: 'media', decider: 'gone', owner: 'app', why: /cluster gone, where the decision is/ })
  t.ok((one?.ageSeconds ?? 0) >= 1)
  await media.query(`ROLLBACK PREPARED '${String(lost)}'`)
  await media.query("ROLLBACK PREPARED 'another program''s'")
  await runtime.twoPhase.recover()
  await until('nothing is in doubt', async () => {
    await runtime.twoPhase.recover()
    return runtime.twoPhase.inDoubt().length === 0
  })
  t.notOk((await keysOn('media')).has(found), 'nobody had decided, so it was rolled back')
})

t.test('a table of decisions that is gone, made anew, or of another server says nothing', async (t) => {
  const { runtime } = await withProxy(t, config)
  const [main, media] = [await connected('main'), await connected('media')]
  const name = await decisionName('whose')
  const foreign = partName({ ...name, place: '1.2.3', cluster: 'media' })
  const own = partName({ ...name, cluster: 'media' })
  await main.query(`INSERT INTO pointsman.decisions VALUES ('${decisionKey(name)}', 'commit', '{main,media}')`)
  await main.query('ALTER SCHEMA pointsman RENAME TO aside')
  for (const gid of [foreign, own]) await media.query(`BEGIN; INSERT INTO media_keys VALUES ('${gid}'); PREPARE TRANSACTION '${gid}'`)
  const inDoubt = (why: RegExp): Promise<void> =>
    until(`both are in doubt: ${String(why)}`, async () => {
      await runtime.twoPhase.recover()
      const found = runtime.twoPhase.inDoubt()
      return found.length === 2 && found.every((one) => why.test(one.why ?? ''))
    })
  await inDoubt(/"pointsman.decisions" does not exist/)
  await main.query(decisionsDdl.join(';'))
  await inDoubt(/is not the table that its decision belongs to/)
  await main.query('DROP SCHEMA pointsman CASCADE; ALTER SCHEMA aside RENAME TO pointsman')
  await until('its own has decided', async () => {
    await runtime.twoPhase.recover()
    return (await preparedOn('media')) === 1
  })
  t.match(runtime.twoPhase.inDoubt(), [{ gid: foreign, why: /is not the table/ }])
  t.ok((await keysOn('media')).has(own), 'as it was decided')
  await media.query(`ROLLBACK PREPARED '${foreign}'`)
})

t.test('a decision that comes while recovery looks is not forgotten, however old the clock calls it', async (t) => {
  const valid = validateConfig({ ...config, auth: { method: 'trust', users: [{ name: 'app' }] } }, { env: {}, readFile: () => '' })
  if (!valid.ok) throw new Error(JSON.stringify(valid.problems))
  const [main, media] = [await connected('main'), await connected('media')]
  const name = await decisionName('jumped')
  const part = partName({ ...name, cluster: 'media' })
  let looking = 2
  const meanwhile = async (): Promise<void> => {
    await media.query(`BEGIN; INSERT INTO media_keys VALUES ('jumped'); PREPARE TRANSACTION '${part}'`)
    await main.query(`INSERT INTO pointsman.decisions VALUES ('${decisionKey(name)}', 'commit', '{main,media}', now() - interval '1 day')`)
  }
  const recovery = new TwoPhaseRecovery({
    config: () => valid.config,
    observer: createObserver(),
    open: async (cluster) => {
      const client = await connected(cluster)
      const query = async (text: string): Promise<Said> => {
        const answer = await said(client, text)
        if (text === preparedSql && --looking === 0) await meanwhile()
        return answer
      }
      return { query, close: () => void client.end() }
    },
  })
  await recovery.pass()
  await until('it is ended', async () => {
    await recovery.pass()
    return (await preparedOn('media')) === 0
  })
  t.ok((await keysOn('media')).has('jumped'), 'as it was decided')
})

t.test('names too long for a prepared transaction are told before anything is prepared', async (t) => {
  const asked: string[] = []
  const one = (cluster: string): Participant => ({
    cluster,
    run: (text) => {
      asked.push(text)
      return Promise.reject(new Error('nobody is asked'))
    },
  })
  const ending = await commitTogether([one('short'), one('c'.repeat(180))], {
    ...{ database: 'app', unique: 'long', observer: createObserver(), now: () => 0, limitMs: 1000, waitMs: 0 },
    ...{ open: () => Promise.reject(new Error('nobody is asked')), place: () => Promise.resolve('1.2.3') },
  })
  t.match(ending, { kind: 'aborted', error: RangeError })
  t.same(asked, [])
})
