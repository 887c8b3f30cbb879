// routing/scatter/sources.ts — FROM: which entries there are, and whether the rows of all of them together can be made on each
// cluster by itself. Spread entries must be joined on their whole shard key: then every row is made on exactly one cluster.
import type { RelationInfo } from '../../catalog/catalog.js'
import type { CollationOf } from '../../merge/contract.js'
import { as, fields, list, rangeName, strings, text, unwrap, type Fields } from '../../sql/tree.js'
import { columnPath, Equalities, resolve, resolveName, sameKey, type Entry, type Ref, type Scope } from './scope.js'
import { conjuncts } from './tree-walk.js'
import { byKey, Unmergeable } from './unmergeable.js'
import { collationsOf, columnsOf, infosOf, relationOf, type World } from './world.js'

/** What a subquery or a common table expression is to those who read it. */
export interface QueryFacts {
  /** `local`: made of rows that are on the cluster of the outer row alone. */
  readonly state: 'everywhere' | 'spread' | 'local'
  /** Names of its columns; null where one of them is not known. */
  readonly names: readonly string[] | null
  /** Columns (by place) that hold a shard key. */
  readonly keys: readonly (readonly number[])[]
  readonly collations: readonly CollationOf[]
}

/** Common table expressions by name; null: a name of the outer query that means something else here. */
export type Ctes = ReadonlyMap<string, QueryFacts>

export interface Source {
  readonly spread: boolean
  /** Spread entries whose key tells where a row is. */
  readonly keyed: readonly Entry[]
  readonly located: readonly Entry[]
}

export interface FromContext {
  readonly world: World
  readonly ctes: Ctes
  readonly query: (select: Fields, outer: Scope | null, ctes: Ctes) => QueryFacts
  readonly nextId: () => number
}

type Item =
  | { readonly kind: 'leaf'; readonly entry: Entry }
  | {
      readonly kind: 'join'
      readonly type: string
      readonly left: Item
      readonly right: Item
      readonly on: unknown
      /** Pairs that USING or NATURAL compare. */
      readonly pairs: readonly (readonly [Ref, Ref])[]
    }

/** Fills `scope` with the entries of FROM. */
export function source(context: FromContext, from: readonly unknown[], where: unknown, scope: Scope): Source {
  const items = from.map((item) => readItem(context, item, scope))
  const known = new Equalities(context.world.plainEquals === true)
  learn(known, where, scope)
  return items.map((item) => combine(item, known, scope)).reduce((a, b) => joined(a, b, known), nothing)
}

const nothing: Source = { spread: false, keyed: [], located: [] }

/** Adds what the conditions of an AND say of columns that are equal. */
export function learn(known: Equalities, condition: unknown, scope: Scope): void {
  for (const each of conjuncts(condition)) {
    const expression = as('A_Expr', each)
    const name = expression === null ? null : strings(expression['name'])
    if (expression?.['kind'] !== 'AEXPR_OP' || name?.at(-1) !== '=' || (name.length > 1 && name[0] !== 'pg_catalog')) continue
    learnPair(known, expression['lexpr'], expression['rexpr'], scope)
  }
}

function learnPair(known: Equalities, left: unknown, right: unknown, scope: Scope): void {
  const [rows, others] = [as('RowExpr', left), as('RowExpr', right)]
  if (rows !== null && others !== null) {
    const [a, b] = [list(rows['args']), list(others['args'])]
    if (a.length === b.length)
      a.forEach((each, i) => {
        learnPair(known, each, b[i], scope)
      })
    return
  }
  const [one, other] = [resolve(left, scope), resolve(right, scope)]
  if (one !== null && other !== null) known.add(one, other)
}

// ---- reading

function readItem(context: FromContext, item: unknown, scope: Scope): Item {
  const node = unwrap(item)
  switch (node?.tag) {
    case 'RangeVar':
      return leaf(scope, rangeVar(context, node.fields))
    case 'RangeSubselect':
      return leaf(scope, subselect(context, node.fields, scope))
    case 'RangeFunction':
      return leaf(scope, calls(context, node.fields))
    case 'JoinExpr':
      return join(context, node.fields, scope)
    case 'RangeTableSample':
      throw new Unmergeable('TABLESAMPLE takes its sample on each of them', 'Filter by a condition that depends on the row alone.')
    default:
      throw new Unmergeable(`${node?.tag ?? 'an entry of FROM'} cannot be followed`, byKey)
  }
}

function leaf(scope: Scope, entry: Entry): Item {
  scope.entries.push(entry)
  scope.located = scope.entries.filter((one) => one.spread)
  return { kind: 'leaf', entry }
}

function rangeVar(context: FromContext, range: Fields): Entry {
  const name = rangeName(range)
  const alias = text(fields(range['alias'])?.['aliasname'])
  const cte = name.schema === null ? context.ctes.get(name.name) : undefined
  if (cte !== undefined) return derived(context, cte, alias ?? name.name, renames(range), name.name)
  const { world } = context
  const touched = relationOf(world, name)
  if (touched === null) throw new Unmergeable(`${name.name} cannot be resolved`, 'Write the table with its schema.')
  const { home } = touched
  if (home.kind !== 'sharded' && home.kind !== 'reference')
    throw new Unmergeable(
      `${touched.key} does not have the same rows on all of them`,
      'Declare it under `reference`, or read it by itself.',
    )
  const columns = columnsOf(world, touched.key)
  const infos = infosOf(world, touched.key)
  if (columns === null || infos === null)
    throw new Unmergeable(
      `${touched.key} is not known, or not the same, in the catalogs of all of them`,
      'Make the table alike on every cluster.',
    )
  if (infos.some((info) => info.kind === 'view'))
    throw new Unmergeable(`what the view ${touched.key} reads is not followed`, 'Read the tables behind it.')
  if (infos.some((info) => info.behind !== null && (info.behind.unknown || info.behind.relations.length > 0)))
    throw new Unmergeable(`a row-security policy of ${touched.key} reads other tables`, byKey)
  const names = renamed(columns, renames(range))
  const collations = collationsOf(world, touched.key)
  return {
    id: context.nextId(),
    alias: alias ?? name.name,
    schema: alias === null ? name.schema : null,
    columns: names,
    spread: home.kind === 'sharded',
    keys: home.kind === 'sharded' ? [home.keyColumns.map((column) => names[columns.indexOf(column)] ?? '')] : [],
    collations: new Map(columns.map((column, i) => [names[i] ?? column, collations.get(column) ?? 'bytes'])),
    types: new Map(columns.flatMap((column, i) => typeOf(infos, column).map((type) => [names[i] ?? column, type] as const))),
    what: touched.key,
  }
}

/** The one type of a column on all clusters, or none. */
function typeOf(infos: readonly RelationInfo[], column: string): readonly string[] {
  const types = new Set(infos.map((info) => info.columns.find(({ name }) => name === column)?.type ?? ''))
  return types.size === 1 && !types.has('') ? [...types] : []
}

function subselect(context: FromContext, range: Fields, scope: Scope): Entry {
  const select = as('SelectStmt', range['subquery']) ?? {}
  const alias = text(fields(range['alias'])?.['aliasname']) ?? ''
  const facts = context.query(select, range['lateral'] === true ? scope : scope.outer, context.ctes)
  return derived(context, facts, alias, renames(range), alias === '' ? 'a subquery' : alias)
}

function derived(context: FromContext, facts: QueryFacts, alias: string, names: readonly string[], what: string): Entry {
  const columns = facts.names === null ? null : renamed(facts.names, names)
  const keys = columns === null ? [] : facts.keys.map((places) => places.map((place) => columns[place] ?? ''))
  return {
    id: context.nextId(),
    alias,
    schema: null,
    columns,
    spread: facts.state === 'spread',
    // A name that stands for two columns says nothing.
    keys: keys.filter((key) => key.every((column) => columns?.filter((one) => one === column).length === 1)),
    collations: new Map(columns?.map((column, i) => [column, facts.collations[i] ?? 'unknown'])),
    types: new Map(),
    what,
  }
}

/** A function in FROM gives the same rows wherever it runs: which functions may, functions.ts says. */
function calls(context: FromContext, range: Fields): Entry {
  const named = [...renames(range), ...list(range['coldeflist']).flatMap((item) => text(as('ColumnDef', item)?.['colname']) ?? [])]
  return {
    id: context.nextId(),
    alias: text(fields(range['alias'])?.['aliasname']) ?? '',
    schema: null,
    columns: named.length === 0 ? null : named,
    spread: false,
    keys: [],
    collations: new Map(named.map((name) => [name, 'unknown'])),
    types: new Map(),
    what: 'a function',
  }
}

function renames(range: Fields): readonly string[] {
  return strings(fields(range['alias'])?.['colnames']) ?? []
}

function renamed(columns: readonly string[], names: readonly string[]): readonly string[] {
  return columns.map((column, i) => names[i] ?? column)
}

function join(context: FromContext, tree: Fields, scope: Scope): Item {
  if (tree['alias'] !== undefined || tree['join_using_alias'] !== undefined)
    throw new Unmergeable('the names of a join with an alias are not followed', 'Leave out the alias of the join.')
  const start = scope.entries.length
  const left = readItem(context, tree['larg'], scope)
  const middle = scope.entries.length
  const right = readItem(context, tree['rarg'], scope)
  const type = text(tree['jointype']) ?? 'JOIN_INNER'
  const sides = [scope.entries.slice(start, middle), scope.entries.slice(middle)] as const
  const pairs = usingColumns(tree, sides).map((column) => merge(scope, sides, column, type))
  return { kind: 'join', type, left, right, on: tree['quals'], pairs }
}

function usingColumns(tree: Fields, [left, right]: readonly [readonly Entry[], readonly Entry[]]): readonly string[] {
  if (tree['isNatural'] !== true) return strings(tree['usingClause']) ?? []
  const names = (entries: readonly Entry[]): readonly string[] => entries.flatMap((entry) => entry.columns ?? unknownColumns(entry))
  const there = new Set(names(right))
  return [...new Set(names(left))].filter((name) => there.has(name))
}

function unknownColumns(entry: Entry): never {
  throw new Unmergeable(`NATURAL JOIN with ${entry.what} cannot be followed`, 'Write JOIN … ON.')
}

function merge(scope: Scope, sides: readonly [readonly Entry[], readonly Entry[]], column: string, type: string): readonly [Ref, Ref] {
  const side = (entries: Entry[]): Ref | null =>
    resolveName([], column, { entries, merged: mergedOf(scope, entries, column), outer: null, located: [] })
  const [left, right] = [side([...sides[0]]), side([...sides[1]])]
  if (left === null || right === null) throw new Unmergeable(`the column ${column} of USING cannot be followed`, 'Write JOIN … ON.')
  scope.merged.set(column, type === 'JOIN_FULL' ? null : type === 'JOIN_RIGHT' ? right : left)
  return [left, right]
}

function mergedOf(scope: Scope, entries: readonly Entry[], column: string): Map<string, Ref | null> {
  const before = scope.merged.get(column)
  const merged = new Map<string, Ref | null>()
  if (before !== undefined && (before === null || entries.includes(before.entry))) merged.set(column, before)
  return merged
}

// ---- combining

/** `known`: what is equal in every row that matters here. */
function combine(item: Item, known: Equalities, scope: Scope): Source {
  if (item.kind === 'leaf') {
    const { entry } = item
    return entry.spread ? { spread: true, keyed: [entry], located: [entry] } : nothing
  }
  const on = item.type === 'JOIN_INNER' ? known.copy() : known.none()
  learn(on, item.on, scope)
  for (const [left, right] of item.pairs) on.add(left, right)
  switch (item.type) {
    case 'JOIN_INNER':
      return joined(combine(item.left, on, scope), combine(item.right, on, scope), on)
    case 'JOIN_LEFT':
      return outer(combine(item.left, known, scope), combine(item.right, on, scope), on)
    case 'JOIN_RIGHT':
      return outer(combine(item.right, known, scope), combine(item.left, on, scope), on)
    default:
      return full(combine(item.left, known.none(), scope), combine(item.right, known.none(), scope), on)
  }
}

function joined(a: Source, b: Source, equal: Equalities): Source {
  if (a.spread && b.spread) together(a, b, equal)
  return { spread: a.spread || b.spread, keyed: [...a.keyed, ...b.keyed], located: [...a.located, ...b.located] }
}

function outer(kept: Source, other: Source, equal: Equalities): Source {
  if (!kept.spread && other.spread)
    throw new Unmergeable(
      'an outer join that keeps rows which every cluster has would give them once for each',
      'Put the sharded table on the side whose rows are kept.',
    )
  if (kept.spread && other.spread) together(kept, other, equal)
  return { spread: kept.spread, keyed: kept.keyed, located: [...kept.located, ...other.located] }
}

function full(a: Source, b: Source, equal: Equalities): Source {
  if (a.spread !== b.spread)
    throw new Unmergeable('a FULL JOIN with rows that every cluster has would give them once for each', 'Use LEFT JOIN.')
  if (a.spread && b.spread) together(a, b, equal)
  return { spread: a.spread, keyed: [], located: [...a.located, ...b.located] }
}

function together(a: Source, b: Source, equal: Equalities): void {
  if (a.keyed.some((one) => b.keyed.some((other) => sameKey(one, other, equal)))) return
  const [one, other] = [a.located[0]?.what ?? 'a subquery', b.located[0]?.what ?? 'a subquery']
  throw new Unmergeable(
    `${one} and ${other} are not joined on their shard keys`,
    'Join them with = on the whole shard key of both, or read them one by one.',
  )
}

/** Whether these expressions, all equal, mean rows of one cluster: the whole key of one of `keyed` is among them. */
export function coversKey(expressions: readonly unknown[], keyed: readonly Entry[], known: Equalities, scope: Scope): boolean {
  const refs = expressions.flatMap((each) => (columnPath(each) === null ? [] : (resolve(each, scope) ?? [])))
  return keyed.some((entry) =>
    entry.keys.some((columns) => columns.every((column) => refs.some((ref) => known.same(ref, { entry, column })))),
  )
}
