// The same rows in one PostgreSQL and in two shards: every generated statement is refused, or it answers, and changes,
// exactly the same in the one shard that it is planned for. `main` is the default cluster and holds everything.
import t from 'tap'
import fc from 'fast-check'
import pg from 'pg'
import { validateConfig } from '../../src/config/validate.js'
import { plan } from '../../src/routing/planner.js'
import type { ParameterValue } from '../../src/routing/input.js'
import { readKey } from '../../src/sharding/key.js'
import { shardOf } from '../../src/sharding/shard-of.js'
import { givenSession } from '../support/plan-given.js'
import { type Generated, statements } from '../support/sharded-statements.js'
import { withTopology } from '../support/topology.js'
import { understanding } from '../support/understanding.js'
import { clusterConfigs, watch } from '../support/watched.js'

const schema = `
CREATE TABLE comments (image_id bigint NOT NULL, id int NOT NULL, body text, score numeric, PRIMARY KEY (image_id, id));
CREATE TABLE votes (id int, image_id bigint, comment_id int, score float8);
CREATE TABLE notes (body text, tag varchar(4) NOT NULL, id int, short char(3), PRIMARY KEY (tag, id));
CREATE TABLE labels (tag text, id int, body text);
CREATE TABLE countries (code text PRIMARY KEY, image_id bigint, tag text);
INSERT INTO countries VALUES ('de', 1, 'a'), ('at', 2, 'b'), ('us', NULL, NULL);
`
const rows = {
  comments: `SELECT k, i, 'b' || (k + i) % 3, k * 1.5 FROM unnest(ARRAY[0, 1, 2, 3, 7, 8, -3, 9007199254740992, 9007199254740993]) k, generate_series(1, 2) i`,
  votes: `SELECT i, nullif(k, 2), i, k + 0.5 FROM unnest(ARRAY[0, 1, 2, 7, 8, 8, -3]) k, generate_series(1, 2) i`,
  notes: `SELECT 'b' || i, k, i, left(k, 3) FROM unnest(ARRAY['a', 'A', 'a ', 'b', 'ab', '7', 'é']) k, generate_series(1, 2) i`,
  labels: `SELECT k, i, k FROM unnest(ARRAY['a', 'A', 'a ', 'b', 'ab', '7', NULL]) k, generate_series(1, 2) i`,
}
const keys = { comments: 'image_id', votes: 'image_id', notes: 'tag', labels: 'tag' } as const
type Table = keyof typeof keys
const tables = Object.keys(keys) as readonly Table[]

const prepare = 'GRANT pg_monitor TO app'
const running = await withTopology(t, {
  clusters: { main: { seed: schema, prepare }, shard_0: { seed: schema, prepare }, shard_1: { seed: schema, prepare } },
})
const watched = watch(t, clusterConfigs(running))
const clients = new Map<string, pg.Client>()
for (const { id, primary, dbname } of running.clusters.values()) {
  const client = new pg.Client({ host: primary.host, port: primary.port, user: running.user, password: running.password, database: dbname })
  await client.connect()
  t.teardown(() => client.end())
  clients.set(id, client)
}

const clusters = ['shard_0', 'shard_1']
const result = validateConfig(
  {
    version: 1,
    auth: { method: 'trust', users: [{ name: 'app' }] },
    clusters: Object.fromEntries([...running.clusters.values()].map(({ id, primary }) => [id, { user: 'app', nodes: [primary.address] }])),
    databases: {
      app: {
        default: 'main',
        sharded: {
          numbers: { clusters, shards: 16, by: 'hash', key_type: 'bigint', tables: { comments: 'image_id', votes: 'image_id' } },
          words: { clusters, shards: 16, by: 'hash', key_type: 'text', tables: { notes: 'tag', labels: 'tag' } },
        },
        reference: ['countries'],
        reads: { default: { consistency: 'any' } },
      },
    },
  },
  { env: {}, readFile: () => '' },
)
if (!result.ok) throw new Error(JSON.stringify(result.problems))
const { config } = result
const database = config.databases.get('app')
if (database === undefined) throw new Error('no database')

/** The shard that holds a row, by the value that is stored. A row without a key is on the first. */
function clusterOf(table: Table, value: string | null): string {
  const sharded = database?.sharded.get(keys[table] === 'tag' ? 'words' : 'numbers')
  if (sharded === undefined) throw new Error('not sharded')
  if (value === null) return 'shard_0'
  const key = readKey(sharded.keyType, value)
  const placed = key.kind === 'problem' ? key : shardOf(sharded, key)
  if (placed.kind === 'problem') throw new Error(placed.problem)
  return placed.cluster
}

function client(cluster: string): pg.Client {
  const found = clients.get(cluster)
  if (found === undefined) throw new Error(`no cluster ${cluster}`)
  return found
}

for (const table of tables) {
  await client('main').query(`INSERT INTO ${table} ${rows[table]}`)
  const all = await client('main').query<Record<string, string | number | null>>(`SELECT * FROM ${table}`)
  for (const row of all.rows) {
    const values = Object.values(row)
    const key = row[keys[table]]
    await client(clusterOf(table, typeof key === 'string' ? key : null)).query(
      `INSERT INTO ${table} VALUES (${values.map((_, i) => `$${String(i + 1)}`).join(', ')})`,
      values,
    )
  }
}
await client('main').query('ANALYZE')
await watched.until('the catalogs are loaded', () => watched.monitor.catalogs().size === 3)
const understand = await understanding()

const text = { getTypeParser: () => (value: unknown) => value }

/** What a statement answers, as a multiset; or its SQLSTATE. */
async function ask(cluster: string, { sql, parameters }: Generated): Promise<string> {
  const types = Object.assign(
    parameters.map((value) => value?.oid ?? 0),
    text,
  )
  const values = parameters.map((value) => (value === null ? null : 'text' in value ? value.text : Buffer.from(value.binary)))
  try {
    const answer = await client(cluster).query({ text: sql, values, types, rowMode: 'array' } as unknown as pg.QueryArrayConfig)
    const answers = answer.rows.map((row) => JSON.stringify(row)).sort()
    return `${answer.command} ${String(answer.rowCount)} ${answers.join(' ')}`
  } catch (error) {
    return `error ${(error as { code?: string }).code ?? String(error)}`
  }
}

async function contents(cluster: string): Promise<readonly string[]> {
  const parts = tables.map((table) => `SELECT '${table}' AS of, ${keys[table]}::text AS key, t::text AS row FROM ${table} t`)
  const { rows: found } = await client(cluster).query<{ of: Table; key: string | null; row: string }>(parts.join(' UNION ALL '))
  if (cluster !== 'main') {
    const stray = found.find((row) => clusterOf(row.of, row.key) !== cluster)
    if (stray !== undefined) throw new Error(`a row of ${stray.of} is on ${cluster}, where it does not belong: ${stray.row}`)
  }
  return found.map((row) => `${row.of} ${row.row}`)
}

/** Runs it in both worlds. What it changed is compared too, then undone. */
async function compare(generated: Generated, cluster: string): Promise<'answers' | 'errors'> {
  const both = ['main', cluster]
  await Promise.all(both.map((one) => client(one).query('BEGIN')))
  try {
    const [whole, part] = await Promise.all(both.map((one) => ask(one, generated)))
    if (whole !== part) throw new Error(`one server says ${whole ?? ''}\n${cluster} says ${part ?? ''}`)
    if (whole?.startsWith('error') === true) return 'errors'
    if (generated.writes) {
      const everything = await contents('main')
      const spread = await Promise.all(clusters.map(contents))
      if (everything.toSorted().join('\n') !== spread.flat().sort().join('\n'))
        throw new Error(`the rows differ after it ran on ${cluster}`)
    }
    return 'answers'
  } finally {
    await Promise.all(both.map((one) => client(one).query('ROLLBACK')))
  }
}

t.test('generated statements', async (t) => {
  const counts = new Map<string, number>()
  const count = (what: string): void => void counts.set(what, (counts.get(what) ?? 0) + 1)
  await fc.assert(
    fc.asyncProperty(statements, async (generated) => {
      const source = { get: (n: number): ParameterValue | null | undefined => generated.parameters[n - 1] }
      const session = givenSession({ searchPath: ['app', 'public'] })
      const understood = understand(generated.sql)
      const made = plan({ understood, parameters: source, session, config, database, catalogs: watched.monitor.catalogs() })
      const sharded = made.kind === 'one' && made.tables.some((table) => tables.some((name) => table === `public.${name}`))
      if (understood.shape.statements === null) count('not SQL')
      else if (made.kind !== 'one') count(made.why.at(-1)?.rule ?? made.kind)
      else if (!sharded) count('not sharded')
      else {
        if (!clusters.includes(made.cluster)) throw new Error(`planned for ${made.cluster}`)
        count(`${await compare(generated, made.cluster)} of ${generated.writes ? 'writes' : 'reads'}`)
      }
    }),
    { numRuns: 4000 },
  )
  t.comment(JSON.stringify(Object.fromEntries(counts)))
  t.ok((counts.get('answers of reads') ?? 0) > 150)
  t.ok((counts.get('answers of writes') ?? 0) > 150)
})
