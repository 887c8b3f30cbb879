// metrics/merge.ts — the metrics of several processes as one exposition. Counters and histograms add up; what a gauge does is
// said where it is made (`aggregator`): how far a replica is behind is no sum.
import { AggregatorRegistry, type Registry } from 'prom-client'

/** What one process has, as a text that another can merge. */
export async function packMetrics(registry: Registry): Promise<string> {
  return JSON.stringify(await registry.getMetricsAsJSON(), (key, value: unknown) =>
    // JSON knows no infinity.
    key === 'value' && typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  )
}

const notFinite: ReadonlySet<unknown> = new Set(['Infinity', '-Infinity', 'NaN'])

export function mergeMetrics(packed: readonly string[]): Promise<string> {
  const metrics = packed.map(
    (text) =>
      JSON.parse(text, (key, value: unknown) => (key === 'value' && notFinite.has(value) ? Number(value) : value)) as Record<
        string,
        unknown
      >[],
  )
  return AggregatorRegistry.aggregate(metrics).metrics()
}
