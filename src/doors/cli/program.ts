// doors/cli/program.ts — what `serve` runs, whether that is one process (doors.ts) or several (doors/processes/supervisor.ts):
// started, listening, reloaded, handed over to another process, ended.
import type { Server } from 'node:net'
import type { Config } from '../../config/config.js'
import type { ReloadAnswer } from '../../runtime/control.js'
import type { Json } from '../../runtime/fleet.js'
import type { CancelCall } from '../proxy/login.js'
import type { ConfigSource } from './config-file.js'
import type { Handed, Places } from './entrance.js'

/** A configuration and what it was made from. */
export interface Sourced {
  readonly config: Config
  readonly source: ConfigSource
}

export interface Program {
  /** Of a Unix socket: its path, and port 0. */
  readonly listening: readonly { readonly host: string; readonly port: number }[]
  readonly admin: { readonly host: string; readonly port: number } | null
  /** Takes over a socket that listens; within the call, since it accepts already. */
  adopt(what: 'tcp' | 'admin', server: Server): void
  /** Listens, where it has not taken over what listens. Rejects with words for the user. */
  listen(): Promise<void>
  config(): Config
  generation(): number
  reload(next: Sourced): Promise<ReloadAnswer>
  /** Every database can be served. */
  ready(): Promise<boolean>
  handed(places: Places): Handed
  /** What operators have set, for the process that takes over; and taking it over. */
  give(): Promise<Json>
  take(state: Json): Promise<void>
  /** Of a client of this program; false: of none. */
  cancel(call: CancelCall): Promise<boolean>
  /**
   * No new clients; serves those who are here for `drainMs`, then until nothing of theirs is open. Resolves when all have left.
   * `handedOver`: another process listens now, and has the file of the Unix socket.
   */
  retire(drainMs: number, handedOver: boolean): Promise<void>
  /** No new clients; open transactions may end within `graceMs`; then everything is closed. */
  close(graceMs: number): Promise<void>
}
