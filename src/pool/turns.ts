// pool/turns.ts — whose turn it is, by weight: start-time fair queueing. Each taker has a time at which its next turn starts;
// the earliest goes first, and its next one starts 1/weight later. Who comes, or comes back, starts now, not in the past:
// having been away saves up nothing. A heap, so that a turn costs O(log n) of those who wait.
//
//   weight 1:  0 ─────── 1 ─────── 2 ──▶        served: B A B B B A B B B …
//   weight 3:  0 ─ ⅓ ─ ⅔ ─ 1 ─ …

/** One who takes turns. What is not readonly belongs to Turns. */
export interface Taker {
  readonly weight: number
  /** When its next turn starts, of the time that Turns keeps. */
  start: number
  /** When the turn after the last one that it had may start. */
  after: number
  /** Which of two that start together goes first: the one that has been so for longer. */
  order: number
  /** In the heap; -1: not in it. */
  place: number
}

export class Turns<T extends Taker> {
  readonly #heap: T[] = []
  /** Start of the last turn. */
  #now = 0
  #orders = 0

  get size(): number {
    return this.#heap.length
  }

  /** Whose turn it is. */
  get first(): T | undefined {
    return this.#heap[0]
  }

  /** All of them, in no order. */
  get all(): readonly T[] {
    return this.#heap
  }

  enter(taker: T): void {
    taker.start = Math.max(this.#now, taker.after)
    taker.order = this.#orders++
    this.#heap.push(taker)
    this.#rise(taker, this.#heap.length - 1)
  }

  leave(taker: T): void {
    const last = this.#heap.pop()
    const { place } = taker
    taker.place = -1
    if (last === undefined || last === taker) return
    this.#rise(last, place)
    this.#sink(last, last.place)
  }

  /** The first has had its turn. */
  served(): void {
    const [taker] = this.#heap
    if (taker === undefined) return
    this.#now = taker.start
    taker.after = taker.start + 1 / taker.weight
    taker.start = taker.after
    taker.order = this.#orders++
    this.#sink(taker, 0)
  }

  /** Puts it where `at` is, or as far above as it is earlier. */
  #rise(taker: T, at: number): void {
    let place = at
    while (place > 0) {
      const above = (place - 1) >> 1
      const parent = this.#heap[above]
      if (parent === undefined || !isBefore(taker, parent)) break
      this.#put(parent, place)
      place = above
    }
    this.#put(taker, place)
  }

  #sink(taker: T, at: number): void {
    let place = at
    for (;;) {
      const left = this.#heap[2 * place + 1]
      const right = this.#heap[2 * place + 2]
      if (left === undefined) break
      const least = right !== undefined && isBefore(right, left) ? right : left
      if (!isBefore(least, taker)) break
      const below = least.place
      this.#put(least, place)
      place = below
    }
    this.#put(taker, place)
  }

  #put(taker: T, place: number): void {
    this.#heap[place] = taker
    taker.place = place
  }
}

function isBefore(one: Taker, other: Taker): boolean {
  return one.start === other.start ? one.order < other.order : one.start < other.start
}
