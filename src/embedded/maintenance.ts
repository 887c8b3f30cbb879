// embedded/maintenance.ts — a connection of the house to one of its own servers: through the Unix socket in a directory that
// only the server's account can enter, so without a password. Simple queries, text rows. It shares the wire format with
// the proxy but none of its connections: what tests look through is not what they test.
import { connect, type Socket } from 'node:net'
import { decodeErrorFields } from '../protocol/error-fields.js'
import { FrameReader } from '../protocol/frame-reader.js'
import { Backend } from '../protocol/message-types.js'
import { encodeQuery, encodeTerminate } from '../protocol/query.js'
import { decodeDataRow, decodeRowDescription } from '../protocol/rows.js'
import { encodeStartupMessage } from '../protocol/startup.js'

/** One row: values as PostgreSQL's text, by column name. */
export type Row = Readonly<Record<string, string | null>>

/** An error that the server reported; `code` is its SQLSTATE. */
export class ServerError extends Error {
  override readonly name = 'ServerError'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** Which server and as whom. */
export interface Address {
  /** Path of the Unix socket. */
  readonly path: string
  readonly user: string
  readonly dbname: string
}

interface Pending {
  rows: Row[]
  error: Error | null
  readonly done: (result: { rows: Row[]; error: Error | null }) => void
}

export class Maintenance {
  readonly #socket: Socket
  readonly #reader: FrameReader
  #columns: readonly string[] = []
  #pending: Pending | null = null
  #broken: Error | null = null

  private constructor(socket: Socket) {
    this.#socket = socket
    this.#reader = new FrameReader({
      collect: (_type, length) => length,
      frame: (type, chunk, start, end) => {
        this.#take(type, chunk.subarray(start, end))
      },
      part: () => undefined,
    })
    socket.on('data', (chunk: Buffer) => {
      this.#reader.push(chunk)
    })
    socket.on('error', (error) => {
      this.#fail(error)
    })
    socket.on('close', () => {
      this.#fail(new Error('the server closed the connection'))
    })
  }

  /** @throws ServerError when the server refuses, Error when nobody answers. */
  static async open(address: Address): Promise<Maintenance> {
    const socket = connect({ path: address.path })
    const opened = new Maintenance(socket)
    const options = [
      ['user', address.user] as const,
      ['database', address.dbname] as const,
      ['application_name', 'pointsman-embedded'] as const,
    ]
    await opened.#exchange(encodeStartupMessage(options))
    return opened
  }

  /** Runs one or more statements; the rows of the last that gave any. */
  async query(text: string): Promise<Row[]> {
    return this.#exchange(encodeQuery(text))
  }

  close(): void {
    if (this.#broken === null) this.#socket.end(encodeTerminate())
    this.#socket.destroySoon()
  }

  async #exchange(message: Uint8Array): Promise<Row[]> {
    if (this.#broken !== null) throw this.#broken
    const result = await new Promise<{ rows: Row[]; error: Error | null }>((done) => {
      this.#pending = { rows: [], error: null, done }
      this.#socket.write(message)
    })
    if (result.error !== null) throw result.error
    return result.rows
  }

  #take(type: number, frame: Uint8Array): void {
    const pending = this.#pending
    if (pending === null) {
      if (type === Backend.ErrorResponse) this.#broken ??= serverError(frame) // its last words before it closes
      return
    }
    switch (type) {
      case Backend.RowDescription:
        this.#columns = decodeRowDescription(frame).map((column) => column.name)
        pending.rows = []
        return
      case Backend.DataRow: {
        const values = decodeDataRow(frame)
        pending.rows.push(Object.fromEntries(this.#columns.map((name, index) => [name, values[index] ?? null])))
        return
      }
      case Backend.ErrorResponse:
        pending.error ??= serverError(frame)
        return
      case Backend.ReadyForQuery:
        this.#pending = null
        pending.done(pending)
    }
  }

  #fail(error: Error): void {
    this.#broken ??= this.#pending?.error ?? error
    const pending = this.#pending
    this.#pending = null
    pending?.done({ rows: [], error: pending.error ?? error })
  }
}

function serverError(frame: Uint8Array): ServerError {
  const { code, message } = decodeErrorFields(frame)
  return new ServerError(code, message)
}
