// routing/key-values.ts — one operand of a key (literal, parameter, array) → the keys that it says, read as the key's type
// reads them. What the server would compare by another type's rule is refused with words, never imitated.
import { readKeyArray, readBinaryKeyArray } from '../sharding/key-array.js'
import { comparable, readBinaryKey, typeOfArrayOid, typeOfOid } from '../sharding/key-binary.js'
import { problem, readKey, type Key, type KeyProblem } from '../sharding/key.js'
import type { KeyType } from '../sharding/sharded.js'
import { literalText } from '../sql/literal-text.js'
import type { Operand, Understood } from '../sql/statement.js'
import type { ParameterSource, ParameterValue } from './input.js'

/** The values of one execution. */
interface Given {
  readonly understood: Understood
  readonly parameters: ParameterSource | null
}

/** `missing`: it says no value; `unknown`: it is not known yet. */
export type Read = readonly Key[] | KeyProblem | 'missing' | 'unknown' | 'null'

/** Of a ShardNeed: parameters that also stand where no key is. */
interface Elsewhere {
  readonly elsewhere: ReadonlySet<number>
}

export function readOperand(need: Elsewhere, keyType: KeyType, operand: Operand, values: Given): Read {
  switch (operand.kind) {
    case 'null':
      return 'null'
    case 'default':
    case 'other':
      return 'missing'
    case 'literal':
      return readLiteral(keyType, operand, values.understood)
    case 'arrayLiteral':
      return readArrayLiteral(keyType, operand, values.understood)
    case 'param':
      return readParameter(need, keyType, operand, values.parameters?.get(operand.number))
  }
}

/** Names under which a cast keeps the key's own kind of value; the type that the value is then read as. */
const casts: Readonly<Record<string, KeyType>> = {
  int2: 'smallint',
  smallint: 'smallint',
  int4: 'integer',
  int: 'integer',
  integer: 'integer',
  int8: 'bigint',
  bigint: 'bigint',
  text: 'text',
  varchar: 'varchar',
  'character varying': 'varchar',
  uuid: 'uuid',
}

/** The type that a cast makes of a value; null: one that does not compare with the key as such. */
export function castType(keyType: KeyType, cast: string | null, array: boolean): KeyType | null {
  if (cast === null) return keyType
  const bare = cast.replace(/^pg_catalog\./, '')
  const element = array ? bare.replace(/\[\]$/, '').replace(/^_/, '') : bare
  const type = casts[element]
  return type !== undefined && comparable(keyType, type) ? type : null
}

function wrongCast(keyType: KeyType): KeyProblem {
  return problem(`is cast to a type that does not compare with ${keyType} as such`)
}

function readLiteral(keyType: KeyType, operand: Extract<Operand, { kind: 'literal' }>, understood: Understood): Read {
  const type = castType(keyType, operand.cast, false)
  if (type === null) return wrongCast(keyType)
  const literal = understood.literals[operand.index]
  if (literal === undefined) return 'missing'
  const isNumber = literal.class === 'integer'
  const wantsNumber = comparable(keyType, 'bigint')
  // An unquoted number for a text key would be rewritten by a cast ('007' and 7), and a quoted one has no minus before it.
  if (isNumber !== wantsNumber && literal.class !== 'string') return problem(`is not a literal of ${keyType}`)
  const text = literalText(understood.text, literal)
  if (text === null || (operand.negated && !isNumber)) return problem(`is not a literal of ${keyType}`)
  return single(readKey(type, operand.negated ? `-${text}` : text))
}

function readArrayLiteral(keyType: KeyType, operand: Extract<Operand, { kind: 'arrayLiteral' }>, understood: Understood): Read {
  const type = castType(keyType, operand.cast, true)
  if (type === null) return wrongCast(keyType)
  const literal = understood.literals[operand.index]
  const text = literal?.class === 'string' ? literalText(understood.text, literal) : null
  return text === null ? problem('is not an array literal') : readKeyArray(type, text)
}

function readParameter(
  need: Elsewhere,
  keyType: KeyType,
  operand: Extract<Operand, { kind: 'param' }>,
  value: ParameterValue | null | undefined,
): Read {
  if (value === undefined) return 'unknown'
  if (value === null) return 'null'
  const keys = readValue(keyType, operand, value)
  const declared = value.oid !== undefined && value.oid !== 0 && value.oid !== 705
  if ('problem' in keys || declared || !need.elsewhere.has(operand.number)) return keys
  return 'text' in value && keys.every(sameInAnyType) ? keys : typeFromElsewhere
}

const typeFromElsewhere = problem(
  'is a parameter without a declared type that stands in other places too, one of which may decide its type: use a parameter of its own',
)

/** What numeric, double precision, char(n) and name would all compare as the key's own type does. */
function sameInAnyType(key: Key): boolean {
  return key.kind === 'bytes' ? !key.text.endsWith(' ') && key.bytes.length < 64 : Math.abs(key.high) < 0x200000
}

function readValue(keyType: KeyType, operand: Extract<Operand, { kind: 'param' }>, value: ParameterValue): readonly Key[] | KeyProblem {
  const cast = castType(keyType, operand.cast, operand.array)
  if (cast === null) return wrongCast(keyType)
  const oid = value.oid ?? 0
  const type = operand.array ? typeOfArrayOid(cast, oid) : typeOfOid(cast, oid)
  if (type === null) return problem(`is a parameter of a type that does not compare with ${keyType} as such`)
  if ('text' in value) return operand.array ? readKeyArray(type, value.text) : single(readKey(type, value.text))
  return operand.array ? readBinaryKeyArray(type, value.binary) : single(readBinaryKey(type, value.binary))
}

function single(key: Key | KeyProblem): readonly Key[] | KeyProblem {
  return key.kind === 'problem' ? key : [key]
}
