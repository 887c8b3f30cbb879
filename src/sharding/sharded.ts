// sharding/sharded.ts — how one set of co-located tables is spread over clusters. Values only; shardOf() is in shard-of.ts.
import type { Key } from './key.js'
import type { KeyType } from './key-type.js'

export type { KeyType }

export type ShardBy =
  | { readonly by: 'hash' }
  /** value (as text, normalised as the key type's output function writes it) → logical shard; no default: a miss is refused. */
  | { readonly by: 'list'; readonly values: ReadonlyMap<string, number> }
  /** Half-open and ascending, without gaps in between; what lies below the first or above the last is refused. */
  | { readonly by: 'range'; readonly ranges: readonly KeyRange[] }
  | { readonly by: 'directory'; readonly directory: DirectoryTable }
  | { readonly by: 'module'; readonly module: ShardModule }

/** from ≤ key < to; null: no end on that side. Numbers by value, texts and uuids by their bytes (COLLATE "C"). */
export interface KeyRange {
  readonly from: Key | null
  readonly to: Key | null
  readonly shard: number
}

/** The table that says which logical shard a key lives on. */
export interface DirectoryTable {
  readonly cluster: string
  /** `schema.table` */
  readonly table: string
  /** Its columns that hold the key, in the key's order. */
  readonly keys: readonly string[]
  /** Its column that holds the logical shard. */
  readonly shard: string
  /** How long an answer is used without asking again. */
  readonly ttlMs: number
  readonly maxEntries: number
  /** NOTIFY on this channel of `cluster` forgets what was asked: the key that its payload names, or all; null: nobody listens. */
  readonly channel: string | null
}

/**
 * A user's pure function: (key…) → logical shard. smallint and integer keys are numbers, bigint keys are bigints, all others
 * strings as the key type's output function writes them.
 */
export interface ShardModule {
  /** As the config names it. */
  readonly path: string
  readonly place: (...keys: readonly (number | bigint | string)[]) => unknown
}

export interface Sharded {
  readonly name: string
  /** Logical shards: the modulus, fixed for life. */
  readonly shards: number
  /** Index: logical shard; value: cluster id. Length is `shards`. */
  readonly map: readonly string[]
  /** The distinct clusters, in the config's order. */
  readonly clusters: readonly string[]
  readonly function: ShardBy
  /** One for each column of the key; one or more. */
  readonly keyTypes: readonly KeyType[]
  readonly owner: string | null
  /** Nothing is read from several of its clusters at once. Absent: what can be merged is. */
  readonly scatter?: 'refuse'
  /** `schema.table` → its shard key columns, as many as `keyTypes`. */
  readonly tables: ReadonlyMap<string, readonly string[]>
}
