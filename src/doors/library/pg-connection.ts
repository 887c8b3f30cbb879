// doors/library/pg-connection.ts — the user's pg.Client as a connection of our pools. pg runs the protocol; this watches
// it: the ReadyForQuery byte says what state the server is in, the socket's end says that the connection is gone.
import type { EventEmitter } from 'node:events'
import type { Evidence, PooledConnection } from '../../pool/contract.js'
import type { Greeting } from '../../session/session.js'
import { connectionSettings, type SettingsState } from '../../session/settings.js'
import type { PgClient } from './pg-client.js'

export type Status = 'I' | 'T' | 'E'

export class PgConnection implements PooledConnection {
  readonly client: PgClient
  readonly parameters: Map<string, string> = new Map()
  /** Session settings that stand here beyond the server's defaults; null: not known, so it must be scrubbed. */
  settings: SettingsState | null = connectionSettings(new Map())
  /** How many have come so far. */
  notices = 0
  /** Called at every ReadyForQuery, before pg tells anybody what came before it. */
  onReady: ((status: Status) => void) | null = null
  /** The server told a status parameter. */
  onParameter: (() => void) | null = null
  /** It broke while nobody had it. */
  onIdleError: (error: Error) => void = () => undefined
  /** Restores what `connect` listeners set, after DISCARD ALL has taken it away. */
  onScrubbed: () => void = () => undefined
  #evidence: Evidence | null = null
  /** Who hears notices, notifications and the connection's end while it is leased. */
  #listener: EventEmitter | null = null
  #idle = false
  #greeting: Greeting | null = null
  #status: Status = 'I'
  #busy = false
  #gone: string | null = null
  /** pg has told everybody. */
  #over = false
  #waiting: (() => void)[] = []
  #closed: ((reason: string) => void)[] = []

  /** `client` is not connected yet. */
  constructor(client: PgClient) {
    this.client = client
    client.connection.prependListener('readyForQuery', ({ status }) => this.#ready(status))
    client.connection.on('parameterStatus', ({ parameterName, parameterValue }) => {
      this.parameters.set(parameterName, parameterValue)
      this.onParameter?.()
    })
    client.on('error', (error: Error) => this.#end(error.message, error))
    client.on('end', () => {
      this.#over = true
      this.#end('the server closed the connection', new Error('Connection terminated unexpectedly'))
    })
    client.on('notice', (notice: unknown) => {
      this.notices += 1
      this.#listener?.emit('notice', notice)
    })
    client.on('notification', (message: unknown) => this.#listener?.emit('notification', message))
  }

  get evidence(): Evidence {
    if (this.#evidence === null) throw new Error('the connection is not open')
    return this.#evidence
  }

  /** What a session on this server starts with. */
  get greeting(): Greeting {
    if (this.#greeting === null) throw new Error('the connection is not open')
    return this.#greeting
  }

  get usable(): boolean {
    // One that was severed is lost already, though its `close` is yet to come.
    return this.#gone === null && !this.client.connection.stream.destroyed
  }

  /** Of the last ReadyForQuery. */
  get status(): Status {
    return this.#status
  }

  opened(evidence: Evidence, greeting: Greeting): void {
    this.#evidence = evidence
    this.#greeting = greeting
    this.returned()
  }

  /** Somebody works on it now: `listener` hears of it, and it keeps the process alive. */
  lent(listener: EventEmitter | null): void {
    this.#idle = false
    this.#listener = listener
    this.client.ref()
  }

  /** An idle connection alone keeps no process alive. */
  returned(): void {
    this.#idle = true
    this.#listener = null
    this.client.unref()
  }

  /** Something is about to be sent. */
  begin(): void {
    this.#busy = true
  }

  /**
   * The state after what was sent: null if the connection is gone. pg tells an error before ReadyForQuery, and one that
   * never reached the server (values that are no array) without any.
   */
  async settled(): Promise<Status | null> {
    if (this.#busy && this.usable) await new Promise<void>((resolve) => setImmediate(resolve))
    if (this.client.readyForQuery) this.#busy = false
    if (this.#busy && this.usable) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return this.usable ? this.#status : null
  }

  /**
   * A stream over a cursor that is lost waits, when it is destroyed, for a ReadyForQuery that cannot come any more
   * (pg-cursor 2.22), and so would never tell its error. This tells it that there is nothing left to wait for, once pg has
   * told it of the loss: to a stream that does not know of it, it would be the end of its rows.
   */
  endStreams(): void {
    const { connection } = this.client
    const tell = (): void => void setImmediate(() => connection.emit('readyForQuery', { status: 'I' }))
    // One whose user is slow learns of the loss when it is read the next time, and closes its portal then.
    connection.close = tell
    if (this.#over) tell()
    else this.client.once('end', tell)
  }

  async scrub(): Promise<void> {
    if ((await this.settled()) === null) throw new Error('the connection is gone')
    if (this.#status !== 'I') await this.client.query('ROLLBACK')
    await this.client.query('DISCARD ALL')
    this.client.connection.parsedStatements = {}
    this.settings = connectionSettings(new Map())
    this.onScrubbed()
    // What listeners have sent must have ended, or its ReadyForQuery would be taken for the next statement's.
    if (!this.client.readyForQuery) await this.client.query('')
  }

  close(): void {
    const stream = this.client.connection.stream
    if (!this.usable) stream.destroy()
    // An exchange under way would keep end() waiting for ever.
    else if (this.#busy) stream.destroy()
    else void this.client.end().catch(() => undefined)
    this.#end('closed', null)
  }

  sever(): void {
    this.client.connection.stream.destroy()
  }

  onClosed(listener: (reason: string) => void): void {
    if (this.#gone === null) this.#closed.push(listener)
    else listener(this.#gone)
  }

  #ready(status: string | undefined): void {
    if (status === 'I' || status === 'T' || status === 'E') this.#status = status
    this.#busy = false
    this.onReady?.(this.#status)
    if (this.#waiting.length > 0) for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #end(reason: string, error: Error | null): void {
    if (this.#gone !== null) return
    this.#gone = reason
    for (const resolve of this.#waiting.splice(0)) resolve()
    for (const listener of this.#closed.splice(0)) listener(reason)
    // As with pg's own clients an error event that nobody listens for would end the process; the query under way has its own error.
    if (error !== null && (this.#listener?.listenerCount('error') ?? 0) > 0) this.#listener?.emit('error', error)
    if (error !== null && this.#idle) this.onIdleError(error)
  }
}
