// sharding/key-array.ts — the array of `= ANY(…)`, as text (`{1,2,NULL}`) or in binary, element by element. NULL elements
// equal nothing, so they are left out. Only arrays of one dimension: others are refused, not flattened.
import type { KeyType } from './sharded.js'
import { problem, readKey, type Key, type KeyProblem } from './key.js'
import { readBinaryKey, typeOfOid } from './key-binary.js'

/** Keys of an array in text format. An empty array gives []. */
export function readKeyArray(keyType: KeyType, text: string): readonly Key[] | KeyProblem {
  const elements = splitArray(text)
  if (elements === null) return problem('cannot be read as an array of one dimension')
  const keys: Key[] = []
  for (const element of elements) {
    if (element === null) continue
    const key = readKey(keyType, element)
    if (key.kind === 'problem') return key
    keys.push(key)
  }
  return keys
}

const space = /[ \t\n\v\f\r]/

/** `{a,"b \"c",NULL}` → ['a', 'b "c', null]; null where it is not an array literal of one dimension. */
export function splitArray(text: string): readonly (string | null)[] | null {
  const body = /^[ \t\n\v\f\r]*\{([^]*)\}[ \t\n\v\f\r]*$/.exec(text)?.[1]
  if (body === undefined) return null
  const elements: (string | null)[] = []
  let at = skipSpace(body, 0)
  if (at === body.length) return elements
  for (;;) {
    const element = body[at] === '"' ? quotedElement(body, at) : bareElement(body, at)
    if (element === null) return null
    elements.push(element.value)
    at = skipSpace(body, element.end)
    if (at === body.length) return elements
    if (body[at] !== ',') return null
    at = skipSpace(body, at + 1)
  }
}

interface Element {
  readonly value: string | null
  readonly end: number
}

function skipSpace(body: string, from: number): number {
  let at = from
  while (at < body.length && space.test(body.charAt(at))) at++
  return at
}

function quotedElement(body: string, from: number): Element | null {
  let value = ''
  for (let at = from + 1; at < body.length; at++) {
    const char = body.charAt(at)
    if (char === '"') return { value, end: at + 1 }
    if (char === '\\') at++
    value += body.charAt(at)
  }
  return null
}

function bareElement(body: string, from: number): Element | null {
  let value = ''
  let kept = 0
  let escaped = false
  let at = from
  for (; at < body.length && body[at] !== ','; at++) {
    let char = body.charAt(at)
    if (char === '"' || char === '{' || char === '}') return null
    const literal = char === '\\'
    if (literal) {
      char = body.charAt(++at)
      escaped = true
    }
    value += char
    if (literal || !space.test(char)) kept = value.length
  }
  value = value.slice(0, kept)
  if (value === '') return null
  return { value: !escaped && value.toUpperCase() === 'NULL' ? null : value, end: at }
}

/** Keys of an array in binary format (array_recv): dimensions, a NULL flag, the element's oid, then lengths and values. */
export function readBinaryKeyArray(keyType: KeyType, bytes: Uint8Array): readonly Key[] | KeyProblem {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 12) return malformed()
  const dimensions = view.getInt32(0)
  const type = typeOfOid(keyType, view.getUint32(8))
  if (type === null) return problem(`is an array of a type that does not compare with ${keyType} as such`)
  if (dimensions === 0) return []
  if (dimensions !== 1 || bytes.length < 20) return problem('is not an array of one dimension')
  const count = view.getInt32(12)
  const keys: Key[] = []
  let at = 20
  for (let i = 0; i < count; i++) {
    if (at + 4 > bytes.length) return malformed()
    const length = view.getInt32(at)
    at += 4
    if (length === -1) continue
    if (length < 0 || at + length > bytes.length) return malformed()
    const key = readBinaryKey(type, bytes.subarray(at, at + length))
    if (key.kind === 'problem') return key
    keys.push(key)
    at += length
  }
  return at === bytes.length ? keys : malformed()
}

function malformed(): KeyProblem {
  return problem('is no array in binary format')
}
