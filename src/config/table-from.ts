// config/table-from.ts — a table name of the config, checked.
import type { Context } from './context.js'
import type { Path } from './locator.js'
import { parseName, tableKey } from './table-name.js'

/** `schema.table`, or null with a problem told. `at`: whether the name is the key or the value at `path`. */
export function tableFrom(context: Context, path: Path, text: string, at: 'key' | 'value'): string | null {
  const name = parseName(text)
  if (typeof name !== 'string') return tableKey(name)
  context.findings.problem({
    path,
    at,
    found: text,
    allowed: 'table or schema.table; names with capitals or dots in double quotes',
    message: `${JSON.stringify(text)} ${name}`,
  })
  return null
}
