// routing/scatter/scope.ts — the names of one query level: which column a name means, which columns are known to be equal, and
// where the rows of each entry of FROM are. A name that cannot be resolved for sure is null, and proves nothing.
import type { CollationOf } from '../../merge/contract.js'
import { as, list, stringNode } from '../../sql/tree.js'

/** One entry of FROM. */
export interface Entry {
  readonly id: number
  readonly alias: string
  /** null: written without schema, or with an alias. */
  readonly schema: string | null
  /** null: not known. */
  readonly columns: readonly string[] | null
  /** Its rows are spread over the clusters; else every cluster has all of them. */
  readonly spread: boolean
  /** Lists of columns, each of which holds a shard key: rows in which these are equal are on one cluster. */
  readonly keys: readonly (readonly string[])[]
  readonly collations: ReadonlyMap<string, CollationOf>
  /** Types as format_type() writes them, of columns whose type is known. */
  readonly types: ReadonlyMap<string, string>
  /** For messages. */
  readonly what: string
}

export interface Ref {
  readonly entry: Entry
  readonly column: string
}

export interface Scope {
  readonly entries: Entry[]
  /** Columns that USING or NATURAL made one of; null: of neither side (FULL JOIN). */
  readonly merged: Map<string, Ref | null>
  readonly outer: Scope | null
  /** Spread entries whose rows are all on the cluster of the row that they stand in (or are missing there: outer joins). */
  located: readonly Entry[]
  /** Those of them whose key is there in every row: no outer join leaves it NULL. Absent: none. */
  present?: readonly Entry[]
}

/** The parts of a column's name; null: anything else than a name (a star, an index). */
export function columnPath(node: unknown): readonly string[] | null {
  const reference = as('ColumnRef', node)
  if (reference === null) return null
  const path = list(reference['fields']).map(stringNode)
  return path.every((part) => part !== null) && path.length > 0 ? path : null
}

export function resolve(node: unknown, scope: Scope | null): Ref | null {
  const path = columnPath(node)
  const column = path?.at(-1)
  return path === null || column === undefined ? null : resolveName(path.slice(0, -1), column, scope)
}

export function resolveName(qualifier: readonly string[], column: string, scope: Scope | null): Ref | null {
  for (let at = scope; at !== null; at = at.outer) {
    const found = qualifier.length === 0 ? bare(column, at) : qualified(qualifier, column, at)
    if (found !== undefined) return found
  }
  return null
}

/** undefined: not of this level. */
function bare(column: string, scope: Scope): Ref | null | undefined {
  const merged = scope.merged.get(column)
  if (merged !== undefined) return merged
  const found = scope.entries.filter((entry) => entry.columns?.includes(column) === true)
  const [entry, another] = found
  if (entry !== undefined) return another === undefined ? { entry, column } : null
  return scope.entries.some((one) => one.columns === null) ? null : undefined
}

function qualified(qualifier: readonly string[], column: string, scope: Scope): Ref | null | undefined {
  const [first, second, third] = qualifier
  if (third !== undefined) return null
  const found = scope.entries.filter((entry) =>
    second === undefined ? entry.alias === first : entry.schema === first && entry.alias === second,
  )
  const [entry, another] = found
  if (entry === undefined) return undefined
  return another === undefined && (entry.columns === null || entry.columns.includes(column)) ? { entry, column } : null
}

/** Columns that are equal in every row that matters. */
export class Equalities {
  readonly #parents = new Map<string, string>()
  readonly #plain: boolean

  /** `plain` false: what `=` means is not known, so nothing is equal. */
  constructor(plain: boolean) {
    this.#plain = plain
  }

  copy(): Equalities {
    const made = this.none()
    for (const [child, parent] of this.#parents) made.#parents.set(child, parent)
    return made
  }

  none(): Equalities {
    return new Equalities(this.#plain)
  }

  /** Only of columns under whose types `=` is transitive: 2^53 + 1 equals, as a double, what 2^53 equals. */
  add(a: Ref, b: Ref): void {
    if (!this.#plain) return
    if (!(isKey(a) && isKey(b)) && (typeOf(a) === undefined || typeOf(a) !== typeOf(b))) return
    const [one, other] = [this.#root(refKey(a)), this.#root(refKey(b))]
    if (one !== other) this.#parents.set(one, other)
  }

  same(a: Ref, b: Ref): boolean {
    return this.#root(refKey(a)) === this.#root(refKey(b))
  }

  #root(key: string): string {
    let at = key
    for (let parent = this.#parents.get(at); parent !== undefined; parent = this.#parents.get(at)) at = parent
    return at
  }
}

/** Keys of one sharded set have types that compare as such. */
function isKey(ref: Ref): boolean {
  return ref.entry.keys.some((columns) => columns.includes(ref.column))
}

function typeOf(ref: Ref): string | undefined {
  return ref.entry.types.get(ref.column)
}

/** text, varchar(n), char(n) and name. */
export function isText(ref: Ref | null): boolean {
  return ref !== null && /^(text|character|character varying|name)(\(\d+\))?$/.test(typeOf(ref) ?? '')
}

/** A type whose order can be seen in text as well, which is what a client may ask for. */
export function readsInText(ref: Ref): boolean {
  return readable.test(typeOf(ref) ?? '')
}

const readable =
  /^(smallint|integer|bigint|numeric(\(.*\))?|boolean|uuid|text|character varying(\(\d+\))?|date|timestamp(\(\d\))? with(out)? time zone)$/

function refKey(ref: Ref): string {
  return `${String(ref.entry.id)} ${ref.column}`
}

/** Whether a key of the one is a key of the other, column by column. */
export function sameKey(one: Entry, other: Entry, equal: Equalities): boolean {
  return one.keys.some((columns) =>
    other.keys.some(
      (others) =>
        columns.length === others.length &&
        columns.every((column, i) => equal.same({ entry: one, column }, { entry: other, column: others[i] ?? '' })),
    ),
  )
}
