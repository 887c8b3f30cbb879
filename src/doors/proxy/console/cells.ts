// doors/proxy/console/cells.ts — the columns of what the console shows, with their types, and their values as a client asks
// for them: as text, or in PostgreSQL's binary forms, which pgx, asyncpg and pgjdbc ask for without being told to.
import { FrameWriter } from '../../../protocol/frame-writer.js'
import { Backend } from '../../../protocol/message-types.js'

export type CellType = 'text' | 'int4' | 'int8' | 'numeric'

export interface TableColumn {
  readonly name: string
  readonly type: CellType
}

/** Numbers are whole numbers. */
export type Cell = string | number | null

export interface Table {
  readonly columns: readonly TableColumn[]
  readonly rows: readonly (readonly Cell[])[]
}

const oids: Readonly<Record<CellType, { readonly oid: number; readonly size: number }>> = {
  text: { oid: 25, size: -1 },
  int4: { oid: 23, size: 4 },
  int8: { oid: 20, size: 8 },
  numeric: { oid: 1700, size: -1 },
}

/** `formats` of a Bind: none, one for all, or one for each column. */
export type Formats = readonly number[]

function formatOf(formats: Formats, index: number): number {
  return (formats.length === 1 ? formats[0] : formats[index]) ?? 0
}

export function rowDescription(columns: readonly TableColumn[], formats: Formats = []): Buffer {
  const frame = new FrameWriter(Backend.RowDescription, 2 + 32 * columns.length).int16(columns.length)
  for (const [index, { name, type }] of columns.entries()) {
    const { oid, size } = oids[type]
    frame.cstring(name).int32(0).int16(0).uint32(oid).int16(size).int32(-1).int16(formatOf(formats, index))
  }
  return frame.end()
}

export function dataRow(columns: readonly TableColumn[], cells: readonly Cell[], formats: Formats = []): Buffer {
  const frame = new FrameWriter(Backend.DataRow).int16(columns.length)
  for (const [index, { type }] of columns.entries()) {
    const cell = cells[index] ?? null
    if (cell === null) frame.int32(-1)
    else if (formatOf(formats, index) === 0 || type === 'text') frame.value(shown(cell))
    else frame.value(binary(type, Number(cell)))
  }
  return frame.end()
}

/** A NUL would end a text early. */
function shown(cell: string | number): string {
  return String(cell).replaceAll('\0', '')
}

function binary(type: Exclude<CellType, 'text'>, value: number): Buffer {
  switch (type) {
    case 'int4': {
      const bytes = Buffer.alloc(4)
      bytes.writeInt32BE(Math.max(-0x80000000, Math.min(0x7fffffff, value)))
      return bytes
    }
    case 'int8': {
      const bytes = Buffer.alloc(8)
      bytes.writeBigInt64BE(BigInt(value))
      return bytes
    }
    case 'numeric':
      return numeric(value)
  }
}

/** PostgreSQL's numeric: digits to the base of 10,000, the weight of the first, the sign, no decimals. */
function numeric(value: number): Buffer {
  const digits: number[] = []
  for (let left = Math.abs(value); left > 0; left = Math.floor(left / 10_000)) digits.unshift(left % 10_000)
  const bytes = Buffer.alloc(8 + 2 * digits.length)
  bytes.writeInt16BE(digits.length, 0)
  bytes.writeInt16BE(Math.max(0, digits.length - 1), 2)
  bytes.writeUInt16BE(value < 0 ? 0x4000 : 0, 4)
  for (const [index, digit] of digits.entries()) bytes.writeInt16BE(digit, 8 + 2 * index)
  return bytes
}

/** `name:text port:int4`, which reads better in tables of twenty columns than objects do. */
export function columns(spec: string): readonly TableColumn[] {
  return spec
    .trim()
    .split(/\s+/)
    .map((word) => {
      const [name = '', type = 'text'] = word.split(':')
      return { name, type: type as CellType }
    })
}
