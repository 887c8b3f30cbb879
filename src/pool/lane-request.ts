// pool/lane-request.ts — what a lane and whoever uses it say to each other. One request object serves all requests of its
// client, one after the other, so that nothing is made for each of them.
import type { ErrorFields } from '../protocol/error-fields.js'
import type { Loss, PreparedNames } from '../server/contract.js'
import type { Party } from './account.js'
import type { Evidence } from './contract.js'
import type { ShapeRecord } from './shape-book.js'

/** A group as it stands on a lane: from when it is put there until its ReadyForQuery has come. */
export interface LaneSlot {
  /** Whose it is; null: nobody wants the reply any more. */
  request: LaneRequest | null
  record: ShapeRecord | null
  /** Process-monotonic ms. */
  sentAt: number
  /** Acknowledgements (ParseComplete, CloseComplete) at the head of the reply that are not passed on. */
  skip: number
  /** The key in the connection's names that its Parse prepares, or null. */
  prepares: string | null
  /** Its Parse was acknowledged. */
  parsed: boolean
  /** Those behind it have been told that it is slow. */
  slow: boolean
  /** It has been so for long. */
  long: boolean
  /** It was told that its lane is slow. */
  moved: boolean
  /** A batch: it ends in a Sync, which others may share. */
  batch: boolean
  /** The Sync of whoever is behind it ends its transaction, too: its reply ends with its CommandComplete. */
  joined: boolean
  /** A cancel was sent for it. */
  canceled: boolean
  /** Bytes of its reply given so far, where the reply is streamed. */
  given: number
  /** Ends a cancel: an empty round trip. */
  barrier: boolean
}

/** Why a request is to be run once more: nothing of its reply was given out. */
export type LaneMiss =
  /** The connection was lost. */
  | { readonly why: 'lost'; readonly loss: Loss }
  /** What was meant for its neighbour hit it: a cancel, or the server passed it over after the other's error. */
  | { readonly why: 'neighbour' }
  /** It was still waiting for a lane, and none moves. */
  | { readonly why: 'crowded' }

export interface LaneRequest {
  /** When it was put in line for a lane, process-monotonic ms; kept by the lanes. */
  queuedAt: number
  /** Whose it is; while it stands in line, the same. Default: nobody's. */
  readonly party?: Party
  readonly record: ShapeRecord
  /** Whether the connection is proved to be good for what is asked now. */
  fits(lane: LaneOf): boolean
  /** What the connection proved when it was opened holds no more, for nobody: its server has another role since, or another timeline. */
  outlived?(lane: LaneOf): boolean
  /** Called before it is asked again, in line, whether it fits: where it may go may have changed since it came. */
  comesUp?(): void
  /** Its frames for this connection, the last of them a Query or a Sync; what the slot must know of them is set there. */
  compile(names: PreparedNames, slot: LaneSlot, frames: Uint8Array[]): void
  /** Its whole reply; `ready`: the ReadyForQuery is in it, else the server gave one to several together. */
  answered(reply: Uint8Array, ready: boolean, lane: LaneOf): void
  /** The same, with an error in it. False: nothing was given out, and it is run elsewhere. */
  failed(error: ErrorFields, parsed: boolean, reply: Uint8Array, lane: LaneOf): void
  /** A part of a reply that is too large for a lane; `last`: its end. False: wait for resume(). */
  streamed(part: Uint8Array, last: boolean, error: ErrorFields | null, lane: LaneOf): boolean
  /** The connection was lost in the middle of such a reply; `torn`: within one of its messages. */
  broken(loss: Loss, torn: boolean, lane: LaneOf): void
  /** The reply may still come, but what stands before it is slow: it may be run elsewhere meanwhile, and let go of here. */
  stalled(): void
  /** It is not on a lane any more, and must be run elsewhere. */
  missed(miss: LaneMiss): void
}

/** What a request may know of the lane it is on. */
export interface LaneOf {
  /** After streamed() had said that it must wait. */
  resume(): void
  readonly node: string
  readonly cluster: string
  readonly connection: {
    readonly evidence: Evidence
    readonly parameters: ReadonlyMap<string, string>
    readonly parametersKey: string
    readonly statements: PreparedNames
  }
}
