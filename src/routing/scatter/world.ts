// routing/scatter/world.ts — what the catalogs of the clusters say, asked by the analysis of one statement: tables with their
// columns and collations, which functions are aggregates, and which depend on nothing but their arguments and the session.
// What differs between the clusters, or is unknown to one of them, is unknown.
import type { Catalog, FunctionInfo, RelationInfo } from '../../catalog/catalog.js'
import { candidates } from '../../catalog/judge.js'
import type { CollationOf } from '../../merge/contract.js'
import type { Name } from '../../sql/statement.js'
import { nameOf, type Fields, list } from '../../sql/tree.js'
import type { Context } from '../context.js'
import type { Touched } from '../homes.js'

export interface World {
  readonly context: Context
  readonly touched: readonly Touched[]
  /** Of the clusters that take part. */
  readonly catalogs: readonly Catalog[]
  /** No column, cast or COLLATE of the statement brings in a collation under which other bytes are equal. */
  readonly collation: CollationOf
  /** `=` between keys is PostgreSQL's own: no schema that the session looks into holds another one. Absent: not known. */
  readonly plainEquals?: boolean
}

export function relationOf(world: World, name: Name): Touched | null {
  return world.touched.find((one) => one.name.schema === name.schema && one.name.name === name.name) ?? null
}

/** What each cluster says of a relation; null where one of them does not know it. */
export function infosOf(world: World, key: string): readonly RelationInfo[] | null {
  const infos = world.catalogs.map((catalog) => catalog.relations.get(key))
  return infos.every((info) => info !== undefined) && infos.length > 0 ? infos : null
}

/** Column names, in order, where all clusters agree on them. */
export function columnsOf(world: World, key: string): readonly string[] | null {
  const infos = infosOf(world, key)
  const [first] = infos ?? []
  if (infos === null || first === undefined) return null
  const names = first.columns.map((column) => column.name)
  return infos.every((info) => info.columns.length === names.length && info.columns.every(({ name }, i) => name === names[i]))
    ? names
    : null
}

export function collationsOf(world: World, key: string): ReadonlyMap<string, CollationOf> {
  const found = new Map<string, CollationOf>()
  for (const info of infosOf(world, key) ?? []) {
    for (const { name, collation } of info.columns) {
      const here = collation === undefined ? 'unknown' : collation === 'nondeterministic' ? 'unknown' : collation
      found.set(name, worse(found.get(name) ?? 'bytes', here))
    }
  }
  return found
}

const rank: Readonly<Record<CollationOf, number>> = { bytes: 0, deterministic: 1, unknown: 2 }

export function worse(a: CollationOf, b: CollationOf): CollationOf {
  return rank[a] >= rank[b] ? a : b
}

/** The functions that a call may mean, on every cluster; []: unknown to one. */
export function functionsOf(world: World, call: Fields): readonly FunctionInfo[] {
  const name = nameOf(call['funcname'])
  if (name === null) return []
  const uncounted = call['agg_star'] === true || call['func_variadic'] === true || call['agg_within_group'] === true
  return candidatesOf(world, name, uncounted ? null : list(call['args']).length)
}

export function candidatesOf(world: World, name: Name, args: number | null): readonly FunctionInfo[] {
  const found = world.catalogs.map((catalog) => candidates(catalog, world.context.session.searchPath, { name, args }))
  return found.some((all) => all.length === 0) ? [] : found.flat()
}

/** Whether a call is of an aggregate. What is an aggregate for one of its candidates only counts as one. */
export function isAggregate(world: World, call: Fields): boolean {
  return call['over'] === undefined && functionsOf(world, call).some((info) => info.kind === 'aggregate')
}

/** The bare name of one of PostgreSQL's own aggregates that a call is for sure; null: another one. */
export function ownAggregate(world: World, call: Fields): string | null {
  const name = nameOf(call['funcname'])
  const all = functionsOf(world, call)
  return name !== null && all.length > 0 && all.every((info) => info.builtin && info.kind === 'aggregate') ? name.name : null
}
