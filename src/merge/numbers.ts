// merge/numbers.ts — int2, int4, int8 and numeric read and written as exact numbers: what HAVING compares, what sums are made of,
// and what they are sent as.
import type { Numeric } from './numeric.js'
import { numericFromBinary, numericFromText, numericToBinary, numericToText } from './numeric.js'
import { int2Binary, int4Binary, readInt64, readWholeText, type Whole } from './plain-types.js'
import { outOfRange } from './problems.js'
import { Type } from './types.js'
import { latin1, viewOf, type Format } from './value-type.js'

/** Reads an integer of this type; null: it is none. */
export function wholeReader(oid: number, format: Format): ((bytes: Uint8Array) => Whole) | null {
  if (oid !== Type.int2 && oid !== Type.int4 && oid !== Type.int8) return null
  if (format === 0) return readWholeText
  if (oid === Type.int8) return (bytes) => readInt64(bytes)
  const type = oid === Type.int4 ? int4Binary : int2Binary
  return (bytes) => type.read(bytes)
}

/** Reads an integer or a numeric; null: the type is neither. */
export function numberReader(oid: number, format: Format): ((bytes: Uint8Array) => Numeric) | null {
  if (oid === Type.numeric) return format === 1 ? numericFromBinary : (bytes) => numericFromText(latin1(bytes))
  const whole = wholeReader(oid, format)
  return whole === null ? null : (bytes) => ({ unscaled: BigInt(whole(bytes)), scale: 0 })
}

export function writeNumeric(value: Numeric, format: Format): Uint8Array {
  return format === 1 ? numericToBinary(value) : Buffer.from(numericToText(value))
}

/** Adds two integers exactly. */
export function addWhole(a: Whole, b: Whole): Whole {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b
    if (Number.isSafeInteger(sum)) return sum
  }
  return BigInt(a) + BigInt(b)
}

/** Eight bytes or their text; 22003 with `type` in it where the value leaves the range. */
export function writeInt8(value: Whole, format: Format, type: 'bigint' | 'money'): Uint8Array {
  if (value > 0x7fffffffffffffffn || value < -0x8000000000000000n) throw outOfRange(`${type} out of range`)
  if (format === 0) return Buffer.from(String(value))
  const bytes = new Uint8Array(8)
  viewOf(bytes).setBigInt64(0, BigInt(value))
  return bytes
}
