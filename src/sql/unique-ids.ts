// sql/unique-ids.ts — pointsman.unique_id() in a text: each call is replaced by its value, where it is sure to be called once. That is
// in the rows of INSERT … VALUES and in a SELECT without FROM. The new text is parsed, and must be the old one but for the values.
import { treeKey } from './deparse.js'
import { parseStatements, type ParsedStatement } from './parser.js'
import type { Statement } from './statement.js'
import { as, integer, list, nameOf, unwrap, type Fields } from './tree.js'

export function callsUniqueId({ functions }: Statement): boolean {
  return functions.some(({ name }) => name.schema === 'pointsman' && name.name === 'unique_id')
}

/** How many bits each call asks for, in the order of the text; null: one of them stands where it may be called more than once. */
export function uniqueIdCalls(text: string): readonly (64 | 53)[] | null {
  return found(text)?.map(({ bits }) => bits) ?? null
}

/** The text with its calls replaced; null: it cannot be proved to be that. */
export function withUniqueIds(text: string, ids: readonly bigint[]): string | null {
  const calls = found(text)
  if (calls?.length !== ids.length) return null
  const bytes = Buffer.from(text)
  const pieces: Uint8Array[] = []
  let from = 0
  for (const [index, { start, named }] of calls.entries()) {
    const end = bytes.indexOf(')', start) + 1
    if (start < from || end === 0) return null
    pieces.push(bytes.subarray(from, start), Buffer.from(`'${String(ids[index])}'::pg_catalog.int8${named ? '' : ' AS unique_id'}`))
    from = end
  }
  const made = Buffer.concat([...pieces, bytes.subarray(from)]).toString()
  return proved(text, made, ids) ? made : null
}

interface Call {
  readonly start: number
  readonly bits: 64 | 53
  /** Its column has a name, or needs none. */
  readonly named: boolean
}

function found(text: string): readonly Call[] | null {
  const [parsed, another] = parseStatements(text)
  if (parsed === undefined || another !== undefined) return null
  const calls: Call[] = []
  const { tag, fields } = parsed.node
  for (const { value, named } of tag === 'InsertStmt' ? inserted(fields) : tag === 'SelectStmt' ? selected(fields) : []) {
    const call = callOf(value)
    if (call !== null) calls.push({ ...call, named })
  }
  const all = JSON.stringify(fields).split('"unique_id"').length - 1
  return all === calls.length ? calls.sort((a, b) => a.start - b.start) : null
}

interface Place {
  readonly value: unknown
  readonly named: boolean
}

function inserted(insert: Fields): readonly Place[] {
  const select = as('SelectStmt', insert['selectStmt'])
  return list(select?.['valuesLists']).flatMap((row) => list(as('List', row)?.['items']).map((value) => ({ value, named: true })))
}

function selected(select: Fields): readonly Place[] {
  const fields = Object.keys(select)
  if (select['op'] !== 'SETOP_NONE' || fields.some((name) => !['targetList', 'limitOption', 'op'].includes(name))) return []
  return list(select['targetList']).map((target) => {
    const one = as('ResTarget', target)
    return { value: one?.['val'], named: one?.['name'] !== undefined }
  })
}

function callOf(value: unknown): { readonly start: number; readonly bits: 64 | 53 } | null {
  const call = as('FuncCall', value)
  const name = nameOf(call?.['funcname'])
  if (call === null || name?.schema !== 'pointsman' || name.name !== 'unique_id') return null
  const args = list(call['args'])
  const start = integer(call['location'])
  if (args.length === 0) return { start, bits: 64 }
  const given = as('A_Const', args[0])?.['ival'] as Fields | undefined
  const bits = integer(given?.['ival'])
  return args.length === 1 && (bits === 64 || bits === 53) ? { start, bits } : null
}

/** Both trees are the same once every call and every value is the same mark. */
function proved(text: string, made: string, ids: readonly bigint[]): boolean {
  const [before] = parseStatements(text)
  const [after, another] = parsedOrNot(made)
  if (before === undefined || after === undefined || another !== undefined) return false
  const values = new Set(ids.map(String))
  return treeKey(marked(before.node.fields, values)) === treeKey(marked(after.node.fields, values))
}

function parsedOrNot(text: string): readonly ParsedStatement[] {
  try {
    return parseStatements(text)
  } catch {
    return []
  }
}

function marked(value: unknown, ids: ReadonlySet<string>): unknown {
  if (Array.isArray(value)) return value.map((one) => marked(one, ids))
  if (typeof value !== 'object' || value === null) return value
  if (isCall(value) || isValue(value, ids)) return 'unique id'
  const target = as('ResTarget', value)
  // The name that PostgreSQL would have given the column by itself.
  if (target !== null && (isCall(target['val']) || isValue(target['val'], ids)))
    return { name: target['name'] ?? 'unique_id', val: 'unique id', indirection: target['indirection'] }
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, marked(one, ids)]))
}

function isCall(value: unknown): boolean {
  return callOf(value) !== null
}

function isValue(value: unknown, ids: ReadonlySet<string>): boolean {
  const node = unwrap(value)
  if (node?.tag !== 'TypeCast') return false
  const text = (as('A_Const', node.fields['arg'])?.['sval'] as Fields | undefined)?.['sval']
  return typeof text === 'string' && ids.has(text)
}
