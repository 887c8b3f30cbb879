// test/support/readers.ts — clients that read without pause, by every way a read can be made, and keep account of what they were told:
// how often each way worked, and of each error how much of a result had reached the client before it. A result that comes to its end is
// checked to be whole and in order, so that one begun on one server and gone on with on another cannot pass.
import type pg from 'pg'
import { Query } from 'pg'
import QueryStream from 'pg-query-stream'
import type { RoutedPool } from '../../src/index.js'

/** `rows`: many of them, counted as they come. `buffered`: many, of which the client sees nothing before the last. `transaction`: READ ONLY. */
export type ReadKind = 'simple' | 'prepared' | 'rows' | 'buffered' | 'transaction'

export interface ReadFailure {
  readonly kind: ReadKind
  readonly policy: string
  readonly code: string
  readonly message: string
  /** Rows that the client had when it was told. */
  readonly rows: number
}

/** What all readers of a test share. */
export interface Reading {
  readonly done: Record<ReadKind, number>
  readonly failures: ReadFailure[]
  /** Results that were whole but wrong; empty unless something is broken. */
  readonly wrong: string[]
  going: boolean
}

/** One client: how to be there again after it was closed, and how each read is made. */
export interface ReadingClient {
  readonly kind: ReadKind
  readonly policy: string
  /** Runs one read and gives the rows seen so far to `seen`; resolves when it is whole. */
  read(seen: (i: number) => void): Promise<void>
  /** After an error. */
  recover(): Promise<void>
}

export const wholeRows = 3000
/** Some 600 kB: more than sockets hold, so that a server that dies has not sent all of it. */
export const manyRows: string = `SELECT i, repeat('x', 200) AS pad FROM generate_series(1, ${String(wholeRows)}) i, few ORDER BY i`

export function newReading(): Reading {
  return { done: { simple: 0, prepared: 0, rows: 0, buffered: 0, transaction: 0 }, failures: [], wrong: [], going: true }
}

/** Reads until `reading.going` is false. */
export async function keepReading(reading: Reading, client: ReadingClient): Promise<void> {
  while (reading.going) {
    let last = 0
    let rows = 0
    try {
      await client.read((i) => {
        if (i !== last + 1) reading.wrong.push(`${client.kind}: ${String(i)} after ${String(last)}`)
        last = i
        rows += 1
      })
      if ((client.kind === 'rows' || client.kind === 'buffered') && last !== wholeRows)
        reading.wrong.push(`${client.kind}: ended at ${String(last)}`)
      reading.done[client.kind] += 1
    } catch (error) {
      const { code = 'none', message } = error as Error & { code?: string }
      reading.failures.push({ kind: client.kind, policy: client.policy, code, message, rows })
      await client.recover()
    }
  }
}

/** A client of the proxy. `connect` opens one more. */
export async function proxyReader(connect: () => Promise<pg.Client>, kind: ReadKind, policy: string): Promise<ReadingClient> {
  const open = async (): Promise<pg.Client> => {
    const client = await connect()
    for (const setting of settingsOf(policy)) await client.query(setting)
    return client
  }
  let client = await open()
  const one = (): Promise<unknown> => client.query('SELECT n FROM items WHERE id = 7')
  const reads: Record<ReadKind, (seen: (i: number) => void) => Promise<unknown>> = {
    simple: one,
    prepared: () => client.query({ name: 'p', text: 'SELECT n FROM items WHERE id = $1', values: [7] }),
    rows: (seen) => asTheyCome<{ i: number }>(client, manyRows, ({ i }) => seen(i)),
    buffered: (seen) => asTheyCome<{ i: number }>(client, manyRows, ({ i }) => seen(i)),
    transaction: async () => {
      await client.query('BEGIN READ ONLY')
      for (let n = 0; n < 3; n++) await one()
      await client.query('COMMIT')
    },
  }
  return {
    kind,
    policy,
    read: async (seen) => {
      await reads[kind](seen)
    },
    recover: async () => {
      await client.end().catch(() => undefined)
      client = await open()
    },
  }
}

function settingsOf(policy: string): readonly string[] {
  const [level = 'any', bound] = policy.split(' ')
  return [`SET pointsman.consistency = '${level}'`, ...(bound === undefined ? [] : [`SET pointsman.max_staleness = '${bound}'`])]
}

/** Runs a simple query and gives each row when it is read; resolves with the last. */
export function asTheyCome<R extends pg.QueryResultRow>(client: pg.Client, sql: string, seen: (row: R) => void): Promise<R | null> {
  let last: R | null = null
  return new Promise((resolve, reject) => {
    const query = new Query<R>(sql)
    query.on('row', (row) => {
      last = row
      seen(row)
    })
    query.on('end', () => {
      resolve(last)
    })
    query.on('error', reject)
    client.query(query)
  })
}

/** A user of the library. */
export function libraryReader(pool: RoutedPool, kind: ReadKind, policy: string): ReadingClient {
  const [level, maxStaleness] = policy.split(' ')
  const options = { consistency: level as 'any', ...(maxStaleness === undefined ? {} : { maxStaleness }) }
  const one = { text: 'SELECT n FROM items WHERE id = 7', ...options }
  const reads: Record<ReadKind, (seen: (i: number) => void) => Promise<unknown>> = {
    simple: () => pool.query(one),
    prepared: () => pool.query({ name: 'p', text: 'SELECT n FROM items WHERE id = $1', values: [7], ...options }),
    buffered: async (seen) => {
      for (const { i } of (await pool.query<{ i: number }>({ text: manyRows, ...options })).rows) seen(i)
    },
    rows: async (seen) => {
      const hint = `/* pointsman: consistency=${level ?? 'any'}${maxStaleness === undefined ? '' : `, max_staleness=${maxStaleness}`} */ `
      const stream = pool.query(new QueryStream(hint + manyRows, [], { batchSize: 50 }))
      for await (const { i } of stream as AsyncIterable<{ i: number }>) seen(i)
    },
    transaction: async () => {
      const client = await pool.connect()
      client.on('error', () => undefined)
      try {
        await client.query('BEGIN READ ONLY')
        for (let n = 0; n < 3; n++) await client.query(one)
        await client.query('COMMIT')
      } finally {
        client.release()
      }
    },
  }
  const read = async (seen: (i: number) => void): Promise<void> => {
    await reads[kind](seen)
  }
  return { kind, policy, read, recover: () => Promise.resolve() }
}
