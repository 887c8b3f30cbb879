// merge/numeric-type.ts — numeric as a key: sign, weight of the first digit, digits without the zeros at either end. That
// compares exactly and costs no big integer. Text counts weight and digits in tens, binary in ten thousands; a column has
// one format on all parts, so the two never meet.
import { latin1, type ValueType } from './value-type.js'
import { numericFields } from './numeric.js'
import { cannotRead } from './problems.js'

interface NumericKey {
  /** -2 for -Infinity, -1, 0, 1, 2 for Infinity, 3 for NaN, which is the largest. */
  readonly rank: number
  readonly weight: number
  /** Orders as text. */
  readonly digits: string
}

const zero: NumericKey = { rank: 0, weight: 0, digits: '' }
const minusInfinity: NumericKey = { rank: -2, weight: 0, digits: '' }
const infinity: NumericKey = { rank: 2, weight: 0, digits: '' }
const nan: NumericKey = { rank: 3, weight: 0, digits: '' }

function compare(a: NumericKey, b: NumericKey): number {
  if (a.rank !== b.rank) return a.rank - b.rank
  const magnitude = a.weight - b.weight || (a.digits < b.digits ? -1 : a.digits > b.digits ? 1 : 0)
  return a.rank < 0 ? -magnitude : magnitude
}

function key({ rank, weight, digits }: NumericKey): string {
  return `${rank}:${weight}:${digits}`
}

const plain = /^-?([0-9]+)(?:\.([0-9]+))?$/

function fromText(bytes: Uint8Array): NumericKey {
  const text = latin1(bytes)
  const match = plain.exec(text)
  if (match === null) return special(text)
  const whole = match[1] as string
  const digits = whole + (match[2] ?? '')
  let [from, to] = [0, digits.length]
  while (from < to && digits.charCodeAt(from) === 0x30) from++
  if (from === to) return zero
  while (digits.charCodeAt(to - 1) === 0x30) to--
  return { rank: bytes[0] === 0x2d ? -1 : 1, weight: whole.length - from, digits: digits.slice(from, to) }
}

function special(text: string): NumericKey {
  if (text === 'NaN') return nan
  if (text === 'Infinity') return infinity
  if (text === '-Infinity') return minusInfinity
  throw cannotRead('numeric')
}

function fromBinary(bytes: Uint8Array): NumericKey {
  const { sign, weight, digits } = numericFields(bytes)
  if (sign === 0xc000) return nan
  if (sign === 0xd000) return infinity
  if (sign === 0xf000) return minusInfinity
  let [from, to] = [0, digits.length]
  while (from < to && digits[from] === 0) from++
  if (from === to) return zero
  while (digits[to - 1] === 0) to--
  return { rank: sign === 0 ? 1 : -1, weight: weight - from, digits: String.fromCharCode(...digits.slice(from, to)) }
}

export const numericText: ValueType<NumericKey> = { read: fromText, compare, key }
export const numericBinary: ValueType<NumericKey> = { read: fromBinary, compare, key }
