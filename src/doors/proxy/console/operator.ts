// doors/proxy/console/operator.ts — runs the commands of one console: rights are asked of the configuration at every command, so
// that a reload takes them away at once; names are resolved before any worker hears of it; what changes something is an event,
// whatever became of it.
import { PointsmanError } from '../../../errors/error.js'
import type { PauseTarget } from '../../../execute/gate.js'
import { requireConsoleRights } from '../console-rights.js'
import { errorFields } from '../error-reply.js'
import { columns, type Table } from './cells.js'
import type { Action, ConsoleCommand, Target } from './command.js'
import type { Deed } from './deed.js'
import { poolTest } from './deed.js'
import type { Desk } from './desk.js'
import { routeColumns } from './explain-route.js'
import type { ReadCommand } from './read-command.js'
import {
  clusterToDrain,
  clustersNamed,
  requireDatabase,
  requireNode,
  requireNotConfigured,
  requireReplica,
  requireVirtual,
  resolveTarget,
} from './resolve.js'
import { tableSpecs } from './tables.js'
import { told } from './shown.js'

/** What a command gives: a table, or only its tag. */
export interface Outcome {
  readonly table: Table | null
  readonly tag: string
}

/** Between two looks at whether what is waited for has come. */
const lookMs = 50
const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const

export class Operator {
  readonly #desk: Desk
  readonly #user: string
  readonly #address: string

  constructor(desk: Desk, user: string, address: string) {
    this.#desk = desk
    this.#user = user
    this.#address = address
  }

  /** Columns that the command will give; null: none. */
  columnsOf(command: ConsoleCommand): Table['columns'] | null {
    switch (command.kind) {
      case 'show':
        return tableSpecs[command.table].columns
      case 'explain-route':
        return routeColumns
      case 'small-talk':
        return command.column === null ? null : columns(`${command.column}:${command.column === '?column?' ? 'int4' : 'text'}`)
      default:
        return null
    }
  }

  /** `signal`: the operator cancels or leaves; what he waits for is given up then, and a PAUSE taken back. */
  async run({ command, words }: ReadCommand, signal: AbortSignal): Promise<Outcome> {
    const { runtime, observer } = this.#desk.parts
    const changes = isChange(command)
    const audit = (sqlstate: string | null): void => {
      if (changes) observer.emit('console.command', { user: this.#user, address: this.#address, command: words, sqlstate })
    }
    try {
      requireConsoleRights(runtime.current().config.auth, this.#user, changes)
      const outcome = await this.#run(command, signal)
      audit(null)
      return outcome
    } catch (error) {
      audit(errorFields(error).code)
      throw error
    }
  }

  async #run(command: ConsoleCommand, signal: AbortSignal): Promise<Outcome> {
    switch (command.kind) {
      case 'show':
        return { table: await this.#desk.show(command.table), tag: 'SHOW' }
      case 'show-refused':
        throw refused(
          `SHOW ${command.table.toUpperCase()} has nothing to show here`,
          'SHOW SOCKETS lists connections; names are resolved by the system.',
        )
      case 'explain-route':
        return { table: await this.#desk.explain(command, this.#user), tag: 'EXPLAIN' }
      case 'small-talk': {
        const all = this.columnsOf(command)
        return { table: all === null ? null : { columns: all, rows: [[command.value]] }, tag: command.tag }
      }
      case 'transaction':
        return tag(command.op.toUpperCase())
      case 'reload':
        return this.#reload()
      case 'wait-close':
        await this.#closed(this.#target(command.target), signal)
        return tag('WAIT_CLOSE')
      case 'suspend':
        throw refused(
          'SUSPEND is not supported: a process cannot hand over half a conversation',
          'RESTART hands the port to a new process.',
        )
      case 'restart':
        await control(this.#desk.parts.control?.restart ?? null, 'RESTART')()
        return tag('RESTART')
      case 'shutdown':
        control(this.#desk.parts.control?.shutdown ?? null, 'SHUTDOWN')(command.mode)
        return tag('SHUTDOWN')
      default:
        return this.#act(command, signal)
    }
  }

  async #reload(): Promise<Outcome> {
    const { outcome, problems } = await control(this.#desk.parts.control?.reload ?? null, 'RELOAD')()
    if (outcome !== 'refused') return tag('RELOAD')
    throw new PointsmanError('config_invalid', {
      values: { what: problems.join('; ') || 'see the log' },
      hint: 'The old one stays in place.',
    })
  }

  async #act(command: Action, signal: AbortSignal): Promise<Outcome> {
    const { runtime } = this.#desk.parts
    const { config } = runtime.current()
    switch (command.kind) {
      case 'read-only': {
        const clusters = clustersNamed(config, command.cluster)
        if (!command.on) requireNotConfigured(config, clusters)
        await this.#order({ do: 'read-only', clusters, message: command.on ? (command.message ?? 'by an operator') : null })
        return tag('READ ONLY')
      }
      case 'allow-stale':
      case 'forbid-stale': {
        const clusters = clustersNamed(config, command.cluster)
        const { maxMs, forMs } = command.kind === 'allow-stale' ? command : { maxMs: null, forMs: 0 }
        await this.#order({ do: 'allow-stale', clusters, maxMs, forMs })
        return tag('ALLOW STALE')
      }
      case 'pause':
        return this.#pause(this.#target(command.target), signal)
      case 'resume': {
        const target = this.#target(command.target)
        if ((await this.#order({ do: 'resume', target })) === 0) throw state(`${words(target)} is not paused`)
        return tag('RESUME')
      }
      case 'reconnect':
        await this.#order({ do: 'renew', target: this.#target(command.target) })
        return tag('RECONNECT')
      case 'enable':
      case 'disable':
        await this.#order({ do: command.kind, database: requireDatabase(config, command.database) })
        return tag(command.kind.toUpperCase())
      case 'kill': {
        const database = command.database === null ? null : requireDatabase(config, command.database)
        const target: PauseTarget = database === null ? { kind: 'all', name: '' } : { kind: 'database', name: database }
        await this.#order({ do: 'pause', target })
        await this.#order({ do: 'kill', database })
        await this.#order({ do: 'renew', target })
        return tag('KILL')
      }
      case 'kill-client':
        if ((await this.#order({ do: 'kill-client', id: command.id })) === 0) {
          throw new PointsmanError('undefined_setting', {
            values: { what: `client ${command.id} does not exist` },
            hint: 'SHOW CLIENTS tells their ids.',
          })
        }
        return tag('KILL_CLIENT')
      case 'ban': {
        const cluster = requireNode(config, command.node)
        requireReplica(runtime.snapshot().topology, cluster, command.node, 'READ ONLY refuses its writes, PAUSE lets them wait.')
        await this.#order({ do: 'ban', cluster, node: command.node, forMs: command.forMs })
        return tag('BAN')
      }
      case 'unban': {
        const cluster = requireNode(config, command.node)
        if ((await this.#order({ do: 'lift', cluster, node: command.node })) === 0) throw state(`${command.node} is not banned`)
        return tag('UNBAN')
      }
      case 'drain':
        return this.#drain(command.name, signal)
      case 'virtual': {
        const { name, mode, rollout } = command
        requireVirtual(config, name)
        await this.#order({ do: 'virtual', name, mode, rollout })
        return tag('SET')
      }
      case 'clear-audit':
        await this.#order({ do: 'clear-audit' })
        return tag('CLEAR AUDIT')
      case 'set':
        return this.#set(command.name, command.value)
    }
  }

  #order(deed: Deed): Promise<number> {
    return this.#desk.order(deed, this.#user)
  }

  #target(target: Target): PauseTarget {
    return resolveTarget(this.#desk.parts.runtime.current().config, target)
  }

  // ---- what waits

  /** New work waits from now on; answers when what ran has ended and its connections are closed. Given up: work goes on. */
  async #pause(target: PauseTarget, signal: AbortSignal): Promise<Outcome> {
    if ((await this.#order({ do: 'pause', target })) === 0) throw state(`${words(target)} is paused already`)
    await this.#orTakeBack(this.#unused(target, signal), { do: 'resume', target })
    return tag('PAUSE')
  }

  async #drain(name: string | null, signal: AbortSignal): Promise<Outcome> {
    const { runtime } = this.#desk.parts
    const { config } = runtime.current()
    if (name === null) {
      for (const { node, kind, cluster } of runtime.bans.snapshot()) if (kind === 'drain') await this.#order({ do: 'lift', cluster, node })
      for (const { kind, name: of } of runtime.gate.snapshot().paused)
        if (kind === 'cluster') await this.#order({ do: 'resume', target: { kind, name: of } })
      return tag('DRAIN')
    }
    const cluster = clusterToDrain(config, name)
    if (cluster === null) {
      await this.#pause({ kind: 'cluster', name }, signal)
      return tag('DRAIN')
    }
    requireReplica(runtime.snapshot().topology, cluster, name, `DRAIN ${cluster} lets everything on its cluster wait.`)
    await this.#order({ do: 'drain', cluster, node: name, forMs: null })
    const left = async (): Promise<boolean> => {
      await this.#order({ do: 'renew-node', node: name })
      return this.#anyServer(({ node }) => node === name)
    }
    await this.#orTakeBack(this.#until(left, signal), { do: 'lift', cluster, node: name })
    return tag('DRAIN')
  }

  /** Nobody who was in the middle of something is left, and no connection is. */
  #unused(target: PauseTarget, signal: AbortSignal): Promise<void> {
    const left = async (): Promise<boolean> => {
      if (target.kind === 'database' && (await this.#anyEngaged(target.name))) return true
      await this.#order({ do: 'renew', target })
      // Connections that several databases share are in use for as long as the others are.
      return target.kind === 'database' ? false : this.#anyServer(poolTest(this.#desk.parts.runtime, target))
    }
    return this.#until(left, signal)
  }

  /** RECONNECT, or a reload, has closed what was to be closed. */
  #closed(target: PauseTarget, signal: AbortSignal): Promise<void> {
    const test = poolTest(this.#desk.parts.runtime, target)
    return this.#until(() => this.#anyServer((server) => server.closeNeeded && test(server)), signal)
  }

  async #anyEngaged(database: string): Promise<boolean> {
    const tally = told({ reports: await this.#desk.reports(['tally']) }, 'tally')
    return tally.some(([, item]) => item.database === database && item.engaged > 0)
  }

  async #anyServer(
    test: (server: {
      readonly cluster: string
      readonly node: string
      readonly user: string
      readonly dbname: string
      readonly closeNeeded: boolean
    }) => boolean,
  ): Promise<boolean> {
    const servers = told({ reports: await this.#desk.reports(['servers']) }, 'servers')
    return servers.some(([, server]) => test(server))
  }

  async #until(left: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
    while (await left()) {
      signal.throwIfAborted()
      await new Promise((resolve) => setTimeout(resolve, lookMs))
      signal.throwIfAborted()
    }
  }

  async #orTakeBack(waiting: Promise<void>, back: Deed): Promise<void> {
    try {
      await waiting
    } catch (error) {
      await this.#order(back)
      throw error
    }
  }

  // ---- SET

  async #set(name: string, value: string): Promise<Outcome> {
    if (name !== 'log_level') {
      throw new PointsmanError('undefined_setting', {
        values: { what: `"${name}" cannot be set here` },
        hint: 'Change the configuration and RELOAD; only log_level can be set at the console.',
      })
    }
    const level = logLevels.find((one) => one === value.toLowerCase())
    if (level === undefined) {
      throw new PointsmanError('invalid_parameter_value', { values: { what: `"${value}" is no log level: ${logLevels.join(', ')}` } })
    }
    control(this.#desk.parts.control?.setLogLevel ?? null, 'SET log_level')
    await this.#order({ do: 'log-level', level })
    return tag('SET')
  }
}

/** Only admins; the others are for viewers too. */
function isChange({ kind }: ConsoleCommand): boolean {
  return !['show', 'show-refused', 'explain-route', 'small-talk', 'transaction'].includes(kind)
}

function tag(text: string): Outcome {
  return { table: null, tag: text }
}

function words({ kind, name }: PauseTarget): string {
  return kind === 'all' ? 'everything' : `${kind} ${name}`
}

function state(what: string): PointsmanError {
  return new PointsmanError('console_state', { values: { what } })
}

function refused(what: string, hint: string): PointsmanError {
  return new PointsmanError('feature_not_supported', { values: { what }, hint })
}

function control<T>(work: T | null, what: string): T {
  if (work !== null) return work
  throw refused(`${what} is not available here`, 'The process that runs this proxy does not offer it.')
}
