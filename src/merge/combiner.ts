// merge/combiner.ts — what every kind of partial aggregate gives the merge. Types only.
import type { MergeColumn, Row, SessionForm } from './columns.js'
import type { Memory } from './memory.js'
import type { Format } from './value-type.js'

/** What makes one column of the combined rows. */
export interface Combiner<S = unknown> {
  /** What the column is afterwards. */
  readonly oid: number
  readonly format: Format
  readonly start: S
  add(state: S, row: Row): S
  finish(state: S): Uint8Array | null
}

export interface CombineContext {
  /** Of the parts' rows. */
  readonly columns: readonly MergeColumn[]
  readonly session: SessionForm
  readonly memory: Memory
}
