// The same rows in one PostgreSQL, in 2, 3 and 8 shards and in 3 partitions: what the proxy answers, and what it writes, is what the
// one server says, or it is refused. Statements written by hand (test/fixtures/answers.sql) and generated ones; bench/answers.ts
// asks thousands. How much is answered is told by kind.
import t from 'tap'
import { readCorpus } from '../support/answers-corpus.js'
import { AnswersRun, turn, type Unequal } from '../support/answers-run.js'
import { generated } from '../support/answers-statements.js'
import { answersServers, AnswersWorld } from '../support/answers-world.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { loadSql } from '../../src/sql/parser.js'

await loadSql()
const running = await withTopology(t, answersServers)
const world = await AnswersWorld.make(running)
t.teardown(() => world.close())
const { connect } = await withProxy(t, world.input)
const seed = 20261122

const run = (): Promise<AnswersRun> => AnswersRun.connect(world, (database) => connect({ database }))

function told({ layout, way, question, why }: Unequal): string {
  return `${layout}, ${way}: ${question.sql} ${JSON.stringify(question.values)}\n${why}`
}

t.test('statements written by hand', async (t) => {
  const asked = await run()
  const corpus = readCorpus()
  t.ok(corpus.length >= 300)
  t.equal(corpus.filter(({ kind }) => kind === 'TPC-H').length, 22)
  for (const [i, question] of corpus.entries()) {
    const { way } = turn(i * 4)
    await asked.run(question, (['two', 'three', 'eight'] as const)[i % 3] ?? 'two', way)
    await asked.run(question, 'parts', way)
  }
  t.comment(asked.table())
  t.same(asked.unequal.map(told), [])
  for (const kind of ['key-bound reads', 'key-bound writes']) t.equal(asked.share([kind]), 1, kind)
  const single = [...asked.counts.keys()].filter((kind) => kind.startsWith('single table') && !kind.endsWith('(partitions)'))
  t.comment(`single-table selects that no key puts on one shard: ${(asked.share(single) * 100).toFixed(1)} % answered`)
  t.ok(asked.share(single) >= 0.85)
  t.equal(asked.share(['across homes', 'across homes: writes']), 0)
})

t.test('generated statements', async (t) => {
  const asked = await run()
  t.comment(`seed ${String(seed)}`)
  for (const [i, question] of generated(seed, 800).entries()) {
    const { layout, way } = turn(i)
    await asked.run(question, layout, way)
  }
  t.comment(asked.table())
  t.same(asked.unequal.map(told), [])
  t.ok(asked.share([...asked.counts.keys()]) > 0.5)
})
