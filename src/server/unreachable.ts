// server/unreachable.ts — words for a server that cannot be reached or was lost: cluster, node and reason, no secrets.
import { PointsmanError } from '../errors/error.js'
import type { Address } from './address.js'
import type { Loss } from './contract.js'
import { ServerError } from './server-error.js'

/** Nothing had been sent that could have run. Errors that already say more (the server's own, ours) stay as they are. */
export function unreachable(address: Address, cause: unknown): Error {
  if (cause instanceof ServerError || (cause instanceof PointsmanError && cause.key !== 'protocol_violation')) return cause
  return new PointsmanError('node_unreachable', {
    values: { node: address.node.id, cluster: address.cluster, why: reason(cause) },
    cause,
  })
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
