// session/lexing.ts — whether the parser reads a session's statements as the server does (DESIGN §4 "Sessions not
// understood"). With standard_conforming_strings off, or an encoding in which a backslash or a quote may be the second
// byte of a character, one harmless SELECT to the parser can be two statements to the server.

const safe: ReadonlySet<string> = new Set(
  ['utf8', 'unicode', 'sqlascii', 'koi8r', 'koi8', 'koi8u', 'alt', 'abc', 'tcvn', 'tcvn5712', 'vscii', 'win']
    .concat(Array.from({ length: 10 }, (_, i) => `latin${String(i + 1)}`))
    .concat(Array.from({ length: 16 }, (_, i) => `iso8859${String(i + 1)}`))
    .concat(
      ['866', '874', '1250', '1251', '1252', '1253', '1254', '1255', '1256', '1257', '1258'].flatMap((n) => [`win${n}`, `windows${n}`]),
    ),
)

/** UTF8, or an encoding of one byte per character. `name` as PostgreSQL takes it: case and punctuation do not count. */
export function safeEncoding(name: string): boolean {
  return safe.has(plain(name))
}

/** How the bytes of statements in that encoding become text without changing where tokens begin and end. */
export function decoderFor(name: string): 'utf8' | 'latin1' {
  const encoding = plain(name)
  return encoding === 'utf8' || encoding === 'unicode' ? 'utf8' : 'latin1'
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
}

/** Anything that is not plainly on counts as off. */
export function plainlyOn(value: string): boolean {
  return ['on', 'true', 'yes', '1', 't', 'y', 'tr', 'tru', 'ye'].includes(value.toLowerCase())
}
