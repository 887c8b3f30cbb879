// routing/planner.ts — plan(): (Statement, parameters, Session, Config, Catalogs) → Plan. Pure: the same input gives the
// same plan, whichever door asks. What does not depend on values is worked out once per shape and session view and kept
// (templates.ts); for a known shape only the shard key, if there is one, is left to do.
import type { Hints, Understood } from '../sql/statement.js'
import { broadcast, broadcastRows } from './broadcast.js'
import { planTogether, type Part } from './batch.js'
import { copyPlan, copySelect } from './copy.js'
import { createContext, suppliedCluster, suppliedKey, type Context } from './context.js'
import { placeFound, route, type Routed } from './destination.js'
import { cursorPlan } from './cursor.js'
import { finish, preparesSharded } from './finish.js'
import type { PlanInput } from './input.js'
import { insertRows } from './insert-rows.js'
import { moveRows } from './move-rows.js'
import { notInJoint } from './joining.js'
import { answer, inFailedTransaction, one, refuse } from './make.js'
import type { Plan } from './plan.js'
import { why } from './rules.js'
import { Scatters } from './scatter/scatter.js'
import { endsFailedTransaction, sessionKind } from './session-kinds.js'
import type { ShardNeed } from './shard-demands.js'
import { evaluate, type Evaluated, type Values } from './shard-eval.js'
import { cached, type Template } from './templates.js'
import { nothingVirtual, standing, tried, type Standing } from './virtual.js'

/** The plan of one text (one statement or several) with its parameters. */
export function plan(input: PlanInput): Plan {
  const template = cached(input, makeTemplate)
  return template(input)
}

/** The plan of several inputs that must go together: a batch of the extended protocol up to its Sync. One input is plan(). */
export function planBatch(inputs: readonly PlanInput[]): Plan {
  const [first] = inputs
  if (first === undefined) return answer('empty', 'nothing was sent', { what: 'empty' })
  if (inputs.length === 1) return plan(first)
  const refused = inputs.map(notInBatch).find((one) => one !== null)
  if (refused !== undefined) return refused
  const together = (pick: 'off' | 'relaxed'): Plan =>
    planTogether(inputs.flatMap((input) => partsOf(input, contextOf(input, true, standingOf(input)[pick])))).plan
  const strict = together('off')
  return first.database.virtual.size === 0 ? strict : tried(first.database, strict, () => together('relaxed'))
}

function standingOf({ database, understood }: PlanInput): Standing {
  return standing(database, understood.shape.key)
}

function notInBatch(input: PlanInput): Plan | null {
  const { understood } = input
  const context = contextOf(input, true, nothingVirtual.off)
  return hintProblem(understood.hints) ?? unknownCluster(context) ?? explainsAlone(understood.hints) ?? notParsed(context, understood)
}

/** Asked to explain, it must not run because it came in company. */
function explainsAlone(hints: Hints | null): Plan | null {
  if (hints?.explain !== true) return null
  return refuse('explain-hint', {
    message: 'the hint explain asks for a plan, and several statements were sent together',
    hint: 'Send the statement that is to be explained by itself.',
  })
}

function makeTemplate(input: PlanInput): Template {
  const { understood } = input
  const problem = hintProblem(understood.hints)
  if (problem !== null) return () => problem
  const template = input.database.virtual.size === 0 ? withoutExplain(input, nothingVirtual.off) : triedTemplate(input)
  if (understood.hints?.explain !== true) return template
  return (again) => answer('explain-hint', 'explain', { what: 'explain', plan: template(again) })
}

/** The second template is made when the first one refuses, which few shapes are. */
function triedTemplate(input: PlanInput): Template {
  const { off, relaxed } = standingOf(input)
  const strict = withoutExplain(input, off)
  if (relaxed.size === off.size) return strict
  let other: Template | null = null
  return (again) => tried(again.database, strict(again), () => (other ??= withoutExplain(input, relaxed))(again))
}

function hintProblem(hints: Hints | null): Plan | null {
  const [first] = hints?.problems ?? []
  if (first === undefined) return null
  return refuse('hint', {
    message: first,
    hint: 'Hints look like /* pointsman: max_staleness=2s, shard_key=42 */.',
    error: 'hint_contradiction',
  })
}

function contextOf(input: PlanInput, inBatch: boolean, collapsed: Context['collapsed']): Context {
  const { config, database, catalogs, session, understood } = input
  return createContext({ config, database, catalogs, session, hints: understood.hints, inBatch, collapsed })
}

function withoutExplain(input: PlanInput, collapsed: Context['collapsed']): Template {
  const { statements } = input.understood.shape
  const context = contextOf(input, (statements?.length ?? 0) > 1, collapsed)
  const unknown = unknownCluster(context)
  if (unknown !== null) return () => unknown
  const unparsed = notParsed(context, input.understood)
  if (unparsed !== null) return () => unparsed
  const [statement] = statements ?? []
  if (statement === undefined) {
    const empty = answer('empty', 'no statement', { what: 'empty' })
    return () => empty
  }
  if (context.inBatch) return batchTemplate(input, context)
  if (context.session.transaction.status === 'failed' && !endsFailedTransaction(statement)) {
    const failed = inFailedTransaction()
    return () => failed
  }
  const session = sessionKind(context, statement)
  if (session !== null) {
    const fixed = session.kind === 'plan' ? session.plan : session.at(session.cluster)
    return () => fixed
  }
  return routedTemplate(context, route(context, statement))
}

/** Several statements are planned anew for each execution if the values of one of them decide. */
function batchTemplate(input: PlanInput, context: Context): Template {
  const together = planTogether(partsOf(input, context))
  if (together.keyed) return (again) => planTogether(partsOf(again, contextOf(again, true, context.collapsed))).plan
  return () => together.plan
}

function routedTemplate(context: Context, routed: Routed | Extract<Plan, { kind: 'refuse' }>): Template {
  if (routed.kind === 'refuse') return () => routed
  const refused = notInThisSession(context, routed) ?? preparesSharded(routed)
  if (refused !== null) return () => refused
  const home = context.session.transaction.home?.cluster ?? null
  if (routed.to.kind === 'keyed') return keyedTemplate(context, routed, routed.to.need, home)
  const { to } = routed
  if (to.kind === 'copy') return (input) => copyPlan(context, routed, to, input, plan)
  if (to.kind === 'broadcast') {
    if (routed.outer !== routed.statement) return () => to.refused
    return (input) => broadcast(context, routed, to.to, input.understood.text)
  }
  const fixed = finish(context, routed, { cluster: to.cluster, shard: null, provisional: false, why: to.why })
  return () => fixed
}

/** One finished plan for each shard that has been asked for, whether the statement's own key or a hint says so. */
function keyedTemplate(context: Context, routed: Routed, need: ShardNeed, home: string | null): Template {
  const finished: Readonly<Record<'shard-key' | 'shard-hint', Map<number, Plan>>> = { 'shard-key': new Map(), 'shard-hint': new Map() }
  let scatters: Scatters | null = null
  const place = (found: Evaluated, input: PlanInput): Plan => {
    const { text } = input.understood
    if ((found.kind === 'missing' || found.kind === 'several') && routed.statement.detail.kind === 'copy')
      return copySelect(context, routed, need.sharded, input, plan)
    if (found.kind === 'moving') return moveRows(context, routed, need, found, text)
    if ((found.kind === 'missing' || found.kind === 'several') && suppliedCluster(context) === null) {
      if (routed.outer.detail.kind === 'declare' && routed.statement.detail.kind === 'select' && context.session.spreads === true)
        return cursorPlan(context, routed, input, plan)
      const { sharded } = need
      const inserted = found.kind === 'several' ? insertRows(context, routed, need, found, valuesOf(input)) : null
      if (inserted !== null) return inserted
      const written = broadcastRows(context, routed, sharded.name, found.kind === 'several' ? found.clusters : sharded.clusters, text)
      if (written !== null) return written
      scatters ??= new Scatters(context, routed, need)
      const merged = scatters.plan(found, text)
      if (merged !== null) return merged
    }
    const to = placeFound(context, routed, need, found, home)
    return 'kind' in to ? to : finish(context, routed, to)
  }
  return (input) => {
    const found = evaluate(need, valuesOf(input))
    if (found.kind !== 'shard' || found.provisional) return place(found, input)
    const kept = finished[found.rule]
    const known = kept.get(found.shard)
    if (known !== undefined) return known
    const made = place(found, input)
    if (kept.size < maxShardPlans) kept.set(found.shard, made)
    return made
  }
}

const maxShardPlans = 1024

function valuesOf(input: PlanInput): Values {
  const { understood, parameters, session, directories = null } = input
  return { understood, parameters, supplied: suppliedKey(understood.hints, session), unicode: session.unicode, directories }
}

/** A hint or setting that names a cluster which is none of this database's. */
function unknownCluster(context: Context): Plan | null {
  for (const cluster of [context.hints?.cluster, context.session.local.cluster, context.session.session.cluster]) {
    if (cluster === undefined || cluster === null || context.clusters.includes(cluster)) continue
    return refuse('hint', {
      message: `pointsman.cluster names no cluster of database ${context.database.name}`,
      hint: `Its clusters are ${context.clusters.join(', ')}.`,
      error: 'hint_contradiction',
    })
  }
  return null
}

/** A text that the parser does not understand cannot be inspected: the primary answers, or nobody. */
function notParsed(context: Context, understood: Understood): Plan | null {
  if (understood.shape.statements !== null) return null
  const words = problemWords(understood.shape.problem)
  const unfit = notInJoint(context, 'what is not understood')
  if (unfit !== null) return unfit
  const { transaction, pins } = context.session
  if (context.database.unparsed === 'refuse') {
    return refuse('unparsed', {
      message: `the statement is not understood: ${words}`,
      hint: 'Correct it, or set `unparsed: primary` for the database.',
    })
  }
  const [pinned] = pins.keys()
  const cluster = transaction.home?.cluster ?? pinned ?? context.database.default
  return one({
    cluster,
    role: transaction.home?.role ?? 'primary',
    why: [why('not-understood', words)],
    writes: transaction.home?.role !== 'replica',
    taints: 'text that is not understood',
    readsData: true,
  })
}

/** The parser's message up to where it quotes the text: what stands there may be a value. */
function problemWords(problem: string | null): string {
  const words = /^[a-z0-9_ ]+?(?= at or near|$)/.exec(problem ?? '')
  return words === null ? 'the parser refuses it' : words[0]
}

/** A session that lexes in another way may mean other tables than the parser saw: only the default cluster is open to it. */
function notInThisSession(context: Context, routed: Routed): Plan | null {
  if (context.session.understood) return null
  const routedElsewhere = routed.touched.find((one) => one.home.kind === 'partition' || one.home.kind === 'sharded')
  if (routedElsewhere === undefined) return null
  return refuse('session-not-understood', {
    message: `${routedElsewhere.key} is partitioned or sharded, and this session reads text in a way that cannot be followed`,
    hint: 'SET standard_conforming_strings = on and use client_encoding UTF8.',
    tables: routed.touched.map((one) => one.key),
    owner: routed.owner,
  })
}

function partsOf(input: PlanInput, context: Context): readonly Part[] {
  const values = valuesOf(input)
  return (input.understood.shape.statements ?? []).map((statement) => ({ context, statement, values, notHere: notInThisSession }))
}
