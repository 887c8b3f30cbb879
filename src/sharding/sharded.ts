// sharding/sharded.ts — how one set of co-located tables is spread over clusters. Values only; shardOf() is in shard-of.ts.

/** Types a shard key may have (DESIGN §6); each is read as its PostgreSQL input function reads it. */
export type KeyType = 'smallint' | 'integer' | 'bigint' | 'text' | 'varchar' | 'uuid'

export type ShardBy =
  | { readonly by: 'hash' }
  /** value (as text, normalised as the key type's output function writes it) → logical shard; no default: a miss is refused. */
  | { readonly by: 'list'; readonly values: ReadonlyMap<string, number> }

export interface Sharded {
  readonly name: string
  /** Logical shards: the modulus, fixed for life. */
  readonly shards: number
  /** Index: logical shard; value: cluster id. Length is `shards`. */
  readonly map: readonly string[]
  /** The distinct clusters, in the config's order. */
  readonly clusters: readonly string[]
  readonly function: ShardBy
  readonly keyType: KeyType
  readonly owner: string | null
  /** `schema.table` → shard key column. */
  readonly tables: ReadonlyMap<string, string>
}
