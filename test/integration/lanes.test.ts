// Lanes on real servers: requests of several clients on one server connection at the same moment (docs/lanes.md). Every hazard
// of that page has its test here, or in faults/lanes where a connection must break for it.
import t, { type Test } from 'tap'
import { until } from '../../src/embedded/until.js'
import { untilOnLane } from '../support/lanes.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { cancel, names, WireClient } from '../support/wire-client.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      seed: `CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL);
        INSERT INTO items SELECT g, g * 2 FROM generate_series(1, 100) g;
        CREATE TABLE locked (id int); INSERT INTO locked VALUES (1);
        CREATE SEQUENCE numbers; CREATE VIEW harmless AS SELECT 1 AS n;
        CREATE FUNCTION sets() RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN set_config('work_mem', '77MB', false); END $$`,
    },
  },
})
const { primary } = running.cluster('main')
const { port, proxy, events, connect } = await withProxy(t, {
  version: 1,
  auth: { method: 'trust', users: [{ name: 'app' }] },
  clusters: {
    main: { dbname: 'app', user: 'app', password: 'app', tls: { mode: 'disable' }, nodes: [primary.address], pool: { max: 8 } },
  },
  databases: { app: { default: 'main' } },
  // Long enough that what is to stand behind a slow head does.
  lanes: { connections: 1, depth: 32, stall: '1s' },
})

const byId = 'SELECT n FROM items WHERE id = '

t.test('what has proved fast and small shares a connection, and everybody gets the own answer', async (t) => {
  const clients = await Promise.all(Array.from({ length: 8 }, () => WireClient.login(t, port)))
  const [first] = clients
  if (first === undefined) return
  await untilOnLane(proxy, first, () => first.query(`${byId}1`))
  const before = proxy.lanes().counts.served
  await Promise.all(
    clients.map(async (client, index) => {
      for (let round = 1; round <= 10; round++) {
        const id = index * 10 + round
        client.query(`${byId}${String(id)}`)
        const lines = await client.until('ReadyForQuery')
        t.same(names(lines), ['RowDescription', 'DataRow', 'CommandComplete', 'ReadyForQuery'])
        t.equal(lines[1], `DataRow 1 "${String(id * 2)}"`)
      }
    }),
  )
  t.equal(proxy.lanes().counts.served - before, 80, 'all of them on the one lane')
  t.equal(proxy.lanes().lanes.length, 1)
})

const bound = (statement: string, id: number): string => `Bind "" "${statement}" 0 1 "${String(id)}" 0`

t.test('batches with a named, an unnamed and an earlier parsed statement', async (t) => {
  const clients = await Promise.all(Array.from({ length: 6 }, () => WireClient.login(t, port)))
  const [first] = clients
  if (first === undefined) return
  const sql = 'SELECT n FROM items WHERE id = $1'
  const unnamed = (id: number): string[] => [`Parse "" "${sql}" 0`, bound('', id), 'Describe P ""', 'Execute "" 0', 'Sync']
  await untilOnLane(proxy, first, () => first.send(...unnamed(1)))
  const before = proxy.lanes().counts.served
  const answered = ['BindComplete', 'RowDescription', 'DataRow', 'CommandComplete', 'ReadyForQuery']
  await Promise.all(
    clients.map(async (client, index) => {
      for (let round = 1; round <= 5; round++) {
        const id = index * 5 + round
        client.send(...unnamed(id))
        t.same(names(await client.until('ReadyForQuery')), ['ParseComplete', ...answered])
        // The unnamed statement stays: others have used theirs on the lane since.
        client.send(bound('', id), 'Describe P ""', 'Execute "" 0', 'Sync')
        const again = await client.until('ReadyForQuery')
        t.same(names(again), answered)
        t.equal(again[2], `DataRow 1 "${String(id * 2)}"`)
        const parse = round === 1 ? [`Parse "mine" "${sql}" 0`] : []
        client.send(...parse, bound('mine', id), 'Describe P ""', 'Execute "" 0', 'Sync')
        const named = await client.until('ReadyForQuery')
        t.same(names(named), [...(round === 1 ? ['ParseComplete'] : []), ...answered])
        t.equal(named[named.length - 3], `DataRow 1 "${String(id * 2)}"`)
      }
    }),
  )
  t.equal(proxy.lanes().counts.served - before, 90, 'all of them on the lane')
})

// ---- hazards

const served = (): number => proxy.lanes().counts.served
const value = (lines: readonly string[]): string | undefined => lines.find((line) => line.startsWith('DataRow'))

t.test('what was only described has not proved itself', async (t) => {
  const client = await WireClient.login(t, port)
  const before = served()
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) {
    client.send(`Parse "${name}" "SELECT n AS described FROM items WHERE id = $1" 0`, `Describe S "${name}"`, 'Sync')
    await client.until('ReadyForQuery')
  }
  client.send(bound('a', 1), 'Describe P ""', 'Execute "" 0', 'Sync')
  t.equal(value(await client.until('ReadyForQuery')), 'DataRow 1 "2"')
  t.equal(served(), before)
})

/** So many requests are on lanes now. */
function inFlight(count: number): Promise<void> {
  return until(`${String(count)} requests are on lanes`, () =>
    Promise.resolve(proxy.lanes().lanes.reduce((sum, lane) => sum + lane.inFlight, 0) === count),
  )
}

/** A client whose request heads the lane and waits for a lock until unlock(). `name` makes a shape of its own. */
async function lockedHead(t: Test, name: string): Promise<{ head: WireClient; unlock: () => Promise<void> }> {
  const sql = `SELECT count(*) AS ${name} FROM locked`
  const [head, locker] = await Promise.all([WireClient.login(t, port), WireClient.login(t, port)])
  await untilOnLane(proxy, head, () => head.query(sql))
  locker.query('BEGIN')
  await locker.until('ReadyForQuery')
  locker.query('LOCK TABLE locked IN ACCESS EXCLUSIVE MODE')
  await locker.until('ReadyForQuery')
  await inFlight(0)
  head.query(sql)
  await inFlight(1)
  const unlock = async (): Promise<void> => {
    locker.query('COMMIT')
    await locker.until('ReadyForQuery')
  }
  return { head, unlock }
}

/** Clients whose `byId` has been on the lane. */
async function readers(t: Test, count: number): Promise<readonly WireClient[]> {
  const clients = await Promise.all(Array.from({ length: count }, () => WireClient.login(t, port)))
  for (const client of clients.slice(0, 1)) await untilOnLane(proxy, client, () => client.query(`${byId}1`))
  return clients
}

t.test('an error in the middle stays with its owner', async (t) => {
  const clients = await readers(t, 6)
  const sql = (id: number): string => `SELECT 10 / (n - 2) FROM items WHERE id = ${String(id)}`
  for (const client of clients.slice(0, 1)) await untilOnLane(proxy, client, () => client.query(sql(2)))
  const before = served()
  for (const [index, client] of clients.entries()) client.query(sql(index % 2 === 0 ? 2 : 1))
  const replies = await Promise.all(clients.map((client) => client.until('ReadyForQuery')))
  for (const [index, lines] of replies.entries()) {
    if (index % 2 === 0) t.equal(value(lines), 'DataRow 1 "5"')
    else t.match(lines.join(), /ErrorResponse .*22012/)
    t.equal(lines.at(-1), 'ReadyForQuery I')
  }
  t.equal(served() - before, 6)
})

t.test('a head that waits for a lock whose owner waits for a follower', async (t) => {
  const [follower] = await readers(t, 1)
  const { head, unlock } = await lockedHead(t, 'deadlock')
  const { moved } = proxy.lanes().counts
  follower?.query(`${byId}7`)
  await inFlight(2)
  t.equal(value((await follower?.until('ReadyForQuery')) ?? []), 'DataRow 1 "14"', 'answered elsewhere, while the head still waits')
  t.equal(proxy.lanes().counts.moved - moved, 1)
  t.ok(proxy.lanes().lanes.some(({ state }) => state === 'slow'))
  await unlock()
  t.equal(value(await head.until('ReadyForQuery')), 'DataRow 1 "1"')
  await inFlight(0)
  t.ok(
    proxy.lanes().lanes.every(({ state }) => state === 'open'),
    'the lane goes on',
  )
})

t.test('a slow head keeps nobody waiting, takes no newcomers, and its shape is barred', async (t) => {
  const [head, ...followers] = await readers(t, 4)
  if (head === undefined) return
  const series = (rows: number): string => `SELECT count(*) FROM generate_series(1, ${String(rows)})`
  await untilOnLane(proxy, head, () => head.query(series(1)))
  head.query(series(60_000_000))
  await inFlight(1)
  for (const client of followers) client.query(`${byId}3`)
  for (const client of followers) t.equal(value(await client.until('ReadyForQuery')), 'DataRow 1 "6"')
  const { served: before, stalled } = proxy.lanes().counts
  t.ok(stalled > 0)
  t.ok(proxy.lanes().barred > 0)
  for (const client of followers) {
    client.query(`${byId}4`)
    t.equal(value(await client.until('ReadyForQuery')), 'DataRow 1 "8"')
  }
  t.equal(served(), before, 'newcomers went elsewhere')
  t.equal(value(await head.until('ReadyForQuery')), 'DataRow 1 "60000000"')
  // What the lane has said since to those who were answered elsewhere is nobody's.
  await inFlight(0)
  for (const client of followers) {
    client.query(`${byId}5`)
    t.equal(value(await client.until('ReadyForQuery')), 'DataRow 1 "10"')
  }
})

t.test('cancel of the head: only it is hit, and the lane is used again', async (t) => {
  const [head, ...followers] = await readers(t, 4)
  if (head === undefined) return
  const series = (rows: number): string => `SELECT max(g) FROM generate_series(1, ${String(rows)}) g`
  await untilOnLane(proxy, head, () => head.query(series(1)))
  head.query(series(2_000_000_000))
  await inFlight(1)
  for (const client of followers) client.query(`${byId}3`)
  await cancel(port, head.key)
  t.match((await head.until('ReadyForQuery')).join(), /ErrorResponse .*57014/)
  for (const client of followers) t.equal(value(await client.until('ReadyForQuery')), 'DataRow 1 "6"')
  await inFlight(0)
  await untilOnLane(proxy, head, () => head.query(`${byId}1`))
})

t.test('cancel of a follower: it hears of it at once, the head of nothing', async (t) => {
  const [follower] = await readers(t, 1)
  if (follower === undefined) return
  const { head, unlock } = await lockedHead(t, 'canceled')
  follower.query(`${byId}7`)
  await inFlight(2)
  await cancel(port, follower.key)
  const lines = await follower.until('ReadyForQuery')
  t.match(lines.join(), /ErrorResponse .*57014/)
  t.equal(lines.at(-1), 'ReadyForQuery I')
  await unlock()
  t.equal(value(await head.until('ReadyForQuery')), 'DataRow 1 "1"')
  follower.query(`${byId}8`)
  t.equal(value(await follower.until('ReadyForQuery')), 'DataRow 1 "16"', 'and nothing of the dropped reply comes after it')
})

t.test('a late cancel hits nobody', async (t) => {
  const [late, other] = await readers(t, 2)
  if (late === undefined || other === undefined) return
  for (let round = 0; round < 20; round++) {
    late.query(`${byId}5`)
    other.query(`${byId}6`)
    t.equal(value(await late.until('ReadyForQuery')), 'DataRow 1 "10"')
    const canceled = cancel(port, late.key)
    t.equal(value(await other.until('ReadyForQuery')), 'DataRow 1 "12"')
    other.query(`${byId}9`)
    t.equal(value(await other.until('ReadyForQuery')), 'DataRow 1 "18"')
    await canceled
  }
})

t.test('a huge result goes on by itself, at the pace of its client', async (t) => {
  const [large, ...others] = await readers(t, 4)
  if (large === undefined) return
  const sql = (bytes: number): string => `SELECT repeat('x', ${String(bytes)}) FROM generate_series(1, 200)`
  await untilOnLane(proxy, large, () => large.query(sql(1)))
  const before = proxy.lanes().counts.large
  large.pause()
  large.query(sql(200_000))
  await until('the result is streamed', () => Promise.resolve(proxy.lanes().counts.large > before))
  // Its client does not read: everybody else goes on.
  for (const client of others) client.query(`${byId}3`)
  for (const client of others) t.equal(value(await client.until('ReadyForQuery')), 'DataRow 1 "6"')
  large.resume()
  const lines = await large.until('ReadyForQuery')
  t.same(
    names(lines).filter((name) => name !== 'DataRow'),
    ['RowDescription', 'CommandComplete', 'ReadyForQuery'],
  )
  t.equal(large.passed, 200 * (200_000 + 11))
  await inFlight(0)
  const others2 = served()
  large.query(sql(1))
  await large.until('ReadyForQuery')
  t.equal(served(), others2, 'the shape has left the lanes')
})

t.test('a client that goes in the middle of its answer takes nothing with it', async (t) => {
  const [follower] = await readers(t, 1)
  if (follower === undefined) return
  const { head, unlock } = await lockedHead(t, 'gone')
  follower.query(`${byId}7`)
  await inFlight(2)
  head.destroy()
  await unlock()
  t.equal(value(await follower.until('ReadyForQuery')), 'DataRow 1 "14"')
  await inFlight(0)
  await untilOnLane(proxy, follower, () => follower.query(`${byId}1`))
})

t.test('statement_timeout is that of the own session', async (t) => {
  const [hasty, patient] = await readers(t, 2)
  if (hasty === undefined || patient === undefined) return
  const series = (rows: number): string => `SELECT min(g) FROM generate_series(1, ${String(rows)}) g`
  hasty.query("SET statement_timeout = '300ms'")
  await hasty.until('ReadyForQuery')
  await untilOnLane(proxy, hasty, () => hasty.query(series(1)))
  t.ok(proxy.lanes().lanes.some(({ settings }) => settings.includes('statement_timeout')))
  hasty.query(series(2_000_000_000))
  patient.query(series(5_000_000))
  t.match((await hasty.until('ReadyForQuery')).join(), /ErrorResponse .*57014.*statement timeout/)
  t.equal(value(await patient.until('ReadyForQuery')), 'DataRow 1 "1"')
})

t.test('sessions whose settings differ have lanes of their own', async (t) => {
  const styles = ['ISO, DMY', 'SQL, DMY']
  const clients = await Promise.all(styles.map((style) => WireClient.login(t, port, { DateStyle: style })))
  const sql = "SELECT date '2020-01-31'"
  const expected = ['DataRow 1 "2020-01-31"', 'DataRow 1 "31/01/2020"']
  for (const client of clients) await untilOnLane(proxy, client, () => client.query(sql))
  for (let round = 0; round < 20; round++) {
    for (const client of clients) client.query(sql)
    for (const [index, client] of clients.entries()) t.equal(value(await client.until('ReadyForQuery')), expected[index])
  }
})

t.test('what tells or may change a setting is never on a lane', async (t) => {
  const [client] = await readers(t, 1)
  if (client === undefined) return
  const before = served()
  for (const sql of ['SELECT sets()', "SELECT current_setting('transaction_read_only')", 'SHOW default_transaction_read_only']) {
    for (let round = 0; round < 40; round++) {
      client.query(sql)
      t.match(value(await client.until('ReadyForQuery')), /"(77MB|off)"/)
    }
  }
  t.equal(served(), before)
})

t.test('an extended batch with two Executes, or one that is not run to its end, is never on a lane', async (t) => {
  const [client] = await readers(t, 1)
  if (client === undefined) return
  const run = (id: number, rows = 0): string[] => [bound('', id), `Execute "" ${String(rows)}`]
  const sql = 'SELECT n FROM items WHERE id = $1'
  await untilOnLane(proxy, client, () => client.send(`Parse "" "${sql}" 0`, ...run(1), 'Sync'))
  const before = served()
  for (let round = 0; round < 20; round++) {
    client.send(`Parse "" "${sql}" 0`, ...run(1), ...run(2), 'Sync')
    const lines = await client.until('ReadyForQuery')
    t.same(
      lines.filter((line) => line.startsWith('DataRow')),
      ['DataRow 1 "2"', 'DataRow 1 "4"'],
    )
    client.send(`Parse "" "SELECT n FROM items WHERE id >= $1" 0`, ...run(1, 1), 'Sync')
    t.match((await client.until('ReadyForQuery')).join(), /PortalSuspended/)
  }
  t.equal(served(), before)
})

t.test('a write that was taken for a read is refused by the lane, and runs where it may', async (t) => {
  const [client] = await readers(t, 1)
  if (client === undefined) return
  await untilOnLane(proxy, client, () => client.query('SELECT n FROM harmless'))
  await primary.sql("CREATE OR REPLACE VIEW harmless AS SELECT nextval('numbers')::int AS n")
  const { misrouted } = proxy.lanes().counts
  const told = events('read.misrouted').length
  client.query('SELECT n FROM harmless')
  t.equal(value(await client.until('ReadyForQuery')), 'DataRow 1 "1"', 'it ran, once')
  t.equal(proxy.lanes().counts.misrouted - misrouted, 1)
  t.equal(events('read.misrouted').length - told, 1)
  const before = served()
  client.query('SELECT n FROM harmless')
  t.equal(value(await client.until('ReadyForQuery')), 'DataRow 1 "2"')
  t.equal(served(), before, 'and never again there')
})

t.test('SHOW pointsman.last_route and metrics tell of lanes as of any read', async (t) => {
  const client = await connect()
  await client.query(`${byId}1`)
  const before = served()
  while (served() === before) await client.query(`${byId}1`)
  const { rows } = await client.query('SHOW pointsman.last_route')
  t.match(JSON.stringify(rows), /primary/)
  const last = events('query.end')
    .filter(({ shape }) => shape !== null)
    .at(-2)
  t.match(last, { cluster: 'main', node: primary.address, role: 'primary', outcome: 'ok' })
})

t.test('a cancel that comes while a request waits for a connection, its lane gone, is not lost', { timeout: 60_000 }, async (t) => {
  const own = await withProxy(t, {
    version: 1,
    auth: { method: 'trust', users: [{ name: 'app' }] },
    clusters: {
      main: {
        dbname: 'app',
        user: 'app',
        password: 'app',
        tls: { mode: 'disable' },
        nodes: [primary.address],
        pool: { max: 2, wait: '50s' },
      },
    },
    databases: { app: { default: 'main' } },
    lanes: { connections: 1, depth: 32, stall: '50ms' },
  })
  const enter = (): Promise<WireClient> => WireClient.login(t, own.port)
  const [head, follower, holder, next] = await Promise.all([enter(), enter(), enter(), enter()])
  const slow = 'SELECT count(*) AS lost_cancel FROM locked'
  await untilOnLane(own.proxy, head, () => head.query(slow))
  await untilOnLane(own.proxy, head, () => head.query(`${byId}1`))
  const locker = await connect()
  await locker.query('BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE')
  // The other of the two connections, and the first place in line for the next.
  for (const client of [holder, next]) client.query(`BEGIN; ${byId}1 FOR UPDATE SKIP LOCKED`)
  await holder.until('ReadyForQuery')
  const waiting = (count: number) => (): Promise<boolean> =>
    Promise.resolve(own.runtime.snapshot().pools.some((pool) => pool.waiting === count))
  await until('one is in line', waiting(1))
  head.query(slow)
  await until('it waits for the lock', async () => (await primary.sql(onLock)).length > 0)
  follower.query(`${byId}7`)
  await until('who is behind it waits, too', waiting(2))
  await primary.sql(`SELECT pg_terminate_backend(pid) FROM (${onLock}) waiting`)
  await next.until('ReadyForQuery')
  await cancel(own.port, follower.key)
  t.match((await follower.until('ReadyForQuery')).join(), /ErrorResponse .*57014/)
  await locker.query('ROLLBACK')
})

const onLock = `SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%lost_cancel%'`
