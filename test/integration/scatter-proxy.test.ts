// Reads on several clusters through the proxy, against one PostgreSQL that holds the same rows: what is answered is the same, in both
// protocols, in text and in binary; what a server or a client does meanwhile loses nothing.
import t, { type Test } from 'tap'
import pg from 'pg'
import type { ConfigInput } from '../../src/config/input.js'
import { until } from '../../src/embedded/until.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { fillShards } from '../support/shards.js'
import { shifted, shifting, shiftingRows, timesDescribed } from '../support/shifting.js'
import { cancel, names, WireClient } from '../support/wire-client.js'
import { withTopology } from '../support/topology.js'

const schema = `
CREATE TABLE comments (image_id bigint NOT NULL, id int NOT NULL, body text COLLATE "C", score numeric, at timestamptz, PRIMARY KEY (image_id, id));
CREATE TABLE wide (image_id bigint NOT NULL, id int, filler text);
CREATE TABLE odd (image_id bigint NOT NULL, v int);
CREATE TABLE notes (id int);
${shifting}
CREATE FUNCTION opens(refcursor) RETURNS refcursor LANGUAGE plpgsql AS $$ BEGIN OPEN $1 FOR SELECT 1 AS one; RETURN $1; END $$;
`
const prepare = 'GRANT pg_monitor TO app'
const clusters = ['shard_0', 'shard_1', 'shard_2']
const running = await withTopology(t, {
  clusters: {
    main: { seed: schema, prepare },
    shard_0: { seed: schema, prepare, replicas: 1 },
    shard_1: { seed: schema, prepare },
    shard_2: { seed: schema, prepare },
  },
})

const login = { user: 'app', password: 'app' } as const
const input: ConfigInput = {
  version: 1,
  auth: { method: 'trust', users: [{ name: 'app' }] },
  clusters: Object.fromEntries(
    [...running.clusters.values()].map(({ id, nodes, dbname }) => [
      id,
      { dbname, ...login, tls: { mode: 'disable' as const }, nodes: nodes.map(({ address }) => address), pool: { max: 4, wait: '10s' } },
    ]),
  ),
  databases: {
    app: {
      default: 'main',
      sharded: {
        comments: {
          clusters,
          shards: 12,
          by: 'hash',
          key_type: 'bigint',
          tables: { comments: 'image_id', wide: 'image_id', odd: 'image_id', shifting: 'image_id' },
        },
      },
      reads: { default: { consistency: 'any' } },
    },
    whole: { default: 'main' },
  },
}

const whole = await direct('main')
const comments = (
  await whole.query<Record<string, string | null>>(`
  SELECT k::text AS image_id, i::text AS id, 'b' || (k * i) % 7 AS body, CASE WHEN i = 3 THEN NULL ELSE (k * 1.25 - i)::text END AS score,
         (timestamptz '2026-01-01' + (k * i || ' hours')::interval)::text AS at
  FROM generate_series(1, 40) k, generate_series(1, 4) i`)
).rows
const wide = Array.from({ length: 3_000 }, (_, index) => ({ image_id: String(index), id: String(index), filler: 'x'.repeat(1_000) }))
await fillShards(input, 'comments', direct, {
  comments: { key: 'image_id', rows: comments },
  wide: { key: 'image_id', rows: wide },
  shifting: { key: 'image_id', rows: shiftingRows },
})

const { connect, port, runtime } = await withProxy(t, input)
const client = await connect()

async function direct(cluster: string): Promise<pg.Client> {
  const { primary, dbname } = running.cluster(cluster)
  const connection = new pg.Client({ host: primary.host, port: primary.port, ...login, database: dbname })
  await connection.connect()
  t.teardown(() => connection.end().catch(() => undefined))
  return connection
}

const ordered = [
  'SELECT image_id, id, body, score, at FROM comments ORDER BY image_id, id',
  'SELECT * FROM comments ORDER BY score DESC NULLS LAST, image_id, id LIMIT 7 OFFSET 3',
  'SELECT id FROM comments ORDER BY body, image_id DESC, id LIMIT 20',
  'SELECT count(*), sum(score), avg(score), min(at), max(body) FROM comments',
  'SELECT count(*) FROM comments WHERE image_id < 0',
  'SELECT body, count(*) AS n, sum(id) FROM comments GROUP BY body ORDER BY body',
  'SELECT DISTINCT body FROM comments ORDER BY body',
  'SELECT image_id, count(*) FROM comments GROUP BY image_id HAVING count(*) > 3 ORDER BY image_id DESC LIMIT 5',
] as const

t.test('the same answer as of one server, by a simple query', async (t) => {
  for (const sql of ordered) {
    const [wanted, got] = [await whole.query(sql), await client.query(sql)]
    t.same(got.rows, wanted.rows, sql)
    t.same(
      got.fields.map(({ name, dataTypeID, format }) => ({ name, dataTypeID, format })),
      wanted.fields.map(({ name, dataTypeID, format }) => ({ name, dataTypeID, format })),
    )
    t.equal(got.rowCount, wanted.rowCount)
    t.equal(got.command, 'SELECT')
  }
  t.match(await lastRoute(client), /shard_[012]/)
})

t.test('with parameters, prepared by name, in binary', async (t) => {
  const text = 'SELECT image_id, id, score, body FROM comments WHERE id >= $1 ORDER BY score NULLS FIRST, image_id, id LIMIT $2'
  for (const name of [undefined, 'by-id', 'by-id']) {
    for (const binary of [false, true]) {
      const query = { text, values: [2, 9], binary, ...(name === undefined ? {} : { name: `${name}-${String(binary)}` }) }
      t.same((await client.query(query)).rows, (await whole.query(query)).rows)
    }
  }
})

t.test('a description is asked for once, and again when it does not hold any more', async (t) => {
  const text = 'SELECT id, body FROM comments ORDER BY id, image_id LIMIT 3'
  const wanted = (await whole.query(text)).rows
  const times = await timesDescribed(async () => {
    for (let i = 0; i < 5; i++) t.same((await client.query(text)).rows, wanted)
  })
  t.equal(times, 1)
  const servers = await Promise.all(['main', ...clusters].map(direct))
  const define = async (sql: string): Promise<void> => {
    await Promise.all(servers.map((server) => server.query(sql)))
  }
  const ask = async (ours: boolean, { text, values }: { text: string; values: readonly string[] }): Promise<unknown> => {
    const said: unknown[] = []
    for (const more of [{}, { queryMode: 'extended' }, { queryMode: 'extended', binary: true }]) {
      const answer = await (ours ? client : whole).query({ text, values: [...values], ...more } as pg.QueryConfig).then(
        ({ rows, fields }) => [rows, fields.map(({ name, dataTypeID, dataTypeModifier }) => [name, dataTypeID, dataTypeModifier])],
        (error: unknown) => (error as { code?: string }).code,
      )
      said.push(answer)
    }
    return said
  }
  await shifted({ t, define, ask })
  await idle()
})

t.test('described before it is bound, in steps, and closed', async (t) => {
  const [one, two] = [await WireClient.login(t, port), await WireClient.login(t, port, { database: 'whole' })]
  const text = '"SELECT id, count(*) FROM comments WHERE id < $1 GROUP BY id ORDER BY id"'
  for (const messages of [
    [`Parse "s" ${text} 0`, 'Describe S "s"', 'Flush', 'Bind "" "s" 0 1 "3" 0', 'Execute "" 0', 'Close P ""', 'Sync'],
    ['Describe S "s"', 'Sync'],
    ['Bind "" "s" 0 1 "2" 1 1', 'Describe P ""', 'Execute "" 0', 'Sync'],
    [`Parse "" ${text} 0`, 'Describe S ""', 'Bind "" "" 0 1 "4" 0', 'Describe P ""', 'Execute "" 0', 'Sync'],
  ]) {
    const replies = []
    for (const each of [one, two]) {
      each.send(...messages)
      replies.push(await each.until('ReadyForQuery'))
    }
    t.same(names(replies[0] ?? []), names(replies[1] ?? []), messages.join(' '))
    t.same(withoutTables(replies[0] ?? []), withoutTables(replies[1] ?? []))
  }
})

/** Of whose columns the oids of tables differ between servers. */
function withoutTables(messages: readonly string[]): readonly string[] {
  return messages.filter((message) => !message.startsWith('RowDescription'))
}

t.test('an error of a part is the error of the statement, and the client goes on', async (t) => {
  await t.rejects(client.query('SELECT 1 / (image_id - 17) FROM comments'), { code: '22012' })
  await t.rejects(client.query('SELECT nothing FROM comments'), { code: '42703' })
  await t.rejects(client.query('SELECT id FROM comments ORDER BY id LIMIT $1', [-1]), { code: '2201W' })
  await t.rejects(client.query('SELECT id FROM comments ORDER BY id LIMIT 0', ['one too many']), { code: '08P01' })
  t.equal((await client.query('SELECT count(*) AS n FROM comments')).rows[0].n, String(comments.length))
  await idle()
})

async function idle(): Promise<void> {
  await until('every connection has been given back', () => Promise.resolve(runtime.snapshot().pools.every(({ busy }) => busy === 0)))
}

t.test('floats that are written rounded are not compared', async (t) => {
  const other = await connect()
  await other.query('SET extra_float_digits = 0')
  await t.rejects(other.query('SELECT score::float8 AS f FROM comments ORDER BY f'), { code: '0A000', message: /extra_float_digits is 0/ })
  await other.query('SET extra_float_digits = 3')
  t.equal((await other.query('SELECT score::float8 AS f FROM comments ORDER BY f')).rows.length, comments.length)
  await other.end()
})

t.test('LIMIT, and many rows in order', async (t) => {
  t.equal((await client.query('SELECT image_id, filler FROM wide ORDER BY image_id LIMIT 3')).rows.length, 3)
  const got = (await client.query('SELECT image_id FROM wide ORDER BY image_id')).rows.map(({ image_id }) => Number(image_id))
  t.same(
    got,
    Array.from({ length: 3_000 }, (_, index) => index),
  )
})

t.test('a client that does not read holds the servers back', async (t) => {
  const reader = await WireClient.login(t, port)
  reader.pause()
  reader.query('SELECT image_id, repeat(filler, 120) FROM wide WHERE image_id < 400')
  const held = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND query LIKE '%repeat(filler%'"
  // The first has a replica to read from.
  for (const cluster of clusters.slice(1))
    await until(`${cluster} waits`, async () => (await running.cluster(cluster).primary.sql(held)).length === 1)
  reader.resume()
  t.match((await reader.until('ReadyForQuery')).join(), /CommandComplete "SELECT 400"/)
  t.ok(reader.passed > 400 * 120_000)
  await idle()
})

t.test('a part that ends while the client is behind does not take its wait away', async (t) => {
  const blocker = await direct('shard_2')
  await blocker.query('BEGIN')
  await blocker.query('LOCK TABLE wide')
  const reader = await WireClient.login(t, port)
  reader.pause()
  const large = (await (await direct('shard_1')).query<{ id: number }>('SELECT id FROM wide LIMIT 300')).rows.map(({ id }) => id)
  reader.query(`SELECT 1 AS late, repeat(filler, CASE WHEN id IN (${large.join()}) THEN 120 ELSE 0 END) FROM wide`)
  const held = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND query LIKE '%AS late%'"
  await until('the client is behind', async () => (await running.cluster('shard_1').primary.sql(held)).length === 1)
  await blocker.query('ROLLBACK')
  const over = "SELECT 1 FROM pg_stat_activity WHERE state = 'idle' AND query LIKE '%AS late%'"
  await until('one part has ended', async () => (await running.cluster('shard_2').primary.sql(over)).length > 0)
  await until('and is given back', () =>
    Promise.resolve(runtime.snapshot().pools.every(({ cluster, busy }) => cluster !== 'shard_2' || busy === 0)),
  )
  reader.resume()
  t.match((await reader.until('ReadyForQuery')).join(), /CommandComplete "SELECT 3000"/)
  await idle()
})

/** Runs for hours. */
const endless =
  'SELECT count(*) FROM comments, generate_series(1, 100000) a, generate_series(1, 100000) b WHERE length(md5((a + b)::text)) > 1'

t.test('a cancel ends it; a client that leaves in the middle leaves nothing', async (t) => {
  const slow = await WireClient.login(t, port)
  slow.query(endless)
  const again = setInterval(() => void cancel(port, slow.key), 50)
  t.teardown(() => clearInterval(again))
  t.match((await slow.until('ReadyForQuery')).join(), /57014/)
  clearInterval(again)
  await idle()
  const gone = await WireClient.login(t, port)
  gone.send('Query "SELECT image_id, filler FROM wide ORDER BY image_id"')
  await gone.until('DataRow')
  gone.destroy()
  await idle()
  for (let round = 0; round < 8; round++)
    t.equal((await client.query('SELECT count(*) AS n FROM comments')).rows[0].n, String(comments.length))
})

t.test('a part that is not wanted any more is canceled', async (t) => {
  // 17 fails at once on its cluster; the others would go on for hours.
  const fails = `${endless} AND CASE WHEN image_id = 17 THEN 1 / (image_id - 17) ELSE 1 END = 1`
  await t.rejects(client.query(fails), { code: '22012' })
  await idle()
})

t.test('a read that has all its rows does not wait for a part, nor for what that looks like', async (t) => {
  const first = await direct('shard_0')
  const ids = (await first.query<{ image_id: string }>('SELECT DISTINCT image_id FROM comments')).rows.map(({ image_id }) => image_id)
  // The first cluster would look for its first row for hours.
  const series = 'generate_series(1, 100000) a, generate_series(1, 100000) b'
  const slow = `image_id NOT IN (${String(ids)}) OR length(md5((a + b)::text)) = 1`
  const impatient = await connect({ query_timeout: 20_000 })
  for (const text of [
    `SELECT 1 AS one FROM comments, ${series} WHERE ${slow} LIMIT 2`,
    `SELECT count(*) FROM comments, ${series} WHERE ${slow} GROUP BY id LIMIT 0`,
  ])
    for (let run = 0; run < 2; run++) t.equal((await impatient.query(text)).rowCount, text.endsWith('2') ? 2 : 0, text)
  await idle()
})

t.test('servers that would write values in other ways, and columns of other types, are not merged', async (t) => {
  const third = await direct('shard_2')
  await third.query('ALTER TABLE odd ALTER v TYPE text')
  await t.rejects(client.query('SELECT v FROM odd'), { code: '0A000', message: /columns that cluster shard_2 gives/ })
  await third.query("ALTER ROLE app SET DateStyle = 'German'")
  const other = await (await withProxy(t, input)).connect()
  await t.rejects(other.query('SELECT at FROM comments'), {
    code: '0A000',
    message: /^DateStyle is .* on cluster shard_2 .*cannot be merged/,
  })
  await other.query('SET DateStyle = ISO, MDY')
  t.equal((await other.query('SELECT at FROM comments')).rows.length, comments.length, 'the client has said how')
  await third.query('ALTER ROLE app RESET DateStyle')
})

t.test('not above READ COMMITTED, and not together with others', async (t) => {
  const other = await connect()
  await other.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await t.rejects(other.query('SELECT count(*) FROM comments'), { code: '0A000', message: /above READ COMMITTED/ })
  await other.query('ROLLBACK')
  await t.rejects(other.query('SELECT count(*) FROM comments; SELECT 1'), { code: '0A000' })
  t.same((await other.query('SELECT count(*)::int AS n FROM comments WHERE image_id = 3')).rows, [{ n: 4 }])
  await other.end()
})

/** Each line to the proxy and to the one server: what they say must be the same. */
async function alike(t: Test, lines: readonly string[], connected: typeof connect = connect): Promise<void> {
  const [ours, theirs] = [await connected(), await connected({ database: 'whole' })]
  const say = async (each: pg.Client, sql: string): Promise<unknown> => {
    try {
      const { command, rowCount, rows } = await each.query<Record<string, unknown>>(sql)
      return [command, rowCount, rows]
    } catch (error) {
      return (error as { code?: string }).code
    }
  }
  for (const sql of lines) t.same(await say(ours, sql), await say(theirs, sql), sql)
  await Promise.all([ours.end(), theirs.end()])
  await idle()
}

t.test('within a transaction: it sees its own writes, and fails as a whole', async (t) => {
  await alike(t, [
    'BEGIN',
    "UPDATE comments SET body = 'mine' WHERE image_id = 3",
    "SELECT count(*) FROM comments WHERE body = 'mine'",
    'SAVEPOINT a',
    'SELECT image_id, id FROM comments ORDER BY 1, 2 LIMIT 3',
    'SELECT sum(1 / (id - 1)) FROM comments',
    'SELECT count(*) FROM comments',
    'ROLLBACK TO a',
    "SELECT count(*) FROM comments WHERE body = 'mine'",
    'ROLLBACK',
    "SELECT count(*) FROM comments WHERE body = 'mine'",
    'BEGIN READ ONLY',
    'SELECT count(*) FROM comments',
    'SELECT image_id, id FROM comments WHERE image_id = 5 ORDER BY id',
    'COMMIT',
  ])
})

t.test('without two_phase it writes where it began, and nowhere else', async (t) => {
  const other = await connect()
  await other.query('BEGIN')
  const found = new Set<string>()
  await other.query("UPDATE comments SET body = 'mine' WHERE image_id = 3")
  t.equal((await other.query("SELECT count(*) AS n FROM comments WHERE body = 'mine'")).rows[0].n, '4')
  for (let key = 1; key <= 6; key++) {
    await other.query('SAVEPOINT s')
    const { code } = await other.query(`UPDATE comments SET body = 'mine' WHERE image_id = ${String(key)}`).then(
      () => ({ code: 'written' }),
      (error: unknown) => error as { code: string },
    )
    found.add(code)
    await other.query('ROLLBACK TO s')
  }
  t.same([...found].sort(), ['0A000', 'written'])
  await other.query('ROLLBACK')
  await other.end()
})

t.test('a cursor: forward, beside other statements, back to savepoints, as of when it was declared', async (t) => {
  await alike(t, [
    'DECLARE c CURSOR FOR SELECT id FROM comments',
    'BEGIN',
    'DECLARE c NO SCROLL CURSOR FOR SELECT image_id, id FROM comments ORDER BY 1, 2',
    'FETCH 3 FROM c',
    'DELETE FROM comments WHERE image_id = 3',
    'SELECT count(*) FROM comments',
    'FETCH FORWARD 9 FROM c',
    'MOVE 2 FROM c',
    'SAVEPOINT a',
    'FETCH NEXT FROM c',
    'DECLARE d NO SCROLL CURSOR FOR SELECT body, count(*) FROM comments GROUP BY 1 ORDER BY 1',
    'FETCH 2 FROM d',
    'SELECT 1 / 0',
    'FETCH 1 FROM c',
    'ROLLBACK TO a',
    'FETCH 1 FROM c',
    'SAVEPOINT b',
    'DECLARE e NO SCROLL CURSOR FOR SELECT id FROM comments ORDER BY id, image_id',
    'RELEASE b',
    'FETCH 2 FROM e',
    'FETCH 1 FROM d',
    'ROLLBACK TO a',
    'FETCH 1 FROM e',
    'ROLLBACK TO a',
    'FETCH ALL FROM c',
    'FETCH 1 FROM c',
    'MOVE 0 FROM c',
    'SAVEPOINT g',
    'FETCH BACKWARD 1 FROM c',
    'ROLLBACK TO g',
    'FETCH 1 FROM c',
    'ROLLBACK TO g',
    'CLOSE c',
    'FETCH 1 FROM c',
    'ROLLBACK',
    'BEGIN',
    'DECLARE "X" NO SCROLL CURSOR FOR SELECT image_id, id FROM comments ORDER BY id, 1 OFFSET 5',
    'DECLARE f NO SCROLL CURSOR FOR SELECT id FROM comments ORDER BY id, image_id',
    'FETCH 1 FROM "X"',
    'CLOSE ALL',
    'FETCH 1 FROM f',
    'ROLLBACK',
    'BEGIN',
    'DECLARE c NO SCROLL CURSOR FOR SELECT 1 / (4 - id) FROM comments ORDER BY id, image_id',
    'FETCH 1 FROM c',
    'SAVEPOINT a',
    'FETCH ALL FROM c',
    'ROLLBACK TO a',
    'FETCH 1 FROM c',
    'COMMIT',
    'FETCH 1 FROM c',
    'BEGIN',
    'DECLARE c NO SCROLL CURSOR FOR SELECT id FROM comments ORDER BY id, image_id',
    'DECLARE c NO SCROLL CURSOR FOR SELECT id FROM comments ORDER BY id, image_id',
    'COMMIT',
    'BEGIN',
    'DECLARE c NO SCROLL CURSOR FOR SELECT id FROM comments ORDER BY id, image_id',
    'MOVE 0 FROM c',
    'FETCH BACKWARD -2 FROM c',
    'MOVE 0 FROM c',
    'SAVEPOINT a',
    'SELECT 1 / 0',
    'CLOSE ALL',
    'ROLLBACK TO a',
    'FETCH 1 FROM c',
    'ROLLBACK',
  ])
})

const declared = (name: string): string => `DECLARE ${name} NO SCROLL CURSOR FOR SELECT id, image_id FROM comments ORDER BY 1, 2`

t.test('the name of a cursor is taken on every cluster of its transaction, whoever has it', async (t) => {
  await alike(t, [
    'BEGIN',
    'DECLARE c CURSOR FOR SELECT 1 AS one',
    declared('c'),
    'ROLLBACK',
    'BEGIN',
    'DECLARE c CURSOR FOR SELECT 1 AS one',
    'SAVEPOINT a',
    declared('c'),
    'ROLLBACK TO a',
    'FETCH 1 FROM c',
    'CLOSE c',
    declared('c'),
    'FETCH 1 FROM c',
    "SELECT opens('c')",
    'ROLLBACK TO a',
    'FETCH 1 FROM c',
    'ROLLBACK TO a',
    declared('c'),
    'CLOSE c',
    "SELECT opens('c')",
    'FETCH 2 FROM c',
    declared('c'),
    'ROLLBACK',
    'BEGIN',
    'SAVEPOINT a',
    'SELECT 1 AS one',
    declared('c'),
    'ROLLBACK TO a',
    "SELECT opens('c')",
    'FETCH 2 FROM c',
    'ROLLBACK',
  ])
})

t.test('the name of a cursor is taken where its transaction comes to later, as long as it stands', async (t) => {
  const app = { default: 'main', ...input.databases['app'], two_phase: true }
  const { connect: connected } = await withProxy(t, { ...input, databases: { ...input.databases, app } })
  await alike(
    t,
    [
      'BEGIN',
      declared('c'),
      'SAVEPOINT a',
      declared('d'),
      'SAVEPOINT b',
      'SELECT count(*) FROM notes',
      'ROLLBACK TO b',
      "SELECT opens('d') FROM (SELECT count(*) FROM notes) n",
      'ROLLBACK TO a',
      'SELECT count(*) FROM notes',
      "SELECT opens('c') FROM (SELECT count(*) FROM notes) n",
      'ROLLBACK TO a',
      'FETCH 1 FROM c',
      'CLOSE c',
      'FETCH 1 FROM c',
      'ROLLBACK TO a',
      declared('d'),
      'FETCH 1 FROM d',
      'ROLLBACK',
    ],
    connected,
  )
})

t.test('the name of a portal is that of a cursor, and a portal that has run keeps it', async (t) => {
  const [ours, theirs] = [await WireClient.login(t, port), await WireClient.login(t, port, { database: 'whole' })]
  const one = '"SELECT 1 AS one"'
  const merged = '"SELECT id, image_id FROM comments ORDER BY 1, 2"'
  const begin = 'Query "BEGIN"'
  const batches = [
    [begin],
    [`Parse "" ${one} 0`, 'Bind "p" "" 0 0 0', 'Execute "p" 0', 'Sync'],
    [`Query "${declared('p')}"`],
    ['Query "ROLLBACK"'],
    [begin],
    [`Parse "" ${merged} 0`, 'Bind "p" "" 0 0 0', 'Execute "p" 0', 'Sync'],
    ['Execute "p" 0', 'Sync'],
    [`Query "${declared('p')}"`],
    ['Query "ROLLBACK"'],
    [begin],
    [`Query "${declared('p')}"`],
    [`Parse "" ${merged} 0`, 'Bind "p" "" 0 0 0', 'Execute "p" 0', 'Sync'],
    ['Query "ROLLBACK"'],
    [begin],
    ['Query "SELECT 1"'],
    [`Query "${declared('p')}"`],
    [`Parse "" ${one} 0`, 'Bind "p" "" 0 0 0', 'Execute "p" 0', 'Sync'],
    ['Query "ROLLBACK"'],
    [begin],
    [`Parse "" ${merged} 0`, 'Bind "p" "" 0 0 0', 'Execute "p" 3', 'Close P "p"', 'Sync'],
    [`Query "${declared('p')}"`],
    ['Query "FETCH 2 FROM p"'],
    ['Query "ROLLBACK"'],
  ]
  for (const messages of batches) {
    const replies = []
    for (const each of [ours, theirs]) {
      each.send(...messages)
      const lines = await each.until('ReadyForQuery')
      replies.push(lines.filter((line) => /^(?:DataRow|CommandComplete|ReadyForQuery|ErrorResponse.*42P03)/.test(line)).map(coded))
    }
    t.same(replies[0], replies[1], messages.join(' '))
  }
  await idle()
})

/** Of an error its code alone. */
function coded(line: string): string {
  return line.startsWith('ErrorResponse') ? (/[0-9A-Z]{5}/.exec(line)?.[0] ?? line) : line
}

t.test('a portal that was bound before its transaction wrote would show what was written: it is refused', async (t) => {
  const client = await WireClient.login(t, port)
  const said = async (...lines: readonly string[]): Promise<string> => {
    client.send(...lines)
    return (await client.until('ReadyForQuery')).join(' ')
  }
  const [row] = (await (await direct('shard_0')).query<{ key: string }>('SELECT min(image_id) AS key FROM comments')).rows
  await said('Query "BEGIN"')
  await said('Parse "s" "SELECT count(*) FROM comments" 0', 'Bind "p" "s" 0 0 0', 'Sync')
  t.match(await said('Execute "p" 0', 'Sync'), /DataRow/, 'nothing was written')
  await said('Query "ROLLBACK"')
  await said('Query "BEGIN"')
  await said('Bind "p2" "s" 0 0 0', 'Sync')
  t.match(await said(`Query "UPDATE comments SET body = body WHERE image_id = ${String(row?.key)}"`), /UPDATE/)
  t.match(await said('Execute "p2" 0', 'Sync'), /0A000.*whose Bind came before the transaction wrote/)
  await said('Query "ROLLBACK"')
  t.match(await said('Bind "p2" "s" 0 0 0', 'Execute "p2" 0', 'Sync'), /DataRow/)
})

t.test('portals with a limit of rows: in a transaction and out of one, bound before or with it', async (t) => {
  const [ours, theirs] = [await WireClient.login(t, port), await WireClient.login(t, port, { database: 'whole' })]
  const text = '"SELECT image_id, id FROM comments WHERE id < $1 ORDER BY id, image_id"'
  const begin = ['Parse "" "BEGIN" 0', 'Bind "" "" 0 0 0', 'Execute "" 0']
  const batches = [
    // As JDBC has it.
    [...begin, `Parse "s" ${text} 0`, 'Bind "C_1" "s" 0 1 "4" 0', 'Describe P "C_1"', 'Execute "C_1" 5', 'Sync'],
    ['Parse "" "SELECT count(*) FROM comments" 0', 'Bind "" "" 0 0 0', 'Execute "" 0', 'Sync'],
    ['Execute "C_1" 7', 'Sync'],
    ['Bind "" "s" 0 1 "3" 1 1', 'Execute "" 2', 'Sync'],
    ['Execute "" 3', 'Sync'],
    ['Execute "" 1', 'Bind "" "s" 0 1 "4" 0', 'Execute "" 2', 'Sync'],
    ['Execute "" -1', 'Sync'],
    ['Close P "C_1"', 'Bind "C_2" "s" 0 1 "2" 0', 'Describe P "C_2"', 'Sync'],
    ['Execute "C_2" 4', 'Sync'],
    ['Execute "C_2" 0', 'Sync'],
    ['Execute "C_2" 0', 'Sync'],
    ['Execute "C_1" 1', 'Sync'],
    ['Parse "" "ROLLBACK" 0', 'Bind "" "" 0 0 0', 'Execute "" 0', 'Sync'],
    // It ends with its transaction, though there was no Sync.
    [...begin, 'Bind "C_1" "s" 0 1 "4" 0', 'Execute "C_1" 5', 'Sync'],
    [
      ...['Parse "" "COMMIT" 0', 'Bind "" "" 0 0 0', 'Execute "" 0', 'Flush', ...begin, 'Flush'],
      ...['Bind "C_1" "s" 0 1 "4" 0', 'Execute "C_1" 2', 'Flush', 'Sync'],
    ],
    ['Parse "" "ROLLBACK" 0', 'Bind "" "" 0 0 0', 'Execute "" 0', 'Sync'],
    // It ends with its Sync.
    ['Bind "p" "s" 0 1 "4" 0', 'Execute "p" 6', 'Sync'],
    ['Execute "p" 6', 'Sync'],
    ['Bind "p" "s" 0 1 "4" 0', 'Describe P "p"', 'Flush', 'Execute "p" 6', 'Flush', 'Execute "p" 500', 'Close P "p"', 'Sync'],
    [
      'Parse "" "SELECT 1 / (4 - id) FROM comments ORDER BY id, image_id" 0',
      'Bind "p" "" 0 0 0',
      'Execute "p" 6',
      'Flush',
      'Execute "p" 500',
      'Sync',
    ],
  ]
  for (const messages of batches) {
    const replies = []
    for (const each of [ours, theirs]) {
      each.send(...messages)
      replies.push(await each.until('ReadyForQuery'))
    }
    t.same(names(replies[0] ?? []), names(replies[1] ?? []), messages.join(' '))
    const rows = (lines: readonly string[]): readonly string[] =>
      lines.filter((line) => /^(?:DataRow|CommandComplete|ReadyForQuery)/.test(line))
    t.same(rows(replies[0] ?? []), rows(replies[1] ?? []))
  }
  await idle()
})

t.test('a server of a part dies: nothing has gone out, so the read goes on elsewhere', async (t) => {
  const replica = running.cluster('shard_0').nodes.find(({ port: own }) => own !== running.cluster('shard_0').primary.port)
  if (replica === undefined) throw new Error('no replica')
  let stopped = false
  const readers = Array.from({ length: 4 }, async () => {
    const reader = await connect()
    for (let left = 10; left > 0; left -= stopped ? 1 : 0) {
      t.equal((await reader.query('SELECT count(*) AS n FROM comments')).rows[0].n, String(comments.length))
    }
    await reader.end()
  })
  await replica.stop('immediate')
  stopped = true
  await Promise.all(readers)
  await idle()
})
