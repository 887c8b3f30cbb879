// metrics/metrics.ts — Prometheus metrics, fed by events; gauges are read from snapshots when somebody scrapes, so that
// nothing is counted twice and nodes that are gone vanish. One registry per runtime. Every label is bounded: databases
// that only `*` takes count as `*`, and no label holds a user, a table or a text.
import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client'
import type { Events, Observer } from '../observe/events.js'
import type { LanesReport } from '../pool/lanes.js'
import type { RuntimeSnapshot } from '../runtime/contract.js'
import { countBus, type LineCounts } from './bus.js'
import { gaugeClients, type ClientCount } from './clients.js'
import { countConsistency, gaugeConsistency } from './consistency.js'
import { countLanes } from './lanes.js'
import { countersOf } from './counters.js'
import { Durations, type Tally } from './durations.js'
import { packMetrics } from './merge.js'
import { replicaStaleness } from './staleness.js'
import { countTwoPhase, type Doubtful } from './two-phase.js'

/** Where gauges are read at scrape. */
export interface MetricSources {
  readonly snapshot: () => RuntimeSnapshot
  /** Names in `databases` of the present config. */
  readonly databases: () => { readonly has: (name: string) => boolean }
  readonly shapeCache: () => { readonly hits: number; readonly misses: number; readonly bytes: number } | null
  /** Connections that listen for clients. Default: none. */
  readonly lines?: () => readonly LineCounts[]
  /** Clients of the proxy. Default: none. */
  readonly clients?: () => Iterable<ClientCount>
  /** Prepared transactions that recovery cannot end yet. Default: none. */
  readonly inDoubt?: () => readonly Doubtful[]
  /** Connections that clients share. Default: none. */
  readonly lanes?: () => LanesReport
  /** Tables that nobody owns, by database. Default: none are looked for. */
  readonly unowned?: () => ReadonlyMap<string, number>
  /** Process-monotonic ms. */
  readonly now: () => number
}

export interface Metrics {
  readonly contentType: string
  /** The whole exposition, as /metrics gives it. */
  text(): Promise<string>
  /** For mergeMetrics() in another process. */
  packed(): Promise<string>
  /** Stops listening. */
  close(): void
}

const states = ['up', 'suspect', 'down', 'probation'] as const
const secondsBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const consistencies: ReadonlySet<string> = new Set(['strong', 'session', 'bounded', 'any'])

export function createMetrics(observer: Observer, sources: MetricSources): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const off = [
    ...countQueries(registry, observer, sources),
    ...countEvents(registry, observer),
    ...countConsistency(registry, observer),
    ...countTwoPhase(registry, observer, sources.inDoubt ?? ((): readonly never[] => [])),
    ...countBus(registry, observer, sources.lines ?? ((): readonly LineCounts[] => [])),
  ]
  gaugeConsistency(registry, () => [...sources.snapshot().topology.clusters.values()], sources.now)
  gaugeNodes(registry, sources)
  gaugePools(registry, sources)
  gaugeClients(registry, sources.clients ?? ((): readonly ClientCount[] => []), sources.snapshot)
  gaugeShapes(registry, sources)
  gaugeUnowned(registry, sources.unowned ?? ((): ReadonlyMap<string, number> => new Map()))
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    packed: () => packMetrics(registry),
    close: () => {
      for (const stop of off) stop()
      registry.clear()
    },
  }
}

type Stop = () => void

function countQueries(registry: Registry, observer: Observer, sources: MetricSources): readonly Stop[] {
  const registers = [registry]
  const known = new Counts()
  new Counter({
    name: 'pointsman_queries_total',
    help: 'Statements or batches that ended.',
    labelNames: ['database', 'cluster', 'role', 'owner', 'outcome'],
    registers,
    collect() {
      this.reset()
      for (const { query, count } of known.all) this.inc(query, count)
    },
  })
  const seconds = new Durations(
    { name: 'pointsman_query_seconds', help: 'From the arrival of a statement to its last reply.', bounds: secondsBuckets },
    registry,
  )
  new Counter({
    name: 'pointsman_route_reasons_total',
    help: 'Routes by the rule that decided.',
    labelNames: ['why'],
    registers,
    collect() {
      this.reset()
      for (const { why, count } of known.all) if (why !== null) this.inc({ why }, count)
    },
  })
  return [
    observer.on('query.end', (event) => {
      const database = sources.databases().has(event.database) ? event.database : '*'
      const counted = known.of(event, database, seconds)
      counted.count++
      counted.seconds.observe(event.seconds)
    }),
  ]
}

/** Statements that share all their labels. */
interface Counted {
  readonly query: Readonly<Record<'database' | 'cluster' | 'role' | 'owner' | 'outcome', string>>
  readonly why: string | null
  readonly seconds: Tally
  count: number
}

/** Found without making a key: by the reasons of a plan, which statements of one shape share, then by the few labels seen with them. */
class Counts {
  readonly all: Counted[] = []
  readonly #byReasons = new WeakMap<Events['query.end']['why'], Counted[]>()
  readonly #byLabels = new Map<string, Counted>()

  of(event: Events['query.end'], database: string, seconds: Durations): Counted {
    let seen = this.#byReasons.get(event.why)
    if (seen === undefined) {
      seen = []
      this.#byReasons.set(event.why, seen)
    }
    const cluster = event.cluster ?? 'none'
    const owner = event.owner ?? 'none'
    for (const counted of seen) {
      const { query } = counted
      const same = query.cluster === cluster && query.role === event.role && query.outcome === event.outcome
      if (same && query.database === database && query.owner === owner) return counted
    }
    const counted = this.#labelled(
      { database, cluster, role: event.role, owner, outcome: event.outcome },
      event.why.at(-1)?.rule ?? null,
      seconds,
    )
    seen.push(counted)
    return counted
  }

  #labelled(query: Counted['query'], why: string | null, seconds: Durations): Counted {
    const key = JSON.stringify([query, why])
    const known = this.#byLabels.get(key)
    if (known !== undefined) return known
    const { cluster, role } = query
    const counted: Counted = { query, why, seconds: seconds.tally({ cluster, role }), count: 0 }
    this.#byLabels.set(key, counted)
    this.all.push(counted)
    return counted
  }
}

function countEvents(registry: Registry, observer: Observer): readonly Stop[] {
  const counter = countersOf(registry)
  const unmet = counter('pointsman_unmet_reads_total', 'Reads that no replica met, by the step taken.', ['policy', 'step'])
  const crossings = counter('pointsman_crossings_total', 'Statements that cross clusters.', ['kind'])
  const misrouted = counter('pointsman_misrouted_total', 'Statements taken for reads that a server found to write.')
  const waits = new Durations(
    { name: 'pointsman_pool_wait_seconds', help: 'Waiting for a server connection.', bounds: secondsBuckets },
    registry,
  ).tally({})
  const refused = 'What ended in 53300: clients that were too many, and statements for which there was no connection.'
  const rejections = counter('pointsman_rejections_total', refused, ['limit'])
  const reloads = counter('pointsman_config_reload_failures_total', 'Configs that were refused on reload.')
  const clients = new Gauge({ name: 'pointsman_clients', help: 'Clients connected.', registers: [registry] })
  return [
    observer.on('read.unmet', ({ policy, step }) => unmet.inc({ policy: consistencies.has(policy) ? policy : 'other', step })),
    observer.on('crossing', ({ kind }) => crossings.inc({ kind })),
    observer.on('read.misrouted', () => misrouted.inc()),
    observer.on('pool.wait', ({ seconds, outcome }) => {
      waits.observe(seconds)
      if (outcome === 'full') rejections.inc({ limit: 'queue' })
      else if (outcome === 'timeout') rejections.inc({ limit: 'wait' })
    }),
    observer.on('client.limited', ({ limit }) => rejections.inc({ limit })),
    observer.on('config.reloaded', ({ outcome }) => outcome === 'refused' && reloads.inc()),
    observer.on('client.opened', () => clients.inc()),
    observer.on('client.closed', () => clients.dec()),
  ]
}

function gaugeNodes(registry: Registry, sources: MetricSources): void {
  const registers = [registry]
  new Gauge({
    name: 'pointsman_replica_staleness_seconds',
    aggregator: 'max',
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
    aggregator: 'max',
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

function gaugeUnowned(registry: Registry, unowned: () => ReadonlyMap<string, number>): void {
  new Gauge({
    name: 'pointsman_unowned_tables',
    aggregator: 'max',
    help: 'Tables that nobody owns, or that lie where no statement looks for them.',
    labelNames: ['database'],
    registers: [registry],
    collect() {
      this.reset()
      for (const [database, count] of unowned()) this.set({ database }, count)
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
  countLanes(registry, () => sources.lanes?.() ?? null)
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
