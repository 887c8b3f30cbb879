// merge/layout.ts — a MergeSpec with the types and places of its columns found: everything that can be refused because of a type
// is refused here, before the first row.
import { combiner } from './combine.js'
import type { Combiner } from './combiner.js'
import {
  columnAt,
  equalityColumn,
  formatOf,
  place,
  sortColumn,
  type EqualityColumn,
  type MergeColumn,
  type Row,
  type SessionForm,
  type SortColumn,
} from './columns.js'
import { condition, type Truth } from './condition.js'
import type { GroupSpec, MergeSpec, SortKey } from './contract.js'
import type { Memory } from './memory.js'
import type { Parameters } from './parameters.js'
import { broken, refused } from './problems.js'
import { typeName } from './types.js'
import type { Format } from './value-type.js'

export interface LayoutInput {
  readonly spec: MergeSpec
  /** Of the parts' rows, in the formats in which they come (formats.ts says which are best). */
  readonly columns: readonly MergeColumn[]
  /** Of the client's result, in the formats that the client asked for; null: as the parts have them, and text where it is computed. */
  readonly client: readonly MergeColumn[] | null
  readonly parameters: Parameters
  readonly session: SessionForm
}

export interface Layout {
  readonly group: GroupLayout | null
  /** Keys of the rows as the parts send them; []: they are not sorted. */
  readonly merge: readonly SortColumn[]
  /** Keys of the combined rows, which are still to be sorted by them. */
  readonly sort: readonly SortColumn[]
  readonly having: Truth | null
  readonly distinct: readonly EqualityColumn[] | null
  /** The client's row; null: the row as it is. */
  readonly output: readonly number[] | null
}

interface GroupLayout {
  readonly keys: readonly EqualityColumn[]
  readonly combiners: readonly Combiner[]
}

export function layout(input: LayoutInput, memory: Memory): Layout {
  const { spec, columns } = input
  const combiners = spec.group === null ? null : combinersOf(spec.group, input, memory)
  const combined = combiners === null ? columns : combinedColumns(spec, input, combiners)
  const output = outputOf(spec, columns.length, combined.length)
  checkOutput(output, combined, input.client)
  const group = spec.group === null || combiners === null ? null : { keys: groupKeys(spec.group, columns), combiners }
  if (group === null && spec.order.length > 0 && !spec.partsSorted) throw broken('rows that are to be merged in order are not sorted')
  return {
    group,
    merge: spec.partsSorted ? spec.order.map((key) => sortColumn(ofPart(key, spec), columns, input.session)) : [],
    sort: spec.partsSorted ? [] : spec.order.map((key) => sortColumn(key, combined, input.session)),
    having: spec.having === null ? null : condition(spec.having, combined, input.parameters),
    distinct: distinctOf(spec, combined, output),
    output: isWhole(output, combined.length) ? null : output,
  }
}

function combinersOf(group: GroupSpec, input: LayoutInput, memory: Memory): Combiner[] {
  const formats = combinedFormats(group, input)
  const context = { columns: input.columns, session: input.session, memory }
  return group.columns.map((column, index) => combiner(column, formats[index] as Format, context))
}

/** What the client asks for decides where a column goes out, else binary. */
function combinedFormats({ columns }: GroupSpec, { spec, client }: LayoutInput): Format[] {
  const formats = new Array<Format>(columns.length).fill(1)
  spec.output?.forEach((index, at) => {
    const column = client?.[at]
    formats[place(index, columns.length)] = column === undefined ? 0 : formatOf(column)
  })
  return formats
}

function combinedColumns(spec: MergeSpec, { client }: LayoutInput, combiners: readonly Combiner[]): MergeColumn[] {
  return combiners.map(({ oid, format }, index) => {
    const at = spec.output?.findIndex((each) => place(each, combiners.length) === index) ?? -1
    return { name: client?.[at]?.name ?? `${index + 1}`, oid, format }
  })
}

function outputOf(spec: MergeSpec, parts: number, combined: number): number[] {
  if (spec.output !== null) return spec.output.map((index) => place(index, combined))
  if (spec.group !== null) throw broken('groups have no columns')
  return Array.from({ length: parts - spec.hidden }, (_, index) => index)
}

function isWhole(output: readonly number[], count: number): boolean {
  return output.length === count && output.every((column, index) => column === index)
}

/** What goes out must be what was described: nothing is turned from one type or format into another here. */
function checkOutput(output: readonly number[], combined: readonly MergeColumn[], client: readonly MergeColumn[] | null): void {
  if (client === null) return
  if (client.length !== output.length) throw broken('the parts have another number of columns than the result')
  output.forEach((index, at) => {
    const [made, asked] = [columnAt(combined, index), columnAt(client, at)]
    if (made.oid !== asked.oid) {
      throw refused(
        `cannot merge column "${asked.name}" of several clusters: the result is of type ${typeName(asked.oid)}, merged it is of type ${typeName(made.oid)}`,
      )
    }
    if (formatOf(made) !== formatOf(asked))
      throw refused(`cannot merge column "${asked.name}": it is asked for in text and in binary format`)
  })
}

function groupKeys(group: GroupSpec, columns: readonly MergeColumn[]): EqualityColumn[] {
  return group.keys.map((key) => equalityColumn(key, columns, 'GROUP BY'))
}

/** Groups of sorted parts: the order names combined columns, each of which is a column of the parts. */
function ofPart(key: SortKey, { group }: MergeSpec): SortKey {
  if (group === null) return key
  const column = typeof key.column === 'number' ? group.columns[place(key.column, group.columns.length)] : undefined
  if (column?.kind !== 'key') throw broken('parts cannot be sorted by an aggregate')
  return { ...key, column: column.column }
}

function distinctOf({ distinct }: MergeSpec, columns: readonly MergeColumn[], output: readonly number[]): EqualityColumn[] | null {
  if (distinct === null) return null
  const keys = distinct.keys ?? output.map((column) => ({ column, collation: distinct.collation }))
  return keys.map((key) => equalityColumn(key, columns, 'DISTINCT'))
}

/** Makes the client's row. */
export function projection(output: readonly number[] | null): (row: Row) => Row {
  if (output === null) return (row) => row
  return (row) => output.map((index) => row[index] as Uint8Array | null)
}
