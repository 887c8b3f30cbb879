// routing/print.ts — a plan prints itself: one line for last_route and logs, several for people (EXPLAIN ROUTE, the
// command), an object for machines. Names only: a plan holds no literal and no parameter, so nothing here can leak one.
import { formatDuration } from '../consistency/duration.js'
import { catalogue } from '../errors/catalogue.js'
import { describeMerge } from '../merge/describe.js'
import type { AnswerPlan, BroadcastPlan, OnePlan, Plan, RefusePlan, ScatterPlan, Why } from './plan.js'
import { describePolicy } from './policy.js'

/** What is known of where a plan ran. The executor's RouteTaken is one. */
export interface Taken {
  readonly node: string
  readonly role: 'primary' | 'replica'
  readonly boundMs: number | null
  readonly step: string
  readonly why: readonly Why[]
}

/** Prints one line: `replica 10.0.0.2:5432 of main (bound 120 ms): default: …; read: session`. `route` null: it has not run. */
export function printRoute(plan: Plan, route: Taken | null): string {
  switch (plan.kind) {
    case 'answer':
      return `answered by Pointsman: ${printWhy(plan.why)}`
    case 'refuse':
      return `refused (${catalogue[plan.error].sqlstate}): ${printWhy(plan.why)}`
    case 'one':
      return `${place(plan, route)}: ${printWhy(route?.why ?? plan.why)}`
    case 'scatter':
      return `${scattered(plan)}${atWorst(route)}: ${printWhy(route?.why ?? plan.why)}`
    case 'broadcast':
      return `${everywhere(plan)}: ${printWhy(route?.why ?? plan.why)}`
  }
}

/** As printRoute, for a statement that is over: one that no server was found for has not run anywhere. */
export function printTaken(plan: Plan, route: Taken | null): string {
  return plan.kind === 'one' && route === null ? `nowhere (planned: ${printRoute(plan, null)})` : printRoute(plan, route)
}

function everywhere(plan: BroadcastPlan): string {
  return `written on ${plan.parts.map(({ cluster }) => cluster).join(', ')}`
}

function scattered(plan: ScatterPlan): string {
  return `merged from the ${plan.role === 'primary' ? 'primaries' : 'replicas'} of ${plan.parts.map(({ cluster }) => cluster).join(', ')}`
}

function place(plan: OnePlan, route: Taken | null): string {
  const shard = plan.shard === null ? '' : ` shard ${String(plan.shard)}`
  if (route === null) return `${plan.role} of ${plan.cluster}${shard}${kept(plan)}`
  return printServer(`${plan.cluster}${shard}`, route)
}

/** `replica 10.0.0.2:5432 of main (bound 120 ms, after wait)`. */
export function printServer(cluster: string, route: Taken): string {
  return `${route.role} ${route.node} of ${cluster}${bound(route)}`
}

/** Of the part of which least is proved. */
function atWorst(route: Taken | null): string {
  if (route === null || route.role === 'primary') return ''
  return route.boundMs === null ? ', at worst of unproved age' : `, at worst ${String(Math.round(route.boundMs))} ms old`
}

/** A result that is kept may be given in its place. */
function kept({ keptOn, policy }: OnePlan): string {
  return keptOn === null || policy.cacheMs === null ? '' : `, or the cache (up to ${formatDuration(policy.cacheMs)})`
}

function bound(route: Taken): string {
  const facts = [
    ...(route.boundMs === null ? [] : [`bound ${String(Math.round(route.boundMs))} ms`]),
    ...(route.step === 'first' ? [] : [route.step === 'cache' ? 'from the cache' : `after ${route.step}`]),
  ]
  return facts.length === 0 ? '' : ` (${facts.join(', ')})`
}

function printWhy(why: readonly Why[]): string {
  return why.map(printEntry).join('; ')
}

function printEntry(entry: Why): string {
  return `${entry.rule}: ${entry.detail}`
}

/** A plan as an object for JSON: what is false, null or empty is left out. */
export interface PlanDescription {
  readonly kind: Plan['kind']
  readonly [field: string]: unknown
}

export function describePlan(plan: Plan): PlanDescription {
  const described = describeKind(plan)
  const common = { tables: plan.tables, owner: plan.owner, why: plan.why.map(printEntry) }
  return { kind: plan.kind, ...present({ ...described, ...common }) }
}

function describeKind(plan: Plan): Readonly<Record<string, unknown>> {
  switch (plan.kind) {
    case 'one':
      return describeOne(plan)
    case 'answer':
      return describeAnswer(plan)
    case 'refuse':
      return { sqlstate: catalogue[plan.error].sqlstate, message: plan.message, hint: plan.hint }
    case 'scatter':
      return describeScatter(plan)
    case 'broadcast':
      return {
        clusters: plan.parts.map(({ cluster }) => cluster),
        combine: plan.combine,
        ...(plan.insert === undefined ? {} : { rows: plan.insert.parts.map(({ rows }) => rows.length) }),
        ...(plan.move === undefined ? {} : { moves: plan.move.stays ? 'rows go to the last, which may have some' : 'rows go to the last' }),
      }
  }
}

function describeScatter(plan: ScatterPlan): Readonly<Record<string, unknown>> {
  return {
    sharded: plan.sharded,
    clusters: plan.parts.map(({ cluster }) => cluster),
    shards: plan.parts.map(({ shards }) => shards.length),
    role: plan.role,
    policy: plan.role === 'replica' ? describePolicy(plan.policy) : null,
    merge: describeMerge(plan.merge),
    taints: plan.taints,
    provisional: plan.provisional,
  }
}

function describeOne(plan: OnePlan): Readonly<Record<string, unknown>> {
  const settings = plan.settings.map(
    (change) => `${change.scope === 'local' ? 'local ' : ''}${change.name}${change.value === null ? ' to default' : ''}`,
  )
  return {
    cluster: plan.cluster,
    shard: plan.shard,
    role: plan.role,
    policy: plan.role === 'replica' ? describePolicy(plan.policy) : null,
    writes: plan.writes,
    sticky: plan.writes && !plan.sticky ? 'off' : null,
    taints: plan.taints,
    pins: plan.pins,
    unpins: plan.unpins,
    settings,
    ownTransaction: plan.ownTransaction,
    lane: plan.lane,
    provisional: plan.provisional,
    readsData: plan.readsData,
    changesCatalog: plan.changesCatalog,
    cache: plan.keptOn === null || plan.policy.cacheMs === null ? null : formatDuration(plan.policy.cacheMs),
  }
}

function describeAnswer(plan: AnswerPlan): Readonly<Record<string, unknown>> {
  const { answer } = plan
  switch (answer.what) {
    case 'end-deferred':
    case 'deferred':
      return { what: answer.what, tag: answer.tag }
    case 'show':
    case 'deallocate':
      return { what: answer.what, name: answer.name }
    case 'joint':
      return { what: answer.what, tag: answer.tag }
    case 'set':
      return { what: answer.what, name: answer.change.name }
    case 'explain':
      return { what: answer.what, plan: describePlan(answer.plan) }
    case 'begin-deferred':
    case 'empty':
      return { what: answer.what }
  }
}

function present(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isAbsent(value)))
}

function isAbsent(value: unknown): boolean {
  return value === null || value === false || value === '' || (Array.isArray(value) && value.length === 0)
}

/** Several lines, for people. */
export function printPlan(plan: Plan): string {
  const lines = [printHeadline(plan)]
  if (plan.kind === 'one') lines.push(...printFacts(plan))
  if (plan.kind === 'scatter') lines.push(...printMerge(plan))
  if (plan.kind === 'answer' && plan.answer.what === 'explain') return printPlan(plan.answer.plan)
  if (plan.kind === 'refuse' && plan.hint !== '') lines.push(`  hint: ${plan.hint}`)
  if (plan.tables.length > 0) lines.push(`  tables: ${plan.tables.join(', ')}`)
  if (plan.owner !== null) lines.push(`  owner: ${plan.owner}`)
  lines.push('  why:', ...plan.why.map((entry) => `    ${printEntry(entry)}`))
  return lines.join('\n')
}

function printHeadline(plan: Plan): string {
  switch (plan.kind) {
    case 'one':
      return place(plan, null)
    case 'answer':
      return `answered by Pointsman (${plan.answer.what})`
    case 'refuse':
      return refusal(plan)
    case 'scatter':
      return scattered(plan)
    case 'broadcast':
      return everywhere(plan)
  }
}

function refusal(plan: RefusePlan): string {
  return `refused: ${catalogue[plan.error].sqlstate} ${plan.message}`
}

function printMerge(plan: ScatterPlan): readonly string[] {
  const policy = plan.role === 'replica' ? [`  policy: ${describePolicy(plan.policy)}, on each`] : []
  const changed = plan.query.text === plan.query.original ? 'the statement itself' : 'the statement, rewritten'
  return [...policy, `  each part runs: ${changed}`, `  merge: ${describeMerge(plan.merge).join(', ')}`]
}

function printFacts(plan: OnePlan): readonly string[] {
  const policy = plan.role === 'replica' ? [`  policy: ${describePolicy(plan.policy)}`] : []
  const facts = [
    ...(plan.writes ? [plan.sticky ? 'writes' : 'writes (not sticky)'] : []),
    ...(plan.provisional ? ['provisional'] : []),
    ...(plan.pins === null ? [] : [`pins the session (${plan.pins})`]),
    ...(plan.taints === null ? [] : [`taints the connection (${plan.taints})`]),
  ]
  return facts.length === 0 ? policy : [...policy, `  ${facts.join(', ')}`]
}
