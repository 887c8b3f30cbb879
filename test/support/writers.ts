// test/support/writers.ts — clients that write without pause, each write with a key of its own, and do after an error what docs/errors.md
// says: send it again where that is safe, read back where its outcome is unknown. What they were told is compared afterwards with what is
// there: every acknowledged key once, no key twice.
import { setTimeout as sleep } from 'node:timers/promises'
import type { EmbeddedNode } from '../../src/embedded/node.js'
import { catalogue } from '../../src/errors/catalogue.js'

/** `keyed` has no unique index, so that a write that ran twice shows; each also counts in its writer's row. */
export const writersSchema: readonly string[] = [
  'CREATE TABLE keyed (key text NOT NULL, writer int NOT NULL)',
  'CREATE TABLE counted (writer int PRIMARY KEY, n int NOT NULL); INSERT INTO counted SELECT g, 0 FROM generate_series(0, 127) g',
]

export type WriteKind = 'autocommit' | 'prepared' | 'transaction'
export const writeKinds: readonly WriteKind[] = ['autocommit', 'prepared', 'transaction']

/** The slice of pg.Client, and of a client of the library, that a writer needs. */
export interface WritingClient {
  query(query: string | { name?: string; text: string; values: unknown[] }): Promise<{ rows: Record<string, unknown>[] }>
}

export interface WriteFailure {
  readonly kind: WriteKind
  readonly code: string
  readonly message: string
  readonly at: number
}

/** What all writers of a test share. Times are of performance.now(). */
export interface Writing {
  readonly acked: Map<string, { readonly sentAt: number; readonly at: number }>
  readonly failures: WriteFailure[]
  /** Resolved by reading back: it had run. */
  ran: number
  going: boolean
  /** While true, no writer sends anything. */
  paused: boolean
  busy: number
}

export function newWriting(): Writing {
  return { acked: new Map(), failures: [], ran: 0, going: true, paused: false, busy: 0 }
}

/** `lend` gives a client that works, a new one where the last has ended; `pause`: ms between writes. */
export async function keepWriting(writing: Writing, id: number, lend: () => Promise<WritingClient>, pause = 20): Promise<void> {
  const kind = writeKinds[id % writeKinds.length] ?? 'autocommit'
  for (let n = 0; writing.going; n++) {
    while (writing.paused) await sleep(2)
    const key = `${String(id)}-${String(n)}`
    writing.busy += 1
    await writeUntilKnown(writing, id, kind, key, lend)
    writing.busy -= 1
    await sleep(pause)
  }
}

async function writeUntilKnown(
  writing: Writing,
  id: number,
  kind: WriteKind,
  key: string,
  lend: () => Promise<WritingClient>,
): Promise<void> {
  for (;;) {
    const sentAt = performance.now()
    try {
      await write(await lend(), id, kind, key)
      writing.acked.set(key, { sentAt, at: performance.now() })
      return
    } catch (error) {
      const retry = told(writing, kind, error)
      if (retry === 'never') return
      if (retry === 'unknown' && (await isThere(writing, kind, key, lend))) {
        writing.ran += 1
        return
      }
    }
  }
}

/** The catalogue's word for it. */
function told(writing: Writing, kind: WriteKind, error: unknown): 'safe' | 'unknown' | 'never' {
  const { code = 'none', message } = error as Error & { code?: string }
  writing.failures.push({ kind, code, message, at: performance.now() })
  return Object.values(catalogue).find(({ sqlstate }) => sqlstate === code)?.retry ?? 'unknown'
}

async function write(client: WritingClient, id: number, kind: WriteKind, key: string): Promise<void> {
  const both = 'WITH k AS (INSERT INTO keyed VALUES ($1, $2)) UPDATE counted SET n = n + 1 WHERE writer = $2'
  switch (kind) {
    case 'autocommit':
      await client.query(both.replaceAll('$1', `'${key}'`).replaceAll('$2', String(id)))
      return
    case 'prepared':
      await client.query({ name: 'both', text: both, values: [key, id] })
      return
    case 'transaction':
      await client.query('BEGIN')
      await client.query({ text: 'INSERT INTO keyed VALUES ($1, $2)', values: [key, id] })
      await client.query(`UPDATE counted SET n = n + 1 WHERE writer = ${String(id)}`)
      await client.query('COMMIT')
  }
}

async function isThere(writing: Writing, kind: WriteKind, key: string, lend: () => Promise<WritingClient>): Promise<boolean> {
  for (;;) {
    try {
      const client = await lend()
      await client.query('ROLLBACK')
      const { rows } = await client.query({
        text: '/* pointsman: consistency=strong */ SELECT 1 AS there FROM keyed WHERE key = $1',
        values: [key],
      })
      return rows.length > 0
    } catch (error) {
      told(writing, kind, error)
    }
  }
}

/** What speaks against the writers' account, asked of the server itself: empty where nothing does. */
export async function auditWrites(writing: Writing, primary: EmbeddedNode): Promise<string[]> {
  const wrong: string[] = []
  const rows = await primary.sql('SELECT key, count(*) AS n FROM keyed GROUP BY key')
  const there = new Map(rows.map(({ key, n }) => [key ?? '', Number(n)]))
  for (const [key, n] of there) if (n !== 1) wrong.push(`${key} is there ${String(n)} times`)
  for (const key of writing.acked.keys()) if (!there.has(key)) wrong.push(`${key} was acknowledged and is lost`)
  const counts = await primary.sql(
    'SELECT c.writer, c.n, count(k.key) AS keys FROM counted c LEFT JOIN keyed k ON k.writer = c.writer GROUP BY c.writer, c.n HAVING c.n <> count(k.key)',
  )
  for (const { writer, n, keys } of counts) wrong.push(`writer ${String(writer)}: counted ${String(n)}, ${String(keys)} keys`)
  return wrong
}
