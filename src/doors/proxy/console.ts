// doors/proxy/console.ts — the database `pointsman`: operators see and steer the running process with psql, or any driver
// that sends simple queries. Nothing here reaches a server. Who may do what is asked of the configuration at every command,
// so that a reload takes rights away at once.
import { PointsmanError } from '../../errors/error.js'
import type { Observer } from '../../observe/events.js'
import {
  emptyMessages,
  encodeBackendKeyData,
  encodeCommandComplete,
  encodeParameterStatus,
  encodeReadyForQuery,
} from '../../protocol/backend-messages.js'
import { encodeErrorResponse } from '../../protocol/error-fields.js'
import { Frontend } from '../../protocol/message-types.js'
import { decodeQuery } from '../../protocol/query.js'
import { encodeDataRow, encodeRowDescription } from '../../protocol/rows.js'
import type { Runtime } from '../../runtime/contract.js'
import type { Fleet } from '../../runtime/fleet.js'
import type { ServerConnection } from '../../server/contract.js'
import type { ClientFrame } from './client-input.js'
import { readConsole, type ConsoleCommand } from './console-command.js'
import { requireConsoleRights } from './console-rights.js'
import { consoleTable, type Table } from './console-tables.js'
import { errorFields, unforeseen } from './error-reply.js'
import type { Login } from './login.js'

export interface ConsoleParts {
  readonly login: Login
  readonly runtime: Runtime<ServerConnection>
  readonly observer: Observer
  readonly version: string
  /** What is shown and switched here is so in all processes. */
  readonly fleet: Fleet
  /** Process-monotonic ms. */
  readonly now: () => number
}

/** What a command gives: a table, or only its tag. */
interface Outcome {
  readonly table: Table | null
  readonly tag: string
}

const ready = encodeReadyForQuery('I')

/** One client of the console, from its login to its end. */
export class ConsoleClient {
  readonly #parts: ConsoleParts
  #draining = false
  /** A batch of the extended protocol was refused: all up to its Sync is skipped. */
  #skipping = false

  constructor(parts: ConsoleParts) {
    this.#parts = parts
  }

  /** Told to go when the command at hand has ended. */
  drain(): void {
    this.#draining = true
    this.#parts.login.input.nudge()
  }

  /** Serves the client until it leaves or is sent away; resolves with the reason. */
  async run(): Promise<string> {
    const { input, output } = this.#parts.login
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
        else this.#take(frame)
      } catch (error) {
        return this.#sendAway(error)
      }
    }
  }

  #greet(): void {
    const { login, version } = this.#parts
    const parameters = {
      server_version: `${version}/pointsman`,
      server_encoding: 'UTF8',
      client_encoding: 'UTF8',
      standard_conforming_strings: 'on',
      DateStyle: 'ISO, MDY',
      integer_datetimes: 'on',
    }
    for (const [name, value] of Object.entries(parameters)) login.output.write(encodeParameterStatus(name, value))
    // Nothing here runs long enough to be cancelled.
    login.output.write(encodeBackendKeyData(0, new Uint8Array(4)))
    login.output.write(ready)
  }

  #take({ type, bytes }: ClientFrame): void {
    const { output } = this.#parts.login
    if (type === Frontend.Sync) this.#skipping = false
    else if (type === Frontend.Query) this.#query(bytes)
    else this.#refuse(type)
    if (type === Frontend.Sync || type === Frontend.Query || type === Frontend.FunctionCall) output.write(ready)
  }

  /** Several commands in one text: all are read before the first is run. */
  #query(frame: Uint8Array): void {
    const { output } = this.#parts.login
    try {
      const commands = readConsole(decodeQuery(frame))
      for (const command of commands) this.#tell(this.#run(command))
      if (commands.length === 0) output.write(emptyMessages.emptyQueryResponse)
    } catch (error) {
      this.#fail(error)
    }
  }

  #refuse(type: number): void {
    if (this.#skipping) return
    this.#skipping = type !== Frontend.FunctionCall
    const what = 'the console takes simple queries only'
    this.#fail(
      new PointsmanError('feature_not_supported', {
        values: { what },
        hint: 'Send the command without parameters, and not as a prepared statement.',
      }),
    )
  }

  #fail(error: unknown): void {
    const { login, observer } = this.#parts
    if (unforeseen(error)) {
      const fields = { error: error instanceof Error ? error.message : String(error) }
      observer.emit('log', { level: 'error', message: 'a console command failed for a reason no rule foresaw', fields })
    }
    login.output.write(encodeErrorResponse(errorFields(error)))
  }

  #tell({ table, tag }: Outcome): void {
    const { output } = this.#parts.login
    if (table !== null) {
      output.write(encodeRowDescription(table.columns.map((name) => ({ name }))))
      for (const row of table.rows) output.write(encodeDataRow(row))
    }
    output.write(encodeCommandComplete(tag))
  }

  #run(command: ConsoleCommand): Outcome {
    const { runtime, login, version, now } = this.#parts
    const { config } = runtime.current()
    requireConsoleRights(config.auth, login.user, command.kind)
    if (command.kind === 'show') {
      const shown = { config, runtime: runtime.snapshot(), switches: runtime.switches.snapshot(), version, now: now() }
      return { table: consoleTable(command.table, shown), tag: 'SHOW' }
    }
    const clusters = this.#clusters(command.cluster)
    const { switches } = runtime
    const by = login.user
    switch (command.kind) {
      case 'read-only': {
        if (!command.on) this.#requireNotConfigured(clusters)
        const state = command.on ? { message: command.message ?? 'by an operator', by } : null
        for (const id of clusters) switches.setReadOnly(id, state, by)
        return { table: null, tag: 'READ ONLY' }
      }
      case 'allow-stale':
        for (const id of clusters) switches.setAllowStale(id, command.maxMs, command.forMs, by)
        return { table: null, tag: 'ALLOW STALE' }
      case 'forbid-stale':
        for (const id of clusters) switches.setAllowStale(id, null, 0, by)
        return { table: null, tag: 'ALLOW STALE' }
    }
  }

  #clusters(named: string | null): readonly string[] {
    const { clusters } = this.#parts.runtime.current().config
    if (named === null) return [...clusters.keys()]
    if (clusters.has(named)) return [named]
    const what = `cluster "${named}" does not exist`
    throw new PointsmanError('undefined_setting', { values: { what }, hint: `There are: ${[...clusters.keys()].join(', ')}.` })
  }

  /** What the configuration says would hold on, so OFF must not look as if it had done something. */
  #requireNotConfigured(clusters: readonly string[]): void {
    const { config } = this.#parts.runtime.current()
    const held = clusters.filter((id) => (config.clusters.get(id)?.readOnly ?? null) !== null)
    if (held.length === 0) return
    const what = `the configuration says that ${held.join(', ')} is read-only`
    throw new PointsmanError('invalid_parameter_value', {
      values: { what },
      hint: 'Take read_only out of the configuration and reload it.',
    })
  }

  #sendAway(error: unknown): string {
    const fields = errorFields(error, 'FATAL')
    this.#parts.login.output.write(encodeErrorResponse(fields))
    return fields.message
  }
}
