// sharding/key.ts — one shard key value, read as PostgreSQL's own input function of the key's type reads it (PostgreSQL
// 16 and later). What cannot be read, is out of range or is NULL has no shard: the answer is words, never a guess, and
// never the value itself (values do not go into errors or logs).
import type { KeyType } from './key-type.js'

/** `integer`: the two halves of the int8, `high` signed. `bytes`: what the server hashes. `text`: as the type's output function writes it. */
export type Key =
  | { readonly kind: 'integer'; readonly high: number; readonly low: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly text: string }

/** Why a value is no key, as the end of a sentence: `is out of range for integer`. */
export interface KeyProblem {
  readonly kind: 'problem'
  readonly problem: string
  /** True: the key is good, and the function that was to place it is at fault. */
  readonly ofFunction?: true
}

const encoder = new TextEncoder()

/** Reads `text` as the input function of `keyType` does. Shapes: `' 42 '`, `0x2A`, `1_000` for integers; `{UUID}`, any case, for uuid. */
export function readKey(keyType: KeyType, text: string): Key | KeyProblem {
  switch (keyType) {
    case 'smallint':
      return readInteger(text, 'smallint', 0x7fffn)
    case 'integer':
      return readInteger(text, 'integer', 0x7fffffffn)
    case 'bigint':
      return readInteger(text, 'bigint', 0x7fffffffffffffffn)
    case 'text':
    case 'varchar':
      return readText(text)
    case 'uuid':
      return readUuid(text)
  }
}

/** The key as its type's output function writes it: what `list` maps name. */
export function keyText(key: Key): string {
  return key.kind === 'bytes' ? key.text : String((BigInt(key.high) << 32n) | BigInt(key.low >>> 0))
}

/** A signed integer below 2⁵³ as a key. */
export function integerKey(value: number): Key {
  return { kind: 'integer', high: Math.floor(value / 0x100000000), low: value | 0 }
}

const plainInteger = /^-?[0-9]{1,15}$/
// strtoint64 of numutils.c: C's isspace around, one sign, a prefix of its own for each base, single underscores between digits.
const anyInteger =
  /^[ \t\n\v\f\r]*([+-]?)(?:0[xX]((?:_?[0-9A-Fa-f])+)|0[oO]((?:_?[0-7])+)|0[bB]((?:_?[01])+)|([0-9]+(?:_[0-9]+)*))[ \t\n\v\f\r]*$/

function readInteger(text: string, type: string, max: bigint): Key | KeyProblem {
  if (max > 0x7fffffffn && plainInteger.test(text)) return integerKey(Number(text))
  const match = anyInteger.exec(text)
  if (match === null) return problem(`cannot be read as ${type}`)
  const [, sign, hex, octal, binary, decimal] = match
  const magnitude = BigInt(digits(hex, '0x') ?? digits(octal, '0o') ?? digits(binary, '0b') ?? digits(decimal, '') ?? '0')
  const value = sign === '-' ? -magnitude : magnitude
  if (value > max || value < -max - 1n) return problem(`is out of range for ${type}`)
  return { kind: 'integer', high: Number(value >> 32n), low: Number(BigInt.asIntN(32, value)) }
}

function digits(found: string | undefined, prefix: string): string | null {
  return found === undefined ? null : prefix + found.replaceAll('_', '')
}

function readText(text: string): Key | KeyProblem {
  if (text.includes('\0')) return problem('holds a zero byte')
  if (/\p{Surrogate}/u.test(text)) return problem('is not valid Unicode')
  return { kind: 'bytes', bytes: encoder.encode(text), text }
}

// string_to_uuid of uuid.c: a hyphen may stand after every second byte but the last, braces come in pairs, no white space.
const anyUuid = /^(\{?)(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}(\}?)$/i

function readUuid(text: string): Key | KeyProblem {
  const match = anyUuid.exec(text)
  if (match === null || (match[1] === '') !== (match[2] === '')) return problem('cannot be read as uuid')
  const hex = text.replace(/[{}-]/g, '').toLowerCase()
  const bytes = new Uint8Array(16)
  for (let i = 0; i < 16; i++) bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16)
  return uuidKey(bytes)
}

/** Sixteen bytes as a uuid key. */
export function uuidKey(bytes: Uint8Array): Key {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  const text = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
  return { kind: 'bytes', bytes, text }
}

export function problem(words: string): KeyProblem {
  return { kind: 'problem', problem: words }
}
