// routing/move-rows.ts — UPDATE that gives rows a shard key of another cluster: deleted where they are, and inserted there as the UPDATE
// changes them, in one transaction of both. The new row is made where it will be, of the old one given as a value of the table's own
// type: `INSERT … SELECT <what SET says> FROM (the old row)` evaluates and converts as the UPDATE would have. Whatever tells the
// two apart (triggers, foreign keys that lead here, row security, children) is refused; who may is asked by the UPDATE itself, of no row.
import type { Catalog, ForeignKeyInfo, FunctionInfo, RelationInfo } from '../catalog/catalog.js'
import { homeFor } from '../config/home-for.js'
import type { Sharded } from '../sharding/sharded.js'
import { quoted, quoteLiteral } from '../session/quote.js'
import { deparse } from '../sql/deparse.js'
import { parseStatements } from '../sql/parser.js'
import { as, fields, list, stringNode, strings, text as textOf, unwrap, type Fields, type Node } from '../sql/tree.js'
import { sessionAgainst, writtenOnAll } from './broadcast.js'
import type { Context } from './context.js'
import { suppliedCluster } from './context.js'
import type { Routed } from './destination.js'
import { finish } from './finish.js'
import { movesOnOne } from './insert-on-one.js'
import { refuse } from './make.js'
import type { BroadcastPlan, MoveRows, OnePlan, RefusePlan } from './plan.js'
import { why } from './rules.js'
import { checkFunctions, readsNothing } from './scatter/functions.js'
import { Unmergeable } from './scatter/unmergeable.js'
import type { ShardNeed } from './shard-demands.js'
import type { Moving } from './shard-eval.js'

interface Against {
  readonly message: string
  readonly hint: string
}

const byHand = 'DELETE the row and INSERT it with its new key, in two statements.'
const withTwoPhase =
  'Set two_phase: true for the database, which moves the row; or delete it and insert it with its new key, in two statements.'
const asParameter = 'Ask for it first, and give it as a parameter.'

/** One UPDATE whose rows all go to one shard. `text`: of the statement at hand. */
export function moveRows(
  context: Context,
  routed: Routed,
  need: ShardNeed,
  found: Moving,
  text: string,
): OnePlan | BroadcastPlan | RefusePlan {
  const { sharded } = need
  const here = movesOnOne(need, found)
  const tried = context.database.virtual.has(`sharded ${sharded.name}`)
  if (suppliedCluster(context) !== null) return found.refused
  if (here !== null && !tried) return finish(context, routed, here)
  if (context.database.twoPhase === null) return refusedMove(routed, found.refused.message, withTwoPhase)
  const clusters = [...found.from.filter((cluster) => cluster !== found.to), found.to]
  const move = planned(context, routed, sharded, clusters, found, text)
  if ('message' in move) return refusedMove(routed, `${found.refused.message} to cluster ${found.to}, and ${move.message}`, move.hint)
  if (here !== null) return finish(context, routed, here)
  if (found.provisional) return finish(context, routed, { cluster: found.to, shard: null, provisional: true, why: [unknownYet(sharded)] })
  const detail = `${sharded.name}: rows of ${clusters.slice(0, -1).join(', ')} go to ${found.to}`
  return writtenOnAll(context, routed, { clusters, combine: 'sum', of: sharded.name }, { detail, inTurn: byHand, move })
}

function unknownYet(sharded: Sharded): ReturnType<typeof why> {
  return why('shard-any', `${sharded.name}: the keys are not all known yet`)
}

function refusedMove({ owner, touched }: Routed, message: string, hint: string): RefusePlan {
  return refuse('shard-key-update', { message, hint, owner, tables: touched.map((one) => one.key) })
}

function planned(
  context: Context,
  routed: Routed,
  sharded: Sharded,
  clusters: readonly string[],
  { from, to }: Moving,
  text: string,
): MoveRows | Against {
  const { statement, outer, touched } = routed
  if (outer !== statement) return { message: `${outer.detail.kind.toUpperCase()} is for one server`, hint: byHand }
  const session = sessionAgainst(context, { clusters })
  if (session !== null) return session
  const [table, another] = touched
  if (table === undefined || another !== undefined || statement.entries.length !== 1)
    return { message: 'it reads other tables as well', hint: asParameter }
  const catalogs = clusters.flatMap((cluster) => context.catalogs.get(cluster) ?? [])
  const infos = catalogs.flatMap((catalog) => catalog.relations.get(table.key) ?? [])
  const info = infos.at(-1)
  if (infos.length < clusters.length || info === undefined)
    return { message: `${table.key} is not in the catalogs of all of them`, hint: 'Create it on every cluster.' }
  const apart = tableAgainst(context, sharded, table.key, catalogs, infos)
  if (apart !== null) return apart
  const update = updateOf(text)
  if (update === null) return { message: 'it is not understood', hint: byHand }
  try {
    checkFunctions(
      { context, touched, catalogs, collation: 'unknown', plainEquals: false },
      statement,
      { tag: 'UpdateStmt', fields: update },
      'stored',
    )
  } catch (error) {
    if (error instanceof Unmergeable) return { message: error.message, hint: error.hint }
    throw error
  }
  const made = statements(update, info, statement.params)
  return 'message' in made ? made : { text, parameters: statement.params, stays: from.includes(to), ...made }
}

function updateOf(text: string): Fields | null {
  const [parsed, another] = parseStatements(text)
  return parsed === undefined || another !== undefined || parsed.node.tag !== 'UpdateStmt' ? null : parsed.node.fields
}

// ---- the table

/** What would be another thing for a DELETE and an INSERT than for an UPDATE. */
function tableAgainst(
  context: Context,
  sharded: Sharded,
  key: string,
  catalogs: readonly Catalog[],
  infos: readonly RelationInfo[],
): Against | null {
  const [first] = infos
  const any = (is: (info: RelationInfo) => boolean): boolean => infos.some(is)
  if (any(({ kind }) => kind !== 'table')) return { message: `${key} is not a plain table`, hint: byHand }
  if (any(({ triggers }) => triggers))
    return { message: `${key} has triggers or rules, which would see a DELETE and an INSERT`, hint: byHand }
  if (any(({ rowSecurity, behind }) => rowSecurity === true || behind !== null))
    return { message: `row-level security of ${key} would see a DELETE and an INSERT`, hint: byHand }
  if (any(({ changesWith, partitionRoot, inherits }) => changesWith.length > 0 || partitionRoot !== null || inherits !== undefined))
    return { message: `${key} has partitions or children, is one, or other rows change with its own`, hint: byHand }
  if (infos.some((info) => !sameColumns(info, first ?? info)))
    return { message: `${key} does not have the same columns on all of them`, hint: 'pointsman check --live lists what differs.' }
  const odd = first?.columns.find(({ type }) => catalogs.some((catalog) => isOdd(catalog, type)))
  if (odd !== undefined)
    return { message: `column ${odd.name} of ${key} is of a type whose values may mean something else there`, hint: byHand }
  const runs = infos.flatMap(({ onWrite }, i) =>
    onWrite.filter((called) => !isOfRow(catalogs[i]?.functions.get(called.name), called.schema)),
  )
  if (runs[0] !== undefined)
    return { message: `writing ${key} runs ${runs[0].schema}.${runs[0].name}, which may read other rows`, hint: byHand }
  return foreignKeysAgainst(context, sharded, key, catalogs)
}

function sameColumns(one: RelationInfo, other: RelationInfo): boolean {
  const types = new Map(other.columns.map(({ name, type, generated }) => [name, `${type} ${String(generated)}`]))
  return (
    one.columns.length === other.columns.length &&
    one.columns.every(({ name, type, generated }) => types.get(name) === `${type} ${String(generated)}`)
  )
}

/** Its values name things by the numbers that one server has given them, or are not kept byte by byte. */
function isOdd(catalog: Catalog, type: string): boolean {
  const bare = type.replace(/\[\]$/, '').split('.').at(-1) ?? ''
  if (type.includes('"') || /^(reg[a-z]+|xml)$/.test(bare)) return true
  return catalog.types.get(bare)?.some(({ composite }) => composite === true) === true
}

/** A default, a check or an index that calls it sees nothing but the row. */
function isOfRow(named: readonly FunctionInfo[] | undefined, schema: string): boolean {
  const found = named?.filter((info) => info.schema === schema) ?? []
  return found.length > 0 && found.every((info) => info.volatility === 'immutable' || readsNothing(info))
}

function foreignKeysAgainst(context: Context, sharded: Sharded, key: string, catalogs: readonly Catalog[]): Against | null {
  const all = catalogs.map(({ foreignKeys }) => foreignKeys)
  if (all.includes(undefined)) return { message: `the foreign keys of ${key} are not known`, hint: byHand }
  const known = all.flatMap((one) => one ?? [])
  const here = known.find(({ to }) => to === key)
  if (here !== undefined)
    return { message: `foreign key ${here.name} of ${here.from} refers to rows of ${key}, which would be deleted`, hint: byHand }
  const apart = known.find((one) => one.from === key && !isWhole(context, sharded, one))
  if (apart === undefined) return null
  return { message: `foreign key ${apart.name} refers to rows of ${apart.to}, which may be on another one`, hint: byHand }
}

/** What it refers to is found where the row is: a reference table's row, or one with the same shard key. */
function isWhole({ database }: Context, sharded: Sharded, { from, to, columns }: ForeignKeyInfo): boolean {
  const [own, other] = [homeFor(database, from), homeFor(database, to)]
  if (other?.kind === 'reference') return true
  if (own?.kind !== 'sharded' || other?.kind !== 'sharded' || other.sharded.name !== sharded.name) return false
  return own.keyColumns.every((column, i) => columns?.some(([left, right]) => left === column && right === other.keyColumns[i]) === true)
}

// ---- the statements

interface Assigned {
  readonly column: string
  /** null: DEFAULT. */
  readonly value: unknown
}

type Statements = Pick<MoveRows, 'returning' | 'tried' | 'removed' | 'inserted' | 'changed'>

function statements(update: Fields, info: RelationInfo, parameters: number): Statements | Against {
  const relation = fields(update['relation'])
  const where = update['whereClause']
  if (relation === null || where === undefined) return { message: 'it is not understood', hint: byHand }
  if (update['fromClause'] !== undefined || update['withClause'] !== undefined || holds(update, 'SubLink'))
    return { message: 'it has FROM, WITH or a subquery', hint: asParameter }
  const columns = info.columns.map(({ name }) => name)
  const name = textOf(fields(relation['alias'])?.['aliasname']) ?? info.name
  const sets = setsOf(update, columns, name)
  if ('message' in sets) return sets
  const returns = fields(update['returningClause'])
  if (returns !== null && showsOld(returns, columns))
    return { message: 'RETURNING asks for the old row, which an INSERT does not have', hint: 'Ask for it first.' }
  const made = {
    tried: deparse({ tag: 'UpdateStmt', fields: { ...update, whereClause: never(where) } }),
    removed: removal(relation, where, columns, name),
    inserted: insertion(update, info, sets, name, parameters),
  }
  const { tried, removed, inserted } = made
  if (tried === null || removed === null || inserted === null) return { message: 'it cannot be written as DELETE and INSERT', hint: byHand }
  return { returning: returns !== null, tried, removed, inserted, changed: changedSince(info) }
}

function setsOf(update: Fields, columns: readonly string[], name: string): readonly Assigned[] | Against {
  const sets: Assigned[] = []
  for (const item of list(update['targetList'])) {
    const target = as('ResTarget', item)
    const column = textOf(target?.['name'])
    if (target === null || column === null || target['indirection'] !== undefined)
      return { message: 'it assigns to a part of a column', hint: 'Assign the whole column.' }
    const value = assigned(target['val'])
    if (value === undefined) return { message: 'it assigns several columns at once', hint: 'Assign each by itself: SET a = …, b = …' }
    const node = unwrap(value)
    if (node?.tag === 'RowExpr') return { message: 'it assigns a row', hint: 'Give it as a parameter.' }
    if (!readsColumns(value, columns, name))
      return {
        message: `what it assigns to ${column} is not made from columns of the row alone`,
        hint: 'Name the columns, or give it as a parameter.',
      }
    sets.push({ column, value: node?.tag === 'SetToDefault' ? null : value })
  }
  return sets
}

/** undefined: it is of no row that is written out. */
function assigned(value: unknown): unknown {
  const several = as('MultiAssignRef', value)
  if (several === null) return value
  return list(as('RowExpr', several['source'])?.['args'])[Number(several['colno']) - 1]
}

/** Every name is that of a column; `t.*`, `t` and `f(t)` written as `t.f` mean something else for a row that is in no table. */
function readsColumns(value: unknown, columns: readonly string[], name: string): boolean {
  if (typeof value !== 'object' || value === null) return true
  const reference = as('ColumnRef', value)
  if (reference === null) return Object.values(value).every((inner) => readsColumns(inner, columns, name))
  const parts = strings(reference['fields'])
  const column = parts?.at(-1)
  if (parts === null || column === undefined || !columns.includes(column)) return false
  return parts.length === 1 || (parts.length === 2 && parts[0] === name)
}

/** `old.x` of PostgreSQL 18, or what an option of RETURNING calls so. */
function showsOld(returning: Fields, columns: readonly string[]): boolean {
  if (returning['options'] !== undefined) return true
  const named = (value: unknown): boolean => {
    if (typeof value !== 'object' || value === null) return false
    const reference = as('ColumnRef', value)
    if (reference === null) return Object.values(value).some(named)
    const parts = list(reference['fields'])
    return stringNode(parts[0]) === 'old' && (parts.length > 1 || !columns.includes('old'))
  }
  return named(returning['exprs'])
}

function holds(value: unknown, tag: string): boolean {
  if (typeof value !== 'object' || value === null) return false
  return tag in value || Object.values(value).some((inner) => holds(inner, tag))
}

/**
 * What was made of the table since its catalog was read. Asked when the writes have been sent: their lock keeps off whoever would add a
 * foreign key or a trigger. A column that is not known would be lost with the row.
 */
function changedSince({ schema, name, columns }: RelationInfo): string {
  const oid = `${quoteLiteral(`${quoted(schema)}.${quoted(name)}`)}::pg_catalog.regclass`
  const any = (table: string, where: string): string => `EXISTS (SELECT FROM pg_catalog.${table} WHERE ${where})`
  const odd = [
    "relkind OPERATOR(pg_catalog.<>) 'r' OR relrowsecurity",
    any('pg_trigger', 'tgrelid OPERATOR(pg_catalog.=) of.oid AND NOT tgisinternal'),
    any('pg_rewrite', 'ev_class OPERATOR(pg_catalog.=) of.oid'),
    any('pg_constraint', "confrelid OPERATOR(pg_catalog.=) of.oid AND contype OPERATOR(pg_catalog.=) 'f'"),
    any('pg_inherits', 'inhparent OPERATOR(pg_catalog.=) of.oid OR inhrelid OPERATOR(pg_catalog.=) of.oid'),
    `(SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute WHERE attrelid OPERATOR(pg_catalog.=) of.oid AND attnum OPERATOR(pg_catalog.>) 0
      AND NOT attisdropped) OPERATOR(pg_catalog.<>) ${String(columns.length)}`,
  ]
  return `SELECT 1 FROM pg_catalog.pg_class AS of WHERE of.oid OPERATOR(pg_catalog.=) ${oid} AND (${odd.join(' OR ')})`
}

/** `where AND false`, as the parser has it. */
function never(where: unknown): unknown {
  const conjunction = as('BoolExpr', where)
  const args = conjunction?.['boolop'] === 'AND_EXPR' ? list(conjunction['args']) : [where]
  return { BoolExpr: { boolop: 'AND_EXPR', args: [...args, { A_Const: { boolval: {} } }] } }
}

function removal(relation: Fields, where: unknown, columns: readonly string[], name: string): string | null {
  const all = columns.map((column) => `${quoted(name)}.${quoted(column)}`).join(', ')
  const tree = treeOf(`DELETE FROM x WHERE true RETURNING ${all}`)
  return tree === null ? null : deparse({ ...tree, fields: { ...tree.fields, relation, whereClause: where } })
}

/** Columns that are generated, or get their default, are left to the INSERT. */
function insertion(update: Fields, info: RelationInfo, sets: readonly Assigned[], name: string, parameters: number): string | null {
  const values = info.columns.flatMap(({ name: column, generated }): readonly (readonly [string, unknown])[] => {
    const set = sets.find((one) => one.column === column)
    if (generated === true || set?.value === null) return []
    return [[column, set?.value ?? { ColumnRef: { fields: [string(name), string(column)] } }]]
  })
  const row = info.columns.map((_, i) => `$${String(parameters + i + 1)}`).join(', ')
  const type = `${quoted(info.schema)}.${quoted(info.name)}`
  const tree = treeOf(
    `INSERT INTO x (${values.map(([column]) => quoted(column)).join(', ')}) OVERRIDING SYSTEM VALUE SELECT 1
 FROM (SELECT (moved).* FROM (SELECT ROW(${row})::${type} AS moved) AS rows) AS ${quoted(name)}`,
  )
  const select = as('SelectStmt', tree?.fields['selectStmt'])
  if (tree === null || select === null) return null
  const targetList = values.map(([, val]) => ({ ResTarget: { val } }))
  const relation = { ...fields(update['relation']), inh: true }
  const returning = update['returningClause'] === undefined ? {} : { returningClause: update['returningClause'] }
  return deparse({ ...tree, fields: { ...tree.fields, relation, selectStmt: { SelectStmt: { ...select, targetList } }, ...returning } })
}

function string(sval: string): unknown {
  return { String: { sval } }
}

function treeOf(text: string): Node | null {
  return parseStatements(text)[0]?.node ?? null
}
