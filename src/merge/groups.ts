// merge/groups.ts — partial groups of the parts → whole groups, by hash. Where rows arrive in an order that begins groups anew,
// flush() between runs keeps only the groups of one run in memory.
import type { Combiner } from './combiner.js'
import { rowKey, type EqualityColumn, type Row } from './columns.js'
import { entryBytes, type Memory } from './memory.js'

export class Groups {
  readonly #keyOf: (row: Row) => string
  readonly #combiners: readonly Combiner[]
  readonly #memory: Memory
  readonly #groups: Map<string, unknown[]> = new Map()
  /** There is one group, with rows or without. */
  readonly #single: boolean

  constructor(keys: readonly EqualityColumn[], combiners: readonly Combiner[], memory: Memory) {
    this.#keyOf = rowKey(keys)
    this.#combiners = combiners
    this.#memory = memory
    this.#single = keys.length === 0
  }

  add(row: Row): void {
    const key = this.#keyOf(row)
    const states = this.#groups.get(key) ?? this.#begin(key)
    for (let index = 0; index < states.length; index++) states[index] = (this.#combiners[index] as Combiner).add(states[index], row)
  }

  #begin(key: string): unknown[] {
    this.#memory.take(entryBytes + key.length + 32 * this.#combiners.length, 'groups')
    const states = this.#combiners.map(({ start }) => start)
    this.#groups.set(key, states)
    return states
  }

  get empty(): boolean {
    return this.#groups.size === 0
  }

  /** The groups so far, whole, in the order in which they were met; nothing of them is held any more. */
  *flush(): Generator<Row> {
    if (this.#single && this.empty) this.#begin('')
    for (const states of this.#groups.values()) yield this.#combiners.map((combiner, index) => combiner.finish(states[index]))
    this.#groups.clear()
    this.#memory.clear()
  }
}
