// doors/proxy/login.ts — from an accepted socket to a client who is known: encryption as asked, the StartupMessage read,
// its database and options checked, and the user proved. Nothing here talks to a server.
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { parseAddress } from '../../config/address-range.js'
import type { Config, DatabaseConfig, PoolMode } from '../../config/config.js'
import { PointsmanError } from '../../errors/error.js'
import { encodeAuthentication } from '../../protocol/authentication.js'
import { encodeNegotiateProtocolVersion, needsNegotiation, newestMinor, type StartupMessage } from '../../protocol/startup.js'
import { violation } from '../../protocol/violation.js'
import { parseStartupOptions } from '../../session/startup-options.js'
import { isOwn } from '../../session/replay.js'
import { reservedFor } from '../../session/reserved-settings.js'
import { routeSettingProblem, tokenSetting } from '../../session/route-settings.js'
import { parseSwitch } from '../../sql/switch.js'
import type { Settings } from '../../session/settings.js'
import type { Generation } from '../../runtime/contract.js'
import type { ServerConnection } from '../../server/contract.js'
import type { LoginKeys } from '../../server/login-keys.js'
import { ruleFor, type Caller } from './auth-rules.js'
import { authenticate, type Proof } from './authenticate.js'
import { ClientInput } from './client-input.js'
import { ClientOutput } from './client-output.js'
import { encryptClient, type ClientCertificate, type ClientTls } from './client-tls.js'
import type { Seat } from './client-limits.js'
import { consoleDatabase, requireConsoleRights } from './console-rights.js'
import type { LoginFailures } from './login-failures.js'
import type { Secrets } from './secrets.js'

export interface LoginParts {
  readonly socket: Socket
  readonly generation: Generation<ServerConnection>
  /** null: no TLS to clients. */
  readonly tls: ClientTls | null
  /** True on a Unix socket: the bytes never leave the machine, so TLS is not asked for. */
  readonly local: boolean
  readonly secrets: Secrets
  readonly failures: LoginFailures
  /** Called when the client has proved who it is: who has not takes nobody's place. Throws 53300. */
  admit(user: string, database: string): Seat
}

/** This one ends without a word: too many logins are being held back already (no message), or no PostgreSQL client speaks. */
export class LoginDropped extends Error {}

/** A client who is known. */
export interface Login {
  readonly socket: Duplex
  readonly input: ClientInput
  readonly output: ClientOutput
  readonly user: string
  readonly database: string
  /** For logins to servers; null: not known. */
  readonly password: string | null
  /** What stands for the password where it is not known; released when the client leaves. */
  readonly keys: LoginKeys | null
  readonly settings: Settings
  /** From the startup packet; null: none. */
  readonly token: string | null
  /** It asks for replication: of the whole server, or of one database; null: it does not. */
  readonly replication: 'true' | 'database' | null
  /** Of the protocol that is spoken: 3.`minor`. */
  readonly minor: number
  readonly seat: Seat
}

export interface CancelCall {
  readonly pid: number
  readonly secret: Uint8Array
}

/** The connection as far as it has come; errors are told on `output`. */
export class LoginAttempt {
  readonly #parts: LoginParts
  #socket: Duplex
  readonly #input: ClientInput
  #output: ClientOutput
  #encrypted = false
  #certificate: ClientCertificate | null = null

  constructor(parts: LoginParts) {
    this.#parts = parts
    this.#socket = parts.socket
    this.#input = new ClientInput(parts.socket)
    this.#output = new ClientOutput(parts.socket)
  }

  /** Where a refusal is to be written now. */
  get output(): ClientOutput {
    return this.#output
  }

  get socket(): Duplex {
    return this.#socket
  }

  /** A login, a call to cancel, or null where the client left. Throws what the client is to be told as FATAL. */
  async run(): Promise<{ readonly login: Login } | { readonly cancel: CancelCall } | null> {
    for (;;) {
      const packet = await this.#input.startupPacket()
      if (packet === null) return null
      switch (packet.kind) {
        case 'cancel':
          return { cancel: packet }
        case 'ssl':
          await this.#encrypt()
          break
        case 'direct-tls':
          if (!(await this.#encryptAtOnce())) return null
          break
        // PostgreSQL says nothing either: what was sent is no packet that an answer could be for.
        case 'unreadable':
          throw new LoginDropped('invalid length of startup packet')
        case 'gssenc':
          this.#output.write(Buffer.from('N'))
          break
        case 'startup':
          return { login: await this.#login(packet) }
      }
    }
  }

  async #encrypt(): Promise<void> {
    const { tls, socket } = this.#parts
    if (tls === null || this.#encrypted) {
      this.#output.write(Buffer.from('N'))
      return
    }
    this.#input.detach()
    await new Promise<void>((resolve) => socket.write('S', () => resolve()))
    await this.#speakTls(tls)
  }

  /** False: the client gets no TLS, and would understand nothing else. */
  async #encryptAtOnce(): Promise<boolean> {
    const { tls, socket } = this.#parts
    const hello = this.#input.takeHandshake()
    if (tls === null || this.#encrypted) return false
    // A socket that flows would give it away before TLS has looked.
    socket.pause()
    socket.unshift(hello)
    // As in PostgreSQL: a client that was not told who we are must have said whom it means.
    if (!(await this.#speakTls(tls))) throw violation('received direct SSL connection request without ALPN protocol negotiation extension')
    return true
  }

  /** True: the client has named the protocol. */
  async #speakTls(tls: ClientTls): Promise<boolean> {
    const { socket, certificate, named } = await encryptClient(this.#parts.socket, tls)
    this.#socket = socket
    this.#output = new ClientOutput(socket)
    this.#certificate = certificate
    this.#encrypted = true
    this.#input.reattach(socket)
    return named
  }

  async #login(packet: StartupMessage): Promise<Login> {
    const { generation, tls, local } = this.#parts
    const { config } = generation
    if (config.listen.tls?.mode === 'require' && tls !== null && !this.#encrypted && !local) throw new PointsmanError('tls_required')
    if (needsNegotiation(packet)) this.#output.write(encodeNegotiateProtocolVersion(Math.min(packet.minor, newestMinor), packet.extensions))
    const user = packet.parameters.get('user') ?? ''
    if (user === '') throw new PointsmanError('protocol_violation', { values: { what: 'no user name in the startup packet' } })
    const database = packet.parameters.get('database') ?? user
    const replication = replicationOf(packet.parameters.get('replication'))
    const { settings, token } = startupSettings(packet.parameters)
    const proof = await this.#prove(user, database, replication === 'true')
    const seat = this.#parts.admit(user, database)
    // Only who has proved himself learns which databases there are.
    if (database === consoleDatabase) requireConsoleRights(config.auth, user, false)
    else if (replication !== null) requireReplication(config, user)
    else if (databaseOf(config, database) === undefined) throw new PointsmanError('unknown_database', { values: { database } })
    this.#output.write(encodeAuthentication({ kind: 'ok' }))
    this.#input.maxMessageBytes = config.limits.maxMessageBytes
    // Last, so that nothing can fail between holding them and somebody who lets go of them.
    const keys = passesOn(config) && proof.secret !== null ? this.#parts.secrets.hold(user, proof.secret) : null
    const { password } = proof
    return {
      socket: this.#socket,
      input: this.#input,
      output: this.#output,
      user,
      database,
      password,
      keys,
      settings,
      token,
      replication,
      minor: Math.min(packet.minor, newestMinor),
      seat,
    }
  }

  async #prove(user: string, database: string, replication: boolean): Promise<Proof> {
    const { generation, secrets, failures, tls } = this.#parts
    const { auth } = generation.config
    const caller = this.#caller(user, database, replication)
    const rule = ruleFor(auth, caller)
    const binding = this.#encrypted ? (tls?.binding ?? null) : null
    try {
      const proof = await authenticate({ rule, generation, secrets, user, binding, input: this.#input, output: this.#output })
      if ((await failures.succeeded(caller.host, user, auth.failureDelayMs)) === false) throw new LoginDropped()
      return proof
    } catch (error) {
      if (!(error instanceof PointsmanError) || error.key !== 'authentication_failed') throw error
      secrets.doubt(user)
      if (!(await failures.failed(caller.host, user, auth.failureDelayMs))) throw new LoginDropped()
      throw error
    }
  }

  #caller(user: string, database: string, replication: boolean): Caller {
    const { socket, local } = this.#parts
    const { remoteAddress } = socket
    return {
      address: local || remoteAddress === undefined ? null : parseAddress(remoteAddress),
      host: local ? '[local]' : (remoteAddress ?? ''),
      local,
      encrypted: this.#encrypted,
      certificate: this.#certificate,
      user,
      database,
      replication,
    }
  }
}

/** Some servers are logged in to with what the client proved. */
function passesOn({ clusters }: Config): boolean {
  for (const { user } of clusters.values()) if (user === null) return true
  return false
}

/** The configuration of the database that clients know by that name. */
export function databaseOf(config: Config, name: string): DatabaseConfig | undefined {
  return config.databases.get(name) ?? config.databases.get('*')
}

/** A user's own mode wins over its database's. */
export function poolModeOf(config: Config, database: string, user: string): PoolMode {
  return config.auth.users.get(user)?.poolMode ?? databaseOf(config, database)?.poolMode ?? 'transaction'
}

/** As PostgreSQL reads the parameter: the name, or a Boolean. */
function replicationOf(value: string | undefined): Login['replication'] {
  if (value === undefined) return null
  if (value === 'database') return value
  const on = parseSwitch(value)
  if (on === null)
    throw new PointsmanError('invalid_parameter_value', { values: { what: `invalid value for parameter "replication": "${value}"` } })
  return on ? 'true' : null
}

/** A server's own right to replicate says nothing: its login may be the cluster's, which is for everybody. */
function requireReplication(config: Config, user: string): void {
  if (config.auth.replication.includes(user)) return
  throw new PointsmanError('insufficient_privilege', {
    values: { what: 'permission denied to start a replication connection' },
    hint: 'Add the user to auth.replication.',
  })
}

const named: ReadonlySet<string> = new Set(['user', 'database', 'replication', 'options'])

/** Everything a StartupMessage sets; what it says by name beats what `options` say. */
function startupSettings(parameters: ReadonlyMap<string, string>): Pick<Login, 'settings' | 'token'> {
  const settings = new Map<string, string>()
  const options = parseStartupOptions(parameters.get('options') ?? '')
  if (!options.ok) throw new PointsmanError('startup_option', { values: { argument: options.argument } })
  for (const [name, value] of options.settings) settings.set(name, value)
  for (const [name, value] of parameters) if (!named.has(name)) settings.set(name.toLowerCase(), value)
  for (const [name, value] of settings) {
    const problem = isOwn(name) ? routeSettingProblem(name, value) : null
    if (problem !== null) throw new PointsmanError('invalid_parameter_value', { values: { what: problem } })
    const language = reservedFor(name)
    if (language !== null)
      throw new PointsmanError('invalid_setting_name', {
        values: { what: `invalid configuration parameter name "${name}"` },
        hint: `"${language}" is a reserved prefix.`,
      })
  }
  // Of a packet PostgreSQL takes no notice of it: who has logged in stands above it.
  settings.delete('session_authorization')
  const token = settings.get(tokenSetting) ?? null
  settings.delete(tokenSetting)
  return { settings, token }
}
