// merge/merger.ts — the rows of several parts → the rows of one result (contract.ts says what is made of them). It waits for
// nothing and calls nobody: rows are pushed in, read() gives what can go out, wants() and needs() say who should send.
//
//   push(part, rows) → window of the part → appended or merged in order → groups → having → sort → distinct → offset, limit → read()
//
// Held are the windows (which the caller bounds by heeding wants()), one row of each part, and what a group or a distinct
// step must remember, which `memory` bounds. Whatever throws here ends the statement: the merger is not to be used again.
import { rowKey, type MergeColumn, type Row } from './columns.js'
import { Groups } from './groups.js'
import { layout, projection, type Layout, type LayoutInput } from './layout.js'
import { entryBytes, Memory, MemoryBound } from './memory.js'
import { countOf } from './parameters.js'
import { broken } from './problems.js'
import { AppendSource, keysComparer, keysReader, OrderedSource, type Source } from './sources.js'
import { Window } from './windows.js'

export type { MergeColumn, Row }

export interface MergeInput extends LayoutInput {
  /** How many parts send rows; they are numbered from 0. */
  readonly parts: number
  /** Bytes that may be held (limits.merge_memory). */
  readonly memory: number
}

/**
 * `more`: `max` rows were read, and there may be more. `waiting`: parts must push or end first (needs()). `done`: that was all;
 * parts that have not ended may be stopped, since nothing of theirs is wanted any more.
 */
export interface Merged {
  readonly rows: readonly Row[]
  readonly state: 'more' | 'waiting' | 'done'
}

/** Bytes of rows that lie ready for one part before it should pause. */
const windowBytes = 128 * 1024

export class Merger {
  readonly #windows: readonly Window[]
  readonly #layout: Layout
  readonly #source: Source
  readonly #groups: Groups | null
  readonly #first: ((row: Row) => boolean) | null
  readonly #project: (row: Row) => Row
  readonly #sorting: Memory
  #skip: number
  #left: number
  /** Combined rows that are ready. */
  #ready: Iterator<Row> | null = null
  /** The last run of groups was flushed. */
  #flushed: boolean = false
  /** A row that begins the next run, while the one before goes out. */
  #next: Row | null = null
  #done: boolean = false

  /** Throws a PointsmanError (0A000 mostly) where these types cannot be merged as this asks. */
  constructor(input: MergeInput) {
    const bound = new MemoryBound(input.memory)
    const grouped = new Memory(bound)
    this.#sorting = new Memory(bound)
    this.#layout = layout(input, grouped)
    this.#windows = Array.from({ length: input.parts }, () => new Window())
    const { merge, group, distinct, output } = this.#layout
    this.#source = merge.length === 0 ? new AppendSource(this.#windows) : new OrderedSource(this.#windows, merge, group !== null)
    this.#groups = group === null ? null : new Groups(group.keys, group.combiners, grouped)
    const adjacent = input.spec.distinct?.adjacent ?? false
    this.#first = distinct === null ? null : firstOf(rowKey(distinct), adjacent ? null : new Memory(bound))
    this.#project = projection(output)
    this.#skip = countOf(input.spec.offset, input.parameters, 'offset') ?? 0
    this.#left = countOf(input.spec.limit, input.parameters, 'limit') ?? Infinity
    this.#done = this.#left === 0
  }

  /** Rows in the order in which the part sent them. They are kept as they are: their bytes must not change. */
  push(part: number, rows: readonly Row[]): void {
    const window = this.#window(part)
    if (window.ended && rows.length > 0) throw broken('a part has sent rows behind its end')
    if (!this.#done) window.push(rows)
  }

  /** The part has no more rows. */
  end(part: number): void {
    this.#window(part).ended = true
  }

  /** The part should go on sending. */
  wants(part: number): boolean {
    const window = this.#window(part)
    return !this.#done && !window.ended && window.bytes < windowBytes
  }

  /** Nothing can be read before this part sends or ends. */
  needs(part: number): boolean {
    return !this.#done && this.#source.needs(part)
  }

  get done(): boolean {
    return this.#done
  }

  /** At most `max` rows of the client's result. */
  read(max: number): Merged {
    const rows: Row[] = []
    while (!this.#done && rows.length < max) {
      const row = this.#take()
      if (row === null) {
        if (!this.#finished()) return { rows, state: 'waiting' }
        this.#finish()
      } else if (this.#first === null || this.#first(row)) {
        this.#give(row, rows)
      }
    }
    return { rows, state: this.#done ? 'done' : 'more' }
  }

  #give(row: Row, rows: Row[]): void {
    if (this.#skip > 0) {
      this.#skip--
      return
    }
    rows.push(this.#project(row))
    if (--this.#left === 0) this.#finish()
  }

  #finish(): void {
    this.#done = true
    for (const window of this.#windows) window.clear()
  }

  #finished(): boolean {
    return this.#source.ended && (this.#groups === null || this.#flushed)
  }

  /** The next row before distinct; null: none now. */
  #take(): Row | null {
    return this.#groups === null ? this.#source.next() : this.#takeGroup(this.#groups)
  }

  #takeGroup(groups: Groups): Row | null {
    for (;;) {
      const ready = this.#ready?.next()
      if (ready !== undefined && ready.done !== true) return ready.value
      this.#ready = null
      if (this.#flushed || !this.#gather(groups)) return null
      this.#ready = this.#whole(groups)
    }
  }

  /** Takes rows into groups until a run of them is whole; false: rows are missing. */
  #gather(groups: Groups): boolean {
    if (this.#next !== null) groups.add(this.#next)
    this.#next = null
    for (let row = this.#source.next(); row !== null; row = this.#source.next()) {
      if (this.#source.fresh && !groups.empty) {
        this.#next = row
        return true
      }
      groups.add(row)
    }
    this.#flushed = this.#source.ended
    return this.#flushed
  }

  /** The groups that are whole now, through having and sorted. */
  #whole(groups: Groups): Iterator<Row> {
    const { having, sort } = this.#layout
    const rows = having === null ? groups.flush() : kept(groups.flush(), having)
    return sort.length === 0 ? rows : this.#sorted(rows)
  }

  #sorted(rows: Iterable<Row>): Iterator<Row> {
    const { sort } = this.#layout
    const [keys, compare] = [keysReader(sort), keysComparer(sort)]
    const read: { row: Row; keys: unknown }[] = []
    for (const row of rows) {
      this.#sorting.take(
        row.reduce((sum, value) => sum + (value?.length ?? 0), 2 * entryBytes),
        'sorted groups',
      )
      read.push({ row, keys: keys(row) })
    }
    read.sort((a, b) => compare(a.keys, b.keys))
    return read.map(({ row }) => row).values()
  }

  #window(part: number): Window {
    const window = this.#windows[part]
    if (window === undefined) throw broken(`there is no part ${part}`)
    return window
  }
}

function* kept(rows: Iterable<Row>, having: (row: Row) => boolean | null): Generator<Row> {
  for (const row of rows) if (having(row) === true) yield row
}

/** Whether a row is the first with its key. Without `memory` equal rows come one after the other. */
function firstOf(keyOf: (row: Row) => string, memory: Memory | null): (row: Row) => boolean {
  if (memory === null) {
    let last: string | null = null
    return (row) => {
      const key = keyOf(row)
      if (key === last) return false
      last = key
      return true
    }
  }
  const seen = new Set<string>()
  return (row) => {
    const key = keyOf(row)
    if (seen.has(key)) return false
    memory.take(entryBytes + key.length, 'rows of DISTINCT')
    seen.add(key)
    return true
  }
}
