// sharding/key-type.ts — what a shard key may be.

/** Types a shard key may have (DESIGN §6); each is read as its PostgreSQL input function reads it. */
export type KeyType = 'smallint' | 'integer' | 'bigint' | 'text' | 'varchar' | 'uuid'
