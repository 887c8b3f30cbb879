// doors/proxy/seen-parses.ts — the Parse messages of the unnamed statement seen last, found again by their bytes: drivers that do not
// name what they prepare send the same ones over and over, and then there is nothing to decode. A table with one place per hash,
// of all clients. As in sql/text-memo.ts a Parse is only kept when its hash comes for the second time.
import { decodeParse } from '../../protocol/extended.js'
import { ownCallOf } from '../../session/client-pids.js'
import type { ClientStatement } from '../../session/session.js'
import type { Understood } from '../../sql/statement.js'
import { asksUniqueIds } from '../../sql/unique-ids.js'
import { longestSwift } from './swift-frames.js'

/** What the same bytes always mean, read as UTF-8. */
export interface SeenParse extends Pick<ClientStatement, 'text' | 'types' | 'key' | 'understood'> {
  readonly frame: Buffer
  /** It is one statement that stands for nothing but itself: no PREPARE or EXECUTE, nothing about the client's own process, no ids. */
  readonly plain: boolean
}

const places = 512
/** With the above at most some 3 MB are kept. */
const longest = Math.min(2048, longestSwift)
const samples = 32
/** Up to here a loop compares faster than a call does. */
const loopUpTo = 192

export class SeenParses {
  readonly #understand: (text: string) => Understood
  readonly #places = new Array<SeenParse | undefined>(places).fill(undefined)
  readonly #hashes = new Int32Array(places)

  constructor(understand: (text: string) => Understood) {
    this.#understand = understand
  }

  /** The Parse that `bytes` begin with, `length` long; null: it is not known (yet). */
  of(bytes: Buffer, length: number): SeenParse | null {
    if (length > longest) return null
    const hash = hashOf(bytes, length)
    const place = hash & (places - 1)
    const found = this.#places[place]
    if (found !== undefined && isSeen(found, bytes, length)) return found
    if (this.#hashes[place] !== hash) {
      this.#hashes[place] = hash
      return null
    }
    const seen = this.#read(Buffer.from(bytes.subarray(0, length)))
    if (seen !== null) this.#places[place] = seen
    return seen
  }

  #read(frame: Buffer): SeenParse | null {
    try {
      const { text, types } = decodeParse(frame)
      const understood = this.#understand(text)
      const { shape } = understood
      const plain = !shape.names && shape.statements?.length === 1 && ownCallOf(understood) === null && !asksUniqueIds(understood)
      return { frame, text, types, key: `${types.join(',')}\0${text}`, understood, plain }
    } catch {
      // What cannot be read is told where all messages are.
      return null
    }
  }
}

/** Whether `bytes` begin with it. */
export function isSeen({ frame }: SeenParse, bytes: Buffer, length: number): boolean {
  if (frame.length !== length) return false
  if (length > loopUpTo) return bytes.compare(frame, 0, length, 0, length) === 0
  for (let at = length - 1; at >= 0; at--) if (frame[at] !== bytes[at]) return false
  return true
}

/** Of the length and some bytes all over the frame. */
function hashOf(bytes: Uint8Array, length: number): number {
  const stride = length <= samples ? 1 : (length / samples) | 0
  let hash = length
  for (let at = length - 1; at >= 0; at -= stride) hash = (Math.imul(hash, 31) + (bytes[at] ?? 0)) | 0
  return hash ^ (hash >>> 15)
}
