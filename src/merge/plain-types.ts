// merge/plain-types.ts — bool, integers, oids, floats, and all that compares by its bytes. An integer is a number where a
// double holds it exactly, else a bigint: JavaScript compares the two exactly.
import { latin1, viewOf, type ValueType } from './value-type.js'
import { cannotRead } from './problems.js'

export type Whole = number | bigint

export function compareWhole(a: Whole, b: Whole): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function wholeType(read: (bytes: Uint8Array) => Whole): ValueType<Whole> {
  return { read, compare: compareWhole, key: String }
}

/** Digits of which a double holds any number. */
const exactDigits = 15
const digitsOnly = /^-?[0-9]+$/

/** Decimal digits, with a minus perhaps, as the output functions of integers write them. */
export function readWholeText(bytes: Uint8Array): Whole {
  const negative = bytes[0] === 0x2d
  const from = negative ? 1 : 0
  const end = bytes.length
  if (end === from) throw cannotRead('integer')
  if (end - from > exactDigits) return readLongText(bytes)
  let value = 0
  for (let at = from; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30
    if (digit < 0 || digit > 9) throw cannotRead('integer')
    value = value * 10 + digit
  }
  return negative ? -value : value
}

function readLongText(bytes: Uint8Array): bigint {
  const text = latin1(bytes)
  if (!digitsOnly.test(text)) throw cannotRead('integer')
  return BigInt(text)
}

/** Eight bytes, signed. */
export function readInt64(bytes: Uint8Array, at: number = 0): Whole {
  const high = int32(bytes, at)
  const low = int32(bytes, at + 4) >>> 0
  if (high >= -0x200000 && high < 0x200000) return high * 0x100000000 + low
  return (BigInt(high) << 32n) | BigInt(low)
}

function int32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)
}

/** `length` bytes, or it is not a value of the type. */
export function sized<T>(type: string, length: number, read: (bytes: Uint8Array) => T): (bytes: Uint8Array) => T {
  return (bytes) => {
    if (bytes.length !== length) throw cannotRead(type)
    return read(bytes)
  }
}

export const wholeText: ValueType<Whole> = wholeType(readWholeText)
export const int2Binary: ValueType<Whole> = wholeType(sized('smallint', 2, (bytes) => viewOf(bytes).getInt16(0)))
export const int4Binary: ValueType<Whole> = wholeType(sized('integer', 4, (bytes) => int32(bytes, 0)))
export const int8Binary: ValueType<Whole> = wholeType(sized('bigint', 8, (bytes) => readInt64(bytes)))
export const oidBinary: ValueType<Whole> = wholeType(sized('oid', 4, (bytes) => int32(bytes, 0) >>> 0))

export const boolBinary: ValueType<Whole> = wholeType(sized('boolean', 1, (bytes) => (bytes[0] === 0 ? 0 : 1)))
export const boolText: ValueType<Whole> = wholeType(
  sized('boolean', 1, (bytes) => {
    if (bytes[0] !== 0x74 && bytes[0] !== 0x66) throw cannotRead('boolean')
    return bytes[0] === 0x74 ? 1 : 0
  }),
)

/** "char": one byte, compared unsigned. As text the zero byte is nothing, and a byte above 127 is a backslash and three octal digits. */
export const charBinary: ValueType<Whole> = wholeType(sized('"char"', 1, (bytes) => bytes[0] as number))
export const charText: ValueType<Whole> = wholeType((bytes) => {
  if (bytes.length <= 1) return bytes[0] ?? 0
  const text = latin1(bytes)
  if (!/^\\[0-7]{3}$/.test(text)) throw cannotRead('"char"')
  return Number.parseInt(text.slice(1), 8)
})

/** pg_lsn: eight bytes, unsigned; as text two hexadecimal halves. */
export const lsnBinary: ValueType<Whole> = wholeType(sized('pg_lsn', 8, (bytes) => viewOf(bytes).getBigUint64(0)))
export const lsnText: ValueType<Whole> = wholeType((bytes) => {
  const match = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/.exec(latin1(bytes))
  if (match === null) throw cannotRead('pg_lsn')
  return (BigInt(`0x${match[1] as string}`) << 32n) | BigInt(`0x${match[2] as string}`)
})

/** NaN equals itself and is the largest; the two zeros are equal. */
function compareFloats(a: number, b: number): number {
  if (a === b) return 0
  if (Number.isNaN(a)) return Number.isNaN(b) ? 0 : 1
  return Number.isNaN(b) || a < b ? -1 : 1
}

function floatType(read: (bytes: Uint8Array) => number): ValueType<number> {
  return { read, compare: compareFloats, key: String }
}

const floatForm = /^(?:-?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?|Infinity)|NaN)$/

/** The shortest text that gives the same float again, as servers write it (extra_float_digits of 1 or more, the default). */
export const floatText: ValueType<number> = floatType((bytes) => {
  const text = latin1(bytes)
  if (!floatForm.test(text)) throw cannotRead('float')
  return Number(text)
})
export const float4Binary: ValueType<number> = floatType(sized('real', 4, (bytes) => viewOf(bytes).getFloat32(0)))
export const float8Binary: ValueType<number> = floatType(sized('double precision', 8, (bytes) => viewOf(bytes).getFloat64(0)))

function bytesType(read: (bytes: Uint8Array) => Uint8Array): ValueType<Uint8Array> {
  return { read, compare: (a, b) => Buffer.compare(a, b), key: latin1 }
}

/** Compared byte by byte as they are: text under "C", uuid, macaddr (their text too: lower case, fixed form), bit strings as text. */
export const rawBytes: ValueType<Uint8Array> = bytesType((bytes) => bytes)

/** char(n): blanks at the end count for nothing. */
export const blankPadded: ValueType<Uint8Array> = bytesType((bytes) => {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0x20) end--
  return end === bytes.length ? bytes : bytes.subarray(0, end)
})

/** bytea in its hex form, which orders as its bytes do; the other form (bytea_output = escape) is not read. */
export const byteaText: ValueType<Uint8Array> = bytesType((bytes) => {
  if (bytes[0] !== 0x5c || bytes[1] !== 0x78) throw cannotRead('bytea (bytea_output must be hex)')
  return bytes
})

/** bit and varbit: the bytes, then the number of bits. */
export const bitsBinary: ValueType<Uint8Array> = {
  read: (bytes) => bytes,
  compare: (a, b) => {
    const length = Math.min(a.length, b.length)
    return Buffer.compare(a.subarray(4, length), b.subarray(4, length)) || viewOf(a).getInt32(0) - viewOf(b).getInt32(0)
  },
  key: latin1,
}
