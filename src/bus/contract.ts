// bus/contract.ts — notifications for clients that share server connections. One connection per cluster and server database
// (a line, line.ts) listens for all of them; a channel is listened to while anybody wants it.
//
//   client A ─ LISTEN a ─┐                        ┌─ NotificationResponse ─▶ A, B
//   client B ─ LISTEN a ─┼─▶ line: LISTEN "a" ────┤
//   client C ─ LISTEN b ─┘         LISTEN "b"     └───────────────────────▶ C
import type { ClusterConfig, NodeConfig } from '../config/config.js'
import type { PointsmanError } from '../errors/error.js'
import type { Observer } from '../observe/events.js'
import type { Identity } from '../pool/contract.js'
import type { ServerConnection } from '../server/contract.js'

/** One client that listens. */
export interface Listener {
  /** A whole NotificationResponse, text in UTF-8; shared with others, never changed. Called while a chunk is read; must not throw. */
  notified(frame: Uint8Array): void
  /** What it listens to is not to be had any more: it is to be told and closed. */
  ended(error: PointsmanError): void
}

/** The channel on which listeners are told that notifications may be missing. */
export const busChannel = 'pointsman.bus'

/** Where a line is to be: the cluster as configured now, and its primary. */
export interface Target {
  readonly cluster: ClusterConfig
  /** null: there is none at the moment. */
  readonly primary: NodeConfig | null
}

export interface BusParts {
  /** null: the configuration does not have that cluster (any more). */
  readonly target: (cluster: string) => Target | null
  readonly connect: (cluster: ClusterConfig, node: NodeConfig, identity: Identity, signal: AbortSignal) => Promise<ServerConnection>
  /** The first line is there: whom server processes work for is to be told to `owners` from here on. */
  readonly onActive?: () => void
  readonly observer: Observer
  /** Milliseconds since 1970, for people: when what was missed. Default: Date.now. */
  readonly clock?: () => number
  /** In [0, 1): jitter of the back-off. */
  readonly random: () => number
}
