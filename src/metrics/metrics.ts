// metrics/metrics.ts — Prometheus metrics, fed by events; gauges are read from snapshots when somebody scrapes, so that
// nothing is counted twice and nodes that are gone vanish. One registry per runtime. Every label is bounded: databases
// that only `*` takes count as `*`, and no label holds a user, a table or a text.
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import type { Events, Observer } from '../observe/events.js'
import type { RuntimeSnapshot } from '../runtime/contract.js'
import { replicaStaleness } from './staleness.js'

/** Where gauges are read at scrape. */
export interface MetricSources {
  readonly snapshot: () => RuntimeSnapshot
  /** Names in `databases` of the present config. */
  readonly databases: () => { readonly has: (name: string) => boolean }
  readonly shapeCache: () => { readonly hits: number; readonly misses: number; readonly bytes: number } | null
  /** Process-monotonic ms. */
  readonly now: () => number
}

export interface Metrics {
  readonly contentType: string
  /** The whole exposition, as /metrics gives it. */
  text(): Promise<string>
  /** Stops listening. */
  close(): void
}

const states = ['up', 'suspect', 'down', 'probation'] as const
const secondsBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const consistencies: ReadonlySet<string> = new Set(['strong', 'session', 'bounded', 'any'])

export function createMetrics(observer: Observer, sources: MetricSources): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const off = [...countQueries(registry, observer, sources), ...countEvents(registry, observer)]
  gaugeNodes(registry, sources)
  gaugePools(registry, sources)
  gaugeShapes(registry, sources)
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    close: () => {
      for (const stop of off) stop()
      registry.clear()
    },
  }
}

type Stop = () => void

function countQueries(registry: Registry, observer: Observer, sources: MetricSources): readonly Stop[] {
  const registers = [registry]
  const queries = new Counter({
    name: 'pointsman_queries_total',
    help: 'Statements or batches that ended.',
    labelNames: ['database', 'cluster', 'role', 'owner', 'outcome'],
    registers,
  })
  const seconds = new Histogram({
    name: 'pointsman_query_seconds',
    help: 'From the arrival of a statement to its last reply.',
    labelNames: ['cluster', 'role'],
    buckets: secondsBuckets,
    registers,
  })
  const reasons = new Counter({
    name: 'pointsman_route_reasons_total',
    help: 'Routes by the rule that decided.',
    labelNames: ['why'],
    registers,
  })
  // Looking up a metric by its labels costs more than routing a known statement does; the labels are few, so keep what they lead to.
  const known = new Map<string, Counted>()
  const counted = (event: Events['query.end'], database: string, why: string | undefined): Counted => {
    const cluster = event.cluster ?? 'none'
    const { role, outcome } = event
    return {
      query: queries.labels({ database, cluster, role, owner: event.owner ?? 'none', outcome }),
      seconds: seconds.labels({ cluster, role }),
      reason: why === undefined ? null : reasons.labels({ why }),
    }
  }
  return [
    observer.on('query.end', (event) => {
      const database = sources.databases().has(event.database) ? event.database : '*'
      const why = event.why.at(-1)?.rule
      const key = [database, event.cluster, event.role, event.owner, event.outcome, why].join('\n')
      let found = known.get(key)
      if (found === undefined) {
        found = counted(event, database, why)
        known.set(key, found)
      }
      found.query.inc()
      found.seconds.observe(event.seconds)
      found.reason?.inc()
    }),
  ]
}

interface Counted {
  readonly query: Counter.Internal
  readonly seconds: Histogram.Internal<'cluster' | 'role'>
  readonly reason: Counter.Internal | null
}

function countEvents(registry: Registry, observer: Observer): readonly Stop[] {
  const registers = [registry]
  const unmet = new Counter({
    name: 'pointsman_unmet_reads_total',
    help: 'Reads that no replica met, by the step taken.',
    labelNames: ['policy', 'step'],
    registers,
  })
  const crossings = new Counter({
    name: 'pointsman_crossings_total',
    help: 'Statements that cross clusters.',
    labelNames: ['kind'],
    registers,
  })
  const misrouted = new Counter({
    name: 'pointsman_misrouted_total',
    help: 'Statements taken for reads that a server found to write.',
    registers,
  })
  const waits = new Histogram({
    name: 'pointsman_pool_wait_seconds',
    help: 'Waiting for a server connection.',
    buckets: secondsBuckets,
    registers,
  })
  const reloads = new Counter({ name: 'pointsman_config_reload_failures_total', help: 'Configs that were refused on reload.', registers })
  const clients = new Gauge({ name: 'pointsman_clients', help: 'Clients connected.', registers })
  return [
    observer.on('read.unmet', ({ policy, step }) => unmet.inc({ policy: consistencies.has(policy) ? policy : 'other', step })),
    observer.on('crossing', ({ kind }) => crossings.inc({ kind })),
    observer.on('read.misrouted', () => misrouted.inc()),
    observer.on('pool.wait', ({ seconds }) => waits.observe(seconds)),
    observer.on('config.reloaded', ({ outcome }) => outcome === 'refused' && reloads.inc()),
    observer.on('client.opened', () => clients.inc()),
    observer.on('client.closed', () => clients.dec()),
  ]
}

function gaugeNodes(registry: Registry, sources: MetricSources): void {
  const registers = [registry]
  new Gauge({
    name: 'pointsman_replica_staleness_seconds',
    help: 'How stale a replica is at most, as far as it is proved; +Inf: nothing is proved.',
    labelNames: ['node'],
    registers,
    collect() {
      this.reset()
      for (const [node, seconds] of replicaStaleness(sources.snapshot().topology, sources.now())) this.set({ node }, seconds)
    },
  })
  new Gauge({
    name: 'pointsman_node_state',
    help: '1 for the state that a node is in.',
    labelNames: ['node', 'state'],
    registers,
    collect() {
      this.reset()
      const nodes = [...sources.snapshot().topology.clusters.values()].flatMap((cluster) => cluster.nodes)
      for (const node of nodes) for (const state of states) this.set({ node: node.id, state }, node.health === state ? 1 : 0)
    },
  })
}

function gaugePools(registry: Registry, sources: MetricSources): void {
  new Gauge({
    name: 'pointsman_pool_connections',
    help: 'Server connections by state; waiting: requests for one.',
    labelNames: ['node', 'state'],
    registers: [registry],
    collect() {
      this.reset()
      for (const pool of sources.snapshot().pools) {
        for (const state of ['busy', 'idle', 'opening', 'waiting'] as const) this.inc({ node: pool.node, state }, pool[state])
      }
    },
  })
  new Gauge({ name: 'pointsman_lane_depth', help: 'Requests in flight on lanes; this version has none.', registers: [registry] })
}

function gaugeShapes(registry: Registry, sources: MetricSources): void {
  const registers = [registry]
  const from = (name: string, help: string, read: (cache: { hits: number; misses: number }) => number): void => {
    new Counter({
      name,
      help,
      registers,
      collect() {
        const cache = sources.shapeCache()
        this.reset()
        this.inc(cache === null ? 0 : read(cache))
      },
    })
  }
  from('pointsman_shape_cache_hits_total', 'Statements whose shape was known.', (cache) => cache.hits)
  from('pointsman_shape_cache_misses_total', 'Statements whose shape had to be parsed.', (cache) => cache.misses)
  new Gauge({
    name: 'pointsman_shape_cache_bytes',
    help: 'Memory that known shapes take, estimated.',
    registers,
    collect() {
      this.set(sources.shapeCache()?.bytes ?? 0)
    },
  })
}
