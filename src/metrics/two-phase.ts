// metrics/two-phase.ts — transactions over several clusters: how they ended, and what of them is in doubt. Every worker sees the
// same that is prepared, so of several workers the largest number counts.
import { Counter, Gauge, type Registry } from 'prom-client'
import type { Observer } from '../observe/events.js'

/** A prepared transaction that is older than `grace`. */
interface Doubtful {
  readonly database: string
  readonly cluster: string
  readonly ageSeconds: number
}

/** Listens until every one of what it gives is called. `inDoubt`: asked at each scrape. */
export function countTwoPhase(registry: Registry, observer: Observer, inDoubt: () => readonly Doubtful[]): readonly (() => void)[] {
  const registers = [registry]
  const ended = new Counter({
    name: 'pointsman_two_phase_total',
    help: 'Transactions that wrote on several clusters, by their end.',
    labelNames: ['database', 'outcome'],
    registers,
  })
  const recovered = new Counter({
    name: 'pointsman_two_phase_recovered_total',
    help: 'Prepared transactions that recovery has ended.',
    labelNames: ['database', 'cluster', 'outcome'],
    registers,
  })
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
