// protocol/query.ts — the simple protocol: Query, FunctionCall, Terminate, and the copy messages of a client.
import { BodyReader, type TextEncoding } from './body-reader.js'
import { FrameWriter } from './frame-writer.js'
import { Backend, Frontend } from './message-types.js'

export function decodeQuery(frame: Uint8Array, encoding: TextEncoding = 'utf8'): string {
  const body = new BodyReader(frame, 'Query')
  const text = body.cstring(encoding)
  body.end()
  return text
}

export function encodeQuery(text: string): Buffer {
  return new FrameWriter(Frontend.Query, Buffer.byteLength(text) + 1).cstring(text).end()
}

/** The oid of the function a FunctionCall (fast path) calls; its arguments are left alone. */
export function decodeFunctionCallOid(frame: Uint8Array): number {
  return new BodyReader(frame, 'FunctionCall').uint32()
}

export function encodeTerminate(): Buffer {
  return new FrameWriter(Frontend.Terminate, 0).end()
}

/** CopyData has the same form in both directions. */
export function encodeCopyData(data: Uint8Array): Buffer {
  return new FrameWriter(Frontend.CopyData, data.length).bytes(data).end()
}

/** CopyDone has the same form in both directions. */
export function encodeCopyDone(): Buffer {
  return new FrameWriter(Frontend.CopyDone, 0).end()
}

export function encodeCopyFail(reason: string): Buffer {
  return new FrameWriter(Frontend.CopyFail).cstring(reason).end()
}

export function decodeCopyFail(frame: Uint8Array): string {
  return new BodyReader(frame, 'CopyFail').cstring()
}

/** CopyInResponse, CopyOutResponse, CopyBothResponse: overall format and one format per column (0 text, 1 binary). */
export function encodeCopyResponse(direction: 'in' | 'out' | 'both', binary: boolean, columns: number): Buffer {
  const types = { in: Backend.CopyInResponse, out: Backend.CopyOutResponse, both: Backend.CopyBothResponse }
  const frame = new FrameWriter(types[direction]).byte(binary ? 1 : 0).int16(columns)
  for (let column = 0; column < columns; column++) frame.int16(binary ? 1 : 0)
  return frame.end()
}
