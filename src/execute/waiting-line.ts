// execute/waiting-line.ts — statements that wait for the primary of one cluster, with one login. All are woken together, in
// the order in which they came, and take their connections within that turn: so they enter the pool's queue in that order
// too. Each login has a line of its own, as it has a pool of its own: one that cannot connect holds up nobody else.
//
//   primary lost ── write 1, write 2, write 3 wait ── a topology is published ──▶ 1, 2, 3 try ──▶ pool: 1, 2, 3
//                                                                        │ no primary yet: back to their old places
import type { Monitor } from '../monitor/contract.js'
import { changedWithin } from './changed-within.js'

interface Waiter {
  readonly turn: number
  readonly resolve: () => void
}

/** Where nothing in the topology changes they try again all the same: a connection that failed backs off by itself. */
const retryMs = 100

/** By login (Identity.key, which names the cluster too), for as long as somebody waits. */
export class WaitingLines {
  readonly #monitor: Pick<Monitor, 'changed'>
  readonly #lines = new Map<string, WaitingLine>()
  #turns = 0

  constructor(monitor: Pick<Monitor, 'changed'>) {
    this.#monitor = monitor
  }

  /** A place in the line, kept over several waits. */
  turn(): number {
    this.#turns += 1
    return this.#turns
  }

  /** Somebody waits. `login`: Identity.key. */
  waits(login: string): boolean {
    return this.#lines.size > 0 && (this.#lines.get(login)?.length ?? 0) > 0
  }

  /** Resolves when it is worth trying again, or after `ms`. Rejects with `signal.reason`. */
  wait(login: string, turn: number, ms: number, signal: AbortSignal): Promise<void> {
    let line = this.#lines.get(login)
    if (line === undefined) {
      line = new WaitingLine(this.#monitor, () => this.#lines.delete(login))
      this.#lines.set(login, line)
    }
    return line.wait(turn, ms, signal)
  }
}

class WaitingLine {
  readonly #monitor: Pick<Monitor, 'changed'>
  readonly #ended: () => void
  /** By turn. */
  #waiting: Waiter[] = []
  #watching = false

  /** `ended`: nobody waits any more. */
  constructor(monitor: Pick<Monitor, 'changed'>, ended: () => void) {
    this.#monitor = monitor
    this.#ended = ended
  }

  get length(): number {
    return this.#waiting.length
  }

  async wait(turn: number, ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    let leave = (): void => undefined
    const woken = new Promise<void>((resolve) => {
      const waiter: Waiter = { turn, resolve }
      this.#enter(waiter)
      leave = (): void => {
        const place = this.#waiting.indexOf(waiter)
        if (place >= 0) this.#waiting.splice(place, 1)
        resolve()
      }
    })
    const timer = setTimeout(leave, ms)
    signal.addEventListener('abort', leave, { once: true })
    await woken
    clearTimeout(timer)
    signal.removeEventListener('abort', leave)
    signal.throwIfAborted()
  }

  /** From the end: whoever was woken comes back in order, and thousands may do so many times a second. */
  #enter(waiter: Waiter): void {
    const before = this.#waiting.findLastIndex(({ turn }) => turn < waiter.turn)
    this.#waiting.splice(before + 1, 0, waiter)
    if (!this.#watching) void this.#watch()
  }

  async #watch(): Promise<void> {
    this.#watching = true
    const never = new AbortController().signal
    while (this.#waiting.length > 0) {
      await changedWithin(this.#monitor, retryMs, never)
      const woken = this.#waiting
      this.#waiting = []
      for (const { resolve } of woken) resolve()
      // Who finds nothing is back in the line before it is looked at again.
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
    this.#watching = false
    this.#ended()
  }
}
