// Whole batches that go to a lane as they came (doors/proxy/swift-batch.ts): whatever they are, and wherever they end, a client hears
// what it hears without lanes, to the byte.
import t, { type Test } from 'tap'
import { withVirtual } from '../../src/config/with-virtual.js'
import { until } from '../../src/embedded/until.js'
import { untilOnLane } from '../support/lanes.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { encodeMessage } from '../support/wire-text.js'
import { cancel, names, WireClient } from '../support/wire-client.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      seed: `CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL, word text);
        INSERT INTO items SELECT g, g * 2, 'grün ' || g FROM generate_series(1, 100) g;
        CREATE TABLE altered (id int PRIMARY KEY, n int, extra int); INSERT INTO altered VALUES (1, 2, 3);
        CREATE TABLE locked (id int); INSERT INTO locked VALUES (1);
        CREATE SEQUENCE numbers; CREATE SEQUENCE counts; CREATE VIEW harmless AS SELECT 1 AS n; CREATE VIEW counted AS SELECT 1 AS n`,
    },
  },
})
const { primary } = running.cluster('main')
const config = {
  version: 1 as const,
  auth: { method: 'trust' as const, users: [{ name: 'app' }] },
  clusters: {
    main: {
      dbname: 'app',
      user: 'app',
      password: 'app',
      tls: { mode: 'disable' as const },
      nodes: [primary.address],
      pool: { max: 8 },
    },
  },
  databases: {
    app: {
      default: 'main',
      partitions: { locks: { cluster: 'main', owner: 'locks', tables: ['locked'], virtual: true, mode: 'off' as const } },
    },
  },
}
const swift = await withProxy(t, { ...config, lanes: { connections: 1, depth: 32, stall: '2s' } })
const plain = await withProxy(t, { ...config, lanes: { enabled: false } })
const { proxy } = swift

const served = (): number => proxy.lanes().counts.served
const byId = 'SELECT n FROM items WHERE id = $1'
const keeper = await WireClient.login(t, swift.port)
/** There is a lane, and it has just been used: one that nobody uses goes, and who comes then is served elsewhere. */
const keptLane = (): Promise<void> => untilOnLane(proxy, keeper, () => keeper.send(...batch(byId, '1')))
const bind = (statement: string, value: string): string => `Bind "" ${JSON.stringify(statement)} 0 1 ${JSON.stringify(value)} 0`
const parse = (name: string, sql: string): string => `Parse ${JSON.stringify(name)} ${JSON.stringify(sql)} 0`
const toEnd = ['Describe P ""', 'Execute "" 0', 'Sync'] as const
const batch = (sql: string, value: string): readonly string[] => [parse('', sql), bind('', value), ...toEnd]
const again = (statement: string, value: string): readonly string[] => [bind(statement, value), ...toEnd]
const blind = (statement: string, value: string): readonly string[] => [bind(statement, value), 'Execute "" 0', 'Sync']

/** How many of its batches a lane has served, where that is known. */
type Played = readonly [onLane: number | null, ...lines: readonly string[]]

/** What each step has come to, for a client of that proxy. `onLane` is looked at where there are lanes. */
async function play(t: Test, client: WireClient, steps: readonly Played[], lanes: boolean): Promise<readonly (readonly string[])[]> {
  const heard: (readonly string[])[] = []
  for (const [onLane, ...lines] of steps) {
    if (lanes && onLane !== null) await keptLane()
    const before = served()
    client.send(...lines)
    const ends = lines.filter((line) => line === 'Sync' || line.startsWith('Query ')).length
    heard.push(await client.until('ReadyForQuery', ends))
    if (lanes && onLane !== null) t.equal(served() - before, onLane, lines.join(' · '))
  }
  return heard
}

/** The same through both; the shapes of `proved` have shared a connection before. */
async function asWithout(
  t: Test,
  proved: readonly string[],
  steps: readonly Played[],
  meanwhile: () => Promise<unknown> = () => Promise.resolve(),
): Promise<void> {
  const [one, other] = await Promise.all([WireClient.login(t, swift.port), WireClient.login(t, plain.port)])
  for (const sql of proved) {
    for (const client of [one, other]) client.send(...batch(sql, '1'))
    await Promise.all([one.until('ReadyForQuery'), other.until('ReadyForQuery')])
    await untilOnLane(proxy, one, () => one.send(...batch(sql, '1')))
    // Both have seen their Parse now.
    await untilOnLane(proxy, one, () => one.send(...batch(sql, '1')))
  }
  await meanwhile()
  const heard = await play(t, one, steps, true)
  t.same(heard, await play(t, other, steps, false))
}

t.test('every form, and all that is close to one', async (t) => {
  const text = 'SELECT n, word FROM items WHERE id = $1'
  await asWithout(
    t,
    [byId, text],
    [
      [1, ...batch(byId, '1')],
      [1, ...again('', '2')],
      [1, ...blind('', '3')],
      [1, ...batch(text, '3')],
      [1, ...again('', '4')],
      [null, parse('mine', byId), 'Sync'],
      [1, ...again('mine', '5')],
      [1, ...blind('mine', '6')],
      [null, parse('other', text), 'Describe S "other"', 'Sync'],
      [1, ...again('other', '7')],
      [1, ...again('mine', '8')],
      [1, ...again('other', '9')],
      // Binary values and results, NULL, no row.
      [1, 'Bind "" "mine" 1 0 1 NULL 0', ...toEnd],
      [1, 'Bind "" "mine" 0 1 "10" 1 1', ...toEnd],
      [1, ...again('mine', '1000')],
      // Errors of the server, and what stands after them.
      [1, ...again('mine', 'ten')],
      [1, ...batch(byId, 'ten')],
      [1, ...again('', '11')],
      [1, 'Bind "" "mine" 0 2 "1" "2" 0', ...toEnd],
      [1, ...again('mine', '12')],
      // Several at once.
      [3, ...again('mine', '13'), ...batch(byId, '14'), ...blind('', '15')],
      [2, ...again('mine', '13'), 'Query "SELECT 5 AS five"', ...batch(byId, '14')],
      // Not run to its end; of another portal; twice; without an Execute; a statement described; closed; flushed.
      [0, bind('mine', '16'), 'Describe P ""', 'Execute "" 1', 'Sync'],
      [0, 'Bind "p" "mine" 0 1 "17" 0', 'Describe P "p"', 'Execute "p" 0', 'Sync'],
      [0, bind('mine', '18'), 'Execute "" 0', 'Execute "" 0', 'Sync'],
      [0, bind('mine', '19'), 'Describe P ""', 'Sync'],
      [0, bind('mine', '20'), 'Describe S "mine"', 'Execute "" 0', 'Sync'],
      [0, bind('mine', '21'), 'Execute "" 0', 'Close P ""', 'Sync'],
      [0, bind('mine', '22'), 'Execute "" 0', 'Flush', 'Sync'],
      [0, bind('mine', '23'), 'Sync'],
      [0, ...again('nobody', '1')],
      [0, parse('', byId), bind('mine', '24'), ...toEnd],
      // In a transaction.
      [0, 'Query "BEGIN"'],
      [0, ...again('mine', '25')],
      [0, ...batch(byId, '26')],
      [0, 'Query "COMMIT"'],
      [1, ...again('mine', '27')],
      // A simple query destroys the unnamed statement.
      [null, ...batch(byId, '1')],
      [null, 'Query "SELECT 5 AS five"'],
      [0, ...again('', '28')],
      // Longer than what is looked at in one piece.
      [null, ...batch(text, `${' '.repeat(20_000)}29`)],
      [1, ...batch(text, '30')],
      [null, 'Query "SET client_encoding = latin1"'],
      [null, ...batch(text, '31')],
      [null, ...again('', '32')],
      [null, ...again('mine', '33')],
    ],
  )
})

t.test('a name that stands for something else now', async (t) => {
  const text = 'SELECT word FROM items WHERE id = $1'
  await asWithout(
    t,
    [byId, text],
    [
      [null, parse('mine', byId), 'Sync'],
      [1, ...again('mine', '1')],
      [0, parse('mine', text), 'Sync'],
      [1, ...again('mine', '2')],
      [null, 'Close S "mine"', parse('mine', text), 'Sync'],
      [1, ...again('mine', '3')],
      [null, 'Query "DEALLOCATE mine"'],
      [0, ...again('mine', '4')],
      [null, `Query "PREPARE mine (int) AS SELECT id FROM items WHERE id = $1"`],
      [0, ...again('mine', '5')],
      [null, 'Query "DEALLOCATE ALL"', parse('mine', byId), 'Sync'],
      [1, ...again('mine', '6')],
      [0, ...batch('EXECUTE mine (7)', '').slice(0, 1), 'Bind "" "" 0 0 0', ...toEnd],
      [0, parse('', 'SELECT pg_backend_pid() = 0 AS zero'), 'Bind "" "" 0 0 0', ...toEnd],
    ],
  )
})

t.test('a Parse that fails on the lane defines nothing', async (t) => {
  const gone = 'SELECT extra FROM altered WHERE id = $1'
  await asWithout(
    t,
    [byId, gone],
    [
      [1, ...batch(byId, '1')],
      [1, ...batch(gone, '1')],
      [0, ...again('', '1')],
      [1, ...batch(byId, '2')],
      [1, ...again('', '3')],
    ],
    () => primary.sql('ALTER TABLE altered DROP COLUMN extra'),
  )
})

t.test('columns that have changed: who was told the old ones, and does not ask again, does not get the new', async (t) => {
  const star = 'SELECT * FROM altered WHERE id = $1'
  await asWithout(
    t,
    [star],
    [
      [null, parse('star', star), 'Describe S "star"', 'Sync'],
      [null, ...blind('star', '1')],
    ],
  )
  // The lane has run the same only without a name: it would parse it anew, and give what is there now.
  const fresh = `${star} AND id > 0`
  const [one, other] = await Promise.all([WireClient.login(t, swift.port), WireClient.login(t, plain.port)])
  await untilOnLane(proxy, one, () => one.send(...batch(fresh, '1')))
  for (const client of [one, other]) {
    client.send(parse('star', fresh), 'Describe S "star"', 'Sync')
    await client.until('ReadyForQuery')
  }
  await primary.sql('ALTER TABLE altered ADD COLUMN more int DEFAULT 7')
  const steps: readonly Played[] = [
    [null, ...blind('star', '1')],
    [null, ...batch(star, '1')],
    [null, parse('new', fresh), 'Describe S "new"', 'Sync'],
    [null, ...blind('new', '1')],
    [null, ...again('new', '1')],
  ]
  const [heard, without] = [await play(t, one, steps, true), await play(t, other, steps, false)]
  t.same(heard, without)
  t.match(heard[0]?.join(), /cached plan must not change result type/)
  t.match(heard[1]?.join(), /DataRow 3/)
})

t.test('columns that a client was told on a lane: who does not ask again does not get others', async (t) => {
  const first = 'SELECT * FROM altered WHERE id = $1 AND id > 0'
  const then = 'SELECT * FROM altered WHERE id = $1 AND id > -1'
  const told: readonly Played[] = [
    // pgjdbc describes a statement with its first Execute, and never again.
    [1, parse('first', first), ...again('first', '1')],
    [null, parse('then', then), 'Sync'],
    [1, ...again('then', '1')],
    [1, ...blind('first', '1')],
    [1, ...blind('then', '1')],
  ]
  await asWithout(t, [first, then], told)
  const client = await WireClient.login(t, swift.port)
  await play(t, client, told, true)
  await primary.sql('ALTER TABLE altered ADD COLUMN late int DEFAULT 8')
  // No connection is left that has prepared it before.
  await primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'app'")
  await until('no lane is left', () => Promise.resolve(proxy.lanes().lanes.length === 0))
  for (const name of ['first', 'then']) {
    client.send(...blind(name, '1'))
    t.match((await client.until('ReadyForQuery')).join(), /cached plan must not change result type/)
  }
  client.send(...again('then', '1'))
  t.match((await client.until('ReadyForQuery')).join(), /DataRow/)
})

t.test('a plan is made anew when what it was made from has changed: the session, the configuration, the catalog', async (t) => {
  const joins = 'SELECT count(*) FROM items JOIN locked USING (id) WHERE items.id = $1'
  const counted = 'SELECT n FROM counted WHERE n > $1'
  const client = await WireClient.login(t, swift.port)
  const answer = async (sql: string): Promise<string> => {
    client.send(...batch(sql, '1'))
    return (await client.until('ReadyForQuery')).join()
  }
  const simply = async (sql: string): Promise<void> => {
    client.query(sql)
    await client.until('ReadyForQuery')
  }
  for (const sql of [byId, joins, counted]) {
    await untilOnLane(proxy, client, () => client.send(...batch(sql, '1')))
    await untilOnLane(proxy, client, () => client.send(...batch(sql, '1')))
  }
  const onLanes = served()
  await simply('SET standard_conforming_strings = off')
  // Often enough for a lane with that setting to be opened.
  for (let times = 0; times < 30; times++) t.match(await answer(byId), /DataRow/)
  t.equal(served(), onLanes, 'what a text says is not known')
  await simply('RESET standard_conforming_strings')
  // The lane may have gone meanwhile, for want of anybody.
  await untilOnLane(proxy, client, () => client.send(...batch(byId, '1')))
  const refuse = { mode: 'refuse', rollout: 100, by: null } as const
  await swift.runtime.alter((current) => withVirtual(current, 'locks', refuse).changed)
  t.match(await answer(joins), /ErrorResponse/)
  t.match(await answer(counted), /CommandComplete/)
  const before = swift.runtime.current().catalogs()
  const { misrouted } = proxy.lanes().counts
  await simply("CREATE OR REPLACE VIEW counted AS SELECT nextval('counts')::int AS n")
  await until('the catalog is read', () => Promise.resolve(swift.runtime.current().catalogs() !== before))
  await answer(counted)
  t.equal(proxy.lanes().counts.misrouted, misrouted)
})

t.test('what a lane cannot answer runs elsewhere, once, and defines what it would have defined', async (t) => {
  const harmless = 'SELECT n FROM harmless WHERE n > $1'
  const client = await WireClient.login(t, swift.port)
  client.send(parse('named', harmless), 'Sync')
  await client.until('ReadyForQuery')
  await untilOnLane(proxy, client, () => client.send(...batch(harmless, '0')))
  await untilOnLane(proxy, client, () => client.send(...again('named', '0')))
  await primary.sql("CREATE OR REPLACE VIEW harmless AS SELECT nextval('numbers')::int AS n")
  await keptLane()
  const { misrouted } = proxy.lanes().counts
  const before = served()
  client.send(...batch(harmless, '0'))
  const lines = await client.until('ReadyForQuery')
  t.same(names(lines), ['ParseComplete', 'BindComplete', 'RowDescription', 'DataRow', 'CommandComplete', 'ReadyForQuery'])
  t.equal(proxy.lanes().counts.misrouted - misrouted, 1)
  t.equal(served() - before, 1, 'the lane has said no')
  client.send(...again('', '0'))
  t.equal((await client.until('ReadyForQuery'))[2], 'DataRow 1 "2"', 'the statement is there, and the first time it ran once')
  t.equal(served() - before, 1)
})

t.test('a cancel, and a client that goes, while their batch is on the lane', async (t) => {
  const waits = 'SELECT count(*) FROM locked WHERE id = $1'
  const [one, other, locker] = await Promise.all([swift.port, swift.port, plain.port].map((port) => WireClient.login(t, port)))
  if (one === undefined || other === undefined || locker === undefined) return
  await untilOnLane(proxy, one, () => one.send(...batch(waits, '1')))
  const locked = async (work: () => Promise<void>): Promise<void> => {
    for (const sql of ['BEGIN', 'LOCK TABLE locked IN ACCESS EXCLUSIVE MODE']) {
      locker.query(sql)
      await locker.until('ReadyForQuery')
    }
    await keptLane()
    one.send(...batch(waits, '1'))
    await until('the batch is on the lane', () => Promise.resolve(proxy.lanes().lanes.some(({ inFlight }) => inFlight === 1)))
    await work()
    locker.query('COMMIT')
    await locker.until('ReadyForQuery')
  }
  await locked(async () => {
    await cancel(swift.port, one.key)
    t.match((await one.until('ReadyForQuery')).join(), /57014/)
  })
  one.send(...again('', '1'))
  t.match((await one.until('ReadyForQuery')).join(), /26000/, 'it was canceled in its Parse, which looks at the table')
  await untilOnLane(proxy, one, () => one.send(...batch(waits, '1')))
  await locked(() => {
    one.destroy()
    return Promise.resolve()
  })
  other.send(...batch(byId, '7'))
  t.equal((await other.until('ReadyForQuery'))[3], 'DataRow 1 "14"')
  await until('nothing is on the lane', () => Promise.resolve(proxy.lanes().lanes.every(({ inFlight }) => inFlight === 0)))
})

t.test('wherever the bytes are cut', async (t) => {
  const client = await WireClient.login(t, swift.port)
  await untilOnLane(proxy, client, () => client.send(...batch(byId, '1')))
  const lines = [...batch(byId, '21'), ...again('', '22')]
  const bytes = Buffer.concat(lines.map((line) => encodeMessage('F', line)))
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  for (let cut = 1; cut < bytes.length; cut++) {
    client.raw(bytes.subarray(0, cut))
    await turn()
    await turn()
    client.raw(bytes.subarray(cut))
    const heard = await client.until('ReadyForQuery', 2)
    t.same(
      heard.filter((line) => line.startsWith('DataRow')),
      ['DataRow 1 "42"', 'DataRow 1 "44"'],
      `cut at ${String(cut)}`,
    )
    t.equal(names(heard).filter((name) => name === 'ParseComplete').length, 1)
  }
})

// ---- one Sync for several

const joined = (): number => proxy.lanes().counts.joined

/** Sends each client's batch in one turn, and once more, until some of them have shared a Sync. */
async function untilJoined(
  clients: readonly WireClient[],
  send: (client: WireClient, index: number) => void,
): Promise<readonly (readonly string[])[]> {
  for (let tries = 0; tries < 200; tries++) {
    const before = joined()
    for (const [index, client] of clients.entries()) send(client, index)
    const heard = await Promise.all(clients.map((client) => client.until('ReadyForQuery')))
    if (joined() > before) return heard
  }
  throw new Error('no batches have ever shared a Sync')
}

async function several(t: Test, sql: string): Promise<readonly WireClient[]> {
  const clients = await Promise.all(Array.from({ length: 6 }, () => WireClient.login(t, swift.port)))
  for (const client of clients.slice(0, 1)) {
    client.send(...batch(sql, '1'))
    await client.until('ReadyForQuery')
    await untilOnLane(proxy, client, () => client.send(...batch(sql, '1')))
  }
  return clients
}

t.test('batches of several clients are one transaction of the server, and each gets the own answer', async (t) => {
  const sql = 'SELECT now(), n FROM items WHERE id = $1'
  const clients = await several(t, sql)
  const heard = await untilJoined(clients, (client, index) => client.send(...batch(sql, String(index + 1))))
  const rows = heard.map((lines) => lines.find((line) => line.startsWith('DataRow')) ?? '')
  t.same(
    rows.map((row) => row.split(' ').at(-1)),
    clients.map((_, index) => `"${String((index + 1) * 2)}"`),
  )
  for (const lines of heard)
    t.same(names(lines), ['ParseComplete', 'BindComplete', 'RowDescription', 'DataRow', 'CommandComplete', 'ReadyForQuery'])
  t.ok(new Set(rows.map((row) => row.split('"')[1])).size < clients.length, 'now() is when the transaction has begun')
})

t.test('an error among batches that share a Sync is heard by its owner alone', async (t) => {
  const clients = await several(t, 'SELECT n FROM items WHERE id = $1')
  const [first, second] = clients
  if (first === undefined || second === undefined) return
  const failing = 'SELECT n / ($1::int - 3) FROM items WHERE id = 1'
  await untilOnLane(proxy, second, () => second.send(...batch(failing, '1')))
  const { missed } = proxy.lanes().counts
  await until('some were passed over', async () => {
    const heard = await untilJoined(clients, (client, index) =>
      client.send(...(index === 1 ? batch(failing, '3') : batch('SELECT n FROM items WHERE id = $1', String(index + 1)))),
    )
    for (const [index, lines] of heard.entries()) {
      if (index === 1) t.match(lines.join(' '), /ErrorResponse.*22012/)
      else t.ok(lines.includes(`DataRow 1 "${String((index + 1) * 2)}"`))
      t.equal(lines.at(-1), 'ReadyForQuery I')
    }
    // It keeps to itself for a while after that.
    for (let good = 0; good < 256; good++) {
      second.send(...batch(failing, '1'))
      await second.until('ReadyForQuery')
    }
    return proxy.lanes().counts.missed > missed
  })
})

for (const setting of ["default_transaction_isolation = 'repeatable read'", "deadlock_timeout = '300ms'"]) {
  t.test(`where a transaction would not be as several, each has its own: ${setting}`, async (t) => {
    await primary.sql(`ALTER ROLE app SET ${setting}`)
    t.teardown(() => primary.sql('ALTER ROLE app RESET ALL'))
    const other = await withProxy(t, { ...config, lanes: { connections: 1, depth: 32, stall: '2s' } })
    const clients = await Promise.all(Array.from({ length: 6 }, () => WireClient.login(t, other.port)))
    const send = (client: WireClient): void => client.send(...batch(byId, '1'))
    for (const client of clients.slice(0, 1)) await untilOnLane(other.proxy, client, () => send(client))
    for (let round = 0; round < 20; round++) {
      for (const client of clients) send(client)
      await Promise.all(clients.map((client) => client.until('ReadyForQuery')))
    }
    t.ok(other.proxy.lanes().counts.served > 60)
    t.equal(other.proxy.lanes().counts.joined, 0)
  })
}

t.test('what a batch has locked is let go of, though the client of one behind it does not read', async (t) => {
  const readers = await several(t, byId)
  const locker = await WireClient.login(t, plain.port)
  const { missed } = proxy.lanes().counts
  for (let tries = 0; tries < 100 && proxy.lanes().counts.missed === missed; tries++) {
    const idler = await WireClient.login(t, swift.port)
    // A shape that was too large is barred.
    const large = `SELECT repeat('x', 10000) AS try_${String(tries)} FROM generate_series(1, $1::int)`
    await untilOnLane(proxy, idler, () => idler.send(...batch(large, '1')))
    idler.pause()
    for (const reader of readers) reader.send(...batch(byId, '1'))
    idler.send(...batch(large, '3000'))
    for (const reader of readers) t.ok((await reader.until('ReadyForQuery')).includes('DataRow 1 "2"'))
    for (const sql of ['BEGIN', "SET LOCAL lock_timeout = '5s'", 'LOCK TABLE items IN ACCESS EXCLUSIVE MODE', 'COMMIT']) {
      locker.query(sql)
      t.notMatch((await locker.until('ReadyForQuery')).join(), /ErrorResponse/)
    }
    idler.destroy()
  }
  t.ok(proxy.lanes().counts.missed > missed, 'it has shared a Sync')
})

t.test('what a batch has locked is let go of, though one behind it waits', { timeout: 60_000 }, async (t) => {
  const patient = await withProxy(t, { ...config, lanes: { connections: 1, depth: 32, stall: '250ms' } })
  const [reader, waiter, locker] = await Promise.all([1, 2, 3].map(() => WireClient.login(t, patient.port)))
  if (reader === undefined || waiter === undefined || locker === undefined) return
  const ofLocked = 'SELECT id FROM locked WHERE id = $1'
  for (const [client, sql] of [
    [reader, byId],
    [waiter, ofLocked],
  ] as const) {
    client.send(...batch(sql, '1'))
    await client.until('ReadyForQuery')
    await untilOnLane(patient.proxy, client, () => client.send(...batch(sql, '1')))
  }
  const told = async (sql: string): Promise<readonly string[]> => {
    locker.query(sql)
    return locker.until('ReadyForQuery')
  }
  const holds = `SELECT FROM pg_locks WHERE relation = 'items'::regclass AND granted AND mode = 'AccessShareLock'`
  let met = 0
  for (let tries = 0; tries < 40 && met === 0; tries++) {
    await told('BEGIN')
    await told('LOCK TABLE locked IN ACCESS EXCLUSIVE MODE')
    reader.send(...batch(byId, '1'))
    waiter.send(...batch(ofLocked, '1'))
    await until('it waits', async () => (await primary.sql('SELECT FROM pg_locks WHERE NOT granted')).length > 0)
    met = (await primary.sql(holds)).length
    await until('what was read is not locked any more', async () => (await primary.sql(holds)).length === 0, 20_000)
    const locked = await told('LOCK TABLE items IN ACCESS EXCLUSIVE MODE')
    t.notMatch(locked.join(' '), /ErrorResponse/)
    await told('COMMIT')
    t.ok((await reader.until('ReadyForQuery')).includes('DataRow 1 "2"'))
    t.ok((await waiter.until('ReadyForQuery')).includes('DataRow 1 "1"'))
    // Who has stalled with others keeps to itself for a while.
    for (let good = 0; good < 300; good++) {
      for (const [client, sql] of [
        [reader, byId],
        [waiter, ofLocked],
      ] as const)
        client.send(...batch(sql, '1'))
      await Promise.all([reader.until('ReadyForQuery'), waiter.until('ReadyForQuery')])
    }
  }
  t.ok(met > 0, 'one that was answered by the server held its lock')
})
