// pool/lane-writes.ts — what a lane has to write, until it does. Batches among it share the Sync of the last of them, as far as
// nobody can tell.
import { encodeSync } from '../protocol/extended.js'
import type { PreparedNames } from '../server/contract.js'
import type { LaneRequest, LaneSlot } from './lane-request.js'
import type { ShapeRecord } from './shape-book.js'

const syncFrame = encodeSync()
/** Requests that one write takes before others are looked for, and their service time, ms: beyond it several servers are quicker. */
const gatherUpTo = 8
const gatherMs = 1
/** Batches that share a Sync, and their service time, ms, of each and of those before it: what they have locked stays locked so long. */
const joinUpTo = 16
const joinMs = 1

export class LaneWrites {
  /** Requests among it, and how long they will take. */
  requests = 0
  ms = 0
  readonly #joins: boolean
  #pieces: Uint8Array[] = []
  /** The last batch, whose Sync the next one may share; who shares it already, and their service time. */
  #open: LaneSlot | null = null
  #joining = 0
  #joiningMs = 0

  /** `joins`: several autocommit reads may be one transaction there. */
  constructor(joins: boolean) {
    this.#joins = joins
  }

  /** One more may be written with it. */
  get room(): boolean {
    return this.requests < gatherUpTo && this.ms < gatherMs
  }

  /** True: it shares a Sync with those before it. */
  add(request: LaneRequest, slot: LaneSlot, names: PreparedNames): boolean {
    this.requests += 1
    this.ms += request.record.ms
    const before = this.#pieces.length - 1
    request.compile(names, slot, this.#pieces)
    return this.#joins && this.#join(slot, request.record, before)
  }

  /** `before`: the last piece of what stands before it. */
  #join(slot: LaneSlot, { ms, alone }: ShapeRecord, before: number): boolean {
    const open = this.#open
    const may = slot.batch && alone === 0
    const piece = this.#pieces[before]
    // A Close that the server passes over is lost, and comes with what is prepared.
    const room = this.#joining < joinUpTo && this.#joiningMs < joinMs && ms < joinMs
    const joined = may && room && open !== null && piece !== undefined && slot.prepares === null
    if (joined) {
      this.#pieces[before] = piece.subarray(0, piece.length - syncFrame.length)
      open.joined = true
    } else {
      this.#joining = 0
      this.#joiningMs = 0
    }
    this.#joining += 1
    this.#joiningMs += ms
    this.#open = may ? slot : null
    return joined
  }

  /** An empty round trip. */
  addSync(): void {
    this.#pieces.push(syncFrame)
  }

  /** All of it, in one piece; null: there is nothing. */
  take(): Uint8Array | null {
    const pieces = this.#pieces
    const [only] = pieces
    if (only === undefined) return null
    this.#pieces = []
    this.requests = 0
    this.ms = 0
    this.#open = null
    return pieces.length === 1 ? only : Buffer.concat(pieces)
  }
}
