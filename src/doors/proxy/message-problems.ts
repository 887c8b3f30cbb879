// doors/proxy/message-problems.ts — what PostgreSQL would raise for a message by itself: a name that is taken, or not known.
import { PointsmanError } from '../../errors/error.js'
import { unknownStatement } from './named.js'
import type { Message } from './messages.js'

/** What PostgreSQL would raise for a message by itself, and at which of them it stands. */
export function problemOf(message: Message, at: number): { readonly at: number; readonly error: PointsmanError } | null {
  const error = errorOf(message)
  return error === null ? null : { at, error }
}

export function errorOf(message: Message): PointsmanError | null {
  switch (message.kind) {
    case 'parse':
      return message.problem
    case 'bind':
      return message.statement === null ? unknownStatement(message.name) : message.problem
    case 'describe':
      if (message.of === 'portal') return message.portal === null ? unknownPortal(message.name) : null
      return message.statement === null ? unknownStatement(message.name) : null
    case 'execute':
      return message.portal === null ? unknownPortal(message.name) : message.problem
    case 'close':
      return null
  }
}

function unknownPortal(name: string): PointsmanError {
  return new PointsmanError('undefined_portal', { values: { name } })
}
