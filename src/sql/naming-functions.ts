// sql/naming-functions.ts — built-in functions whose text arguments name things, and those that take advisory locks.
import type { Access, Name, Statement } from './statement.js'

type Locks = Statement['cursorsOrLocks']

/** First argument names a sequence. */
export const sequenceFunctions: ReadonlyMap<string, Access> = new Map<string, Access>(
  Object.entries({
    nextval: 'write',
    setval: 'write',
    currval: 'read',
    pg_sequence_last_value: 'read',
  } as const),
)

export const lockFunctions: ReadonlyMap<string, Locks> = new Map<string, Locks>(
  Object.entries({
    pg_advisory_lock: 'session-advisory-lock',
    pg_advisory_lock_shared: 'session-advisory-lock',
    pg_try_advisory_lock: 'session-advisory-lock',
    pg_try_advisory_lock_shared: 'session-advisory-lock',
    pg_advisory_unlock: 'session-advisory-unlock',
    pg_advisory_unlock_shared: 'session-advisory-unlock',
    pg_advisory_unlock_all: 'session-advisory-unlock',
    pg_advisory_xact_lock: 'transaction-advisory-lock',
    pg_advisory_xact_lock_shared: 'transaction-advisory-lock',
    pg_try_advisory_xact_lock: 'transaction-advisory-lock',
    pg_try_advisory_xact_lock_shared: 'transaction-advisory-lock',
  } as const),
)

const part = /\s*(?:"((?:[^"]|"")*)"|([A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*))\s*(\.|$)/y

/** A name inside a string, as `regclass` reads it: `'S'` → s, `'"S"'` → S, `'a.b'` → a.b. null: none. */
export function splitName(text: string): Name | null {
  const parts: string[] = []
  part.lastIndex = 0
  for (;;) {
    const match = part.exec(text)
    if (match === null) return null
    parts.push(match[1]?.replaceAll('""', '"') ?? foldAscii(match[2] ?? ''))
    if (match[3] === '') break
  }
  return { schema: parts.at(-2) ?? null, name: parts.at(-1) ?? '' }
}

function foldAscii(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}
