// merge/numeric.ts — PostgreSQL's numeric as an exact decimal: an integer of any size times a power of ten, or NaN, or an
// infinity. `scale` is the display scale (dscale), which is part of a result: 1.50 + 1 is 2.50. No float is ever involved.
// The wire's binary form is base 10000: ndigits, weight, sign, dscale, digits (numeric_send of numeric.c).
import { cannotRead, outOfRange } from './problems.js'

/** A finite value: `unscaled` × 10^-`scale`. */
export interface Decimal {
  readonly unscaled: bigint
  readonly scale: number
}

export type Numeric = Decimal | 'NaN' | 'Infinity' | '-Infinity'

const negativeSign = 0x4000
const signs: Readonly<Record<Exclude<Numeric, Decimal>, number>> = { NaN: 0xc000, Infinity: 0xd000, '-Infinity': 0xf000 }
const specials: ReadonlyMap<number, Exclude<Numeric, Decimal>> = new Map([
  [0xc000, 'NaN'],
  [0xd000, 'Infinity'],
  [0xf000, '-Infinity'],
])
/** Digits before the point that numeric can hold. */
const mostDigits = 131_072
const plain = /^-?[0-9]+(?:\.[0-9]+)?$/

/** Reads what numeric_out writes: no exponent, no blanks. */
export function numericFromText(text: string): Numeric {
  if (text === 'NaN' || text === 'Infinity' || text === '-Infinity') return text
  if (!plain.test(text)) throw cannotRead('numeric')
  const point = text.indexOf('.')
  if (point < 0) return { unscaled: BigInt(text), scale: 0 }
  return { unscaled: BigInt(text.slice(0, point) + text.slice(point + 1)), scale: text.length - point - 1 }
}

/** Reads the binary format. */
export function numericFromBinary(bytes: Uint8Array): Numeric {
  const { sign, weight, scale, digits } = numericFields(bytes)
  const special = specials.get(sign)
  if (special !== undefined) return special
  if (digits.length === 0) return { unscaled: 0n, scale }
  let text = ''
  for (const digit of digits) text += String(digit).padStart(4, '0')
  const shift = (weight - digits.length + 1) * 4 + scale
  const magnitude = shift >= 0 ? BigInt(text) * power(shift) : BigInt(text) / power(-shift)
  return { unscaled: sign === negativeSign ? -magnitude : magnitude, scale }
}

/** The parts of the binary format; digits are base 10000, the first of them times 10000^weight. */
export function numericFields(bytes: Uint8Array): { sign: number; weight: number; scale: number; digits: number[] } {
  if (bytes.length < 8) throw cannotRead('numeric')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const count = view.getUint16(0)
  if (bytes.length !== 8 + 2 * count) throw cannotRead('numeric')
  const digits: number[] = []
  for (let index = 0; index < count; index++) digits.push(view.getUint16(8 + 2 * index))
  return { sign: view.getUint16(4), weight: view.getInt16(2), scale: view.getUint16(6), digits }
}

/** As numeric_out writes it. */
export function numericToText(value: Numeric): string {
  if (typeof value === 'string') return value
  if (value.scale === 0) return value.unscaled.toString()
  const [sign, whole, fraction] = split(value)
  return `${sign}${whole}.${fraction}`
}

/** As numeric_send writes it. */
export function numericToBinary(value: Numeric): Uint8Array {
  // The server shows the scale bits of its own header, which for infinities say 32.
  if (typeof value === 'string') return fields(signs[value], 0, value === 'NaN' ? 0 : 32, [])
  const [sign, whole, fraction] = split(value)
  const left = whole.padStart(Math.ceil(whole.length / 4) * 4, '0')
  const text = left + fraction.padEnd(Math.ceil(fraction.length / 4) * 4, '0')
  const digits: number[] = []
  for (let at = 0; at < text.length; at += 4) digits.push(Number(text.slice(at, at + 4)))
  let [from, to] = [0, digits.length]
  while (to > 0 && digits[to - 1] === 0) to--
  while (from < to && digits[from] === 0) from++
  if (from === to) return fields(0, 0, value.scale, [])
  return fields(sign === '' ? 0 : negativeSign, left.length / 4 - 1 - from, value.scale, digits.slice(from, to))
}

function fields(sign: number, weight: number, scale: number, digits: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(8 + 2 * digits.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, digits.length)
  view.setInt16(2, weight)
  view.setUint16(4, sign)
  view.setUint16(6, scale)
  digits.forEach((digit, index) => view.setUint16(8 + 2 * index, digit))
  return bytes
}

function split({ unscaled, scale }: Decimal): [sign: string, whole: string, fraction: string] {
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0')
  const point = digits.length - scale
  return [unscaled < 0n ? '-' : '', digits.slice(0, point), digits.slice(point)]
}

/** a + b, as numeric_add and sum(numeric) do it: the scale is the larger one, NaN spreads, infinities of two signs are NaN. */
export function addNumeric(a: Numeric, b: Numeric): Numeric {
  if (typeof a === 'string' || typeof b === 'string') return addSpecial(a, b)
  if (a.scale === b.scale) return { unscaled: a.unscaled + b.unscaled, scale: a.scale }
  const scale = Math.max(a.scale, b.scale)
  return { unscaled: a.unscaled * power(scale - a.scale) + b.unscaled * power(scale - b.scale), scale }
}

function addSpecial(a: Numeric, b: Numeric): Numeric {
  if (a === 'NaN' || b === 'NaN') return 'NaN'
  if (typeof a !== 'string') return b
  return typeof b !== 'string' || a === b ? a : 'NaN'
}

/** The sum as a result: too many digits are an error, as they are in PostgreSQL. */
export function checkedNumeric(value: Numeric): Numeric {
  if (typeof value === 'string' || split(value)[1].length <= mostDigits) return value
  throw outOfRange('value overflows numeric format')
}

/**
 * a / b for a count b > 0, as numeric_div does it: select_div_scale() chooses at least sixteen significant digits from the
 * base-10000 weights of both, the exact quotient is rounded half away from zero.
 */
export function averageNumeric(sum: Numeric, count: bigint): Numeric {
  if (typeof sum === 'string') return sum
  const divisor: Decimal = { unscaled: count, scale: 0 }
  const scale = divisionScale(sum, divisor)
  const negative = sum.unscaled < 0n
  const dividend = (negative ? -sum.unscaled : sum.unscaled) * power(scale - sum.scale)
  const quotient = dividend / count
  const rounded = (dividend - quotient * count) * 2n >= count ? quotient + 1n : quotient
  return { unscaled: negative ? -rounded : rounded, scale }
}

function divisionScale(dividend: Decimal, divisor: Decimal): number {
  const a = leading(dividend)
  const b = leading(divisor)
  const weight = a.weight - b.weight - (a.digit <= b.digit ? 1 : 0)
  return Math.min(Math.max(16 - weight * 4, dividend.scale, divisor.scale, 0), 1000)
}

/** The first non-zero base-10000 digit and its weight; zero has both 0. */
function leading(value: Decimal): { weight: number; digit: number } {
  if (value.unscaled === 0n) return { weight: 0, digit: 0 }
  const digits = (value.unscaled < 0n ? -value.unscaled : value.unscaled).toString()
  // The place of the first decimal digit: 0 for units, -1 for tenths.
  const place = digits.length - 1 - value.scale
  const weight = Math.floor(place / 4)
  return { weight, digit: Number(digits.slice(0, place - weight * 4 + 1).padEnd(place - weight * 4 + 1, '0')) }
}

const powers: bigint[] = []

function power(exponent: number): bigint {
  if (exponent > 1000) return 10n ** BigInt(exponent)
  return (powers[exponent] ??= 10n ** BigInt(exponent))
}

/** By value: NaN is the largest and equals itself. */
export function compareNumeric(a: Numeric, b: Numeric): number {
  if (typeof a === 'string' || typeof b === 'string') return rank(a) - rank(b)
  const scale = Math.max(a.scale, b.scale)
  const difference = a.unscaled * power(scale - a.scale) - b.unscaled * power(scale - b.scale)
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}

function rank(value: Numeric): number {
  if (typeof value !== 'string') return 0
  return value === 'NaN' ? 2 : value === 'Infinity' ? 1 : -1
}

const literal = /^[ \t\n\v\f\r]*([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,4}))?[ \t\n\v\f\r]*$/

/** A number as people write it: `1`, `-1.50`, `.5`, `1e3`. null: it is not one of these. */
export function numericFromLiteral(text: string): Numeric | null {
  if (/^[ \t\n\v\f\r]*nan[ \t\n\v\f\r]*$/i.test(text)) return 'NaN'
  const match = literal.exec(text)
  const [, sign, whole = '', fraction = '', exponent = '0'] = match ?? []
  if (match === null || whole + fraction === '') return null
  const magnitude = BigInt(whole + fraction)
  const unscaled = sign === '-' ? -magnitude : magnitude
  const scale = fraction.length - Number(exponent)
  return scale >= 0 ? { unscaled, scale } : { unscaled: unscaled * power(-scale), scale: 0 }
}
