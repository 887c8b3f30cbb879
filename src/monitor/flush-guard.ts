// monitor/flush-guard.ts — which position of its primary a cluster with `lsn_source: flush` may use. The flush position
// covers an acknowledged commit only if that waited for the disk. That no commit does otherwise is the operators' word; it
// is checked before it is relied on, and once it is seen broken (by stored settings, or by a session that passes through
// here) the insert position is used, for good: sessions that began under other settings may live on.
//
// It must be told BEFORE such a commit can be acknowledged: samples sent earlier speak of earlier commits only, and for a
// sample that is under way the flush position is not used any more.
import type { ServerPosition } from '../consistency/position-query.js'

export class FlushGuard {
  #looked = false
  #broken: string | null = null

  /** Why the insert position is used for good; null: it is not. */
  get broken(): string | null {
    return this.#broken
  }

  /** The stored settings were looked through: what they allow, in words, or null. True: that breaks it, and was not known. */
  looked(found: string | null): boolean {
    this.#looked = true
    return found !== null && this.seen(found)
  }

  /** A commit need not be on disk when it is acknowledged. True: that breaks it, and was not known. */
  seen(reason: string): boolean {
    if (this.#broken !== null) return false
    this.#broken = reason
    return true
  }

  /** One that has yet to look, and doubts what this one does. */
  anew(): FlushGuard {
    const next = new FlushGuard()
    next.#broken = this.#broken
    return next
  }

  /** What the server said, with the position that counts. */
  position(server: ServerPosition): ServerPosition {
    const { commits, lsn } = server
    if (commits === null || lsn === null || commits.asynchronous || !this.#looked || this.#broken !== null) return server
    return { ...server, lsn: commits.flush < lsn ? commits.flush : lsn }
  }
}
