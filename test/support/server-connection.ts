// test/support/server-connection.ts — connections of the server room to embedded servers, and a sink that remembers.
import type { ErrorFields } from '../../src/protocol/error-fields.js'
import type { ClusterTls } from '../../src/server/address.js'
import { connectServer, type ServerOptions } from '../../src/server/connect-server.js'
import type { Exchange, ExpectReply, Loss, ReplySink, ServerConnection, TransactionStatus } from '../../src/server/contract.js'

export const noTls: ClusterTls = { mode: 'disable', ca: null, cert: null, key: null }

export interface Where {
  readonly host: string
  readonly port: number
  readonly user?: string
  readonly password?: string | null
  readonly dbname?: string
  readonly tls?: Partial<ClusterTls>
  readonly options?: ServerOptions
}

/** Defaults are those of an embedded topology: user, password and database `app`. */
export function openServer({
  host,
  port,
  user = 'app',
  password = user,
  dbname = 'app',
  tls = {},
  options = {},
}: Where): Promise<ServerConnection> {
  const node = { id: `${host}:${String(port)}`, host, port, weight: 1, zone: null, subscriber: false }
  const identity = { cluster: 'main', dbname, user, password, key: `${dbname} ${user}` }
  return connectServer(node, { ...noTls, ...tls }, identity, options, new AbortController().signal)
}

export const forward = (reply: ExpectReply['reply']): ExpectReply => ({ act: 'forward', reply })

/** Attaches to a connection and remembers everything; `until()` waits for a condition, and throws at the loss. */
export class RememberingSink implements ReplySink {
  readonly exchange: Exchange
  readonly chunks: Uint8Array[] = []
  readonly statuses: TransactionStatus[] = []
  readonly errors: ErrorFields[] = []
  readonly tags: string[] = []
  readonly copies: string[] = []
  bytesSeen = 0
  loss: Loss | null = null
  /** What bytes() answers. */
  take: (chunk: Uint8Array) => boolean = () => true
  drained = 0
  #wake: () => void = () => undefined

  constructor(connection: ServerConnection) {
    this.exchange = connection.exchange(this)
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }

  ready(status: TransactionStatus): void {
    this.statuses.push(status)
    this.#wake()
  }

  untilReady(count: number): Promise<void> {
    return this.until(() => this.statuses.length >= count)
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.loss !== null) throw new Error(`the connection was lost: ${this.loss.reason}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  bytes(chunk: Uint8Array): boolean {
    this.bytesSeen += chunk.length
    if (this.bytesSeen < 1_000_000) this.chunks.push(chunk)
    const more = this.take(chunk)
    this.#wake()
    return more
  }

  error(fields: ErrorFields): 'forward' {
    this.errors.push(fields)
    return 'forward'
  }

  commandComplete(tag: string): void {
    this.tags.push(tag)
  }

  copyStarted(direction: string): void {
    this.copies.push(direction)
    this.#wake()
  }

  drain(): void {
    this.drained++
    this.#wake()
  }

  closed(loss: Loss): void {
    this.loss = loss
    this.#wake()
  }
}
