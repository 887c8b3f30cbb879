// sql/scope.ts — which names mean what at one place of a statement: common table expressions, which are no relations, and the
// FROM items of this query and of those around it, so that a column can be told whose it is.
import type { ColumnSource } from './statement.js'
import type { Fields } from './tree.js'

/** A common table expression. `select` null: its rows cannot be told (it writes, or may be recursive). */
export interface Cte {
  readonly select: Fields | null
  readonly columns: readonly string[]
  /** How often it is read. */
  references: number
}

/** A FROM item as columns name it. `name` null: it may be called anything. */
export interface NamedPlace {
  readonly schema: string | null
  readonly name: string | null
  readonly place: number
}

/** The FROM items of one query. `merged`: columns of JOIN … USING, which have no qualifier; null: no one table's. */
export interface Places {
  readonly named: readonly NamedPlace[]
  readonly merged: ReadonlyMap<string, readonly number[] | null>
}

/** Inner WITH clauses shadow outer ones by the same name: both are no relations. */
export interface Scope {
  readonly names: ReadonlyMap<string, Cte>
  readonly outer: Scope | null
  readonly places?: Places
}

const none: ReadonlyMap<string, Cte> = new Map()

export function within(places: Places, outer: Scope | null): Scope {
  return { names: none, outer, places }
}

export function cteOf(name: string, scope: Scope | null): Cte | null {
  for (let at = scope; at !== null; at = at.outer) {
    const found = at.names.get(name)
    if (found !== undefined) return found
  }
  return null
}

/** Whose column `path` (qualifiers and name) is; null: cannot be told. */
export function sourceOf(path: readonly string[], scope: Scope | null): ColumnSource | null {
  const column = path.at(-1)
  if (column === undefined || path.length > 3) return null
  for (let at = scope; at !== null; at = at.outer) {
    if (at.places === undefined || at.places.named.length === 0) continue
    if (path.length === 1) return bare(column, at.places)
    const found = qualified(path.slice(0, -1), at.places)
    if (found === 'unknown') return null
    if (found !== null) return { kind: 'column', places: [found], column, sure: true }
  }
  return null
}

/** Where no table here has it, it is of a query around, which is then not told. */
function bare(column: string, { named, merged }: Places): ColumnSource | null {
  const joined = merged.get(column)
  if (joined === null) return null
  return { kind: 'column', places: joined ?? named.map(({ place }) => place), column, sure: false }
}

/** null: none is called so. */
function qualified(qualifier: readonly string[], { named }: Places): number | 'unknown' | null {
  const [first, second] = qualifier
  // `public.t.c` means a plain `t` as well, if that is public's.
  if (named.some(({ schema, name }) => name === null || (second === name && schema === null))) return 'unknown'
  const found = named.filter(({ schema, name }) => (second === undefined ? name === first : schema === first && name === second))
  const [only] = found
  return only === undefined ? null : found.length === 1 ? only.place : 'unknown'
}
