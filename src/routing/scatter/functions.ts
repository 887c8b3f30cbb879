// routing/scatter/functions.ts — what a statement calls must give the same on every cluster: it depends on its arguments and on
// the session's settings, which all parts are given. What reads tables, tells of its server, or is made up by chance is refused.
// The present moment is one for each part: good enough to filter by (a part is read at its own moment anyway), not to show.
import type { FunctionInfo } from '../../catalog/catalog.js'
import type { FunctionUse, Name, Statement } from '../../sql/statement.js'
import { as, fields, list, nameOf, stringNode, strings, text, unwrap, type Node } from '../../sql/tree.js'
import { byKey, Unmergeable } from './unmergeable.js'
import { candidatesOf, columnsOf, type World } from './world.js'

/** What an expression is for: to be shown or written by every part, to decide about rows, or to make rows that one part alone has. */
type Purpose = 'shown' | 'filter' | 'stored'

export function checkFunctions(world: World, statement: Statement, tree: Node, purpose: Purpose = 'shown'): void {
  for (const use of statement.functions) if (purpose !== 'stored' || !makesValue(world, use)) checkUse(world, use)
  for (const name of statement.attributes) checkAttribute(world, name)
  for (const name of statement.operators) checkHidden(world, 'operators', name)
  // nextval('s'::regclass) is of the server where its row is.
  for (const name of statement.types) if (purpose !== 'stored' || name.name !== 'regclass') checkType(world, name)
  checkNodes(tree, purpose)
}

/** It reads no rows: run once for a row, it does what it would do on any server. */
function makesValue(world: World, use: FunctionUse): boolean {
  const found = candidatesOf(world, use.name, use.args)
  return found.length > 0 && found.every((info) => (info.builtin ? chance.has(info.name) : info.kind === 'function' && readsNothing(info)))
}

/** What it gives depends on no rows. */
export function readsNothing({ language, body }: FunctionInfo): boolean {
  if (language === 'c' || language === 'internal') return true
  return body !== undefined && !body.unknown && body.reads.length + body.writes.length + body.calls.length === 0
}

const chance: ReadonlySet<string> = new Set(
  'nextval random random_normal gen_random_uuid uuidv4 uuidv7 clock_timestamp timeofday now transaction_timestamp statement_timestamp'.split(
    ' ',
  ),
)

function checkUse(world: World, use: FunctionUse): void {
  const found = candidatesOf(world, use.name, use.args)
  const { name } = use.name
  if (found.length === 0) throw new Unmergeable(`function ${name} is not in the catalogs of all of them`, 'Create it on every cluster.')
  if (!found.every((info) => mayRun(info, use.args === 1))) throw notHere(name)
}

function notHere(name: string): Unmergeable {
  return new Unmergeable(`function ${name} may give something else on each of them`, `Give its result as a parameter. ${byKey}`)
}

/** Aggregates and windows are looked at where they stand. */
function mayRun(info: FunctionInfo, alone: boolean): boolean {
  if (!info.builtin) return info.volatility === 'immutable' && info.kind === 'function'
  if (info.kind === 'aggregate' || info.kind === 'window') return true
  if (info.volatility === 'immutable') return true
  return info.volatility === 'stable' && (settled.has(info.name) || moments.has(info.name) || (alone && info.name === 'age'))
}

/** `t.f` calls the function f where no column has that name. */
function checkAttribute(world: World, name: string): void {
  if (systemColumns.has(name)) throw new Unmergeable(`${name} tells where a row is stored on one of them`, 'Read columns of the table.')
  if (world.touched.some((one) => columnsOf(world, one.key)?.includes(name) === true)) return
  const found = world.catalogs
    .flatMap((catalog) => catalog.functions.get(name) ?? [])
    .filter((info) => info.minArgs <= 1 && info.maxArgs >= 1)
  if (!found.every((info) => info.volatility === 'immutable' || (info.builtin && settled.has(info.name)))) throw notHere(name)
}

function checkHidden(world: World, what: 'operators' | 'types', name: Name): void {
  const hidden = world.catalogs.flatMap((catalog) => catalog[what].get(name.name) ?? [])
  if (hidden.some((call) => call.volatility !== 'immutable')) throw notHere(name.name)
}

function checkType(world: World, name: Name): void {
  if (/^_?reg(class|collation|config|dictionary|namespace|oper|operator|proc|procedure|role|type)$/.test(name.name))
    throw new Unmergeable(`${name.name} stands for a number that is another one on each of them`, 'Compare names as text.')
  checkHidden(world, 'types', name)
}

/** Rows have other ones on each cluster. */
const systemColumns: ReadonlySet<string> = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid'])

function checkNodes(value: unknown, purpose: Purpose): void {
  if (typeof value !== 'object' || value === null) return
  if (Array.isArray(value)) {
    for (const item of value) checkNodes(item, purpose)
    return
  }
  const node = unwrap(value)
  if (node !== null) checkNode(node, purpose === 'shown')
  const inner = node === null ? (fields(value) ?? {}) : node.fields
  for (const name in inner) checkNodes(inner[name], purposeIn(name, purpose))
}

function purposeIn(field: string, outer: Purpose): Purpose {
  if (outer === 'stored') return outer
  if (filtering.has(field)) return 'filter'
  return showing.has(field) ? 'shown' : outer
}

/** What stands here decides about rows, and is not shown. */
const filtering: ReadonlySet<string> = new Set(['whereClause', 'quals', 'agg_filter'])
const showing: ReadonlySet<string> = new Set(['targetList'])

function checkNode({ tag, fields: inner }: Node, shown: boolean): void {
  switch (tag) {
    case 'FuncCall': {
      const name = nameOf(inner['funcname'])?.name ?? ''
      if (shown && (moments.has(name) || (name === 'age' && list(inner['args']).length === 1))) throw present(name)
      return
    }
    case 'SQLValueFunction': {
      const op = text(inner['op']) ?? ''
      if (/CURRENT_(DATE|TIME|TIMESTAMP)|LOCALTIME/.test(op)) {
        if (shown) throw present('the present time')
      } else throw new Unmergeable(`${op.replace('SVFOP_', '')} may be another one on each of them`, 'Give it as a parameter.')
      return
    }
    case 'TypeCast': {
      const constant = fields(as('A_Const', inner['arg'])?.['sval'])
      const type = strings(fields(inner['typeName'])?.['names'])?.at(-1) ?? ''
      if (shown && constant !== null && times.has(type) && /now|today|tomorrow|yesterday/i.test(text(constant['sval']) ?? ''))
        throw present('the present time')
      return
    }
    case 'A_Const':
      if (shown && moment.test(text(fields(inner['sval'])?.['sval']) ?? '')) throw present('a text that stands for the present time')
      return
    case 'ColumnRef': {
      const name = stringNode(list(inner['fields']).at(-1)) ?? ''
      if (systemColumns.has(name)) throw new Unmergeable(`${name} tells where a row is stored on one of them`, 'Read columns of the table.')
      return
    }
    case 'CurrentOfExpr':
    case 'GroupingFunc':
    case 'MergeSupportFunc':
      throw new Unmergeable(`${tag} cannot be merged`, byKey)
  }
}

/** Whatever it stands beside may make a time of it. */
const moment = /^[\s\d:.+-]*(now|today|tomorrow|yesterday)[\s\d:.+-]*$/i

const times: ReadonlySet<string> = new Set(['date', 'time', 'timetz', 'timestamp', 'timestamptz'])

function present(name: string): Unmergeable {
  return new Unmergeable(
    `${name} is another moment on each of them`,
    'Give the moment as a parameter; in WHERE it may stay: each part is read at its own moment.',
  )
}

const moments: ReadonlySet<string> = new Set(['now', 'transaction_timestamp', 'statement_timestamp'])

/** Stable functions of PostgreSQL whose result follows from arguments and settings of the session. */
const settled: ReadonlySet<string> = new Set(
  (
    'age array_to_json array_to_string concat concat_ws convert_from convert_to date date_add date_part date_subtract date_trunc extract ' +
    'format generate_series json_build_array json_build_object jsonb_build_array jsonb_build_object jsonb_path_exists_tz ' +
    'jsonb_path_match_tz jsonb_path_query_array_tz jsonb_path_query_first_tz jsonb_path_query_tz length make_timestamptz numeric money ' +
    'overlaps quote_literal quote_nullable row_to_json time timestamp timestamptz timetz timezone to_char to_date to_json to_jsonb ' +
    'to_number to_timestamp enum_first enum_last enum_range'
  ).split(' '),
)
