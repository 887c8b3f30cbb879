// bus/channels.ts — who hears which channel of a line. A channel is wanted from the moment somebody asks for it, and heard by
// that listener once the server has acknowledged it.
import type { Listener } from './contract.js'

export class Channels {
  /** How many want it: those that hear it, and those whose LISTEN is under way. */
  readonly #wanted = new Map<string, number>()
  readonly #heard = new Map<string, Set<Listener>>()
  readonly #of = new Map<Listener, Set<string>>()

  get size(): number {
    return this.#wanted.size
  }

  get listeners(): number {
    return this.#of.size
  }

  wanted(): readonly string[] {
    return [...this.#wanted.keys()]
  }

  /** Every listener with its channels. */
  all(): Iterable<readonly [listener: Listener, channels: ReadonlySet<string>]> {
    return this.#of
  }

  of(listener: Listener): ReadonlySet<string> {
    return this.#of.get(listener) ?? none
  }

  hearers(channel: string): Iterable<Listener> {
    return this.#heard.get(channel) ?? none
  }

  want(channel: string): void {
    this.#wanted.set(channel, (this.#wanted.get(channel) ?? 0) + 1)
  }

  /** True: nobody wants it any more. */
  unwant(channel: string): boolean {
    const left = (this.#wanted.get(channel) ?? 0) - 1
    if (left > 0) this.#wanted.set(channel, left)
    else this.#wanted.delete(channel)
    return left <= 0
  }

  /** It was wanted for this listener, who hears it from now on. False: the listener hears it already. */
  hear(channel: string, listener: Listener): boolean {
    const own = this.#of.get(listener) ?? new Set()
    if (own.has(channel)) return false
    this.#of.set(listener, own.add(channel))
    const hearers = this.#heard.get(channel) ?? new Set()
    this.#heard.set(channel, hearers.add(listener))
    return true
  }

  /** False: the listener does not hear it. */
  unhear(channel: string, listener: Listener): boolean {
    const own = this.#of.get(listener)
    if (own?.delete(channel) !== true) return false
    if (own.size === 0) this.#of.delete(listener)
    const hearers = this.#heard.get(channel)
    hearers?.delete(listener)
    if (hearers?.size === 0) this.#heard.delete(channel)
    return true
  }
}

const none: ReadonlySet<never> = new Set()
