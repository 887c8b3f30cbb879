// sql/prepared-list.ts — where a query reads the view pg_prepared_statements, which on a shared server connection has names of
// ours and statements of others: another relation is to stand there. Places that the text cannot be changed at are left out.
import { byteOffsets } from './literal-index.js'
import { wordSpans } from './normalise.js'
import { parseStatements } from './parser.js'
import { tellsRows, type Span } from './prepared.js'
import type { Understood } from './statement.js'
import { fields, integer, list, rangeName, text as textOf, type Fields } from './tree.js'

const view = 'pg_prepared_statements'

export interface ListSpan extends Span {
  /** An alias follows. */
  readonly aliased: boolean
}

/** In the order of the text, which is of one statement. Throws as parseStatements(). */
export function preparedLists({ text, shape }: Understood): readonly ListSpan[] {
  const [statement] = shape.statements ?? []
  if (statement === undefined || !tellsRows(statement.detail)) return []
  const found: Found = { ranges: [], shadowed: false }
  for (const { node } of parseStatements(text)) collect(node, found)
  // Which of its names without a schema mean the query of WITH is for PostgreSQL to say.
  const ranges = found.shadowed ? found.ranges.filter((range) => rangeName(range).schema !== null) : found.ranges
  const words = wordSpans(text)
  const offsets = byteOffsets(
    text,
    words.map(({ start }) => start),
  )
  const spans: ListSpan[] = []
  for (const range of ranges) {
    const at = offsets.indexOf(integer(range['location']))
    const last = words[rangeName(range).schema === null ? at : at + 1]
    const [before, first] = [words[at - 1], words[at]]
    if (first === undefined || last === undefined || !is(text, last, view)) continue
    // TABLE takes a name and nothing else.
    if (before !== undefined && is(text, before, 'table')) continue
    spans.push({ start: first.start, end: last.end, aliased: fields(range['alias']) !== null })
  }
  return spans.sort((a, b) => a.start - b.start)
}

function is(text: string, { start, end }: Span, word: string): boolean {
  const written = text.slice(start, end)
  return (written.startsWith('"') ? written.slice(1, -1) : written.toLowerCase()) === word
}

interface Found {
  readonly ranges: Fields[]
  /** A query of WITH has the view's name. */
  shadowed: boolean
}

function collect(value: unknown, found: Found): void {
  for (const item of list(value)) collect(item, found)
  const node = fields(value)
  if (node === null) return
  for (const [name, inner] of Object.entries(node)) {
    const range = name === 'RangeVar' ? fields(inner) : null
    if (name === 'CommonTableExpr' && textOf(fields(inner)?.['ctename']) === view) found.shadowed = true
    if (range !== null && isView(range)) found.ranges.push(range)
    // FOR UPDATE OF names an alias.
    else if (name !== 'lockedRels') collect(inner, found)
  }
}

/** ONLY cannot stand before a query. */
function isView(range: Fields): boolean {
  const { schema, name } = rangeName(range)
  return name === view && (schema === null || schema === 'pg_catalog') && range['inh'] === true
}
