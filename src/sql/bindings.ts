// sql/bindings.ts — key bindings (DESIGN §4): what a condition says of the columns of the entries it must be true for.
// Only conjuncts count; only `=`, IN and = ANY of pg_catalog; never through COLLATE, a cast of the column, NOT or OR.
import type { OpenEntry } from './collector.js'
import type { LiteralIndex } from './literal-index.js'
import { arrayOperands, operand } from './operands.js'
import type { Operand } from './statement.js'
import { type Fields, as, list, strings } from './tree.js'

/** Adds to `entries` what `condition` binds; it must be true for every row of each of them. All are of one query level. */
export function bind(condition: unknown, entries: readonly OpenEntry[], literals: LiteralIndex): void {
  if (entries.length === 0) return
  const bool = as('BoolExpr', condition)
  if (bool !== null) {
    if (bool['boolop'] === 'AND_EXPR') for (const arg of list(bool['args'])) bind(arg, entries, literals)
    return
  }
  const expression = as('A_Expr', condition)
  if (expression !== null && isEquality(expression)) bindExpression(expression, entries, literals)
}

/** `=` as it is written, or OPERATOR(pg_catalog.=). */
function isEquality(expression: Fields): boolean {
  const name = strings(expression['name'])
  return name?.at(-1) === '=' && (name.length === 1 || (name.length === 2 && name[0] === 'pg_catalog'))
}

function bindExpression(expression: Fields, entries: readonly OpenEntry[], literals: LiteralIndex): void {
  const { lexpr: left, rexpr: right } = expression
  switch (expression['kind']) {
    case 'AEXPR_OP':
      return bindEqual(left, right, entries, literals)
    case 'AEXPR_IN':
      return bindIn(left, list(as('List', right)?.['items'] ?? right), entries, literals)
    case 'AEXPR_OP_ANY': {
      const values = arrayOperands(right, literals)
      if (values !== null) bindColumn(left, values, entries)
    }
  }
}

function bindEqual(left: unknown, right: unknown, entries: readonly OpenEntry[], literals: LiteralIndex): void {
  const leftRow = rowOf(left)
  const rightRow = rowOf(right)
  if (leftRow !== null && rightRow !== null) {
    if (leftRow.length === rightRow.length) leftRow.forEach((item, i) => bindEqual(item, rightRow[i], entries, literals))
    return
  }
  if (as('ColumnRef', left) !== null) bindColumn(left, [operand(right, literals)], entries)
  else if (as('ColumnRef', right) !== null) bindColumn(right, [operand(left, literals)], entries)
}

/** `(a, b) IN ((1, 2), (3, 4))` says of each column that it is one of those in its place. */
function bindIn(left: unknown, items: readonly unknown[], entries: readonly OpenEntry[], literals: LiteralIndex): void {
  const columns = rowOf(left)
  if (columns === null) {
    bindColumn(
      left,
      items.map((item) => operand(item, literals)),
      entries,
    )
    return
  }
  const rows = items.map(rowOf)
  if (rows.some((row) => row?.length !== columns.length)) return
  columns.forEach((column, i) => {
    bindColumn(
      column,
      rows.map((row) => operand(row?.[i], literals)),
      entries,
    )
  })
}

function rowOf(node: unknown): readonly unknown[] | null {
  const row = as('RowExpr', node)
  return row === null ? null : list(row['args'])
}

function bindColumn(node: unknown, values: readonly Operand[], entries: readonly OpenEntry[]): void {
  const reference = as('ColumnRef', node)
  const path = reference === null ? null : strings(reference['fields'])
  const column = path?.at(-1)
  if (path === null || column === undefined || values.length === 0 || values.some((value) => value.kind === 'other')) return
  const binding = Object.freeze({ column, values: Object.freeze([...values]) })
  for (const entry of entries) if (!entry.renamed && named(entry, path.slice(0, -1))) entry.bindings.push(binding)
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
