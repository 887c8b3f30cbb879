// routing/session-kinds.ts — statements about the session rather than about data: transaction control, SET and SHOW,
// cursors, LISTEN, DISCARD. BEGIN and what follows it wait until a statement shows where the transaction belongs.
import { pinReasons } from '../session/pin-reasons.js'
import { setsConstraints } from '../session/transaction.js'
import type { SettingChange, SettingValue, Statement, TransactionFacts } from '../sql/statement.js'
import { suppliedCluster, type Context } from './context.js'
import { jointControl, notInJoint } from './joining.js'
import { answer, one, refuse } from './make.js'
import type { OnePlan, Plan, RefusePlan } from './plan.js'
import { why, type Rule } from './rules.js'
import { checkSetting, isOurs, planRead, planSet, planShow } from './settings.js'

/** `plan`: decided. `free`: a server statement with no home of its own, finished by `at` once a cluster is known. */
export type SessionKind =
  | { readonly kind: 'plan'; readonly plan: Plan }
  | { readonly kind: 'free'; readonly cluster: string; readonly at: (cluster: string) => OnePlan }

type Parts = Partial<Omit<OnePlan, 'kind' | 'cluster'>>

/** What belongs to one connection, or could not be prepared. */
const unfitKinds: Partial<Record<Statement['detail']['kind'], string>> = {
  listen: 'LISTEN',
  unlisten: 'UNLISTEN',
  notify: 'NOTIFY',
  discard: 'DISCARD',
  load: 'LOAD',
}

/** null: a statement about data. */
export function sessionKind(context: Context, statement: Statement): SessionKind | null {
  const { detail } = statement
  const unfit = setsConstraints(detail) ? 'SET CONSTRAINTS' : unfitKinds[detail.kind]
  const refused = unfit === undefined ? null : notInJoint(context, unfit)
  if (refused !== null) return decided(refused)
  switch (detail.kind) {
    case 'transaction':
      return transactionKind(context, detail.transaction)
    case 'set':
      return setKind(context, detail.change)
    case 'show':
      return showKind(context, detail.name)
    case 'execute':
      // What was prepared is not known here: it counts as a write.
      return stateful(context, 'prepare', 'EXECUTE', { writes: true, readsData: true, taints: 'EXECUTE' })
    case 'deallocate':
      if (context.session.pins.size === 0 && !context.inBatch) {
        return decided(answer('deallocate', detail.name ?? 'all', { what: 'deallocate', name: detail.name }))
      }
      return stateful(context, 'prepare', 'DEALLOCATE', { unpins: detail.name === null ? 'prepare' : null })
    case 'discard':
      return discardKind(context, detail.what)
    case 'listen':
    case 'unlisten':
      return listenKind(context, detail)
    case 'notify':
      return onPrimary(context, 'write', 'NOTIFY', { writes: true, changes: [], notifies: true })
    case 'fetch':
      return stateful(context, 'cursor', 'FETCH', { readsData: true })
    case 'close':
      return stateful(context, 'cursor', 'CLOSE', {
        unpins: detail.name === null ? pinReasons.cursor : null,
        asks: [...context.session.pins.values()].includes(pinReasons.cursor) ? 'pins' : null,
      })
    case 'load':
      return stateful(context, 'load', 'LOAD', { pins: 'load', taints: 'LOAD' })
    case 'select': {
      const read = detail.reads === null ? null : planRead(detail.reads.name, detail.reads.column)
      if (read === null) return null
      return decided(context.inBatch ? notTogether(`current_setting('${detail.reads?.name ?? ''}')`) : read)
    }
    case 'explain': {
      const { inner, analyze } = detail
      if (inner.detail.kind !== 'execute') return null
      return stateful(
        context,
        'prepare',
        'EXPLAIN EXECUTE',
        analyze ? { writes: true, readsData: true, taints: 'EXECUTE' } : { readsData: true },
      )
    }
    case 'insert':
    case 'update':
    case 'delete':
    case 'merge':
    case 'copy':
    case 'prepare':
    case 'declare':
    case 'lock':
    case 'ddl':
    case 'do':
    case 'call':
    case 'utility':
      return null
  }
}

/** Where the door listens for its clients, the statement is sent for PostgreSQL's own answer, and leaves nothing on its connection. */
function listenKind(context: Context, detail: Extract<Statement['detail'], { kind: 'listen' | 'unlisten' }>): SessionKind {
  const { bus, pooling } = context.session
  const word = detail.kind === 'listen' ? 'LISTEN' : 'UNLISTEN'
  if (bus && pooling !== 'session') return stateful(context, null, word, { listens: true, taints: detail.kind === 'listen' ? word : null })
  if (detail.kind === 'listen') return stateful(context, 'listen', word, { pins: 'listen' })
  return stateful(context, 'listen', word, { unpins: detail.channel === null ? 'listen' : null })
}

function decided(plan: Plan): SessionKind {
  return { kind: 'plan', plan }
}

function transactionKind(context: Context, facts: TransactionFacts): SessionKind {
  if (facts.op === 'begin' && context.session.pooling === 'statement') return decided(noTransactions())
  const joint = jointControl(context, facts)
  if (joint !== null) return decided(joint)
  const { status, home } = context.session.transaction
  if (status === 'idle' || home !== null || context.inBatch || !context.session.understood) return sentControl(context, facts)
  return status === 'failed' ? failedControl(facts) : deferredControl(context, facts)
}

/** In the words that PgBouncer has for it. */
function noTransactions(): RefusePlan {
  return refuse('transaction-control', {
    message: 'transaction blocks not allowed in statement pooling mode',
    hint: 'Use a database or a user with pool_mode: transaction.',
  })
}

/** Control that a server answers. */
function sentControl(context: Context, facts: TransactionFacts): SessionKind {
  const { status, home } = context.session.transaction
  if (facts.op === 'begin' && status === 'idle' && !context.inBatch && context.session.understood) {
    return decided(answer('begin-deferred', 'BEGIN', { what: 'begin-deferred' }))
  }
  const settings = facts.op === 'set-characteristics' ? characteristics(facts) : []
  if (home !== null) return anywhere(context, 'transaction-control', facts.op, { settings })
  switch (facts.op) {
    case 'prepare-transaction':
      return onPrimary(context, 'transaction-control', facts.op, { writes: true })
    case 'commit-prepared':
    case 'rollback-prepared':
      return preparedControl(context, facts)
    case 'begin':
      return facts.readOnly === true && facts.isolation !== 'serializable'
        ? anywhere(context, 'transaction-control', 'BEGIN READ ONLY', {})
        : onPrimary(context, 'begin', 'BEGIN', {})
    case 'commit':
    case 'rollback':
    case 'savepoint':
    case 'release':
    case 'rollback-to':
    case 'set-characteristics':
      return anywhere(context, 'transaction-control', facts.op, { settings })
    case 'set-transaction':
      return facts.snapshot || facts.isolation === 'serializable' || facts.readOnly === false
        ? onPrimary(context, 'transaction-control', facts.op, {})
        : anywhere(context, 'transaction-control', facts.op, {})
  }
}

/** The second phase runs outside of any transaction, on the cluster that prepared it, which the text does not name. */
function preparedControl(context: Context, facts: TransactionFacts): SessionKind {
  if (context.clusters.length === 1 || suppliedCluster(context) !== null)
    return onPrimary(context, 'transaction-control', facts.op, { writes: true, ownTransaction: true })
  return decided(
    refuse('many-clusters', {
      message: `${facts.op === 'commit-prepared' ? 'COMMIT' : 'ROLLBACK'} PREPARED does not say on which cluster (${context.clusters.join(', ')})`,
      hint: `Say it: /* pointsman: cluster=${context.database.default} */ …`,
    }),
  )
}

/** Between BEGIN and the first statement: nothing has been sent yet. */
function deferredControl(context: Context, facts: TransactionFacts): SessionKind {
  switch (facts.op) {
    case 'commit':
    case 'rollback': {
      if (facts.chain) return onPrimary(context, 'begin', `${facts.op} and chain`, {})
      const tag = facts.op === 'commit' ? 'COMMIT' : 'ROLLBACK'
      return decided(answer('end-deferred', tag, { what: 'end-deferred', tag }))
    }
    case 'begin':
      return deferred('BEGIN')
    case 'savepoint':
      return deferred('SAVEPOINT')
    case 'release':
      return deferred('RELEASE')
    case 'rollback-to':
      return deferred('ROLLBACK')
    case 'set-transaction':
      // Nothing that follows could be elsewhere, and what is wrong with the snapshot's name is told at once.
      return facts.snapshot && context.clusters.length === 1 ? onPrimary(context, 'serializable', facts.op, {}) : deferred('SET')
    case 'set-characteristics':
      return deferred('SET')
    case 'prepare-transaction':
      return onPrimary(context, 'begin', facts.op, { writes: true })
    case 'commit-prepared':
    case 'rollback-prepared':
      return onPrimary(context, 'begin', facts.op, { writes: true })
  }
}

function deferred(tag: string): SessionKind {
  return decided(answer('deferred', tag, { what: 'deferred', tag }))
}

/** A transaction that failed before anything was sent: it ends here too. */
function failedControl(facts: TransactionFacts): SessionKind {
  if (facts.op === 'rollback-to') return deferred('ROLLBACK')
  return decided(answer('end-deferred', 'ROLLBACK', { what: 'end-deferred', tag: 'ROLLBACK' }))
}

/** Does a failed transaction accept this statement? */
export function endsFailedTransaction(statement: Statement): boolean {
  if (statement.detail.kind !== 'transaction') return false
  const { op } = statement.detail.transaction
  return op === 'rollback' || op === 'commit' || op === 'rollback-to' || op === 'prepare-transaction'
}

/** SET SESSION CHARACTERISTICS, as the settings that it changes. */
function characteristics(facts: TransactionFacts): readonly SettingChange[] {
  const changes: SettingChange[] = []
  const add = (name: string, text: string): void => {
    const value: readonly SettingValue[] = [{ kind: 'text', text }]
    changes.push({ name, scope: 'session', value, viaFunction: false })
  }
  if (facts.isolation !== null) add('default_transaction_isolation', facts.isolation)
  if (facts.readOnly !== null) add('default_transaction_read_only', facts.readOnly ? 'on' : 'off')
  if (facts.deferrable !== null) add('default_transaction_deferrable', facts.deferrable ? 'on' : 'off')
  return changes
}

function setKind(context: Context, change: SettingChange): SessionKind {
  if (isOurs(change.name) && !context.inBatch) return decided(planSet(context, change))
  const unfit = namesWho.has(change.name) ? notInJoint(context, `SET ${change.name}`) : null
  if (unfit !== null) return decided(unfit)
  const bad = checkSetting(context, change)
  if (bad !== null) return decided(bad)
  if (change.name === 'seed' && change.value !== null) return seedKind(context, change)
  if (!context.session.understood && lexesAlike(change)) {
    const understood: Context = { ...context, session: { ...context.session, understood: true } }
    return onPrimary(understood, 'setting', change.name, { settings: [change] })
  }
  const { status, home } = context.session.transaction
  // In a read-write transaction of a database with one cluster there is nothing to wait for.
  const placed = context.clusters.length === 1 && !context.session.transaction.readOnly
  if (placed && status === 'open' && home === null) return onPrimary(context, 'setting', change.name, { settings: [change] })
  if (status === 'open' && home === null && !context.inBatch && context.session.understood)
    return deferred(change.value === null ? 'RESET' : 'SET')
  return needsPrimary(change)
    ? onPrimary(context, 'setting', change.name, { settings: [change] })
    : anywhere(context, 'setting', change.name, { settings: [change] })
}

/** setseed() by another name: the random numbers that follow are those of the connection. */
function seedKind(context: Context, change: SettingChange): SessionKind {
  const unfit = notInJoint(context, 'SET seed')
  return unfit === null ? stateful(context, 'random seed', 'SET seed', { settings: [change], pins: 'random seed' }) : decided(unfit)
}

/** Only a primary can be asked to be writable; and what a value names may have been made a moment ago. */
function needsPrimary({ name, value }: SettingChange): boolean {
  return name === 'transaction_read_only' || name === 'transaction_isolation' || (value !== null && namesObjects.has(name))
}

/** Who prepares must be who recovers; and whoever reads text in another way may end a transaction unseen. */
const namesWho: ReadonlySet<string> = new Set([
  'role',
  'session_authorization',
  'standard_conforming_strings',
  'client_encoding',
  'transaction_isolation',
])

/** Settings whose value is looked up in the catalogs, and refused where it is not found. */
const namesObjects: ReadonlySet<string> = new Set([
  'role',
  'session_authorization',
  'default_table_access_method',
  'default_tablespace',
  'default_text_search_config',
  'temp_tablespaces',
])

/** Plain characters without a backslash: however the session reads text, it reads this as we do, and nothing hides in it. */
function lexesAlike({ name, value }: SettingChange): boolean {
  const texts = [name, ...(value ?? []).map((one) => (one.kind === 'text' ? one.text : ''))]
  return texts.every((text) => /^[\x20-\x5b\x5d-\x7e]*$/.test(text))
}

function showKind(context: Context, name: string): SessionKind {
  if (!isOurs(name)) return onPrimary(context, 'setting', `SHOW ${name}`, {})
  if (!context.inBatch) return decided(planShow(name))
  return decided(notTogether(`SHOW ${name}`))
}

/** A server would say something else, or nothing. */
function notTogether(what: string): RefusePlan {
  return refuse('show', {
    message: `${what} is answered by Pointsman and cannot go together with other statements`,
    hint: 'Send it by itself.',
  })
}

function discardKind(context: Context, what: 'all' | 'plans' | 'sequences' | 'temp'): SessionKind {
  const reset: SettingChange = { name: 'all', scope: 'session', value: null, viaFunction: false }
  switch (what) {
    case 'all':
      return stateful(context, null, 'DISCARD ALL', { unpins: 'all', settings: [reset], ownTransaction: true })
    case 'temp':
      return stateful(context, 'temporary table', 'DISCARD TEMP', { unpins: 'temporary table' })
    case 'plans':
    case 'sequences':
      return stateful(context, null, `DISCARD ${what.toUpperCase()}`, {})
  }
}

/** Any server will do; an open transaction, a pin or a hint may name one. */
function anywhere(context: Context, rule: Rule, detail: string, parts: Parts): SessionKind {
  return free(context, homeless(context, null), rule, detail, 'replica', parts)
}

function onPrimary(context: Context, rule: Rule, detail: string, parts: Parts): SessionKind {
  return free(context, homeless(context, null), rule, detail, 'primary', parts)
}

/** Where the session keeps `reason`, else the default: there PostgreSQL gives its own answer. */
function stateful(context: Context, reason: string | null, detail: string, parts: Parts): SessionKind {
  return free(context, homeless(context, reason), 'session-state', detail, 'primary', parts)
}

/** The cluster for a statement without a home. A hint may name one, but not another than the open transaction's. */
function homeless(context: Context, reason: string | null): string {
  const { transaction, pins } = context.session
  if (transaction.home !== null) return transaction.home.cluster
  for (const [cluster, pinned] of pins) if (reason !== null && pinned === reason) return cluster
  const [first] = pins.keys()
  return suppliedCluster(context) ?? first ?? context.database.default
}

function free(context: Context, cluster: string, rule: Rule, detail: string, role: 'primary' | 'replica', parts: Parts): SessionKind {
  return { kind: 'free', cluster, at: (at) => sent(context, at, rule, detail, role, parts) }
}

function sent(context: Context, cluster: string, rule: Rule, detail: string, role: 'primary' | 'replica', parts: Parts): OnePlan {
  const { transaction, pins, understood } = context.session
  const said = why(rule, detail)
  const base = {
    ...parts,
    cluster,
    ...(understood ? {} : { writes: true, changes: null, taints: parts.taints ?? 'text that the server may have read differently' }),
  }
  if (transaction.home !== null) {
    const writes = base.writes === true && transaction.home.role === 'primary'
    return one({
      ...base,
      writes,
      // No session is tied to a replica: its writes and `strong` reads would follow (LISTEN fails there anyway).
      pins: transaction.home.role === 'replica' ? null : (base.pins ?? null),
      role: transaction.home.role,
      why: [said, why('transaction', `open on the ${transaction.home.role} of cluster ${cluster}`)],
    })
  }
  if (!understood)
    return one({ ...base, role: 'primary', why: [said, why('session-not-understood', 'standard_conforming_strings or client_encoding')] })
  const pinned = pins.get(cluster)
  if (pinned !== undefined) return one({ ...base, role: 'primary', why: [said, why('pinned', pinned)] })
  return one({ ...base, role, why: [said] })
}
