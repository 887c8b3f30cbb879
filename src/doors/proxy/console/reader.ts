// doors/proxy/console/reader.ts — takes one token of a command after another; each method throws 42601 where something else
// stands, and says what would have been right.
import { parseDuration } from '../../../consistency/duration.js'
import { PointsmanError } from '../../../errors/error.js'
import type { Token } from './words.js'

export class Reader {
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  get over(): boolean {
    return this.#at === this.#tokens.length
  }

  isKeyword(...keywords: readonly string[]): boolean {
    const token = this.#tokens[this.#at]
    return token?.kind === 'word' && keywords.includes(token.upper)
  }

  /** Takes the keyword, if it is what stands here. */
  takes(keyword: string): boolean {
    if (!this.isKeyword(keyword)) return false
    this.#at += 1
    return true
  }

  keyword(allowed: readonly string[], shown: readonly string[] = allowed): string {
    const token = this.#tokens[this.#at]
    if (token?.kind !== 'word' || !allowed.includes(token.upper)) throw this.#unexpected(shown.join(', '))
    this.#at += 1
    return token.upper
  }

  /** Of `what`: a word or a name in double quotes. */
  name(what: string): string {
    const token = this.#tokens[this.#at]
    if (token === undefined || token.kind === 'string' || token.text === '=') throw this.#unexpected(`the name of ${what}`)
    this.#at += 1
    return token.text
  }

  string(what: string): string {
    const token = this.#tokens[this.#at]
    if (token?.kind !== 'string') throw this.#unexpected(`${what} in 'quotes'`)
    this.#at += 1
    return token.text
  }

  /** A word or a string. */
  value(): string {
    const token = this.#tokens[this.#at]
    if (token === undefined || token.text === '=') throw this.#unexpected('a value')
    this.#at += 1
    return token.text
  }

  duration(): number {
    const token = this.#tokens[this.#at]
    const ms = token === undefined || token.kind === 'name' ? null : parseDuration(token.text)
    if (ms === null || ms <= 0) throw this.#unexpected('a duration such as 60s')
    this.#at += 1
    return ms
  }

  number(what: string): number {
    const token = this.#tokens[this.#at]
    const value = token?.kind === 'word' && /^\d{1,15}$/.test(token.text) ? Number(token.text) : null
    if (value === null) throw this.#unexpected(what)
    this.#at += 1
    return value
  }

  /** Whatever is left, in capitals and with single blanks. */
  rest(): string {
    const left = this.#tokens.slice(this.#at).map((token) => (token.kind === 'word' ? token.upper : token.text))
    this.#at = this.#tokens.length
    return left.join(' ')
  }

  end(): void {
    if (!this.over) throw this.#unexpected('the end of the command')
  }

  #unexpected(wanted: string): PointsmanError {
    const found = this.#tokens[this.#at]?.text
    const where = found === undefined ? 'at the end of the command' : `at "${found.slice(0, 64)}"`
    return new PointsmanError('console_syntax', { values: { what: `syntax error ${where}: expected ${wanted}` } })
  }
}
