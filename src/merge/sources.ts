// merge/sources.ts — the rows of the parts as one stream. Appended: whatever is there, part by part and batch by batch, so that
// none is kept waiting by another. Ordered: a heap over the first row of each part; of equal rows the lower part's comes
// first, and those of one part stay in their order. One row of each part is looked at, no more.
import type { Row, SortColumn } from './columns.js'
import { broken } from './problems.js'
import type { Window } from './windows.js'

export interface Source {
  /** null: the parts in need() must send first, or all have ended. */
  next(): Row | null
  /** All parts have ended and all their rows were given. */
  readonly ended: boolean
  /** The last row differs in its sort keys from the one before it, or is the first. */
  readonly fresh: boolean
  /** Nothing can go on without rows, or the end, of this part. */
  needs(part: number): boolean
}

export class AppendSource implements Source {
  readonly fresh: boolean = false
  readonly #windows: readonly Window[]
  #part: number = 0

  constructor(windows: readonly Window[]) {
    this.#windows = windows
  }

  next(): Row | null {
    const count = this.#windows.length
    for (let tried = 0; tried < count; tried++) {
      const window = this.#windows[this.#part] as Window
      const row = window.shift()
      if (row === null || window.atBatch) this.#part = (this.#part + 1) % count
      if (row !== null) return row
    }
    return null
  }

  get ended(): boolean {
    return this.#windows.every((window) => window.ended && window.empty)
  }

  needs(part: number): boolean {
    const window = this.#windows[part]
    return window !== undefined && !window.ended && this.#windows.every((each) => each.empty)
  }
}

/** The row that a part has next, with its keys read. `keys` is the key itself where there is only one. */
interface Head {
  row: Row
  keys: unknown
}

export class OrderedSource implements Source {
  fresh: boolean = true
  readonly #windows: readonly Window[]
  readonly #heads: (Head | null)[]
  readonly #read: (row: Row) => unknown
  readonly #compare: (a: unknown, b: unknown) => number
  /** Parts that have a head, the least on top. */
  readonly #heap: number[] = []
  /** Parts that have none, and have not ended as far as is known. */
  readonly #missing: Set<number>
  readonly #runs: boolean
  /** Of each part, the keys of the row that was its head last; undefined: none was. */
  readonly #before: unknown[]
  #last: Head | null = null

  /** `runs`: fresh is wanted. */
  constructor(windows: readonly Window[], columns: readonly SortColumn[], runs: boolean) {
    this.#windows = windows
    this.#heads = windows.map(() => null)
    this.#missing = new Set(windows.keys())
    this.#before = windows.map(() => undefined)
    this.#read = keysReader(columns)
    this.#compare = keysComparer(columns)
    this.#runs = runs
  }

  get ended(): boolean {
    return this.#heap.length === 0 && this.#windows.every((window) => window.ended && window.empty)
  }

  needs(part: number): boolean {
    const window = this.#windows[part]
    return this.#missing.has(part) && window !== undefined && window.empty && !window.ended
  }

  next(): Row | null {
    if (this.#missing.size > 0 && !this.#fill()) return null
    const part = this.#heap[0]
    if (part === undefined) return null
    const head = this.#heads[part] as Head
    if (this.#runs) this.#compareWithLast(head)
    this.#advance(part)
    return head.row
  }

  #compareWithLast(head: Head): void {
    this.fresh = this.#last === null || this.#compare(this.#last.keys, head.keys) !== 0
    this.#last = head
  }

  /** Takes the part's next row into the heap's top, or the part out of the heap. */
  #advance(part: number): void {
    const row = (this.#windows[part] as Window).shift()
    if (row === null) {
      this.#heads[part] = null
      this.#missing.add(part)
      const last = this.#heap.pop() as number
      if (this.#heap.length === 0) return
      this.#heap[0] = last
      this.#down()
      return
    }
    this.#heads[part] = this.#checked(part, row)
    this.#down()
  }

  /** A part whose order is another than ours would make a wrong result: that is seen here, row by row. */
  #checked(part: number, row: Row): Head {
    const keys = this.#read(row)
    const before = this.#before[part]
    this.#before[part] = keys
    if (before !== undefined && this.#compare(before, keys) > 0) throw broken('a part has sorted its rows in another way than was expected')
    return { row, keys }
  }

  /** Heads for the parts that have none. True: all have one, or have ended. */
  #fill(): boolean {
    for (const part of this.#missing) {
      const window = this.#windows[part] as Window
      const row = window.shift()
      if (row === null) {
        if (window.ended) this.#missing.delete(part)
        continue
      }
      this.#heads[part] = this.#checked(part, row)
      this.#missing.delete(part)
      this.#heap.push(part)
      this.#up(this.#heap.length - 1)
    }
    return this.#missing.size === 0
  }

  #less(a: number, b: number): boolean {
    const result = this.#compare((this.#heads[a] as Head).keys, (this.#heads[b] as Head).keys)
    return result < 0 || (result === 0 && a < b)
  }

  #up(from: number): void {
    const heap = this.#heap
    for (let at = from; at > 0;) {
      const parent = (at - 1) >> 1
      const [mine, theirs] = [heap[at] as number, heap[parent] as number]
      if (!this.#less(mine, theirs)) return
      heap[at] = theirs
      heap[parent] = mine
      at = parent
    }
  }

  #down(): void {
    const heap = this.#heap
    const mine = heap[0] as number
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && this.#less(heap[child + 1] as number, heap[child] as number)) child++
      if (!this.#less(heap[child] as number, mine)) break
      heap[at] = heap[child] as number
      at = child
    }
    heap[at] = mine
  }
}

/** The sort keys of a row, read. */
export function keysReader(columns: readonly SortColumn[]): (row: Row) => unknown {
  const readers = columns.map(({ column, type }) => (row: Row): unknown => {
    const value = row[column]
    return value === null || value === undefined ? null : type.read(value)
  })
  const [only] = readers
  return readers.length === 1 && only !== undefined ? only : (row) => readers.map((read) => read(row))
}

/** Compares what keysReader() of the same columns gives. */
export function keysComparer(columns: readonly SortColumn[]): (a: unknown, b: unknown) => number {
  const [only] = columns
  if (columns.length === 1 && only !== undefined) return only.compare
  const comparers = columns.map(({ compare }) => compare)
  return (a, b) => {
    const [left, right] = [a as readonly unknown[], b as readonly unknown[]]
    for (let index = 0; index < comparers.length; index++) {
      const result = (comparers[index] as SortColumn['compare'])(left[index], right[index])
      if (result !== 0) return result
    }
    return 0
  }
}
