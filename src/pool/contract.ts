// pool/contract.ts — what the pools ask of a server connection, and what they give. Both doors bring their own kind of
// connection (the proxy: server/ServerConnection; the library: the user's pg.Client), so the pool knows only this.
import type { Lsn } from '../consistency/lsn.js'
import type { NodeConfig } from '../config/config.js'
import type { Party } from './account.js'
import type { LoginKeys } from '../server/login-keys.js'

/** What a connection itself proved when it was opened (CONSISTENCY §2.4: role evidence is the connection's own). */
export interface Evidence {
  readonly node: string
  /** Process-monotonic ms, taken before the position query was sent on this connection. */
  readonly openedAt: number
  readonly inRecovery: boolean
  /** Replay position (replica) or normalised insert position (primary) read on this connection; null: could not be read. */
  readonly position: Lsn | null
  readonly postmasterStart: string
  readonly timeline: number | null
  /** Commits there need not be on disk when they are acknowledged (synchronous_commit, as the connection starts with it). */
  readonly asynchronous?: boolean
}

/** Login to a server. Pools are per node and identity. `key` is stable and holds no secret. */
export interface Identity {
  readonly cluster: string
  readonly dbname: string
  readonly user: string
  readonly password: string | null
  /** What the client proved itself with, where the password is not known. */
  readonly keys?: LoginKeys | null
  readonly key: string
  /** Whose client it is, for fair turns and bounds; several may share a login, and so a pool. Default: nobody's. */
  readonly party?: Party
}

export interface PooledConnection {
  readonly evidence: Evidence
  /** False once the socket closed or the protocol state is unknown. */
  readonly usable: boolean
  /** Makes it as new for another client (DISCARD ALL, names forgotten). Rejects if that failed; the pool then closes it. */
  scrub(): Promise<void>
  close(): void
  /** Destroys the socket without a word, as a broken network would; whoever uses it finds it lost. */
  sever(): void
  /** Called once when the socket closes for whatever reason. */
  onClosed(listener: (reason: string) => void): void
}

/** Opens one connection and reads its Evidence. Rejects with PointsmanError or the server's own error. */
export type Connect<C extends PooledConnection> = (node: NodeConfig, identity: Identity, signal: AbortSignal) => Promise<C>

/**
 * Leave of the other processes to open server connections, where `pool.max` holds for several of them: one of these for each
 * pool. A process that is alone has none.
 */
export interface Permits {
  /** What of `pool.max` is this process's, if all have the same. */
  readonly share: number
  /** Resolves when one connection more may be opened. Rejects with PermitUnwanted once `wanted` does not hold, with `signal.reason`. */
  take(wanted: () => boolean, signal: AbortSignal): Promise<void>
  /** A connection is closed, or was not opened after all. */
  give(): void
  /** True: another process needs one, and the connection that has just come back is to be closed. It is asked for each once. */
  owed(): boolean
  /** The pool is closed. */
  leave(): void
}

/** Nobody waits for the connection any more that was to be opened. */
export class PermitUnwanted extends Error {
  override readonly name = 'PermitUnwanted'
}

/** What a pool does for the other processes: closes a connection that has been idle for `restedMs`. False: it has none. */
export type CloseIdle = (restedMs: number) => boolean

/** `max`: of all processes together. */
export type PermitsFor = (node: NodeConfig, identity: Identity, max: number, closeIdle: CloseIdle) => Permits

/** An exclusive hold on one connection. Exactly one of release/destroy ends it; a second call throws. */
export interface Lease<C extends PooledConnection> {
  readonly connection: C
  readonly node: string
  readonly cluster: string
  /** `taint` non-null: scrubbed before the next client gets it. */
  release(taint: string | null): void
  destroy(reason: string): void
}
