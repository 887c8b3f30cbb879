// The proxy over real servers: one client's session, wherever its statements run. Pools are tiny, so that clients meet on
// the same server connections all the time.
import fc from 'fast-check'
import pg from 'pg'
import t from 'tap'
import { backendOf, lastRoute, withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { until } from '../../src/embedded/until.js'

const seed = 'CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT g, 0 FROM generate_series(1, 100) g'
const running = await withTopology(t, {
  clusters: {
    main: { replicas: 1, seed, prepare: 'CREATE ROLE other; GRANT other TO app; GRANT ALL ON SCHEMA public TO other' },
    media: { seed: 'CREATE TABLE images (id int PRIMARY KEY, user_id int)' },
  },
})
const main = running.cluster('main')
const { primary } = main
const media = running.cluster('media')

const login = { dbname: 'app', user: 'app', password: 'app', tls: { mode: 'disable' as const } }
const config = (max: number) => ({
  version: 1 as const,
  clusters: {
    main: { ...login, nodes: main.nodes.map((node) => node.address), pool: { max, wait: '3s' } },
    media: { ...login, nodes: media.nodes.map((node) => node.address), pool: { max, wait: '3s' } },
  },
  databases: {
    app: {
      default: 'main',
      partitions: { media: { cluster: 'media', tables: ['images'] } },
      reads: { default: { consistency: 'session' as const, max_staleness: '5s', on_unmet: ['wait 30ms', 'primary'] } },
    },
  },
})
const one = await withProxy(t, config(1))
const two = await withProxy(t, config(2))

const value = async (client: pg.Client, sql: string, values: unknown[] = []): Promise<unknown> => {
  const { rows } = await client.query<unknown[]>({ text: sql, values, rowMode: 'array' })
  return rows[0]?.[0]
}
const code = (wanted: string) => ({ code: wanted }) as never

t.test('reads go to a replica, writes to the primary, and a session sees its writes', async (t) => {
  const client = await one.connect()
  await until('a read is on the replica', async () => {
    await client.query('SELECT n FROM items WHERE id = 1')
    return (await lastRoute(client)).startsWith('replica')
  })
  for (let n = 1; n <= 20; n++) {
    await client.query('UPDATE items SET n = $1 WHERE id = 1', [n])
    t.match(await lastRoute(client), /^primary/)
    t.equal(await value(client, 'SELECT n FROM items WHERE id = 1'), n)
  }
})

t.test('settings follow their client and never reach another', async (t) => {
  const [a, b] = [await one.connect({ application_name: 'a' }), await one.connect({ application_name: 'b' })]
  await a.query("SET work_mem = '1234kB'")
  await a.query("SELECT set_config('search_path', 'public, pg_catalog', false)")
  await b.query("SET timezone TO 'Asia/Tokyo'")
  for (const _ of [1, 2, 3]) {
    t.equal(await value(a, 'SHOW work_mem'), '1234kB')
    t.equal(await value(b, 'SHOW work_mem'), '4MB')
    t.equal(await value(a, 'SHOW search_path'), 'public, pg_catalog')
    t.equal(await value(b, 'SHOW search_path'), '"$user", public')
    t.equal(await value(b, 'SHOW timezone'), 'Asia/Tokyo')
    t.not(await value(a, 'SHOW timezone'), 'Asia/Tokyo')
    t.equal(await value(a, 'SHOW application_name'), 'a')
    t.equal(await value(b, 'SHOW application_name'), 'b')
  }
  await a.query('BEGIN')
  await a.query("SET work_mem = '99kB'")
  t.equal(await value(a, 'SHOW work_mem'), '99kB')
  await a.query('ROLLBACK')
  t.equal(await value(b, 'SHOW work_mem'), '4MB')
  t.equal(await value(a, 'SHOW work_mem'), '1234kB')
  await t.rejects(a.query("SET work_mem = '77kB'; SELECT 1/0"), code('22012'))
  t.equal(await value(a, 'SHOW work_mem'), '1234kB', 'a failed group takes its SET back')
  await a.query('RESET ALL')
  t.equal(await value(a, 'SHOW application_name'), 'a', 'RESET goes back to the startup value')
  await a.query('SET ROLE other')
  t.equal(await value(b, 'SELECT current_user'), 'app')
  t.equal(await value(a, 'SELECT current_user'), 'other')
  await a.query('DISCARD ALL')
  t.equal(await value(a, 'SELECT current_user'), 'app')
})

t.test('whatever is said, the settings are what they are on a direct connection', async () => {
  const statements = [
    'BEGIN',
    'COMMIT',
    'ROLLBACK',
    'SAVEPOINT s',
    'ROLLBACK TO s',
    'RELEASE s',
    'SELECT 1',
    'SELECT count(*) FROM items',
    'SELECT 1/0',
    "SET work_mem = '100kB'",
    "SET work_mem = '200kB'",
    "SET LOCAL work_mem = '300kB'",
    'RESET work_mem',
    'RESET ALL',
    "SELECT set_config('work_mem', '400kB', true)",
    "SELECT set_config('work_mem', '500kB', false)",
    "SET work_mem = '600kB'; SELECT 1/0",
    "BEGIN; SET work_mem = '700kB'",
    "SET work_mem = '800kB'; COMMIT",
    'SET search_path = public, "X y"',
    'ROLLBACK AND CHAIN',
    'COMMIT AND CHAIN',
  ]
  const probe = "SELECT current_setting('work_mem') || ' ' || current_setting('search_path')"
  const script = fc.array(fc.record({ who: fc.nat(1), what: fc.constantFrom(...statements) }), { minLength: 1, maxLength: 25 })
  await fc.assert(
    fc.asyncProperty(script, async (steps) => {
      const proxied = [await two.connect(), await two.connect()]
      const direct = [new pg.Client(running.url(primary)), new pg.Client(running.url(primary))]
      await Promise.all(direct.map((client) => client.connect()))
      const said = async (client: pg.Client | undefined, sql: string): Promise<string> => {
        try {
          const results = (await client?.query(sql)) as unknown as pg.QueryResult | pg.QueryResult[]
          return [results]
            .flat()
            .map(({ command, rows }) => `${command} ${JSON.stringify(rows)}`)
            .join('; ')
        } catch (error) {
          return (error as { code: string }).code
        }
      }
      try {
        for (const { who, what } of steps) {
          const results = [await said(proxied[who], what), await said(direct[who], what)]
          if (results[0] !== results[1]) throw new Error(`${what}: ${String(results[0])} instead of ${String(results[1])}`)
          const values = [await said(proxied[who], probe), await said(direct[who], probe)]
          if (values[0] !== values[1]) throw new Error(`after ${what}: ${String(values[0])} instead of ${String(values[1])}`)
        }
      } finally {
        await Promise.all([...proxied, ...direct].map((client) => client.end()))
      }
    }),
    { numRuns: 40 },
  )
})

t.test('a transaction begins where its first statement belongs', async (t) => {
  const client = await one.connect()
  await client.query('BEGIN')
  await client.query('INSERT INTO images VALUES (1, 1)')
  t.match(await lastRoute(client), /^primary .* of media/)
  await t.rejects(client.query('SELECT * FROM items'), code('0A000'))
  await t.rejects(client.query('SELECT 1'), code('25P02'), 'a refused statement fails its transaction, on the server too')
  t.equal((await client.query('COMMIT')).command, 'ROLLBACK')
  t.equal(await value(client, 'SELECT count(*)::int FROM images'), 0)
  await client.query('BEGIN READ ONLY')
  await client.query('SELECT count(*) FROM items')
  t.match(await lastRoute(client), /^(replica|primary)/)
  await client.query('COMMIT')
})

t.test('BEGIN without a statement never reaches a server', async (t) => {
  const client = await one.connect()
  const before = one.events('query.end').filter(({ node }) => node !== null).length
  for (const sql of ['BEGIN', 'SAVEPOINT a', "SET LOCAL work_mem = '1MB'", 'ROLLBACK TO a', 'RELEASE a', 'COMMIT']) await client.query(sql)
  t.equal(one.events('query.end').filter(({ node }) => node !== null).length, before)
  const notices: string[] = []
  client.on('notice', ({ message }) => notices.push(message ?? ''))
  await client.query('COMMIT')
  t.match(notices, ['there is no transaction in progress'])
})

t.test('each word for the beginning of a transaction is answered with its own tag', async (t) => {
  const client = await one.connect()
  const tags: string[] = []
  const { connection } = client as unknown as { connection: NodeJS.EventEmitter }
  connection.on('commandComplete', ({ text }: { text: string }) => tags.push(text))
  for (const sql of ['BEGIN', 'COMMIT', '/* a */ start transaction READ ONLY', 'COMMIT']) await client.query(sql)
  t.same(tags, ['BEGIN', 'COMMIT', 'START TRANSACTION', 'COMMIT'])
})

t.test('a statement refused before anything was sent fails the transaction all the same', async (t) => {
  const client = await one.connect()
  await client.query('BEGIN')
  await client.query('SAVEPOINT a')
  await t.rejects(client.query('SELECT * FROM items, images'), code('0A000'))
  await t.rejects(client.query('SELECT 1'), code('25P02'))
  await client.query('ROLLBACK TO a')
  t.equal(await value(client, 'SELECT count(*)::int FROM items'), 100)
  await client.query('COMMIT')
})

t.test('a deferred statement that fails is told with the first statement', async (t) => {
  const client = await one.connect()
  await client.query('BEGIN')
  await client.query("SET LOCAL work_mem = 'many'")
  await t.rejects(client.query('SELECT 1'), code('22023'))
  await t.rejects(client.query('SELECT 1'), code('25P02'))
  await client.query('ROLLBACK')
  t.equal(await value(client, 'SELECT 1'), 1)
})

t.test('prepared statements follow their client over shared connections', async (t) => {
  const clients = await Promise.all(Array.from({ length: 6 }, () => two.connect()))
  const work = clients.map(async (client, index) => {
    for (let round = 0; round < 20; round++) {
      const same = await client.query({
        name: 'same',
        text: `SELECT $1::int + ${String(index % 2)} AS sum`,
        values: [round],
        rowMode: 'array',
      })
      t.same(same.rows, [[round + (index % 2)]])
      const own = await client.query({ name: 'own', text: 'SELECT id FROM items WHERE id = $1', values: [index + 1], rowMode: 'array' })
      t.same(own.rows, [[index + 1]])
    }
  })
  await Promise.all(work)
})

t.test('a prepared statement outlives a change of its table', async (t) => {
  const [client, other] = [await one.connect(), await one.connect()]
  await client.query('CREATE TABLE shaped (a int)')
  await client.query('INSERT INTO shaped VALUES (1)')
  const ask = { name: 'shape', text: 'SELECT * FROM shaped', rowMode: 'array' as const }
  await until('the catalog knows the table', async () => (await client.query('SELECT * FROM shaped')).rowCount === 1)
  t.same((await client.query(ask)).rows, [[1]])
  await other.query('ALTER TABLE shaped ADD b int DEFAULT 2')
  // A direct connection would answer "cached plan must not change result type"; the client did not prepare it here.
  const fresh = await one.connect()
  t.same((await fresh.query(ask)).rows, [[1, 2]])
  await client.query('DROP TABLE shaped')
})

t.test('a temporary table keeps its client where it is, and nobody else sees it', async (t) => {
  const client = await two.connect()
  await client.query('CREATE TEMP TABLE items (id int)')
  const pid = await backendOf(client)
  await client.query('INSERT INTO items VALUES (7)')
  for (const _ of [1, 2, 3]) {
    t.equal(await value(client, 'SELECT id FROM items'), 7, 'it hides the table of that name')
    t.equal(await backendOf(client), pid)
  }
  const other = await two.connect()
  t.equal(await value(other, 'SELECT count(*)::int FROM items'), 100)
  await client.query('DISCARD ALL')
  t.equal(await value(client, 'SELECT count(*)::int FROM items'), 100)
})

t.test('LISTEN pins, and notifications arrive while the client is idle', async (t) => {
  const [listener, speaker] = [await two.connect(), await two.connect()]
  await listener.query('LISTEN news')
  const heard = new Promise<string>((resolve) => listener.on('notification', ({ payload }) => resolve(payload ?? '')))
  await speaker.query("NOTIFY news, 'hello'")
  t.equal(await heard, 'hello')
  await listener.query('UNLISTEN *')
})

t.test('what a client left open is gone when it is', async (t) => {
  const client = await one.connect()
  await client.query('BEGIN')
  await client.query('UPDATE items SET n = -1 WHERE id = 2')
  await client.query("SET work_mem = '64kB'")
  ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  const next = await one.connect()
  t.equal(await value(next, 'SELECT n FROM items WHERE id = 2'), 0)
  t.equal(await value(next, 'SHOW work_mem'), '4MB')
  await until('nobody is in a transaction', async () => {
    const rows = await primary.sql("SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
    return rows.length === 0
  })
})

t.test('a client that leaves while its read runs does not leave the read', async (t) => {
  const client = await one.connect()
  await client.query("SET pointsman.consistency = 'strong'")
  client.query('SELECT 3 FROM pg_sleep(600)').catch(() => undefined)
  const running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state = 'active' AND pid <> pg_backend_pid()"
  await until('it runs', async () => (await primary.sql(running)).length === 1)
  ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  await until('it does not run any more', async () => (await primary.sql(running)).length === 0)
  t.equal(await value(await one.connect(), 'SELECT 1'), 1)
})

t.test('settings of ours', async (t) => {
  const client = await one.connect()
  await client.query("SET pointsman.consistency = 'strong'")
  await client.query('SELECT count(*) FROM items')
  t.match(await lastRoute(client), /^primary .*strong/)
  t.equal(await value(client, 'SHOW pointsman.consistency'), 'strong')
  await client.query('BEGIN READ ONLY')
  await client.query("SET LOCAL pointsman.consistency = 'any'")
  await client.query('SELECT count(*) FROM items')
  t.match(await lastRoute(client), /^replica/)
  await client.query('COMMIT')
  await client.query('SELECT count(*) FROM items')
  t.match(await lastRoute(client), /^primary/)
  await t.rejects(client.query("SET pointsman.max_staleness = 'soon'"), code('22023'))
  await t.rejects(client.query('SHOW pointsman.nothing'), code('42704'))
  t.match((await client.query('SHOW pointsman.token')).rows, [{ 'pointsman.token': /^p1\./ }])
  t.same((await client.query('SHOW pointsman.sticky_writes')).rows, [{ 'pointsman.sticky_writes': 'on' }])
  const other = await one.connect({ options: '-c pointsman.consistency=any' })
  await other.query('SELECT count(*) FROM items')
  t.match(await lastRoute(other), /^replica/)
})

t.test('the client is told what a server would have told it', async (t) => {
  const client = await one.connect()
  const told = new Map<string, string>()
  const { connection } = client as unknown as { connection: NodeJS.EventEmitter }
  connection.on('parameterStatus', (message: { parameterName: string; parameterValue: string }) =>
    told.set(message.parameterName, message.parameterValue),
  )
  await client.query("SET timezone = 'Europe/Rome'")
  t.equal(told.get('TimeZone'), 'Europe/Rome')
  await client.query('SELECT count(*) FROM items')
  t.notOk(told.has('in_hot_standby'), 'wherever a read went')
})
