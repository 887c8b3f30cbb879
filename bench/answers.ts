// bench/answers.ts — generated statements by the thousand, each asked of one PostgreSQL and of the same rows in 2, 3 and 8 shards and
// 3 partitions: what test/integration/answers-differential.test.ts does with few. Equal, or refused; it ends with 1 where one is not.
//
//   node --import=./scripts/typescript.mjs bench/answers.ts --cases 5000 --seed 7 [--only 1234] [--corpus]
//
// Writes are run one after the other, so `--only` runs the writes before that case too.
import { parseArgs } from 'node:util'
import { startTopology } from '../src/embedded/topology.js'
import { loadSql } from '../src/sql/parser.js'
import { readCorpus } from '../test/support/answers-corpus.js'
import { ways } from '../test/support/answers-compare.js'
import { AnswersRun } from '../test/support/answers-run.js'
import { generated } from '../test/support/answers-statements.js'
import { answersServers, AnswersWorld, layouts } from '../test/support/answers-world.js'
import { withProxy } from '../test/support/proxy.js'

const { values: options } = parseArgs({
  options: {
    cases: { type: 'string', default: '5000' },
    seed: { type: 'string', default: '20261122' },
    /** The number of one case, to have it again. */
    only: { type: 'string' },
    /** The statements written by hand, in every layout and way, instead of generated ones. */
    corpus: { type: 'boolean', default: false },
    /** Tell every refusal. */
    verbose: { type: 'boolean', default: false },
  },
})
const cases = Number(options.cases)
const seed = Number(options.seed)
const only = options.only === undefined ? null : Number(options.only)

const ends: (() => unknown)[] = []
try {
  console.log(`seed ${String(seed)}`)
  await loadSql()
  const running = await startTopology(answersServers)
  ends.unshift(() => running.stop())
  const world = await AnswersWorld.make(running)
  ends.unshift(() => world.close())
  const proxy = await withProxy({ teardown: (end) => void ends.unshift(end as () => unknown) }, world.input)
  const run = await AnswersRun.connect(world, (database) => proxy.connect({ database }))
  const questions = options.corpus ? readCorpus() : generated(seed, only === null ? cases : only + 1)
  const started = performance.now()
  let told = 0
  for (const [i, question] of questions.entries()) {
    if (only !== null && i !== only && question.kind !== 'write') continue
    for (const layout of layouts) await run.run(question, layout, ways[i % ways.length] ?? 'simple')
    for (; told < run.unequal.length; told++) {
      const { layout, way, why } = run.unequal[told] ?? { layout: '', way: '', why: '' }
      console.log(`\nUNEQUAL case ${String(i)} in ${layout}, ${way}: ${question.sql}\n${JSON.stringify(question.values)}\n${why}`)
    }
  }
  console.log(
    `\n${String(questions.length)} statements in ${String(layouts.length)} layouts, ${String(Math.round((performance.now() - started) / 1000))} s`,
  )
  console.log(run.table())
  console.log('\nwhy refused:')
  for (const [reason, count] of [...run.reasons].sort(([, a], [, b]) => b - a).slice(0, 60))
    console.log(`${String(count).padStart(6)}  ${reason}`)
  if (options.verbose)
    for (const { layout, question, why } of run.refused) console.log(`\n[${layout}] ${question.kind}: ${question.sql}\n  ${why}`)
  console.log(`${String(run.unequal.length)} unequal`)
  if (run.unequal.length > 0) process.exitCode = 1
} catch (error) {
  console.error(error)
  process.exitCode = 1
} finally {
  for (const end of ends) await end()
}
