// metrics/durations.ts — a histogram for what happens at every statement: one addition there, everything else when somebody
// scrapes. prom-client's own validates and hashes labels at each observation, which costs more than planning a statement.
import type { Metric, Registry } from 'prom-client'

/** Observations of one set of labels, counted by bucket. */
export class Tally {
  readonly labels: Readonly<Record<string, string>>
  readonly #bounds: readonly number[]
  readonly #counts: Float64Array
  #sum = 0

  constructor(labels: Readonly<Record<string, string>>, bounds: readonly number[]) {
    this.labels = labels
    this.#bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  observe(seconds: number): void {
    const bounds = this.#bounds
    let at = 0
    while (at < bounds.length && seconds > (bounds[at] ?? 0)) at++
    this.#counts[at] = (this.#counts[at] ?? 0) + 1
    this.#sum += seconds
  }

  values(name: string): Value[] {
    let total = 0
    const buckets: Value[] = []
    for (const [index, count] of this.#counts.entries()) {
      total += count
      buckets.push({ metricName: `${name}_bucket`, labels: { le: this.#bounds[index] ?? '+Inf', ...this.labels }, value: total })
    }
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels: this.labels, value: this.#sum },
      { metricName: `${name}_count`, labels: this.labels, value: total },
    ]
  }
}

interface Value {
  readonly metricName: string
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

export interface DurationsOptions {
  readonly name: string
  readonly help: string
  /** Upper bounds in seconds, rising. */
  readonly bounds: readonly number[]
}

/** A histogram of seconds in a registry, as far as a registry asks anything of a metric. */
export class Durations {
  readonly name: string
  readonly help: string
  readonly type = 'histogram'
  readonly aggregator = 'sum'
  readonly #bounds: readonly number[]
  readonly #tallies = new Map<string, Tally>()

  constructor({ name, help, bounds }: DurationsOptions, registry: Registry) {
    this.name = name
    this.help = help
    this.#bounds = bounds
    // A registry asks a metric for name, type, aggregator, get() and reset(); prom-client's own type names its whole class.
    registry.registerMetric(this as unknown as Metric)
  }

  /** The one tally for these labels; to be kept by whoever observes often. */
  tally(labels: Readonly<Record<string, string>>): Tally {
    const key = JSON.stringify(Object.entries(labels))
    let tally = this.#tallies.get(key)
    if (tally === undefined) {
      tally = new Tally(labels, this.#bounds)
      this.#tallies.set(key, tally)
    }
    return tally
  }

  get(): Promise<unknown> {
    const values = [...this.#tallies.values()].flatMap((tally) => tally.values(this.name))
    return Promise.resolve({ name: this.name, help: this.help, type: this.type, values, aggregator: this.aggregator })
  }

  reset(): void {
    this.#tallies.clear()
  }
}
