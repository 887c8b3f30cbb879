// observe/crossing.ts — a statement, or something in the catalog, that reaches from one home of tables into another: what
// must go before the two are split. Holds names, never values.

export const crossingKinds = [
  'join',
  'subquery',
  'transaction',
  'foreign_key',
  'view',
  'function',
  'trigger',
  'shard_key',
  'sequence',
  'user',
  'session',
  'command',
] as const

/**
 * `subquery`: also set operations, CTEs and INSERT … SELECT. `shard_key`: no single shard. `command`: DDL, LOCK, TRUNCATE of both.
 * `user`: the partition is not for that user. `session`: what it means cannot be known (search_path, encoding).
 */
export type CrossingKind = (typeof crossingKinds)[number]

/** One side: a home as the config calls it (`partition media`, `sharded comments`, `cluster main`), and what is reached there. */
export interface CrossingEnd {
  readonly home: string
  readonly owner: string | null
  readonly object: string | null
}

export interface Crossing {
  readonly kind: CrossingKind
  readonly from: CrossingEnd
  readonly to: CrossingEnd
  /** The view, function or trigger that crosses, whatever statement uses it. */
  readonly cause?: string
  readonly reason: string
  /** What to do about it. */
  readonly way: string
}
