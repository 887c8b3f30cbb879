// sql/understand.ts — text → Understood, by way of caches that are bounded in bytes: the whole texts seen last, patterns of texts that
// differ in literals only, and shapes, which all texts share that differ in literals, comments and white space. A text that does
// not parse is remembered by its text only: it must not spoil the shape for texts that do.
import { LRUCache } from 'lru-cache'
import { statementFacts } from './facts.js'
import { readHints } from './hints.js'
import { LiteralIndex, byteOffsets } from './literal-index.js'
import { type Normalised, normalise } from './normalise.js'
import { type ParsedStatement, ParserNotReady, parseStatements } from './parser.js'
import { namesPrepared } from './prepared.js'
import { QuickTexts } from './quick-texts.js'
import { shapeBytes } from './shape-bytes.js'
import { unused } from './shape-uses.js'
import type { Literal, Shape, StatementRange, Understood } from './statement.js'
import { TextMemo, textHash } from './text-memo.js'

export interface UnderstandingOptions {
  /** Longer texts (bytes of UTF-8) are not understood. */
  readonly maxParseBytes: number
  /** Of the shapes and the whole texts together, roughly. */
  readonly shapeCacheBytes: number
}

export interface UnderstandingStats {
  /** Texts found as they stood, texts whose shape was known, and texts that were parsed. */
  readonly textHits: number
  readonly shapeHits: number
  readonly misses: number
  readonly shapes: number
  /** Estimated bytes of the shapes. */
  readonly bytes: number
}

export interface Understanding {
  /** Never throws. loadSql() must have been awaited. */
  understand(text: string): Understood
  stats(): UnderstandingStats
  /** The shapes at hand, most recently used first. */
  shapes(): IterableIterator<Shape>
}

const noLiterals: readonly Literal[] = Object.freeze([])
const noSemicolons: readonly number[] = Object.freeze([])
/** Shares of the budget that whole texts get, and what is looked at first. */
const textShare = 1 / 4
const quickShare = 1 / 16

/** Of the moment, not of the text: never remembered. */
const notReady = 'the parser is not ready'

let lastId = 0

export function createUnderstanding(options: UnderstandingOptions): Understanding {
  return new CachedUnderstanding(options)
}

class CachedUnderstanding implements Understanding {
  readonly #maxParseBytes: number
  readonly #shapes: LRUCache<string, Shape>
  readonly #texts: TextMemo
  readonly #quick: QuickTexts
  #textHits = 0
  #shapeHits = 0
  #misses = 0

  constructor(options: UnderstandingOptions) {
    this.#maxParseBytes = options.maxParseBytes
    const texts = options.shapeCacheBytes * textShare
    this.#texts = new TextMemo(texts)
    const quick = options.shapeCacheBytes * quickShare
    this.#shapes = new LRUCache({ maxSize: Math.max(1, Math.floor(options.shapeCacheBytes - texts - quick)), sizeCalculation: shapeBytes })
    // A character has at most three bytes, and a text of so many is not too long.
    this.#quick = new QuickTexts(quick, Math.floor(options.maxParseBytes / 3), ({ shape }) => this.#shapes.get(shape.key) === shape)
  }

  understand(text: string): Understood {
    const place = this.#quick.place(text)
    const quick = place === null ? null : this.#quick.find(text, place)
    if (quick !== null) return quick
    const hash = textHash(text)
    const known = this.#texts.get(text, hash)
    if (known !== undefined) {
      this.#textHits++
      if (place !== null) this.#quick.repeated(known, place)
      return known
    }
    if (this.#tooLong(text)) return notUnderstood(text, 'longer than max_parse_bytes', null)
    const hits = this.#shapeHits
    const understood = this.#lex(text)
    if (place !== null && this.#shapeHits > hits) this.#quick.lexed(understood, place)
    if (understood.shape.problem !== notReady) this.#texts.seen(understood, hash)
    return understood
  }

  #lex(text: string): Understood {
    const normalised = normalise(text)
    const hints = normalised.hints === null ? null : readHints(normalised.hints)
    const shape = normalised.problem ?? this.#known(normalised.key) ?? this.#parse(text, normalised)
    if (typeof shape === 'string') return notUnderstood(text, shape, hints)
    return { shape, text, literals: normalised.literals, semicolons: normalised.semicolons, hints }
  }

  stats(): UnderstandingStats {
    return {
      textHits: this.#textHits + this.#quick.texts,
      shapeHits: this.#shapeHits + this.#quick.fits,
      misses: this.#misses,
      shapes: this.#shapes.size,
      bytes: this.#shapes.calculatedSize,
    }
  }

  shapes(): IterableIterator<Shape> {
    return this.#shapes.values()
  }

  #tooLong(text: string): boolean {
    const limit = this.#maxParseBytes
    return text.length * 3 > limit && (text.length > limit || Buffer.byteLength(text, 'utf8') > limit)
  }

  #known(key: string): Shape | undefined {
    const shape = this.#shapes.get(key)
    if (shape !== undefined) this.#shapeHits++
    return shape
  }

  /** The new shape, or why there is none. */
  #parse(text: string, { key }: Normalised): Shape | string {
    this.#misses++
    try {
      const shape = parseShape(text, key)
      this.#shapes.set(key, shape)
      return shape
    } catch (error) {
      if (error instanceof ParserNotReady) return notReady
      return error instanceof Error ? error.message : 'the parser failed'
    }
  }
}

function parseShape(text: string, key: string): Shape {
  const whole: boolean[] = []
  const { literals, semicolons } = normalise(text, whole)
  // The parser refuses a text of nothing; it is the empty query.
  const parsed = key === '' ? [] : parseStatements(text)
  const index = new LiteralIndex(text, literals, whole)
  const statements = Object.freeze(parsed.map(({ node }) => statementFacts(node, index)))
  const names = statements.some(namesPrepared)
  return Object.freeze({ key, id: ++lastId, uses: unused(key), statements, ranges: ranges(text, semicolons, parsed), names, problem: null })
}

function ranges(text: string, semicolons: readonly number[], parsed: readonly ParsedStatement[]): readonly StatementRange[] {
  if (semicolons.length === 0) return Object.freeze(parsed.map(() => ({ after: -1, before: -1 })))
  const offsets = byteOffsets(text, semicolons)
  return Object.freeze(
    parsed.map(({ start, end }) => ({
      after: offsets.findLastIndex((offset) => offset < start),
      before: end === null ? -1 : offsets.findIndex((offset) => offset >= end),
    })),
  )
}

function notUnderstood(text: string, problem: string, hints: Understood['hints']): Understood {
  const shape: Shape = Object.freeze({
    key: '',
    id: ++lastId,
    uses: unused(),
    statements: null,
    ranges: Object.freeze([]),
    names: false,
    problem,
  })
  return Object.freeze({ shape, text, literals: noLiterals, semicolons: noSemicolons, hints })
}

/** Where statement `index` stands in the text at hand: [start, end), without its semicolons. */
export function statementRange(understood: Understood, index: number): { readonly start: number; readonly end: number } {
  const range = understood.shape.ranges[index]
  const after = range === undefined || range.after < 0 ? undefined : understood.semicolons[range.after]
  const before = range === undefined || range.before < 0 ? undefined : understood.semicolons[range.before]
  return { start: after === undefined ? 0 : after + 1, end: before ?? understood.text.length }
}
