// The executor over a monitor and pools of this test: what a read gets when nothing meets it, what waits for a primary and
// for how long, and which evidence is too old to be used. Time is a number here; only the waiting itself is real.
import t, { type Test } from 'tap'
import type { SessionFloors } from '../../src/consistency/floors.js'
import { createFloors } from '../../src/consistency/floors.js'
import { readPolicy, type LadderStep, type ReadPolicy } from '../../src/consistency/policy.js'
import { validateConfig } from '../../src/config/validate.js'
import type { Grant } from '../../src/execute/contract.js'
import { createExecutor, type ExecutorParts } from '../../src/execute/create-executor.js'
import type { Executor } from '../../src/execute/executor.js'
import { Load } from '../../src/execute/load.js'
import { objection } from '../../src/execute/objection.js'
import { Bans } from '../../src/execute/bans.js'
import { Switches } from '../../src/execute/switches.js'
import type { Monitor } from '../../src/monitor/contract.js'
import { createObserver } from '../../src/observe/observer.js'
import type { PooledConnection } from '../../src/pool/contract.js'
import { one } from '../../src/routing/make.js'
import type { OnePlan } from '../../src/routing/plan.js'
import type { TransactionState } from '../../src/session/transaction.js'
import type { NodeSnapshot, Topology } from '../../src/topology/topology.js'
import { clusterSnapshot, nodeSnapshot } from '../support/snapshots.js'

type Connection = PooledConnection
const never = new AbortController().signal
const keyed = (key: string) => ({ key }) as never
const identity = { cluster: 'main', dbname: 'app', user: 'app', password: null, key: 'app' }

interface Change {
  readonly headlessSince?: number | null
  /** LSN of the replica. */
  readonly at?: bigint
  readonly node?: Partial<NodeSnapshot>
  readonly proved?: number
}

/** A cluster with the primary `p` and the replica `r`; the primary was at 50 at time 100 and at 100 at time 1000. */
class Bench {
  now = 1_000
  readonly switches: Switches
  readonly bans: Bans
  readonly unmet: string[] = []
  readonly asked: string[] = []
  /** Leases in the order in which they were asked for. */
  readonly leased: string[] = []
  checkNow: () => void = () => undefined
  /** Whether the node itself waits for the position. */
  waitFor: (cluster: string, node: string, lsn: bigint, ms: number) => boolean = () => false
  /** How often it was asked what is known. */
  looks = 0
  /** This login cannot connect. */
  unreachable = ''
  /** No connection is idle; whoever waits for one gets it by free(). */
  full = false
  readonly #queue: (() => void)[] = []
  readonly destroyed: string[] = []
  #topology: Topology
  #waiting: (() => void)[] = []
  readonly executor: Executor<Connection>
  readonly load = new Load()

  constructor(t: Test, change: Change = {}, failoverMs = 10_000, readOnly?: string) {
    const observer = createObserver()
    observer.on('read.unmet', ({ step }) => this.unmet.push(step))
    this.switches = new Switches(observer, () => this.now)
    t.teardown(() => this.switches.close())
    this.bans = new Bans(observer, () => this.now)
    this.#topology = topology(change)
    const input = {
      version: 1,
      clusters: {
        main: {
          dbname: 'app',
          user: 'app',
          nodes: ['p:1', 'r:1'],
          failover: { wait: `${String(failoverMs)}ms` },
          ...(readOnly === undefined ? {} : { read_only: readOnly }),
        },
      },
      databases: { app: { default: 'main' } },
    }
    const result = validateConfig(input, { env: {}, readFile: () => '' })
    if (!result.ok) throw new Error(JSON.stringify(result.problems))
    this.executor = createExecutor<Connection>({
      config: result.config,
      monitor: this.#monitor(),
      pools: {
        pool: (_cluster: unknown, { id }: { id: string }, { key }: { key: string }) => this.#pool(id, key),
      } as unknown as ExecutorParts<Connection>['pools'],
      load: this.load,
      switches: this.switches,
      bans: this.bans,
      observer,
      now: () => this.now,
      random: () => 0,
    })
  }

  publish(change: Change): void {
    this.#topology = topology(change)
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  free(): void {
    this.full = false
    for (const give of this.#queue.splice(0)) give()
  }

  /** Waits by a call, as the proxy does. */
  take(plan: OnePlan, floors: SessionFloors = createFloors()): Promise<Grant<Connection>> {
    return new Promise((resolve, reject) => {
      const grant = this.executor.take(
        { plan, identity, floors, invokedAt: this.now, signal: never },
        { granted: resolve, failed: reject as (error: unknown) => void },
      )
      if (grant !== null) resolve(grant)
    })
  }

  read(policy: Partial<ReadPolicy>, floors: SessionFloors = createFloors()): Promise<Grant<Connection>> {
    const plan = one({ cluster: 'main', role: 'replica', readsData: true, policy: readPolicy({ consistency: 'any', ...policy }), why: [] })
    return this.acquire(plan, floors)
  }

  acquire(plan: OnePlan, floors: SessionFloors = createFloors(), signal = never): Promise<Grant<Connection>> {
    return this.executor.acquire({ plan, identity, floors, invokedAt: this.now, signal })
  }

  #monitor(): Monitor {
    return {
      current: () => {
        this.looks += 1
        return this.#topology
      },
      wanted: () => undefined,
      sampleNow: () => {
        this.asked.push('primary sample')
        return Promise.resolve()
      },
      checkNow: (_cluster: string, node: string) => {
        this.asked.push(node)
        this.checkNow()
        return Promise.resolve()
      },
      waitFor: (...to: Parameters<Monitor['waitFor']>) => this.waitFor(...to),
      changed: (signal: AbortSignal) =>
        new Promise<void>((resolve, reject) => {
          this.#waiting.push(resolve)
          signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true })
        }),
    } as unknown as Monitor
  }

  #pool(node: string, login: string): unknown {
    const lease = (): Grant<Connection>['lease'] => ({
      connection: {
        evidence: { node, openedAt: 0, inRecovery: node !== 'p:1', position: 0n, postmasterStart: 'start', timeline: 1 },
      } as unknown as Connection,
      node,
      cluster: 'main',
      release: () => undefined,
      destroy: (reason) => void this.destroyed.push(reason),
    })
    return {
      wait: (_request: unknown, waiter: { granted: (lease: Grant<Connection>['lease']) => void }) => {
        this.#queue.push(() => waiter.granted(lease()))
      },
      tryLease: () => {
        this.leased.push(node)
        return this.unreachable === login || this.full ? null : lease()
      },
      lease: () => {
        this.leased.push(node)
        return this.unreachable === login
          ? Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }))
          : Promise.resolve(lease())
      },
    }
  }
}

function topology({ headlessSince = null, at = 50n, node = {}, proved = 1_000 }: Change): Topology {
  const make = (id: string, role: 'primary' | 'replica', lsn: bigint): NodeSnapshot =>
    nodeSnapshot(id, {
      role,
      roleProvedAt: proved,
      receiving: role === 'replica' ? true : null,
      replayRate: 10,
      position: { lsn, sentAt: 1_000, connectedAt: 0, postmasterStart: 'start', timeline: 1 },
      ...(role === 'replica' ? node : {}),
    })
  const primary = headlessSince === null ? make('p:1', 'primary', 100n) : null
  const nodes = [...(primary === null ? [] : [primary]), make('r:1', 'replica', at)]
  const samples = [
    { sentAt: 100, lsn: 50n },
    { sentAt: 1_000, lsn: 100n },
  ]
  const cluster = clusterSnapshot({ since: 0, headlessSince, nodes, primary, timeline: 1, series: { samples } })
  return { generation: 1, clusters: new Map([['main', cluster]]) }
}

const toPrimary: LadderStep = { step: 'primary', limit: null }
const write = one({ cluster: 'main', role: 'primary', writes: true, why: [] })
const bounded = { consistency: 'bounded', maxStalenessMs: 500 } as const
/** The replica is at most 900 ms behind, at time 1000. */
const enough = 900

t.test('degraded: what is proved within the allowance answers, before the primary and after waiting', async (t) => {
  const bench = new Bench(t)
  t.match((await bench.read(bounded)).route, { role: 'primary', step: 'primary' })
  bench.switches.setAllowStale('main', enough, 60_000, 'ops')
  t.match((await bench.read(bounded)).route, { role: 'replica', step: 'degraded', boundMs: 900 })
  bench.unmet.length = 0
  // Time stands still here, so the wait is over when it has asked once.
  t.match((await bench.read({ ...bounded, onUnmet: [{ step: 'wait', ms: 0 }, toPrimary] })).route, { step: 'degraded' })
  t.same(bench.unmet, ['wait', 'degraded'])
  t.match((await bench.read({ ...bounded, onUnmet: [{ step: 'error' }] })).route, { step: 'degraded' }, 'before an error')
})

t.test('degraded: not beyond the allowance, not where the policy is enforced or strong, not after its time', async (t) => {
  const bench = new Bench(t)
  bench.switches.setAllowStale('main', enough - 1, 60_000, 'ops')
  t.match((await bench.read(bounded)).route, { role: 'primary' }, 'one ms too old')
  bench.switches.setAllowStale('main', enough, 60_000, 'ops')
  t.match((await bench.read({ ...bounded, enforced: true })).route, { role: 'primary' }, 'enforced')
  t.match((await bench.read({ consistency: 'strong' })).route, { role: 'primary' }, 'strong')
  t.match((await bench.read({ ...bounded, maxStalenessMs: 0 })).route, { role: 'primary' }, 'no staleness at all')
  bench.now += 60_000
  bench.publish({ proved: bench.now })
  bench.unmet.length = 0
  t.match((await bench.read({ consistency: 'bounded', maxStalenessMs: 10 })).route, { role: 'primary' }, 'its time is over')
  t.same(bench.unmet, ['primary'])
})

t.test('I4: no staleness means the primary, and a pending write is met by no replica, however far it has come', async (t) => {
  const bench = new Bench(t, { at: 1_000_000n })
  for (const policy of [
    { consistency: 'strong' },
    { consistency: 'any', maxStalenessMs: 0 },
    { consistency: 'session', maxStalenessMs: 0 },
  ] as const) {
    t.match((await bench.read(policy)).route, { role: 'primary' }, JSON.stringify(policy))
  }
  const floors = createFloors()
  floors.writeStarted('main')
  t.match((await bench.read({ consistency: 'session' }, floors)).route, { role: 'primary' }, 'in flight')
  floors.writeEnded('main', 1_000)
  t.match((await bench.read({ consistency: 'session' }, floors)).route, { role: 'primary' }, 'no sample was sent since')
  await t.rejects(bench.read({ consistency: 'session', onUnmet: [{ step: 'wait', ms: 0 }, { step: 'error' }] }, floors), { code: '55P03' })
  t.match((await bench.read({ consistency: 'session' })).route, { role: 'replica' }, 'another session is free')
})

t.test('what is decided within the call is decided from one look at the topology', (t) => {
  const bench = new Bench(t)
  const plan = one({ cluster: 'main', role: 'replica', readsData: true, policy: readPolicy({ consistency: 'session' }), why: [] })
  const request = { identity, floors: createFloors(), invokedAt: bench.now, signal: never }
  t.match(bench.executor.tryAcquire({ ...request, plan })?.route, { role: 'replica' })
  t.equal(bench.looks, 1)
  t.match(bench.executor.tryAcquire({ ...request, plan: write })?.route, { role: 'primary' })
  t.equal(bench.looks, 2)
  t.end()
})

t.test('cut_off: refuse: only a replica that receives, from a primary that is proved', async (t) => {
  const onUnmet: LadderStep[] = [{ step: 'stale' }, { step: 'error' }]
  const refuse = { cutOff: 'refuse', onUnmet } as const
  const serves = async (change: Change, policy: Partial<ReadPolicy>): Promise<boolean> =>
    new Bench(t, change).read({ onUnmet: [{ step: 'error' }], ...policy }).then(
      ({ route }) => route.role === 'replica',
      () => false,
    )
  t.ok(await serves({}, refuse))
  t.notOk(await serves({ headlessSince: 900 }, refuse), 'no primary')
  t.ok(await serves({ headlessSince: 900 }, {}), 'serve is the default')
  t.notOk(await serves({ node: { receiving: false } }, refuse), 'cut off')
  t.ok(await serves({ node: { receiving: false } }, {}))
  t.notOk(await serves({ node: { roleProvedAt: -4_001 } }, refuse), 'it said so too long ago')
  t.notOk(await serves({ node: { limited: 'it is on timeline 1, the primary on 2' } }, refuse), 'it receives from a former primary')
})

t.test('I11: a floor that only a token claims has the primary sampled beside the replica, which would end a false one', async (t) => {
  const bench = new Bench(t)
  const floors = createFloors()
  floors.imported('main', { system: 'none', timeline: 1, lsn: 1_000_000n }, bench.now)
  await bench.read({ consistency: 'session', onUnmet: [{ step: 'wait', ms: 0 }, toPrimary] }, floors)
  t.same(bench.asked, ['r:1', 'primary sample'])
})

t.test('a replica that waits for the position by itself is asked again when it is there, and not before', async (t) => {
  const onUnmet: LadderStep[] = [{ step: 'wait', ms: 1_000 }, { step: 'error' }]
  const bench = new Bench(t)
  const waits: unknown[] = []
  bench.waitFor = (...to) => {
    waits.push(to)
    // Long after it would have been asked again twice.
    setTimeout(() => bench.publish({ at: 100n }), 50)
    return true
  }
  t.match((await bench.read({ ...bounded, onUnmet })).route, { role: 'replica', step: 'wait' })
  t.same(waits, [['main', 'r:1', 100n, 1_000]], 'for what the read needs, as long as it may wait')
  t.same(bench.asked, ['r:1', 'r:1'], 'before, and when it is there')
  const other = new Bench(t)
  other.checkNow = () => {
    if (other.asked.length === 4) other.publish({ at: 100n })
  }
  t.match((await other.read({ ...bounded, onUnmet })).route, { role: 'replica', step: 'wait' })
  t.equal(other.asked.length, 4, 'who cannot is asked again and again')
  const session = createFloors()
  session.writeStarted('main')
  const busy = new Bench(t)
  busy.waitFor = () => t.fail('there is no position to wait for')
  busy.checkNow = () => {
    if (busy.asked.length > 2) busy.now += 10
  }
  t.match((await busy.read({ consistency: 'session', onUnmet: [{ step: 'wait', ms: 5 }, toPrimary] }, session)).route, { role: 'primary' })
})

t.test('a role that was told too long ago is asked for again before anything is sent', async (t) => {
  const bench = new Bench(t, { proved: 1_000 })
  bench.now = 6_001
  t.equal(bench.executor.tryAcquire({ plan: write, identity, floors: createFloors(), invokedAt: bench.now, signal: never }), null)
  bench.checkNow = () => bench.publish({ proved: bench.now })
  t.match((await bench.acquire(write)).route, { role: 'primary' })
  t.same(bench.asked, ['p:1'])
  bench.now = 12_000
  bench.checkNow = () => bench.publish({ headlessSince: 12_000 })
  const late = bench.acquire(write)
  setTimeout(() => {
    bench.now += 10_001
    bench.publish({ headlessSince: 12_000 })
  }, 10)
  await t.rejects(late, keyed('read_only_no_primary'), 'what it says now counts')
  t.same(bench.leased, ['p:1'], 'nothing was leased on the strength of the old word')
})

t.test('a monitor that stands still proves nothing: no write goes out', async (t) => {
  const bench = new Bench(t, { proved: 1_000 }, 50)
  bench.now = 7_000
  const result = bench.acquire(write)
  setTimeout(() => (bench.now += 51), 10)
  await t.rejects(result, keyed('read_only_no_primary'))
  t.same(bench.leased, [])
})

t.test('without a primary: a write and what else needs one get errors of their own, measured from its loss', async (t) => {
  const bench = new Bench(t, { headlessSince: 900 }, 50)
  bench.now = 951
  await t.rejects(bench.acquire(write), { code: '25006', key: 'read_only_no_primary', detail: /lost 0\.1 s ago/ })
  await t.rejects(bench.read({ consistency: 'strong' }), { code: '57P03', key: 'no_primary_for_read' })
  await t.rejects(bench.acquire(one({ cluster: 'main', role: 'primary', why: [] })), keyed('no_primary_for_read'))
  await t.rejects(bench.read(bounded), keyed('no_primary_for_read'), 'the only rung')
})

t.test(
  'I10: a rung below `primary` is used at once when there is no primary; the last one waits no longer than failover.wait',
  async (t) => {
    const bench = new Bench(t, { headlessSince: 1_000 }, 1_000_000)
    t.match((await bench.read({ ...bounded, onUnmet: [toPrimary, { step: 'stale' }] })).route, { role: 'replica', step: 'stale' })
    await t.rejects(bench.read({ ...bounded, onUnmet: [toPrimary, { step: 'error' }] }), keyed('read_unmet'))
    const session = createFloors()
    session.imported('main', { system: '', timeline: 1, lsn: 80n }, 100)
    const waiting = bench.read({ consistency: 'session', onUnmet: [toPrimary] }, session)
    bench.publish({ headlessSince: 1_000, at: 100n })
    t.match((await waiting).route, { role: 'replica', step: 'wait' }, 'a replica that comes to meet it ends the wait')
    t.equal(bench.load.spilled('main'), 0, 'and it is no spill')
  },
)

t.test('I10: an old timeline proves nothing: a position beyond the floor there is not admitted', async (t) => {
  const bench = new Bench(t, {
    node: { position: { lsn: 10n ** 12n, sentAt: 1_000, connectedAt: 0, postmasterStart: 'start', timeline: 2 } },
  })
  const session = createFloors()
  session.imported('main', { system: '', timeline: 1, lsn: 80n }, 100)
  t.match((await bench.read({ consistency: 'session' }, session)).route, { role: 'primary' })
  bench.switches.setAllowStale('main', 1e9, 60_000, 'ops')
  t.match((await bench.read({ consistency: 'session' }, session)).route, { role: 'primary' }, 'not even where older answers are allowed')
})

t.test('writes that wait for a primary get it in the order in which they came', async (t) => {
  const bench = new Bench(t, { headlessSince: 1_000 })
  const order: number[] = []
  const waiting = [0, 1, 2, 3, 4].map(async (n) => {
    await bench.acquire(write)
    order.push(n)
  })
  await new Promise((resolve) => setImmediate(resolve))
  // Nobody has a primary yet: all go back to their places, and a late one comes behind them.
  bench.publish({ headlessSince: 1_000 })
  await new Promise((resolve) => setTimeout(resolve, 5))
  const last = bench.acquire(write).then(() => order.push(5))
  await new Promise((resolve) => setImmediate(resolve))
  bench.publish({})
  const now = { plan: write, identity, floors: createFloors(), invokedAt: 1_000, signal: never }
  t.equal(bench.executor.tryAcquire(now), null, 'who comes this moment does not pass them')
  const sudden = bench.acquire(write).then(() => order.push(6))
  await Promise.all([...waiting, last, sudden])
  t.same(order, [0, 1, 2, 3, 4, 5, 6])
})

t.test('who has waited for a connection is asked again whether it is good', async (t) => {
  const bench = new Bench(t)
  const session = createFloors()
  const plan = one({ cluster: 'main', role: 'replica', readsData: true, policy: readPolicy({ consistency: 'session' }), why: [] })
  bench.full = true
  const read = bench.take(plan, session)
  // Meanwhile the same session has begun to write: the replica does not have it.
  session.writeStarted('main')
  bench.free()
  t.match((await read).route, { role: 'primary' }, 'the replica that it waited for is not good any more')
  bench.full = true
  const written = bench.take(write)
  bench.publish({ headlessSince: 1_000 })
  bench.free()
  await new Promise((resolve) => setImmediate(resolve))
  t.same(bench.destroyed, ['its server is not the primary any more'])
  bench.publish({})
  t.match((await written).route, { role: 'primary' }, 'it waits for the next one')
  bench.full = true
  const usual = bench.take(write)
  bench.free()
  t.match((await usual).route, { role: 'primary' })
  t.equal(bench.load.inFlight('r:1'), 0)
})

t.test('a login that cannot connect waits by itself', async (t) => {
  const bench = new Bench(t)
  bench.unreachable = identity.key
  const stuck = bench.acquire(write)
  await new Promise((resolve) => setTimeout(resolve, 5))
  const request = { plan: write, floors: createFloors(), invokedAt: 1_000, signal: never }
  t.equal(bench.executor.tryAcquire({ ...request, identity }), null)
  t.match(bench.executor.tryAcquire({ ...request, identity: { ...identity, key: 'other' } })?.route, { role: 'primary' })
  bench.unreachable = ''
  t.match((await stuck).route, { role: 'primary' }, 'it is tried again though nothing was published')
})

t.test('who leaves while it waits is gone from the line', async (t) => {
  const bench = new Bench(t, { headlessSince: 1_000 })
  const leaving = new AbortController()
  const left = bench.acquire(write, createFloors(), leaving.signal)
  const stays = bench.acquire(write)
  leaving.abort(new Error('left'))
  await t.rejects(left, { message: 'left' })
  bench.publish({})
  t.match((await stays).route, { role: 'primary' })
  t.same(bench.leased, ['p:1'])
})

t.test('an unmet read says by how much, and about when it would be met', async (t) => {
  const bench = new Bench(t)
  const error = await bench.read({ ...bounded, onUnmet: [{ step: 'error' }] }).catch((reason: unknown) => reason)
  t.match(error, {
    code: '55P03',
    details: { cluster: 'main', node: 'r:1', neededLsn: '0/64', bestLsn: '0/32', behindBytes: 50, staleMs: 900, etaMs: 5 },
    message: /50 bytes \(at most 900 ms\) short of the 0\/64 that is needed/,
    hint: /^Try again in about 5 ms/,
  })
})

t.test('read-only by hand: the switch, or the configuration; reads and what has begun to write go on', (t) => {
  const bench = new Bench(t)
  t.equal(bench.executor.refusal(write), null)
  bench.switches.setReadOnly('main', { message: 'moving house', by: 'ops' }, 'ops')
  t.match(bench.executor.refusal(write), { code: '25006', key: 'read_only_mode', message: /moving house/ })
  t.equal(bench.executor.refusal(one({ cluster: 'main', role: 'primary', why: [] })), null)
  const idle: TransactionState = { kind: 'idle' }
  t.equal(
    objection(bench.executor, write, { writing: true, begunAt: 0 }, idle, () => 0),
    null,
  )
  t.match(
    objection(bench.executor, write, { writing: false, begunAt: 0 }, idle, () => 0),
    { key: 'read_only_mode' },
  )
  t.match(
    objection(bench.executor, write, null, idle, () => 0),
    { key: 'read_only_mode' },
  )
  t.match(new Bench(t, {}, 1_000, 'the disk is full').executor.refusal(write), { message: /the disk is full/ })
  t.end()
})

t.test('max_tx_age: a read-only transaction on a replica hears of its age with its next read; its end goes through', (t) => {
  const bench = new Bench(t)
  const read = one({ cluster: 'main', role: 'replica', readsData: true, why: [] })
  const commit = one({ cluster: 'main', role: 'replica', why: [] })
  const open = (role: 'primary' | 'replica', status: 'T' | 'E' = 'T'): TransactionState => ({
    kind: 'open',
    status,
    home: { cluster: 'main', node: 'r:1', role },
    joined: [],
    mode: { readOnly: true, isolation: null, snapshot: false },
    overrides: { maxTxAgeMs: 1_000 },
  })
  const said = (plan: OnePlan, transaction: TransactionState, now: number): string | undefined =>
    objection(bench.executor, plan, { writing: false, begunAt: 500 }, transaction, () => now)?.key
  t.equal(said(read, open('replica'), 1_500), undefined)
  t.equal(said(read, open('replica'), 1_501), 'transaction_too_old')
  t.equal(said(commit, open('replica'), 9_999), undefined)
  t.equal(said(read, open('primary'), 9_999), undefined)
  t.equal(said(read, open('replica', 'E'), 9_999), undefined)
  t.equal(
    objection(
      bench.executor,
      read,
      { writing: false, begunAt: 500 },
      { ...open('replica'), overrides: {} } as TransactionState,
      () => 9_999,
    ),
    null,
  )
  t.end()
})

t.test(
  'I1, I10: a token of a newer timeline is not met by the primary that is believed in here, before every server was asked again',
  async (t) => {
    const bench = new Bench(t)
    const session = createFloors()
    session.imported('main', { system: '', timeline: 2, lsn: 80n }, bench.now)
    const plan = one({ cluster: 'main', role: 'replica', policy: readPolicy({ consistency: 'session' }), why: [] })
    t.equal(bench.executor.tryAcquire({ plan, identity, floors: session, invokedAt: bench.now, signal: never }), null)
    const leasedBefore: number[] = []
    bench.checkNow = () => leasedBefore.push(bench.leased.length)
    t.match((await bench.acquire(plan, session)).route, { role: 'primary' }, 'nobody knows of a newer one: the token was wrong')
    t.same(bench.asked.slice(0, 2), ['p:1', 'r:1'])
    t.same(leasedBefore.slice(0, 2), [0, 0], 'before anything was leased')
  },
)
