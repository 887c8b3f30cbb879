// routing/copy-form.ts — the options of a COPY, from its parse tree. What is not known here is not imitated.
import type { CopyForm } from '../protocol/copy-form.js'
import { as, fields, list, stringNode, strings, text, unwrap, type Fields } from '../sql/tree.js'

/** A text: why rows in this form are not split or gathered. */
export function copyForm(copy: Fields): CopyForm | string {
  const options = new Map<string, unknown>()
  for (const item of list(copy['options'])) {
    const option = as('DefElem', item)
    const name = text(option?.['defname']) ?? ''
    if (options.has(name)) return `the option ${name} stands twice`
    options.set(name, option?.['arg'])
  }
  const format = options.has('format') ? word(options.get('format')) : 'text'
  if (format !== 'text' && format !== 'csv' && format !== 'binary') return 'its format is not text, csv or binary'
  const unknown = [...options.keys()].find((name) => !known.has(name))
  if (unknown !== undefined) return `its option ${unknown.toUpperCase()} is not supported`
  const encoding = word(options.get('encoding'))
  if (encoding !== null && !/^(utf-?8|unicode)$/i.test(encoding)) return 'its ENCODING is not UTF8'
  const stop = word(options.get('on_error'))
  if (stop !== null && stop.toLowerCase() !== 'stop') return 'ON_ERROR would have to be followed row by row'
  const csv = format === 'csv'
  const delimiter = options.has('delimiter') ? word(options.get('delimiter')) : csv ? ',' : '\t'
  const quote = options.has('quote') ? word(options.get('quote')) : '"'
  const escape = options.has('escape') ? word(options.get('escape')) : quote
  const bytes = [delimiter, quote, escape].map((one) => (one !== null && /^[\x01-\x7f]$/.test(one) ? one.charCodeAt(0) : null))
  const [separates, quotes, escapes] = bytes
  if (separates === null || separates === undefined || quotes === null || quotes === undefined || escapes === null || escapes === undefined)
    return 'DELIMITER, QUOTE or ESCAPE is not one character of ASCII'
  const nullText = options.has('null') ? word(options.get('null')) : csv ? '' : '\\N'
  if (nullText === null) return 'its NULL cannot be read'
  const header = headerOf(options.has('header'), options.get('header'))
  if (header === null) return 'its HEADER cannot be read'
  return { format, delimiter: separates, nullText, header, quote: quotes, escape: escapes, quoted: quotedOf(options.get('force_quote')) }
}

const known: ReadonlySet<string> = new Set([
  'format',
  'delimiter',
  'null',
  'header',
  'quote',
  'escape',
  'force_quote',
  'encoding',
  'on_error',
  'log_verbosity',
  'freeze',
])

/** A string, a name or a list of one. */
function word(value: unknown): string | null {
  const string = stringNode(value)
  if (string !== null) return string
  const names = strings(as('TypeName', value)?.['names'])
  return names?.at(-1) ?? null
}

function headerOf(given: boolean, value: unknown): boolean | null {
  if (!given) return false
  if (value === undefined) return true
  const boolean = as('Boolean', value)
  if (boolean !== null) return boolean['boolval'] === true
  const integer = as('Integer', value)
  if (integer !== null) return fields(integer)?.['ival'] === 1
  const said = word(value)?.toLowerCase()
  if (said === 'true' || said === 'on' || said === 'match') return true
  return said === 'false' || said === 'off' ? false : null
}

function quotedOf(value: unknown): 'all' | readonly string[] {
  if (value === undefined) return []
  if (unwrap(value)?.tag === 'A_Star') return 'all'
  return strings(as('List', value)?.['items']) ?? []
}
