// metrics/two-phase.ts — transactions over several clusters: how they ended, and what of them is in doubt. Every worker sees the
// same that is prepared, so of several workers the largest number counts.
import { Gauge, type Registry } from 'prom-client'
import type { Observer } from '../observe/events.js'
import { countersOf } from './counters.js'

/** A prepared transaction that is older than `grace`. */
export interface Doubtful {
  readonly database: string
  readonly cluster: string
  readonly ageSeconds: number
}

/** Listens until every one of what it gives is called. `inDoubt`: asked at each scrape. */
export function countTwoPhase(registry: Registry, observer: Observer, inDoubt: () => readonly Doubtful[]): readonly (() => void)[] {
  const registers = [registry]
  const counter = countersOf(registry)
  const ended = counter('pointsman_two_phase_total', 'Transactions that wrote on several clusters, by their end.', ['database', 'outcome'])
  const recovered = counter('pointsman_two_phase_recovered_total', 'Prepared transactions that recovery has ended.', [
    'database',
    'cluster',
    'outcome',
  ])
  new Gauge({
    name: 'pointsman_in_doubt',
    help: 'Prepared transactions that recovery cannot end yet.',
    labelNames: ['database', 'cluster'],
    aggregator: 'max',
    registers,
    collect() {
      this.reset()
      for (const { database, cluster } of inDoubt()) this.inc({ database, cluster })
    },
  })
  new Gauge({
    name: 'pointsman_in_doubt_age_seconds',
    help: 'Age of the oldest of them.',
    labelNames: ['database'],
    aggregator: 'max',
    registers,
    collect() {
      this.reset()
      const oldest = new Map<string, number>()
      for (const { database, ageSeconds } of inDoubt()) oldest.set(database, Math.max(oldest.get(database) ?? 0, ageSeconds))
      for (const [database, seconds] of oldest) this.set({ database }, seconds)
    },
  })
  return [
    observer.on('two-phase.end', ({ database, outcome }) => ended.inc({ database, outcome })),
    observer.on('two-phase.recovered', ({ database, cluster, outcome }) => recovered.inc({ database, cluster, outcome })),
  ]
}
