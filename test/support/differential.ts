// test/support/differential.ts — the same script on direct connections and through the proxy: every message that a client is
// sent, as text that can be compared. Clients of a script are letters; each has its own direct connection, while through the
// proxy all of them meet on the server connections of one small pool.
import pg from 'pg'

/** One message as `CommandComplete SET`, `DataRow ["1"]`, `ParameterStatus TimeZone=UTC`, `Error 22012 division by zero`. */
type Line = string

interface Message {
  readonly name: string
  readonly [field: string]: unknown
}

export class Recorded {
  readonly client: pg.Client
  #lines: Line[] = []

  constructor(config: pg.ClientConfig) {
    this.client = new pg.Client(config)
    this.client.on('error', () => undefined)
    const { connection } = this.client as unknown as { connection: NodeJS.EventEmitter }
    connection.on('message', (message: Message) => {
      const line = lineOf(message)
      if (line !== null) this.#lines.push(line)
    })
  }

  /** What the server says at login, in the order of names. */
  async connect(): Promise<readonly Line[]> {
    await this.client.connect()
    return this.taken().toSorted()
  }

  /** Runs it as a simple query, or, with values, by the extended protocol. */
  async say(sql: string, values?: readonly unknown[]): Promise<readonly Line[]> {
    const { connection } = this.client as unknown as { connection: NodeJS.EventEmitter }
    // pg settles a failed query at its error, while ReadyForQuery is still to come.
    const over = new Promise<void>((resolve) => {
      const done = (): void => {
        connection.off('readyForQuery', done).off('end', done)
        resolve()
      }
      connection.on('readyForQuery', done).on('end', done)
    })
    const asked = values === undefined ? this.client.query(sql) : this.client.query(sql, [...values])
    await asked.catch(() => undefined)
    await over
    return this.taken()
  }

  taken(): readonly Line[] {
    const lines = this.#lines
    this.#lines = []
    return lines
  }

  async end(): Promise<void> {
    await this.client.end().catch(() => undefined)
  }
}

function lineOf(message: Message): Line | null {
  const say = (field: string): string => String(message[field])
  switch (message.name) {
    case 'commandComplete':
      return `CommandComplete ${say('text')}`
    case 'dataRow':
      return `DataRow ${JSON.stringify((message['fields'] as (Buffer | string | null)[]).map((field) => field?.toString() ?? null))}`
    case 'parameterStatus':
      return `ParameterStatus ${say('parameterName')}=${say('parameterValue')}`
    case 'error':
      return `Error ${say('severity')} ${say('code')} ${say('message')}`
    case 'notice':
      return `Notice ${say('severity')} ${say('code')} ${say('message')}`
    case 'readyForQuery':
      return `Ready ${say('status')}`
    case 'rowDescription':
      return `Columns ${(message['fields'] as { name: string; dataTypeID: number }[]).map(({ name, dataTypeID }) => `${name}:${String(dataTypeID)}`).join(' ')}`
    default:
      return null
  }
}
