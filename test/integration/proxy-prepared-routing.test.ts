// Where what SQL has prepared runs: EXECUTE is routed as the statement that it names, with its arguments as parameters.
import t from 'tap'
import type pg from 'pg'
import { until } from '../../src/embedded/until.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'

const seed = `
  CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL);
  INSERT INTO items SELECT g, 0 FROM generate_series(1, 50) g;
  CREATE TABLE comments (image_id bigint, body text);
  CREATE TABLE images (id int, user_id int);
  CREATE SEQUENCE numbers;
  CREATE FUNCTION forget() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN 1; END $$`
const running = await withTopology(t, { clusters: { main: { replicas: 1, seed }, media: { seed } } })
const cluster = (id: string) => ({
  dbname: 'app',
  user: 'app',
  password: 'app',
  tls: { mode: 'disable' as const },
  nodes: running.cluster(id).nodes.map((node) => node.address),
  pool: { max: 2, wait: '5s' },
})
const proxy = await withProxy(t, {
  version: 1,
  clusters: { main: cluster('main'), media: cluster('media') },
  databases: {
    app: {
      default: 'main',
      partitions: { media: { cluster: 'media', tables: ['images'] } },
      sharded: {
        comments: { clusters: ['main', 'media'], shards: 2, by: 'hash', key_type: 'bigint', tables: { comments: 'image_id' } },
      },
      reads: { default: { consistency: 'session', max_staleness: '5s', on_unmet: ['wait 1s', 'primary'] } },
    },
  },
})
const value = async (client: pg.Client, sql: string): Promise<unknown> => {
  const { rows } = await client.query<unknown[]>({ text: sql, rowMode: 'array' })
  return rows[0]?.[0]
}
const code = (wanted: string) => ({ code: wanted }) as never

t.test('reads run on replicas, writes on the primary, and a session sees its writes', async (t) => {
  const client = await proxy.connect()
  await client.query('PREPARE r (int) AS SELECT n FROM items WHERE id = $1')
  await client.query('PREPARE w (int, int) AS UPDATE items SET n = $2 WHERE id = $1')
  await until('a read is on the replica', async () => {
    await client.query('EXECUTE r(1)')
    return (await lastRoute(client)).startsWith('replica')
  })
  for (let n = 1; n <= 5; n++) {
    await client.query(`EXECUTE w(1, ${String(n)})`)
    t.match(await lastRoute(client), /^primary/)
    t.equal(await value(client, 'EXECUTE r(1)'), n)
  }
  await client.query("EXECUTE r(nextval('numbers')::int)")
  t.match(await lastRoute(client), /^primary/, 'what an argument writes counts')
  await client.query('EXPLAIN EXECUTE w(1, 1)')
  await client.query('EXPLAIN ANALYZE EXECUTE w(1, 77)')
  t.match(await lastRoute(client), /^primary/)
  t.equal(await value(client, 'EXECUTE r(1)'), 77)
  await client.query('/* pointsman: consistency=strong */ EXECUTE r(1)')
  t.match(await lastRoute(client), /^primary/, 'a hint in EXECUTE')
  await client.query('PREPARE strong AS /* pointsman: consistency=strong */ SELECT n FROM items WHERE id = 1')
  await client.query('EXECUTE strong')
  t.match(await lastRoute(client), /^primary/, 'a hint in PREPARE')
  await client.query('/* pointsman: consistency=any */ EXECUTE strong')
  t.match(await lastRoute(client), /^replica/, 'EXECUTE has the last word')
})

t.test('each goes to the cluster of its tables, and to the shard of its arguments', async (t) => {
  const client = await proxy.connect()
  await client.query('PREPARE i AS INSERT INTO images VALUES ($1, $2)')
  await client.query('EXECUTE i(1, 1)')
  t.match(await lastRoute(client), /of media/)
  await client.query('PREPARE c (bigint, text) AS INSERT INTO comments VALUES ($1, $2)')
  await client.query('PREPARE d (bigint) AS SELECT body FROM comments WHERE image_id = $1')
  const homes = new Map<string, number>()
  for (let key = 1; key <= 8; key++) {
    await client.query(`EXECUTE c(${String(key)}, 'body ${String(key)}')`)
    const home = /of (\w+)/.exec(await lastRoute(client))?.[1] ?? ''
    homes.set(home, (homes.get(home) ?? 0) + 1)
    t.equal(await value(client, `EXECUTE d('${String(key)}')`), `body ${String(key)}`)
  }
  for (const id of ['main', 'media']) {
    t.same(await running.cluster(id).primary.sql('SELECT count(*)::int AS count FROM comments'), [{ count: homes.get(id) }], id)
  }
  t.equal(homes.size, 2)
  for (const computed of ['1 + 0', '1.0', "lower('1')::bigint"]) {
    await t.rejects(client.query(`EXECUTE d(${computed})`), code('0A000'), computed)
  }
  await t.rejects(client.query('CREATE TABLE copied AS EXECUTE d(1)'), code('0A000'))
  await t.rejects(client.query('EXECUTE i(1, 1); EXECUTE d(1); UPDATE items SET n = 1'), code('0A000'), 'two clusters')
  await client.query('BEGIN')
  await client.query('EXECUTE i(2, 2)')
  await t.rejects(client.query('UPDATE items SET n = 1'), code('0A000'))
  await client.query('ROLLBACK')
  t.equal(await value(client, "EXECUTE d('3')"), 'body 3')
})

t.test('settings and tokens that it sets follow the client', async (t) => {
  const [client, other] = [await proxy.connect(), await proxy.connect()]
  const before = await value(other, 'SHOW work_mem')
  await client.query("PREPARE s AS SELECT set_config('work_mem', $1, false)")
  await client.query("EXECUTE s('1234kB')")
  for (let i = 0; i < 4; i++) t.same([await value(client, 'SHOW work_mem'), await value(other, 'SHOW work_mem')], ['1234kB', before])
  await other.query('UPDATE items SET n = 1 WHERE id = 2')
  const token = (await value(other, 'SHOW pointsman.token')) as string
  await client.query("PREPARE k AS SELECT set_config('pointsman.token', $1, false)")
  t.equal(await value(client, 'SHOW pointsman.token'), '')
  await client.query(`EXECUTE k('${token}')`)
  t.ok(await value(client, 'SHOW pointsman.token'), 'it asks for what the other wrote')
})

t.test('what a server has lost or cannot use any more is prepared anew, unseen', async (t) => {
  const client = await proxy.connect()
  await client.query('PREPARE p AS SELECT * FROM items WHERE id = 3')
  await client.query('EXECUTE p')
  await client.query('CREATE TEMPORARY TABLE keeps_the_connection (k int)')
  await client.query('EXECUTE p')
  await client.query({ name: 'q', text: 'SELECT n FROM items WHERE id = 3' })
  await client.query('SELECT forget()')
  t.same((await client.query('EXECUTE p')).rows, [{ id: 3, n: 0 }])
  t.same((await client.query({ name: 'q', text: 'SELECT n FROM items WHERE id = 3' })).rows, [{ n: 0 }])
  await client.query('ALTER TABLE items ADD COLUMN added int')
  t.same((await client.query('EXECUTE p')).rows, [{ id: 3, n: 0, added: null }])
  await client.query('BEGIN')
  await client.query('SELECT forget()')
  await t.rejects(client.query('UPDATE items SET n = 5 WHERE id = 4; EXECUTE nothing'), { code: '26000' })
  await client.query('ROLLBACK')
  t.same((await client.query('EXECUTE p')).rows, [{ id: 3, n: 0, added: null }])
  await client.query('DISCARD ALL')
  await t.rejects(client.query('EXECUTE p'), { message: 'prepared statement "p" does not exist' })
})
