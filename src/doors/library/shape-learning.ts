// doors/library/shape-learning.ts — reads on connections of their own teach how long each shape takes and how much it answers, so
// that those which prove fast and small may share a lane later (pool/shape-book.ts).
import { measure, ShapeBook, type ShapeRecord } from '../../pool/shape-book.js'
import type { PgConnection } from './pg-connection.js'

export class ShapeLearning {
  /** False: nothing is learned, since nobody would ask. */
  wanted = true
  readonly book: ShapeBook = new ShapeBook()
  readonly #now: () => number
  /** The last one, since most reads are like the one before. */
  #last: ShapeRecord | null = null

  /** `now`: process-monotonic ms. */
  constructor(now: () => number) {
    this.#now = now
  }

  of(cluster: string, shape: number): ShapeRecord {
    const last = this.#last
    if (last?.shape === shape && last.cluster === cluster) return last
    return (this.#last = this.book.of(cluster, shape))
  }

  /** A read is about to be sent on this connection, which is its own; the function is to be called with its shape when it was answered. */
  begin({ client }: PgConnection): ((cluster: string, shape: number) => void) | null {
    if (!this.wanted) return null
    const { stream } = client.connection
    const from = stream.bytesRead ?? 0
    const sentAt = this.#now()
    return (cluster, shape) => measure(this.of(cluster, shape), this.#now() - sentAt, (stream.bytesRead ?? 0) - from)
  }
}
