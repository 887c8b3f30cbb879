// server/collector.ts — receives the reply to one of our own messages, frame by frame, beside whatever the client's
// exchange receives. Whatever happens, exactly one of ready() and lost() ends it.
import type { ErrorFields } from '../protocol/error-fields.js'
import type { Loss, TransactionStatus } from './contract.js'

export interface Collector {
  /** A whole frame that is neither an error, a notice, a parameter status, a notification nor a ReadyForQuery. Throws 08P01. */
  frame(type: number, frame: Uint8Array): void
  failed(fields: ErrorFields): void
  ready(status: TransactionStatus): void
  lost(loss: Loss): void
}
