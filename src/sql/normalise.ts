// sql/normalise.ts — text → shape key, literals and hint comments, in one pass over the characters, lexing as PostgreSQL 18's
// scan.l does with standard_conforming_strings = on and a UTF-8 client (test/property holds it to libpg-query's scanner).
//
// The key is the token sequence: white space and comments become at most one blank, unquoted words are folded, and a
// literal becomes its class in braces, `{s}`. A bare brace cannot occur in SQL that parses, so keys are unambiguous.
// Literals stay whole where facts depend on them: in utility statements, in EXPLAIN's options, as integers that are
// positions in ORDER BY, GROUP BY or DISTINCT ON, and in the arguments of functions that name things (words.ts).
import * as word from './words.js'
import { quoteContinues, skipBlank, skipBlockComment, skipLineComment } from './blanks.js'
import { escapeProblem } from './literal-text.js'
import { base, basedEnd, decimalEnd, exponentEnd, isDigit, isJunk, startsName } from './number-text.js'
import { dollarTagEnd, escapedEnd, plainEnd } from './quoted-text.js'
import type { Literal, LiteralClass } from './statement.js'

export interface Normalised {
  /** Empty when there is a problem. */
  readonly key: string
  readonly literals: readonly Literal[]
  /** Offsets of the semicolons; statements lie between them. */
  readonly semicolons: readonly number[]
  /** Bodies of hint comments, or null (the usual case). */
  readonly hints: readonly string[] | null
  /** Why PostgreSQL's scanner would refuse the text, or why we do; null if neither. */
  readonly problem: string | null
}

/** A key word or a name, as half-open offsets into the text. */
export interface WordSpan {
  readonly start: number
  readonly end: number
  /** Of the parentheses around it. */
  readonly depth: number
}

/** Parentheses deeper than this are not understood: the parser's own stack is not endless. */
const maxDepth = 250

// What a character begins.
// (0: nothing that PostgreSQL knows)
const BLANK = 1
const LETTER = 2
const DIGIT = 3
const OPERATOR = 4
const QUOTE = 5
const DOUBLE_QUOTE = 6
const DOLLAR = 7
const POINT = 8
const COLON = 9
const LEFT = 10
const RIGHT = 11
const SEMICOLON = 12
const SEPARATOR = 13

/** By character code below 128; above, everything is a letter to PostgreSQL. */
const begins = new Uint8Array(128)
/** What continues an identifier (`$` too), folded to lower case; 0: nothing else does. */
const continues = new Uint8Array(128)
for (let c = 0; c < 128; c++) {
  const char = String.fromCharCode(c)
  if (/[A-Za-z_]/.test(char)) begins[c] = LETTER
  else if (/[0-9]/.test(char)) begins[c] = DIGIT
  else if (/[ \t\n\r\f\v]/.test(char)) begins[c] = BLANK
  else if ('~!@#^&|`?+-*/%<>='.includes(char)) begins[c] = OPERATOR
  if (/[A-Za-z0-9_$]/.test(char)) continues[c] = char.toLowerCase().charCodeAt(0)
}
for (const [char, kind] of [
  ["'", QUOTE],
  ['"', DOUBLE_QUOTE],
  ['$', DOLLAR],
  ['.', POINT],
  [':', COLON],
  ['(', LEFT],
  [')', RIGHT],
  [';', SEMICOLON],
  [',', SEPARATOR],
  ['[', SEPARATOR],
  [']', SEPARATOR],
] as const) {
  begins[char.charCodeAt(0)] = kind
}

// How a token meets its neighbour in the key: two of the same kind get a blank between them.
const MARK = 0
const WORD = 1
const SIGN = 2
/** A number that was left whole: `1 .5` must not become `1.5`. */
const NUMBER = 3

// What happens to the literals of the statement at hand.
const UNDECIDED = 0
const TAKE = 1
const KEEP = 2
const EXPLAINED = 3

/** Operators with one of these keep a trailing plus or minus. */
const keepsTrailingSign = /[~!@#^&|`?%]/
const unicodeEscape = /\s*uescape\s*'([^0-9A-Fa-f+'"\s])'(?!')/iy
const emptyLiterals: readonly Literal[] = Object.freeze([])
const emptyNumbers: readonly number[] = Object.freeze([])

let text = ''
let length = 0
let pos = 0
let out = Buffer.allocUnsafe(1 << 16)
let size = 0
let wide = false
let neighbour = MARK
let last = word.NOTHING
let mode = UNDECIDED
let depth = 0
/** Paren depth of the ORDER BY, GROUP BY or DISTINCT ON list we are in, and of a naming function's arguments; -1: none. */
let listDepth = -1
let namingDepth = -1
let keepAll = false
let literals: Literal[] | null = null
let semicolons: number[] | null = null
let hints: string[] | null = null
let problem: string | null = null
let kept: boolean[] | null = null
/** Receives every name and key word of the text; null: nobody asked. */
let spans: WordSpan[] | null = null

/**
 * Normalises one text. `whole`, where given, receives for each literal whether it stayed whole in the key; facts may
 * only depend on those.
 */
export function normalise(sql: string, whole: boolean[] | null = null): Normalised {
  start(sql, whole)
  if (sql.includes('\0')) problem = 'a NUL character cuts the text'
  else scan()
  const done: Normalised = {
    key: problem === null ? out.toString(wide ? 'utf8' : 'latin1', 0, size) : '',
    literals: literals ?? emptyLiterals,
    semicolons: semicolons ?? emptyNumbers,
    hints,
    problem,
  }
  text = ''
  if (out.length > 1 << 20) out = Buffer.allocUnsafe(1 << 16)
  return done
}

/** All key words and names of a text, in order. */
export function wordSpans(sql: string): readonly WordSpan[] {
  const found: WordSpan[] = []
  spans = found
  try {
    normalise(sql)
  } finally {
    spans = null
  }
  return found
}

function start(sql: string, whole: boolean[] | null): void {
  text = sql
  length = sql.length
  pos = 0
  size = 0
  // A one-digit literal is the worst case: four bytes in the key for one character.
  if (out.length < length * 4 + 64) out = Buffer.allocUnsafe(length * 4 + 64)
  wide = false
  neighbour = MARK
  last = word.NOTHING
  mode = UNDECIDED
  depth = 0
  listDepth = -1
  namingDepth = -1
  keepAll = false
  literals = null
  semicolons = null
  hints = null
  problem = null
  kept = whole
}

function scan(): void {
  while (pos < length && problem === null) {
    const c = text.charCodeAt(pos)
    switch (c < 128 ? begins[c] : LETTER) {
      case BLANK:
        pos++
        break
      case LETTER:
        scanWord(c)
        break
      case DIGIT:
        scanNumber()
        break
      case OPERATOR:
        scanOperator(c)
        break
      case SEPARATOR:
        mark(c, c === 44 ? word.COMMA : word.OTHER)
        break
      case LEFT:
        scanLeft(c)
        break
      case RIGHT:
        scanRight(c)
        break
      case QUOTE:
        scanString(pos, 'plain')
        break
      case DOUBLE_QUOTE:
        scanQuotedName(pos)
        break
      case DOLLAR:
        scanDollar()
        break
      case POINT:
        scanPoint()
        break
      case COLON:
        scanColon()
        break
      case SEMICOLON:
        scanSemicolon(c)
        break
      default:
        problem = `unexpected character at ${String(pos)}`
    }
  }
}

/** Writes the blank that a token of this kind needs behind its neighbour. */
function meet(kind: number): void {
  if (kind === neighbour || (neighbour === NUMBER && kind !== MARK) || (kind === NUMBER && neighbour !== MARK)) out[size++] = 32
  neighbour = kind
}

function mark(c: number, code: number): void {
  if (mode === UNDECIDED) mode = KEEP
  out[size++] = c
  neighbour = MARK
  last = code
  pos++
}

/** Copies the text as it stands, as UTF-8. A lone surrogate is what it becomes on the wire, U+FFFD. */
function copy(from: number, to: number): void {
  for (let i = from; i < to; i++) {
    const c = text.charCodeAt(i)
    if (c < 128) out[size++] = c
    else i += copyWide(c, i)
  }
}

/** Writes one character beyond ASCII; returns 1 if it took a surrogate pair. */
function copyWide(c: number, at: number): number {
  wide = true
  const point = c >= 0xd800 && c < 0xdc00 ? (text.codePointAt(at) ?? c) : c
  if (c < 0x800) {
    out[size++] = 0xc0 | (c >> 6)
    out[size++] = 0x80 | (c & 63)
  } else if (point > 0xffff) {
    out[size++] = 0xf0 | (point >> 18)
    out[size++] = 0x80 | ((point >> 12) & 63)
    out[size++] = 0x80 | ((point >> 6) & 63)
    out[size++] = 0x80 | (point & 63)
    return 1
  } else {
    const unit = c >= 0xd800 && c < 0xe000 ? 0xfffd : c
    out[size++] = 0xe0 | (unit >> 12)
    out[size++] = 0x80 | ((unit >> 6) & 63)
    out[size++] = 0x80 | (unit & 63)
  }
  return 0
}

// ---- words

function scanWord(first: number): void {
  if (pos + 1 < length && prefixed(first, text.charCodeAt(pos + 1))) return
  meet(WORD)
  const from = pos
  const begin = size
  const hash = copyFolded()
  const code = word.wordCode(out, begin, size, hash)
  spans?.push({ start: from, end: pos, depth })
  // Behind a dot every word is a name: `t.true`, `t.limit`.
  if (last === word.DOT) wordSeen(code === word.NAMING ? code : word.PLAIN)
  else if (code === word.TRUTH) truth(from, begin)
  else wordSeen(code)
}

/** Copies the word at hand and returns its hash. The hottest loop there is, hence the locals. */
function copyFolded(): number {
  const sql = text
  const bytes = out
  let at = pos
  let n = size
  let hash = 0
  for (let c = sql.charCodeAt(at); at < length; c = sql.charCodeAt(++at)) {
    if (c < 128) {
      const lower = continues[c] ?? 0
      if (lower === 0) break
      bytes[n++] = lower
      hash = (Math.imul(hash, 31) + lower) | 0
    } else {
      size = n
      at += copyWide(c, at)
      n = size
    }
  }
  pos = at
  size = n
  return hash
}

/** B'…', X'…', E'…', N'…', U&'…' and U&"…". */
function prefixed(first: number, second: number): boolean {
  const letter = first | 32
  if (second === 39) {
    if (letter === 98 || letter === 120) return (scanBits(), true)
    if (letter === 101) return (scanString(pos, 'escaped'), true)
    if (letter === 110) return (nationalCharacter(), true)
  } else if (letter === 117 && second === 38 && pos + 2 < length) {
    const third = text.charCodeAt(pos + 2)
    if (third === 39) return (scanString(pos, 'unicode'), true)
    if (third === 34) return (scanQuotedName(pos), true)
  }
  return false
}

/** `N'…'` is the word NCHAR and then a string. */
function nationalCharacter(): void {
  meet(WORD)
  size += out.write('nchar', size, 'latin1')
  wordSeen(word.PLAIN)
  pos++
}

function truth(from: number, begin: number): void {
  if (taken()) {
    size = begin
    size += out.write('{t}', size, 'latin1')
  } else if (mode === UNDECIDED) mode = KEEP
  record('boolean', from, pos, false)
}

function wordSeen(code: number): void {
  if (mode === UNDECIDED) mode = code === word.VERB ? TAKE : code === word.EXPLAIN ? EXPLAINED : KEEP
  else if (mode === EXPLAINED && depth === 0 && code !== word.EXPLAINING) mode = code === word.VERB ? TAKE : KEEP
  if (code >= word.BY) code = listWord(code)
  last = code
}

/** Follows where lists of positions begin and end. */
function listWord(code: number): number {
  if (code === word.BY) {
    if (listDepth < 0 && (last === word.ORDER || last === word.GROUP)) listDepth = depth
  } else if (code === word.LIST_END) {
    if (depth === listDepth) listDepth = -1
  } else if (code === word.ON && last === word.DISTINCT) return word.DISTINCT_ON
  return code
}

function scanQuotedName(from: number): void {
  const plain = from === pos && text.charCodeAt(pos) === 34
  let end = text.indexOf('"', pos + (plain ? 1 : 3))
  while (end >= 0 && text.charCodeAt(end + 1) === 34) end = text.indexOf('"', end + 2)
  if (end < 0) {
    problem = 'unterminated quoted identifier'
    return
  }
  if (end === pos + (plain ? 1 : 3)) {
    problem = 'zero-length delimited identifier'
    return
  }
  meet(WORD)
  copy(from, end + 1)
  const inner = size - (end - from)
  pos = end + 1
  spans?.push({ start: from, end: plain ? pos : unicodeEscapeEnd(pos), depth })
  // An escaped name could be any function's, so nothing is taken out from here on.
  if (!plain) return unicodeName()
  const code = word.wordCode(out, inner, size - 1, hashOf(inner, size - 1))
  if (mode === UNDECIDED || mode === EXPLAINED) wordSeen(word.PLAIN)
  last = code === word.NAMING ? code : word.PLAIN
}

function hashOf(from: number, to: number): number {
  let hash = 0
  for (let i = from; i < to; i++) hash = word.step(hash, out[i] ?? 0)
  return hash
}

function unicodeName(): void {
  keepAll = true
  const end = unicodeEscapeEnd(pos)
  if (end > pos) {
    size += out.write(" uescape '", size, 'latin1')
    copy(end - 2, end)
    pos = end
  }
  wordSeen(word.PLAIN)
}

/** Where `UESCAPE 'c'` behind a U& literal ends, or `at` if there is none. */
function unicodeEscapeEnd(at: number): number {
  unicodeEscape.lastIndex = skipBlank(text, at)
  if (!unicodeEscape.test(text)) return at
  if (quoteContinues(text, unicodeEscape.lastIndex) >= 0) problem = 'an escape character in two parts'
  return unicodeEscape.lastIndex
}

// ---- literals

/** Whether the literal at hand leaves the key. */
function taken(): boolean {
  return mode === TAKE && namingDepth < 0 && !keepAll
}

function record(kind: LiteralClass, from: number, to: number, whole: boolean): void {
  literals ??= []
  kept?.push(whole || !taken())
  literals.push({ class: kind, start: from, end: to })
  last = word.OTHER
}

/** Writes a literal that ends at `to`, as its class or whole. */
function literal(kind: LiteralClass, letter: number, from: number, to: number, whole: boolean): void {
  if (mode === UNDECIDED || (mode === EXPLAINED && depth === 0)) mode = KEEP
  if (taken() && !whole) {
    meet(WORD)
    out[size++] = 123
    out[size++] = letter
    out[size++] = 125
  } else {
    meet(letter === 115 || letter === 98 ? WORD : NUMBER)
    copy(from, to)
  }
  pos = to
  record(kind, from, to, whole)
}

function scanString(from: number, kind: 'plain' | 'escaped' | 'unicode'): void {
  let quote = from + (kind === 'plain' ? 0 : kind === 'escaped' ? 1 : 2)
  let end = -1
  while (quote >= 0) {
    end = kind === 'escaped' ? escapedEnd(text, quote + 1) : plainEnd(text, quote + 1)
    if (end < 0) {
      problem ??= 'unterminated quoted string'
      return
    }
    quote = quoteContinues(text, end)
  }
  if (kind === 'unicode') end = unicodeEscapeEnd(end)
  if (kind === 'escaped') problem = escapeProblem(text, from, end)
  literal('string', 115, from, end, false)
}

function scanBits(): void {
  const from = pos
  let quote = pos + 1
  let end = -1
  while (quote >= 0) {
    end = text.indexOf("'", quote + 1) + 1
    if (end === 0) {
      problem = 'unterminated bit string literal'
      return
    }
    quote = quoteContinues(text, end)
  }
  literal('bit', 98, from, end, false)
}

function scanDollar(): void {
  const next = text.charCodeAt(pos + 1)
  if (next >= 48 && next <= 57) return scanParameter()
  const tagEnd = dollarTagEnd(text, pos)
  if (tagEnd < 0) {
    problem = `unexpected character at ${String(pos)}`
    return
  }
  const tag = text.slice(pos, tagEnd)
  const end = text.indexOf(tag, tagEnd)
  if (end < 0) problem = 'unterminated dollar-quoted string'
  else literal('string', 115, pos, end + tag.length, false)
}

function scanParameter(): void {
  const from = pos++
  while (pos < length && isDigit(text.charCodeAt(pos))) pos++
  if (startsName(text, pos) || Number(text.slice(from + 1, pos)) > 0x7fffffff) {
    problem = `trailing junk after parameter at ${String(from)}`
    return
  }
  if (mode === UNDECIDED) mode = KEEP
  meet(WORD)
  copy(from, pos)
  last = word.OTHER
}

// ---- numbers

function scanPoint(): void {
  const next = text.charCodeAt(pos + 1)
  if (isDigit(next)) return scanNumber()
  if (mode === UNDECIDED) mode = KEEP
  meet(SIGN)
  out[size++] = 46
  if (next === 46) out[size++] = 46
  pos += next === 46 ? 2 : 1
  last = next === 46 ? word.OTHER : word.DOT
}

function scanNumber(): void {
  const from = pos
  const based = text.charCodeAt(pos) === 48 ? base(text.charCodeAt(pos + 1) | 32) : 0
  let end = based === 0 ? decimalEnd(text, pos) : basedEnd(text, pos + 2, based)
  let numeric = text.charCodeAt(from) === 46
  if (based === 0) {
    if (!numeric && text.charCodeAt(end) === 46 && text.charCodeAt(end + 1) !== 46) {
      numeric = true
      end = decimalEnd(text, end)
    } else if (numeric) end = decimalEnd(text, from)
    const exponent = exponentEnd(text, end)
    if (exponent < 0) {
      problem = `trailing junk after numeric literal at ${String(from)}`
      return
    }
    if (exponent > end) numeric = true
    end = exponent
  }
  if (end < 0 || isJunk(text, from, end)) problem = `trailing junk after numeric literal at ${String(from)}`
  else if (numeric) literal('numeric', 110, from, end, false)
  else integer(from, end)
}

/** Small integers and those beyond int4 differ: the grammar wants the former in places, and types them differently. */
function integer(from: number, end: number): void {
  const whole =
    listDepth >= 0 && (last === word.BY || last === word.COMMA || last === word.OPEN || last === word.ALL || last === word.DISTINCT)
  const small = end - from < 10 || Number(text.slice(from, end).replaceAll('_', '')) <= 0x7fffffff
  literal('integer', small ? 105 : 73, from, end, whole)
}

// ---- signs

function scanOperator(c: number): void {
  if (c === 45 && text.charCodeAt(pos + 1) === 45) return lineComment()
  if (c === 47 && text.charCodeAt(pos + 1) === 42) return blockComment()
  let end = pos + 1
  while (end < length) {
    const next = text.charCodeAt(end)
    if (next >= 128 || begins[next] !== OPERATOR) break
    // A comment ends the operator before it.
    const after = text.charCodeAt(end + 1)
    if ((next === 45 && after === 45) || (next === 47 && after === 42)) break
    end++
  }
  if (end - pos > 1) end = withoutTrailingSigns(end)
  if (end - pos >= 64) {
    problem = 'operator too long'
    return
  }
  if (mode === UNDECIDED) mode = KEEP
  meet(SIGN)
  while (pos < end) out[size++] = text.charCodeAt(pos++)
  last = word.OTHER
}

/** SQL wants `=-1` to be two tokens: a trailing + or - belongs to the operator only where it holds an unusual character. */
function withoutTrailingSigns(end: number): number {
  let last = text.charCodeAt(end - 1)
  if (last !== 43 && last !== 45) return end
  if (keepsTrailingSign.test(text.slice(pos, end - 1))) return end
  while (end - pos > 1 && (last === 43 || last === 45)) last = text.charCodeAt(--end - 1)
  return end
}

function scanColon(): void {
  if (mode === UNDECIDED) mode = KEEP
  meet(SIGN)
  out[size++] = 58
  const next = text.charCodeAt(pos + 1)
  const double = next === 58 || next === 61
  if (double) out[size++] = next
  pos += double ? 2 : 1
  last = word.OTHER
}

function scanLeft(c: number): void {
  if (++depth > maxDepth) {
    problem = 'nested too deeply'
    return
  }
  if (last === word.NAMING && namingDepth < 0) namingDepth = depth
  if (last === word.DISTINCT_ON && listDepth < 0) listDepth = depth
  out[size++] = c
  neighbour = MARK
  last = word.OPEN
  pos++
}

function scanRight(c: number): void {
  depth--
  if (depth < listDepth) listDepth = -1
  if (depth < namingDepth) namingDepth = -1
  mark(c, word.OTHER)
}

function scanSemicolon(c: number): void {
  semicolons ??= []
  semicolons.push(pos)
  mark(c, word.NOTHING)
  if (depth > 0) return
  depth = 0
  listDepth = -1
  namingDepth = -1
  mode = UNDECIDED
}

// ---- comments

function lineComment(): void {
  const end = skipLineComment(text, pos)
  comment(pos + 2, end)
  pos = end
}

function blockComment(): void {
  const end = skipBlockComment(text, pos)
  if (end < 0) {
    problem = 'unterminated /* comment'
    return
  }
  comment(pos + 2, end - 2)
  pos = end
}

/** Takes the body of a comment that begins with `pointsman:`. */
function comment(from: number, to: number): void {
  let at = from
  while (at < to && begins[text.charCodeAt(at)] === BLANK) at++
  if ((text.charCodeAt(at) | 32) !== 112) return
  if (text.slice(at, at + 10).toLowerCase() !== 'pointsman:') return
  hints ??= []
  hints.push(text.slice(at + 10, to))
}
