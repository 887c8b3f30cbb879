// config/build-list-values.ts — `by: list`: which key lives on which logical shard. Keys are stored as the key type's
// output function writes them, so that `42`, `"42"` and ` 42 ` are one key.
import { keyText, readKey } from '../sharding/key.js'
import type { KeyType } from '../sharding/sharded.js'
import type { Context } from './context.js'
import type { Path } from './locator.js'

type ValuesInput = Readonly<Record<string, readonly (string | number | undefined)[] | undefined>>

export function buildListValues(
  context: Context,
  path: Path,
  input: ValuesInput | undefined,
  shards: number,
  keyType: KeyType,
): ReadonlyMap<string, number> {
  const values = new Map<string, number>()
  if (input === undefined) {
    context.findings.missing({ path: [...path, 'values'], allowed: 'a map of shard: [keys]', message: 'by: list needs values' })
    return values
  }
  for (const [text, keys] of Object.entries(input)) {
    const place = [...path, 'values', text]
    const shard = Number(text)
    if (!/^[0-9]{1,5}$/.test(text) || shard >= shards) {
      context.findings.problem({
        path: place,
        at: 'key',
        found: text,
        allowed: `a shard from 0 to ${String(shards - 1)}`,
        message: 'there is no such shard',
      })
      continue
    }
    keys?.forEach((key, index) => {
      if (key !== undefined) addKey(context, [...place, index], key, shard, keyType, values)
    })
  }
  return values
}

function addKey(context: Context, path: Path, text: string | number, shard: number, keyType: KeyType, values: Map<string, number>): void {
  const key = readKey(keyType, String(text))
  if (key.kind === 'problem') {
    context.findings.problem({ path, allowed: `a ${keyType}`, message: `this key ${key.problem}` })
    return
  }
  const taken = values.get(keyText(key))
  if (taken !== undefined) {
    context.findings.problem({ path, allowed: 'each key once', message: `this key lives on shard ${String(taken)} already` })
    return
  }
  values.set(keyText(key), shard)
}
