// merge/columns.ts — columns as they are described, and what may be done with each: the checks that need types, made once when
// the parts are described. What PostgreSQL would compare in a way that is not known here is refused before the first row.
import type { CollationOf, ColumnIndex, KeyColumn, KeyPlace, SortKey } from './contract.js'
import { broken, refused } from './problems.js'
import { collatable, typeName, valueType } from './types.js'
import type { Format, ValueType } from './value-type.js'

/** One row of a part or of the client's result. Values are slices, never changed. */
export type Row = readonly (Uint8Array | null)[]

/** A column of a RowDescription. `format`: 0 text, 1 binary. */
export interface MergeColumn {
  readonly name: string
  /** pg_type oid. */
  readonly oid: number
  readonly format: number
}

/** What the session of the parts says of the form of values. */
export interface SessionForm {
  /** client_encoding and the databases' encoding are both UTF8: text arrives as the server compares it. */
  readonly utf8: boolean
  /** As ParameterStatus tells it: `postgres`; null: not known. */
  readonly intervalStyle: string | null
}

/** Compares two keys, of which null stands for NULL. */
export type Compare = (a: unknown, b: unknown) => number

/** A sort key: where it stands, how it is read, how it compares with direction and NULLs counted in. */
export interface SortColumn {
  readonly column: number
  readonly type: ValueType
  readonly compare: Compare
}

export interface EqualityColumn {
  readonly column: number
  readonly type: ValueType
}

export function formatOf(column: MergeColumn): Format {
  return column.format === 1 ? 1 : 0
}

/** The place of a column; below zero it counts from the end. */
export function place(index: ColumnIndex, count: number): number {
  const at = index < 0 ? count + index : index
  if (at < 0 || at >= count) throw broken('a column that is needed is not there')
  return at
}

/** The place of a key's column. */
export function keyPlace(column: KeyPlace, columns: readonly MergeColumn[]): number {
  if (typeof column === 'number') return place(column, columns.length)
  const at = columns.findIndex(({ name }) => name === column.named)
  const again = columns.findLastIndex(({ name }) => name === column.named)
  if (at === -1 || again !== at)
    throw refused(
      `cannot merge by column "${column.named}" of several clusters: * does not give it just once`,
      'Name the columns instead of *.',
    )
  return at
}

export function columnAt(columns: readonly MergeColumn[], at: number): MergeColumn {
  const column = columns[at]
  if (column === undefined) throw broken('a column that is needed is not there')
  return column
}

export function sortColumn(key: SortKey, columns: readonly MergeColumn[], session: SessionForm): SortColumn {
  const column = keyPlace(key.column, columns)
  const type = orderedType(columnAt(columns, column), key.collation, session, 'ORDER BY')
  return { column, type, compare: directed(type, key) }
}

/** With DESC and the place of NULLs counted in. */
export function directed(type: ValueType, { descending, nullsFirst }: SortKey): Compare {
  const beforeNull = nullsFirst ? 1 : -1
  return (a, b) => {
    if (a === null || b === null) return a === b ? 0 : a === null ? -beforeNull : beforeNull
    return descending ? type.compare(b, a) : type.compare(a, b)
  }
}

/** The type of a column whose order counts; `use` says for what, as in `ORDER BY`. */
export function orderedType(column: MergeColumn, collation: CollationOf, session: SessionForm, use: string): ValueType {
  if (collatable(column.oid)) {
    if (collation !== 'bytes') throw collationRefused(column, use, 'COLLATE "C"')
    if (!session.utf8) throw encodingRefused(column, use)
  }
  return knownType(column, use)
}

export function equalityColumn(key: KeyColumn, columns: readonly MergeColumn[], use: string): EqualityColumn {
  const column = keyPlace(key.column, columns)
  return { column, type: equalityType(columnAt(columns, column), key.collation, use) }
}

export function equalityType(column: MergeColumn, collation: CollationOf, use: string): ValueType {
  if (collatable(column.oid) && collation === 'unknown') throw collationRefused(column, use, 'COLLATE "C"')
  return knownType(column, use)
}

function knownType(column: MergeColumn, use: string): ValueType {
  const type = valueType(column.oid, formatOf(column))
  if (type !== null) return type
  throw refused(
    `cannot merge ${use} column "${column.name}" of several clusters: its type is ${typeName(column.oid)}, whose order and equality are not known here`,
    'Leave it out, or cast it to a type such as text, numeric or timestamptz.',
  )
}

function collationRefused(column: MergeColumn, use: string, way: string): Error {
  return refused(
    `cannot merge ${use} column "${column.name}" of several clusters: how its collation compares text is not known here`,
    `Write ${way} behind it.`,
  )
}

function encodingRefused(column: MergeColumn, use: string): Error {
  return refused(
    `cannot merge ${use} column "${column.name}" of several clusters: text is not sent in UTF8, so its order cannot be seen`,
    'Set client_encoding to UTF8 (the databases must be in UTF8 as well).',
  )
}

/** Of all key columns together: a text that is the same exactly for rows that are equal on them. NULL equals NULL. */
export function rowKey(columns: readonly EqualityColumn[]): (row: Row) => string {
  const [only] = columns
  if (columns.length === 1 && only !== undefined) return (row) => valueKey(row[only.column], only.type)
  return (row) => {
    let whole = ''
    for (const { column, type } of columns) {
      const key = valueKey(row[column], type)
      whole += `${key.length}:${key}`
    }
    return whole
  }
}

function valueKey(value: Uint8Array | null | undefined, type: ValueType): string {
  return value === null || value === undefined ? '' : `=${type.key(type.read(value))}`
}
