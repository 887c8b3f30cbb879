// Who gets a connection when there are not enough: turns by weight, bounds of users and databases, the bound of the queue, and
// how many connections are opened at a time. Over connections that are only flags, so that the order is exact.
import t, { type Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import { PointsmanError } from '../../src/errors/error.js'
import type { Observer } from '../../src/observe/events.js'
import { Account, type Party } from '../../src/pool/account.js'
import type { Lease } from '../../src/pool/contract.js'
import type { LaneNewcomer, SharedLane } from '../../src/pool/lane-kind.js'
import { Lanes } from '../../src/pool/lanes.js'
import { Pool, type PoolSettings } from '../../src/pool/pool.js'
import { Turns, type Taker } from '../../src/pool/turns.js'
import { FakeConnection } from '../support/fake-connection.js'

const silent: Observer = { emit: () => undefined, on: () => () => undefined }
const never = new AbortController().signal
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

interface Bench {
  readonly pool: Pool<FakeConnection>
  /** Opens that have been asked for and not been let in yet. */
  readonly doors: (() => void)[]
  opened: number
  /** Why openings fail; null: they do not. */
  fail: Error | null
  /** Connections are let in as they come. */
  open: boolean
  clock: number
}

function bench(t: Pick<Test, 'teardown'>, settings: Partial<PoolSettings> = {}): Bench {
  const it: { -readonly [K in keyof Bench]: Bench[K] } = {
    pool: undefined as unknown as Pool<FakeConnection>,
    doors: [],
    opened: 0,
    fail: null,
    open: true,
    clock: 0,
  }
  it.pool = new Pool<FakeConnection>({
    node: { id: 'n:1', host: 'n', port: 1, weight: 1, zone: null, subscriber: false },
    identity: { cluster: 'main', dbname: 'app', user: 'server', password: null, key: 'k' },
    settings: {
      max: 1,
      waitMs: 60_000,
      queue: 100_000,
      lifetimeMs: 1e9,
      idleMs: 1e9,
      connectMs: 60_000,
      scrubMs: 5000,
      reset: 'tainted',
      ...settings,
    },
    connect: async () => {
      if (!it.open) await new Promise<void>((resolve) => it.doors.push(resolve))
      if (it.fail !== null) throw it.fail
      it.opened += 1
      return new FakeConnection(it.opened)
    },
    observer: silent,
    now: () => it.clock,
    random: () => 0.5,
    onFailure: () => undefined,
  })
  t.teardown(() => {
    it.doors.splice(0).forEach((open) => open())
    return it.pool.close(0)
  })
  return it
}

function party(
  name: string,
  { weight = 1, max = Infinity, database = common }: { weight?: number; max?: number; database?: Account } = {},
): Party {
  return { user: new Account(name, { weight, max }), database }
}
const common = new Account('app')

/** Waits; each is written down as it is served, and passes its connection on at once if it is to. */
function waits(
  pool: Pool<FakeConnection>,
  who: Party,
  label: string,
  served: string[],
  then: (lease: Lease<FakeConnection>) => void,
): void {
  pool.wait(
    { party: who, signal: never },
    {
      granted: (lease) => {
        served.push(label)
        then(lease)
      },
      failed: (error) => served.push(`${label}: ${error instanceof PointsmanError ? error.code : String(error)}`),
    },
  )
}

const release = (lease: Lease<FakeConnection>): void => lease.release(null)
const later = (lease: Lease<FakeConnection>): void => void setImmediate(release, lease)

const count = (list: readonly string[], label: string): number => list.filter((one) => one === label).length

t.test('1,000 of one user and 1 of another: the one is served next but one; his own keep their order', async (t) => {
  const { pool } = bench(t)
  const [many, one] = [party('many'), party('one')]
  const held = await pool.lease({ party: many, signal: never })
  const served: string[] = []
  for (let n = 0; n < 1_000; n++) waits(pool, many, `many ${String(n)}`, served, later)
  waits(pool, one, 'one', served, later)
  held.release(null)
  await until('all are served', async () => served.length === 1_001)
  t.ok(served.indexOf('one') <= 1, 'not after a thousand others')
  t.same(
    served.filter((label) => label !== 'one'),
    Array.from({ length: 1_000 }, (_, n) => `many ${String(n)}`),
  )
})

t.test('weights 3 and 1: three turns of four, exactly, whoever has more waiting', async (t) => {
  const { pool } = bench(t)
  const [heavy, light] = [party('heavy', { weight: 3 }), party('light')]
  const held = await pool.lease({ signal: never })
  const served: string[] = []
  for (let n = 0; n < 4_00; n++) waits(pool, light, 'light', served, later)
  for (let n = 0; n < 3_00; n++) waits(pool, heavy, 'heavy', served, later)
  held.release(null)
  await until('400 are served', async () => served.length >= 400)
  for (let at = 4; at <= 400; at += 4) t.ok(Math.abs(count(served.slice(0, at), 'heavy') - (at * 3) / 4) <= 1, `after ${String(at)}`)
})

t.test('who has been away has saved up nothing, and who was alone owes nothing', async (t) => {
  const { pool } = bench(t)
  const [early, late] = [party('early'), party('late')]
  const held = await pool.lease({ signal: never })
  const served: string[] = []
  const come = (lease: Lease<FakeConnection>): void => {
    if (served.length === 100) for (let n = 0; n < 50; n++) waits(pool, late, 'late', served, later)
    later(lease)
  }
  for (let n = 0; n < 200; n++) waits(pool, early, 'early', served, come)
  held.release(null)
  await until('all are served', async () => served.length === 250)
  const both = served.slice(100, 140)
  t.ok(Math.abs(count(both, 'late') - 20) <= 1, 'every other turn, no more and no less')
})

t.test('databases take turns one by one, whatever their users weigh', async (t) => {
  const { pool } = bench(t)
  const [a, b] = [new Account('a'), new Account('b')]
  const held = await pool.lease({ signal: never })
  const served: string[] = []
  for (let n = 0; n < 100; n++) {
    waits(pool, party(`u${String(n)}`, { database: a }), 'a', served, later)
    waits(pool, party(`u${String(n)}`, { weight: 10, database: a }), 'a', served, later)
  }
  const other = party('u', { database: b })
  for (let n = 0; n < 50; n++) waits(pool, other, 'b', served, later)
  held.release(null)
  await until('all are served', async () => served.length === 250)
  t.ok(Math.abs(count(served.slice(0, 100), 'b') - 50) <= 1)
})

t.test('turns: the order is that of the start times, at any weights and any coming and going', async (t) => {
  let wrong = 0
  // Against the plain definition, without a heap.
  let seed = 7
  const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below
  const turns = new Turns<Taker & { readonly name: number }>()
  const takers = Array.from({ length: 40 }, (_, name) => ({ name, weight: 1 + (name % 5), start: 0, after: 0, order: 0, place: -1 }))
  for (let n = 0; n < 20_000; n++) {
    const taker = takers[random(40)]
    if (taker === undefined) continue
    if (random(3) === 0) {
      if (taker.place < 0) turns.enter(taker)
      else turns.leave(taker)
    } else {
      const inside = takers.filter(({ place }) => place >= 0).sort((x, y) => x.start - y.start || x.order - y.order)
      if (turns.first !== inside[0] || turns.size !== inside.length) wrong += 1
      turns.served()
    }
  }
  t.equal(wrong, 0)
})

t.test('turns: who comes back at once, with one request at a time, has no more of them than his weight', async (t) => {
  const [light, heavy] = [1, 3].map((weight): Taker => ({ weight, start: 0, after: 0, order: 0, place: -1 }))
  if (light === undefined || heavy === undefined) return
  const turns = new Turns<Taker>()
  for (const taker of [light, heavy]) turns.enter(taker)
  let lights = 0
  for (let n = 0; n < 40; n++) {
    const { first } = turns
    turns.served()
    if (first !== light) continue
    lights += 1
    turns.leave(light)
    turns.enter(light)
  }
  t.ok(lights >= 9 && lights <= 11, String(lights))
})

t.test('max_connections of a user: he waits for his own, others pass him', async (t) => {
  const it = bench(t, { max: 10 })
  const [bounded, free] = [party('bounded', { max: 2 }), party('free')]
  const leases: Lease<FakeConnection>[] = []
  const served: string[] = []
  const keep = (lease: Lease<FakeConnection>): void => void leases.push(lease)
  for (let n = 0; n < 50; n++) waits(it.pool, bounded, 'bounded', served, keep)
  await until('two are served', async () => served.length === 2)
  for (let n = 0; n < 10; n++) await turn()
  t.equal(it.opened, 2, 'none is opened for those who may not have it')
  t.equal(it.pool.wanted, false)
  const mine = await it.pool.lease({ party: free, signal: never })
  mine.release(null)
  t.equal(it.pool.counts().idle, 1)
  t.equal(it.pool.tryLease(undefined, bounded), null, 'an idle one is not his')
  t.ok(it.pool.tryLease(undefined, free), 'but others get it within the call')
  leases.shift()?.release(null)
  await until('one more', async () => served.length === 3)
  t.equal(bounded.user.held, 2)
  t.equal(count(served, 'bounded'), 3)
})

t.test('max_connections counts over pools: what is given back here serves who waits there', async (t) => {
  const [here, there] = [bench(t), bench(t)]
  const user = party('user', { max: 1 })
  const idle = await there.pool.lease({ signal: never })
  idle.release(null)
  const held = await here.pool.lease({ party: user, signal: never })
  const served: string[] = []
  waits(there.pool, user, 'there', served, release)
  await turn()
  t.same(served, [], 'although a connection is idle there')
  held.release(null)
  await until('it is served', async () => served.length === 1)
  t.equal(user.user.held, 0)
})

t.test('max_connections of a database holds for all its users; a raised bound serves at once', async (t) => {
  const { pool } = bench(t, { max: 5 })
  const database = new Account('small', { max: 1, weight: 1 })
  const [a, b] = [party('a', { database }), party('b', { database })]
  const held = await pool.lease({ party: a, signal: never })
  const served: string[] = []
  waits(pool, b, 'b', served, () => undefined)
  waits(pool, a, 'a', served, () => undefined)
  const free = await pool.lease({ party: party('c'), signal: never })
  free.release(null)
  t.same(served, [])
  database.allow({ max: 3, weight: 1 })
  await until('both are served', async () => served.length === 2)
  held.release(null)
  // The other two have theirs still.
  t.equal(database.held, 2)
})

t.test('pool.wait over at a bound of his own: 53300 names whose it was', async (t) => {
  const { pool } = bench(t, { max: 5, waitMs: 20 })
  const user = party('greedy', { max: 1 })
  const held = await pool.lease({ party: user, signal: never })
  await t.rejects(pool.lease({ party: user, signal: never }), {
    code: '53300',
    message:
      /^user "greedy" has 1 server connections, and may have 1 at once \(max_connections\), and none of them was given back within 20 ms/,
  })
  held.release(null)
})

t.test('a full queue: 53300 with its numbers for who has most there, a place for who has less', async (t) => {
  const it = bench(t, { queue: 10 })
  const [many, one] = [party('many'), party('one')]
  const held = await it.pool.lease({ signal: never })
  const served: string[] = []
  for (let n = 0; n < 10; n++) waits(it.pool, many, `many ${String(n)}`, served, later)
  it.clock = 250
  await t.rejects(it.pool.lease({ party: many, signal: never }), {
    code: '53300',
    message:
      'the queue of the pool of node n:1 of cluster main for user server is full: 1 of 1 connections lent, 0 opening, ' +
      '10 waiting (pool.queue 10), the oldest for 250 ms',
  })
  waits(it.pool, one, 'one', served, later)
  t.same(served, ['many 9: 53300'], 'the last of who has most')
  t.equal(it.pool.counts().waiting, 10)
  held.release(null)
  await until('the others are served', async () => served.length === 11)
  t.ok(served.indexOf('one') <= 2)
})

t.test('a full queue: who has most there is who has most for his weight', async (t) => {
  const it = bench(t, { queue: 10 })
  const [heavy, light] = [party('heavy', { weight: 3 }), party('light')]
  const held = await it.pool.lease({ signal: never })
  const served: string[] = []
  for (let n = 0; n < 6; n++) waits(it.pool, heavy, `heavy ${String(n)}`, served, later)
  for (let n = 0; n < 4; n++) waits(it.pool, light, `light ${String(n)}`, served, later)
  waits(it.pool, heavy, 'heavy 6', served, later)
  waits(it.pool, light, 'light 4', served, later)
  t.same(served, ['light 3: 53300', 'light 4: 53300'])
  held.release(null)
  await until('the others are served', async () => served.length === 12)
})

t.test('those who run out of time do so in the order in which they came, whoever they are', async (t) => {
  const { pool } = bench(t, { waitMs: 30 })
  const held = await pool.lease({ signal: never })
  const served: string[] = []
  for (let n = 0; n < 6; n++) waits(pool, party(`u${String(n)}`), String(n), served, later)
  await until('all have heard', async () => served.length === 6)
  t.same(
    served,
    [0, 1, 2, 3, 4, 5].map((n) => `${String(n)}: 53300`),
  )
  t.match(pool.counts(), { waiting: 0, longestWaitMs: 0 })
  held.release(null)
})

t.test('a storm: four are opened at a time; what comes free goes to who waits before a new one does', async (t) => {
  const it = bench(t, { max: 20 })
  it.open = false
  const served: string[] = []
  const leases: Lease<FakeConnection>[] = []
  for (let n = 0; n < 300; n++) waits(it.pool, party(`u${String(n % 7)}`), String(n), served, (lease) => leases.push(lease))
  const asked: number[] = []
  await until('all that may be are open', async () => {
    asked.push(it.doors.length)
    it.doors.shift()?.()
    await turn()
    return served.length === 20
  })
  t.equal(Math.max(...asked), 4)
  t.equal(it.opened, 20, 'and no more than pool.max')
  it.open = true
  while (leases.length > 0) leases.shift()?.release(null)
  await until('all are served', async () => {
    while (leases.length > 0) leases.shift()?.release(null)
    return served.length === 300
  })
  t.equal(it.opened, 20)
})

t.test('a connection that comes free while another is opened is not waited for', async (t) => {
  const it = bench(t, { max: 2 })
  const held = await it.pool.lease({ signal: never })
  it.open = false
  const served: string[] = []
  waits(it.pool, party('a'), 'a', served, release)
  await turn()
  t.equal(it.doors.length, 1)
  held.release(null)
  t.same(served, ['a'], 'within the call')
})

t.test('an opening that fails is not tried again for nobody', async (t) => {
  const it = bench(t, { max: 2 })
  const held = await it.pool.lease({ signal: never })
  it.fail = new Error('no')
  const gone = new AbortController()
  const waiting = it.pool.lease({ party: party('a'), signal: gone.signal })
  await until('it has failed', async () => it.pool.counts().opening === 0 || it.pool.counts().waiting === 1)
  for (let n = 0; n < 5; n++) await turn()
  gone.abort(new Error('left'))
  await t.rejects(waiting, /left/)
  it.fail = null
  await until('nothing is being opened', async () => it.pool.counts().opening === 0)
  t.equal(it.opened, 1)
  held.release(null)
})

t.test('the line for a lane: one user has all of it, or half of it where others come too', async (t) => {
  const { pool } = bench(t, { max: 4 })
  const full = { open: false, moving: true, node: 'n:1', openedAt: 0, idleSince: 0, served: 0, inFlight: 1, state: 'open' as const }
  const lane: SharedLane<Newcomer> = { ...full, has: () => false, push: () => undefined, retire: () => undefined, check: () => undefined }
  const lanes = new Lanes<FakeConnection, Newcomer, SharedLane<Newcomer>>(
    { enabled: true, depth: 16, stallMs: 1e9, maxResultBytes: 1e6, connections: 1 },
    { now: () => 0, kind: { suits: () => 0, prepare: () => Promise.resolve(false), open: () => lane } },
  )
  t.teardown(() => lanes.close())
  const group = lanes.group(pool, '', new Map())
  const [many, one] = [party('many'), party('one')]
  const ask = (who: Party): boolean => group?.push({ queuedAt: 0, party: who, fits: () => true, missed: () => undefined }, 0) ?? false
  await until('the lane is open', async () => ask(many))
  let line = 1
  while (ask(many)) line += 1
  t.equal(line, 256, 'all of it')
  t.equal(ask(one), false, 'it is full')
  group?.retire('for another')
  t.equal(many.user.inLine, 0)
  const other = lanes.group(pool, 'other', new Map())
  const askOther = (who: Party): boolean => other?.push({ queuedAt: 0, party: who, fits: () => true, missed: () => undefined }, 0) ?? false
  await until('the lane is open', async () => askOther(one))
  line = 0
  while (askOther(many)) line += 1
  t.equal(line, 128, 'half of it')
  t.equal(askOther(one), true)
})

type Newcomer = LaneNewcomer<unknown>
