// execute/executor.ts — the one entry of execution, the same for both doors: a plan in, a leased connection out.
// The door sends on the connection, settles its session and ends the lease; a retry is acquiring again with `avoid`.
import type { PointsmanError } from '../errors/error.js'
import type { Lease, PooledConnection } from '../pool/contract.js'
import type { OnePlan } from '../routing/plan.js'
import type { AcquireRequest, Grant, GrantWaiter } from './contract.js'
import type { Place } from './place.js'

export interface Executor<C extends PooledConnection> {
  /**
   * Picks a server by the plan's role and policy, leases a connection to it and checks the policy again on that very
   * connection. The ladder of `plan.policy.onUnmet` is walked here.
   *
   * Rejects with PointsmanError: `read_unmet` (the ladder ended; `details` say by how much), `read_only_no_primary` and
   * `no_primary_for_read` (no proved primary within `failover.wait` of its loss, for a write and for what else needs one),
   * `too_many_connections` (pool full past `pool.wait`), `cluster_unreachable`, `shutting_down`; with
   * the server's own error where it refused the login; with `signal.reason` if the signal fires first. After a
   * rejection no lease is held.
   */
  acquire(request: AcquireRequest<C>): Promise<Grant<C>>

  /**
   * What acquire() would grant within the call, or null: then `waiter` has the grant, or the reason why there is none, later, or within the
   * call where that is known. The usual wait, for a connection of one pool to come free, takes no promise. Throws RangeError
   * where the plan names no cluster of the configuration.
   */
  take(request: AcquireRequest<C>, waiter: GrantWaiter<C>): Grant<C> | null

  /**
   * What acquire() would grant without waiting for anything, within the call: the same choice and the same two checks.
   * null: only acquire() can tell. Throws RangeError where the plan names no cluster of the configuration.
   */
  tryAcquire(request: AcquireRequest<C>): Grant<C> | null

  /**
   * Where the read would go now, for a connection that it shares with others (fitsPlace() is the second check). null: only
   * acquire() can tell. `now`: process-monotonic ms at this very moment, where the caller has just looked.
   */
  place(request: AcquireRequest<C>, now?: number): Place<C> | null

  /**
   * Whether a connection to a replica that was granted for an earlier read is good for this one too: what acquire() asks of a
   * leased connection, asked again. For doors that keep one between the statements of a batch.
   */
  meets(request: AcquireRequest<C>, lease: Lease<C>): boolean

  /**
   * What a write hears where operators have switched the cluster to read-only; null: it may go ahead. Asked by the door before
   * a write is sent on a connection that has not written in its transaction yet: what has begun to write may finish.
   */
  refusal(plan: OnePlan): PointsmanError | null
}
