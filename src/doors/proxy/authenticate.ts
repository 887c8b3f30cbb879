// doors/proxy/authenticate.ts — proves who a client is, as the rule for it says. A user who does not exist, or has no usable
// secret, goes through the same exchange as everybody and fails at its end with the same words.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { AuthRule } from '../../config/config.js'
import { PointsmanError } from '../../errors/error.js'
import { decodePassword, decodeSaslInitialResponse, decodeSaslResponse, encodeAuthentication } from '../../protocol/authentication.js'
import { md5Response, md5ResponseOf } from '../../protocol/md5.js'
import { Frontend } from '../../protocol/message-types.js'
import type { ChannelBinding } from '../../protocol/scram-client.js'
import { ScramServer, scramMechanisms } from '../../protocol/scram-server.js'
import { violation } from '../../protocol/violation.js'
import type { Generation } from '../../runtime/contract.js'
import type { ServerConnection } from '../../server/contract.js'
import type { LoginSecret } from '../../server/login-keys.js'
import type { ClientInput } from './client-input.js'
import type { ClientOutput } from './client-output.js'
import type { Secret, Secrets } from './secrets.js'

export interface AuthenticationParts {
  readonly rule: AuthRule
  readonly generation: Generation<ServerConnection>
  readonly secrets: Secrets
  readonly user: string
  /** Of our certificate, where the client speaks TLS. */
  readonly binding: ChannelBinding
  readonly input: ClientInput
  readonly output: ClientOutput
}

/** What the login leaves for logins to servers. */
export interface Proof {
  /** Where it is known. */
  readonly password: string | null
  /** What stands for it where it is not. */
  readonly secret: LoginSecret | null
}

const nothing: Proof = { password: null, secret: null }

/**
 * Resolves when the client has proved to be `user`. Rejects with 28P01; with 08P01 on messages out of place; with 57P03 where
 * users cannot be looked up.
 */
export async function authenticate(parts: AuthenticationParts): Promise<Proof> {
  const { generation, secrets, user } = parts
  const { secret, known } = await secrets.find(generation, user)
  switch (methodFor(parts, secret)) {
    case 'trust':
    case 'cert':
      // Where nobody is listed and nobody is looked up, every name is good.
      if (!known && (generation.config.auth.users.size > 0 || generation.config.auth.authQuery !== null)) throw refused(user)
      return secret?.kind === 'password' ? { ...nothing, password: secret.password } : nothing
    case 'md5':
      return md5(parts, secret)
    case 'scram-sha-256':
      return scram(parts, secret)
    case 'reject':
      throw refused(user)
  }
}

/** A verifier is all that SCRAM needs and nothing that md5 could use, as in PostgreSQL. */
function methodFor({ rule, generation, secrets }: AuthenticationParts, secret: Secret | null): AuthRule['method'] {
  if (rule.method !== 'md5') return rule.method
  const scram = secret === null ? secrets.usuallyScram(generation.config) : secret.kind === 'scram'
  return scram ? 'scram-sha-256' : 'md5'
}

async function md5({ user, input, output }: AuthenticationParts, secret: Secret | null): Promise<Proof> {
  const salt = randomBytes(4)
  output.write(encodeAuthentication({ kind: 'md5', salt }))
  const answer = decodePassword(await passwordMessage(input))
  if (secret?.kind === 'md5') {
    if (equal(answer, md5ResponseOf(secret.stored, salt))) return { ...nothing, secret }
  } else {
    const password = secret?.kind === 'password' ? secret.password : null
    const right = equal(answer, md5Response(user, password ?? randomBytes(16).toString('hex'), salt))
    if (right && password !== null) return { ...nothing, password }
  }
  throw refused(user)
}

async function scram({ user, secrets, binding, input, output }: AuthenticationParts, secret: Secret | null): Promise<Proof> {
  const mechanisms = scramMechanisms(binding)
  output.write(encodeAuthentication({ kind: 'sasl', mechanisms }))
  const first = decodeSaslInitialResponse(await passwordMessage(input))
  if (!mechanisms.includes(first.mechanism)) throw violation('client selected an invalid SASL authentication mechanism')
  const verifier = await secrets.verifier(user, secret)
  const server = new ScramServer(verifier, randomBytes(18).toString('base64'), binding, first.mechanism)
  output.write(encodeAuthentication({ kind: 'sasl-continue', data: server.first(first.data ?? '') }))
  const outcome = server.final(decodeSaslResponse(await passwordMessage(input)))
  if (!outcome.ok || secret === null || secret.kind === 'md5') throw refused(user)
  output.write(encodeAuthentication({ kind: 'sasl-final', data: outcome.message }))
  if (secret.kind === 'password') return { ...nothing, password: secret.password }
  const { salt, iterations, serverKey } = verifier
  // Of the server key a copy: the client's keys are overwritten when it leaves, the verifier stays.
  return {
    ...nothing,
    secret: { kind: 'scram', keys: { salt, iterations, clientKey: outcome.clientKey, serverKey: Uint8Array.from(serverKey) } },
  }
}

async function passwordMessage(input: ClientInput): Promise<Uint8Array> {
  const frame = await input.next()
  if (frame === null) throw violation('the client left during its login')
  if (frame.type !== Frontend.Password) throw violation('expected a password response')
  return frame.bytes
}

function refused(user: string): PointsmanError {
  return new PointsmanError('authentication_failed', { values: { user } })
}

/** In constant time, whatever the lengths. */
function equal(left: string, right: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(left), digest(right))
}
