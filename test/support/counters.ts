// test/support/counters.ts — a counter that is written at a high rate, straight on the primary, and clients that read it without pause. One
// clock for all: when each value was acknowledged is kept, so every read can be held against what its client had seen before (I2), what had
// been acknowledged before its bound (I3), and what it had written itself (I1).
import { setTimeout as sleep } from 'node:timers/promises'
import type { EmbeddedNode } from '../../src/embedded/node.js'

export const countersSchema: readonly string[] = [
  'CREATE TABLE counter (n bigint NOT NULL); INSERT INTO counter VALUES (0)',
  'CREATE TABLE own (reader int PRIMARY KEY, n bigint NOT NULL); INSERT INTO own SELECT g, 0 FROM generate_series(0, 63) g',
]

/** What a reading client must offer: one statement, its first row's `n`, and where it was answered. */
export type Ask = (sql: string) => Promise<{ readonly n: number; readonly node: string }>

export interface Counting {
  /** Acknowledged values with their time, oldest first. */
  readonly acked: { readonly n: number; readonly at: number }[]
  /** What broke I1, I2 or I3, in words. */
  readonly wrong: string[]
  /** Errors that readers were told, by code. */
  readonly told: Map<string, number>
  /** Answers by node. */
  readonly by: Map<string, number>
  /** Address of the primary; null: none is let off. */
  readonly primary: string | null
  reads: number
  going: boolean
}

export function newCounting(primary: string | null = null): Counting {
  return { primary, acked: [], wrong: [], told: new Map(), by: new Map(), reads: 0, going: true }
}

/** Counts on, one committed step after the other, until `counting.going` is false; a primary that is away is waited for. */
export async function keepCounting(counting: Counting, primary: () => EmbeddedNode): Promise<void> {
  while (counting.going) {
    try {
      const session = await primary().open({ user: 'app' })
      try {
        while (isGoing(counting)) {
          const [row] = await session.query('UPDATE counter SET n = n + 1 RETURNING n')
          counting.acked.push({ n: Number(row?.['n']), at: performance.now() })
        }
      } finally {
        session.close()
      }
    } catch {
      await sleep(20)
    }
  }
}

/** A function, because the compiler believes that what was true before an await stays so. */
function isGoing(counting: Counting): boolean {
  return counting.going
}

/**
 * A replica shows a commit as soon as it has replayed it, the primary only a moment later, before anybody is told (CONSISTENCY
 * §2.6): such a value may be seen on a replica and not yet on the primary, and no router can know.
 */
function isUntold({ acked }: Counting, n: number, time: number): boolean {
  return !acked.some((step) => step.n >= n && step.at < time)
}

/** A client that never may see the counter go back. `writes`: it also counts in a row of its own, by the same way, and must see that. */
export async function keepWatching(counting: Counting, id: number, ask: Ask, writes: boolean): Promise<void> {
  let last = -1
  for (let turn = 0; counting.going; turn++) {
    try {
      const invokedAt = performance.now()
      const { n, node } = await ask('SELECT n FROM counter')
      seen(counting, node)
      if (n < last && !(node === counting.primary && isUntold(counting, last, invokedAt)))
        counting.wrong.push(
          `I2: reader ${String(id)} saw ${String(last)}, then ${String(n)} on ${node === counting.primary ? 'the primary' : node}`,
        )
      last = Math.max(last, n)
      if (writes && turn % 10 === 9) {
        const own = (await ask(`UPDATE own SET n = n + 1 WHERE reader = ${String(id)} RETURNING n`)).n
        const mine = await ask(`SELECT n FROM own WHERE reader = ${String(id)}`)
        if (mine.n < own) counting.wrong.push(`I1: reader ${String(id)} wrote ${String(own)}, then saw ${String(mine.n)} on ${mine.node}`)
      }
    } catch (error) {
      told(counting, error)
    }
    await sleep(2)
  }
}

/** A client whose reads are bounded by `boundMs`. */
export async function keepBound(counting: Counting, ask: Ask, boundMs: number): Promise<void> {
  while (counting.going) {
    const since = performance.now() - boundMs
    // What was acknowledged before the bound, as of the read's invocation.
    const owed = counting.acked.findLast(({ at }) => at < since)?.n ?? 0
    try {
      const { n, node } = await ask('SELECT n FROM counter')
      seen(counting, node)
      if (n < owed) counting.wrong.push(`I3: ${String(owed)} was owed, ${String(n)} was read on ${node}`)
    } catch (error) {
      told(counting, error)
    }
    await sleep(2)
  }
}

function seen(counting: Counting, node: string): void {
  counting.reads += 1
  counting.by.set(node, (counting.by.get(node) ?? 0) + 1)
}

function told(counting: Counting, error: unknown): void {
  const { code = 'none' } = error as { code?: string }
  counting.told.set(code, (counting.told.get(code) ?? 0) + 1)
}
