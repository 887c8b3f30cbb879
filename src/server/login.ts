// server/login.ts — the login to a server, as the collector of the very first reply on a connection: answers what the
// server asks (nothing, cleartext, md5, SCRAM with channel binding where TLS gives it), ends at the first ReadyForQuery.
import { randomBytes } from 'node:crypto'
import { PointsmanError } from '../errors/error.js'
import {
  decodeAuthentication,
  encodePassword,
  encodeSaslInitialResponse,
  encodeSaslResponse,
  type AuthenticationRequest,
} from '../protocol/authentication.js'
import { decodeBackendKeyData } from '../protocol/backend-messages.js'
import type { ErrorFields } from '../protocol/error-fields.js'
import { md5Response, md5ResponseOf } from '../protocol/md5.js'
import { Backend, backendName } from '../protocol/message-types.js'
import { ScramClient, type ChannelBinding } from '../protocol/scram-client.js'
import { SCRAM, SCRAM_PLUS, same, type ScramKeys } from '../protocol/scram.js'
import { violation } from '../protocol/violation.js'
import type { Collector } from './collector.js'
import type { BackendKey, Loss } from './contract.js'
import type { LoginKeys } from './login-keys.js'
import { saltedPassword } from './salted-passwords.js'
import { ServerError } from './server-error.js'

export interface LoginOptions {
  readonly user: string
  readonly password: string | null
  /** Used where `password` is null. */
  readonly keys?: LoginKeys | null
  /** Certificate hash for SCRAM-SHA-256-PLUS; null without TLS. */
  readonly binding: ChannelBinding
  readonly write: (message: Uint8Array) => void
  readonly onLost: (loss: Loss) => Error
}

export class Login implements Collector {
  /** Resolves at ReadyForQuery with the key for cancels (pid 0 where the server gave none). */
  readonly done: Promise<BackendKey>
  readonly #options: LoginOptions
  #resolve!: (key: BackendKey) => void
  #reject!: (error: unknown) => void
  #key: BackendKey = { pid: 0, secret: new Uint8Array(4) }
  #scram: ScramClient | null = null
  /** The server proved that it knows the password, or was not asked to. */
  #proved = true

  constructor(options: LoginOptions) {
    this.#options = options
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  frame(type: number, frame: Uint8Array): void {
    try {
      this.#read(type, frame)
    } catch (error) {
      // First, so that the reason keeps its kind; the connection is lost by it all the same.
      this.#reject(error)
      throw error
    }
  }

  #read(type: number, frame: Uint8Array): void {
    switch (type) {
      case Backend.Authentication:
        this.#answer(decodeAuthentication(frame))
        return
      case Backend.BackendKeyData:
        this.#key = decodeBackendKeyData(frame)
        return
      case Backend.NegotiateProtocolVersion:
        return
      default:
        throw violation(`${backendName(type) ?? 'an unknown message'} during login`)
    }
  }

  failed(fields: ErrorFields): void {
    this.#reject(new ServerError(fields))
  }

  ready(): void {
    this.#resolve(this.#key)
  }

  lost(loss: Loss): void {
    this.#reject(this.#options.onLost(loss))
  }

  #answer(request: AuthenticationRequest): void {
    const { write } = this.#options
    switch (request.kind) {
      case 'ok':
        // Else a server in the middle could skip the proof and let us in anyway.
        if (!this.#proved) throw violation('the server ended SCRAM without proving that it knows the password')
        return
      case 'cleartext':
        write(encodePassword(this.#password()))
        return
      case 'md5':
        write(encodePassword(this.#md5(request.salt)))
        return
      case 'sasl':
        this.#begin(request.mechanisms)
        return
      case 'sasl-continue':
        this.#continue(request.data)
        return
      case 'sasl-final':
        this.#exchange().verifyServerFinal(request.data)
        this.#proved = true
        return
      case 'other':
        throw new PointsmanError('feature_not_supported', {
          values: { what: `the server asks for authentication method ${String(request.code)}, which Pointsman does not speak` },
          hint: 'Use scram-sha-256, md5, password, cert or trust in pg_hba.conf.',
        })
    }
  }

  #begin(mechanisms: readonly string[]): void {
    const binding = mechanisms.includes(SCRAM_PLUS) ? this.#options.binding : null
    if (binding === null && !mechanisms.includes(SCRAM)) throw violation('the server offers no SASL mechanism that Pointsman speaks')
    if (this.#options.password === null && (this.#options.keys?.scram ?? null) === null) this.#password()
    this.#proved = false
    this.#scram = new ScramClient(randomBytes(18).toString('base64'), binding)
    this.#options.write(encodeSaslInitialResponse(this.#scram.mechanism, this.#scram.first()))
  }

  #continue(serverFirst: string): void {
    const scram = this.#exchange()
    const { salt, iterations } = scram.readServerFirst(serverFirst)
    const keys = this.#options.password === null ? this.#options.keys?.scram : null
    if (keys !== null && keys !== undefined) {
      this.#options.write(encodeSaslResponse(scram.finalByKeys(this.#fitting(keys, salt, iterations))))
      return
    }
    saltedPassword(this.#password(), salt, iterations).then(
      (salted) => this.#options.write(encodeSaslResponse(scram.final(salted))),
      (error: unknown) => this.#reject(error),
    )
  }

  /** Keys are of one salt and one count of iterations: where the server has others, its verifier is another one. */
  #fitting(keys: ScramKeys, salt: Uint8Array, iterations: number): ScramKeys {
    if (same(keys.salt, salt) && keys.iterations === iterations) return keys
    throw new PointsmanError('verifier_differs', { values: { user: this.#options.user } })
  }

  #md5(salt: Uint8Array): string {
    const { user, password, keys } = this.#options
    const stored = password === null ? (keys?.md5 ?? null) : null
    return stored === null ? md5Response(user, this.#password(), salt) : md5ResponseOf(stored, salt)
  }

  #exchange(): ScramClient {
    if (this.#scram === null) throw violation('SASL messages without a SASL exchange')
    return this.#scram
  }

  #password(): string {
    const { user, password, keys } = this.#options
    if (password !== null) return password
    const known =
      (keys?.scram ?? null) !== null ? 'only its SCRAM keys are' : (keys?.md5 ?? null) !== null ? 'only its md5 hash is' : 'none is'
    throw new PointsmanError('authentication_failed', { values: { user }, detail: `The server asks for a password and ${known} known.` })
  }
}
