// test/support/fuzz-parts.ts — the parts that read bytes, fed with mutated ones in this process, without sockets. What each must
// keep, whatever comes:
//
//   client input     the same frames wherever the stream is cut; nothing is thrown but 08P01; a length is no memory
//   server replies   closed once, whoever waits is told, whole frames of the bytes that came, in order, each once
//   a login          settles
//   a lane           replies before the first changed byte go to their owners; no byte goes to two, or to one twice; each
//                    request hears one end
import { EventEmitter } from 'node:events'
import type { Duplex } from 'node:stream'
import { ClientInput } from '../../src/doors/proxy/client-input.js'
import { PointsmanError } from '../../src/errors/error.js'
import type { Lease } from '../../src/pool/contract.js'
import { Lane } from '../../src/pool/lane.js'
import type { LaneMiss, LaneRequest, LaneSlot } from '../../src/pool/lane-request.js'
import { ShapeBook } from '../../src/pool/shape-book.js'
import type { ErrorFields } from '../../src/protocol/error-fields.js'
import { backendName } from '../../src/protocol/message-types.js'
import { encodeStartupMessage, readStartupPacket } from '../../src/protocol/startup.js'
import { Connection } from '../../src/server/connection.js'
import type { Expect, Loss, PreparedNames, RawSink, ReplyKind, ServerConnection } from '../../src/server/contract.js'
import { PreparedStatements } from '../../src/server/prepared-names.js'
import { FakeSocket } from './fake-socket.js'
import {
  anyClientMessages,
  anyServerMessages,
  below,
  chunks,
  clientMessages,
  clientTranscripts,
  mutate,
  pick,
  serverMessages,
  serverTranscripts,
  startups,
  type Random,
} from './fuzz.js'

/** One case of each part; throws (or rejects) where something does not hold. */
export const parts: Readonly<Record<string, (random: Random) => void | Promise<void>>> = {
  startup,
  input: clientInput,
  replies: serverReplies,
  login: serverLogin,
  lane,
}

const node = { id: 'fuzz:1', host: 'fuzz', port: 1, weight: 1, zone: null, subscriber: false }
const address = { cluster: 'fuzz', node, tls: { mode: 'disable', ca: null, cert: null, key: null } } as const
const user = { user: 'app', password: 'app', keys: null, binding: null }

function foreseen(error: unknown): void {
  if (!(error instanceof PointsmanError)) throw new Error('not an error of ours', { cause: error })
}

// ---- clients

function startup(random: Random): void {
  const { bytes } = mutate(pick(random, startups('app', 'app')), anyClientMessages, random)
  for (let rest = bytes; ;) {
    try {
      const read = readStartupPacket(rest)
      if (read === null) return
      if (read.length < 8 || read.length > rest.length) throw new Error(`took ${String(read.length)} of ${String(rest.length)} bytes`)
      rest = rest.subarray(read.length)
    } catch (error) {
      foreseen(error)
      return
    }
  }
}

class Ears extends EventEmitter {
  pause(): this {
    return this
  }

  resume(): this {
    return this
  }
}

interface Heard {
  readonly kinds: readonly string[]
  readonly bytes: Buffer
  readonly end: string
}

async function clientInput(random: Random): Promise<void> {
  const transcript = [...pick(random, startups('app', 'app')), ...clientMessages(below(random, clientTranscripts), 'fuzz-1-')]
  const { bytes } = mutate(transcript, anyClientMessages, random)
  const whole = await heard([bytes])
  const cut = await heard(chunks(bytes, random))
  if (whole.end !== cut.end) throw new Error(`cut elsewhere it ends otherwise: ${whole.end} / ${cut.end}`)
  const [less, more] = whole.bytes.length < cut.bytes.length ? [whole, cut] : [cut, whole]
  // Copy data before a violation is told or not, as it came.
  if (!more.bytes.subarray(0, less.bytes.length).equals(less.bytes)) throw new Error('cut elsewhere the bytes are others')
  if (whole.end === 'over' && (!whole.bytes.equals(cut.bytes) || whole.kinds.join() !== cut.kinds.join()))
    throw new Error('cut elsewhere the frames are others')
  if (!bytes.includes(whole.bytes)) throw new Error('frames of bytes that never came')
}

/** What comes of the client's bytes, in these pieces. */
async function heard(pieces: readonly Buffer[]): Promise<Heard> {
  const socket = new Ears()
  const input = new ClientInput(socket as unknown as Duplex)
  const kinds: string[] = []
  const given: Uint8Array[] = []
  for (const piece of pieces) socket.emit('data', piece)
  socket.emit('end')
  let end = 'over'
  try {
    for (let packet = await input.startupPacket(); packet !== null; packet = await input.startupPacket()) {
      kinds.push(packet.kind)
      if (packet.kind !== 'ssl' && packet.kind !== 'gssenc') break
    }
    input.maxMessageBytes = 1_000_000
    if (kinds.at(-1) === 'startup') {
      for (let frame = await input.next(); frame !== null; frame = await input.next()) {
        if (frame.type !== 0x64) kinds.push(String(frame.type))
        given.push(frame.bytes)
      }
    }
  } catch (error) {
    foreseen(error)
    end = String(error)
  }
  return { kinds, bytes: Buffer.concat(given), end }
}

// ---- servers

const replyKinds: readonly ReplyKind[] = ['parse', 'bind', 'describe-statement', 'describe-portal', 'execute', 'close', 'sync', 'query']

function expected(random: Random): Expect[] {
  const expects: Expect[] = []
  for (let group = 0; group < 1 + below(random, 3); group++) {
    if (random() < 0.4) expects.push({ act: 'forward', reply: 'query' })
    else {
      for (let count = below(random, 5); count > 0; count--) {
        const act = random() < 0.8 ? 'forward' : 'swallow'
        if (random() < 0.1) expects.push({ act: 'synthesize', bytes: Buffer.from([0x31, 0, 0, 0, 4]) })
        else expects.push({ act, reply: pick(random, replyKinds) })
      }
      expects.push({ act: 'forward', reply: 'sync' })
    }
  }
  return expects
}

interface Played {
  readonly given: Buffer
  readonly closed: number
}

function play(expects: readonly Expect[], pieces: readonly Buffer[], withhold: boolean): Played {
  const socket = new FakeSocket()
  const connection = new Connection(address, { socket: socket.asSocket, tls: null }, 5)
  const given: Uint8Array[] = []
  let closed = 0
  const exchange = connection.exchange({
    bytes: (chunk) => given.push(Buffer.from(chunk)) > 0,
    ready: () => undefined,
    error: () => (withhold ? 'withhold' : 'forward'),
    closed: () => {
      closed++
    },
  })
  exchange.send([Buffer.from('x')], expects)
  for (const piece of pieces) socket.feed(piece)
  socket.emit('close')
  return { given: Buffer.concat(given), closed }
}

function serverReplies(random: Random): void {
  const transcript = Array.from({ length: 1 + below(random, 3) }, () => serverMessages(below(random, serverTranscripts), 'fuzz-1-')).flat()
  const { bytes } = mutate(transcript, anyServerMessages, random)
  const expects = expected(random)
  const withhold = random() < 0.3
  const whole = play(expects, [bytes], withhold)
  const cut = play(expects, chunks(bytes, random), withhold)
  for (const { given, closed } of [whole, cut]) {
    if (closed !== 1) throw new Error(`closed ${String(closed)} times`)
    wholeFrames(given)
  }
  // What stands before a violation is given or not, as it came; never anything else.
  const [less, more] = whole.given.length < cut.given.length ? [whole.given, cut.given] : [cut.given, whole.given]
  if (!more.subarray(0, less.length).equals(less)) throw new Error('cut elsewhere the bytes given are others')
}

/** Frames of known types, one after the other; only the last may be cut. */
export function wholeFrames(bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) {
    if (backendName(bytes[at] ?? 0) === undefined) throw new Error(`not a frame at ${String(at)} of what was given`)
    if (bytes.length - at < 5) return
    const length = bytes.readInt32BE(at + 1) + 1
    if (length < 5) throw new Error(`not a length at ${String(at)} of what was given`)
    at += length
  }
}

async function serverLogin(random: Random): Promise<void> {
  const ready = serverMessages(0, 'x').at(-1) ?? Buffer.alloc(0)
  const first = anyServerMessages.filter((message) => message[0] === 0x52 || message[0] === 0x4b)
  const transcript = [pick(random, first), pick(random, first), pick(random, anyServerMessages), pick(random, first), ready]
  const { bytes } = mutate(transcript, anyServerMessages, random)
  const socket = new FakeSocket()
  const connection = new Connection(address, { socket: socket.asSocket, tls: null }, 5)
  const startupMessage = encodeStartupMessage([['user', 'app']])
  const done = connection.login(startupMessage, user).then(
    () => true,
    () => false,
  )
  for (const piece of chunks(bytes, random)) socket.feed(piece)
  socket.emit('close')
  await done
}

// ---- lanes

const loss: Loss = { reason: 'gone', error: null, written: true, forwarded: false, torn: false, owed: true }

const shape = new ShapeBook().of('main', 1)

class Asked implements LaneRequest {
  queuedAt = 0
  readonly record = shape
  readonly given: Uint8Array[] = []
  ends = 0
  told = ''
  readonly #skip: number

  constructor(skip: number) {
    this.#skip = skip
  }

  fits(): boolean {
    return true
  }

  compile(_names: PreparedNames, slot: LaneSlot, pieces: Uint8Array[]): void {
    slot.skip = this.#skip
    pieces.push(Buffer.from('request'))
  }

  answered(reply: Uint8Array): void {
    this.#end('answered', reply)
  }

  failed(_error: ErrorFields, _parsed: boolean, reply: Uint8Array): void {
    this.#end('failed', reply)
  }

  streamed(part: Uint8Array, last: boolean): boolean {
    this.given.push(Buffer.from(part))
    if (last) this.#end('streamed')
    return true
  }

  broken(): void {
    this.#end('broken')
  }

  stalled(): void {
    // It waits.
  }

  missed({ why }: LaneMiss): void {
    this.#end(`missed ${why}`)
  }

  #end(told: string, reply?: Uint8Array): void {
    if (reply !== undefined) this.given.push(Buffer.from(reply))
    this.ends += 1
    this.told = told
  }
}

function laneOf(maxResultBytes: number): { readonly lane: Lane; readonly data: (bytes: Buffer) => boolean; readonly close: () => void } {
  const taken: { sink: RawSink | null } = { sink: null }
  const nothing = (): void => undefined
  const connection = {
    statements: new PreparedStatements(10),
    raw: (given: RawSink) => {
      taken.sink = given
      const end = (): void => {
        taken.sink = null
      }
      return { write: nothing, pause: nothing, resume: nothing, fatal: nothing, end }
    },
    cancel: () => Promise.resolve(),
    sever: nothing,
  }
  const lease: Lease<ServerConnection> = {
    connection: connection as unknown as ServerConnection,
    node: 'p:1',
    cluster: 'main',
    release: nothing,
    destroy: nothing,
  }
  const lane = new Lane(
    lease,
    {
      limits: { enabled: true, connections: 1, stallMs: 20, maxResultBytes, depth: 8 },
      now: () => 0,
      moved: nothing,
      ended: nothing,
      served: nothing,
      count: nothing,
    },
    false,
  )
  const close = (): void => {
    taken.sink?.closed(loss)
    taken.sink = null
  }
  const data = (bytes: Buffer): boolean => {
    try {
      taken.sink?.data(bytes)
    } catch (error) {
      foreseen(error)
      close()
    }
    return taken.sink !== null
  }
  return { lane, data, close }
}

function lane(random: Random): void {
  // Transcripts of which a lane knows the messages, mostly; the mark tells whose they are.
  const kinds = Array.from({ length: 1 + below(random, 6) }, () => below(random, random() < 0.9 ? 4 : serverTranscripts))
  const replies = kinds.map((kind, at) => serverMessages(kind, `fuzz-${String(at)}-`))
  const { bytes, same } = mutate(replies.flat(), anyServerMessages, random)
  const { lane: shared, data, close } = laneOf(pick(random, [20, 200, 65_536]))
  const asked = replies.map(([first]) => new Asked(first?.[0] === 0x31 ? 1 : 0))
  for (const one of asked) shared.push(one, 0)
  for (const piece of chunks(bytes, random)) if (!data(piece)) break
  close()
  let end = 0
  for (const [at, one] of asked.entries()) {
    if (one.ends !== 1) throw new Error(`request ${String(at)} heard ${String(one.ends)} ends: ${one.told}`)
    const wanted = replies[at] ?? []
    end += Buffer.concat(wanted).length
    const given = Buffer.concat(one.given)
    wholeFrames(given)
    // It stands before the first changed byte, behind nothing that a lane refuses: it must be its owner's, whole.
    if (end > same || kinds.slice(0, at + 1).some((kind) => kind > 3)) continue
    const own = Buffer.concat(wanted[0]?.[0] === 0x31 ? wanted.slice(1) : wanted)
    if (!given.equals(own)) throw new Error(`request ${String(at)} was not given its own reply: ${one.told}`)
  }
  takenOnce(
    asked.map(({ given }) => Buffer.concat(given)),
    bytes,
  )
}

/** What was given, one after the other, is found in what came in that order: nothing went to two, or twice to one. */
function takenOnce(given: readonly Buffer[], bytes: Buffer): void {
  let at = 0
  for (const reply of given) {
    for (let from = 0; from < reply.length;) {
      const length = Math.min(reply.length - from, reply.length - from < 5 ? reply.length - from : reply.readInt32BE(from + 1) + 1)
      const found = bytes.indexOf(reply.subarray(from, from + length), at)
      if (found < 0) throw new Error('a reply is made of bytes that did not come, or came for another')
      at = found + length
      from += length
    }
  }
}
