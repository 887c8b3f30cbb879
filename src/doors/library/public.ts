// doors/library/public.ts — the types a user of the library sees. pg's own are used as they are, so code written against
// pg.Pool goes on compiling; what is added is optional on the way in and an extra property on the way out.
import type {
  Pool,
  PoolClient,
  QueryArrayConfig,
  QueryArrayResult,
  QueryConfig,
  QueryConfigValues,
  QueryResult,
  QueryResultRow,
  Submittable,
} from 'pg'
import type { AuditBookData } from '../../audit/contract.js'
import type { ConfigInput } from '../../config/input.js'
import type { RouteTaken as Taken } from '../../execute/contract.js'
import type { Observer } from '../../observe/events.js'
import type { Plan } from '../../routing/plan.js'
import type { LanesReport } from '../../pool/lanes.js'
import type { RuntimeSnapshot, ReloadResult } from '../../runtime/contract.js'
import type { RequestApi, RouteOptions } from './request-types.js'

export interface RoutedQueryConfig<I = unknown[]> extends QueryConfig<I>, RouteOptions {}
export interface RoutedQueryArrayConfig<I = unknown[]> extends QueryArrayConfig<I>, RouteOptions {}

/** Where a statement ran and why. All of it can be written as JSON. */
export type RouteTaken = Omit<Taken, 'position'>
export type { LaneSnapshot, LanesReport } from '../../pool/lanes.js'

/** Where it ran and why; not enumerable, so that results compare and print as pg's. `null`: no server was asked. */
export interface Routed {
  readonly routed: RouteTaken | null
}

export type RoutedResult<R extends QueryResultRow = QueryResultRow> = QueryResult<R> & Routed
export type RoutedArrayResult<R extends unknown[] = unknown[]> = QueryArrayResult<R> & Routed

/* eslint-disable @typescript-eslint/no-explicit-any -- the generics of @types/pg, so that inference stays the same */
export interface RoutedQuery {
  <T extends Submittable>(submittable: T): T
  <R extends any[] = any[], I = any[]>(config: RoutedQueryArrayConfig<I>, values?: QueryConfigValues<I>): Promise<RoutedArrayResult<R>>
  <R extends QueryResultRow = any, I = any[]>(config: RoutedQueryConfig<I>): Promise<RoutedResult<R>>
  <R extends QueryResultRow = any, I = any[]>(text: string | RoutedQueryConfig<I>, values?: QueryConfigValues<I>): Promise<RoutedResult<R>>
  <R extends any[] = any[], I = any[]>(
    config: RoutedQueryArrayConfig<I>,
    callback: (error: Error, result: RoutedArrayResult<R>) => void,
  ): void
  <R extends QueryResultRow = any, I = any[]>(
    text: string | RoutedQueryConfig<I>,
    callback: (error: Error, result: RoutedResult<R>) => void,
  ): void
  <R extends QueryResultRow = any, I = any[]>(
    text: string,
    values: QueryConfigValues<I>,
    callback: (error: Error, result: RoutedResult<R>) => void,
  ): void
}
/* eslint-enable @typescript-eslint/no-explicit-any */

/** What connect() gives: a client that binds to a server at its first statement, and again as its statements need. */
export interface RoutedClient extends PoolClient {
  query: RoutedQuery & PoolClient['query']
  /** Of the connection it is bound to, or was last; null before the first statement. */
  readonly processID: number | null
  readonly secretKey: number | Buffer | null
}

/** A pg.Pool for whoever uses it; an instance of the `pg.Pool` that createRouter() was given. */
export interface RoutedPool extends Pool, RequestApi<RoutedClient> {
  query: RoutedQuery & Pool['query']
  connect: (() => Promise<RoutedClient>) & Pool['connect']
  /** Resolves when the servers have been looked at once (or a few seconds have passed). Queries wait for it by themselves. */
  ready(): Promise<void>
  /** Where a statement would go, and why, without running it. */
  explain(sql: string | RoutedQueryConfig, parameters?: readonly unknown[]): Promise<Plan>
  /** The plan as text, as EXPLAIN ROUTE prints it. */
  explainText(sql: string | RoutedQueryConfig, parameters?: readonly unknown[]): Promise<string>
  /** Takes another configuration while running, as the file would be taken again. */
  reload(config?: ConfigInput): Promise<ReloadResult>
  /** Pools, nodes and work under way. */
  snapshot(): RuntimeSnapshot | null
  /** Connections that fast reads share, and what they have done since the start. */
  lanes(): LanesReport
  /**
   * An id that nobody else is given, in the order of time; `identity.node` of the configuration must be set. 64 bits as a bigint, or
   * with 53 a number that JavaScript holds exactly.
   */
  uniqueId(): Promise<bigint>
  uniqueId(bits: 53): Promise<number>
  /** What crosses partitions and shards, as statements have shown it since the start; null before the first one. */
  audit(): AuditBookData | null
  /** Typed events of the router itself. */
  readonly events: Observer
}

/** The slice of the `pg` module that the library uses. */
export interface PgModule {
  readonly Pool: new (config?: object) => Pool
  readonly Client: new (config?: object) => unknown
  readonly Result?: unknown
  readonly utils?: unknown
}

export interface RouterOptions {
  /** The `pg` module of the application (8.11 or later). */
  readonly pg: PgModule
  /** The configuration as an object with the keys of pointsman.yaml … */
  readonly config?: ConfigInput
  /** … or the path of a pointsman.yaml. */
  readonly file?: string
  /** Which database of the configuration; may be left out where there is only one. */
  readonly database?: string
  /** The name that `reads.users` knows, and the login where a cluster has none of its own. Default: the default cluster's user. */
  readonly user?: string
  readonly password?: string
  /** Further options for every pg.Client: `application_name`, `statement_timeout`, `query_timeout`, `types`, … */
  readonly client?: Readonly<Record<string, unknown>>
  /** Environment for `${VAR}` in the configuration. Default: process.env. */
  readonly env?: Readonly<Record<string, string | undefined>>
}
