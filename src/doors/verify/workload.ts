// doors/verify/workload.ts — who reads and writes what, and how fast: sessions of every policy on both doors, and some that
// hop between the doors with a token. Each session runs one operation after another, and every one goes into the history.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, OpenClient, Route } from './client.js'
import { readRegisters, registerRows, type Door, type Operation, type Promised, type RegisterRow } from './history.js'

/** One kind of session. */
export interface SessionKind {
  readonly policy: string
  readonly promised: Promised
  /** `reads`: one by one · `cached`: of a table whose results may be given again · `wide`: a long result of numbered rows · `snapshot`: READ ONLY transactions · `transaction`: that write. */
  readonly does: 'reads' | 'cached' | 'wide' | 'snapshot' | 'transaction' | 'hops'
  /** One operation in so many is a write; 0: none. */
  readonly writeEvery: number
  /** Milliseconds between two operations. */
  readonly think: readonly [least: number, most: number]
  readonly sessions: number
  /** Only on the library, outside its sessions. */
  readonly process?: true
}

const bounded = (maxStalenessMs: number): Promised => ({ consistency: 'bounded', maxStalenessMs })
const session: Promised = { consistency: 'session', maxStalenessMs: null }
const any: Promised = { consistency: 'any', maxStalenessMs: null }
const strong: Promised = { consistency: 'strong', maxStalenessMs: null }

/** The name under which clients that write one time in ten and think 20 to 50 ms are reported. */
export const measuredSession = 'session'

/** What runs on each door. */
export const sessionKinds: readonly SessionKind[] = [
  { policy: 'any', promised: any, does: 'reads', writeEvery: 0, think: [5, 30], sessions: 2 },
  { policy: measuredSession, promised: session, does: 'reads', writeEvery: 10, think: [20, 50], sessions: 4 },
  { policy: 'process', promised: session, does: 'reads', writeEvery: 10, think: [20, 50], sessions: 1, process: true },
  { policy: 'session fast', promised: session, does: 'reads', writeEvery: 4, think: [0, 10], sessions: 1 },
  { policy: 'session 500ms', promised: { ...session, maxStalenessMs: 500 }, does: 'reads', writeEvery: 10, think: [10, 40], sessions: 1 },
  { policy: 'bounded 150ms', promised: bounded(150), does: 'reads', writeEvery: 20, think: [10, 40], sessions: 1 },
  { policy: 'bounded 1s', promised: bounded(1_000), does: 'reads', writeEvery: 20, think: [10, 40], sessions: 1 },
  { policy: 'bounded 5s', promised: bounded(5_000), does: 'reads', writeEvery: 0, think: [10, 40], sessions: 1 },
  { policy: 'cached 1s', promised: bounded(1_000), does: 'cached', writeEvery: 20, think: [5, 20], sessions: 1 },
  { policy: 'cached session', promised: session, does: 'cached', writeEvery: 20, think: [5, 20], sessions: 1 },
  { policy: 'strong', promised: strong, does: 'reads', writeEvery: 10, think: [20, 50], sessions: 1 },
  { policy: 'read only', promised: session, does: 'snapshot', writeEvery: 10, think: [10, 40], sessions: 1 },
  { policy: 'transaction', promised: strong, does: 'transaction', writeEvery: 1, think: [20, 60], sessions: 1 },
  { policy: 'long result', promised: any, does: 'wide', writeEvery: 0, think: [5, 30], sessions: 1 },
]

/** Sessions that change doors, carrying a token. */
export const hopKinds: readonly SessionKind[] = [
  { policy: 'hop', promised: session, does: 'hops', writeEvery: 4, think: [5, 30], sessions: 2 },
]

/** What one session needs. */
export interface SessionParts {
  readonly name: string
  readonly kind: SessionKind
  readonly database: string
  readonly door: Door
  /** The one it raises. */
  readonly register: number
  readonly registers: number
  readonly open: Readonly<Record<Door, OpenClient>>
  /** Process-monotonic ms. */
  readonly now: () => number
  /** In [0, 1). */
  readonly random: () => number
  /** Counts from 1, over all sessions. */
  readonly nextId: () => number
  readonly healthy: () => boolean
  readonly record: (operation: Operation) => void
  /** Ends it, between two operations. */
  readonly stop: AbortSignal
}

export const schema = 'pointsman_verify'
const columns = 'register, n, value'
/** The same in every statement of one transaction on one server; nothing that has to be asked of the primary. */
const serverColumn =
  "pg_catalog.current_setting('cluster_name') || ' port ' || pg_catalog.current_setting('port') || ', transaction of ' || extract(epoch FROM pg_catalog.now())::text AS server"
const readAll = `SELECT ${columns} FROM ${schema}.registers ORDER BY register, n`
const readCached = `SELECT ${columns} FROM ${schema}.cached ORDER BY register, n`
const readInTransaction = `SELECT ${columns}, ${serverColumn} FROM ${schema}.registers ORDER BY register, n`
/** So many copies of every row. */
const copies = 40
const readWide = `SELECT ${columns}, copy FROM ${schema}.registers, pg_catalog.generate_series(0, ${String(copies - 1)}) copy ORDER BY copy, register, n`
/** A value never goes back, whatever comes late; each run leaves its own line in the journal. */
const writeOne = `WITH raised AS (UPDATE ${schema}.registers SET value = greatest(value, $2::int) WHERE register = $1::int RETURNING n),
cached AS (UPDATE ${schema}.cached SET value = greatest(value, $2::int) WHERE register = $1::int)
INSERT INTO ${schema}.journal (register, value) SELECT $1::int, $2::int FROM raised WHERE n = 0`

/** What makes the tables, statement by statement. */
export function setupStatements(registers: number): readonly string[] {
  return [
    `CREATE SCHEMA ${schema}`,
    `CREATE TABLE ${schema}.registers (register int, n int, value int NOT NULL, PRIMARY KEY (register, n))`,
    `CREATE TABLE ${schema}.cached (LIKE ${schema}.registers INCLUDING ALL)`,
    `CREATE TABLE ${schema}.journal (register int, value int)`,
    `INSERT INTO ${schema}.registers SELECT r, n, 0 FROM generate_series(0, ${String(registers - 1)}) r, generate_series(0, ${String(registerRows - 1)}) n`,
    `INSERT INTO ${schema}.cached SELECT * FROM ${schema}.registers`,
  ]
}

/** Goes to a replica as soon as the catalog knows what it reads. */
export const probe: string = `/* pointsman: consistency=any */ ${readAll}`

export const teardownStatement: string = `DROP SCHEMA ${schema} CASCADE`
export const survivorsQuery: string = `SELECT register, value, count(*)::int AS times FROM ${schema}.journal GROUP BY register, value`

/** Runs until it is stopped. Never rejects: what goes wrong is in the history. */
export async function runSession(parts: SessionParts): Promise<void> {
  await new RunningSession(parts).run()
}

interface Row extends RegisterRow {
  readonly server?: string
  readonly copy?: number
}

type Result = Pick<Operation, 'kind' | 'register' | 'value' | 'seen' | 'torn' | 'servers' | 'later' | 'snapshot'>

const nothing: Result = { kind: 'read', register: null, value: null, seen: null, torn: null, servers: [], later: [], snapshot: false }

class RunningSession {
  readonly #parts: SessionParts
  readonly #clients = new Map<Door, Client>()
  #door: Door
  /** Counts the sessions that were lost with their connection. */
  #life = 1
  #count = 0
  #value = 0

  constructor(parts: SessionParts) {
    this.#parts = parts
    this.#door = parts.door
  }

  async run(): Promise<void> {
    const { stop, kind, random } = this.#parts
    while (!stop.aborted) {
      this.#count += 1
      await this.#operation()
      const [least, most] = kind.think
      await sleep(least + random() * (most - least), undefined, { signal: stop }).catch(() => undefined)
    }
    for (const client of this.#clients.values()) await client.close()
  }

  async #operation(): Promise<void> {
    const { kind, random } = this.#parts
    try {
      const client = await this.#client()
      if (kind.does === 'hops' && random() < 0.5) await this.#hop(client)
      else await this.#step(client)
    } catch {
      // It could not even connect, or was lost between two operations: nothing was asked, so there is nothing to check.
      await this.#lost()
    }
  }

  /** The session's client on its present door: with the session's policy, and all it has seen if it can carry that. */
  async #client(): Promise<Client> {
    const door = this.#door
    const before = this.#clients.get(door)
    if (before !== undefined) {
      if (before.usable) return before
      await this.#lost()
    }
    const client = await this.#parts.open[door]()
    const { consistency, maxStalenessMs } = this.#parts.kind.promised
    await client.query(`SET pointsman.consistency = '${consistency}'`)
    if (maxStalenessMs !== null) await client.query(`SET pointsman.max_staleness = '${String(maxStalenessMs)}ms'`)
    this.#clients.set(door, client)
    return client
  }

  /** A connection is gone, and what only it knew of the session. */
  async #lost(): Promise<void> {
    const client = this.#clients.get(this.#door)
    this.#clients.delete(this.#door)
    await client?.close()
    this.#life += 1
  }

  /** Takes the token to the other door. */
  async #hop(client: Client): Promise<void> {
    const life = this.#life
    const token = await client.token()
    this.#door = this.#door === 'library' ? 'proxy' : 'library'
    const next = await this.#client()
    // Where the client over there had been lost the session begins anew.
    if (life === this.#life) await next.take(token)
  }

  async #step(client: Client): Promise<void> {
    const { kind } = this.#parts
    if (kind.does === 'transaction') await this.#transaction(client)
    else if (kind.writeEvery > 0 && this.#count % kind.writeEvery === 1 % kind.writeEvery) await this.#write(client)
    else if (kind.does === 'snapshot') await this.#snapshot(client)
    else if (kind.does === 'wide') await this.#measured(client, nothing, () => this.#wide(client))
    else {
      const text = kind.does === 'cached' ? readCached : readAll
      await this.#measured(client, nothing, async () => ({ ...nothing, ...this.#read(await client.query<Row>(text)) }))
    }
  }

  #read(rows: readonly Row[]): ReturnType<typeof readRegisters> {
    return readRegisters(rows, this.#parts.registers)
  }

  async #wide(client: Client): Promise<Result> {
    const rows = await client.query<Row>(readWide)
    const size = this.#parts.registers * registerRows
    let torn = rows.length === size * copies ? null : `${String(rows.length)} rows instead of ${String(size * copies)}`
    const first = this.#read(rows.slice(0, size))
    for (let copy = 1; copy < copies; copy++) {
      const next = this.#read(rows.slice(copy * size, (copy + 1) * size))
      const same = next.seen.every((value, register) => value === first.seen[register])
      const numbered = rows.slice(copy * size, (copy + 1) * size).every((row) => row.copy === copy)
      torn ??= next.torn ?? (same && numbered ? null : `copy ${String(copy)} of one result is not like the first`)
    }
    return { ...nothing, seen: first.seen, torn: first.torn ?? torn }
  }

  async #write(client: Client): Promise<void> {
    const { register } = this.#parts
    const value = ++this.#value
    const write: Result = { ...nothing, kind: 'write', register, value }
    await this.#measured(client, write, async () => {
      await client.query(writeOne, [register, value])
      return write
    })
  }

  /** Two reads of one moment on one server. */
  async #snapshot(client: Client): Promise<void> {
    const transaction: Result = { ...nothing, kind: 'transaction', snapshot: true }
    await this.#measured(client, transaction, async () => {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
      return this.#ending(client, async () => {
        const first = await client.query<Row>(readInTransaction)
        await this.#pause(5)
        const second = await client.query<Row>(readInTransaction)
        await client.query('COMMIT')
        return this.#reads(transaction, [first, second])
      })
    })
  }

  /** Read, write, read, commit. */
  async #transaction(client: Client): Promise<void> {
    const { register } = this.#parts
    const value = ++this.#value
    const transaction: Result = { ...nothing, kind: 'transaction', register, value }
    await this.#measured(client, transaction, async () => {
      await client.query('BEGIN')
      return this.#ending(client, async () => {
        const first = await client.query<Row>(readInTransaction)
        await client.query(writeOne, [register, value])
        await this.#pause(2)
        const second = await client.query<Row>(readInTransaction)
        await client.query('COMMIT')
        return this.#reads(transaction, [first, second])
      })
    })
  }

  #reads(transaction: Result, results: readonly (readonly Row[])[]): Result {
    const reads = results.map((rows) => this.#read(rows))
    return {
      ...transaction,
      seen: reads[0]?.seen ?? null,
      later: reads.slice(1).map(({ seen }) => seen),
      torn: reads.map(({ torn }) => torn).find((torn) => torn !== null) ?? null,
      servers: results.flatMap((rows) => [...new Set(rows.map(({ server }) => server ?? 'a server that says nothing'))]),
    }
  }

  /** A transaction that failed is ended, so that the next operation is not part of it. */
  async #ending(client: Client, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work()
    } catch (error) {
      await client.query('ROLLBACK').catch(() => undefined)
      throw error
    }
  }

  async #pause(most: number): Promise<void> {
    await sleep(this.#parts.random() * most)
  }

  async #measured(client: Client, meant: Result, work: () => Promise<Result>): Promise<void> {
    const { now, healthy } = this.#parts
    const wasHealthy = healthy()
    const invoked = now()
    try {
      const result = await work()
      const returned = now()
      const route = await client.route().catch(() => null)
      this.#record(client, { ...result, invoked, returned, outcome: 'ok', error: null, healthy: wasHealthy && healthy() }, route)
    } catch (error) {
      const code = codeOf(error)
      const outcome = meant.register !== null && !withoutEffect(code) ? 'unknown' : 'error'
      this.#record(client, { ...meant, invoked, returned: now(), outcome, error: code, healthy: wasHealthy && healthy() }, null)
      if (!client.usable) await this.#lost()
    }
  }

  #record(
    client: Client,
    done: Result & Pick<Operation, 'invoked' | 'returned' | 'outcome' | 'error' | 'healthy'>,
    route: Route | null,
  ): void {
    const { name, database, kind, record, nextId } = this.#parts
    record({
      id: nextId(),
      session: `${name}/${String(this.#life)}`,
      database,
      door: client.door,
      policy: kind.policy,
      promised: kind.promised,
      ...done,
      node: route?.node ?? null,
      role: route?.role ?? null,
      step: route?.step ?? null,
      boundMs: route?.boundMs ?? null,
    })
  }
}

/** By these a write says that it did not happen. Every other error leaves it open. */
const harmless: readonly string[] = ['08001', '25006', '40001', '40P01', '42501', '53300', '55P03', '57P03']

function withoutEffect(code: string): boolean {
  return harmless.includes(code)
}

function codeOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string') return error.code
  return error instanceof Error ? error.message : 'unknown'
}
