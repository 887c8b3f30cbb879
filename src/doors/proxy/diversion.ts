// doors/proxy/diversion.ts — who reads a server's replies in the client's place: what several servers answer is made one first.
import type { ErrorFields } from '../../protocol/error-fields.js'
import type { ExpectReply } from '../../server/contract.js'

export interface Diversion {
  /** As ReplySink.bytes. */
  bytes(chunk: Uint8Array): boolean
  /** The group has failed; its end is still to come. */
  failed(fields: ErrorFields): void
  /** A RowDescription or NoData. */
  rowsDescribed(frame: Uint8Array, expect: ExpectReply): void
  parametersDescribed(oids: readonly number[]): void
}
