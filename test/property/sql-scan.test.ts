// The normaliser against PostgreSQL's own scanner: same tokens, same literals, same refusals, whatever stands side by side.
import fc from 'fast-check'
import { loadModule, scanSync } from 'libpg-query'
import t from 'tap'
import { normalise } from '../../src/sql/normalise.js'
import { loadSql } from '../../src/sql/parser.js'

await loadSql()
// The scanner is a module of its own, which is loaded beside the parser's.
await loadModule()

interface Token {
  readonly start: number
  end: number
  readonly name: string
}

/** The scanner's tokens in character offsets, comments left out; null if it refuses the text, 'mute' if its answer is broken JSON. */
function scan(text: string): Token[] | null | 'mute' {
  const chars = charOffsets(text)
  let tokens
  try {
    tokens = scanSync(text).tokens
  } catch (error) {
    return String(error).includes('control character') ? 'mute' : null
  }
  const found: Token[] = []
  for (const { start, end, tokenName } of tokens) {
    if (tokenName === 'C_COMMENT' || tokenName === 'SQL_COMMENT') continue
    found.push({ start: chars[start] ?? 0, end: chars[end] ?? text.length, name: tokenName })
  }
  return merged(text, found)
}

function charOffsets(text: string): number[] {
  const offsets: number[] = []
  let bytes = 0
  for (let i = 0; i < text.length;) {
    offsets[bytes] = i
    const char = String.fromCodePoint(text.codePointAt(i) ?? 0)
    bytes += Buffer.byteLength(char)
    i += char.length
  }
  offsets[bytes] = text.length
  return offsets
}

/** What the scanner leaves to the parser: UESCAPE belongs to its string. */
function merged(text: string, tokens: readonly Token[]): Token[] {
  const found: Token[] = []
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]
    if (token === undefined) continue
    const source = text.slice(token.start, token.end)
    const mark = tokens[i + 2]
    if (
      /^u&['"]/i.test(source) &&
      mark !== undefined &&
      /^uescape$/i.test(slice(text, tokens[i + 1])) &&
      /^'[^0-9a-f+'"\s]'$/i.test(slice(text, mark))
    ) {
      found.push({ ...token, end: mark.end })
      i += 2
    } else found.push({ ...token })
  }
  return found
}

function slice(text: string, token: Token | undefined): string {
  return token === undefined ? '' : text.slice(token.start, token.end)
}

function isString(text: string, token: Token): boolean {
  const source = slice(text, token)
  return /^(?:[ebx]|u&)?'/i.test(source)
}

/** The key that these tokens make if every literal stays whole. */
function expectedKey(text: string, tokens: readonly Token[]): string {
  let key = ''
  let neighbour = 'mark'
  tokens.forEach((token, i) => {
    const [kind, shown] = shape(text, token, tokens[i + 1])
    if (
      (kind === neighbour && kind !== 'mark') ||
      (kind === 'number' && neighbour !== 'mark') ||
      (neighbour === 'number' && kind !== 'mark')
    )
      key += ' '
    key += shown
    neighbour = kind
  })
  return key
}

function shape(text: string, token: Token, next: Token | undefined): readonly [string, string] {
  const source = slice(text, token)
  if (/^n$/i.test(source) && next?.start === token.end && text[next.start] === "'") return ['word', 'nchar']
  if (/^[()[\],;]$/.test(source)) return ['mark', source]
  if (token.name === 'ICONST' || token.name === 'FCONST') return ['number', source]
  if (/^u&"/i.test(source)) return ['word', source.replace(/"[^"]*?uescape\s*('.')$/is, `" uescape $1`)]
  if (isString(text, token) || /^["$]/.test(source)) return ['word', source]
  if (/^[A-Za-z_\u0080-\uffff]/.test(source)) return ['word', source.replace(/[A-Z]/g, (c) => c.toLowerCase())]
  return ['sign', source]
}

function literalTokens(text: string, tokens: readonly Token[]): string[] {
  return tokens.flatMap((token, i) => {
    const kind = literalClass(text, token)
    return kind === null || (kind === 'boolean' && slice(text, tokens[i - 1]) === '.')
      ? []
      : [`${kind} ${String(token.start)}-${String(token.end)}`]
  })
}

function literalClass(text: string, token: Token): string | null {
  const source = slice(text, token)
  if (token.name === 'ICONST') return 'integer'
  if (token.name === 'FCONST') return /^[0-9_]+$|^0[xob]/i.test(source) ? 'integer' : 'numeric'
  if (/^[bx]'/i.test(source)) return 'bit'
  if (/^(?:e|u&)?'/i.test(source) || (source.startsWith('$') && token.name !== 'PARAM')) return 'string'
  return /^(?:true|false)$/i.test(source) ? 'boolean' : null
}

const inner = fc.stringMatching(/^[a-z0-9 é漢😀*\-/"$;]{0,6}$/u)
const word = fc.constantFrom(
  'x',
  'Foo',
  'ÄÖ',
  'tête',
  'a$b',
  '_1',
  'true',
  'FALSE',
  'null',
  'e',
  'n',
  'u',
  'b',
  'X',
  'uescape',
  '漢',
  '😀',
  'select_x',
)
const fragment = fc.oneof(
  word,
  inner.map((s) => `'${s}'`),
  inner.map((s) => `'${s}''${s}'`),
  fc.constantFrom("E'a\\'b'", "e'\\\\'", "E'\\x41'", "E'\\u00e9'", "E'\\ud83d\\ude00'", "E'\\u12'", "E'a'''", "E'\\", "E'\\'"),
  fc.constantFrom(
    "B'01'",
    "x'1F'",
    "X''",
    "b'0''1'",
    "N'nat'",
    "n'x'",
    "U&'d\\0061'",
    "u&'d!0061' UESCAPE '!'",
    'U&"d\\0061"',
    'u&"x" uescape \'!\'',
    "U&'a' /* c */ uescape '+'",
  ),
  fc.constantFrom('$$a$$', "$t$ ' $x$ $t$", '$é$\n$é$', '$1', '$23', '$a$', '$$', '$1a'),
  fc.constantFrom(
    '1',
    '42',
    '2147483647',
    '2147483648',
    '0x1F',
    '0XFFFFFFFFF',
    '0o17',
    '0b101',
    '1_000',
    '0x_1',
    '0b1_0',
    '1.',
    '.5',
    '1.5',
    '1e10',
    '1.e5',
    '.5E-3',
    '1e+2',
    '1_0.0_1e1_0',
  ),
  fc.constantFrom('1a', '1_', '1__0', '0x', '0xg', '1e', '1e+', '1.5x', '0o8', '0b2', '1..10', '1..', '1...2', '12..x', '00', '08'),
  fc.stringMatching(/^[~!@#^&|`?+\-*/%<>=]{1,5}$/),
  fc.constantFrom(
    '(',
    ')',
    ',',
    ';',
    '[',
    ']',
    ':',
    '::',
    ':=',
    '.',
    '..',
    '->',
    '->>',
    '@>',
    '?|',
    '=-1',
    '<=-',
    '@-',
    '*/*',
    '+--x\n',
    '=>',
    '<>',
    '!=',
  ),
  fc.constantFrom(
    '"q"',
    '"a""b"',
    '"A b"',
    '"é"',
    '""',
    '"',
    "'",
    '/*',
    '*/',
    '/* /* n */ c */',
    '/**/',
    '--\n',
    '-- c\n',
    '-- c\r',
    '/*-- */',
  ),
)
const separator = fc.constantFrom('', '', ' ', '\n', '\t', ' \n ', '\r\n', '\f', '\v', '-- c\n', '/* c */', ' -- c\n ')
const soup = fc.array(fc.tuple(fragment, separator), { maxLength: 9 }).map((parts) => `x ${parts.map(([a, b]) => a + b).join('')}`)

/**
 * A line comment may stand between two parts of a string. libpg-query, which makes tokens of comments, has lost that rule
 * (the unit tests keep ours); such texts do not parse, so they are not understood.
 */
const joinedByComment = /'(?:\s|--[^\n\r]*[\n\r])*--[^\n\r]*[\n\r](?:\s|--[^\n\r]*[\n\r])*'/u

/** Where the scanner of libpg-query is laxer than the server's, and we are not. */
function laxer(text: string, tokens: readonly Token[]): boolean {
  // UESCAPE with a string in two parts: valid to the parser if the second is empty, and not worth it.
  if (/uescape\s*'.'(?:\s|--[^\n\r]*[\n\r])*[\n\r](?:\s|--[^\n\r]*[\n\r])*'/iu.test(text)) return true
  return tokens.some((token, i) => {
    const source = slice(text, token)
    const next = tokens[i + 1]
    // `$1a` is an error since PostgreSQL 15. A lone backslash, brace or dollar is a token that no grammar has.
    if (token.name === 'PARAM' && next?.start === token.end && /^[A-Za-z_\u0080-\uffff]/.test(slice(text, next))) return true
    return /^[\\{}$]$/.test(source)
  })
}

t.test('tokens are those of the scanner', (t) => {
  let accepted = 0
  fc.assert(
    fc.property(soup, (text) => {
      const tokens = scan(text)
      const mine = normalise(text)
      if (tokens === 'mute' || joinedByComment.test(text)) return
      const refused = tokens === null
      if (refused || laxer(text, tokens)) {
        if (refused && mine.problem === null) throw new Error(`accepted ${JSON.stringify(text)}`)
        return
      }
      if (mine.problem !== null) throw new Error(`refused ${JSON.stringify(text)}: ${mine.problem}`)
      accepted++
      const key = expectedKey(text, tokens)
      if (mine.key !== key) throw new Error(`key of ${JSON.stringify(text)}\n  is   ${mine.key}\n  want ${key}`)
      const literals = mine.literals.map((literal) => `${literal.class} ${String(literal.start)}-${String(literal.end)}`)
      const wanted = literalTokens(text, tokens)
      if (literals.join() !== wanted.join())
        throw new Error(`literals of ${JSON.stringify(text)}\n  are  ${literals.join()}\n  want ${wanted.join()}`)
    }),
    { numRuns: 8_000 },
  )
  t.ok(accepted > 1000, `${String(accepted)} texts were compared token by token`)
  t.end()
})
