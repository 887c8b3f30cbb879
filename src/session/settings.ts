// session/settings.ts — the settings of one session as PostgreSQL would hold them: values set, values set LOCAL, and
// what ROLLBACK or ROLLBACK TO would bring back. One state is kept for the client (what it believes) and one for every
// leased server connection (what stands there); their difference is what must be replayed (replay.ts).
// States are immutable: an undo point is simply the state it goes back to.
import { quoteIdentifier } from './quote.js'
import type { SettingChange } from '../sql/statement.js'

/** Lower-case name → value as set_config() takes it. What is not here stands at the server's own default. */
export type Settings = ReadonlyMap<string, string>

interface UndoPoint {
  /** null: the start of the transaction. Savepoints may share a name; the newest counts. */
  readonly savepoint: string | null
  readonly values: Settings
  readonly locals: Settings
}

export interface SettingsState {
  /** What RESET goes back to: the client's startup settings; empty for a server connection. */
  readonly defaults: Settings
  readonly values: Settings
  /** SET LOCAL: ends with the transaction. */
  readonly locals: Settings
  /** Oldest first; the first is the transaction's start. Empty outside a transaction. */
  readonly undo: readonly UndoPoint[]
}

/** One change that has taken effect; `value` null: to its default. */
export interface Change {
  readonly name: string
  readonly local: boolean
  readonly value: string | null
}

export type SettingsEvent =
  | { readonly kind: 'change'; readonly change: Change }
  | { readonly kind: 'begin' }
  | { readonly kind: 'savepoint'; readonly name: string }
  | { readonly kind: 'release'; readonly name: string }
  | { readonly kind: 'rollback-to'; readonly name: string }
  | { readonly kind: 'commit' }
  | { readonly kind: 'rollback' }
  /** DISCARD ALL: as RESET ALL, and role and session_authorization too. */
  | { readonly kind: 'discard' }

const none: Settings = new Map()

/** The state of a session that starts with `values`, which are also what RESET goes back to. */
export function startSettings(defaults: Settings): SettingsState {
  return { defaults, values: defaults, locals: none, undo: [] }
}

/** The state of a server connection on which `values` stand beyond the server's own defaults. */
export function connectionSettings(values: Settings): SettingsState {
  return { defaults: none, values, locals: none, undo: [] }
}

/** What `name` stands at now; undefined: at the server's default. */
export function effective(state: SettingsState, name: string): string | undefined {
  return state.locals.get(name) ?? state.values.get(name)
}

/** The state after `event`. Events that PostgreSQL would answer with an error must not be given. */
export function settle(state: SettingsState, event: SettingsEvent): SettingsState {
  switch (event.kind) {
    case 'change':
      return changed(state, event.change)
    case 'begin':
      return state.undo.length > 0 ? state : pushed(state, null)
    case 'savepoint':
      return pushed(state.undo.length > 0 ? state : pushed(state, null), event.name)
    case 'release':
      return { ...state, undo: state.undo.slice(0, pointIndex(state, event.name)) }
    case 'rollback-to':
      return rolledBackTo(state, pointIndex(state, event.name))
    case 'commit':
      return state.undo.length === 0 && state.locals.size === 0 ? state : { ...state, locals: none, undo: [] }
    case 'rollback':
      return { ...state, values: state.undo[0]?.values ?? state.values, locals: none, undo: [] }
    case 'discard':
      return { ...state, values: state.defaults, locals: none }
  }
}

function pushed(state: SettingsState, savepoint: string | null): SettingsState {
  return { ...state, undo: [...state.undo, { savepoint, values: state.values, locals: state.locals }] }
}

/** Index of the newest savepoint of that name; past the end if there is none, so that nothing is undone. */
function pointIndex(state: SettingsState, name: string): number {
  const index = state.undo.findLastIndex((point) => point.savepoint === name)
  return index < 0 ? state.undo.length : index
}

function rolledBackTo(state: SettingsState, index: number): SettingsState {
  const point = state.undo[index]
  // The savepoint itself stays: PostgreSQL allows to roll back to it again.
  return point === undefined ? state : { ...state, values: point.values, locals: point.locals, undo: state.undo.slice(0, index + 1) }
}

/** Belong to the running transaction whatever SET's scope was, so they are never carried to another connection. */
const transactional: ReadonlySet<string> = new Set(['transaction_isolation', 'transaction_read_only', 'transaction_deferrable', 'seed'])

function changed(state: SettingsState, change: Change): SettingsState {
  if (change.name === 'all') return resetAll(state)
  if (change.local || transactional.has(change.name)) return changedLocal(state, change)
  const values = new Map(state.values)
  const value = change.value ?? state.defaults.get(change.name)
  if (value === undefined) values.delete(change.name)
  else values.set(change.name, value)
  // By the SQL standard a new session user starts with no role.
  if (change.name === 'session_authorization') values.delete('role')
  return { ...state, values, locals: without(state.locals, change.name) }
}

function changedLocal(state: SettingsState, change: Change): SettingsState {
  // SET LOCAL outside a transaction only warns.
  if (state.undo.length === 0) return state
  const value = change.value ?? state.defaults.get(change.name)
  // A default under a session value: '' would be wrong, so the value's absence cannot be said; the name's default is
  // unknown here. Only the router's own settings and a few watched ones are read back, and for those '' is "default".
  return { ...state, locals: new Map(state.locals).set(change.name, value ?? '') }
}

/** RESET ALL leaves role and session_authorization alone (GUC_NO_RESET_ALL). */
function resetAll(state: SettingsState): SettingsState {
  const values = new Map(state.defaults)
  for (const name of ['role', 'session_authorization']) {
    const value = state.values.get(name)
    if (value === undefined) values.delete(name)
    else values.set(name, value)
  }
  return { ...state, values, locals: none }
}

function without(settings: Settings, name: string): Settings {
  if (!settings.has(name)) return settings
  const copy = new Map(settings)
  copy.delete(name)
  return copy
}

/** Settings whose list members are names: SET quotes each member, set_config() takes the list as it stands. */
const nameLists: ReadonlySet<string> = new Set([
  'search_path',
  'temp_tablespaces',
  'local_preload_libraries',
  'session_preload_libraries',
  'shared_preload_libraries',
])

/** `$n` as text; null is NULL, undefined is not known (Parse without Bind). */
export type ParameterText = (number: number) => string | null | undefined

/** A change as the text says it → a change with its value. null: a parameter it needs is not known. */
export function resolveChange(change: SettingChange, parameter: ParameterText): Change | null {
  const base = { name: change.name, local: change.scope === 'local' }
  if (change.value === null) return { ...base, value: null }
  const texts: string[] = []
  for (const value of change.value) {
    const text = value.kind === 'text' ? value.text : parameter(value.number)
    if (text === undefined) return null
    if (text === null) return { ...base, value: null }
    texts.push(text)
  }
  const quoted = !change.viaFunction && nameLists.has(change.name)
  return { ...base, value: texts.map((text) => (quoted ? quoteIdentifier(text) : text)).join(', ') }
}
