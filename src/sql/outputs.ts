// sql/outputs.ts — what a query puts out, as far as key bindings go: columns of its FROM items by their names, and constants.
// All else is computed, and says nothing of a key.
import type { LiteralIndex } from './literal-index.js'
import { operand } from './operands.js'
import { type Scope, sourceOf } from './scope.js'
import type { Arm, Operand, Output } from './statement.js'
import { type Fields, as, fields, list, strings, text, unwrap } from './tree.js'

/** One query, or one arm of a set operation. */
export interface PutOut {
  readonly columns: readonly { readonly name: string; readonly output: Output }[]
  /** Places all of whose columns come along (`*`, `t.*`), among them one that there is not where that cannot be told; null: no star. */
  readonly star: readonly number[] | null
}

/** A query once it is walked. */
export interface Exposed {
  readonly arms: readonly PutOut[]
  readonly transparent: boolean
}

/** No place. */
const nowhere = -1
const other: Output = Object.freeze({ kind: 'other' })

/** A SELECT or VALUES that is no set operation. `scope`: with its own FROM items, whose places are `own`. */
export function putOut(select: Fields, scope: Scope | null, own: readonly number[], literals: LiteralIndex): PutOut {
  const rows = list(select['valuesLists']).map((row) => list(as('List', row)?.['items']))
  const [first] = rows
  if (first !== undefined)
    return { columns: first.map((_, i) => ({ name: `column${String(i + 1)}`, output: constants(rows, i, literals) })), star: null }
  const columns: { name: string; output: Output }[] = []
  let star: number[] | null = null
  for (const item of list(select['targetList'])) {
    const target = as('ResTarget', item)
    const starred = starOf(target?.['val'], scope, own)
    if (starred !== null) {
      star = [...(star ?? []), ...starred]
      if (starred === own) columns.push(...mergedColumns(scope))
    } else columns.push({ name: nameOf(target), output: outputOf(target?.['val'], scope, literals) })
  }
  return { columns, star }
}

/** One value of a target list, or of INSERT in MERGE. */
export function outputOf(value: unknown, scope: Scope | null, literals: LiteralIndex): Output {
  const reference = as('ColumnRef', value)
  if (reference !== null) {
    const path = strings(reference['fields'])
    return (path === null ? null : sourceOf(path, scope)) ?? other
  }
  const found = operand(value, literals)
  return found.kind === 'other' || found.kind === 'default' ? other : { kind: 'values', values: Object.freeze([found]) }
}

/** `*` gives a column of JOIN … USING once. */
function mergedColumns(scope: Scope | null): PutOut['columns'] {
  return [...(scope?.places?.merged ?? [])].map(([name, places]) => {
    return { name, output: places === null ? other : { kind: 'column', places, column: name, sure: false } }
  })
}

function constants(rows: readonly (readonly unknown[])[], column: number, literals: LiteralIndex): Output {
  const values: Operand[] = rows.map((row) => operand(row[column], literals))
  const unknown = values.some(({ kind }) => kind === 'other' || kind === 'default')
  return unknown ? other : { kind: 'values', values: Object.freeze(values) }
}

function starOf(value: unknown, scope: Scope | null, own: readonly number[]): readonly number[] | null {
  const path = list(as('ColumnRef', value)?.['fields'])
  if (unwrap(path.at(-1))?.tag !== 'A_Star') return null
  if (path.length === 1) return own
  const qualifier = strings(path.slice(0, -1))
  const source = qualifier === null ? null : sourceOf([...qualifier, '*'], scope)
  return source?.places ?? [nowhere]
}

/** As far as anybody could name it: of what is computed only its alias. */
function nameOf(target: Fields | null): string {
  const alias = text(target?.['name'])
  if (alias !== null) return alias
  const path = list(as('ColumnRef', target?.['val'])?.['fields'])
  return strings(path)?.at(-1) ?? ''
}

/** Whether a condition on its rows may be put inside of it without changing those that fulfil it. */
export function isTransparent(select: Fields): boolean {
  const plain = ['limitCount', 'limitOffset', 'intoClause'].every((name) => select[name] === undefined)
  const distinctOn = list(select['distinctClause']).some((node) => unwrap(node) !== null)
  return plain && !distinctOn && list(select['lockingClause']).length === 0 && !hasWindow(select['targetList'])
}

function hasWindow(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasWindow)
  const found = fields(value)
  return found !== null && (found['over'] !== undefined || Object.values(found).some(hasWindow))
}

/** By the names that whoever reads it uses: `aliases` first, else those of the first arm. [] where that cannot be told. */
export function armsOf(exposed: Exposed | undefined, aliases: readonly string[]): readonly Arm[] {
  const [first, second] = exposed?.arms ?? []
  if (exposed === undefined || first === undefined) return []
  const starred = exposed.arms.some(({ star }) => star !== null)
  if (starred && (second !== undefined || aliases.length > 0)) return []
  if (exposed.arms.some(({ columns }) => columns.length !== first.columns.length)) return []
  const names = first.columns.map(({ name }, i) => aliases[i] ?? name)
  return exposed.arms.map(({ columns, star }) => Object.freeze({ columns: named(names, columns), star: Object.freeze(star ?? []) }))
}

/** '' names the only column of a query that has one. */
function named(names: readonly string[], columns: PutOut['columns']): ReadonlyMap<string, Output> {
  const map = new Map<string, Output>()
  columns.forEach(({ output }, i) => {
    const name = names[i] ?? ''
    if (name !== '') map.set(name, map.has(name) ? other : output)
  })
  const [only, second] = columns
  if (only !== undefined && second === undefined) map.set('', only.output)
  return map
}
