// doors/library/keep-alive.ts — a process ends when nothing is left to wait for. The sockets and timers of this library do not
// count, so what is under way must: else a program could end while its statement waits for a server.

/** So much longer than what was under way a process may live: a timer that comes and goes with each statement costs more than its plan. */
const lookMs = 25

export class KeepAlive {
  #count = 0
  #timer: NodeJS.Timeout | null = null

  /** The process stays alive until as many calls of end() as of begin(), and for a moment longer. */
  begin(): void {
    this.#count += 1
    this.#timer ??= setInterval(() => this.#look(), lookMs)
  }

  end(): void {
    this.#count -= 1
  }

  #look(): void {
    if (this.#count > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    this.begin()
    try {
      return await work()
    } finally {
      this.end()
    }
  }
}
