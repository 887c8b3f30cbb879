// protocol/frame-writer.ts — builds one message. Strings are UTF-8; a NUL inside one would end it early on the other
// side, so it is refused.
import { violation } from './violation.js'

export class FrameWriter {
  #buffer: Buffer
  #at: number
  /** Where the length word stands: after the type byte, or at 0 for a startup packet. */
  readonly #lengthAt: number

  /** `type` null: a startup packet, which has no type byte. */
  constructor(type: number | null, size = 64) {
    this.#buffer = Buffer.allocUnsafe(size + 5)
    this.#at = 0
    if (type !== null) this.#buffer[this.#at++] = type
    this.#lengthAt = this.#at
    this.#at += 4
  }

  byte(value: number): this {
    this.#reserve(1)
    this.#buffer[this.#at++] = value
    return this
  }

  /** Signed or unsigned: a Bind may have 65535 parameters. */
  int16(value: number): this {
    this.#reserve(2)
    this.#at = this.#buffer.writeUInt16BE(value & 0xffff, this.#at)
    return this
  }

  int32(value: number): this {
    this.#reserve(4)
    this.#at = this.#buffer.writeInt32BE(value, this.#at)
    return this
  }

  uint32(value: number): this {
    this.#reserve(4)
    this.#at = this.#buffer.writeUInt32BE(value, this.#at)
    return this
  }

  cstring(value: string): this {
    if (value.includes('\0')) throw violation('a string with a NUL byte')
    this.text(value)
    return this.byte(0)
  }

  /** Without a terminator. */
  text(value: string): this {
    const length = Buffer.byteLength(value)
    this.#reserve(length)
    this.#at += this.#buffer.write(value, this.#at, length, 'utf8')
    return this
  }

  bytes(value: Uint8Array): this {
    this.#reserve(value.length)
    this.#buffer.set(value, this.#at)
    this.#at += value.length
    return this
  }

  /** A length word and the bytes; null is −1 (NULL). */
  value(value: Uint8Array | string | null): this {
    if (value === null) return this.int32(-1)
    if (typeof value === 'string') return this.int32(Buffer.byteLength(value)).text(value)
    return this.int32(value.length).bytes(value)
  }

  /** The finished message. The writer must not be used afterwards. */
  end(): Buffer {
    this.#buffer.writeInt32BE(this.#at - this.#lengthAt, this.#lengthAt)
    return this.#buffer.subarray(0, this.#at)
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes
    if (needed <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(larger, 0, 0, this.#at)
    this.#buffer = larger
  }
}
