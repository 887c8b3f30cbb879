// session/inspection.ts — what a server connection is asked after a statement that may have left something in its session that
// no text tells: a function that sets settings, takes a lock, makes a temporary table. The answer is read into values here; what
// follows from it is the door's business.
//
// Settings of extensions and of users' own (`app.tenant`) are in no list that a server gives: they are asked for by name, so
// those that nobody has named to Pointsman are not found.
import { quoteLiteral } from './quote.js'
import { reservedFor } from './reserved-settings.js'
import type { Settings } from './settings.js'

/** What stands in the session of one server connection, between transactions. */
export interface Findings {
  /** Set by SET or set_config(), in whatever way; role and session_authorization where they are not the login's. */
  readonly settings: Settings
  /** A session-level advisory lock is held. */
  readonly locks: boolean
  /** Anything temporary exists. */
  readonly temporary: boolean
  /** Names of the relations among it. */
  readonly temporaryRelations: readonly string[]
  /** A cursor WITH HOLD is open. */
  readonly cursors: boolean
}

const always = [
  "SELECT 'setting', name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE source = 'session'",
  "SELECT 'setting', 'role', pg_catalog.current_setting('role') WHERE pg_catalog.current_setting('role') <> 'none'",
  "SELECT 'user', session_user::text, NULL",
  "SELECT 'lock', NULL, NULL WHERE EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid())",
  "SELECT 'temporary', NULL, NULL WHERE EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid = pg_catalog.pg_my_temp_schema())",
  "SELECT 'relation', relname::text, NULL FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema() AND relkind NOT IN ('i', 'I', 't')",
  "SELECT 'cursor', NULL, NULL WHERE EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable)",
] as const

/** One query, of rows (kind, name, value). `custom`: names of settings that no list of the server has. */
export function inspectionSql(custom: readonly string[]): string {
  const asked = custom.map((name) => `(${quoteLiteral(name)})`).join(', ')
  const named = `SELECT 'setting', name, pg_catalog.current_setting(name, true) FROM (VALUES ${asked}) AS asked (name) WHERE pg_catalog.current_setting(name, true) <> ''`
  return [...always, ...(custom.length === 0 ? [] : [named])].join(' UNION ALL ')
}

/** `user`: the role that the connection has logged in as. */
export function readFindings(rows: readonly (readonly (string | null)[])[], user: string): Findings {
  const settings = new Map<string, string>()
  const temporaryRelations: string[] = []
  const kinds = new Set<string | null>()
  for (const [kind = null, name = null, value = null] of rows) {
    kinds.add(kind)
    if (kind === 'setting' && name !== null && value !== null) settings.set(name.toLowerCase(), value)
    if (kind === 'user' && name !== null && name !== user) settings.set('session_authorization', name)
    if (kind === 'relation' && name !== null) temporaryRelations.push(name)
  }
  return { settings, locks: kinds.has('lock'), temporary: kinds.has('temporary'), temporaryRelations, cursors: kinds.has('cursor') }
}

/** Settings in which what is asked of the server differs from what was known of it, as changes; null is "to its default". */
export function unseenChanges(found: Settings, known: Settings): readonly { readonly name: string; readonly value: string | null }[] {
  const changes: { readonly name: string; readonly value: string | null }[] = []
  for (const [name, value] of found) if (known.get(name) !== value && reservedFor(name) === null) changes.push({ name, value })
  for (const name of known.keys()) if (!found.has(name) && known.get(name) !== '') changes.push({ name, value: null })
  return changes
}

/** What a text mentions that may be the name of a setting of somebody's own, a few at most. */
export function mentionedNames(text: string): readonly string[] {
  const found = text.slice(0, mentionedChars).match(/[a-z_][a-z0-9_$]*(?:\.[a-z_][a-z0-9_$]*)+/gi) ?? []
  return [...new Set(found.map((name) => name.toLowerCase()))].filter((name) => !name.startsWith('pg_')).slice(0, mentionedMost)
}

const mentionedChars = 16_384
const mentionedMost = 32

/**
 * The names of such settings in the functions of a database: what one function sets, another or a policy reads. They are only
 * asked for, so one too many does no harm, and one that is missed is not followed.
 */
export const functionSettingsSql: string = `SELECT DISTINCT pg_catalog.lower(found[1]) FROM pg_catalog.pg_proc AS f,
 LATERAL pg_catalog.regexp_matches(f.prosrc, ${quoteLiteral("(?:set_config|current_setting)\\s*\\(\\s*'([a-z_][a-z0-9_$]*(?:\\.[a-z_][a-z0-9_$]*)+)'")}, 'gi') AS found
 WHERE f.prolang NOT IN (SELECT oid FROM pg_catalog.pg_language WHERE lanname IN ('internal', 'c')) LIMIT 256`

/** Names with a dot: those that a server lists nowhere. */
export function customNames(...settings: readonly Settings[]): readonly string[] {
  return [...new Set(settings.flatMap((values) => [...values.keys()].filter((name) => name.includes('.'))))]
}
