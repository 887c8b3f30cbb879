// doors/library/request.ts — one statement on its way: what it is, and what has come of it on a connection.
import type { ParameterSource } from '../../routing/input.js'
import type { Plan } from '../../routing/plan.js'
import type { RouteTaken } from '../../execute/contract.js'
import type { ParameterText } from '../../session/settings.js'
import type { Understood } from '../../sql/statement.js'
import type { Moved } from './begun.js'
import type { CachedRead } from './cached-read.js'
import type { Ground } from './core.js'
import type { Hold } from './hold.js'
import type { PgResult } from './pg-client.js'
import type { Status } from './pg-connection.js'
import type { Query } from './query-arguments.js'

export type Answer = PgResult | PgResult[] | undefined

/** Times are process-monotonic ms. */
export interface Request {
  readonly query: Query
  readonly ground: Ground
  readonly startedAt: number
  readonly understood: Understood
  readonly parameters: ParameterSource | null
  readonly avoid: Set<string>
  attempts: number
  plan: Plan | null
  route: RouteTaken | null
  outcome: 'ok' | 'error' | 'refused' | 'lost' | 'canceled'
  /** Its rows are read so that they can be kept. */
  filling: CachedRead | null
  /** null: it was on no lane. */
  readonly moved: Moved | null
}

export type Sent = { readonly ok: true; readonly result: Answer } | { readonly ok: false; readonly error: unknown }

/** How one statement is sent on a connection. */
export type Send = (hold: Hold) => Promise<Sent>

export type SentOn = Sent & {
  /** The server's state afterwards; null: the connection is gone. */
  readonly status: Status | null
  /** It may have run. */
  readonly written: boolean
  /** pg has told its own error, which stands. */
  readonly given?: boolean
}

/** The parameters' text, as settings that they are of are told. */
export function parameterText(parameters: ParameterSource | null): ParameterText {
  return (n) => {
    const value = parameters?.get(n)
    if (value === undefined || value === null) return value
    return 'text' in value ? value.text : undefined
  }
}
