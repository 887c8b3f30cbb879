// doors/library/cached-read.ts — a read that may use the result cache: answered with kept rows, with those of an identical
// read that is under way, or run for rows that may be kept.
import { boundNow, type Origin } from '../../cache/admission.js'
import { joinKey, settingsKey, statementKey } from '../../cache/key.js'
import type { Fill, Found, Kept, Sought } from '../../cache/result-cache.js'
import type { ReadEnd, SessionFloors } from '../../consistency/floors.js'
import type { RouteTaken } from '../../execute/contract.js'
import type { Events } from '../../observe/events.js'
import type { ParameterSource } from '../../routing/input.js'
import type { OnePlan } from '../../routing/plan.js'
import type { Settings } from '../../session/settings.js'
import type { Understood } from '../../sql/statement.js'
import type { Core, Ground } from './core.js'
import type { Hold } from './hold.js'
import type { PgResult } from './pg-client.js'
import type { PlainQuery } from './query-arguments.js'
import {
  isText,
  rawConfig,
  rawRows,
  resultClassOf,
  resultOf,
  sizeOf,
  typesOf,
  type RawRows,
  type ResultClass,
  type TypeSource,
} from './raw-rows.js'

export interface CachedReadParts {
  readonly core: Core
  readonly ground: Ground
  readonly floors: SessionFloors
  readonly plan: OnePlan
  readonly query: PlainQuery
  readonly understood: Understood
  readonly parameters: ParameterSource | null
  /** That the client believes to stand. */
  readonly settings: Settings
  /** Process-monotonic ms. */
  readonly invokedAt: number
}

export interface Given {
  readonly result: PgResult
  readonly route: RouteTaken
}

/** A read waits for others this often; then it is made, whoever else makes it. */
const maxWaits = 2

export class CachedRead {
  readonly #parts: CachedReadParts
  readonly #key: string
  /** Asks for rows as the server writes them. */
  readonly #raw: object
  readonly #result: ResultClass
  /** Of the connection it is sent on; null: it is asked for values, and nothing is kept. */
  #types: TypeSource | null = null
  #fill: Fill<RawRows> | null = null
  #notices = 0

  private constructor(parts: CachedReadParts, raw: object, result: ResultClass, key: string) {
    this.#parts = parts
    this.#result = result
    this.#raw = raw
    this.#key = key
  }

  /** null: not of a kind that is kept. */
  static of(parts: CachedReadParts): CachedRead | null {
    const raw = rawConfig(parts.query.config)
    const values = raw === null ? null : valuesKey(parts)
    const result = resultClassOf(parts.core.pg)
    if (raw === null || values === null || result === null) return null
    const { login } = parts.core
    const session = [login.database, login.user, settingsKey(parts.settings)]
    return new CachedRead(parts, raw, result, joinKey([parts.plan.cluster, ...session, statementKey(parts.understood), ...values]))
  }

  /** The answer; null: it is to be run, and where it `fills`: sent(), then `query`, complete() and own(). */
  async answer(): Promise<Given | null> {
    let found = this.#find(true)
    for (let waits = 1; found.kind === 'under-way'; waits++) {
      const kept = await this.#ofOther(found.fill)
      const sought = this.#sought()
      if (kept !== null && sought !== null && this.#parts.core.cache.fits(sought, kept.origin)) return this.#give(kept, 'shared')
      found = this.#find(waits < maxWaits)
    }
    if (found.kind === 'kept') return this.#give(found.kept, 'hit')
    this.#tell(found.outcome)
    this.#fill = found.fill
    return null
  }

  /** Its rows may be kept. */
  get fills(): boolean {
    return this.#fill !== null
  }

  get query(): PlainQuery {
    return this.#types === null ? this.#parts.query : { ...this.#parts.query, config: this.#raw }
  }

  /** Before it is sent. */
  sent(hold: Hold): void {
    const { cluster, node, role, position } = hold.route
    const { core, ground } = this.#parts
    const origin: Origin = {
      cluster,
      node,
      role,
      position,
      system: ground.generation.topology().clusters.get(cluster)?.system ?? null,
      sentAt: core.now(),
    }
    this.#notices = hold.connection.notices
    this.#types = typesOf(hold.connection.client)
    if (this.#types === null) this.#fill?.giveUp(true)
    else this.#fill?.sent(origin)
  }

  /** What came of it, for query. */
  complete(hold: Hold, result: PgResult, read: ReadEnd): void {
    if (this.#types === null) return
    const rows = rawRows(result, this.#result, this.#types)
    const cluster = this.#parts.ground.generation.topology().clusters.get(hold.cluster)
    const keeps = isText(rows) && hold.connection.notices === this.#notices && hold.settings !== null
    if (!keeps || cluster === undefined) this.#fill?.giveUp(true)
    else if (this.#fill?.grow(sizeOf(rows)) === true) this.#fill.finish(rows, read, cluster)
  }

  /** The query's own result, of what query gave. */
  own(result: PgResult): PgResult {
    return this.#types === null ? result : resultOf(rawRows(result, this.#result, this.#types), this.#parts.query.config)
  }

  close(): void {
    this.#fill?.giveUp(false)
  }

  #find(wait: boolean): Found<RawRows> {
    const sought = this.#sought()
    const { core, ground } = this.#parts
    return (
      (sought === null ? null : core.cache.find(ground.generation.number, sought, wait)) ?? { kind: 'none', fill: null, outcome: 'miss' }
    )
  }

  /** null: nothing is known of its cluster yet. */
  #sought(): Sought | null {
    const { core, ground, floors, plan, invokedAt } = this.#parts
    const { cluster: id, policy, keptOn } = plan
    const cluster = ground.generation.topology().clusters.get(id)
    if (cluster === undefined || keptOn === null) return null
    const asking = { policy, floors, cluster, invokedAt, now: core.now() }
    return { key: this.#key, cluster: id, tables: keptOn, catalog: ground.generation.catalogs().get(id), notBefore: -Infinity, asking }
  }

  /** Rejects when the pool is ended. */
  async #ofOther(fill: Fill<RawRows>): Promise<Kept<RawRows> | null> {
    const { signal } = this.#parts.core.stopping
    signal.throwIfAborted()
    const ticket = fill.join()
    let stop = (): void => undefined
    const stopped = new Promise<never>((_resolve, reject) => {
      stop = (): void => reject(signal.reason as Error)
    })
    signal.addEventListener('abort', stop, { once: true })
    try {
      return await Promise.race([ticket.kept, stopped])
    } finally {
      ticket.leave()
      signal.removeEventListener('abort', stop)
    }
  }

  #give({ value, origin, read }: Kept<RawRows>, outcome: 'hit' | 'shared'): Given {
    const { floors, ground, invokedAt, plan, query } = this.#parts
    const result = resultOf(value, query.config)
    const { cluster: id, node, role, position } = origin
    const cluster = ground.generation.topology().clusters.get(id)
    const boundMs = cluster === undefined ? null : boundNow(cluster, origin, invokedAt)
    floors.readEnded(id, read)
    this.#tell(outcome)
    return { result, route: { cluster: id, node, role, boundMs, step: 'cache', position, why: plan.why } }
  }

  #tell(outcome: Events['cache.read']['outcome']): void {
    const { core, plan } = this.#parts
    core.observer.emit('cache.read', { database: core.login.database, cluster: plan.cluster, outcome })
  }
}

/** What pg sends for each value; null: a value of which that cannot be told. */
function valuesKey({ query, parameters }: CachedReadParts): readonly string[] | null {
  try {
    return query.values.map((_value, index) => {
      const sent = parameters?.get(index + 1)
      if (sent === null || sent === undefined) return 'null'
      return 'text' in sent ? `text ${sent.text}` : `bytes ${Buffer.from(sent.binary).toString('latin1')}`
    })
  } catch {
    return null
  }
}
