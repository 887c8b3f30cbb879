// doors/proxy/departure.ts — a client that cancels, and one that leaves: nothing of its must stay behind on any server
// connection, and a write that it has sent whole is ended as PostgreSQL would end it.
import type { ClientState } from './client-state.js'
import type { End, Hold } from './hold.js'
import type { Holds } from './holds.js'
import type { Presence } from './presence.js'

/** A write whose client has left is given this long to end. */
const orphanMs = 60_000
const leftBusy = 'its client left while it was busy'
const leftOpen = 'its client left in a transaction'

export class Departure {
  readonly #state: ClientState
  readonly #presence: Presence
  readonly #holds: Holds
  /** The server connection on which the last write of a client that has left is being ended. */
  #finishing: { readonly hold: Hold; readonly timer: NodeJS.Timeout; readonly giveUp: () => void } | null = null

  constructor(state: ClientState, presence: Presence, holds: Holds) {
    this.#state = state
    this.#presence = presence
    this.#holds = holds
  }

  /** As a CancelRequest asks: whatever runs or waits ends with 57014. */
  cancel(): void {
    this.#presence.stopWaiting()
    for (const hold of this.#holds.all()) if (hold.owed && !hold.engaged) void this.#cancel(hold)
  }

  #cancel(hold: Hold): Promise<void> {
    hold.canceled = true
    return hold.connection.cancel().catch(() => undefined)
  }

  /** The client is gone. */
  leave(): void {
    this.#presence.end()
    this.#state.bus?.leave()
    for (const hold of this.#holds.all()) this.#abandon(hold)
  }

  #abandon(hold: Hold): void {
    // It is given back when it has said what stands on it.
    if (hold.inspecting !== null || hold.engaged) return
    if (hold.owed) {
      if (this.#finishes(hold)) {
        this.#orphan(hold)
        return
      }
      // A server notices a closed socket only when it writes to it: tell it to stop first.
      void this.#cancel(hold).then(() => hold.lease.destroy(leftBusy))
      this.#letGo(hold)
      return
    }
    if (hold.connection.transaction === 'I') {
      this.#holds.release(hold, hold.taint ?? 'its client left')
      return
    }
    this.#letGo(hold)
    void hold.connection.query('ROLLBACK').then(
      () => (hold.closes === null ? hold.lease.release(leftOpen) : hold.lease.destroy(leftOpen)),
      () => hold.lease.destroy(leftOpen),
    )
  }

  #letGo(hold: Hold): void {
    this.#holds.takeOut(hold)
    this.#holds.endWrite(hold, this.#state.now())
    hold.detach()
  }

  /** A whole write was sent: PostgreSQL would end it for a client that has left, and so do we. In a transaction nothing of it could stand, COMMIT aside. */
  #finishes(hold: Hold): boolean {
    const { request, session } = this.#state
    if (request?.hold !== hold || !request.complete) return false
    // Others wait for the same.
    if (request.recording?.shared === true) return true
    // What only takes locks lets go of them at its end, so nobody misses it.
    if (request.plan?.why.at(-1)?.rule === 'lock') return false
    return hold.writing && !hold.copying && !hold.lacksSync && (session.transaction.kind === 'idle' || request.commits)
  }

  #orphan(hold: Hold): void {
    this.#holds.takeOut(hold)
    hold.discard()
    const giveUp = (): void => {
      this.#finishing = null
      this.#holds.endWrite(hold, this.#state.now())
      void this.#cancel(hold).then(() => hold.lease.destroy(leftBusy))
      hold.detach()
    }
    this.#finishing = { hold, timer: setTimeout(giveUp, orphanMs), giveUp }
  }

  /** What a client that has left had sent waits for its data: as PostgreSQL sees the end of its client there, nothing of it stands. */
  copyBegins(hold: Hold): void {
    const finishing = this.#finishing
    if (finishing?.hold !== hold) return
    clearTimeout(finishing.timer)
    // Not while its reply is being read.
    queueMicrotask(() => {
      if (this.#finishing === finishing) finishing.giveUp()
    })
  }

  /** The end of what a client that has left had sent. */
  orphanEnded(hold: Hold, end: End): void {
    if (this.#finishing?.hold !== hold) return
    clearTimeout(this.#finishing.timer)
    this.#finishing = null
    // It was lost in the same breath, behind its last reply.
    if (hold.ended) return
    this.#holds.endWrite(hold, this.#state.now())
    hold.detach()
    if (end.kind === 'ready' && end.status === 'I') this.#holds.giveBack(hold, leftBusy)
    else hold.lease.destroy(leftBusy)
  }
}
