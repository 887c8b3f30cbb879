// shardOf() against the server itself: random keys of every type lie where PARTITION BY HASH puts them, keys are read as
// the input functions read them, and the lists of built-in names are the server's.
import t from 'tap'
import { randomBytes, randomUUID } from 'node:crypto'
import pg from 'pg'
import { operators, types } from '../../src/catalog/builtins.js'
import { keyText, readKey } from '../../src/sharding/key.js'
import { shardOf } from '../../src/sharding/shard-of.js'
import { readKeys } from '../../src/sharding/read-keys.js'
import { shardSql } from '../../src/doors/cli/shard-sql.js'
import type { KeyType, ShardBy, Sharded } from '../../src/sharding/sharded.js'
import { withTopology } from '../support/topology.js'

const running = await withTopology(t, { clusters: { main: {} } })
const { primary, dbname } = running.cluster('main')
const client = new pg.Client({ host: primary.host, port: primary.port, user: running.user, password: running.password, database: dbname })
await client.connect()
t.teardown(() => client.end())

const letters = Array.from("abcxyz 'é€😀ñ\\")
const pick = (n: number): number => randomBytes(4).readUInt32LE() % n

function randomText(): string {
  return Array.from({ length: pick(40) }, () => letters[pick(letters.length)]).join('')
}

const random: Readonly<Record<KeyType, () => string>> = {
  smallint: () => String(randomBytes(2).readInt16LE()),
  integer: () => String(randomBytes(4).readInt32LE()),
  bigint: () => String(pick(2) === 0 ? randomBytes(8).readBigInt64LE() : pick(100_000) - 50_000),
  text: randomText,
  varchar: randomText,
  uuid: () => randomUUID(),
}

const moduli = [1, 2, 3, 16, 64, 1000, 65_536, 1_000_003]

for (const keyType of Object.keys(random) as KeyType[]) {
  t.test(`hash of ${keyType}`, async (t) => {
    await client.query(`CREATE TABLE by_${keyType} (k ${keyType}) PARTITION BY HASH (k)`)
    const keys = Array.from({ length: 2000 }, (_, i) => ({ key: random[keyType](), shards: moduli[i % moduli.length] ?? 1 }))
    const placed = keys.map(({ key, shards }) => place(keyType, key, shards))
    const { rows } = await client.query<{ wrong: number }>(
      `SELECT count(*)::int AS wrong FROM unnest($1::${keyType}[], $2::int[], $3::int[]) AS x(k, modulus, remainder)
       WHERE NOT satisfies_hash_partition('by_${keyType}'::regclass, modulus, remainder, k)`,
      [keys.map(({ key }) => key), keys.map(({ shards }) => shards), placed],
    )
    t.equal(rows[0]?.wrong, 0)
  })
}

function place(keyType: KeyType, text: string, shards: number): number {
  const map = Array<string>(shards).fill('c')
  const sharded: Sharded = {
    name: 's',
    shards,
    map,
    clusters: ['c'],
    function: { by: 'hash' },
    keyTypes: [keyType],
    owner: null,
    tables: new Map(),
  }
  const key = readKey(keyType, text)
  const placed = key.kind === 'problem' ? key : shardOf(sharded, [key])
  if (placed.kind !== 'placement') throw new Error(JSON.stringify(placed))
  return placed.shard
}

// Keys of two and three columns, of all types, where PARTITION BY HASH (a, b, c) puts them; by the script of `shard --sql`.
t.test('the script of shard --sql gives back what is misplaced, and nothing else', async (t) => {
  const sets: readonly (readonly KeyType[])[] = [
    ['bigint', 'text'],
    ['uuid', 'integer', 'varchar'],
    ['smallint', 'bigint'],
    ['text'],
    ['bigint'],
  ]
  for (const keyTypes of sets) {
    const columns = keyTypes.map((_, i) => `k${String(i)}`)
    const map = Array.from({ length: 7 }, (_, i) => (i % 2 === 0 ? 'even' : 'odd'))
    const tables = new Map([['public.t"x', columns]])
    const sharded: Sharded = {
      name: 'a "set"',
      shards: 7,
      map,
      clusters: ['even', 'odd'],
      function: { by: 'hash' },
      keyTypes,
      owner: null,
      tables,
    }
    await client.query(
      `DROP TABLE IF EXISTS "t""x"; CREATE TABLE "t""x" (${keyTypes.map((type, i) => `k${String(i)} ${type}`).join(', ')})`,
    )
    const keys = Array.from({ length: 1500 }, () => keyTypes.map((type) => random[type]()))
    const here = keys.filter((key) => clusterOf(sharded, key) === 'even')
    const put = (rows: readonly (readonly string[])[]): Promise<unknown> =>
      client.query(
        `INSERT INTO "t""x" SELECT * FROM unnest(${keyTypes.map((type, i) => `$${String(i + 1)}::${type}[]`).join(', ')})`,
        keyTypes.map((_, i) => rows.map((row) => row[i])),
      )
    await put(here)
    const lines = shardSql(sharded)
    const script = (cluster: string): string => {
      const at = lines.findIndex((line) => line.includes(`cluster ${cluster}:`))
      const end = lines.findIndex((line, i) => i > at && line.startsWith('--'))
      return lines.slice(at, end === -1 ? undefined : end).join('\n')
    }
    const misplaced = async (cluster: string): Promise<number> => {
      const results = (await client.query(script(cluster))) as unknown as readonly pg.QueryResult[]
      return results.at(-1)?.rowCount ?? -1
    }
    t.ok(here.length > 500, keyTypes.join())
    t.equal(await misplaced('even'), 0, keyTypes.join())
    t.equal(await misplaced('odd'), here.length, 'all of them would be misplaced there')
    await put(keys.filter((key) => clusterOf(sharded, key) === 'odd').slice(0, 3))
    await client.query('INSERT INTO "t""x" DEFAULT VALUES')
    t.equal(await misplaced('even'), 4, 'three of the other cluster, and a NULL')
  }
})

function clusterOf(sharded: Sharded, texts: readonly string[]): string {
  const keys = readKeys(sharded, texts)
  const placed = 'kind' in keys ? keys : shardOf(sharded, keys)
  if (placed.kind !== 'placement') throw new Error(JSON.stringify(placed))
  return placed.cluster
}

t.test('a script for lists and ranges', async (t) => {
  await client.query(`CREATE TABLE listed (k text); INSERT INTO listed VALUES ('a\\'), ('b'), ('c''')`)
  const base = {
    name: 's',
    shards: 2,
    map: ['x', 'y'],
    clusters: ['x', 'y'],
    keyTypes: ['text'] as const,
    owner: null,
    tables: new Map([['public.listed', ['k']]]),
  }
  const found = async (by: ShardBy, cluster: number): Promise<readonly unknown[]> => {
    const line = shardSql({ ...base, function: by }).filter((one) => one.startsWith('SELECT'))[cluster] ?? ''
    return (await client.query<{ key_1: string }>(line)).rows.map(({ key_1 }) => key_1)
  }
  const list: ShardBy = { by: 'list', values: new Map([['a\\', 0], ['b', 0], ["c'", 1]]) } // prettier-ignore
  t.same(await found(list, 0), ["c'"])
  t.same(await found(list, 1), ['a\\', 'b'])
  const end = readKey('text', 'b')
  if (end.kind === 'problem') throw new Error(end.problem)
  const ranges: ShardBy = { by: 'range', ranges: [{ from: null, to: end, shard: 0 }, { from: end, to: null, shard: 1 }] } // prettier-ignore
  t.same(await found(ranges, 0), ['b', "c'"])
  t.same(await found(ranges, 1), ['a\\'])
})

t.test('keys are read as the server reads them', async (t) => {
  const tries: readonly (readonly [KeyType, string])[] = [
    ...[
      ' 42 ',
      '0x2A',
      '-0x_2a',
      '0o17',
      '0b1_0',
      '1_000',
      '+7',
      '007',
      '-0',
      '0x',
      '_1',
      '1_',
      '1__0',
      '',
      ' ',
      '1 2',
      '1.0',
      '1e3',
      '٤',
      '\u00a01',
    ].map((text) => ['bigint', text] as const),
    ['integer', '2147483648'],
    ['smallint', '-32768'],
    ...[
      '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}',
      'A0EEBC999C0B4EF8BB6D6BB9BD380A11',
      'a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11',
      ' a0eebc999c0b4ef8bb6d6bb9bd380a11',
      'a0e-ebc999c0b4ef8bb6d6bb9bd380a11',
      'a0eebc999c0b4ef8bb6d6bb9bd380a11-',
    ].map((text) => ['uuid', text] as const),
  ]
  for (const [type, text] of tries) {
    const key = readKey(type, text)
    const ours = key.kind === 'problem' ? null : keyText(key)
    const { rows } = await client.query<{ valid: boolean }>('SELECT pg_input_is_valid($1, $2) AS valid', [text, type])
    const theirs =
      rows[0]?.valid === true ? (await client.query<{ v: string }>(`SELECT $1::text::${type}::text AS v`, [text])).rows[0]?.v : null
    t.equal(ours, theirs, `${type} ${JSON.stringify(text)}`)
  }
})

t.test('the built-in names are those of the server', async (t) => {
  const { rows: oprs } = await client.query<{ name: string }>('SELECT DISTINCT oprname AS name FROM pg_operator WHERE oid < 16384')
  for (const { name } of oprs) t.ok(operators.has(name), `operator ${name}`)
  const { rows: typs } = await client.query<{ name: string }>(
    "SELECT typname AS name FROM pg_type WHERE oid < 16384 AND typtype IN ('b', 'r', 'm', 'd') AND typelem = 0 AND typname !~ '^(_|pg_)'",
  )
  for (const { name } of typs) t.ok(types.has(name), `type ${name}`)
})
