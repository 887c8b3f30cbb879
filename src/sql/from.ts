// sql/from.ts — FROM items joined: which entries a join's ON is true for, which columns USING and NATURAL make equal, and
// whose column a merged one is.
import type { OpenEntry } from './collector.js'
import type { Places } from './scope.js'
import type { KeyFlow } from './statement.js'
import type { Fields } from './tree.js'

/** What one FROM item, or several, bring in. */
export interface From {
  /** Those that a condition around may speak of. */
  readonly entries: readonly OpenEntry[]
  readonly places: Places
}

export const noPlaces: Places = { named: [], merged: new Map() }
export const nothing: From = { entries: [], places: noPlaces }

/** `merged`: what only their join makes. */
export function together(left: From, right: From, merged: Places['merged'] = noPlaces.merged): From {
  const { named, merged: before } = joinedPlaces(left.places, right.places)
  return { entries: [...left.entries, ...right.entries], places: { named, merged: new Map([...before, ...merged]) } }
}

export function joinedPlaces(left: Places, right: Places): Places {
  if (left.named.length === 0) return right
  if (right.named.length === 0) return left
  const merged = new Map([...left.merged, ...right.merged])
  // Merged on both sides: without a qualifier it is neither's.
  for (const column of left.merged.keys()) if (right.merged.has(column)) merged.set(column, null)
  return { named: [...left.named, ...right.named], merged }
}

/** The entries that a join's ON must be true for: both sides of an inner join, the nullable side of an outer one. */
export function bound(join: Fields, left: readonly OpenEntry[], right: readonly OpenEntry[]): readonly OpenEntry[] {
  switch (join['jointype']) {
    case 'JOIN_INNER':
    case undefined:
      return [...left, ...right]
    case 'JOIN_LEFT':
      return right
    case 'JOIN_RIGHT':
      return left
    default:
      return []
  }
}

/** What USING or NATURAL say: each column of the sides that `bound` names is equal to the other side's. */
export function joinFlows(join: Fields, columns: readonly string[], left: From, right: From): readonly KeyFlow[] {
  const natural = join['isNatural'] === true
  const targets = new Set(bound(join, left.entries, right.entries))
  return (natural ? [null] : columns).flatMap((column) => [...flows(column, targets, left, right), ...flows(column, targets, right, left)])
}

function flows(column: string | null, targets: ReadonlySet<OpenEntry>, side: From, other: From): readonly KeyFlow[] {
  const places = columnPlaces(column, other)
  if (places === null) return []
  return side.entries
    .filter((entry) => targets.has(entry) && !entry.renamed)
    .map((entry) => ({ to: entry.place, column, from: { kind: 'column', places, column, sure: false } }))
}

function columnPlaces(column: string | null, { places: { named, merged } }: From): readonly number[] | null {
  const joined = column === null ? undefined : merged.get(column)
  return joined === undefined ? named.map(({ place }) => place) : joined
}

/** Whose the merged columns of USING are: of an outer join the side's that keeps its rows, of a full one nobody's. */
export function mergedBy(join: Fields, columns: readonly string[], left: From, right: From): Places['merged'] {
  const kept = join['jointype'] === 'JOIN_FULL' ? null : join['jointype'] === 'JOIN_RIGHT' ? right : left
  return new Map(columns.map((column) => [column, kept === null ? null : columnPlaces(column, kept)]))
}
