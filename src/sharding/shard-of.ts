// sharding/shard-of.ts — the one place that turns a key into a shard: for SQL, parameters, INSERT rows, hints, tools and
// tests. key → logical shard (a number below `shards`, fixed for life) → cluster (`map`, which may change). A directory is
// a table that others write: what is known of it is given, and what is not known yet is named, never guessed.
import type { Directories } from './directories.js'
import { combined, hashBytes, hashInteger, partitionRemainder, rowHash, type Hash64 } from './hash.js'
import { keyText, problem, type Key, type KeyProblem } from './key.js'
import { placeByModule } from './module.js'
import { placeInRanges } from './range.js'
import type { Sharded } from './sharded.js'

/** Where a key lives. */
export interface Placement {
  readonly kind: 'placement'
  /** Logical shard, 0 ≤ shard < sharded.shards. */
  readonly shard: number
  readonly cluster: string
}

/** The directory must be asked for this key first: its columns, as the key types' output functions write them. */
export interface Lookup {
  readonly kind: 'lookup'
  readonly key: readonly string[]
}

/**
 * The shard of a key: one Key for each column of `sharded.keyTypes`. A key that a list, range or directory does not name
 * has no shard: there is no default and no guess. `directories`: what is known of them; null: nothing.
 */
export function shardOf(sharded: Sharded, keys: readonly Key[], directories: Directories | null = null): Placement | KeyProblem | Lookup {
  const shard = logicalShard(sharded, keys, directories)
  if (typeof shard !== 'number') return shard
  const cluster = sharded.map[shard]
  if (cluster === undefined) return problem(`falls on shard ${String(shard)}, which no cluster of ${sharded.name} holds`)
  return { kind: 'placement', shard, cluster }
}

function logicalShard(sharded: Sharded, keys: readonly Key[], directories: Directories | null): number | KeyProblem | Lookup {
  const [first] = keys
  if (first === undefined || keys.length !== sharded.keyTypes.length)
    return problem(`has ${String(keys.length)} columns, and that of ${sharded.name} has ${String(sharded.keyTypes.length)}`)
  switch (sharded.function.by) {
    case 'hash':
      return partitionRemainder(keys.length === 1 ? rowHash(hashOf(first)) : hashOfAll(keys), sharded.shards)
    case 'list':
      return sharded.function.values.get(keyText(first)) ?? problem(`is not in the list of ${sharded.name}`)
    case 'range':
      return placeInRanges(sharded.function.ranges, first) ?? problem(`is in no range of ${sharded.name}`)
    case 'directory':
      return placeByDirectory(sharded, keys.map(keyText), directories)
    case 'module':
      return placeByModule(sharded, sharded.function.module, keys)
  }
}

function hashOf(key: Key): Hash64 {
  return key.kind === 'integer' ? hashInteger(key.high, key.low) : hashBytes(key.bytes)
}

function hashOfAll(keys: readonly Key[]): Hash64 {
  let row: Hash64 | null = null
  for (const key of keys) row = row === null ? rowHash(hashOf(key)) : combined(row, hashOf(key))
  return row ?? { high: 0, low: 0 }
}

function placeByDirectory(sharded: Sharded, key: readonly string[], directories: Directories | null): number | KeyProblem | Lookup {
  const shard = directories?.find(sharded, key)
  if (shard === undefined) return { kind: 'lookup', key }
  if (shard === null) return problem(`is not in the directory of ${sharded.name}`)
  return shard
}
