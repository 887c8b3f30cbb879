// execute/gate.ts — PAUSE: work that would take a server connection waits here, in its order, until RESUME; work that has one
// goes on to its end. And DISABLE: databases that take no new clients. One for the process: generations share it. While
// nothing is paused, `open` is all that anybody looks at.
import { PointsmanError } from '../errors/error.js'

/** What a PAUSE is of. */
export interface PauseTarget {
  readonly kind: 'all' | 'database' | 'cluster'
  /** '' for all. */
  readonly name: string
}

export interface Paused extends PauseTarget {
  readonly by: string
}

interface Waiter {
  readonly cluster: string
  readonly database: string
  readonly pass: () => void
}

export class Gate {
  /** Nothing is paused. */
  open = true
  readonly #paused = new Map<string, Paused>()
  readonly #disabled = new Map<string, string>()
  #waiting: Waiter[] = []

  /** False: it is paused already. */
  pause(target: PauseTarget, by: string): boolean {
    const key = keyOf(target)
    if (this.#paused.has(key)) return false
    this.#paused.set(key, { ...target, by })
    this.open = false
    return true
  }

  /** False: it was not paused. Of `all`: everything, each database and cluster too. Those who wait go on in the order in which they came. */
  resume(target: PauseTarget): boolean {
    const was = target.kind === 'all' ? this.#paused.size > 0 : this.#paused.delete(keyOf(target))
    if (target.kind === 'all') this.#paused.clear()
    this.open = this.#paused.size === 0
    const held: Waiter[] = []
    const waiting = this.#waiting
    this.#waiting = held
    for (const waiter of waiting) {
      if (this.holds(waiter.cluster, waiter.database)) held.push(waiter)
      else waiter.pass()
    }
    return was
  }

  /** Work of this database on this cluster is to wait. */
  holds(cluster: string, database: string): boolean {
    if (this.open) return false
    return this.#paused.has('all:') || this.#paused.has(`cluster:${cluster}`) || this.#paused.has(`database:${database}`)
  }

  isPaused(target: PauseTarget): boolean {
    return this.#paused.has(keyOf(target))
  }

  /** Resolves when the way is free; rejects with `signal.reason`. No time ends it: a pause lasts as long as its operator says. */
  async pass(cluster: string, database: string, signal: AbortSignal): Promise<void> {
    while (this.holds(cluster, database)) {
      signal.throwIfAborted()
      await this.#wait(cluster, database, signal)
    }
  }

  #wait(cluster: string, database: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiter)
        reject(signal.reason as Error)
      }
      const pass = (): void => {
        signal.removeEventListener('abort', stop)
        resolve()
      }
      const waiter: Waiter = { cluster, database, pass }
      this.#waiting.push(waiter)
      signal.addEventListener('abort', stop, { once: true })
    })
  }

  setDisabled(database: string, by: string | null): boolean {
    const was = this.#disabled.has(database)
    if (by === null) this.#disabled.delete(database)
    else this.#disabled.set(database, by)
    return was !== (by !== null)
  }

  /** Throws 55000 where no new client of this database is taken. */
  requireEnabled(database: string): void {
    if (this.#disabled.has(database)) throw new PointsmanError('database_disabled', { values: { database } })
  }

  isDisabled(database: string): boolean {
    return this.#disabled.has(database)
  }

  get waiting(): number {
    return this.#waiting.length
  }

  snapshot(): { readonly paused: readonly Paused[]; readonly disabled: ReadonlyMap<string, string> } {
    return { paused: [...this.#paused.values()], disabled: new Map(this.#disabled) }
  }
}

function keyOf({ kind, name }: PauseTarget): string {
  return `${kind}:${name}`
}
