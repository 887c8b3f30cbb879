// test/support/fake-socket.ts — the near end of a socket without a network: what is written is kept, what is fed arrives in
// the chunks it is fed in, at once. For tests that must decide where every chunk ends.
import { Duplex } from 'node:stream'
import type { Socket } from 'node:net'

export class FakeSocket extends Duplex {
  readonly written: Buffer[] = []
  readonly #fed: Buffer[] = []
  #halted = false

  constructor() {
    super({ decodeStrings: true, autoDestroy: true })
  }

  /** As the type that code under test wants. Only stream methods may be used of it. */
  get asSocket(): Socket {
    return this as unknown as Socket
  }

  /** At once, unless paused: then when it is resumed. */
  feed(bytes: Uint8Array): void {
    this.#fed.push(Buffer.from(bytes))
    this.#drain()
  }

  override pause(): this {
    this.#halted = true
    return this
  }

  override resume(): this {
    this.#halted = false
    this.#drain()
    return this
  }

  takeWritten(): Buffer {
    const all = Buffer.concat(this.written)
    this.written.length = 0
    return all
  }

  #drain(): void {
    for (let chunk = this.#fed[0]; chunk !== undefined && !this.#halted; chunk = this.#fed[0]) {
      this.#fed.shift()
      this.emit('data', chunk)
    }
  }

  override _read(): void {
    // Fed from outside.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(chunk)
    done()
  }
}
