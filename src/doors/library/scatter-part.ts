// doors/library/scatter-part.ts — one of the servers that a read on several clusters is on, through the application's pg: what is
// written to it, and what pg's connection tells of the replies. Values are text, which is all that every pg reads without loss.
import type { PgClient } from './pg-client.js'
import type { Hold } from './hold.js'

/** pg's own description of a column. */
export interface PgField {
  readonly name: string
  readonly dataTypeID: number
  readonly dataTypeModifier: number
}

/** What a server has said of a merged read: of the user's statement, of what the parts run, and of the parameters. */
export interface DescribedRead {
  readonly original: readonly PgField[]
  readonly part: readonly PgField[]
  readonly oids: readonly number[]
}

/** An object of pg's for a column, its name counted in. */
const fieldBytes = 250

/** What it holds, about. */
export function describedBytes({ original, part, oids }: DescribedRead): number {
  return fieldBytes * (original.length + part.length) + 8 * oids.length
}

export type TextRow = readonly (string | null)[]

/** pg's connection, as a Submittable is given it. */
interface PgWire {
  parse(query: { readonly text: string; readonly types?: readonly number[] }): void
  bind(config: { readonly values: readonly unknown[] }): void
  describe(what: { readonly type: 'S' | 'P'; readonly name: string }): void
  execute(config: { readonly portal: string; readonly rows: number }): void
  flush(): void
  sync(): void
  sendCopyFail(message: string): void
  on(event: 'parameterDescription', listener: (message: { readonly dataTypeIDs: readonly number[] }) => void): unknown
  removeListener(event: 'parameterDescription', listener: (message: { readonly dataTypeIDs: readonly number[] }) => void): unknown
  readonly stream: { cork?(): void; uncork?(): void }
}

/** What comes of an exchange, in this order; `ended` comes once. None may throw. */
export interface ExchangeListener {
  parameters?(oids: readonly number[]): void
  described(fields: readonly PgField[]): void
  /** Rows that came together. */
  rows?(rows: readonly TextRow[]): void
  /** CommandComplete. */
  completed?(tag: string): void
  /** `error`: what pg tells of it; null: all is well. The server may still be about to say ReadyForQuery. */
  ended(error: Error | null): void
}

/** One group of messages up to its Sync, as pg's client runs it. */
class Exchange {
  readonly text: string = ''
  /** pg's own limit for it; undefined: the connection's. */
  readonly query_timeout: unknown
  /** Of pg: told that it is over. */
  callback: ((error: Error | null) => void) | undefined = undefined
  readonly #write: (wire: PgWire) => void
  readonly #listener: ExchangeListener
  #wire: PgWire | null = null
  #rows: TextRow[] = []
  #over = false
  readonly #parameters = (message: { readonly dataTypeIDs: readonly number[] }): void => this.#listener.parameters?.(message.dataTypeIDs)

  constructor(write: (wire: PgWire) => void, listener: ExchangeListener, timeout: unknown) {
    this.#write = write
    this.#listener = listener
    this.query_timeout = timeout
  }

  submit(wire: PgWire): null {
    this.#wire = wire
    wire.on('parameterDescription', this.#parameters)
    wire.stream.cork?.()
    try {
      this.#write(wire)
    } finally {
      wire.stream.uncork?.()
    }
    return null
  }

  handleRowDescription({ fields }: { readonly fields: readonly PgField[] }): void {
    this.#listener.described(fields)
  }

  handleDataRow({ fields }: { readonly fields: TextRow }): void {
    // Rows of one chunk are told together, once pg has read it.
    if (this.#rows.length === 0) queueMicrotask(() => this.#flush())
    this.#rows.push(fields)
  }

  #flush(): void {
    const rows = this.#rows
    if (rows.length === 0 || this.#over) return
    this.#rows = []
    this.#listener.rows?.(rows)
  }

  handleReadyForQuery(): void {
    this.#flush()
    this.#end(null)
  }

  handleError(error: Error): void {
    this.#end(error)
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#listener.completed?.(text)
  }

  handleEmptyQuery(): void {
    return undefined
  }

  handlePortalSuspended(): void {
    return undefined
  }

  handleCopyInResponse(wire: PgWire): void {
    wire.sendCopyFail('no rows are given here')
  }

  handleCopyData(): void {
    return undefined
  }

  #end(error: Error | null): void {
    if (this.#over) return
    this.#over = true
    this.#wire?.removeListener('parameterDescription', this.#parameters)
    this.callback?.(error)
    this.#listener.ended(error)
  }
}

function start({ connection }: Hold, exchange: Exchange): void {
  connection.begin()
  void (connection.client as { query(submittable: object): unknown }).query(exchange)
}

function describeAll(wire: PgWire, texts: readonly string[]): void {
  for (const text of texts) {
    wire.parse({ text })
    wire.describe({ type: 'S', name: '' })
  }
}

/** Has the server describe texts, one after the other. */
export function describeOn(hold: Hold, texts: readonly string[], listener: ExchangeListener, timeout: unknown): void {
  const write = (wire: PgWire): void => {
    describeAll(wire, texts)
    wire.sync()
  }
  start(hold, new Exchange(write, listener, timeout))
}

interface Run {
  readonly text: string
  readonly types?: readonly number[]
  readonly describes?: readonly string[]
  readonly atOnce?: boolean
}

/**
 * Runs the text with values as pg sends them: strings, bytes, null. `types`: of its parameters, where they are not the server's to find.
 * `describes`: these texts are described before, of which the last is the one that runs. `atOnce`: that is told before there are rows.
 */
export function runOn(
  hold: Hold,
  { text, types = [], describes, atOnce = false }: Run,
  values: readonly unknown[],
  listener: ExchangeListener,
  timeout: unknown,
): void {
  const write = (wire: PgWire): void => {
    if (describes === undefined) wire.parse({ text, types })
    else describeAll(wire, describes)
    if (atOnce) wire.flush()
    wire.bind({ values })
    wire.describe({ type: 'P', name: '' })
    wire.execute({ portal: '', rows: 0 })
    wire.sync()
  }
  start(hold, new Exchange(write, listener, timeout))
}

/** A server that sends more than is wanted now is not read. */
export function pauseReading(client: PgClient): void {
  client.connection.stream.pause?.()
}

export function resumeReading(client: PgClient): void {
  client.connection.stream.resume?.()
}
