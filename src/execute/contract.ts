// execute/contract.ts — Plan → server connection. The same for both doors; only the send step differs, so this ends
// where a lease is granted. What the ladder did, and why, is in RouteTaken.
import type { Lease, PooledConnection, Identity } from '../pool/contract.js'
import type { Lsn } from '../consistency/lsn.js'
import type { Why } from '../observe/why.js'
import type { OnePlan } from '../routing/plan.js'
import type { SessionFloors } from '../consistency/floors.js'

export interface AcquireRequest<C extends PooledConnection> {
  readonly plan: OnePlan
  readonly identity: Identity
  readonly floors: SessionFloors
  /** Process-monotonic ms at which the client's statement arrived: the bound is relative to it. */
  readonly invokedAt: number
  /** Prefers an idle connection for which this is largest (settings already match); undefined: any. */
  readonly prefer?: (connection: C) => number
  /** Nodes that this request has tried and lost; not chosen again. */
  readonly avoid?: ReadonlySet<string>
  readonly signal: AbortSignal
  /** Keeps the reads of one session together. */
  readonly affinity?: Affinity
}

/** Which replica a session's reads gather on, those too that run side by side. Only asked for `session` reads. */
export interface Affinity {
  /** Node id, or null: no preference yet. */
  replica(cluster: string): string | null
  /** Statements of the session that are under way: their work is no reason to leave a replica. */
  underWay(): number
  /** A replica was picked. */
  chose(cluster: string, node: string): void
}

/** Where a statement ran, as the client may see it (SHOW pointsman.last_route, the library's `routed`). */
export interface RouteTaken {
  readonly cluster: string
  readonly node: string
  readonly role: 'primary' | 'replica'
  /** Proved staleness bound at invocation, ms, whether one was asked or not; null where none could be proved. 0 on the primary. */
  readonly boundMs: number | null
  /**
   * Which rung of the ladder gave the server: `first` when none was needed, `degraded` where operators allow it for a while
   * (ALLOW STALE), `cache` where an earlier result was given again.
   */
  readonly step: 'first' | 'wait' | 'primary' | 'stale' | 'degraded' | 'cache'
  /** At least up to here the server had come when the statement was sent (normalised); null: nothing is proved. */
  readonly position: { readonly timeline: number; readonly lsn: Lsn } | null
  readonly why: readonly Why[]
}

/** Who waits for a grant. One of the two is called, once; neither may throw. */
export interface GrantWaiter<C extends PooledConnection> {
  granted(grant: Grant<C>): void
  /** With what acquire() would have rejected with. */
  failed(error: unknown): void
}

export interface Grant<C extends PooledConnection> {
  readonly lease: Lease<C>
  readonly route: RouteTaken
}
