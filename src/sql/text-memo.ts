// sql/text-memo.ts — the texts seen last, as they stood. Applications repeat the same parameterised text; then there is
// nothing to lex. A table with one place per hash. A text is only kept when its hash comes for the second time, so that
// texts with ever new literals cost one number each and keep no memory alive.
import type { Understood } from './statement.js'

/** Longer texts, and those with more literals, are lexed each time: the table's memory stays bounded. */
const maxLength = 2048
const maxLiterals = 16
const samples = 32
/** What one place may come to at most, so that a budget in bytes gives a number of places. */
const placeBytes = maxLength * 2 + maxLiterals * 80 + 400

export class TextMemo {
  readonly #places: (Understood | undefined)[]
  readonly #hashes: Int32Array
  readonly #mask: number

  /** `budget` in bytes is rounded down to a power of two of places. */
  constructor(budget: number) {
    const places = 2 ** Math.max(0, Math.floor(Math.log2(Math.max(1, budget / placeBytes))))
    this.#places = new Array<Understood | undefined>(places).fill(undefined)
    this.#hashes = new Int32Array(places)
    this.#mask = places - 1
  }

  get(text: string, hash: number): Understood | undefined {
    const found = this.#places[hash & this.#mask]
    return found?.text === text ? found : undefined
  }

  /** Keeps the text if it, or one like it, came last to its place. */
  seen(understood: Understood, hash: number): void {
    const place = hash & this.#mask
    if (this.#hashes[place] !== hash) this.#hashes[place] = hash
    else if (understood.text.length <= maxLength && understood.literals.length <= maxLiterals) this.#places[place] = understood
  }
}

/** Of the length and some characters all over the text, the last ones above all: there it is that texts differ. */
export function textHash(text: string): number {
  const { length } = text
  const stride = length <= samples ? 1 : (length / samples) | 0
  let hash = length
  for (let at = length - 1; at >= 0; at -= stride) hash = (Math.imul(hash, 31) + text.charCodeAt(at)) | 0
  return hash ^ (hash >>> 15)
}
