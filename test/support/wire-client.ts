// test/support/wire-client.ts — a client that speaks the protocol message by message, as text (wire-text.ts), so that a test
// decides what is sent together and sees every message that comes back, in order.
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Test } from 'tap'
import { decodeBackendKeyData } from '../../src/protocol/backend-messages.js'
import { FrameReader } from '../../src/protocol/frame-reader.js'
import { Backend } from '../../src/protocol/message-types.js'
import { encodeCancelRequest, encodeSslRequest, encodeStartupMessage } from '../../src/protocol/startup.js'
import { encodeMessage, formatMessages } from './wire-text.js'

export class WireClient {
  #socket: Socket
  readonly #lines: string[] = []
  #reader: FrameReader | null = null
  #wake: (() => void)[] = []
  #closed = false
  /** Bytes of large messages that were counted and not kept. */
  passed = 0
  /** Of BackendKeyData. */
  key: { readonly pid: number; readonly secret: Uint8Array } = { pid: 0, secret: new Uint8Array(4) }

  constructor(socket: Socket) {
    this.#socket = socket
    this.#listen()
  }

  static async open(t: Pick<Test, 'teardown'>, port: number): Promise<WireClient> {
    const socket = connect(port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return new WireClient(socket)
  }

  /** Logged in (the proxy must trust), and past the first ReadyForQuery. */
  static async login(t: Pick<Test, 'teardown'>, port: number, parameters: Readonly<Record<string, string>> = {}): Promise<WireClient> {
    const client = await WireClient.open(t, port)
    client.startup(parameters)
    await client.until('ReadyForQuery')
    return client
  }

  startup(parameters: Readonly<Record<string, string>> = {}, minor = 0): void {
    this.raw(encodeStartupMessage(Object.entries({ user: 'app', database: 'app', ...parameters }), minor))
  }

  raw(bytes: Uint8Array): boolean {
    return this.#socket.write(bytes)
  }

  /** Messages in one write: `send('Parse "" "SELECT 1" 0', 'Sync')`. */
  send(...lines: string[]): void {
    this.raw(Buffer.concat(lines.map((line) => encodeMessage('F', line))))
  }

  query(sql: string): void {
    this.send(`Query ${JSON.stringify(sql)}`)
  }

  /** Everything up to the `count`th message of that name, each as its text without the direction. */
  async until(name: string, count = 1): Promise<string[]> {
    for (;;) {
      let seen = 0
      const at = this.#lines.findIndex((line) => line.split(' ')[0] === name && ++seen === count)
      if (at >= 0) return this.#lines.splice(0, at + 1)
      if (this.#closed) throw new Error(`closed before ${name}: ${this.#lines.join(' | ')}`)
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  /** All that came until the other side closed. */
  async closed(): Promise<string[]> {
    while (!this.#closed) await new Promise<void>((resolve) => this.#wake.push(resolve))
    return this.#lines.splice(0)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  drained(): Promise<void> {
    return new Promise((resolve) => this.#socket.once('drain', resolve))
  }

  /** Nothing comes from it any more; it still listens. */
  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** The next `count` bytes, before messages are spoken. */
  async rawAnswer(count: number): Promise<Buffer> {
    this.#socket.removeAllListeners('data')
    let answer = Buffer.alloc(0)
    while (answer.length < count) {
      const more = await new Promise<Buffer>((resolve) => this.#socket.once('data', resolve))
      answer = Buffer.concat([answer, more])
    }
    return answer
  }

  /** SSLRequest, and TLS if it is granted; resolves with the answer's byte. */
  async encrypt(): Promise<string> {
    this.#socket.removeAllListeners('data')
    this.raw(encodeSslRequest())
    const answer = await new Promise<Buffer>((resolve) => this.#socket.once('data', resolve))
    if (answer.toString() === 'S') {
      const socket = connectTls({ socket: this.#socket, rejectUnauthorized: false })
      await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
      this.#socket = socket
    }
    this.#listen()
    return answer.toString()
  }

  #listen(): void {
    this.#reader = new FrameReader({
      collect: (_type, length) => (length > 100_000 ? 0 : length),
      frame: (type, chunk, start, end) => this.#frame(type, chunk.subarray(start, end)),
      part: (_chunk, start, end) => (this.passed += end - start),
    })
    this.#socket.on('error', () => undefined)
    this.#socket.on('data', (chunk: Buffer) => {
      this.#reader?.push(chunk)
      this.#awake()
    })
    this.#socket.on('close', () => {
      this.#closed = true
      this.#awake()
    })
  }

  #frame(type: number, frame: Uint8Array): void {
    if (type === Backend.BackendKeyData) this.key = decodeBackendKeyData(frame)
    for (const line of formatMessages('B', Buffer.from(frame))) this.#lines.push(line)
  }

  #awake(): void {
    const waiting = this.#wake
    this.#wake = []
    for (const resolve of waiting) resolve()
  }
}

/** Sends a CancelRequest and waits until the other side has closed. */
export async function cancel(port: number, key: WireClient['key']): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve())
    socket.on('error', () => undefined)
    socket.resume()
    socket.end(encodeCancelRequest(key.pid, key.secret))
  })
}

/** The names of messages, for comparing their order. */
export function names(lines: readonly string[]): string[] {
  return lines.map((line) => line.split(' ')[0] ?? '')
}
