// Where a shard key's value is taken from when the statement says it of another column: each guard of routing/key-flow.ts and of
// routing/shard-demands.ts has here a statement that goes to one shard, and one like it that must not.
import t from 'tap'
import type { Catalog, ColumnInfo, FunctionInfo, RelationInfo } from '../../src/catalog/catalog.js'
import { validateConfig } from '../../src/config/validate.js'
import { plan } from '../../src/routing/planner.js'
import { givenSession, type GivenSession } from '../support/plan-given.js'
import { understanding } from '../support/understanding.js'

const understand = await understanding()

/** Columns and their types, as format_type() says them; `!` after a type: its collation is nondeterministic. */
type Tables = Readonly<Record<string, Readonly<Record<string, string>>>>

const tables: Tables = {
  t: { k: 'bigint', id: 'integer', at: 'bigint' },
  u: { k: 'bigint', id: 'integer', note: 'text' },
  small: { k: 'integer', id: 'integer' },
  rough: { k: 'double precision', id: 'integer' },
  rougher: { k: 'real', id: 'integer' },
  w: { k: 'text', id: 'integer' },
  fixed: { k: 'character(3)', id: 'integer' },
  padded: { k: 'bpchar', id: 'integer' },
  letter: { k: '"char"', id: 'integer' },
  named: { k: 'name', id: 'integer' },
  folded: { k: 'citext', id: 'integer' },
  folded_there: { k: 'ext.citext', id: 'integer' },
  insensitive: { k: 'text!', id: 'integer' },
  varying: { k: 'character varying(3)', id: 'integer' },
  codes: { x: 'bigint', y: 'bigint', word: 'text', rough: 'double precision', amount: 'numeric' },
  others: { z: 'bigint', y: 'bigint' },
}

const config = ((): Parameters<typeof plan>[0]['config'] => {
  const spread = { clusters: ['a', 'b'], shards: 16, by: 'hash' }
  const keyed = (names: readonly string[]): Record<string, string> => Object.fromEntries(names.map((name) => [name, 'k']))
  const sharded = {
    numbers: { ...spread, key_type: 'bigint', tables: keyed(['t', 'u', 'small', 'rough', 'rougher']) },
    texts: {
      ...spread,
      key_type: 'text',
      tables: keyed(['w', 'fixed', 'padded', 'letter', 'named', 'folded', 'folded_there', 'insensitive', 'varying']),
    },
  }
  const clusters = Object.fromEntries(['main', 'a', 'b'].map((name, i) => [name, { user: 'app', nodes: [`10.0.0.${String(i + 1)}:5432`] }]))
  const databases = { app: { default: 'main', sharded, reference: ['codes', 'others', 'uncertain', 'nowhere'] } }
  const input = { version: 1, auth: { method: 'trust', users: [{ name: 'app' }] }, clusters, databases }
  const result = validateConfig(input, { env: {}, readFile: () => '' })
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.config
})()

function columnOf(name: string, type: string): ColumnInfo {
  const folds = type.endsWith('!')
  return { name, type: folds ? type.slice(0, -1) : type, collation: folds ? 'nondeterministic' : 'bytes' }
}

function relationOf(name: string, columns: Readonly<Record<string, string>>): readonly [string, RelationInfo] {
  const list = Object.entries(columns).map(([column, type]) => columnOf(column, type))
  const plain = { kind: 'table', partitionRoot: null, triggers: false, onWrite: [], changesWith: [], behind: null } as const
  return [`public.${name}`, { schema: 'public', name, columns: list, ...plain }]
}

function functionOf(name: string, volatility: FunctionInfo['volatility'], more: Partial<FunctionInfo> = {}): FunctionInfo {
  const info = { schema: 'pg_catalog', name, volatility, kind: 'function', builtin: true, language: 'internal', minArgs: 0 } as const
  return { ...info, maxArgs: Number.POSITIVE_INFINITY, ...more }
}

const functions: readonly FunctionInfo[] = [
  functionOf('random', 'volatile'),
  functionOf('abs', 'immutable'),
  functionOf('generate_series', 'immutable'),
  ...['nextval', 'currval', 'setval', 'lastval'].map((name) => functionOf(name, 'volatile')),
]

function catalogOf(cluster: string, known: Tables, more: Partial<Catalog> = {}): Catalog {
  return {
    cluster,
    generation: 1,
    serverVersion: 180000,
    functions: new Map(functions.map((info) => [info.name, [info]])),
    relations: new Map([
      ...Object.entries(known).map(([name, columns]) => relationOf(name, columns)),
      ['public.t_seq', { ...relationOf('t_seq', {})[1], kind: 'sequence' }],
    ]),
    operators: new Map(),
    types: new Map(),
    volatileImplicitCast: false,
    eventTriggers: false,
    keyEquals: [],
    collation: 'deterministic',
    ...more,
  }
}

interface GivenPlan {
  /** What the second cluster has instead, or has not. */
  readonly there?: Tables
  readonly catalogs?: readonly Catalog[] | undefined
  readonly session?: GivenSession
}

/** `one`: it goes to one shard; else what it comes to instead. */
function planOf(sql: string, { there = {}, catalogs, session = { searchPath: ['public'] } }: GivenPlan = {}): string {
  const database = config.databases.get('app')
  if (database === undefined) throw new Error('no database')
  const all = catalogs ?? [catalogOf('main', tables), catalogOf('a', tables), catalogOf('b', { ...tables, ...there })]
  const made = plan({
    understood: understand(sql),
    parameters: null,
    session: givenSession(session),
    catalogs: new Map(all.map((catalog) => [catalog.cluster, catalog])),
    config,
    database,
  })
  return made.kind
}

const one = (sql: string, given?: GivenPlan): void => void t.equal(planOf(sql, given), 'one', sql)
const not = (sql: string, given?: GivenPlan): void => void t.not(planOf(sql, given), 'one', sql)

// A column's own `=`.
for (const table of ['w', 'varying']) one(`DELETE FROM ${table} WHERE k = 'a'`)
for (const table of ['fixed', 'padded', 'letter', 'named', 'folded', 'folded_there', 'insensitive'])
  not(`DELETE FROM ${table} WHERE k = 'a'`)
one('DELETE FROM small WHERE k = 7')
for (const table of ['rough', 'rougher']) not(`DELETE FROM ${table} WHERE k = 7`)
one('DELETE FROM w WHERE k = $$a$$')
not("DELETE FROM w WHERE k = 'a'", { there: { w: { k: 'citext', id: 'integer' } } })

// Through another table's column: an integer there too, and on every cluster.
one('DELETE FROM t USING codes c WHERE c.x = t.k AND c.x = 7')
not('DELETE FROM t USING codes c WHERE c.rough = t.k AND c.rough = 7')
not("DELETE FROM w USING codes c WHERE c.word = w.k AND c.word = 'a'")
not('DELETE FROM t USING codes c WHERE c.x = t.k AND c.x = 7', { there: { codes: { x: 'numeric', y: 'bigint' } } })
{
  const [main, a, b] = [catalogOf('main', tables), catalogOf('a', tables), catalogOf('b', { t: tables['t'] ?? {} })]
  not('DELETE FROM t USING codes c WHERE c.x = t.k AND c.x = 7', { catalogs: [main, a, b] })
  not('DELETE FROM t USING codes c WHERE c.x = t.k AND c.x = 7', { catalogs: [main, a] })
}

// INSERT … SELECT takes its key from a column only if that holds keys.
one('INSERT INTO t (k) SELECT c.x FROM codes c WHERE c.x = 7')
not('INSERT INTO t (k) SELECT c.amount FROM codes c WHERE c.amount = 7')
not('INSERT INTO t (k) SELECT c.rough FROM codes c WHERE c.rough = 7')
not('INSERT INTO t (k) SELECT c.x + 1 FROM codes c WHERE c.x = 7')
one('INSERT INTO t (k) SELECT 7 FROM codes')

// Subqueries: every arm must say it.
one('DELETE FROM t USING (SELECT 7 AS k) d WHERE d.k = t.k')
one('DELETE FROM t USING (SELECT 7 AS k UNION ALL SELECT 7) d WHERE d.k = t.k')
not('DELETE FROM t USING (SELECT 7 AS k UNION ALL SELECT x FROM codes) d WHERE d.k = t.k')
one('DELETE FROM t USING (SELECT x AS k FROM codes WHERE x = 7) d WHERE d.k = t.k')
not('DELETE FROM t USING (SELECT x AS k FROM codes WHERE x = 7 UNION ALL SELECT y FROM codes) d WHERE d.k = t.k')
not('DELETE FROM t USING (SELECT x AS k FROM codes WHERE x = 7 UNION ALL SELECT rough FROM codes) d WHERE d.k = t.k AND d.k = 7')
one('DELETE FROM t USING (SELECT x AS k FROM codes UNION ALL SELECT y FROM codes) d WHERE d.k = t.k AND d.k = 7')
not('DELETE FROM t USING (SELECT x AS k FROM codes UNION ALL SELECT rough FROM codes) d WHERE d.k = t.k AND d.k = 7')
not('DELETE FROM t USING (SELECT abs(x) AS k FROM codes) d WHERE d.k = t.k AND d.k = 7')
one('DELETE FROM t USING (VALUES (7), (NULL)) d(k) WHERE d.k = t.k')
not('DELETE FROM t USING (VALUES (1), (2::double precision)) d(k) WHERE d.k = t.k AND d.k = 7')
one('DELETE FROM t USING (VALUES (1), (2::bigint)) d(k) WHERE d.k = t.k AND d.k = 7')

// What no catalog tells of is not followed: a function's rows, and tables that are not known.
not('DELETE FROM t USING generate_series(1, 9) d(k) WHERE d.k = t.k AND d.k = 7')
not('DELETE FROM t USING nowhere n WHERE n.x = t.k AND n.x = 7')

// Into a subquery a condition goes only where nobody can tell: not past what is volatile, or a function that nobody knows.
one('DELETE FROM t USING (SELECT * FROM u) d WHERE d.k = 7 AND t.k = 7')
one('DELETE FROM t USING (SELECT k AS i, abs(id) FROM u) d WHERE d.i = 7 AND t.k = 7')
not('DELETE FROM t USING (SELECT k, random() FROM u) d WHERE d.k = 7 AND t.k = 7')
not('DELETE FROM t USING (SELECT k, unheard_of(id) FROM u) d WHERE d.k = 7 AND t.k = 7')
not('DELETE FROM t USING (SELECT id AS k FROM u) d WHERE d.k = 7 AND t.k = 7')
not('DELETE FROM t USING (SELECT u.id, c.x AS k FROM u, codes c) d WHERE d.k = 7 AND t.k = 7')
{
  const quiet = 'DELETE FROM t USING (SELECT k, abs(id) FROM u) d WHERE d.k = 7 AND t.k = 7'
  one(quiet)
  const volatile = catalogOf('b', tables, { functions: new Map([['abs', [functionOf('abs', 'volatile')]]]) })
  not(quiet, { catalogs: [catalogOf('main', tables), catalogOf('a', tables), volatile] })
}

// Whose a column is that stands without its table: told by the catalogs of all clusters, or not at all.
one('DELETE FROM t USING codes c, others o WHERE t.k = z AND o.z = 7')
one('DELETE FROM t USING codes c, others o WHERE t.k = x AND c.x = 7')
not('DELETE FROM t USING codes c, nowhere n WHERE t.k = x AND c.x = 7')
not('DELETE FROM t USING codes c, others o WHERE t.k = z AND o.z = 7', { there: { codes: { x: 'bigint', z: 'bigint' } } })
not('DELETE FROM t USING codes c, others o WHERE t.k = y AND o.y = 7')
one('DELETE FROM t USING (SELECT * FROM codes) c, others o WHERE t.k = z AND o.z = 7')
not('DELETE FROM t USING (SELECT * FROM nowhere) c, others o WHERE t.k = z AND o.z = 7')
not('DELETE FROM t USING generate_series(1, 9) g, others o WHERE t.k = z AND o.z = 7')

// Writes inside WITH and keys that are assigned, as far as they are followed.
one('WITH d AS (DELETE FROM u WHERE k = 7) DELETE FROM t WHERE k = 7')
not('WITH d AS (DELETE FROM u) DELETE FROM t WHERE k = 7')
not('WITH d AS (UPDATE u SET k = k + 1 WHERE k = 7 RETURNING id) DELETE FROM t WHERE k = 7')
one('UPDATE t SET k = 7 WHERE k = 7')
for (const k of [4, 6, 8]) one(`UPDATE t SET k = ${String(k)} WHERE k = 7`) // another shard of the same cluster
for (const k of [1, 2, 3, 5, 9]) not(`UPDATE t SET k = ${String(k)} WHERE k = 7`)
not('UPDATE t SET k = id WHERE k = 7')
not('UPDATE t SET (k, id) = (SELECT 7, 1) WHERE k = 7')
not('WITH d AS (SELECT 1), e AS (INSERT INTO u (k) VALUES (7)) UPDATE t SET k = 7 WHERE k = 7')
not('INSERT INTO t (k, id) VALUES (7, 1) ON CONFLICT (k) DO UPDATE SET k = 8')
one('INSERT INTO t (k, id) VALUES (7, 1) ON CONFLICT (k) DO UPDATE SET id = 8')

// A user's own `=` says nothing of keys.
{
  const own = (...keyEquals: readonly string[]): GivenPlan['catalogs'] =>
    ['main', 'a', 'b'].map((name) => catalogOf(name, tables, { keyEquals }))
  const sql = 'DELETE FROM t WHERE k = 7'
  const path = (...searchPath: readonly string[]): Pick<GivenPlan, 'session'> => ({ session: { searchPath } })
  one(sql, { catalogs: own('shadow'), ...path('public') })
  not(sql, { catalogs: own('shadow'), ...path('public', 'shadow') })
  not(sql, { catalogs: own('shadow'), session: { searchPath: null } })
  one(sql, { catalogs: [], ...path('public') })
  one(sql, { catalogs: [], ...path('pg_catalog', 'public') })
  not(sql, { catalogs: [], ...path('public', 'pg_catalog') })
  not(sql, { catalogs: [], session: { searchPath: null } })
}
t.end()
