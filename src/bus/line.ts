// bus/line.ts — the one connection that listens on a cluster's primary, in one database. Opened with the first channel, closed
// a while after the last; lost ones are opened again with back-off, on whatever is the primary then, and the listeners are
// told what time is missing.
//
// One order on one connection: LISTEN and UNLISTEN are sent in the turn in which somebody comes or goes, so what the server
// listens to is what is wanted. A round trip on it proves that all notifications acknowledged to their senders before have
// been read (the server sends what waits before it answers).
import { PointsmanError } from '../errors/error.js'
import type { Identity } from '../pool/contract.js'
import { encodeNotification } from '../protocol/backend-messages.js'
import { notificationHead, withNotifier } from '../protocol/notification.js'
import { quoted } from '../session/quote.js'
import { reason } from '../server/unreachable.js'
import type { Exchange, Loss, ReplySink, ServerConnection } from '../server/contract.js'
import { Channels } from './channels.js'
import { busChannel, type BusParts, type Listener } from './contract.js'
import type { Owners } from './owners.js'

/** Between two looks at whether the server still answers. */
const beatMs = 5_000
/** A round trip that takes longer means that the connection is dead. */
const answerMs = 10_000
const connectMs = 10_000
const backOffFirstMs = 50
const backOffMaxMs = 5_000
/** A line without channels is kept for this long, for those that listen anew all the time. */
const lingerMs = 5_000
/** Channels told in one notification of ours: PostgreSQL's own have less than 8000 bytes. */
const longestList = 6_000

export interface LineParts extends BusParts {
  readonly cluster: string
  readonly dbname: string
  readonly owners: Owners
  /** It has closed, and nobody wants anything of it. */
  readonly onClosed: () => void
}

export class Line {
  readonly cluster: string
  readonly dbname: string
  readonly #parts: LineParts
  readonly #clock: () => number
  readonly #channels = new Channels()
  /** Whose login may be used, in the order in which they came. */
  readonly #logins = new Map<Listener, Identity>()
  #connection: ServerConnection | null = null
  #exchange: Exchange | null = null
  #opening = false
  #failures = 0
  /** Why the last attempt to connect failed. */
  #lastError: string | null = null
  #waiting: (() => void)[] = []
  /** Ends the pause between two attempts. */
  #hurry: (() => void) | null = null
  readonly #stop = new AbortController()
  /** Wall time at which all notifications before it had surely been read. */
  #heardUpTo: number | null = null
  /** Wall time from which notifications may be missing; null: none are. */
  #missingFrom: number | null = null
  #beat: NodeJS.Timeout | undefined
  #linger: NodeJS.Timeout | undefined

  constructor(parts: LineParts) {
    this.#parts = parts
    this.cluster = parts.cluster
    this.dbname = parts.dbname
    this.#clock = parts.clock ?? Date.now
  }

  get listeners(): number {
    return this.#channels.listeners
  }

  get channels(): number {
    return this.#channels.size
  }

  get connected(): boolean {
    return this.#connection !== null
  }

  channelsOf(listener: Listener): ReadonlySet<string> {
    return this.#channels.of(listener)
  }

  /**
   * Resolves when the server listens to all of `channels` and this listener hears them. Rejects with the server's own error, or
   * with bus_unavailable after `waitMs` without a connection; nothing is listened to then.
   */
  async listen(listener: Listener, login: Identity, channels: readonly string[], waitMs: number): Promise<void> {
    clearTimeout(this.#linger)
    const fresh = channels.filter((channel) => !this.#channels.of(listener).has(channel))
    for (const channel of fresh) this.#channels.want(channel)
    this.#logins.set(listener, login)
    try {
      await this.#told(fresh.map((channel) => `LISTEN ${quoted(channel)}`).join(';'), waitMs)
    } catch (error) {
      this.#unwanted(fresh)
      throw error
    }
    // The same client may have asked for the same twice meanwhile.
    this.#unwanted(fresh.filter((channel) => !this.#channels.hear(channel, listener)))
  }

  unlisten(listener: Listener, channels: readonly string[]): void {
    this.#unwanted(channels.filter((channel) => this.#channels.unhear(channel, listener)))
    if (this.#channels.of(listener).size === 0) this.#logins.delete(listener)
  }

  /** Resolves when all that was acknowledged to senders before the call has been read, or cannot be read any more. Never rejects. */
  async arrived(): Promise<void> {
    const connection = this.#connection
    if (connection === null) return
    const from = this.#clock()
    try {
      await connection.sync()
      if (this.#connection === connection) this.#heardUpTo = from
    } catch {
      // Lost: the listeners are told.
    }
  }

  /** Something about the cluster has changed: is the line where it should be? `down`: a node that does not answer. */
  reconsider(down: string | null = null): void {
    const target = this.#parts.target(this.cluster)
    if (target === null || (target.cluster.dbname !== null && target.cluster.dbname !== this.dbname)) {
      this.#end(new PointsmanError('shutting_down', { detail: `The cluster "${this.cluster}" was taken out of the configuration.` }))
      return
    }
    const node = this.#connection?.node.id
    if (node !== undefined && (node === down || (target.primary !== null && target.primary.id !== node))) this.#connection?.sever()
    this.#hurry?.()
  }

  close(): void {
    clearTimeout(this.#linger)
    clearInterval(this.#beat)
    this.#stop.abort(new PointsmanError('shutting_down'))
    this.#hurry?.()
    this.#exchange?.end()
    this.#connection?.close()
    this.#connection = null
    this.#wake()
  }

  #end(error: PointsmanError): void {
    const listeners = [...this.#channels.all()].map(([listener]) => listener)
    for (const listener of listeners) {
      this.unlisten(listener, [...this.#channels.of(listener)])
      listener.ended(error)
    }
  }

  // ---- channels

  async #told(sql: string, waitMs: number): Promise<void> {
    const deadline = performance.now() + waitMs
    for (;;) {
      const connection = this.#connection ?? (await this.#connected(deadline))
      try {
        // Always sent, also for what is listened to already: the answer proves that what came before has been read.
        if (sql === '') await connection.sync()
        else await connection.query(sql)
        return
      } catch (error) {
        if (connection.usable || this.#stop.signal.aborted) throw error
      }
    }
  }

  #unwanted(channels: readonly string[]): void {
    const left = channels.filter((channel) => this.#channels.unwant(channel))
    if (left.length > 0) {
      // What is lost meanwhile is not listened to either.
      this.#connection?.query(left.map((channel) => `UNLISTEN ${quoted(channel)}`).join(';')).catch(() => undefined)
    }
    if (this.#channels.size > 0 || this.#stop.signal.aborted) return
    clearTimeout(this.#linger)
    this.#linger = setTimeout(() => {
      this.close()
      this.#parts.onClosed()
    }, lingerMs).unref()
  }

  // ---- the connection

  async #connected(deadline: number): Promise<ServerConnection> {
    void this.#open()
    while (this.#connection === null) {
      const left = deadline - performance.now()
      if (left <= 0 || this.#stop.signal.aborted) throw this.#unavailable()
      await this.#changed(left)
    }
    return this.#connection
  }

  #unavailable(): PointsmanError {
    const why = this.#lastError ?? 'no answer yet'
    return new PointsmanError('bus_unavailable', { values: { cluster: this.cluster, why } })
  }

  #changed(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#waiting.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  async #open(): Promise<void> {
    if (this.#opening) return
    this.#opening = true
    while (this.#connection === null && this.#channels.size > 0 && !this.#stop.signal.aborted) {
      try {
        await this.#attempt()
        this.#failures = 0
        this.#lastError = null
      } catch (error) {
        this.#lastError = reason(error)
        this.#failures += 1
        await this.#pause()
      }
    }
    this.#opening = false
    this.#wake()
  }

  async #attempt(): Promise<void> {
    const { target: targetOf, connect } = this.#parts
    const target = targetOf(this.cluster)
    if (target === null) throw new Error('the configuration does not have it')
    if (target.primary === null) throw new Error('it has no primary')
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(connectMs)])
    const connection = await connect(target.cluster, target.primary, this.#login(), signal)
    try {
      if (connection.evidence.inRecovery) throw new Error(`${connection.node.id} is not a primary`)
      await this.#take(connection)
    } catch (error) {
      connection.close()
      throw error
    }
  }

  /** Any of them will do, but one that the server does not let in must not shut out the others. */
  #login(): Identity {
    const logins = [...this.#logins.values()]
    const login = logins[this.#failures % Math.max(1, logins.length)]
    if (login === undefined) throw new Error('nobody listens')
    return login
  }

  /** Listens to everything that is wanted, and only then is it the line's connection. */
  async #take(connection: ServerConnection): Promise<void> {
    const exchange = connection.exchange(this.#sink(connection))
    const told = new Set<string>()
    for (;;) {
      const missing = this.#channels.wanted().filter((channel) => !told.has(channel))
      if (missing.length === 0) break
      for (const channel of missing) told.add(channel)
      await connection.query(missing.map((channel) => `LISTEN ${quoted(channel)}`).join(';'))
    }
    if (!connection.usable || this.#stop.signal.aborted) throw new Error('the connection was lost')
    // Whoever went while it was under way.
    const needless = [...told].filter((channel) => !this.#channels.wanted().includes(channel))
    if (needless.length > 0) connection.query(needless.map((channel) => `UNLISTEN ${quoted(channel)}`).join(';')).catch(() => undefined)
    this.#connection = connection
    this.#exchange = exchange
    clearInterval(this.#beat)
    this.#beat = setInterval(() => void this.#check(connection), beatMs).unref()
    this.#restored(connection)
    this.#heardUpTo = this.#clock()
    this.#wake()
  }

  #sink(connection: ServerConnection): ReplySink {
    return {
      bytes: () => true,
      ready: () => undefined,
      error: () => 'withhold',
      notification: (frame) => this.#notification(connection, frame),
      closed: (loss) => this.#lost(connection, loss),
    }
  }

  /** A server that is gone without a word. */
  async #check(connection: ServerConnection): Promise<void> {
    if (this.#connection !== connection) return
    const timer = setTimeout(() => connection.sever(), answerMs)
    await this.arrived()
    clearTimeout(timer)
  }

  #lost(connection: ServerConnection, loss: Loss): void {
    if (this.#connection !== connection) return
    this.#connection = null
    this.#exchange = null
    clearInterval(this.#beat)
    const from = (this.#missingFrom ??= this.#heardUpTo ?? this.#clock())
    const { observer } = this.#parts
    observer.emit('bus.lost', { cluster: this.cluster, node: connection.node.id, listeners: this.#channels.listeners, reason: loss.reason })
    this.#tellAll((channels) => ({ event: 'lost', cluster: this.cluster, channels, from: iso(from) }))
    if (this.#channels.size > 0) void this.#open()
  }

  #restored(connection: ServerConnection): void {
    const from = this.#missingFrom
    this.#missingFrom = null
    const to = this.#clock()
    const { observer } = this.#parts
    observer.emit('bus.listening', {
      cluster: this.cluster,
      node: connection.node.id,
      channels: this.#channels.size,
      missedSeconds: from === null ? 0 : (to - from) / 1000,
      from: from === null ? null : iso(from),
      to: iso(to),
    })
    if (from !== null) this.#tellAll((channels) => ({ event: 'restored', cluster: this.cluster, channels, from: iso(from), to: iso(to) }))
  }

  async #pause(): Promise<void> {
    const delay = Math.min(backOffMaxMs, backOffFirstMs * 2 ** Math.min(this.#failures, 12))
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delay * (0.75 + 0.5 * this.#parts.random()))
      this.#hurry = () => {
        clearTimeout(timer)
        resolve()
      }
      if (this.#stop.signal.aborted) this.#hurry()
    })
    this.#hurry = null
  }

  // ---- notifications

  #notification(connection: ServerConnection, frame: Uint8Array): void {
    const { pid, channel } = notificationHead(frame)
    // A copy: it may wait for a client for long, and the chunk that it came in must not.
    const own = withNotifier(frame, this.#parts.owners.of(connection.node.id, pid))
    let told = 0
    for (const listener of this.#channels.hearers(channel)) {
      listener.notified(own)
      told += 1
    }
    this.#parts.observer.emit('bus.notification', { cluster: this.cluster, told })
  }

  #tellAll(payload: (channels: readonly string[]) => Readonly<Record<string, unknown>>): void {
    for (const [listener, channels] of this.#channels.all()) {
      const frame = encodeNotification({ pid: 0, channel: busChannel, payload: JSON.stringify(payload(listed(channels))) })
      listener.notified(frame)
    }
  }
}

/** As many as fit; `…` stands for the rest. */
function listed(channels: ReadonlySet<string>): readonly string[] {
  const list: string[] = []
  let bytes = 0
  for (const channel of channels) {
    bytes += JSON.stringify(channel).length * 3
    if (bytes > longestList) return [...list, '…']
    list.push(channel)
  }
  return list
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
