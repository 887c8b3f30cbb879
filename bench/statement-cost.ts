// bench/statement-cost.ts — microseconds that one statement costs before it can be sent: normalise + shape cache + plan
// cache. The texts differ in their literals from call to call, so that no cache of whole texts answers.
import { plan } from '../src/routing/planner.js'
import { loadSql } from '../src/sql/parser.js'
import { createUnderstanding } from '../src/sql/understand.js'
import { givenCatalogs, givenConfig, givenSession } from '../test/support/plan-given.js'
import { median, table } from './table.js'

const cases: readonly (readonly [name: string, text: (i: number) => string])[] = [
  ['pgbench -S', (i) => `SELECT abalance FROM pgbench_accounts WHERE aid = ${String(i)};`],
  ['read of a partition', (i) => `SELECT id, title FROM images WHERE user_id = ${String(i)} ORDER BY id DESC LIMIT 20`],
  ['one shard by its key', (i) => `SELECT * FROM comments WHERE image_id = ${String(i)} AND body <> 'x'`],
  ['update', (i) => `UPDATE users SET name = 'n${String(i)}' WHERE id = ${String(i)}`],
  ['parameters only', () => 'SELECT id, email FROM users WHERE id = $1 AND active'],
]
const calls = 20_000

/** One line per case: the median of nine rounds. */
export async function measureUnderstanding(): Promise<string> {
  await loadSql()
  const understanding = createUnderstanding({ maxParseBytes: 1 << 20, shapeCacheBytes: 64 << 20 })
  const { config, database } = givenConfig('demo')
  const catalogs = givenCatalogs('demo')
  const session = givenSession()
  const parameters = { get: () => ({ text: '7', oid: 20 }) }
  const rows = [['statement', 'understand µs', 'with plan µs']]
  for (const [name, text] of cases) {
    const texts = Array.from({ length: calls }, (_, i) => text(i + 1_000_000))
    const understood = perCall(texts, (it) => understanding.understand(it))
    const planned = perCall(texts, (it) =>
      plan({ understood: understanding.understand(it), parameters, session, config, database, catalogs }),
    )
    rows.push([name, understood.toFixed(2), planned.toFixed(2)])
  }
  return `\nCost of a known shape, median of 9 rounds of ${String(calls)} statements:\n\n${table(rows)}`
}

function perCall(texts: readonly string[], work: (text: string) => unknown): number {
  const rounds: number[] = []
  for (let round = 0; round < 9; round++) {
    const start = process.hrtime.bigint()
    for (const text of texts) work(text)
    rounds.push(Number(process.hrtime.bigint() - start) / 1000 / texts.length)
  }
  return median(rounds)
}

if (process.argv[1]?.endsWith('statement-cost.ts')) console.log(await measureUnderstanding())
