// doors/proxy/login.ts — from an accepted socket to a client who is known: encryption as asked, the StartupMessage read,
// its database and options checked, and the user proved. Nothing here talks to a server.
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket, type SecureContext } from 'node:tls'
import type { Config, DatabaseConfig } from '../../config/config.js'
import { PointsmanError } from '../../errors/error.js'
import { encodeAuthentication } from '../../protocol/authentication.js'
import { encodeNegotiateProtocolVersion, needsNegotiation, type StartupMessage } from '../../protocol/startup.js'
import { parseStartupOptions } from '../../session/startup-options.js'
import { isOwn } from '../../session/replay.js'
import { routeSettingProblem, tokenSetting } from '../../session/route-settings.js'
import type { Settings } from '../../session/settings.js'
import { authenticate } from './authenticate.js'
import { ClientInput } from './client-input.js'
import { ClientOutput } from './client-output.js'
import { consoleDatabase, requireConsoleRights } from './console-rights.js'

export interface LoginParts {
  readonly socket: Socket
  readonly config: Config
  /** null: no TLS to clients. */
  readonly secureContext: SecureContext | null
  /** True on a Unix socket: the bytes never leave the machine, so TLS is not asked for. */
  readonly local: boolean
  /** Called when the client has named itself and before it proves anything. Throws 53300. */
  admit(): void
}

/** A client who is known. */
export interface Login {
  readonly socket: Duplex
  readonly input: ClientInput
  readonly output: ClientOutput
  readonly user: string
  readonly database: string
  readonly settings: Settings
  /** From the startup packet; null: none. */
  readonly token: string | null
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
        case 'gssenc':
          this.#output.write(Buffer.from('N'))
          break
        case 'startup':
          return { login: await this.#login(packet) }
      }
    }
  }

  async #encrypt(): Promise<void> {
    const { secureContext } = this.#parts
    if (secureContext === null || this.#encrypted) {
      this.#output.write(Buffer.from('N'))
      return
    }
    this.#input.detach()
    await new Promise<void>((resolve) => this.#parts.socket.write('S', () => resolve()))
    const socket = new TLSSocket(this.#parts.socket, { isServer: true, secureContext })
    this.#socket = socket
    // A connection that breaks is told by its close; without a listener it would end the process.
    socket.on('error', () => undefined)
    this.#output = new ClientOutput(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('secure', resolve)
      socket.once('error', reject)
      socket.once('close', () => reject(new Error('closed during the TLS handshake')))
    })
    this.#encrypted = true
    this.#input.reattach(socket)
  }

  async #login(packet: StartupMessage): Promise<Login> {
    const { config, secureContext, local } = this.#parts
    if (config.listen.tls?.mode === 'require' && secureContext !== null && !this.#encrypted && !local)
      throw new PointsmanError('tls_required')
    if (needsNegotiation(packet)) this.#output.write(encodeNegotiateProtocolVersion(0, packet.extensions))
    const user = packet.parameters.get('user') ?? ''
    if (user === '') throw new PointsmanError('protocol_violation', { values: { what: 'no user name in the startup packet' } })
    const database = packet.parameters.get('database') ?? user
    refuseReplication(packet.parameters.get('replication'))
    const { settings, token } = startupSettings(packet.parameters)
    this.#parts.admit()
    await authenticate(config.auth, user, this.#input, this.#output)
    // Only who has proved himself learns which databases there are.
    if (database === consoleDatabase) requireConsoleRights(config.auth, user, 'show')
    else if (databaseOf(config, database) === undefined) throw new PointsmanError('unknown_database', { values: { database } })
    this.#output.write(encodeAuthentication({ kind: 'ok' }))
    this.#input.maxMessageBytes = config.limits.maxMessageBytes
    return { socket: this.#socket, input: this.#input, output: this.#output, user, database, settings, token }
  }
}

/** The configuration of the database that clients know by that name. */
export function databaseOf(config: Config, name: string): DatabaseConfig | undefined {
  return config.databases.get(name) ?? config.databases.get('*')
}

function refuseReplication(value: string | undefined): void {
  if (value === undefined || ['false', 'off', 'no', '0'].includes(value.toLowerCase())) return
  throw notYet('replication connections are not supported', 'Connect to the server itself.')
}

function notYet(what: string, hint: string): PointsmanError {
  return new PointsmanError('feature_not_supported', { values: { what }, hint })
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
  }
  const token = settings.get(tokenSetting) ?? null
  settings.delete(tokenSetting)
  return { settings, token }
}
