// The result cache of the proxy on real servers: what is given again, byte for byte, to whom, for how long, and what ends it.
// `past` changes rows without the proxy, so a value from before the change can only have come from the cache.
import t from 'tap'
import type pg from 'pg'
import { until } from '../../src/embedded/until.js'
import { lastRoute, withProxy, type RunningProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { cancel, names as namesOf, WireClient } from '../support/wire-client.js'

const tables = [
  'hits',
  'bounded',
  'own',
  'short',
  'written',
  'rolled',
  'parent',
  'shared',
  'large',
  'altered',
  'wire',
  'plain',
  'noted',
  'far',
]
const seed = `
  ${tables.map((name) => `CREATE TABLE ${name} (id int PRIMARY KEY, v text); INSERT INTO ${name} VALUES (1, 'a'), (2, 'b');`).join('\n')}
  CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE); INSERT INTO child VALUES (1, 1), (2, 2);
  INSERT INTO large SELECT g, repeat('x', 100) FROM generate_series(3, 2000) g;
  CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.hits AS SELECT 1 AS id, 'elsewhere'::text AS v;
  CREATE TABLE mine (owner text, v text); INSERT INTO mine VALUES ('app', 'of app'), ('guest', 'of guest'), ('t7', 'of tenant 7'), ('t8', 'of tenant 8');
  GRANT USAGE ON SCHEMA elsewhere TO guest; GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest;
  ALTER TABLE mine ENABLE ROW LEVEL SECURITY; ALTER TABLE mine FORCE ROW LEVEL SECURITY;
  CREATE POLICY own ON mine USING (owner = coalesce(current_setting('app.tenant', true), current_user));
  CREATE SCHEMA before;
  CREATE TABLE named (owner text, v text); INSERT INTO named VALUES ('blue', 'of blue'), ('red', 'of red');
  ALTER TABLE named ENABLE ROW LEVEL SECURITY; ALTER TABLE named FORCE ROW LEVEL SECURITY;
  CREATE POLICY own ON named USING (owner = current_setting('application_name'));
  CREATE TABLE member (who text); INSERT INTO member VALUES ('app'); CREATE TABLE team (v text); INSERT INTO team VALUES ('ours');
  ALTER TABLE team ENABLE ROW LEVEL SECURITY; ALTER TABLE team FORCE ROW LEVEL SECURITY;
  CREATE POLICY members ON team USING (EXISTS (SELECT FROM member WHERE who = current_user));`
const running = await withTopology(t, {
  clusters: { main: { replicas: 1, seed, prepare: "CREATE ROLE guest LOGIN PASSWORD 'guest'" } },
})
const main = running.cluster('main')
const { primary } = main
const [replica = primary] = main.replicas

/** Past the proxy, and replayed. */
async function past(sql: string): Promise<void> {
  await primary.sql(sql, { user: 'app' })
  await main.waitCaughtUp()
}

/** Until COMMIT nobody reads the table, on the replica either: its commit of something else carries the lock there. */
async function lock(locker: Awaited<ReturnType<typeof primary.open>>, table: string): Promise<void> {
  await locker.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`)
  await past('UPDATE plain SET v = v')
}

/** After a write of which nobody can tell what it changes nothing is kept before the primary has been sampled. */
async function settled(): Promise<void> {
  const client = await one.connect()
  await until('results are kept', async () => (await outcome(() => client.query('SELECT v FROM wire'))) === 'hit')
}

function start(reads: object): Promise<RunningProxy> {
  return withProxy(t, {
    version: 1,
    auth: {
      method: 'trust',
      users: [
        { name: 'app', password: 'app' },
        { name: 'guest', password: 'guest' },
      ],
    },
    clusters: {
      main: {
        dbname: 'app',
        tls: { mode: 'disable' },
        monitor: { user: 'app', password: 'app' },
        nodes: main.nodes.map((node) => node.address),
      },
    },
    databases: { app: { default: 'main', reads } },
    cache: { max_bytes: '1MB', max_result: '64KB' },
  })
}
const one = await start({
  default: { consistency: 'any', cache: '60s' },
  tables: {
    bounded: { consistency: 'bounded', max_staleness: '1s', cache: '60s' },
    own: { consistency: 'session', cache: '60s' },
    short: { consistency: 'any', cache: '300ms' },
    plain: { consistency: 'any', cache: 0 },
  },
})
const outcomes: string[] = []
one.observer.on('cache.read', ({ outcome }) => void outcomes.push(outcome))

const value = async (client: pg.Client, sql: string, values?: unknown[]): Promise<unknown> => {
  const { rows } = await client.query<unknown[]>({ text: sql, rowMode: 'array', ...(values === undefined ? {} : { values }) })
  return rows[0]?.[0]
}
const outcome = async (work: () => Promise<unknown>): Promise<string | undefined> => {
  outcomes.length = 0
  await work()
  return outcomes[0]
}

t.test('what was read is given again, with its route and its age', async (t) => {
  const client = await one.connect()
  t.equal(await value(client, 'SELECT v FROM hits WHERE id = 1'), 'a')
  await past("UPDATE hits SET v = 'c' WHERE id = 1")
  t.equal(await value(client, 'SELECT v FROM hits /* another comment */ WHERE id = 1'), 'a')
  t.match(await lastRoute(client), new RegExp(`^replica ${replica.address} of main \\(.*from the cache\\)`))
  t.equal(await value(client, 'SELECT v FROM hits WHERE id = 2'), 'b', 'another literal is another read')
  t.equal(await value(client, 'SELECT v FROM hits WHERE id = $1', [1]), 'c', 'and so is another protocol')
  t.equal(await value(await one.connect(), 'SELECT v FROM hits WHERE id = 1'), 'a', 'for all clients of a user')
  t.match(await value(client, '/* pointsman: explain */ SELECT v FROM hits'), /or the cache \(up to 1m\)/)
  t.equal(
    one.events('query.end').some(({ step }) => step === 'cache'),
    true,
  )
})

t.test('not: volatile functions, writes, transactions, catalogs, what no policy lets', async (t) => {
  const client = await one.connect()
  for (const sql of [
    'SELECT random() FROM hits',
    'SELECT v FROM plain',
    'SELECT plain.v FROM plain, hits',
    'SELECT 1',
    'SELECT relname FROM pg_class',
    'SELECT v FROM hits; SELECT v FROM hits',
    "SELECT set_config('app.x', '1', false), v FROM hits",
  ]) {
    t.equal(await outcome(() => client.query(sql)), undefined, sql)
  }
  await client.query('BEGIN READ ONLY')
  t.equal(await outcome(() => client.query('SELECT v FROM hits WHERE id = 1')), undefined, 'in a transaction')
  await client.query('COMMIT')
  const other = await one.connect()
  t.equal(await outcome(() => other.query('SELECT v, now() FROM hits WHERE id = 1')), 'miss', 'now() is that of the snapshot')
})

t.test('a result expires', async (t) => {
  const client = await one.connect()
  t.equal(await value(client, 'SELECT v FROM short WHERE id = 1'), 'a')
  await past("UPDATE short SET v = 'c' WHERE id = 1")
  await until('it is read anew', async () => (await value(client, 'SELECT v FROM short WHERE id = 1')) === 'c')
})

t.test('I3: a bound holds for kept results as for replicas', async (t) => {
  const client = await one.connect()
  await until('it is kept', async () => (await outcome(() => client.query('SELECT v FROM bounded WHERE id = 1'))) === 'hit')
  await past("UPDATE bounded SET v = 'c' WHERE id = 1")
  const written = performance.now()
  await until('the bound has passed', async () => {
    const asked = performance.now()
    const found = await value(client, 'SELECT v FROM bounded WHERE id = 1')
    if (found === 'a' && asked - written > 1_000) t.fail('older than its bound')
    return found === 'c'
  })
  t.equal(await value(client, 'SELECT v FROM bounded WHERE id = 1'), 'c')
})

t.test('I1, I2: a session sees its writes, and never less than before', async (t) => {
  const [a, b] = [await one.connect(), await one.connect()]
  for (let n = 0; n < 30; n++) {
    await a.query('UPDATE own SET v = $1 WHERE id = 1', [String(n)])
    t.equal(await value(a, 'SELECT v FROM own WHERE id = 1'), String(n))
    const seen = Number(await value(b, 'SELECT v FROM own WHERE id = 1'))
    await past(`UPDATE own SET v = '${String(n)}.5' WHERE id = 1`)
    const again = Number(await value(b, 'SELECT v FROM own WHERE id = 1'))
    t.ok(again >= seen, `${String(again)} after ${String(seen)}`)
    const fresh = Number(await value(b, 'SELECT v FROM own WHERE id = 1 AND random() >= 0'))
    t.ok(Number(await value(b, 'SELECT v FROM own WHERE id = 1')) >= fresh, 'after a read that was no cached one')
  }
})

t.test('I2: what a kept result has shown counts as seen', async (t) => {
  const [older, newer] = ['SELECT v FROM own WHERE id = 2', 'SELECT v FROM own WHERE id = 2 AND true']
  const kept = (sql: string): Promise<void> =>
    until('a session that has seen nothing is given it', async () => {
      const fresh = await one.connect()
      return (await outcome(() => fresh.query(sql))) === 'hit'
    })
  await kept(older)
  await past("UPDATE own SET v = 'newer' WHERE id = 2")
  await kept(newer)
  const client = await one.connect()
  t.equal(await outcome(async () => t.equal(await value(client, newer), 'newer')), 'hit')
  t.equal(await value(client, older), 'newer')
})

t.test('a write that passes through outdates what it changes, and nothing else', async (t) => {
  const [a, b] = [await one.connect(), await one.connect()]
  const kept = (sql: string): Promise<void> => until(`${sql} is kept`, async () => (await outcome(() => a.query(sql))) === 'hit')
  await kept('SELECT v FROM far')
  for (let n = 0; n < 10; n++) {
    await kept('SELECT v FROM written WHERE id = 1')
    await b.query('UPDATE written SET v = $1 WHERE id = 1', [String(n)])
    await main.waitCaughtUp()
    t.equal(await value(a, 'SELECT v FROM written WHERE id = 1'), String(n))
  }
  await kept('SELECT count(*) FROM child')
  await b.query('DELETE FROM parent WHERE id = 1')
  await main.waitCaughtUp()
  t.equal(await value(a, 'SELECT count(*) FROM child'), '1', 'a foreign key that cascades')
  t.equal(await outcome(() => a.query('SELECT v FROM far')), 'hit', 'other tables stay')
  await b.query('DO $$BEGIN UPDATE far SET v = 4; END$$')
  await main.waitCaughtUp()
  t.equal(await value(a, 'SELECT v FROM far'), '4', 'what cannot be told outdates everything')
})

t.test('a transaction outdates once more when it ends; what was read meanwhile is not kept', async (t) => {
  const [a, b] = [await one.connect(), await one.connect()]
  await b.query('BEGIN')
  await b.query("UPDATE rolled SET v = 'new' WHERE id = 1")
  t.equal(await value(a, 'SELECT v FROM rolled WHERE id = 1'), 'a')
  await b.query('COMMIT')
  await main.waitCaughtUp()
  t.equal(await value(a, 'SELECT v FROM rolled WHERE id = 1'), 'new')
})

t.test('a replica that lags behind a write of ours is read, but not kept', async (t) => {
  const [a, b] = [await one.connect(), await one.connect()]
  await replica.pauseReplay()
  t.teardown(() => replica.resumeReplay())
  await b.query("UPDATE far SET v = 'newest' WHERE id = 1")
  t.not(await value(a, 'SELECT v FROM far WHERE id = 1'), 'newest')
  await replica.resumeReplay()
  await main.waitCaughtUp()
  t.equal(await value(a, 'SELECT v FROM far WHERE id = 1'), 'newest')
})

t.test('DDL, and columns that have changed', async (t) => {
  const [a, b] = [await one.connect(), await one.connect()]
  await until('it is kept', async () => (await outcome(() => a.query('SELECT * FROM altered'))) === 'hit')
  t.equal((await a.query('SELECT * FROM altered')).fields.length, 2)
  await b.query('ALTER TABLE altered ADD COLUMN w int')
  await main.waitCaughtUp()
  t.equal((await a.query('SELECT * FROM altered')).fields.length, 3)
})

t.test('one user never sees what another may, nor one tenant another', async (t) => {
  await settled()
  const sql = 'SELECT v FROM mine'
  const app = await one.connect()
  const guest = await one.connect({ user: 'guest', password: 'guest' })
  const both = async (ofApp: string, ofGuest: string): Promise<void> => {
    for (const expected of ['miss', 'hit']) {
      t.equal(await outcome(async () => t.equal(await value(app, sql), ofApp)), expected)
      t.equal(await outcome(async () => t.equal(await value(guest, sql), ofGuest)), expected)
    }
  }
  await both('of app', 'of guest')
  for (const tenant of ['t7', 't8']) {
    await app.query(`SET app.tenant = '${tenant}'`)
    await guest.query(`SELECT set_config('app.tenant', '${tenant}', false)`)
    await both(`of tenant ${tenant.slice(1)}`, `of tenant ${tenant.slice(1)}`)
  }
})

t.test('a policy may ask for application_name, and for other tables', async (t) => {
  await settled()
  const [blue, red] = [await one.connect({ application_name: 'blue' }), await one.connect({ application_name: 'red' })]
  for (const expected of ['miss', 'hit']) {
    t.equal(await outcome(async () => t.equal(await value(blue, 'SELECT v FROM named'), 'of blue')), expected)
    t.equal(await outcome(async () => t.equal(await value(red, 'SELECT v FROM named'), 'of red')), expected)
  }
  for (const expected of ['miss', 'hit'])
    t.equal(await outcome(async () => t.equal(await value(blue, 'SELECT v FROM team'), 'ours')), expected)
  await red.query('DELETE FROM member')
  await main.waitCaughtUp()
  t.equal(await value(blue, 'SELECT v FROM team'), undefined, 'what only the policy reads was written')
})

t.test('a table that comes to stand before another of its name', async (t) => {
  await settled()
  const client = await one.connect({ options: '-c search_path=before,public' })
  for (const expected of ['miss', 'hit']) t.equal(await outcome(() => client.query('SELECT v FROM shared')), expected)
  await client.query("SELECT 'new'::text AS v INTO before.shared")
  await main.waitCaughtUp()
  t.equal(await value(client, 'SELECT v FROM shared'), 'new')
})

t.test('search_path and the settings that values are written with', async (t) => {
  await settled()
  const client = await one.connect()
  t.not(await value(client, 'SELECT v FROM hits WHERE id = 1'), 'elsewhere')
  t.equal(await outcome(() => client.query('SELECT v FROM hits WHERE id = 1')), 'hit')
  await client.query('SET search_path = elsewhere')
  t.equal(await value(client, 'SELECT v FROM hits WHERE id = 1'), 'elsewhere')
  await client.query('SET search_path = public')
  const at = "SELECT timestamptz '2026-01-01 00:00:00+00'::text FROM hits WHERE id = 1"
  await client.query("SET timezone = 'UTC'")
  t.equal(await value(client, at), '2026-01-01 00:00:00+00')
  await client.query("SET timezone = 'Asia/Tokyo'")
  t.equal(await value(client, at), '2026-01-01 09:00:00+09')
})

t.test('memory is bounded: a large result is not kept, and streams', async (t) => {
  await settled()
  const client = await one.connect()
  for (let n = 0; n < 3; n++) t.equal(await outcome(() => client.query('SELECT * FROM large')), 'miss')
  t.equal((await client.query('SELECT * FROM large')).rows.length, 2_000)
  for (let n = 0; n < 40; n++) await client.query(`SELECT v FROM large WHERE id <= 450 AND id <> -${String(n)}`)
  t.equal(await outcome(() => client.query('SELECT v FROM large WHERE id <= 450 AND id <> -39')), 'hit', 'the newest is there')
  t.equal(await outcome(() => client.query('SELECT v FROM large WHERE id <= 450 AND id <> -0')), 'miss', 'the oldest had to go')
})

t.test('identical reads under way are made once', async (t) => {
  const locker = await primary.open({ user: 'app' })
  t.teardown(() => locker.close())
  const waiting = async (): Promise<number> => {
    const rows = await replica.sql(
      "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE 'SELECT v FROM shared%' AND wait_event_type = 'Lock'",
    )
    return Number(rows[0]?.['n'])
  }
  const locked = async (): Promise<void> => {
    await lock(locker, 'shared')
  }
  const crowd = async (
    sql: string,
  ): Promise<{ first: pg.Client; rest: pg.Client[]; results: Promise<PromiseSettledResult<unknown>[]> }> => {
    const [first, ...rest] = await Promise.all(Array.from({ length: 6 }, () => one.connect()))
    if (first === undefined) throw new Error('nobody')
    outcomes.length = 0
    const leading = value(first, sql)
    await until('the first waits for the lock', async () => (await waiting()) === 1)
    const following = rest.map((client) => value(client, sql))
    return { first, rest, results: Promise.allSettled([leading, ...following]) }
  }

  await locked()
  const many = await crowd('SELECT v FROM shared WHERE id = 1')
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(await waiting(), 1, 'one is on the server')
  await locker.query('COMMIT')
  t.same(
    (await many.results).map((result) => (result.status === 'fulfilled' ? result.value : String(result.reason))),
    Array(6).fill('a'),
  )
  t.same(outcomes.toSorted(), ['miss', ...Array(5).fill('shared')])

  await locked()
  const left = await crowd('SELECT v FROM shared WHERE id = 2')
  const wire = await WireClient.login(t, one.port)
  wire.query('SELECT v FROM shared WHERE id = 2')
  await until('all wait', () => Promise.resolve(one.proxy.clients().filter(({ state }) => state === 'active').length >= 7))
  await cancel(one.port, wire.key)
  t.match(await wire.until('ReadyForQuery'), [/57014/, 'ReadyForQuery I'], 'one that waits for another can be canceled')
  left.first.connection.stream.destroy()
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.equal(await waiting(), 1, 'the first has left, and its read goes on for the others')
  await locker.query('COMMIT')
  t.same(
    (await left.results).slice(1).map((result) => (result.status === 'fulfilled' ? result.value : String(result.reason))),
    Array(5).fill('b'),
  )
  t.same(outcomes.filter((each) => each === 'shared').length, 5)
})

t.test("an error is nobody else's", async (t) => {
  const locker = await primary.open({ user: 'app' })
  t.teardown(() => locker.close())
  await lock(locker, 'noted')
  const clients = await Promise.all(Array.from({ length: 4 }, () => one.connect()))
  const results = Promise.allSettled(clients.map((client) => client.query('SELECT 1 / (id - 1) FROM noted ORDER BY id')))
  await locker.query('COMMIT')
  t.same(
    (await results).map((result) => (result.status === 'rejected' ? (result.reason as { code: string }).code : 'ok')),
    Array(4).fill('22012'),
  )
})

t.test('the wire: each form of a read gets what a server would send, and its session stands as if it had run', async (t) => {
  await settled()
  const sql = JSON.stringify('SELECT id, v FROM wire WHERE id = $1')
  const forms: Readonly<Record<string, string[]>> = {
    'node-postgres': [`Parse "" ${sql} 0`, 'Bind "" "" 0 1 "1" 0', 'Describe P ""', 'Execute "" 0', 'Sync'],
    named: [`Parse "s1" ${sql} 1 23`, 'Bind "" "s1" 0 1 "1" 0', 'Describe P ""', 'Execute "" 0', 'Sync'],
    Npgsql: [`Parse "" ${sql} 0`, 'Describe S ""', 'Bind "" "" 0 1 "1" 1 1', 'Execute "" 0', 'Sync'],
    simple: ['Query "SELECT id, v FROM wire WHERE id = 1"'],
  }
  for (const [name, messages] of Object.entries(forms)) {
    const [a, b] = [await WireClient.login(t, one.port), await WireClient.login(t, one.port)]
    a.send(...messages)
    const first = await a.until('ReadyForQuery')
    outcomes.length = 0
    b.send(...messages)
    t.same(await b.until('ReadyForQuery'), first, name)
    t.same(outcomes, ['hit'], name)
    if (name !== 'named') continue
    b.send('Bind "" "s1" 0 1 "2" 0', 'Describe P ""', 'Execute "" 0', 'Sync')
    t.same(namesOf(await b.until('ReadyForQuery')), ['BindComplete', 'RowDescription', 'DataRow', 'CommandComplete', 'ReadyForQuery'])
    b.send('Bind "" "s1" 0 1 "1" 0', 'Describe P ""', 'Execute "" 0', 'Sync')
    t.same(await b.until('ReadyForQuery'), first.slice(1), 'its Parse is left out')
    b.send(`Parse "s1" ${sql} 0`, 'Sync')
    t.match(await b.until('ReadyForQuery'), [/42P05/, 'ReadyForQuery I'], 'the name is taken')
    b.send('Close S "s1"', 'Sync')
    await b.until('ReadyForQuery')
    b.send('Bind "" "s1" 0 1 "1" 0', 'Execute "" 0', 'Sync')
    t.match(await b.until('ReadyForQuery'), [/26000/, 'ReadyForQuery I'], 'and gone when it is closed')
  }
})

t.test('who does not ask for the columns gets only what was read after his Parse', async (t) => {
  await settled()
  const sql = JSON.stringify('SELECT id, v FROM wire')
  const outcomesOf = async (client: WireClient): Promise<string> => {
    outcomes.length = 0
    client.send('Bind "" "q" 0 0 0', 'Execute "" 0', 'Sync')
    await client.until('ReadyForQuery')
    return outcomes.join()
  }
  const [a, b] = [await WireClient.login(t, one.port), await WireClient.login(t, one.port)]
  for (const client of [a, b]) {
    client.send(`Parse "q" ${sql} 0`, 'Describe S "q"', 'Sync')
    await client.until('ReadyForQuery')
  }
  t.equal(await outcomesOf(a), 'miss')
  t.equal(await outcomesOf(a), 'hit')
  t.equal(await outcomesOf(b), 'unfit', 'b may have been told other columns')
  t.equal(await outcomesOf(b), 'hit')
})

t.test('what is not of such a form simply runs', async (t) => {
  const client = await WireClient.login(t, one.port)
  const sql = JSON.stringify('SELECT id, v FROM wire')
  outcomes.length = 0
  client.send(`Parse "" ${sql} 0`, 'Bind "" "" 0 0 0', 'Execute "" 1', 'Sync')
  t.same(namesOf(await client.until('ReadyForQuery')), ['ParseComplete', 'BindComplete', 'DataRow', 'PortalSuspended', 'ReadyForQuery'])
  client.send(`Parse "" ${sql} 0`, 'Bind "p" "" 0 0 0', 'Execute "p" 0', 'Sync')
  await client.until('ReadyForQuery')
  client.send(`Parse "" ${sql} 0`, 'Bind "" "" 0 0 0', 'Execute "" 0', 'Bind "" "" 0 0 0', 'Execute "" 0', 'Sync')
  await client.until('ReadyForQuery')
  client.send(`Parse "" ${sql} 0`, 'Bind "" "" 0 0 0', 'Execute "" 0', 'Flush')
  await client.until('CommandComplete')
  client.send('Sync')
  await client.until('ReadyForQuery')
  t.same(outcomes, [])
})
