// server/login-keys.ts — what stands for a user's password where nobody here knows it: the keys that a client's SCRAM proof
// gave away, or the md5 hash it was checked against. One object for each user and secret, held by the clients that are
// logged in with it; when the last one leaves the keys are overwritten, though pools may keep the object. They are
// private fields, so that no log, error or inspection shows them.
import type { ScramKeys } from '../protocol/scram.js'

export type LoginSecret = { readonly kind: 'scram'; readonly keys: ScramKeys } | { readonly kind: 'md5'; readonly stored: string }

export class LoginKeys {
  /** Names it, and tells nothing. */
  readonly id: string
  #secret: LoginSecret | null = null
  #holders = 0

  constructor(id: string) {
    this.id = id
  }

  /** One more client has proved that it knows the password. The keys are this object's from here on. */
  hold(secret: LoginSecret): void {
    if (this.#secret === null) this.#secret = secret
    else wipe(secret)
    this.#holders += 1
  }

  /** One client less. */
  release(): void {
    this.#holders -= 1
    if (this.#holders > 0) return
    if (this.#secret !== null) wipe(this.#secret)
    this.#secret = null
  }

  get held(): boolean {
    return this.#holders > 0
  }

  /** null: there are none, or nobody holds them any more. */
  get scram(): ScramKeys | null {
    return this.#secret?.kind === 'scram' ? this.#secret.keys : null
  }

  /** As in pg_authid (`md5…`), or null. */
  get md5(): string | null {
    return this.#secret?.kind === 'md5' ? this.#secret.stored : null
  }
}

function wipe(secret: LoginSecret): void {
  if (secret.kind === 'md5') return
  secret.keys.clientKey.fill(0)
  secret.keys.serverKey.fill(0)
}
