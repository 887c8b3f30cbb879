// merge/memory.ts — the bytes that a merge must hold (groups, distinct values, gathered arrays), counted about as V8 keeps them.
// Beyond the bound the statement is refused; what only streams is not counted here.
import { PointsmanError } from '../errors/error.js'

/** What a Map or Set spends on an entry, and what a small object does. */
export const entryBytes: number = 96

/** The bound of one statement. */
export class MemoryBound {
  readonly #limit: number
  #held: number = 0

  /** `limit` in bytes. */
  constructor(limit: number) {
    this.#limit = limit
  }

  add(bytes: number, what: string): void {
    this.#held += bytes
    if (this.#held > this.#limit) throw new PointsmanError('merge_memory', { values: { what, limit: this.#limit } })
  }
}

/** What one step holds of it. */
export class Memory {
  readonly #bound: MemoryBound
  #held: number = 0

  constructor(bound: MemoryBound) {
    this.#bound = bound
  }

  /** `what` says in the error what is held, as in `groups`. Below zero: so much is not held any more. */
  take(bytes: number, what: string): void {
    this.#held += bytes
    this.#bound.add(bytes, what)
  }

  /** Nothing of it is held any more. */
  clear(): void {
    this.#bound.add(-this.#held, '')
    this.#held = 0
  }
}
