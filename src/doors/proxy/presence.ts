// doors/proxy/presence.ts — whether the client is there and wants what it waits for. Whatever waits for others does it under
// `signal`, which a cancel or the client's leaving aborts.
import { PointsmanError } from '../../errors/error.js'

export class Presence {
  /** One for all requests until a cancel uses it up: making one costs more than a lease does. */
  #abort = new AbortController()
  #waiting = false
  #gone = false

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get gone(): boolean {
    return this.#gone
  }

  /** Throws where the client has left: nothing may be begun for it any more. */
  require(): void {
    if (this.#gone) throw new PointsmanError('canceled')
  }

  /** The client is gone for good. */
  end(): void {
    this.#gone = true
    this.stopWaiting()
  }

  /** What waits under `signal` while `work` runs is stopped by a cancel. */
  async waiting<T>(work: () => Promise<T>): Promise<T> {
    this.require()
    this.#waiting = true
    try {
      return await work()
    } finally {
      this.#waiting = false
    }
  }

  /** waiting(), for what is told by a call: to be ended by over(). */
  begin(): void {
    this.#waiting = true
  }

  over(): void {
    this.#waiting = false
  }

  stopWaiting(): void {
    if (!this.#waiting) return
    this.#abort.abort(new PointsmanError('canceled'))
    this.#abort = new AbortController()
  }

  /** Waits for what others do, until this client cancels or leaves. */
  async unlessCanceled<T>(work: Promise<T>): Promise<T> {
    const { signal } = this
    let stop = (): void => undefined
    const canceled = new Promise<never>((_resolve, reject) => {
      stop = (): void => reject(signal.reason as Error)
    })
    try {
      return await this.waiting(() => {
        signal.addEventListener('abort', stop, { once: true })
        return Promise.race([work, canceled])
      })
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }
}
