// test/support/scripted-peer.ts — a server, or a client, that follows a script over a real socket. One step a line, as in
// wire-text.ts, from the point of view of the wire: the peer sends what its own side says, and expects what the other says.
//
//   F StartupMessage          any startup packet (also after `F SSLRequest`)     B byte "N"      one raw byte, as for SSLRequest
//   B Authentication "…"      sent at once                                       raw "…"         bytes, latin1
//   F Query "SELECT 1"        must come exactly so; `F ? ` takes any message     close           ends the socket
//
// done resolves when the script is through, and rejects at the first thing that is not as scripted.
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { encodeSslRequest, encodeStartupMessage, readStartupPacket } from '../../src/protocol/startup.js'
import { encodeMessage, formatMessage, normalizeMessage } from './wire-text.js'

export interface ScriptedServer {
  readonly port: number
  /** Resolves when every script is through; rejects at the first thing that is not as scripted. */
  readonly done: Promise<void>
  close(): Promise<void>
  /** Nobody new gets in; who is there stays. */
  stopListening(): void
}

/** What every login without a password begins with. */
export const trustLogin: readonly string[] = [
  'F StartupMessage',
  'B Authentication "\\u0000\\u0000\\u0000\\u0000"',
  'B ParameterStatus "client_encoding" "UTF8"',
  'B BackendKeyData 7 9',
  'B ReadyForQuery I',
]

/** Listens on a port of the system's choice; the n-th connection plays the n-th script, later ones are closed. */
export async function scriptedServer(...scripts: readonly (readonly string[])[]): Promise<ScriptedServer> {
  const plays: Promise<void>[] = []
  let finish: (result: Promise<unknown>) => void = () => undefined
  const done = new Promise<unknown>((resolve) => {
    finish = resolve
  }).then(() => undefined)
  // Whoever does not ask need not handle it.
  done.catch(() => undefined)
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    const script = scripts[plays.length]
    if (script === undefined) {
      socket.destroy()
      return
    }
    const played = new Peer(socket, 'B').play(script)
    played.catch(() => undefined)
    plays.push(played)
    if (plays.length === scripts.length) finish(Promise.all(plays))
  })
  await listen(server)
  return {
    port: (server.address() as AddressInfo).port,
    done,
    stopListening: () => void server.close(),
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => void server.close(() => resolve()))
    },
  }
}

/** Connects and plays its script; resolves with the lines that came for `F ?`… and the like, after closing the socket. */
export async function scriptedClient(port: number, script: readonly string[], host = '127.0.0.1'): Promise<readonly string[]> {
  const socket = connect({ port, host })
  const peer = new Peer(socket, 'F')
  try {
    await peer.play(script)
    return peer.wild
  } finally {
    socket.destroy()
  }
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
}

class Peer {
  /** What came where the script took anything. */
  readonly wild: string[] = []
  readonly #socket: Socket
  readonly #side: 'F' | 'B'
  #received = Buffer.alloc(0)
  #ended = false
  #wake: () => void = () => undefined

  constructor(socket: Socket, side: 'F' | 'B') {
    this.#socket = socket
    this.#side = side
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#ended = true
      this.#wake()
    })
  }

  async play(script: readonly string[]): Promise<void> {
    for (const line of script) await this.#step(line)
  }

  async #step(line: string): Promise<void> {
    const [who = '', ...words] = line.split(' ')
    const rest = words.join(' ')
    if (who === 'raw') this.#socket.write(Buffer.from(JSON.parse(rest) as string, 'latin1'))
    else if (who === 'close') this.#socket.end()
    else if (who === 'closed') await this.#untilClosed()
    else if (who === this.#side) this.#send(rest)
    else await this.#expect(who === 'F' ? 'F' : 'B', rest)
  }

  #send(line: string): void {
    if (line.startsWith('byte ')) this.#socket.write(Buffer.from(JSON.parse(line.slice(5)) as string, 'latin1'))
    else if (line === 'SSLRequest') this.#socket.write(encodeSslRequest())
    else if (line.startsWith('StartupMessage')) this.#socket.write(startup(line.slice(14).trim()))
    else this.#socket.write(encodeMessage(this.#side, line))
  }

  async #expect(direction: 'F' | 'B', line: string): Promise<void> {
    if (line === 'StartupMessage' || line === 'SSLRequest' || line === 'CancelRequest') return this.#expectStartup(line)
    if (line.startsWith('byte ')) return this.#expectByte(JSON.parse(line.slice(5)) as string)
    const frame = await this.#take(() => (this.#received.length < 5 ? null : this.#received.readInt32BE(1) + 1))
    const came = formatMessage(direction, frame)
    const wanted = line.startsWith('?') ? came : normalizeMessage(direction, line)
    if (line.startsWith('?')) this.wild.push(came)
    if (came !== wanted) throw new Error(`expected ${wanted}, got ${came}`)
  }

  async #expectStartup(line: string): Promise<void> {
    const kinds = { StartupMessage: 'startup', SSLRequest: 'ssl', CancelRequest: 'cancel' }
    const bytes = await this.#take(() => readStartupPacket(this.#received)?.length ?? null)
    const kind = readStartupPacket(bytes)?.packet.kind
    if (kind !== kinds[line as keyof typeof kinds]) throw new Error(`expected ${line}, got ${String(kind)}`)
  }

  async #expectByte(wanted: string): Promise<void> {
    const byte = await this.#take(() => (this.#received.length < 1 ? null : 1))
    if (byte.toString('latin1') !== wanted) throw new Error(`expected the byte ${wanted}, got ${byte.toString('latin1')}`)
  }

  /** The first `length()` bytes, once they are there. */
  async #take(length: () => number | null): Promise<Buffer> {
    for (;;) {
      const needed = length()
      if (needed !== null && this.#received.length >= needed) {
        const taken = this.#received.subarray(0, needed)
        this.#received = this.#received.subarray(needed)
        return taken
      }
      if (this.#ended) throw new Error('the other side closed the connection')
      await this.#more()
    }
  }

  async #untilClosed(): Promise<void> {
    while (!this.#ended) await this.#more()
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}

/** `"user" "joe" "database" "app"` */
function startup(line: string): Buffer {
  const words = [...line.matchAll(/"(?:[^"\\]|\\.)*"/g)].map(([word]) => JSON.parse(word) as string)
  const pairs: [string, string][] = []
  for (let index = 0; index + 1 < words.length; index += 2) pairs.push([words[index] ?? '', words[index + 1] ?? ''])
  return encodeStartupMessage(pairs)
}
