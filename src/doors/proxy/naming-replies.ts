// doors/proxy/naming-replies.ts — messages of a batch whose statement names a prepared one (named.ts): how they are planned, and
// what is answered here. DEALLOCATE concerns the client's names alone; of PREPARE a server sees the statement in it when it is
// run; an EXECUTE of nothing is an error when it is run, and not before.
import { emptyMessages, encodeCommandComplete, encodeParameterDescription } from '../../protocol/backend-messages.js'
import { described, executed, unreadable } from '../../routing/executed.js'
import type { ParameterSource } from '../../routing/input.js'
import type { ParameterText } from '../../session/settings.js'
import type { Understood } from '../../sql/statement.js'
import type { Planned } from './core-contract.js'
import type { Message } from './messages.js'
import type { Naming } from './named.js'
import type { Running } from './request.js'

/** The message runs nothing on a server: it is answered here. */
export function answersNaming({ kind, naming }: Message): boolean {
  if (naming === null) return false
  if (naming.kind === 'prepare') return kind !== 'execute'
  return naming.kind === 'deallocate' || naming.definition === null
}

const none: ReadonlyMap<Message, readonly Uint8Array[]> = new Map()

/** Replies to those of `messages` that answersNaming() is true of. */
export function namingReplies(messages: readonly Message[]): Map<Message, readonly Uint8Array[]> {
  const replies = new Map(none)
  for (const message of messages)
    if (message.naming !== null && answersNaming(message)) replies.set(message, replyTo(message, message.naming))
  return replies
}

function replyTo(message: Message, naming: Naming): readonly Uint8Array[] {
  switch (message.kind) {
    case 'parse':
      return [emptyMessages.parseComplete]
    case 'bind':
      return [emptyMessages.bindComplete]
    case 'describe':
      return message.of === 'portal'
        ? [emptyMessages.noData]
        : [encodeParameterDescription(message.statement?.types ?? []), emptyMessages.noData]
    case 'execute':
      return naming.kind === 'deallocate' ? [encodeCommandComplete(naming.name === null ? 'DEALLOCATE ALL' : 'DEALLOCATE')] : []
    case 'close':
      return []
  }
}

/** How a statement is planned that names another; `text`: the values that it gives. null: it names none, or nothing that is. */
export function plannedNaming(understood: Understood, naming: Naming | null): (Planned & { readonly text: ParameterText }) | null {
  if (naming === null || naming.kind === 'deallocate' || naming.definition === null) return null
  const planned = naming.kind === 'prepare' ? described(naming.definition.understood) : executed(understood, naming.definition)
  return { ...planned, text: textOf(planned.parameters) }
}

/** The statement that the CommandComplete of an EXECUTE speaks of; null: of none that changes anything here. */
export function runningNaming({ statement, naming }: Message): Running | null {
  const planned = statement === null || naming?.kind !== 'execute' ? null : plannedNaming(statement.understood, naming)
  const [inner] = planned?.understood.shape.statements ?? []
  if (planned === null || inner === undefined) return null
  return { statement: inner, parameter: planned.text, hints: planned.understood.hints }
}

function textOf(parameters: ParameterSource | null): ParameterText {
  return (number) => {
    const value = parameters?.get(number)
    if (value === undefined || value === null) return value
    return 'text' in value && value !== unreadable ? value.text : undefined
  }
}
