// doors/proxy/login-failures.ts — slows down who guesses. A failed login is told late, and the next failure of the same user
// from the same address later still; while there are such failures its successes are told as late, so that many guesses at
// once tell nothing earlier. Others are not held back: a delay is a timer, and takes nobody's place.
import { setTimeout as pause } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'

/** Users of addresses that are remembered, the latest ones. */
const maxRemembered = 10_000
/** After so long without a failure all is forgotten. */
const forgetMs = 60_000
/** Delays under way at once; whoever comes then is told nothing at all. */
const maxHeld = 1000
const maxFactor = 8
const maxDelayMs = 10_000

interface Failures {
  readonly count: number
  readonly last: number
}

export class LoginFailures {
  readonly #failures = new LRUCache<string, Failures>({ max: maxRemembered })
  readonly #now: () => number
  readonly #sleep: (ms: number) => Promise<unknown>
  #held = 0

  constructor(now: () => number, sleep: (ms: number) => Promise<unknown> = pause) {
    this.#now = now
    this.#sleep = sleep
  }

  /** Logins whose outcome is being held back. */
  get held(): number {
    return this.#held
  }

  /** Resolves when a failed login may be told: false where it is not to be told at all. */
  failed(address: string, user: string, delayMs: number): Promise<boolean> {
    const key = keyOf(address, user)
    const count = (this.#of(key)?.count ?? 0) + 1
    this.#failures.set(key, { count, last: this.#now() })
    return this.#hold(count, delayMs)
  }

  /** null: at once, there were no failures. Else resolves when a login that is right may be told: false, not at all. */
  succeeded(address: string, user: string, delayMs: number): Promise<boolean> | null {
    if (this.#failures.size === 0) return null
    const key = keyOf(address, user)
    const before = this.#of(key)
    if (before === undefined) return null
    return this.#hold(before.count, delayMs).then((told) => {
      if (told) this.#failures.delete(key)
      return told
    })
  }

  #of(key: string): Failures | undefined {
    const found = this.#failures.get(key)
    return found !== undefined && this.#now() - found.last < forgetMs ? found : undefined
  }

  async #hold(count: number, delayMs: number): Promise<boolean> {
    if (delayMs === 0) return true
    if (this.#held >= maxHeld) return false
    this.#held += 1
    try {
      await this.#sleep(Math.min(delayMs * Math.min(2 ** (count - 1), maxFactor), maxDelayMs))
      return true
    } finally {
      this.#held -= 1
    }
  }
}

function keyOf(address: string, user: string): string {
  return `${address} ${user}`
}
