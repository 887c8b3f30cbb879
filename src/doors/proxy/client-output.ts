// doors/proxy/client-output.ts — what goes to one client. Everything written within one turn of the event loop leaves
// in one system call: small pieces are joined (a copy costs less than a vector of writes), large ones go as they are. When the
// client does not keep up, write() says so and onDrain tells when it does again.
import type { Duplex } from 'node:stream'
import { atTurnEnd } from '../../server/turn-end.js'

/** Up to here pieces are joined; what is longer leaves within the turn. */
const JOIN_UP_TO = 16 * 1024

export class ClientOutput {
  readonly #socket: Duplex
  /** What was written in this turn. */
  #first: Uint8Array | null = null
  #more: Uint8Array[] | null = null
  #bytes = 0
  #scheduled = false
  #silent = false
  /** write() has said so, and nobody was told yet that the client has caught up. */
  #full = false
  #onDrain: (() => void) | null = null
  #waiting: (() => void)[] | null = null

  constructor(socket: Duplex) {
    this.#socket = socket
    socket.on('drain', () => this.#drained())
    socket.on('close', () => this.#awake())
  }

  /** False: the client is behind; onDrain comes when it has caught up. The bytes, which must not change any more, are taken in either case. */
  write(bytes: Uint8Array): boolean {
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded || this.#silent || bytes.length === 0) return true
    if (this.#first === null) this.#first = bytes
    else (this.#more ??= []).push(bytes)
    this.#bytes += bytes.length
    if (this.#bytes > JOIN_UP_TO) this.flush()
    else if (!this.#scheduled) {
      this.#scheduled = true
      atTurnEnd(this)
    }
    if (this.behind) this.#full = true
    return !this.#full
  }

  /** Hands over what was gathered; to be called before the socket is ended. */
  flush(): void {
    this.#scheduled = false
    const first = this.#first
    const more = this.#more
    const bytes = this.#bytes
    if (first === null) return
    this.#first = null
    this.#more = null
    this.#bytes = 0
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) return
    if (more === null) socket.write(first)
    else if (bytes <= JOIN_UP_TO) socket.write(Buffer.concat([first, ...more], bytes))
    else {
      socket.cork()
      socket.write(first)
      for (const piece of more) socket.write(piece)
      socket.uncork()
    }
  }

  /** Ends the connection though what was written has not been read. */
  cutOff(): void {
    this.#socket.destroy()
  }

  /** What was written ends within a message that nobody can complete: anything after it would be taken for its rest. */
  silence(): void {
    this.#silent = true
  }

  /** One listener at a time: whoever streams to this client now. */
  set onDrain(listener: (() => void) | null) {
    this.#onDrain = listener
  }

  /** True while more is waiting in memory than the client should have us keep. */
  get behind(): boolean {
    return this.#socket.writableNeedDrain && !this.#socket.destroyed
  }

  /** Resolves when the client has caught up, or is gone. */
  caughtUp(): Promise<void> {
    if (!this.behind) return Promise.resolve()
    return new Promise((resolve) => (this.#waiting ??= []).push(resolve))
  }

  #drained(): void {
    this.#full = false
    this.#onDrain?.()
    this.#awake()
  }

  #awake(): void {
    const waiting = this.#waiting
    this.#waiting = null
    if (waiting !== null) for (const resolve of waiting) resolve()
  }
}
