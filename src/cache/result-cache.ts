// cache/result-cache.ts — results of reads, kept and given again: one for each process and door, for all clients and
// configurations. It holds values of the door's own kind and knows of them only their size and their origin.
//
//   find ─▶ kept       fresh enough for this very read (admission.ts), and nothing that it depends on was written since
//        ─▶ under way  the same read is being made, and its result would do: wait for it
//        ─▶ none       make it; `fill` keeps what comes of it, if it may be kept
//
// What was written through this process is not shown again after that write has ended: what was read before it is outdated
// (writes.ts), and what a replica that lags behind it gives is not kept. That is beyond what the policy promises; the
// promises themselves rest on admission alone.
import { LRUCache } from 'lru-cache'
import type { CacheConfig, Config } from '../config/config.js'
import type { ReadEnd } from '../consistency/floors.js'
import type { ClusterSnapshot } from '../topology/topology.js'
import { serves, shows, type Asking, type Origin } from './admission.js'
import { usesCache } from './uses-cache.js'
import { Writes } from './writes.js'

/** One result. */
export interface Kept<V> {
  readonly value: V
  readonly bytes: number
  readonly origin: Origin
  /** The read that made it, for the floors of whoever is given it. */
  readonly read: ReadEnd
}

/** What one read looks for. */
export interface Sought {
  /** Everything that decides the answer (key.ts). */
  readonly key: string
  readonly cluster: string
  /** What the answer depends on (OnePlan.keptOn). */
  readonly tables: readonly string[]
  /** What is known of the cluster's tables: another object once they have changed. */
  readonly catalog: object | undefined
  /** What was sent before this does not fit, process-monotonic ms. */
  readonly notBefore: number
  readonly asking: Asking
}

export type Found<V> =
  | { readonly kind: 'kept'; readonly kept: Kept<V> }
  | { readonly kind: 'under-way'; readonly fill: Fill<V> }
  /** `fill` null: what comes of it is known not to be kept. `unfit`: there is one, but not for this read. */
  | { readonly kind: 'none'; readonly fill: Fill<V> | null; readonly outcome: 'miss' | 'unfit' }

interface Entry<V> extends Kept<V> {
  readonly tables: readonly string[]
  readonly catalog: object | undefined
  readonly tick: number
}

/** What an entry costs beside its value and its key. */
const entryBytes = 512
/** Reads remembered as giving what is not kept, and what their keys may take: a key holds all parameters. */
const maxBarred = 1_000
const maxBarredBytes = 1_048_576

export class ResultCache<V> {
  #writes = new Writes(-Infinity)
  #generation = 0
  #enabled = false
  #limits: CacheConfig = { maxBytes: 0, maxResultBytes: 0 }
  #kept: LRUCache<string, Entry<V>> | null = null
  readonly #fills = new Map<string, Fill<V>>()
  /** Key → when its result was found unfit to be kept. */
  readonly #barred = new LRUCache<string, number>({
    max: maxBarred,
    maxSize: maxBarredBytes,
    sizeCalculation: (_at, key) => 2 * key.length + 1,
  })
  /** Of results being read. */
  #open = 0

  /** Called with the configuration in force; another one than before empties the cache. */
  enter(generation: number, config: Config, now: number): void {
    if (generation <= this.#generation) return
    const untold = this.#generation === 0 ? -Infinity : now
    const { maxBytes, maxResultBytes } = config.cache
    const enabled = maxBytes > 0 && maxResultBytes > 0 && usesCache(config)
    if (enabled && !this.#enabled) this.#writes = new Writes(untold)
    this.#generation = generation
    this.#enabled = enabled
    this.#limits = config.cache
    this.#kept = enabled
      ? new LRUCache({ maxSize: maxBytes, sizeCalculation: ({ bytes }, key) => bytes + 2 * key.length + entryBytes })
      : null
    this.#fills.clear()
    this.#barred.clear()
  }

  /** Of kept results and those being read. */
  get bytes(): number {
    return (this.#kept?.calculatedSize ?? 0) + this.#open
  }

  get size(): number {
    return this.#kept?.size ?? 0
  }

  /** `wait` false: one that is under way is not waited for. null: the cache is not for this read at all. */
  find(generation: number, sought: Sought, wait: boolean): Found<V> | null {
    if (this.#kept === null || generation !== this.#generation) return null
    const { key, asking } = sought
    const entry = this.#entry(this.#kept, sought)
    if (entry !== null && this.fits(sought, entry.origin)) return { kind: 'kept', kept: entry }
    const fill = this.#fills.get(key)
    const isUnderWay = fill !== undefined && this.#current(sought, fill)
    if (wait && isUnderWay && (fill.origin === null || this.fits(sought, fill.origin))) return { kind: 'under-way', fill }
    const outcome = entry !== null || isUnderWay ? 'unfit' : 'miss'
    return { kind: 'none', fill: this.#isBarred(key, asking) ? null : this.#begin(sought), outcome }
  }

  /** Whether a result of that origin would do for this read now. */
  fits({ asking, notBefore }: Sought, origin: Origin): boolean {
    return origin.sentAt >= notBefore && serves(asking, origin)
  }

  /** A write is about to be sent. `tables` null: anything of the cluster. */
  writeBegun(cluster: string, tables: readonly string[] | null): void {
    if (this.#enabled) this.#writes.begun(cluster, tables)
  }

  /** It has ended, or its transaction has, well or not; to be told before its client hears of it. */
  writeEnded(cluster: string, tables: readonly string[] | null, now: number): void {
    if (this.#enabled) this.#writes.ended(cluster, tables, now)
  }

  #entry(kept: LRUCache<string, Entry<V>>, sought: Sought): Entry<V> | null {
    const entry = kept.get(sought.key)
    if (entry === undefined) return null
    const { policy, now } = sought.asking
    if (this.#current(sought, entry) && now - entry.origin.sentAt <= (policy.cacheMs ?? 0)) return entry
    kept.delete(sought.key)
    return null
  }

  #current({ cluster, catalog, tables }: Sought, of: { readonly catalog: object | undefined; readonly tick: number }): boolean {
    return of.catalog === catalog && this.#writes.quietSince(cluster, tables, of.tick)
  }

  #isBarred(key: string, { policy, now }: Asking): boolean {
    const at = this.#barred.get(key)
    return at !== undefined && now - at <= (policy.cacheMs ?? 0)
  }

  #begin(sought: Sought): Fill<V> {
    const { key, asking } = sought
    const { tick } = this.#writes
    const fill = new Fill<V>(tick, sought.catalog, {
      grow: (bytes, all) => this.#grow(bytes, all),
      shrink: (bytes) => {
        this.#open -= bytes
      },
      keep: (kept, cluster) => this.#keep(sought, { ...kept, tick, tables: sought.tables, catalog: sought.catalog }, cluster, generation),
      ended: (forGood) => {
        if (this.#fills.get(key) === fill) this.#fills.delete(key)
        if (forGood && generation === this.#generation) this.#barred.set(key, asking.now)
      },
    })
    const generation = this.#generation
    this.#fills.set(key, fill)
    return fill
  }

  #grow(bytes: number, all: number): boolean {
    if (all > this.#limits.maxResultBytes || this.#open + bytes > this.#limits.maxBytes) return false
    this.#open += bytes
    this.#trim()
    return true
  }

  /** What is being read takes the place of what was used longest ago: both together stay within the limit. */
  #trim(): void {
    while (this.bytes > this.#limits.maxBytes && this.size > 0) this.#kept?.pop()
  }

  #keep({ key, cluster: id, tables }: Sought, entry: Entry<V>, cluster: ClusterSnapshot, generation: number): void {
    if (this.#kept === null || generation !== this.#generation) return
    if (!this.#writes.quietSince(id, tables, entry.tick) || !shows(cluster, entry.origin, this.#writes.lastEnd(id, tables))) return
    const there = this.#kept.peek(key)
    if (there === undefined || there.tick < entry.tick || there.origin.sentAt <= entry.origin.sentAt) this.#kept.set(key, entry)
    this.#trim()
  }
}

interface FillOwner<V> {
  /** Room for so many bytes more, which makes `all`. */
  grow(bytes: number, all: number): boolean
  shrink(bytes: number): void
  keep(kept: Kept<V>, cluster: ClusterSnapshot): void
  ended(forGood: boolean): void
}

/** Somebody waits for a read that another makes. */
export interface Ticket<V> {
  /** null: nothing came of it, and each must read for itself. Never rejects. */
  readonly kept: Promise<Kept<V> | null>
  /** Waits no longer. */
  leave(): void
}

/** One read that is being made, whose result may be kept and shared. Ended once: by finish() or giveUp(). */
export class Fill<V> {
  readonly tick: number
  readonly catalog: object | undefined
  readonly #owner: FillOwner<V>
  readonly #waiting = new Set<(kept: Kept<V> | null) => void>()
  #origin: Origin | null = null
  #bytes = 0
  #over = false

  constructor(tick: number, catalog: object | undefined, owner: FillOwner<V>) {
    this.tick = tick
    this.catalog = catalog
    this.#owner = owner
  }

  /** Where it was sent; null: it waits for a server. */
  get origin(): Origin | null {
    return this.#origin
  }

  /** Others wait for it. */
  get shared(): boolean {
    return this.#waiting.size > 0
  }

  get over(): boolean {
    return this.#over
  }

  join(): Ticket<V> {
    let told: (kept: Kept<V> | null) => void = () => undefined
    const kept = new Promise<Kept<V> | null>((resolve) => (told = resolve))
    if (this.#over) told(null)
    else this.#waiting.add(told)
    return { kept, leave: () => void this.#waiting.delete(told) }
  }

  /** It is about to be sent there; again, elsewhere, where the first attempt was lost. */
  sent(origin: Origin): void {
    if (this.#over) return
    this.#letGo()
    this.#origin = origin
  }

  /** So many bytes of its result more are being held. False: it is too large, and has been given up. */
  grow(bytes: number): boolean {
    if (this.#over) return false
    if (!this.#owner.grow(bytes, this.#bytes + bytes)) {
      this.giveUp(true)
      return false
    }
    this.#bytes += bytes
    return true
  }

  /** The whole result. `cluster`: the newest that is known. */
  finish(value: V, read: ReadEnd, cluster: ClusterSnapshot): void {
    const origin = this.#origin
    if (this.#over || origin === null) return
    const kept: Kept<V> = { value, bytes: this.#bytes, origin, read }
    this.#letGo()
    this.#owner.keep(kept, cluster)
    this.#end(kept, false)
  }

  /** `forGood`: its result is not of the kind that is kept, and will not be the next time. */
  giveUp(forGood: boolean): void {
    if (!this.#over) this.#end(null, forGood)
  }

  #end(kept: Kept<V> | null, forGood: boolean): void {
    this.#over = true
    this.#letGo()
    this.#owner.ended(forGood)
    for (const told of this.#waiting) told(kept)
    this.#waiting.clear()
  }

  #letGo(): void {
    this.#owner.shrink(this.#bytes)
    this.#bytes = 0
  }
}
