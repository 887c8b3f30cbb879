// sharding/key-binary.ts — shard keys in the binary format of Bind, by the type that Parse declared. A type that the
// server would compare with the key by a rule of its own (numeric, char(n), oid, …) is refused rather than imitated.
import type { KeyType } from './sharded.js'
import { integerKey, problem, readKey, uuidKey, type Key, type KeyProblem } from './key.js'

/** pg_type oids of the types a key may come in. */
const oids: Readonly<Record<number, KeyType>> = { 20: 'bigint', 21: 'smallint', 23: 'integer', 25: 'text', 1043: 'varchar', 2950: 'uuid' }
/** The arrays of them: oid → oid of the element. */
const arrayOids: Readonly<Record<number, number>> = { 1016: 20, 1005: 21, 1007: 23, 1009: 25, 1015: 1043, 2951: 2950 }
/** 0: left to the server, which infers the column's type. 705: unknown, the same. */
const inferred: ReadonlySet<number> = new Set([0, 705])

const families: Readonly<Record<KeyType, string>> = {
  smallint: 'integer',
  integer: 'integer',
  bigint: 'integer',
  text: 'text',
  varchar: 'text',
  uuid: 'uuid',
}

/** True if a value of type `given` compares with a column of type `keyType` as the same type of value. */
export function comparable(keyType: KeyType, given: KeyType): boolean {
  return families[keyType] === families[given]
}

/** The key type that a parameter of type `oid` is read as, for a column of `keyType`; null: not comparable. */
export function typeOfOid(keyType: KeyType, oid: number): KeyType | null {
  if (inferred.has(oid)) return keyType
  const given = oids[oid]
  return given !== undefined && comparable(keyType, given) ? given : null
}

/** As typeOfOid(), for the array of `= ANY`. */
export function typeOfArrayOid(keyType: KeyType, oid: number): KeyType | null {
  if (inferred.has(oid)) return keyType
  const element = arrayOids[oid]
  return element === undefined ? null : typeOfOid(keyType, element)
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads `bytes` as the receive function of `type` does. */
export function readBinaryKey(type: KeyType, bytes: Uint8Array): Key | KeyProblem {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  switch (type) {
    case 'smallint':
      return bytes.length === 2 ? integerKey(view.getInt16(0)) : wrongLength(type)
    case 'integer':
      return bytes.length === 4 ? integerKey(view.getInt32(0)) : wrongLength(type)
    case 'bigint':
      return bytes.length === 8 ? { kind: 'integer', high: view.getInt32(0), low: view.getInt32(4) } : wrongLength(type)
    case 'uuid':
      return bytes.length === 16 ? uuidKey(Uint8Array.from(bytes)) : wrongLength(type)
    case 'text':
    case 'varchar':
      try {
        return readKey(type, strict.decode(bytes))
      } catch {
        return problem('is not valid UTF-8')
      }
  }
}

function wrongLength(type: KeyType): KeyProblem {
  return problem(`has the wrong length for ${type} in binary format`)
}
