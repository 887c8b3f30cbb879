// server/unreachable.ts — words for a server that cannot be reached or was lost: cluster, node and reason, no secrets.
import { PointsmanError } from '../errors/error.js'
import type { Address } from './address.js'
import type { Loss } from './contract.js'
import { ServerError } from './server-error.js'

/** While a connection is opened nothing of a client has been sent. What already says more (the server's own errors, ours) stays. */
export function unreachable(address: Address, cause: unknown): Error {
  if (cause instanceof ServerError) return cause
  if (cause instanceof PointsmanError && cause.key !== 'protocol_violation' && cause.key !== 'connection_lost') return cause
  const why = cause instanceof PointsmanError && cause.detail !== undefined ? cause.detail : reason(cause)
  return new PointsmanError('node_unreachable', { values: { node: address.node.id, cluster: address.cluster, why }, cause })
}

export function lost(address: Address, loss: Loss): Error {
  if (loss.error !== null) return new ServerError(loss.error)
  return new PointsmanError('connection_lost', { values: { node: address.node.id, cluster: address.cluster }, detail: loss.reason })
}

export function reason(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  // Happy eyeballs: one error per address tried.
  if (cause instanceof AggregateError) return cause.errors.map(reason).join('; ')
  return cause.message === '' ? cause.name : cause.message
}
