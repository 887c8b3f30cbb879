// Transactions on several clusters through the proxy: one BEGIN … COMMIT over a default cluster and a partition, on real servers.
import t, { type Test } from 'tap'
import type pg from 'pg'
import type { ConfigInput } from '../../src/config/input.js'
import { decodeToken } from '../../src/consistency/token.js'
import { checkServers } from '../../src/doors/cli/check-live.js'
import { until } from '../../src/embedded/until.js'
import { answered, kinds, others, refused, rowsOf, still, types, type Asked } from '../support/moving-rows.js'
import type { RoutedClient, RoutedPool } from '../../src/index.js'
import { withProxy } from '../support/proxy.js'
import { router } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const spread = `CREATE TABLE things (id bigint PRIMARY KEY, n int NOT NULL, at timestamptz DEFAULT now());
  CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL, added timestamptz DEFAULT now());`
const noted = `(id bigint NOT NULL, word text, amount numeric(6, 2), serial bigserial, made timestamptz DEFAULT now(), UNIQUE (id, word));`
const settings = { max_prepared_transactions: '20' }
const running = await withTopology(t, {
  clusters: {
    main: {
      seed: `${spread} CREATE TABLE users (id int PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO users SELECT i FROM generate_series(1, 20) i;
        CREATE TABLE notes ${noted} CREATE TABLE plain ${noted} ${types} ${kinds('movable')} ${kinds('settled')} ${others}`,
      settings,
    },
    media: {
      seed: `${spread} CREATE TABLE images (id int PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO images SELECT i FROM generate_series(1, 20) i;
        CREATE TABLE checked (id int PRIMARY KEY, other int REFERENCES images DEFERRABLE INITIALLY DEFERRED); CREATE TABLE notes ${noted}
        -- Types have other numbers here than on main.
        CREATE TYPE first AS ENUM (); ${types} ${kinds('movable')} ${others}`,
      settings,
    },
  },
})
const clusters = Object.fromEntries(
  ['main', 'media'].map((name) => [
    name,
    { nodes: running.cluster(name).nodes.map(({ address }) => address), dbname: 'app', user: 'app', password: 'app' },
  ]),
)
const config: ConfigInput = {
  version: 1,
  clusters,
  databases: {
    app: {
      default: 'main',
      two_phase: { lock_timeout: '500ms' },
      reference: ['countries'],
      sharded: {
        things: {
          clusters: ['main', 'media'],
          shards: 8,
          by: 'hash',
          key_type: 'bigint',
          tables: { things: 'id', notes: 'id', movable: 'id', ...Object.fromEntries(still.map((name) => [name, 'id'])) },
        },
        pairs: {
          clusters: ['main', 'media'],
          shards: 8,
          by: 'hash',
          key_type: ['bigint', 'text'],
          tables: { pairs: ['id', 'region'], lines: ['id', 'region'], bases: ['id', 'region'] },
        },
        spans: {
          clusters: ['main', 'media'],
          shards: 2,
          by: 'range',
          ranges: [
            { to: 100, shard: 0 },
            { from: 100, shard: 1 },
          ],
          key_type: 'bigint',
          tables: { spans: 'id' },
        },
        lands: {
          clusters: ['main', 'media'],
          shards: 2,
          by: 'list',
          values: { 0: ['de'], 1: ['us'] },
          key_type: 'text',
          tables: { lands: 'land' },
        },
      },
      partitions: { media: { cluster: 'media', owner: 'media-team', tables: ['images', 'checked'] } },
    },
  },
}
const proxy = await withProxy(t, config)

async function number(cluster: string, sql: string): Promise<number> {
  const [row] = await running.cluster(cluster).primary.sql(sql)
  return Number(Object.values(row ?? {})[0])
}
const prepared = async (): Promise<number> =>
  (await number('main', 'SELECT count(*) FROM pg_prepared_xacts')) + (await number('media', 'SELECT count(*) FROM pg_prepared_xacts'))
const both = async (id: number): Promise<readonly number[]> => [
  await number('main', `SELECT n FROM users WHERE id = ${String(id)}`),
  await number('media', `SELECT n FROM images WHERE id = ${String(id)}`),
]
const touch = async (client: pg.Client, id: number): Promise<void> => {
  await client.query(`UPDATE users SET n = n + 1 WHERE id = ${String(id)}`)
  await client.query(`UPDATE images SET n = n + 1 WHERE id = ${String(id)}`)
}
async function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'went through',
    (error: unknown) => `${(error as { code: string }).code} ${(error as Error).message}`,
  )
}

t.test('COMMIT is one of both clusters, with a decision; ROLLBACK takes both back', async (t) => {
  const client = await proxy.connect()
  await client.query('BEGIN')
  await touch(client, 1)
  t.equal((await client.query('COMMIT')).command, 'COMMIT')
  t.same(await both(1), [1, 1])
  t.equal(await number('main', "SELECT count(*) FROM pointsman.decisions WHERE outcome = 'commit'"), 1)
  await client.query('BEGIN')
  await touch(client, 1)
  t.equal((await client.query('ROLLBACK')).command, 'ROLLBACK')
  t.same(await both(1), [1, 1])
  t.equal(await prepared(), 0)
  t.equal((await client.query('SELECT n FROM images WHERE id = 1')).rows[0].n, 1)
})

t.test('the extended protocol ends it as well', async (t) => {
  const client = await proxy.connect()
  const run = (text: string, values: unknown[] = []): Promise<pg.QueryResult> =>
    client.query({ text, values, queryMode: 'extended' } as pg.QueryConfig)
  await run('BEGIN')
  await run('UPDATE users SET n = n + $1 WHERE id = $2', [5, 2])
  await run('UPDATE images SET n = n + $1 WHERE id = $2', [5, 2])
  await run('SAVEPOINT s')
  await run('UPDATE images SET n = 0 WHERE id = $1', [2])
  await run('ROLLBACK TO s')
  t.equal((await run('COMMIT')).command, 'COMMIT')
  t.same(await both(2), [5, 5])
})

t.test('where only one has written there is nothing to prepare', async (t) => {
  const before = await number('main', 'SELECT count(*) FROM pointsman.decisions')
  const client = await proxy.connect()
  await client.query('BEGIN')
  await client.query('SELECT n FROM users WHERE id = 3')
  await client.query('UPDATE images SET n = 7 WHERE id = 3')
  await client.query('COMMIT')
  t.same(await both(3), [0, 7])
  t.equal(await number('main', 'SELECT count(*) FROM pointsman.decisions'), before)
})

t.test('an error on one fails all, and lets go of the locks of all', async (t) => {
  const client = await proxy.connect()
  await client.query('BEGIN')
  await touch(client, 4)
  t.match(await refusal(client.query('INSERT INTO images VALUES (4)')), /^23505/)
  t.match(await refusal(client.query('SELECT 1')), /^25P02/)
  const other = await proxy.connect()
  await other.query("SET lock_timeout = '5s'")
  await other.query('UPDATE users SET n = 40 WHERE id = 4')
  t.match(await refusal(client.query('SELECT n FROM users')), /^25P02/)
  t.equal((await client.query('COMMIT')).command, 'ROLLBACK')
  t.same(await both(4), [40, 0])
})

t.test('savepoints are of all, of who joins after them too; settings too', async (t) => {
  const client = await proxy.connect()
  await client.query('BEGIN')
  await client.query('UPDATE users SET n = 1 WHERE id = 5')
  await client.query("SET LOCAL application_name = 'outer'")
  await client.query('SAVEPOINT before')
  await client.query('UPDATE users SET n = 2 WHERE id = 5')
  await client.query("SET LOCAL application_name = 'inner'")
  await client.query('UPDATE images SET n = 2 WHERE id = 5')
  const named = async (): Promise<unknown> =>
    (await client.query("SELECT current_setting('application_name') AS a FROM images WHERE id = 5")).rows[0].a
  t.equal(await named(), 'inner')
  t.match(await refusal(client.query('INSERT INTO users VALUES (5)')), /^23505/)
  await client.query('ROLLBACK TO before')
  t.equal(await named(), 'outer')
  await client.query('UPDATE images SET n = 3 WHERE id = 5')
  await client.query('SAVEPOINT after')
  await client.query('UPDATE users SET n = 4 WHERE id = 5')
  await client.query('RELEASE after')
  t.match(await refusal(client.query('RELEASE after')), /^3B001/)
  await client.query('ROLLBACK TO before')
  await client.query('UPDATE images SET n = 9 WHERE id = 5')
  await client.query('COMMIT')
  t.same(await both(5), [1, 9])
})

t.test('what fails when it is prepared is told in the words of the server, and nothing stands', async (t) => {
  const client = await proxy.connect()
  await client.query('BEGIN')
  await client.query('UPDATE users SET n = 6 WHERE id = 6')
  await client.query('INSERT INTO checked VALUES (1, 99)')
  t.match(await refusal(client.query('COMMIT')), /^23503/)
  t.same(await both(6), [0, 0])
  t.equal(await prepared(), 0)
  await client.query('BEGIN')
  await touch(client, 6)
  await client.query('COMMIT')
  t.same(await both(6), [1, 1])
})

t.test('a part waits for a synchronous standby, whatever the session says of COMMIT', async (t) => {
  const { primary } = running.cluster('media')
  const standbys = async (names: string): Promise<void> => {
    await primary.sql(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`)
    await primary.sql('SELECT pg_reload_conf()')
    await until('it holds', async () => (await primary.sql('SHOW synchronous_standby_names'))[0]?.['synchronous_standby_names'] === names)
  }
  const client = await proxy.connect()
  await client.query('SET synchronous_commit = off')
  await standbys('nobody')
  t.teardown(() => standbys(''))
  await client.query('BEGIN')
  await touch(client, 13)
  let ended = false
  const commit = client.query('COMMIT').then(({ command }) => {
    ended = true
    return command
  })
  const waits = (): Promise<number> =>
    number('media', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%PREPARE TRANSACTION%'")
  await until('it waits, or is over', async () => ended || (await waits()) > 0)
  t.notOk(ended)
  await standbys('')
  t.equal(await commit, 'COMMIT')
  t.same(await both(13), [1, 1])
})

t.test('a cycle of locks that no server sees ends with lock_timeout', async (t) => {
  const [one, two] = [await proxy.connect(), await proxy.connect()]
  await one.query('BEGIN')
  await two.query('BEGIN')
  await one.query('UPDATE users SET n = 1 WHERE id = 7')
  await two.query('UPDATE images SET n = 1 WHERE id = 7')
  const ends = await Promise.all([
    refusal(one.query('UPDATE images SET n = 2 WHERE id = 7')),
    refusal(two.query('UPDATE users SET n = 2 WHERE id = 7')),
  ])
  t.ok(
    ends.some((end) => end.startsWith('55P03')),
    ends.join(' | '),
  )
  await one.query('ROLLBACK')
  await two.query('ROLLBACK')
})

t.test('refused with words', async (t) => {
  const client = await proxy.connect()
  const within = async (texts: readonly string[], begin = 'BEGIN'): Promise<string> => {
    await client.query(begin)
    let last = ''
    for (const text of texts) last = await refusal(client.query(text))
    await client.query('ROLLBACK')
    return last
  }
  const a = 'UPDATE users SET n = 1 WHERE id = 8'
  const b = 'UPDATE images SET n = 1 WHERE id = 8'
  t.match(await within([a, b], 'BEGIN ISOLATION LEVEL REPEATABLE READ'), /^0A000/)
  t.match(await within(['SET LOCAL default_transaction_isolation = serializable', a, b], 'BEGIN ISOLATION LEVEL SERIALIZABLE'), /^0A000/)
  t.match(await within([a, b, 'NOTIFY c']), /^0A000 NOTIFY/)
  t.match(await within([a, b, "SELECT pg_notify('c', '')"]), /^0A000 NOTIFY/)
  t.match(await within([a, b, 'LISTEN c']), /^0A000 LISTEN/)
  t.match(await within([a, b, 'CREATE TEMPORARY TABLE t AS SELECT 1']), /^0A000 what outlives/)
  t.match(await within([a, b, 'SET ROLE app']), /^0A000 SET role/)
  t.match(await within([a, b, 'DECLARE c CURSOR FOR SELECT 1']), /^0A000 a cursor/)
  t.match(await within([a, b, 'COMMIT AND CHAIN']), /^0A000 COMMIT AND CHAIN/)
  t.match(await within([a, b, `${a}; COMMIT`]), /^0A000 COMMIT of a transaction/)
  t.match(await within([a, `${b}; ${b}`]), /^0A000/)
  t.match(await within([a, b, "PREPARE TRANSACTION 'x'"]), /^0A000 PREPARE TRANSACTION/)
  t.match(await within([a, 'NOTIFY c', b, 'COMMIT']), /^0A000/)
  t.same(await both(8), [0, 0])
})

t.test('a client that leaves, and one whose server is lost, leave nothing behind', async (t) => {
  const client = await proxy.connect()
  await client.query('BEGIN')
  await touch(client, 9)
  await client.end()
  const other = await proxy.connect()
  await other.query("SET lock_timeout = '10s'")
  await other.query('BEGIN')
  await touch(other, 9)
  await running
    .cluster('main')
    .primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND state = 'idle in transaction'")
  await until('the client is gone', async () => (await refusal(other.query('SELECT 1'))) !== 'went through')
  const third = await proxy.connect()
  await third.query("SET lock_timeout = '10s'")
  await third.query('BEGIN')
  await touch(third, 9)
  await third.query('COMMIT')
  t.same(await both(9), [1, 1])
  t.equal(await prepared(), 0)
})

const extended = (client: pg.Client, text: string, values: unknown[] = []): Promise<pg.QueryResult> =>
  client.query({ text, values, queryMode: 'extended' } as pg.QueryConfig)
const everywhere = async (sql: string): Promise<readonly number[]> => [await number('main', sql), await number('media', sql)]

t.test('UPDATE and DELETE without a key are one transaction of all shards', async (t) => {
  const client = await proxy.connect()
  for (let id = 1; id <= 12; id++) await client.query('INSERT INTO things (id, n) VALUES ($1, 0)', [id])
  const [main = 0, media = 0] = await everywhere('SELECT count(*) FROM things')
  t.ok(main > 0 && media > 0, 'rows are on both')
  const updated = await client.query('UPDATE things SET n = n + 1')
  t.equal(updated.rowCount, 12)
  const returned = await extended(client, 'UPDATE things SET n = n + $1 WHERE id > $2 RETURNING id, n', [1, 2])
  t.same(
    returned.rows.map(({ id }: { id: string }) => Number(id)).sort((a, b) => a - b),
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
  )
  t.equal(returned.rowCount, 10)
  t.same(
    returned.fields.map(({ name }) => name),
    ['id', 'n'],
  )
  const again = await extended(client, 'UPDATE things SET n = n + $1 WHERE id > $2 RETURNING id, n', [0, 10])
  t.equal(again.rowCount, 2)
  t.equal((await client.query('DELETE FROM things WHERE id IN (1, 2, 3, 4)')).rowCount, 4)
  t.match(await refusal(client.query('UPDATE things SET n = 1 / (id - 7)')), /^22012/)
  t.same(await everywhere('SELECT count(*) FROM things WHERE n NOT IN (1, 2)'), [0, 0])
  t.equal(await prepared(), 0)
})

t.test('in a transaction it is a part of it', async (t) => {
  const client = await proxy.connect()
  await client.query('BEGIN')
  await client.query('UPDATE users SET n = 100 WHERE id = 10')
  await client.query('UPDATE things SET n = 50')
  await client.query('ROLLBACK')
  t.same(await everywhere('SELECT count(*) FROM things WHERE n = 50'), [0, 0])
  await client.query('BEGIN')
  await client.query('UPDATE things SET n = 60')
  await client.query('UPDATE images SET n = 100 WHERE id = 10')
  await client.query('COMMIT')
  t.same(await everywhere('SELECT count(*) FROM things WHERE n <> 60'), [0, 0])
  t.same(await both(10), [0, 100])
  await client.query('BEGIN')
  t.match(await refusal(client.query('UPDATE things SET n = 1 / (id - 7)')), /^22012/)
  t.match(await refusal(client.query('SELECT 1')), /^25P02/)
  t.equal((await client.query('COMMIT')).command, 'ROLLBACK')
})

t.test('reference tables are written everywhere, and alike', async (t) => {
  const client = await proxy.connect()
  const added = await client.query("INSERT INTO countries VALUES ('de', 'Germany', '2026-01-01'), ('fr', 'France', NULL) RETURNING code")
  t.same(added.rows, [{ code: 'de' }, { code: 'fr' }], 'one copy is told')
  t.equal(added.rowCount, 2)
  await extended(client, 'UPDATE countries SET name = $1 WHERE code = $2', ['Deutschland', 'de'])
  t.same(await everywhere("SELECT count(*) FROM countries WHERE name = 'Deutschland'"), [1, 1])
  await client.query("/* pointsman: cluster=media */ INSERT INTO countries VALUES ('xx', 'of media alone', NULL)")
  t.match(await refusal(client.query("DELETE FROM countries WHERE code = 'xx'")), /^55000 a write to public.countries did not do the same/)
  t.same(await everywhere('SELECT count(*) FROM countries'), [2, 3], 'nothing of it stands')
  t.match(
    await refusal(client.query("INSERT INTO countries (code, name) VALUES ('it', 'Italy')")),
    /^0A000 .*a default of public.countries/,
  )
  t.match(await refusal(client.query("INSERT INTO countries VALUES ('it', 'Italy', now())")), /^0A000 .*present moment/)
  t.match(await refusal(client.query('UPDATE countries SET name = random()::text')), /^0A000 .*random/)
  t.match(await refusal(client.query("UPDATE countries SET added = DEFAULT WHERE code = 'de'")), /^0A000 .*DEFAULT/)
  t.match(await refusal(client.query('UPDATE things SET at = now()')), /^0A000 .*now is another moment/)
  t.match(await refusal(client.query('UPDATE things SET n = 1 WHERE id IN (SELECT id FROM users)')), /^0A000/)
  t.match(await refusal(client.query('DELETE FROM things; DELETE FROM things')), /^0A000/)
})

t.test('definitions are made on all of them, or on none', async (t) => {
  const client = await proxy.connect()
  await client.query('CREATE INDEX things_n ON things (n)')
  t.same(await everywhere("SELECT count(*) FROM pg_class WHERE relname = 'things_n'"), [1, 1])
  await client.query('ALTER TABLE countries ADD COLUMN population bigint')
  await client.query('/* pointsman: cluster=media */ CREATE INDEX only_here ON things (n)')
  t.match(await refusal(client.query('CREATE INDEX only_here ON things (n)')), /^42P07/)
  t.same(await everywhere("SELECT count(*) FROM pg_class WHERE relname = 'only_here'"), [0, 1])
  t.match(await refusal(client.query('CREATE INDEX CONCURRENTLY x ON things (n)')), /^0A000 .*cannot run in a transaction/)
  t.equal(await prepared(), 0)
})

t.test('rows of one INSERT go to their clusters, and it answers as one server would', async (t) => {
  const client = await proxy.connect()
  interface Said {
    readonly tag: string
    readonly rows: readonly unknown[]
    readonly fields: readonly string[]
  }
  const said = async (work: Promise<pg.QueryResult>): Promise<Said | string> =>
    work.then(
      ({ command, rowCount, rows, fields }) => ({
        tag: `${command} ${String(rowCount)}`,
        rows,
        fields: fields.map(({ name, dataTypeID }) => `${name} ${String(dataTypeID)}`),
      }),
      (error: unknown) => (error as { code: string }).code,
    )
  /** The same of the sharded table and of one that is not. */
  const alike = async (what: string, text: string, values?: unknown[]): Promise<void> => {
    const run = (table: string): Promise<pg.QueryResult> => {
      const sql = text.replaceAll('@', table)
      return values === undefined ? client.query(sql) : extended(client, sql, values)
    }
    t.same(await said(run('notes')), await said(run('plain')), what)
  }
  const eight = [1, 2, 3, 4, 5, 6, 7, 8]
  await alike('without RETURNING', `INSERT INTO @ (id, word) VALUES ${eight.map((id) => `(${String(id)}, 'a')`).join(', ')}`)
  t.ok(
    (await everywhere('SELECT count(*) FROM notes')).every((count) => count > 0),
    'rows are on both',
  )
  await alike(
    'rows come back in the order in which they were given',
    `INSERT INTO @ (word, id) VALUES ${eight.map((id) => `('b''\\' || ${String(id)}, ${String(9 - id)})`).join(', ')} RETURNING id, word AS "Word"`,
  )
  const pairs = eight.map((_, i) => `($${String(2 * i + 1)}, $${String(2 * i + 2)})`).join(', ')
  const given = eight.flatMap((id) => [id, `c${String(id)}`])
  await alike('parameters', `INSERT INTO @ (id, word) VALUES ${pairs} RETURNING *, 1 AS one`.replace('*', 'id, word, amount'), given)
  await alike(
    'the type of a parameter is that of its first place',
    'INSERT INTO @ (id, word, amount) VALUES (1, $2, $1), (2, $2, 1), (5, $1::text, 2), (7, $1::text, 3) RETURNING word, amount',
    ['1.50', 'd'],
  )
  await alike('a declared type', 'INSERT INTO @ (id, word) VALUES ($1::bigint, $3), ($2::bigint, $3), (3, $3), (5, $3) RETURNING id', [
    21,
    22,
    'e',
  ])
  await alike('DO NOTHING', `INSERT INTO @ (id, word) VALUES (1, 'a'), (5, 'a'), (7, 'new'), (4, 'a') ON CONFLICT (id, word) DO NOTHING`)
  await alike(
    'DO UPDATE',
    `INSERT INTO @ AS n (id, word, amount) VALUES ${eight.map((id) => `(${String(id)}, 'a', ${String(id)})`).join(', ')}
     ON CONFLICT (id, word) DO UPDATE SET amount = coalesce(n.amount, 0) + excluded.amount RETURNING id, amount`,
  )
  await alike('a constraint that fails takes all of it back', `INSERT INTO @ (id, word) VALUES (1, 'y'), (2, 'y'), (7, 'y'), (5, 'a')`)
  await alike('rows of unequal length', `INSERT INTO @ (id, word) VALUES (1, 'x'), (2, 'x'), (5), (7)`)
  await alike('sets are not for VALUES', `INSERT INTO @ (id, word) VALUES (1, 's'), (5, generate_series(1, 3)::text)`)
  await alike('a column that is none', `INSERT INTO @ (id, no) VALUES (1, 's'), (5, 't')`)
  await alike(
    'a sequence',
    `INSERT INTO @ (id, word, serial) VALUES (1, 'g', nextval('@_serial_seq')), (5, 'g', nextval('@_serial_seq'::regclass)) RETURNING id`,
  )
  await alike(
    'chance',
    `INSERT INTO @ (id, word, made) VALUES (1, gen_random_uuid()::text, now()), (5, random()::text, DEFAULT), (7, 'f', clock_timestamp()) RETURNING id, made > '2020-01-01' AS recent`,
  )
  const contents = "SELECT count(*) || ' ' || sum(id) || ' ' || coalesce(sum(amount), 0) AS all"
  const [one] = (await running.cluster('main').primary.sql(`${contents} FROM plain`)) as { all: string }[]
  const counted = await client.query('SELECT count(*), sum(id) AS ids, coalesce(sum(amount), 0) AS amounts FROM notes')
  t.equal(Object.values(counted.rows[0] as object).join(' '), one?.all)
  t.equal(await prepared(), 0)
})

t.test('parameters whose types each server numbers for itself', async (t) => {
  const client = await proxy.connect()
  const text =
    'INSERT INTO movable (id, word, mood, size, moods) VALUES ($1, $5, $2, $3, $4), ($6, $5, $2, $3, $4), ($7, $5, $2, $3, $4), ($8, $5, $2, $3, $4)'
  const values = [901, 'glad', 3, '{glad}', 'own', 902, 903, 904]
  t.equal((await extended(client, text, values)).rowCount, 4)
  t.equal((await pool().query(text, [905, 'glad', 3, '{glad}', 'own', 906, 907, 908])).rowCount, 4)
  t.ok(
    (await everywhere("SELECT count(*) FROM movable WHERE word = 'own' AND mood = 'glad'")).every((count) => count > 0),
    'rows are on both',
  )
  t.equal((await client.query("DELETE FROM movable WHERE word = 'own'")).rowCount, 8)
})

t.test('columns returned whose types each server numbers for itself', async (t) => {
  const client = await proxy.connect()
  await extended(
    client,
    "INSERT INTO movable (id, word, mood, moods) VALUES (901, 'own', 'glad', '{sad}'), (902, 'own', 'glad', '{sad}'), (903, 'own', 'glad', '{sad}'), (904, 'own', 'glad', '{sad}')",
  )
  t.ok(
    (await everywhere("SELECT count(*) FROM movable WHERE word = 'own'")).every((count) => count > 0),
    'rows are on both',
  )
  const text = "UPDATE movable SET mood = 'sad' WHERE word = 'own' RETURNING mood, moods"
  const wanted = Array.from({ length: 4 }, () => ({ mood: 'sad', moods: '{sad}' }))
  t.same((await client.query(text)).rows, wanted)
  t.same((await extended(client, text)).rows, wanted)
  t.same((await pool().query(text)).rows, wanted)
  const binary = (sql: string): Promise<unknown> => client.query({ text: sql, binary: true, queryMode: 'extended' } as pg.QueryConfig)
  t.match(await refusal(binary(text)), /^\S+ .*returns other columns/, 'bytes may have numbers of types in them')
  t.match(await refusal(binary("DELETE FROM movable WHERE word = 'own' RETURNING moods")), /returns other columns/)
  const insert =
    "INSERT INTO movable (id, word, mood) VALUES (905, 'own', 'glad'), (906, 'own', 'sad'), (907, 'own', NULL), (908, 'own', 'sad') RETURNING mood"
  const inserted = ['glad', 'sad', null, 'sad'].map((mood) => ({ mood }))
  t.same((await extended(client, insert)).rows, inserted)
  t.equal((await client.query("DELETE FROM movable WHERE word = 'own' AND id > 904")).rowCount, 4)
  t.same((await pool().query(insert)).rows, inserted)
  t.equal((await client.query("DELETE FROM movable WHERE word = 'own'")).rowCount, 8)
  t.equal(await prepared(), 0)
})

t.test('in a transaction the rows of an INSERT are a part of it, and it fails with them', async (t) => {
  const client = await proxy.connect()
  const count = async (): Promise<number> => Number((await client.query("SELECT count(*) FROM notes WHERE word = 't'")).rows[0].count)
  const text = "INSERT INTO notes (id, word) VALUES (1, 't'), (5, 't'), (3, 't'), (7, 't')"
  await client.query('BEGIN')
  await client.query('UPDATE users SET n = 5 WHERE id = 12')
  t.equal((await client.query(text)).rowCount, 4)
  await client.query('SAVEPOINT s')
  t.match(await refusal(client.query(text)), /^23505/)
  await client.query('ROLLBACK TO s')
  await client.query('COMMIT')
  t.equal(await count(), 4)
  await client.query('BEGIN')
  await extended(client, "INSERT INTO notes (id, word) VALUES ($1, 't'), ($2, 't'), ($3, 't'), ($4, 't') RETURNING id", [11, 12, 13, 14])
  await client.query('ROLLBACK')
  t.equal(await count(), 4)
})

t.test('a statement that was prepared is parted anew with the rows of each Bind', async (t) => {
  const client = await proxy.connect()
  const run = (values: unknown[]): Promise<pg.QueryResult> =>
    client.query({ name: 'two', text: 'INSERT INTO notes (id, word) VALUES ($1, $2), ($3, $4) RETURNING id, word', values })
  for (let id = 100; id < 120; id++) {
    const { rows } = await run([id, 'p', id + 1000, 'q'])
    t.same(rows, [
      { id: String(id), word: 'p' },
      { id: String(id + 1000), word: 'q' },
    ])
  }
  t.equal(Number((await client.query("SELECT count(*) FROM notes WHERE word IN ('p', 'q')")).rows[0].count), 40)
})

t.test('ten thousand rows', async (t) => {
  const client = await proxy.connect()
  const rows = Array.from({ length: 10_000 }, (_, i) => `(${String(i)}, 'bulk')`)
  const { rowCount, rows: ids } = await client.query(`INSERT INTO notes (id, word) VALUES ${rows.join(', ')} RETURNING id`)
  t.equal(rowCount, 10_000)
  t.ok(ids.every(({ id }: { id: string }, i: number) => Number(id) === i))
})

t.test('what each row would make of other rows is refused', async (t) => {
  const client = await proxy.connect()
  const of = (row: string, rest = ''): Promise<string> =>
    refusal(client.query(`INSERT INTO notes (id, word) VALUES (1, 'z'), (5, 'z'), (3, 'z'), (7, ${row})${rest}`))
  t.match(await of('(SELECT max(word) FROM notes)'), /^0A000/)
  t.match(await of('(SELECT max(name) FROM countries)'), /^0A000/)
  t.match(await of('lastval()::text'), /^0A000 .*lastval/)
  t.match(await of("currval('notes_serial_seq')::text"), /^0A000/)
  t.match(await of('current_user'), /^0A000 .*CURRENT_USER/)
  t.match(await of("'z'", ' RETURNING ctid'), /^0A000 .*ctid/)
  t.match(await of("'z'", ' LIMIT 1'), /^0A000 .*VALUES do not stand alone/)
  t.match(await of("'z'", '; SELECT 1'), /^0A000/)
  t.match(await refusal(client.query("INSERT INTO notes (id, word) VALUES (1, 'z'), (NULL, 'z')")), /^0A000 .*is NULL/)
  t.match(await refusal(client.query("INSERT INTO notes (id, word) VALUES (1, 'z'), (1 + 1, 'z')")), /^0A000/)
  t.match(await refusal(client.query("EXPLAIN INSERT INTO notes (id, word) VALUES (1, 'z'), (5, 'z'), (3, 'z')")), /^0A000/)
  t.same(await everywhere("SELECT count(*) FROM notes WHERE word = 'z'"), [0, 0])
})

t.test('UPDATE of a shard key moves the row, as one server would have changed it', async (t) => {
  const client = await proxy.connect()
  const keys = Array.from({ length: 20 }, (_, i) => i + 1)
  await client.query(`INSERT INTO movable (id) SELECT 1 WHERE false`)
  const seed = rowsOf(keys.slice(0, 8))
  for (const table of ['movable', 'settled']) await client.query(seed.replaceAll('@', table))
  const on = async (cluster: string): Promise<readonly number[]> =>
    (await running.cluster(cluster).primary.sql('SELECT DISTINCT id FROM movable ORDER BY id')).map(({ id }) => Number(id))
  const [a = 0, c = 0] = await on('main')
  const [b = 0] = await on('media')
  const named = (text: string): string => text.replaceAll('#a', String(a)).replaceAll('#b', String(b)).replaceAll('#c', String(c))
  const run = ({ sql, values }: Asked, table: string, binary: boolean): Promise<pg.QueryResult> => {
    const text = named(sql).replaceAll('@', table)
    const given = values?.map((value) => (typeof value === 'string' ? named(value) : value))
    if (given === undefined && !binary) return client.query(text)
    return client.query({ text, values: given ?? [], queryMode: 'extended', binary } as pg.QueryConfig)
  }
  const said = (work: Promise<pg.QueryResult>): Promise<unknown> =>
    work.then(
      ({ command, rowCount, rows, fields }) => ({
        tag: `${command} ${String(rowCount)}`,
        rows: rows.map((row) => JSON.stringify(row)).sort(),
        fields: fields.map(({ name, dataTypeID }) => `${name} ${dataTypeID < 16_384 ? String(dataTypeID) : ''}`),
      }),
      (error: unknown) => `${(error as { code: string }).code} ${(error as Error).message.replaceAll('settled', 'movable')}`,
    )
  const contents = async (clusters: readonly string[], table: string): Promise<readonly string[]> => {
    const all = await Promise.all(clusters.map((cluster) => running.cluster(cluster).primary.sql(`SELECT t::text FROM ${table} t`)))
    return all
      .flat()
      .map(({ t }) => String(t))
      .sort()
  }
  for (const binary of [false, true]) {
    for (const asked of answered) {
      t.same(await said(run(asked, 'movable', binary)), await said(run(asked, 'settled', binary)), asked.sql)
      t.same(await contents(['main', 'media'], 'movable'), await contents(['main'], 'settled'), `after ${asked.sql}`)
    }
  }
  for (const asked of refused) t.match(await refusal(run(asked, 'movable', false)), /^0A000/, asked.sql)
  t.same(await contents(['main', 'media'], 'movable'), await contents(['main'], 'settled'))
  t.equal(await prepared(), 0)
})

t.test('keys of several columns, ranges and lists; in a transaction; and what stays where it is', async (t) => {
  const client = await proxy.connect()
  const counts = (table: string): Promise<readonly number[]> => everywhere(`SELECT count(*) FROM ${table}`)
  await client.query('INSERT INTO spans VALUES (1, 1), (2, 2)')
  t.equal((await client.query('UPDATE spans SET id = 101, n = n + 1 WHERE id = 1 RETURNING n')).rows[0].n, 2)
  t.same(await counts('spans'), [1, 1])
  t.match(await refusal(client.query('UPDATE spans SET id = NULL WHERE id = 2')), /^0A000/)
  await client.query("INSERT INTO lands VALUES ('de', 1)")
  t.equal((await extended(client, 'UPDATE lands SET land = $1 WHERE land = $2', ['us', 'de'])).rowCount, 1)
  t.same(await counts('lands'), [0, 1])
  t.match(await refusal(client.query("UPDATE lands SET land = 'fr' WHERE land = 'us'")), /^0A000/)
  // One column of the key stays, until the row has come to the other cluster.
  await client.query("INSERT INTO pairs VALUES (1, 'r0', 7)")
  const [before] = await counts('pairs')
  for (let i = 0; i < 12; i++) {
    const text = `UPDATE pairs SET region = 'r${String(i + 1)}', n = n + 1 WHERE id = 1 AND region = 'r${String(i)}' RETURNING region, n`
    t.same((await client.query(text)).rows, [{ region: `r${String(i + 1)}`, n: 8 + i }])
  }
  const seen = new Set([before])
  for (let i = 12; i < 24 && seen.size < 2; i++) {
    await client.query(`UPDATE pairs SET region = 'r${String(i + 1)}' WHERE region = 'r${String(i)}' AND id = 1`)
    seen.add((await counts('pairs'))[0])
  }
  t.equal(seen.size, 2, 'it has been on both')
  t.match(await refusal(client.query("UPDATE pairs SET region = 'x' WHERE region = 'r13'")), /^0A000/)
  // Who refers to a row comes to one that has the new key; what is referred to stays.
  const regions = Array.from({ length: 8 }, (_, i) => `q${String(i)}`)
  await client.query(`INSERT INTO bases VALUES ${regions.map((region) => `(1, '${region}')`).join(', ')}`)
  await client.query("INSERT INTO lines VALUES (1, 'q0', 5)")
  for (const [i, region] of regions.entries()) {
    const text = `UPDATE lines SET region = '${regions[i + 1] ?? 'q0'}' WHERE id = 1 AND region = '${region}' RETURNING n`
    t.same((await client.query(text)).rows, [{ n: 5 }])
  }
  const lacks = await Promise.all(
    regions.map((_, i) => refusal(client.query(`UPDATE lines SET region = 'none${String(i)}' WHERE id = 1 AND region = 'q0'`))),
  )
  t.ok(lacks.every((words) => words.startsWith('23503')))
  const base = await Promise.all(
    regions.map((_, i) => refusal(client.query(`UPDATE bases SET region = 'z${String(i)}' WHERE id = 1 AND region = 'q1'`))),
  )
  t.ok(base.some((words) => words.startsWith('0A000')))
  for (const table of still) {
    const found = new Set<string>()
    for (let id = 2; id < 12; id++)
      found.add((await refusal(client.query(`UPDATE ${table} SET id = ${String(id)} WHERE id = 1`))).slice(0, 60))
    t.ok(
      [...found].some((words) => words.startsWith('0A000')),
      table,
    )
  }
  // In a transaction, and back.
  await client.query('BEGIN')
  await client.query('UPDATE spans SET id = 102 WHERE id = 2')
  t.same((await client.query('SELECT n FROM spans WHERE id = 102')).rows, [{ n: 2 }])
  await client.query('SAVEPOINT s')
  t.equal((await client.query('UPDATE spans SET id = 3, n = 9 WHERE id IN (101, 102) AND n = 7')).rowCount, 0)
  t.match(await refusal(client.query('UPDATE spans SET id = 4 WHERE id IN (101, 102)')), /^23505/)
  await client.query('ROLLBACK TO s')
  t.equal((await extended(client, 'UPDATE spans SET id = $1 WHERE id = $2', [5, 101])).rowCount, 1)
  await client.query('ROLLBACK')
  t.same(await counts('spans'), [1, 1])
  t.equal(await prepared(), 0)
})

t.test('a table that was changed past Pointsman loses nothing when a row of it is to move', async (t) => {
  const client = await proxy.connect()
  const on = (cluster: string, sql: string): Promise<unknown> => running.cluster(cluster).primary.sql(sql)
  const held = async (table: string): Promise<readonly number[]> => [await number('main', `SELECT count(*) FROM ${table}`)]
  const moves = (): Promise<string> => refusal(client.query('UPDATE spans SET id = 120 WHERE id = 2'))
  const changes: readonly (readonly [cluster: string, made: string, undone: string])[] = [
    [
      'main',
      'CREATE TABLE follows (id bigint REFERENCES spans (id) ON DELETE CASCADE); INSERT INTO follows VALUES (2)',
      'DROP TABLE follows',
    ],
    ['main', 'ALTER TABLE spans ADD COLUMN late int DEFAULT 5', 'ALTER TABLE spans DROP COLUMN late'],
    ['media', 'CREATE TRIGGER late AFTER INSERT ON spans FOR EACH ROW EXECUTE FUNCTION fire()', 'DROP TRIGGER late ON spans'],
  ]
  for (const [cluster, made, undone] of changes) {
    await on(cluster, made)
    t.match(await moves(), /^0A000/, made)
    if (made.includes('follows')) t.same(await held('follows'), [1])
    t.same(await held('spans WHERE id = 2'), [1])
    await on(cluster, undone)
  }
  t.equal(await prepared(), 0)
})

t.test('a row moves only for who may UPDATE it, whatever else is allowed', async (t) => {
  const client = await proxy.connect()
  const { primary } = running.cluster('main')
  const moves = [
    (): Promise<unknown> => client.query('UPDATE spans SET id = 130 WHERE id = 2'),
    (): Promise<unknown> => extended(client, 'UPDATE spans SET id = $1 WHERE id = $2', [130, 2]),
  ]
  await primary.sql('REVOKE UPDATE ON spans FROM app; GRANT SELECT, INSERT, DELETE, UPDATE (n) ON spans TO app')
  for (const moved of moves) t.match(await refusal(moved()), /^42501 /)
  await primary.sql('GRANT UPDATE ON spans TO app')
  t.equal(await number('main', 'SELECT count(*) FROM spans WHERE id = 2'), 1)
  t.equal(await prepared(), 0)
})

// ---- the same through the library

let made: RoutedPool | null = null
/** Begun when it is first used: what was defined before is in its catalogs. */
const pool = (): RoutedPool => (made ??= router(t, config))
/** Every connection is back. */
const idle = (): Promise<void> => until('every connection is back', () => Promise.resolve(pool().totalCount === pool().idleCount))
async function withClient(t: Test): Promise<RoutedClient> {
  const client = await pool().connect()
  // One that was released already throws.
  t.teardown(() => {
    try {
      client.release()
    } catch {
      return
    }
  })
  return client
}
const move = async (client: RoutedClient, id: number): Promise<void> => {
  await client.query('UPDATE users SET n = n + 1 WHERE id = $1', [id])
  await client.query('UPDATE images SET n = n + 1 WHERE id = $1', [id])
}
const decisions = (): Promise<number> => number('main', "SELECT count(*) FROM pointsman.decisions WHERE outcome = 'commit'")

t.test('library: COMMIT is one of both clusters, ROLLBACK takes both back', async (t) => {
  const before = await decisions()
  const client = await withClient(t)
  await client.query('BEGIN')
  await move(client, 14)
  t.equal(client.getTransactionStatus(), 'T')
  const ended = await client.query('COMMIT')
  t.equal(ended.command, 'COMMIT')
  t.equal(client.getTransactionStatus(), 'I')
  t.same(await both(14), [1, 1])
  t.equal(await decisions(), before + 1)
  await client.query('BEGIN')
  await move(client, 14)
  t.equal((await client.query('ROLLBACK')).command, 'ROLLBACK')
  t.same(await both(14), [1, 1])
  await client.query('BEGIN')
  await client.query('SELECT n FROM users WHERE id = 14')
  const { rowCount, routed } = await client.query('UPDATE images SET n = 7 WHERE id = 14')
  t.equal(rowCount, 1)
  t.equal(routed?.cluster, 'media')
  t.match(routed?.why.map(({ rule }) => rule) ?? [], ['partition', 'two-phase'])
  await client.query('COMMIT')
  t.same(await both(14), [1, 7])
  t.equal(await decisions(), before + 1, 'one alone has written')
  t.match(String((await client.query('SHOW pointsman.last_route')).rows[0]['pointsman.last_route']), /media/)
  client.release()
  await idle()
  t.equal(await prepared(), 0)
})

t.test('library: a session is told of its writes on both clusters, and so is its token', async (t) => {
  const session = pool().session.create()
  const done = await pool().run(session, () =>
    pool().transaction(async (client) => {
      await move(client, 15)
      return 'done'
    }),
  )
  t.equal(done, 'done')
  t.same(await both(15), [1, 1])
  const told = decodeToken(await session.token(), null)
  t.same(told.ok && told.entries.map(({ cluster }) => cluster).sort(), ['main', 'media'])
  t.match(
    await refusal(
      pool().transaction(async (client) => {
        await move(client, 15)
        throw Object.assign(new Error('no'), { code: 'mine' })
      }),
    ),
    /^mine no/,
  )
  t.same(await both(15), [1, 1])
  t.match(await refusal(pool().transaction({ isolation: 'serializable' }, (client) => move(client, 15))), /^0A000/)
  t.match(await refusal(pool().readOnlyTransaction((client) => move(client, 15))), /^25006/)
  t.same(
    await pool().readOnlyTransaction(async (client) => [
      (await client.query<{ n: number }>('SELECT n FROM users WHERE id = 15')).rows[0]?.n,
      (await client.query<{ n: number }>('/* pointsman: consistency=strong */ SELECT n FROM users WHERE id = 15')).rows[0]?.n,
    ]),
    [1, 1],
  )
  await idle()
})

t.test('library: an error on one fails all, and lets go of the locks of all', async (t) => {
  const client = await withClient(t)
  await client.query('BEGIN')
  await move(client, 16)
  t.match(await refusal(client.query('INSERT INTO images VALUES (16)')), /^23505 duplicate key/)
  t.match(await refusal(client.query('SELECT 1')), /^25P02/)
  const other = await withClient(t)
  await other.query("SET lock_timeout = '5s'")
  await other.query('UPDATE users SET n = 40 WHERE id = 16')
  t.equal((await client.query('COMMIT')).command, 'ROLLBACK')
  t.same(await both(16), [40, 0])
  await client.query('BEGIN')
  await move(client, 16)
  t.match(await refusal(client.query('NOTIFY c')), /^0A000 NOTIFY/, 'what is refused here fails it as well')
  await other.query('UPDATE images SET n = 41 WHERE id = 16')
  t.equal((await client.query('ROLLBACK')).command, 'ROLLBACK')
  t.same(await both(16), [40, 41])
  await client.query('BEGIN')
  await client.query('UPDATE users SET n = 6 WHERE id = 16')
  await client.query('INSERT INTO checked VALUES (1, 99)')
  t.match(await refusal(client.query('COMMIT')), /^23503 insert or update on table "checked"/, 'in the words of the server')
  t.same(await both(16), [40, 41])
  t.equal(await prepared(), 0)
})

t.test('library: savepoints are of all, of who joins after them too; settings too', async (t) => {
  const client = await withClient(t)
  await client.query('BEGIN')
  await client.query('UPDATE users SET n = 1 WHERE id = 17')
  await client.query("SET LOCAL application_name = 'outer'")
  await client.query("SET statement_timeout = '50s'")
  await client.query('SAVEPOINT before')
  await client.query('UPDATE users SET n = 2 WHERE id = 17')
  await client.query("SET LOCAL application_name = 'inner'")
  await client.query('UPDATE images SET n = 2 WHERE id = 17')
  const named = async (): Promise<unknown> =>
    (
      await client.query(
        "SELECT current_setting('application_name') || current_setting('statement_timeout') AS a FROM images WHERE id = 17",
      )
    ).rows[0].a
  t.equal(await named(), 'inner50s')
  t.match(await refusal(client.query('INSERT INTO users VALUES (17)')), /^23505/)
  t.equal((await client.query('ROLLBACK TO before')).command, 'ROLLBACK')
  t.equal(client.getTransactionStatus(), 'T')
  t.equal(await named(), 'outer50s')
  await client.query('UPDATE images SET n = 3 WHERE id = 17')
  t.equal((await client.query('SAVEPOINT after')).command, 'SAVEPOINT')
  await client.query('UPDATE users SET n = 4 WHERE id = 17')
  t.equal((await client.query('RELEASE after')).command, 'RELEASE')
  t.match(await refusal(client.query('RELEASE after')), /^3B001/)
  await client.query('ROLLBACK TO before')
  await client.query('UPDATE images SET n = 9 WHERE id = 17')
  await client.query('COMMIT')
  t.same(await both(17), [1, 9])
  t.equal(await named(), '50s')
  client.release()
  await idle()
  const others = await Promise.all(
    [1, 2, 3, 4].map(
      async () =>
        (await pool().query<{ s: string }>("SELECT current_setting('statement_timeout') AS s FROM images WHERE id = 17")).rows[0]?.s,
    ),
  )
  t.same(others, ['0', '0', '0', '0'], 'nobody else sees them')
})

t.test('library: locks, what is refused, and what is lost', async (t) => {
  const [one, two] = [await withClient(t), await withClient(t)]
  await one.query('BEGIN')
  await two.query('BEGIN')
  await one.query('UPDATE users SET n = 1 WHERE id = 18')
  await two.query('UPDATE images SET n = 1 WHERE id = 18')
  const ends = await Promise.all([
    refusal(one.query('UPDATE images SET n = 2 WHERE id = 18')),
    refusal(two.query('UPDATE users SET n = 2 WHERE id = 18')),
  ])
  t.ok(
    ends.some((end) => end.startsWith('55P03')),
    ends.join(' | '),
  )
  await one.query('ROLLBACK')
  await two.query('ROLLBACK')
  const within = async (texts: readonly string[], begin = 'BEGIN'): Promise<string> => {
    await one.query(begin)
    let last = ''
    for (const text of texts) last = await refusal(one.query(text))
    await one.query('ROLLBACK')
    return last
  }
  const a = 'UPDATE users SET n = 1 WHERE id = 18'
  const b = 'UPDATE images SET n = 1 WHERE id = 18'
  t.match(await within([a, b], 'BEGIN ISOLATION LEVEL REPEATABLE READ'), /^0A000/)
  t.match(await within(['SET LOCAL default_transaction_isolation = serializable', a, b], 'BEGIN ISOLATION LEVEL SERIALIZABLE'), /^0A000/)
  t.match(await within([a, b, 'LISTEN c']), /^0A000 LISTEN/)
  t.match(await within([a, b, 'CREATE TEMPORARY TABLE t AS SELECT 1']), /^0A000 what outlives/)
  t.match(await within([a, b, 'SET ROLE app']), /^0A000 SET role/)
  t.match(await within([a, b, 'COMMIT AND CHAIN']), /^0A000 COMMIT AND CHAIN/)
  t.match(await within([a, b, `${a}; COMMIT`]), /^0A000 COMMIT of a transaction/)
  t.match(await within([a, `${b}; ${b}`]), /^0A000/)
  t.match(await within([a, 'LISTEN c', b]), /^0A000 the transaction is open on cluster main/)
  await one.query('UNLISTEN *')
  t.same(await both(18), [0, 0])

  const lose = (name: string): Promise<unknown> =>
    running
      .cluster(name)
      .primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND state = 'idle in transaction'")
  await one.query('BEGIN')
  await move(one, 18)
  await lose('main')
  t.match(await refusal(one.query('SELECT n FROM users WHERE id = 18')), /^08006/)
  t.equal(one.getTransactionStatus(), 'E')
  await two.query("SET lock_timeout = '5s'")
  await two.query('UPDATE images SET n = 5 WHERE id = 18')
  t.match(await refusal(one.query('SELECT n FROM images WHERE id = 18')), /^25P02/)
  t.equal((await one.query('COMMIT')).command, 'ROLLBACK')
  await one.query('BEGIN')
  await move(one, 18)
  await lose('media')
  t.match(await refusal(one.query('COMMIT')), /^08006/)
  t.equal(one.getTransactionStatus(), 'I')
  t.same(await both(18), [0, 5])
  await one.query('BEGIN')
  await one.query('UPDATE users SET n = 9 WHERE id = 18')
  await one.query('SELECT n FROM images WHERE id = 18')
  const heard = new Promise((resolve) => one.once('error', resolve))
  await lose('main')
  await heard
  t.match(await refusal(one.query('COMMIT')), /^08006/, 'the only one that has written was lost before: nothing is unknown of it')
  t.equal(one.getTransactionStatus(), 'I')
  t.same(await both(18), [0, 5])
  await one.query('BEGIN')
  await move(one, 18)
  one.release()
  await two.query('UPDATE users SET n = 6 WHERE id = 18')
  two.release()
  await idle()
  t.same(await both(18), [6, 5])
  t.equal(await prepared(), 0)
})

t.test('library: a write on several clusters is one transaction of them', async (t) => {
  const seven = Array.from({ length: 12 }, (_, i) => 300 + i)
  const values = seven.map((_, i) => `($${String(i + 1)}, 0)`).join(', ')
  const added = await pool().query(`INSERT INTO things (id, n) VALUES ${values} RETURNING id, n`, seven)
  t.same(
    added.rows,
    seven.map((id) => ({ id: String(id), n: 0 })),
    'in the order in which they were given',
  )
  t.match([added.command, added.rowCount, added.oid, added.routed?.role], ['INSERT', 12, 0, 'primary'])
  t.ok((await everywhere('SELECT count(*) FROM things WHERE id >= 300')).every((count) => count > 0))
  t.equal((await pool().query('UPDATE things SET n = n + 1 WHERE id >= 300')).rowCount, 12)
  const arrays = await pool().query({
    text: 'UPDATE things SET n = n + $1 WHERE id > $2 RETURNING n, id',
    values: [1, 309],
    rowMode: 'array',
  })
  t.same(
    arrays.rows.map(([n, id]: unknown[]) => [n, Number(id)]).sort((a, b) => Number(a[1]) - Number(b[1])),
    [
      [2, 310],
      [2, 311],
    ],
  )
  t.same(
    arrays.fields.map(({ name, dataTypeID }) => [name, dataTypeID]),
    [
      ['n', 23],
      ['id', 20],
    ],
  )
  t.match(await refusal(pool().query('UPDATE things SET n = 1 / (id - 307)')), /^22012/)
  t.match(await refusal(pool().query('UPDATE things SET n = $1', [{ toPostgres: () => 'x' }])), /^22P02/)
  t.match(await refusal(pool().query('UPDATE things SET n = $1', [1, 2])), /^08P01/)
  t.same(await everywhere('SELECT count(*) FROM things WHERE id >= 300 AND n NOT IN (1, 2)'), [0, 0])
  t.equal((await pool().query('DELETE FROM things WHERE id >= 300 AND id < 304')).rowCount, 4)
  await idle()

  const client = await withClient(t)
  await client.query('BEGIN')
  await client.query('UPDATE users SET n = 100 WHERE id = 19')
  t.equal((await client.query('UPDATE things SET n = 50 WHERE id >= 300')).rowCount, 8)
  await client.query('SAVEPOINT s')
  t.match(await refusal(client.query('INSERT INTO things (id, n) VALUES (400, 1), (401, 1), (402, 1), (403, 1), (307, 1)')), /^23505/)
  await client.query('ROLLBACK TO s')
  t.match(await refusal(client.query("DELETE FROM countries WHERE code = 'xx' RETURNING *")), /^55000 a write to public.countries/)
  t.match(await refusal(client.query('SELECT 1')), /^25P02/, 'what differs fails it')
  await client.query('ROLLBACK TO s')
  await client.query('UPDATE images SET n = 100 WHERE id = 19')
  await client.query('COMMIT')
  t.same(await both(19), [100, 100])
  t.same(await everywhere('SELECT count(*) FROM things WHERE id >= 300 AND n <> 50'), [0, 0])
  t.same(await everywhere('SELECT count(*) FROM things WHERE id >= 400'), [0, 0])

  const told = await pool().query("INSERT INTO countries VALUES ($1, $2, '2026-01-01', NULL) RETURNING code, added", ['es', 'Spain'])
  t.same(told.rows, [{ code: 'es', added: new Date('2026-01-01T00:00:00Z') }], 'one copy is told')
  t.same(await everywhere("SELECT count(*) FROM countries WHERE code = 'es'"), [1, 1])
  t.match(await refusal(pool().query('UPDATE countries SET name = random()::text')), /^0A000 .*random/)
  await pool().query('CREATE INDEX things_m ON things (n, id)')
  t.same(await everywhere("SELECT count(*) FROM pg_class WHERE relname = 'things_m'"), [1, 1])
  await pool().query('/* pointsman: cluster=media */ CREATE INDEX there_only ON things (n)')
  t.match(await refusal(pool().query('CREATE INDEX there_only ON things (n)')), /^42P07/)
  t.same(await everywhere("SELECT count(*) FROM pg_class WHERE relname = 'there_only'"), [0, 1])
  t.match(
    await refusal(pool().query({ text: 'UPDATE things SET n = 1 RETURNING id', binary: true } as pg.QueryConfig)),
    /^0A000 a write on several/,
  )
  t.match(await refusal(pool().query('UPDATE things SET n = 1; UPDATE things SET n = 2')), /^0A000/)
  client.release()
  await idle()
  t.equal(await prepared(), 0)
})

t.test('library: rows of one INSERT, as one server would answer', async (t) => {
  const said = async (work: Promise<pg.QueryResult>): Promise<unknown> =>
    work.then(
      ({ command, rowCount, rows, fields }) => ({
        command,
        rowCount,
        rows,
        fields: fields.map(({ name, dataTypeID }) => [name, dataTypeID]),
      }),
      (error: unknown) => (error as { code: string }).code,
    )
  const alike = async (what: string, text: string, values?: unknown[]): Promise<void> => {
    const on = (table: string): Promise<unknown> => said(pool().query(text.replaceAll('@', table), values))
    t.same(await on('notes'), await on('plain'), what)
  }
  const ids = [1, 2, 3, 4, 5, 6, 7, 8].map((id) => id + 500)
  const rows = ids.map((id) => `(${String(id)}, 'lib')`).join(', ')
  await alike('without RETURNING', `INSERT INTO @ (id, word) VALUES ${rows}`)
  await alike('none given', `INSERT INTO @ (id, word) VALUES ${rows} ON CONFLICT (id, word) DO NOTHING RETURNING id`)
  await alike('a constraint', `INSERT INTO @ (id, word) VALUES (600, 'lib'), (601, 'lib'), ${rows}`)
  await alike(
    'parameters',
    `INSERT INTO @ (id, word, amount) VALUES ${ids.map((_, i) => `($${String(i + 1)}, 'libp', $9)`).join(', ')} RETURNING id, word AS "Word", amount`,
    [...ids, '1.50'],
  )
  await alike(
    'the type of a parameter is that of its first place',
    'INSERT INTO @ (id, word, amount) VALUES (701, $2, $1), (702, $2, 1), (705, $1::text, 2), (707, $1::text, 3) RETURNING word, amount',
    ['1.50', 'd'],
  )
  await alike('rows of unequal length', `INSERT INTO @ (id, word) VALUES (701, 'x'), (702, 'x'), (705), (707)`)
  await alike('a column that is none', `INSERT INTO @ (id, no) VALUES (701, 's'), (705, 't')`)
  await alike('too few parameters', `INSERT INTO @ (id, word) VALUES (701, $1), (702, $2), (705, $3)`, ['a'])
  const [one] = await running.cluster('main').primary.sql("SELECT count(*)::text AS n FROM plain WHERE word LIKE 'lib%'")
  t.equal(
    (await everywhere("SELECT count(*) FROM notes WHERE word LIKE 'lib%'")).reduce((a, b) => a + b),
    Number(one?.['n']),
  )
  t.equal(await prepared(), 0)
})

t.test('check --live asks for what two-phase commit needs', async (t) => {
  const problems = async (): Promise<readonly string[]> => {
    const { problems: found } = await checkServers(proxy.runtime.current().config, () => null)
    return found.filter(({ path }) => !path.startsWith('auth')).map(({ message, allowed }) => `${message}: ${allowed}`)
  }
  t.same(await problems(), [])
  await running.cluster('main').primary.sql('REVOKE INSERT ON pointsman.decisions FROM app')
  t.match(
    (await problems()).join('\n'),
    /user app may not use pointsman.decisions: GRANT USAGE ON SCHEMA pointsman TO app; GRANT SELECT, INSERT, DELETE/,
  )
  await running
    .cluster('main')
    .primary.sql('DROP SCHEMA pointsman CASCADE; REVOKE CREATE ON DATABASE app FROM PUBLIC, app; ALTER DATABASE app OWNER TO postgres')
  t.match(
    (await problems()).join('\n'),
    /pointsman.decisions is missing, and user app may not make it: CREATE SCHEMA IF NOT EXISTS pointsman;/,
  )
  const client = await proxy.connect()
  const commit = async (): Promise<string> => {
    await client.query('BEGIN')
    await touch(client, 11)
    return refusal(client.query('COMMIT'))
  }
  t.match(await commit(), /^40000 .*pointsman.decisions was dropped/, 'the one that it was to be decided in is gone')
  t.match(await commit(), /^55000 the table pointsman.decisions is missing on cluster main/)
  t.same(await both(11), [0, 0])
  t.equal(await prepared(), 0)
})
