// routing/scatter/plain.ts — the outermost SELECT whose groups, if it has any, each lie on one cluster: the rows of the parts are
// merged in their order, made distinct, and counted.
import type { MergeSpec } from '../../merge/contract.js'
import { as, fields, integer, list, type Fields } from '../../sql/tree.js'
import { checkComparable, Columns, direction, sortKey, sortsOf } from './columns.js'
import { countsOf, limited } from './counts.js'
import type { Level } from './level.js'
import { covers, isDistinctOn } from './query.js'
import { columnPath } from './scope.js'
import type { QueryFacts } from './sources.js'
import { collationOf, targetsOf } from './targets.js'
import { Unmergeable } from './unmergeable.js'

/** The statement that each part runs, as a tree, and how its rows are merged. */
export interface Merged {
  readonly select: Fields
  readonly merge: MergeSpec
}

export function plain(level: Level): Merged {
  const { select } = level
  const columns = new Columns(level)
  const clause = list(select['distinctClause'])
  const distinct = clause.length > 0
  const on = isDistinctOn(clause)
  const sorts = sortsOf(columns, list(select['sortClause']), !distinct || on)
  const places = on ? clause.map((item) => columns.output(item, true)) : []
  const counts = countsOf(select)
  for (const { expression } of places) checkComparable(level, expression)
  const apart = distinct && !distinctWithin(level, on ? places.map(({ expression }) => expression) : null)
  const keys = places.map(({ place, expression }) => ({ column: columns.index(place), collation: collationOf(expression, level) }))
  const order = sorts.map((sort) => sortKey(columns, sort))
  return {
    select: limited({ ...select, targetList: columns.targetList() }, counts),
    merge: {
      hidden: columns.hidden.length,
      group: null,
      having: null,
      order,
      partsSorted: true,
      distinct: apart ? { keys: on ? keys : null, collation: rowCollation(level), adjacent: on && order.length > 0 } : null,
      ...counts,
      output: null,
      described: 'part',
    },
  }
}

/** Whether rows that are equal lie on one cluster. `on`: the expressions of DISTINCT ON. */
function distinctWithin(level: Level, on: readonly unknown[] | null): boolean {
  const expressions = on ?? targetsOf(level)?.map((target) => target.expression)
  return expressions !== undefined && covers(level, expressions)
}

/** How text in the whole row compares for equality. */
function rowCollation(level: Level): 'bytes' | 'deterministic' | 'unknown' {
  for (const target of targetsOf(level) ?? []) checkComparable(level, target.expression)
  const found = targetsOf(level)?.map((target) => collationOf(target.expression, level)) ?? [level.world.collation]
  return found.includes('unknown') ? 'unknown' : 'deterministic'
}

/** A set operation whose arms have been looked at. */
export function setOperation(select: Fields, facts: QueryFacts): Merged {
  const counts = countsOf(select)
  const distinct = select['all'] !== true && facts.keys.length === 0
  const order = list(select['sortClause']).map((item) => {
    const sort = as('SortBy', item) ?? {}
    const column = outputColumn(facts, sort['node'])
    return { column, collation: facts.collations[column] ?? 'unknown', ...direction(sort) }
  })
  const collation = facts.collations.length === 0 || facts.collations.includes('unknown') ? 'unknown' : 'deterministic'
  return {
    select: limited(select, counts),
    merge: {
      hidden: 0,
      group: null,
      having: null,
      order,
      partsSorted: true,
      distinct: distinct ? { keys: null, collation, adjacent: false } : null,
      ...counts,
      output: null,
      described: 'part',
    },
  }
}

/** ORDER BY of a set operation knows positions and names of its columns only. */
function outputColumn(facts: QueryFacts, node: unknown): number {
  const position = fields(as('A_Const', node)?.['ival'])
  if (position !== null) return integer(position['ival']) - 1
  const [name, more] = columnPath(node) ?? []
  const at = name === undefined || more !== undefined ? -1 : (facts.names?.indexOf(name) ?? -1)
  if (at === -1) throw new Unmergeable('what ORDER BY means in a set operation cannot be told', 'Give the position of the column.')
  return at
}
