// The ladder, the pools and the generations on real servers: what a read gets when replicas lag, what a write gets when
// there is no primary, and what a reload leaves alone.
import pg from 'pg'
import t, { type Test } from 'tap'
import { createFloors } from '../../src/consistency/floors.js'
import { readPolicy, type LadderStep, type ReadPolicy } from '../../src/consistency/policy.js'
import type { Config } from '../../src/config/config.js'
import { validateConfig } from '../../src/config/validate.js'
import { openConnections } from '../../src/doors/library/open-connection.js'
import type { PgConnection } from '../../src/doors/library/pg-connection.js'
import type { PgResult } from '../../src/doors/library/pg-client.js'
import type { AcquireRequest, Grant } from '../../src/execute/contract.js'
import { createObserver } from '../../src/observe/observer.js'
import type { Events, Observer } from '../../src/observe/events.js'
import { one } from '../../src/routing/make.js'
import type { OnePlan } from '../../src/routing/plan.js'
import type { Runtime } from '../../src/runtime/contract.js'
import { createRuntime } from '../../src/runtime/create-runtime.js'
import { routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'
import type { ClusterInput } from '../../src/config/input.js'

const running = await withTopology(t, {
  clusters: { main: { replicas: 2, seed: 'CREATE TABLE counter (n bigint); INSERT INTO counter VALUES (0)' } },
})
const main = running.cluster('main')
const now = (): number => performance.now()
const never = new AbortController().signal

function configOf(change: Partial<ClusterInput> = {}): Config {
  const input = routerConfig(running, { default: 'main' }, (_id, cluster) => ({ ...cluster, failover: { wait: '10s' }, ...change }))
  const result = validateConfig(input, { env: {}, readFile: () => '' })
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.config
}

interface Started {
  readonly runtime: Runtime<PgConnection>
  readonly observer: Observer
}

async function start(t: Test, config: Config): Promise<Started> {
  const observer = createObserver()
  const parts = { pg, client: {}, now, onConnect: () => undefined, onRemove: () => undefined, onIdleError: () => undefined }
  const runtime = await createRuntime<PgConnection>({
    config,
    observer,
    now,
    random: Math.random,
    connect: (cluster) => openConnections(parts, cluster),
  })
  t.teardown(() => runtime.close(0))
  return { runtime, observer }
}

const primaryStep: LadderStep = { step: 'primary', limit: null }
const reads = (policy: Partial<ReadPolicy>): OnePlan =>
  one({
    cluster: 'main',
    role: 'replica',
    readsData: true,
    policy: readPolicy({ consistency: 'any', ...policy }),
    why: [],
  })
const writes = one({ cluster: 'main', role: 'primary', writes: true, why: [] })

function acquire(
  runtime: Runtime<PgConnection>,
  plan: OnePlan,
  extra: Partial<AcquireRequest<PgConnection>> = {},
): Promise<Grant<PgConnection>> {
  const generation = runtime.current()
  const identity = generation.identityFor('main', { database: 'app', user: 'app', password: null })
  return generation.executor.acquire({ plan, identity, floors: createFloors(), invokedAt: now(), signal: never, ...extra })
}

async function ask(grant: Grant<PgConnection>, sql: string): Promise<Record<string, unknown>> {
  const { rows } = (await grant.lease.connection.client.query(sql)) as PgResult
  return rows[0] as Record<string, unknown>
}

const write = (): Promise<unknown> => main.primary.sql('UPDATE counter SET n = n + 1')

/** A pump of writes, so that a replica that stands still falls behind. */
function keepWriting(t: Test): void {
  const stop = new AbortController()
  const pump = (async (): Promise<void> => {
    while (!stop.signal.aborted) await write()
  })()
  t.teardown(async () => {
    stop.abort()
    await pump
  })
}

t.test('any goes to replicas, strong to the primary, and both say so', async (t) => {
  const { runtime } = await start(t, configOf())
  const read = await acquire(runtime, reads({}))
  t.match(read.route, { role: 'replica', step: 'first' })
  t.ok(main.replicas.some(({ address }) => address === read.route.node))
  t.same(await ask(read, 'SELECT pg_is_in_recovery() AS r'), { r: true })
  t.equal(runtime.snapshot().inFlight.get(read.route.node), 1)
  read.lease.release(null)
  t.equal(runtime.snapshot().inFlight.get(read.route.node), undefined)
  for (const plan of [reads({ consistency: 'strong' }), reads({ consistency: 'bounded', maxStalenessMs: 0 }), writes]) {
    const grant = await acquire(runtime, plan)
    t.match(grant.route, { role: 'primary', node: main.primary.address, boundMs: 0 })
    t.same(await ask(grant, 'SELECT pg_is_in_recovery() AS r'), { r: false })
    grant.lease.release(null)
  }
})

t.test('a session read waits for its own write, and the bound that is told holds', async (t) => {
  const { runtime } = await start(t, configOf())
  const floors = createFloors()
  floors.writeStarted('main')
  const sure = await acquire(runtime, reads({ consistency: 'session' }), { floors })
  t.match(sure.route, { role: 'primary', step: 'primary' }, 'while the write is in flight')
  sure.lease.release(null)
  await write()
  floors.writeEnded('main', now())
  const wait = reads({ consistency: 'session', onUnmet: [{ step: 'wait', ms: 10_000 }, { step: 'error' }] })
  const grant = await acquire(runtime, wait, { floors })
  t.match(grant.route, { role: 'replica', step: 'wait' })
  t.same(await ask(grant, 'SELECT n FROM counter'), (await main.primary.sql('SELECT n FROM counter'))[0])
  grant.lease.release(null)
  const bounded = await acquire(runtime, reads({ consistency: 'bounded', maxStalenessMs: 60_000 }))
  t.ok((bounded.route.boundMs ?? Infinity) <= 60_000)
  bounded.lease.release(null)
})

t.test('after three reads in a row on the primary the next one waits for its sample; reading on ends on a replica', async (t) => {
  const { runtime, observer } = await start(t, configOf())
  const unmet: string[] = []
  observer.on('read.unmet', ({ step }) => unmet.push(step))
  const floors = createFloors()
  const read = async (): Promise<'primary' | 'replica'> => {
    const grant = await acquire(runtime, reads({ consistency: 'session' }), { floors })
    const { openedAt, postmasterStart } = grant.lease.connection.evidence
    grant.lease.release(null)
    const { node, role } = grant.route
    floors.readEnded('main', { node, role, openedAt, postmasterStart, startedAt: now(), endedAt: now() })
    return role
  }
  floors.writeStarted('main')
  await write()
  floors.writeEnded('main', now())
  const roles: string[] = []
  // Each read on the primary makes a new mark; without the wait, reading back to back would stay there for ever.
  while (roles.at(-1) !== 'replica' && roles.length < 100) roles.push(await read())
  t.equal(roles.at(-1), 'replica')
  const waited = unmet.indexOf('wait')
  t.ok(waited === -1 ? roles.length <= 4 : waited === 3, `${unmet.join()} and then ${roles.join()}`)
})

t.test('with replay paused, each rung of the ladder does what it says', async (t) => {
  const { runtime, observer } = await start(t, configOf())
  const unmet: Events['read.unmet'][] = []
  observer.on('read.unmet', (event) => unmet.push(event))
  await Promise.all(main.replicas.map((replica) => replica.pauseReplay()))
  t.teardown(() => Promise.all(main.replicas.map((replica) => replica.resumeReplay())))
  keepWriting(t)
  const bounded = (...onUnmet: LadderStep[]): OnePlan => reads({ consistency: 'bounded', maxStalenessMs: 1, onUnmet })
  const lagging = async (): Promise<Grant<PgConnection>> => acquire(runtime, bounded(primaryStep))
  let spilled = await lagging()
  for (; spilled.route.role !== 'primary'; spilled = await lagging()) spilled.lease.release(null)
  spilled.lease.release(null)

  await t.test('error: typed, with how far behind', async (t) => {
    const error = await acquire(runtime, bounded({ step: 'error' })).catch((error: unknown) => error)
    t.match(error, { key: 'read_unmet', code: '55P03', retry: 'safe' })
    t.match((error as Error).message, /cluster main.*(bytes before|recent enough)/)
  })
  await t.test('stale: any replica, told as such', async (t) => {
    unmet.length = 0
    const grant = await acquire(runtime, bounded({ step: 'wait', ms: 20 }, { step: 'stale' }))
    t.match(grant.route, { role: 'replica', step: 'stale' })
    t.same(
      unmet.map(({ step }) => step),
      ['wait', 'stale'],
    )
    grant.lease.release(null)
  })
  await t.test('primary 1: one at a time, the next rung for the others', async (t) => {
    const limited = bounded({ step: 'primary', limit: 1 }, { step: 'error' })
    const first = await acquire(runtime, limited)
    t.match(first.route, { role: 'primary', step: 'primary' })
    await t.rejects(acquire(runtime, limited), { code: '55P03' })
    first.lease.release(null)
    ;(await acquire(runtime, limited)).lease.release(null)
  })
  await t.test('a wait can be cancelled, and holds nothing afterwards', async (t) => {
    const abort = new AbortController()
    const waiting = acquire(runtime, bounded({ step: 'wait', ms: 60_000 }), { signal: abort.signal })
    setImmediate(() => {
      abort.abort(new Error('gone'))
    })
    await t.rejects(waiting, /gone/)
    t.same([...runtime.snapshot().inFlight], [])
    t.ok(runtime.snapshot().pools.every(({ busy, waiting }) => busy === 0 && waiting === 0))
  })
  await t.test('a wait ends as soon as a replica has caught up', async (t) => {
    const read = acquire(runtime, reads({ consistency: 'bounded', maxStalenessMs: 1, onUnmet: [{ step: 'wait', ms: 60_000 }] }))
    await Promise.all(main.replicas.map((replica) => replica.resumeReplay()))
    const grant = await read
    t.match(grant.route, { role: 'replica', step: 'wait' })
    grant.lease.release(null)
  })
})

t.test('a full pool refuses with its numbers', async (t) => {
  const { runtime } = await start(t, configOf({ pool: { max: 1, wait: '2s' } }))
  const held = await acquire(runtime, writes)
  await t.rejects(acquire(runtime, writes), { code: '53300', message: /1 of 1 connections lent/ })
  held.lease.release(null)
})

t.test('aborts at any moment leak no lease', async (t) => {
  const { runtime } = await start(t, configOf({ pool: { max: 2, wait: '5s' } }))
  const plans = [reads({}), writes, reads({ consistency: 'session' })]
  await Promise.all(
    Array.from({ length: 200 }, async (_, n) => {
      const abort = new AbortController()
      const grant = acquire(runtime, plans[n % 3] ?? writes, { signal: abort.signal }).catch(() => null)
      for (let turns = n % 7; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
      abort.abort(new Error('gone'))
      ;(await grant)?.lease.release(null)
    }),
  )
  t.same([...runtime.snapshot().inFlight], [])
  t.ok(runtime.snapshot().pools.every(({ busy, waiting }) => busy === 0 && waiting === 0))
})

t.test('a reload: nothing changed, refused, applied; pools and sessions stay where they can', async (t) => {
  const [, kept, gone] = main.nodes.map(({ address }) => address) as [string, string, string]
  const all = configOf()
  const { runtime } = await start(t, all)
  const backend = async (node: string): Promise<unknown> => {
    for (;;) {
      const grant = await acquire(runtime, reads({}))
      const { pid } = await ask(grant, 'SELECT pg_backend_pid() AS pid')
      grant.lease.release(null)
      if (grant.route.node === node) return pid
    }
  }
  const pid = await backend(kept)
  t.match(await runtime.reload(configOf()), { outcome: 'unchanged', generation: 1 })
  const nodes = main.nodes.map(({ address }) => address)
  const refused = await runtime.reload(configOf({ nodes: [...nodes, '127.0.0.1:1'] }))
  t.match(refused, { outcome: 'refused', generation: 1, problems: [{ path: 'clusters.main.nodes', found: '127.0.0.1:1' }] })
  t.equal(runtime.current().config, all)

  const before = runtime.current()
  before.enter()
  const identity = before.identityFor('main', { database: 'app', user: 'app', password: null })
  const less = configOf({ nodes: nodes.filter((node) => node !== gone) })
  t.match(await runtime.reload(less), { outcome: 'applied', generation: 2, changes: [/./] })
  t.equal(runtime.snapshot().draining, 1)
  for (let n = 0; n < 20; n++) {
    const grant = await acquire(runtime, reads({}))
    t.not(grant.route.node, gone)
    grant.lease.release(null)
  }
  t.equal(await backend(kept), pid, 'the very connection is still there')
  const old = await before.executor.acquire({ plan: writes, identity, floors: createFloors(), invokedAt: now(), signal: never })
  old.lease.release(null)
  before.leave()
  t.equal(runtime.snapshot().draining, 0)
  t.match(await runtime.reload(all), { outcome: 'applied', generation: 3 })
  t.ok(await backend(gone), 'and back again')
})

t.test('it comes up while every server is down, and serves when they are up', async (t) => {
  const [first] = main.replicas
  if (first === undefined) throw new Error('no replica')
  await first.stop('fast')
  const { runtime } = await start(t, configOf({ nodes: [first.address], failover: { wait: '200ms' } }))
  await t.rejects(acquire(runtime, writes), { code: '25006' })
  await t.rejects(acquire(runtime, reads({ onUnmet: [{ step: 'stale' }] })), { code: '55P03' })
  await first.start()
  const patience = AbortSignal.timeout(30_000)
  for (;;) {
    patience.throwIfAborted()
    const grant = await acquire(runtime, reads({ onUnmet: [{ step: 'wait', ms: 30_000 }, { step: 'error' }] }), { signal: patience }).catch(
      () => null,
    )
    if (grant === null) continue
    t.equal(grant.route.node, first.address)
    grant.lease.release(null)
    return
  }
})

t.test('a replica dies: reads go on at once, whoever is asked', async (t) => {
  const { runtime } = await start(t, configOf())
  const [first, second] = main.replicas
  if (first === undefined || second === undefined) throw new Error('two replicas expected')
  const warm = await Promise.all([1, 2, 3, 4].map(() => acquire(runtime, reads({}))))
  for (const { lease } of warm) lease.release(null)
  await first.kill9()
  t.teardown(() => first.start())
  for (let n = 0; n < 20; n++) {
    const grant = await acquire(runtime, reads({ onUnmet: [{ step: 'error' }] }))
    t.equal(grant.route.node, second.address)
    await ask(grant, 'SELECT 1')
    grant.lease.release(null)
  }
})

t.test('the primary dies: writes wait, reads go on; a promoted replica takes the writes', async (t) => {
  const old = main.primary
  const { runtime } = await start(t, configOf({ failover: { wait: '60s' } }))
  const warm = await Promise.all(main.nodes.flatMap(() => [acquire(runtime, reads({})), acquire(runtime, writes)]))
  for (const { lease } of warm) lease.release(null)
  await old.kill9()
  const waiting = acquire(runtime, writes)
  const read = await acquire(runtime, reads({}))
  t.equal(read.route.role, 'replica')
  read.lease.release(null)
  const heir = main.replica()
  await heir.promote()
  const grant = await waiting
  t.equal(grant.route.node, heir.address)
  t.same(await ask(grant, 'SELECT pg_is_in_recovery() AS r'), { r: false }, 'on a connection that proved it itself')
  t.equal(grant.lease.connection.evidence.inRecovery, false)
  await ask(grant, 'UPDATE counter SET n = n + 1 RETURNING n')
  grant.lease.release(null)
})

t.test('no primary within failover.wait: 25006, and nothing is held', async (t) => {
  const { runtime } = await start(t, configOf({ failover: { wait: '100ms' }, nodes: main.replicas.map(({ address }) => address) }))
  await t.rejects(acquire(runtime, writes), { code: '25006', message: /cluster main has no primary/ })
  t.same([...runtime.snapshot().inFlight], [])
})
