// protocol/row-form.ts — rows as several servers send them and one client gets them: DataRow frames to values and back, a
// RowDescription with other formats. Values are slices of what came and are never read here.
import { BodyReader } from './body-reader.js'
import { Backend } from './message-types.js'

const headerBytes = 5
/** Of a column in a RowDescription, behind its name: table, column, type, size, modifier, format. */
const fixedBytes = 18
const formatAt = 16

/** The values of a DataRow frame, which stands at chunk[start, end). Throws 08P01 where it is not one. */
export function rowValues(chunk: Uint8Array, start: number, end: number): (Uint8Array | null)[] {
  const body = new BodyReader(chunk.subarray(start, end), 'DataRow')
  const count = body.uint16()
  const values = new Array<Uint8Array | null>(count)
  for (let index = 0; index < count; index++) values[index] = body.value()
  body.end()
  return values
}

/** DataRow frames, one behind the other. */
export function dataRows(rows: readonly (readonly (Uint8Array | null)[])[]): Buffer {
  let length = 0
  for (const row of rows) {
    length += headerBytes + 2
    for (const value of row) length += 4 + (value?.length ?? 0)
  }
  const bytes = Buffer.allocUnsafe(length)
  let at = 0
  for (const row of rows) {
    const start = at
    bytes[at] = Backend.DataRow
    at = bytes.writeUInt16BE(row.length, at + headerBytes)
    for (const value of row) {
      at = bytes.writeInt32BE(value?.length ?? -1, at)
      if (value === null) continue
      bytes.set(value, at)
      at += value.length
    }
    bytes.writeInt32BE(at - start - 1, start + 1)
  }
  return bytes
}

/** The first `formats.length` columns of a RowDescription, in these formats. */
export function described(frame: Uint8Array, formats: readonly number[]): Buffer {
  const from = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
  let end = headerBytes + 2
  const places: number[] = []
  while (places.length < formats.length) {
    const fixed = from.indexOf(0, end) + 1
    places.push(fixed + formatAt)
    end = fixed + fixedBytes
  }
  const bytes = Buffer.from(from.subarray(0, end))
  bytes.writeInt32BE(end - 1, 1)
  bytes.writeUInt16BE(formats.length, headerBytes)
  formats.forEach((format, index) => bytes.writeInt16BE(format, places[index]))
  return bytes
}
