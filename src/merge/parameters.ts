// merge/parameters.ts — the few parameters that the merge reads itself: LIMIT, OFFSET, and what HAVING compares with.
import { PointsmanError } from '../errors/error.js'
import { keyText, readKey } from '../sharding/key.js'
import type { Count } from './contract.js'
import { numberReader } from './numbers.js'
import { numericFromLiteral, type Numeric } from './numeric.js'
import { broken, refused } from './problems.js'
import { Type, typeName } from './types.js'
import type { Format } from './value-type.js'

/** As Bind has it, with the type that the server says the parameter is of. */
export interface MergeParameter {
  readonly oid: number
  readonly format: Format
  readonly value: Uint8Array | null
}

/** Parameter `n` is at `n - 1`. */
export type Parameters = readonly MergeParameter[]

/** The value of parameter `number` as an exact number; null: NULL. Refused where it is of another type. */
export function numericParameter(parameters: Parameters, number: number): Numeric | null {
  const parameter = parameters[number - 1]
  if (parameter === undefined) throw broken(`there is no parameter $${number}`)
  const { oid, format, value } = parameter
  const read = numberReader(oid, format)
  if (read === null) throw refused(`cannot merge: parameter $${number} is of type ${typeName(oid)}, not an integer or numeric`)
  if (value === null) return null
  if (format === 1) return read(value)
  const result = oid === Type.numeric ? numericFromLiteral(textOf(value)) : integerText(textOf(value))
  if (result === null) throw refused(`cannot merge: parameter $${number} is not a plain number`)
  return result
}

function integerText(text: string): Numeric | null {
  const key = readKey('bigint', text)
  return key.kind === 'problem' ? null : { unscaled: BigInt(keyText(key)), scale: 0 }
}

function textOf(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')
}

/** Rows that LIMIT or OFFSET says; null: it says nothing. */
export function countOf(count: Count, parameters: Parameters, clause: 'limit' | 'offset'): number | null {
  if (count.kind === 'none') return null
  const value = count.kind === 'value' ? count.value : wholeParameter(parameters, count.number)
  if (value === null) return null
  if (value < 0n) throw new PointsmanError(clause === 'limit' ? 'negative_limit' : 'negative_offset')
  // More rows than a double counts are more than there are.
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value)
}

function wholeParameter(parameters: Parameters, number: number): bigint | null {
  const value = numericParameter(parameters, number)
  if (value === null) return null
  if (typeof value === 'string' || value.scale !== 0)
    throw refused(`cannot merge: parameter $${number} of LIMIT or OFFSET is not an integer`)
  return value.unscaled
}
