// doors/library/request-types.ts — the types of what a router offers to requests, jobs and operators: sessions, scopes,
// transactions, middleware, lag. `Client` is what connect() gives.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Consistency } from '../../consistency/policy.js'
import type { Switches } from '../../execute/switches.js'
import type { ClusterLag } from '../../topology/lag.js'

/** What one statement may ask of its route. It counts like a hint comment (`pointsman: name=value`) in its text. */
export interface RouteOptions {
  /** `{ maxStaleness: '2s' }` is `bounded` by that. */
  readonly consistency?: Consistency | { readonly maxStaleness: string | number }
  /** A duration (`'2s'`, `'500ms'`), or milliseconds. */
  readonly maxStaleness?: string | number
  /** The key of the row where the statement itself does not tell it. */
  readonly shardKey?: string | number | bigint
  /** `false`: what it writes need not be seen by the session's later reads. */
  readonly stickyWrites?: boolean
}

/**
 * The statements of one user's request, of one job: its reads with `session` consistency see its own writes and never less
 * than they have seen before, on whichever servers and in whichever process. No other session has a part in that.
 */
export interface RequestSession {
  /**
   * What another process needs so that it sees the same: `p1.…`, or '' where nothing was written or read. Samples the
   * primaries where that is needed, for a quarter of a second at most; a token that could not be made exact by then costs
   * whoever reads with it a little time. Rejects only where the router cannot start.
   */
  token(): Promise<string>
  /** It has sent a write, apart from those with `stickyWrites: false`. */
  readonly wrote: boolean
  /**
   * Takes what a token says. It only ever raises what is asked; false: it could not be read (forged, foreign, of another
   * key), and everything that was written anywhere until now is asked instead. undefined and null say nothing.
   */
  import(token: string | null | undefined): boolean
}

export interface RouterSessions {
  /** One that has seen and written nothing. */
  create(): RequestSession
  /** One that has seen what the token says; no text, or '': nothing. */
  fromToken(token: string | null | undefined): RequestSession
  /** Of the code that asks; null: outside run(). */
  current(): RequestSession | null
}

/** For withToken(). */
export interface TokenOptions {
  /** `sticky`: reads meet the token. `always`: all reads go to the primary. `delayed`: waits for a replica first, then as `sticky`. */
  readonly mode?: 'always' | 'sticky' | 'delayed'
  /** How long `delayed` waits for a replica, a duration or milliseconds. Default 10s. */
  readonly wait?: string | number
}

export type Isolation = 'read committed' | 'repeatable read' | 'serializable'

export interface ReadOnlyOptions extends Pick<RouteOptions, 'consistency' | 'maxStaleness' | 'shardKey'> {
  /** `repeatable read`: all its statements see the same moment. Default: the server's. */
  readonly isolation?: Isolation
  /** How often it is made again after an error by which it is certain that nothing was done. Default 3. */
  readonly retries?: number
}

export interface TransactionOptions extends ReadOnlyOptions {
  /** Then it may run on a replica. Default false. */
  readonly readOnly?: boolean
}

/** Where a session comes from and goes to between two HTTP requests. */
export interface MiddlewareOptions {
  /** What its cookies' names begin with, or null for none. Default `__rw`. */
  readonly cookie?: string | null
  /** Request and response header, or null for none. Default `x-db-token`. */
  readonly header?: string | null
  /** How long a browser keeps it: longer than any replica is behind. A duration or milliseconds, default 15m. */
  readonly ttl?: string | number
  /** Responses carry a token also where the request only read: the next request then sees no older state. Default false. */
  readonly monotonic?: boolean
  /** Of the cookie. Default `/`. */
  readonly path?: string
  /** Of the cookie. Default: as the request came. */
  readonly secure?: boolean
  /** Of the cookie. Default `lax`. */
  readonly sameSite?: 'strict' | 'lax' | 'none'
  /** Of the cookie. Default true. */
  readonly httpOnly?: boolean
}

export type ExpressMiddleware = (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void

export type KoaMiddleware = (
  context: { readonly req: IncomingMessage; readonly res: ServerResponse },
  next: () => Promise<unknown>,
) => Promise<unknown>

/** The slice of a Fastify instance that is used. */
export interface FastifyLike {
  decorateRequest(name: string, value: null): unknown
  addHook(name: 'onRequest' | 'preHandler', hook: (request: FastifyRequestLike, reply: FastifyReplyLike, done: () => void) => void): unknown
}

export interface FastifyRequestLike {
  readonly raw: IncomingMessage
}

export interface FastifyReplyLike {
  readonly raw: ServerResponse
}

/** For `fastify.register()`; requests get `dbSession`. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- an instance of any Fastify is one of these; its own types say more than is used
export type FastifyPlugin = (instance: any, options: unknown, done: (error?: Error) => void) => void

export interface ThrottleOptions {
  /** Default: all clusters of the database. */
  readonly cluster?: string
  /** A duration or milliseconds. Default 2s. */
  readonly maxLag?: string | number
  /** Past it the promise is rejected. A duration or milliseconds; default: none. */
  readonly timeout?: string | number
  readonly signal?: AbortSignal
}

export interface RequestApi<Client> {
  readonly session: RouterSessions
  /** Everything that `work` calls belongs to the session, also later: what it awaits, its callbacks, its streams. */
  run<T>(session: RequestSession, work: () => T): T
  /** session.token() of the session that is current. Rejects where there is none. */
  exportToken(): Promise<string>
  /** Runs a job in a session that has seen what the token says. */
  withToken<T>(token: string | null | undefined, work: () => T | Promise<T>, options?: TokenOptions): Promise<T>
  /** Reads inside go to the primary. */
  usePrimary<T>(work: () => T): T
  /** Reads inside go to replicas, after own writes too; bounds of staleness and `enforce` stay. */
  useReplicas<T>(work: () => T): T
  /** Writes inside do not move the session: page views counted must not send their reader to the primary. */
  withoutStickyWrites<T>(work: () => T): T
  /**
   * One transaction: BEGIN, `work`, COMMIT; ROLLBACK where `work` throws. Made again from its beginning, `work` included, after
   * 40001, 40P01 and errors of Pointsman that say `retry: 'safe'`; never where the outcome is not known.
   */
  transaction<T>(work: (client: Client) => Promise<T>): Promise<T>
  transaction<T>(options: TransactionOptions, work: (client: Client) => Promise<T>): Promise<T>
  /** transaction() with `readOnly`: on one replica that meets the policy of its first statement. */
  readOnlyTransaction<T>(work: (client: Client) => Promise<T>, options?: ReadOnlyOptions): Promise<T>
  /** Opens a session per request. Register it after body parsers. */
  express(options?: MiddlewareOptions): ExpressMiddleware
  koa(options?: MiddlewareOptions): KoaMiddleware
  fastify(options?: MiddlewareOptions): FastifyPlugin
  /** Resolves when every replica that serves is proved to be at most `maxLag` behind. Rejects with PointsmanError `replicas_behind`, or `signal.reason`. */
  throttle(options?: ThrottleOptions): Promise<void>
  /** How far the replicas of a cluster (default: the database's first) are behind. Rejects with PointsmanError 42704 for an unknown one. */
  lag(cluster?: string): Promise<ClusterLag>
  /** What operators decide while it runs: read-only clusters, older reads for a while. Resolves with the servers' first look. */
  switches(): Promise<Switches>
}
