// session/view.ts — the part of a client's session that plan() reads. A value; the session room makes a new one when
// something in it changes, so its identity can key caches.
import type { PolicyOverride } from '../consistency/policy.js'

export type TransactionStatus = 'idle' | 'open' | 'failed'

export interface TransactionView {
  readonly status: TransactionStatus
  /** Where the transaction lives; null while BEGIN is deferred. */
  readonly home: {
    readonly cluster: string
    readonly node: string
    readonly role: 'primary' | 'replica'
    /** The first virtual home that it has touched, or null (OnePlan.place). */
    readonly place?: string | null
  } | null
  /** By BEGIN, SET TRANSACTION or default_transaction_read_only. */
  readonly readOnly: boolean
  /** SERIALIZABLE, also by default, or a SET TRANSACTION SNAPSHOT: the primary. */
  readonly needsPrimary: boolean
  /** REPEATABLE READ or SERIALIZABLE, also by default, or a snapshot: it cannot see several clusters at one moment. */
  readonly isolated: boolean
  /** SET CONSTRAINTS was said in it, which counts for its server alone. Default: false. */
  readonly constraints?: boolean
  /** Clusters that the open transaction has come to, where these are several, the first is its home; null: the door keeps it on one. */
  readonly joined: readonly string[] | null
  /** Policy fixed by the first statement of the transaction. */
  readonly overrides: PolicyOverride
}

/** `transaction`: until the transaction ends. `session`: until the client leaves. `statement`: as transaction, and BEGIN is refused. */
export type Pooling = 'transaction' | 'session' | 'statement'

export interface SessionView {
  readonly database: string
  readonly user: string
  /** How long the client keeps a server connection. */
  readonly pooling: Pooling
  /** The door listens for its clients: LISTEN is told to the bus and pins nothing. */
  readonly bus: boolean
  /** The door can read several clusters within a transaction, and keep cursors there. Default: false. */
  readonly spreads?: boolean
  readonly transaction: TransactionView
  /** Schemas in order, `$user` resolved; null where it cannot be known. */
  readonly searchPath: readonly string[] | null
  /** False: the open transaction has changed it, so that it may be another once the transaction ends. */
  readonly searchPathSettled: boolean
  /** False: standard_conforming_strings is off, or the client's encoding is unsafe (DESIGN §4 "Sessions not understood"). */
  readonly understood: boolean
  /** client_encoding is UTF8. Else text beyond ASCII may have been decoded wrongly, so it is no shard key. */
  readonly unicode: boolean
  /** What the client said at its startup, which is what RESET goes back to. Default: nothing. */
  readonly startup?: ReadonlyMap<string, string>
  /** By SET LOCAL pointsman.*, then by SET pointsman.*. */
  readonly local: RouteOverrides
  readonly session: RouteOverrides
  /** Names of temporary relations that this session has made, by bare name. */
  readonly temporary: ReadonlySet<string>
  /** Clusters on whose primary this session is pinned, with the reason. */
  readonly pins: ReadonlyMap<string, string>
}

export interface RouteOverrides extends PolicyOverride {
  readonly shardKey?: string
  readonly cluster?: string
  /** false: writes do not move the session's floor. */
  readonly stickyWrites?: boolean
}
