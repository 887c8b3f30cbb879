// protocol/violation.ts — the one error this room raises: 08P01, with what was wrong and never what the bytes held.
import { PointsmanError } from '../errors/error.js'

/** `what` names the message and its fault; it must not repeat values. */
export function violation(what: string): PointsmanError {
  return new PointsmanError('protocol_violation', { values: { what } })
}
