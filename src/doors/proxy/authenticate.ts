// doors/proxy/authenticate.ts — proves who a client is. A user who does not exist, or has no usable secret, goes through
// the same exchange as everybody and fails at its end with the same words.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { AuthConfig, UserConfig } from '../../config/config.js'
import { PointsmanError } from '../../errors/error.js'
import { decodePassword, decodeSaslInitialResponse, decodeSaslResponse, encodeAuthentication } from '../../protocol/authentication.js'
import { md5Response } from '../../protocol/md5.js'
import { Frontend } from '../../protocol/message-types.js'
import { DEFAULT_ITERATIONS, SCRAM, parseVerifier, saltPassword, verifierOf, type ScramVerifier } from '../../protocol/scram.js'
import { ScramServer, mockVerifier } from '../../protocol/scram-server.js'
import { violation } from '../../protocol/violation.js'
import type { ClientInput } from './client-input.js'
import type { ClientOutput } from './client-output.js'

/** Of this process: salts of users who do not exist stay the same while it runs. */
const mockSecret = randomBytes(32)

/** Verifiers made from plain passwords, by user and password: hashing takes milliseconds, logins are many. */
const verifiers = new WeakMap<UserConfig, Promise<ScramVerifier>>()

/** Resolves when the client has proved to be `user`. Rejects with 28P01, or 08P01 on messages out of place. */
export async function authenticate(auth: AuthConfig, user: string, input: ClientInput, output: ClientOutput): Promise<void> {
  const known = auth.users.get(user)
  switch (methodFor(auth, known)) {
    case 'trust':
      if (known === undefined && auth.users.size > 0) throw refused(user)
      return
    case 'md5':
      return md5(known, user, input, output)
    case 'scram-sha-256':
      return scram(known, user, input, output)
  }
}

/** A verifier is all that SCRAM needs and nothing that md5 could use, as in PostgreSQL. */
function methodFor(auth: AuthConfig, known: UserConfig | undefined): AuthConfig['method'] {
  return auth.method === 'md5' && known?.password === null && known.verifier !== null ? 'scram-sha-256' : auth.method
}

async function md5(known: UserConfig | undefined, user: string, input: ClientInput, output: ClientOutput): Promise<void> {
  const salt = randomBytes(4)
  output.write(encodeAuthentication({ kind: 'md5', salt }))
  const answer = decodePassword(await passwordMessage(input))
  const password = known?.password ?? null
  const expected = md5Response(user, password ?? randomBytes(16).toString('hex'), salt)
  if (!equal(answer, expected) || password === null) throw refused(user)
}

async function scram(known: UserConfig | undefined, user: string, input: ClientInput, output: ClientOutput): Promise<void> {
  output.write(encodeAuthentication({ kind: 'sasl', mechanisms: [SCRAM] }))
  const first = decodeSaslInitialResponse(await passwordMessage(input))
  if (first.mechanism !== SCRAM) throw violation('client selected an invalid SASL authentication mechanism')
  const verifier = await verifierFor(known)
  const server = new ScramServer(verifier ?? mockVerifier(user, mockSecret), randomBytes(18).toString('base64'))
  output.write(encodeAuthentication({ kind: 'sasl-continue', data: server.first(first.data ?? '') }))
  const outcome = server.final(decodeSaslResponse(await passwordMessage(input)))
  if (!outcome.ok || verifier === null) throw refused(user)
  output.write(encodeAuthentication({ kind: 'sasl-final', data: outcome.message }))
}

/** null: there is nothing to prove against. */
async function verifierFor(known: UserConfig | undefined): Promise<ScramVerifier | null> {
  if (known === undefined) return null
  if (known.verifier !== null) return parseVerifier(known.verifier)
  if (known.password === null) return null
  const made = verifiers.get(known) ?? makeVerifier(known.password)
  verifiers.set(known, made)
  return made
}

async function makeVerifier(password: string): Promise<ScramVerifier> {
  const salt = randomBytes(16)
  return verifierOf(await saltPassword(password, salt, DEFAULT_ITERATIONS), salt, DEFAULT_ITERATIONS)
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
