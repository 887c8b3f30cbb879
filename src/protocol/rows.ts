// protocol/rows.ts — RowDescription and DataRow: written for what Pointsman answers itself (SHOW, the console), read for its
// own queries. Rows of clients are never read.
import { BodyReader } from './body-reader.js'
import { FrameWriter } from './frame-writer.js'
import { Backend } from './message-types.js'

/** Type oids of the answers Pointsman gives. */
export const Oid = { bool: 16, int8: 20, int4: 23, text: 25, float8: 701 } as const

export interface Column {
  readonly name: string
  /** Default: text. */
  readonly oid?: number
  /** 0 text (default), 1 binary. */
  readonly format?: number
}

const sizes: ReadonlyMap<number, number> = new Map([
  [Oid.bool, 1],
  [Oid.int8, 8],
  [Oid.int4, 4],
  [Oid.float8, 8],
])

export function encodeRowDescription(columns: readonly Column[]): Buffer {
  const frame = new FrameWriter(Backend.RowDescription, 2 + 32 * columns.length).int16(columns.length)
  for (const { name, oid = Oid.text, format = 0 } of columns) {
    frame
      .cstring(name)
      .int32(0)
      .int16(0)
      .uint32(oid)
      .int16(sizes.get(oid) ?? -1)
      .int32(-1)
      .int16(format)
  }
  return frame.end()
}

export interface DescribedColumn {
  readonly name: string
  readonly oid: number
  /** pg_attribute.atttypmod; -1: none. */
  readonly modifier: number
  readonly format: number
}

/** Of a RowDescription; NoData has none. */
export function describedColumns(frame: Uint8Array): readonly DescribedColumn[] {
  return frame[0] === Backend.RowDescription ? decodeRowDescription(frame) : []
}

export function decodeRowDescription(frame: Uint8Array): readonly DescribedColumn[] {
  const body = new BodyReader(frame, 'RowDescription')
  const count = body.uint16()
  const columns: DescribedColumn[] = []
  for (let index = 0; index < count; index++) {
    const name = body.cstring()
    body.bytes(6)
    const oid = body.uint32()
    body.bytes(2)
    columns.push({ name, oid, modifier: body.int32(), format: body.int16() })
  }
  body.end()
  return columns
}

export function encodeDataRow(values: readonly (string | Uint8Array | null)[]): Buffer {
  const frame = new FrameWriter(Backend.DataRow).int16(values.length)
  for (const value of values) frame.value(value)
  return frame.end()
}

/** Values as text; only right for columns of text format. */
export function decodeDataRow(frame: Uint8Array): (string | null)[] {
  const body = new BodyReader(frame, 'DataRow')
  const count = body.uint16()
  const values: (string | null)[] = []
  for (let index = 0; index < count; index++) {
    const bytes = body.value()
    values.push(bytes === null ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'))
  }
  body.end()
  return values
}
