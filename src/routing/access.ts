// routing/access.ts — does a statement, run on a given cluster, change anything or need the primary? The grammar, the
// functions, operators and types it names, and everything behind its views and policies are judged in the catalog of
// that cluster; the worst verdict counts. Unknown is never read-only.
import type { Catalog, RelationInfo } from '../catalog/catalog.js'
import { isSystemSchema, showsServerState } from '../catalog/builtins.js'
import { expand, type Expanded } from '../catalog/expand.js'
import { candidates, judgeAttribute, judgeFunction, judgeOperator, judgeType, worse, type Effect, type Verdict } from '../catalog/judge.js'
import type { FunctionUse, Statement } from '../sql/statement.js'
import { suppliedCluster, type Context } from './context.js'
import { writesReference } from './destination.js'
import { homeOf, sameHome, touchedEnd, twoHomes, type Home, type Touched } from './homes.js'
import { refuse } from './make.js'
import type { RefusePlan, Why } from './plan.js'
import { why, type Rule } from './rules.js'
import { waysOut } from './ways-out.js'

export interface AccessFacts {
  readonly effect: Effect
  /** What raised the effect, most important last. */
  readonly why: readonly Why[]
  readonly taints: string | null
  /** What taints is called to change something, and may leave what its caller counts on: triggers and stable functions may not. */
  readonly leavesState: boolean
  /** Nothing but quick built-in functions, operators and types: fit for a shared connection. */
  readonly builtin: boolean
  /** `schema.name` of everything touched, views expanded. */
  readonly tables: readonly string[]
  /** One name for each of `tables` that `reads.tables` may speak of: a partition's is its root's. */
  readonly policyNames: readonly string[]
  readonly readsData: boolean
  /** The same data may give another answer: a volatile function has a part in it. */
  readonly varies: boolean
}

/** `touched`: the statement's own relations, resolved. */
export function access(context: Context, statement: Statement, touched: readonly Touched[], cluster: string): AccessFacts | RefusePlan {
  const catalog = context.catalogs.get(cluster)
  const own = touched.filter((one) => one.home.kind !== 'system' && one.home.kind !== 'temporary').map((one) => one.key)
  const expanded = expand(catalog, own)
  const crossing = behindCrosses(context, touched, expanded) ?? referenceBehind(context, touched, expanded)
  if (crossing !== null) return crossing
  const verdicts = [
    ...grammarVerdicts(statement),
    ...catalogVerdicts(context, statement, touched, expanded, catalog, cluster),
    ...touched.flatMap((one) => relationVerdicts(one, catalog)),
    ...writtenVerdicts(context, touched, expanded, catalog),
    ...eventVerdicts(statement, catalog),
    ...expanded.keys.flatMap((key) =>
      isSystemSchema(schemaOf(key)) ? systemVerdicts(key) : infoVerdicts(catalog?.relations.get(key), key),
    ),
    ...expanded.opaque.map(({ key, reason }) => opaqueVerdict(key, reason)),
  ]
  const total = verdicts.reduce(worse, quiet)
  const system = touched.filter((one) => one.home.kind === 'system').map((one) => one.key)
  const temporary = touched.filter((one) => one.home.kind === 'temporary').map((one) => one.key)
  const { tables } = context.database.reads
  const policyName = (key: string): string => (tables.has(key) ? key : (catalog?.relations.get(key)?.partitionRoot ?? key))
  return {
    effect: total.effect,
    why: total.why === null ? [] : [why(total.why.rule, total.why.detail)],
    taints: total.taints,
    leavesState: verdicts.some(({ taints, effect: one }) => taints !== null && one === 'write'),
    builtin: total.builtin,
    tables: [...expanded.keys, ...system, ...temporary],
    policyNames: [...new Set([...expanded.keys.map(policyName), ...system])],
    readsData: touched.length > 0 || statement.functions.some((use) => !isTrackedSetting(context, statement, use, catalog)),
    varies: total.varies === true,
  }
}

/** A verdict whose rule may be any of routing's own. */
interface RoutedVerdict extends Omit<Verdict, 'why'> {
  readonly why: { readonly rule: Rule; readonly detail: string } | null
}

const quiet: Verdict = { effect: 'read', why: null, taints: null, builtin: true }

function verdict(effect: Effect, rule: Rule, detail: string, taints: string | null = null): Verdict {
  const made: RoutedVerdict = { effect, why: { rule, detail }, taints, builtin: true }
  return made as Verdict
}

function schemaOf(key: string): string {
  return key.slice(0, key.indexOf('.'))
}

/** What the kind of statement alone says. */
function grammarVerdicts(statement: Statement): readonly Verdict[] {
  const { detail } = statement
  switch (detail.kind) {
    case 'do':
      return [verdict('write', 'procedure', 'DO runs code that cannot be inspected', 'DO')]
    case 'call':
      return [verdict('write', 'procedure', 'CALL runs a procedure', 'CALL')]
    case 'ddl':
      return [verdict('write', 'ddl', detail.what)]
    case 'utility':
      return [verdict('write', 'utility', detail.what)]
    case 'lock':
      return [verdict('write', 'lock', 'LOCK TABLE')]
    case 'copy':
      return copyVerdicts(statement, detail.direction === 'from', detail.end)
    default:
      return grammarWrites(statement)
  }
}

function copyVerdicts(statement: Statement, into: boolean, end: 'client' | 'file' | 'program'): readonly Verdict[] {
  if (end !== 'client') return [verdict('write', 'copy', `COPY with a ${end} of the server`)]
  return into ? [verdict('write', 'copy', 'COPY FROM STDIN')] : grammarWrites(statement)
}

function grammarWrites(statement: Statement): readonly Verdict[] {
  if (!statement.writes) return []
  const changes = statement.relations.some((use) => use.access === 'write' || use.access === 'define')
  if (statement.locks && !changes) return [verdict('write', 'lock', 'FOR UPDATE or FOR SHARE')]
  if (statement.detail.kind === 'select' && statement.detail.into !== null) return [verdict('write', 'ddl', 'SELECT INTO')]
  return [verdict('write', 'write', statement.detail.kind === 'select' ? 'data-modifying WITH' : statement.detail.kind.toUpperCase())]
}

/** Functions, operators and types, those behind views included. */
function catalogVerdicts(
  context: Context,
  statement: Statement,
  touched: readonly Touched[],
  expanded: Expanded,
  catalog: Catalog | undefined,
  cluster: string,
): readonly Verdict[] {
  const calls = statement.functions.filter((use) => !isTrackedSetting(context, statement, use, catalog))
  if (catalog === undefined) {
    const blind = touched.length + calls.length + statement.operators.length + statement.types.length > 0
    const detail = `the catalog of cluster ${cluster} has not been loaded`
    return [{ ...verdict(blind ? 'write' : 'primary', 'no-catalog', detail, blind ? detail : null), builtin: false }]
  }
  const { searchPath } = context.session
  const overrides = context.database.functions
  const isRelation = (name: string): boolean =>
    catalog.relations.has(name) || (searchPath ?? []).some((schema) => catalog.relations.has(`${schema}.${name}`))
  return [
    ...(catalog.volatileImplicitCast
      ? [verdict('write', 'volatile-cast', `cluster ${cluster} has a volatile implicit cast`, 'implicit cast')]
      : []),
    ...calls.map((use) => judgeFunction(catalog, overrides, searchPath, use)),
    // Names in a definition were resolved when it was made, so today's path does not apply.
    ...expanded.functions.map((use) => judgeFunction(catalog, overrides, null, use)),
    ...statement.attributes.map((name) => judgeAttribute(catalog, overrides, name)),
    ...statement.operators.map((name) => judgeOperator(catalog, searchPath, name)),
    ...statement.types.map((name) =>
      judgeType(catalog, searchPath, name, () => isRelation(name.schema === null ? name.name : `${name.schema}.${name.name}`)),
    ),
  ]
}

/** set_config() whose settings the statement's facts hold: the session follows them, so it is no hidden state. */
function isTrackedSetting(context: Context, statement: Statement, use: FunctionUse, catalog: Catalog | undefined): boolean {
  if (use.name.name !== 'set_config' || (use.name.schema ?? 'pg_catalog') !== 'pg_catalog') return false
  if (statement.detail.kind !== 'select' || catalog === undefined) return false
  return candidates(catalog, context.session.searchPath, use).every((info) => info.builtin)
}

function relationVerdicts(one: Touched, catalog: Catalog | undefined): readonly Verdict[] {
  if (one.home.kind === 'system') {
    const written: Verdict[] = one.access === 'write' ? [{ ...quiet, taints: `what is written in ${one.key}`, builtin: false }] : []
    return [...systemVerdicts(one.key), ...written]
  }
  if (one.home.kind === 'temporary') return [verdict('primary', 'temporary', `${one.key} is a temporary table`)]
  if (one.access === 'define' || catalog === undefined) return []
  const info = catalog.relations.get(one.key)
  if (info === undefined) {
    const detail = `relation ${one.key} is not in the catalog of ${catalog.cluster}`
    return [{ ...verdict('write', 'unknown-table', detail, detail), builtin: false }]
  }
  return []
}

/** Triggers, defaults and checks of what is written, also through a view, leave what nobody sees. */
function writtenVerdicts(
  context: Context,
  touched: readonly Touched[],
  expanded: Expanded,
  catalog: Catalog | undefined,
): readonly Verdict[] {
  if (catalog === undefined) return []
  const written = touched.filter((one) => one.access === 'write')
  return expanded.keys.flatMap((key) => {
    if (!written.some((one) => leadsTo(expanded, one.key, key))) return []
    // A rule of pg_settings makes set_config() of its UPDATE.
    if (isSystemSchema(schemaOf(key))) return [{ ...quiet, taints: `what is written in ${key}`, builtin: false }]
    const info = catalog.relations.get(key)
    if (info === undefined) return []
    const uses = info.onWrite.map((name) => judgeFunction(catalog, context.database.functions, null, { name, args: null }))
    const taints = info.triggers ? `triggers of ${key}` : (uses.find((use) => use.taints !== null)?.taints ?? null)
    return taints === null ? [] : [{ ...quiet, taints, builtin: false }]
  })
}

/** DDL runs what event triggers there are. */
function eventVerdicts(statement: Statement, catalog: Catalog | undefined): readonly Verdict[] {
  const { detail } = statement
  const fires = detail.kind === 'ddl' || detail.kind === 'utility' || (detail.kind === 'select' && detail.into !== null)
  return fires && catalog?.eventTriggers === true ? [{ ...quiet, taints: 'event triggers', builtin: false }] : []
}

function systemVerdicts(key: string): readonly Verdict[] {
  const name = key.slice(key.indexOf('.') + 1)
  return key.startsWith('pg_catalog.') && showsServerState(name)
    ? [verdict('primary', 'server-state', `${key} shows the server it is read on`)]
    : []
}

function infoVerdicts(info: RelationInfo | undefined, key: string): readonly Verdict[] {
  if (info === undefined) return []
  if (info.kind === 'foreign') return [{ ...verdict('primary', 'foreign-table', `${key} is a foreign table`), builtin: false }]
  return info.behind === null ? [] : [{ ...quiet, builtin: info.kind === 'view' }]
}

function opaqueVerdict(key: string, reason: 'writes' | 'unknown'): Verdict {
  const detail = reason === 'writes' ? `what stands behind ${key} writes` : `what stands behind ${key} could not be read`
  return { ...verdict('write', 'view', detail, detail), builtin: false }
}

/**
 * Relations behind a view must be where the view is. Those without a line in the config are: they were resolved on the
 * view's own cluster. A sharded table is only reachable through a view that the config lists with it.
 */
function behindCrosses(context: Context, touched: readonly Touched[], expanded: Expanded): RefusePlan | null {
  for (const [key, via] of expanded.behind) {
    if (isSystemSchema(schemaOf(key)) || isSequence(context, key)) continue
    const { home, root } = homeOf(context, key)
    const first = touched.find((one) => leadsTo(expanded, one.key, key))
    if (first === undefined || fits(context, first.home, home)) continue
    const other: Touched = { name: { schema: null, name: key }, access: 'read', key, root, home, known: true }
    return home.kind === 'sharded' ? shardedBehind(via, first, other) : twoHomes(first, other, touched, 'view', via)
  }
  return null
}

/** A view's sequence is where the view is; the config has no line for it. */
function isSequence(context: Context, key: string): boolean {
  return context.clusters.some((cluster) => context.catalogs.get(cluster)?.relations.get(key)?.kind === 'sequence')
}

/** A view that is written may stand before a reference table. */
function referenceBehind(context: Context, touched: readonly Touched[], expanded: Expanded): RefusePlan | null {
  if (context.clusters.length === 1 || suppliedCluster(context) !== null) return null
  for (const key of expanded.behind.keys()) {
    const written = touched.some((one) => one.access === 'write' && leadsTo(expanded, one.key, key))
    if (written && homeOf(context, key).home.kind === 'reference') return writesReference(context, key)
  }
  return null
}

function fits(context: Context, view: Home, behind: Home): boolean {
  if (behind.kind === 'reference') return true
  if (behind.kind !== 'default') return sameHome(view, behind)
  // Unlisted, and the view is elsewhere: it was resolved there. A virtual partition shares the default's cluster, so there it belongs to the default.
  if (view.kind === 'partition') return view.cluster !== context.database.default
  return view.kind !== 'sharded' || !view.sharded.clusters.includes(context.database.default)
}

function leadsTo(expanded: Expanded, from: string, key: string): boolean {
  for (let at: string | undefined = key; at !== undefined; at = expanded.behind.get(at)) if (at === from) return true
  return false
}

function shardedBehind(view: string, first: Touched, table: Touched): RefusePlan {
  const message = `view ${view} reads ${table.key}, which is sharded, and is not itself listed as sharded`
  return refuse('sharded-unsupported', {
    message,
    crossing: { kind: 'view', from: touchedEnd(first), to: touchedEnd(table), reason: message, way: waysOut.view, cause: view },
    hint: `List the view under the same \`sharded\` with its key column, or read ${table.key} directly.`,
    tables: [view, table.key],
  })
}
