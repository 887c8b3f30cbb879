// topology/acknowledged.ts — how many writes were acknowledged when, to say after a promotion how many may be lost
// (CONSISTENCY §2.8.4). Counts per 10 ms in which there were any; the oldest fall out. Adding one costs a comparison.

export interface Counted {
  readonly count: number
  /** False: what was acknowledged earlier than is remembered would belong to it. */
  readonly whole: boolean
}

interface Bucket {
  readonly at: number
  count: number
}

const WIDTH_MS = 10
/** A minute of writing without a pause. */
const MAX_BUCKETS = 6_000

export class Acknowledged {
  readonly #buckets: Bucket[] = []
  /** Index of the oldest; those before it are taken out in one go. */
  #first = 0
  #dropped = false

  /** `now`: process-monotonic ms, at or after the acknowledgement. */
  add(now: number): void {
    const at = Math.floor(now / WIDTH_MS) * WIDTH_MS
    const last = this.#buckets.at(-1)
    if (last !== undefined && last.at >= at) last.count += 1
    else this.#open(at)
  }

  /** Acknowledged at `from` or later, to within a bucket; rather one too many than one too few. */
  since(from: number): Counted {
    let count = 0
    for (let index = this.#buckets.length - 1; index >= this.#first; index--) {
      const bucket = this.#buckets[index]
      if (bucket === undefined || bucket.at + WIDTH_MS <= from) return { count, whole: true }
      count += bucket.count
    }
    return { count, whole: !this.#dropped }
  }

  #open(at: number): void {
    this.#buckets.push({ at, count: 1 })
    if (this.#buckets.length - this.#first <= MAX_BUCKETS) return
    this.#dropped = true
    this.#first += 1
    if (this.#first < MAX_BUCKETS) return
    this.#buckets.splice(0, this.#first)
    this.#first = 0
  }
}
