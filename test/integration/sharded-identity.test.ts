// Ids for rows of sharded tables: pointsman.unique_id() through the proxy and the library, sequences that would meet, and tables that
// are not the same on every cluster.
import t, { type Test } from 'tap'
import pg from 'pg'
import type { ConfigInput } from '../../src/config/input.js'
import { checkServers } from '../../src/doors/cli/check-live.js'
import { until } from '../../src/embedded/until.js'
import { withProxy } from '../support/proxy.js'
import { router as routerOf } from '../support/router.js'
import { withTopology } from '../support/topology.js'
import { WireClient } from '../support/wire-client.js'

const seed = `CREATE TABLE things (id bigint PRIMARY KEY, number serial, n int NOT NULL DEFAULT 1, word text, CONSTRAINT few CHECK (n < 10));
  CREATE INDEX by_word ON things (word); CREATE TABLE countries (code text PRIMARY KEY, name varchar(20));`
const settings = { max_prepared_transactions: '20' }
const running = await withTopology(t, { clusters: { main: { seed, settings }, other: { seed, settings } } })
const names = ['main', 'other'] as const
const config: ConfigInput = {
  version: 1,
  clusters: Object.fromEntries(
    names.map((name) => [
      name,
      { nodes: running.cluster(name).nodes.map(({ address }) => address), dbname: 'app', user: 'app', password: 'app' },
    ]),
  ),
  databases: {
    app: {
      default: 'main',
      two_phase: true,
      reference: ['countries'],
      sharded: { things: { clusters: [...names], shards: 8, by: 'hash', key_type: 'bigint', tables: { things: 'id' } } },
    },
  },
  identity: { node: 5 },
}
const shared = await withProxy(t, config)
const trust: ConfigInput = { ...config, auth: { method: 'trust', users: [{ name: 'app' }] } }
const trusting = await withProxy(t, trust)

t.test('unique_id() as a key of INSERT, in SELECT, and refused where it would be called for each row', async (t) => {
  const client = await shared.connect()
  const one = await client.query('SELECT pointsman.unique_id()')
  t.equal(one.fields[0]?.name, 'unique_id')
  t.equal(one.fields[0]?.dataTypeID, 20)
  const seen = new Set<string>([one.rows[0].unique_id])
  for (let i = 0; i < 20; i++) {
    const { rows } = await client.query("INSERT INTO things (id, word) VALUES (pointsman.unique_id(), 'x') RETURNING id")
    seen.add(String(rows[0].id))
    t.equal((await client.query(`SELECT word FROM things WHERE id = ${rows[0].id as string}`)).rows[0]?.word, 'x', 'found by its key')
  }
  t.equal(seen.size, 21)
  const { rows } = await client.query('SELECT pointsman.unique_id(53) AS id')
  t.ok(Number.isSafeInteger(Number(rows[0].id)))
  for (const text of ['SELECT pointsman.unique_id() FROM things', 'UPDATE things SET n = pointsman.unique_id() WHERE id = 1'])
    await t.rejects(client.query(text), { code: '0A000' })
  const other = await (await withProxy(t, { ...config, identity: {} })).connect()
  await t.rejects(other.query('SELECT pointsman.unique_id()'), { code: '55000' })
})

/** Each id of `rows` is new, and its row is found by it. */
async function found(
  t: Test,
  client: Pick<pg.Client, 'query'>,
  rows: readonly { readonly id: string; readonly word: string }[],
): Promise<void> {
  t.equal(new Set(rows.map(({ id }) => id)).size, rows.length)
  for (const { id, word } of rows) t.equal((await client.query(`SELECT word FROM things WHERE id = ${id}`)).rows[0]?.word, word)
}

t.test('prepared: each execution brings new ids, on whatever connection, and they may be the shard key', async (t) => {
  const [client, other] = [await shared.connect(), await shared.connect()]
  const text = 'INSERT INTO things (id, word) VALUES (pointsman.unique_id(), $1) RETURNING id, word'
  const insert = async (on: pg.Client, word: string, name?: string): Promise<{ id: string; word: string }> =>
    (await on.query<{ id: string; word: string }>({ text, values: [word], ...(name === undefined ? {} : { name }) })).rows[0] ?? {
      id: '',
      word: '',
    }
  const rows: Awaited<ReturnType<typeof insert>>[] = []
  for (let i = 0; i < 8; i++) {
    rows.push(await insert(client, `unnamed ${String(i)}`))
    rows.push(await insert(client, `named ${String(i)}`, 'in'))
    rows.push(await insert(other, `other ${String(i)}`, 'in'))
  }
  await found(t, client, rows)
  const parts = await Promise.all(names.map((name) => rowsOn(name)))
  t.ok(
    parts.every((ids) => rows.some(({ id }) => ids.includes(id))),
    'keys of both clusters were drawn',
  )
  const several = await client.query(
    "INSERT INTO things (id, word) VALUES (pointsman.unique_id(), $2), (pointsman.unique_id(64), $1), (pointsman.unique_id(53), $3), (pointsman.unique_id(), 'd') RETURNING word, id",
    ['a', 'b', 'c'],
  )
  t.same(
    several.rows.map((row: { readonly word: string }) => row.word),
    ['b', 'a', 'c', 'd'],
  )
  await found(t, client, several.rows)
  await client.query('BEGIN')
  rows.push(await insert(client, 'in a transaction', 'in'))
  await client.query('COMMIT')
  await found(t, client, rows)
  const reference = await client
    .query({ text: 'INSERT INTO countries VALUES (pointsman.unique_id()::text, $1)', values: ['x'] })
    .catch((error: unknown) => error)
  t.match(reference, { code: '0A000' }, 'a cast is another expression')
  await client.query({ text: 'INSERT INTO countries (name, code) VALUES ($1, pointsman.unique_id())', values: ['everywhere'] })
  const codes = await Promise.all(names.map((name) => ask(name, "SELECT code FROM countries WHERE name = 'everywhere'")))
  t.same(codes[0], codes[1], 'the same on every cluster')
  const { rows: both } = await client.query({
    text: 'SELECT pointsman.unique_id(), $1::int AS n, pointsman.unique_id(53) AS small',
    values: [7],
  })
  t.match(both[0], { unique_id: /^[0-9]+$/, n: 7, small: /^[0-9]+$/ })
})

t.test('prepared: what its client is told of parameters, columns and errors is of its own text', async (t) => {
  const wire = await WireClient.login(t, trusting.port)
  const batch = async (...lines: string[]): Promise<readonly string[]> => {
    wire.send(...lines, 'Sync')
    return wire.until('ReadyForQuery')
  }
  const text = 'INSERT INTO things (word, id, n) VALUES ($1, pointsman.unique_id(), $2) RETURNING word'
  const described = await batch(`Parse "s" "${text}" 0`, 'Describe S "s"')
  t.same(described.slice(0, 2), ['ParseComplete', 'ParameterDescription 2 25 23'])
  t.match(described[2], /^RowDescription 1 "word"/)
  const [short = ''] = await batch('Bind "" "s" 0 1 "x" 0', 'Execute "" 0')
  t.match(short, /08P01.*has 1 parameters, and its prepared statement requires 2/)
  const four = JSON.stringify('\0\0\0\u0004')
  for (const formats of ['2 0 1', '1 1', '0']) {
    const value = formats === '0' ? '"4"' : four
    const bound = await batch(`Bind "" "s" ${formats} 2 "w" ${value} 0`, 'Describe P ""', 'Execute "" 0')
    t.match(bound, ['BindComplete', /^RowDescription 1 "word"/, 'DataRow 1 "w"', 'CommandComplete "INSERT 0 1"', 'ReadyForQuery I'])
  }
  t.equal(Number((await all("SELECT count(*) FROM things WHERE word = 'w' AND n = 4 AND id > 1000000"))[0]?.[0]), 3)
  const rows = Array.from({ length: 8 }, () => '(pointsman.unique_id(), $1)').join()
  const split = await batch(
    `Parse "" "INSERT INTO things (id, word) VALUES ${rows} RETURNING word" 0`,
    'Describe S ""',
    'Bind "" "" 0 1 "split" 0',
    'Execute "" 0',
  )
  t.ok(split.includes('ParameterDescription 1 25'), 'of rows for several clusters')
  t.equal(split.filter((line) => line === 'DataRow 1 "split"').length, 8)
  for (const [wrong, at] of [
    ['SELECT pointsman.unique_id(), nothing', 'nothing'],
    ['INSERT INTO things (id, word, no) VALUES (1, pointsman.unique_id(), 1)', 'no,'],
    ["INSERT INTO things (id, word, n) VALUES (pointsman.unique_id(), 'é', 'x'::wrong)", 'wrong'],
  ] as const) {
    const failed = await batch(`Parse "" ${JSON.stringify(wrong)} 0`, 'Bind "" "" 0 0 0', 'Execute "" 0')
    const position = / P "(\d+)"/.exec(failed[0] ?? '')?.[1]
    t.equal(Number(position), wrong.indexOf(at === 'no,' ? 'no)' : at) + 1, `${wrong}: ${failed[0] ?? ''}`)
  }
  // One that has no ids says why where its Bind stands; what came before stands.
  const none = await WireClient.login(t, (await withProxy(t, { ...trust, identity: {} })).port)
  none.send('Parse "s" "SELECT pointsman.unique_id()" 0', 'Bind "" "s" 0 0 0', 'Execute "" 0', 'Sync', 'Describe S "s"', 'Sync')
  t.match(await none.until('ReadyForQuery'), ['ParseComplete', /55000.*identity.node is not set/, 'ReadyForQuery I'])
  t.match(await none.until('ReadyForQuery'), ['ParameterDescription 0', /^RowDescription 1 "unique_id"/, 'ReadyForQuery I'])
})

t.test('PREPARE and EXECUTE: each EXECUTE brings new ids; what is more than that is refused', async (t) => {
  const client = await shared.connect()
  await client.query('PREPARE p (text) AS INSERT INTO things (id, word) VALUES (pointsman.unique_id(), $1) RETURNING id, word')
  await client.query('PREPARE none AS SELECT pointsman.unique_id()')
  const rows = []
  for (const word of ['a)', 'b', 'c', 'd']) rows.push((await client.query(`EXECUTE p ('${word}') -- a comment )`)).rows[0])
  await found(t, client, rows)
  const drawn = [await client.query('EXECUTE none'), await client.query('EXECUTE none;')].map(({ rows }) => rows[0].unique_id as string)
  t.ok(BigInt(drawn[0] ?? 0) < BigInt(drawn[1] ?? 0))
  const wire = await WireClient.login(t, trusting.port)
  const prepare = "PREPARE q AS INSERT INTO things (id, word) VALUES (pointsman.unique_id(), 'q') RETURNING word"
  wire.send(`Parse "" "${prepare}" 0`, 'Bind "" "" 0 0 0', 'Execute "" 0', 'Sync', 'Bind "" "q" 0 0 0', 'Execute "" 0', 'Sync')
  t.match(await wire.until('ReadyForQuery', 2), { 5: 'DataRow 1 "q"' }, 'what PREPARE has prepared is bound')
  wire.send('Parse "" "EXECUTE q" 0', 'Bind "" "" 0 0 0', 'Execute "" 0', 'Sync')
  t.match((await wire.until('ReadyForQuery')).join(), /0A000/)
  for (const text of [
    'EXPLAIN EXECUTE p (1)',
    'CREATE TABLE x AS EXECUTE none',
    'SELECT 1; EXECUTE none',
    'PREPARE z AS SELECT pointsman.unique_id() FROM things',
  ])
    await t.rejects(client.query(text), { code: '0A000' }, text)
})

t.test('what a Query has prepared first of all in a process is bound: its ids are waited for', async (t) => {
  const wire = await WireClient.login(t, (await withProxy(t, trust)).port)
  wire.send('Query "PREPARE first AS SELECT pointsman.unique_id()"', 'Bind "" "first" 0 0 0', 'Execute "" 0', 'Sync')
  t.match(await wire.until('ReadyForQuery', 2), { 2: 'BindComplete', 3: /^DataRow 1 "[0-9]+"/ })
})

t.test('the library: parameterised queries, named and not; as bigint and as number', async (t) => {
  const router = routerOf(t, config)
  await router.ready()
  const rows = []
  for (const name of [undefined, 'n', 'n', undefined]) {
    const text = 'INSERT INTO things (word, id) VALUES ($1, pointsman.unique_id()) RETURNING id, word'
    rows.push((await router.query({ text, values: [`library ${String(rows.length)}`], ...(name === undefined ? {} : { name }) })).rows[0])
  }
  rows.push((await router.query("INSERT INTO things (word, id) VALUES ('plain', pointsman.unique_id()) RETURNING id, word")).rows[0])
  // As sql-template-strings makes them.
  const made = 'INSERT INTO things (word, id) VALUES ($1, pointsman.unique_id()) RETURNING id, word'
  class Template {
    readonly values: readonly unknown[] = ['template']
    get text(): string {
      return made
    }
  }
  rows.push((await router.query(new Template() as pg.QueryConfig)).rows[0])
  await found(t, router, rows)
  await t.rejects(router.query('SELECT pointsman.unique_id() FROM things'), { code: '0A000' })
  const client = await router.connect()
  await t.rejects(client.query('PREPARE p AS INSERT INTO things (id) VALUES (pointsman.unique_id())'), { code: '0A000' })
  client.release()
  t.type(await router.uniqueId(), 'bigint')
  t.ok(Number.isSafeInteger(await router.uniqueId(53)))
})

async function ask(cluster: string, sql: string): Promise<readonly (readonly unknown[])[]> {
  const { host, port } = running.cluster(cluster).primary
  const client = new pg.Client({ host, port, user: 'app', password: 'app', database: 'app' })
  await client.connect()
  return (await client.query({ text: sql, rowMode: 'array' }).finally(() => client.end())).rows
}

async function all(sql: string): Promise<readonly (readonly unknown[])[]> {
  const client = await shared.connect()
  return (await client.query({ text: sql, rowMode: 'array' })).rows
}

async function rowsOn(cluster: string): Promise<readonly string[]> {
  return (await ask(cluster, 'SELECT id FROM things')).map(([id]) => String(id))
}

async function warnings(): Promise<readonly string[]> {
  const report = await checkServers(shared.runtime.current().config, () => null)
  return report.warnings
    .filter(({ path }) => /sharded|reference/.test(path))
    .map(({ message, found, allowed }) => `${message}: ${found} | ${allowed}`)
}

t.test('SET CONSTRAINTS counts for one server, so it keeps the transaction there', async (t) => {
  const client = await shared.connect()
  const [here = '', there = ''] = await Promise.all(names.map(async (name) => (await rowsOn(name))[0]))
  const touch = (id: string): Promise<unknown> => client.query(`UPDATE things SET n = 2 WHERE id = ${id}`)
  await client.query('BEGIN')
  await touch(here)
  await client.query('SET CONSTRAINTS ALL DEFERRED')
  await touch(here)
  await t.rejects(touch(there), { code: '0A000', hint: /SET CONSTRAINTS/ })
  await client.query('ROLLBACK')
  await client.query('BEGIN')
  await Promise.all([touch(here), touch(there)])
  await t.rejects(client.query('SET CONSTRAINTS ALL DEFERRED'), { code: '0A000' })
  await client.query('ROLLBACK')
  await client.query('BEGIN')
  await touch(there)
  await touch(here)
  await client.query('COMMIT')
})

t.test('what a PAUSE holds back while tables move is planned again, on several clusters and by name too', async (t) => {
  const paused = await withProxy(t, trust)
  const clients = await Promise.all([1, 2, 3, 4, 5].map(() => paused.connect()))
  const [scatter, broadcast, executes] = clients as [pg.Client, pg.Client, pg.Client]
  await executes.query('PREPARE p (bigint) AS SELECT count(*) FROM things WHERE id = $1')
  const id = (await rowsOn('main'))[0] ?? ''
  const before = Number((await scatter.query('SELECT count(*) FROM things')).rows[0].count)
  paused.runtime.gate.pause({ kind: 'all', name: '' }, 'test')
  const answers = Promise.all([
    scatter.query('SELECT count(*) FROM things'),
    broadcast.query('UPDATE things SET n = 3'),
    executes.query(`EXECUTE p (${id})`),
    clients[3]?.query({ text: 'SELECT count(*) FROM things WHERE n > $1', values: [-1] }),
    clients[4]?.query({ text: 'UPDATE countries SET name = $1', values: ['all'] }),
  ])
  await until('all wait', async () => paused.runtime.gate.waiting === 5)
  const moved = await paused.runtime.alter((config) => {
    const app = config.databases.get('app')
    if (app === undefined || app.twoPhase === null) throw new Error('no two_phase')
    return { ...config, databases: new Map([['app', { ...app, twoPhase: { ...app.twoPhase, lockTimeoutMs: 4_321 } }]]) }
  })
  t.match(moved, { outcome: 'applied' })
  paused.runtime.gate.resume({ kind: 'all', name: '' })
  const [counted, updated, named, bound] = await answers
  t.equal(Number(counted.rows[0].count), before)
  t.equal(updated.rowCount, before)
  t.equal(Number(named.rows[0].count), 1)
  t.equal(Number(bound?.rows[0].count), before)
})

t.test('check --live: sequences that will meet, with what brings them apart; tables that differ', async (t) => {
  const [meeting, ...none] = await warnings()
  t.same(none, [])
  t.match(meeting, /sequence public\.things_number_seq will give the same numbers/)
  const orders = [...(meeting ?? '').matchAll(/(ALTER SEQUENCE [^;]+); -- on (main|other)/g)]
  t.equal(orders.length, 2)
  for (const [, sql = '', cluster = ''] of orders) await ask(cluster, sql)
  t.same(await warnings(), [])
  await ask('other', 'ALTER TABLE things ALTER n SET DEFAULT 2, DROP CONSTRAINT few, ADD extra int')
  await ask('other', 'DROP INDEX by_word')
  await ask('other', 'ALTER TABLE countries ALTER name TYPE varchar(30)')
  for (const name of names) {
    await ask(name, 'CREATE UNIQUE INDEX few_words ON things (word) WHERE n > 8')
    await ask(name, 'CREATE UNIQUE INDEX with_key ON things (word, id)')
    await ask(name, 'CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$')
    await ask(name, 'CREATE TRIGGER told AFTER UPDATE ON things EXECUTE FUNCTION tell()')
    await ask(name, 'CREATE TRIGGER each AFTER UPDATE ON things FOR EACH ROW EXECUTE FUNCTION tell()')
  }
  const found = await warnings()
  for (const wanted of [
    /public\.things column n is not the same on clusters main and other: integer NOT NULL DEFAULT 2/,
    /public\.things constraint few is not the same .*: none on cluster other/,
    /public\.things column extra .*\| none, as on cluster main/,
    /public\.things order of columns/,
    /public\.things index by_word/,
    /public\.countries column name .*varying\(30\)/,
    /index few_words of public\.things is unique on each cluster apart, and so is ON CONFLICT: .*\(word\) \| the shard key in it \(id\)/,
    /trigger told of public\.things fires once for a statement on each cluster/,
  ])
    t.ok(
      found.some((line) => wanted.test(line)),
      String(wanted),
    )
  t.equal(found.length, 8)
})
