// sharding/range.ts — `by: range`: which of the ranges a key lies in. They are sorted and half-open; keys compare as
// integers, or as bytes, which for text is the order of COLLATE "C" and nothing that a locale could change.
import type { Key } from './key.js'
import type { KeyRange } from './sharded.js'

/** The logical shard; null: no range holds the key. */
export function placeInRanges(ranges: readonly KeyRange[], key: Key): number | null {
  let low = 0
  let high = ranges.length
  // The first range that begins above the key: the one before it is the only one that may hold it.
  while (low < high) {
    const middle = (low + high) >>> 1
    const from = ranges[middle]?.from ?? null
    if (from === null || compareKeys(from, key) <= 0) low = middle + 1
    else high = middle
  }
  const range = ranges[low - 1]
  if (range === undefined || (range.to !== null && compareKeys(key, range.to) >= 0)) return null
  return range.shard
}

/** Negative, zero or positive, as a sort wants it. Both are of one key type. */
export function compareKeys(a: Key, b: Key): number {
  if (a.kind === 'integer') return b.kind === 'integer' ? a.high - b.high || (a.low >>> 0) - (b.low >>> 0) : -1
  if (b.kind === 'integer') return 1
  const length = Math.min(a.bytes.length, b.bytes.length)
  for (let i = 0; i < length; i++) {
    const difference = (a.bytes[i] ?? 0) - (b.bytes[i] ?? 0)
    if (difference !== 0) return difference
  }
  return a.bytes.length - b.bytes.length
}
