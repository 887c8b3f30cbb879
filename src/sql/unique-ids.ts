// sql/unique-ids.ts — pointsman.unique_id() in a text: each call is replaced where it is sure to be made once for each run, that is in the
// rows of INSERT … VALUES and in a SELECT without FROM. The new text is parsed, and must be the old one but for what stands in their place.
//
//   a query       SELECT pointsman.unique_id()                            ─▶  SELECT '…'::pg_catalog.int8 AS unique_id
//   prepared      INSERT INTO t VALUES (pointsman.unique_id(), $1)        ─▶  INSERT INTO t VALUES ($2::pg_catalog.int8, $1)
//                 EXECUTE p ('x')                                         ─▶  EXECUTE p ('x', '…'::pg_catalog.int8)
import { treeKey } from './deparse.js'
import { parseStatements, type ParsedStatement } from './parser.js'
import type { Statement, Understood } from './statement.js'
import { as, integer, list, nameOf, unwrap, type Fields, type Node } from './tree.js'

export type IdBits = 64 | 53

/** Half-open offsets into the client's text, and what stands there in the new one. */
interface Replaced {
  readonly start: number
  readonly end: number
  readonly to: string
}

/** A statement to be prepared whose ids are parameters of ours, behind all of the client's. */
export interface WithIdParameters {
  /** The client's own text, and where the new one is another. */
  readonly said: string
  readonly replaced: readonly Replaced[]
  readonly text: string
  /** Parameters of the client's; `$n` above are ours. */
  readonly parameters: number
  /** What each of ours asks for. */
  readonly bits: readonly IdBits[]
}

const type = 'pg_catalog.int8'
/** As many as a Bind can have. */
const maxParameters = 65_535

export function callsUniqueId({ functions }: Statement): boolean {
  return functions.some(({ name }) => name.schema === 'pointsman' && name.name === 'unique_id')
}

/** The one statement calls it, or prepares one that does. */
export function asksUniqueIds({ shape }: Understood): boolean {
  const { statements } = shape
  if (statements?.length !== 1) return false
  const statement = statements[0] as Statement
  return callsUniqueId(statement) || (statement.detail.kind === 'prepare' && callsUniqueId(statement.detail.inner))
}

/** How many bits each call asks for, in the order of the text; null: one of them stands where it may be called more than once. */
export function uniqueIdCalls(text: string): readonly IdBits[] | null {
  const [parsed] = only(text)
  return parsed === undefined ? null : (found(parsed.node)?.map(({ bits }) => bits) ?? null)
}

/** The text with its calls replaced; null: it cannot be proved to be that. */
export function withUniqueIds(text: string, ids: readonly bigint[]): string | null {
  const [parsed] = only(text)
  const calls = parsed === undefined ? null : found(parsed.node)
  if (calls?.length !== ids.length) return null
  const values = new Set(ids.map(String))
  return replace(text, calls, ids.map(valueOf), ({ fields }) => values.has(textValue(fields['arg']) ?? ''))?.text ?? null
}

/** With parameters in the place of its calls; `declared`: so many of its own are. null: as above, or there are too many. */
export function withIdParameters(text: string, declared: number): WithIdParameters | null {
  const [parsed] = only(text)
  if (parsed === undefined) return null
  const { node } = parsed
  const prepared = node.tag === 'PrepareStmt' ? unwrap(node.fields['query']) : node
  const calls = prepared === null ? null : found(prepared)
  if (calls === null || calls.length === 0) return null
  const parameters = Math.max(declared, list(node.fields['argtypes']).length, highestParameter(node.fields))
  if (parameters + calls.length > maxParameters) return null
  const made = replace(
    text,
    calls,
    calls.map((_, index) => `$${String(parameters + index + 1)}::${type}`),
    ({ fields }) => parameterNumber(fields['arg']) > parameters,
  )
  return made === null ? null : { ...made, said: text, parameters, bits: calls.map(({ bits }) => bits) }
}

/** EXECUTE with ids behind its arguments; `name` ends at `nameEnd`. null: it is more than an EXECUTE, or cannot be proved to be that. */
export function withIdArguments(text: string, nameEnd: number, ids: readonly bigint[]): string | null {
  const [parsed] = only(text)
  if (parsed?.node.tag !== 'ExecuteStmt') return null
  const given = list(parsed.node.fields['params'])
  const values = ids.map(valueOf).join(', ')
  const places = given.length === 0 ? [nameEnd] : [...text.matchAll(/\)/g)].map(({ index }) => index).reverse()
  for (const at of places) {
    const made = `${text.slice(0, at)}${given.length === 0 ? ` (${values})` : `, ${values}`}${text.slice(at)}`
    const [after] = parsedOrNot(made)
    if (after?.node.tag !== 'ExecuteStmt' || after.node.fields['name'] !== parsed.node.fields['name']) continue
    const args = list(after.node.fields['params'])
    const own = args.slice(given.length).map((arg) => textValue(as('TypeCast', arg)?.['arg']))
    if (own.join() === ids.map(String).join() && treeKey(args.slice(0, given.length)) === treeKey(given)) return made
  }
  return null
}

function valueOf(id: bigint): string {
  return `'${String(id)}'::${type}`
}

interface Call {
  readonly start: number
  readonly bits: IdBits
  /** Its column has a name, or needs none. */
  readonly named: boolean
}

/** null: one of the calls is at another place. */
function found({ tag, fields }: Node): readonly Call[] | null {
  const calls: Call[] = []
  for (const { value, named } of tag === 'InsertStmt' ? inserted(fields) : tag === 'SelectStmt' ? selected(fields) : []) {
    const call = callOf(value)
    if (call !== null) calls.push({ ...call, named })
  }
  return count(fields, isNamed) === calls.length ? calls.sort((a, b) => a.start - b.start) : null
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

function callOf(value: unknown): { readonly start: number; readonly bits: IdBits } | null {
  const call = as('FuncCall', value)
  if (call === null || !isNamed(value)) return null
  const args = list(call['args'])
  const start = integer(call['location'])
  if (args.length === 0) return { start, bits: 64 }
  const given = as('A_Const', args[0])?.['ival'] as Fields | undefined
  const bits = integer(given?.['ival'])
  return args.length === 1 && (bits === 64 || bits === 53) ? { start, bits } : null
}

function isNamed(value: unknown): boolean {
  const name = nameOf(as('FuncCall', value)?.['funcname'])
  return name?.schema === 'pointsman' && name.name === 'unique_id'
}

// ---- trees

function count(tree: unknown, test: (value: unknown) => boolean): number {
  if (Array.isArray(tree)) return tree.reduce<number>((sum, one) => sum + count(one, test), 0)
  if (typeof tree !== 'object' || tree === null) return 0
  return Object.values(tree).reduce<number>((sum, one) => sum + count(one, test), test(tree) ? 1 : 0)
}

function highestParameter(tree: unknown): number {
  if (Array.isArray(tree)) return tree.reduce<number>((highest, one) => Math.max(highest, highestParameter(one)), 0)
  if (typeof tree !== 'object' || tree === null) return 0
  return Object.values(tree).reduce<number>((highest, one) => Math.max(highest, highestParameter(one)), parameterNumber(tree))
}

function parameterNumber(value: unknown): number {
  return integer(as('ParamRef', value)?.['number'])
}

function textValue(value: unknown): string | null {
  const text = (as('A_Const', value)?.['sval'] as Fields | undefined)?.['sval']
  return typeof text === 'string' ? text : null
}

/** The one statement of the text. */
function only(text: string): readonly ParsedStatement[] {
  const [parsed, another] = parseStatements(text)
  return parsed === undefined || another !== undefined ? [] : [parsed]
}

function parsedOrNot(text: string): readonly ParsedStatement[] {
  try {
    return only(text)
  } catch {
    return []
  }
}

// ---- texts

/** `ours`: a TypeCast that stands for a call. */
function replace(
  text: string,
  calls: readonly Call[],
  values: readonly string[],
  ours: (cast: Node) => boolean,
): Pick<WithIdParameters, 'text' | 'replaced'> | null {
  const bytes = Buffer.from(text)
  const replaced: Replaced[] = []
  let made = ''
  let from = 0
  for (const [index, { start, named }] of calls.entries()) {
    const end = bytes.indexOf(')', start) + 1
    if (start < from || end === 0) return null
    made += bytes.subarray(from, start).toString()
    const to = `${values[index] ?? ''}${named ? '' : ' AS unique_id'}`
    const at = bytes.subarray(0, start).toString().length
    replaced.push({ start: at, end: at + bytes.subarray(start, end).toString().length, to })
    made += to
    from = end
  }
  made += bytes.subarray(from).toString()
  return proved(text, made, ours) ? { text: made, replaced } : null
}

/** Both trees are the same once every call and all that is ours is the same mark. */
function proved(text: string, made: string, ours: (cast: Node) => boolean): boolean {
  const [before] = only(text)
  const [after] = parsedOrNot(made)
  if (before === undefined || after === undefined) return false
  return treeKey(marked(before.node.fields, ours)) === treeKey(marked(after.node.fields, ours))
}

function marked(value: unknown, ours: (cast: Node) => boolean): unknown {
  if (Array.isArray(value)) return value.map((one) => marked(one, ours))
  if (typeof value !== 'object' || value === null) return value
  if (stands(value, ours)) return 'unique id'
  const target = as('ResTarget', value)
  // The name that PostgreSQL would have given the column by itself.
  if (target !== null && stands(target['val'], ours))
    return { name: target['name'] ?? 'unique_id', val: 'unique id', indirection: target['indirection'] }
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, marked(one, ours)]))
}

/** For an id, as a call or as what is put in its place. */
function stands(value: unknown, ours: (cast: Node) => boolean): boolean {
  const node = callOf(value) === null ? unwrap(value) : null
  return node === null ? callOf(value) !== null : node.tag === 'TypeCast' && ours(node)
}
