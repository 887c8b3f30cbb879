// execute/switches.ts — what operators decide while the system runs, by cluster: no writes, or older reads for a while.
// One for the process: generations share it, and a reload does not undo it. Each use and each end is told to the observer.
import { formatDuration } from '../consistency/duration.js'
import type { Observer } from '../observe/events.js'

export interface ReadOnly {
  /** For the clients whose writes are refused. */
  readonly message: string
  readonly by: string
}

export interface AllowStale {
  /** Reads that nothing meets may be answered by a replica proved to be at most this much behind, in ms. */
  readonly maxMs: number
  /** Process-monotonic ms at which it ends by itself. */
  readonly until: number
  readonly by: string
}

export interface SwitchesSnapshot {
  readonly readOnly: ReadonlyMap<string, ReadOnly>
  readonly allowStale: ReadonlyMap<string, AllowStale>
}

const longestTimerMs = 2 ** 31 - 1

export class Switches {
  readonly #observer: Observer
  /** Process-monotonic ms. */
  readonly #now: () => number
  readonly #readOnly = new Map<string, ReadOnly>()
  readonly #allowStale = new Map<string, AllowStale & { readonly timer: NodeJS.Timeout }>()

  constructor(observer: Observer, now: () => number) {
    this.#observer = observer
    this.#now = now
  }

  /** `state` null: writes go through again. */
  setReadOnly(cluster: string, state: ReadOnly | null, by: string): void {
    if (state === null && !this.#readOnly.has(cluster)) return
    if (state === null) this.#readOnly.delete(cluster)
    else this.#readOnly.set(cluster, state)
    this.#observer.emit('switch.changed', { cluster, switch: 'read_only', on: state !== null, detail: state?.message ?? '', by })
  }

  readOnly(cluster: string): ReadOnly | null {
    return this.#readOnly.get(cluster) ?? null
  }

  /** For `forMs` from now; `maxMs` null ends it at once. */
  setAllowStale(cluster: string, maxMs: number | null, forMs: number, by: string): void {
    const before = this.#allowStale.get(cluster)
    clearTimeout(before?.timer)
    this.#allowStale.delete(cluster)
    if (maxMs === null) {
      if (before !== undefined) this.#told(cluster, false, 'switched off', by)
      return
    }
    // Its end is told on time; whether it still holds is asked of the clock all the same.
    this.#allowStale.set(cluster, { maxMs, until: this.#now() + forMs, by, timer: this.#timer(cluster, forMs) })
    this.#told(cluster, true, `up to ${formatDuration(maxMs)} old, for ${formatDuration(forMs)}`, by)
  }

  allowStale(cluster: string): AllowStale | null {
    const state = this.#allowStale.get(cluster)
    return state === undefined || this.#now() >= state.until ? null : state
  }

  snapshot(): SwitchesSnapshot {
    const standing = [...this.#allowStale].filter(([cluster]) => this.allowStale(cluster) !== null)
    return { readOnly: new Map(this.#readOnly), allowStale: new Map(standing) }
  }

  close(): void {
    for (const { timer } of this.#allowStale.values()) clearTimeout(timer)
  }

  #timer(cluster: string, ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#expired(cluster), Math.min(ms, longestTimerMs)).unref()
  }

  /** A timer may fire a hair before its time, and knows no more than 24 days: then it is set again. */
  #expired(cluster: string): void {
    const state = this.#allowStale.get(cluster)
    if (state === undefined) return
    const left = state.until - this.#now()
    if (left > 0) {
      this.#allowStale.set(cluster, { ...state, timer: this.#timer(cluster, Math.ceil(left)) })
      return
    }
    this.#allowStale.delete(cluster)
    this.#told(cluster, false, 'its time is over', 'pointsman')
  }

  #told(cluster: string, on: boolean, detail: string, by: string): void {
    this.#observer.emit('switch.changed', { cluster, switch: 'allow_stale', on, detail, by })
  }
}
