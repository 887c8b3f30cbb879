// test/support/fuzz-wire.ts — mutated transcripts over sockets, with canaries beside them:
//
//   canaries ───────────▶ ┌───────┐ ──────────────▶ ┌────────────┐
//   (a) mutated clients ─▶ │ proxy │ ──────────────▶ │ PostgreSQL │      every canary asks for its own values and checks that each
//   (b) honest clients ──▶ └───────┘ ─▶ hostile ───▶ └────────────┘      reply is its own, once, in order
//   (s) SCRAM out of step               relay
//
// A case fails where its client hears neither an end nor frames, or is given another's mark; a batch fails where afterwards the
// proxy does not answer, keeps clients or connections, or has logged what no rule foresaw.
import { connect, type Socket } from 'node:net'
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises'
import type { ConfigInput } from '../../src/config/input.js'
import type { RunningTopology } from '../../src/embedded/topology.js'
import { until } from '../../src/embedded/until.js'
import { encodeSaslInitialResponse, encodeSaslResponse } from '../../src/protocol/authentication.js'
import { ScramClient } from '../../src/protocol/scram-client.js'
import { SCRAM, saltPassword } from '../../src/protocol/scram.js'
import { encodeStartupMessage } from '../../src/protocol/startup.js'
import { wholeFrames } from './fuzz-parts.js'
import { HostileRelay } from './fuzz-relay.js'
import {
  anyClientMessages,
  below,
  caseRandom,
  chunks,
  clientMessages,
  clientTranscripts,
  markOf,
  marksIn,
  mutate,
  pick,
  startups,
  type Random,
} from './fuzz.js'
import { withProxy, type RunningProxy } from './proxy.js'
import { names, WireClient } from './wire-client.js'

interface Teardown {
  teardown(end: () => unknown): void
}

/** Fails a case that is not over by then: it waits for what will not come. */
const hangMs = 120_000
const quietMs = 100
/** A write whose client has left, and a question of the proxy's own, have a minute: a hostile server may take all of it. */
const patienceMs = 75_000
const maxPool = 6
export const numbersSeed = `CREATE TABLE numbers (id int PRIMARY KEY, value int NOT NULL);
  INSERT INTO numbers SELECT g, g * 7 FROM generate_series(1, 1000) g;
  CREATE TABLE fuzzed (n int, t text)`

export interface WireFuzz {
  /** Cases [from, from + count) of a way; rejects with the first that fails, its number in the message. */
  run(way: Way, from: number, count: number): Promise<void>
  /** What must hold between batches. */
  settled(): Promise<void>
  /** Ends the canaries; how many replies they have checked, and how many requests lanes served. */
  finish(): Promise<{ readonly replies: number; readonly onLanes: number; readonly changed: number }>
}

export type Way = 'client' | 'server' | 'scram'

/** `running`: a topology with one cluster `main`, seeded with numbersSeed. */
export async function wireFuzz(t: Teardown, running: RunningTopology, seed: number, canaries = 3): Promise<WireFuzz> {
  const fuzz = await Wires.start(t, running, seed)
  await fuzz.letCanariesOut(canaries)
  return fuzz
}

class Wires implements WireFuzz {
  readonly #t: Teardown
  readonly #seed: number
  readonly #running: RunningTopology
  readonly #relay: HostileRelay
  /** With lanes, without, and with passwords. */
  readonly #shared: RunningProxy
  readonly #alone: RunningProxy
  readonly #scram: RunningProxy
  readonly #canaries: Canary[] = []
  readonly #loose: unknown[] = []

  private constructor(
    t: Teardown,
    running: RunningTopology,
    seed: number,
    relay: HostileRelay,
    proxies: readonly [RunningProxy, RunningProxy, RunningProxy],
  ) {
    this.#t = t
    this.#running = running
    this.#seed = seed
    this.#relay = relay
    const [shared, alone, scram] = proxies
    this.#shared = shared
    this.#alone = alone
    this.#scram = scram
    const hear = (error: unknown): void => void this.#loose.push(error)
    process.on('unhandledRejection', hear)
    t.teardown(() => process.off('unhandledRejection', hear))
  }

  static async start(t: Teardown, running: RunningTopology, seed: number): Promise<Wires> {
    const { primary } = running.cluster('main')
    const relay = await HostileRelay.start(seed, primary.port)
    t.teardown(() => relay.close())
    const cluster = (address: string) => ({
      dbname: 'app',
      user: 'app',
      password: 'app',
      tls: { mode: 'disable' as const },
      nodes: [address],
      pool: { max: maxPool, wait: '60s' },
    })
    const config = (lanes: ConfigInput['lanes'], auth: ConfigInput['auth']): ConfigInput => ({
      version: 1,
      auth,
      clusters: { main: cluster(primary.address), bad: cluster(`127.0.0.1:${String(relay.port)}`) },
      databases: { app: { default: 'main' }, bad: { default: 'bad' } },
      lanes,
    })
    const trust = { method: 'trust' as const, users: [{ name: 'app' }] }
    const scram = { method: 'scram-sha-256' as const, users: [{ name: 'app', password: 'app' }], failure_delay: 0 as const }
    return new Wires(t, running, seed, relay, [
      await withProxy(t, config({ connections: 2, depth: 32 }, trust)),
      await withProxy(t, config({ enabled: false }, trust)),
      await withProxy(t, config({ enabled: false }, scram)),
    ])
  }

  async letCanariesOut(count: number): Promise<void> {
    for (const { port } of [this.#shared, this.#alone]) {
      for (let number = 0; number < count; number++) {
        const client = await WireClient.login(this.#t, port)
        this.#canaries.push(new Canary(client, this.#canaries.length + 1))
      }
    }
  }

  async run(way: Way, from: number, count: number): Promise<void> {
    let next = from
    const one = async (): Promise<void> => {
      while (next < from + count) {
        const number = next
        next += 1
        try {
          await this.#case(way, number)
        } catch (error) {
          next = Infinity
          throw new Error(`seed ${String(this.#seed)}, ${way}, case ${String(number)}: ${String(error)}`, { cause: error })
        }
      }
    }
    await Promise.all(Array.from({ length: way === 'server' ? 24 : 8 }, one))
  }

  async settled(): Promise<void> {
    for (const { events } of [this.#shared, this.#alone, this.#scram]) {
      const unforeseen = events('log').find(({ level, message }) => level === 'error' && message.includes('no rule foresaw'))
      if (unforeseen !== undefined) throw new Error(JSON.stringify(unforeseen))
    }
    for (const canary of this.#canaries) canary.check()
    if (this.#loose.length > 0) throw new Error('a rejection that nobody handled', { cause: this.#loose[0] })
    for (const running of [this.#shared, this.#alone, this.#scram]) {
      const { proxy, runtime, port } = running
      const here = running === this.#scram ? 0 : this.#canaries.length / 2
      await until('all clients of the batch are gone', () => Promise.resolve(proxy.clients().length <= here), patienceMs)
      const pools = runtime.snapshot().pools
      for (const { busy, idle, opening, max } of pools)
        if (busy + idle + opening > max) throw new Error('more server connections than allowed')
      // Canaries and their lanes have some at any moment; nothing else may.
      await until('nothing is held', () =>
        Promise.resolve(runtime.snapshot().pools.every((pool) => pool.waiting === 0 && (pool.cluster === 'main' || pool.busy <= 2))),
      )
      if (running !== this.#scram) await fresh(port)
    }
    const [row] = await this.#running
      .cluster('main')
      .primary.sql(`SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'pointsman monitor'`)
    const open = Number(Object.values(row ?? {})[0])
    if (open > 5 * maxPool) throw new Error(`${String(open)} server connections`)
  }

  async finish(): Promise<{ readonly replies: number; readonly onLanes: number; readonly changed: number }> {
    let replies = 0
    for (const canary of this.#canaries) replies += await canary.finish()
    return { replies, onLanes: this.#shared.proxy.lanes().counts.served, changed: this.#relay.changed }
  }

  #case(way: Way, number: number): Promise<void> {
    const random = caseRandom(this.#seed, way, number)
    if (way === 'client') return this.#mutatedClient(random, number)
    return way === 'server' ? this.#hostileServer(random, number) : this.#scramOutOfStep(random)
  }

  /** What it sends is mutated; then it ends, or is gone. */
  async #mutatedClient(random: Random, number: number): Promise<void> {
    const mark = markOf(number)
    const database = random() < 0.9 ? 'app' : pick(random, ['', 'none', 'bad'])
    const begin =
      random() < 0.8
        ? [
            encodeStartupMessage([
              ['user', 'app'],
              ['database', 'app'],
            ]),
          ]
        : pick(random, startups('app', database))
    const requests = clientMessages(below(random, clientTranscripts), mark)
    const all = random() < 0.25
    const mutated = mutate(all ? [...begin, ...requests] : requests, anyClientMessages, random)
    const bytes = all ? mutated.bytes : Buffer.concat([...begin, mutated.bytes])
    const client = await Socketed.open(random() < 0.6 ? this.#shared.port : this.#alone.port)
    try {
      await client.send(chunks(bytes, random))
      if (random() < 0.2) return
      client.end()
      await client.closed(() => undefined, mutated.what)
    } finally {
      client.destroy()
    }
    inFrames(client.received)
    ownMarks(client.received, bytes)
  }

  /** What it sends is good; what the server answers is not. */
  async #hostileServer(random: Random, number: number): Promise<void> {
    const alone = random() < 0.5
    const mark = markOf(number)
    const requests = clientMessages(pick(random, stateless), mark)
    const client = await Socketed.open(alone ? this.#alone.port : this.#shared.port)
    const begin = encodeStartupMessage([
      ['user', 'app'],
      ['database', 'bad'],
    ])
    const wanted = 1 + requests.filter((message) => message[0] === 0x51 || message[0] === 0x53).length
    try {
      await client.send([begin, ...requests])
      await client.quiet(wanted)
      client.end()
      await client.closed(() => this.#relay.cut(mark), [])
    } finally {
      client.destroy()
      this.#relay.cut(mark)
    }
    inFrames(client.received)
    // On a lane a server that answers twice answers somebody else: whose bytes they are only it can say.
    if (alone) ownMarks(client.received, Buffer.concat(requests))
    else if (client.received.includes('canary-')) throw new Error("a canary's bytes")
  }

  /** Only who knows the password, and says so in order, gets in. */
  async #scramOutOfStep(random: Random): Promise<void> {
    const client = await Socketed.open(this.#scram.port)
    let good = false
    try {
      const scram = new ScramClient('abcdefghijklmnopqrstuvwxyz', null)
      const first = encodeSaslInitialResponse(SCRAM, scram.first())
      const bogus = encodeSaslResponse(`c=biws,r=abcdefghijklmnopqrstuvwxyz,p=${Buffer.alloc(32, 7).toString('base64')}`)
      const query = clientMessages(0, 'in')[0] ?? Buffer.alloc(0)
      await client.send([
        encodeStartupMessage([
          ['user', 'app'],
          ['database', 'app'],
        ]),
      ])
      if (random() < 0.6) {
        const { bytes, what } = mutate([first, bogus, query], [first, bogus, ...anyClientMessages], random)
        await client.send(chunks(bytes, random))
        client.end()
        await client.closed(() => undefined, what)
      } else {
        await client.send([first])
        const challenge = await client.authentication(11)
        const { salt, iterations } = scram.readServerFirst(challenge)
        const last = encodeSaslResponse(scram.final(await saltPassword('app', salt, iterations)))
        const { bytes, same, what } = mutate([last], [first, bogus, ...anyClientMessages], random)
        good = same >= last.length || bytes.includes(last)
        await client.send(chunks(bytes, random))
        client.end()
        await client.closed(() => undefined, what)
      }
    } finally {
      client.destroy()
    }
    inFrames(client.received)
    if (!good && client.received.includes(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0]))) throw new Error('somebody got in')
  }
}

/** Transcripts that leave nothing on a server connection: where the server lies, the proxy cannot know what it left. */
const stateless: readonly number[] = Array.from({ length: clientTranscripts }, (_, at) => at).filter(
  (at) => !/\b(SET|TEMP|LISTEN|PREPARE|BEGIN|INTO|COPY)\b/.test(Buffer.concat(clientMessages(at, '')).toString('latin1')),
)

async function fresh(port: number): Promise<void> {
  const ends: (() => unknown)[] = []
  try {
    const client = await WireClient.login({ teardown: (end: () => unknown) => void ends.push(end) }, port)
    client.query('SELECT 1')
    const lines = await client.until('ReadyForQuery')
    if (!lines.includes('DataRow 1 "1"')) throw new Error(`a fresh client was answered ${lines.join(' | ')}`)
  } finally {
    for (const end of ends) end()
  }
}

/** Answers to SSLRequest and GSSENCRequest may stand before. */
function inFrames(received: Buffer): void {
  let from = 0
  while (received[from] === 0x4e && (received[from + 1] !== 0 || received.length < from + 5)) from += 1
  wholeFrames(received.subarray(from))
}

function ownMarks(received: Buffer, sent: Buffer): void {
  if (received.includes('canary-')) throw new Error("a canary's bytes")
  for (const { mark } of marksIn(received.toString('latin1'))) {
    if (!sent.includes(mark, 0, 'latin1')) throw new Error(`${mark} is another's`)
  }
}

/** A client that keeps all that it is given. */
class Socketed {
  readonly #socket: Socket
  readonly #parts: Buffer[] = []
  #closed = false
  #last = performance.now()
  #ready = 0
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      this.#parts.push(chunk)
      this.#last = performance.now()
      // Close enough: it only saves waiting.
      for (let at = chunk.indexOf(readyHeader); at >= 0; at = chunk.indexOf(readyHeader, at + 5)) this.#ready += 1
      this.#wake()
    })
    socket.on('close', () => {
      this.#closed = true
      this.#wake()
    })
  }

  static async open(port: number): Promise<Socketed> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    socket.setNoDelay(true)
    return new Socketed(socket)
  }

  get received(): Buffer {
    return Buffer.concat(this.#parts)
  }

  async send(pieces: readonly Buffer[]): Promise<void> {
    for (const piece of pieces) {
      if (this.#socket.destroyed) return
      this.#socket.write(piece)
      if (pieces.length < 10) await turn()
    }
  }

  end(): void {
    this.#socket.end()
    // The other side's end is this client's.
    this.#socket.once('end', () => this.#socket.destroy())
    if (this.#socket.readableEnded) this.#socket.destroy()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Resolves when so many ReadyForQuery have come, when it is closed, or when nothing has come for a while. */
  async quiet(ready: number): Promise<void> {
    while (!this.#closed && !this.#socket.readableEnded && this.#ready < ready && performance.now() - this.#last < quietMs)
      await this.#more(quietMs)
  }

  /** Resolves when it is closed; `nudge` is called again and again where nothing comes. */
  async closed(nudge: () => void, what: readonly string[]): Promise<void> {
    const since = performance.now()
    while (!this.#closed) {
      await this.#more(quietMs)
      if (performance.now() - this.#last >= quietMs) nudge()
      if (performance.now() - since > hangMs) throw new Error(`it hangs (${what.join(', ')})`)
    }
  }

  /** The data of the authentication request of that kind. */
  async authentication(kind: number): Promise<string> {
    for (;;) {
      const bytes = this.received
      for (let at = 0; at + 9 <= bytes.length; at += bytes.readInt32BE(at + 1) + 1) {
        const end = at + bytes.readInt32BE(at + 1) + 1
        if (bytes[at] === 0x52 && bytes.readInt32BE(at + 5) === kind && end <= bytes.length) return bytes.toString('latin1', at + 9, end)
      }
      if (this.#closed) throw new Error('closed within a login')
      await this.#more(quietMs)
    }
  }

  async #more(ms: number): Promise<void> {
    const end = new AbortController()
    await Promise.race([
      new Promise<void>((resolve) => {
        this.#wake = resolve
      }),
      pause(ms, undefined, { signal: end.signal }).catch(() => undefined),
    ])
    end.abort()
  }
}

const readyHeader = Buffer.from([0x5a, 0, 0, 0, 5])

/** A client that behaves, for as long as the others do not. */
class Canary {
  readonly #client: WireClient
  readonly #number: number
  readonly #over: Promise<void>
  #problem: Error | null = null
  #going = true
  #replies = 0

  constructor(client: WireClient, number: number) {
    this.#client = client
    this.#number = number
    this.#over = this.#sing().catch((error: unknown) => {
      this.#problem = new Error(`canary ${String(number)}: ${String(error)}`, { cause: error })
    })
  }

  check(): void {
    if (this.#problem !== null) throw this.#problem
  }

  async finish(): Promise<number> {
    this.#going = false
    await this.#over
    this.check()
    return this.#replies
  }

  async #sing(): Promise<void> {
    for (let round = 0; this.#going; round++) {
      const mark = `canary-${String(this.#number)}-${String(round)}`
      const id = String(1 + ((this.#number * 37 + round) % 1000))
      const row = `DataRow 2 "${mark}" "${String(Number(id) * 7)}"`
      if (round % 4 === 0) {
        this.#client.query(`SELECT '${mark}' AS mark, value FROM numbers WHERE id = ${id}`)
        await this.#expect(['RowDescription', row, 'CommandComplete', 'ReadyForQuery I'])
      } else if (round % 4 === 1) {
        this.#client.send(
          `Parse "" "SELECT $1::text AS mark, value FROM numbers WHERE id = $2" 0`,
          `Bind "" "" 0 2 "${mark}" "${id}" 0`,
          'Execute "" 0',
          'Sync',
        )
        await this.#expect(['ParseComplete', 'BindComplete', row, 'CommandComplete', 'ReadyForQuery I'])
      } else if (round % 4 === 2) {
        for (let count = 0; count < 3; count++)
          this.#client.query(`SELECT '${mark}-${String(count)}' AS mark FROM numbers WHERE id = ${id}`)
        for (let count = 0; count < 3; count++) {
          await this.#expect(['RowDescription', `DataRow 1 "${mark}-${String(count)}"`, 'CommandComplete', 'ReadyForQuery I'])
        }
      } else {
        this.#client.query(`BEGIN; SELECT '${mark}' AS mark, value FROM numbers WHERE id = ${id}`)
        await this.#expect(['CommandComplete', 'RowDescription', row, 'CommandComplete', 'ReadyForQuery T'])
        this.#client.query('COMMIT')
        await this.#expect(['CommandComplete', 'ReadyForQuery I'])
      }
    }
  }

  async #expect(wanted: readonly string[]): Promise<void> {
    const lines = await this.#client.until('ReadyForQuery')
    const same =
      lines.length === wanted.length && wanted.every((line, at) => (line.includes(' ') ? lines[at] === line : names(lines)[at] === line))
    if (!same) throw new Error(`wanted ${wanted.join(' | ')}, got ${lines.join(' | ')}`)
    this.#replies += 1
  }
}
