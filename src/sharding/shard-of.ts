// sharding/shard-of.ts — the one place that turns a key into a shard: for SQL, parameters, INSERT rows, hints, tools and
// tests. key → logical shard (a number below `shards`, fixed for life) → cluster (`map`, which may change).
import type { Sharded } from './sharded.js'
import { hashBytes, hashInteger, partitionRemainder } from './hash.js'
import { keyText, problem, type Key, type KeyProblem } from './key.js'

/** Where a key lives. */
export interface Placement {
  readonly kind: 'placement'
  /** Logical shard, 0 ≤ shard < sharded.shards. */
  readonly shard: number
  readonly cluster: string
}

/** The shard of `key`. A value that a `list` does not name has no shard: there is no default and no guess. */
export function shardOf(sharded: Sharded, key: Key): Placement | KeyProblem {
  const shard = logicalShard(sharded, key)
  if (shard === undefined) return problem(`is not in the list of ${sharded.name}`)
  const cluster = sharded.map[shard]
  if (cluster === undefined) return problem(`falls on shard ${String(shard)}, which no cluster of ${sharded.name} holds`)
  return { kind: 'placement', shard, cluster }
}

function logicalShard(sharded: Sharded, key: Key): number | undefined {
  switch (sharded.function.by) {
    case 'hash':
      return partitionRemainder(key.kind === 'integer' ? hashInteger(key.high, key.low) : hashBytes(key.bytes), sharded.shards)
    case 'list':
      return sharded.function.values.get(keyText(key))
  }
}
