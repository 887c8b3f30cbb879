// routing/batch.ts — several statements that go together: a simple query with semicolons, or a batch of the extended
// protocol up to its Sync. Each is planned; one destination for all gives the plan of the strictest, more than one is
// refused. What one statement changes of the session (search_path, temporary tables) counts for those after it.
import type { ReadPolicy } from '../consistency/policy.js'
import { strictest } from '../consistency/resolve-policy.js'
import type { SessionView } from '../session/view.js'
import type { SettingChange, Statement, TransactionOp } from '../sql/statement.js'
import { createContext, type Context } from './context.js'
import { destination, freeWhy, route, type Destination, type Routed } from './destination.js'
import { finish, placeOf, preparesSharded } from './finish.js'
import { answer, inFailedTransaction, one, refuse } from './make.js'
import type { OnePlan, Plan, RefusePlan, Why } from './plan.js'
import { twoPlaces } from './places.js'
import { describePolicy } from './policy.js'
import { why } from './rules.js'
import { endsFailedTransaction, sessionKind } from './session-kinds.js'
import type { Values } from './shard-eval.js'

/** One statement of a batch. `notHere`: refuses what the session may not touch. */
export interface Part {
  readonly context: Context
  readonly statement: Statement
  readonly values: Values
  readonly notHere: (context: Context, routed: Routed) => Plan | null
}

/** A part whose destination is known (`to`), or that goes wherever the others go (null). */
interface Placed {
  readonly to: string | null
  readonly at: (cluster: string) => OnePlan | RefusePlan
  readonly keyed: boolean
  /** As OnePlan.place. */
  readonly place: string | null
}

/** `keyed`: the values of shard keys had a part in it, so other values may give another plan. */
export interface Together {
  readonly plan: Plan
  readonly keyed: boolean
}

export function planTogether(parts: readonly Part[]): Together {
  const [first] = parts
  if (first === undefined) return { plan: answer('empty', 'nothing was sent', { what: 'empty' }), keyed: false }
  if (first.context.session.transaction.status === 'failed' && !endsFailedTransaction(first.statement)) {
    return { plan: inFailedTransaction(), keyed: false }
  }
  const reset = resetMidway(parts, first.context.session)
  if (reset !== null) return { plan: reset, keyed: false }
  const placed: Placed[] = []
  let session = first.context.session
  let keyed = false
  // A long batch runs a few statements many times over: one without keys and hints of its own is decided once for all of them, as
  // long as the session stays as it is.
  const decided = new Map<Statement, Placed>()
  for (const part of parts) {
    const alike = part.context.hints === null
    const known = alike ? decided.get(part.statement) : undefined
    const found = known ?? place(createContext({ ...part.context, session }), part)
    keyed ||= found.keyed
    if ('plan' in found) return { plan: found.plan, keyed }
    const made = known ?? once(found)
    placed.push(made)
    if (alike && !found.keyed) decided.set(part.statement, made)
    const next = after(session, part.statement, first.context.session)
    if (next !== session) decided.clear()
    session = next
  }
  const apart = twoPlacesOf(first.context, placed)
  if (apart !== null) return { plan: apart, keyed }
  const cluster = commonCluster(first.context, placed)
  return { plan: typeof cluster === 'string' ? joinAll(placed, cluster, first.context) : cluster, keyed }
}

/** Kinds that no setting of the session changes the meaning of. */
const indifferent: ReadonlySet<Statement['detail']['kind']> = new Set(['set', 'transaction', 'unlisten', 'close', 'deallocate', 'discard'])

/**
 * RESET goes back to what the client said at its startup; on a shared connection it goes to the server's default first. What
 * followed in the same message would run in between.
 */
function resetMidway(parts: readonly Part[], { startup }: SessionView): RefusePlan | null {
  if (startup === undefined || startup.size === 0) return null
  const at = parts.findIndex(({ statement: { detail } }) => {
    if (detail.kind !== 'set' || detail.change.value !== null || detail.change.viaFunction) return false
    const { name } = detail.change
    return name === 'all' ? [...startup.keys()].some((key) => key !== 'application_name') : startup.has(name)
  })
  if (at < 0 || parts.slice(at + 1).every(({ statement }) => indifferent.has(statement.detail.kind))) return null
  return refuse('setting', {
    message: 'RESET of what the client has set at its startup cannot go together with statements after it',
    hint: 'Send it by itself, or last.',
  })
}

/** A part that is refused or answered ends the whole. */
interface Ended {
  readonly plan: Plan
  readonly keyed: boolean
}

function place(context: Context, part: Part): Placed | Ended {
  const session = sessionKind(context, part.statement)
  if (session?.kind === 'plan') return { plan: session.plan, keyed: false }
  if (session !== null) return { to: null, at: session.at, keyed: false, place: null }
  const routed = route(context, part.statement)
  if (routed.kind === 'refuse') return { plan: routed, keyed: false }
  const refused = part.notHere(context, routed) ?? preparesSharded(routed)
  if (refused !== null) return { plan: refused, keyed: false }
  const keyed = routed.to.kind === 'keyed'
  const to = destination(context, routed, part.values, context.session.transaction.home?.cluster ?? null)
  if ('kind' in to) return { plan: to, keyed }
  const at = (cluster: string): OnePlan | RefusePlan => finish(context, routed, moved(to, routed, cluster))
  return { to: routed.to.kind === 'free' ? null : to.cluster, at, keyed, place: placeOf(routed, to) }
}

/** The plan on a cluster is made once, however often it is asked for. */
function once(placed: Placed): Placed {
  let last: { readonly cluster: string; readonly plan: OnePlan | RefusePlan } | null = null
  const at = (cluster: string): OnePlan | RefusePlan => {
    if (last?.cluster !== cluster) last = { cluster, plan: placed.at(cluster) }
    return last.plan
  }
  return { ...placed, at }
}

function moved(to: Destination, routed: Routed, cluster: string): Destination {
  if (routed.to.kind !== 'free' || cluster === to.cluster) return to
  return { ...to, cluster, why: [freeWhy(routed.touched, cluster)] }
}

function twoPlacesOf(context: Context, placed: readonly Placed[]): RefusePlan | null {
  const { virtual, twoPhase } = context.database
  if (virtual.size === 0 || twoPhase !== null) return null
  return twoPlaces(
    context,
    placed.map(({ place }) => place),
    [],
  )
}

/** The one cluster of all parts that have one; the default (or the open transaction's) where none has. */
function commonCluster(context: Context, placed: readonly Placed[]): string | RefusePlan {
  const clusters = [...new Set(placed.flatMap((part) => (part.to === null ? [] : [part.to])))]
  const [only, another] = clusters
  if (another === undefined)
    return only ?? context.session.transaction.home?.cluster ?? context.session.pins.keys().next().value ?? context.database.default
  return refuse('two-homes', {
    message: `the statements of one query belong to different clusters: ${clusters.join(', ')}`,
    hint: 'Send them one by one.',
  })
}

function joinAll(placed: readonly Placed[], cluster: string, context: Context): Plan {
  const plans: OnePlan[] = []
  for (const part of placed) {
    const made = part.at(cluster)
    if (made.kind === 'refuse') return made
    plans.push(made)
  }
  const [only] = plans
  return plans.length === 1 && only !== undefined ? only : join(plans, cluster, context)
}

/** The stricter of everything. */
function join(plans: readonly OnePlan[], cluster: string, context: Context): OnePlan {
  const role = context.session.transaction.home?.role ?? (plans.some((plan) => plan.role === 'primary') ? 'primary' : 'replica')
  const shards = [...new Set(plans.flatMap((plan) => (plan.shard === null ? [] : [plan.shard])))]
  const policy = policyOf(plans)
  return one({
    cluster,
    role,
    shard: shards.length === 1 ? (shards[0] ?? null) : null,
    why: joinWhy(plans, role, policy),
    policy,
    owner: plans.find((plan) => plan.owner !== null)?.owner ?? null,
    tables: [...new Set(plans.flatMap((plan) => plan.tables))],
    writes: plans.some((plan) => plan.writes),
    sticky: stickyOf(plans),
    taints: plans.find((plan) => plan.taints !== null)?.taints ?? null,
    pins: plans.find((plan) => plan.pins !== null)?.pins ?? null,
    unpins: plans.find((plan) => plan.unpins !== null)?.unpins ?? null,
    asks: asksOf(plans),
    listens: plans.some((plan) => plan.listens),
    notifies: plans.some((plan) => plan.notifies),
    asksListening: plans.some((plan) => plan.asksListening),
    readsSequences: plans.some((plan) => plan.readsSequences),
    settings: plans.flatMap((plan) => plan.settings),
    ownTransaction: plans.some((plan) => plan.ownTransaction),
    provisional: plans.some((plan) => plan.provisional),
    readsData: plans.some((plan) => plan.readsData),
    changesCatalog: plans.some((plan) => plan.changesCatalog),
    changes: changesOf(plans),
    place: plans.find((plan) => plan.place !== null)?.place ?? null,
  })
}

/** What asks for more counts. */
export function asksOf(plans: readonly OnePlan[]): OnePlan['asks'] {
  return plans.some(({ asks }) => asks === 'pins') ? 'pins' : (plans.find(({ asks }) => asks !== null)?.asks ?? null)
}

/** The strictest of those that read; of all, where none does. */
export function policyOf(plans: readonly OnePlan[]): ReadPolicy {
  const data = plans.filter((plan) => plan.readsData)
  return (data.length > 0 ? data : plans).map((plan) => plan.policy).reduce(strictest)
}

/** Each once, however often it is written. */
export function changesOf(plans: readonly OnePlan[]): OnePlan['changes'] {
  return plans.some((plan) => plan.changes === null) ? null : [...new Set(plans.flatMap((plan) => plan.changes ?? []))]
}

/** Of several writes one that is sticky is enough; reads have no say. */
export function stickyOf(plans: readonly OnePlan[]): boolean {
  const writes = plans.filter((plan) => plan.writes)
  return writes.length === 0 || writes.some((plan) => plan.sticky)
}

/** What decided for each, without the policies that others outweigh; what decided for all stands last. */
function joinWhy(plans: readonly OnePlan[], role: OnePlan['role'], policy: OnePlan['policy']): readonly Why[] {
  const candidates = plans.filter((plan) => plan.role === role)
  const weightiest = candidates.find((plan) => plan.writes) ?? candidates.find((plan) => plan.readsData) ?? candidates[0]
  const last = weightiest?.why.at(-1)
  const deciding = last?.rule === 'read' ? why('read', describePolicy(policy)) : last
  const others = plans.flatMap((plan) => plan.why).filter((entry) => entry.rule !== 'read' && !same(entry, deciding))
  return Object.freeze([
    why('batch', `${String(plans.length)} statements`),
    ...distinct(others),
    ...(deciding === undefined ? [] : [deciding]),
  ])
}

function same(a: Why, b: Why | undefined): boolean {
  return a.rule === b?.rule && a.detail === b.detail
}

function distinct(entries: readonly Why[]): readonly Why[] {
  return entries.filter((entry, index) => entries.findIndex((other) => same(entry, other)) === index)
}

/** The session as the next statement finds it, as far as names depend on it. */
function after(session: SessionView, statement: Statement, start: SessionView): SessionView {
  const { detail } = statement
  if (detail.kind === 'transaction') return endsSettings.has(detail.transaction.op) ? afterEnd(session, start) : session
  let next = session
  const changes = detail.kind === 'set' ? [detail.change] : detail.kind === 'select' ? (detail.settings ?? [untracked]) : []
  for (const change of changes) next = afterSetting(next, change)
  const created =
    detail.kind === 'ddl' && detail.temporary
      ? statement.relations.filter((use) => use.access === 'define').map((use) => use.name.name)
      : []
  const into = detail.kind === 'select' && detail.into?.temporary === true ? [detail.into.name.name] : []
  const names = [...created, ...into]
  return names.length === 0 ? next : { ...next, temporary: new Set([...next.temporary, ...names]) }
}

const untracked: SettingChange = { name: 'all', scope: 'session', value: null, viaFunction: true }

function afterSetting(session: SessionView, change: SettingChange): SessionView {
  const decides =
    change.name === 'search_path' || change.name === 'all' || change.name === 'role' || change.name === 'session_authorization'
  if (!decides) return session
  return { ...session, searchPath: change.name === 'search_path' ? listedPath(session, change) : null }
}

/** A list of plain names, `$user` being the user; null: anything else. set_config() takes one text, which is not split here. */
function listedPath(session: SessionView, change: SettingChange): readonly string[] | null {
  if (change.value === null || change.viaFunction) return null
  const names = change.value.flatMap((value) => (value.kind === 'text' ? [value.text] : []))
  if (names.length !== change.value.length || names.some((name) => /[",]/.test(name))) return null
  return names.map((name) => (name === '$user' ? session.user : name))
}

/** What may bring back the search_path from before the transaction. */
const endsSettings: ReadonlySet<TransactionOp> = new Set(['commit', 'rollback', 'rollback-to', 'prepare-transaction'])

function afterEnd(session: SessionView, start: SessionView): SessionView {
  return start.searchPathSettled && session.searchPath === start.searchPath ? session : { ...session, searchPath: null }
}
