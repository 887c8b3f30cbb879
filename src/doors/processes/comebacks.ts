// doors/processes/comebacks.ts — when a worker that has ended is started again: at once if it had served for a while, else later
// each time. Every worker by itself: that one of them came back says nothing of the others. Pure: how long it served comes in.

/** Who has served for less may end again at once. */
const briefMs = 5_000
const firstDelayMs = 100
const longestDelayMs = 30_000

export class Comebacks {
  /** How often it has ended too early, since it last served for a while. */
  readonly #brief = new Map<number, number>()

  /** Ms until this worker, which served for `servedMs` (0: not at all), is to be started again. */
  delay(worker: number, servedMs: number): number {
    if (servedMs >= briefMs) {
      this.#brief.delete(worker)
      return 0
    }
    const before = this.#brief.get(worker) ?? 0
    this.#brief.set(worker, before + 1)
    return Math.min(longestDelayMs, firstDelayMs * 2 ** before)
  }
}
