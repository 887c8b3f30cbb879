// routing/scatter/analyse.ts — the text of one SELECT that no key puts on one cluster → what each cluster runs and how the rows are
// merged, so that the answer is the very one that a single server with all rows would give; or why that cannot be proved.
import type { Catalog } from '../../catalog/catalog.js'
import type { CollationOf, MergeSpec, PartQuery } from '../../merge/contract.js'
import { deparse } from '../../sql/deparse.js'
import { parseStatements } from '../../sql/parser.js'
import type { Statement } from '../../sql/statement.js'
import { as, fields, integer, list, unwrap, type Fields, type Node } from '../../sql/tree.js'
import type { Context } from '../context.js'
import type { Touched } from '../homes.js'
import { checkFunctions } from './functions.js'
import { grouped } from './grouped.js'
import type { Level } from './level.js'
import { plain, setOperation, type Merged } from './plain.js'
import { Analysis, checkWindows, covers, groupExpressions, notByKey, withoutLimit } from './query.js'
import type { Ctes } from './sources.js'
import { namedCollation } from './targets.js'
import { byKey, Unmergeable } from './unmergeable.js'
import { collationsOf, worse, type World } from './world.js'

export type Analysed =
  | { readonly kind: 'merged'; readonly query: PartQuery; readonly merge: MergeSpec }
  /** `reason`: the end of `…, and <reason>`. `viewable`: views in place of its tables would give the same. */
  | { readonly kind: 'refused'; readonly reason: string; readonly hint: string; readonly viewable: boolean }

export interface Given {
  readonly context: Context
  readonly statement: Statement
  readonly touched: readonly Touched[]
  /** Of the clusters that take part. */
  readonly clusters: readonly string[]
  readonly text: string
}

export function analyse(given: Given): Analysed {
  try {
    return merged(given)
  } catch (error) {
    if (error instanceof Unmergeable) return { kind: 'refused', reason: error.message, hint: error.hint, viewable: !saysOnly(given.text) }
    throw error
  }
}

/** ONLY means nothing for a view, and much for a table with partitions or children. */
function saysOnly(text: string): boolean {
  return parseStatements(text).some(({ node }) => nodesOf(node.fields, 'RangeVar').some(({ inh }) => inh !== true))
}

function merged(given: Given): Analysed {
  const { text } = given
  const [parsed, another] = parseStatements(text)
  const node = parsed?.node
  if (node === undefined || another !== undefined || node.tag !== 'SelectStmt') throw new Unmergeable('it is no single SELECT', byKey)
  const world = worldOf(given, node)
  checkFunctions(world, given.statement, node)
  const { select, merge } = outermost(new Analysis(world), node.fields)
  return { kind: 'merged', query: { text: partText(text, node.fields, select, merge), original: text }, merge }
}

function partText(text: string, before: Fields, after: Fields, merge: MergeSpec): string {
  if (before === after || (merge.hidden === 0 && merge.group === null && merge.offset.kind === 'none')) return text
  const written = deparse({ tag: 'SelectStmt', fields: after })
  if (parameters(before) !== parameters(after))
    throw new Unmergeable('a parameter would be missing in what each of them runs', 'Give it as a literal.')
  if (written === null) throw new Unmergeable('what each of them would have to run cannot be written', byKey)
  return written
}

/** Numbers of the parameters in a tree, in order. */
function parameters(tree: unknown): string {
  const found = new Set(nodesOf(tree, 'ParamRef').map((param) => integer(param['number'])))
  return [...found].sort((a, b) => a - b).join()
}

function outermost(analysis: Analysis, select: Fields): Merged {
  const ctes = analysis.ctes(select, null, new Map())
  if (select['op'] !== undefined && select['op'] !== 'SETOP_NONE') {
    const facts = analysis.arms(select, null, ctes)
    if (facts.state !== 'spread') throw nothingSpread()
    if (select['op'] !== 'SETOP_UNION' && facts.keys.length === 0) throw notByKey(select)
    return setOperation(select, facts)
  }
  const exists = existence(analysis, select, ctes)
  if (exists !== null) return exists
  const level = analysis.level(select, null, ctes)
  if (level.state !== 'spread') throw nothingSpread()
  if (level.grouped && !covers(level, groupExpressions(level))) return grouped(level)
  return windowed(level)
}

function windowed(level: Level): Merged {
  checkWindows(level, 'the statement')
  return plain(level)
}

function nothingSpread(): Unmergeable {
  return new Unmergeable('which of them it concerns cannot be followed', byKey)
}

/** `SELECT EXISTS (…)` and nothing else: true if it is for any part. */
function existence(analysis: Analysis, select: Fields, ctes: Ctes): Merged | null {
  const targets = list(select['targetList'])
  const plainFields = new Set(['targetList', 'limitOption', 'op', 'withClause'])
  if (targets.length !== 1 || Object.keys(select).some((name) => !plainFields.has(name))) return null
  const value = as('ResTarget', targets[0])?.['val']
  const not = as('BoolExpr', value)
  const link = as('SubLink', not?.['boolop'] === 'NOT_EXPR' ? list(not['args'])[0] : value)
  if (link?.['subLinkType'] !== 'EXISTS_SUBLINK') return null
  const facts = analysis.query(withoutLimit(as('SelectStmt', link['subselect']) ?? {}), null, ctes)
  if (facts.state !== 'spread') return null
  const none = { kind: 'none' } as const
  return {
    select,
    merge: {
      hidden: 0,
      group: { keys: [], columns: [{ kind: not === null ? 'or' : 'and', column: 0 }] },
      having: null,
      order: [],
      partsSorted: false,
      distinct: null,
      offset: none,
      limit: none,
      output: [0],
      described: 'original',
    },
  }
}

// ---- what the catalogs say

function worldOf({ context, touched, clusters, statement }: Given, node: Node): World {
  const catalogs: Catalog[] = []
  for (const cluster of clusters) {
    const catalog = context.catalogs.get(cluster)
    if (catalog === undefined) throw new Unmergeable(`the catalog of cluster ${cluster} has not been loaded`, 'Wait until it is.')
    catalogs.push(catalog)
  }
  const world: World = { context, touched, catalogs, collation: 'unknown', plainEquals: plainEquals(context, catalogs) }
  return { ...world, collation: collation(world, statement, node) }
}

/** As for keys that are bound by a value: a better match of types wins, wherever pg_catalog stands in the path. */
function plainEquals({ session }: Context, catalogs: readonly Catalog[]): boolean {
  return !catalogs.some((catalog) => catalog.keyEquals.some((schema) => session.searchPath?.includes(schema) ?? true))
}

/** The worst collation that any expression of the statement may have. */
function collation(world: World, statement: Statement, node: Node): CollationOf {
  const { catalogs, touched, context } = world
  const ofDatabase = catalogs.map(({ collation: here }): CollationOf =>
    here === undefined || here === 'nondeterministic' ? 'unknown' : here,
  )
  const ofColumns = touched.flatMap((one) => [...collationsOf(world, one.key).values()])
  const said = nodesOf(node.fields, 'CollateClause').map((clause) =>
    worse(namedCollation(clause, context.session.searchPath), 'deterministic'),
  )
  // A domain may have a collation of its own.
  const domains = statement.types.some((name) => catalogs.some((catalog) => catalog.types.has(name.name)))
  return [...ofDatabase, ...ofColumns, ...said, ...(domains ? (['unknown'] as const) : [])].reduce(worse, 'bytes')
}

/** All nodes of one kind, wherever they stand. */
function nodesOf(value: unknown, tag: string): readonly Fields[] {
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value)) return value.flatMap((item) => nodesOf(item, tag))
  const node = unwrap(value)
  const inner = node === null ? (fields(value) ?? {}) : node.fields
  const below = Object.values(inner).flatMap((item) => nodesOf(item, tag))
  return node?.tag === tag ? [node.fields, ...below] : below
}
