// doors/proxy/client-output.ts — what goes to one client. Everything written within one turn of the event loop leaves
// in one system call; when the client does not keep up, write() says so and onDrain tells when it does again.
import type { Duplex } from 'node:stream'

export class ClientOutput {
  readonly #socket: Duplex
  #corked = false
  #silent = false
  #onDrain: (() => void) | null = null
  #waiting: (() => void)[] = []

  constructor(socket: Duplex) {
    this.#socket = socket
    socket.on('drain', () => this.#drained())
    socket.on('close', () => this.#awake())
  }

  /** False: the client is behind; onDrain comes when it has caught up. The bytes are taken in either case. */
  write(bytes: Uint8Array): boolean {
    if (this.#socket.destroyed || this.#socket.writableEnded || this.#silent) return true
    if (!this.#corked) {
      this.#corked = true
      this.#socket.cork()
      process.nextTick(() => {
        this.#corked = false
        this.#socket.uncork()
      })
    }
    return this.#socket.write(bytes)
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
    return this.behind ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve()
  }

  #drained(): void {
    this.#onDrain?.()
    this.#awake()
  }

  #awake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}
