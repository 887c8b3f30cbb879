import { readFileSync } from 'node:fs'
import t from 'tap'
import { createMetrics, type MetricSources } from '../../src/metrics/metrics.js'
import { createSupervisorMetrics } from '../../src/metrics/supervisor.js'
import { createObserver } from '../../src/observe/observer.js'
import type { Events } from '../../src/observe/events.js'
import type { PoolSnapshot, RuntimeSnapshot } from '../../src/runtime/contract.js'
import type { NodeSnapshot } from '../../src/topology/topology.js'
import { clusterSnapshot, nodeSnapshot as node } from '../support/snapshots.js'

const at = (lsn: bigint, timeline = 1) => ({ lsn, sentAt: 0, connectedAt: 0, postmasterStart: 'x', timeline })
const primary = node('p:1', { role: 'primary', position: at(300n) })

function snapshotOf(nodes: readonly NodeSnapshot[], pools: readonly PoolSnapshot[] = []): RuntimeSnapshot {
  const series = { samples: [{ sentAt: 1000, lsn: 100n }, { sentAt: 2000, lsn: 200n }, { sentAt: 3000, lsn: 300n }] } // prettier-ignore
  const main = clusterSnapshot({ nodes, primary, timeline: 1, series })
  return { generation: 1, draining: 0, pools, inFlight: new Map(), topology: { generation: 1, clusters: new Map([['main', main]]) } }
}

function start(snapshot: () => RuntimeSnapshot, over: Partial<MetricSources> = {}) {
  const observer = createObserver()
  const sources = {
    snapshot,
    databases: () => new Set(['app', '*']),
    shapeCache: () => ({ hits: 7, misses: 2, bytes: 99 }),
    now: () => 3500,
    ...over,
  }
  return { observer, metrics: createMetrics(observer, sources) }
}

const query: Events['query.end'] = {
  door: 'proxy',
  policy: 'any',
  step: 'first',
  boundSeconds: 0.1,
  homes: null,
  database: 'app',
  user: 'u',
  cluster: 'main',
  node: 'r:1',
  role: 'replica',
  owner: null,
  outcome: 'ok',
  seconds: 0.002,
  shape: 1, // prettier-ignore
  why: [
    { rule: 'read', detail: '' },
    { rule: 'default', detail: 'secret words' },
  ],
}

t.test('every metric of the contract is there, also before anything happened', async (t) => {
  const { metrics } = start(() => snapshotOf([]))
  t.teardown(() => metrics.close())
  const text = await metrics.text()
  const names =
    'queries_total query_seconds route_reasons_total replica_staleness_seconds node_state pool_connections pool_wait_seconds unmet_reads_total crossings_total misrouted_total lane_depth lane_connections lane_requests_total lane_trouble_total lane_shapes_barred shape_cache_hits_total config_reload_failures_total'
  for (const name of names.split(' ')) t.match(text, `# TYPE pointsman_${name} `)
  t.match(text, 'process_cpu_seconds_total')
  t.match(text, /pointsman_shape_cache_hits_total 7/)
  t.match(await metrics.text(), /pointsman_shape_cache_hits_total 7/, 'a second scrape does not add')
})

t.test('events count, and labels stay bounded', async (t) => {
  const { observer, metrics } = start(() => snapshotOf([]))
  t.teardown(() => metrics.close())
  observer.emit('query.end', query)
  for (let i = 0; i < 5; i++)
    observer.emit('query.end', { ...query, database: `tenant_${String(i)}`, cluster: null, role: 'none', outcome: 'refused', why: [] })
  observer.emit('read.unmet', { cluster: 'main', policy: 'bounded', step: 'primary' })
  observer.emit('read.unmet', { cluster: 'main', policy: 'anything', step: 'primary' })
  observer.emit('config.reloaded', { outcome: 'refused', generation: 1, problems: [] })
  observer.emit('config.reloaded', { outcome: 'applied', generation: 2, problems: [] })
  observer.emit('client.opened', { database: 'x', user: 'y', address: 'z' })
  const text = await metrics.text()
  t.match(text, 'pointsman_queries_total{database="app",cluster="main",role="replica",owner="none",outcome="ok"} 1')
  t.match(text, 'pointsman_queries_total{database="*",cluster="none",role="none",owner="none",outcome="refused"} 5')
  t.match(text, 'pointsman_route_reasons_total{why="default"} 1')
  t.match(text, 'pointsman_unmet_reads_total{policy="other",step="primary"} 1')
  t.match(text, 'pointsman_config_reload_failures_total 1')
  t.match(text, 'pointsman_clients 1')
  t.match(text, /pointsman_query_seconds_bucket\{le="0.0025",cluster="main",role="replica"\} 1/)
  t.notMatch(text, /secret words|tenant_/)
})

t.test('statements that share their reasons share nothing else', async (t) => {
  const { observer, metrics } = start(() => snapshotOf([]))
  t.teardown(() => metrics.close())
  const others = [{ database: 'x' }, { cluster: 'side' }, { role: 'primary' }, { owner: 'team' }, { outcome: 'lost' }] as const
  for (const other of [{}, ...others, {}]) observer.emit('query.end', { ...query, ...other })
  const counts = [...(await metrics.text()).matchAll(/^pointsman_queries_total\{.*\} (\d+)$/gm)].map(([, count]) => Number(count))
  t.same(counts, [2, 1, 1, 1, 1, 1])
})

t.test('what is told of consistency', async (t) => {
  const replica = node('r:1', { position: at(250n) })
  const aside = node('s:1', { position: at(300n), unfit: 'set aside: paused by chaos' })
  const ahead = { ...primary, insertAheadBytes: 24 }
  let snapshot = snapshotOf([ahead, replica, aside])
  const { observer, metrics } = start(() => snapshot)
  t.teardown(() => metrics.close())
  const value = async (line: string): Promise<number | null> => {
    const found = (await metrics.text()).split('\n').find((one) => one.startsWith(`pointsman_${line} `))
    return found === undefined ? null : Number(found.split(' ').at(-1))
  }
  observer.emit('query.end', query)
  observer.emit('query.end', { ...query, node: 'p:1', role: 'primary', boundSeconds: 0 })
  observer.emit('query.end', { ...query, boundSeconds: null })
  observer.emit('query.end', { ...query, outcome: 'lost' })
  observer.emit('query.end', { ...query, policy: null, boundSeconds: null })
  t.equal(await value('read_bound_seconds_bucket{le="0.05",policy="any",node="r:1"}'), 0)
  t.equal(await value('read_bound_seconds_bucket{le="0.1",policy="any",node="r:1"}'), 1)
  t.equal(await value('read_bound_seconds_count{policy="any",node="r:1"}'), 1)
  t.equal(await value('read_bound_seconds_bucket{le="0",policy="any",node="p:1"}'), 1, 'the primary is not stale')
  t.equal(await value('reads_unproved_total{policy="any"}'), 1)

  observer.emit('writes.lost', { cluster: 'main', possible: 3, from: 0, to: 1, reason: '' })
  observer.emit('primary.fenced', { cluster: 'main', node: 'p:1', reason: 'words' })
  observer.emit('cache.read', { database: 'app', cluster: 'main', outcome: 'shared' })
  observer.emit('chaos', { what: 'kill', cluster: 'main', node: 'r:1' })
  observer.emit('read.unmet', { cluster: 'main', policy: 'session', step: 'degraded' })
  t.equal(await value('possible_lost_writes_total{cluster="main"}'), 3)
  t.equal(await value('primary_fenced_total{cluster="main"}'), 1)
  t.equal(await value('cache_reads_total{cluster="main",outcome="shared"}'), 1)
  t.equal(await value('chaos_total{what="kill"}'), 1)
  t.equal(await value('unmet_reads_total{policy="session",step="degraded"}'), 1)
  const turn = (on: boolean) => observer.emit('switch.changed', { cluster: 'main', switch: 'allow_stale', on, detail: '', by: 'ops' })
  turn(true)
  t.equal(await value('switch_on{cluster="main",switch="allow_stale"}'), 1)
  turn(false)
  t.equal(await value('switch_on{cluster="main",switch="allow_stale"}'), 0)

  t.equal(await value('replicas_usable{cluster="main"}'), 1)
  t.equal(await value('replay_lag_bytes{node="r:1"}'), 50)
  t.equal(await value('replay_lag_bytes{node="p:1"}'), null)
  t.equal(await value('insert_ahead_bytes{node="p:1"}'), 24)
  t.equal(await value('cluster_headless_seconds{cluster="main"}'), 0)
  const main = snapshot.topology.clusters.get('main')!
  snapshot = { ...snapshot, topology: { generation: 2, clusters: new Map([['main', { ...main, primary: null, headlessSince: 1500 }]]) } }
  t.equal(await value('cluster_headless_seconds{cluster="main"}'), 2)
  t.equal(await value('replay_lag_bytes{node="r:1"}'), null, 'nothing to compare with')
})

t.test('the documentation lists every metric, and no other', async (t) => {
  const { metrics, observer } = start(() => snapshotOf([]))
  const supervisor = createSupervisorMetrics(observer, () => 1)
  t.teardown(() => metrics.close())
  t.teardown(() => supervisor.close())
  const told = [...(await supervisor.merged([await metrics.packed()])).matchAll(/^# TYPE (pointsman_\w+) (\w+)$/gm)].map(
    ([, name, type]) => `${name} ${type}`,
  )
  const docs = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
  const written = [...docs.matchAll(/^\| `(pointsman_\w+)` +\| (\w+) /gm)].map(([, name, type]) => `${name} ${type}`)
  t.same(written.sort(), told.sort())
})

t.test('staleness is proved at the moment of the scrape, or infinite', async (t) => {
  let nodes = [
    primary,
    node('a:1', { position: at(250n) }),
    node('b:1', { position: at(300n) }),
    node('c:1', { position: at(300n, 2) }),
    node('d:1', {}),
  ]
  let now = 3500
  const { metrics } = start(() => snapshotOf(nodes), { now: () => now })
  t.teardown(() => metrics.close())
  const text = await metrics.text()
  t.match(text, 'pointsman_replica_staleness_seconds{node="a:1"} 1.5')
  t.match(text, 'pointsman_replica_staleness_seconds{node="b:1"} 0.5')
  t.match(text, 'pointsman_replica_staleness_seconds{node="c:1"} +Inf', 'another timeline proves nothing')
  t.match(text, 'pointsman_replica_staleness_seconds{node="d:1"} +Inf')
  t.notMatch(text, 'staleness_seconds{node="p:1"}', 'a primary has none')
  t.match(text, 'pointsman_node_state{node="a:1",state="up"} 1')
  now = 9500
  nodes = nodes.slice(0, 2)
  const later = await metrics.text()
  t.match(later, 'pointsman_replica_staleness_seconds{node="a:1"} 7.5')
  t.notMatch(later, 'b:1', 'a node that is gone is gone')
})

t.test('pools of one node are added up', async (t) => {
  const pool: PoolSnapshot = {
    cluster: 'main',
    node: 'a:1',
    user: 'u',
    dbname: 'd',
    busy: 2,
    idle: 1,
    opening: 0,
    waiting: 3,
    max: 20,
    longestWaitMs: 1,
    draining: false,
  }
  const { metrics } = start(() => snapshotOf([], [pool, { ...pool, user: 'v', busy: 5 }]))
  t.teardown(() => metrics.close())
  const text = await metrics.text()
  t.match(text, 'pointsman_pool_connections{node="a:1",state="busy"} 7')
  t.match(text, 'pointsman_pool_connections{node="a:1",state="waiting"} 6')
})

t.test('two registries do not meet', async (t) => {
  const first = start(() => snapshotOf([]))
  const second = start(() => snapshotOf([]))
  first.observer.emit('read.misrouted', { cluster: 'c', node: 'n', shape: null })
  t.match(await first.metrics.text(), 'pointsman_misrouted_total 1')
  t.match(await second.metrics.text(), 'pointsman_misrouted_total 0')
  first.metrics.close()
  second.metrics.close()
})

t.test('notifications: what was read, given, and may be missing', async (t) => {
  const lines = [
    { cluster: 'main', connected: true, channels: 2, listeners: 5 },
    { cluster: 'main', connected: false, channels: 1, listeners: 1 },
  ]
  const { observer, metrics } = start(() => snapshotOf([primary]), { lines: () => lines })
  observer.emit('bus.notification', { cluster: 'main', told: 3 })
  observer.emit('bus.notification', { cluster: 'main', told: 0 })
  observer.emit('bus.lost', { cluster: 'main', node: 'p:1', listeners: 5, reason: 'gone' })
  observer.emit('bus.listening', { cluster: 'main', node: 'p:1', channels: 2, missedSeconds: 1.5, from: 'a', to: 'b' })
  observer.emit('bus.slow', { database: 'app', user: 'app', bytes: 9 })
  const text = await metrics.text()
  for (const [name, value] of [
    ['connections{cluster="main"}', 1],
    ['channels{cluster="main"}', 3],
    ['listeners{cluster="main"}', 6],
    ['notifications_total{cluster="main"}', 2],
    ['delivered_total{cluster="main"}', 3],
    ['lost_total{cluster="main"}', 1],
    ['missed_seconds_total{cluster="main"}', 1.5],
    ['slow_listeners_total', 1],
  ] as const)
    t.match(text, `pointsman_bus_${name} ${String(value)}\n`)
  metrics.close()
})

t.test('lanes are told by node and state, and what happened there by what it was', async (t) => {
  const lane = { cluster: 'main', node: 'p:1', user: 'app', dbname: 'app', settings: [], waiting: 0, served: 9, age: 1 }
  const counts = { served: 9, joined: 6, stalled: 1, moved: 3, large: 0, canceled: 0, missed: 2, misrouted: 0 }
  const lanes = [
    { ...lane, state: 'open' as const, inFlight: 4 },
    { ...lane, state: 'slow' as const, inFlight: 1 },
  ]
  const { metrics } = start(() => snapshotOf([]), { lanes: () => ({ lanes, counts, barred: 1 }) })
  t.teardown(() => metrics.close())
  await metrics.text()
  const text = await metrics.text()
  t.match(text, 'pointsman_lane_depth{node="p:1"} 5')
  t.match(text, 'pointsman_lane_connections{node="p:1",state="slow"} 1')
  t.match(text, 'pointsman_lane_connections{node="p:1",state="large"} 0')
  t.match(text, 'pointsman_lane_requests_total 9')
  t.match(text, 'pointsman_lane_joined_total 6')
  t.match(text, 'pointsman_lane_trouble_total{what="missed"} 2')
  t.match(text, 'pointsman_lane_shapes_barred 1')
})

t.test('several processes: what they counted adds up, what each has measured does not', async (t) => {
  const observer = createObserver()
  const supervisor = createSupervisorMetrics(observer, () => 2)
  const replica = node('a:1', { position: at(250n) })
  const ahead = { ...primary, insertAheadBytes: 24 }
  const pool = { cluster: 'main', node: 'a:1', user: 'u', dbname: 'd', busy: 1, idle: 0, opening: 0, waiting: 1, max: 1, longestWaitMs: 3_000, draining: false } // prettier-ignore
  const clients = () => [{ state: 'waiting' as const, waitSeconds: 3 }]
  const first = start(() => snapshotOf([ahead, replica], [pool]), { clients })
  const second = start(() => snapshotOf([ahead, node('a:1', {})], [pool]), { clients })
  t.teardown(() => [supervisor, first.metrics, second.metrics].forEach((one) => one.close()))
  first.observer.emit('pool.wait', { seconds: 0.002, outcome: 'ok' } as Events['pool.wait'])
  second.observer.emit('pool.wait', { seconds: 20, outcome: 'ok' } as Events['pool.wait'])
  for (const one of [first, second])
    one.observer.emit('switch.changed', { cluster: 'main', switch: 'read_only', on: true, detail: '', by: 'ops' })
  observer.emit('config.reloaded', { outcome: 'refused', generation: 1, problems: [] })
  supervisor.replaced()
  const text = await supervisor.merged([await first.metrics.packed(), await second.metrics.packed()])
  t.match(text, 'pointsman_shape_cache_hits_total 14')
  t.match(text, 'pointsman_pool_wait_seconds_bucket{le="0.0025"} 1')
  t.match(text, 'pointsman_pool_wait_seconds_bucket{le="+Inf"} 2')
  t.match(text, 'pointsman_pool_wait_seconds_sum 20.002')
  t.match(text, 'pointsman_config_reload_failures_total 1')
  t.match(text, 'pointsman_workers 2')
  t.match(text, 'pointsman_workers_replaced_total 1')
  t.match(text, 'pointsman_node_state{node="a:1",state="up"} 1')
  t.match(text, 'pointsman_switch_on{cluster="main",switch="read_only"} 1\n', 'both have heard of the same switch')
  t.match(text, 'pointsman_replicas_usable{cluster="main"} 1\n')
  t.match(text, 'pointsman_insert_ahead_bytes{node="p:1"} 24\n')
  t.match(text, 'pointsman_client_states{state="waiting"} 2\n', 'clients are other ones')
  t.match(text, 'pointsman_client_wait_seconds 3\n', 'but who waits longest has not waited twice')
  t.match(text, 'pointsman_pool_queue_seconds{node="a:1"} 3\n')
  t.match(text, 'pointsman_replica_staleness_seconds{node="a:1"} +Inf', 'where one of them knows nothing, nothing is proved')
})
