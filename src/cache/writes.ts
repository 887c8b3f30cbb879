// cache/writes.ts — the writes that pass through this process, as far as kept results must know of them: by cluster and
// relation, when the last one began or ended. Ticks count beginnings and ends; a result that was begun at a tick is outdated
// by any later one on a relation it depends on. So a write outdates at its start, once more at its end, and what was being
// read meanwhile is not kept beyond it.

interface Last {
  /** Of the last beginning or end. */
  tick: number
  /** When the last one ended, process-monotonic ms. */
  endedAt: number
}

interface OfCluster {
  /** Writes of which it cannot be said what they change. */
  readonly all: Last
  readonly tables: Map<string, Last>
}

export class Writes {
  readonly #clusters = new Map<string, OfCluster>()
  /** What ended before this is not known. */
  readonly #knownSince: number
  #tick = 0

  /** `knownSince`: writes were not told before it; -Infinity: there were none. */
  constructor(knownSince: number) {
    this.#knownSince = knownSince
  }

  get tick(): number {
    return this.#tick
  }

  /** `tables` null: anything of the cluster. */
  begun(cluster: string, tables: readonly string[] | null): void {
    this.#mark(cluster, tables, null)
  }

  /** It has ended, or its transaction has, well or not, or nobody knows. */
  ended(cluster: string, tables: readonly string[] | null, now: number): void {
    this.#mark(cluster, tables, now)
  }

  /** Nothing was written since `tick` that `tables` would show. */
  quietSince(cluster: string, tables: readonly string[], tick: number): boolean {
    return this.#lasts(cluster, tables).every((last) => last.tick <= tick)
  }

  /** When the last write ended that `tables` would show; -Infinity: there was none. */
  lastEnd(cluster: string, tables: readonly string[]): number {
    return Math.max(this.#knownSince, ...this.#lasts(cluster, tables).map((last) => last.endedAt))
  }

  #lasts(cluster: string, tables: readonly string[]): readonly Last[] {
    const known = this.#clusters.get(cluster)
    return known === undefined ? [] : [known.all, ...tables.flatMap((table) => known.tables.get(table) ?? [])]
  }

  #mark(cluster: string, tables: readonly string[] | null, endedAt: number | null): void {
    if (tables?.length === 0) return
    this.#tick += 1
    let known = this.#clusters.get(cluster)
    if (known === undefined) {
      known = { all: { tick: 0, endedAt: -Infinity }, tables: new Map() }
      this.#clusters.set(cluster, known)
    }
    if (tables === null) this.#note(known.all, endedAt)
    else for (const table of tables) this.#note(lastOf(known.tables, table), endedAt)
  }

  #note(last: Last, endedAt: number | null): void {
    last.tick = this.#tick
    if (endedAt !== null) last.endedAt = endedAt
  }
}

function lastOf(tables: Map<string, Last>, table: string): Last {
  let last = tables.get(table)
  if (last === undefined) {
    last = { tick: 0, endedAt: -Infinity }
    tables.set(table, last)
  }
  return last
}
