// doors/library/routed-pool.ts — the class that *is* a pg.Pool for its users: an instance of the application's own
// pg.Pool (Prisma asks `instanceof`), whose class name contains "Pool" (Drizzle asks that). pg-pool's own machinery is
// never used: its constructor opens nothing, and everything that would is replaced here.
import type { AuditBookData } from '../../audit/contract.js'
import { PointsmanError } from '../../errors/error.js'
import type { EventEmitter } from 'node:events'
import type { ConfigInput } from '../../config/input.js'
import type { Observer } from '../../observe/events.js'
import type { LanesReport } from '../../pool/lanes.js'
import type { ReloadResult, RuntimeSnapshot } from '../../runtime/contract.js'
import type { Begun } from './begun.js'
import { Conversation } from './conversation.js'
import type { Core } from './core.js'
import type { LeaseListener } from './hold.js'
import type { LaneUser } from './lane-read.js'
import type { LibraryLanes } from './library-lanes.js'
import type { PgModule, RoutedPool } from './public.js'
import type { RouteOptions } from './request-types.js'
import { readQuery, type Query } from './query-arguments.js'
import type { Answer } from './request.js'
import { requestApi } from './request-api.js'
import type { Around, CarriedSession } from './request-context.js'
import { deliver, RoutedClientImpl, scoped, TypeParsers } from './routed-client.js'

/** What createRouter() has made before the pool exists. */
export interface PoolParts {
  readonly core: Core
  readonly lanes: LibraryLanes
  readonly options: object
  readonly makeTypes: () => { setTypeParser(...args: readonly unknown[]): void; getTypeParser(...args: readonly unknown[]): unknown }
  readonly reload: (config: ConfigInput | undefined) => Promise<ReloadResult>
}

type ConnectCallback = (error: Error | undefined, client: RoutedClientImpl | undefined, release: (error?: unknown) => void) => void

/** The pool over the application's own pg. */
export function createRoutedPool(pg: PgModule, parts: PoolParts): RoutedPool {
  // Typed as what is used of it; the types of the rest are in public.ts.
  const Base = pg.Pool as unknown as new (config?: object) => EventEmitter
  class PointsmanPool extends Base {
    // Drizzle looks at the constructor's name; a minifier must not change it.
    static override readonly name = 'RoutedPool'
    /** Set by pg-pool's constructor, and read by its users. */
    declare ending: boolean
    declare ended: boolean
    readonly #parts: PoolParts
    readonly #leases: LeaseListener = {
      acquired: (client) => process.nextTick(() => this.emit('acquire', client)),
      returned: (client, error) => process.nextTick(() => this.emit('release', error, client)),
    }
    readonly #laneUser: LaneUser = {
      elsewhere: (query, session, begun) => this.#alone(query, session, begun),
      onEnd: () => this.#in(),
    }
    #out = 0
    #end: Promise<void> | null = null

    constructor(given: PoolParts) {
      super(given.options)
      this.#parts = given
    }

    query(first: unknown, second?: unknown, third?: unknown): unknown {
      return this.#query(first, second, third)
    }

    connect(callback?: ConnectCallback): Promise<RoutedClientImpl> | undefined {
      return this.#connect(callback)
    }

    /** connect() for a transaction whose own options outrank the scopes around it. */
    checkOut(own: RouteOptions): Promise<RoutedClientImpl> {
      return this.ending ? Promise.reject(ended()) : this.#checkOut({ ...this.#parts.core.context.current(), own })
    }

    end(callback?: (error?: Error) => void): Promise<void> | undefined {
      return this.#finish(callback)
    }

    get totalCount(): number {
      return this.#sum((pool) => pool.busy + pool.idle + pool.opening)
    }

    get idleCount(): number {
      return this.#sum((pool) => pool.idle)
    }

    get waitingCount(): number {
      return this.#sum((pool) => pool.waiting)
    }

    /** Connections past their lifetime are closed when they come back: none is kept to be. */
    get expiredCount(): number {
      return this.#sum(() => 0)
    }

    get events(): Observer {
      return this.#parts.core.observer
    }

    async ready(): Promise<void> {
      await this.#parts.core.ready()
    }

    async explain(sql: unknown, parameters?: readonly unknown[]): Promise<unknown> {
      return (await this.#explain(sql, parameters)).plan
    }

    async explainText(sql: unknown, parameters?: readonly unknown[]): Promise<string> {
      return (await this.#explain(sql, parameters)).text
    }

    reload(config?: ConfigInput): Promise<ReloadResult> {
      return this.#parts.reload(config)
    }

    snapshot(): RuntimeSnapshot | null {
      return this.#parts.core.runtime?.snapshot() ?? null
    }

    uniqueId(): Promise<bigint>
    uniqueId(bits: 53): Promise<number>
    async uniqueId(bits: 64 | 53 = 64): Promise<bigint | number> {
      const { runtime } = this.#parts.core
      if (runtime === null) throw new PointsmanError('unique_id_unready', { values: { why: 'the pool is not ready, or has ended' } })
      const [id = 0n] = await runtime.uniqueIds.take(1, bits)
      return bits === 64 ? id : Number(id)
    }

    audit(): AuditBookData | null {
      return this.#parts.core.runtime?.audit.data() ?? null
    }

    lanes(): LanesReport {
      return this.#parts.lanes.report()
    }

    #explain(sql: unknown, parameters?: readonly unknown[]): ReturnType<Conversation['explain']> {
      const { core } = this.#parts
      const { session, scope } = core.context.current()
      return new Conversation(core, { keeps: false, listener: null, session }).explain(scoped(readQuery(sql, parameters), scope))
    }

    #sum(of: (pool: RuntimeSnapshot['pools'][number]) => number): number {
      return (this.snapshot()?.pools ?? []).reduce((sum, pool) => sum + of(pool), 0)
    }

    #query(first: unknown, second?: unknown, third?: unknown): unknown {
      if (typeof first === 'function') {
        const error = new Error('Passing a function as the first parameter to pool.query is not supported')
        setImmediate(first as (error: Error) => void, error)
        return undefined
      }
      const { core, lanes } = this.#parts
      const { session, scope } = core.context.current()
      const query = scoped(readQuery(first, second, third), scope)
      if (this.ending) return deliver(query, Promise.reject(ended()))
      const begun = query.kind === 'plain' ? lanes.begin(query) : null
      const shared = begun === null || query.kind !== 'plain' ? null : lanes.take(query, begun, session, this.#laneUser)
      if (shared === null) return deliver(query, this.#once(query, session, begun))
      this.#out++
      return deliver(query, shared)
    }

    /** A statement outside any client. It counts as being checked out while it runs, so that end() waits for it. */
    async #once(query: Query, session: CarriedSession | null, begun: Begun | null): Promise<Answer> {
      const { alive } = this.#parts.core
      this.#out++
      alive.begin()
      try {
        return await this.#alone(query, session, begun)
      } finally {
        alive.end()
        this.#in()
      }
    }

    #alone(query: Query, session: CarriedSession | null, begun: Begun | null): Promise<Answer> {
      return new Conversation(this.#parts.core, { keeps: false, listener: null, leases: this.#leases, session }).runAlone(query, begun)
    }

    #connect(callback?: ConnectCallback): Promise<RoutedClientImpl> | undefined {
      if (this.ending) {
        if (callback === undefined) return Promise.reject(ended())
        callback(ended(), undefined, () => undefined)
        return undefined
      }
      const checkedOut = this.#checkOut(this.#parts.core.context.current())
      if (callback === undefined) return checkedOut
      checkedOut.then(
        (client) => {
          process.nextTick(callback, undefined, client, client.release)
        },
        (error: unknown) => {
          process.nextTick(callback, error, undefined, () => undefined)
        },
      )
      return undefined
    }

    async #checkOut(around: Around): Promise<RoutedClientImpl> {
      this.#out++
      const { core, makeTypes } = this.#parts
      await core.ready().catch((error: unknown) => {
        this.#in()
        throw error
      })
      const client: RoutedClientImpl = new RoutedClientImpl(core, new TypeParsers(makeTypes), around, (error) => {
        this.#in()
        this.emit('release', error, client)
      })
      this.emit('acquire', client)
      return client
    }

    #in(): void {
      this.#out--
      if (this.#out === 0) this.#whenIn?.()
    }
    #whenIn: (() => void) | null = null

    #finish(callback?: (error?: Error) => void): Promise<void> | undefined {
      const again = new Error('Called end on pool more than once')
      const done = this.#end === null ? (this.#end = this.#close()) : Promise.reject(again)
      if (callback === undefined) return done
      done.then(
        () => {
          process.nextTick(callback)
        },
        (error: unknown) => {
          process.nextTick(callback, error)
        },
      )
      return undefined
    }

    /** As pg-pool: takes nothing new, waits for what is out, then closes. */
    async #close(): Promise<void> {
      this.ending = true
      const { core, lanes } = this.#parts
      await core.alive.during(async () => {
        if (this.#out > 0) await new Promise<void>((resolve) => (this.#whenIn = resolve))
        core.stopping.abort(ended())
        lanes.close()
        const running = await core.ready().catch(() => null)
        await running?.runtime.close(Infinity)
      })
      this.ended = true
    }
  }
  const pool = new PointsmanPool(parts)
  // Like methods: they do not show where a pool is printed or its properties are counted.
  for (const [name, value] of Object.entries(requestApi(parts.core, (own) => pool.checkOut(own)))) {
    Object.defineProperty(pool, name, { value: value as unknown })
  }
  // public.ts has the overloads of @types/pg; one implementation cannot be typed as all of them.
  return pool as unknown as RoutedPool
}

function ended(): Error {
  return new Error('Cannot use a pool after calling end on the pool')
}
