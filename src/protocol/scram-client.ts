// protocol/scram-client.ts — the client's half of SCRAM-SHA-256: we log in to a server, and check that it knows the password.
import {
  SCRAM,
  SCRAM_PLUS,
  MAX_ITERATIONS,
  attributes,
  base64,
  clientKey,
  decode,
  hmac,
  same,
  serverKey,
  sha256,
  xor,
  type ScramKeys,
} from './scram.js'
import { violation } from './violation.js'

/** `tls-server-end-point` data (RFC 5929): the hash of the server's certificate. null: no channel binding. */
export type ChannelBinding = Uint8Array | null

export interface ServerFirst {
  readonly nonce: string
  readonly salt: Uint8Array
  readonly iterations: number
}

export class ScramClient {
  readonly mechanism: typeof SCRAM | typeof SCRAM_PLUS
  readonly #nonce: string
  readonly #header: string
  readonly #binding: ChannelBinding
  #serverFirst = ''
  #nonceOfBoth = ''
  #serverSignature: Uint8Array | null = null

  /** `nonce`: random printable ASCII without a comma, at least 18 bytes of entropy. */
  constructor(nonce: string, binding: ChannelBinding) {
    this.mechanism = binding === null ? SCRAM : SCRAM_PLUS
    this.#nonce = nonce
    this.#binding = binding
    // `n`: we do not support binding at all. `y` would have a server that offers it break off, rightly: a downgrade.
    this.#header = binding === null ? 'n,,' : 'p=tls-server-end-point,,'
  }

  /** The user name is left empty: PostgreSQL takes the one of the startup message. */
  first(): string {
    return `${this.#header}${this.#bare()}`
  }

  /** Reads server-first; its salt and iterations go to saltPassword(). Throws 08P01. */
  readServerFirst(message: string): ServerFirst {
    const [nonce = '', salt = '', iterations = ''] = attributes(message, 'rsi', 'server-first')
    const salted = decode(salt)
    const count = /^\d{1,9}$/.test(iterations) ? Number(iterations) : 0
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length) throw violation('SCRAM nonce is not ours')
    if (salted === null || salted.length === 0 || count < 1 || count > MAX_ITERATIONS)
      throw violation('malformed SCRAM message (server-first)')
    this.#serverFirst = message
    this.#nonceOfBoth = nonce
    return { nonce, salt: salted, iterations: count }
  }

  final(saltedPassword: Uint8Array): string {
    return this.finalByKeys({ clientKey: clientKey(saltedPassword), serverKey: serverKey(saltedPassword) })
  }

  /** Where the password is not known, but what it is hashed to. The keys must be of the server's salt and iterations. */
  finalByKeys({ clientKey: key, serverKey }: Pick<ScramKeys, 'clientKey' | 'serverKey'>): string {
    const header = Buffer.from(this.#header, 'latin1')
    const bound = base64(this.#binding === null ? header : Buffer.concat([header, this.#binding]))
    const withoutProof = `c=${bound},r=${this.#nonceOfBoth}`
    const message = `${this.#bare()},${this.#serverFirst},${withoutProof}`
    this.#serverSignature = hmac(serverKey, message)
    return `${withoutProof},p=${base64(xor(key, hmac(sha256(key), message)))}`
  }

  /** Throws unless the server proved that it knows the verifier. */
  verifyServerFinal(message: string): void {
    if (message.startsWith('e=')) throw violation('the server refused the SCRAM exchange')
    const signature = decode(attributes(message, 'v', 'server-final')[0])
    if (this.#serverSignature === null || signature === null || !same(signature, this.#serverSignature)) {
      throw violation('the server did not prove that it knows the password (SCRAM)')
    }
  }

  #bare(): string {
    return `n=,r=${this.#nonce}`
  }
}
