// doors/proxy/generations.ts — which generation of the runtime a client is in: one for as long as anything of the client's
// stands in it, the newest for every request that finds nothing standing.
import { isDeepStrictEqual } from 'node:util'
import { PointsmanError } from '../../errors/error.js'
import type { Identity } from '../../pool/contract.js'
import type { Generation } from '../../runtime/contract.js'
import type { ServerConnection } from '../../server/contract.js'
import type { ClusterSnapshot } from '../../topology/topology.js'
import type { ClientState } from './client-state.js'
import { databaseOf } from './login.js'

export class Generations {
  readonly #state: ClientState
  #entered: Generation<ServerConnection> | null = null
  /** Number of the generation that this client had last. */
  #last = 0
  /** Logins of this client, by cluster, as the generation at hand has them. */
  readonly #identities = new Map<string, Identity>()

  constructor(state: ClientState) {
    this.#state = state
  }

  get current(): Generation<ServerConnection> {
    if (this.#entered === null) throw new Error('no generation entered')
    return this.#entered
  }

  /** The one that the next request will be in. */
  get upcoming(): Generation<ServerConnection> {
    return this.#entered ?? this.#state.runtime.current()
  }

  /** Takes the present generation, unless something of this client's still stands in the one it has. */
  enter(): void {
    if (this.#entered !== null) return
    const { runtime, cache, session, now } = this.#state
    const current = runtime.current()
    current.enter()
    this.#entered = current
    if (this.#last !== current.number) {
      this.#identities.clear()
      cache.enter(current.number, current.config, now())
    }
    this.#last = current.number
    if (databaseOf(current.config, session.database) !== undefined) return
    const detail = `The database "${session.database}" was taken out of the configuration.`
    this.#state.endWith(new PointsmanError('shutting_down', { detail }))
  }

  /**
   * Takes the newest generation for a statement that was planned in the one at hand and has not been sent. Throws where tables
   * of the database lead elsewhere now: its plan may be wrong.
   */
  renew(): void {
    const planned = this.current
    if (planned === this.#state.runtime.current()) return
    const { database } = this.#state.session
    this.leave()
    this.enter()
    if (isDeepStrictEqual(databaseOf(planned.config, database), databaseOf(this.current.config, database))) return
    throw new PointsmanError('routing_changed')
  }

  leave(): void {
    this.#entered?.leave()
    this.#entered = null
  }

  /** The client's login on a cluster. */
  identityOn(cluster: string): Identity {
    const known = this.#identities.get(cluster)
    if (known !== undefined) return known
    const identity = this.current.identityFor(cluster, this.#state.login)
    this.#identities.set(cluster, identity)
    return identity
  }

  /** Also when this client holds no generation any more. */
  clusterNow(id: string): ClusterSnapshot | undefined {
    return this.#state.runtime.current().topology().clusters.get(id)
  }
}

/** Nothing was sent: what it concerns may be planned again. */
export function isRoutingChange(error: unknown): boolean {
  return error instanceof PointsmanError && error.key === 'routing_changed'
}
