// bench/understand.ts — microseconds of each step from text to facts: `node --import ./scripts/typescript.mjs bench/understand.ts`.
// What a statement costs together with its plan is in statement-cost.ts.
import { normalise } from '../src/sql/normalise.js'
import { loadSql } from '../src/sql/parser.js'
import { createUnderstanding } from '../src/sql/understand.js'
import { median, table } from './table.js'

const limits = { maxParseBytes: 1 << 20, shapeCacheBytes: 64 << 20 }
const query = (i: number): string => `SELECT id, name, email FROM users WHERE id = ${String(i)} AND status = 'active' LIMIT 10`

await loadSql()
const texts = Array.from({ length: 20_000 }, (_, i) => query(i + 1_000_000))
const shared = createUnderstanding(limits)
const rows = [['step', 'µs']]

step('normalise', texts, normalise)
step('understand, shape known', texts, (text) => shared.understand(text))
step('understand, text known', new Array<string>(20_000).fill('SELECT id, name, email FROM users WHERE id = $1 AND status = $2'), (text) =>
  shared.understand(text),
)
let fresh = 0
step('understand, parsed', texts.slice(0, 1000), (text) => shared.understand(text.replace('name', `name${String(fresh++)}`)))
console.log(`\n${String(query(1_000_000).length)} characters, median of 9 rounds:\n\n${table(rows)}`)

function step(name: string, inputs: readonly string[], work: (text: string) => unknown): void {
  const rounds: number[] = []
  for (let round = 0; round < 9; round++) {
    const start = process.hrtime.bigint()
    for (const input of inputs) work(input)
    rounds.push(Number(process.hrtime.bigint() - start) / 1000 / inputs.length)
  }
  rows.push([name, median(rounds).toFixed(2)])
}
