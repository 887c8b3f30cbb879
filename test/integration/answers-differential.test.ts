// The same rows in one PostgreSQL, in 2, 3 and 8 shards and in 3 partitions: what the proxy answers, and what it writes, is what the
// one server says, or it is refused. Statements written by hand (test/fixtures/answers.sql) and generated ones; bench/answers.ts
// asks thousands. How much is answered is told by kind.
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import t from 'tap'
import type pg from 'pg'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import { readCorpus } from '../support/answers-corpus.js'
import { AnswersRun, turn, type Unequal } from '../support/answers-run.js'
import { generated } from '../support/answers-statements.js'
import { answersServers, AnswersWorld, wholeOf } from '../support/answers-world.js'
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
  for (const [i, question] of generated(seed, 300).entries()) {
    const { layout, way } = turn(i)
    await asked.run(question, layout, way)
  }
  t.comment(asked.table())
  t.same(asked.unequal.map(told), [])
  t.ok(asked.share([...asked.counts.keys()]) > 0.5)
})

async function copied(client: pg.Client, sql: string): Promise<readonly string[]> {
  const chunks: Buffer[] = []
  for await (const chunk of client.query(copyTo(sql))) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString().split('\n')
}

const outs = [
  'COPY comments (image_id, id, author, body, score, price, weight, at, tags) TO STDOUT',
  'COPY votes (id, image_id, voter) TO STDOUT (FORMAT csv, HEADER)',
  'COPY (SELECT author, count(*) FROM comments GROUP BY author ORDER BY author) TO STDOUT',
  'COPY (SELECT * FROM comments WHERE image_id = 7) TO STDOUT (FORMAT csv)',
]
const ins = [
  { table: 'votes', sql: 'COPY votes (image_id, id, value) FROM STDIN', lines: ['1\t900\t5', '8\t900\t\\N', '-3\t900\t2', '9999\t900\t1'] },
  { table: 'notes', sql: 'COPY notes FROM STDIN (FORMAT csv)', lines: ['a,900,"x, y",1.5', 'é,900,,', '"",900,"a ""word""",2'] },
  { table: 'votes', sql: 'COPY votes (id, image_id) FROM STDIN (FORMAT csv, HEADER)', lines: ['id,image_id', '901,7'] },
]

t.test('COPY', async (t) => {
  for (const layout of ['two', 'eight', 'parts'] as const) {
    const [whole, ours] = [await world.direct(wholeOf(layout)), await connect({ database: layout })]
    for (const sql of outs) t.same((await copied(ours, sql)).toSorted(), (await copied(whole, sql)).toSorted(), `${layout}: ${sql}`)
    for (const { table, sql, lines } of ins) {
      for (const client of [whole, ours]) await pipeline(Readable.from([`${lines.join('\n')}\n`]), client.query(copyFrom(sql)))
      const { whole: wanted, spread } = await world.contents(table, layout)
      t.same(spread, wanted, `${layout}: ${sql}`)
    }
  }
})
