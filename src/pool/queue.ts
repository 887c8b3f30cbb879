// pool/queue.ts — requests waiting for a connection, in the place of generic-pool's PriorityQueue: strictly first come,
// first served. generic-pool leaves a request that timed out in its queue, where it is counted, makes connections open
// for nobody and costs the next one its turn; here a request that is over leaves at once.

/** One that waits: what generic-pool makes for its own acquire(), a promise with a timeout; or ours, which is neither. */
export interface Waiting {
  readonly state: string
  resolve(connection: unknown): void
  reject(reason: unknown): void
}

/** What our own pool hands through generic-pool's `priority` argument. */
export interface Ticket<C> {
  /** The idle connection for which this is largest is handed out. */
  readonly prefer: ((connection: C) => number) | null
  /** Exactly this idle connection: it is taken out to be destroyed. */
  readonly take: C | null
  /** Its end ends the wait. */
  readonly signal: AbortSignal | null
  readonly since: number
  /** When it has waited long enough, ms of performance.now(). */
  readonly deadline: number
}

export class WaitQueue<C> {
  readonly #waiting = new Map<Ticket<C>, Waiting>()

  get length(): number {
    return this.#waiting.size
  }

  enqueue(waiting: Waiting, ticket: Ticket<C>): void {
    this.#waiting.set(ticket, waiting)
  }

  dequeue(): Waiting | undefined {
    if (this.#waiting.size === 0) return undefined
    for (const [ticket, waiting] of this.#waiting) {
      this.#waiting.delete(ticket)
      return waiting
    }
    return undefined
  }

  get head(): Waiting | undefined {
    return this.#waiting.values().next().value
  }

  get tail(): Waiting | undefined {
    return [...this.#waiting.values()].at(-1)
  }

  /** Whose turn it is. */
  get first(): Ticket<C> | undefined {
    return this.#waiting.keys().next().value
  }

  /** Ends one wait; false if it was over already. Its acquire() rejects with `reason`. */
  cancel(ticket: Ticket<C>, reason: unknown): boolean {
    const waiting = this.#waiting.get(ticket)
    if (waiting === undefined) return false
    this.#waiting.delete(ticket)
    waiting.reject(reason)
    return true
  }

  /** Ends the waits that go with `signal`, which has fired. */
  cancelOf(signal: AbortSignal): void {
    for (const ticket of [...this.#waiting.keys()]) if (ticket.signal === signal) this.cancel(ticket, signal.reason)
  }

  cancelAll(reason: unknown): void {
    for (const ticket of [...this.#waiting.keys()]) this.cancel(ticket, reason)
  }
}
