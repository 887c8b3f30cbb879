// doors/proxy/batch-errors.ts — an error of a server about a message of a batch, as the client would have got it.
import type { Hold } from './hold.js'
import type { Message } from './messages.js'
import { argsOf, renamedError, textOf, type Encoding } from './named-errors.js'

/** null: it stays as it came. */
export function batchError(frame: Uint8Array, message: Message, hold: Hold, encoding: Encoding): Uint8Array | null {
  const { statement, naming } = message
  if (statement === null) return null
  const known = hold.connection.statements
  if (naming === null) return renamedError(frame, encoding, textOf(statement, known.get(statement.key)), null)
  if (naming.kind === 'deallocate' || naming.definition === null) return null
  const { definition } = naming
  const prepared = textOf(definition, known.get(definition.key))
  if (naming.kind === 'prepare') return renamedError(frame, encoding, prepared, null)
  const to = known.get(definition.key)
  const renames = to === undefined ? [] : [{ ...naming.span, from: naming.name, to }]
  return renamedError(frame, encoding, { text: statement.text, renames, beside: null }, { prepared, args: argsOf(statement) })
}
