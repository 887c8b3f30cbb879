// doors/library/request-context.ts — whose statement this is, by AsyncLocalStorage: the session of a request, and what the
// scopes around it ask for (usePrimary and the like). It is read once, when query() or connect() is entered, and carried as
// a value from there: what happens later, in whatever context, cannot mix two requests up (I16).
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { SessionFloors } from '../../consistency/floors.js'
import type { Affinity } from '../../execute/contract.js'
import type { RequestSession, RouteOptions } from './request-types.js'

/** A session as its statements need it. */
export interface CarriedSession extends RequestSession {
  readonly floors: SessionFloors
  readonly affinity: Affinity
  /** One statement of it is under way until the function given is called. */
  begin(): () => void
}

export interface Around {
  readonly session: CarriedSession | null
  /** What its scopes ask, the inner ones first; undefined: nothing. */
  readonly scope: RouteOptions | undefined
  /** Outranks every scope: what a transaction was asked for with. */
  readonly own?: RouteOptions
}

const nothing: Around = Object.freeze({ session: null, scope: undefined })

export class RequestContext {
  readonly #storage = new AsyncLocalStorage<Around>()
  /** The context in which the router was made. What outlives a request, such as a socket, belongs there. */
  readonly #outside = new AsyncResource('pointsman')
  #used = false
  /** Somebody was within a session or a scope. */
  #entered = false

  /** Somebody works with sessions: who has none may have lost one. */
  get used(): boolean {
    return this.#used
  }

  current(): Around {
    return this.#entered ? (this.#storage.getStore() ?? nothing) : nothing
  }

  run<T>(session: CarriedSession, work: () => T): T {
    this.#used = true
    this.#entered = true
    return this.#storage.run({ session, scope: this.current().scope }, work)
  }

  within<T>(scope: RouteOptions, work: () => T): T {
    const { session, scope: outer } = this.current()
    this.#entered = true
    return this.#storage.run({ session, scope: innerFirst(scope, outer) }, work)
  }

  outside<T>(work: () => T): T {
    return this.#outside.runInAsyncScope(work)
  }
}

/** How fresh (consistency and max_staleness together), which shard, whether writes stick: each is asked of the inner one first. */
export function innerFirst(inner: RouteOptions, outer: RouteOptions | undefined): RouteOptions {
  if (outer === undefined) return inner
  const fresh = saysFreshness(inner) ? inner : outer
  const shardKey = inner.shardKey ?? outer.shardKey
  const stickyWrites = inner.stickyWrites ?? outer.stickyWrites
  return {
    ...(fresh.consistency === undefined ? {} : { consistency: fresh.consistency }),
    ...(fresh.maxStaleness === undefined ? {} : { maxStaleness: fresh.maxStaleness }),
    ...(shardKey === undefined ? {} : { shardKey }),
    ...(stickyWrites === undefined ? {} : { stickyWrites }),
  }
}

function saysFreshness({ consistency, maxStaleness }: RouteOptions): boolean {
  return consistency !== undefined || maxStaleness !== undefined
}
