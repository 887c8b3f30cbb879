// doors/proxy/copy-keys.ts — the shard key of one row of a COPY, read as the server would read it; what cannot be read is told as
// the server would tell it, without the value.
import { PointsmanError } from '../../errors/error.js'
import type { CopyRow } from '../../protocol/copy-split.js'
import type { CopyRows } from '../../routing/plan.js'
import { readBinaryKey } from '../../sharding/key-binary.js'
import { problem, readKey, type Key, type KeyProblem } from '../../sharding/key.js'
import type { KeyType } from '../../sharding/sharded.js'

export function copyKeys({ sharded, key, table, form }: CopyRows, { fields, line }: CopyRow): readonly Key[] {
  return key.map(({ column, trims }, index) => {
    const field = fields[index]
    const detail = `COPY ${table}, line ${String(line)}, column ${column}.`
    if (field === undefined) throw new PointsmanError('copy_malformed', { values: { what: `missing data for column "${column}"` }, detail })
    if (field === null) throw new PointsmanError('copy_key_null', { values: { column, table }, detail })
    const type = sharded.keyTypes[index] ?? 'text'
    const read = form.format === 'binary' ? readBinaryKey(type, field) : readText(type, field)
    const found = trims && endsBlank(read) ? problem('ends with a blank, which its column may cut off') : read
    if (found.kind !== 'problem') return found
    const what = `the shard key ${column} of ${table} ${found.problem}`
    throw new PointsmanError(found.problem.startsWith('is out of range') ? 'value_out_of_range' : 'copy_key_unreadable', {
      values: { what },
      detail,
    })
  })
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function readText(type: KeyType, field: Uint8Array): Key | KeyProblem {
  let text: string
  try {
    text = utf8.decode(field)
  } catch {
    return problem('is not valid UTF-8')
  }
  return readKey(type, text)
}

function endsBlank(key: Key | KeyProblem): boolean {
  return key.kind === 'bytes' && key.text.endsWith(' ')
}
