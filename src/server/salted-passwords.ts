// server/salted-passwords.ts — PBKDF2 results by password, salt and iterations. A server gives one role the same salt at
// every login, so a pool that opens a hundred connections hashes once. The password itself is kept only as a hash.
import { LRUCache } from 'lru-cache'
import { base64, saltPassword, sha256 } from '../protocol/scram.js'

const known = new LRUCache<string, Promise<Buffer>>({ max: 500 })

export function saltedPassword(password: string, salt: Uint8Array, iterations: number): Promise<Buffer> {
  const key = `${base64(sha256(Buffer.from(password, 'utf8')))}:${base64(salt)}:${String(iterations)}`
  const cached = known.get(key)
  if (cached !== undefined) return cached
  const salted = saltPassword(password, salt, iterations)
  known.set(key, salted)
  salted.catch(() => known.delete(key))
  return salted
}
