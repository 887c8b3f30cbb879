// doors/proxy/own-calls.ts — texts about a client's own process number, on both protocols: what is sent in their place, and the
// signal that is given when they run (session/client-pids.ts).
import { PointsmanError } from '../../errors/error.js'
import { encodeNoticeResponse } from '../../protocol/error-fields.js'
import { encodeParse } from '../../protocol/extended.js'
import { encodeQuery } from '../../protocol/query.js'
import { answered, ownCallOf, ownText, signalOf, type OwnText, type Signal } from '../../session/client-pids.js'
import type { Session } from '../../session/session.js'
import type { ParameterText } from '../../session/settings.js'
import { readyByte } from '../../session/transaction.js'
import type { Understood } from '../../sql/statement.js'
import type { Conversation } from './conversation.js'

const noParameter: ParameterText = () => undefined

/** The Query that is sent instead of one about the client's number; null: the client's own. Throws 42501. */
export function ownQuery(conversation: Conversation, given: Understood): { readonly text: string; readonly frame: Uint8Array } | null {
  const call = ownCallOf(given)
  if (call === null) return null
  const { session } = conversation
  const own = sentInstead(session, given)
  // A failed transaction runs nothing.
  if (own === null || readyByte(session.transaction) === 'E') return null
  const signal = signalOf(own, noParameter)
  const text = signal === null || carriedOut(conversation, signal) ? own.text : missed(conversation, signal.pid, answered(call, false))
  return { text, frame: encodeQuery(text) }
}

/**
 * False: there is no such client. Throws 42501, and 57P01 where the client means itself: it is closed with that once its request returns.
 */
export function carriedOut(conversation: Conversation, signal: Signal): boolean {
  if (signal.kind === 'cancel' || signal.pid !== conversation.session.pid) return conversation.signal(signal)
  const error = new PointsmanError('client_killed')
  conversation.endWith(error)
  throw error
}

function missed(conversation: Conversation, pid: number, text: string): string {
  const message = `PID ${String(pid)} is not a PostgreSQL backend process`
  conversation.output.write(encodeNoticeResponse({ severity: 'WARNING', code: '01000', message }))
  return text
}

/** The Parse that is sent instead. */
export function ownParse(
  session: Session,
  given: Understood,
  name: string,
  types: readonly number[],
): { readonly own: OwnText; readonly frame: Uint8Array } | null {
  const own = ownCallOf(given) === null ? null : sentInstead(session, given)
  return own === null ? null : { own, frame: encodeParse(name, own.text, types) }
}

function sentInstead(session: Session, given: Understood): OwnText | null {
  const call = ownCallOf(given)
  if (call === null || session.pid === 0 || !session.view.understood || !/^[\x20-\x7e]*$/.test(call.column)) return null
  return ownText(call, given, session.pid)
}
