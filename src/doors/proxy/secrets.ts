// doors/proxy/secrets.ts — what a client must prove that it knows: from auth.users, or else from auth.auth_query. What
// clients proved is kept for servers that have the same secret, as long as one of those clients is connected.
import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Config, NodeConfig, UserConfig } from '../../config/config.js'
import type { Observer } from '../../observe/events.js'
import { hmac, parseVerifier, verifierOf, DEFAULT_ITERATIONS, base64, type ScramVerifier } from '../../protocol/scram.js'
import { mockVerifier } from '../../protocol/scram-server.js'
import type { Generation } from '../../runtime/contract.js'
import type { Carried, Json } from '../../runtime/fleet.js'
import type { ServerConnection } from '../../server/contract.js'
import { LoginKeys, type LoginSecret } from '../../server/login-keys.js'
import { saltedPassword } from '../../server/salted-passwords.js'
import { AuthQuery } from './auth-query.js'

export type Secret =
  | { readonly kind: 'password'; readonly password: string }
  | { readonly kind: 'scram'; readonly verifier: ScramVerifier }
  | { readonly kind: 'md5'; readonly stored: string }

/** Who is not known has null, and goes through everything that everybody goes through. */
export interface Found {
  readonly secret: Secret | null
  /** False: nobody of this name is listed or was found. */
  readonly known: boolean
}

export class Secrets implements Carried {
  readonly #observer: Observer
  readonly #now: () => number
  /** Of this process and those that it takes over from: salts of users who do not exist stay the same. */
  #mock = randomBytes(32)
  /** Verifiers of users whose password is known: hashing takes milliseconds, logins are many. */
  readonly #verifiers = new WeakMap<Secret, Promise<ScramVerifier>>()
  readonly #ofUsers = new WeakMap<UserConfig, Secret | null>()
  readonly #keys = new Map<string, LoginKeys>()
  #query: { readonly config: Config; readonly asks: AuthQuery } | null = null
  #keyNumber = 0

  constructor(observer: Observer, now: () => number) {
    this.#observer = observer
    this.#now = now
  }

  give(): Json {
    return this.#mock.toString('base64')
  }

  take(body: Json): void {
    if (typeof body === 'string') this.#mock = Buffer.from(body, 'base64')
  }

  /** Rejects with 57P03 where users are to be looked up, and cannot be at the moment. */
  async find(generation: Generation<ServerConnection>, user: string): Promise<Found> {
    const listed = generation.config.auth.users.get(user)
    const own = listed === undefined ? null : this.#own(listed)
    if (own !== null) return { secret: own, known: true }
    const text = (await this.#asks(generation)?.find(user)) ?? null
    return { secret: text === null ? null : parseSecret(text), known: listed !== undefined || text !== null }
  }

  /** A login failed: if its secret was looked up, it is looked up again for the next one. */
  doubt(user: string): void {
    this.#query?.asks.doubt(user)
  }

  /** What SCRAM is spoken with; a mock where there is nothing to prove against. */
  async verifier(user: string, secret: Secret | null): Promise<ScramVerifier> {
    if (secret?.kind === 'scram') return secret.verifier
    if (secret?.kind !== 'password') return mockVerifier(user, this.#mock)
    const made = this.#verifiers.get(secret) ?? this.#made(user, secret.password)
    this.#verifiers.set(secret, made)
    return made
  }

  /** What is asked of who is not known where `method` is md5, so that it tells nothing: SCRAM where anybody has a verifier. */
  usuallyScram({ auth }: Config): boolean {
    return auth.authQuery !== null || [...auth.users.values()].some(({ verifier }) => verifier?.startsWith('SCRAM') === true)
  }

  /** The keys for servers that a client with this secret may use; the client holds them until release(). */
  hold(user: string, proved: LoginSecret): LoginKeys {
    // By the secret, so that one who knows an old password does not use connections opened with the new one.
    const name = JSON.stringify([user, this.#mark(proved)])
    const keys = this.#keys.get(name) ?? new LoginKeys(`keys ${String(++this.#keyNumber)}`)
    this.#keys.set(name, keys)
    keys.hold(proved)
    this.#forgetOld()
    return keys
  }

  close(): void {
    this.#query?.asks.close()
  }

  #own(user: UserConfig): Secret | null {
    const known = this.#ofUsers.get(user)
    if (known !== undefined) return known
    const own =
      user.verifier !== null
        ? parseSecret(user.verifier)
        : user.password === null
          ? null
          : ({ kind: 'password', password: user.password } as const)
    this.#ofUsers.set(user, own)
    return own
  }

  /** Salted as the mock is, so that a reload or the order of logins does not tell who exists. */
  async #made(user: string, password: string): Promise<ScramVerifier> {
    const { salt } = mockVerifier(user, this.#mock)
    return verifierOf(await saltedPassword(password, salt, DEFAULT_ITERATIONS), salt, DEFAULT_ITERATIONS)
  }

  #mark(proved: LoginSecret): string {
    if (proved.kind === 'md5') return base64(hmac(this.#mock, proved.stored))
    const { salt, iterations, serverKey } = proved.keys
    return base64(hmac(this.#mock, `${base64(salt)} ${String(iterations)} ${base64(serverKey)}`))
  }

  /** Pools keep the objects they were made with, so they stay in the table while it has room. */
  #forgetOld(): void {
    if (this.#keys.size <= 10_000) return
    for (const [name, keys] of this.#keys) {
      if (keys.held) continue
      this.#keys.delete(name)
      return
    }
  }

  #asks(generation: Generation<ServerConnection>): AuthQuery | null {
    const { config } = generation
    if (this.#query?.config === config) return this.#query.asks
    const { authQuery } = config.auth
    const cluster = config.clusters.get(authQuery?.cluster ?? '')
    if (authQuery === null || cluster === undefined) {
      this.#query?.asks.close()
      this.#query = null
      return null
    }
    const before = this.#query
    const same =
      before !== null &&
      isDeepStrictEqual(before.config.auth.authQuery, authQuery) &&
      isDeepStrictEqual(before.config.clusters.get(authQuery.cluster), cluster)
    if (!same) before?.asks.close()
    const nodes = (): readonly NodeConfig[] => inOrder(generation, cluster.id)
    const asks = same ? before.asks : new AuthQuery({ query: authQuery, cluster, nodes, observer: this.#observer, now: this.#now })
    this.#query = { config, asks }
    return asks
  }
}

/** The primary knows best; then whoever is well; then the others, since nobody may have looked yet. */
function inOrder(generation: Generation<ServerConnection>, id: string): readonly NodeConfig[] {
  const nodes = generation.config.clusters.get(id)?.nodes ?? []
  const seen = generation.topology().clusters.get(id)
  const rank = (node: string): number => {
    if (seen?.primary?.id === node) return 0
    return seen?.nodes.find(({ id }) => id === node)?.health === 'up' ? 1 : 2
  }
  return [...nodes].sort((a, b) => rank(a.id) - rank(b.id))
}

/** As pg_authid has them. Anything else (a password in the clear) is no secret that can be used. */
function parseSecret(text: string): Secret | null {
  if (/^md5[0-9a-f]{32}$/.test(text)) return { kind: 'md5', stored: text }
  const verifier = parseVerifier(text)
  return verifier === null ? null : { kind: 'scram', verifier }
}
