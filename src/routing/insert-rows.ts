// routing/insert-rows.ts — INSERT … VALUES whose rows belong to several clusters: each gets the same statement with its own rows, and all
// of them are one transaction. Every row is made once, on one server, so chance, sequences and the present moment may stand in it;
// what reads other rows, or tells of its server, may not.
import { deparse } from '../sql/deparse.js'
import { parseStatements } from '../sql/parser.js'
import { list, unwrap, type Fields } from '../sql/tree.js'
import { refusedBroadcast, sessionAgainst, writtenOnAll } from './broadcast.js'
import type { Context } from './context.js'
import type { Routed } from './destination.js'
import { finish } from './finish.js'
import { refuse } from './make.js'
import { insertsRows } from './insert-on-one.js'
import type { BroadcastPlan, InsertPart, OnePlan, RefusePlan } from './plan.js'
import { why } from './rules.js'
import { checkFunctions } from './scatter/functions.js'
import { Unmergeable } from './scatter/unmergeable.js'
import type { World } from './scatter/world.js'
import type { ShardNeed } from './shard-demands.js'
import { clustersOfDemands, type SeveralShards, type Values } from './shard-eval.js'

/** null: it is another statement, or all on one cluster. */
export function insertRows(
  context: Context,
  routed: Routed,
  need: ShardNeed,
  found: SeveralShards,
  values: Values,
): OnePlan | BroadcastPlan | RefusePlan | null {
  const { clusters } = found
  if (clusters.length < 2 || !insertsRows(routed.statement) || found.supplied) return null
  const { sharded } = need
  if (context.database.twoPhase === null) return withoutTwoPhase(routed, found)
  const against = sessionAgainst(context, { clusters })
  if (against !== null) return refusedBroadcast(routed, clusters, against.message, against.hint)
  if (found.provisional) return described(context, routed, clusters)
  const insert = insertOf(values.understood.text)
  const made = insert === null ? notUnderstood : partsOf(context, routed, need, found, values, insert)
  if (insert === null || 'message' in made) {
    const { message, hint } = 'message' in made ? made : notUnderstood
    return refusedBroadcast(routed, clusters, message, hint)
  }
  const detail = `${sharded.name}: each row to its cluster, of ${clusters.join(', ')}`
  const rows = { text: values.understood.text, parameters: routed.statement.params, returning: returns(insert), parts: made }
  return writtenOnAll(context, routed, { clusters, combine: 'sum', of: sharded.name }, { detail, inTurn, insert: rows })
}

function withoutTwoPhase({ owner, touched }: Routed, { clusters, demand }: SeveralShards): RefusePlan {
  return refuse('several-shards', {
    message: `the rows of the INSERT into ${demand.table} belong to several clusters (${clusters.join(', ')})`,
    hint: 'Set two_phase: true for the database, or send one INSERT for each shard key; `pointsman shard` tells which keys live together.',
    owner,
    tables: touched.map((one) => one.key),
  })
}

/** Not all keys are known yet: any of them can say what the statement looks like. */
function described(context: Context, routed: Routed, clusters: readonly string[]): OnePlan | RefusePlan {
  const { home } = context.session.transaction
  const cluster = clusters.find((one) => one === home?.cluster) ?? clusters[0] ?? context.database.default
  const entry = why('shard-any', `${clusters.join(', ')}: the keys are not all known yet`)
  return finish(context, routed, { cluster, shard: null, provisional: true, why: [entry] })
}

interface Against {
  readonly message: string
  readonly hint: string
}

const inTurn = 'Send one INSERT for each shard key.'
const notUnderstood: Against = { message: 'it is not understood', hint: inTurn }

function insertOf(text: string): Fields | null {
  const [parsed, another] = parseStatements(text)
  return parsed === undefined || another !== undefined || parsed.node.tag !== 'InsertStmt' ? null : parsed.node.fields
}

function returns(insert: Fields): boolean {
  return insert['returningList'] !== undefined || insert['returningClause'] !== undefined
}

function partsOf(
  context: Context,
  routed: Routed,
  need: ShardNeed,
  { clusters }: SeveralShards,
  values: Values,
  insert: Fields,
): readonly InsertPart[] | Against {
  const { statement, outer, touched } = routed
  if (outer !== statement) return { message: `${outer.detail.kind.toUpperCase()} is for one server`, hint: inTurn }
  const catalogs = clusters.flatMap((cluster) => context.catalogs.get(cluster) ?? [])
  if (catalogs.length < clusters.length) return { message: 'the catalogs of all of them are not known yet', hint: 'Send it again.' }
  const world: World = { context, touched, catalogs, collation: 'unknown', plainEquals: false }
  try {
    checkFunctions(world, statement, { tag: 'InsertStmt', fields: insert }, 'stored')
  } catch (error) {
    if (error instanceof Unmergeable) return { message: error.message, hint: 'Give its result as a parameter.' }
    throw error
  }
  return dividedRows(insert, clusters, (count) => clustersOfDemands(need, values, count))
}

/** Fields of a SELECT that is nothing but VALUES. */
const plainValues: ReadonlySet<string> = new Set(['valuesLists', 'limitOption', 'op'])

/** `placed`: the cluster of each of so many rows. */
function dividedRows(
  insert: Fields,
  clusters: readonly string[],
  placed: (count: number) => readonly string[] | null,
): readonly InsertPart[] | Against {
  const select = unwrap(insert['selectStmt'])
  const rows = list(select?.fields['valuesLists'])
  if (select === null || insert['withClause'] !== undefined || !Object.keys(select.fields).every((name) => plainValues.has(name)))
    return { message: 'its VALUES do not stand alone', hint: 'Leave out WITH, ORDER BY and LIMIT.' }
  const homes = placed(rows.length)
  if (homes === null) return { message: 'its rows are not all placed', hint: inTurn }
  const parts: InsertPart[] = []
  for (const cluster of clusters) {
    const own = homes.flatMap((home, index) => (home === cluster ? [index] : []))
    const values = { ...select.fields, valuesLists: own.map((index) => rows[index]) }
    const text = deparse({ tag: 'InsertStmt', fields: { ...insert, selectStmt: { SelectStmt: values } } })
    if (text === null) return { message: 'it cannot be written again with a part of its rows', hint: inTurn }
    parts.push({ text, rows: own })
  }
  return parts
}
