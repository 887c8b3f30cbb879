// execute/waiting-line.ts — statements that wait for the primary of one cluster. All are woken together, in the order in
// which they came, and take their connections within that turn: so they enter the pool's queue in that order too.
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

export class WaitingLine {
  readonly #monitor: Pick<Monitor, 'changed'>
  /** By turn. */
  #waiting: Waiter[] = []
  #turns = 0
  #watching = false

  constructor(monitor: Pick<Monitor, 'changed'>) {
    this.#monitor = monitor
  }

  get length(): number {
    return this.#waiting.length
  }

  /** A place in the line, kept over several waits. */
  turn(): number {
    this.#turns += 1
    return this.#turns
  }

  /** Resolves when it is worth trying again, or after `ms`. Rejects with `signal.reason`. */
  async wait(turn: number, ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    let leave = (): void => undefined
    const woken = new Promise<void>((resolve) => {
      const waiter: Waiter = { turn, resolve }
      this.#enter(waiter)
      leave = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiter)
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

  #enter(waiter: Waiter): void {
    const behind = this.#waiting.findIndex(({ turn }) => turn > waiter.turn)
    this.#waiting.splice(behind < 0 ? this.#waiting.length : behind, 0, waiter)
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
  }
}
