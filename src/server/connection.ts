// server/connection.ts — one PostgreSQL connection: a socket, the ledger of replies owed on it, and what is known of the
// session behind it. Policy (what to send, when to retry) is elsewhere; this only knows what was sent and what came back.
import type { Socket } from 'node:net'
import type { NodeConfig } from '../config/config.js'
import type { Evidence } from '../pool/contract.js'
import { encodeSync } from '../protocol/extended.js'
import type { ErrorFields } from '../protocol/error-fields.js'
import { FrameReader } from '../protocol/frame-reader.js'
import { encodeQuery, encodeTerminate } from '../protocol/query.js'
import type { Address } from './address.js'
import { sendCancel } from './cancel.js'
import type {
  BackendKey,
  Exchange,
  Expect,
  Loss,
  RawSink,
  RawWire,
  ReplySink,
  ServerConnection,
  SimpleResult,
  TransactionStatus,
} from './contract.js'
import type { Dialled } from './dial.js'
import { Ledger, type Collected } from './ledger.js'
import { Login, type LoginOptions } from './login.js'
import { PreparedStatements } from './prepared-names.js'
import { ReplyReader } from './reply-reader.js'
import { SimpleQuery } from './simple-query.js'
import { listenTo } from './shared-reads.js'
import { SocketWriter } from './socket-writer.js'
import { lost, reason } from './unreachable.js'

/** Server-side prepared statements kept per connection. */
export const DEFAULT_MAX_STATEMENTS = 500
/** A server that leaves a question of ours unanswered for so long is taken for one that never will: nobody waits for it any longer. */
const DEFAULT_ANSWER_MS = 60_000
/** A server that does not take our Terminate within this is cut off. */
const CLOSE_MS = 1_000
/** Rows up to this size reach a client whole or not at all, so that it can be told of the end of a server that dies within one. */
const UNBROKEN = 32 * 1024

export class Connection implements ServerConnection {
  readonly cluster: string
  readonly node: NodeConfig
  readonly secure: boolean
  readonly settings: Map<string, string> = new Map<string, string>()
  readonly statements: PreparedStatements
  wroteFor: object | null = null
  readonly #address: Address
  readonly #answerMs: number
  readonly #socket: Socket
  readonly #writer: SocketWriter
  readonly #ledger: Ledger
  readonly #replies: ReplyReader
  readonly #frames: FrameReader
  readonly #parameters = new Map<string, string>()
  #parametersKey: string | null = null
  readonly #closedListeners: ((reason: string) => void)[] = []
  #sink: ReplySink | null = null
  /** The socket was paused for a sink. */
  #paused = false
  readonly #wire: Wire = {
    send: (frames, expects) => this.#send(frames, expects),
    write: (bytes) => this.#write(bytes),
    resume: () => this.#resume(),
    forwarded: () => this.#replies.forwarded,
    written: () => this.#written,
    owed: () => this.#ledger.size,
    detach: (sink) => this.#detach(sink),
  }
  #raw: RawSink | null = null
  #transaction: TransactionStatus = 'I'
  #written = false
  #fatal: ErrorFields | null = null
  #closed: string | null = null
  #closing = false
  #key: BackendKey = { pid: 0, secret: new Uint8Array(4) }
  #evidence: Evidence | null = null
  readonly #cancels = new Set<Promise<void>>()
  #cancelled = false
  #cancelLost = false

  constructor(address: Address, { socket, tls }: Dialled, maxStatements: number, answerMs: number = DEFAULT_ANSWER_MS) {
    this.#address = address
    this.#answerMs = answerMs
    this.cluster = address.cluster
    this.node = address.node
    this.secure = tls !== null
    this.#socket = socket
    this.statements = new PreparedStatements(maxStatements)
    this.#writer = new SocketWriter(socket, () => this.#sink?.drain?.())
    this.#ledger = new Ledger((entry) => {
      if (entry.prepares !== undefined) this.statements.forget(entry.prepares)
      if (entry.closes !== undefined) this.statements.notClosed(entry.closes)
    })
    this.#replies = new ReplyReader(this.#replyContext())
    this.#frames = new FrameReader(this.#replies, UNBROKEN)
    this.#listen()
  }

  get evidence(): Evidence {
    if (this.#evidence === null) throw new Error('the connection is not open yet')
    return this.#evidence
  }

  get usable(): boolean {
    // One that was severed is lost already, though its `close` is yet to come.
    return this.#closed === null && !this.#closing && !this.#socket.destroyed && !this.#ledger.uncertain && !this.#cancelLost
  }

  get parameters(): ReadonlyMap<string, string> {
    return this.#parameters
  }

  get parametersKey(): string {
    this.#parametersKey ??= JSON.stringify([...this.#parameters])
    return this.#parametersKey
  }

  get backend(): BackendKey {
    return this.#key
  }

  get transaction(): TransactionStatus {
    return this.#transaction
  }

  /** The startup message and everything up to the first ReadyForQuery. */
  async login(startup: Uint8Array, options: Pick<LoginOptions, 'user' | 'password' | 'keys' | 'binding'>): Promise<void> {
    const login = new Login({
      ...options,
      write: (message) => void this.#writer.write(message),
      onLost: (loss) => lost(this.#address, loss),
    })
    this.#collect({ act: 'collect', reply: 'login', collector: login }, startup)
    this.#key = await login.done
  }

  /** Set once, when the position was read on this connection. */
  proved(evidence: Evidence): void {
    this.#evidence = evidence
  }

  exchange(sink: ReplySink): Exchange {
    if (this.#sink !== null || this.#raw !== null) throw new Error('the connection has a consumer already')
    if (!this.usable) throw new Error('the connection is not usable')
    this.#sink = sink
    return new AttachedExchange(this.#wire, sink)
  }

  raw(sink: RawSink): RawWire {
    if (this.#sink !== null || this.#raw !== null) throw new Error('the connection has a consumer already')
    if (!this.usable || this.#ledger.size > 0 || this.#transaction !== 'I') throw new Error('the connection is not usable')
    this.#raw = sink
    return {
      write: (bytes) => this.#socket.destroyed || this.#socket.write(bytes),
      pause: () => this.#pause(),
      resume: () => this.#resume(),
      fatal: (fields) => {
        this.#fatal = fields
      },
      end: () => {
        if (this.#raw === sink) this.#raw = null
      },
    }
  }

  async query(sql: string): Promise<SimpleResult> {
    this.#requireGroupsClosed()
    const query = new SimpleQuery((loss) => lost(this.#address, loss))
    this.#ask({ act: 'collect', reply: 'query', collector: query }, encodeQuery(sql), query)
    return query.result
  }

  async sync(): Promise<void> {
    this.#requireGroupsClosed()
    const empty = new SimpleQuery((loss) => lost(this.#address, loss))
    this.#ask({ act: 'collect', reply: 'sync', collector: empty }, encodeSync(), empty)
    await empty.result
  }

  async scrub(): Promise<void> {
    if (this.#sink !== null || this.#ledger.size > 0) throw new Error('the connection is in use')
    await this.quiesce()
    if (this.#transaction !== 'I') await this.query('ROLLBACK')
    await this.query('DISCARD ALL')
    this.#forget()
  }

  cancel(): Promise<void> {
    this.#cancelled = true
    const cancel = sendCancel(this.#address, this.#key, this.secure)
    const settled = cancel.then(
      () => undefined,
      () => {
        // It may still arrive, and then hit whoever has the connection.
        this.#cancelLost = true
      },
    )
    this.#cancels.add(settled)
    void settled.then(() => this.#cancels.delete(settled))
    return cancel
  }

  async quiesce(): Promise<void> {
    while (this.#cancels.size > 0) await Promise.all(this.#cancels)
    if (!this.#cancelled) return
    this.#cancelled = false
    await this.sync()
  }

  close(): void {
    if (this.#closed !== null || this.#closing) return
    this.#closing = true
    if (this.#ledger.size > 0) {
      this.#lose('closed')
      return
    }
    this.#writer.flush()
    this.#socket.end(encodeTerminate())
    this.#socket.resume()
    setTimeout(() => this.#socket.destroy(), CLOSE_MS).unref()
  }

  sever(): void {
    this.#socket.destroy()
  }

  onClosed(listener: (reason: string) => void): void {
    if (this.#closed === null) this.#closedListeners.push(listener)
    else listener(this.#closed)
  }

  #listen(): void {
    let failure: string | null = null
    listenTo(this.#socket, (chunk) => this.#read(chunk))
    this.#socket.on('error', (error) => {
      failure = reason(error)
    })
    this.#socket.on('close', () => this.#lose(this.#closing ? 'closed' : (failure ?? 'the server closed the connection')))
    this.#socket.resume()
  }

  #read(chunk: Uint8Array): void {
    if (this.#closed !== null) return
    try {
      if (this.#raw !== null) {
        this.#raw.data(chunk)
        return
      }
      this.#frames.push(chunk)
      this.#replies.flush()
      this.#sink?.chunkRead?.()
    } catch (error) {
      this.#lose(reason(error))
    }
  }

  /** A message of ours inside a client's group would end it, or be skipped with it. */
  #requireGroupsClosed(): void {
    if (this.#raw !== null) throw new Error('a message of ours on a connection whose bytes are read raw')
    if (this.#ledger.groupOpen) throw new Error('a message of ours inside an open group of messages')
  }

  /** A question of ours, which the server has its time to answer. */
  #ask(entry: Collected, message: Uint8Array, query: SimpleQuery): void {
    this.#collect(entry, message)
    if (this.#closed !== null || this.#closing) return
    // All that stands before it has been read; that somebody does not keep up with his part of that is no reason to leave ours unread.
    this.#resume()
    if (this.#answerMs === Infinity) return
    const late = (): void => this.#lose(`a question of ours was not answered within ${String(this.#answerMs)} ms`)
    query.timer = setTimeout(late, this.#answerMs).unref()
  }

  /** A message of ours and what collects its reply. */
  #collect(entry: Collected, message: Uint8Array): void {
    if (this.#closed !== null || this.#closing) {
      entry.collector.lost(this.#loss(this.#closed ?? 'closed'))
      return
    }
    this.#ledger.append(entry)
    this.#written = true
    this.#writer.write(message)
  }

  #replyContext(): ConstructorParameters<typeof ReplyReader>[0] {
    return {
      ledger: this.#ledger,
      sink: () => this.#sink,
      pause: () => this.#pause(),
      status: (status) => {
        this.#transaction = status
      },
      parameter: (name, value) => {
        this.#parameters.set(name, value)
        this.#parametersKey = null
      },
      fatal: (fields) => {
        this.#fatal = fields
      },
      tag: (tag) => this.#watch(tag),
      settled: () => {
        this.#written = false
      },
    }
  }

  /** Statements by which a session forgets what it prepared or set; the tag tells that they succeeded. */
  #watch(tag: string): void {
    if (tag === 'DEALLOCATE ALL') this.statements.clear()
    else if (tag === 'DISCARD ALL') this.#forget()
    else if (tag === 'DISCARD SEQUENCES') this.wroteFor = null
  }

  #forget(): void {
    this.statements.clear()
    this.settings.clear()
    this.wroteFor = null
  }

  #send(frames: readonly Uint8Array[], expects: readonly Expect[]): boolean {
    if (this.#closed !== null || this.#closing) return false
    let free = true
    for (const frame of frames) free = this.#writer.write(frame)
    if (frames.length > 0) this.#written = true
    for (const expect of expects) this.#ledger.append(expect)
    this.#replies.advance()
    this.#replies.flush()
    return free
  }

  #write(bytes: Uint8Array): boolean {
    if (this.#closed !== null || this.#closing) return false
    this.#written = true
    return this.#writer.write(bytes)
  }

  #detach(sink: ReplySink): void {
    if (this.#sink !== sink) return
    this.#sink = null
    if (this.#ledger.size > 0) this.close()
    else this.#resume()
  }

  #pause(): void {
    this.#paused = true
    this.#socket.pause()
  }

  #resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#socket.resume()
  }

  #loss(why: string): Loss {
    const { forwarded, passes } = this.#replies
    const torn = forwarded && passes && this.#frames.passing > 0
    return { reason: why, error: this.#fatal, written: this.#written, forwarded, torn, owed: this.#ledger.size > 0 }
  }

  /** The end, once: whoever waits for anything is told. */
  #lose(why: string): void {
    if (this.#closed !== null) return
    const loss = this.#loss(why)
    this.#closed = why
    this.#replies.drop()
    this.#socket.destroy()
    const sink = this.#sink
    this.#sink = null
    for (const entry of this.#ledger.drain()) if (entry.act === 'collect') entry.collector.lost(loss)
    sink?.closed(loss)
    const raw = this.#raw
    this.#raw = null
    raw?.closed(loss)
    for (const listener of this.#closedListeners) listener(why)
  }
}

/** What an exchange does on its connection; in one object for all exchanges of the connection. */
interface Wire {
  send(frames: readonly Uint8Array[], expects: readonly Expect[]): boolean
  write(bytes: Uint8Array): boolean
  resume(): void
  forwarded(): boolean
  written(): boolean
  owed(): number
  detach(sink: ReplySink): void
}

/** What the consumer holds; after end() it can do nothing to whoever comes next. */
class AttachedExchange implements Exchange {
  readonly #wire: Wire
  readonly #sink: ReplySink
  #ended = false

  constructor(wire: Wire, sink: ReplySink) {
    this.#wire = wire
    this.#sink = sink
  }

  get forwarded(): boolean {
    return this.#wire.forwarded()
  }

  get written(): boolean {
    return this.#wire.written()
  }

  get owed(): number {
    return this.#wire.owed()
  }

  send(frames: readonly Uint8Array[], expects: readonly Expect[]): boolean {
    this.#check()
    return this.#wire.send(frames, expects)
  }

  write(bytes: Uint8Array): boolean {
    this.#check()
    return this.#wire.write(bytes)
  }

  resume(): void {
    if (!this.#ended) this.#wire.resume()
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#wire.detach(this.#sink)
  }

  #check(): void {
    if (this.#ended) throw new Error('the exchange has ended')
  }
}
