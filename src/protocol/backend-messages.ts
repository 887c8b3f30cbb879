// protocol/backend-messages.ts — small messages of a server, both ways: read where a decision needs them, written where
// Pointsman answers by itself.
import { BodyReader } from './body-reader.js'
import { FrameWriter } from './frame-writer.js'
import { Backend } from './message-types.js'
import { violation } from './violation.js'

/** Idle, in a transaction, in a failed transaction. */
export type TransactionByte = 'I' | 'T' | 'E'

export function decodeReadyForQuery(frame: Uint8Array): TransactionByte {
  const body = new BodyReader(frame, 'ReadyForQuery')
  const status = body.byte()
  body.end()
  if (status === 0x49) return 'I'
  if (status === 0x54) return 'T'
  if (status === 0x45) return 'E'
  throw violation('ReadyForQuery with an unknown status')
}

export function encodeReadyForQuery(status: TransactionByte): Buffer {
  return new FrameWriter(Backend.ReadyForQuery, 1).byte(status.charCodeAt(0)).end()
}

export function decodeParameterStatus(frame: Uint8Array): readonly [name: string, value: string] {
  const body = new BodyReader(frame, 'ParameterStatus')
  const name = body.cstring()
  const value = body.cstring()
  body.end()
  return [name, value]
}

export function encodeParameterStatus(name: string, value: string): Buffer {
  return new FrameWriter(Backend.ParameterStatus).cstring(name).cstring(value).end()
}

export function decodeBackendKeyData(frame: Uint8Array): { readonly pid: number; readonly secret: Uint8Array } {
  const body = new BodyReader(frame, 'BackendKeyData')
  const pid = body.int32()
  // A copy: it is kept for the connection's life, the chunk it came in is not.
  return { pid, secret: Uint8Array.from(body.rest()) }
}

export function encodeBackendKeyData(pid: number, secret: Uint8Array): Buffer {
  return new FrameWriter(Backend.BackendKeyData).int32(pid).bytes(secret).end()
}

export function decodeCommandComplete(frame: Uint8Array): string {
  return new BodyReader(frame, 'CommandComplete').cstring()
}

export function encodeCommandComplete(tag: string): Buffer {
  return new FrameWriter(Backend.CommandComplete).cstring(tag).end()
}

export function decodeParameterDescription(frame: Uint8Array): readonly number[] {
  const body = new BodyReader(frame, 'ParameterDescription')
  const said = body.uint16()
  // More than can be bound may be prepared: then the field has the last 16 bits of their number.
  const given = body.left >>> 2
  const count = (given & 0xffff) === said ? given : said
  const oids: number[] = []
  for (let index = 0; index < count; index++) oids.push(body.uint32())
  body.end()
  return oids
}

export function encodeParameterDescription(oids: readonly number[]): Buffer {
  const frame = new FrameWriter(Backend.ParameterDescription, 2 + 4 * oids.length).int16(oids.length)
  for (const oid of oids) frame.uint32(oid)
  return frame.end()
}

export interface Notification {
  readonly pid: number
  readonly channel: string
  readonly payload: string
}

export function decodeNotification(frame: Uint8Array): Notification {
  const body = new BodyReader(frame, 'NotificationResponse')
  return { pid: body.int32(), channel: body.cstring(), payload: body.cstring() }
}

export function encodeNotification(notification: Notification): Buffer {
  return new FrameWriter(Backend.NotificationResponse)
    .int32(notification.pid)
    .cstring(notification.channel)
    .cstring(notification.payload)
    .end()
}

export function decodeNegotiateProtocolVersion(frame: Uint8Array): { readonly minor: number; readonly unknown: readonly string[] } {
  const body = new BodyReader(frame, 'NegotiateProtocolVersion')
  const minor = body.int32() & 0xffff
  const count = body.int32()
  const unknown: string[] = []
  for (let index = 0; index < count; index++) unknown.push(body.cstring())
  return { minor, unknown }
}

/** Messages without a body. A frame is never changed, so one of each is enough. */
export const emptyMessages: Readonly<Record<EmptyMessage, Uint8Array>> = {
  parseComplete: empty(Backend.ParseComplete),
  bindComplete: empty(Backend.BindComplete),
  closeComplete: empty(Backend.CloseComplete),
  noData: empty(Backend.NoData),
  emptyQueryResponse: empty(Backend.EmptyQueryResponse),
  portalSuspended: empty(Backend.PortalSuspended),
}
export type EmptyMessage = 'parseComplete' | 'bindComplete' | 'closeComplete' | 'noData' | 'emptyQueryResponse' | 'portalSuspended'

function empty(type: number): Uint8Array {
  return new FrameWriter(type, 0).end()
}
