// doors/proxy/proxy.ts — the proxy door: logs clients in, hands cancels to whom they belong, and shuts down. One client's
// conversation is client.ts, the sockets that clients connect to are listeners.ts; what all of them share is here.
import { randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Bus, LineSnapshot } from '../../bus/bus.js'
import { ResultCache } from '../../cache/result-cache.js'
import type { Config } from '../../config/config.js'
import { PointsmanError } from '../../errors/error.js'
import type { Observer } from '../../observe/events.js'
import { encodeBackendKeyData, encodeParameterStatus, encodeReadyForQuery } from '../../protocol/backend-messages.js'
import { encodeErrorResponse } from '../../protocol/error-fields.js'
import { secretBytesOf } from '../../protocol/startup.js'
import type { Runtime } from '../../runtime/contract.js'
import type { ProcessControl } from '../../runtime/control.js'
import { createLoneFleet, type Fleet } from '../../runtime/fleet.js'
import type { ServerConnection } from '../../server/contract.js'
import { sharingReads } from '../../server/shared-reads.js'
import type { Signal } from '../../session/client-pids.js'
import type { UnderstandingStats } from '../../sql/understand.js'
import { createBus } from './bus.js'
import { Client } from './client.js'
import { ClientLimits, type Seat } from './client-limits.js'
import { ConsoleClient } from './console.js'
import { Desk } from './console/desk.js'
import { consoleDatabase } from './console-rights.js'
import { Conversation } from './conversation.js'
import type { Core } from './core-contract.js'
import { createBackendKey, sameSecret, workerOfKey, type BackendKey } from './backend-keys.js'
import { highWaterMark, Listeners, type ListenerAddress } from './listeners.js'
import { bringToken } from './tokens.js'
import { loadCore } from './core.js'
import type { LaneParts } from './lane-parts.js'
import { wireLanes } from '../../pool/wire-lanes.js'
import { Lanes, type LanesReport } from '../../pool/lanes.js'
import { ShapeBook } from '../../pool/shape-book.js'
import { bytesOf } from './client-report.js'
import { TrafficBook } from './traffic-book.js'
import { ProvedStatements } from './proved-statements.js'
import type { Reply } from './recording.js'
import { Replications } from './replications.js'
import { errorFields, unforeseen } from './error-reply.js'
import { Greetings } from './greetings.js'
import { ClientTlsContexts } from './client-tls.js'
import { LoginFailures } from './login-failures.js'
import { databaseOf, LoginAttempt, LoginDropped, type CancelCall, type Login } from './login.js'
import { Secrets } from './secrets.js'
import { SeenParses } from './seen-parses.js'

export interface ProxyParts {
  readonly runtime: Runtime<ServerConnection>
  readonly observer: Observer
  /** Process-monotonic milliseconds. Default: performance.now(). */
  readonly now?: () => number
  /** Of Pointsman, as the console tells it. */
  readonly version?: string
  /** The processes that serve this configuration. Default: this one alone. */
  readonly fleet?: Fleet
  /** What the console may ask of the processes as a whole. */
  readonly control?: ProcessControl | null
  /** false: it listens nowhere, and gets its clients by accept(). Default: true. */
  readonly listen?: boolean
  /** A cancel whose PID is of another process: resolves when it has been passed on. */
  readonly cancelElsewhere?: (call: CancelCall) => Promise<void>
}

/** One logged-in client, as SHOW CLIENTS tells it. */
export interface ClientSnapshot {
  readonly pid: number
  readonly database: string
  readonly user: string
  readonly address: string
  /** Seconds since its login. */
  readonly age: number
  readonly state: 'active' | 'idle' | 'transaction' | 'waiting'
  /** For a server connection; 0: it does not wait. */
  readonly waitSeconds: number
}

export interface Proxy {
  readonly addresses: readonly ListenerAddress[]
  /** A client that has connected, of whom nothing has been read. `local`: over a Unix socket. */
  accept(socket: Socket, local: boolean): Socket
  /** Cancels what the client of that key runs; false: there is none. */
  cancel(call: CancelCall): boolean
  clients(): readonly ClientSnapshot[]
  /** Hits and size of the shape cache. */
  shapes(): UnderstandingStats
  /** The shared server connections, and what they have done since the start. */
  lanes(): LanesReport
  /** The connections that listen for clients. */
  lines(): readonly LineSnapshot[]
  /** No new clients; idle ones are told 57P01, busy ones after their transaction; past `graceMs` all are cut off. */
  close(options: { readonly graceMs: number }): Promise<void>
  /** Another process takes the new clients: serves those that it has for `drainMs`, then sends each away once nothing of its is open. Resolves when all have left. */
  retire(drainMs: number): Promise<void>
}

/** Starts listening as the runtime's config says. Rejects if a port is taken. */
export async function createProxy(parts: ProxyParts): Promise<Proxy> {
  const proxy = new RunningProxy(parts, await loadCore(parts.runtime.current().config))
  if (parts.listen !== false) await proxy.listen()
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

/** A signal from one client to another, which another process may have. */
interface Order extends Signal {
  /** Who sends it, as the server would see it. */
  readonly role: string | null
  readonly superuser: boolean
}

const signalTopic = 'signal'

function notAllowed(kind: Signal['kind']): PointsmanError {
  const what = kind === 'cancel' ? 'permission denied to cancel query' : 'permission denied to terminate process'
  return new PointsmanError('insufficient_privilege', {
    values: { what },
    detail: 'Only the same role or a superuser may do this to a client of Pointsman.',
  })
}

/** Sockets that have not logged in yet are few, or somebody is playing games. */
const maxLoggingIn = 1000
/** Between two looks at how old the clients are. */
const agingMs = 250

class RunningProxy implements Proxy {
  readonly #parts: ProxyParts
  readonly #core: Core
  readonly #now: () => number
  readonly #greetings = new Greetings()
  readonly #proved = new ProvedStatements()
  readonly #cache = new ResultCache<Reply>()
  readonly #lanes: LaneParts
  readonly #traffic: TrafficBook
  readonly #bus: Bus
  readonly #replications: Replications
  #listeners: Listeners | null = null
  readonly #clients = new Map<number, Entry>()
  readonly #consoles = new Map<ConsoleClient, Promise<string>>()
  readonly #sockets = new Set<Socket>()
  readonly #tls = new ClientTlsContexts()
  readonly #secrets: Secrets
  readonly #failures: LoginFailures
  readonly #fleet: Fleet
  readonly #desk: Desk
  readonly #limits: ClientLimits
  #loggingIn = 0
  #closing: Promise<void> | null = null
  /** Why clients that come now are sent away as soon as nothing of theirs is open. */
  #leaving: PointsmanError | null = null
  #aging: NodeJS.Timeout | undefined
  #empty: (() => void) | null = null

  constructor(parts: ProxyParts, core: Core) {
    this.#parts = parts
    this.#core = core
    this.#fleet = parts.fleet ?? createLoneFleet()
    this.#fleet.answer(signalTopic, (body) => this.#obey(body as unknown as Order))
    this.#limits = new ClientLimits(this.#fleet.workers, parts.observer)
    this.#now = parts.now ?? ((): number => performance.now())
    this.#lanes = {
      lanes: new Lanes(this.#config.lanes, { now: this.#now, kind: wireLanes }),
      book: new ShapeBook(),
      parses: new SeenParses((text) => core.understand(text)),
    }
    parts.runtime.countShared((node) => this.#lanes.lanes.inFlight(node))
    parts.observer.on('config.reloaded', () => this.#lanes.lanes.configure(this.#config.lanes))
    this.#secrets = new Secrets(parts.observer, this.#now)
    this.#failures = new LoginFailures(this.#now)
    this.#fleet.carry('auth.mock', this.#secrets)
    this.#traffic = new TrafficBook(this.#now)
    this.#desk = this.#openDesk()
    this.#aging = setInterval(() => this.#endOld(), agingMs).unref()
    this.#replications = new Replications({ ...parts, now: this.#now, key: (login) => this.#keyFor(login) })
    this.#bus = createBus(parts, this.#now, () => {
      for (const { conversation } of this.#clients.values()) conversation.tellOwners()
    })
  }

  #openDesk(): Desk {
    const { runtime, observer, version = 'unknown', control = null } = this.#parts
    const clients = this.#clients
    return new Desk({
      runtime,
      observer,
      version,
      control,
      core: this.#core,
      greetings: this.#greetings,
      traffic: this.#traffic,
      fleet: this.#fleet,
      clients: () => clients.values(),
      replications: (clock) => this.#replications.reports(clock),
      lanes: () => this.lanes().lanes,
      counts: () => ({ clients: clients.size, loggingIn: this.#loggingIn, consoles: this.#consoles.size }),
      kill: (test) => this.#kill(test),
      now: this.#now,
    })
  }

  /** As pg_cancel_backend() and pg_terminate_backend() of the PID that a client was given. False: nobody has it. Throws 42501. */
  #signal(signal: Signal, by: Conversation): boolean {
    const superuser = by.told.get('is_superuser') === 'on'
    const order: Order = { ...signal, role: by.session.role, superuser }
    const worker = workerOfKey(signal.pid)
    if (worker === this.#fleet.worker) return this.#obey(order)
    if (worker > this.#fleet.workers) return false
    // Whether it was there is known to its own process only.
    void this.#fleet.ask(signalTopic, { ...order }).catch(() => undefined)
    return true
  }

  #obey({ kind, pid, role, superuser }: Order): boolean {
    const entry = this.#clients.get(pid)
    if (entry === undefined) return false
    if (!superuser && role !== entry.login.user) throw notAllowed(kind)
    if (kind === 'cancel') entry.client.cancel()
    else entry.client.kill(new PointsmanError('client_killed'))
    return true
  }

  #kill(test: (client: { readonly pid: number; readonly database: string }) => boolean): number {
    const killed = [...this.#clients.values()].filter(({ pid, login: { database } }) => test({ pid, database }))
    for (const { client } of killed) client.kill(new PointsmanError('client_killed'))
    return killed.length + this.#replications.kill(test)
  }

  get addresses(): readonly ListenerAddress[] {
    return this.#listeners?.addresses ?? []
  }

  async listen(): Promise<void> {
    const { listen } = this.#config
    this.#listeners = await Listeners.open({
      listen,
      accept: (socket, local) => this.accept(socket, local),
      onError: (error) => this.#log('error', 'the listener failed', { error: error.message }),
    })
  }

  clients(): readonly ClientSnapshot[] {
    return [...this.#clients.values()].map(({ pid, login, address, since, conversation }) => ({
      pid,
      database: login.database,
      user: login.user,
      address,
      age: (this.#now() - since) / 1000,
      state: conversation.waitSeconds > 0 ? 'waiting' : conversation.busy ? 'active' : conversation.settled ? 'idle' : 'transaction',
      waitSeconds: conversation.waitSeconds,
    }))
  }

  lanes(): LanesReport {
    const { lanes, book } = this.#lanes
    const now = this.#now()
    let barred = 0
    for (const record of book.all()) if (record.barred !== null && now < record.barredUntil) barred += 1
    return { lanes: lanes.snapshot(), counts: { ...lanes.counts }, barred }
  }

  shapes(): UnderstandingStats {
    return this.#core.stats()
  }

  lines(): readonly LineSnapshot[] {
    return this.#bus.snapshot()
  }

  close({ graceMs }: { readonly graceMs: number }): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  async #close(graceMs: number): Promise<void> {
    await this.#listeners?.stop(false)
    clearInterval(this.#aging)
    this.#traffic.close()
    this.#sendAway(new PointsmanError('shutting_down'))
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs)))
    const ended = [...[...this.#clients.values()].map(({ done }) => done), ...this.#consoles.values()]
    await Promise.race([Promise.all(ended), late])
    clearTimeout(timer)
    for (const socket of this.#sockets) socket.destroy()
    this.#secrets.close()
    await Promise.all([...this.#clients.values()].map(({ done }) => done))
    this.#bus.close()
  }

  async retire(drainMs: number): Promise<void> {
    // Who steers wants to steer the process that serves from now on.
    for (const client of this.#consoles.keys()) client.drain()
    const empty = new Promise<void>((resolve) => (this.#empty = resolve))
    this.#left()
    const timer = setTimeout(() => this.#sendAway(new PointsmanError('restarted')), drainMs)
    await empty
    clearTimeout(timer)
  }

  #sendAway(why: PointsmanError): void {
    this.#leaving = why
    for (const { client } of this.#clients.values()) client.drain(why)
    for (const client of this.#consoles.keys()) client.drain()
    this.#replications.close(why.message)
  }

  #forget({ pid, login, conversation: { traffic } }: Entry): void {
    this.#clients.delete(pid)
    const { received, sent } = bytesOf(login.socket)
    traffic.received += received
    traffic.sent += sent
  }

  /** Somebody has left. */
  #left(): void {
    if (this.#sockets.size === 0 && this.#clients.size === 0 && this.#consoles.size === 0) this.#empty?.()
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

  // ---- one connection

  accept(accepted: Socket, local: boolean): Socket {
    const socket = sharingReads(accepted, highWaterMark)
    socket.on('error', () => undefined)
    this.#sockets.add(socket)
    socket.on('close', () => {
      this.#sockets.delete(socket)
      this.#left()
    })
    void this.#accept(socket, local)
    return socket
  }

  async #accept(socket: Socket, local: boolean): Promise<void> {
    if (this.#loggingIn - this.#failures.held >= maxLoggingIn) {
      socket.destroy()
      return
    }
    const address = socket.remoteAddress === undefined ? 'unix' : `${socket.remoteAddress}:${String(socket.remotePort)}`
    const login = await this.#login(socket, local, address)
    if (login === null) return
    if (login.database === consoleDatabase) await this.#console(login, address)
    else await (login.replication === null ? this.#serve(login, address) : this.#replicate(login, address))
  }

  /** null: nobody to serve; the socket is being closed. */
  async #login(socket: Socket, local: boolean, address: string): Promise<Login | null> {
    const generation = this.#parts.runtime.current()
    const { config } = generation
    const taken: { seat: Seat | null } = { seat: null }
    const attempt = new LoginAttempt({
      socket,
      generation,
      tls: this.#tls.of(config.listen.tls),
      local,
      secrets: this.#secrets,
      failures: this.#failures,
      admit: (user, database) => {
        if (this.#closing !== null) throw new PointsmanError('shutting_down')
        taken.seat = this.#limits.admit(config, user, database)
        return taken.seat
      },
    })
    const timer = setTimeout(() => socket.destroy(), config.limits.loginMs)
    this.#loggingIn += 1
    try {
      const outcome = await attempt.run()
      if (outcome !== null && 'login' in outcome) return outcome.login
      // The end of the connection says that the cancel has done its work.
      if (outcome !== null && !this.cancel(outcome.cancel)) await this.#parts.cancelElsewhere?.(outcome.cancel)
      socket.end()
    } catch (error) {
      if (error instanceof LoginDropped) this.#drop(socket, error, address)
      else this.#refuse(attempt, error, address)
    } finally {
      this.#loggingIn -= 1
      clearTimeout(timer)
    }
    taken.seat?.leave()
    return null
  }

  #drop(socket: Socket, { message }: LoginDropped, address: string): void {
    if (message !== '') this.#parts.observer.emit('client.refused', { address, sqlstate: '08P01', reason: message })
    socket.destroy()
  }

  #refuse(attempt: LoginAttempt, error: unknown, address: string): void {
    const fields = errorFields(error, 'FATAL')
    this.#parts.observer.emit('client.refused', { address, sqlstate: fields.code, reason: fields.message })
    if (unforeseen(error)) this.#log('warn', 'a login failed', { error: error instanceof Error ? error.message : String(error) })
    attempt.output.write(encodeErrorResponse(fields))
    endSocket(attempt)
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
      login.seat.leave()
      login.keys?.release()
      if (entry !== null) this.#forget(entry)
      this.#left()
      endSocket(login)
    }
  }

  /** One that passes through to a server of its own. */
  async #replicate(login: Login, address: string): Promise<void> {
    await this.#replications.serve(login, address)
    login.seat.leave()
    login.keys?.release()
    this.#left()
    endSocket(login)
  }

  #keyFor({ minor }: Login): BackendKey {
    const isTaken = (pid: number): boolean => this.#clients.has(pid) || this.#replications.has(pid) || this.#consoleOf(pid) !== null
    return createBackendKey(this.#fleet.worker, isTaken, secretBytesOf(minor))
  }

  /** An operator: nothing of this one ever reaches a server. */
  async #console(login: Login, address: string): Promise<void> {
    const { observer, version = 'unknown' } = this.#parts
    const { user, database } = login
    const key = this.#keyFor(login)
    const client = new ConsoleClient({ login, address, desk: this.#desk, key, observer, version })
    const since = this.#now()
    observer.emit('client.opened', { database, user, address })
    if (this.#closing !== null) client.drain()
    const run = client.run()
    this.#consoles.set(client, run)
    const reason = await run
    observer.emit('client.closed', { database, user, reason, seconds: (this.#now() - since) / 1000 })
    this.#consoles.delete(client)
    login.keys?.release()
    this.#left()
    login.seat.leave()
    endSocket(login)
  }

  async #converse(login: Login): Promise<Conversation> {
    const { runtime, observer } = this.#parts
    const { user, database, password, keys, settings } = login
    const gone = new AbortController()
    login.input.onGone = (): void => gone.abort(new PointsmanError('canceled'))
    await this.#passGate(database, gone.signal)
    const generation = runtime.current()
    generation.enter()
    try {
      const greeting = await this.#greetings.get({
        generation,
        database,
        user,
        password,
        keys,
        settings,
        signal: gone.signal,
        now: this.#now(),
      })
      const conversation = new Conversation({
        login,
        password,
        greeting,
        runtime,
        observer,
        core: this.#core,
        proved: this.#proved,
        cache: this.#cache,
        lanes: this.#lanes,
        notifications: this.#bus,
        traffic: this.#traffic.of(database, user),
        now: this.#now,
      })
      if (login.token !== null) bringToken(conversation, generation, login.token)
      return conversation
    } finally {
      generation.leave()
    }
  }

  /** Nothing is asked of the servers of a database that is paused, and nobody comes to one that is disabled. */
  async #passGate(database: string, signal: AbortSignal): Promise<void> {
    const { gate } = this.#parts.runtime
    gate.requireEnabled(database)
    if (!gate.open) await gate.pass(databaseOf(this.#config, database)?.default ?? '', database, signal)
  }

  #enter(login: Login, conversation: Conversation, address: string): Entry {
    const { user, database } = login
    const { pid, secret } = this.#keyFor(login)
    const client = new Client(conversation)
    const since = this.#now()
    conversation.pid = pid
    conversation.onSignal = (signal) => this.#signal(signal, conversation)
    this.#greet(login, conversation, pid, secret)
    this.#parts.observer.emit('client.opened', { database, user, address })
    const done = client.run().then((reason) => {
      this.#parts.observer.emit('client.closed', { database, user, reason, seconds: (this.#now() - since) / 1000 })
    })
    const entry: Entry = { pid, secret, login, client, conversation, address, since, vigour: randomInt(90, 111) / 100, done }
    this.#clients.set(pid, entry)
    if (this.#leaving !== null) client.drain(this.#leaving)
    return entry
  }

  #greet({ output }: Login, conversation: Conversation, pid: number, secret: Uint8Array): void {
    for (const [name, value] of conversation.told.all()) output.write(encodeParameterStatus(name, value))
    output.write(encodeBackendKeyData(pid, secret))
    output.write(encodeReadyForQuery('I'))
  }

  cancel({ pid, secret }: CancelCall): boolean {
    const entry = this.#clients.get(pid)
    const { client, secret: own } = entry ?? this.#consoleOf(pid) ?? { client: null, secret: null }
    // Who does not know the secret is told nothing, as a server would.
    if (client === null) return this.#replications.cancel({ pid, secret })
    if (!sameSecret(secret, own)) return false
    client.cancel()
    return true
  }

  #consoleOf(pid: number): { readonly client: ConsoleClient; readonly secret: Uint8Array } | null {
    for (const client of this.#consoles.keys()) if (client.key.pid === pid) return { client, secret: client.key.secret }
    return null
  }

  #log(level: 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>): void {
    this.#parts.observer.emit('log', { level, message, fields })
  }
}

/** What was written goes out; a client that does not close its side is cut off. */
function endSocket({ socket, output }: Pick<Login, 'socket' | 'output'>): void {
  if (socket.destroyed) return
  output.flush()
  socket.end()
  const timer = setTimeout(() => socket.destroy(), 2_000)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
  socket.resume()
}
