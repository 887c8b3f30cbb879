// Ids for rows of sharded tables: pointsman.unique_id() through the proxy and the library, sequences that would meet, and tables that
// are not the same on every cluster.
import t from 'tap'
import pg from 'pg'
import type { ConfigInput } from '../../src/config/input.js'
import { checkServers } from '../../src/doors/cli/check-live.js'
import { withProxy } from '../support/proxy.js'
import { router as routerOf } from '../support/router.js'
import { withTopology } from '../support/topology.js'

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
  await t.rejects(client.query({ text: 'SELECT pointsman.unique_id() AS id, $1::int AS n', values: [1] }), { code: '0A000' })
  const other = await (await withProxy(t, { ...config, identity: {} })).connect()
  await t.rejects(other.query('SELECT pointsman.unique_id()'), { code: '55000' })
})

t.test('the library gives them as bigint and as number', async (t) => {
  const router = routerOf(t, config)
  await router.ready()
  t.type(await router.uniqueId(), 'bigint')
  t.ok(Number.isSafeInteger(await router.uniqueId(53)))
})

async function warnings(): Promise<readonly string[]> {
  const report = await checkServers(shared.runtime.current().config, () => null)
  return report.warnings
    .filter(({ path }) => /sharded|reference/.test(path))
    .map(({ message, found, allowed }) => `${message}: ${found} | ${allowed}`)
}

t.test('check --live: sequences that will meet, with what brings them apart; tables that differ', async (t) => {
  const [meeting, ...none] = await warnings()
  t.same(none, [])
  t.match(meeting, /sequence public\.things_number_seq will give the same numbers/)
  const orders = [...(meeting ?? '').matchAll(/(ALTER SEQUENCE [^;]+); -- on (main|other)/g)]
  t.equal(orders.length, 2)
  const run = async (cluster: string, sql: string): Promise<unknown> => {
    const { host, port } = running.cluster(cluster).primary
    const client = new pg.Client({ host, port, user: 'app', password: 'app', database: 'app' })
    await client.connect()
    return client.query(sql).finally(() => client.end())
  }
  for (const [, sql = '', cluster = ''] of orders) await run(cluster, sql)
  t.same(await warnings(), [])
  await run('other', 'ALTER TABLE things ALTER n SET DEFAULT 2, DROP CONSTRAINT few, ADD extra int; DROP INDEX by_word')
  await run('other', 'ALTER TABLE countries ALTER name TYPE varchar(30)')
  const found = await warnings()
  for (const wanted of [
    /public\.things column n is not the same on clusters main and other: integer NOT NULL DEFAULT 2/,
    /public\.things constraint few is not the same .*: none on cluster other/,
    /public\.things column extra .*\| none, as on cluster main/,
    /public\.things order of columns/,
    /public\.things index by_word/,
    /public\.countries column name .*varying\(30\)/,
  ])
    t.ok(
      found.some((line) => wanted.test(line)),
      String(wanted),
    )
  t.equal(found.length, 6)
})
