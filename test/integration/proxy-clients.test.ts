// What drivers do that a specification would not think of, and what one client may leave for the next: pools of one
// connection, so that whatever was left behind would be met.
import t from 'tap'
import pg from 'pg'
import { encodeCopyData } from '../../src/protocol/query.js'
import { WireClient, names } from '../support/wire-client.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { until } from '../../src/embedded/until.js'

const running = await withTopology(t, {
  clusters: {
    main: { seed: 'CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT g, 0 FROM generate_series(1, 100) g' },
  },
})
const run = (sql: string): string[] => [`Parse "" ${JSON.stringify(sql)} 0`, 'Bind "" "" 0 0 0', 'Execute "" 0']

const { port, connect } = await withProxy(t, {
  version: 1,
  auth: { method: 'trust', users: [{ name: 'app' }] },
  clusters: {
    main: {
      dbname: 'app',
      user: 'app',
      password: 'app',
      tls: { mode: 'disable' },
      nodes: running.cluster('main').nodes.map((node) => node.address),
      pool: { max: 1, wait: '5s' },
    },
  },
  databases: { app: { default: 'main' } },
})

t.test('a Flush after the Sync begins no batch: psycopg sends one, and then a simple query', async (t) => {
  const client = await WireClient.login(t, port)
  client.send('Parse "" "SELECT 1" 0', 'Bind "" "" 0 0 0', 'Execute "" 0', 'Sync', 'Sync', 'Flush', 'Query "SELECT 2"')
  t.equal(names(await client.until('ReadyForQuery', 3)).filter((name) => name === 'DataRow').length, 2)
})

t.test('a simple query within a batch ends the client, which would wait for ever', async (t) => {
  const client = await WireClient.login(t, port)
  client.send('Parse "" "SELECT 1" 0', 'Bind "" "" 0 0 0', 'Execute "" 0', 'Flush', 'Query "SELECT 2"')
  t.match((await client.closed()).join(), /FATAL.*0A000.*simple query within a batch/)
})

t.test('a client that leaves before its COPY has begun keeps no connection: the server would wait for its data', async (t) => {
  const copy = 'COPY items FROM STDIN'
  for (const sent of [[`Query "${copy}"`], [...run(copy), 'Sync']]) {
    for (let round = 1; round <= 5; round++) {
      const client = await WireClient.login(t, port)
      client.send(...sent)
      client.destroy()
      const next = await connect()
      t.same((await next.query('SELECT 1 AS one')).rows, [{ one: 1 }])
      await next.end()
    }
  }
})

t.test('a batch whose COPY is over, and whose Sync never comes: its client leaves, or says something else', async (t) => {
  for (const then of ['nothing', 'Terminate', 'Query "SELECT 1"']) {
    const client = await WireClient.login(t, port)
    client.send(...run('COPY items FROM STDIN'), 'Sync')
    await client.until('CopyInResponse')
    client.send('CopyDone')
    if (then !== 'nothing') client.send(then)
    if (then.startsWith('Query')) t.match((await client.closed()).join(), /FATAL.*08P01/)
    else client.destroy()
    const next = await connect()
    t.same((await next.query('SELECT 1 AS one')).rows, [{ one: 1 }], then)
    await next.end()
  }
})

t.test('a simple query may follow what was only described: asyncpg prepares without a Sync', async (t) => {
  const client = await WireClient.login(t, port)
  client.send('Parse "a" "SELECT n FROM items WHERE id = $1" 0', 'Describe S "a"', 'Flush', 'Query "BEGIN"')
  t.match((await client.until('ReadyForQuery')).join(), /RowDescription.*CommandComplete "BEGIN",ReadyForQuery T/)
  client.send('Bind "" "a" 0 1 "1" 0', 'Execute "" 0', 'Sync')
  t.same(names(await client.until('ReadyForQuery')), ['BindComplete', 'DataRow', 'CommandComplete', 'ReadyForQuery'])
  client.send('Parse "b" "SELECT 1" 0', 'Query "COMMIT"')
  t.match((await client.until('ReadyForQuery')).join(), /ParseComplete,CommandComplete "COMMIT",ReadyForQuery I/)
  client.send('Parse "c" "SELECT nothing" 0', 'Flush', 'Query "SELECT 1"', 'Sync')
  t.same(names(await client.until('ReadyForQuery')), ['ErrorResponse', 'ReadyForQuery'], 'after an error all up to Sync is skipped')
})

t.test('after a flushed read on a replica the write of the same batch goes to the primary', async (t) => {
  const client = await WireClient.login(t, port)
  client.query("SET pointsman.consistency = 'any'")
  await client.until('ReadyForQuery')
  client.send(...run('SELECT n FROM items WHERE id = 7'), 'Flush')
  await client.until('CommandComplete')
  client.send(...run('UPDATE items SET n = n + 1 WHERE id = 7'), 'Flush')
  t.match(await client.until('CommandComplete'), ['ParseComplete', 'BindComplete', 'CommandComplete "UPDATE 1"'])
  client.send(...run('SELECT n FROM items WHERE id = 7'), 'Sync')
  t.ok((await client.until('ReadyForQuery')).includes('DataRow 1 "1"'), 'and what follows reads it')
})

t.test('a write whose client left at once is not cancelled; one in a transaction is taken back', async (t) => {
  const { primary } = running.cluster('main')
  const isActive = async (text: string): Promise<boolean> =>
    (await primary.sql(`SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%${text}%' AND pid <> pg_backend_pid()`))
      .length > 0
  const gone = await WireClient.login(t, port)
  gone.query('INSERT INTO items SELECT 500, 0 FROM pg_sleep(0.5) /* orphan */')
  await until('the write runs', () => isActive('orphan'))
  gone.destroy()
  await until('the write has ended', async () => (await primary.sql('SELECT 1 FROM items WHERE id = 500')).length > 0)
  const broken = await WireClient.login(t, port)
  broken.query('BEGIN')
  await broken.until('ReadyForQuery')
  broken.query('INSERT INTO items SELECT 501, 0 FROM pg_sleep(60) /* taken back */')
  await until('the second write runs', () => isActive('taken back'))
  broken.destroy()
  // With one connection the next client gets in only when that one is free again.
  const next = await connect()
  t.equal((await next.query('SELECT 1 FROM items WHERE id = 501 FOR UPDATE')).rowCount, 0)
  t.equal((await next.query<{ n: string }>('SELECT count(*) AS n FROM items WHERE id = 500')).rows[0]?.n, '1')
  await next.end()
})

t.test('a connection on which a temporary table has been refuses temp_buffers for ever: another one takes its place', async (t) => {
  const client = await connect()
  await client.query('SET temp_buffers = 200')
  const other = await connect()
  await other.query('CREATE TEMP TABLE scratch (n int); INSERT INTO scratch VALUES (1)')
  await other.end()
  t.same((await client.query("SELECT current_setting('temp_buffers') AS buffers")).rows, [{ buffers: '1600kB' }])
  t.equal((await client.query('UPDATE items SET n = n WHERE id = 1')).rowCount, 1)
  await client.end()
})

t.test('a cursor WITH HOLD that is closed by the protocol keeps its connection no longer', async (t) => {
  const client = await WireClient.login(t, port)
  for (const sql of ['BEGIN', 'DECLARE held CURSOR WITH HOLD FOR SELECT 1', 'COMMIT']) {
    client.query(sql)
    await client.until('ReadyForQuery')
  }
  client.send('Close P "held"', 'Sync')
  t.same(names(await client.until('ReadyForQuery')), ['CloseComplete', 'ReadyForQuery'])
  const next = await connect()
  t.same((await next.query('SELECT 1 AS one')).rows, [{ one: 1 }])
  await next.end()
})

t.test('a client that left while it waited for a lock keeps no connection', async (t) => {
  const { primary } = running.cluster('main')
  const holder = new pg.Client({ connectionString: running.url(primary) })
  await holder.connect()
  t.teardown(() => holder.end())
  await holder.query('BEGIN; UPDATE items SET n = n WHERE id = 9')
  const waiting = await WireClient.login(t, port)
  waiting.query('SELECT n FROM items WHERE id = 9 FOR UPDATE')
  const isWaiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
  await until('it waits', async () => (await primary.sql(isWaiting)).length > 0)
  waiting.destroy()
  const next = await connect()
  t.equal((await next.query('UPDATE items SET n = n WHERE id = 10')).rowCount, 1)
  await next.end()
  await holder.query('ROLLBACK')
})

t.test('columns that changed are never given to a client that does not ask for them again', async (t) => {
  const { primary } = running.cluster('main')
  const client = await WireClient.login(t, port)
  await primary.sql('ALTER TABLE items ADD extra int')
  client.send('Parse "s" "SELECT * FROM items WHERE id = 1 FOR UPDATE" 0', 'Describe S "s"', 'Sync')
  await client.until('ReadyForQuery')
  const execute = ['Bind "" "s" 0 0 0', 'Execute "" 0', 'Sync']
  client.send(...execute)
  t.match((await client.until('ReadyForQuery')).join(), /DataRow 3/)
  await primary.sql('ALTER TABLE items DROP extra')
  client.send(...execute)
  t.match((await client.until('ReadyForQuery')).join(), /ErrorResponse.*0A000.*cached plan/)
  client.send('Parse "again" "SELECT * FROM items WHERE id = 1 FOR UPDATE" 0', 'Describe S "again"', 'Sync')
  await client.until('ReadyForQuery')
  client.send('Bind "" "again" 0 0 0', 'Execute "" 0', 'Sync')
  t.match((await client.until('ReadyForQuery')).join(), /DataRow 2/)
})

t.test('a COPY that fails within a message leaves no half message for the next client to be swallowed by', async (t) => {
  const client = await WireClient.login(t, port)
  for (const cut of [300_000, 3, 1]) {
    client.query('COPY items FROM STDIN')
    await client.until('CopyInResponse')
    const torn = encodeCopyData(Buffer.alloc(400_000, 'x'))
    client.raw(Buffer.concat([encodeCopyData(Buffer.from('not a number\n')), torn.subarray(0, cut)]))
    await client.until('ReadyForQuery')
    const next = await connect()
    t.equal((await next.query('UPDATE items SET n = n WHERE id = 11')).rowCount, 1)
    await next.end()
    client.raw(torn.subarray(cut))
    client.send('CopyDone', 'Query "SELECT 1"')
    t.match((await client.until('ReadyForQuery')).join(), /DataRow 1 "1"/)
  }
})

const leaves: readonly (readonly [string, string])[] = [
  ['EXPLAIN ANALYZE of set_config()', "EXPLAIN ANALYZE SELECT set_config('my.left', 'x', false)"],
  ['an UPDATE of pg_settings', "UPDATE pg_settings SET setting = '66s' WHERE name = 'statement_timeout'"],
  ['a built-in function that runs SQL', "SELECT query_to_xml($q$SELECT set_config('my.left', 'x', false)$q$, true, true, '')"],
  ['a cursor', "BEGIN; DECLARE c CURSOR FOR SELECT set_config('my.left', 'x', false); FETCH c; COMMIT"],
]
for (const [what, sql] of leaves) {
  t.test(`settings made by ${what} do not reach the next client`, async (t) => {
    const first = await connect()
    await first.query(sql)
    // A client that keeps the connection must leave first; one that does not is still there.
    if (await keeps(first)) await first.end()
    const second = await connect()
    const { rows } = await second.query<{ left: string | null; timeout: string }>(
      "/* second */ SELECT current_setting('my.left', true) AS left, current_setting('statement_timeout') AS timeout",
    )
    t.notOk(rows[0]?.left)
    t.equal(rows[0]?.timeout, '0')
    await second.end()
    await first.end()
  })
}

/** Whether the session keeps its connection. */
async function keeps(client: pg.Client): Promise<boolean> {
  await client.query('SELECT 1; SELECT 2')
  return (await lastRoute(client)).includes('pinned')
}
