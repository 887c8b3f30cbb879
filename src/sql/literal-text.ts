// sql/literal-text.ts — a literal as it is written → the value PostgreSQL reads. Only run where a decision needs the value,
// and only what is surely read right is read: whoever asked (a shard key) refuses the rest.
import { quoteContinues } from './blanks.js'
import type { Literal } from './statement.js'

/**
 * The text that a type's input function would get: a string decoded, an integer in decimal, a numeric without
 * underscores. null: a bit string or a boolean, or escapes that PostgreSQL itself refuses.
 */
export function literalText(text: string, literal: Literal): string | null {
  const raw = text.slice(literal.start, literal.end)
  switch (literal.class) {
    case 'string':
      return readable(decodeString(raw))
    case 'integer':
      return raw.includes('_') || raw.charCodeAt(0) === 48 ? BigInt(decimalOrBased(raw)).toString() : raw
    case 'numeric':
      return raw.replaceAll('_', '')
    case 'boolean':
    case 'bit':
      return null
  }
}

/** NUL, half a surrogate pair and broken UTF-8 are in no PostgreSQL string. */
function readable(value: string): string | null {
  return /[\0\p{Surrogate}]/u.test(value) ? null : value
}

/** BigInt reads 0x1F, 0o17 and 0b1, and decimals with leading zeros. */
function decimalOrBased(raw: string): string {
  return raw.replaceAll('_', '').toLowerCase()
}

function decodeString(raw: string): string {
  const first = raw.charCodeAt(0)
  if (first === 39) return segments(raw, 0).join('').replaceAll("''", "'")
  if (first === 36) return decodeDollar(raw)
  if ((first | 32) === 101) return decodeEscaped(segments(raw, 1).join(''))
  return decodeUnicode(raw)
}

function decodeDollar(raw: string): string {
  const tag = raw.indexOf('$', 1) + 1
  return raw.slice(tag, raw.length - tag)
}

/** What stands between the quotes of a string and of those that continue it. */
function segments(raw: string, quote: number): string[] {
  const found: string[] = []
  const escapes = quote === 1 && (raw.charCodeAt(0) | 32) === 101
  for (let open = quote; open >= 0;) {
    const close = closing(raw, open + 1, escapes)
    found.push(raw.slice(open + 1, close))
    open = quoteContinues(raw, close + 1)
  }
  return found
}

function closing(raw: string, from: number, escapes: boolean): number {
  for (let i = from; i < raw.length; i++) {
    const c = raw.charCodeAt(i)
    if (escapes && c === 92) i++
    else if (c === 39) {
      if (raw.charCodeAt(i + 1) !== 39) return i
      i++
    }
  }
  return raw.length
}

const single: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }
const escape = /\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|([\s\S]))|''/g

/** E'…': `\x41` and `\101` are bytes of the UTF-8 text, so the whole is put together as bytes where they occur. */
function decodeEscaped(body: string): string {
  const decoded = body.replace(escape, (whole, u4?: string, u8?: string, hex?: string, octal?: string, char?: string) => {
    if (whole === "''") return "'"
    const unicode = u4 ?? u8
    if (unicode !== undefined) return fromCode(Number.parseInt(unicode, 16))
    const code = hex !== undefined ? Number.parseInt(hex, 16) : octal !== undefined ? Number.parseInt(octal, 8) & 255 : -1
    if (code < 0) return single[char ?? ''] ?? char ?? ''
    return code < 128 ? String.fromCharCode(code) : byteMark(code)
  })
  return byteRun.test(decoded) ? joinBytes(decoded) : decoded
}

// Bytes ride through the replacement as lone surrogates, which no decoded text holds, and become UTF-8 at the end.
function byteMark(code: number): string {
  return String.fromCharCode(0xdc00 + code)
}

const byteRun = /(?<![\ud800-\udbff])[\udc80-\udcff]/
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What is no UTF-8 gives NUL, which readable() refuses. */
function joinBytes(marked: string): string {
  const parts: Buffer[] = []
  for (const part of marked.split(/((?<![\ud800-\udbff])[\udc80-\udcff]+)/)) {
    if (/^[\udc80-\udcff]/.test(part))
      parts.push(Buffer.from(Uint8Array.from({ length: part.length }, (_, i) => part.charCodeAt(i) - 0xdc00)))
    else parts.push(Buffer.from(part, 'utf8'))
  }
  try {
    return utf8.decode(Buffer.concat(parts))
  } catch {
    return '\0'
  }
}

/** A UTF-16 unit of a surrogate pair stays one: two of them, one behind the other, make the character. */
function fromCode(code: number): string {
  return code > 0x10ffff ? '\0' : code > 0xffff ? String.fromCodePoint(code) : String.fromCharCode(code)
}

const uescape = /'([^'])'$/

/** U&'…' with its escape character, `\` unless UESCAPE names another. */
function decodeUnicode(raw: string): string {
  const body = segments(raw, 2).join('').replaceAll("''", "'")
  const mark = unicodeMark(raw)
  const quoted = mark.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
  const pattern = new RegExp(`${quoted}(?:([0-9A-Fa-f]{4})|\\+([0-9A-Fa-f]{6})|(${quoted}))`, 'g')
  return body.replace(pattern, (_, four?: string, six?: string) => {
    const digits = four ?? six
    return digits === undefined ? mark : fromCode(Number.parseInt(digits, 16))
  })
}

function unicodeMark(raw: string): string {
  let close = closing(raw, 3, false)
  for (let open = quoteContinues(raw, close + 1); open >= 0; open = quoteContinues(raw, close + 1)) close = closing(raw, open + 1, false)
  return uescape.exec(raw.slice(close + 1))?.[1] ?? '\\'
}

const escapes = /\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([uU])|[^])/g

/** Whether the scanner refuses an E'…' literal: `\u` without its digits, a NUL. Halves of surrogate pairs are left to the parser. */
export function escapeProblem(text: string, start: number, end: number): string | null {
  const raw = text.slice(start, end)
  if (!/\\[0-7xuU]/.test(raw)) return null
  for (const [, octal, hex, short, long, bad] of raw.matchAll(escapes)) {
    if (bad !== undefined) return 'invalid Unicode escape'
    // A byte of three octal digits keeps its lower eight bits.
    const byte = octal === undefined ? hex : (parseInt(octal, 8) & 255).toString(16)
    const code = byte ?? short ?? long
    if (code !== undefined && parseInt(code, 16) === 0) return 'a NUL in a literal'
  }
  return null
}
