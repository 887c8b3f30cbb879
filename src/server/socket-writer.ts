// server/socket-writer.ts — one write per turn of the event loop: what several requests send within a turn is gathered and
// handed over together. Small pieces are joined (a copy costs less than a long vector), large ones go as they are.
import type { Socket } from 'node:net'
import { atTurnEnd } from './turn-end.js'

/** More than this waiting to leave: the sender should wait. */
const HIGH_WATER = 256 * 1024
const JOIN_UP_TO = 16 * 1024

export class SocketWriter {
  readonly #socket: Socket
  readonly #drained: () => void
  #pieces: Uint8Array[] = []
  #bytes = 0
  #scheduled = false
  #full = false

  /** `drained` is called when all is gone after write() had returned false. */
  constructor(socket: Socket, drained: () => void) {
    this.#socket = socket
    this.#drained = drained
    socket.on('drain', () => this.#onDrain())
  }

  /** False: wait for `drained`. */
  write(bytes: Uint8Array): boolean {
    if (bytes.length === 0) return !this.#full
    this.#pieces.push(bytes)
    this.#bytes += bytes.length
    // There is nothing to be gained by waiting with so much, and until it has left it is kept.
    if (this.#bytes > JOIN_UP_TO) this.flush()
    else if (!this.#scheduled) {
      this.#scheduled = true
      atTurnEnd(this)
    }
    // Above the stream's own mark, so its `drain` is sure to come.
    if (this.#bytes + this.#socket.writableLength >= HIGH_WATER) this.#full = true
    return !this.#full
  }

  flush(): void {
    this.#scheduled = false
    const pieces = this.#pieces
    const bytes = this.#bytes
    if (pieces.length === 0) return
    this.#pieces = []
    this.#bytes = 0
    if (this.#socket.destroyed || this.#socket.writableEnded) return
    const only = pieces[0]
    if (pieces.length === 1 && only !== undefined) this.#socket.write(only)
    else if (bytes <= JOIN_UP_TO) this.#socket.write(Buffer.concat(pieces, bytes))
    else this.#writeAll(pieces)
  }

  #writeAll(pieces: readonly Uint8Array[]): void {
    this.#socket.cork()
    for (const piece of pieces) this.#socket.write(piece)
    this.#socket.uncork()
  }

  #onDrain(): void {
    if (!this.#full) return
    this.#full = false
    this.#drained()
  }
}
