// routing/scatter/columns.ts — the columns of a part: those of the client first, then the hidden ones that merging needs. Each
// expression has one: that of the select list where it stands there already.
import type { CollationOf, KeyPlace, SortKey } from '../../merge/contract.js'
import { treeKey } from '../../sql/deparse.js'
import { as, fields, integer, list, strings, text, type Fields } from '../../sql/tree.js'
import type { Level } from './level.js'
import { isOwnColumn } from './query.js'
import { columnPath, isText, readsInText, resolve } from './scope.js'
import { collationOf, isStar, targetName, targetsOf } from './targets.js'
import { Unmergeable } from './unmergeable.js'

/** A column before all hidden ones are known. */
export type Place =
  | { readonly at: 'target'; readonly index: number }
  | { readonly at: 'hidden'; readonly index: number }
  | { readonly at: 'star'; readonly name: string }
  | Absolute
/** Counted in the result, stars taken apart. */
interface Absolute {
  readonly at: 'result'
  readonly index: number
}

export class Columns {
  readonly level: Level
  readonly #targets: readonly Fields[]
  readonly #keys: readonly string[]
  readonly #hidden: unknown[] = []
  readonly #hiddenKeys: string[] = []
  readonly #firstStar: number
  readonly #lastStar: number

  constructor(level: Level) {
    this.level = level
    this.#targets = list(level.select['targetList']).map((item) => as('ResTarget', item) ?? {})
    this.#keys = this.#targets.map((target) => this.keyOf(target['val']))
    const stars = this.#targets.map((target) => isStar(target['val']))
    this.#firstStar = stars.includes(true) ? stars.indexOf(true) : this.#targets.length
    this.#lastStar = stars.lastIndexOf(true)
  }

  get hidden(): readonly unknown[] {
    return this.#hidden
  }

  /** The same for two ways to write the same column. */
  keyOf(expression: unknown): string {
    return treeKey(this.#canonical(expression))
  }

  #canonical(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return value.map((item) => this.#canonical(item))
    // In a subquery the names may mean something else.
    if (as('SubLink', value) !== null) return value
    const ref = columnPath(value) === null ? null : resolve(value, this.level.scope)
    if (ref !== null) return { resolved: [ref.entry.id, ref.column] }
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, this.#canonical(inner)]))
  }

  /** The column of an expression; `mayAdd` false: only one that is there. */
  place(expression: unknown, mayAdd: boolean): Place | null {
    const key = this.keyOf(expression)
    const target = this.#keys.findIndex((one, i) => one === key && this.#reachable(i))
    if (target !== -1) return { at: 'target', index: target }
    const known = this.#hiddenKeys.indexOf(key)
    if (known !== -1) return { at: 'hidden', index: known }
    const name = this.#starred(expression)
    if (name !== null) return { at: 'star', name }
    return mayAdd ? this.add(expression) : null
  }

  add(expression: unknown): Place {
    this.#hiddenKeys.push(this.keyOf(expression))
    this.#hidden.push(expression)
    return { at: 'hidden', index: this.#hidden.length - 1 }
  }

  /**
   * The name by which the parts describe a column that a star stands for; null: it is none, or two have that name. PostgreSQL
   * makes every row of a table anew for one column more, which takes longer than to sort them.
   */
  #starred(expression: unknown): string | null {
    const ref = columnPath(expression) === null ? null : resolve(expression, this.level.scope)
    if (ref === null || !this.level.scope.entries.includes(ref.entry) || !readsInText(ref)) return null
    const targets = this.#firstStar === this.#targets.length ? null : targetsOf(this.level)
    if (targets === null || targets.some(({ name }) => name === null)) return null
    const [only, another] = targets.filter(({ name }) => name === ref.column)
    if (only === undefined || another !== undefined) return null
    const same = resolve(only.expression, this.level.scope)
    return same?.entry === ref.entry && same.column === ref.column ? ref.column : null
  }

  /** With stars on both sides nobody knows the place of a column. */
  #reachable(target: number): boolean {
    return target < this.#firstStar || target > this.#lastStar
  }

  /** What ORDER BY or DISTINCT ON means: a position, a name of the output, then an expression. */
  output(item: unknown, mayAdd: boolean): { readonly place: Place; readonly expression: unknown } {
    const position = fields(as('A_Const', item)?.['ival'])
    if (position !== null) {
      const index = integer(position['ival']) - 1
      if (index < 0) throw new Unmergeable('a position of ORDER BY is none of the select list', 'Count from 1.')
      const expression = index < this.#firstStar ? this.#targets[index]?.['val'] : undefined
      return { place: { at: 'result', index }, expression }
    }
    const named = this.#named(item)
    const expression = named ?? item
    const place = this.place(expression, mayAdd)
    if (place === null)
      throw new Unmergeable('an expression of ORDER BY is not in the select list of DISTINCT', 'Add it to the select list, written alike.')
    return { place, expression }
  }

  /** The expression of the output column that a bare name means. */
  #named(item: unknown): unknown {
    const path = columnPath(item)
    const [name] = path ?? []
    if (path?.length !== 1 || name === undefined) return null
    const names = this.#targets.map((target) => (isStar(target['val']) ? undefined : targetName(target)))
    const at = names.indexOf(name)
    if (at !== -1) return this.#targets[at]?.['val']
    if (names.includes(null) && !isOwnColumn(this.level, name))
      throw new Unmergeable(`what ${name} means in ORDER BY cannot be told`, 'Give the column a name with AS.')
    // Behind a star the name is that of a column of FROM all the same; but two of FROM may share it.
    if (this.#lastStar !== -1 && resolve(item, this.level.scope) === null)
      throw new Unmergeable(`what ${name} means in ORDER BY cannot be told`, 'Write it with the alias of its table.')
    return null
  }

  index(place: Place): KeyPlace {
    if (place.at === 'result') return place.index
    if (place.at === 'star') return { named: place.name }
    if (place.at === 'hidden') return place.index - this.#hidden.length
    if (place.index < this.#firstStar) return place.index
    return place.index - this.#targets.length - this.#hidden.length
  }

  /** The select list with the hidden columns. */
  targetList(): readonly unknown[] {
    return [...list(this.level.select['targetList']), ...this.#hidden.map(hiddenTarget)]
  }
}

/** Its name is none that ORDER BY could mean. */
export function hiddenTarget(val: unknown, at: number): unknown {
  return { ResTarget: { name: `pointsman hidden ${String(at + 1)}`, val } }
}

/** A sort key before its column has a place. */
export interface Sort {
  readonly place: Place
  readonly collation: CollationOf
  readonly descending: boolean
  readonly nullsFirst: boolean
}

export function sortsOf(columns: Columns, clause: readonly unknown[], mayAdd: boolean): readonly Sort[] {
  return clause.map((item) => {
    const sort = as('SortBy', item) ?? {}
    const { place, expression } = columns.output(sort['node'], mayAdd)
    if (expression !== undefined) checkSortable(columns.level, expression)
    return {
      place,
      collation: expression === undefined ? columns.level.world.collation : collationOf(expression, columns.level),
      ...direction(sort),
    }
  })
}

/** Text sorts by its bytes, or not at all. Where an expression's type is not known here, the merger asks once it is. */
export function checkSortable(level: Level, expression: unknown): void {
  const collation = collationOf(expression, level)
  if (collation === 'bytes') return
  const ref = columnPath(expression) === null ? null : resolve(expression, level.scope)
  if (as('CollateClause', expression) === null && !isText(ref)) return
  throw new Unmergeable(
    `${ref === null ? 'an expression' : ref.column} sorts by a collation that cannot be followed`,
    'Write it with COLLATE "C", which sorts by bytes.',
  )
}

/** Text whose equality is not that of its bytes is no key. */
export function checkComparable(level: Level, expression: unknown): void {
  if (collationOf(expression, level) !== 'unknown') return
  const ref = columnPath(expression) === null ? null : resolve(expression, level.scope)
  if (as('CollateClause', expression) === null && !isText(ref)) return
  throw new Unmergeable(
    `${ref === null ? 'an expression' : ref.column} may compare equal under other bytes`,
    'Write it with COLLATE "C", which compares bytes.',
  )
}

/** How one item of ORDER BY sorts. */
export function direction(sort: Fields): { readonly descending: boolean; readonly nullsFirst: boolean } {
  const said = text(sort['sortby_dir']) ?? 'SORTBY_DEFAULT'
  const using = strings(sort['useOp'])
  if (said === 'SORTBY_USING' && using?.join('.') !== '<' && using?.join('.') !== '>')
    throw new Unmergeable('ORDER BY … USING sorts by an operator of its own', 'Use ASC or DESC.')
  const descending = said === 'SORTBY_DESC' || using?.at(-1) === '>'
  const nulls = text(sort['sortby_nulls']) ?? 'SORTBY_NULLS_DEFAULT'
  return { descending, nullsFirst: nulls === 'SORTBY_NULLS_DEFAULT' ? descending : nulls === 'SORTBY_NULLS_FIRST' }
}

export function sortKey(columns: Columns, { place, collation, descending, nullsFirst }: Sort): SortKey {
  return { column: columns.index(place), collation, descending, nullsFirst }
}
