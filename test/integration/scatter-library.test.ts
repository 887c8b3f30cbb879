// Reads on several clusters through the library, against pg on one PostgreSQL that holds the same rows: what is answered is the same,
// in every form in which pg gives results; what a server or the application does meanwhile loses nothing.
import t from 'tap'
import pg from 'pg'
import Cursor from 'pg-cursor'
import type { ConfigInput } from '../../src/config/input.js'
import { until } from '../../src/embedded/until.js'
import { router, routerConfig } from '../support/router.js'
import { fillShards } from '../support/shards.js'
import { shifted, shifting, shiftingRows, timesDescribed } from '../support/shifting.js'
import { withTopology } from '../support/topology.js'

const schema = `
CREATE TABLE comments (image_id bigint NOT NULL, id int NOT NULL, body text COLLATE "C", score numeric, at timestamptz, bytes bytea,
  PRIMARY KEY (image_id, id));
CREATE TABLE wide (image_id bigint NOT NULL, filler text);
CREATE TABLE odd (image_id bigint NOT NULL, v int);
${shifting}
`
const clusters = ['shard_0', 'shard_1']
const prepare = 'GRANT pg_monitor TO app'
const running = await withTopology(t, {
  clusters: { main: { seed: schema, prepare }, shard_0: { seed: schema, prepare, replicas: 1 }, shard_1: { seed: schema, prepare } },
})
const config: ConfigInput = routerConfig(running, {
  default: 'main',
  sharded: {
    comments: {
      clusters,
      shards: 8,
      by: 'hash',
      key_type: 'bigint',
      tables: { comments: 'image_id', wide: 'image_id', odd: 'image_id', shifting: 'image_id' },
    },
  },
  reads: { default: { consistency: 'any' } },
})

const whole = await direct('main')
const rows = (
  await whole.query<Record<string, string | null>>(`
  SELECT k::text AS image_id, i::text AS id, 'b' || (k * i) % 7 AS body, CASE WHEN i = 3 THEN NULL ELSE (k * 1.25 - i)::text END AS score,
         (timestamptz '2026-01-01' + (k * i || ' hours')::interval)::text AS at, ('\\x' || lpad(to_hex(k), 4, '0')) AS bytes
  FROM generate_series(1, 40) k, generate_series(1, 4) i`)
).rows
const wide = Array.from({ length: 2_000 }, (_, index) => ({ image_id: String(index), filler: 'é'.repeat(700) }))
await fillShards(config, 'comments', direct, {
  comments: { key: 'image_id', rows },
  wide: { key: 'image_id', rows: wide },
  shifting: { key: 'image_id', rows: shiftingRows },
})
const pool = router(t, config)

async function direct(cluster: string): Promise<pg.Client> {
  const { primary, dbname } = running.cluster(cluster)
  const { user, password } = running
  const connection = new pg.Client({ host: primary.host, port: primary.port, user, password, database: dbname })
  await connection.connect()
  t.teardown(() => connection.end().catch(() => undefined))
  return connection
}

/** Every connection is idle again. */
async function idle(): Promise<void> {
  await until('every connection has been given back', () => Promise.resolve(pool.totalCount === pool.idleCount))
}

const types = { getTypeParser: () => (text: string) => `<${text}>` }
const queries: readonly (string | pg.QueryConfig | pg.QueryArrayConfig)[] = [
  'SELECT image_id, id, body, score, at, bytes FROM comments ORDER BY image_id, id',
  'SELECT * FROM comments ORDER BY score DESC NULLS LAST, image_id, id LIMIT 7 OFFSET 3',
  'SELECT id FROM comments ORDER BY at DESC, image_id, id LIMIT 20',
  'SELECT count(*), sum(score), avg(score), min(at), max(body) FROM comments',
  'SELECT count(*) FROM comments WHERE image_id < 0',
  'SELECT body, count(*) AS n, sum(id) FROM comments GROUP BY body HAVING count(*) > 2 ORDER BY body',
  'SELECT DISTINCT body FROM comments ORDER BY body',
  'SELECT FROM comments WHERE image_id < 3',
  { text: 'SELECT id, id, body FROM comments WHERE id >= $1 ORDER BY score NULLS FIRST, image_id LIMIT $2', values: [2, 9] },
  { text: 'SELECT id, avg(score) FROM comments GROUP BY id ORDER BY id', rowMode: 'array' },
  { text: 'SELECT image_id, at FROM comments WHERE bytes = $1 ORDER BY id', values: [Buffer.from([0, 7])] },
  { text: 'SELECT image_id FROM comments WHERE at > $1 ORDER BY image_id, id', values: [new Date('2026-01-05T00:00:00Z')] },
  { text: 'SELECT image_id, score FROM comments WHERE image_id = ANY ($1) ORDER BY image_id, id', values: [[1, 2, 3, 4, 5]] },
  { name: 'by-id', text: 'SELECT image_id, body FROM comments WHERE id = $1 ORDER BY image_id', values: [1] },
  { name: 'by-id', text: 'SELECT image_id, body FROM comments WHERE id = $1 ORDER BY image_id', values: [2] },
  { text: 'SELECT score, at FROM comments WHERE id = 1 ORDER BY image_id LIMIT 3', types },
]

t.test("the same results as pg's own, of pool and client", async (t) => {
  const client = await pool.connect()
  for (const query of queries) {
    const wanted = await whole.query(query as pg.QueryConfig)
    for (const got of [await pool.query(query as pg.QueryConfig), await client.query(query as pg.QueryConfig)]) {
      t.same(got.rows, wanted.rows, JSON.stringify(query))
      t.equal(got.constructor, wanted.constructor)
      t.match(got, { rowCount: wanted.rowCount, command: 'SELECT' })
      t.same(shape(got), shape(wanted))
      t.match((got as RoutedResult).routed, { cluster: /^shard_/, why: [{ rule: 'scatter' }] })
    }
  }
  t.same((await client.query({ name: 'by-id', values: [3] } as unknown as pg.QueryConfig)).rowCount, 40, 'by its name alone')
  const called = await new Promise((resolve) => client.query('SELECT count(*) AS n FROM comments', (_error, { rows }) => resolve(rows)))
  t.same(called, [{ n: '160' }])
  client.release()
  await idle()
})

t.test('a description is asked for once, and again when it does not hold any more', async (t) => {
  const text = 'SELECT id, body FROM comments ORDER BY id, image_id LIMIT 4'
  const wanted = (await whole.query(text)).rows
  const times = await timesDescribed(async () => {
    for (let i = 0; i < 5; i++) t.same((await pool.query(text)).rows, wanted)
  })
  t.equal(times, 1)
  const servers = await Promise.all(['main', ...clusters].map(direct))
  const define = async (sql: string): Promise<void> => {
    await Promise.all(servers.map((server) => server.query(sql)))
  }
  const ask = (ours: boolean, { text, values }: { text: string; values: readonly string[] }): Promise<unknown> =>
    (ours ? pool : whole).query(text, [...values]).then(
      (result) => [result.rows, shape(result)],
      (error: unknown) => (error as { code?: string }).code,
    )
  await shifted({ t, define, ask })
  await idle()
})

interface RoutedResult {
  readonly routed?: unknown
}

function shape({ fields }: pg.QueryResult): unknown {
  return fields.map(({ name, dataTypeID, dataTypeModifier, format }) => ({ name, dataTypeID, dataTypeModifier, format }))
}

t.test('explained, and where each part has been', async (t) => {
  t.match(await pool.explainText('SELECT count(*) FROM comments'), /^merged from the replicas of shard_0, shard_1: /)
  const client = await pool.connect()
  const { routed } = await client.query('SELECT count(*) FROM comments')
  const said = routed?.why.map(({ detail }) => detail) ?? []
  for (const cluster of clusters) t.ok(said.some((each) => new RegExp(`(primary|replica) \\S+ of ${cluster}`).test(each)))
  const { rows: last } = await client.query('SHOW pointsman.last_route')
  t.match(Object.values(last[0] as object)[0], /^merged from the replicas of shard_0, shard_1/)
  client.release()
})

t.test('a setting of the client holds on every server', async (t) => {
  const client = await pool.connect()
  await client.query("SET TimeZone = 'Asia/Tokyo'")
  await whole.query("SET TimeZone = 'Asia/Tokyo'")
  const sql = 'SELECT at::text, date_trunc($$day$$, at)::text AS day FROM comments ORDER BY image_id, id'
  t.same((await client.query(sql)).rows, (await whole.query(sql)).rows)
  await whole.query('RESET TimeZone')
  client.release()
  const { rows: again } = await pool.query(sql)
  t.same(again, (await whole.query(sql)).rows)
})

t.test('floats that are written rounded are not compared', async (t) => {
  const client = await pool.connect()
  await client.query('SET extra_float_digits = 0')
  await t.rejects(client.query('SELECT score::float8 AS f FROM comments ORDER BY f'), { code: '0A000', message: /extra_float_digits is 0/ })
  await client.query('RESET extra_float_digits')
  t.ok((await client.query('SELECT score::float8 AS f FROM comments ORDER BY f')).rows.length > 0)
  client.release()
})

t.test('an error of a part is the error of the query, and the client goes on', async (t) => {
  const client = await pool.connect()
  await t.rejects(client.query('SELECT 1 / (image_id - 17) FROM comments'), { code: '22012' })
  await t.rejects(client.query('SELECT nothing FROM comments'), { code: '42703' })
  await t.rejects(client.query('SELECT id FROM comments ORDER BY id LIMIT $1', [-1]), { code: '2201W' })
  await t.rejects(client.query({ text: 'SELECT id FROM comments', types: { getTypeParser: () => () => fails() } }), /parser/)
  t.equal((await client.query('SELECT count(*) AS n FROM comments')).rows[0].n, '160')
  client.release()
  await idle()
})

function fails(): never {
  throw new Error('a parser')
}

t.test('servers that would write values in other ways, and columns of other types, are not merged', async (t) => {
  const second = await direct('shard_1')
  await second.query('ALTER TABLE odd ALTER v TYPE text')
  await t.rejects(pool.query('SELECT v FROM odd'), { code: '0A000', message: /columns that cluster shard_1 gives/ })
  await second.query("ALTER ROLE app SET DateStyle = 'German'")
  const other = router(t, config)
  await t.rejects(other.query('SELECT at FROM comments'), {
    code: '0A000',
    message: /^DateStyle is .* on cluster shard_1 .*cannot be merged/,
  })
  await second.query('ALTER ROLE app RESET DateStyle')
})

t.test('what cannot be answered as pg would is refused', async (t) => {
  const client = await pool.connect()
  const cursor = client.query(new Cursor('SELECT id FROM comments'))
  await t.rejects(cursor.read(1), { code: '0A000' })
  await t.rejects(client.query({ text: 'SELECT id FROM comments', binary: true } as pg.QueryConfig), { code: '0A000' })
  await t.rejects(client.query('COPY comments TO STDOUT'), { code: '0A000' })
  await client.query('BEGIN')
  await t.rejects(client.query('SELECT count(*) FROM comments'), { code: '0A000' })
  await client.query('ROLLBACK')
  client.release()
  await idle()
})

t.test('large rows, LIMIT, and what must be held is bounded', async (t) => {
  t.equal((await pool.query('SELECT filler FROM wide')).rows.length, wide.length)
  const sorted = await pool.query('SELECT image_id, filler FROM wide ORDER BY image_id')
  t.same(
    sorted.rows.map(({ image_id }) => Number(image_id)),
    wide.map((_, index) => index),
  )
  t.equal(sorted.rows.at(-1).filler, wide[0]?.filler)
  t.equal((await pool.query('SELECT filler FROM wide ORDER BY image_id LIMIT 3')).rows.length, 3)
  const tight = router(t, { ...config, limits: { merge_memory: '64kB' } })
  await t.rejects(tight.query('SELECT DISTINCT filler || image_id FROM wide'), { code: '54000' })
  t.equal((await tight.query('SELECT filler FROM wide ORDER BY image_id')).rows.length, wide.length)
  await tight.end()
})

/** Takes `rounds` × `rounds` times as long as one md5() for each row. */
function slow(rounds: number, condition: string): string {
  const series = `generate_series(1, ${String(rounds)})`
  return `SELECT count(*) AS n FROM comments, ${series} a, ${series} b WHERE id = 1 AND ${condition}`
}

t.test('a part that is not wanted any more is canceled, and its connection is good', async (t) => {
  // 17 fails at once on its cluster; the other cluster would go on for hours.
  const fails = 'CASE WHEN image_id = 17 THEN 1 / (image_id - 17) ELSE length(md5((a + b)::text)) END = 1'
  await t.rejects(pool.query(slow(100_000, fails)), { code: '22012' })
  await idle()
  t.equal((await pool.query('SELECT count(*) AS n FROM comments')).rows[0].n, '160')
  const limited = { text: slow(1_000, 'length(md5((a + b)::text)) = 1'), query_timeout: 50 } as pg.QueryConfig
  await t.rejects(pool.query(limited), /Query read timeout/)
  t.equal((await pool.query('SELECT count(*) AS n FROM comments')).rows[0].n, '160')
  await idle()
})

t.test('a read that has all its rows does not wait for a part, nor for what that looks like', async (t) => {
  const first = await direct('shard_0')
  const ids = (await first.query<{ image_id: string }>('SELECT DISTINCT image_id FROM comments')).rows.map(({ image_id }) => image_id)
  // The first cluster would look for its first row for hours.
  const series = 'generate_series(1, 100000) a, generate_series(1, 100000) b'
  const text = `SELECT 1 AS one FROM comments, ${series} WHERE image_id NOT IN (${String(ids)}) OR length(md5((a + b)::text)) = 1 LIMIT 2`
  for (let run = 0; run < 2; run++) t.equal((await pool.query({ text, query_timeout: 20_000 } as pg.QueryConfig)).rowCount, 2)
  await idle()
})

t.test('a server of a part dies: the read goes on elsewhere', async (t) => {
  const { nodes, primary } = running.cluster('shard_0')
  const replica = nodes.find(({ port }) => port !== primary.port)
  if (replica === undefined) throw new Error('no replica')
  let stopped = false
  const readers = Array.from({ length: 4 }, async () => {
    for (let left = 10; left > 0; left -= stopped ? 1 : 0) {
      t.equal((await pool.query('SELECT count(*) AS n FROM comments')).rows[0].n, '160')
    }
  })
  await replica.stop('immediate')
  stopped = true
  await Promise.all(readers)
  await idle()
})

t.test('end() waits for what runs', async (t) => {
  const own = router(t, config)
  await own.query('SELECT 1')
  const under = own.query(slow(100, 'length(md5((a + b)::text)) > 1'))
  const client = await own.connect()
  const also = client.query(slow(100, 'length(md5((a + b)::text)) > 1'))
  client.release()
  await own.end()
  for (const { rows } of await Promise.all([under, also])) t.same(rows, [{ n: '400000' }])
})
