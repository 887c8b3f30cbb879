// doors/proxy/console.ts — the database `pointsman`: operators see and steer the running processes with psql, or any driver, in
// the simple protocol or the extended one. Nothing here reaches a server. One client: its frames in, its answers out; what
// commands do is console/operator.ts.
import { PointsmanError } from '../../errors/error.js'
import type { Observer } from '../../observe/events.js'
import {
  emptyMessages,
  encodeBackendKeyData,
  encodeCommandComplete,
  encodeParameterDescription,
  encodeParameterStatus,
  encodeReadyForQuery,
  type TransactionByte,
} from '../../protocol/backend-messages.js'
import { encodeErrorResponse } from '../../protocol/error-fields.js'
import { decodeBind, decodeClose, decodeDescribe, decodeExecute, decodeParse } from '../../protocol/extended.js'
import { Frontend } from '../../protocol/message-types.js'
import { decodeQuery } from '../../protocol/query.js'
import { violation } from '../../protocol/violation.js'
import type { BackendKey } from './backend-keys.js'
import type { ClientFrame } from './client-input.js'
import { dataRow, rowDescription, type Formats, type Table } from './console/cells.js'
import type { Desk } from './console/desk.js'
import { Operator, type Outcome } from './console/operator.js'
import { readConsole, type ReadCommand } from './console/read-command.js'
import { consoleParameters } from './console/small-talk.js'
import { errorFields, unforeseen } from './error-reply.js'
import type { Login } from './login.js'

export interface ConsoleParts {
  readonly login: Login
  readonly address: string
  readonly desk: Desk
  /** What a cancel of this console must bring. */
  readonly key: BackendKey
  readonly observer: Observer
  readonly version: string
}

/** A statement of the extended protocol; null: an empty text. */
type Prepared = ReadCommand | null

/** A bound statement; `left`: its rows that no Execute has given yet, null before the first. */
interface Portal {
  readonly prepared: Prepared
  readonly formats: Formats
  outcome: Outcome | null
  given: number
}

/** Rows written before it is asked whether the client keeps up. */
const rowsAtOnce = 200
const maxPrepared = 1_000

/** One client of the console, from its login to its end. */
export class ConsoleClient {
  readonly #parts: ConsoleParts
  readonly #operator: Operator
  readonly #prepared = new Map<string, Prepared>()
  readonly #portals = new Map<string, Portal>()
  #draining = false
  /** A batch of the extended protocol has failed: all up to its Sync is skipped. */
  #skipping = false
  #status: TransactionByte = 'I'
  /** Ends what the command at hand waits for. */
  #abort = new AbortController()

  constructor(parts: ConsoleParts) {
    this.#parts = parts
    this.#operator = new Operator(parts.desk, parts.login.user, parts.address)
  }

  get key(): BackendKey {
    return this.#parts.key
  }

  /** Told to go when the command at hand has ended; what waits is given up. */
  drain(): void {
    this.#draining = true
    this.#abort.abort(new PointsmanError('shutting_down'))
    this.#parts.login.input.nudge()
  }

  /** As a CancelRequest asks. */
  cancel(): void {
    this.#abort.abort(new PointsmanError('canceled'))
  }

  /** Serves the client until it leaves or is sent away; resolves with the reason. */
  async run(): Promise<string> {
    const { input, output } = this.#parts.login
    input.onGone = (): void => this.cancel()
    this.#greet()
    for (;;) {
      if (this.#draining) return this.#sendAway(new PointsmanError('shutting_down'))
      try {
        await output.caughtUp()
        const frame = input.shift()
        if (frame === undefined) {
          if (input.ended) return 'the client closed the connection'
          await input.wait()
        } else if (frame.type === Frontend.Terminate) return 'the client said goodbye'
        else await this.#take(frame)
      } catch (error) {
        return this.#sendAway(error)
      }
    }
  }

  #greet(): void {
    const { login, version, key } = this.#parts
    // Drivers read a number at its beginning, whatever follows.
    const number = /^\d/.test(version) ? version : '0.0'
    for (const [name, value] of [...consoleParameters, ['server_version', `${number}/pointsman`] as const]) {
      login.output.write(encodeParameterStatus(name, value))
    }
    login.output.write(encodeBackendKeyData(key.pid, key.secret))
    this.#ready()
  }

  #ready(): void {
    this.#parts.login.output.write(encodeReadyForQuery(this.#status))
  }

  async #take(frame: ClientFrame): Promise<void> {
    const { type, bytes } = frame
    switch (type) {
      case Frontend.Query:
        this.#skipping = false
        await this.#tried(() => this.#query(bytes))
        this.#ready()
        return
      case Frontend.Sync:
        this.#skipping = false
        if (this.#status === 'I') this.#portals.clear()
        this.#ready()
        return
      case Frontend.FunctionCall:
        this.#fail(new PointsmanError('feature_not_supported', { values: { what: 'the console has no functions' } }))
        this.#ready()
        return
      case Frontend.Flush:
        return
      default:
        if (this.#skipping) return
        this.#skipping = !(await this.#tried(() => this.#extended(type, bytes)))
    }
  }

  /** False: it failed, and the client has been told. */
  async #tried(work: () => Promise<void> | void): Promise<boolean> {
    try {
      await work()
      return true
    } catch (error) {
      this.#fail(error)
      return false
    }
  }

  #fail(error: unknown): void {
    const { login, observer } = this.#parts
    if (unforeseen(error)) {
      const fields = { error: error instanceof Error ? error.message : String(error) }
      observer.emit('log', { level: 'error', message: 'a console command failed for a reason no rule foresaw', fields })
    }
    if (this.#status === 'T') this.#status = 'E'
    login.output.write(encodeErrorResponse(errorFields(error)))
  }

  // ---- the simple protocol

  /** Several commands in one text: all are read before the first is run. */
  async #query(frame: Uint8Array): Promise<void> {
    const { output } = this.#parts.login
    const commands = readConsole(decodeQuery(frame))
    if (commands.length === 0) output.write(emptyMessages.emptyQueryResponse)
    for (const command of commands) {
      const { table, tag } = await this.#run(command)
      if (table !== null) {
        output.write(rowDescription(table.columns))
        await this.#rows(table, 0, table.rows.length, [])
      }
      output.write(encodeCommandComplete(tag))
    }
  }

  async #run(read: ReadCommand): Promise<Outcome> {
    const { command } = read
    if (this.#status === 'E' && command.kind !== 'transaction') throw new PointsmanError('in_failed_transaction')
    if (this.#abort.signal.aborted && !this.#draining) this.#abort = new AbortController()
    const outcome = await this.#operator.run(read, this.#abort.signal)
    if (command.kind === 'transaction') this.#status = command.op === 'begin' ? 'T' : 'I'
    return outcome
  }

  /** In portions, as fast as the client reads them. */
  async #rows({ columns, rows }: Table, from: number, to: number, formats: Formats): Promise<void> {
    const { output } = this.#parts.login
    for (let at = from; at < to; at++) {
      const row = rows[at]
      if (row !== undefined) output.write(dataRow(columns, row, formats))
      if (at % rowsAtOnce === 0 && output.behind) await output.caughtUp()
    }
  }

  // ---- the extended protocol

  #extended(type: number, frame: Uint8Array): Promise<void> | void {
    switch (type) {
      case Frontend.Parse:
        return this.#parse(frame)
      case Frontend.Bind:
        return this.#bind(frame)
      case Frontend.Describe:
        return this.#describe(frame)
      case Frontend.Execute:
        return this.#execute(frame)
      case Frontend.Close: {
        const { of, name } = decodeClose(frame)
        if (of === 'statement') this.#prepared.delete(name)
        else this.#portals.delete(name)
        this.#parts.login.output.write(emptyMessages.closeComplete)
        return
      }
      case Frontend.CopyData:
      case Frontend.CopyDone:
      case Frontend.CopyFail:
        return
      default:
        throw violation('a message out of place')
    }
  }

  #parse(frame: Uint8Array): void {
    const { name, text, types } = decodeParse(frame)
    if (types.length > 0) throw noParameters()
    if (name !== '' && this.#prepared.has(name)) throw new PointsmanError('duplicate_prepared_statement', { values: { name } })
    const commands = readConsole(text)
    if (commands.length > 1) {
      throw new PointsmanError('console_syntax', {
        values: { what: 'a prepared statement holds one command: send several as simple queries' },
      })
    }
    if (this.#prepared.size >= maxPrepared) {
      throw new PointsmanError('console_too_long', { values: { what: `the console keeps ${maxPrepared} prepared statements at most` } })
    }
    this.#prepared.set(name, commands[0] ?? null)
    this.#parts.login.output.write(emptyMessages.parseComplete)
  }

  #bind(frame: Uint8Array): void {
    const { portal, statement, parameters, results } = decodeBind(frame)
    if (parameters > 0) throw noParameters()
    this.#portals.set(portal, { prepared: this.#statement(statement), formats: results, outcome: null, given: 0 })
    this.#parts.login.output.write(emptyMessages.bindComplete)
  }

  #describe(frame: Uint8Array): void {
    const { of, name } = decodeDescribe(frame)
    const { output } = this.#parts.login
    const portal = of === 'portal' ? this.#portal(name) : null
    const prepared = portal === null ? this.#statement(name) : portal.prepared
    if (portal === null) output.write(encodeParameterDescription([]))
    const columns = prepared === null ? null : this.#operator.columnsOf(prepared.command)
    output.write(columns === null ? emptyMessages.noData : rowDescription(columns, portal?.formats ?? []))
  }

  async #execute(frame: Uint8Array): Promise<void> {
    const { portal: name, maxRows } = decodeExecute(frame)
    const { output } = this.#parts.login
    const portal = this.#portal(name)
    if (portal.prepared === null) {
      output.write(emptyMessages.emptyQueryResponse)
      return
    }
    const { table, tag } = (portal.outcome ??= await this.#run(portal.prepared))
    if (table !== null) {
      const from = portal.given
      const to = maxRows > 0 ? Math.min(table.rows.length, from + maxRows) : table.rows.length
      portal.given = to
      await this.#rows(table, from, to, portal.formats)
      if (to < table.rows.length) {
        output.write(emptyMessages.portalSuspended)
        return
      }
    }
    output.write(encodeCommandComplete(tag))
  }

  #statement(name: string): Prepared {
    const prepared = this.#prepared.get(name)
    if (prepared === undefined) throw new PointsmanError('undefined_prepared_statement', { values: { name } })
    return prepared
  }

  #portal(name: string): Portal {
    const portal = this.#portals.get(name)
    if (portal === undefined) throw new PointsmanError('undefined_portal', { values: { name } })
    return portal
  }

  #sendAway(error: unknown): string {
    const fields = errorFields(error, 'FATAL')
    this.#parts.login.output.write(encodeErrorResponse(fields))
    return fields.message
  }
}

function noParameters(): PointsmanError {
  return new PointsmanError('feature_not_supported', {
    values: { what: 'commands of the console take no parameters' },
    hint: 'Write the value into the command itself.',
  })
}
