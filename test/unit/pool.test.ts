// The pool over generic-pool, with connections that are only flags: what it promises about lending, waiting, failing
// to open, scrubbing, dying and closing. SQL plays no part here.
import { getEventListeners } from 'node:events'
import t, { type Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import { PointsmanError } from '../../src/errors/error.js'
import type { Observer } from '../../src/observe/events.js'
import { createObserver } from '../../src/observe/observer.js'
import { Account } from '../../src/pool/account.js'
import type { Identity, Lease, Permits } from '../../src/pool/contract.js'
import { Pool, type PoolSettings } from '../../src/pool/pool.js'
import { FakeConnection } from '../support/fake-connection.js'

type Held = Lease<FakeConnection>
const identity: Identity = { cluster: 'main', dbname: 'app', user: 'app', password: 'secret', key: 'k' }
const node = { id: 'n:1', host: 'n', port: 1, weight: 1, zone: null, subscriber: false }
const silent: Observer = { emit: () => undefined, on: () => () => undefined }
const never = new AbortController().signal
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

interface Bench {
  readonly pool: Pool<FakeConnection>
  readonly opened: FakeConnection[]
  readonly failures: unknown[]
  /** Next openings fail with this; null: they succeed. */
  fail: Error | null
  now: number
  opening: Promise<void>
  emptied: number
}

function bench(
  settings: Partial<PoolSettings> = {},
  random: () => number = () => 0.5,
  observer: Observer = silent,
  permits?: Permits,
): Bench {
  const it: { -readonly [K in keyof Bench]: Bench[K] } = {
    pool: undefined as unknown as Pool<FakeConnection>,
    opened: [],
    failures: [],
    fail: null,
    now: 0,
    opening: Promise.resolve(),
    emptied: 0,
  }
  it.pool = new Pool<FakeConnection>({
    node,
    identity,
    settings: {
      max: 2,
      waitMs: 5000,
      queue: 1000,
      lifetimeMs: 1e9,
      idleMs: 1e9,
      connectMs: 5000,
      scrubMs: 5000,
      reset: 'tainted',
      ...settings,
    },
    connect: async () => {
      await it.opening
      if (it.fail !== null) throw it.fail
      const connection = new FakeConnection(it.opened.length)
      it.opened.push(connection)
      return connection
    },
    observer,
    now: () => it.now,
    random,
    onFailure: (_node, error) => it.failures.push(error),
    permits: permits === undefined ? null : () => permits,
    onEmpty: () => {
      it.emptied++
    },
  })
  return it
}

const closing = (t: Test, pool: Pool<FakeConnection>): void => t.teardown(() => pool.close(0))

t.test('lends, takes back, lends the same again', async (t) => {
  const { pool, opened } = bench()
  closing(t, pool)
  const first = await pool.lease({ signal: never })
  t.equal(pool.counts().busy, 1)
  first.release(null)
  t.match(pool.counts(), { busy: 0, idle: 1, waiting: 0 })
  const second = await pool.lease({ signal: never })
  t.equal(second.connection, first.connection)
  t.equal(opened.length, 1)
  second.release(null)
})

t.test('a lease ends exactly once', async (t) => {
  const { pool } = bench()
  closing(t, pool)
  const lease = await pool.lease({ signal: never })
  lease.release(null)
  t.throws(() => lease.release(null), /ended twice/)
  t.throws(() => lease.destroy('x'), /ended twice/)
  t.equal(pool.counts().idle, 1)
})

t.test('hands out the idle connection that suits best', async (t) => {
  const { pool } = bench({ max: 3 })
  closing(t, pool)
  const leases = await Promise.all([0, 1, 2].map(() => pool.lease({ signal: never })))
  for (const lease of leases) lease.release(null)
  for (const wanted of [1, 0, 2]) {
    const lease = await pool.lease({ signal: never, prefer: (it) => (it.number === wanted ? 1 : 0) })
    t.equal(lease.connection.number, wanted)
    lease.release(null)
  }
})

t.test('first come, first served, also past one that gave up', async (t) => {
  const { pool } = bench({ max: 1 })
  closing(t, pool)
  const held = await pool.lease({ signal: never })
  const order: string[] = []
  const wait = async (name: string, signal: AbortSignal): Promise<void> => {
    const lease = await pool.lease({ signal })
    order.push(name)
    lease.release(null)
  }
  const gaveUp = new AbortController()
  const a = t.rejects(wait('a', gaveUp.signal), /gave up/)
  const b = wait('b', never)
  const c = wait('c', never)
  gaveUp.abort(new Error('gave up'))
  t.equal(pool.counts().waiting, 2)
  held.release(null)
  await Promise.all([a, b, c])
  t.same(order, ['b', 'c'])
})

t.test('a full pool refuses with 53300 and its numbers, and the next in line is not held up by it', async (t) => {
  const { pool } = bench({ max: 1, waitMs: 20 })
  closing(t, pool)
  const held = await pool.lease({ signal: never })
  const error = await pool.lease({ signal: never }).catch((error: unknown) => error)
  t.match(error, { key: 'too_many_connections', code: '53300' })
  t.match((error as Error).message, /node n:1 of cluster main for user app is full: 1 of 1 connections lent/)
  t.notMatch((error as Error).message, /secret/)
  t.equal(pool.counts().waiting, 0)
  const next = pool.lease({ signal: never })
  held.release(null)
  ;(await next).release(null)
})

t.test('a failed opening tells everyone who waits, once, and backs off', async (t) => {
  const it = bench({ max: 2 })
  closing(t, it.pool)
  it.fail = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  const results = await Promise.allSettled([1, 2, 3].map(() => it.pool.lease({ signal: never })))
  t.same(
    results.map((result) => result.status === 'rejected' && (result.reason as Error).message),
    Array(3).fill('connect ECONNREFUSED'),
  )
  t.ok(it.failures.length <= 2, 'one report per attempt')
  it.fail = null
  await t.rejects(it.pool.lease({ signal: never }), /ECONNREFUSED/, 'within the back-off nothing is tried')
  t.equal(it.opened.length, 0)
  it.now = 10_000
  ;(await it.pool.lease({ signal: never })).release(null)
})

t.test('while a connection lives, a failed opening costs nobody', async (t) => {
  const it = bench({ max: 2 })
  closing(t, it.pool)
  const held = await it.pool.lease({ signal: never })
  it.fail = Object.assign(new Error('too many clients'), { code: '53300' })
  const waiting = it.pool.lease({ signal: never })
  await turn()
  t.equal(it.pool.counts().waiting, 1)
  held.release(null)
  t.equal((await waiting).connection, held.connection)
  t.same(it.failures, [], 'a server that answers is not reported as failed')
  ;(await waiting).release(null)
})

t.test('a tainted connection is scrubbed before anybody gets it', async (t) => {
  const it = bench({ max: 1 })
  closing(t, it.pool)
  const first = await it.pool.lease({ signal: never })
  let scrubbed = (): void => undefined
  first.connection.scrubbing = new Promise((resolve) => (scrubbed = resolve))
  first.release('ran a user-defined function')
  let got = false
  const second = it.pool.lease({ signal: never }).then((lease) => ((got = true), lease))
  await turn()
  t.notOk(got)
  t.match(it.pool.counts(), { busy: 0, opening: 1, idle: 0, waiting: 1 })
  scrubbed()
  const lease = await second
  t.equal(lease.connection.scrubs, 1)
  lease.release(null)
})

t.test('a connection that cannot be scrubbed, or not in time, is closed', async (t) => {
  const it = bench({ max: 1, scrubMs: 10 })
  closing(t, it.pool)
  const first = await it.pool.lease({ signal: never })
  first.connection.scrubbing = Promise.reject(new Error('no'))
  first.release('x')
  const second = await it.pool.lease({ signal: never })
  t.not(second.connection, first.connection)
  t.ok(first.connection.closed)
  second.connection.scrubbing = new Promise(() => undefined)
  second.release('x')
  const third = await it.pool.lease({ signal: never })
  t.ok(second.connection.closed)
  third.release(null)
})

t.test('reset: always scrubs after every lease', async (t) => {
  const it = bench({ max: 1, reset: 'always' })
  closing(t, it.pool)
  const lease = await it.pool.lease({ signal: never })
  lease.release(null)
  t.equal(lease.connection.scrubs, 1)
})

t.test('a connection that dies while idle leaves at once', async (t) => {
  const it = bench({ max: 1 })
  closing(t, it.pool)
  const lease = await it.pool.lease({ signal: never })
  lease.release(null)
  lease.connection.die('server closed')
  await turn()
  t.match(it.pool.counts(), { idle: 0, busy: 0 })
  t.equal(it.emptied, 1)
})

t.test('a connection that died unnoticed is never lent', async (t) => {
  const it = bench({ max: 1 })
  closing(t, it.pool)
  const lease = await it.pool.lease({ signal: never })
  lease.release(null)
  lease.connection.usable = false
  const next = await it.pool.lease({ signal: never })
  t.not(next.connection, lease.connection)
  next.release(null)
})

t.test('one past its lifetime is closed when it comes back', async (t) => {
  const it = bench({ max: 1, lifetimeMs: 1000 })
  closing(t, it.pool)
  const lease = await it.pool.lease({ signal: never })
  it.now = 901
  lease.release(null)
  t.ok(lease.connection.closed)
})

t.test('idle ones end at the end of their lifetime too, and not all at once', async (t) => {
  const jitter = [0, 1]
  const it = bench({ max: 2, lifetimeMs: 40 }, () => jitter.shift() ?? 0.5)
  closing(t, it.pool)
  const leases = [await it.pool.lease({ signal: never }), await it.pool.lease({ signal: never })]
  for (const lease of leases) lease.release(null)
  it.now = 35
  await until('one has ended', () => Promise.resolve(it.opened[1]?.closed === true))
  t.notOk(it.opened[0]?.closed, 'the other was given a longer life')
  it.now = 40
  await until('both have ended', () => Promise.resolve(it.opened[0]?.closed === true))
})

t.test('an abort at any moment leaks no lease', async (t) => {
  const it = bench({ max: 2 })
  closing(t, it.pool)
  let seed = 7
  const random = (below: number): number => (seed = (seed * 1103515245 + 12345) % 2147483648) % below
  const one = async (): Promise<void> => {
    const abort = new AbortController()
    const pending = it.pool.lease({ signal: abort.signal })
    for (let turns = random(4); turns > 0; turns--) await (random(2) === 0 ? turn() : Promise.resolve())
    abort.abort(new Error('aborted'))
    const lease = await pending.catch(() => null)
    if (lease === null) return
    await turn()
    if (random(5) === 0) lease.destroy('for a change')
    else lease.release(random(3) === 0 ? 'tainted' : null)
  }
  await Promise.all(Array.from({ length: 300 }, one))
  await turn()
  t.match(it.pool.counts(), { busy: 0, waiting: 0 })
  const [first, other] = await Promise.all([it.pool.lease({ signal: never }), it.pool.lease({ signal: never })])
  t.not(first.connection, other.connection, 'its whole size is there again')
  for (const lease of [first, other]) lease.release(null)
})

t.test('who has left before it asks gets nothing, although a connection is idle', async (t) => {
  const it = bench({ max: 1 })
  closing(t, it.pool)
  const lease = await it.pool.lease({ signal: never })
  lease.release(null)
  await t.rejects(it.pool.lease({ signal: AbortSignal.abort(new Error('left')) }), { message: 'left' })
  t.match(it.pool.counts(), { busy: 0, idle: 1, waiting: 0 })
})

t.test('a pool that is gone leaves nothing with the clients that used it', async (t) => {
  const client = new AbortController()
  for (let count = 0; count < 3; count++) {
    const it = bench({ max: 1 })
    const lease = await it.pool.lease({ signal: client.signal })
    lease.release(null)
    await it.pool.close(Infinity)
  }
  t.same(getEventListeners(client.signal, 'abort'), [])
})

t.test('closing: idle ones at once, lent ones when they come back', async (t) => {
  const it = bench({ max: 2 })
  const lent = await it.pool.lease({ signal: never })
  const idle = await it.pool.lease({ signal: never })
  idle.release(null)
  let closed = false
  const done = it.pool.close(Infinity).then(() => (closed = true))
  await turn()
  t.ok(idle.connection.closed)
  t.notOk(closed)
  await t.rejects(it.pool.lease({ signal: never }), { code: '57P01' })
  lent.release(null)
  await done
  t.ok(lent.connection.closed)
})

t.test('closing: who waits is still served; past the grace everything is closed', async (t) => {
  const it = bench({ max: 1 })
  const lent = await it.pool.lease({ signal: never })
  const waiting = it.pool.lease({ signal: never })
  const stuck = it.pool.lease({ signal: never })
  stuck.catch(() => undefined)
  const done = it.pool.close(Infinity)
  lent.release(null)
  const served = await waiting
  t.equal(served.connection, lent.connection)
  void it.pool.close(0)
  await t.rejects(stuck, { code: '57P01' })
  await done
  t.ok(served.connection.closed)
  t.doesNotThrow(() => served.release(null), 'the holder may still end its lease')
})

t.test('an opening that hangs ends in an error that names the node', async (t) => {
  const it = bench({ max: 1, connectMs: 10 })
  const hanging = new Pool<FakeConnection>({
    node,
    identity,
    settings: { max: 1, waitMs: 5000, queue: 1000, lifetimeMs: 1e9, idleMs: 1e9, connectMs: 10, scrubMs: 5000, reset: 'tainted' },
    connect: (_node, _identity, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
    observer: silent,
    now: () => 0,
    random: () => 0,
    onFailure: (_node, error) => it.failures.push(error),
  })
  closing(t, it.pool)
  closing(t, hanging)
  const alive = setInterval(() => undefined, 1000)
  t.teardown(() => clearInterval(alive))
  const error = await hanging.lease({ signal: never }).catch((error: unknown) => error)
  t.ok(error instanceof PointsmanError)
  t.match((error as Error).message, /n:1 did not answer within 10 ms/)
  t.equal(it.failures.length, 1)
})

t.test(
  'cut off: idle ones are closed, lent ones severed under their holder, the others stay; who waits may be told to give up',
  async (t) => {
    const observer = createObserver()
    const reasons: string[] = []
    observer.on('pool.closed', ({ reason }) => reasons.push(reason))
    const it = bench({ max: 3 }, () => 0.5, observer)
    closing(t, it.pool)
    const leases = await Promise.all([0, 1, 2].map(() => it.pool.lease({ signal: never })))
    const [idle, lent, other] = leases as [Held, Held, Held]
    idle.release(null)
    t.equal(
      it.pool.cutOff((connection) => connection !== other.connection, 'fenced'),
      2,
    )
    await turn()
    t.ok(idle.connection.closed)
    t.notOk(lent.connection.usable)
    t.ok(other.connection.usable)
    lent.destroy('lost')
    t.same(reasons, ['fenced', 'fenced'], 'the first reason is the true one')
    await Promise.all([it.pool.lease({ signal: never }), it.pool.lease({ signal: never })])
    const waiting = it.pool.lease({ signal: never })
    it.pool.giveUpWaiting(new Error('the node is down'))
    await t.rejects(waiting, { message: 'the node is down' })
  },
)

t.test('who leaves while it waits has been cancelled, which is no failure of the pool', async (t) => {
  const observer = createObserver()
  const outcomes: string[] = []
  observer.on('pool.wait', ({ outcome }) => outcomes.push(outcome))
  const it = bench({ max: 1 }, () => 0.5, observer)
  closing(t, it.pool)
  await it.pool.lease({ signal: never })
  const client = new AbortController()
  const waiting = it.pool.lease({ signal: client.signal })
  client.abort(new Error('left'))
  await t.rejects(waiting, { message: 'left' })
  t.same(outcomes, ['ok', 'canceled'])
})

t.test('who waits at a bound of his own is not given one that died unnoticed', async (t) => {
  const { pool } = bench({ max: 3 })
  closing(t, pool)
  const party = { user: new Account('user', { max: 1, weight: 1 }), database: new Account('database') }
  const held = await pool.lease({ signal: never, party })
  const other = await pool.lease({ signal: never })
  other.release(null)
  const waiting = pool.lease({ signal: never, party })
  other.connection.usable = false
  party.user.allow({ max: 2, weight: 1 })
  const lease = await waiting
  t.ok(lease.connection.usable)
  t.not(lease.connection, other.connection)
  t.ok(other.connection.closed)
  lease.release(null)
  held.release(null)
})

t.test('what is scrubbed while the pool is closed, or all that is open is to be closed, is not kept', async (t) => {
  for (const end of ['close', 'renew'] as const) {
    const { pool } = bench()
    closing(t, pool)
    const { connection, release } = await taken(pool)
    let scrubbed = (): void => undefined
    connection.scrubbing = new Promise((resolve) => (scrubbed = resolve))
    release()
    if (end === 'close') void pool.close(Infinity)
    else pool.renew('asked for')
    t.notOk(connection.closed)
    scrubbed()
    await turn()
    t.ok(connection.closed, end)
  }
})

async function taken(pool: Pool<FakeConnection>): Promise<{ readonly connection: FakeConnection; readonly release: () => void }> {
  const lease = await pool.lease({ signal: never })
  return { connection: lease.connection, release: () => lease.release('tainted') }
}

t.test('a permit for a connection that could not be opened is given back', async (t) => {
  let out = 0
  const permits: Permits = {
    share: 2,
    take: () => Promise.resolve(void (out += 1)),
    give: () => void (out -= 1),
    owed: () => false,
    leave: () => undefined,
  }
  const it = bench({}, () => 0.5, silent, permits)
  closing(t, it.pool)
  it.fail = new Error('refused')
  await t.rejects(it.pool.lease({ signal: never }), /refused/)
  t.equal(out, 0)
  it.fail = null
  it.now = 10_000
  const lease = await it.pool.lease({ signal: never })
  t.equal(out, 1)
  lease.destroy('over')
  await turn()
  t.equal(out, 0)
})
