// pool/lane-kind.ts — what the lanes of a process know of one lane and of what stands on it. The proxy's lanes pass on bytes
// (lane.ts), the library's are clients of pg: how a connection is shared is each kind's own, who shares it is decided for both.
import type { LanesConfig } from '../config/config.js'
import type { Settings } from '../session/settings.js'
import type { Party } from './account.js'
import type { Lease, PooledConnection } from './contract.js'

export type LaneState = 'open' | 'slow' | 'large' | 'canceling' | 'retiring'

/** Whom a lane tells. */
export interface LaneOwner<L> {
  readonly limits: LanesConfig
  readonly now: () => number
  /** Replies were read: there is room for others. `now`: where the lane has just looked. */
  moved(lane: L, now?: number): void
  /** It is gone, and so is its connection. */
  ended(lane: L): void
  /** A reply was read whole. */
  served(): void
  /** For the counters. */
  count(what: 'joined' | 'stalled' | 'moved' | 'large' | 'canceled' | 'missed', by: number): void
}

/** One lane. */
export interface SharedLane<R> {
  readonly node: string
  /** Process-monotonic ms. */
  readonly openedAt: number
  /** When it last had nothing to do. */
  readonly idleSince: number
  readonly served: number
  readonly inFlight: number
  /** Takes another request now. */
  readonly open: boolean
  /** It writes within this turn anyway, and one more of what is quick costs next to nothing. Default: never. */
  readonly gathers?: boolean
  /** Will take others when those at hand are answered: nothing on it is unusual. */
  readonly moving: boolean
  readonly state: LaneState
  has(request: R): boolean
  /** Only where it is open. */
  push(request: R, now: number): void
  /** No newcomers; the connection goes back when nothing is in flight. */
  retire(reason: string): void
  /** Looks at the head, which is slow if it is older than `patience`, in ms: to be called often, once what the socket has was read. */
  check(now: number, patience: number): void
}

/** Whoever wants to go on a lane. */
export interface LaneNewcomer<L> {
  /** When it was put in line for a lane, process-monotonic ms; kept by the lanes. */
  queuedAt: number
  /** Whose it is; while it stands in line, the same. Default: nobody's. */
  readonly party?: Party
  /** Whether the connection is proved to be good for what is asked now. */
  fits(lane: L): boolean
  /** What the connection proved when it was opened holds no more, for nobody: its server has another role since, or another timeline. */
  outlived?(lane: L): boolean
  /** Called before it is asked again, in line, whether it fits: where it may go may have changed since it came. */
  comesUp?(): void
  /** It was still waiting for a lane, and none moves: it must be run elsewhere. */
  missed(miss: { readonly why: 'crowded' }): void
}

/** How a connection becomes a lane. */
export interface LaneKind<C extends PooledConnection, R, L> {
  /** Idle connections for which this is largest are preferred. */
  suits(connection: C, wanted: Settings): number
  /** Makes exactly these settings stand there. True: several autocommit reads may be one transaction on it. */
  prepare(connection: C, wanted: Settings): Promise<boolean>
  open(lease: Lease<C>, owner: LaneOwner<L>, joins: boolean): L & SharedLane<R>
}
