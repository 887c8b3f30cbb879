// doors/cli/serve.ts — `pointsman serve`: config (or the demo) → runtime, proxy, admin port, log; reloads; an orderly end.
//
//   SIGHUP, a changed file ─▶ read ─▶ bad: the old one stays, told in the log and counted
//   (the config's own, or         └─▶ good: runtime.reload(), log level
//   one that it names)
//   SIGTERM, SIGINT ─▶ no new clients ─▶ transactions end, or the grace does ─▶ pools, admin port, demo servers
//   the same again  ─▶ at once
//   SIGUSR2         ─▶ a new process of the same command line takes over (doors/processes/handover.ts)
//
// With `listen.workers` of more than one this process serves nobody itself: doors/processes/supervisor.ts.
import { readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { resolve as resolvePath } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Config } from '../../config/config.js'
import { describeDiff, diffConfig } from '../../config/diff.js'
import type { Observer } from '../../observe/events.js'
import { createObserver } from '../../observe/observer.js'
import type { ReloadAnswer } from '../../runtime/control.js'
import { handOver, Predecessor, type Successor } from '../processes/handover.js'
import { Supervisor } from '../processes/supervisor.js'
import { serveAsWorker, workerNumber } from '../processes/worker.js'
import type { CancelCall } from '../proxy/login.js'
import { goodConfig, namedConfig, problemLines, readConfigFile, type ConfigFile } from './config-file.js'
import { startDemo, type DemoClient } from './demo.js'
import { CommandError, exit, type ExitCode, type Io } from './io.js'
import { startLog, type Log } from './log.js'
import { NamedFiles } from './named-files.js'
import { Doors } from './doors.js'
import { placesOf } from './entrance.js'
import type { Program } from './program.js'
import { untilSignal, type Signals } from './signals.js'
import { watchFile } from './watch-file.js'

export interface ServeOptions {
  readonly config?: string
  /** Where the process that serves writes its number. */
  readonly pidFile?: string
}

export async function serve(options: ServeOptions, io: Io): Promise<ExitCode> {
  const worker = workerNumber(io)
  if (worker !== null) return serveAsWorker(worker, io)
  const signals = untilSignal()
  const named = namedConfig(options.config, io)
  if (named !== null) return serveFile(named, options, () => Promise.resolve(), io, signals, null)
  const demo = await startDemo(io, signals.aborted)
  if (demo === null) return exit.done
  return serveFile(demo.configPath, options, () => demo.stop(), io, signals, demo.client)
}

/** `client`: the login of the demo, for the line that connects. `end`: what is to be stopped last. */
async function serveFile(
  path: string,
  options: ServeOptions,
  end: () => Promise<void>,
  io: Io,
  signals: Signals,
  client: DemoClient | null,
): Promise<ExitCode> {
  try {
    const { config, file } = await goodConfig(path, io)
    const observer = createObserver()
    const log = startLog(observer, config.log.level, { write: (line: string) => void process.stderr.write(line) })
    try {
      await new Serving(path, { config, file }, { options, observer, log, io, signals, client }).run()
    } finally {
      log.close()
    }
    return exit.done
  } finally {
    await end()
    signals.close()
  }
}

interface Around {
  readonly options: ServeOptions
  readonly observer: Observer
  readonly log: Log
  readonly io: Io
  readonly signals: Signals
  readonly client: DemoClient | null
}

/** The program from its start to its end, which is a signal, or a process that took over. */
class Serving {
  readonly #path: string
  readonly #first: { readonly config: Config; readonly file: ConfigFile }
  readonly #around: Around
  readonly #predecessor = Predecessor.find(process.env)
  #program: Program | null = null
  #reloads: Reloads | null = null
  #restarting: Promise<void> | null = null
  #successor: Successor | null = null
  #replaced: () => void = () => undefined
  /** How long open transactions may take at the end, where somebody has said so. */
  #graceMs: number | null = null

  constructor(path: string, first: { readonly config: Config; readonly file: ConfigFile }, around: Around) {
    this.#path = path
    this.#first = first
    this.#around = around
  }

  async run(): Promise<void> {
    const { observer, log, io, signals, client, options } = this.#around
    const program = await this.#open()
    this.#program = program
    const reloads = new Reloads(this.#path, this.#first.file.text, program, observer, log, io)
    this.#reloads = reloads
    const replaced = new Promise<'replaced'>((resolve) => (this.#replaced = (): void => resolve('replaced')))
    try {
      await this.#begin(program)
      greet(program, client, io)
      writePidFile(options.pidFile, io)
      this.#predecessor?.serving()
      const stopWatching = watchFile(this.#path, () => reloads.fileChanged())
      signals.onHangup(() => void reloads.now())
      signals.onRestart(() => void this.#restart().catch(() => undefined))
      reloads.follow(this.#first.file.files)
      reloads.fileChanged()
      const over = await Promise.race([signals.stop.then(() => 'stop' as const), replaced])
      stopWatching()
      reloads.stop()
      if (over === 'replaced') await Promise.race([program.retire(program.config().listen.drainMs, true), signals.stop])
    } finally {
      await program.close(this.#graceMs ?? program.config().listen.graceMs)
      this.#successor?.close()
      if (this.#successor === null) removePidFile(options.pidFile, io)
    }
  }

  /** One process, or several. */
  async #open(): Promise<Program> {
    const { observer, io, log, signals } = this.#around
    const { config, file } = this.#first
    const replaces = this.#predecessor !== null
    const cancelElsewhere = async (call: CancelCall): Promise<void> => {
      await this.#predecessor?.cancel(call)
    }
    const orders = {
      reload: () => this.#reloads?.now() ?? Promise.resolve(notYet),
      restart: () => this.#restart(),
      shutdown: (mode: 'now' | 'servers' | 'clients') => this.#shutdown(mode),
    }
    if (config.listen.workers === 1) {
      const control = { ...orders, setLogLevel: (level: Config['log']['level']) => log.setLevel(level) }
      return Doors.create({ config, observer, control, replaces, cancelElsewhere })
    }
    const { source } = file
    const supervisor = await Supervisor.create({ config, source, observer, replaces, environment: io.env, orders, cancelElsewhere })
    signals.onAtOnce(() => supervisor.kill())
    return supervisor
  }

  /** Listens; where there is a process before, as soon as this one can do what that one could. */
  async #begin(program: Program): Promise<void> {
    const before = this.#predecessor
    if (before === null) return program.listen()
    if (await before.ready()) await untilReady(program)
    await program.take(await before.state())
    await before.sockets(placesOf(this.#first.config), (what, server) => program.adopt(what, server))
    await program.listen()
  }

  /** One at a time. Rejects with words where nothing has changed. */
  #restart(): Promise<void> {
    this.#restarting ??= this.#handOver().finally(() => (this.#restarting = null))
    return this.#restarting
  }

  async #handOver(): Promise<void> {
    const { observer, client } = this.#around
    const program = this.#program
    const tell = (level: 'info' | 'error', message: string, fields: Readonly<Record<string, unknown>>): void =>
      observer.emit('log', { level, message, fields })
    try {
      if (program === null || this.#successor !== null) throw new Error('there is a new process already')
      // Its servers end with the process that started them.
      if (client !== null) throw new Error('the demo cannot be restarted while it runs')
      this.#successor = await handOver({
        ready: () => program.ready(),
        give: () => program.give(),
        handed: (places) => program.handed(places),
        cancel: async (call) => (await program.cancel(call)) || ((await this.#predecessor?.cancel(call)) ?? false),
      })
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      tell('error', 'the restart failed, and nothing has changed', { reason })
      throw error
    }
    tell('info', 'a new process has taken over', { pid: this.#successor.pid, drain_ms: program.config().listen.drainMs })
    this.#replaced()
  }

  #shutdown(mode: 'now' | 'servers' | 'clients'): void {
    if (mode !== 'now') this.#graceMs = longestGraceMs
    const end = (): void => this.#around.signals.end()
    if (mode !== 'clients' || this.#program === null) end()
    else this.#program.retire(longestGraceMs, false).then(end, end)
  }
}

/** As long as a timer can wait. */
const longestGraceMs = 2 ** 31 - 1
/** Of a new process, where the one before could serve. */
const readyMs = 30_000
const lookMs = 50
const notYet: ReloadAnswer = { outcome: 'refused', problems: ['the process is only just starting'] }

async function untilReady(program: Program): Promise<void> {
  const end = performance.now() + readyMs
  while (!(await program.ready())) {
    if (performance.now() >= end) throw new CommandError(exit.no, 'the servers cannot be used as the process before can use them')
    await pause(lookMs)
  }
}

function writePidFile(path: string | undefined, io: Io): void {
  if (path !== undefined) writeFileSync(resolvePath(io.cwd, path), `${String(process.pid)}\n`)
}

/** Unless another process has put its own number there. */
function removePidFile(path: string | undefined, io: Io): void {
  if (path === undefined) return
  const file = resolvePath(io.cwd, path)
  try {
    if (readFileSync(file, 'utf8').trim() === String(process.pid)) unlinkSync(file)
  } catch {
    // It is gone.
  }
}

function greet(doors: Program, client: DemoClient | null, io: Io): void {
  if (client === null) for (const address of doors.listening) io.out(`listening on ${shown(address)}`)
  else io.out(`\nPointsman is ready. Connect with:\n\npsql ${urlOf(client, doors.listening)}\n`)
  if (doors.admin !== null) io.out(`admin: http://${shown(doors.admin)} (/metrics, /check, /healthz, /readyz)`)
}

function urlOf({ user, password, database }: DemoClient, [address]: Program['listening']): string {
  const login = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
  return `postgresql://${login}@${address === undefined ? '' : shown(address)}/${encodeURIComponent(database)}`
}

function shown({ host, port }: Program['listening'][number]): string {
  if (port === 0) return host
  return `${host.includes(':') ? `[${host}]` : host}:${String(port)}`
}

/** One reload at a time; what comes meanwhile makes one more. */
class Reloads {
  readonly #path: string
  readonly #doors: Program
  readonly #observer: Observer
  readonly #log: Log
  readonly #io: Io
  readonly #named = new NamedFiles(() => void this.now())
  #text: string
  #running: Promise<unknown> = Promise.resolve()

  constructor(path: string, text: string, doors: Program, observer: Observer, log: Log, io: Io) {
    this.#path = path
    this.#text = text
    this.#doors = doors
    this.#observer = observer
    this.#log = log
    this.#io = io
  }

  /** What the config names is read again when it changes. */
  follow(files: readonly string[]): void {
    if (this.#named.follow(files)) void this.now()
  }

  stop(): void {
    this.#named.stop()
  }

  /** Reads the file; does nothing if its text is the one that was read last. */
  fileChanged(): void {
    void this.#next(false)
  }

  /** Reads everything again, secrets and certificates too, whatever the text. Never rejects. */
  now(): Promise<ReloadAnswer> {
    return this.#next(true)
  }

  #next(always: boolean): Promise<ReloadAnswer> {
    const answer = this.#running.then(() => this.#reload(always)).catch((error: unknown) => this.#refused([String(error)]))
    this.#running = answer
    return answer
  }

  async #reload(always: boolean): Promise<ReloadAnswer> {
    const { text, files, source, result, shown } = await readConfigFile(this.#path, this.#io)
    if (!always && text === this.#text) return { outcome: 'unchanged', problems: [] }
    this.#text = text
    this.follow(files)
    if (!result.ok) return this.#refused(problemLines(shown, result.problems))
    const { config } = result
    const before = this.#doors.config()
    this.#tellNotLive(before, config)
    this.#log.setLevel(config.log.level)
    const answer = await this.#doors.reload({ config, source })
    if (answer.outcome === 'refused') this.#log.setLevel(before.log.level)
    return answer
  }

  #tellNotLive(before: Config, next: Config): void {
    const diff = diffConfig(before, next)
    const fields = { changes: describeDiff(diff) }
    if (diff.notLive.length > 0)
      this.#observer.emit('log', { level: 'warn', message: 'some changes need a restart', fields: { keys: diff.notLive } })
    if (!diff.unchanged) this.#observer.emit('log', { level: 'info', message: 'the config has changed', fields })
  }

  #refused(problems: readonly string[]): ReloadAnswer {
    this.#observer.emit('config.reloaded', { outcome: 'refused', generation: this.#doors.generation(), problems })
    return { outcome: 'refused', problems }
  }
}
