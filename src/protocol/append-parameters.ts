// protocol/append-parameters.ts — a Bind with more parameters behind its own: the bytes of those stay as they are.
import { BodyReader } from './body-reader.js'
import { FrameWriter } from './frame-writer.js'
import { HEADER } from './frame-reader.js'
import { Frontend } from './message-types.js'

/** `values` are bigint. In the one form that the Bind has for all its parameters, or else as text. Throws 08P01 on a malformed frame. */
export function appendParameters(frame: Uint8Array, values: readonly bigint[]): Buffer {
  const body = new BodyReader(frame, 'Bind')
  const at = (): number => frame.length - body.left
  body.cstring('latin1')
  body.cstring('latin1')
  const names = frame.subarray(HEADER, at())
  const formats = Array.from({ length: body.uint16() }, () => body.int16())
  const count = body.uint16()
  const start = at()
  for (let index = 0; index < count; index++) body.value()
  const made = new FrameWriter(Frontend.Bind, frame.length + 24 * values.length).bytes(names)
  // Of several each has its own.
  const all = formats.length > 1 ? [...formats, ...values.map(() => 0)] : formats
  made.int16(all.length)
  for (const format of all) made.int16(format)
  made.int16(count + values.length).bytes(frame.subarray(start, at()))
  const binary = formats.length === 1 && formats[0] === 1
  for (const value of values) made.value(binary ? int8(value) : String(value))
  return made.bytes(body.rest()).end()
}

function int8(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigInt64BE(value)
  return bytes
}
