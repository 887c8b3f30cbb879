// shardOf() against the server itself: random keys of every type lie where PARTITION BY HASH puts them, keys are read as
// the input functions read them, and the lists of built-in names are the server's.
import t from 'tap'
import { randomBytes, randomUUID } from 'node:crypto'
import pg from 'pg'
import { operators, types } from '../../src/catalog/builtins.js'
import { keyText, readKey } from '../../src/sharding/key.js'
import { shardOf } from '../../src/sharding/shard-of.js'
import type { KeyType, Sharded } from '../../src/sharding/sharded.js'
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
