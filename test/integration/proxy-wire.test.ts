// The proxy message by message: what comes back for what is sent together, over real servers.
import t from 'tap'
import { encodeCopyData } from '../../src/protocol/query.js'
import { cancel, names, WireClient } from '../support/wire-client.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { until } from '../../src/embedded/until.js'

const running = await withTopology(t, {
  clusters: {
    main: { seed: 'CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT g, 0 FROM generate_series(1, 100) g' },
    media: { seed: 'CREATE TABLE images (id int PRIMARY KEY, user_id int)' },
  },
})
const cluster = (id: string) => ({
  dbname: 'app',
  user: 'app',
  password: 'app',
  tls: { mode: 'disable' as const },
  nodes: running.cluster(id).nodes.map((node) => node.address),
  pool: { max: 1, wait: '5s' },
})
const { port, events, proxy } = await withProxy(t, {
  version: 1,
  auth: { method: 'trust', users: [{ name: 'app' }] },
  limits: { max_message_bytes: '1MB' },
  clusters: { main: cluster('main'), media: cluster('media') },
  databases: { app: { default: 'main', partitions: { media: { cluster: 'media', tables: ['images'] } } } },
})
const { primary } = running.cluster('main')

const run = (sql: string, rest: string[] = []): string[] => [
  `Parse "" ${JSON.stringify(sql)} 0`,
  'Bind "" "" 0 0 0',
  ...rest,
  'Execute "" 0',
]
const answered = ['ParseComplete', 'BindComplete', 'DataRow', 'CommandComplete']

t.test('batches that are sent together are answered in order', async (t) => {
  const client = await WireClient.login(t, port)
  client.send(...run('SELECT 1'), 'Sync', ...run('SELECT 2'), ...run('SELECT 3'), 'Sync', 'Sync', 'Query "SELECT 4"')
  const lines = await client.until('ReadyForQuery', 4)
  t.same(names(lines), [
    ...answered,
    'ReadyForQuery',
    ...answered,
    ...answered,
    'ReadyForQuery',
    'ReadyForQuery',
    'RowDescription',
    'DataRow',
    'CommandComplete',
    'ReadyForQuery',
  ])
  t.same(
    lines.filter((line) => line.startsWith('DataRow')),
    ['DataRow 1 "1"', 'DataRow 1 "2"', 'DataRow 1 "3"', 'DataRow 1 "4"'],
  )
})

t.test('an error skips to Sync and takes back what its batch did', async (t) => {
  const client = await WireClient.login(t, port)
  client.send(...run('UPDATE items SET n = 5 WHERE id = 1'), ...run('SELECT 1/0'), ...run('SELECT 2'), 'Sync')
  const expected = ['ParseComplete', 'BindComplete', 'CommandComplete', 'ParseComplete', 'ErrorResponse', 'ReadyForQuery']
  t.same(names(await client.until('ReadyForQuery')), expected)
  client.query('SELECT n FROM items WHERE id = 1')
  t.match(await client.until('ReadyForQuery'), [/RowDescription/, 'DataRow 1 "0"'])
})

t.test('Flush gives what there is and keeps the batch open', async (t) => {
  const client = await WireClient.login(t, port)
  client.send('Parse "a" "SELECT $1::int AS x" 0', 'Describe S "a"', 'Flush')
  t.same(names(await client.until('RowDescription')), ['ParseComplete', 'ParameterDescription', 'RowDescription'])
  client.send('Bind "" "a" 0 1 "42" 0', 'Execute "" 0', 'Flush')
  t.same(names(await client.until('CommandComplete')), ['BindComplete', 'DataRow', 'CommandComplete'])
  client.send('Sync')
  t.same(await client.until('ReadyForQuery'), ['ReadyForQuery I'])
})

t.test('a batch that has only described goes on where it must run', async (t) => {
  const client = await WireClient.login(t, port)
  client.send('Parse "a" "SELECT 1" 0', 'Describe S "a"', 'Flush')
  await client.until('RowDescription')
  client.send(...run('INSERT INTO images VALUES (1, 1)'), 'Sync')
  t.same(names(await client.until('ReadyForQuery')), ['ParseComplete', 'BindComplete', 'CommandComplete', 'ReadyForQuery'])
  client.send('Bind "" "a" 0 0 0', 'Execute "" 0', 'Sync')
  t.same(names(await client.until('ReadyForQuery')), ['BindComplete', 'DataRow', 'CommandComplete', 'ReadyForQuery'])
})

t.test('a statement for another cluster in a batch that has run is refused, and nothing of the batch stands', async (t) => {
  const client = await WireClient.login(t, port)
  client.send(...run('UPDATE items SET n = 6 WHERE id = 2'), 'Flush')
  await client.until('CommandComplete')
  client.send(...run('INSERT INTO images VALUES (2, 2)'), 'Sync')
  t.match(await client.until('ReadyForQuery'), [/ErrorResponse .*0A000/, 'ReadyForQuery I'])
  client.query('SELECT n FROM items WHERE id = 2')
  t.match(await client.until('ReadyForQuery'), [/RowDescription/, 'DataRow 1 "0"'])
  client.send(...run('UPDATE items SET n = 6 WHERE id = 2'), ...run('INSERT INTO images VALUES (2, 2)'), 'Sync')
  t.match(await client.until('ReadyForQuery'), [/ErrorResponse .*0A000/, 'ReadyForQuery I'], 'together as well')
})

t.test('names of prepared statements are the client’s own', async (t) => {
  const [a, b] = [await WireClient.login(t, port), await WireClient.login(t, port)]
  for (const [client, number] of [
    [a, 1],
    [b, 2],
  ] as const) {
    client.send(`Parse "s" "SELECT ${String(number)}" 0`, 'Sync')
    t.same(names(await client.until('ReadyForQuery')), ['ParseComplete', 'ReadyForQuery'])
  }
  for (const [client, number] of [
    [a, 1],
    [b, 2],
    [a, 1],
  ] as const) {
    client.send('Bind "" "s" 0 0 0', 'Execute "" 0', 'Sync')
    t.equal((await client.until('ReadyForQuery'))[1], `DataRow 1 "${String(number)}"`)
  }
  a.send('Parse "s" "SELECT 3" 0', 'Sync')
  t.match(await a.until('ReadyForQuery'), [/ErrorResponse .*42P05/, 'ReadyForQuery I'])
  a.send('Close S "s"', 'Bind "" "s" 0 0 0', 'Sync')
  t.match(await a.until('ReadyForQuery'), ['CloseComplete', /ErrorResponse .*26000/, 'ReadyForQuery I'])
  a.send('Bind "" "s" 0 0 0', 'Execute "" 0', 'Sync')
  t.match(await a.until('ReadyForQuery'), [/ErrorResponse .*26000/, 'ReadyForQuery I'], 'a Close stands, whatever comes behind it')
  a.send('Execute "p" 0', 'Sync')
  t.match(await a.until('ReadyForQuery'), [/ErrorResponse .*34000/, 'ReadyForQuery I'])
  b.send('Parse "bad" "SELEC 1" 0', 'Sync')
  t.match(await b.until('ReadyForQuery'), [/ErrorResponse .*42601/, 'ReadyForQuery I'])
  b.send('Parse "bad" "SELECT 4" 0', 'Sync')
  t.same(names(await b.until('ReadyForQuery')), ['ParseComplete', 'ReadyForQuery'], 'a Parse that failed defined nothing')
})

t.test('a Parse that a server has accepted before needs no connection', async (t) => {
  const [first, holder, late] = [await WireClient.login(t, port), await WireClient.login(t, port), await WireClient.login(t, port)]
  const parse = async (client: WireClient, name: string): Promise<string[]> => {
    client.send(`Parse ${JSON.stringify(name)} "SELECT n FROM items WHERE id = 2" 0`, 'Sync')
    return client.until('ReadyForQuery')
  }
  const query = async (client: WireClient, sql: string): Promise<string[]> => {
    client.query(sql)
    return client.until('ReadyForQuery')
  }
  await parse(first, 'a')
  await query(holder, 'BEGIN')
  await query(holder, 'SELECT n FROM items WHERE id = 1')
  t.same(await parse(late, 'a'), ['ParseComplete', 'ReadyForQuery I'], 'the only connection is taken')
  await query(late, 'BEGIN')
  t.same(await parse(late, 'b'), ['ParseComplete', 'ReadyForQuery T'])
  await query(holder, 'COMMIT')
  late.send('Bind "" "b" 0 0 0', 'Execute "" 0', 'Sync')
  t.same(await late.until('ReadyForQuery'), ['BindComplete', 'DataRow 1 "0"', 'CommandComplete "SELECT 1"', 'ReadyForQuery T'])
  await query(late, 'COMMIT')

  await query(holder, 'ALTER TABLE items RENAME TO things')
  t.match(await parse(late, 'c'), [/ErrorResponse .*42P01/, 'ReadyForQuery I'], 'after DDL the server is asked, as it would be directly')
  await query(holder, 'ALTER TABLE things RENAME TO items')
})

t.test('the unnamed statement outlives its batch, wherever the next one runs', async (t) => {
  const [a, b] = [await WireClient.login(t, port), await WireClient.login(t, port)]
  a.send('Parse "" "SELECT 1" 0', 'Sync')
  await a.until('ReadyForQuery')
  b.send(...run('SELECT 2'), 'Sync')
  await b.until('ReadyForQuery')
  a.send('Bind "" "" 0 0 0', 'Execute "" 0', 'Sync')
  t.equal((await a.until('ReadyForQuery'))[1], 'DataRow 1 "1"')
  a.query('SELECT 5')
  await a.until('ReadyForQuery')
  a.send('Bind "" "" 0 0 0', 'Execute "" 0', 'Sync')
  t.match(await a.until('ReadyForQuery'), [/ErrorResponse .*26000/], 'a simple query ends it')
})

t.test('BEGIN by the extended protocol waits too', async (t) => {
  const client = await WireClient.login(t, port)
  client.send('Parse "" "BEGIN" 0', 'Describe S ""', 'Bind "" "" 0 0 0', 'Describe P ""', 'Execute "" 0', 'Sync')
  t.same(await client.until('ReadyForQuery'), [
    'ParseComplete',
    'ParameterDescription 0',
    'NoData',
    'BindComplete',
    'NoData',
    'CommandComplete "BEGIN"',
    'ReadyForQuery T',
  ])
  client.send(...run('INSERT INTO images VALUES (3, 3)'), 'Sync')
  t.equal((await client.until('ReadyForQuery')).at(-1), 'ReadyForQuery T')
  client.send(...run('ROLLBACK'), 'Sync')
  t.equal((await client.until('ReadyForQuery')).at(-1), 'ReadyForQuery I')
  client.send(...run('BEGIN'), ...run('INSERT INTO images VALUES (3, 3)'), ...run('COMMIT'), 'Sync')
  t.match(
    (await client.until('ReadyForQuery')).filter((line) => line.startsWith('CommandComplete')),
    [/BEGIN/, /INSERT 0 1/, /COMMIT/],
  )
})

t.test('what Pointsman answers itself, by the extended protocol', async (t) => {
  const client = await WireClient.login(t, port)
  client.send(...run("SELECT set_config('pointsman.consistency', 'strong', false)", ['Describe P ""']), 'Sync')
  t.match(await client.until('ReadyForQuery'), [
    'ParseComplete',
    'BindComplete',
    /RowDescription 1 "set_config"/,
    'DataRow 1 "strong"',
    'CommandComplete "SELECT 1"',
  ])
  client.send(...run('SHOW pointsman.consistency', ['Describe P ""']), 'Sync')
  t.match(await client.until('ReadyForQuery'), [
    'ParseComplete',
    'BindComplete',
    /RowDescription 1 "pointsman.consistency"/,
    'DataRow 1 "strong"',
    'CommandComplete "SHOW"',
  ])
  client.query('/* pointsman: explain */ SELECT * FROM items')
  t.match((await client.until('ReadyForQuery')).join('\n'), /QUERY PLAN[^]*main/)
})

t.test('portals stay open in a transaction', async (t) => {
  const client = await WireClient.login(t, port)
  client.query('BEGIN')
  await client.until('ReadyForQuery')
  client.send('Parse "" "SELECT id FROM items ORDER BY id" 0', 'Bind "p" "" 0 0 0', 'Execute "p" 2', 'Sync')
  t.same((await client.until('ReadyForQuery')).slice(2), ['DataRow 1 "1"', 'DataRow 1 "2"', 'PortalSuspended', 'ReadyForQuery T'])
  client.send('Execute "p" 1', 'Close P "p"', 'Sync')
  t.same(await client.until('ReadyForQuery'), ['DataRow 1 "3"', 'PortalSuspended', 'CloseComplete', 'ReadyForQuery T'])
  client.query('COMMIT')
  await client.until('ReadyForQuery')
})

t.test('portals that SQL has declared, and what is asked of a portal alone', async (t) => {
  const client = await WireClient.login(t, port)
  client.query('BEGIN')
  await client.until('ReadyForQuery')
  client.query('DECLARE c CURSOR FOR SELECT id FROM items ORDER BY id')
  await client.until('ReadyForQuery')
  client.send('Describe P "c"', 'Sync')
  t.same(names(await client.until('ReadyForQuery')), ['RowDescription', 'ReadyForQuery'])
  client.send('Execute "c" 2', 'Sync')
  t.same(await client.until('ReadyForQuery'), ['DataRow 1 "1"', 'DataRow 1 "2"', 'PortalSuspended', 'ReadyForQuery T'])
  client.send('Close P "c"', 'Sync')
  t.same(await client.until('ReadyForQuery'), ['CloseComplete', 'ReadyForQuery T'])
  client.send('Execute "c" 1', 'Sync')
  t.match(await client.until('ReadyForQuery'), [/ErrorResponse .*34000/, 'ReadyForQuery E'])
  client.query('ROLLBACK')
  await client.until('ReadyForQuery')
  client.send('Execute "c" 1', 'Sync')
  t.match(await client.until('ReadyForQuery'), [/ErrorResponse .*34000/, 'ReadyForQuery I'])
})

t.test('COPY in both directions', async (t) => {
  const client = await WireClient.login(t, port)
  client.query('COPY images FROM STDIN')
  await client.until('CopyInResponse')
  for (let id = 100; id < 200; id++) client.raw(encodeCopyData(Buffer.from(`${String(id)}\t1\n`)))
  client.send('CopyDone')
  t.same(await client.until('ReadyForQuery'), ['CommandComplete "COPY 100"', 'ReadyForQuery I'])
  client.query('COPY (SELECT id FROM images WHERE id >= 198 ORDER BY id) TO STDOUT')
  t.same(names(await client.until('ReadyForQuery')), [
    'CopyOutResponse',
    'CopyData',
    'CopyData',
    'CopyDone',
    'CommandComplete',
    'ReadyForQuery',
  ])
  client.query('COPY images FROM STDIN')
  await client.until('CopyInResponse')
  client.send('CopyFail "no"')
  t.match(await client.until('ReadyForQuery'), [/ErrorResponse .*57014/, 'ReadyForQuery I'])
  client.query('COPY images FROM STDIN')
  await client.until('CopyInResponse')
  client.raw(encodeCopyData(Buffer.from('not a number\n')))
  client.raw(encodeCopyData(Buffer.alloc(300_000, 'x')))
  client.send('CopyDone', 'Query "SELECT 1"')
  t.match(await client.until('ReadyForQuery', 2), [/ErrorResponse .*22P02/, 'ReadyForQuery I', /RowDescription/, 'DataRow 1 "1"'])
})

t.test('COPY by the extended protocol, with the Sync before the data and after it', async (t) => {
  const client = await WireClient.login(t, port)
  client.send(...run('COPY images FROM STDIN'), 'Sync')
  await client.until('CopyInResponse')
  client.raw(encodeCopyData(Buffer.from('300\t1\n')))
  client.send('CopyDone', 'Sync')
  t.same(await client.until('ReadyForQuery'), ['CommandComplete "COPY 1"', 'ReadyForQuery I'])
  client.send(...run('COPY images FROM STDIN'), 'Flush')
  await client.until('CopyInResponse')
  client.raw(encodeCopyData(Buffer.from('301\t1\n')))
  client.send('CopyDone', 'Sync')
  t.same(await client.until('ReadyForQuery'), ['CommandComplete "COPY 1"', 'ReadyForQuery I'])
  client.send(...run('COPY images FROM STDIN'), 'Sync')
  await client.until('CopyInResponse')
  client.raw(encodeCopyData(Buffer.from('301\t1\n')))
  client.send('CopyDone', 'Sync', 'Query "SELECT 1"')
  t.match(await client.until('ReadyForQuery', 2), [/ErrorResponse .*23505/, 'ReadyForQuery I', /RowDescription/, 'DataRow 1 "1"'])
})

t.test('a copy that fails in the middle of a frame swallows nothing of what comes next', async (t) => {
  for (const length of [300_000, 3_000_000]) {
    const [client, next] = [await WireClient.login(t, port), await WireClient.login(t, port)]
    client.query('COPY images FROM STDIN')
    await client.until('CopyInResponse')
    const frame = encodeCopyData(Buffer.alloc(length, 'x'))
    client.raw(Buffer.concat([encodeCopyData(Buffer.from('not a number\n')), frame.subarray(0, 1000)]))
    t.match(await client.until('ReadyForQuery'), [/ErrorResponse .*22P02/, 'ReadyForQuery I'])
    next.query('SELECT 1 FROM images WHERE id = 1000000')
    t.match((await next.until('ReadyForQuery')).at(-2), 'CommandComplete "SELECT 0"', 'the next client of that connection is answered')
    client.raw(frame.subarray(1000))
    client.send('CopyDone', 'Query "SELECT 1 FROM images WHERE id = 1000000"')
    t.match((await client.until('ReadyForQuery')).at(-2), 'CommandComplete "SELECT 0"')
  }
})

t.test('cancel ends what runs, and what waits for a server', async (t) => {
  const [client, waiting] = [await WireClient.login(t, port), await WireClient.login(t, port)]
  client.query('SELECT pg_sleep(600)')
  await until(
    'it runs',
    async () => (await primary.sql("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'")).length === 1,
  )
  waiting.query('SELECT 1')
  await until('it waits', async () => proxy.clients().filter(({ state }) => state === 'active' || state === 'waiting').length === 2)
  await cancel(port, { pid: client.key.pid, secret: Buffer.from('none') })
  await cancel(port, waiting.key)
  t.match(await waiting.until('ReadyForQuery'), [/ErrorResponse .*57014/, 'ReadyForQuery I'])
  await cancel(port, client.key)
  t.match((await client.until('ReadyForQuery')).slice(-2), [/ErrorResponse .*57014/, 'ReadyForQuery I'])
  for (let round = 0; round < 50; round++) {
    client.query('SELECT 1')
    void cancel(port, client.key)
    await client.until('ReadyForQuery')
    waiting.query(`SELECT ${String(round)}`)
    t.match(await waiting.until('ReadyForQuery'), [/RowDescription/, /DataRow/], 'a late cancel never hits another client')
  }
})

t.test('an unsound message ends the connection, a broken request does not', async (t) => {
  const client = await WireClient.login(t, port)
  client.send(...run('SELECT 1'), 'Query "SELECT 1"', 'Sync')
  t.match(await client.closed(), [/ErrorResponse .*FATAL.*0A000/], 'no Sync would end the batch for it')
  const long = await WireClient.login(t, port)
  long.raw(Buffer.concat([Buffer.from('Q'), Buffer.from([0x7f, 0xff, 0xff, 0xff]), Buffer.from('SELECT')]))
  t.match(await long.closed(), [/ErrorResponse .*FATAL.*08P01/])
  const other = await WireClient.login(t, port)
  other.raw(Buffer.from([0x42, 0, 0, 0, 5, 0x61]))
  t.match(await other.closed(), [/ErrorResponse .*FATAL.*08P01/])
})

t.test('startup', async (t) => {
  const refused = async (parameters: Readonly<Record<string, string>>): Promise<string> => {
    const client = await WireClient.open(t, port)
    client.startup(parameters)
    return (await client.closed()).join('\n')
  }
  t.match(await refused({ database: 'nowhere' }), /FATAL.*3D000/)
  t.match(await refused({ user: 'nobody' }), /FATAL.*28P01/)
  t.match(await refused({ replication: 'true' }), /FATAL.*42501/, 'it is not allowed to replicate')
  t.match(await refused({ database: 'pointsman' }), /FATAL.*42501/, 'the console is for admins and viewers')
  t.match(await refused({ options: '-S' }), /FATAL.*42601/)
  t.match(await refused({ work_mem: 'lots' }), /FATAL.*22023/, 'with the server’s own words')
  t.match(await refused({ options: '-c nothing_such=1' }), /FATAL.*42704/)
  const newer = await WireClient.open(t, port)
  newer.startup({ '_pq_.something': '1' }, 2)
  t.match(
    (await newer.until('ReadyForQuery')).map((line) => line.slice(0, 24)),
    ['NegotiateProtocolVersion'],
  )
  const options = await WireClient.login(t, port, { options: '-c search_path=a,\\ b --work-mem=1MB', DateStyle: 'SQL' })
  options.query("SELECT current_setting('search_path'), current_setting('work_mem'), current_setting('datestyle')")
  t.match((await options.until('ReadyForQuery'))[1], 'DataRow 3 "a, b" "1MB" "SQL, MDY"')
  const empty = await WireClient.login(t, port)
  empty.query('  -- nothing')
  t.same(await empty.until('ReadyForQuery'), ['EmptyQueryResponse', 'ReadyForQuery I'])
})

t.test('nothing unforeseen happened', async (t) => {
  t.same(
    events('log').filter(({ level }) => level === 'error'),
    [],
  )
})
