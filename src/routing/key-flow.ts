// routing/key-flow.ts — what a shard key column of one FROM item is equal to, however far away that is said: through `=`
// between columns, USING, IN (SELECT …), out of subqueries and CTEs and into them (sql/statement.ts: KeyFlow, DerivedPlace).
// Every column on the way must be one whose `=` compares keys as the key's own type does, and it must be sure whose it is: the
// catalog says which table has a column, and what no catalog tells is not followed.
import { candidates } from '../catalog/judge.js'
import type { RelationInfo } from '../catalog/catalog.js'
import { comparable } from '../sharding/key-binary.js'
import type { KeyType, Sharded } from '../sharding/sharded.js'
import type { Arm, ColumnSource, DerivedPlace, KeyBinding, Operand, Output, RangeEntry, Statement } from '../sql/statement.js'
import type { Context } from './context.js'
import type { Touched } from './homes.js'
import { castType } from './key-values.js'

type Lists = readonly (readonly Operand[])[]
/** Whether a place has a column. */
type Has = 'yes' | 'no' | 'unknown'

/** `touched`: all relations of the statement. */
export class KeyFlows {
  readonly #context: Context
  readonly #statement: Statement
  readonly #sharded: Sharded
  readonly #entries: ReadonlyMap<number, { readonly entry: RangeEntry; readonly touched: Touched | null }>
  readonly #derived: ReadonlyMap<number, DerivedPlace>
  #volatile: boolean | null = null

  constructor(context: Context, statement: Statement, sharded: Sharded, touched: readonly Touched[]) {
    this.#context = context
    this.#statement = statement
    this.#sharded = sharded
    const find = (entry: RangeEntry): Touched | null =>
      touched.find(({ name }) => name.schema === entry.relation.schema && name.name === entry.relation.name) ?? null
    this.#entries = new Map(statement.entries.map((entry) => [entry.place, { entry, touched: find(entry) }]))
    this.#derived = new Map(statement.derived.map((one) => [one.place, one]))
  }

  /** Lists of operands, each of which says all values that the column has in rows that count; its own bindings first. */
  of(place: number, column: string, keyType: KeyType): Lists {
    const own = this.#entries.get(place)?.touched ?? null
    if (own !== null && this.#comparesOtherwise(own, column)) return []
    const lists: (readonly Operand[])[] = []
    this.#collect(place, column, keyType, lists, new Set())
    return lists
  }

  /** As of(), for a value that is put somewhere. */
  ofOutput(output: Output, keyType: KeyType): Lists {
    if (output.kind === 'values') return [output.values]
    if (output.kind === 'other') return []
    const place = this.#resolve(output, output.column)
    return place === null || !this.#fits(place, output.column, keyType, new Set()) ? [] : this.of(place, output.column, keyType)
  }

  #collect(place: number, column: string, keyType: KeyType, lists: (readonly Operand[])[], seen: Set<string>): void {
    const node = `${String(place)} ${column}`
    if (seen.has(node)) return
    seen.add(node)
    for (const binding of this.#bindings(place)) if (binding.column === column) lists.push(binding.values)
    const follow = (source: ColumnSource): void => {
      const from = this.#resolve(source, source.column)
      if (from !== null && this.#fits(from, source.column, keyType, new Set())) this.#collect(from, source.column, keyType, lists, seen)
    }
    for (const flow of this.#statement.flows) {
      if (flow.to === place && (flow.column === null || flow.column === column))
        follow({ ...flow.from, column: flow.from.column ?? column })
    }
    const outputs = this.#outputs(place, column)
    const values = outputs.flatMap((output) => (output.kind === 'values' ? [output.values] : []))
    if (values.length > 0 && values.length === outputs.length) lists.push(values.length === 1 ? (values[0] ?? []) : values.flat())
    const [only] = outputs
    if (outputs.length === 1 && only?.kind === 'column') follow(only)
    for (const outside of this.#outside(place, column)) follow(outside)
  }

  #bindings(place: number): readonly KeyBinding[] {
    return this.#entries.get(place)?.entry.bindings ?? this.#derived.get(place)?.bindings ?? []
  }

  /** The column of a subquery, in each of its arms. */
  #outputs(place: number, column: string): readonly Output[] {
    return this.#derived.get(place)?.arms.map((arm) => outputOf(arm, column)) ?? []
  }

  /** The subqueries that put this column out, and in which a condition on it may as well be met inside. */
  #outside(place: number, column: string): readonly ColumnSource[] {
    return this.#statement.derived.flatMap((one) => {
      if (!one.transparent || this.#isVolatile()) return []
      return one.arms
        .flatMap((arm) => namesOf(arm, place, column))
        .map((name) => ({ kind: 'column' as const, places: [one.place], column: name, sure: true }))
    })
  }

  // ---- whose a column is

  #resolve({ places, sure }: Omit<ColumnSource, 'column'>, column: string): number | null {
    const [only] = places
    if (sure) return only ?? null
    const having = places.map((place) => this.#has(place, column, new Set()))
    if (having.includes('unknown') || having.indexOf('yes') !== having.lastIndexOf('yes')) return null
    return places[having.indexOf('yes')] ?? null
  }

  #has(place: number, column: string, seen: Set<number>): Has {
    const known = this.#entries.get(place)
    if (known !== undefined) return known.touched === null ? 'unknown' : this.#tableHas(known.touched, column)
    const arms = this.#derived.get(place)?.arms ?? []
    const [arm] = arms
    if (arm === undefined || seen.has(place)) return 'unknown'
    seen.add(place)
    if (arm.columns.has(column)) return 'yes'
    const below = arm.star.map((one) => this.#has(one, column, seen))
    if (below.includes('yes')) return 'yes'
    return below.includes('unknown') ? 'unknown' : 'no'
  }

  #tableHas(touched: Touched, column: string): Has {
    if (touched.home.kind === 'sharded' && touched.home.keyColumns.includes(column)) return 'yes'
    const tables = this.#tables(touched)
    if (tables.length === 0) return 'unknown'
    const having = tables.map((table) => table.columns.some(({ name }) => name === column))
    return having.every(Boolean) ? 'yes' : having.some(Boolean) ? 'unknown' : 'no'
  }

  /** As every cluster of the set knows it; [] where one does not. */
  #tables({ key }: Touched): readonly RelationInfo[] {
    const found = this.#sharded.clusters.flatMap((cluster) => this.#context.catalogs.get(cluster)?.relations.get(key) ?? [])
    return found.length === this.#sharded.clusters.length ? found : []
  }

  // ---- whether its values are keys

  #fits(place: number, column: string, keyType: KeyType, seen: Set<string>): boolean {
    const known = this.#entries.get(place)
    if (known !== undefined) return known.touched !== null && this.#tableFits(known.touched, column, keyType)
    const node = `${String(place)} ${column}`
    const outputs = this.#outputs(place, column)
    if (outputs.length === 0 || seen.has(node)) return false
    seen.add(node)
    return outputs.every((output) => {
      if (output.kind !== 'column') return output.kind === 'values' && output.values.every((value) => isOfKind(value, keyType))
      const from = this.#resolve(output, output.column)
      return from !== null && this.#fits(from, output.column, keyType, seen)
    })
  }

  /** Texts only as shard keys: another column's collation may call more things equal. */
  #tableFits(touched: Touched, column: string, keyType: KeyType): boolean {
    const { home } = touched
    if (home.kind === 'sharded') {
      const own = home.sharded.keyTypes[home.keyColumns.indexOf(column)]
      if (own !== undefined) return comparable(keyType, own) && !this.#comparesOtherwise(touched, column)
    }
    const tables = this.#tables(touched)
    return tables.length > 0 && tables.every((table) => hasKeys(table, column, keyType))
  }

  /** Its `=` calls more things equal than have one place, whatever the configuration says that it is. */
  #comparesOtherwise(touched: Touched, column: string): boolean {
    return this.#tables(touched).some((table) => {
      const found = table.columns.find(({ name }) => name === column)
      return found !== undefined && (found.collation === 'nondeterministic' || otherwise.test(found.type))
    })
  }

  // ---- whether something else would be seen

  #isVolatile(): boolean {
    return (this.#volatile ??= this.#sharded.clusters.some((cluster) => {
      const catalog = this.#context.catalogs.get(cluster)
      if (catalog === undefined) return this.#statement.functions.length > 0
      return this.#statement.functions.some((use) => {
        const found = candidates(catalog, this.#context.session.searchPath, use)
        return found.length === 0 || found.some(({ volatility }) => volatility === 'volatile')
      })
    }))
  }
}

/** What is not named comes with `*`, if it comes at all. */
function outputOf(arm: Arm, column: string): Output {
  const named = arm.columns.get(column)
  if (named !== undefined) return named
  return arm.star.length === 0 ? { kind: 'other' } : { kind: 'column', places: arm.star, column, sure: false }
}

/** The names under which an arm puts out the column of a place. */
function namesOf(arm: Arm, place: number, column: string): readonly string[] {
  const named = [...arm.columns].filter(
    ([, output]) => output.kind === 'column' && output.column === column && output.places.includes(place),
  )
  return [...named.map(([name]) => name), ...(arm.star.includes(place) ? [column] : [])]
}

/** Blanks at the end, upper case or the last digits do not count, or what is stored is cut off. */
const otherwise = /^(?:character\b(?! varying)|bpchar\b|"char"|name$|real$|double precision$|(?:.*\.)?citext$)/

/** The type that a set operation gives its column is then a key's still. */
function isOfKind(value: Operand, keyType: KeyType): boolean {
  if (value.kind === 'null' || !('cast' in value) || value.cast === null) return true
  return castType(keyType, value.cast, false) !== null
}

const integers: ReadonlySet<string> = new Set(['smallint', 'integer', 'bigint'])

function hasKeys(table: RelationInfo, column: string, keyType: KeyType): boolean {
  const type = table.columns.find(({ name }) => name === column)?.type
  return type !== undefined && (keyType === 'uuid' ? type === 'uuid' : integers.has(keyType) && integers.has(type))
}
