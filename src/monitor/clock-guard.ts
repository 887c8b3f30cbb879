// monitor/clock-guard.ts — notices when the monotonic clock stood still while the world went on (a suspended machine):
// then wall minus monotonic time jumps, and samples from before the jump look younger than they are (CONSISTENCY §2.5).
// A wall clock that is set by hand looks the same; mistaking it costs a few reads on the primary, nothing else.

/** How much the difference of the two clocks may change between two looks, in ms. */
const TOLERANCE_MS = 100

export class ClockGuard {
  readonly #now: () => number
  readonly #wall: () => number
  #offset: number
  #epoch = 0

  constructor(now: () => number, wall: () => number) {
    this.#now = now
    this.#wall = wall
    this.#offset = wall() - now()
  }

  /** Counts the jumps seen so far, this look included. `now`: the monotonic clock, as the caller has just seen it. */
  epoch(now: number = this.#now()): number {
    let offset = this.#wall() - now
    // The process may have been held up between the two looks.
    if (Math.abs(offset - this.#offset) > TOLERANCE_MS) offset = this.#wall() - this.#now()
    if (Math.abs(offset - this.#offset) > TOLERANCE_MS) this.#epoch += 1
    this.#offset = offset
    return this.#epoch
  }
}
