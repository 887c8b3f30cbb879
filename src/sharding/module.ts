// sharding/module.ts — `by: module`: a user's own function. It is called for every key, in the process, so it must be quick
// and pure; whatever else it does (throws, gives a promise, a shard that there is not) refuses the statement with words. The
// message of what it throws is not repeated: it may hold the key.
import { keyText, type Key, type KeyProblem } from './key.js'
import type { Sharded, ShardModule } from './sharded.js'

export function placeByModule(sharded: Sharded, module: ShardModule, keys: readonly Key[]): number | KeyProblem {
  let shard: unknown
  try {
    shard = module.place(...keys.map((key, column) => argument(sharded, key, column)))
  } catch (error) {
    return failed(`cannot be placed: the function of ${module.path} threw ${error instanceof Error ? named(error) : 'what is no Error'}`)
  }
  // Nobody waits for it: that it is rejected must not end the process.
  if (shard instanceof Promise) shard.catch(() => undefined)
  if (typeof shard === 'bigint') shard = Number(shard)
  if (typeof shard !== 'number' || !Number.isInteger(shard))
    return failed(`cannot be placed: the function of ${module.path} gave ${described(shard)}, not a whole number`)
  if (shard < 0 || shard >= sharded.shards)
    return failed(`cannot be placed: the function of ${module.path} gave a shard that is not from 0 to ${String(sharded.shards - 1)}`)
  return shard
}

function argument(sharded: Sharded, key: Key, column: number): number | bigint | string {
  const text = keyText(key)
  if (key.kind === 'bytes') return text
  return sharded.keyTypes[column] === 'bigint' ? BigInt(text) : Number(text)
}

/** The name alone, and only one that a program gives. */
function named(error: Error): string {
  const name: unknown = error.constructor.name
  return typeof name === 'string' && /^[A-Za-z]{1,40}$/.test(name) ? `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}` : 'an Error'
}

function described(value: unknown): string {
  if (value instanceof Promise) return 'a promise'
  if (value === null || value === undefined) return 'nothing'
  return typeof value === 'number' ? 'a number with a fraction, or none' : `a ${typeof value}`
}

function failed(words: string): KeyProblem {
  return { kind: 'problem', problem: words, ofFunction: true }
}
