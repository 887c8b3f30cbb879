// doors/library/hold.ts — one leased connection while a client has it: for a statement, a transaction, or as long as the
// session is pinned to it.
import type { EventEmitter } from 'node:events'
import type { Grant, RouteTaken } from '../../execute/contract.js'
import type { Lease } from '../../pool/contract.js'
import type { JointPart } from '../../execute/joint.js'
import type { Said } from '../../execute/two-phase.js'
import { sqlstateOf } from '../../pool/failure.js'
import { connectionSettings, type SettingsState } from '../../session/settings.js'
import { isTimeout, lossOf } from './loss.js'
import type { PgClient, PgResult } from './pg-client.js'
import type { PgConnection, Status } from './pg-connection.js'
import { rawTypes } from './raw-rows.js'

/** Hears of the connections themselves, as pg-pool's `acquire` and `release` do. Must not throw. */
export interface LeaseListener {
  acquired(client: PgClient): void
  returned(client: PgClient, error: Error | undefined): void
}

/** A server's no to a text of ours: `severity` is in PostgreSQL's own words, where pg has it in the server's language. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly severity = 'ERROR'
  readonly code: string
  /** As pg has told it. */
  readonly told: unknown

  constructor(told: unknown) {
    super(told instanceof Error ? told.message : String(told))
    this.code = sqlstateOf(told) ?? ''
    this.told = told
  }
}

export class Hold implements JointPart {
  readonly connection: PgConnection
  readonly route: RouteTaken
  /** Process-monotonic ms at which this hold began. */
  readonly since: number
  /** Process-monotonic ms at which the first statement of the present transaction came. */
  begunAt: number
  /** What stands on the connection beyond the server's defaults, with its own undo; null: not known. */
  settings: SettingsState | null
  /** Why it must be scrubbed before another client gets it, or null. */
  taint: string | null = null
  readonly pins: Set<string> = new Set()
  /** A write was sent whose transaction has not ended. */
  writing = false
  /** What the writes of the present transaction outdate (OnePlan.changes), each once; null: there were none. */
  changes: Set<readonly string[] | null> | null = null
  /** The floor waits for the end of that transaction: one of its writes was sticky. */
  marked = false
  /** DDL ran in the present transaction: when it commits, the catalog is to be read again. */
  definedSomething = false
  readonly #lease: Lease<PgConnection>
  readonly #leases: LeaseListener | null
  #ended = false
  #saying: Promise<unknown> = Promise.resolve()

  constructor({ lease, route }: Grant<PgConnection>, listener: EventEmitter | null, since: number, leases: LeaseListener | null) {
    this.#leases = leases
    this.#lease = lease
    this.connection = lease.connection
    this.route = route
    this.since = since
    this.begunAt = since
    this.settings = lease.connection.settings
    this.connection.lent(listener)
    leases?.acquired(this.connection.client)
  }

  get cluster(): string {
    return this.#lease.cluster
  }

  /** The connection is gone. */
  get lost(): boolean {
    return !this.connection.usable
  }

  get status(): Status {
    return this.connection.status
  }

  /** Sends a text of ours, after those that were given before. Rejects with Refused, or with what the user is told of a loss. */
  say(sql: string): Promise<Said> {
    const said = this.#saying.then(() => this.#say(sql))
    this.#saying = said.catch(() => undefined)
    return said
  }

  async #say(sql: string): Promise<Said> {
    const { connection } = this
    if (!connection.usable) throw lossOf(this, false, undefined)
    connection.begin()
    try {
      const answer = await connection.client.query({ text: sql, rowMode: 'array', types: rawTypes })
      const results: readonly PgResult[] = Array.isArray(answer) ? answer : [answer]
      return { rows: results.flatMap(({ rows }) => rows as (string | null)[][]), tag: results.at(-1)?.command ?? '' }
    } catch (error) {
      // pg gave up on it, the server did not.
      if (isTimeout(error)) connection.close()
      throw (await connection.settled()) === null ? lossOf(this, false, error) : new Refused(error)
    }
  }

  /** Only the first of release() and destroy() counts: a client may leave while its connection is being lost. */
  release(): void {
    if (this.#ended) return
    this.#ended = true
    this.connection.returned()
    this.connection.settings = this.settings === null ? null : connectionSettings(this.settings.values)
    const left = this.connection.status === 'I' ? null : 'left in a transaction'
    const unknown = this.settings === null ? 'its settings are not known' : null
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
