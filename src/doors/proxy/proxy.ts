// doors/proxy/proxy.ts — the proxy door: listens, logs clients in, hands cancels to whom they belong, and shuts down.
// One client's conversation is client.ts; what all of them share is here.
import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import { chmod, unlink } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { createSecureContext, type SecureContext } from 'node:tls'
import { ResultCache } from '../../cache/result-cache.js'
import type { Config, ListenConfig } from '../../config/config.js'
import { PointsmanError } from '../../errors/error.js'
import type { Observer } from '../../observe/events.js'
import { encodeBackendKeyData, encodeParameterStatus, encodeReadyForQuery } from '../../protocol/backend-messages.js'
import { encodeErrorResponse } from '../../protocol/error-fields.js'
import type { Runtime } from '../../runtime/contract.js'
import { createLoneFleet, type Fleet } from '../../runtime/fleet.js'
import type { ServerConnection } from '../../server/contract.js'
import type { UnderstandingStats } from '../../sql/understand.js'
import { Client } from './client.js'
import { ConsoleClient } from './console.js'
import { consoleDatabase } from './console-rights.js'
import { Conversation } from './conversation.js'
import type { Core } from './core-contract.js'
import { bringToken } from './tokens.js'
import { loadCore } from './core.js'
import { ProvedStatements } from './proved-statements.js'
import type { Reply } from './recording.js'
import { errorFields, unforeseen } from './error-reply.js'
import { Greetings } from './greetings.js'
import { LoginAttempt, type CancelCall, type Login } from './login.js'

export interface ProxyParts {
  readonly runtime: Runtime<ServerConnection>
  readonly observer: Observer
  /** Process-monotonic milliseconds. Default: performance.now(). */
  readonly now?: () => number
  /** Of Pointsman, as the console tells it. */
  readonly version?: string
  /** The processes that serve this configuration. Default: this one alone. */
  readonly fleet?: Fleet
}

export interface ProxyAddress {
  readonly host: string
  /** 0 for a Unix socket, whose path is `host`. */
  readonly port: number
}

/** One logged-in client, as SHOW CLIENTS tells it. */
export interface ClientSnapshot {
  readonly pid: number
  readonly database: string
  readonly user: string
  readonly address: string
  /** Seconds since its login. */
  readonly age: number
  readonly state: 'active' | 'idle' | 'transaction'
}

export interface Proxy {
  readonly addresses: readonly ProxyAddress[]
  clients(): readonly ClientSnapshot[]
  /** Hits and size of the shape cache. */
  shapes(): UnderstandingStats
  /** No new clients; idle ones are told 57P01, busy ones after their transaction; past `graceMs` all are cut off. */
  close(options: { readonly graceMs: number }): Promise<void>
}

/** Starts listening as the runtime's config says. Rejects if a port is taken. */
export async function createProxy(parts: ProxyParts): Promise<Proxy> {
  const proxy = new RunningProxy(parts, await loadCore(parts.runtime.current().config))
  await proxy.listen()
  return proxy
}

interface Entry {
  readonly pid: number
  readonly secret: Uint8Array
  readonly login: Login
  readonly client: Client
  readonly conversation: Conversation
  readonly address: string
  readonly since: number
  /** Its share of listen.client_lifetime, so that clients that came together do not go together. */
  readonly vigour: number
  readonly done: Promise<void>
}

/** Sockets that have not logged in yet are few, or somebody is playing games. */
const maxLoggingIn = 1000
/** Result bytes kept for a client that does not read before its server is paused. */
const highWaterMark = 128 * 1024
const socketMode = 0o777
/** Between two looks at how old the clients are. */
const agingMs = 250

class RunningProxy implements Proxy {
  readonly #parts: ProxyParts
  readonly #core: Core
  readonly #now: () => number
  readonly #greetings = new Greetings()
  readonly #proved = new ProvedStatements()
  readonly #cache = new ResultCache<Reply>()
  readonly #servers: Server[] = []
  readonly #clients = new Map<number, Entry>()
  readonly #consoles = new Map<ConsoleClient, Promise<string>>()
  readonly #sockets = new Set<Socket>()
  readonly #context = new SecureContexts()
  readonly #fleet: Fleet
  #loggingIn = 0
  #admitted = 0
  #closing: Promise<void> | null = null
  #aging: NodeJS.Timeout | undefined

  constructor(parts: ProxyParts, core: Core) {
    this.#parts = parts
    this.#core = core
    this.#fleet = parts.fleet ?? createLoneFleet()
    this.#now = parts.now ?? ((): number => performance.now())
  }

  get addresses(): readonly ProxyAddress[] {
    return this.#servers.map((server) => {
      const address = server.address()
      return typeof address === 'string' || address === null
        ? { host: address ?? '', port: 0 }
        : { host: address.address, port: address.port }
    })
  }

  async listen(): Promise<void> {
    this.#aging = setInterval(() => this.#endOld(), agingMs).unref()
    const { listen } = this.#config
    try {
      await this.#listenOn({ host: listen.host, port: listen.port }, false)
      if (listen.unix !== null) await this.#listenOnUnix(listen.unix)
    } catch (error) {
      clearInterval(this.#aging)
      for (const server of this.#servers) server.close()
      throw error
    }
  }

  clients(): readonly ClientSnapshot[] {
    return [...this.#clients.values()].map(({ pid, login, address, since, conversation }) => ({
      pid,
      database: login.database,
      user: login.user,
      address,
      age: (this.#now() - since) / 1000,
      state: conversation.busy ? 'active' : conversation.settled ? 'idle' : 'transaction',
    }))
  }

  shapes(): UnderstandingStats {
    return this.#core.stats()
  }

  close({ graceMs }: { readonly graceMs: number }): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  async #close(graceMs: number): Promise<void> {
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    clearInterval(this.#aging)
    for (const { client } of this.#clients.values()) client.drain(new PointsmanError('shutting_down'))
    for (const client of this.#consoles.keys()) client.drain()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs)))
    const ended = [...[...this.#clients.values()].map(({ done }) => done), ...this.#consoles.values()]
    await Promise.race([Promise.all(ended), late])
    clearTimeout(timer)
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all([...this.#clients.values()].map(({ done }) => done))
    await Promise.all(closed)
  }

  /** Clients older than the present config allows go as soon as nothing of theirs is open. */
  #endOld(): void {
    const lifetime = this.#config.listen.clientLifetimeMs
    if (lifetime === null) return
    const now = this.#now()
    for (const { client, since, vigour } of this.#clients.values()) {
      if (now - since >= lifetime * vigour) client.drain(new PointsmanError('client_lifetime'))
    }
  }

  get #config(): Config {
    return this.#parts.runtime.current().config
  }

  // ---- listening

  async #listenOn(where: { readonly host: string; readonly port: number } | { readonly path: string }, local: boolean): Promise<void> {
    const server = createServer({ noDelay: true, keepAlive: true, highWaterMark }, (socket) => void this.#accept(socket, local))
    this.#servers.push(server)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(where, () => {
        server.off('error', reject)
        resolve()
      })
    })
    server.on('error', (error) => this.#log('error', 'the listener failed', { error: error.message }))
  }

  /** A socket file that a dead process left behind is taken over; a living one answers, and the port counts as taken. */
  async #listenOnUnix(path: string): Promise<void> {
    try {
      await this.#listenOn({ path }, true)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || (await answers(path))) throw error
      this.#servers.pop()
      await unlink(path)
      await this.#listenOn({ path }, true)
    }
    await chmod(path, socketMode)
  }

  // ---- one connection

  async #accept(socket: Socket, local: boolean): Promise<void> {
    socket.on('error', () => undefined)
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    if (this.#loggingIn >= maxLoggingIn) {
      socket.destroy()
      return
    }
    const address = socket.remoteAddress === undefined ? 'unix' : `${socket.remoteAddress}:${String(socket.remotePort)}`
    const login = await this.#login(socket, local, address)
    if (login === null) return
    await (login.database === consoleDatabase ? this.#console(login, address) : this.#serve(login, address))
  }

  /** null: nobody to serve; the socket is being closed. */
  async #login(socket: Socket, local: boolean, address: string): Promise<Login | null> {
    const config = this.#config
    const seat = { taken: false }
    const attempt = new LoginAttempt({
      socket,
      config,
      secureContext: this.#context.of(config.listen),
      local,
      admit: () => {
        this.#admit(config)
        seat.taken = true
      },
    })
    const timer = setTimeout(() => socket.destroy(), config.limits.loginMs)
    this.#loggingIn += 1
    try {
      const outcome = await attempt.run()
      if (outcome !== null && 'login' in outcome) return outcome.login
      if (outcome !== null) this.#cancel(outcome.cancel)
      socket.end()
    } catch (error) {
      this.#refuse(attempt, error, address)
    } finally {
      this.#loggingIn -= 1
      clearTimeout(timer)
    }
    if (seat.taken) this.#admitted -= 1
    return null
  }

  #admit(config: Config): void {
    if (this.#closing !== null) throw new PointsmanError('shutting_down')
    const max = config.listen.maxClients
    if (this.#admitted >= max)
      throw new PointsmanError('too_many_connections', { values: { what: `sorry, too many clients already (max_clients ${String(max)})` } })
    this.#admitted += 1
  }

  #refuse(attempt: LoginAttempt, error: unknown, address: string): void {
    const fields = errorFields(error, 'FATAL')
    this.#parts.observer.emit('client.refused', { address, sqlstate: fields.code, reason: fields.message })
    if (unforeseen(error)) this.#log('warn', 'a login failed', { error: error instanceof Error ? error.message : String(error) })
    attempt.output.write(encodeErrorResponse(fields))
    endSocket(attempt.socket)
  }

  /** From a proved user to the last byte. */
  async #serve(login: Login, address: string): Promise<void> {
    let entry: Entry | null = null
    try {
      const conversation = await this.#converse(login)
      entry = this.#enter(login, conversation, address)
      await entry.done
    } catch (error) {
      const fields = errorFields(error, 'FATAL')
      this.#parts.observer.emit('client.refused', { address, sqlstate: fields.code, reason: fields.message })
      login.output.write(encodeErrorResponse(fields))
    } finally {
      this.#admitted -= 1
      if (entry !== null) this.#clients.delete(entry.pid)
      endSocket(login.socket)
    }
  }

  /** An operator: nothing of this one ever reaches a server. */
  async #console(login: Login, address: string): Promise<void> {
    const { runtime, observer, version = 'unknown' } = this.#parts
    const { user, database } = login
    const client = new ConsoleClient({ login, runtime, observer, version, fleet: this.#fleet, now: this.#now })
    const since = this.#now()
    observer.emit('client.opened', { database, user, address })
    if (this.#closing !== null) client.drain()
    const run = client.run()
    this.#consoles.set(client, run)
    const reason = await run
    observer.emit('client.closed', { database, user, reason, seconds: (this.#now() - since) / 1000 })
    this.#consoles.delete(client)
    this.#admitted -= 1
    endSocket(login.socket)
  }

  async #converse(login: Login): Promise<Conversation> {
    const { runtime, observer } = this.#parts
    const generation = runtime.current()
    const { user, database, settings } = login
    const password = generation.config.auth.users.get(user)?.password ?? null
    const gone = new AbortController()
    login.input.onGone = (): void => gone.abort(new PointsmanError('canceled'))
    generation.enter()
    try {
      const greeting = await this.#greetings.get({ generation, database, user, password, settings, signal: gone.signal, now: this.#now() })
      const conversation = new Conversation({
        login,
        password,
        greeting,
        runtime,
        observer,
        core: this.#core,
        proved: this.#proved,
        cache: this.#cache,
        now: this.#now,
      })
      if (login.token !== null) bringToken(conversation, generation, login.token)
      return conversation
    } finally {
      generation.leave()
    }
  }

  #enter(login: Login, conversation: Conversation, address: string): Entry {
    const { user, database } = login
    const pid = this.#freePid()
    const secret = randomBytes(4)
    const client = new Client(conversation)
    const since = this.#now()
    this.#greet(login, conversation, pid, secret)
    this.#parts.observer.emit('client.opened', { database, user, address })
    const done = client.run().then((reason) => {
      this.#parts.observer.emit('client.closed', { database, user, reason, seconds: (this.#now() - since) / 1000 })
    })
    const entry: Entry = { pid, secret, login, client, conversation, address, since, vigour: randomInt(90, 111) / 100, done }
    this.#clients.set(pid, entry)
    if (this.#closing !== null) client.drain(new PointsmanError('shutting_down'))
    return entry
  }

  #greet({ output }: Login, conversation: Conversation, pid: number, secret: Uint8Array): void {
    for (const [name, value] of conversation.told.all()) output.write(encodeParameterStatus(name, value))
    output.write(encodeBackendKeyData(pid, secret))
    output.write(encodeReadyForQuery('I'))
  }

  #freePid(): number {
    for (;;) {
      const pid = randomInt(1, 0x7fffffff)
      if (!this.#clients.has(pid)) return pid
    }
  }

  #cancel({ pid, secret }: CancelCall): void {
    const entry = this.#clients.get(pid)
    // Who does not know the secret is told nothing, as a server would.
    if (secret.length !== entry?.secret.length || !timingSafeEqual(secret, entry.secret)) return
    entry.client.cancel()
  }

  #log(level: 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>): void {
    this.#parts.observer.emit('log', { level, message, fields })
  }
}

/** TLS contexts by what they were made from: a renewed certificate makes a new one. */
class SecureContexts {
  #made: { readonly tls: ListenConfig['tls']; readonly context: SecureContext } | null = null

  of({ tls }: ListenConfig): SecureContext | null {
    if (tls === null) return null
    if (this.#made?.tls === tls) return this.#made.context
    const { cert, key, ca } = tls
    const context = createSecureContext({ cert, key, ...(ca === null ? {} : { ca }), minVersion: 'TLSv1.2' })
    this.#made = { tls, context }
    return context
  }
}

/** What was written goes out; a client that does not close its side is cut off. */
function endSocket(socket: Login['socket']): void {
  if (socket.destroyed) return
  socket.end()
  const timer = setTimeout(() => socket.destroy(), 2_000)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
  socket.resume()
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
