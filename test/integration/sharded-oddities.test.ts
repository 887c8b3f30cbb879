// What a sharded table may be that the configuration does not say (columns of other types, generated keys, collations), and
// statements whose columns stand elsewhere than they seem to: each is refused, or answers and leaves what one server does.
import t, { type Test } from 'tap'
import pg from 'pg'
import { validateConfig } from '../../src/config/validate.js'
import type { ConfigInput } from '../../src/config/input.js'
import { until } from '../../src/embedded/until.js'
import { readKey } from '../../src/sharding/key.js'
import { shardOf } from '../../src/sharding/shard-of.js'
import { withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'

const schema = `
CREATE TABLE comments (image_id bigint, id int, body text);
CREATE TABLE computed (base int, k bigint GENERATED ALWAYS AS (base * 2) STORED);
CREATE TABLE chars (k char(3), id int);
CREATE COLLATION insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE words (k text COLLATE insensitive, id int);
CREATE TABLE floats (k float8, id int);`
const rows: Readonly<Record<string, readonly [columns: string, query: string]>> = {
  comments: [
    'image_id, id, body',
    `SELECT k, i, 'b' FROM unnest(ARRAY[1, 2, 3, 4, 5, 9007199254740992, 9007199254740993]) k, generate_series(1, 2) i`,
  ],
  computed: ['base', 'SELECT i FROM generate_series(1, 12) i'],
  chars: ['k, id', `SELECT k, 1 FROM unnest(ARRAY['a', 'ab', 'abc', 'b', 'c', 'd']) k`],
  words: ['k, id', `SELECT k, 1 FROM unnest(ARRAY['a', 'A', 'ab', 'AB', 'c', 'C', 'd', 'D']) k`],
  floats: ['k, id', 'SELECT k, 1 FROM unnest(ARRAY[1, 2, 3, 4]) k'],
}
const names = ['main', 's0', 's1'] as const
const running = await withTopology(t, {
  clusters: {
    main: { prepare: 'ALTER ROLE app CREATEDB', settings: { max_prepared_transactions: '10', max_connections: '100', fsync: 'off' } },
  },
})
const { primary } = running.cluster('main')
const login = { user: 'app', password: 'app' } as const
async function connect(database: string): Promise<pg.Client> {
  const client = new pg.Client({ host: primary.host, port: primary.port, ...login, database })
  await client.connect()
  t.teardown(() => client.end())
  return client
}
const admin = await connect('app')
for (const name of names) await admin.query(`CREATE DATABASE ${name}`)
const direct = { main: await connect('main'), s0: await connect('s0'), s1: await connect('s1') } as const
for (const name of names) await direct[name].query(schema)

const spread = { clusters: ['s0', 's1'], shards: 16, by: 'hash' as const }
const config: ConfigInput = {
  version: 1,
  clusters: Object.fromEntries(names.map((name) => [name, { nodes: [primary.address], dbname: name, ...login, tls: { mode: 'disable' } }])),
  databases: {
    app: {
      default: 'main',
      two_phase: true,
      sharded: {
        numbers: { ...spread, key_type: 'bigint', tables: { comments: 'image_id', computed: 'k', floats: 'k' } },
        texts: { ...spread, key_type: 'text', tables: { chars: 'k', words: 'k' } },
      },
    },
  },
}
const valid = validateConfig({ ...config, auth: { method: 'trust', users: [{ name: 'app' }] } }, { env: {}, readFile: () => '' })
if (!valid.ok) throw new Error(JSON.stringify(valid.problems))
const { sharded } = valid.config.databases.get('app') ?? {}

/** Where a row of a table belongs: by the text of its key. */
function placeOf(table: string, text: string): 's0' | 's1' {
  const set = [...(sharded?.values() ?? [])].find((one) => one.tables.has(`public.${table}`))
  const key = readKey(set?.keyTypes[0] ?? 'text', text)
  const placed = set === undefined || key.kind === 'problem' ? null : shardOf(set, [key])
  if (placed?.kind !== 'placement') throw new Error(`no shard for ${table} ${text}`)
  return placed.cluster as 's0' | 's1'
}
const keyOf = (table: string): string => (table === 'comments' ? 'image_id' : 'k')

async function filled(): Promise<void> {
  for (const [table, [columns, query]] of Object.entries(rows)) {
    for (const name of names) await direct[name].query(`TRUNCATE ${table}`)
    await direct.main.query(`INSERT INTO ${table} (${columns}) ${query}`)
    const all = await direct.main.query<unknown[]>({
      text: `SELECT ${keyOf(table)}::text, ${columns} FROM ${table}`,
      rowMode: 'array',
    } as never)
    for (const [key, ...values] of all.rows)
      await direct[placeOf(table, String(key))].query(
        `INSERT INTO ${table} (${columns}) VALUES (${values.map((_, i) => `$${String(i + 1)}`).join(', ')})`,
        values,
      )
  }
}

/** All rows, those of shards with a mark where they do not belong. */
async function contents(clusters: readonly (typeof names)[number][]): Promise<readonly string[]> {
  const found: string[] = []
  for (const name of clusters)
    for (const table of Object.keys(rows)) {
      const all = await direct[name].query<{ key: string; row: string }>(
        `SELECT ${keyOf(table)}::text AS key, t::text AS row FROM ${table} t`,
      )
      found.push(...all.rows.map(({ key, row }) => `${table} ${row}${name === 'main' || placeOf(table, key) === name ? '' : ' astray'}`))
    }
  return found.sort()
}

async function ask(client: pg.Client, text: string, values: readonly unknown[]): Promise<string> {
  try {
    const answer = await client.query<unknown[]>({ text, values: [...values], rowMode: 'array' } as never)
    return `${answer.command} ${String(answer.rowCount)} ${answer.rows
      .map((row) => JSON.stringify(row))
      .sort()
      .join(' ')}`
  } catch (error) {
    return `error ${(error as { code?: string }).code ?? String(error)}`
  }
}

const proxy = await withProxy(t, config)
const client = await proxy.connect()
await until('the catalogs are loaded', async () => (await ask(client, 'SELECT ctid FROM comments', [])) === 'error 0A000')

async function alike(t: Test, text: string, values: readonly unknown[] = []): Promise<string> {
  await filled()
  const whole = await ask(direct.main, text, values)
  const ours = await ask(client, text, values)
  if (ours === 'error 0A000') return 'refused'
  t.equal(ours, whole, text)
  t.same(await contents(['s0', 's1']), await contents(['main']), `rows after ${text}`)
  return 'answered'
}

t.test('a column whose = calls more things equal than the key type does binds nothing', async (t) => {
  for (const key of ['a', 'ab ', 'b ', 'b  ', 'c ', 'd ', 'd']) {
    await alike(t, `SELECT * FROM chars WHERE k = '${key}'`)
    await alike(t, 'SELECT * FROM chars WHERE k = $1', [key])
    await alike(t, `UPDATE chars SET id = 2 WHERE k = '${key}'`)
  }
  for (const key of ['a', 'A', 'AB', 'ab', 'c', 'C', 'd', 'D']) {
    await alike(t, `SELECT * FROM words WHERE k = '${key}'`)
    await alike(t, `DELETE FROM words WHERE k = '${key}'`)
  }
  t.equal(await alike(t, 'SELECT * FROM floats WHERE k = 2'), 'answered')
})

t.test('a key that is generated changes with what it is made from', async (t) => {
  t.equal(await alike(t, 'UPDATE computed SET base = 7 WHERE k = 4'), 'refused')
  t.equal(await alike(t, 'UPDATE computed SET base = base + 1'), 'refused')
  t.equal(await alike(t, 'DELETE FROM computed WHERE k = 4'), 'answered')
})

t.test('columns of rows with a star stand where nobody knows', async (t) => {
  const values = '(VALUES (1, 9)) a(x, y)'
  for (const key of [1, 2, 3, 4, 5])
    for (const other of [1, 2, 3, 4, 5]) {
      const right = `ROW(1, ${String(other)}, b.*)`
      const text = `SELECT c.image_id, c.id FROM comments c, ${values.replace('9', String(other))}, (VALUES (${String(key)}::bigint, 1)) b(x, y)
        WHERE ROW(a.*, c.image_id, c.id) = ${right}`
      await alike(t, text)
    }
})

t.test('a set operation may give a column another type than its table', async (t) => {
  const among = (other: string): string =>
    `SELECT * FROM (SELECT image_id FROM comments UNION ALL SELECT ${other}) s WHERE image_id = 9007199254740993`
  await alike(t, among('1::float8'))
  await alike(t, among("'1'::float8"))
  t.equal(await alike(t, among('1::int')), 'answered')
  t.equal(await alike(t, among('1')), 'answered')
})
