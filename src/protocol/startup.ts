// protocol/startup.ts — the packets before the first message (PG manual 54.2.1): length, code, and no type byte.
// A client may try SSLRequest and GSSENCRequest before its StartupMessage; each is answered with one byte.
import { BodyReader, asBuffer } from './body-reader.js'
import { FrameWriter } from './frame-writer.js'
import { Backend } from './message-types.js'
import { violation } from './violation.js'

/** As in the server (MAX_STARTUP_PACKET_LENGTH). */
export const MAX_STARTUP_LENGTH = 10_000

const CANCEL = 80877102
const SSL = 80877103
const GSSENC = 80877104
export const PROTOCOL_3_0 = 0x30000
/** What we speak at most: 3.2, whose cancel keys may be long. Newer ones (9999 is the grease of PostgreSQL 19 clients) are negotiated down. */
export const newestMinor = 2
/** Length of the secrets that a client of 3.`minor` is given, as PostgreSQL gives them. */
export function secretBytesOf(minor: number): number {
  return minor >= 2 ? 32 : 4
}

export type StartupPacket =
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gssenc' }
  | { readonly kind: 'cancel'; readonly pid: number; readonly secret: Uint8Array }
  | StartupMessage

export interface StartupMessage {
  readonly kind: 'startup'
  readonly major: number
  readonly minor: number
  /** user, database, options and run-time parameters, as sent. `database` is absent where the client left it out. */
  readonly parameters: ReadonlyMap<string, string>
  /** Names of `_pq_.` protocol extensions asked for: none is known, so each is answered by NegotiateProtocolVersion. */
  readonly extensions: readonly string[]
}

/**
 * The first packet of `bytes`, and how many bytes it took; null: more must come. Throws 08P01 on an impossible length
 * or an unknown version, before anything is kept.
 */
export function readStartupPacket(bytes: Uint8Array): { readonly packet: StartupPacket; readonly length: number } | null {
  if (bytes.length < 4) return null
  const length = asBuffer(bytes).readInt32BE(0)
  if (!isStartupLength(length)) throw violation('invalid length of startup packet')
  if (bytes.length < length) return null
  return { packet: decodeStartupPacket(bytes.subarray(0, length)), length }
}

/** Whether `bytes` may begin a startup packet, as far as they have come. */
export function mayBeginStartup(bytes: Uint8Array): boolean {
  return bytes.length < 4 || isStartupLength(asBuffer(bytes).readInt32BE(0))
}

function isStartupLength(length: number): boolean {
  return length >= 8 && length <= MAX_STARTUP_LENGTH
}

function decodeStartupPacket(bytes: Uint8Array): StartupPacket {
  const body = new BodyReader(bytes, 'startup packet', 4)
  const code = body.int32()
  if (code === SSL || code === GSSENC) {
    body.end()
    return { kind: code === SSL ? 'ssl' : 'gssenc' }
  }
  if (code === CANCEL) return decodeCancel(body)
  const major = code >>> 16
  if (major !== 3) throw violation(`unsupported frontend protocol ${String(major)}.${String(code & 0xffff)}: server supports 3.0`)
  return { kind: 'startup', major, minor: code & 0xffff, ...decodeParameters(body) }
}

/** Keys are 4 bytes up to protocol 3.0 and up to 256 bytes from 3.2 on. */
function decodeCancel(body: BodyReader): StartupPacket {
  const pid = body.int32()
  if (body.left === 0 || body.left > 256) throw violation('invalid length of cancel key')
  return { kind: 'cancel', pid, secret: body.rest() }
}

function decodeParameters(body: BodyReader): Pick<StartupMessage, 'parameters' | 'extensions'> {
  const parameters = new Map<string, string>()
  const extensions: string[] = []
  for (;;) {
    const name = body.cstring()
    if (name === '') break
    const value = body.cstring()
    if (name.startsWith('_pq_.')) extensions.push(name)
    else parameters.set(name, value)
  }
  body.end()
  return { parameters, extensions }
}

export function encodeStartupMessage(parameters: Iterable<readonly [string, string]>, minor = 0): Buffer {
  const packet = new FrameWriter(null, 128).int32(PROTOCOL_3_0 | minor)
  for (const [name, value] of parameters) packet.cstring(name).cstring(value)
  return packet.byte(0).end()
}

export function encodeSslRequest(): Buffer {
  return new FrameWriter(null, 8).int32(SSL).end()
}

export function encodeGssEncRequest(): Buffer {
  return new FrameWriter(null, 8).int32(GSSENC).end()
}

export function encodeCancelRequest(pid: number, secret: Uint8Array): Buffer {
  return new FrameWriter(null, 16).int32(CANCEL).int32(pid).bytes(secret).end()
}

/** Answers a StartupMessage that asked for a newer minor version or unknown extensions; login goes on at 3.`minor`. */
export function encodeNegotiateProtocolVersion(minor: number, extensions: readonly string[]): Buffer {
  const frame = new FrameWriter(Backend.NegotiateProtocolVersion).int32(PROTOCOL_3_0 | minor).int32(extensions.length)
  for (const name of extensions) frame.cstring(name)
  return frame.end()
}

/** True where the startup message must be answered with NegotiateProtocolVersion (the newest that is spoken, its extensions) before authentication. */
export function needsNegotiation(message: StartupMessage): boolean {
  return message.minor > newestMinor || message.extensions.length > 0
}
