// config/columns-from.ts — the columns of a shard key, checked.
import type { Context } from './context.js'
import type { Path } from './locator.js'
import { parseName } from './table-name.js'

/** As many columns as the key has types (null: nobody knows); null where not, which is told. */
export function columnsFrom(
  context: Context,
  path: Path,
  given: string | readonly (string | undefined)[],
  columns: number | null,
): readonly string[] | null {
  const texts = [given].flat().filter((text) => text !== undefined)
  const names = texts.map((text, index) => columnFrom(context, typeof given === 'string' ? path : [...path, index], text))
  if (names.includes(null)) return null
  const found = names.flatMap((name) => name ?? [])
  const twice = found.find((name, index) => found.indexOf(name) !== index)
  if (twice !== undefined) {
    context.findings.problem({ path, allowed: 'each column once', message: `column ${twice} is listed twice` })
    return null
  }
  if (columns === null || found.length === columns) return found
  const message = `the shard key has ${String(columns)} column${columns === 1 ? '' : 's'} by key_type, and ${String(found.length)} here`
  context.findings.problem({ path, allowed: `${String(columns)} of them, in the order of key_type`, message })
  return null
}

function columnFrom(context: Context, path: Path, text: string): string | null {
  const name = parseName(text)
  if (typeof name !== 'string' && name.schema === null) return name.name
  const message = typeof name === 'string' ? `${JSON.stringify(text)} ${name}` : 'a column name has one part'
  context.findings.problem({ path, allowed: 'the name of the shard key column', message })
  return null
}
