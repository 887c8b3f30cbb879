// metrics/consistency.ts — how stale answers were, and what happened to the servers that they came from (CONSISTENCY §2.5,
// §2.8, §2.9). Events are counted as they come; what a snapshot tells is read when somebody scrapes.
import { Gauge, type Registry } from 'prom-client'
import type { Events, Observer } from '../observe/events.js'
import { usableReplicas, type ClusterSnapshot, type NodeSnapshot } from '../topology/topology.js'
import { countersOf } from './counters.js'
import { Durations, type Tally } from './durations.js'

const boundBuckets = [0, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

type Stop = () => void

/** Listens until every one of what it gives is called. */
export function countConsistency(registry: Registry, observer: Observer): readonly Stop[] {
  const counter = countersOf(registry)
  const bounds = new Bounds(registry)
  const unproved = counter('pointsman_reads_unproved_total', 'Reads of whose staleness nothing was proved.', ['policy'])
  const lost = counter(
    'pointsman_possible_lost_writes_total',
    'Writes acknowledged before a promotion that the new primary may not have.',
    ['cluster'],
  )
  const fenced = counter('pointsman_primary_fenced_total', 'Servers that claimed to be the primary and got nothing.', ['cluster'])
  const cached = counter('pointsman_cache_reads_total', 'Reads that may use the result cache.', ['cluster', 'outcome'])
  const chaos = counter('pointsman_chaos_total', 'Failures made on purpose.', ['what'])
  const switches = new Gauge({
    name: 'pointsman_switch_on',
    aggregator: 'max',
    help: '1 while an operator’s switch is on.',
    labelNames: ['cluster', 'switch'],
    registers: [registry],
  })
  return [
    observer.on('query.end', (event) => {
      if (event.policy === null || event.outcome !== 'ok') return
      if (event.boundSeconds === null) unproved.inc({ policy: event.policy })
      else bounds.of(event.policy, event.node ?? 'none').observe(event.boundSeconds)
    }),
    observer.on('writes.lost', ({ cluster, possible }) => lost.inc({ cluster }, possible)),
    observer.on('primary.fenced', ({ cluster }) => fenced.inc({ cluster })),
    observer.on('cache.read', ({ cluster, outcome }) => cached.inc({ cluster, outcome })),
    observer.on('chaos', ({ what }) => chaos.inc({ what })),
    observer.on('switch.changed', (event: Events['switch.changed']) => {
      // Bans and pauses are of a server or a database, of which there may be several: no gauge of two labels could tell them.
      if (event.switch !== 'read_only' && event.switch !== 'allow_stale') return
      switches.set({ cluster: event.cluster, switch: event.switch }, event.on ? 1 : 0)
    }),
  ]
}

/** Two look-ups for each read, and no key made. */
class Bounds {
  readonly #seconds: Durations
  readonly #tallies = new Map<string, Map<string, Tally>>()

  constructor(registry: Registry) {
    this.#seconds = new Durations(
      { name: 'pointsman_read_bound_seconds', help: 'How stale answers were at most, proved; 0: the primary.', bounds: boundBuckets },
      registry,
    )
  }

  of(policy: string, node: string): Tally {
    const byNode = this.#tallies.get(policy) ?? new Map<string, Tally>()
    const tally = byNode.get(node) ?? this.#seconds.tally({ policy, node })
    if (!byNode.has(node)) this.#tallies.set(policy, byNode.set(node, tally))
    return tally
  }
}

/** `clusters` and `now` (process-monotonic ms) are asked at each scrape. */
export function gaugeConsistency(registry: Registry, clusters: () => readonly ClusterSnapshot[], now: () => number): void {
  const gauge = (name: string, help: string, label: string, values: () => Iterable<readonly [string, number]>): void => {
    new Gauge({
      name,
      help,
      labelNames: [label],
      // Each process has measured it: the one that knows least good.
      aggregator: name === 'pointsman_replicas_usable' ? 'min' : 'max',
      registers: [registry],
      collect() {
        this.reset()
        for (const [of, value] of values()) this.set({ [label]: of }, value)
      },
    })
  }
  const byCluster = (name: string, help: string, value: (cluster: ClusterSnapshot) => number): void =>
    gauge(name, help, 'cluster', () => clusters().map((cluster) => [cluster.id, value(cluster)]))
  const byNode = (name: string, help: string, value: (node: NodeSnapshot, cluster: ClusterSnapshot) => number | null): void =>
    gauge(name, help, 'node', () => clusters().flatMap((cluster) => cluster.nodes.flatMap((node) => told(node.id, value(node, cluster)))))

  byCluster('pointsman_replicas_usable', 'Replicas that may be read.', (cluster) => usableReplicas(cluster).length)
  byCluster('pointsman_cluster_headless_seconds', 'Time without a proved primary; 0: there is one.', ({ headlessSince }) =>
    headlessSince === null ? 0 : Math.max(0, now() - headlessSince) / 1000,
  )
  byNode('pointsman_replay_lag_bytes', 'Log of the primary that a replica has not replayed, as last sampled.', lagBytes)
  byNode('pointsman_insert_ahead_bytes', 'Log that a primary has written but not flushed.', (node) => node.insertAheadBytes)
}

function told(node: string, value: number | null): readonly (readonly [string, number])[] {
  return value === null ? [] : [[node, value]]
}

/** null: no replica, or positions that do not compare. */
function lagBytes({ role, position }: NodeSnapshot, { primary, timeline }: ClusterSnapshot): number | null {
  const newest = primary?.position ?? null
  if (role !== 'replica' || position === null || newest === null || position.timeline !== timeline) return null
  return Math.max(0, Number(newest.lsn - position.lsn))
}
