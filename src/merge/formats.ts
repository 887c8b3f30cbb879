// merge/formats.ts — in which format each column of the parts is best asked for: what goes through to the client as the client
// asked for it, everything else in binary, which does not depend on DateStyle, IntervalStyle or bytea_output.
import { place } from './columns.js'
import type { CombinedColumn, MergeSpec } from './contract.js'
import type { Format } from './value-type.js'

/** `count`: columns of a part's row. `client`: one format for each column of the client's result. */
export function partFormats(spec: MergeSpec, count: number, client: readonly Format[]): Format[] {
  const formats = new Array<Format>(count).fill(1)
  if (spec.output === null) client.forEach((format, index) => (formats[index] = format))
  spec.output?.forEach((index, at) => {
    const format = client[at] ?? 0
    const column = spec.group === null ? place(index, count) : passed(spec.group.columns[place(index, spec.group.columns.length)], count)
    if (column !== null) formats[column] = format
  })
  return formats
}

/** The part's column whose values go through as they are; null: the value is computed. */
function passed(column: CombinedColumn | undefined, count: number): number | null {
  switch (column?.kind) {
    case 'key':
    case 'min':
    case 'max':
      return place(column.column, count)
    case 'list':
      return column.separator === null ? place(column.column, count) : null
    default:
      return null
  }
}
