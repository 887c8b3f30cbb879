// doors/proxy/auth-query.ts — asks a cluster for the secret of a user (auth.auth_query), over one connection of its own:
//
//   find(user) ─▶ remembered? ─▶ asked already? wait for that one ─▶ queue ─▶ one connection, one question at a time
//
// What was answered is kept for a while, that there is no such user for a shorter one; a login that fails against what was
// remembered has it asked again. Where the question cannot be asked nobody is let in by it: an old answer is no answer.
import { LRUCache } from 'lru-cache'
import type { AuthQueryConfig, ClusterConfig, NodeConfig } from '../../config/config.js'
import { PointsmanError } from '../../errors/error.js'
import type { Observer } from '../../observe/events.js'
import { connectServer } from '../../server/connect-server.js'
import type { ServerConnection } from '../../server/contract.js'
import { quoteLiteral } from '../../session/quote.js'

export interface AuthQueryParts {
  readonly query: AuthQueryConfig
  readonly cluster: ClusterConfig
  /** The best to ask first. */
  readonly nodes: () => readonly NodeConfig[]
  readonly observer: Observer
  /** Process-monotonic milliseconds. */
  readonly now: () => number
}

interface Answer {
  /** As in pg_authid; null: there is no such user, or it has none. */
  readonly secret: string | null
  readonly at: number
}

const maxRemembered = 10_000
/** Who was not there may have been made a moment ago. */
const absentMs = 5_000
/** A failed login has its user asked again, but not more often than this. */
const againMs = 1_000
/** Names waiting for their turn. */
const maxWaiting = 1_000
const askMs = 5_000
const idleMs = 60_000
/** Between two tries to connect, and two lines in the log. */
const pauseMs = 1_000

const statement = 'pointsman_auth_query'

export class AuthQuery {
  readonly #parts: AuthQueryParts
  readonly #answers = new LRUCache<string, Answer>({ max: maxRemembered })
  readonly #asked = new Map<string, Promise<Answer>>()
  #turn: Promise<unknown> = Promise.resolve()
  #connection: ServerConnection | null = null
  #idle: NodeJS.Timeout | undefined
  #brokenUntil = -Infinity
  #toldAt = -Infinity
  #closed = false

  constructor(parts: AuthQueryParts) {
    this.#parts = parts
  }

  /** The secret as in pg_authid, or null. Rejects with 57P03 where it cannot be asked for. */
  async find(user: string): Promise<string | null> {
    const known = this.#answers.get(user)
    if (known !== undefined && this.#parts.now() - known.at < this.#keepMs(known)) return known.secret
    const asked = this.#asked.get(user) ?? this.#ask(user)
    return (await asked).secret
  }

  /** A login failed against the secret that is remembered: it may have been changed since. */
  doubt(user: string): void {
    const known = this.#answers.get(user)
    if (known !== undefined && this.#parts.now() - known.at >= againMs) this.#answers.delete(user)
  }

  close(): void {
    this.#closed = true
    this.#drop()
  }

  #keepMs({ secret }: Answer): number {
    const { cacheMs } = this.#parts.query
    return secret === null ? Math.min(cacheMs, absentMs) : cacheMs
  }

  #ask(user: string): Promise<Answer> {
    if (this.#asked.size >= maxWaiting) throw new PointsmanError('users_unknown')
    const asked = this.#turn.then(() => this.#question(user))
    this.#turn = asked.catch(() => undefined)
    this.#asked.set(user, asked)
    const done = (): void => void this.#asked.delete(user)
    asked.then((answer) => {
      this.#answers.set(user, answer)
      done()
    }, done)
    return asked
  }

  async #question(user: string): Promise<Answer> {
    const { now } = this.#parts
    clearTimeout(this.#idle)
    const at = now()
    const timer = setTimeout(() => this.#drop(), askMs)
    try {
      const connection = await this.#connected()
      const { rows } = await connection.query(executeAuthQuery(user))
      return { secret: secretIn(rows, user), at }
    } catch (error) {
      this.#drop()
      this.#tell(error)
      throw new PointsmanError('users_unknown', { cause: error })
    } finally {
      clearTimeout(timer)
      if (this.#connection !== null) this.#idle = setTimeout(() => this.#drop(), idleMs).unref()
    }
  }

  async #connected(): Promise<ServerConnection> {
    const { now } = this.#parts
    if (this.#connection?.usable === true) return this.#connection
    this.#connection = null
    if (this.#closed || now() < this.#brokenUntil) throw new Error('there is no connection to ask on')
    try {
      this.#connection = await this.#open()
      await this.#connection.query(prepareAuthQuery(this.#parts.query.sql))
      return this.#connection
    } catch (error) {
      this.#brokenUntil = now() + pauseMs
      throw error
    }
  }

  /** The first server that takes the login. */
  async #open(): Promise<ServerConnection> {
    const { cluster, query, nodes, now } = this.#parts
    const dbname = query.dbname ?? cluster.dbname ?? 'postgres'
    const identity = { cluster: cluster.id, dbname, user: query.user, password: query.password, key: 'auth_query' }
    const options = { now, timeoutMs: askMs / 2, startup: { application_name: 'pointsman auth_query' }, maxStatements: 0, background: true }
    const signal = AbortSignal.timeout(askMs)
    let last: unknown = new Error('the cluster has no servers')
    for (const node of nodes()) {
      try {
        return await connectServer(node, cluster.tls, identity, options, signal)
      } catch (error) {
        last = error
      }
    }
    throw last
  }

  #drop(): void {
    clearTimeout(this.#idle)
    this.#connection?.close()
    this.#connection = null
  }

  #tell(error: unknown): void {
    const { now, observer, cluster } = this.#parts
    if (this.#closed || now() - this.#toldAt < pauseMs) return
    this.#toldAt = now()
    const fields = { cluster: cluster.id, error: error instanceof Error ? error.message : String(error) }
    observer.emit('log', { level: 'error', message: 'auth_query failed', fields })
  }
}

/** Prepared once on each connection, so that a name is a parameter whatever the statement is. */
export function prepareAuthQuery(sql: string): string {
  return `PREPARE ${statement} AS ${sql}`
}

export function executeAuthQuery(user: string): string {
  return `EXECUTE ${statement}(${quoteLiteral(user)})`
}

/** A row is the name and its secret. Another name than was asked for, or more than one row, is nobody's secret. */
export function secretIn(rows: readonly (readonly (string | null)[])[], user: string): string | null {
  const [row, ...more] = rows
  if (row === undefined || more.length > 0 || row.length < 2 || row[0] !== user) return null
  return row[1] ?? null
}
