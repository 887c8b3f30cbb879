// doors/proxy/acquisition.ts — one wait for a server connection, told by a call.
import type { Grant, GrantWaiter } from '../../execute/contract.js'
import type { ServerConnection } from '../../server/contract.js'
import type { ClientState } from './client-state.js'
import type { Hold } from './hold.js'
import type { Presence } from './presence.js'

/** Who waits for a server connection. One of the two is called, once; neither may throw. */
export interface HoldWaiter {
  held(hold: Hold): void
  notHeld(error: unknown): void
}

export class Acquisition implements GrantWaiter<ServerConnection> {
  readonly #state: ClientState
  readonly #presence: Presence
  readonly #waiter: HoldWaiter
  readonly #take: (grant: Grant<ServerConnection>) => Hold | null
  #over = false

  constructor(state: ClientState, presence: Presence, waiter: HoldWaiter, take: (grant: Grant<ServerConnection>) => Hold | null) {
    this.#state = state
    this.#presence = presence
    this.#waiter = waiter
    this.#take = take
  }

  begin(): void {
    if (this.#over) return
    this.#presence.begin()
    this.#state.waitingSince = this.#state.now()
  }

  granted(grant: Grant<ServerConnection>): void {
    this.#end()
    try {
      if (this.#presence.gone) grant.lease.release(null)
      this.#presence.require()
      const hold = this.#take(grant)
      if (hold !== null) this.#waiter.held(hold)
    } catch (error) {
      this.#waiter.notHeld(error)
    }
  }

  failed(error: unknown): void {
    this.#end()
    this.#waiter.notHeld(error)
  }

  #end(): void {
    const { now, traffic, waitingSince } = this.#state
    this.#over = true
    this.#presence.over()
    this.#state.waitingSince = null
    if (waitingSince !== null) traffic.waitMs += now() - waitingSince
  }
}

/** null: the waiter is told. */
export function waitFor(held: Hold | Promise<Hold>, waiter: HoldWaiter): Hold | null {
  if (!(held instanceof Promise)) return held
  void held.then(
    (hold) => waiter.held(hold),
    (error: unknown) => waiter.notHeld(error),
  )
  return null
}
