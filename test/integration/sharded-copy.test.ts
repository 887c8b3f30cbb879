// COPY of sharded tables through the proxy, in every format: rows go where their keys live, and come back as one server would give them.
// Held against a plain table of the same rows on one server.
import t from 'tap'
import { Readable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { setImmediate as turn } from 'node:timers/promises'
import pg from 'pg'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import type { ConfigInput } from '../../src/config/input.js'
import { until } from '../../src/embedded/until.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { cancel } from '../support/wire-client.js'

const table = (name: string): string =>
  `CREATE TABLE ${name} (note text, id bigint NOT NULL PRIMARY KEY, n int CHECK (n < 1000), twice int GENERATED ALWAYS AS (n * 2) STORED);`
const seed = `${table('things')} ${table('plain')} CREATE TABLE keyed (a int, b text, v text); CREATE TABLE listed (code text, v text);`
const settings = { max_prepared_transactions: '20' }
const running = await withTopology(t, { clusters: { main: { seed, settings }, other: { seed, settings } } })
const names = ['main', 'other'] as const
const clusters = Object.fromEntries(
  names.map((name) => [
    name,
    { nodes: running.cluster(name).nodes.map(({ address }) => address), dbname: 'app', user: 'app', password: 'app' },
  ]),
)
const sharded: NonNullable<NonNullable<ConfigInput['databases']>[string]['sharded']> = {
  things: { clusters: ['main', 'other'], shards: 8, by: 'hash', key_type: 'bigint', tables: { things: 'id' } },
  keyed: { clusters: ['main', 'other'], shards: 8, by: 'hash', key_type: ['integer', 'text'], tables: { keyed: ['a', 'b'] } },
  listed: {
    clusters: ['main', 'other'],
    shards: 2,
    by: 'list',
    key_type: 'text',
    values: { 0: ['x'], 1: ['y,\n"z"'] },
    tables: { listed: 'code' },
  },
}
const together: ConfigInput = { version: 1, clusters, databases: { app: { default: 'main', two_phase: true, sharded } } }
const alone: ConfigInput = { version: 1, clusters, databases: { app: { default: 'main', sharded } } }
const proxy = await withProxy(t, together)
const single = await withProxy(t, alone)

async function rows(cluster: string, sql: string): Promise<readonly unknown[]> {
  return running.cluster(cluster).primary.sql(sql)
}
async function count(from: string): Promise<readonly number[]> {
  const found = await Promise.all(names.map((name) => rows(name, `SELECT count(*)::int AS n FROM ${from}`)))
  return found.map(([row]) => Number((row as { n: string }).n))
}
async function clear(): Promise<void> {
  for (const name of names) await rows(name, 'TRUNCATE things, plain, keyed, listed')
}
async function load(client: pg.Client, sql: string, data: readonly (string | Buffer)[]): Promise<number> {
  const stream = client.query(copyFrom(sql))
  await pipeline(Readable.from(data.map((piece) => Buffer.from(piece as string))), stream)
  return stream.rowCount
}
async function unload(client: pg.Client, sql: string): Promise<Buffer> {
  const stream = client.query(copyTo(sql))
  const pieces: Buffer[] = []
  stream.on('data', (piece: Buffer) => pieces.push(piece))
  await finished(stream)
  return Buffer.concat(pieces)
}
async function refusal(work: Promise<unknown>): Promise<{ readonly said: string; readonly at: string }> {
  return work.then(
    () => ({ said: 'went through', at: '' }),
    (error: unknown) => {
      const { code, message, detail, where } = error as { code: string; message: string; detail?: string; where?: string }
      return { said: `${code} ${message}`, at: `${detail ?? ''}${where ?? ''}` }
    },
  )
}
/** Cut where it hurts. */
function pieces(data: Buffer, size: number): readonly Buffer[] {
  return Array.from({ length: Math.ceil(data.length / size) }, (_, i) => data.subarray(i * size, (i + 1) * size))
}
const lines = (data: Buffer): readonly string[] => data.toString('latin1').split('\n').sort()

t.beforeEach(clear)

t.test('text, CSV and binary: split by row, gathered again, as one server has them', async (t) => {
  const client = await proxy.connect()
  const { host, port } = running.cluster('main').primary
  const direct = new pg.Client({ host, port, user: 'app', password: 'app', database: 'app' })
  await direct.connect()
  t.teardown(() => direct.end())
  await direct.query(`INSERT INTO plain (note, id, n) SELECT CASE i % 7 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'a\\tb\\\\c\\nd' WHEN 3 THEN 'q"u,o' WHEN 4 THEN E'\\\\N'
    WHEN 5 THEN E'\\r\\n' ELSE 'é' || i END, i * 1000003 - 500, nullif(i % 10, 0) FROM generate_series(1, 500) i`)
  const forms = [
    '',
    'WITH (FORMAT csv, HEADER)',
    "WITH (FORMAT csv, DELIMITER ';', QUOTE '''', ESCAPE '!', NULL 'nil', FORCE_QUOTE (note))",
    "WITH (DELIMITER '|', NULL 'x', HEADER)",
    'WITH (FORMAT binary)',
  ]
  for (const form of forms)
    for (const columns of ['', ' (id, note, n)', ' (n, id, note)']) {
      await clearThings()
      const given = form.replace(', FORCE_QUOTE (note)', '')
      const data = await unload(direct, `COPY plain${columns} TO STDOUT ${form}`)
      t.equal(await load(client, `COPY things${columns} FROM STDIN ${given}`, pieces(data, 97)), 500, `${form}${columns}`)
      const [here = 0, there = 0] = await count('things')
      t.ok(here > 100 && there > 100 && here + there === 500, `on both clusters: ${String(here)} + ${String(there)}`)
      const back = await unload(client, `COPY things${columns} TO STDOUT ${form}`)
      if (form.includes('binary')) {
        t.equal(back.length, data.length)
        t.equal(await load(direct, `COPY pg_temp.back${columns} FROM STDIN ${form}`, [back]).catch(() => remade(back, columns)), 500)
      } else t.same(lines(back), lines(data))
    }

  async function clearThings(): Promise<void> {
    for (const name of names) await rows(name, 'TRUNCATE things')
  }
  async function remade(back: Buffer, columns: string): Promise<number> {
    await direct.query('CREATE TEMP TABLE IF NOT EXISTS back (LIKE plain INCLUDING ALL)')
    await direct.query('TRUNCATE pg_temp.back')
    const loaded = await load(direct, `COPY pg_temp.back${columns} FROM STDIN (FORMAT binary)`, [back])
    const { rows: differ } = await direct.query('SELECT note, id, n FROM plain EXCEPT SELECT note, id, n FROM pg_temp.back')
    return loaded - differ.length
  }
})

t.test('every row is where its key lives: an INSERT of the same key meets it', async (t) => {
  const client = await proxy.connect()
  await load(client, 'COPY things (id, note) FROM STDIN', [Array.from({ length: 64 }, (_, i) => `${String(i)}\t${String(i)}\n`).join('')])
  for (let id = 0; id < 64; id++)
    t.equal((await client.query(`SELECT note FROM things WHERE id = ${String(id)}`)).rows[0]?.note, String(id))
})

t.test('COPY of a SELECT: gathered, sorted, added up', async (t) => {
  const client = await proxy.connect()
  await load(client, 'COPY things (id, n) FROM STDIN', [Array.from({ length: 40 }, (_, i) => `${String(i)}\t${String(i)}\n`).join('')])
  const sorted = await unload(client, 'COPY (SELECT id, n FROM things WHERE n < 5 ORDER BY id DESC) TO STDOUT (FORMAT csv, HEADER)')
  t.equal(sorted.toString(), 'id,n\n4,4\n3,3\n2,2\n1,1\n0,0\n')
  t.equal((await unload(client, 'COPY (SELECT count(*), sum(n) FROM things) TO STDOUT')).toString(), '40\t780\n')
  t.equal((await unload(client, 'COPY (SELECT n FROM things WHERE id = 7) TO STDOUT')).toString(), '7\n')
  t.match((await refusal(unload(client, 'COPY (SELECT id, row_number() OVER () FROM things) TO STDOUT'))).said, /^0A000 /)
})

t.test('keys of several columns; lists, with keys in quotes and escapes', async (t) => {
  const client = await proxy.connect()
  t.equal(await load(client, 'COPY keyed (v, b, a) FROM STDIN', ['1\tde\t7\n2\t\\144\\x65\t7\n3\tfr\t 8 \n']), 3)
  t.equal((await client.query("SELECT count(*)::int AS n FROM keyed WHERE a = 7 AND b = 'de'")).rows[0].n, 2)
  t.equal((await client.query("SELECT v FROM keyed WHERE a = 8 AND b = 'fr'")).rows[0].v, '3')
  t.equal(await load(client, 'COPY listed FROM STDIN CSV', ['x,1\r\n"y,\n', '""z""",2\r\n"x","a\r\nb"']), 3)
  t.same(await count('listed'), [2, 1])
  t.match(await refusal(load(client, 'COPY listed FROM STDIN CSV', ['x,1\n"a\nb",2\n'])), {
    said: '0A000 the shard key code of public.listed is not in the list of listed',
    at: /line 3/,
  })
})

t.test('what is wrong is told with its line, and nothing of it stands', async (t) => {
  const client = await proxy.connect()
  const good = Array.from({ length: 30 }, (_, i) => `${String(i)}\t${String(i)}\n`).join('')
  const wrong = async (rest: string, options = ''): Promise<{ said: string; at: string }> => {
    const found = await refusal(load(client, `COPY things (id, n) FROM STDIN ${options}`, [good, rest]))
    t.same(await count('things'), [0, 0])
    return found
  }
  t.match(await wrong('\\N\t1\n'), { said: '23502 the shard key id of public.things is NULL', at: /line 31, column id/ })
  t.match(await wrong('7x\t1\n'), { said: '22P02 the shard key id of public.things cannot be read as bigint', at: /line 31/ })
  t.match(await wrong('9223372036854775808\t1\n'), { said: /^22003 .*out of range for bigint/, at: /line 31/ })
  t.match(await wrong('40\tx\n'), { said: /^22P02 invalid input syntax for type integer/, at: /COPY things, line 31, column n/ })
  t.match(await wrong('40\t1000\n41\t1\n'), { said: /^23514 /, at: /COPY things, line 31/ })
  t.match(await wrong('40\n'), { said: /^22P04 missing data for column "n"/, at: /line 31/ })
  t.match(await wrong('5\t5\n'), { said: /^23505 /, at: /COPY things, line 31/ })
  t.match(await wrong('40\t1\r\n'), { said: '22P04 literal carriage return found in data', at: /line 31/ })
  t.match(await wrong('', "(ENCODING 'latin1')"), { said: /^0A000 .*ENCODING/ })
  t.match(await wrong('', '(ON_ERROR ignore)'), { said: /^0A000 .*ON_ERROR/ })
  t.match(await refusal(load(client, 'COPY things (note, n) FROM STDIN', [''])), { said: /^0A000 .*lacks the shard key/ })
  t.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1, 'the session goes on')
})

t.test('CopyFail, a cancel, and a client that is gone take all of it back', async (t) => {
  const data = Array.from({ length: 20_000 }, (_, i) => `${String(i)}\t1\n`).join('')
  const client = await proxy.connect()
  const failing = client.query(copyFrom('COPY things (id, n) FROM STDIN'))
  failing.on('error', () => undefined)
  failing.write(data)
  failing.destroy(new Error('enough'))
  await new Promise((resolve) => failing.once('close', resolve))
  t.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1)
  t.same(await count('things'), [0, 0])
  const canceled = await proxy.connect()
  t.match(
    (await refusal(pipeline(Readable.from(endless(canceled)), canceled.query(copyFrom('COPY things (id, n) FROM STDIN'))))).said,
    /^57014 /,
  )
  t.equal((await canceled.query('SELECT 1 AS one')).rows[0].one, 1)
  t.same(await count('things'), [0, 0])
  const leaving = await proxy.connect()
  leaving.on('error', () => undefined)
  const stream = leaving.query(copyFrom('COPY things (id, n) FROM STDIN'))
  stream.on('error', () => undefined)
  await new Promise((resolve) => stream.write(data, resolve))
  ;(leaving as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  const left = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state <> 'idle'"
  for (const name of names) await until(`nothing runs on ${name}`, async () => (await rows(name, left)).length === 0)
  t.same(await count('things'), [0, 0])
  t.equal(await load(client, 'COPY things (id, n) FROM STDIN', [data]), 20_000, 'nothing is locked by what was left')
})

/** Rows without end, and a cancel when some are there: a server looks for it when more comes. */
async function* endless(client: pg.Client): AsyncGenerator<Buffer> {
  const { processID, secretKey } = client as unknown as { processID: number; secretKey: number }
  const secret = Buffer.alloc(4)
  secret.writeInt32BE(secretKey)
  for (let id = 0; ; id += 2_000) {
    yield Buffer.from(Array.from({ length: 2_000 }, (_, n) => `${String(id + n)}\t1\n`).join(''))
    if (id === 10_000) await cancel(proxy.port, { pid: processID, secret })
    await turn()
  }
}

t.test('inside a transaction it is a part of it', async (t) => {
  const client = await proxy.connect()
  await client.query('BEGIN')
  await load(client, 'COPY things (id, n) FROM STDIN', ['1\t1\n2\t2\n3\t3\n4\t4\n'])
  await client.query('UPDATE things SET n = 10 WHERE id = 2')
  await client.query('ROLLBACK')
  t.same(await count('things'), [0, 0])
  await client.query('BEGIN')
  await load(client, 'COPY things (id, n) FROM STDIN', ['1\t1\n2\t2\n3\t3\n4\t4\n'])
  await client.query('COMMIT')
  t.equal(
    (await count('things')).reduce((a, b) => a + b),
    4,
  )
  await client.query('BEGIN')
  t.match((await refusal(load(client, 'COPY things (id, n) FROM STDIN', ['9\t1\n1\t1\n']))).said, /^23505/)
  t.match((await refusal(client.query('SELECT 1'))).said, /^25P02/)
  await client.query('ROLLBACK')
})

t.test('without two_phase all rows must be for one cluster', async (t) => {
  const client = await single.connect()
  const data = (ids: readonly number[]): string => ids.map((id) => `${String(id)}\t1\n`).join('')
  const ids = Array.from({ length: 40 }, (_, i) => i)
  await load(await proxy.connect(), 'COPY things (id, n) FROM STDIN', [data(ids)])
  const [here, there] = await Promise.all(names.map((name) => rows(name, 'SELECT id::int FROM things')))
  const on = [here, there].map((found) => (found as { id: string }[]).map(({ id }) => Number(id)))
  await clear()
  for (const some of on) t.equal(await load(client, 'COPY things (id, n) FROM STDIN', [data(some)]), some.length)
  t.same(
    await count('things'),
    on.map(({ length }) => length),
  )
  await clear()
  t.match((await refusal(load(client, 'COPY things (id, n) FROM STDIN', [data(ids)]))).said, /^0A000 .*several clusters.*two_phase/)
  t.same(await count('things'), [0, 0])
  t.equal(await load(client, 'COPY things (id, n) FROM STDIN', ['']), 0)
})

t.test('more than memory may hold passes through, and a row that is too long does not', async (t) => {
  const tight = await withProxy(t, { ...together, limits: { merge_memory: '64kB' } })
  const client = await tight.connect()
  const wide = 'w'.repeat(2000)
  const piece = (from: number): string => Array.from({ length: 100 }, (_, i) => `${String(from + i)}\t${wide}\n`).join('')
  const pieces = Array.from({ length: 20 }, (_, i) => piece(1000 + 100 * i))
  t.equal(await load(client, 'COPY things (id, note) FROM STDIN', pieces), 2_000)
  t.equal((await unload(client, 'COPY things (id, note) TO STDOUT')).length, 2_000 * 2006)
  const long = [`1\tx\n2\t`, ...Array<string>(8).fill('w'.repeat(32 * 1024)), '\n']
  t.match((await refusal(load(client, 'COPY things (id, note) FROM STDIN', long))).said, /^54000 .*one row of the COPY/)
  t.same(await rows('main', 'SELECT FROM things WHERE id < 1000'), [])
  t.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1)
})
