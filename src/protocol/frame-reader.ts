// protocol/frame-reader.ts — cuts a stream of v3 messages into frames, whatever the chunking. It decides nothing:
// for every header the handler says how much of the frame it wants in one piece (small ones that decisions need) and how
// much is only passed on (DataRow, CopyData: a value of any size passes without taking its size in memory).
//
//   chunk  ┌──────┬──────┬──────┬────┬───────────┐
//          │  D   │  D   │  D   │ C  │  D …      │   part(D D D) — adjacent passed frames come as ONE part —
//          └──────┴──────┴──────┴────┴───────────┘   frame(C), part(D begins); in the next chunk part(… D ends)
//
// Frames are told as (chunk, start, end), so that a run of them costs no object per frame.
import { violation } from './violation.js'

/** Bytes of a frame before its body: the type and the length. */
export const HEADER = 5

export interface FrameHandler {
  /**
   * A header was read; `length` is that of the whole frame, header included. Returns how many of its first bytes to
   * collect: 0 passes it on in parts, `length` delivers it whole, anything between delivers that beginning and passes
   * the rest. Throws (a protocol violation) what must not come or is too long: nothing of its body has been kept then.
   */
  collect(type: number, length: number): number
  /** chunk[start, end) is what collect() asked for: a whole frame, header included, or its beginning (end − start < length). */
  frame(type: number, chunk: Uint8Array, start: number, end: number, length: number): void
  /** chunk[start, end) continues what is passed on: several frames, or a part of one. */
  part(chunk: Uint8Array, start: number, end: number): void
}

export class FrameReader {
  readonly #handler: FrameHandler
  readonly #unbroken: number
  /** An incomplete header (at most 4 bytes). */
  readonly #header = new Uint8Array(HEADER)
  #headerBytes = 0
  /** Bytes still to pass on of the frame at hand. */
  #passing = 0
  /** Bytes still to collect of the frame at hand, and what is there of it. */
  #missing = 0
  #collected: Uint8Array[] = []
  #type = 0
  #length = 0

  /** `unbroken`: a frame of at most so many bytes is never passed on in pieces; where a chunk ends within one, it is told once it is whole. */
  constructor(handler: FrameHandler, unbroken = 0) {
    this.#handler = handler
    this.#unbroken = unbroken
  }

  /** True between frames: nothing is half read. */
  get aligned(): boolean {
    return this.#missing === 0 && this.#passing === 0 && this.#headerBytes === 0
  }

  /** Bytes still to come of the frame that is being passed on; as of now, also within part(). */
  get passing(): number {
    return this.#passing
  }

  /** Takes what the socket gave; it must not be overwritten afterwards. Throws 08P01 and what collect() throws. */
  push(chunk: Uint8Array): void {
    let at = 0
    if (this.#headerBytes > 0) at = this.#resumeHeader(chunk)
    if (this.#missing > 0) at = this.#resumeCollecting(chunk, at)
    if (this.#missing === 0 && at < chunk.length) this.#frames(chunk, at)
  }

  /** All frames from `at` on; runs of what is passed on are delivered together. */
  #frames(chunk: Uint8Array, at: number): void {
    let run = at
    let cursor = at + this.#passing
    this.#passing = 0
    while (chunk.length - cursor >= HEADER) {
      const type = chunk[cursor] ?? 0
      const length = frameLength(chunk, cursor)
      const wanted = this.#handler.collect(type, length)
      if (wanted > 0) {
        if (cursor > run) this.#handler.part(chunk, run, cursor)
        run = cursor + Math.min(wanted, length)
        if (run > chunk.length) {
          this.#collect(type, length, chunk.subarray(cursor), run - chunk.length)
          return
        }
        this.#handler.frame(type, chunk, cursor, run, length)
      } else if (length <= this.#unbroken && cursor + length > chunk.length) {
        if (cursor > run) this.#handler.part(chunk, run, cursor)
        this.#collect(type, length, chunk.subarray(cursor), cursor + length - chunk.length)
        return
      }
      cursor += length
    }
    if (cursor >= chunk.length) {
      this.#passing = cursor - chunk.length
      if (chunk.length > run) this.#handler.part(chunk, run, chunk.length)
      return
    }
    if (cursor > run) this.#handler.part(chunk, run, cursor)
    this.#header.set(chunk.subarray(cursor), 0)
    this.#headerBytes = chunk.length - cursor
  }

  #collect(type: number, length: number, first: Uint8Array, missing: number): void {
    this.#type = type
    this.#length = length
    this.#missing = missing
    // A list, not a buffer of the announced size: memory grows with what has come, not with what was claimed.
    this.#collected = [first]
  }

  /** Completes a header that an earlier chunk began. Returns where it ends. */
  #resumeHeader(chunk: Uint8Array): number {
    const take = Math.min(HEADER - this.#headerBytes, chunk.length)
    this.#header.set(chunk.subarray(0, take), this.#headerBytes)
    this.#headerBytes += take
    if (this.#headerBytes < HEADER) return take
    this.#headerBytes = 0
    const header = this.#header.slice()
    const type = header[0] ?? 0
    const length = frameLength(header, 0)
    const asked = this.#handler.collect(type, length)
    const wanted = Math.min(asked === 0 && length <= this.#unbroken ? length : asked, length)
    if (wanted > HEADER) this.#collect(type, length, header, wanted - HEADER)
    else {
      this.#passing = length - HEADER
      if (wanted > 0) this.#handler.frame(type, header, 0, HEADER, length)
      else this.#handler.part(header, 0, HEADER)
    }
    return take
  }

  /** Continues a frame that an earlier chunk began. Returns where its collected part ends. */
  #resumeCollecting(chunk: Uint8Array, at: number): number {
    const end = Math.min(at + this.#missing, chunk.length)
    this.#collected.push(chunk.subarray(at, end))
    this.#missing -= end - at
    if (this.#missing > 0) return end
    const frame = Buffer.concat(this.#collected)
    this.#collected = []
    this.#passing = this.#length - frame.length
    this.#handler.frame(this.#type, frame, 0, frame.length, this.#length)
    return end
  }
}

/** Length of the frame whose header stands at `at`, header included. Throws 08P01 where the length word cannot be one. */
export function frameLength(bytes: Uint8Array, at: number): number {
  const length = ((bytes[at + 1] ?? 0) << 24) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0)
  if (length < 4) throw violation('invalid message length')
  return length + 1
}
