// doors/verify/client.ts — one client of either door, reduced to what a workload does: it sends a statement, learns where it
// ran, and may carry a token to the other door. Both speak through pg, so that what is measured is what applications get.
import type { ClientBase, QueryResultRow } from 'pg'
import type { Routed, RoutedClient, RoutedPool } from '../library/public.js'
import type { RequestSession } from '../library/request-types.js'
import type { Door } from './history.js'

/** Where a statement ran, as its door tells. */
export interface Route {
  readonly node: string
  readonly role: 'primary' | 'replica'
  readonly step: string
  readonly boundMs: number | null
}

export interface Client {
  readonly door: Door
  /** False once it can answer nothing any more: a new one is needed, and its session is over. */
  readonly usable: boolean
  query<R extends QueryResultRow>(text: string, values?: readonly unknown[]): Promise<readonly R[]>
  /** Of the last statement that a server answered. */
  route(): Promise<Route | null>
  /** What the session has written and seen. */
  token(): Promise<string>
  take(token: string): Promise<void>
  close(): Promise<void>
}

export type OpenClient = () => Promise<Client>

/** A checked-out client of the library in a session of its own, as the requests of an application have one. */
export async function libraryClient(pool: RoutedPool): Promise<Client> {
  const session = pool.session.create()
  return new LibraryClient(await pool.run(session, () => pool.connect()), session)
}

/** A checked-out client outside any session: its reads see what the whole process has written. */
export async function processClient(pool: RoutedPool): Promise<Client> {
  return new LibraryClient(await pool.connect(), null)
}

class LibraryClient implements Client {
  readonly door = 'library'
  readonly #client: RoutedClient
  readonly #session: RequestSession | null
  #route: Route | null = null

  constructor(client: RoutedClient, session: RequestSession | null) {
    this.#client = client
    this.#session = session
    // A connection that breaks is told to the statement on it, too.
    client.on('error', () => undefined)
  }

  /** Its connections may break, the client goes on. */
  readonly usable: boolean = true

  async query<R extends QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<readonly R[]> {
    const result = await this.#client.query<R>(text, [...values])
    const { routed } = result as Routed
    if (routed !== null) this.#route = routed
    return result.rows
  }

  route(): Promise<Route | null> {
    return Promise.resolve(this.#route)
  }

  token(): Promise<string> {
    return this.#session?.token() ?? Promise.reject(new Error('this client has no session'))
  }

  take(token: string): Promise<void> {
    if (this.#session?.import(token) === true) return Promise.resolve()
    return Promise.reject(new Error('the token was not taken'))
  }

  close(): Promise<void> {
    this.#client.release()
    return Promise.resolve()
  }
}

/** A connected client of the proxy. */
export function proxyClient(client: ClientBase & { end(): Promise<void> }): Client {
  return new ProxyClient(client)
}

class ProxyClient implements Client {
  readonly door = 'proxy'
  readonly #client: ClientBase & { end(): Promise<void> }
  #usable = true

  constructor(client: ClientBase & { end(): Promise<void> }) {
    this.#client = client
    const lost = (): void => {
      this.#usable = false
    }
    client.on('error', lost)
    client.on('end', lost)
  }

  get usable(): boolean {
    return this.#usable
  }

  async query<R extends QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<readonly R[]> {
    return (await this.#client.query<R>(text, [...values])).rows
  }

  async route(): Promise<Route | null> {
    const [row] = await this.query<Readonly<Record<string, string>>>('SHOW pointsman.last_route')
    return readRoute(row?.['pointsman.last_route'] ?? '')
  }

  async token(): Promise<string> {
    const [row] = await this.query<Readonly<Record<string, string>>>('SHOW pointsman.token')
    return row?.['pointsman.token'] ?? ''
  }

  async take(token: string): Promise<void> {
    if (!/^[\w.-]*$/.test(token)) throw new Error('the token holds characters that no token has')
    await this.query(`SET pointsman.token = '${token}'`)
  }

  async close(): Promise<void> {
    this.#usable = false
    await this.#client.end().catch(() => undefined)
  }
}

/**
 * What `SHOW pointsman.last_route` says: `replica 10.0.0.2:5432 of main (bound 120 ms, after wait): …`, or `from the cache` in place of a
 * step. The bound is rounded to a whole millisecond.
 */
export function readRoute(text: string): Route | null {
  const match = /^(primary|replica) (\S+) of [^(:]+(?:\(([^)]*)\))?:/.exec(text)
  if (match === null) return null
  const facts = match[3] ?? ''
  const bound = /bound (\d+) ms/.exec(facts)?.[1]
  return {
    role: match[1] === 'primary' ? 'primary' : 'replica',
    node: match[2] ?? '',
    step: facts.endsWith('from the cache') ? 'cache' : (/after (\w+)/.exec(facts)?.[1] ?? 'first'),
    boundMs: bound === undefined ? null : Number(bound),
  }
}
