// routing/destination.ts — where one statement goes: its common home, the hint that supplies one where it lacks it, the
// open transaction, and (for sharded tables) the values. Two steps: route() once for a shape and session, destination()
// for each execution.
import { createsTemporary } from '../catalog/resolve.js'
import type { Sharded } from '../sharding/sharded.js'
import type { Statement } from '../sql/statement.js'
import { callsUniqueId } from '../sql/unique-ids.js'
import { suppliedCluster, type Context } from './context.js'
import { touchedByCode } from './code.js'
import { meeting } from './crossing.js'
import { commonHome, describe, homeLabel, touch, touchedEnd, type CommonHome, type Home, type Touched } from './homes.js'
import { movesOnOne, rowsOnOne } from './insert-on-one.js'
import { refuse } from './make.js'
import type { BroadcastTo, RefusePlan, Why } from './plan.js'
import { why } from './rules.js'
import { refuseSharded, shardNeed, type Demand, type ShardNeed } from './shard-demands.js'
import { evaluate, refuseSeveral, type Evaluated, type Values } from './shard-eval.js'
import { waysOut } from './ways-out.js'

/** A statement whose tables are resolved. */
export interface Routed {
  readonly kind: 'routed'
  /** As sent: EXPLAIN, DECLARE, PREPARE, or the statement itself. */
  readonly outer: Statement
  /** What runs: the innermost statement. */
  readonly statement: Statement
  readonly touched: readonly Touched[]
  readonly owner: string | null
  /** Creates a temporary relation. */
  readonly createsTemporary: boolean
  readonly to: Target
  /** Label of its home, where the database has virtual ones; else null. */
  readonly place: string | null
}

export type Target =
  /** Anywhere: `cluster` is the default, a hint's, or that of the open transaction. */
  | { readonly kind: 'free'; readonly cluster: string; readonly why: readonly Why[] }
  | { readonly kind: 'fixed'; readonly cluster: string; readonly why: readonly Why[] }
  | { readonly kind: 'keyed'; readonly need: ShardNeed }
  /** COPY of a whole table. `refused`: what is said where it is not alone. */
  | ({ readonly kind: 'copy'; readonly refused: RefusePlan } & CopyTarget)
  /** `refused`: what is said where it cannot run on all of them. */
  | { readonly kind: 'broadcast'; readonly to: BroadcastTo; readonly refused: RefusePlan }

/** COPY of a whole sharded table. */
export interface CopyTarget {
  readonly sharded: Sharded
  readonly table: Touched
}

export interface Destination {
  readonly cluster: string
  readonly shard: number | null
  readonly provisional: boolean
  readonly why: readonly Why[]
}

export function route(context: Context, outer: Statement): Routed | RefusePlan {
  const statement = innermost(outer)
  if (callsUniqueId(outer) || callsUniqueId(statement)) return asksForIds()
  const hidden = hiddenTemporary(context, statement)
  if (hidden !== null) return hidden
  const resolved = touch(context, statement)
  if ('kind' in resolved) return resolved
  const created = createdTemporary(statement)
  const touched = created === null ? resolved : resolved.map((one) => (created(one) ? asTemporary(context, one, resolved) : one))
  const code = touchedByCode(context, statement, touched)
  if ('kind' in code) return code
  const reached = code.length === 0 ? touched : [...touched, ...code]
  const common = commonHome(reached, (a, b) => meeting(statement, a, b))
  if (common.kind === 'refuse') return common
  const unseen = usersKept(context, reached) ?? shardedByCode(context, common, touched, code)
  if (unseen !== null) return unseen
  const reference = referenceWrite(context, statement, touched)
  if (reference?.kind === 'refuse') return reference
  const to = reference ?? target(context, statement, reached, common)
  if (to.kind === 'refuse') return to
  const place = context.database.virtual.size === 0 ? null : placeOf(common)
  return { kind: 'routed', outer, statement, touched, owner: ownerOf(common), createsTemporary: created !== null, to, place }
}

/** No server knows the function. */
function asksForIds(): RefusePlan {
  const refused = refuse('unique-id', {
    message: 'pointsman.unique_id() cannot be called there',
    hint: 'Call it in the VALUES of an INSERT or in a SELECT without FROM; in the library, await pool.uniqueId().',
  })
  return Object.freeze({ ...refused, uniqueIds: true })
}

/** Partitions may be for some users only. */
function usersKept(context: Context, touched: readonly Touched[]): RefusePlan | null {
  const { user } = context.session
  for (const { key, home } of touched) {
    const users = home.kind === 'partition' ? (context.database.partitions.get(home.partition)?.users ?? null) : null
    if (home.kind !== 'partition' || users === null || users.includes(user)) continue
    return refuse('partition-user', {
      message: `${key} belongs to partition ${home.partition}, which is not for user ${user}`,
      hint: `The configuration lists its users: partitions.${home.partition}.users.`,
      error: 'insufficient_privilege',
      tables: touched.map((one) => one.key),
      owner: home.owner,
    })
  }
  return null
}

/** Which rows code means is not seen. What a trigger does in its own set is left to those who made it. */
function shardedByCode(context: Context, common: CommonHome, touched: readonly Touched[], code: readonly Touched[]): RefusePlan | null {
  if (common.kind !== 'sharded' || suppliedCluster(context) !== null) return null
  const own = touched.find((one) => one.home.kind === 'sharded')
  const reached = code.find((one) => one.home.kind === 'sharded' && (one.via?.kind === 'function' || own === undefined))
  if (reached === undefined) return null
  const message = `${describe(reached)} is sharded, and which of its rows are meant cannot be seen`
  const crossing = {
    kind: 'function',
    from: touchedEnd(own ?? reached),
    to: touchedEnd(reached),
    reason: message,
    way: waysOut.function,
  } as const
  return refuseSharded('sharded-unsupported', common.sharded, touched, { message, hint: waysOut.function, crossing })
}

/** The one home, as transactions keep it where homes are virtual; null: none. */
function placeOf(common: CommonHome): string | null {
  if (common.kind === 'free') return null
  if (common.kind === 'sharded') return `sharded ${common.sharded.name}`
  return common.home.kind === 'temporary' ? null : homeLabel(common.home)
}

function innermost(statement: Statement): Statement {
  const { detail } = statement
  switch (detail.kind) {
    case 'explain':
    case 'declare':
    case 'prepare':
      return innermost(detail.inner)
    default:
      return statement
  }
}

/** Which of the relations a statement creates as temporary; null: none. */
function createdTemporary(statement: Statement): ((one: Touched) => boolean) | null {
  const { detail } = statement
  if (detail.kind === 'ddl' && detail.temporary) return (one) => one.access === 'define'
  if (detail.kind === 'select' && detail.into?.temporary === true) {
    const { name } = detail.into
    return (one) => one.access === 'define' && one.name.name === name.name
  }
  return null
}

/** With pg_temp first in search_path a bare CREATE leaves something temporary behind that its text does not tell. */
function hiddenTemporary(context: Context, statement: Statement): RefusePlan | null {
  const { detail } = statement
  const creates =
    detail.kind === 'ddl'
      ? detail.what.startsWith('create ') && !detail.temporary && statement.relations.every((use) => use.name.schema === null)
      : detail.kind === 'select' && detail.into?.temporary === false && detail.into.name.schema === null
  if (!creates || !createsTemporary(context.names)) return null
  return refuse('temporary', {
    message: 'search_path begins with pg_temp, so this would make something temporary without saying so',
    hint: 'Write CREATE TEMPORARY, or pg_temp before the name.',
  })
}

/** A new temporary table stands where the session's others are, else beside what it is made from. */
function asTemporary(context: Context, one: Touched, all: readonly Touched[]): Touched {
  const key = `pg_temp.${one.name.name}`
  return { ...one, key, root: key, known: true, home: { kind: 'temporary', cluster: temporaryHome(context, all) } }
}

function temporaryHome(context: Context, all: readonly Touched[]): string {
  for (const [cluster, reason] of context.session.pins) if (reason === 'temporary table') return cluster
  for (const { access, home } of all) {
    if (access === 'define') continue
    if (home.kind === 'default' || home.kind === 'partition' || home.kind === 'temporary') return home.cluster
    if (home.kind === 'sharded' && home.sharded.clusters[0] !== undefined && home.sharded.clusters.length === 1)
      return home.sharded.clusters[0]
  }
  return context.session.transaction.home?.cluster ?? suppliedCluster(context) ?? context.database.default
}

function ownerOf(common: CommonHome): string | null {
  if (common.kind === 'free') return null
  if (common.kind === 'sharded') return common.owner
  return common.home.kind === 'temporary' ? null : common.home.owner
}

/** One copy written alone would differ from the others: only said outright, cluster by cluster. */
function referenceWrite(context: Context, statement: Statement, touched: readonly Touched[]): Target | RefusePlan | null {
  if (context.clusters.length === 1 || suppliedCluster(context) !== null || onlyRefersTo(statement, touched)) return null
  const written = touched.find((one) => one.home.kind === 'reference' && (one.access === 'write' || one.access === 'define'))
  if (written === undefined) return null
  const { kind } = statement.detail
  const everywhere = kind === 'insert' || kind === 'update' || kind === 'delete' || kind === 'ddl'
  const to = { clusters: context.clusters, combine: kind === 'ddl' ? 'sum' : 'same', of: written.key } as const
  return onAll(context, to, writesReference(context, written.key), everywhere)
}

/** With two_phase it is one write of all of them. */
function onAll(context: Context, to: BroadcastTo, refused: RefusePlan, fits: boolean): Target | RefusePlan {
  return fits && context.database.twoPhase !== null ? { kind: 'broadcast', to, refused } : refused
}

export function writesReference(context: Context, key: string): RefusePlan {
  return refuse('reference-write', {
    message: `${key} is a reference table: a write concerns every cluster (${context.clusters.join(', ')})`,
    hint: `Run it on each of them in turn: /* pointsman: cluster=${context.database.default} */ …`,
    tables: [key],
  })
}

/** CREATE TABLE … REFERENCES, LIKE: the reference table is named, another one is made. */
function onlyRefersTo(statement: Statement, touched: readonly Touched[]): boolean {
  const { detail } = statement
  if (detail.kind !== 'ddl' || (detail.what !== 'create table' && detail.what !== 'alter table')) return false
  return touched[0] !== undefined && touched[0].home.kind !== 'reference'
}

function target(context: Context, statement: Statement, touched: readonly Touched[], common: CommonHome): Target | RefusePlan {
  switch (common.kind) {
    case 'free':
      return freeTarget(context, statement, touched)
    case 'at':
      return fixedTarget(context, common.home, touched)
    case 'sharded':
      return shardedTarget(context, statement, touched, common.sharded)
  }
}

function freeTarget(context: Context, statement: Statement, touched: readonly Touched[]): Target | RefusePlan {
  const supplied = suppliedCluster(context)
  const { home } = context.session.transaction
  if (supplied !== null) return { kind: 'fixed', cluster: supplied, why: [why('cluster-hint', `cluster ${supplied}`)] }
  if (home === null && concernsServers(statement) && context.clusters.length > 1)
    return onAll(
      context,
      { clusters: context.clusters, combine: 'sum', of: what(statement) },
      manyClusters(context, `${what(statement)} concerns every cluster of the database`),
      statement.detail.kind === 'ddl',
    )
  const cluster = home?.cluster ?? context.database.default
  return { kind: 'free', cluster, why: [freeWhy(touched, cluster)] }
}

/** Commands about the server, or about names that every cluster would need. */
function concernsServers(statement: Statement): boolean {
  const { detail } = statement
  return (detail.kind === 'ddl' && !detail.temporary) || detail.kind === 'utility'
}

function what(statement: Statement): string {
  const { detail } = statement
  if (detail.kind === 'lock') return 'LOCK TABLE'
  return detail.kind === 'ddl' || detail.kind === 'utility' ? detail.what.toUpperCase() : statement.node
}

function manyClusters(context: Context, message: string): RefusePlan {
  return refuse('many-clusters', {
    message: `${message} (${context.clusters.join(', ')})`,
    hint: `Run it on each of them in turn: /* pointsman: cluster=${context.database.default} */ …`,
  })
}

export function freeWhy(touched: readonly Touched[], cluster: string): Why {
  const reference = touched.find((one) => one.home.kind === 'reference')
  if (reference !== undefined) return why('reference', `${reference.key}, on cluster ${cluster}`)
  const system = touched.find((one) => one.home.kind === 'system')
  if (system !== undefined) return why('system-catalog', `${system.key}, on cluster ${cluster}`)
  return why('no-table', `cluster ${cluster}`)
}

type FixedHome = Extract<CommonHome, { kind: 'at' }>['home']

function fixedTarget(context: Context, home: FixedHome, touched: readonly Touched[]): Target | RefusePlan {
  const supplied = suppliedCluster(context)
  if (supplied !== null && supplied !== home.cluster) return contradicts(supplied, touched)
  return { kind: 'fixed', cluster: home.cluster, why: fixedWhy(home, touched) }
}

function contradicts(supplied: string, touched: readonly Touched[]): RefusePlan {
  const routed = touched.find((one) => one.home.kind !== 'reference' && one.home.kind !== 'system')
  return refuse('hint', {
    message: `pointsman.cluster says ${supplied}, which contradicts the home of ${routed === undefined ? 'the statement' : describe(routed)}`,
    hint: 'Leave the hint or setting out: it is only for statements that lack a home.',
    error: 'hint_contradiction',
    tables: touched.map((one) => one.key),
  })
}

function fixedWhy(home: FixedHome, touched: readonly Touched[]): readonly Why[] {
  if (home.kind === 'temporary') return [why('temporary', `${nameOf(touched, 'temporary')} on cluster ${home.cluster}`)]
  if (home.kind === 'partition')
    return [why('partition', `${nameOf(touched, 'partition')} belongs to ${home.partition} on cluster ${home.cluster}`)]
  return [why('default', `${nameOf(touched, 'default')} lives on cluster ${home.cluster}`)]
}

function nameOf(touched: readonly Touched[], kind: Home['kind']): string {
  return touched.find((one) => one.home.kind === kind)?.key ?? ''
}

function shardedTarget(context: Context, statement: Statement, touched: readonly Touched[], sharded: Sharded): Target | RefusePlan {
  const own = touched.filter((one) => one.home.kind === 'sharded')
  const supplied = suppliedCluster(context)
  if (supplied !== null && !sharded.clusters.includes(supplied)) return contradicts(supplied, touched)
  if (isDefinition(statement)) return shardedDefinition(context, statement, sharded, supplied, own)
  const need = shardNeed(context, statement, sharded, own, touched)
  if (!('kind' in need)) return { kind: 'keyed', need }
  const copied = copyTarget(statement, sharded, own)
  return copied === null ? need : { kind: 'copy', ...copied, refused: need }
}

function copyTarget({ detail }: Statement, sharded: Sharded, own: readonly Touched[]): CopyTarget | null {
  const [table] = own
  if (detail.kind !== 'copy' || detail.end !== 'client' || detail.target === null || table === undefined || own.length > 1) return null
  return { sharded, table }
}

function isDefinition(statement: Statement): boolean {
  const { kind } = statement.detail
  return kind === 'ddl' || kind === 'utility' || kind === 'lock' || statement.relations.some((use) => use.access === 'define')
}

/** DDL, maintenance and locks on a sharded table: wherever a hint says, or where there is only one cluster. */
function shardedDefinition(
  context: Context,
  statement: Statement,
  sharded: Sharded,
  supplied: string | null,
  own: readonly Touched[],
): Target | RefusePlan {
  const only = sharded.clusters.length === 1 ? sharded.clusters[0] : undefined
  const cluster = supplied ?? only
  if (cluster !== undefined) {
    const reason =
      supplied === null ? why('shard-any', `${sharded.name} is all on cluster ${cluster}`) : why('cluster-hint', `cluster ${cluster}`)
    return { kind: 'fixed', cluster, why: [reason] }
  }
  const table = own[0]?.key ?? sharded.name
  const refused = refuse('many-clusters', {
    message: `${what(statement)} on ${table}, which is sharded, concerns every cluster of ${sharded.name} (${sharded.clusters.join(', ')})`,
    hint: `Run it on each of them in turn: /* pointsman: cluster=${sharded.clusters[0] ?? context.database.default} */ …`,
    tables: own.map((one) => one.key),
    owner: sharded.owner,
  })
  const to = { clusters: sharded.clusters, combine: 'sum', of: table } as const
  return onAll(context, to, refused, statement.detail.kind === 'ddl')
}

/** `home`: the cluster that something else has already fixed (open transaction, other statements of a batch), or null. */
export function destination(context: Context, routed: Routed, values: Values, home: string | null): Destination | RefusePlan {
  const { to } = routed
  if (to.kind === 'free') return { cluster: home ?? to.cluster, shard: null, provisional: false, why: to.why }
  if (to.kind === 'fixed') return { cluster: to.cluster, shard: null, provisional: false, why: to.why }
  if (to.kind === 'broadcast' || to.kind === 'copy') return to.refused
  return placeFound(context, routed, to.need, evaluate(to.need, values), home)
}

/** The destination that the values of one execution give. */
export function placeFound(
  context: Context,
  routed: Routed,
  need: ShardNeed,
  found: Evaluated,
  home: string | null,
): Destination | RefusePlan {
  const { sharded } = need
  const supplied = suppliedCluster(context)
  switch (found.kind) {
    case 'refused':
      return found.plan
    case 'missing':
      if (supplied !== null && !need.writes)
        return { cluster: supplied, shard: null, provisional: false, why: [why('cluster-hint', `cluster ${supplied}`)] }
      return keyMissing(routed, need, found.demand)
    case 'several':
      return rowsOnOne(context, routed.statement, need, found) ?? refuseSeveral(sharded, found.demand)
    case 'moving':
      // Where shards are not apart yet, what can be moved then is looked at by itself (move-rows.ts).
      return context.database.virtual.has(`sharded ${sharded.name}`) ? found.refused : (movesOnOne(need, found) ?? found.refused)
    case 'lookup':
      return unasked(sharded, found.demand, found.keys)
    case 'any': {
      const wanted = [supplied, home].find((one) => one !== null && sharded.clusters.includes(one))
      const cluster = wanted ?? sharded.clusters[0] ?? context.database.default
      const reason = found.provisional ? 'the key is not known yet' : 'the key matches nothing'
      return { cluster, shard: null, provisional: found.provisional, why: [why('shard-any', `${sharded.name}: ${reason}`)] }
    }
    case 'shard': {
      if (supplied !== null && supplied !== found.cluster) return contradicts(supplied, routed.touched)
      const detail = `${sharded.name} shard ${String(found.shard)} on cluster ${found.cluster}`
      return { cluster: found.cluster, shard: found.shard, provisional: found.provisional, why: [why(found.rule, detail)] }
    }
  }
}

/** Nothing is wrong with it: whoever can ask the directory does so, and plans again. */
function unasked(sharded: Sharded, demand: Demand, keys: readonly (readonly string[])[]): RefusePlan {
  const refused = refuse('shard-key-unreadable', {
    message: `the directory of ${sharded.name} has not been asked for the shard key ${demand.columns.join(', ')} of ${demand.table}`,
    hint: 'Send it where the directory can be asked: to the proxy or the library.',
    owner: sharded.owner,
    tables: [demand.table],
  })
  return Object.freeze({ ...refused, lookup: { sharded, keys } })
}

function keyMissing(routed: Routed, need: ShardNeed, demand: Demand): RefusePlan {
  const { sharded } = need
  const { table } = demand
  const column = demand.columns.filter((_, i) => demand.alternatives[i]?.length === 0).join(', ') || demand.columns.join(', ')
  const { detail } = routed.statement
  const selects = detail.kind === 'insert' && detail.insert.rows === null
  const message = selects
    ? `INSERT … SELECT into ${table}, which is sharded: the shard of its rows cannot be proved`
    : `the statement does not say which ${column} of ${table} it means, and ${sharded.name} is sharded by it`
  return refuseSharded('shard-key-missing', sharded, routed.touched, {
    message,
    hint: `Bind ${column} of every table of ${sharded.name} with =, IN or = ANY, give it in VALUES, or supply it: /* pointsman: shard_key=… */`,
  })
}
