// embedded/node.ts — one real server: its data directory, its process, and what can be done to it. The verbs do what happens to
// servers in life, and return once it has happened.
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { give, ownDirectory, type Account } from './account.js'
import type { Binaries } from './binaries.js'
import { copyRunning } from './copy.js'
import { startGuarded, type Guarded } from './guard.js'
import { initialise } from './initialise.js'
import { Maintenance, type Row } from './maintenance.js'
import { freePort, isFree } from './port.js'
import { children, isAlive, signalTree } from './processes.js'
import { superuser, writeOwned, writeSettings, type Upstream } from './settings.js'
import { until } from './until.js'

/** What the nodes of a topology have in common. */
export interface House {
  readonly account: Account
  readonly binaries: Binaries
  /** A directory per node is made in here. */
  readonly serversDir: string
  readonly socketDir: string
  readonly throwAway: boolean
}

/** What a node is made from. */
export interface NodeOptions {
  /** `main-0`: cluster and number. */
  readonly id: string
  readonly cluster: string
  /** Database of sql() unless told otherwise. */
  readonly dbname: string
  readonly settings: Readonly<Record<string, string>>
  readonly hba: readonly string[]
  /** Files for the data directory, by name: certificates, keys. */
  readonly files: Readonly<Record<string, string>>
  /** A port to prefer, if it is free. */
  readonly port: number | null
}

/** How a server is stopped: `fast` ends its connections and shuts down cleanly, `immediate` does not. */
export type StopMode = 'fast' | 'immediate'

/** Whom sql() works as. */
export interface SqlOptions {
  readonly user?: string
  readonly dbname?: string
}

export class EmbeddedNode {
  readonly id: string
  readonly cluster: string
  readonly host: string = '127.0.0.1'
  readonly dataDir: string
  /** Where the server's messages go. */
  readonly logFile: string
  readonly #house: House
  readonly #options: NodeOptions
  #port: number
  #upstream: EmbeddedNode | null = null
  #cut = false
  #server: Guarded | null = null

  private constructor(house: House, options: NodeOptions) {
    this.id = options.id
    this.cluster = options.cluster
    this.dataDir = join(house.serversDir, options.id, 'data')
    this.logFile = join(house.serversDir, options.id, 'log')
    this.#house = house
    this.#options = options
    this.#port = options.port ?? 0
  }

  /** A server that was made before: its directory is there. */
  static known(house: House, options: NodeOptions): EmbeddedNode {
    return new EmbeddedNode(house, options)
  }

  /** Makes the directory of a new primary, with a system identifier of its own. */
  static async createPrimary(house: House, options: NodeOptions): Promise<EmbeddedNode> {
    const node = new EmbeddedNode(house, options)
    await ownDirectory(house.account, join(house.serversDir, options.id))
    await initialise(house.account, house.binaries, node.dataDir)
    return node
  }

  /** Makes the directory of a new replica of a running server. */
  static async createReplica(house: House, options: NodeOptions, primary: EmbeddedNode): Promise<EmbeddedNode> {
    const node = new EmbeddedNode(house, options)
    await ownDirectory(house.account, join(house.serversDir, options.id))
    await node.#copyFrom(primary)
    return node
  }

  get port(): number {
    return this.#port
  }

  /** `host:port`, as a configuration names a node. */
  get address(): string {
    return `${this.host}:${String(this.#port)}`
  }

  get running(): boolean {
    return this.#server?.running() ?? false
  }

  /** Whom it follows; null for a primary. */
  get upstream(): EmbeddedNode | null {
    return this.#upstream
  }

  /** Process id of the postmaster, or null when it does not run. */
  get pid(): number | null {
    return this.running ? (this.#server?.pid ?? null) : null
  }

  /** Starts the server and returns once it takes connections. */
  async start(): Promise<void> {
    if (this.running) return
    for (let tries = 0; ; tries++) {
      await this.#preparePort(tries)
      await this.#writeSettings()
      await this.#launch()
      const failed = await this.#ready()
      if (failed === null) return
      if (!failed.portTaken || tries === 20) throw new Error(`${this.id} did not start: ${failed.message}`)
    }
  }

  /** Stops it and returns once it is gone. Does nothing when it is not running. */
  async stop(mode: StopMode = 'fast'): Promise<void> {
    const server = this.#server
    if (!server?.running()) return
    await this.thaw()
    const processes = await children(server.pid)
    signal(server.pid, mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
    await server.ended()
    await allGone(processes)
  }

  /** kill -9 for the server and all its processes: as if the power went. */
  async kill9(): Promise<void> {
    const server = this.#server
    if (!server?.running()) return
    const processes = await signalTree(server.pid, 'SIGKILL')
    await server.ended()
    await allGone(processes)
  }

  async restart(mode: StopMode = 'fast'): Promise<void> {
    await this.stop(mode)
    await this.start()
  }

  /** Stops all its processes without ending them: the machine hangs, connections stay open and nothing answers. */
  async freeze(): Promise<void> {
    if (this.pid !== null) await signalTree(this.pid, 'SIGSTOP')
  }

  async thaw(): Promise<void> {
    if (this.pid !== null) await signalTree(this.pid, 'SIGCONT')
  }

  /** Ends one connection of a client. `kill` takes the process away, which makes the whole server restart itself. */
  async killBackend(pid: number, how: 'terminate' | 'kill' = 'terminate'): Promise<void> {
    if (how === 'kill') signal(pid, 'SIGKILL')
    else await this.sql(`SELECT pg_terminate_backend(${String(pid)}, 10000)`)
    await allGone([pid])
  }

  /** The replica still receives WAL, and applies none of it. */
  async pauseReplay(): Promise<void> {
    await this.sql('SELECT pg_wal_replay_pause()')
    await until(`replay on ${this.id} is paused`, async () => {
      const [row] = await this.sql('SELECT pg_get_wal_replay_pause_state() AS state')
      return row?.['state'] === 'paused'
    })
  }

  async resumeReplay(): Promise<void> {
    await this.sql('SELECT pg_wal_replay_resume()')
  }

  /** Makes the replica a primary on a timeline of its own. The former primary is not told. */
  async promote(): Promise<void> {
    await this.sql('SELECT pg_promote(true, 60)')
    this.#upstream = null
    this.#cut = false
  }

  /** The replica loses its link to the primary: it receives nothing any more, and its connections try in vain. */
  async cutLink(): Promise<void> {
    this.#cut = true
    await this.#reload()
    await until(`${this.id} has lost its link`, async () => !(await this.#streams()))
  }

  /** The link is back. Returns once WAL flows again. */
  async restoreLink(): Promise<void> {
    this.#cut = false
    await this.#reload()
    await until(`${this.id} has its link again`, () => this.#streams())
  }

  /** The replica follows another server, such as one that was promoted. */
  async follow(upstream: EmbeddedNode): Promise<void> {
    this.#upstream = upstream
    await this.restoreLink()
  }

  /** Forgets all it had, copies a running server afresh and follows it: how a former primary comes back. */
  async rebuild(primary: EmbeddedNode): Promise<void> {
    await this.stop('immediate')
    await this.#copyFrom(primary)
    await this.start()
  }

  /** Says whom a known replica follows, before it is started. */
  attach(upstream: EmbeddedNode): void {
    this.#upstream = upstream
  }

  /** Runs SQL as the superuser, past everything that is tested; the rows of the last statement that gave any, as text. */
  async sql(text: string, options: SqlOptions = {}): Promise<Row[]> {
    const session = await this.open(options)
    try {
      return await session.query(text)
    } finally {
      session.close()
    }
  }

  /** A connection that stays: for locks, transactions, temporary tables. The caller closes it. */
  open(options: SqlOptions = {}): Promise<Maintenance> {
    const path = join(this.#house.socketDir, `.s.PGSQL.${String(this.#port)}`)
    return Maintenance.open({ path, user: options.user ?? superuser, dbname: options.dbname ?? this.#options.dbname })
  }

  /** The end of what the server wrote to its log. */
  async log(lines = 20): Promise<string> {
    const text = await readFile(this.logFile, 'utf8').catch(() => '')
    return text.trimEnd().split('\n').slice(-lines).join('\n')
  }

  async #copyFrom(primary: EmbeddedNode): Promise<void> {
    const session = await primary.open({ dbname: 'postgres' })
    try {
      await copyRunning(this.#house.account, session, primary.dataDir, this.dataDir)
    } finally {
      session.close()
    }
    this.#upstream = primary
    this.#cut = false
  }

  async #streams(): Promise<boolean> {
    return (await this.sql("SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'", { dbname: 'postgres' })).length > 0
  }

  async #reload(): Promise<void> {
    await this.#writeSettings()
    await this.sql('SELECT pg_reload_conf()')
  }

  async #preparePort(tries: number): Promise<void> {
    // A port that a configuration may know is kept for as long as there is hope; a new server takes any.
    const keep = this.#port !== 0 && this.#server !== null
    if (keep) await until(`port ${String(this.#port)} of ${this.id} is free again`, () => isFree(this.#port))
    else if (tries > 0 || this.#port === 0 || !(await isFree(this.#port))) this.#port = await freePort()
  }

  async #writeSettings(): Promise<void> {
    const { account, socketDir, throwAway } = this.#house
    const { id, settings, hba, files } = this.#options
    for (const [name, content] of Object.entries(files)) await writeOwned(account, join(this.dataDir, name), content)
    await writeSettings(account, this.dataDir, { name: id, socketDir, throwAway, upstream: this.#upstreamAddress(), extra: settings, hba })
  }

  #upstreamAddress(): Upstream | null {
    if (this.#upstream === null) return null
    return { socketDir: this.#house.socketDir, port: this.#cut ? 1 : this.#upstream.port }
  }

  async #launch(): Promise<void> {
    const { account, binaries, throwAway } = this.#house
    // Left by a server that was killed; its processes are gone (kill9 and the guard wait for them), so nobody needs it.
    if (this.#server !== null) await rm(join(this.dataDir, 'postmaster.pid'), { force: true })
    this.#server = await startGuarded(account, {
      command: binaries.postgres,
      args: ['-D', this.dataDir, '-p', String(this.#port)],
      log: this.logFile,
      stop: throwAway ? 'QUIT' : 'INT',
    })
    await give(account, this.logFile).catch(() => undefined)
  }

  /** Waits until it takes connections; null then, or why it ended. */
  async #ready(): Promise<{ message: string; portTaken: boolean } | null> {
    const server = this.#server
    await until(`${this.id} takes connections`, async () => !server?.running() || (await this.#saysReady()), 60_000)
    if (server?.running()) return null
    const message = await this.log(8)
    return { message, portTaken: /could not bind|already in use/i.test(message) }
  }

  /** The eighth line of postmaster.pid is the server's own word on its state. */
  async #saysReady(): Promise<boolean> {
    const text = await readFile(join(this.dataDir, 'postmaster.pid'), 'utf8').catch(() => '')
    const lines = text.split('\n')
    return Number(lines[0]) === this.#server?.pid && lines[7]?.trim() === 'ready'
  }
}

async function allGone(pids: readonly number[]): Promise<void> {
  await until(`processes ${pids.join(', ')} have ended`, async () => !(await Promise.all(pids.map(isAlive))).includes(true))
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
