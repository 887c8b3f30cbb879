// sharding/read-keys.ts — a whole key from texts: one for each of its columns, or one text that holds them all, which is an
// array literal where the key has several columns (`{7,de}`).
import { splitArray } from './key-array.js'
import { problem, readKey, type Key, type KeyProblem } from './key.js'
import type { Sharded } from './sharded.js'

/** One text for each column. */
export function readKeys(sharded: Sharded, texts: readonly string[]): readonly Key[] | KeyProblem {
  if (texts.length !== sharded.keyTypes.length)
    return problem(`has ${String(sharded.keyTypes.length)} columns: ${sharded.keyTypes.join(', ')}`)
  const keys: Key[] = []
  for (const [column, type] of sharded.keyTypes.entries()) {
    const key = readKey(type, texts[column] ?? '')
    if (key.kind === 'problem') return key
    keys.push(key)
  }
  return keys
}

/** A hint's or setting's text. */
export function readWholeKey(sharded: Sharded, text: string): readonly Key[] | KeyProblem {
  if (sharded.keyTypes.length === 1) return readKeys(sharded, [text])
  const parts = splitArray(text)
  if (parts === null || parts.includes(null)) return problem(`is no list of ${sharded.keyTypes.join(', ')}, such as {7,de}`)
  return readKeys(
    sharded,
    parts.map((part) => part ?? ''),
  )
}
