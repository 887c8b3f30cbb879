// protocol/extended.ts — the extended protocol's messages of a client. Bind is read lazily: routing needs the statement's
// name always, the formats and values only where a shard key is a parameter; the values are slices of the frame.
import { BodyReader, type TextEncoding } from './body-reader.js'
import { FrameWriter } from './frame-writer.js'
import { Frontend } from './message-types.js'
import { violation } from './violation.js'

export interface Parse {
  /** '' is the unnamed statement. */
  readonly name: string
  readonly text: string
  /** 0: left to the server. May be shorter than the number of parameters. */
  readonly types: readonly number[]
}

export function decodeParse(frame: Uint8Array, encoding: TextEncoding = 'utf8'): Parse {
  const body = new BodyReader(frame, 'Parse')
  const name = body.cstring(encoding)
  const text = body.cstring(encoding)
  const count = body.uint16()
  const types: number[] = []
  for (let index = 0; index < count; index++) types.push(body.uint32())
  body.end()
  return { name, text, types }
}

export function encodeParse(name: string, text: string, types: readonly number[] = []): Buffer {
  const frame = new FrameWriter(Frontend.Parse, Buffer.byteLength(text) + name.length + 8 + 4 * types.length)
  frame.cstring(name).cstring(text).int16(types.length)
  for (const type of types) frame.uint32(type)
  return frame.end()
}

/** The same Parse under another statement name, its text and types copied as bytes (whatever their encoding). */
export function renameParse(frame: Uint8Array, name: string): Buffer {
  const body = new BodyReader(frame, 'Parse')
  body.cstring('latin1')
  const rest = body.rest()
  return new FrameWriter(Frontend.Parse, rest.length + name.length + 1).cstring(name).bytes(rest).end()
}

export interface BindHead {
  readonly portal: string
  readonly statement: string
}

/** Portal and statement name only; works on the beginning of a frame that is still coming, if it holds both names (else null). */
export function decodeBindHead(frame: Uint8Array, encoding: TextEncoding = 'utf8'): BindHead | null {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
  const portalEnd = bytes.indexOf(0, 5)
  const statementEnd = portalEnd < 0 ? -1 : bytes.indexOf(0, portalEnd + 1)
  if (statementEnd < 0) return null
  return { portal: bytes.toString(encoding, 5, portalEnd), statement: bytes.toString(encoding, portalEnd + 1, statementEnd) }
}

export interface Bind extends BindHead {
  /** The value of `$n` (from 1) as a slice of the frame; null: NULL; undefined: the Bind has no such parameter. */
  parameter(number: number): BoundValue | null | undefined
  readonly parameters: number
  /** Formats asked for the columns of the result: none, one for all, or one for each. */
  readonly results: readonly number[]
}

export interface BoundValue {
  readonly bytes: Uint8Array
  readonly binary: boolean
}

/** Reads a whole Bind frame. Everything is checked here, so that parameter() cannot throw. */
export function decodeBind(frame: Uint8Array, encoding: TextEncoding = 'utf8'): Bind {
  const body = new BodyReader(frame, 'Bind')
  const portal = body.cstring(encoding)
  const statement = body.cstring(encoding)
  const formats = readFormats(body)
  const count = body.uint16()
  if (formats.length > 1 && formats.length !== count)
    throw violation(`Bind has ${String(formats.length)} formats for ${String(count)} parameters`)
  const values: (Uint8Array | null)[] = []
  for (let index = 0; index < count; index++) values.push(body.value())
  const results = readFormats(body)
  body.end()
  return {
    portal,
    statement,
    parameters: count,
    results,
    parameter(number): BoundValue | null | undefined {
      const bytes = values[number - 1]
      if (bytes === undefined || bytes === null) return bytes
      return { bytes, binary: (formats.length === 1 ? formats[0] : formats[number - 1]) === 1 }
    },
  }
}

function readFormats(body: BodyReader): readonly number[] {
  const count = body.uint16()
  const formats: number[] = []
  for (let index = 0; index < count; index++) formats.push(body.int16())
  return formats
}

/** Parameters and results as text, unless `formats` says otherwise. */
export function encodeBind(
  portal: string,
  statement: string,
  values: readonly (Uint8Array | string | null)[],
  formats: readonly number[] = [],
  results: readonly number[] = [],
): Buffer {
  const frame = new FrameWriter(Frontend.Bind).cstring(portal).cstring(statement).int16(formats.length)
  for (const format of formats) frame.int16(format)
  frame.int16(values.length)
  for (const value of values) frame.value(value)
  frame.int16(results.length)
  for (const format of results) frame.int16(format)
  return frame.end()
}

/**
 * The beginning of a Bind (at least its names) with its statement renamed; what follows in `rest`, and later bytes of a
 * frame still coming, stay as they are. `frame` is the whole frame or its beginning.
 */
export function renameBind(frame: Uint8Array, statement: string): readonly [head: Buffer, rest: Uint8Array] {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
  const portalEnd = bytes.indexOf(0, 5)
  const statementEnd = portalEnd < 0 ? -1 : bytes.indexOf(0, portalEnd + 1)
  if (statementEnd < 0) throw violation('Bind is shorter than its fields')
  const name = Buffer.from(statement, 'utf8')
  const head = Buffer.allocUnsafe(portalEnd + 1 + name.length + 1)
  bytes.copy(head, 0, 0, portalEnd + 1)
  name.copy(head, portalEnd + 1)
  head[head.length - 1] = 0
  head.writeInt32BE(bytes.readInt32BE(1) + name.length - (statementEnd - portalEnd - 1), 1)
  return [head, frame.subarray(statementEnd + 1)]
}

/** Describe and Close name a prepared statement or a portal. */
export interface Target {
  readonly of: 'statement' | 'portal'
  readonly name: string
}

export function decodeDescribe(frame: Uint8Array, encoding: TextEncoding = 'utf8'): Target {
  return decodeTarget(frame, 'Describe', encoding)
}

export function decodeClose(frame: Uint8Array, encoding: TextEncoding = 'utf8'): Target {
  return decodeTarget(frame, 'Close', encoding)
}

export function encodeDescribe(target: Target): Buffer {
  return encodeTarget(Frontend.Describe, target)
}

export function encodeClose(target: Target): Buffer {
  return encodeTarget(Frontend.Close, target)
}

function decodeTarget(frame: Uint8Array, what: string, encoding: TextEncoding): Target {
  const body = new BodyReader(frame, what)
  const kind = body.byte()
  if (kind !== 0x53 && kind !== 0x50) throw violation(`${what} of neither a statement nor a portal`)
  const name = body.cstring(encoding)
  body.end()
  return { of: kind === 0x53 ? 'statement' : 'portal', name }
}

function encodeTarget(type: number, target: Target): Buffer {
  return new FrameWriter(type)
    .byte(target.of === 'statement' ? 0x53 : 0x50)
    .cstring(target.name)
    .end()
}

export interface Execute {
  readonly portal: string
  /** 0: all rows. */
  readonly maxRows: number
}

export function decodeExecute(frame: Uint8Array, encoding: TextEncoding = 'utf8'): Execute {
  const body = new BodyReader(frame, 'Execute')
  const portal = body.cstring(encoding)
  const maxRows = body.int32()
  body.end()
  return { portal, maxRows }
}

export function encodeExecute(portal = '', maxRows = 0): Buffer {
  return new FrameWriter(Frontend.Execute).cstring(portal).int32(maxRows).end()
}

export function encodeSync(): Buffer {
  return new FrameWriter(Frontend.Sync, 0).end()
}

export function encodeFlush(): Buffer {
  return new FrameWriter(Frontend.Flush, 0).end()
}

/** A message without a body (Sync, Flush, CopyDone, Terminate) must have none. Throws 08P01. */
export function requireEmpty(frame: Uint8Array, what: string): void {
  new BodyReader(frame, what).end()
}
