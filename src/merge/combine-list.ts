// merge/combine-list.ts — array_agg and string_agg with ORDER BY: each part sends the array of its values and, element by
// element, the arrays of their sort keys. The arrays of a group are kept as they came and merged when the group is whole.
import { plainElement, readArray, writeArray } from './array-form.js'
import type { CombineContext, Combiner } from './combiner.js'
import { columnAt, directed, formatOf, keyPlace, orderedType, place, type MergeColumn, type Row, type SortColumn } from './columns.js'
import type { Combine, SortKey } from './contract.js'
import { entryBytes } from './memory.js'
import { broken, refused } from './problems.js'
import { keysComparer } from './sources.js'
import { elementOf, Type, typeName } from './types.js'
import type { Format } from './value-type.js'

type List = Combine & { readonly kind: 'list' }

/** A column of arrays. */
interface ArrayColumn {
  readonly at: number
  readonly oid: number
  readonly format: Format
  readonly elementOid: number
}

/** One element with its sort keys. */
interface Item {
  readonly element: Uint8Array | null
  readonly keys: unknown
}

/** What a part sent for the group: the array, then the arrays of its keys. */
type Sent = readonly Uint8Array[]

export function combineList(spec: List, format: Format, context: CombineContext): Combiner<Sent[] | null> {
  const values = arrayColumn(spec.column, context.columns)
  const keys = spec.order.map((key) => arrayKey(key, context))
  const compare = keysComparer(keys.map(({ sort }) => sort))
  const items = (sent: readonly Sent[]): Item[] => {
    const all = sent.flatMap((arrays) => itemsOf(arrays, values, keys))
    return keys.length === 0 ? all : all.sort((a, b) => compare(a.keys, b.keys))
  }
  const write = spec.separator === null ? arrayWriter(values, format) : textWriter(values, spec.separator, context)
  return {
    oid: spec.separator === null ? values.oid : Type.text,
    format: spec.separator === null ? values.format : format,
    start: null,
    add: (state, row) => {
      if ((row[values.at] ?? null) === null) return state
      const sent = [values, ...keys].map((column) => arrayOf(row, column, context))
      state?.push(sent)
      return state ?? [sent]
    },
    finish: (state) => (state === null ? null : write(items(state))),
  }
}

function arrayColumn(index: number, columns: readonly MergeColumn[]): ArrayColumn {
  const at = place(index, columns.length)
  const column = columnAt(columns, at)
  const elementOid = elementOf(column.oid)
  if (elementOid === null) throw refused(`cannot merge array_agg or string_agg: arrays of type ${typeName(column.oid)} are not known here`)
  return { at, oid: column.oid, format: formatOf(column), elementOid }
}

interface ArrayKey extends ArrayColumn {
  readonly sort: SortColumn
}

function arrayKey(key: SortKey, context: CombineContext): ArrayKey {
  const array = arrayColumn(keyPlace(key.column, context.columns), context.columns)
  const element: MergeColumn = { name: columnAt(context.columns, array.at).name, oid: array.elementOid, format: array.format }
  const type = orderedType(element, key.collation, context.session, 'ORDER BY of an aggregate in')
  return { ...array, sort: { column: array.at, type, compare: directed(type, key) } }
}

function arrayOf(row: Row, { at }: ArrayColumn, { memory }: CombineContext): Uint8Array {
  const value = row[at]
  if (value === null || value === undefined) throw broken('an array of sort keys is missing')
  // Twice: the elements are taken apart when the group is whole.
  memory.take(entryBytes + 2 * value.length, 'values of array_agg or string_agg')
  return Uint8Array.from(value)
}

function itemsOf(arrays: Sent, values: ArrayColumn, keys: readonly ArrayKey[]): Item[] {
  const elements = elementsOf(arrays[0], values)
  const columns = keys.map((key, index) =>
    elementsOf(arrays[index + 1], key).map((raw) => (raw === null ? null : key.sort.type.read(plainElement(raw, key.format)))),
  )
  if (columns.some((column) => column.length !== elements.length)) throw broken('arrays of sort keys differ in length')
  const [only] = columns
  if (columns.length === 1 && only !== undefined) return elements.map((element, index) => ({ element, keys: only[index] }))
  return elements.map((element, index) => ({ element, keys: columns.map((column) => column[index]) }))
}

function elementsOf(array: Uint8Array | undefined, { format, elementOid }: ArrayColumn): readonly (Uint8Array | null)[] {
  if (array === undefined) throw broken('an array of sort keys is missing')
  const { elements, dimensions } = readArray(array, format, elementOid)
  if (dimensions.length > 1) throw refused('cannot merge array_agg of arrays', 'Gather text or jsonb instead.')
  return elements
}

function arrayWriter(values: ArrayColumn, format: Format): (items: readonly Item[]) => Uint8Array | null {
  if (format !== values.format) throw broken('array_agg came in another format than it is asked for')
  return (items) => {
    if (items.length === 0) return null
    return writeArray(
      items.map(({ element }) => element),
      format,
      values.elementOid,
    )
  }
}

function textWriter(values: ArrayColumn, separator: string, context: CombineContext): (items: readonly Item[]) => Uint8Array | null {
  if (values.elementOid !== Type.text && values.elementOid !== Type.varchar) {
    throw refused(`cannot merge string_agg of type ${typeName(values.elementOid)}`)
  }
  // Plain ASCII is the same in every encoding.
  if (!context.session.utf8 && !/^[\x00-\x7f]*$/.test(separator)) throw refused('cannot merge string_agg: client_encoding is not UTF8')
  const between = Buffer.from(separator)
  return (items) => {
    const pieces: Uint8Array[] = []
    for (const { element } of items) {
      if (element === null) continue
      if (pieces.length > 0) pieces.push(between)
      pieces.push(plainElement(element, values.format))
    }
    return pieces.length === 0 ? null : Buffer.concat(pieces)
  }
}
