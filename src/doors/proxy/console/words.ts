// doors/proxy/console/words.ts — text of the console → words, strings and separators. What is typed there is not SQL: it has
// no expressions and no comments inside words, so this is all the reading it takes.
import { PointsmanError } from '../../../errors/error.js'

export type Token =
  /** `upper`: for comparing with keywords. */
  | { readonly kind: 'word'; readonly text: string; readonly upper: string }
  /** In single or double quotes: never a keyword. */
  | { readonly kind: 'string' | 'name'; readonly text: string }

/** `-- comment`, a comment of C's kind, blanks, `'it''s'`, `"a ""name"""`, `;`, `=`, or anything else up to the next of these. */
const pattern = /\s+|--[^\n]*|\/\*[^*]*(?:\*(?!\/)[^*]*)*\*\/|'([^']*(?:''[^']*)*)'|"([^"]+(?:""[^"]*)*)"|(;)|(=|[^\s;'"=]+)/y

/** A text longer than this is no command that a person or a tool has written. */
const maxLength = 1024 * 1024

/** The statements between the semicolons, empty ones left out. Throws 42601 at a quote that is not closed, 54000 for a text of over a megabyte. */
export function consoleStatements(text: string): readonly (readonly Token[])[] {
  if (text.length > maxLength) {
    const what = `a command of ${String(text.length)} characters is longer than the ${String(maxLength)} that the console reads`
    throw new PointsmanError('console_too_long', { values: { what } })
  }
  const statements: Token[][] = [[]]
  pattern.lastIndex = 0
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text)
    if (match === null) throw new PointsmanError('console_syntax', { values: { what: 'a quote is not closed' } })
    const [, string, name, semicolon, word] = match
    const last = statements.at(-1)
    if (semicolon !== undefined) statements.push([])
    else if (string !== undefined) last?.push({ kind: 'string', text: string.replaceAll("''", "'") })
    else if (name !== undefined) last?.push({ kind: 'name', text: name.replaceAll('""', '"') })
    else if (word !== undefined) last?.push({ kind: 'word', text: word, upper: word.toUpperCase() })
  }
  return statements.filter((tokens) => tokens.length > 0)
}
