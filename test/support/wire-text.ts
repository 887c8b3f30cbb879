// test/support/wire-text.ts — messages as text, one a line, in the manner of libpq's PQtrace:
//
//   F  Bind "" "s1" 0 1 "42" 0               B  ReadyForQuery I
//
// but without the length word. Values are quoted (JSON) or NULL; a count stands before what it counts. A body that has no
// layout here is one quoted string of latin1.
import { Backend, Frontend, backendName, frontendName } from '../../src/protocol/message-types.js'
import { FrameWriter } from '../../src/protocol/frame-writer.js'
import { BodyReader } from '../../src/protocol/body-reader.js'

export type Direction = 'F' | 'B'

// s: string  i: int32  u: uint32  h: int16  b: byte  c: one character  v: value  r: the rest, raw  h(…): counted group  *: field list
const frontend: Readonly<Record<string, string>> = {
  Query: 's',
  Parse: 'ssh(u)',
  Bind: 'ssh(h)h(v)h(h)',
  Describe: 'cs',
  Close: 'cs',
  Execute: 'si',
  CopyFail: 's',
  Sync: '',
  Flush: '',
  Terminate: '',
  CopyDone: '',
}
const backend: Readonly<Record<string, string>> = {
  ParameterStatus: 'ss',
  BackendKeyData: 'ii',
  ReadyForQuery: 'c',
  CommandComplete: 's',
  RowDescription: 'h(suhuhih)',
  DataRow: 'h(v)',
  ErrorResponse: '*',
  NoticeResponse: '*',
  ParameterDescription: 'h(u)',
  NotificationResponse: 'iss',
  CopyInResponse: 'bh(h)',
  CopyOutResponse: 'bh(h)',
  CopyBothResponse: 'bh(h)',
  ParseComplete: '',
  BindComplete: '',
  CloseComplete: '',
  NoData: '',
  EmptyQueryResponse: '',
  PortalSuspended: '',
  CopyDone: '',
}

/** One message from its line, without the direction: `Parse "" "SELECT 1" 0`. */
export function encodeMessage(direction: Direction, line: string): Buffer {
  const tokens = tokenize(line)
  const name = tokens.shift() ?? ''
  const types: Readonly<Record<string, number>> = direction === 'F' ? Frontend : Backend
  const type = types[name]
  if (type === undefined) throw new Error(`no such message: ${direction} ${line}`)
  const frame = new FrameWriter(type)
  write(frame, spec(direction, name), tokens)
  if (tokens.length > 0) throw new Error(`left over in ${line}: ${tokens.join(' ')}`)
  return frame.end()
}

/** The line of one whole frame, without the direction: `ReadyForQuery I`. */
export function formatMessage(direction: Direction, frame: Uint8Array): string {
  const type = frame[0] ?? 0
  const name = (direction === 'F' ? frontendName(type) : backendName(type)) ?? `?${String.fromCharCode(type)}`
  const body = new BodyReader(frame, name)
  return [name, ...read(body, spec(direction, name))].join(' ')
}

/** All frames of `bytes` as lines. */
export function formatMessages(direction: Direction, bytes: Uint8Array): string[] {
  const lines: string[] = []
  for (let rest = Buffer.from(bytes); rest.length > 0;) {
    const length = rest.length < 5 ? rest.length + 1 : rest.readInt32BE(1) + 1
    if (length > rest.length) return [...lines, `incomplete: ${rest.toString('latin1')}`]
    lines.push(formatMessage(direction, rest.subarray(0, length)))
    rest = rest.subarray(length)
  }
  return lines
}

/** The line as formatMessage() would write it, whatever its spacing. */
export function normalizeMessage(direction: Direction, line: string): string {
  return formatMessage(direction, encodeMessage(direction, line))
}

function spec(direction: Direction, name: string): string {
  return (direction === 'F' ? frontend : backend)[name] ?? 'r'
}

function tokenize(line: string): string[] {
  return [...(line.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [])]
}

function write(frame: FrameWriter, layout: string, tokens: string[]): void {
  for (let at = 0; at < layout.length; at++) {
    const kind = layout[at]
    if (layout[at + 1] === '(') {
      const close = layout.indexOf(')', at)
      const count = Number(tokens.shift() ?? '0')
      frame.int16(count)
      for (let index = 0; index < count; index++) write(frame, layout.slice(at + 2, close), tokens)
      at = close
    } else if (kind === '*') {
      while (tokens.length > 0) frame.byte((tokens.shift() ?? '').charCodeAt(0)).cstring(text(tokens.shift()))
      frame.byte(0)
    } else writeField(frame, kind ?? '', tokens.shift())
  }
}

function writeField(frame: FrameWriter, kind: string, token: string | undefined): void {
  if (token === undefined) throw new Error('a field is missing')
  if (kind === 's') frame.cstring(text(token))
  else if (kind === 'r') frame.bytes(Buffer.from(text(token), 'latin1'))
  else if (kind === 'v') frame.value(token === 'NULL' ? null : text(token))
  else if (kind === 'c') frame.byte(token.charCodeAt(0))
  else if (kind === 'b') frame.byte(Number(token))
  else if (kind === 'h') frame.int16(Number(token))
  else if (kind === 'u') frame.uint32(Number(token))
  else frame.int32(Number(token))
}

function read(body: BodyReader, layout: string): string[] {
  const out: string[] = []
  for (let at = 0; at < layout.length; at++) {
    const kind = layout[at]
    if (layout[at + 1] === '(') {
      const close = layout.indexOf(')', at)
      const count = body.uint16()
      out.push(String(count))
      for (let index = 0; index < count; index++) out.push(...read(body, layout.slice(at + 2, close)))
      at = close
    } else if (kind === '*') {
      for (let letter = body.byte(); letter !== 0; letter = body.byte())
        out.push(String.fromCharCode(letter), JSON.stringify(body.cstring()))
    } else out.push(readField(body, kind ?? ''))
  }
  return out
}

function readField(body: BodyReader, kind: string): string {
  if (kind === 's') return JSON.stringify(body.cstring())
  if (kind === 'r') return JSON.stringify(Buffer.from(body.rest()).toString('latin1'))
  if (kind === 'c') return String.fromCharCode(body.byte())
  if (kind === 'b') return String(body.byte())
  if (kind === 'h') return String(body.int16())
  if (kind === 'u') return String(body.uint32())
  if (kind === 'i') return String(body.int32())
  const value = body.value()
  return value === null ? 'NULL' : JSON.stringify(Buffer.from(value).toString('utf8'))
}

function text(token: string | undefined): string {
  const value: unknown = JSON.parse(token ?? '""')
  if (typeof value !== 'string') throw new Error(`not a string: ${String(token)}`)
  return value
}
