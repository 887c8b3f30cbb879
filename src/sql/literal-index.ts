// sql/literal-index.ts — from a location in the parse tree (a UTF-8 byte offset) to the literal of the text that stands there.
import { skipBlank } from './blanks.js'
import type { Literal } from './statement.js'

export interface LiteralAt {
  readonly index: number
  readonly negated: boolean
}

/** The literals of the text that was parsed. Only used while its facts are taken. */
export class LiteralIndex {
  readonly #text: string
  readonly #literals: readonly Literal[]
  readonly #whole: readonly boolean[]
  /** Byte offset of each literal, ascending. */
  readonly #starts: readonly number[]
  /** Byte offsets are character offsets. */
  readonly #ascii: boolean

  constructor(text: string, literals: readonly Literal[], whole: readonly boolean[]) {
    this.#text = text
    this.#literals = literals
    this.#whole = whole
    this.#starts = byteOffsets(
      text,
      literals.map((literal) => literal.start),
    )
    this.#ascii = Buffer.byteLength(text, 'utf8') === text.length
  }

  /**
   * The literal of a constant at `location`. A minus folded into the constant gives the location of the minus, so what
   * stands between is read, too: anything but minus signs, parentheses and blanks means that this is no literal of the text.
   */
  at(location: number): LiteralAt | null {
    const index = this.#firstFrom(location)
    const literal = this.#literals[index]
    const start = this.#starts[index]
    if (literal === undefined || start === undefined || location < 0) return null
    const minuses = start === location ? 0 : this.#minuses(this.#ascii ? location : this.#charOffset(location), literal.start)
    return minuses === null ? null : { index, negated: minuses % 2 === 1 }
  }

  /** Whether the literal at `location` stands in the key as it is written, so that facts may depend on its value. */
  isWhole(location: number): boolean {
    const index = this.#firstFrom(location)
    return this.#starts[index] === location && this.#whole[index] === true
  }

  #firstFrom(location: number): number {
    let low = 0
    let high = this.#starts.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#starts[middle] ?? 0) < location) low = middle + 1
      else high = middle
    }
    return low
  }

  #minuses(from: number, to: number): number | null {
    let count = 0
    for (let at = skipBlank(this.#text, from); at < to; at = skipBlank(this.#text, at + 1)) {
      const char = this.#text[at]
      if (char === '-') count++
      else if (char !== '(') return null
    }
    return count
  }

  #charOffset(location: number): number {
    let bytes = 0
    for (let i = 0; i < this.#text.length; i++) {
      if (bytes >= location) return i
      bytes += byteLengthAt(this.#text, i)
    }
    return this.#text.length
  }
}

/** Byte offsets of ascending character offsets. */
export function byteOffsets(text: string, chars: readonly number[]): number[] {
  const found: number[] = []
  let bytes = 0
  let at = 0
  for (const char of chars) {
    for (; at < char; at++) bytes += byteLengthAt(text, at)
    found.push(bytes)
  }
  return found
}

/** UTF-8 bytes of the unit at `i`: a surrogate pair counts four at its first and none at its second; a lone one is U+FFFD. */
function byteLengthAt(text: string, i: number): number {
  const c = text.charCodeAt(i)
  if (c < 0x80) return 1
  if (c < 0x800) return 2
  if (c >= 0xd800 && c < 0xdc00) return isLow(text.charCodeAt(i + 1)) ? 4 : 3
  if (isLow(c) && isHigh(text.charCodeAt(i - 1))) return 0
  return 3
}

function isLow(c: number): boolean {
  return c >= 0xdc00 && c < 0xe000
}

function isHigh(c: number): boolean {
  return c >= 0xd800 && c < 0xdc00
}
