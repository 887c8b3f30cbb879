// doors/cli/serve.ts — `pointsman serve`: config (or the demo) → runtime, proxy, admin port, log; reloads; an orderly end.
//
//   SIGHUP, a changed file ─▶ read ─▶ bad: the old one stays, told in the log and counted
//   (the config's own, or         └─▶ good: runtime.reload(), log level
//   one that it names)
//   SIGTERM, SIGINT ─▶ no new clients ─▶ transactions end, or the grace does ─▶ pools, admin port, demo servers
//   the same again  ─▶ at once
import type { Config } from '../../config/config.js'
import { describeDiff, diffConfig } from '../../config/diff.js'
import type { Observer } from '../../observe/events.js'
import { createObserver } from '../../observe/observer.js'
import { namedConfig, goodConfig, problemLines, readConfigFile } from './config-file.js'
import { startDemo, type DemoClient } from './demo.js'
import { exit, type ExitCode, type Io } from './io.js'
import { startLog, type Log } from './log.js'
import { NamedFiles } from './named-files.js'
import { openDoors, type Doors } from './doors.js'
import { untilSignal, type Signals } from './signals.js'
import { watchFile } from './watch-file.js'

export interface ServeOptions {
  readonly config?: string
}

/** How long open transactions may take at the end. */
const graceMs = 10_000

export async function serve(options: ServeOptions, io: Io): Promise<ExitCode> {
  const signals = untilSignal()
  const named = namedConfig(options.config, io)
  if (named !== null) return serveFile(named, () => Promise.resolve(), io, signals, null)
  const demo = await startDemo(io, signals.aborted)
  if (demo === null) return exit.done
  return serveFile(demo.configPath, () => demo.stop(), io, signals, demo.client)
}

/** `client`: the login of the demo, for the line that connects. `end`: what is to be stopped last. */
async function serveFile(path: string, end: () => Promise<void>, io: Io, signals: Signals, client: DemoClient | null): Promise<ExitCode> {
  try {
    const { config, file } = goodConfig(path, io)
    const observer = createObserver()
    const log = startLog(observer, config.log.level, { write: (line: string) => void process.stderr.write(line) })
    const doors = await openDoors(config, observer)
    try {
      greet(doors, client, io)
      const reloads = new Reloads(path, file.text, doors, observer, log, io)
      const stopWatching = watchFile(path, () => reloads.fileChanged())
      signals.onHangup(() => reloads.now())
      reloads.follow(file.files)
      reloads.fileChanged()
      await signals.stop
      stopWatching()
      reloads.stop()
    } finally {
      await doors.close(graceMs)
      log.close()
    }
    return exit.done
  } finally {
    await end()
    signals.close()
  }
}

function greet(doors: Doors, client: DemoClient | null, io: Io): void {
  if (client === null) for (const address of doors.listening) io.out(`listening on ${shown(address)}`)
  else io.out(`\nPointsman is ready. Connect with:\n\npsql ${urlOf(client, doors.listening)}\n`)
  if (doors.admin !== null) io.out(`admin: http://${shown(doors.admin)} (/metrics, /check, /healthz, /readyz)`)
}

function urlOf({ user, password, database }: DemoClient, [address]: Doors['listening']): string {
  const login = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
  return `postgresql://${login}@${address === undefined ? '' : shown(address)}/${encodeURIComponent(database)}`
}

function shown({ host, port }: Doors['listening'][number]): string {
  if (port === 0) return host
  return `${host.includes(':') ? `[${host}]` : host}:${String(port)}`
}

/** One reload at a time; what comes meanwhile makes one more. */
class Reloads {
  readonly #path: string
  readonly #doors: Doors
  readonly #observer: Observer
  readonly #log: Log
  readonly #io: Io
  readonly #named = new NamedFiles(() => this.now())
  #text: string
  #running: Promise<void> = Promise.resolve()

  constructor(path: string, text: string, doors: Doors, observer: Observer, log: Log, io: Io) {
    this.#path = path
    this.#text = text
    this.#doors = doors
    this.#observer = observer
    this.#log = log
    this.#io = io
  }

  /** What the config names is read again when it changes. */
  follow(files: readonly string[]): void {
    if (this.#named.follow(files)) this.now()
  }

  stop(): void {
    this.#named.stop()
  }

  /** Reads the file; does nothing if its text is the one that was read last. */
  fileChanged(): void {
    this.#next(false)
  }

  /** Reads everything again, secrets and certificates too, whatever the text. */
  now(): void {
    this.#next(true)
  }

  #next(always: boolean): void {
    this.#running = this.#running.then(() => this.#reload(always)).catch((error: unknown) => this.#refused([String(error)]))
  }

  async #reload(always: boolean): Promise<void> {
    const { text, files, result, shown } = readConfigFile(this.#path, this.#io)
    if (!always && text === this.#text) return
    this.#text = text
    this.follow(files)
    if (!result.ok) {
      this.#refused(problemLines(shown, result.problems))
      return
    }
    const before = this.#doors.config()
    this.#tellNotLive(before, result.config)
    this.#log.setLevel(result.config.log.level)
    const outcome = await this.#doors.reload(result.config)
    if (outcome === 'refused') this.#log.setLevel(before.log.level)
  }

  #tellNotLive(before: Config, next: Config): void {
    const diff = diffConfig(before, next)
    const fields = { changes: describeDiff(diff) }
    if (diff.notLive.length > 0)
      this.#observer.emit('log', { level: 'warn', message: 'some changes need a restart', fields: { keys: diff.notLive } })
    if (!diff.unchanged) this.#observer.emit('log', { level: 'info', message: 'the config has changed', fields })
  }

  #refused(problems: readonly string[]): void {
    this.#observer.emit('config.reloaded', { outcome: 'refused', generation: this.#doors.generation(), problems })
  }
}
