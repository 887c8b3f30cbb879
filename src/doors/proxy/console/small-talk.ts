// doors/proxy/console/small-talk.ts — what drivers and pools say to any server before they are asked to: settings of a
// session, `SELECT 1`, what the server is. Answered as a PostgreSQL with these settings would; nothing comes of it.
import type { Reader } from './reader.js'

export interface SmallTalk {
  readonly tag: string
  /** null: it returns no rows. */
  readonly column: string | null
  readonly value: string | null
}

/** What a console's session has, as a server reports it. Its version is told by the console itself. */
export const consoleParameters: ReadonlyMap<string, string> = new Map([
  ['server_encoding', 'UTF8'],
  ['client_encoding', 'UTF8'],
  ['standard_conforming_strings', 'on'],
  ['DateStyle', 'ISO, MDY'],
  ['IntervalStyle', 'postgres'],
  ['TimeZone', 'UTC'],
  ['integer_datetimes', 'on'],
  ['is_superuser', 'off'],
  ['in_hot_standby', 'off'],
  ['default_transaction_read_only', 'off'],
])

const shown: ReadonlyMap<string, string> = new Map([
  ...[...consoleParameters].map(([name, value]): [string, string] => [name.toUpperCase(), value]),
  ['TRANSACTION_READ_ONLY', 'off'],
  ['TRANSACTION_ISOLATION', 'read committed'],
  ['SEARCH_PATH', '"$user", public'],
  ['EXTRA_FLOAT_DIGITS', '1'],
])

/** Settings of a session that may be set to anything, since no value of theirs changes an answer. */
const settable: readonly string[] = [
  'APPLICATION_NAME',
  'BYTEA_OUTPUT',
  'CLIENT_ENCODING',
  'CLIENT_MIN_MESSAGES',
  'DATESTYLE',
  'EXTRA_FLOAT_DIGITS',
  'IDLE_IN_TRANSACTION_SESSION_TIMEOUT',
  'INTERVALSTYLE',
  'LOCK_TIMEOUT',
  'NAMES',
  'SEARCH_PATH',
  'SESSION',
  'STANDARD_CONFORMING_STRINGS',
  'STATEMENT_TIMEOUT',
  'TIME',
  'TIMEZONE',
  'TRANSACTION',
]

/** After SHOW; null: it is none of these, and nothing was taken. */
export function showTalk(reader: Reader): SmallTalk | null {
  if (reader.takes('TRANSACTION')) {
    reader.keyword(['ISOLATION'])
    reader.keyword(['LEVEL'])
    return { tag: 'SHOW', column: 'transaction_isolation', value: 'read committed' }
  }
  for (const [name, value] of shown) if (reader.takes(name)) return { tag: 'SHOW', column: name.toLowerCase(), value }
  return null
}

/** After SET; null: it is none of these, and nothing was taken. */
export function setTalk(reader: Reader): SmallTalk | null {
  if (!reader.isKeyword(...settable)) return null
  reader.rest()
  return { tag: 'SET', column: null, value: null }
}

const constants: ReadonlyMap<string, readonly [column: string, value: string]> = new Map([
  ['1', ['?column?', '1']],
  ['CURRENT_SCHEMA()', ['current_schema', 'public']],
  ['CURRENT_DATABASE()', ['current_database', 'pointsman']],
  ['PG_IS_IN_RECOVERY()', ['pg_is_in_recovery', 'f']],
  // Tools tell by it what they talk to; PostgreSQL's own version would promise too much.
  ['VERSION()', ['version', 'Pointsman console']],
])

/** What stands after SELECT, in capitals; null: it is none of these. */
export function selectTalk(text: string): SmallTalk | null {
  const found = constants.get(text.replace(/^PG_CATALOG\./, ''))
  return found === undefined ? null : { tag: 'SELECT 1', column: found[0], value: found[1] }
}
