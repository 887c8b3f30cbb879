// routing/finish.ts — a statement and its destination → the plan: role, policy, and what the connection will carry
// afterwards. The order of the rules in role() is the precedence; the first that applies decides and stands last in `why`.
import { pinReasons } from '../session/pin-reasons.js'
import type { SettingChange, Statement } from '../sql/statement.js'
import { actsOnServer } from '../catalog/builtins.js'
import { access, type AccessFacts } from './access.js'
import { changedBy, keptOn } from './caching.js'
import { stickyWrites, type Context } from './context.js'
import type { Destination, Routed } from './destination.js'
import { inJoint, joinRefusal, pinInJoint, unfitForJoint, withJoin, writesApart } from './joining.js'
import { one, refuse } from './make.js'
import type { Asks, OnePlan, Plan, RefusePlan, Why } from './plan.js'
import { twoPlaces } from './places.js'
import { describePolicy, needsPrimary, policyOf } from './policy.js'
import { why } from './rules.js'
import { checkSetting } from './settings.js'

export function finish(context: Context, routed: Routed, place: Destination): OnePlan | RefusePlan {
  const { home } = context.session.transaction
  const joins = home !== null && home.cluster !== place.cluster
  const elsewhere = joins ? joinRefusal(context, routed, place, home) : otherPlace(context, routed, place)
  if (elsewhere !== null) return elsewhere
  const to = joins ? withJoin(place, home) : place
  const facts = access(context, routed.statement, routed.touched, to.cluster)
  if ('kind' in facts) return facts
  const settings = settingsOf(routed)
  for (const change of settings) {
    const bad = checkSetting(context, change)
    if (bad !== null) return bad
  }
  const unfit = jointProblem(context, routed, joins)
  if (unfit !== null) return unfit
  const made = compose(context, routed, to, facts, settings)
  return (made.kind === 'one' ? writesApart(context, routed, made) : null) ?? made
}

/** What a transaction of several clusters cannot hold. */
function jointProblem(context: Context, routed: Routed, joins: boolean): RefusePlan | null {
  if (!joins && !inJoint(context)) return null
  const { statement, outer } = routed
  const pins = pinInJoint(context, pinsOf(context, routed), joins)
  const found =
    pins ??
    (calls(statement, 'pg_notify') ? 'NOTIFY' : null) ??
    (calls(statement, 'lastval') ? 'lastval(), which may be of another cluster' : null) ??
    (calls(statement, 'pg_export_snapshot') ? 'an exported snapshot' : null) ??
    (outer.detail.kind === 'declare' ? 'a cursor' : null)
  return found === null ? null : unfitForJoint(context, found)
}

function compose(
  context: Context,
  routed: Routed,
  to: Destination,
  facts: AccessFacts,
  settings: readonly SettingChange[],
): OnePlan | RefusePlan {
  const { statement, outer } = routed
  const policy = policyOf(context, facts.policyNames)
  const pins = pinsOf(context, routed)
  const decided = role(context, to.cluster, facts, pins ?? (settings.length > 0 ? 'setting' : null), policy)
  const runs = outer.detail.kind !== 'explain' || outer.detail.analyze
  const onReplica = context.session.transaction.home?.role === 'replica'
  const kept = pins ?? (runs ? acted(statement) : null)
  if (onReplica && kept !== null) return stateOnReplica(to, routed, kept)
  const hidden = statement.hiddenSettings || outer.hiddenSettings ? 'set_config' : null
  const writes = (facts.effect === 'write' && runs && !onReplica) || !context.session.understood
  // A table that enforces its policy promises that its writers see what they wrote.
  const sticky = !writes || policy.enforced || stickyWrites(context)
  const asksListening = context.session.bus && calls(statement, 'pg_listening_channels')
  const unseen = context.session.understood ? null : 'text that the server may have read differently'
  const taints = facts.taints ?? hidden ?? unseen ?? (asksListening ? 'LISTEN' : null)
  const made = {
    cluster: to.cluster,
    shard: to.shard,
    provisional: to.provisional,
    role: decided.role,
    policy,
    taints,
    pins,
    unpins: unpinsOf(statement),
    settings,
  }
  return one({
    ...made,
    place: placeOf(routed, to),
    asks: asksOf(context, routed, pins, hidden !== null || facts.leavesState),
    why: Object.freeze([...to.why, ...facts.why.filter((entry) => entry !== decided.why), decided.why]),
    owner: routed.owner,
    tables: facts.tables,
    writes,
    sticky,
    notifies: calls(statement, 'pg_notify'),
    asksListening,
    readsSequences: calls(statement, 'currval') || calls(statement, 'lastval'),
    ownTransaction: statement.ownTransaction,
    lane:
      !to.provisional &&
      fitsLane(
        context,
        routed,
        facts,
        decided.role === 'replica' || facts.effect === 'read',
        taints === null && pins === null && settings.length === 0,
      ),
    // What a write gives back would move the floor just as well.
    readsData: facts.readsData && sticky,
    changesCatalog: runs && changesCatalog(statement),
    keptOn: keptOn(context, routed, facts, made),
    changes: writes ? changedBy(context, routed, to.cluster, taints) : [],
  })
}

/** Also behind a schema or a dot, and where a function of another schema is meant: once too often does no harm. */
function calls(statement: Statement, name: string): boolean {
  return statement.functions.some((use) => use.name.name === name) || statement.attributes.includes(name)
}

/** A built-in function that the statement calls to change its server. */
function acted(statement: Statement): string | null {
  return [...statement.functions.map((use) => use.name.name), ...statement.attributes].find((name) => actsOnServer.has(name)) ?? null
}

/** What outlives the transaction would tie the session to that replica, later writes and `strong` reads too; locks there guard nothing. */
function stateOnReplica(to: Destination, routed: Routed, state: string): RefusePlan {
  return refuse('session-state', {
    message: `the transaction is open on a replica, and what changes the server or outlives the transaction (${state}) must be on the primary`,
    hint: 'Make it before BEGIN, as the first statement of the transaction, or in a transaction that is not READ ONLY.',
    tables: routed.touched.map((one) => one.key),
    owner: routed.owner,
    before: to.why,
  })
}

function changesCatalog(statement: Statement): boolean {
  const { detail } = statement
  if (detail.kind === 'ddl') return !detail.temporary && detail.what !== 'truncate'
  return detail.kind === 'select' && detail.into !== null && !detail.into.temporary
}

/** Of a sharded set every shard may come to stand apart from the others. */
export function placeOf({ place }: Routed, to: Destination): string | null {
  return place === null || to.shard === null ? place : `${place} shard ${String(to.shard)}`
}

/** Homes that are still on one server, and will not be: a transaction that touches two of them would not run then. */
function otherPlace(context: Context, routed: Routed, to: Destination): RefusePlan | null {
  if (context.database.virtual.size === 0 || context.database.twoPhase !== null) return null
  const { home } = context.session.transaction
  return home === null ? null : twoPlaces(context, [home.place ?? null, placeOf(routed, to)], routed.touched)
}

function settingsOf(routed: Routed): readonly SettingChange[] {
  return routed.statement.detail.kind === 'select' && routed.outer === routed.statement ? (routed.statement.detail.settings ?? []) : []
}

/** Why the session must keep the connection from here on. Pins are for what PostgreSQL keeps in the connection. */
function pinsOf(context: Context, routed: Routed): string | null {
  const { statement, outer } = routed
  if (outer.detail.kind === 'prepare') return 'prepare'
  if (outer.detail.kind === 'declare' && outer.detail.hold) return 'cursor'
  if (outer.detail.kind === 'explain' && !outer.detail.analyze) return null
  if (routed.createsTemporary) return 'temporary table'
  const makesTemporary = routed.touched.some((one) => one.access === 'define' && one.home.kind === 'temporary')
  if (makesTemporary && ![...context.session.pins.values()].includes('temporary table')) return 'temporary table'
  if (statement.cursorsOrLocks === 'session-advisory-lock') return pinReasons.lock
  if (calls(statement, 'pg_backup_start')) return 'backup'
  if (calls(statement, 'setseed')) return 'random seed'
  if (statement.functions.some(makesSlot)) return 'replication slot'
  const setsByRule = routed.touched.some((one) => one.access === 'write' && one.key === 'pg_catalog.pg_settings')
  if (statement.hiddenSettings || outer.hiddenSettings || setsByRule) return 'set_config'
  return null
}

/** All are let go of, whatever there was. */
function unpinsOf(statement: Statement): string | null {
  if (calls(statement, 'pg_advisory_unlock_all')) return pinReasons.lock
  return calls(statement, 'pg_backup_stop') ? 'backup' : null
}

/** A third argument may say that the slot is temporary: it belongs to the connection then. */
function makesSlot({ name, args }: Statement['functions'][number]): boolean {
  const makes = name.name === 'pg_create_logical_replication_slot' || name.name === 'pg_create_physical_replication_slot'
  return makes && (args === null || args > 2)
}

/** Whatever makes or ends what pins is asked for, since its text tells neither whether it did nor what is left. */
function asksOf({ session }: Context, { statement, outer }: Routed, pins: string | null, leaves: boolean): Asks | null {
  const { cursorsOrLocks, detail } = statement
  const locks = cursorsOrLocks === 'session-advisory-lock' || cursorsOrLocks === 'session-advisory-unlock'
  const drops = detail.kind === 'ddl' && detail.what.startsWith('drop ') && [...session.pins.values()].includes(pinReasons.temporary)
  if (locks || drops || (pins !== null && outer.detail.kind !== 'prepare')) return 'pins'
  return leaves ? 'state' : null
}

interface Decided {
  readonly role: 'primary' | 'replica'
  readonly why: Why
}

/** `state`: session state that the statement makes or needs, or null. */
function role(context: Context, cluster: string, facts: AccessFacts, state: string | null, policy: OnePlan['policy']): Decided {
  const { transaction, pins, understood } = context.session
  const primary = (entry: Why): Decided => ({ role: 'primary', why: entry })
  if (transaction.home !== null)
    return { role: transaction.home.role, why: why('transaction', `open on the ${transaction.home.role} of cluster ${cluster}`) }
  if (!understood) return primary(why('session-not-understood', 'standard_conforming_strings or client_encoding'))
  const pinned = pins.get(cluster)
  if (pinned !== undefined) return primary(why('pinned', pinned))
  const reason = facts.why.at(-1)
  if (facts.effect !== 'read' && reason !== undefined) return primary(reason)
  if (state !== null) return primary(why(state === 'setting' ? 'setting' : 'session-state', state === 'setting' ? 'set_config' : state))
  if (transaction.status === 'open' && !transaction.readOnly) return primary(why('begin', 'first statement of a read-write transaction'))
  if (transaction.needsPrimary) return primary(why('serializable', 'the session asks for SERIALIZABLE or a snapshot'))
  if (needsPrimary(policy)) return primary(why('strong', describePolicy(policy)))
  return { role: 'replica', why: why('read', describePolicy(policy)) }
}

/** A lane carries whole autocommit requests of several clients: nothing but plain, quick reads may go there. */
function fitsLane(context: Context, routed: Routed, facts: AccessFacts, reads: boolean, stateless: boolean): boolean {
  const { session } = context
  const plain = routed.outer.detail.kind === 'select' && routed.outer === routed.statement
  const alone = session.transaction.status === 'idle' && session.pins.size === 0 && session.understood && !context.inBatch
  return plain && alone && reads && stateless && facts.builtin && facts.effect === 'read' && !session.transaction.needsPrimary
}

/** A plan for PREPARE on sharded tables would be for one key only. */
export function preparesSharded(routed: Routed): Plan | null {
  if (routed.outer.detail.kind !== 'prepare' || routed.to.kind !== 'keyed') return null
  return refuse('sharded-unsupported', {
    message: `PREPARE of a statement on ${routed.to.need.sharded.name}, which is sharded, is not supported`,
    hint: "Use the driver's prepared statements (the extended protocol): they are placed anew at each execution.",
    tables: routed.touched.map((one) => one.key),
    owner: routed.owner,
  })
}
