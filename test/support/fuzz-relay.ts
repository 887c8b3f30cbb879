// test/support/fuzz-relay.ts — a hostile server: a real one behind a relay that changes its replies. The monitor's connections and
// everything up to the first marked request pass as they are, so that the proxy takes it for a good server; the reply to a request
// with a mark (`fuzz-17-`) comes mutated, as case 17 says, and then the connection is cut or goes on.
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { Backend } from '../../src/protocol/message-types.js'
import { anyServerMessages, below, caseRandom, chunks, marksIn, mutate, type Random } from './fuzz.js'

const monitors = 'pointsman monitor'

export class HostileRelay {
  readonly port: number
  /** Replies that were changed. */
  changed = 0
  readonly #server: Server
  readonly #lines = new Set<Line>()

  private constructor(server: Server) {
    this.#server = server
    this.port = (server.address() as AddressInfo).port
  }

  /** `whole`: what is sent in place of a reply is sent in one piece. */
  static async start(seed: number, target: number): Promise<HostileRelay> {
    const server = createServer()
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const relay = new HostileRelay(server)
    let count = 0
    server.on('connection', (socket) => {
      const line: Line = new Line(socket, target, seed, (count += 1), () => (relay.changed += 1))
      relay.#lines.add(line)
      socket.once('close', () => relay.#lines.delete(line))
    })
    return relay
  }

  /** Cuts the connections on which the last mark was this. */
  cut(mark: string): void {
    for (const line of this.#lines) if (line.mark === mark) line.destroy()
  }

  async close(): Promise<void> {
    this.#server.close()
    for (const line of this.#lines) line.destroy()
    await Promise.resolve()
  }
}

/** One connection through the relay. */
class Line {
  /** Of the last marked request. */
  mark = ''
  readonly #near: Socket
  readonly #far: Socket
  readonly #seed: number
  readonly #onChanged: () => void
  #begun = false
  #plain = false
  /** The reply to a marked request, as far as it has come; null: replies pass. */
  #reply: Buffer | null = null
  #random: Random
  #times = 0

  constructor(near: Socket, target: number, seed: number, number: number, onChanged: () => void) {
    this.#near = near
    this.#far = connect(target, '127.0.0.1')
    this.#seed = seed
    this.#onChanged = onChanged
    this.#random = caseRandom(seed, 'login', number)
    near.on('data', (chunk: Buffer) => this.#asked(chunk))
    this.#far.on('data', (chunk: Buffer) => this.#answered(chunk))
    for (const socket of [near, this.#far]) {
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.on('close', () => this.destroy())
      socket.on('end', () => this.destroy())
    }
  }

  destroy(): void {
    this.#near.destroy()
    this.#far.destroy()
  }

  #asked(chunk: Buffer): void {
    if (!this.#begun) {
      this.#begun = true
      // Cancels are short.
      this.#plain = chunk.includes(monitors) || chunk.length <= 16
      if (!this.#plain && this.#random() < 0.02) this.#reply = Buffer.alloc(0)
    } else if (!this.#plain) {
      const [marked] = marksIn(chunk.toString('latin1'))
      if (marked !== undefined) this.#arm(marked.number, marked.mark)
    }
    this.#far.write(chunk)
  }

  #arm(number: number, mark: string): void {
    this.#times = this.mark === mark ? this.#times + 1 : 0
    this.mark = mark
    this.#random = caseRandom(this.#seed + this.#times, 'hostile', number)
    this.#reply ??= Buffer.alloc(0)
  }

  #answered(chunk: Buffer): void {
    if (this.#reply === null) {
      this.#near.write(chunk)
      return
    }
    this.#reply = Buffer.concat([this.#reply, chunk])
    const messages = wholeReply(this.#reply)
    if (messages === null) return
    this.#reply = null
    const login = this.mark === ''
    const { bytes } = mutate(messages, anyServerMessages, this.#random)
    this.#onChanged()
    // A reply in one piece can be told from what comes behind it; one that comes later might be any other's, to anybody.
    for (const piece of this.#random() < 0.5 ? [bytes] : chunks(bytes, this.#random).slice(0, 50)) this.#near.write(piece)
    if (login || below(this.#random, 2) === 0) this.#near.destroySoon()
  }
}

/** The messages of a reply that is whole: it ends where the server waits for the other side. */
function wholeReply(bytes: Buffer): readonly Buffer[] | null {
  const messages: Buffer[] = []
  let at = 0
  while (at + 5 <= bytes.length) {
    const next = at + bytes.readInt32BE(at + 1) + 1
    if (next > bytes.length) return null
    messages.push(bytes.subarray(at, next))
    at = next
  }
  const last = messages.at(-1)?.[0]
  const done = last === Backend.ReadyForQuery || last === Backend.CopyInResponse || last === Backend.Authentication
  return at === bytes.length && done ? messages : null
}
