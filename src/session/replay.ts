// session/replay.ts — what must be said on a server connection so that a client's settings stand there (DESIGN §7
// "Settings replay"). One SELECT of set_config() calls: it takes values as SHOW prints them, works in a read-only
// transaction, and puts a name back to the connection's own default with NULL.
import { quoteLiteral } from './quote.js'
import type { Settings, SettingsState } from './settings.js'

export interface Replayed {
  readonly name: string
  /** null: to the connection's own default. */
  readonly value: string | null
}

const none: Settings = new Map()
const noChanges: readonly Replayed[] = []

/** The changes that make `actual` into `wanted`; [] if nothing differs. The router's own settings never reach a server. */
export function replayChanges(wanted: Settings, actual: Settings): readonly Replayed[] {
  if (wanted === actual || (wanted.size === 0 && actual.size === 0)) return noChanges
  const changes: Replayed[] = []
  for (const [name, value] of wanted) if (!isOwn(name) && actual.get(name) !== value) changes.push({ name, value })
  for (const name of actual.keys()) if (isOwn(name) || !wanted.has(name)) changes.push({ name, value: null })
  return changes.length === 0 ? changes : ordered(changes, wanted, actual)
}

/** True for settings that the router itself obeys: `pointsman.max_staleness` and its like. */
export function isOwn(name: string): boolean {
  return name.startsWith('pointsman.')
}

/**
 * Whoever stands as another role may lack the right to change the rest, so what stands is taken off first and what is wanted
 * put on last, though it be the same; and since a new session user clears the role, the role is said again after it.
 */
function ordered(changes: readonly Replayed[], wanted: Settings, actual: Settings): readonly Replayed[] {
  const session = changes.some(({ name }) => name === 'session_authorization')
  const rest = changes.filter(({ name }) => name !== 'session_authorization' && name !== 'role')
  const identity = session || actual.has('session_authorization') || actual.has('role') || wanted.has('role')
  if (!identity) return rest
  const first: Replayed[] = [{ name: 'role', value: null }]
  const last: Replayed[] = []
  if (session || rest.length > 0) {
    const user = wanted.get('session_authorization')
    if (actual.has('session_authorization')) first.push({ name: 'session_authorization', value: null })
    if (user !== undefined) last.push({ name: 'session_authorization', value: user })
  }
  const role = wanted.get('role')
  if (role !== undefined) last.push({ name: 'role', value: role })
  return [...first, ...rest, ...last]
}

/** The changes as one statement. */
export function replaySql(changes: readonly Replayed[]): string {
  const calls = changes.map(
    ({ name, value }) => `pg_catalog.set_config(${quoteLiteral(name)}, ${value === null ? 'NULL' : quoteLiteral(value)}, false)`,
  )
  return `SELECT ${calls.join(', ')}`
}

/** How well a connection's settings fit: 0 is a perfect match, each difference counts one down. For `prefer`. */
export function fit(wanted: Settings, actual: Settings): number {
  return -replayChanges(wanted, actual).length
}

/** The client's state as it stands on a connection on which all of it was said; our own settings were not. */
export function mirrored(settings: SettingsState): SettingsState {
  return {
    defaults: none,
    values: ownless(settings.values),
    locals: ownless(settings.locals),
    undo: settings.undo.map((point) => ({ ...point, values: ownless(point.values), locals: ownless(point.locals) })),
  }
}

/** Without our own settings. */
export function ownless(values: Settings): Settings {
  for (const name of values.keys()) if (isOwn(name)) return new Map([...values].filter(([key]) => !isOwn(key)))
  return values
}
