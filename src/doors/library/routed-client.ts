// doors/library/routed-client.ts — what pool.connect() gives: a client that is bound to no server until a statement says
// which. Between statements it is bound anew; a transaction, or state that lives on a server, keeps its connection.
import { EventEmitter } from 'node:events'
import { Conversation } from './conversation.js'
import type { Core } from './core.js'
import { readQuery, type Callback, type Query } from './query-arguments.js'
import type { Answer } from './request.js'
import type { RouteOptions } from './request-types.js'
import { innerFirst, type Around } from './request-context.js'

type TypeArguments = readonly unknown[]

export class RoutedClientImpl extends EventEmitter {
  readonly #core: Core
  readonly #conversation: Conversation
  readonly #onRelease: (error: unknown) => void
  /** Parsers set on this client, to be set on whichever connection it gets. */
  readonly #types: TypeParsers
  readonly #made: Around
  #released = false

  /** `around`: of connect(). Its session is the client's for good; scopes hold for what is called inside them. */
  constructor(core: Core, types: TypeParsers, around: Around, onRelease: (error: unknown) => void) {
    super()
    this.#core = core
    this.#types = types
    this.#onRelease = onRelease
    this.#made = around
    this.#conversation = new Conversation(core, { keeps: true, listener: this, session: around.session })
  }

  /** As pg.Client.query: promise, callback, or a Submittable, which is returned at once. */
  query(first: unknown, second?: unknown, third?: unknown): unknown {
    const query = scoped(this.#types.applied(readQuery(first, second, third)), this.#around())
    const run = this.#released
      ? Promise.reject(new Error('Client was released to the pool and is not queryable'))
      : this.#conversation.run(query)
    return deliver(query, run)
  }

  /** The scopes that it is called in; where they say nothing, those that it was made in. */
  #around(): RouteOptions | undefined {
    const { scope } = this.#core.context.current()
    const made = this.#made
    const around = scope === undefined ? made.scope : innerFirst(scope, made.scope)
    return made.own === undefined ? around : innerFirst(made.own, around)
  }

  /** Gives the client back. With an error, or true, its connections are closed. */
  readonly release = (error?: unknown): void => {
    if (this.#released) throw new Error('Release called on client which has already been released to the pool.')
    this.#released = true
    const failed = error !== undefined && error !== null && error !== false
    void this.#conversation
      .end(failed ? (error instanceof Error ? error.message : 'its client released it with an error') : null)
      .then(() => {
        this.#onRelease(error)
      })
  }

  connect(callback?: (error: Error) => void): Promise<never> | undefined {
    const error = new Error('Client has already been connected. You cannot reuse a client.')
    if (callback === undefined) return Promise.reject(error)
    process.nextTick(callback, error)
    return undefined
  }

  /** Ends the lease as release() does; pooled clients of pg are not to be ended either. */
  end(callback?: () => void): Promise<void> | undefined {
    if (!this.#released) this.release(true)
    if (callback === undefined) return Promise.resolve()
    process.nextTick(callback)
    return undefined
  }

  get processID(): number | null {
    return this.#conversation.connection?.client.processID ?? null
  }

  get secretKey(): number | Buffer | null {
    return this.#conversation.connection?.client.secretKey ?? null
  }

  get database(): string {
    return this.#core.login.database
  }

  get user(): string {
    return this.#core.login.user
  }

  getTransactionStatus(): 'I' | 'T' | 'E' | null {
    return this.#conversation.transactionStatus
  }

  escapeIdentifier(text: string): string {
    return `"${text.replaceAll('"', '""')}"`
  }

  /** As pg's: backslashes make it an E'' string, whatever standard_conforming_strings says. */
  escapeLiteral(text: unknown): string {
    if (typeof text !== 'string') return "''"
    const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`
    return text.includes('\\') ? ` E${quoted}` : quoted
  }

  setTypeParser(...args: TypeArguments): void {
    this.#types.set(args)
  }

  getTypeParser(...args: TypeArguments): unknown {
    return this.#types.get(args)
  }

  ref(): void {
    // Bound to a socket only while a statement runs.
  }

  unref(): void {
    // As ref().
  }
}

/** The slice of pg.TypeOverrides that is used. */
interface TypeOverrides {
  setTypeParser(...args: TypeArguments): void
  getTypeParser(...args: TypeArguments): unknown
}

/** Type parsers of one client. They go with each query, so connections stay as they are. */
export class TypeParsers {
  readonly #make: () => TypeOverrides
  #overrides: TypeOverrides | null = null
  #set = false

  /** `make` gives a new set of overrides over the application's own. */
  constructor(make: () => TypeOverrides) {
    this.#make = make
  }

  set(args: TypeArguments): void {
    this.#set = true
    this.#own().setTypeParser(...args)
  }

  get(args: TypeArguments): unknown {
    return this.#own().getTypeParser(...args)
  }

  /** The query with these parsers, unless it has its own or none were set. */
  applied(query: Query): Query {
    if (!this.#set || query.kind !== 'plain' || 'types' in query.config) return query
    return { ...query, config: Object.assign(query.config, { types: this.#own() }) }
  }

  #own(): TypeOverrides {
    this.#overrides ??= this.#make()
    return this.#overrides
  }
}

/** The query with what is asked around it. */
export function scoped(query: Query, scope: RouteOptions | undefined): Query {
  return scope === undefined ? query : { ...query, scope }
}

/** Hands a result out in the form the query asked for it. */
export function deliver(query: Query, run: Promise<Answer>): unknown {
  if (query.kind === 'submittable') {
    // What fails before it reached a server is told to it as a server's error would be.
    run.catch((error: unknown) => {
      query.submittable.handleError(error as Error, null)
    })
    return query.submittable
  }
  if (query.callback === null) return run
  const { callback } = query
  run.then(
    (result) => {
      outside(callback, null, result)
    },
    (error: unknown) => {
      outside(callback, error as Error)
    },
  )
  return undefined
}

/** Off the promise, so that what a callback throws is an uncaught exception, as with pg, and not a rejection. */
function outside(callback: Callback, error: Error | null, result?: Answer): void {
  process.nextTick(callback, error, result)
}
