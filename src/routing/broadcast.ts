// routing/broadcast.ts — a write that concerns several clusters, as one plan: UPDATE and DELETE that no key puts on one shard, writes to
// reference tables, definitions. It runs on each of them within one two-phase commit, so it needs `two_phase: true`; and it must do on
// all of them together what it would do on one server with all rows, so what each would make of it for itself (chance, the
// present moment, a sequence, a trigger on copies that are to stay the same) is refused.
import { parseStatements } from '../sql/parser.js'
import type { Statement } from '../sql/statement.js'
import { harmlessPins } from './joining.js'
import type { Context } from './context.js'
import type { Routed } from './destination.js'
import { finish } from './finish.js'
import { refuse } from './make.js'
import type { BroadcastPlan, BroadcastTo, OnePlan, RefusePlan } from './plan.js'
import { why } from './rules.js'
import { checkFunctions } from './scatter/functions.js'
import { Unmergeable } from './scatter/unmergeable.js'
import type { World } from './scatter/world.js'

/** null: it is no such statement, and what is said to it without two_phase holds. */
type Broadcast = BroadcastPlan | RefusePlan | null

/** An UPDATE or DELETE that is for the rows of several clusters. */
export function broadcastRows(context: Context, routed: Routed, sharded: string, clusters: readonly string[], text: string): Broadcast {
  const { statement, touched } = routed
  const { kind } = statement.detail
  if (context.database.twoPhase === null || (kind !== 'update' && kind !== 'delete')) return null
  const spread = statement.entries.filter((entry) =>
    touched.some(({ home, name }) => home.kind === 'sharded' && name.name === entry.relation.name && name.schema === entry.relation.schema),
  )
  const others = touched.some(({ home }) => home.kind !== 'sharded' && home.kind !== 'reference')
  if (spread.length !== 1 || others) {
    return refusedBroadcast(
      routed,
      clusters,
      'it reads tables whose rows may be on another one',
      'Ask for those rows first and give them as parameters.',
    )
  }
  return broadcast(context, routed, { clusters, combine: 'sum', of: sharded }, text)
}

/** What concerns several clusters by its kind. */
export function broadcast(context: Context, routed: Routed, to: BroadcastTo, text: string): BroadcastPlan | RefusePlan {
  const against = sessionAgainst(context, to) ?? statementAgainst(context, routed, to, text)
  if (against !== null) return refusedBroadcast(routed, to.clusters, against.message, against.hint)
  const detail = `${to.of}: ${to.clusters.join(', ')}`
  return writtenOnAll(context, routed, to, { detail, inTurn: 'Send it to each of them in turn: /* pointsman: cluster=… */' })
}

/** One part for each of `to.clusters`, in their order. `inTurn`: what to do where a part may not be one. */
export function writtenOnAll(
  context: Context,
  routed: Routed,
  to: BroadcastTo,
  { detail, inTurn, ...rows }: { readonly detail: string; readonly inTurn: string } & Pick<BroadcastPlan, 'insert' | 'copy' | 'move'>,
): BroadcastPlan | RefusePlan {
  const parts: OnePlan[] = []
  for (const cluster of to.clusters) {
    const part = finish(context, routed, { cluster, shard: null, provisional: false, why: [why('broadcast', detail)] })
    if (part.kind === 'refuse') return part
    const unfit = partAgainst(part, to)
    if (unfit !== null) return refusedBroadcast(routed, to.clusters, unfit, inTurn)
    parts.push(part)
  }
  const [first] = parts
  return Object.freeze({
    kind: 'broadcast',
    parts,
    combine: to.combine,
    of: to.of,
    owner: routed.owner,
    tables: first?.tables ?? [],
    why: first?.why ?? [],
    ...rows,
  })
}

interface Against {
  readonly message: string
  readonly hint: string
}

/** Refused, as what is for these clusters. */
export function refusedBroadcast(routed: Routed, clusters: readonly string[], what: string, hint: string): RefusePlan {
  return refuse('broadcast', {
    message: `the statement is for several clusters (${clusters.join(', ')}), and ${what}`,
    hint,
    owner: routed.owner,
    tables: routed.touched.map((one) => one.key),
  })
}

/** What of the session stands in the way. */
export function sessionAgainst({ session, inBatch }: Context, { clusters }: Pick<BroadcastTo, 'clusters'>): Against | null {
  const { transaction, pins, pooling } = session
  if (pooling === 'statement')
    return { message: 'statement pooling mode has no transactions', hint: 'Use a database or a user with pool_mode: transaction.' }
  if (transaction.joined === null) return { message: 'here a transaction stays on one cluster', hint: 'Send it through the proxy.' }
  if (inBatch) return { message: 'it does not stand alone', hint: 'Send it by itself.' }
  if (!session.understood)
    return { message: 'the session reads text in another way', hint: 'SET standard_conforming_strings = on and use client_encoding UTF8.' }
  if (transaction.isolated) return { message: 'above READ COMMITTED all of it would have to see one moment', hint: 'Use READ COMMITTED.' }
  if (transaction.constraints === true)
    return {
      message: 'SET CONSTRAINTS was said in the transaction, which would count for one cluster only',
      hint: 'Use a transaction without it.',
    }
  const pinned = clusters.find((cluster) => {
    const reason = pins.get(cluster)
    return reason !== undefined && !harmlessPins.has(reason)
  })
  if (pinned === undefined) return null
  return {
    message: `the session keeps its connection to cluster ${pinned} (${pins.get(pinned) ?? ''})`,
    hint: 'Send it in a session that keeps no connection.',
  }
}

function statementAgainst(context: Context, routed: Routed, to: BroadcastTo, text: string): Against | null {
  const { statement, outer } = routed
  if (outer !== statement)
    return { message: `${outer.detail.kind.toUpperCase()} is for one server`, hint: 'Name one: /* pointsman: cluster=… */' }
  if (statement.ownTransaction)
    return { message: 'it cannot run in a transaction', hint: 'Send it to each of them in turn: /* pointsman: cluster=… */' }
  if (to.combine === 'same') {
    const against = copyAgainst(context, routed, to)
    if (against !== null) return against
  }
  if (statement.detail.kind === 'ddl' && statement.detail.what !== 'alter table') return definitionAgainst(statement)
  return callsAgainst(context, routed, to, text)
}

/** The same statement must leave the same rows in every copy. */
function copyAgainst(context: Context, { statement, touched }: Routed, { clusters, of }: BroadcastTo): Against | null {
  const { detail } = statement
  if (statement.entries.length > 1 || touched.length > 1)
    return { message: 'it reads other tables as well', hint: 'Ask for those rows first and give them as parameters.' }
  const infos = clusters.map((cluster) => context.catalogs.get(cluster)?.relations.get(of))
  const [first] = infos
  if (first === undefined || infos.some((info) => info === undefined))
    return { message: `${of} is not in the catalogs of all of them`, hint: 'Create it on every cluster.' }
  if (infos.some((info) => info?.triggers === true))
    return {
      message: `${of} has triggers, which may do something else on each of them`,
      hint: 'Drop the triggers, or write each copy: /* pointsman: cluster=… */',
    }
  if (statement.functions.some(({ name }) => moments.has(name.name)))
    return { message: 'the present moment is another one on each of them', hint: 'Give it as a parameter.' }
  if (detail.kind !== 'insert') return null
  const { columns, rows } = detail.insert
  const complete = columns === null ? first.columns.length : first.columns.filter(({ name }) => columns.includes(name)).length
  const full =
    complete === first.columns.length &&
    // DEFAULT VALUES and OVERRIDING USER VALUE have none.
    rows !== null &&
    rows.length > 0 &&
    rows.every((row) => row.length === first.columns.length && row.every(({ kind }) => kind !== 'default'))
  return full
    ? null
    : { message: `a default of ${of} may be another value on each of them`, hint: 'Give a value for every column, in VALUES.' }
}

const moments: ReadonlySet<string> = new Set(['now', 'transaction_timestamp', 'statement_timestamp', 'clock_timestamp', 'timeofday'])

function definitionAgainst({ detail }: Statement): Against | null {
  if (detail.kind !== 'ddl') return null
  if (detail.what === 'create table as' || detail.what === 'create materialized view as')
    return { message: 'each of them would fill it with its own rows', hint: 'Create the table, then fill it.' }
  return null
}

function callsAgainst(context: Context, { statement, touched }: Routed, { clusters }: BroadcastTo, text: string): Against | null {
  const catalogs = clusters.flatMap((cluster) => context.catalogs.get(cluster) ?? [])
  if (catalogs.length < clusters.length) return { message: 'the catalogs of all of them are not known yet', hint: 'Send it again.' }
  const [parsed] = parseStatements(text)
  if (parsed === undefined) return { message: 'it is not understood', hint: 'Send it to each of them in turn.' }
  if (holdsDefault(parsed.node)) return { message: 'DEFAULT may be another value on each of them', hint: 'Give the value.' }
  const world: World = { context, touched, catalogs, collation: 'unknown', plainEquals: false }
  try {
    checkFunctions(world, statement, parsed.node)
    return null
  } catch (error) {
    if (error instanceof Unmergeable) return { message: error.message, hint: 'Give its result as a parameter.' }
    throw error
  }
}

function holdsDefault(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if ('SetToDefault' in value || ('tag' in value && value.tag === 'SetToDefault')) return true
  return Object.values(value).some(holdsDefault)
}

/** What a part may not do. */
function partAgainst(plan: OnePlan, { combine }: Pick<BroadcastTo, 'combine'>): string | null {
  const state = plan.pins ?? plan.unpins ?? (plan.settings.length > 0 ? 'setting' : null)
  if (state !== null) return `it changes the session (${state})`
  if (plan.notifies || plan.listens || plan.asksListening || plan.readsSequences) return 'it concerns one connection'
  if (combine === 'same' && plan.taints !== null) return `it runs what may do something else on each of them (${plan.taints})`
  return null
}
