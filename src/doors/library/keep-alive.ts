// doors/library/keep-alive.ts — a process ends when nothing is left to wait for. The sockets and timers of this library do not
// count, so what is under way must: else a program could end while its statement waits for a server.

const farAwayMs = 2 ** 30

export class KeepAlive {
  #count = 0
  #timer: NodeJS.Timeout | null = null

  /** The process stays alive until as many calls of end() as of begin(). */
  begin(): void {
    this.#timer ??= setInterval(() => undefined, farAwayMs)
    if (this.#count++ === 0) this.#timer.ref()
  }

  end(): void {
    if (--this.#count === 0) this.#timer?.unref()
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
