// protocol/frame-reader.ts — cuts a stream of v3 messages into frames, whatever the chunking. It decides nothing:
// for every header the handler says whether it wants the frame whole (small ones that decisions need) or only passed on
// (DataRow, CopyData, large Binds: never collected, so a value of any size passes without taking its size in memory).
//
//   chunk  ┌──────┬──────┬──────┬────┬───────────┐
//          │  D   │  D   │  D   │ C  │  D …      │   part(0..18) part(…) — adjacent passed frames come as ONE part,
//          └──────┴──────┴──────┴────┴───────────┘   whole(C), part(D begins), in the next chunk: part(… D ends)
//
// Frames are told as (chunk, start, end), so that a run of them costs no object per frame.
import { violation } from './violation.js'

/** Bytes of a frame before its body: the type and the length. */
export const HEADER = 5

export interface FrameHandler {
  /**
   * A header was read; `length` is that of the whole frame, header included. True: deliver it whole; false: in parts.
   * Throws (a protocol violation) what must not come or is too long: nothing has been kept of its body then.
   */
  wants(type: number, length: number): boolean
  /** chunk[start, end) is one whole frame, header included. */
  whole(type: number, chunk: Uint8Array, start: number, end: number): void
  /** chunk[start, end) continues the frames being passed: several of them, or a part of one. `ends`: on a frame's border. */
  part(chunk: Uint8Array, start: number, end: number, ends: boolean): void
}

export class FrameReader {
  readonly #handler: FrameHandler
  /** An incomplete header (at most 4 bytes). */
  readonly #header = new Uint8Array(HEADER)
  #headerBytes = 0
  /** Bytes still to come of the frame at hand; 0: the next byte begins a header. */
  #missing = 0
  /** The frame at hand is collected: its type, and what is there of it. */
  #collecting = false
  #type = 0
  #collected: Uint8Array[] = []
  #stopped = false

  constructor(handler: FrameHandler) {
    this.#handler = handler
  }

  /** True between frames: nothing is half read. */
  get aligned(): boolean {
    return this.#missing === 0 && this.#headerBytes === 0
  }

  /** Takes what the socket gave. What the handler keeps of it must not be overwritten. Throws what wants() throws. */
  push(chunk: Uint8Array): void {
    let at = 0
    if (this.#headerBytes > 0) at = this.#resumeHeader(chunk)
    if (this.#missing > 0) at = this.#resumeBody(chunk, at)
    if (at < chunk.length) this.#frames(chunk, at)
  }

  /** Ends the present push() after the frame at hand, and every later one at once: the connection speaks something else now. */
  stop(): void {
    this.#stopped = true
  }

  /** All frames from `at` on; runs of passed ones are delivered together. */
  #frames(chunk: Uint8Array, at: number): void {
    let run = at
    let cursor = at
    while (!this.#stopped && chunk.length - cursor >= HEADER) {
      const type = chunk[cursor] as number
      const length = frameLength(chunk, cursor)
      if (this.#handler.wants(type, length)) {
        if (cursor > run) this.#handler.part(chunk, run, cursor, true)
        run = cursor = this.#whole(type, chunk, cursor, length)
      } else {
        cursor += length
        if (cursor > chunk.length) return this.#passOn(chunk, run, cursor - chunk.length)
      }
    }
    if (cursor > run) this.#handler.part(chunk, run, cursor, true)
    if (!this.#stopped && cursor < chunk.length) this.#keepHeader(chunk, cursor)
  }

  /** The chunk ends within a passed frame. */
  #passOn(chunk: Uint8Array, run: number, missing: number): void {
    this.#missing = missing
    this.#collecting = false
    this.#handler.part(chunk, run, chunk.length, false)
  }

  #keepHeader(chunk: Uint8Array, from: number): void {
    this.#header.set(chunk.subarray(from), 0)
    this.#headerBytes = chunk.length - from
  }

  #whole(type: number, chunk: Uint8Array, at: number, length: number): number {
    const end = at + length
    if (end <= chunk.length) {
      this.#handler.whole(type, chunk, at, end)
      return end
    }
    this.#collect(type, chunk.subarray(at), end - chunk.length)
    return chunk.length
  }

  #collect(type: number, first: Uint8Array, missing: number): void {
    this.#type = type
    this.#missing = missing
    this.#collecting = true
    this.#collected = [first]
  }

  /** Completes a header that an earlier chunk began. */
  #resumeHeader(chunk: Uint8Array): number {
    const take = Math.min(HEADER - this.#headerBytes, chunk.length)
    this.#header.set(chunk.subarray(0, take), this.#headerBytes)
    this.#headerBytes += take
    if (this.#headerBytes < HEADER) return take
    this.#headerBytes = 0
    const header = this.#header.slice()
    const type = header[0] as number
    const length = frameLength(header, 0)
    const wanted = this.#handler.wants(type, length)
    if (length > HEADER) {
      if (wanted) this.#collect(type, header, length - HEADER)
      else {
        this.#missing = length - HEADER
        this.#collecting = false
        this.#handler.part(header, 0, HEADER, false)
      }
    } else if (wanted) this.#handler.whole(type, header, 0, HEADER)
    else this.#handler.part(header, 0, HEADER, true)
    return take
  }

  /** Continues a body that an earlier chunk began. */
  #resumeBody(chunk: Uint8Array, at: number): number {
    const end = Math.min(at + this.#missing, chunk.length)
    if (end === at) return at
    this.#missing -= end - at
    if (!this.#collecting) this.#handler.part(chunk, at, end, this.#missing === 0)
    else {
      this.#collected.push(chunk.subarray(at, end))
      if (this.#missing === 0) this.#deliverCollected()
    }
    return end
  }

  #deliverCollected(): void {
    const frame = Buffer.concat(this.#collected)
    this.#collected = []
    this.#handler.whole(this.#type, frame, 0, frame.length)
  }
}

/** Length of the frame whose header stands at `at`, header included. Throws 08P01 where the length word cannot be one. */
export function frameLength(bytes: Uint8Array, at: number): number {
  const length =
    ((bytes[at + 1] as number) << 24) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 8) | (bytes[at + 4] as number)
  if (length < 4) throw violation('invalid message length')
  return length + 1
}
