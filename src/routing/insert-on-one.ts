// routing/insert-on-one.ts — INSERT … VALUES with rows of several shards, and UPDATE that brings rows from one shard to another, where
// all of them are on one cluster: it runs there as it is.
import type { Statement } from '../sql/statement.js'
import type { Context } from './context.js'
import type { Why } from './plan.js'
import { why } from './rules.js'
import type { ShardNeed } from './shard-demands.js'
import type { Moving, SeveralShards } from './shard-eval.js'

interface OnOne {
  readonly cluster: string
  readonly shard: null
  readonly provisional: boolean
  readonly why: readonly Why[]
}

/** It is INSERT … VALUES, with rows of several shards. */
export function insertsRows({ detail, entries }: Statement): boolean {
  return detail.kind === 'insert' && detail.insert.rows !== null && entries.length === 1
}

/** All on one cluster, where nothing is to be told apart; null: it is another statement, or is to be placed in another way. */
export function rowsOnOne(context: Context, statement: Statement, need: ShardNeed, found: SeveralShards): OnOne | null {
  const [cluster, another] = found.clusters
  const { database } = context
  if (cluster === undefined || another !== undefined || !insertsRows(statement) || found.supplied) return null
  // Where the shards are not apart yet, what will need two_phase then needs it now.
  if (database.virtual.has(`sharded ${need.sharded.name}`) && database.twoPhase === null) return null
  return onOne(need, found, cluster)
}

/** Rows that stay on their cluster; null: they leave it. */
export function movesOnOne(need: ShardNeed, found: Moving): OnOne | null {
  return found.from.every((cluster) => cluster === found.to) ? onOne(need, found, found.to) : null
}

function onOne({ sharded }: ShardNeed, { shards, provisional }: SeveralShards | Moving, cluster: string): OnOne {
  const entry = why('shard-key', `${sharded.name} shards ${shards.join(', ')} on cluster ${cluster}`)
  return { cluster, shard: null, provisional, why: [entry] }
}
