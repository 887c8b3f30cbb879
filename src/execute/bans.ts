// execute/bans.ts — servers that operators have taken out of reading: BAN (for a while, and only as long as somebody else can
// answer) and DRAIN (until it is taken back, whoever is left). Writes are not concerned: there is but one primary. One for
// the process: generations share it. While nobody is banned, `any` is all that anybody looks at.
import type { Observer } from '../observe/events.js'

export interface Ban {
  readonly cluster: string
  readonly node: string
  readonly kind: 'ban' | 'drain'
  /** Process-monotonic ms at which it ends by itself; null: it does not. */
  readonly until: number | null
  readonly by: string
}

const longestTimerMs = 2 ** 31 - 1

export class Bans {
  /** Somebody is banned or drained. */
  any = false
  readonly #observer: Observer
  /** Process-monotonic ms. */
  readonly #now: () => number
  readonly #bans = new Map<string, Ban>()
  readonly #timers = new Map<string, NodeJS.Timeout>()

  constructor(observer: Observer, now: () => number) {
    this.#observer = observer
    this.#now = now
  }

  /** For `forMs` from now; null: until it is taken back. */
  set(cluster: string, node: string, kind: Ban['kind'], forMs: number | null, by: string): void {
    this.#forget(node)
    this.#bans.set(node, { cluster, node, kind, until: forMs === null ? null : this.#now() + forMs, by })
    this.any = true
    if (forMs !== null) this.#timers.set(node, this.#timer(cluster, node, forMs))
    this.#observer.emit('switch.changed', { cluster, switch: kind, on: true, detail: node, by })
  }

  /** False: there was none. */
  lift(cluster: string, node: string, by: string): boolean {
    const ban = this.#bans.get(node)
    if (ban === undefined) return false
    this.#forget(node)
    this.#observer.emit('switch.changed', { cluster, switch: ban.kind, on: false, detail: node, by })
    return true
  }

  /** null: it may be read from. */
  of(node: string): Ban['kind'] | null {
    const ban = this.#bans.get(node)
    return ban === undefined || (ban.until !== null && this.#now() >= ban.until) ? null : ban.kind
  }

  snapshot(): readonly Ban[] {
    return [...this.#bans.values()].filter(({ node }) => this.of(node) !== null)
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer)
  }

  #forget(node: string): void {
    clearTimeout(this.#timers.get(node))
    this.#timers.delete(node)
    this.#bans.delete(node)
    this.any = this.#bans.size > 0
  }

  /** A timer knows no more than 24 days: then it is set again. */
  #timer(cluster: string, node: string, ms: number): NodeJS.Timeout {
    const over = (): void => {
      const until = this.#bans.get(node)?.until ?? null
      const left = until === null ? 0 : until - this.#now()
      if (left > 0) this.#timers.set(node, this.#timer(cluster, node, Math.ceil(left)))
      else this.lift(cluster, node, 'pointsman')
    }
    return setTimeout(over, Math.min(ms, longestTimerMs)).unref()
  }
}
