// test/support/served.ts — `pointsman serve -c FILE` as a process of its own, as people run it: what it says, how much memory it
// has, and a file that can be changed under it. It ends with the test.
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { Test } from 'tap'
import { until } from '../../src/embedded/until.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const program = ['--import', join(root, 'scripts/typescript.mjs'), join(root, 'src/bin.ts')]

/** Several processes may have to start, on a machine that is busy with others. */
const startMs = 120_000

export class Served {
  readonly #child: ChildProcess
  readonly #file: string
  /** Also of whoever took over from it. */
  readonly ended: Promise<number | null>
  /** Of the process that was started, whoever took over. */
  readonly exited: Promise<number | null>
  out = ''
  err = ''

  private constructor(child: ChildProcess, file: string) {
    this.#child = child
    this.#file = file
    child.stdout?.on('data', (data: Buffer) => (this.out += data.toString()))
    child.stderr?.on('data', (data: Buffer) => (this.err += data.toString()))
    this.exited = new Promise((resolve) => child.on('exit', (code) => resolve(code)))
    this.ended = new Promise((resolve) => child.on('close', (code) => resolve(code)))
  }

  /** Resolves once it listens. The config should say `listen: { port: 0 }` and `admin: { port: 0 }`. */
  static async start(t: Pick<Test, 'testdir' | 'teardown'>, config: string): Promise<Served> {
    const directory = t.testdir({ 'p.yaml': config })
    const file = join(directory, 'p.yaml')
    const child = spawn(process.execPath, [...program, 'serve', '-c', file, '--pid-file', join(directory, 'pid')], {
      cwd: directory,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const served = new Served(child, file)
    t.teardown(() => {
      child.kill('SIGKILL')
      served.#killSuccessor()
      return served.ended
    })
    await until('pointsman serves', () => Promise.resolve(/^admin: /m.test(served.out) || child.exitCode !== null), startMs)
    if (child.exitCode !== null) throw new Error(`it ended with ${String(child.exitCode)}: ${served.err}`)
    return served
  }

  get port(): number {
    return Number(/^listening on 127\.0\.0\.1:(\d+)$/m.exec(this.out)?.[1])
  }

  get admin(): string {
    return /^admin: (http:\S+)/m.exec(this.out)?.[1] ?? ''
  }

  get pidFile(): string {
    return join(dirname(this.#file), 'pid')
  }

  /** How often it has said where it listens: once more for each process that took over. */
  get started(): number {
    return this.out.match(/^admin: /gm)?.length ?? 0
  }

  get ports(): readonly string[] {
    return [...this.out.matchAll(/^listening on 127\.0\.0\.1:(\d+)$/gm)].map(([, port]) => port ?? '')
  }

  /** Puts another text in the config's place, whoever reads it. */
  write(config: string): void {
    writeFileSync(`${this.#file}.new`, config)
    renameSync(`${this.#file}.new`, this.#file)
  }

  /** The process that took over from the one that was started ends with it. */
  #killSuccessor(): void {
    try {
      process.kill(Number(readFileSync(this.pidFile, 'utf8')), 'SIGKILL')
    } catch {
      // There is none, or it has ended.
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** The lines of the log that tell of one event. */
  events(name: string): Record<string, unknown>[] {
    const lines = this.err.split('\n').filter((line) => line.startsWith('{'))
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((event) => event['event'] === name)
  }

  /** Puts another file in the config's place, as an editor does, and resolves with what became of it. */
  async reconfigure(config: string): Promise<Record<string, unknown>> {
    const before = this.events('config.reloaded').length
    this.write(config)
    await until('the config is read', () => Promise.resolve(this.events('config.reloaded').length > before))
    return this.events('config.reloaded').at(-1) ?? {}
  }

  async metrics(): Promise<string> {
    return (await fetch(`${this.admin}/metrics`)).text()
  }

  /** Resident memory of the process now, in bytes; null where the system does not tell. */
  memory(): number | null {
    try {
      const status = readFileSync(`/proc/${String(this.#child.pid)}/status`, 'utf8')
      return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
    } catch {
      return null
    }
  }

  /** A connected client, user and password `app`, that ends with the test. */
  async connect(t: Pick<Test, 'teardown'>, options: pg.ClientConfig = {}): Promise<pg.Client> {
    const client = new pg.Client({ host: '127.0.0.1', port: this.port, user: 'app', password: 'app', database: 'app', ...options })
    client.on('error', () => undefined)
    await client.connect()
    t.teardown(() => client.end().catch(() => undefined))
    return client
  }
}
