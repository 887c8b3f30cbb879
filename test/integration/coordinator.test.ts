// The script of `pointsman coordinator sql`, run by psql on a real PostgreSQL: it sees the rows of two shards and of a partition, its
// answers are those of one server that holds them all, nothing can be written through it, and reads that cannot be merged go there.
import t from 'tap'
import pg from 'pg'
import { main as command } from '../../src/doors/cli/main.js'
import type { ConfigInput } from '../../src/config/input.js'
import { skipWithout } from '../support/commands.js'
import { psql, runProgram } from '../support/program.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'
import { stringify } from 'yaml'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

const skip = skipWithout('psql')
const columns = 'image_id bigint NOT NULL, id int NOT NULL, body text, score numeric, at timestamptz, PRIMARY KEY (image_id, id)'
const comments = `CREATE TABLE comments (${columns});`
const images = 'CREATE TABLE images (id bigint PRIMARY KEY, title varchar(20)); CREATE TABLE "Odd ""name" (id int, "a b" text);'
const rows = (condition: string): string => `INSERT INTO comments (image_id, id, body, score, at)
  SELECT k, i, 'b' || (k * i) % 7, CASE WHEN i = 3 THEN NULL ELSE k * 1.25 - i END, timestamptz '2026-01-01' + (k * i || ' hours')::interval
  FROM generate_series(1, 40) k, generate_series(1, 4) i WHERE ${condition};`
const pictures = `INSERT INTO images SELECT n, 'title ' || n % 5 FROM generate_series(1, 40) n; INSERT INTO "Odd ""name" VALUES (1, 'x');`
/** Its columns stand in another order on one of the clusters. */
const tallies = (columns: string, condition: string): string =>
  `CREATE TABLE tallies (${columns}); INSERT INTO tallies (image_id, n, m) SELECT k, k * 2, k * 3 FROM generate_series(1, 40) k WHERE ${condition};`

t.test('pointsman coordinator sql', { skip }, async (t) => {
  const here = (shard: number): string => `satisfies_hash_partition('like_hash'::regclass, 2, ${String(shard)}, k::bigint)`
  const hashed = 'CREATE TABLE like_hash (k bigint) PARTITION BY HASH (k);'
  const running = await withTopology(t, {
    clusters: {
      one: {
        seed: `${comments} ${images} ${rows('true')} ${pictures} ${tallies('image_id bigint, n int, m int', 'true')}`,
        prepare: 'GRANT pg_monitor TO app',
      },
      shard_0: {
        seed: `${comments} ${hashed} ${rows(here(0))} ${tallies('image_id bigint, n int, m int', here(0))}`,
        prepare: 'GRANT pg_monitor TO app',
        replicas: 1,
      },
      shard_1: {
        seed: `${comments} ${hashed} ${rows(here(1))} ${tallies('m int, image_id bigint, n int', here(1))}`,
        prepare: 'GRANT pg_monitor TO app',
      },
      media: { seed: `${images} ${pictures}`, prepare: 'GRANT pg_monitor TO app' },
      whole: { seed: 'SELECT 1', prepare: 'ALTER ROLE app SUPERUSER' },
    },
  })
  const config: ConfigInput = routerConfig(running, {
    default: 'media',
    coordinator: 'whole',
    sharded: {
      comments: {
        clusters: ['shard_0', 'shard_1'],
        shards: 2,
        by: 'hash',
        key_type: 'bigint',
        tables: { comments: 'image_id', tallies: 'image_id' },
      },
    },
    reads: { default: { consistency: 'any' } },
  })
  const file = join(t.testdir({}), 'pointsman.yaml')
  writeFileSync(file, stringify(config))
  const said: string[] = []
  const notes: string[] = []
  const run = (...args: readonly string[]): Promise<number> => {
    said.length = 0
    notes.length = 0
    const io = {
      out: (text: string) => said.push(text),
      err: (text: string) => notes.push(text),
      cwd: process.cwd(),
      env: {},
      terminal: false,
    }
    return command(['coordinator', 'sql', '-c', file, ...args], io)
  }

  t.equal(await run(), 0, notes.join('\n'))
  t.match(notes.join(), /--live/)
  t.notMatch(said.join('\n'), /"images"/)
  t.equal(await run('--live'), 0, notes.join('\n'))
  const script = `${said.join('\n')}\n`
  t.match(script, /"images"/)
  t.notMatch(script, new RegExp(`password '`), 'no password stands in it')

  const { primary: whole, dbname } = running.cluster('whole')
  const passwords = ['shard_0', 'shard_1', 'media'].flatMap((id) => ['-v', `password_${id}=${running.password}`])
  const asOwner = ['-d', dbname, '-q', '-o', '/dev/null', ...passwords]
  const first = await runProgram('psql', whole.port, asOwner, script)
  t.equal(first.code, 0, first.err)
  const missing = await runProgram('psql', whole.port, asOwner.slice(0, -2), script)
  t.not(missing.code, 0, 'without a password it changes nothing')
  t.equal((await runProgram('psql', whole.port, asOwner, script)).code, 0, 'it can be run again')

  const connect = async (cluster: string): Promise<pg.Client> => {
    const { primary, dbname: database } = running.cluster(cluster)
    const client = new pg.Client({ host: primary.host, port: primary.port, user: 'app', password: 'app', database })
    await client.connect()
    t.teardown(() => client.end())
    return client
  }
  const [one, there] = [await connect('one'), await connect('whole')]

  await t.test('the answers are those of one server', async (t) => {
    for (const sql of questions) t.same((await there.query(sql)).rows, (await one.query(sql)).rows, sql)
    const explained = (await there.query<Record<string, string>>('EXPLAIN SELECT count(*) FROM comments')).rows
    const plan = explained.map((row) => Object.values(row)[0]).join('\n')
    t.equal(plan.match(/Async Foreign Scan/g)?.length, 2, plan)
  })

  await t.test('nothing is written through it, and what is not that of one table is an error', async (t) => {
    for (const sql of ['DELETE FROM comments', "INSERT INTO images VALUES (99, 'x')", 'UPDATE "shard_0.public".comments SET id = 1'])
      await t.rejects(there.query(sql), { code: /^(55000|42501)$/ }, sql)
    await t.rejects(there.query('SELECT tableoid FROM comments'), { code: '42703' })
  })

  await t.test('a table that differs between clusters is refused', async (t) => {
    await psql(running.cluster('shard_1').primary.port, 'ALTER TABLE comments ALTER body TYPE varchar(9)', ['-d', dbname])
    const differs = await runProgram('psql', whole.port, asOwner, script)
    t.match([differs.code, differs.err], [3, /the columns of "shard_1.public".comments are not those/])
    await psql(running.cluster('shard_1').primary.port, 'ALTER TABLE comments ALTER body TYPE text', ['-d', dbname])
    t.equal((await there.query('SELECT count(*)::int AS n FROM comments')).rows[0].n, 160, 'what was there stays')
  })

  await t.test('a database that compares text in another way is refused', async (t) => {
    await psql(whole.port, "CREATE DATABASE other TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'", ['-d', dbname])
    const differs = await runProgram('psql', whole.port, asOwner.with(asOwner.indexOf('-d') + 1, 'other'), script)
    t.match([differs.code, differs.err], [3, /sorted and compared in another way/])
  })

  await t.test('what cannot be merged goes there, and only that', async (t) => {
    const { connect: open } = await withProxy(t, config)
    const pool = router(t, config)
    const client = await open()
    const merged = 'SELECT count(*) FROM comments'
    for (const sql of unmergeable) {
      const wanted = (await one.query(sql)).rows
      t.same((await client.query(sql)).rows, wanted, sql)
      t.match(await lastRoute(client), /^primary \S+ of whole \(bound 0 ms\): coordinator: /)
      t.same((await pool.query(sql)).rows, wanted, sql)
      t.match(await pool.explain(sql), { kind: 'one', cluster: 'whole', writes: false })
    }
    await client.query(merged)
    t.match(await lastRoute(client), /^merged from /)
    const written = await client.query('INSERT INTO comments (image_id, id, score) VALUES (1000, 1, -7) RETURNING image_id')
    t.equal(written.rowCount, 1)
    const worst = 'SELECT image_id, rank() OVER (ORDER BY score NULLS LAST) FROM comments ORDER BY 2 LIMIT 1'
    t.same((await client.query(worst)).rows, [{ image_id: '1000', rank: '1' }], 'the session sees there what it has written')
    for (const sql of ['SELECT stddev(id) FROM ONLY comments', 'SELECT body FROM comments ORDER BY body FOR UPDATE'])
      await t.rejects(client.query(sql), { code: '0A000' }, sql)
  })
})

const unmergeable = [
  'SELECT stddev_samp(score::float8)::numeric(20, 6) AS deviation FROM comments',
  'SELECT image_id, id, rank() OVER (ORDER BY score DESC NULLS LAST, image_id, id) FROM comments ORDER BY 3, 1, 2 LIMIT 9',
]

const questions = [
  ...unmergeable,
  'SELECT body, count(*) FROM comments GROUP BY body ORDER BY body LIMIT 3',
  'SELECT * FROM comments ORDER BY image_id, id',
  'SELECT * FROM comments WHERE image_id = 7 ORDER BY id',
  'SELECT count(*), sum(score), avg(score), min(at), max(body) FROM comments',
  'SELECT i.title, count(*), max(c.score) FROM images i JOIN comments c ON c.image_id = i.id GROUP BY i.title ORDER BY i.title',
  'SELECT a.image_id FROM comments a JOIN comments b ON a.id = b.id + 1 AND a.score = b.score + 0.25 ORDER BY 1',
  'SELECT title FROM images WHERE id NOT IN (SELECT image_id FROM comments WHERE score > 3) ORDER BY id',
  'SELECT * FROM "Odd ""name"',
  "SELECT to_jsonb(c) FROM comments c WHERE body ILIKE 'B%' ORDER BY image_id, id LIMIT 3",
  'SELECT * FROM tallies ORDER BY image_id',
  'SELECT count(*) FROM ONLY comments',
]
