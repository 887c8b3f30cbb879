// session/transaction.ts — where a client's transaction stands. BEGIN is deferred: until a statement shows where it
// belongs nothing is sent, and the texts wait here (DESIGN §4 "Transactions"). Once sent, the ReadyForQuery byte rules.
//
//   idle ──BEGIN──▶ deferred ──first statement──▶ open(T) ◀──▶ open(E)
//    ▲                │  ▲ refused ──▶ deferred, failed ◀──lost────│
//    └───COMMIT/ROLLBACK─┴──────────────ReadyForQuery I────────────┘
import type { PolicyOverride } from '../consistency/policy.js'
import type { Statement, TransactionFacts } from '../sql/statement.js'
import type { TransactionView } from './view.js'

export interface Home {
  readonly cluster: string
  readonly node: string
  readonly role: 'primary' | 'replica'
  /** See TransactionView. */
  readonly place?: string | null
}

/** What BEGIN and SET TRANSACTION have said; null leaves it to the session's default. */
export interface TransactionMode {
  readonly readOnly: boolean | null
  readonly isolation: string | null
  readonly snapshot: boolean
  /** SET CONSTRAINTS was said: when constraints are checked on its server is not as anywhere else. */
  readonly constraints?: true
}

/** One statement that was answered here and waits to be sent. */
export interface Deferred {
  readonly text: string
  /** Of SAVEPOINT. */
  readonly savepoint: string | null
  /** A BEGIN that asks for nothing: on an idle connection it cannot fail. */
  readonly plain: boolean
}

export type TransactionState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'deferred'; readonly waiting: readonly Deferred[]; readonly failed: boolean; readonly mode: TransactionMode }
  | {
      readonly kind: 'open'
      readonly status: 'T' | 'E'
      readonly home: Home
      /** All clusters that it is open on, the home first, where these are several; else []. */
      readonly joined: readonly string[]
      readonly mode: TransactionMode
      /** The policy of its first statement holds for all. */
      readonly overrides: PolicyOverride
    }

/** What makes a server's transaction fail when one of its statements was refused here. */
export const poison = 'pointsman refused a statement of this transaction'

export const idle: TransactionState = { kind: 'idle' }

const noOverrides: PolicyOverride = {}
const alone: readonly string[] = []
const unsaid: TransactionMode = { readOnly: null, isolation: null, snapshot: false }

/** The mode after BEGIN, START TRANSACTION or SET TRANSACTION. */
function withMode(mode: TransactionMode, facts: TransactionFacts): TransactionMode {
  return {
    ...mode,
    readOnly: facts.readOnly ?? mode.readOnly,
    isolation: facts.isolation ?? mode.isolation,
    snapshot: mode.snapshot || facts.snapshot,
  }
}

/** What `statement`, which has ended, makes of the mode of its transaction. */
export function modeAfter(mode: TransactionMode, { detail }: Statement): TransactionMode {
  if (setsConstraints(detail)) return { ...mode, constraints: true }
  const facts = detail.kind === 'transaction' ? detail.transaction : null
  return facts?.op === 'begin' || facts?.op === 'set-transaction' ? withMode(mode, facts) : mode
}

export function setsConstraints(detail: Statement['detail']): boolean {
  return detail.kind === 'utility' && detail.what === 'set constraints'
}

/** The mode that a state has; nothing said outside a transaction. */
export function modeOf(state: TransactionState): TransactionMode {
  return state.kind === 'idle' ? unsaid : state.mode
}

/** BEGIN answered here. */
export function deferBegin(text: string, facts: TransactionFacts): TransactionState {
  const plain = facts.readOnly === null && facts.isolation === null && facts.deferrable === null
  return { kind: 'deferred', waiting: [{ text, savepoint: null, plain }], failed: false, mode: withMode(unsaid, facts) }
}

/** One more statement that waits: SAVEPOINT, SET LOCAL, SET TRANSACTION, RELEASE, ROLLBACK TO. Other states stay as they are. */
export function defer(state: TransactionState, text: string, facts: TransactionFacts | null): TransactionState {
  if (state.kind !== 'deferred') return state
  const savepoint = facts?.op === 'savepoint' ? facts.name : null
  const mode = facts?.op === 'set-transaction' ? withMode(state.mode, facts) : state.mode
  return { ...state, mode, waiting: [...state.waiting, { text, savepoint, plain: false }] }
}

/** A statement was refused: the transaction is failed until it ends, as PostgreSQL would have it. */
export function fail(state: TransactionState): TransactionState {
  return state.kind === 'deferred' ? { ...state, failed: true } : state
}

/** The connection of a transaction is gone: it stays failed until it is ended, since what follows must not run outside of it. */
export function lose(state: TransactionState): TransactionState {
  return state.kind === 'open' ? { kind: 'deferred', waiting: [], failed: true, mode: state.mode } : fail(state)
}

/** ROLLBACK TO in a failed deferred transaction: what came after the savepoint is dropped. null: there is no such savepoint. */
export function recover(state: TransactionState, savepoint: string): TransactionState | null {
  if (state.kind !== 'deferred') return null
  const index = state.waiting.findLastIndex((item) => item.savepoint === savepoint)
  return index < 0 ? null : { ...state, failed: false, waiting: state.waiting.slice(0, index + 1) }
}

/** The state after a server's ReadyForQuery. `overrides` is taken when the transaction becomes open. */
export function afterReady(
  state: TransactionState,
  status: 'I' | 'T' | 'E',
  home: Home,
  mode: TransactionMode,
  overrides: PolicyOverride,
): TransactionState {
  if (status === 'I') return idle
  if (state.kind === 'open') {
    const placed = (home.place ?? null) !== null && (state.home.place ?? null) === null
    if (placed) return { ...state, status, mode, home: { ...state.home, place: home.place ?? null } }
    return state.status === status && state.mode === mode ? state : { ...state, status, mode }
  }
  return { kind: 'open', status, home, joined: alone, mode, overrides }
}

/** The open transaction is open on one cluster more. */
export function withJoined(state: TransactionState, cluster: string): TransactionState {
  if (state.kind !== 'open' || state.joined.includes(cluster) || state.home.cluster === cluster) return state
  return { ...state, joined: [...(state.joined.length === 0 ? [state.home.cluster] : state.joined), cluster] }
}

/** Open on several clusters: its end concerns all of them. */
export function isJoint(state: TransactionState): boolean {
  return state.kind === 'open' && state.joined.length > 0
}

/** The byte a client is told where no server is asked. */
export function readyByte(state: TransactionState): 'I' | 'T' | 'E' {
  if (state.kind === 'idle') return 'I'
  if (state.kind === 'deferred') return state.failed ? 'E' : 'T'
  return state.status
}

/** `defaults` are the session's default_transaction_read_only and default_transaction_isolation. `joins`: it may come to several clusters. */
export function transactionView(
  state: TransactionState,
  defaults: { readonly readOnly: boolean; readonly isolation: string; readonly joins: boolean },
): TransactionView {
  const mode = modeOf(state)
  const isolation = mode.isolation ?? defaults.isolation
  const byte = readyByte(state)
  return {
    status: byte === 'I' ? 'idle' : byte === 'T' ? 'open' : 'failed',
    home: state.kind === 'open' ? state.home : null,
    readOnly: mode.readOnly ?? defaults.readOnly,
    needsPrimary: mode.snapshot || isolation === 'serializable',
    isolated: mode.snapshot || (isolation !== 'read committed' && isolation !== 'read uncommitted'),
    constraints: mode.constraints === true,
    joined: !defaults.joins ? null : state.kind === 'open' ? state.joined : alone,
    overrides: state.kind === 'open' ? state.overrides : noOverrides,
  }
}
