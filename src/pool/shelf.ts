// pool/shelf.ts — the idle resources of one pool, in the place of generic-pool's Deque. generic-pool always hands out
// the first; this hands out the one that suits the request at the head of the queue best (its settings already match),
// and the most recently returned one where nothing is preferred, so that the others grow old and are evicted.

/** What generic-pool asks of its collection of available resources (generic-pool 3.9.0, lib/Pool.js). */
export class Shelf<R> {
  readonly #choose: (items: readonly R[]) => number
  readonly #items: R[] = []

  /** `choose` gives an index into its argument, which is never empty. */
  constructor(choose: (items: readonly R[]) => number) {
    this.#choose = choose
  }

  get length(): number {
    return this.#items.length
  }

  has(test: (item: R) => boolean): boolean {
    return this.#items.some(test)
  }

  /** Takes out the chosen one. */
  shift(): R | undefined {
    if (this.#items.length === 0) return undefined
    return this.#items.splice(this.#choose(this.#items), 1)[0]
  }

  push(item: R): void {
    this.#items.push(item)
  }

  unshift(item: R): void {
    this.#items.unshift(item)
  }

  [Symbol.iterator](): Iterator<R> {
    return this.#items.slice()[Symbol.iterator]()
  }

  /** For eviction: walks from the oldest to the newest; `remove` takes out the one that next() gave last. */
  iterator(): ShelfCursor<R> {
    return new ShelfCursor(this.#items)
  }
}

class ShelfCursor<R> {
  readonly #items: R[]
  #last: R | undefined
  #left: R[] | undefined

  constructor(items: R[]) {
    this.#items = items
  }

  next(): { readonly done: true; readonly value?: undefined } | { readonly done: false; readonly value: R } {
    this.#left ??= this.#items.slice()
    for (;;) {
      this.#last = this.#left.pop()
      if (this.#last === undefined) return { done: true }
      if (this.#items.includes(this.#last)) return { done: false, value: this.#last }
    }
  }

  remove(): void {
    const index = this.#last === undefined ? -1 : this.#items.indexOf(this.#last)
    if (index >= 0) this.#items.splice(index, 1)
  }

  reset(): void {
    this.#left = undefined
    this.#last = undefined
  }
}
