// protocol/scram-server.ts — the server's half of SCRAM-SHA-256: a client logs in to us. No channel binding is offered.
// An unknown user goes the whole way with a mock verifier, so that the exchange does not tell who exists.
import { DEFAULT_ITERATIONS, attributes, base64, decode, hmac, same, sha256, xor, type ScramVerifier } from './scram.js'
import { violation } from './violation.js'

export type ScramOutcome = { readonly ok: true; readonly message: string } | { readonly ok: false }

export class ScramServer {
  readonly #verifier: ScramVerifier
  readonly #serverNonce: string
  #header = ''
  #clientFirst = ''
  #serverFirst = ''
  #nonceOfBoth = ''

  /** `serverNonce`: random printable ASCII without a comma, at least 18 bytes of entropy. */
  constructor(verifier: ScramVerifier, serverNonce: string) {
    this.#verifier = verifier
    this.#serverNonce = serverNonce
  }

  /** client-first → server-first. Throws 08P01. */
  first(message: string): string {
    const match = /^([ny],,)((?:n=[^,]*),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)$/.exec(message)
    if (match === null) throw violation('malformed SCRAM message (client-first)')
    this.#header = match[1] ?? ''
    this.#clientFirst = match[2] ?? ''
    this.#nonceOfBoth = `${match[3] ?? ''}${this.#serverNonce}`
    this.#serverFirst = `r=${this.#nonceOfBoth},s=${base64(this.#verifier.salt)},i=${String(this.#verifier.iterations)}`
    return this.#serverFirst
  }

  /** client-final → server-final, or not ok: the password is wrong. Throws 08P01 where the message is not one of this exchange. */
  final(message: string): ScramOutcome {
    const cut = message.lastIndexOf(',p=')
    const [binding, nonce] = attributes(message, 'cr', 'client-final')
    const proof = cut < 0 ? null : decode(message.slice(cut + 3))
    if (proof?.length !== 32 || this.#serverFirst === '') throw violation('malformed SCRAM message (client-final)')
    if (binding !== base64(Buffer.from(this.#header, 'latin1'))) throw violation('SCRAM channel binding does not match')
    if (nonce !== this.#nonceOfBoth) throw violation('SCRAM nonce does not match')
    const signed = `${this.#clientFirst},${this.#serverFirst},${message.slice(0, cut)}`
    const key = xor(proof, hmac(this.#verifier.storedKey, signed))
    if (!same(sha256(key), this.#verifier.storedKey)) return { ok: false }
    return { ok: true, message: `v=${base64(hmac(this.#verifier.serverKey, signed))}` }
  }
}

/** A verifier that no password meets: same salt each time for the same user, as a real one has. `secret` is the process's own. */
export function mockVerifier(user: string, secret: Uint8Array): ScramVerifier {
  const salt = hmac(secret, `salt ${user}`).subarray(0, 16)
  return { iterations: DEFAULT_ITERATIONS, salt, storedKey: hmac(secret, `stored ${user}`), serverKey: hmac(secret, `server ${user}`) }
}
