// sql/bindings.ts — key bindings (DESIGN §4): what a condition says of the columns of the entries it must be true for, and
// which columns it makes equal (KeyFlow). Only conjuncts count; only `=`, IN and = ANY of pg_catalog; never through COLLATE,
// a cast of the column, NOT or OR.
import type { OpenEntry } from './collector.js'
import type { LiteralIndex } from './literal-index.js'
import { arrayOperands, operand } from './operands.js'
import { type Scope, sourceOf } from './scope.js'
import type { ColumnSource, KeyBinding, KeyFlow, Operand } from './statement.js'
import { type Fields, as, list, strings } from './tree.js'

/** Where a condition stands. */
export interface Condition {
  /** It must be true for every row of each of them. All are of one query level. */
  readonly entries: readonly OpenEntry[]
  /** What its columns may be of. */
  readonly scope: Scope | null
  readonly literals: LiteralIndex
  readonly flow: (flow: KeyFlow) => void
  /** The place of a subquery that is an operand. */
  readonly derive: (select: Fields) => number
}

/** Adds to the entries what `condition` binds, and tells what it makes equal. */
export function bind(condition: unknown, at: Condition): void {
  if (at.entries.length === 0) return
  const bool = as('BoolExpr', condition)
  if (bool !== null) {
    if (bool['boolop'] === 'AND_EXPR') for (const arg of list(bool['args'])) bind(arg, at)
    return
  }
  const expression = as('A_Expr', condition)
  if (expression !== null && isEquality(expression['name'])) bindExpression(expression, at)
  const link = as('SubLink', condition)
  if (link !== null) bindSublink(link, at)
}

/** `=` as it is written, or OPERATOR(pg_catalog.=). */
function isEquality(written: unknown): boolean {
  const name = strings(written)
  return name?.at(-1) === '=' && (name.length === 1 || (name.length === 2 && name[0] === 'pg_catalog'))
}

function bindExpression(expression: Fields, at: Condition): void {
  const { lexpr: left, rexpr: right } = expression
  switch (expression['kind']) {
    case 'AEXPR_OP':
      return bindEqual(left, right, at)
    case 'AEXPR_IN':
      return bindIn(left, list(as('List', right)?.['items'] ?? right), at)
    case 'AEXPR_OP_ANY': {
      const values = arrayOperands(right, at.literals)
      if (values !== null) bindColumn(left, values, at.entries)
    }
  }
}

function bindEqual(left: unknown, right: unknown, at: Condition): void {
  const leftRow = rowOf(left)
  const rightRow = rowOf(right)
  if (leftRow !== null && rightRow !== null) {
    if (leftRow.length === rightRow.length) leftRow.forEach((item, i) => bindEqual(item, rightRow[i], at))
    return
  }
  bindSide(left, right, at)
  bindSide(right, left, at)
}

/** `side` = `other`, if the first is a column. */
function bindSide(side: unknown, other: unknown, at: Condition): void {
  if (as('ColumnRef', side) === null) return
  const source = valueSource(other, at)
  if (source === null) bindColumn(side, [operand(other, at.literals)], at.entries)
  else flowTo(side, source, at)
}

/** Another column, or the one that a subquery gives. */
function valueSource(node: unknown, at: Condition): ColumnSource | null {
  const reference = as('ColumnRef', node)
  if (reference !== null) {
    const path = strings(reference['fields'])
    return path === null ? null : sourceOf(path, at.scope)
  }
  const link = as('SubLink', node)
  const select = link?.['subLinkType'] === 'EXPR_SUBLINK' ? as('SelectStmt', link['subselect']) : null
  return select === null ? null : onlyColumn(at.derive(select))
}

function onlyColumn(place: number): ColumnSource {
  return { kind: 'column', places: [place], column: '', sure: true }
}

/** `column IN (SELECT …)`: both sides have the same values, and only those count. */
function bindSublink(link: Fields, at: Condition): void {
  const select = link['subLinkType'] === 'ANY_SUBLINK' ? as('SelectStmt', link['subselect']) : null
  if (select === null || (link['operName'] !== undefined && !isEquality(link['operName']))) return
  const path = strings(as('ColumnRef', link['testexpr'])?.['fields'])
  if (path === null || path.length === 0) return
  const place = at.derive(select)
  flowTo(link['testexpr'], onlyColumn(place), at)
  const from = sourceOf(path, at.scope)
  if (from !== null) at.flow({ to: place, column: '', from })
}

function flowTo(node: unknown, from: ColumnSource, at: Condition): void {
  for (const { entry, column } of columnsOf(node, at.entries)) at.flow({ to: entry.place, column, from })
}

/** `(a, b) IN ((1, 2), (3, 4))` says of each column that it is one of those in its place. */
function bindIn(left: unknown, items: readonly unknown[], at: Condition): void {
  const columns = rowOf(left)
  const read = (item: unknown): Operand => operand(item, at.literals)
  if (columns === null) return bindColumn(left, items.map(read), at.entries)
  const rows = items.map(rowOf)
  if (rows.some((row) => row?.length !== columns.length)) return
  columns.forEach((column, i) => {
    bindColumn(
      column,
      rows.map((row) => read(row?.[i])),
      at.entries,
    )
  })
}

/** null: no row, or one in which a star stands for nobody knows how many. */
function rowOf(node: unknown): readonly unknown[] | null {
  const row = as('RowExpr', node)
  const items = row === null ? null : list(row['args'])
  return items?.some(isStar) === true ? null : items
}

function isStar(item: unknown): boolean {
  const reference = as('ColumnRef', item)
  return reference !== null && strings(reference['fields']) === null
}

function bindColumn(node: unknown, values: readonly Operand[], entries: readonly OpenEntry[]): void {
  if (values.length === 0 || values.some((value) => value.kind === 'other')) return
  const list = Object.freeze([...values])
  let binding: KeyBinding | null = null
  for (const { entry, column } of columnsOf(node, entries)) entry.bindings.push((binding ??= Object.freeze({ column, values: list })))
}

/** The entries whose column `node` is, or may be. */
function columnsOf(node: unknown, entries: readonly OpenEntry[]): readonly { readonly entry: OpenEntry; readonly column: string }[] {
  const reference = as('ColumnRef', node)
  const path = reference === null ? null : strings(reference['fields'])
  const column = path?.at(-1)
  if (path === null || column === undefined) return []
  return entries.filter((entry) => !entry.renamed && named(entry, path.slice(0, -1))).map((entry) => ({ entry, column }))
}

/** Whether a column reference with this qualifier is one of the entry's. `public.t.c` counts only where t is written so, too. */
function named(entry: OpenEntry, qualifier: readonly string[]): boolean {
  const [first, second] = qualifier
  switch (qualifier.length) {
    case 0:
      return true
    case 1:
      return first === (entry.alias ?? entry.relation.name)
    case 2:
      return entry.alias === null && first === entry.relation.schema && second === entry.relation.name
    default:
      return false
  }
}
