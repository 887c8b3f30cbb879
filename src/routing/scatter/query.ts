// routing/scatter/query.ts — what a query gives when every cluster runs it by itself: the same rows everywhere, or rows of which
// each is made on exactly one cluster. What is not for sure one of these two is refused. Only the outermost level may do more
// (order, limit, whole groups): plain.ts and grouped.ts merge that.
import type { CollationOf } from '../../merge/contract.js'
import { as, fields, list, strings, text, type Fields } from '../../sql/tree.js'
import type { Level } from './level.js'
import { columnPath, Equalities, resolve, type Entry, type Scope } from './scope.js'
import { coversKey, learn, source, type Ctes, type QueryFacts } from './sources.js'
import { callsIn, walkExpression } from './tree-walk.js'
import { collationOf, targetName, targetsOf } from './targets.js'
import { byKey, Unmergeable } from './unmergeable.js'
import { isAggregate, type World } from './world.js'

/** Ids of entries, for one statement. */
export class Analysis {
  readonly world: World
  #entries = 0

  constructor(world: World) {
    this.world = world
  }

  readonly query = (select: Fields, outer: Scope | null, before: Ctes): QueryFacts => {
    const ctes = this.ctes(select, outer, before)
    if (select['op'] !== undefined && select['op'] !== 'SETOP_NONE') return this.#setOperation(select, outer, ctes)
    if (select['valuesLists'] !== undefined) return this.#values(select, outer, ctes)
    return this.#pushed(this.level(select, outer, ctes))
  }

  /** The common table expressions that a query sees. */
  ctes(select: Fields, outer: Scope | null, before: Ctes): Ctes {
    const clause = fields(select['withClause'])
    if (clause === null) return before
    const all = new Map(before)
    for (const item of list(clause['ctes'])) {
      const cte = as('CommonTableExpr', item) ?? {}
      const name = text(cte['ctename']) ?? ''
      const query = as('SelectStmt', cte['ctequery'])
      if (query === null) throw new Unmergeable('WITH holds something else than a SELECT', byKey)
      all.set(name, this.#cte(query, clause['recursive'] === true, name, strings(cte['aliascolnames']) ?? [], outer, all))
    }
    return all
  }

  #cte(query: Fields, recursive: boolean, name: string, names: readonly string[], outer: Scope | null, ctes: Ctes): QueryFacts {
    // What it says of itself is not known yet: as if every cluster had it, which then has to be true of the whole.
    const itself: QueryFacts = { state: 'everywhere', names: null, keys: [], collations: [] }
    const facts = this.query(query, outer, recursive ? new Map([...ctes, [name, itself]]) : ctes)
    if (recursive && facts.state !== 'everywhere' && query['op'] !== 'SETOP_NONE')
      throw new Unmergeable('WITH RECURSIVE would follow rows of one of them alone', byKey)
    return { ...facts, names: facts.names === null ? null : facts.names.map((own, i) => names[i] ?? own) }
  }

  /** Reads FROM and WHERE, and every subquery of the level's expressions. */
  level(select: Fields, outer: Scope | null, ctes: Ctes): Level {
    const scope: Scope = { entries: [], merged: new Map(), outer, located: [] }
    const context = { world: this.world, ctes, query: this.query, nextId: () => ++this.#entries }
    const from = source(context, list(select['fromClause']), select['whereClause'], scope)
    scope.located = from.located
    scope.present = from.keyed
    const known = new Equalities(this.world.plainEquals === true)
    learn(known, select['whereClause'], scope)
    learnJoins(known, select, scope)
    const { keyed } = from
    for (const one of list(select['fromClause'])) this.#sublinks(one, scope, ctes, (link) => link['subselect'] !== undefined)
    for (const name of expressionFields) this.#sublinks(select[name], scope, ctes, () => true)
    const state = !from.spread ? 'everywhere' : this.#isLocal(keyed, known, scope) ? 'local' : 'spread'
    const grouped = select['groupClause'] !== undefined || select['havingClause'] !== undefined || this.#aggregates(select, scope)
    return { world: this.world, select, scope, state, keyed, known, grouped }
  }

  #isLocal(keyed: readonly Entry[], known: Equalities, scope: Scope): boolean {
    for (let outer = scope.outer; outer !== null; outer = outer.outer) {
      for (const there of outer.located) {
        const same = keyed.some((entry) =>
          entry.keys.some((columns) =>
            there.keys.some(
              (others) =>
                others.length === columns.length &&
                columns.every((column, i) => known.same({ entry, column }, { entry: there, column: others[i] ?? '' })),
            ),
          ),
        )
        if (same) return true
      }
    }
    return false
  }

  /** An aggregate over columns of an outer query alone belongs to that query, where nobody looks for it. */
  #aggregates(select: Fields, scope: Scope): boolean {
    const found = callsIn([select['targetList'], select['sortClause'], select['havingClause']], (call) => isAggregate(this.world, call))
    for (const call of found) {
      if (scope.outer === null || call['agg_star'] === true) continue
      walkExpression([call['args'], call['agg_filter'], call['agg_order']], {
        node: ({ tag, fields: inner }) => {
          if (tag !== 'ColumnRef') return undefined
          const ref = resolve({ ColumnRef: inner }, scope)
          if (ref !== null && scope.entries.includes(ref.entry)) return false
          throw new Unmergeable('an aggregate in a subquery may be one of the outer query', 'Write columns with the alias of their table.')
        },
      })
    }
    return found.length > 0
  }

  // ---- subqueries in expressions

  #sublinks(value: unknown, scope: Scope, ctes: Ctes, wanted: (link: Fields) => boolean): void {
    walkExpression(value, {
      // Subqueries of FROM have been read with it.
      node: ({ tag }) => (tag === 'RangeSubselect' || tag === 'SelectStmt' ? false : undefined),
      sublink: (link) => {
        if (wanted(link)) this.#sublink(link, scope, ctes)
      },
    })
  }

  #sublink(link: Fields, scope: Scope, ctes: Ctes): void {
    const select = as('SelectStmt', link['subselect']) ?? {}
    const facts = this.query(link['subLinkType'] === 'EXISTS_SUBLINK' ? withoutLimit(select) : select, scope, ctes)
    if (facts.state !== 'spread' || this.#comparesKeys(link, facts, scope)) return
    throw new Unmergeable(
      'a subquery would see the rows of one of them alone',
      'Tie it to the outer query: sub.key = outer.key on the whole shard key (or key IN (SELECT key …)), or send it by itself first.',
    )
  }

  /**
   * `key IN (SELECT key …)`: whatever equals the outer key is on its cluster. Not so where an outer join leaves the key NULL: NULL is
   * not in no rows, and nobody knows of some, so that NOT IN would depend on what is on one cluster.
   */
  #comparesKeys(link: Fields, facts: QueryFacts, scope: Scope): boolean {
    if (this.world.plainEquals !== true) return false
    const operator = strings(link['operName'])
    if (link['subLinkType'] !== 'ANY_SUBLINK' || (link['operName'] !== undefined && operator?.join('.') !== '=')) return false
    const row = as('RowExpr', link['testexpr'])
    const tests = row === null ? [link['testexpr']] : list(row['args'])
    const refs = tests.map((test) => resolve(test, scope))
    return facts.keys.some((places) =>
      (scope.present ?? []).some((entry) =>
        entry.keys.some(
          (columns) =>
            columns.length === places.length &&
            columns.every((column, i) => {
              const ref = refs[places[i] ?? -1]
              return ref?.entry === entry && ref.column === column
            }),
        ),
      ),
    )
  }

  // ---- what a query gives to those who read it

  /** A level inside another one: each cluster runs all of it. */
  #pushed(level: Level): QueryFacts {
    const { select, state } = level
    const targets = targetsOf(level)
    const names = targets?.map((target) => target.name) ?? null
    const known = names?.every((name) => name !== null) === true ? (names as readonly string[]) : null
    const collations = targets?.map((target) => collationOf(target.expression, level)) ?? []
    if (state === 'everywhere') {
      if (select['limitCount'] !== undefined || select['limitOffset'] !== undefined)
        throw new Unmergeable('a subquery with LIMIT may take other rows on each of them', 'Leave LIMIT to the outermost query.')
      return { state, names: known, keys: [], collations }
    }
    if (state === 'local') return { state, names: known, keys: [], collations }
    checkAligned(level, 'a subquery')
    if (select['limitCount'] !== undefined || select['limitOffset'] !== undefined)
      throw new Unmergeable('a subquery with LIMIT would count its rows on each of them', 'Leave LIMIT to the outermost query.')
    return { state, names: known, keys: targets === null ? [] : keysOf(level, targets), collations }
  }

  #values(select: Fields, outer: Scope | null, ctes: Ctes): QueryFacts {
    const scope: Scope = { entries: [], merged: new Map(), outer, located: [] }
    this.#sublinks(select['valuesLists'], scope, ctes, () => true)
    const columns = list(as('List', list(select['valuesLists'])[0])?.['items'])
    return {
      state: 'everywhere',
      names: columns.map((_, i) => `column${String(i + 1)}`),
      keys: [],
      collations: columns.map((): CollationOf => this.world.collation),
    }
  }

  #setOperation(select: Fields, outer: Scope | null, ctes: Ctes): QueryFacts {
    const facts = this.arms(select, outer, ctes)
    if (facts.state !== 'spread') return facts
    if (select['limitCount'] !== undefined || select['limitOffset'] !== undefined)
      throw new Unmergeable('a subquery with LIMIT would count its rows on each of them', 'Leave LIMIT to the outermost query.')
    if (!(select['op'] === 'SETOP_UNION' && select['all'] === true) && facts.keys.length === 0) throw notByKey(select)
    return facts
  }

  /** Both arms of a set operation, what the operation itself does with equal rows left open. */
  arms(select: Fields, outer: Scope | null, ctes: Ctes): QueryFacts {
    const [left, right] = ['larg', 'rarg'].map((side) => this.#arm(select, fields(select[side]) ?? {}, outer, ctes))
    if (left === undefined || right === undefined) throw new Unmergeable('a set operation has no arms', byKey)
    const collations = left.collations.map((one, i) => (one === right.collations[i] ? one : 'unknown'))
    if (left.state !== 'spread' && right.state !== 'spread') {
      const state = left.state === 'local' || right.state === 'local' ? 'local' : 'everywhere'
      return { state, names: left.names, keys: [], collations }
    }
    if (left.state !== right.state)
      throw new Unmergeable(
        'one arm of the set operation has the same rows on all of them, which would come once for each',
        'Send its arms one by one.',
      )
    const same = (one: readonly number[], other: readonly number[]): boolean =>
      one.length === other.length && one.every((place, i) => place === other[i])
    const keys = left.keys.filter((one) => right.keys.some((other) => same(one, other)))
    return { state: 'spread', names: left.names, keys, collations }
  }

  /** Where UNION makes all rows distinct in the end, a UNION in its arms need not. */
  #arm(above: Fields, arm: Fields, outer: Scope | null, ctes: Ctes): QueryFacts {
    const open = above['op'] === 'SETOP_UNION' && above['all'] !== true && arm['op'] === 'SETOP_UNION'
    if (!open || arm['limitCount'] !== undefined || arm['limitOffset'] !== undefined) return this.query(arm, outer, ctes)
    return this.arms(arm, outer, this.ctes(arm, outer, ctes))
  }
}

const expressionFields = [
  'targetList',
  'whereClause',
  'groupClause',
  'havingClause',
  'sortClause',
  'distinctClause',
  'windowClause',
  'limitCount',
  'limitOffset',
] as const

/** Joins of the level that must hold for every row tell of equal columns, too. */
function learnJoins(known: Equalities, select: Fields, scope: Scope): void {
  const visit = (item: unknown): void => {
    const join = as('JoinExpr', item)
    if (join?.['jointype'] !== 'JOIN_INNER') return
    learn(known, join['quals'], scope)
    for (const column of strings(join['usingClause']) ?? []) {
      const merged = scope.merged.get(column)
      if (merged === undefined || merged === null) continue
      for (const entry of scope.entries)
        if (entry.columns?.includes(column) === true && usingSides(join, entry)) known.add(merged, { entry, column })
    }
    visit(join['larg'])
    visit(join['rarg'])
  }
  for (const item of list(select['fromClause'])) visit(item)
}

/** Plain tables right and left of a USING: those whose columns it makes equal for sure. */
function usingSides(join: Fields, entry: Entry): boolean {
  return ['larg', 'rarg'].some((side) => {
    const range = as('RangeVar', join[side])
    return range !== null && (text(fields(range['alias'])?.['aliasname']) ?? text(range['relname'])) === entry.alias
  })
}

/** Groups, windows and DISTINCT of a level must each lie on one cluster. */
export function checkAligned(level: Level, what: string): void {
  const { select } = level
  if (select['limitOption'] === 'LIMIT_OPTION_WITH_TIES') throw withTies()
  if (level.grouped && !covers(level, groupExpressions(level)))
    throw new Unmergeable(
      `${what} makes groups that reach over several of them`,
      'GROUP BY the whole shard key as well, or do the grouping in the outermost query.',
    )
  checkWindows(level, what)
  const distinct = list(select['distinctClause'])
  if (distinct.length === 0) return
  const on = isDistinctOn(distinct) ? resolveOutputs(level, distinct) : (targetsOf(level) ?? []).map((target) => target.expression)
  if (!covers(level, on))
    throw new Unmergeable(`DISTINCT of ${what} reaches over several of them`, 'Add the whole shard key to its columns.')
}

export function withTies(): Unmergeable {
  return new Unmergeable('WITH TIES is not merged', 'Use FETCH FIRST … ROWS ONLY.')
}

export function notByKey(select: Fields): Unmergeable {
  const operation = (text(select['op']) ?? '').replace('SETOP_', '')
  return new Unmergeable(
    `${operation} compares rows that may lie on several of them`,
    operation === 'UNION' ? 'Add the whole shard key to its columns, or use UNION ALL.' : 'Add the whole shard key to its columns.',
  )
}

/** DISTINCT is a list of one empty node. */
export function isDistinctOn(distinct: readonly unknown[]): boolean {
  const [first] = distinct
  return typeof first === 'object' && first !== null && Object.keys(first).length > 0
}

export function checkWindows(level: Level, what: string): void {
  const { select } = level
  const named = new Map(list(select['windowClause']).map((item) => [text(as('WindowDef', item)?.['name']), as('WindowDef', item)]))
  const partition = (window: Fields | null | undefined): readonly unknown[] => {
    if (window === null || window === undefined) return []
    const base = text(window['refname']) ?? text(window['name'])
    const own = list(window['partitionClause'])
    return own.length > 0 || base === null ? own : partition(named.get(base) === window ? null : named.get(base))
  }
  const calls = callsIn([select['targetList'], select['sortClause']], (call) => call['over'] !== undefined)
  for (const call of calls) {
    if (covers(level, partition(fields(call['over'])))) continue
    throw new Unmergeable(`a window of ${what} reaches over several of them`, 'PARTITION BY the whole shard key.')
  }
}

/** All that GROUP BY names, positions and aliases followed. */
export function groupExpressions(level: Level): readonly unknown[] {
  const clause = list(level.select['groupClause'])
  if (clause.some((item) => as('GroupingSet', item) !== null))
    throw new Unmergeable('GROUPING SETS, ROLLUP and CUBE are not merged', 'Send one statement for each set.')
  return resolveOutputs(level, clause)
}

/** GROUP BY and DISTINCT ON: positions, then columns of FROM, then names of the output. */
export function resolveOutputs(level: Level, items: readonly unknown[]): readonly unknown[] {
  const raw = list(level.select['targetList']).map((item) => as('ResTarget', item) ?? {})
  return items.map((item) => {
    const position = fields(as('A_Const', item)?.['ival'])
    if (position !== null) {
      const at = typeof position['ival'] === 'number' ? position['ival'] : 0
      const target = targetsOf(level)?.[at - 1]
      if (target === undefined) throw new Unmergeable('a position of GROUP BY or DISTINCT ON cannot be followed', 'Write the expression.')
      return target.expression
    }
    const path = columnPath(item)
    const [name] = path ?? []
    if (path?.length !== 1 || name === undefined || isOwnColumn(level, name)) return item
    const named = raw.filter((target) => targetName(target) === name)
    return named.length > 0 ? named[0]?.['val'] : item
  })
}

/** Whether a bare name is a column of this level's FROM for sure, or for sure not. */
export function isOwnColumn(level: Level, name: string): boolean {
  const { entries, merged } = level.scope
  if (merged.has(name) || entries.some((entry) => entry.columns?.includes(name) === true)) return true
  const unknown = entries.find((entry) => entry.columns === null)
  if (unknown === undefined) return false
  throw new Unmergeable(`whether ${name} is a column of ${unknown.what} is not known`, 'Give it column names, or write an expression.')
}

export function covers(level: Level, expressions: readonly unknown[]): boolean {
  return coversKey(expressions, level.keyed, level.known, level.scope)
}

/** Columns of the output that hold a whole shard key. */
function keysOf(level: Level, targets: readonly { readonly expression: unknown }[]): readonly (readonly number[])[] {
  const refs = targets.map((target) => (columnPath(target.expression) === null ? null : resolve(target.expression, level.scope)))
  return level.keyed.flatMap((entry) =>
    entry.keys.flatMap((columns) => {
      const places = columns.map((column) => refs.findIndex((ref) => ref !== null && level.known.same(ref, { entry, column })))
      return places.includes(-1) ? [] : [places]
    }),
  )
}

/** EXISTS asks for any row at all: LIMIT 1 changes nothing, LIMIT 0 would. */
export function withoutLimit(select: Fields): Fields {
  const count = fields(as('A_Const', select['limitCount'])?.['ival'])
  const some = typeof count?.['ival'] === 'number' && count['ival'] > 0
  if (!some || select['limitOffset'] !== undefined || select['limitOption'] !== 'LIMIT_OPTION_COUNT') return select
  const { limitCount: _count, ...rest } = select
  return { ...rest, limitOption: 'LIMIT_OPTION_DEFAULT' }
}
