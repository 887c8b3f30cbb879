// protocol/scram.ts — what both sides of SCRAM-SHA-256 share (RFC 5802, RFC 7677): keys, verifiers, attributes.
// Deterministic: nonces and salts arrive as arguments.
//
//   SaltedPassword = PBKDF2(prepare(password), salt, iterations)
//   ClientKey = HMAC(SaltedPassword, "Client Key")   StoredKey = SHA256(ClientKey)   ServerKey = HMAC(…, "Server Key")
import { createHash, createHmac, pbkdf2, pbkdf2Sync, timingSafeEqual } from 'node:crypto'
import { prepare } from './saslprep.js'
import { violation } from './violation.js'

export const SCRAM = 'SCRAM-SHA-256'
export const SCRAM_PLUS = 'SCRAM-SHA-256-PLUS'
/** PostgreSQL's default. */
export const DEFAULT_ITERATIONS = 4096
/** A server that asks for more is taken for an attack on the processor. */
export const MAX_ITERATIONS = 10_000_000

const KEY_LENGTH = 32

/** What a server keeps instead of the password. */
export interface ScramVerifier {
  readonly iterations: number
  readonly salt: Uint8Array
  readonly storedKey: Uint8Array
  readonly serverKey: Uint8Array
}

/** What the client's half is made of. Who has it can log in wherever the verifier with this salt and these iterations is known. */
export interface ScramKeys {
  readonly salt: Uint8Array
  readonly iterations: number
  readonly clientKey: Uint8Array
  readonly serverKey: Uint8Array
}

/** In libuv's pool: 4096 iterations take 1–2 ms, too long for the event loop of a busy proxy. */
export function saltPassword(password: string, salt: Uint8Array, iterations: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    pbkdf2(prepare(password), salt, iterations, KEY_LENGTH, 'sha256', (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })
}

export function verifierOf(saltedPassword: Uint8Array, salt: Uint8Array, iterations: number): ScramVerifier {
  return { iterations, salt, storedKey: sha256(clientKey(saltedPassword)), serverKey: serverKey(saltedPassword) }
}

/** A verifier for a password known in plain text; blocks for the time of the hashing. */
export function makeVerifier(password: string, salt: Uint8Array, iterations: number = DEFAULT_ITERATIONS): ScramVerifier {
  return verifierOf(pbkdf2Sync(prepare(password), salt, iterations, KEY_LENGTH, 'sha256'), salt, iterations)
}

/** `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` as in pg_authid; null if it is not one. */
export function parseVerifier(text: string): ScramVerifier | null {
  const match = /^SCRAM-SHA-256\$(\d{1,9}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$/.exec(text)
  if (match === null) return null
  const [iterations, salt, storedKey, server] = [Number(match[1]), decode(match[2]), decode(match[3]), decode(match[4])]
  if (iterations < 1 || salt === null || storedKey?.length !== KEY_LENGTH || server?.length !== KEY_LENGTH) return null
  return { iterations, salt, storedKey, serverKey: server }
}

export function formatVerifier(verifier: ScramVerifier): string {
  return `SCRAM-SHA-256$${String(verifier.iterations)}:${base64(verifier.salt)}$${base64(verifier.storedKey)}:${base64(verifier.serverKey)}`
}

export function clientKey(saltedPassword: Uint8Array): Buffer {
  return hmac(saltedPassword, 'Client Key')
}

export function serverKey(saltedPassword: Uint8Array): Buffer {
  return hmac(saltedPassword, 'Server Key')
}

export function hmac(key: Uint8Array, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

export function sha256(data: Uint8Array): Buffer {
  return createHash('sha256').update(data).digest()
}

export function xor(left: Uint8Array, right: Uint8Array): Buffer {
  return Buffer.from(left.map((byte, index) => byte ^ (right[index] ?? 0)))
}

export function same(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right)
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

/** Strict base64; null if it is not. */
export function decode(text: string | undefined): Buffer | null {
  if (text === undefined || !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return null
  return Buffer.from(text, 'base64')
}

/** Splits `a=…,b=…`: the values of exactly the attributes named, in their order, then optional extensions. Throws 08P01. */
export function attributes(message: string, names: string, what: string): readonly string[] {
  const parts = message.split(',')
  return Array.from(names, (name, index) => {
    const part = parts[index]
    if (part?.startsWith(`${name}=`) !== true) throw violation(`malformed SCRAM message (${what})`)
    return part.slice(2)
  })
}
