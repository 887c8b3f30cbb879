// doors/proxy/recording.ts — the reply to one read while it streams to its client, held as well, so that it can be kept and
// given to others byte for byte. Not beyond the cache's limits: past them the reply only streams.
import type { Origin } from '../../cache/admission.js'
import type { Fill } from '../../cache/result-cache.js'
import type { ReadEnd } from '../../consistency/floors.js'
import { decodeParameterDescription } from '../../protocol/backend-messages.js'
import { Backend } from '../../protocol/message-types.js'
import type { ClusterSnapshot } from '../../topology/topology.js'

/** A reply as its client got it, to its ReadyForQuery; a ParseComplete before it is left out. */
export interface Reply {
  readonly bytes: Uint8Array
  /** Of its ParameterDescription, where the read asked for one. */
  readonly types: readonly number[] | null
}

export class Recording {
  readonly #fill: Fill<Reply>
  /** What the client's values are written with is what it was when the key was made. */
  readonly #asBefore: () => boolean
  #chunks: Uint8Array[] = []

  constructor(fill: Fill<Reply>, asBefore: () => boolean) {
    this.#fill = fill
    this.#asBefore = asBefore
  }

  /** Others wait for this reply. */
  get shared(): boolean {
    return this.#fill.shared
  }

  /** The read is about to be sent; again where an attempt was lost. */
  sent(origin: Origin): void {
    this.#chunks = []
    this.#fill.sent(origin)
  }

  /** True: they are held anyway, so nothing is gained by letting the server wait for the client. */
  bytes(chunk: Uint8Array): boolean {
    if (this.#fill.grow(chunk.length)) this.#chunks.push(chunk)
    else this.#chunks = []
    return !this.#fill.over
  }

  /** The whole reply has come, and no error in it. */
  complete(read: ReadEnd, cluster: ClusterSnapshot): void {
    if (this.#fill.over) return
    const reply = readReply(joined(this.#chunks))
    if (reply === null) this.#fill.giveUp(true)
    else if (this.#asBefore()) this.#fill.finish(reply, read, cluster)
    this.close()
  }

  /** Nothing more comes. */
  close(): void {
    this.#chunks = []
    this.#fill.giveUp(false)
  }
}

/** In memory of their own: a slice would keep the whole chunk that it was read in. */
function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}

const rows: ReadonlySet<number> = new Set([Backend.BindComplete, Backend.RowDescription, Backend.DataRow])

/** null: there is something in it that was for this one time (a notice, a copy, a part of the rows), or for this client. */
function readReply(bytes: Uint8Array): Reply | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let start = 0
  let types: readonly number[] | null = null
  let completed = false
  for (let at = 0; at + 5 <= bytes.length;) {
    const type = view.getUint8(at)
    const end = at + 1 + view.getInt32(at + 1)
    if (end < at + 5 || end > bytes.length) return null
    if (type === Backend.ReadyForQuery) return completed && end === bytes.length ? { bytes: bytes.subarray(start), types } : null
    if (completed) return null
    if (type === Backend.ParseComplete && at === 0) start = end
    else if (type === Backend.ParameterDescription) types = decodeParameterDescription(bytes.subarray(at, end))
    else if (type === Backend.CommandComplete) completed = true
    else if (!rows.has(type)) return null
    at = end
  }
  return null
}
