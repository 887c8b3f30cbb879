// doors/library/hold.ts — one leased connection while a client has it: for a statement, a transaction, or as long as the
// session is pinned to it.
import type { EventEmitter } from 'node:events'
import type { Grant, RouteTaken } from '../../execute/contract.js'
import type { Lease } from '../../pool/contract.js'
import { connectionSettings, type Settings } from '../../session/settings.js'
import type { PgClient } from './pg-client.js'
import type { PgConnection } from './pg-connection.js'

/** Hears of the connections themselves, as pg-pool's `acquire` and `release` do. Must not throw. */
export interface LeaseListener {
  acquired(client: PgClient): void
  returned(client: PgClient, error: Error | undefined): void
}

export class Hold {
  readonly connection: PgConnection
  readonly route: RouteTaken
  /** Process-monotonic ms at which this hold began. */
  readonly since: number
  /** Process-monotonic ms at which the first statement of the present transaction came. */
  begunAt: number
  /** What stands on the connection beyond the server's defaults; null: not known. */
  values: Settings | null
  /** Why it must be scrubbed before another client gets it, or null. */
  taint: string | null = null
  readonly pins: Set<string> = new Set()
  /** A write was sent whose transaction has not ended. */
  writing = false
  /** What the writes of the present transaction outdate (OnePlan.changes), each once; null: there were none. */
  changes: Set<readonly string[] | null> | null = null
  /** The floor waits for the end of that transaction: one of its writes was sticky. */
  marked = false
  readonly #lease: Lease<PgConnection>
  readonly #leases: LeaseListener | null
  #ended = false

  constructor({ lease, route }: Grant<PgConnection>, listener: EventEmitter | null, since: number, leases: LeaseListener | null) {
    this.#leases = leases
    this.#lease = lease
    this.connection = lease.connection
    this.route = route
    this.since = since
    this.begunAt = since
    this.values = lease.connection.settings?.values ?? null
    this.connection.lent(listener)
    leases?.acquired(this.connection.client)
  }

  get cluster(): string {
    return this.#lease.cluster
  }

  /** Only the first of release() and destroy() counts: a client may leave while its connection is being lost. */
  release(): void {
    if (this.#ended) return
    this.#ended = true
    this.connection.returned()
    this.connection.settings = this.values === null ? null : connectionSettings(this.values)
    const left = this.connection.status === 'I' ? null : 'left in a transaction'
    const unknown = this.values === null ? 'its settings are not known' : null
    this.#lease.release(this.taint ?? left ?? unknown)
    this.#leases?.returned(this.connection.client, undefined)
  }

  destroy(reason: string): void {
    if (this.#ended) return
    this.#ended = true
    this.connection.returned()
    this.#lease.destroy(reason)
    this.#leases?.returned(this.connection.client, new Error(reason))
  }
}
