// Chaos and lifetimes: connections that end at any moment make no answer wrong, only documented errors, and everything
// is well again as soon as the chaos is taken out of the configuration.
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import type pg from 'pg'
import t, { type Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import type { ConfigInput } from '../../src/config/input.js'
import { validateConfig } from '../../src/config/validate.js'
import { catalogue } from '../../src/errors/catalogue.js'
import type { Observer } from '../../src/observe/events.js'
import type { RuntimeSnapshot } from '../../src/runtime/contract.js'
import { withProxy } from '../support/proxy.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 2,
      seed: 'CREATE TABLE counters (id int PRIMARY KEY, n int NOT NULL); INSERT INTO counters SELECT g, 0 FROM generate_series(1, 16) g',
    },
  },
})
const calm = routerConfig(running, { default: 'main', reads: { default: { consistency: 'session', on_unmet: ['wait 30ms', 'primary'] } } })
const wild: ConfigInput = {
  ...calm,
  chaos: { i_know: true, kill: '40ms', delay: { share: 0.3, by: '80ms' }, pause: { every: '200ms', for: '150ms' }, seed: 7 },
}
const documented: ReadonlySet<string> = new Set(Object.values(catalogue).map(({ sqlstate }) => sqlstate))

interface Sql {
  query(text: string, values: unknown[]): Promise<{ readonly rows: Record<string, unknown>[] }>
}

/** What one user does to a counter of its own, and what was wrong with it. */
class User {
  readonly id: number
  readonly wrong: string[] = []
  readonly errors: string[] = []
  reads = 0
  #sql: Sql | null = null
  readonly #connect: () => Promise<Sql>
  /** Written for sure, written perhaps, seen. */
  #acknowledged = 0
  #attempted = 0
  #seen = 0

  constructor(id: number, connect: () => Promise<Sql>) {
    this.id = id
    this.#connect = connect
  }

  async work(going: () => boolean): Promise<void> {
    for (let turn = 0; going(); turn++) {
      try {
        this.#sql ??= await this.#connect()
        await (turn % 5 === 0 ? this.#write(this.#sql) : this.#read(this.#sql))
      } catch (error) {
        const { code = '?', message } = error as { code?: string; message: string }
        this.errors.push(`${code} ${message}`)
        if (this.errors.length > 1000) throw error
        await pause(1)
        // A client that was closed connects again, as a pool would.
        if (code === '57P01' || code === '08006' || code === '?') this.#sql = null
      }
    }
  }

  /** The same value again until it is acknowledged. */
  async #write(sql: Sql): Promise<void> {
    this.#attempted = this.#acknowledged + 1
    await sql.query('UPDATE counters SET n = GREATEST(n, $2) WHERE id = $1', [this.id, this.#attempted])
    this.#acknowledged = this.#attempted
  }

  async #read(sql: Sql): Promise<void> {
    const least = Math.max(this.#acknowledged, this.#seen)
    const { rows } = await sql.query('SELECT n FROM counters WHERE id = $1', [this.id])
    const n = Number(rows[0]?.['n'])
    this.reads += 1
    if (!(n >= least && n <= this.#attempted)) this.wrong.push(`${String(n)}, not ${String(least)} to ${String(this.#attempted)}`)
    this.#seen = n
  }
}

interface Door {
  readonly users: readonly User[]
  readonly observer: Observer
  readonly calm: () => Promise<unknown>
  readonly snapshot: () => RuntimeSnapshot | null
}

/** Load under chaos until there was enough of each kind, then without: nothing wrong in either, and no errors in the second. */
async function prove(t: Test, { users, observer, calm, snapshot }: Door): Promise<void> {
  const happened = { kill: 0, delay: 0, pause: 0 }
  observer.on('chaos', ({ what }) => (happened[what] += 1))
  const reads = (): number => users.reduce((sum, user) => sum + user.reads, 0)
  const underLoad = async (what: string, done: () => boolean): Promise<void> => {
    const over = new AbortController()
    const work = users.map((user) => user.work(() => !over.signal.aborted))
    await until(what, () => Promise.resolve(done()), 60_000).finally(() => over.abort())
    await Promise.all(work)
  }
  await underLoad('there was enough chaos', () => happened.kill >= 40 && happened.delay >= 5 && happened.pause >= 4 && reads() > 300)
  const errors = users.flatMap((user) => user.errors.splice(0))
  for (const error of errors) t.ok(documented.has(error.slice(0, 5)), error)
  t.comment(`${String(reads())} reads, ${JSON.stringify(happened)}, ${String(errors.length)} errors`)

  await calm()
  await until('every server is used again', () =>
    Promise.resolve(
      (snapshot()?.topology.clusters.get('main')?.nodes ?? []).every(({ health, unfit }) => health === 'up' && unfit === null),
    ),
  )
  const before = { ...happened, reads: reads() }
  await underLoad('reads go on', () => reads() > before.reads + 300)
  t.match(happened, { kill: before.kill, delay: before.delay, pause: before.pause }, 'nothing more is broken')
  t.same(
    users.flatMap((user) => user.errors),
    [],
    'and nothing fails',
  )
  t.same(
    users.flatMap((user) => user.wrong),
    [],
    'no read was ever wrong',
  )
}

t.test('chaos through the proxy', async (t) => {
  const it = await withProxy(t, wild)
  t.match(it.events('log')[0], { level: 'warn', message: /CHAOS IS ON/ })
  const users = Array.from({ length: 5 }, (_, index) => new User(1 + index, async () => it.connect()))
  await prove(t, {
    users,
    observer: it.observer,
    calm: () => it.runtime.reload(valid(calm)),
    snapshot: () => it.runtime.snapshot(),
  })
})

t.test('chaos in the library', async (t) => {
  const warned = once(process, 'warning')
  const pool = router(t, wild)
  t.match(await warned, [{ code: 'POINTSMAN_CHAOS' }])
  const users = Array.from({ length: 5 }, (_, index) => new User(11 + index, () => session(t, pool)))
  await prove(t, { users, observer: pool.events, calm: () => pool.reload(calm), snapshot: () => pool.snapshot() })
})

t.test('a client that is too old is asked to connect anew, outside of a transaction', async (t) => {
  const { connect, runtime } = await withProxy(t, calm)
  const told = (client: pg.Client): unknown[] => {
    const codes: unknown[] = []
    // pg tells the reason first, and then that the socket is closed.
    client.once('error', (error: Error & { code?: string }) => void codes.push(error.code))
    return codes
  }
  const open = await connect()
  const codes = told(open)
  const idle = told(await connect())
  await open.query('BEGIN')
  await open.query('SELECT 1')
  await runtime.reload(valid({ ...calm, listen: { client_lifetime: '1s' } }))
  await until('the idle one is closed', () => Promise.resolve(idle.length > 0))
  const later = told(await connect())
  await until('so is one that came only then', () => Promise.resolve(later.length > 0))
  t.same((await open.query('SELECT n FROM counters WHERE id = 16')).rows, [{ n: 0 }], 'an open transaction goes on')
  await open.query('COMMIT').catch(() => undefined)
  await until('now it is closed too', () => Promise.resolve(codes.length > 0))
  t.same([codes, idle, later], [['57P01'], ['57P01'], ['57P01']])
  const next = await connect()
  t.same((await next.query('SELECT 1 AS n')).rows, [{ n: 1 }])
})

async function session(t: Test, pool: pg.Pool): Promise<Sql> {
  const client = await pool.connect()
  client.on('error', () => undefined)
  t.teardown(() => client.release())
  return client
}

function valid(input: ConfigInput): Parameters<Awaited<ReturnType<typeof withProxy>>['runtime']['reload']>[0] {
  const listening = { listen: { host: '127.0.0.1', port: 0, ...input.listen }, auth: { users: [{ name: 'app', password: 'app' }] } }
  const result = validateConfig({ ...input, ...listening }, { env: {}, readFile: () => '' })
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.config
}
