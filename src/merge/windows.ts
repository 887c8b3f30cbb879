// merge/windows.ts — the rows that parts have sent and the merge has not taken yet. A part may always push; whether it should go
// on sending is for wants() to say.
import type { Row } from './columns.js'

interface Batch {
  readonly rows: readonly Row[]
  readonly bytes: number
}

export class Window {
  readonly #batches: Batch[] = []
  #at: number = 0
  #bytes: number = 0
  /** The part sends no more. */
  ended: boolean = false

  /** Bytes of the batches that are not taken whole. */
  get bytes(): number {
    return this.#bytes
  }

  get empty(): boolean {
    return this.#batches.length === 0
  }

  push(rows: readonly Row[]): void {
    if (rows.length === 0) return
    let bytes = 0
    for (const row of rows) for (const value of row) bytes += value === null ? 8 : value.length + 8
    this.#batches.push({ rows, bytes })
    this.#bytes += bytes
  }

  /** null: nothing is here. */
  shift(): Row | null {
    const batch = this.#batches[0]
    if (batch === undefined) return null
    const row = batch.rows[this.#at++] as Row
    if (this.#at === batch.rows.length) {
      this.#batches.shift()
      this.#at = 0
      this.#bytes -= batch.bytes
    }
    return row
  }

  /** The next shift() begins a batch. */
  get atBatch(): boolean {
    return this.#at === 0
  }

  clear(): void {
    this.#batches.length = 0
    this.#at = 0
    this.#bytes = 0
  }
}
