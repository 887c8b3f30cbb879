// protocol/copy-form.ts — how the rows of a COPY are written: its options, once read. Delimiter, quote and escape are one byte each.

export interface CopyForm {
  readonly format: 'text' | 'csv' | 'binary'
  readonly delimiter: number
  /** What stands for NULL. */
  readonly nullText: string
  /** The first line holds the names of the columns. */
  readonly header: boolean
  readonly quote: number
  readonly escape: number
  /** Columns whose values are always quoted (CSV, TO only). */
  readonly quoted: 'all' | readonly string[]
}
