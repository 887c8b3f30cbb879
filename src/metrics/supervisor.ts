// metrics/supervisor.ts — the metrics of a process that only runs workers, and theirs added up.
import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client'
import type { Observer } from '../observe/events.js'
import { mergeMetrics, packMetrics } from './merge.js'

export interface SupervisorMetrics {
  readonly contentType: string
  /** Together with what the workers packed, as /metrics gives it. */
  merged(packed: readonly string[]): Promise<string>
  /** A worker that died is replaced. */
  replaced(): void
  close(): void
}

export function createSupervisorMetrics(observer: Observer, serving: () => number): SupervisorMetrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const replaced = new Counter({ name: 'pointsman_workers_replaced_total', help: 'Workers that died and were replaced.', registers })
  new Gauge({
    name: 'pointsman_workers',
    help: 'Workers that serve.',
    registers,
    collect() {
      this.set(serving())
    },
  })
  // The workers have it too, and count what only one of them refused.
  const failures = new Counter({ name: 'pointsman_config_reload_failures_total', help: 'Configs that were refused on reload.', registers })
  const off = observer.on('config.reloaded', ({ outcome }) => {
    if (outcome === 'refused') failures.inc()
  })
  return {
    contentType: registry.contentType,
    merged: async (packed) => mergeMetrics([...packed, await packMetrics(registry)]),
    replaced: () => replaced.inc(),
    close: () => {
      off()
      registry.clear()
    },
  }
}
