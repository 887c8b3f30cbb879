// protocol/body-reader.ts — reads the body of one whole frame, field by field. Every read checks its bounds: a frame whose
// inner lengths lie gives 08P01, never bytes of the next frame.
import { HEADER } from './frame-reader.js'
import { violation } from './violation.js'

/** How text on the wire is decoded: clients with a single-byte encoding are read as latin1, whose ASCII half is all that lexing needs. */
export type TextEncoding = 'utf8' | 'latin1'

export class BodyReader {
  readonly #bytes: Buffer
  readonly #what: string
  #at: number

  /** `frame`: a whole frame, header included, or with `from` 0 a bare body. `what` names the message in errors. */
  constructor(frame: Uint8Array, what: string, from: number = HEADER) {
    this.#bytes = asBuffer(frame)
    this.#what = what
    this.#at = from
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  byte(): number {
    const at = this.#take(1)
    return this.#bytes[at] ?? 0
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#take(2))
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#take(2))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#take(4))
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4))
  }

  cstring(encoding: TextEncoding = 'utf8'): string {
    const end = this.#bytes.indexOf(0, this.#at)
    if (end < 0) throw this.#short()
    const text = this.#bytes.toString(encoding, this.#at, end)
    this.#at = end + 1
    return text
  }

  /** A slice, not a copy. */
  bytes(length: number): Uint8Array {
    const at = this.#take(length)
    return this.#bytes.subarray(at, at + length)
  }

  /** A length word and that many bytes; −1 is NULL. */
  value(): Uint8Array | null {
    const length = this.int32()
    if (length === -1) return null
    if (length < 0) throw this.#short()
    return this.bytes(length)
  }

  rest(): Uint8Array {
    return this.bytes(this.left)
  }

  /** Throws if anything is left over. */
  end(): void {
    if (this.left > 0) throw violation(`${this.#what} is longer than its fields`)
  }

  #take(bytes: number): number {
    if (bytes < 0 || this.left < bytes) throw this.#short()
    const at = this.#at
    this.#at += bytes
    return at
  }

  #short(): Error {
    return violation(`${this.#what} is shorter than its fields`)
  }
}

/** The same memory as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
