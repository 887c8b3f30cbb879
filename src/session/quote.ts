// session/quote.ts — text → SQL that reads the same under every session setting. Settings are replayed on connections
// whose standard_conforming_strings and client_encoding may differ from the client's, so a literal is always an
// E'' string of plain ASCII: everything else is written as an escape that both states of those settings read alike.

/** `it's` → `E'it\'s'` with the quote doubled and every non-ASCII character as \uXXXX or \UXXXXXXXX. */
export function quoteLiteral(text: string): string {
  let out = "E'"
  for (const char of text) out += escaped(char)
  return out + "'"
}

function escaped(char: string): string {
  if (char === "'") return "''"
  if (char === '\\') return '\\\\'
  const code = char.codePointAt(0) ?? 0
  if (code >= 0x20 && code < 0x7f) return char
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
}

/** A name that means itself also where it is a keyword. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A name as it must be written to mean itself; left bare where PostgreSQL would print it bare, keywords aside. */
export function quoteIdentifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`
}
