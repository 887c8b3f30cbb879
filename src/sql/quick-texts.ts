// sql/quick-texts.ts — the first look at a text, by a few of its first characters: is it the very text that came last with these, or one
// that differs from a known one in literals only (text-pattern.ts)? Whatever is not found here is found, or lexed, in understand.ts.
import { normalise } from './normalise.js'
import type { Understood } from './statement.js'
import { maxPattern, textPattern, type TextPattern } from './text-pattern.js'

/** The characters looked at are below this; no hole of a pattern is, so that all texts of a pattern have one place. */
const prefix = 19
/** Longer texts are not looked for here. */
const maxLength = 2048
/** What one place may come to at most: a text with its literals, and two patterns. */
const placeBytes = maxLength * 2 + 1700 + 2 * (maxPattern * 2 + 1600)
const maxPlaces = 1024
/** So many texts of a place must have missed a pattern more than fitted it until another takes its place. */
const maxCredit = 8
/** Every so many texts the shape's cache is told that the shape is in use, and asked whether it still is the one. */
const asked = 63

interface Kept {
  readonly pattern: TextPattern
  credit: number
  uses: number
}

/** Two that begin alike: `+ 1` and `+ -1` are the usual ones. */
interface Place {
  repeated: Understood | null
  first: Kept | null
  second: Kept | null
  /** Shape of the last text that was lexed. */
  lexed: number
}

export class QuickTexts {
  /** Found as they stood, and by a pattern. */
  texts = 0
  fits = 0
  readonly #places: Place[]
  readonly #mask: number
  readonly #maxLength: number
  readonly #inUse: (found: Understood) => boolean

  /** `budget` in bytes; `maxText`: longer ones are not looked for; `inUse`: the shape is the one that its key has. */
  constructor(budget: number, maxText: number, inUse: (found: Understood) => boolean) {
    const places = Math.min(maxPlaces, 2 ** Math.max(0, Math.floor(Math.log2(Math.max(1, budget / placeBytes)))))
    this.#places = Array.from({ length: places }, () => ({ repeated: null, first: null, second: null, lexed: 0 }))
    this.#mask = places - 1
    this.#maxLength = Math.min(maxLength, maxText)
    this.#inUse = inUse
  }

  /** Where the text belongs; null: nowhere. */
  place(text: string): Place | null {
    if (text.length < prefix || text.length > this.#maxLength) return null
    let hash = text.charCodeAt(0)
    hash = (Math.imul(hash, 31) + text.charCodeAt(4)) | 0
    hash = (Math.imul(hash, 31) + text.charCodeAt(7)) | 0
    hash = (Math.imul(hash, 31) + text.charCodeAt(9)) | 0
    hash = (Math.imul(hash, 31) + text.charCodeAt(12)) | 0
    hash = (Math.imul(hash, 31) + text.charCodeAt(15)) | 0
    hash = (Math.imul(hash, 31) + text.charCodeAt(18)) | 0
    return this.#places[(hash ^ (hash >>> 15)) & this.#mask] ?? null
  }

  find(text: string, place: Place): Understood | null {
    const { repeated, first, second } = place
    if (repeated !== null && repeated.text === text) {
      this.texts += 1
      return repeated
    }
    if (first === null) return null
    const found = this.#read(text, place, first)
    return found === null && second !== null ? this.#read(text, place, second) : found
  }

  #read(text: string, place: Place, kept: Kept): Understood | null {
    const found = kept.pattern.read(text)
    if (found === null) return null
    if (kept.credit < maxCredit) kept.credit += 1
    kept.uses += 1
    this.fits += 1
    if ((kept.uses & asked) === 0 && !this.#inUse(found)) forget(place, kept)
    return found
  }

  /** It came again as it stood. */
  repeated(understood: Understood, place: Place): void {
    place.repeated = understood
  }

  /** It was lexed, and its shape was known: the second time in a row, its pattern is kept. */
  lexed(understood: Understood, place: Place): void {
    const { shape, text, literals } = understood
    const first = literals[0]
    if (first === undefined || first.start < prefix || text.length > maxPattern) return
    const again = place.lexed === shape.id
    place.lexed = shape.id
    if (!again || !hasRoom(place)) return
    const pattern = textPattern(understood, () => wholeIn(text))
    if (pattern !== null) keep(place, { pattern, credit: 1, uses: 0 })
  }
}

function wholeIn(text: string): readonly boolean[] {
  const whole: boolean[] = []
  normalise(text, whole)
  return whole
}

function hasRoom({ first, second }: Place): boolean {
  if (first === null || second === null) return true
  const poorest = first.credit < second.credit ? first : second
  poorest.credit -= 1
  return poorest.credit <= 0
}

function keep(place: Place, kept: Kept): void {
  if (place.first === null) place.first = kept
  else if (place.second === null || place.second.credit <= place.first.credit) place.second = kept
  else place.first = kept
}

function forget(place: Place, kept: Kept): void {
  if (place.second === kept) place.second = null
  else {
    place.first = place.second
    place.second = null
  }
}
