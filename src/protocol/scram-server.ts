// protocol/scram-server.ts — the server's half of SCRAM-SHA-256: a client logs in to us, with channel binding where TLS gives
// it. The client's proof gives away its ClientKey, with which it can be logged in to servers that have the same verifier.
// An unknown user goes the whole way with a mock verifier, so that the exchange does not tell who exists.
import type { ChannelBinding } from './scram-client.js'
import { DEFAULT_ITERATIONS, SCRAM, SCRAM_PLUS, attributes, base64, decode, hmac, same, sha256, xor, type ScramVerifier } from './scram.js'
import { violation } from './violation.js'

/** `clientKey`: recovered from the proof. */
export type ScramOutcome = { readonly ok: true; readonly message: string; readonly clientKey: Uint8Array } | { readonly ok: false }

export class ScramServer {
  readonly #verifier: ScramVerifier
  readonly #serverNonce: string
  readonly #binding: ChannelBinding
  readonly #mechanism: string
  #header = ''
  #clientFirst = ''
  #serverFirst = ''
  #nonceOfBoth = ''

  /**
   * `serverNonce`: random printable ASCII without a comma, at least 18 bytes of entropy. `binding`: of our certificate;
   * null: no channel binding was offered. `mechanism`: the client's choice among scramMechanisms(binding).
   */
  constructor(verifier: ScramVerifier, serverNonce: string, binding: ChannelBinding = null, mechanism: string = SCRAM) {
    this.#verifier = verifier
    this.#serverNonce = serverNonce
    this.#binding = binding
    this.#mechanism = mechanism
  }

  /** client-first → server-first. Throws 08P01. */
  first(message: string): string {
    const match = /^([ny],,|p=tls-server-end-point,,)((?:n=[^,]*),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)$/.exec(message)
    if (match === null) throw violation('malformed SCRAM message (client-first)')
    this.#header = match[1] ?? ''
    const binds = this.#header.startsWith('p')
    if (binds !== (this.#mechanism === SCRAM_PLUS)) throw violation('SCRAM message and mechanism disagree about channel binding')
    // The client could have bound the channel, and was made to believe that we cannot: somebody is in the middle.
    if (this.#header.startsWith('y') && this.#binding !== null) throw violation('SCRAM channel binding negotiation error')
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
    if (binding !== base64(this.#bound())) throw violation('SCRAM channel binding check failed')
    if (nonce !== this.#nonceOfBoth) throw violation('SCRAM nonce does not match')
    const signed = `${this.#clientFirst},${this.#serverFirst},${message.slice(0, cut)}`
    const key = xor(proof, hmac(this.#verifier.storedKey, signed))
    if (!same(sha256(key), this.#verifier.storedKey)) return { ok: false }
    return { ok: true, message: `v=${base64(hmac(this.#verifier.serverKey, signed))}`, clientKey: key }
  }

  #bound(): Buffer {
    const header = Buffer.from(this.#header, 'latin1')
    return this.#mechanism === SCRAM_PLUS && this.#binding !== null ? Buffer.concat([header, this.#binding]) : header
  }
}

/** What to offer, as the server orders it. */
export function scramMechanisms(binding: ChannelBinding): readonly string[] {
  return binding === null ? [SCRAM] : [SCRAM_PLUS, SCRAM]
}

/** A verifier that no password meets: same salt each time for the same user, as a real one has. `secret` is the process's own. */
export function mockVerifier(user: string, secret: Uint8Array): ScramVerifier {
  const salt = hmac(secret, `salt ${user}`).subarray(0, 16)
  return { iterations: DEFAULT_ITERATIONS, salt, storedKey: hmac(secret, `stored ${user}`), serverKey: hmac(secret, `server ${user}`) }
}
