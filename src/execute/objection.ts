// execute/objection.ts — what both doors ask before they send a statement: is its cluster switched to read-only, has the
// read-only transaction that it belongs to grown too old? Nothing is cut off in the middle: what has begun to write may
// finish, and an old transaction hears of its age with its next statement.
import { formatDuration } from '../consistency/duration.js'
import { PointsmanError } from '../errors/error.js'
import type { PooledConnection } from '../pool/contract.js'
import type { OnePlan } from '../routing/plan.js'
import type { TransactionState } from '../session/transaction.js'
import type { Executor } from './executor.js'

/** The connection that the session has on the plan's cluster. */
export interface Held {
  /** A write was sent whose transaction has not ended. */
  readonly writing: boolean
  /** Process-monotonic ms at which the first statement of the open transaction came. */
  readonly begunAt: number
}

/** What the client is to be told instead; null: nothing speaks against it. */
export function objection<C extends PooledConnection>(
  executor: Pick<Executor<C>, 'refusal'>,
  plan: OnePlan,
  held: Held | null,
  transaction: TransactionState,
  now: () => number,
): PointsmanError | null {
  if (plan.writes) return held?.writing === true ? null : executor.refusal(plan)
  if (transaction.kind !== 'open' || held === null || !plan.readsData) return null
  const { home, overrides, status } = transaction
  const limit = overrides.maxTxAgeMs
  if (limit === undefined || home.role !== 'replica' || home.cluster !== plan.cluster || status !== 'T') return null
  const age = now() - held.begunAt
  if (age <= limit) return null
  const values = { node: home.node, age: formatDuration(Math.ceil(age)), limit: formatDuration(limit) }
  return new PointsmanError('transaction_too_old', { values })
}
