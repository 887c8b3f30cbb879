// Directories, modules and keys of several columns through the proxy: where rows go, what is refused, and what a changed
// directory does.
import t from 'tap'
import pg from 'pg'
import { until } from '../../src/embedded/until.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'

const seed = `
  CREATE TABLE rooms (room text, id int, PRIMARY KEY (room, id));
  CREATE TABLE orders (id int, tenant bigint, region text);
  CREATE TABLE shops (id int);
  CREATE TABLE directory (room text, shard text, note text)`
const running = await withTopology(t, { clusters: { main: { seed }, zero: { seed }, one: { seed } } })
const cluster = (id: string) => ({
  dbname: 'app',
  user: 'app',
  password: 'app',
  tls: { mode: 'disable' as const },
  nodes: running.cluster(id).nodes.map((node) => node.address),
  pool: { max: 2, wait: '5s' },
})
const clusters = ['zero', 'one']
const proxy = await withProxy(t, {
  version: 1,
  clusters: { main: cluster('main'), zero: cluster('zero'), one: cluster('one') },
  databases: {
    app: {
      default: 'main',
      sharded: {
        rooms: {
          clusters,
          shards: 2,
          by: 'directory',
          directory: { cluster: 'main', table: 'directory', key: 'room', shard: 'shard', ttl: '1h', max_entries: 3, channel: 'moved' },
          key_type: 'text',
          tables: { rooms: 'room' },
        },
        orders: { clusters, shards: 8, key_type: ['bigint', 'text'], tables: { orders: ['tenant', 'region'] } },
        shops: {
          clusters,
          shards: 2,
          by: 'module',
          module: (id) => {
            if (id === 13) throw new RangeError('13 is secret')
            return id === 14 ? 2 : Number(id) % 2
          },
          key_type: 'integer',
          tables: { shops: 'id' },
        },
      },
    },
  },
})
const client = await proxy.connect()
async function connectTo(id: string): Promise<pg.Client> {
  const { primary, dbname } = running.cluster(id)
  const direct = new pg.Client({ host: primary.host, port: primary.port, user: running.user, password: running.password, database: dbname })
  await direct.connect()
  t.teardown(() => direct.end())
  return direct
}
const main = await connectTo('main')
const parts = [await connectTo('zero'), await connectTo('one')] as const

/** How many rows of a table each cluster has. */
async function spread(table: string): Promise<readonly number[]> {
  return Promise.all(parts.map(async (part) => (await part.query(`SELECT FROM ${table}`)).rowCount ?? -1))
}

t.test('a directory is asked, for simple and extended queries, and a key without a good row is refused', async (t) => {
  await main.query(
    `INSERT INTO directory VALUES ('a', '0'), ('b''\\', '1'), ('twice', '0'), ('twice', '1'), ('far', '2'), ('odd', 'x'), ('none', NULL), ('c', '1')`,
  )
  await client.query(`INSERT INTO rooms VALUES ('a', 1)`)
  await client.query('INSERT INTO rooms VALUES ($1, 1)', [`b'\\`])
  await client.query({ name: 'put', text: 'INSERT INTO rooms VALUES ($1, $2)', values: ['c', 1] })
  t.same(await spread('rooms'), [1, 2])
  for (const bad of ['nowhere', 'twice', 'far', 'odd', 'none']) {
    await t.rejects(client.query('INSERT INTO rooms VALUES ($1, 1)', [bad]), { code: '0A000', message: /is not in the directory of rooms/ })
  }
  await t.rejects(client.query(`SELECT * FROM rooms WHERE room = 'nowhere'`), { code: '0A000', message: /is not in the directory/ })
  const { rows } = await client.query<{ room: string }>(`SELECT room FROM rooms WHERE room IN ('a')`)
  t.same(rows, [{ room: 'a' }])
  await t.rejects(client.query(`UPDATE rooms SET id = 2 WHERE room IN ('a', 'c')`), { code: '0A000' }, 'two shards')
  await client.query(`PREPARE r (text) AS SELECT id FROM rooms WHERE room = $1`).catch(() => undefined)
  await client.query('BEGIN')
  t.equal((await client.query(`SELECT FROM rooms WHERE room = 'c'`)).rowCount, 1, 'also as the first statement of a transaction')
  await client.query('COMMIT')
})

t.test('what is known is kept until a notification, however the row changes', async (t) => {
  await client.query(`SELECT FROM rooms WHERE room = 'a'`)
  await main.query(`UPDATE directory SET shard = '1' WHERE room = 'a'`)
  t.equal((await client.query(`SELECT FROM rooms WHERE room = 'a'`)).rowCount, 1, 'where it was')
  await main.query(`NOTIFY moved, 'a'`)
  await until('the key is asked again', async () => (await client.query(`SELECT FROM rooms WHERE room = 'a'`)).rowCount === 0)
  await main.query(`UPDATE directory SET shard = '0' WHERE room = 'a'; NOTIFY moved`)
  await until('all are asked again', async () => (await client.query(`SELECT FROM rooms WHERE room = 'a'`)).rowCount === 1)
})

t.test('keys of two columns', async (t) => {
  for (let i = 0; i < 20; i++) await client.query('INSERT INTO orders VALUES ($1, $2, $3)', [i, i % 5, i % 2 === 0 ? 'eu' : 'us'])
  const [zero = 0, one = 0] = await spread('orders')
  t.ok(zero > 0 && one > 0 && zero + one === 20, `${String(zero)} ${String(one)}`)
  for (let i = 0; i < 5; i++) {
    const sql = `SELECT FROM orders o WHERE EXISTS (SELECT FROM orders p WHERE (p.tenant, p.region) = (o.tenant, o.region)) AND (tenant, region) = ($1, 'eu')`
    t.equal((await client.query(sql, [i])).rowCount, 2)
  }
  await t.rejects(client.query('INSERT INTO orders VALUES (1, 1, NULL)'), { code: '0A000', message: /is NULL/ })
  await t.rejects(client.query('UPDATE orders SET id = 1 WHERE tenant = 1'), { code: '0A000' }, 'half a key is none')
  t.equal((await client.query(`/* pointsman: shard_key='{1,eu}' */ SELECT FROM orders WHERE tenant = 1 AND region LIKE 'e%'`)).rowCount, 2)
})

t.test('a module', async (t) => {
  for (let i = 0; i < 5; i++) await client.query('INSERT INTO shops VALUES ($1)', [i])
  t.same(await spread('shops'), [3, 2])
  await t.rejects(client.query('INSERT INTO shops VALUES (13)'), { code: '22023', message: /threw a RangeError$/ })
  await t.rejects(client.query('INSERT INTO shops VALUES (14)'), { code: '22023', message: /not from 0 to 1/ })
})
