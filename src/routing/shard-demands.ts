// routing/shard-demands.ts — what must be known before a statement on sharded tables can run: one demand for every
// range-table entry of a sharded table and for every row that INSERT brings. Independent of values, so it is part of
// the cached template. What can never run on one shard is refused here.
import type { RelationInfo } from '../catalog/catalog.js'
import type { Sharded } from '../sharding/sharded.js'
import type { InsertFacts, MergeInsert, Name, Operand, Output, RangeEntry, Statement } from '../sql/statement.js'
import type { Context } from './context.js'
import type { Touched } from './homes.js'
import { KeyFlows } from './key-flow.js'
import { refuse, type Refusal } from './make.js'
import type { RefusePlan } from './plan.js'
import type { Rule } from './rules.js'

/** One thing that must lie on one shard. */
export interface Demand {
  readonly table: string
  /** The columns of its key. */
  readonly columns: readonly string[]
  /** For each column lists of operands, each of which alone says which rows are meant; none: the key is missing. */
  readonly alternatives: readonly (readonly (readonly Operand[])[])[]
  /** The value is stored, so that none may be NULL; `trims`: in a column that may cut off blanks at its end. */
  readonly stored?: { readonly trims: boolean }
}

export interface ShardNeed {
  readonly sharded: Sharded
  readonly demands: readonly Demand[]
  readonly writes: boolean
  /** It assigns to a shard key, and the first demand is for the new one: what is said where the rows cannot be moved there. */
  readonly moves: RefusePlan | null
  /** Parameters that also stand where no key is: without a declared type, the server may take it from there. */
  readonly elsewhere: ReadonlySet<number>
}

/** `all`: the relations of `statement`, of which `touched` are the sharded ones, all of one `sharded`. */
export function shardNeed(
  context: Context,
  statement: Statement,
  sharded: Sharded,
  touched: readonly Touched[],
  all: readonly Touched[],
): ShardNeed | RefusePlan {
  const refused = unsupported(context, statement, sharded, touched)
  if (refused !== null) return refused
  const flows = equalsMayBeAnother(context, sharded) ? null : new KeyFlows(context, statement, sharded, all)
  const demands: Demand[] = []
  const stored = storedDemands(context, statement, { sharded, touched, flows })
  if ('kind' in stored) return stored
  demands.push(...stored)
  const assigned = assignedKey(context, statement, { sharded, touched, flows })
  if (assigned !== null) demands.push(assigned)
  for (const entry of entriesWithoutInsertTargets(statement)) {
    const relation = lookup(touched, entry.relation.schema, entry.relation.name)
    if (relation === null) continue
    const columns = keyColumns(relation)
    const alternatives = columns.map((column, i) => flows?.of(entry.place, column, sharded.keyTypes[i] ?? 'text') ?? [])
    demands.push({ table: relation.key, columns, alternatives })
  }
  const moves = assigned === null ? null : movesRow(sharded, touched)
  return { sharded, demands, writes: statement.writes, moves, elsewhere: usedElsewhere(statement, demands) }
}

function usedElsewhere(statement: Statement, demands: readonly Demand[]): ReadonlySet<number> {
  const asKeys = new Map<number, number>()
  // An unqualified column binds several entries with one and the same list.
  for (const operands of new Set(demands.flatMap((demand) => demand.alternatives.flat()))) {
    for (const operand of operands) if (operand.kind === 'param') asKeys.set(operand.number, (asKeys.get(operand.number) ?? 0) + 1)
  }
  return new Set(statement.repeatedParams.filter(({ number, uses }) => uses > (asKeys.get(number) ?? 0)).map(({ number }) => number))
}

/** A user's own `=` in the search_path binds nothing, wherever pg_catalog stands in it: the better match of types wins. */
function equalsMayBeAnother(context: Context, sharded: Sharded): boolean {
  const { searchPath } = context.session
  return sharded.clusters.some((cluster) => {
    const schemas = context.catalogs.get(cluster)?.keyEquals
    if (schemas === undefined) return searchPath === null || searchPath.indexOf('pg_catalog') > 0
    return schemas.some((schema) => searchPath?.includes(schema) ?? true)
  })
}

function lookup(touched: readonly Touched[], schema: string | null, name: string): Touched | null {
  return touched.find((one) => one.name.schema === schema && one.name.name === name && one.home.kind === 'sharded') ?? null
}

function keyColumns(touched: Touched): readonly string[] {
  return touched.home.kind === 'sharded' ? touched.home.keyColumns : []
}

/** All that the statement inserts, WITH included. */
function insertsOf({ detail, innerWrites }: Statement): readonly InsertFacts[] {
  const inner = innerWrites?.flatMap(({ insert }) => insert ?? []) ?? []
  return detail.kind === 'insert' ? [...inner, detail.insert] : inner
}

/** The target of INSERT is an entry too, but its rows decide, not a WHERE. */
function entriesWithoutInsertTargets(statement: Statement): readonly RangeEntry[] {
  const inserts = insertsOf(statement)
  return statement.entries.filter((entry) => entry.access !== 'write' || !inserts.some(({ target }) => isSame(entry.relation, target)))
}

function isSame(one: Name, other: Name): boolean {
  return one.schema === other.schema && one.name === other.name
}

function sameName(entry: RangeEntry, touched: Touched): boolean {
  return isSame(entry.relation, touched.name)
}

/** What no key can put on one shard. */
function unsupported(context: Context, statement: Statement, sharded: Sharded, touched: readonly Touched[]): RefusePlan | null {
  const { detail } = statement
  const say = (rule: Rule, message: string, hint: string): RefusePlan => refuseSharded(rule, sharded, touched, { message, hint })
  if (detail.kind === 'copy' && detail.target !== null) {
    return detail.direction === 'from'
      ? say(
          'sharded-unsupported',
          `COPY into ${sharded.name}, which is sharded, is not supported`,
          'Load with INSERT, one shard key a statement, or COPY into each cluster of it by itself.',
        )
      : say(
          'sharded-unsupported',
          `COPY of a whole table of ${sharded.name}, which is sharded, is not supported`,
          'Use COPY (SELECT … WHERE <shard key> = …) TO STDOUT, shard by shard.',
        )
  }
  const assigned = assignedColumns(statement)
  if (assigned !== null && assigned.length > 0 && touched.some((one) => hasComputedKey(context, one, sharded)))
    return movesRow(sharded, touched)
  const assigns = assigned === null || touched.some((one) => keyColumns(one).some((column) => assigned.includes(column)))
  if (assigns && keyValues(statement, touched) === null) return movesRow(sharded, touched)
  const writes = statement.entries.filter((entry) => entry.access === 'write' && touched.some((one) => sameName(entry, one)))
  if (writes.length > followedWrites(statement) || insertsTwice(statement, writes)) {
    return say(
      'sharded-unsupported',
      `a write to ${sharded.name}, which is sharded, inside WITH is not supported`,
      'Send the write as a statement of its own.',
    )
  }
  const seen = touched.find(
    (one) => !statement.entries.some((entry) => sameName(entry, one)) && !isInsertTarget(statement, one) && !isDrawn(statement, one),
  )
  if (seen === undefined) return null
  return say(
    'sharded-unsupported',
    `${statement.node} on ${seen.key}, which is sharded, concerns every shard`,
    'Give the hint /* pointsman: cluster=<cluster> */ and run it on each cluster of it in turn.',
  )
}

/** A sequence of which INSERT takes numbers, as a default would: that of the cluster where its row is. */
function isDrawn({ detail, sequences, functions, attributes }: Statement, touched: Touched): boolean {
  const asks = (name: string): boolean => name === 'currval' || name === 'setval' || name === 'lastval'
  if (detail.kind !== 'insert' || functions.some(({ name }) => asks(name.name)) || attributes.some(asks)) return false
  return sequences.some((name) => isSame(name, touched.name))
}

/** A generated column changes with those that it is made from. */
function hasComputedKey(context: Context, table: Touched, sharded: Sharded): boolean {
  const columns = keyColumns(table)
  return columnsOf(context, table, sharded).some((all) => all.some(({ name, generated }) => generated === true && columns.includes(name)))
}

function movesRow(sharded: Sharded, touched: readonly Touched[]): RefusePlan {
  return refuseSharded('shard-key-update', sharded, touched, {
    message: `the statement may change the shard key of ${sharded.name}, which would move the row`,
    hint: 'DELETE the row and INSERT it with its new key, in two statements.',
  })
}

/** How many writes are known in all that matters. */
function followedWrites({ detail, innerWrites }: Statement): number {
  const { kind } = detail
  const writes = kind === 'insert' || kind === 'update' || kind === 'delete' || kind === 'merge'
  if ((!writes && kind !== 'select') || innerWrites?.some((one) => one.kind === null) === true) return 0
  return (writes ? 1 : 0) + (innerWrites?.length ?? 0)
}

/** Which of two writes of one table is the INSERT is not told by the entries. */
function insertsTwice(statement: Statement, writes: readonly RangeEntry[]): boolean {
  return insertsOf(statement).some(({ target }) => writes.filter((entry) => isSame(entry.relation, target)).length > 1)
}

/** What UPDATE gives to each column of its table's shard key, null: it stays; null as a whole: others than values, or another statement. */
function keyValues({ detail, innerWrites }: Statement, touched: readonly Touched[]): readonly (Operand | null)[] | null {
  if (detail.kind !== 'update' || innerWrites !== undefined) return null
  const { target, columns, values } = detail.assigns
  const written = lookup(touched, target.schema, target.name)
  if (written === null || columns === null || values === undefined) return null
  const found = keyColumns(written).map((column) => (columns.includes(column) ? (values[columns.indexOf(column)] ?? other) : null))
  const plain = found.every((value) => value === null || value.kind === 'literal' || value.kind === 'param')
  return plain && found.some((value) => value !== null) ? found : null
}

const other: Operand = { kind: 'other' }

/** An UPDATE that gives the key a value may stay within its shard, as one does that writes all columns back. */
function assignedKey(context: Context, statement: Statement, { sharded, touched, flows }: Storing): Demand | null {
  const { detail } = statement
  if (detail.kind !== 'update') return null
  const values = keyValues(statement, touched)
  const { schema, name } = detail.assigns.target
  const target = lookup(touched, schema, name)
  const entry = statement.entries.find(({ access, relation }) => access === 'write' && isSame(relation, { schema, name }))
  if (values === null || target === null || entry === undefined) return null
  const columns = keyColumns(target)
  // What stays is what the rows are found by.
  const stays = (i: number): Demand['alternatives'][number] => flows?.of(entry.place, columns[i] ?? '', sharded.keyTypes[i] ?? 'text') ?? []
  const alternatives = values.map((value, i) => (value === null ? stays(i) : [[value]]))
  return { table: target.key, columns, alternatives, stored: { trims: trims(context, target, sharded) } }
}

function isInsertTarget(statement: Statement, touched: Touched): boolean {
  return insertsOf(statement).some(({ target }) => isSame(target, touched.name))
}

/** Columns of existing rows that are assigned to; null: cannot be told. */
function assignedColumns(statement: Statement): readonly string[] | null {
  const inner = (statement.innerWrites ?? []).filter(({ kind }) => kind !== null).map(({ assigns }) => assigns)
  const own = ownAssigned(statement)
  return own === null || inner.includes(null) ? null : [...own, ...inner.flatMap((columns) => columns ?? [])]
}

function ownAssigned(statement: Statement): readonly string[] | null {
  switch (statement.detail.kind) {
    case 'insert':
      return statement.detail.insert.conflictAssigns
    case 'update':
    case 'merge':
      return statement.detail.assigns.columns
    default:
      return []
  }
}

interface Storing {
  readonly sharded: Sharded
  readonly touched: readonly Touched[]
  /** null: no `=` is to be trusted. */
  readonly flows: KeyFlows | null
}

/** One demand for each row, or kind of row, that INSERT or MERGE brings. */
function storedDemands(context: Context, statement: Statement, given: Storing): readonly Demand[] | RefusePlan {
  const { detail } = statement
  const demands: Demand[] = []
  for (const insert of insertsOf(statement)) {
    const made = insertDemands(context, insert, given)
    if ('kind' in made) return made
    demands.push(...made)
  }
  if (detail.kind !== 'merge') return demands
  const { schema, name } = detail.assigns.target
  const target = lookup(given.touched, schema, name)
  if (target === null) return demands
  for (const action of detail.inserts) {
    const made = mergeDemand(context, action, target, given)
    if ('kind' in made) return made
    demands.push(made)
  }
  return demands
}

function mergeDemand(context: Context, action: MergeInsert, target: Touched, given: Storing): Demand | RefusePlan {
  if (action.values === null) return missingKey(target)
  const positions = keyPositions(context, action.columns, target, given.sharded)
  if ('kind' in positions) return positions
  return storedOutputs(context, action.values, positions, target, given)
}

function insertDemands(context: Context, insert: InsertFacts, given: Storing): readonly Demand[] | RefusePlan {
  const { sharded, touched } = given
  const target = lookup(touched, insert.target.schema, insert.target.name)
  if (target === null) return []
  const told = insert.rows ?? insert.selected
  if (told === null || told.length === 0) return [missingKey(target)]
  const positions = keyPositions(context, insert.columns, target, sharded)
  if ('kind' in positions) return positions
  if (insert.rows === null) return (insert.selected ?? []).map((arm) => storedOutputs(context, arm, positions, target, given))
  const stored = { trims: trims(context, target, sharded) }
  return insert.rows.map((row) => ({
    table: target.key,
    columns: keyColumns(target),
    alternatives: positions.map((position) => {
      const operand = row[position]
      return operand === undefined ? [] : [[operand]]
    }),
    stored,
  }))
}

function missingKey(target: Touched): Demand {
  const columns = keyColumns(target)
  return { table: target.key, columns, alternatives: columns.map(() => []) }
}

/** Values that are computed from other rows, each bound to a key itself. */
function storedOutputs(
  context: Context,
  outputs: readonly Output[],
  positions: readonly number[],
  target: Touched,
  { sharded, flows }: Storing,
): Demand {
  const alternatives = positions.map((position, i) => {
    const output = outputs[position]
    return output === undefined ? [] : (flows?.ofOutput(output, sharded.keyTypes[i] ?? 'text') ?? [])
  })
  return { table: target.key, columns: keyColumns(target), alternatives, stored: { trims: trims(context, target, sharded) } }
}

/** Where each column of the key stands among the values, -1: nowhere. */
function keyPositions(
  context: Context,
  named: readonly string[] | null,
  target: Touched,
  sharded: Sharded,
): readonly number[] | RefusePlan {
  const columns = keyColumns(target)
  const positions = columns.map((column) => (named === null ? columnPosition(context, target, sharded, column) : named.indexOf(column)))
  const unknown = columns.find((_, i) => positions[i] === null)
  if (unknown === undefined) return positions.map((position) => position ?? -1)
  return refuseSharded('shard-key-missing', sharded, [target], {
    message: `INSERT into ${target.key} names no columns, and its catalog does not tell where ${unknown} stands`,
    hint: 'Write the column list: INSERT INTO t (a, b) VALUES …',
  })
}

function trims(context: Context, target: Touched, sharded: Sharded): boolean {
  const columns = keyColumns(target)
  return columnsOf(context, target, sharded).some((all) => all.some(({ name, type }) => columns.includes(name) && type.endsWith(')')))
}

function columnsOf(context: Context, target: Touched, sharded: Sharded): readonly RelationInfo['columns'][] {
  return sharded.clusters.flatMap((cluster) => {
    const info = context.catalogs.get(cluster)?.relations.get(target.key)
    return info === undefined ? [] : [info.columns]
  })
}

/** null: unknown, or not the same on every cluster. */
function columnPosition(context: Context, target: Touched, sharded: Sharded, column: string): number | null {
  const positions = new Set(columnsOf(context, target, sharded).map((columns) => columns.findIndex((one) => one.name === column)))
  const [position] = positions
  return positions.size === 1 && position !== undefined && position !== -1 ? position : null
}

export function refuseSharded(rule: Rule, sharded: Sharded, touched: readonly Touched[], refusal: Refusal): RefusePlan {
  return refuse(rule, { owner: sharded.owner, tables: touched.map((one) => one.key), ...refusal })
}
