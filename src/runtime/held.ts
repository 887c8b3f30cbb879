// runtime/held.ts — waits that can all be ended at once. They keep no process alive.

export class Held {
  readonly #waiting = new Map<NodeJS.Timeout, () => void>()

  /** Resolves after `ms`, or when release() is called. */
  hold(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(timer)
        resolve()
      }
      const timer = setTimeout(end, ms).unref()
      this.#waiting.set(timer, end)
    })
  }

  release(): void {
    for (const end of [...this.#waiting.values()]) end()
  }
}
