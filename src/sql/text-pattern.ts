// sql/text-pattern.ts — a text with holes in the place of its plain literals: digits, or '…' without quotes inside, that leave the shape's
// key. Programs that write values into their texts send the same text over and over but for those. What fits a pattern lexes as the text
// it was made of, token for token: all that is not a hole is the same, character by character, and of what stands in a hole
// the lexer of its neighbours looks at the first character only, which is a digit or a quote as it was. So nothing needs to be lexed.
import type { Hints, Literal, LiteralClass, Shape, Understood } from './statement.js'

// In the place of characters, which a text with a pattern does not have.
const DIGITS = 0
const STRING = 1

/** Longer texts have no pattern. */
export const maxPattern = 1024
const maxLiterals = 16
/** Longer numbers may be of another class. */
const maxDigits = 9

const none: readonly number[] = Object.freeze([])
/** Where the holes of the text at hand end. */
const ends = new Int32Array(maxLiterals)

interface Place {
  readonly class: LiteralClass
  readonly start: number
  readonly end: number
  readonly hole: boolean
}

export class TextPattern {
  readonly shape: Shape
  readonly #hints: Hints | null
  readonly #codes: Uint16Array
  readonly #places: readonly Place[]
  readonly #semicolons: readonly number[]

  constructor(understood: Understood, codes: Uint16Array, places: readonly Place[]) {
    this.shape = understood.shape
    this.#hints = understood.hints
    this.#codes = codes
    this.#places = places
    this.#semicolons = understood.semicolons
  }

  /** What understanding the text anew would give; null: it does not fit. */
  read(text: string): Understood | null {
    if (!fits(text, this.#codes)) return null
    const semicolons: number[] | null = this.#semicolons.length === 0 ? null : []
    let moved = 0
    let hole = 0
    const literals = this.#places.map((place): Literal => {
      if (semicolons !== null) this.#semicolonsUpTo(place.start, moved, semicolons)
      const start = place.start + moved
      if (place.hole) moved = (ends[hole++] ?? 0) - place.end
      return { class: place.class, start, end: place.end + moved }
    })
    if (semicolons !== null) this.#semicolonsUpTo(Infinity, moved, semicolons)
    return { shape: this.shape, text, literals, semicolons: semicolons ?? none, hints: this.#hints }
  }

  #semicolonsUpTo(offset: number, moved: number, found: number[]): void {
    for (let at = this.#semicolons[found.length]; at !== undefined && at < offset; at = this.#semicolons[found.length])
      found.push(at + moved)
  }
}

/** Leaves in `ends` where its holes end. The hottest loop there is for texts with literals. */
function fits(text: string, codes: Uint16Array): boolean {
  const { length } = text
  const count = codes.length
  let at = 0
  let hole = 0
  for (let i = 0; i < count; i++) {
    const code = codes[i] ?? 0
    if (code > STRING) {
      if (at >= length || text.charCodeAt(at) !== code) return false
      at += 1
    } else {
      at = code === DIGITS ? digitsEnd(text, at) : stringEnd(text, at)
      if (at < 0) return false
      ends[hole++] = at
    }
  }
  return at === length
}

function digitsEnd(text: string, from: number): number {
  const { length } = text
  let at = from
  while (at < length && isDigit(text.charCodeAt(at))) at += 1
  return at === from || at - from > maxDigits ? -1 : at
}

/** A NUL in it would cut the text. Of a quote that is doubled the second one fits nothing. */
function stringEnd(text: string, from: number): number {
  if (from >= text.length || text.charCodeAt(from) !== 39) return -1
  for (let at = from + 1; at < text.length; at++) {
    const c = text.charCodeAt(at)
    if (c === 39) return at + 1
    if (c === 0) return -1
  }
  return -1
}

function isDigit(c: number): boolean {
  return c >= 48 && c <= 57
}

/** The pattern of a text; null: it has none. `tell`: which of its literals stay whole in the key, as normalise() has it; asked only where it matters. */
export function textPattern(understood: Understood, tell: () => readonly boolean[]): TextPattern | null {
  const { text, literals } = understood
  if (text.length > maxPattern || literals.length > maxLiterals) return null
  if (!literals.some((literal) => isPlain(text, literal)) || hasNone.test(text)) return null
  const whole = tell()
  const places = literals.map((literal, i) => ({ ...literal, hole: whole[i] === false && isPlain(text, literal) }))
  return places.some(({ hole }) => hole) ? new TextPattern(understood, codesOf(text, places), places) : null
}

/** U& looks behind itself for UESCAPE and its character, and the two codes have other uses here. */
const hasNone = /[\0\u0001]|u&/i

function isPlain(text: string, { class: kind, start, end }: Literal): boolean {
  if (kind === 'integer') return digitsEnd(text, start) === end
  return kind === 'string' && stringEnd(text, start) === end
}

function codesOf(text: string, places: readonly Place[]): Uint16Array {
  const codes: number[] = []
  let at = 0
  const copy = (to: number): void => {
    while (at < to) codes.push(text.charCodeAt(at++))
  }
  for (const { class: kind, start, end, hole } of places) {
    copy(hole ? start : end)
    if (hole) codes.push(kind === 'integer' ? DIGITS : STRING)
    at = end
  }
  copy(text.length)
  return Uint16Array.from(codes)
}
