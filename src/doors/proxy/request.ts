// doors/proxy/request.ts — one request of a client on its way: a Query, or a batch up to Sync. Whatever decides about
// retrying, settling and reporting it is collected here, where the bytes are sent, and read where it ends.
import type { Plan } from '../../routing/plan.js'
import type { RouteTaken } from '../../execute/contract.js'
import type { ShapeUses } from '../../sql/shape-uses.js'
import type { Hints, Statement } from '../../sql/statement.js'
import type { Hold } from './hold.js'
import type { Recording } from './recording.js'
import type { ParameterText, SettingsState } from '../../session/settings.js'

export type Outcome = 'ok' | 'error' | 'refused' | 'lost' | 'canceled'

/** A statement that a CommandComplete speaks of. */
export interface Running {
  readonly statement: Statement
  readonly parameter: ParameterText
  /** Of the text that it is in. */
  readonly hints: Hints | null
}

/** Why a request that failed before anything reached the client is sent again. */
export type Rerun = 'primary' | 'elsewhere' | 'prepare'

const nowhere: ReadonlySet<string> = new Set()

export class Request {
  /** Process-monotonic ms. */
  readonly startedAt: number
  /** When the statements at hand came: staleness bounds are relative to it. Of a batch they may come long after its first. */
  invokedAt: number
  plan: Plan | null = null
  route: RouteTaken | null = null
  shape: number | null = null
  /** What is counted of that shape; null: of no shape. */
  uses: ShapeUses | null = null
  outcome: Outcome = 'ok'
  /** Nothing is lost if it is sent again, as long as nothing was forwarded. */
  repeatable = false
  rerun: Rerun | null = null
  /** All of it was sent, to its last byte: a client that has flushed a part waits for replies, so nothing may be withheld. */
  complete = false
  /** Its ReadyForQuery is not passed on: the client gets one of ours (client-bus.ts). */
  readyHeld = false
  /** Where it runs. */
  hold: Hold | null = null
  /** A COMMIT is on its way: if the connection is lost now, nobody knows. */
  commits = false
  /** Nodes that it was lost on. */
  avoid: ReadonlySet<string> = nowhere
  attempts = 0
  /** When its bytes were sent, process-monotonic ms; only of what may go to a lane. */
  sentAt = 0
  /** Holds its reply for the result cache. */
  recording: Recording | null = null
  /** The client's settings before the first attempt. */
  before: SettingsState | null = null
  /** Finds the statement for a CommandComplete; null: no effects to settle. */
  running: ((label: string | undefined) => Running | null) | null = null
  /** An error was passed on to the client; `label` is of the message that failed. */
  onFailed: ((label: string | undefined) => void) | null = null
  /** The statement that was to fail the group has failed: the client is told the real reason now. */
  onPoisoned: (() => Uint8Array) | null = null
  /** A prepared statement gives other columns than before. False: the client would not hear of them. */
  onStalePlan: (() => boolean) | null = null
  /** It is an EXECUTE alone: if the server has lost what it executes, that is prepared anew. */
  executes = false
  /** An ErrorResponse as the client is to see it, where a server knows things by other names; null: as it came. */
  renamed: ((frame: Uint8Array, label: string | undefined, hold: Hold) => Uint8Array | null) | null = null
  /** Columns were told, or asked for by us. */
  onRows: ((hold: Hold, frame: Uint8Array, label: string | undefined) => void) | null = null
  onDescribed: ((oids: readonly number[], label: string | undefined) => void) | null = null

  constructor(startedAt: number) {
    this.startedAt = startedAt
    this.invokedAt = startedAt
  }
}
