// doors/proxy/own-signal.ts — pg_cancel_backend() and pg_terminate_backend() of a client's number, called by a prepared statement:
// which client is meant is known once its parameters are bound.
import { signalOf } from '../../session/client-pids.js'
import type { Conversation } from './conversation.js'
import type { Message } from './messages.js'
import { carriedOut } from './own-calls.js'

/** Gives the signal of a statement that is about to run. Throws as carriedOut() does. */
export function giveSignal(conversation: Conversation, message: Message): void {
  if (message.kind !== 'execute' || message.portal === null) return
  const { own } = message.portal.statement
  if (own?.signal === null || own === undefined) return
  const { parameters, text } = message.portal
  const signal = signalOf(own, (number) => {
    const value = parameters.get(number)
    if (value === undefined || value === null || 'text' in value) return text(number)
    return integerText(value.binary)
  })
  if (signal !== null) carriedOut(conversation, signal)
}

/** A binary integer of any size. */
function integerText(bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length === 4) return String(view.getInt32(0))
  return bytes.length === 8 ? String(view.getBigInt64(0)) : undefined
}
