// Session state through transaction pooling, held against PostgreSQL itself: each script runs on direct connections to one
// server and through the proxy to another that is the same, with several clients meeting on ONE server connection. Every
// answer, error, notice and status parameter must be the same.
import type pg from 'pg'
import t, { type Test } from 'tap'
import { Recorded } from '../support/differential.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'
import { until } from '../../src/embedded/until.js'

const described = {
  prepare: `CREATE ROLE other; GRANT other TO app; GRANT ALL ON SCHEMA public TO other; CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'boss';
    CREATE ROLE tuned LOGIN PASSWORD 'tuned'; ALTER ROLE tuned SET work_mem = '321kB'; ALTER ROLE tuned SET search_path = s1, public;
    ALTER ROLE tuned SET timezone = 'Asia/Tokyo'`,
  seed: `CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT g, 0 FROM generate_series(1, 10) g;
    CREATE TABLE serials (id serial PRIMARY KEY, v int); CREATE SEQUENCE sq; CREATE SCHEMA "Mixed"; CREATE SCHEMA s1; CREATE TABLE s1.items (id int);
    CREATE FUNCTION setter(a text, b text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config(a, b, false); END $$;
    CREATE FUNCTION set_tenant(n int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('app.tenant_id', n::text, false); END $$;
    CREATE FUNCTION tuned() RETURNS text LANGUAGE sql SET work_mem = '123kB' AS $$ SELECT current_setting('work_mem') $$;
    CREATE FUNCTION locker() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(77); RETURN 1; END $$;
    CREATE FUNCTION temper() RETURNS int LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE made (a int); RETURN 1; END $$`,
}
const running = await withTopology(t, { clusters: { main: described, plain: described } })
const main = running.cluster('main')
const plain = Number(new URL(running.url(running.cluster('plain').primary)).port)
const config = (max: number) => ({
  version: 1 as const,
  auth: { method: 'scram-sha-256' as const, users: ['app', 'boss', 'tuned'].map((name) => ({ name, password: name })) },
  clusters: {
    main: {
      dbname: 'app',
      tls: { mode: 'disable' as const },
      monitor: { user: 'boss', password: 'boss' },
      nodes: main.nodes.map((node) => node.address),
      pool: { max, wait: '20s' },
    },
  },
  databases: { app: { default: 'main' } },
})
const one = await withProxy(t, config(1))
const four = await withProxy(t, config(4))

/** Who says it (a letter), what, and its parameters. */
type Step = readonly [who: string, sql: string, values?: readonly unknown[]]
type Logins = Readonly<Record<string, pg.ClientConfig>>

const watched = `work_mem search_path timezone application_name extra_float_digits statement_timeout datestyle intervalstyle role
  session_authorization client_encoding default_transaction_isolation default_transaction_read_only
  idle_in_transaction_session_timeout standard_conforming_strings bytea_output`.split(/\s+/)
const see: readonly Step[] = watched.map((name) => ['a', `SHOW ${name}`])
/** Another client, who sets everything otherwise. */
const spoil: readonly Step[] = [
  "SET work_mem = '77kB'",
  "SET search_path = ''",
  "SET timezone = 'Asia/Tokyo'",
  "SET application_name = 'bbb'",
  'SET extra_float_digits = 0',
  "SET statement_timeout = '1h'",
  "SET DateStyle = 'German, DMY'",
].map((sql) => ['b', sql])
const other: Step = ['b', 'SELECT count(*) FROM public.items']
const says = (...texts: readonly string[]): readonly Step[] => texts.map((sql) => ['a', sql])
/** With another client after each. */
const apart = (...texts: readonly string[]): readonly Step[] => says(...texts).flatMap((step) => [step, other])

async function compare(t: Test, steps: readonly Step[], logins: Logins = {}, port = one.port): Promise<void> {
  const made = (at: number): Map<string, Recorded> =>
    new Map([...new Set(steps.map(([who]) => who))].map((who) => [who, new Recorded(loginOf(at, logins[who]))]))
  const [direct, proxied] = [made(plain), made(port)]
  try {
    for (const [who, client] of direct) t.same(await proxied.get(who)?.connect(), await client.connect(), `login of ${who}`)
    for (const [who, sql, values] of steps) {
      const wanted = await direct.get(who)?.say(sql, values)
      t.same(await proxied.get(who)?.say(sql, values), wanted, `${who}: ${sql}`)
    }
  } finally {
    await Promise.all([...direct.values(), ...proxied.values()].map((client) => client.end()))
  }
}

function loginOf(port: number, login: pg.ClientConfig = {}): pg.ClientConfig {
  const user = login.user ?? 'app'
  return { host: '127.0.0.1', port, database: 'app', password: user, ...login, user }
}

t.test('what a client is told at its login, and what it starts with', async (t) => {
  await compare(t, see)
  await compare(t, see, { a: { user: 'tuned' } })
  const startup = {
    options: '-c statement_timeout=5s -c search_path=s1,public -c DateStyle=German --work-mem=99kB -c extra_float_digits=2',
    idle_in_transaction_session_timeout: 3000,
    application_name: 'me',
  }
  await compare(
    t,
    [...see, ...says('RESET ALL'), ...spoil, ...see, ...says('SET search_path = public', 'RESET search_path', 'DISCARD ALL'), ...see],
    {
      a: startup,
    },
  )
})

t.test('SET and its like', async (t) => {
  const values = ["SET work_mem = '1MB'", 'SET SESSION work_mem TO 2048', "SET TIME ZONE 'Europe/Rome'", 'SET TIME ZONE -3.5']
  const zones = [
    "SET TIME ZONE INTERVAL '+02:00' HOUR TO MINUTE",
    "SET TIME ZONE INTERVAL '2' HOUR",
    'SET TIME ZONE LOCAL',
    'SET TIME ZONE DEFAULT',
  ]
  const names = ["SET NAMES 'LATIN1'", 'SET NAMES DEFAULT', 'SET search_path = s1, "Mixed", public', "SET SCHEMA 's1'"]
  const functions = ["SELECT pg_catalog.set_config('search_path', '', false)", "SELECT set_config('work_mem', NULL, false)"]
  for (const texts of [values, zones, names, functions]) {
    await compare(t, [...says(...texts).flatMap((step) => [step, ...spoil]), ...see])
  }
})

t.test('roles', async (t) => {
  await compare(t, [
    ...apart(
      'SET ROLE other',
      'SELECT current_user',
      'RESET ALL',
      'SELECT current_user',
      'SET ROLE NONE',
      'SET ROLE nosuch',
      'SET ROLE boss',
    ),
    ...see,
  ])
  const steps = apart(
    'SET SESSION AUTHORIZATION app',
    'SELECT current_user, session_user',
    'SET ROLE other',
    'SELECT current_user',
    'RESET SESSION AUTHORIZATION',
  )
  const local = says('BEGIN', 'SET LOCAL SESSION AUTHORIZATION app', 'SELECT current_user', 'COMMIT', 'SELECT current_user')
  await compare(t, [...steps, ...local, ...see], { a: { user: 'boss' }, b: { user: 'boss' } })
})

t.test('transactions, savepoints and errors', async (t) => {
  const local = [
    'SET LOCAL work_mem = 99',
    'BEGIN',
    "SET LOCAL work_mem = '99kB'",
    'SHOW work_mem',
    'SET LOCAL work_mem TO DEFAULT',
    'SHOW work_mem',
  ]
  const nested = [
    'SET search_path = s1',
    'SAVEPOINT p',
    'SET search_path = "Mixed"',
    'SELECT 1/0',
    'SHOW search_path',
    'ROLLBACK TO p',
    'SHOW search_path',
  ]
  const released = ['SAVEPOINT p', "SET work_mem = '1MB'", 'RELEASE p', 'ROLLBACK TO p', 'COMMIT']
  await compare(t, [...says(...local, ...nested, ...released), ...spoil, ...see])
  const errors = ["SET work_mem = 'x'", 'SET nosuch = 1', 'SET server_version = 1', 'RESET nosuch', "SET work_mem = '1MB'; SELECT 1/0"]
  const groups = ["SET work_mem = '1MB'; COMMIT; SELECT 1/0", "BEGIN; SET work_mem = '2MB'; COMMIT; SET work_mem = '3MB'; SELECT 1/0"]
  await compare(t, [...apart(...errors, ...groups), ...see])
  const modes = ['SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY', 'INSERT INTO items VALUES (99, 1)']
  const shown = [
    'BEGIN READ WRITE',
    'SHOW transaction_isolation',
    'COMMIT',
    'RESET default_transaction_read_only',
    'SHOW transaction_read_only',
  ]
  await compare(t, [...apart(...modes), ...says(...shown), ...see])
  await compare(
    t,
    apart('DISCARD PLANS', 'DISCARD SEQUENCES', 'DISCARD TEMP', "SET work_mem = '2MB'; DISCARD ALL", 'SHOW work_mem', 'DISCARD ALL'),
  )
})

t.test('what nobody sees being set follows all the same', async (t) => {
  await compare(t, [
    ...apart("SELECT setter('work_mem', '1MB')", 'SHOW work_mem', "SELECT setter('search_path', 's1')", 'SHOW search_path'),
    ...apart("DO $$ BEGIN PERFORM set_config('timezone', 'Asia/Tokyo', false); END $$", 'SHOW timezone', 'SELECT tuned()', 'SHOW work_mem'),
    ...apart("UPDATE pg_settings SET setting = '2MB' WHERE name = 'work_mem'", 'SHOW work_mem', 'RESET work_mem', 'SHOW work_mem'),
    ['a', 'SELECT set_config($1, $2, false)', ['work_mem', '3MB']],
    ...apart('SHOW work_mem'),
    ['a', 'SELECT set_config($1, $2, false)', ['app.user', 'me']],
    ...apart("SELECT current_setting('app.user')", 'SELECT set_tenant(5)', "SELECT current_setting('app.tenant_id')"),
    ...apart(
      "SELECT setter('my.own', 'x')",
      "SELECT current_setting('my.own')",
      "SELECT set_config('work' || '_mem', '5MB', false)",
      'SHOW work_mem',
    ),
  ])
})

t.test('temporary tables pin, however they were made, until they are gone', async (t) => {
  await compare(t, [
    ...says('CREATE TEMP TABLE tt (a int)', 'INSERT INTO tt VALUES (1)', 'SELECT * FROM tt', 'DROP TABLE tt'),
    other,
    ...says('SELECT * FROM tt'),
  ])
  await compare(t, [
    ...says('BEGIN', 'CREATE TEMP TABLE tt (a int) ON COMMIT DROP', 'COMMIT'),
    other,
    ...says('BEGIN', 'CREATE TEMP TABLE tt (a int)', 'ROLLBACK'),
    other,
  ])
  await compare(t, [
    ...says('SELECT 1 AS x INTO TEMP tt', 'DISCARD TEMP'),
    other,
    ...says('CREATE TEMP SEQUENCE ts', 'DROP SEQUENCE ts'),
    other,
  ])
  await compare(t, [
    ...says('SELECT temper()', 'SELECT * FROM made', 'INSERT INTO made VALUES (1)', 'TABLE made', 'DROP TABLE made'),
    other,
    ...says('TABLE made'),
  ])
  await compare(t, [
    ...says('DO $$ BEGIN CREATE TEMP TABLE items (z int); END $$', 'SELECT * FROM items', 'DROP TABLE items'),
    other,
    ...says('SELECT count(*) FROM items'),
  ])
  await compare(t, [
    ...says('CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql RETURN 1', 'SELECT pg_temp.f()', 'DROP FUNCTION pg_temp.f()'),
    other,
  ])
})

t.test('advisory locks pin until the server says that none is held', async (t) => {
  await compare(t, [
    ...says('SELECT pg_advisory_lock(5)', 'SELECT pg_advisory_unlock(5)'),
    other,
    ['b', 'SELECT pg_try_advisory_lock(5)'],
    ['b', 'SELECT pg_advisory_unlock_all()'],
    ...says('SELECT 1'),
  ])
  await compare(t, [
    ...says('SELECT pg_catalog.pg_advisory_lock(5), pg_advisory_lock(6)', 'SELECT pg_advisory_unlock(5)', 'SELECT pg_advisory_unlock(6)'),
    other,
  ])
  await compare(t, [
    ...says('SELECT locker()', 'SELECT pg_advisory_unlock(77)'),
    other,
    ...says('SELECT pg_advisory_lock(1), 1/0', 'SELECT pg_advisory_unlock_all()'),
    other,
  ])
  await compare(t, [['a', 'SELECT pg_advisory_lock($1)', [9]], ['a', 'SELECT pg_advisory_unlock($1)', [9]], other])
  const failed: readonly Step[] = [['b', 'SELECT pg_try_advisory_lock(5)'], ...Array.from({ length: 4 }, () => other)]
  await compare(t, [...says('SELECT pg_advisory_lock(5)'), ...failed, ...says('SELECT pg_advisory_unlock(5)')], {}, four.port)
})

t.test('cursors WITH HOLD pin until they are closed', async (t) => {
  const held = 'DECLARE c CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id'
  await compare(t, [
    ...says(held, 'FETCH 2 FROM c', 'CLOSE c'),
    other,
    ...says('FETCH c', 'BEGIN', held, 'ROLLBACK'),
    other,
    ...says(held, 'CLOSE ALL'),
    other,
  ])
})

const isRow = (line: string): boolean => line.startsWith('DataRow')

t.test('currval and lastval are a session’s own', async (t) => {
  const ask = new Recorded(loginOf(four.port))
  await ask.connect()
  t.match(await ask.say('SELECT lastval()'), [/^Error ERROR 55000/, 'Ready I'], 'who asks first is remembered')
  await ask.end()
  await compare(
    t,
    [
      ...says("SELECT nextval('sq')", "SELECT currval('sq'), lastval()"),
      ['b', "SELECT nextval('sq')"],
      ['b', 'SELECT lastval()'],
      ['a', 'INSERT INTO serials (v) VALUES (1)'],
      ['b', 'INSERT INTO serials (v) VALUES (1)'],
      ['a', "SELECT lastval(), currval('serials_id_seq')"],
      ['b', 'SELECT lastval()'],
      ...says("SELECT nextval('sq'); SELECT currval('sq')", 'BEGIN', 'INSERT INTO serials (v) VALUES (1)'),
      ['b', 'INSERT INTO serials (v) VALUES (1)'],
      ...says("INSERT INTO serials (v) VALUES (currval('serials_id_seq'))", 'COMMIT'),
    ],
    {},
    four.port,
  )
  const [first, second] = [new Recorded(loginOf(one.port)), new Recorded(loginOf(one.port))]
  await Promise.all([first.connect(), second.connect()])
  await first.say("SELECT nextval('sq')")
  for (const sql of ['BEGIN', 'INSERT INTO serials (v) VALUES (1)']) await second.say(sql)
  t.match(await second.say("SELECT currval('sq')"), [/^Error ERROR 55000/, 'Ready E'], 'nor in a transaction that has drawn from another')
  for (const sql of ['ROLLBACK', 'BEGIN']) await second.say(sql)
  const drawn = await second.say("SELECT nextval('sq')")
  t.same((await second.say("SELECT currval('sq')")).filter(isRow), drawn.filter(isRow), 'what it has drawn itself it is told')
  await second.say('COMMIT')
  await first.say("SELECT nextval('sq')")
  t.match(await second.say("SELECT currval('sq')"), [/^Error ERROR 55000/, 'Ready I'], 'never what another has drawn')
  await Promise.all([first.end(), second.end()])
})

t.test('the number that a client was given is its own', async (t) => {
  const [client, victim] = [await one.connect(), await four.connect()]
  const own = (of: pg.Client): number => (of as unknown as { processID: number }).processID
  const ask = async (sql: string, values: unknown[] = []): Promise<unknown> =>
    Object.values((await client.query<object>(sql, values)).rows[0] ?? {})[0]
  t.equal(await ask('SELECT pg_backend_pid()'), own(client))
  t.equal(await ask('SELECT pg_catalog.pg_backend_pid() AS me', []), own(client))
  t.ok(Number(await ask('SELECT max(pid) FROM pg_stat_activity')) < 4_194_304, 'that of a server is another')
  t.not(await ask('SELECT pid FROM pg_stat_activity WHERE pid = pg_backend_pid()'), own(client))
  t.equal(await ask(`SELECT pg_cancel_backend(${String(own(victim))})`), false, 'it is a client of another proxy')
  const mate = await one.connect()
  await mate.query('BEGIN')
  t.equal(
    await (async () => {
      const idle = await ask(`SELECT pg_cancel_backend(${String(own(mate))})`).catch((error: unknown) => error)
      return idle instanceof Error ? idle.message : 'answered'
    })(),
    'answered',
    'a BEGIN that is not sent yet has no connection',
  )
  await mate.query('ROLLBACK')
  const [a, b] = [await four.connect(), await four.connect()]
  const binary = (pid: number): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(pid)
    return bytes
  }
  const signal = async (kind: string, pid: number, by = a, value: unknown = null): Promise<unknown> =>
    Object.values(
      (
        await (value === null
          ? by.query<object>(`SELECT pg_${kind}_backend(${String(pid)})`)
          : by.query<object>(`SELECT pg_${kind}_backend($1)`, [value]))
      ).rows[0] ?? {},
    )[0]
  const busy = async (): Promise<boolean> => {
    const rows = await main.primary.sql("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(600)%'")
    return rows.length === 1
  }
  for (const value of [null, own(b), binary(own(b))]) {
    const slept = b.query('SELECT pg_sleep(600)').catch((error: unknown) => (error as { code: string }).code)
    await until('it sleeps', busy)
    t.equal(await signal('cancel', own(b), a, value), true)
    t.equal(await slept, '57014')
  }
  await a.query('BEGIN')
  await t.rejects(a.query('SELECT 1 / 0'))
  for (const value of [null, own(b)]) await t.rejects(signal('terminate', own(b), a, value), { code: '25P02' })
  await a.query('ROLLBACK')
  t.same((await b.query('SELECT 1 AS n')).rows, [{ n: 1 }], 'a failed transaction does nothing to anybody')
  const stranger = await four.connect({ user: 'tuned', password: 'tuned' })
  await t.rejects(signal('terminate', own(b), stranger), { code: '42501' })
  const boss = await four.connect({ user: 'boss', password: 'boss' })
  const ended = new Promise<string>((resolve) => stranger.once('error', (error) => resolve((error as { code?: string }).code ?? '')))
  t.equal(await signal('terminate', own(stranger), boss), true)
  t.equal(await ended, '57P01')
})

t.test('a client that terminates itself hears 57P01, and one that is waited for is ended as well', async (t) => {
  for (const values of [undefined, [], null]) {
    const client = await four.connect()
    const gone = new Promise<void>((resolve) => client.once('end', () => resolve()))
    client.on('error', () => undefined)
    if (values !== null) await client.query('BEGIN; CREATE TABLE left_behind (a int)')
    await t.rejects(client.query('SELECT pg_terminate_backend(pg_backend_pid())', values ?? []), { code: '57P01' })
    await gone
  }
  const [boss, victim] = [await four.connect({ user: 'boss', password: 'boss' }), await four.connect()]
  t.same((await boss.query("SELECT to_regclass('left_behind') AS found")).rows, [{ found: null }], 'its transaction with it')
  const ended = new Promise<string>((resolve) => victim.once('error', (error) => resolve((error as { code?: string }).code ?? '')))
  const { processID } = victim as unknown as { processID: number }
  t.same((await boss.query(`SELECT pg_terminate_backend(${String(processID)}, 5000) AS done`)).rows, [{ done: true }])
  t.equal(await ended, '57P01')
})

t.test('a transaction whose server process is terminated hears it', async (t) => {
  const client = await four.connect()
  const ended = new Promise<string>((resolve) => client.once('error', (error) => resolve((error as { code?: string }).code ?? '')))
  await client.query('BEGIN')
  const { rows } = await client.query<{ pid: number }>('SELECT max(pg_backend_pid()) AS pid')
  await main.primary.sql(`SELECT pg_terminate_backend(${String(rows[0]?.pid)})`)
  t.equal(await ended, '57P01')
})

t.test('the random numbers after SET seed are those of that seed, whoever else is there', async (t) => {
  const [client, other] = [await four.connect(), await four.connect()]
  const numbers = async (alone: boolean): Promise<unknown[]> => {
    await client.query('SET seed = 0.25')
    const found: unknown[] = []
    for (let n = 0; n < 3; n++) {
      found.push(((await client.query('SELECT random() AS n')).rows as { n: number }[])[0]?.n)
      if (!alone) await other.query('SELECT random()')
    }
    return found
  }
  t.same(await numbers(false), await numbers(true))
  await Promise.all([client.end(), other.end()])
})

t.test('session_authorization of a startup packet is not taken notice of', async (t) => {
  const client = await one.connect({ options: '-c session_authorization=tuned' })
  t.same((await client.query('SELECT session_user AS who')).rows, [{ who: 'app' }])
  await client.end()
})

t.test('what follows a RESET in its message would run before it is done', async (t) => {
  const client = await one.connect({ options: '-c search_path=s1' })
  await t.rejects(client.query('RESET search_path; SELECT count(*) FROM items'), { code: '0A000' })
  await client.query('SELECT 1; RESET search_path; SET work_mem = 64')
  t.same((await client.query('SHOW search_path')).rows, [{ search_path: 's1' }])
})

t.test('a session that reads text in another way can go back, also where nothing may be written', async (t) => {
  const client = await four.connect()
  await client.query('SET standard_conforming_strings = off')
  four.runtime.switches.setReadOnly('main', { message: 'for a test', by: 'test' }, 'test')
  await t.rejects(client.query('SELECT 1'), { code: '25006' })
  await client.query('RESET standard_conforming_strings')
  t.same((await client.query("SELECT 'a\\b' AS x")).rows, [{ x: 'a\\b' }])
  four.runtime.switches.setReadOnly('main', null, 'test')
})

t.test('whoever leaves, leaves nothing', async (t) => {
  const scripts: readonly (readonly string[])[] = [
    ["SELECT setter('work_mem', '1MB')"],
    ['SELECT pg_advisory_lock(88)'],
    ['CREATE TEMP TABLE left_over (a int)'],
    ['BEGIN', "SET work_mem = '9MB'", 'SELECT pg_advisory_lock(88)'],
    ["SELECT set_config('left.over', 'x', false)", 'DECLARE c CURSOR WITH HOLD FOR SELECT 1'],
  ]
  for (const script of scripts) {
    const client = await one.connect()
    // One more, so that the server has been asked what the last one left.
    for (const sql of [...script, 'SELECT 1']) await client.query(sql)
    ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
    const next = await one.connect()
    const { rows } = await next.query(
      "SELECT current_setting('work_mem') AS m, coalesce(current_setting('left.over', true), '') AS l, (SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory') AS k, (SELECT count(*)::int FROM pg_cursors) AS c, to_regclass('pg_temp.left_over') AS t",
    )
    t.same(rows, [{ m: '4MB', l: '', k: 0, c: 0, t: null }], script.join('; '))
    await next.end()
  }
})
