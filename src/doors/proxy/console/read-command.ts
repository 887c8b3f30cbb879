// doors/proxy/console/read-command.ts — text → commands. A text that cannot be read is refused whole; nothing of it has
// happened then.
import type { VirtualMode } from '../../../config/config.js'
import { PointsmanError } from '../../../errors/error.js'
import { refusedTables, tables, type ConsoleCommand, type ConsoleTable, type RefusedTable, type Target } from './command.js'
import { Reader } from './reader.js'
import { selectTalk, setTalk, showTalk, type SmallTalk } from './small-talk.js'
import { consoleStatements } from './words.js'

/** What nobody switches off must end while somebody still knows of it. */
const longestAllowStaleMs = 86_400_000

/** `words`: for the audit: what stood in single quotes is left out, since it may be a statement with its values. */
export interface ReadCommand {
  readonly command: ConsoleCommand
  readonly words: string
}

/** Throws 42601. */
export function readConsole(text: string): readonly ReadCommand[] {
  return consoleStatements(text).map((tokens) => {
    const reader = new Reader(tokens)
    const command = readCommand(reader)
    reader.end()
    const words = tokens.map((token) => (token.kind === 'string' ? "'…'" : token.text)).join(' ')
    return { command, words: words.slice(0, 200) }
  })
}

type Read = (reader: Reader) => ConsoleCommand

/** By the first word. */
const commands: ReadonlyMap<string, Read> = new Map<string, Read>([
  ['SHOW', show],
  ['EXPLAIN', explainRoute],
  ['RELOAD', () => ({ kind: 'reload' })],
  ['PAUSE', (reader) => ({ kind: 'pause', target: target(reader) })],
  ['RESUME', (reader) => ({ kind: 'resume', target: target(reader) })],
  ['RECONNECT', (reader) => ({ kind: 'reconnect', target: target(reader) })],
  ['WAIT_CLOSE', (reader) => ({ kind: 'wait-close', target: target(reader) })],
  ['DISABLE', (reader) => ({ kind: 'disable', database: reader.name('a database') })],
  ['ENABLE', (reader) => ({ kind: 'enable', database: reader.name('a database') })],
  ['KILL', (reader) => ({ kind: 'kill', database: reader.over ? null : reader.name('a database') })],
  ['KILL_CLIENT', (reader) => ({ kind: 'kill-client', id: reader.number('the id of a client, as SHOW CLIENTS tells it') })],
  ['BAN', ban],
  ['UNBAN', (reader) => ({ kind: 'unban', node: reader.name('a node') })],
  ['DRAIN', (reader) => ({ kind: 'drain', name: reader.takes('OFF') ? null : reader.name('a node or a cluster, or OFF') })],
  ['READ', readOnly],
  ['ALLOW', allowStale],
  ['SET', set],
  ['CLEAR', clear],
  ['SUSPEND', () => ({ kind: 'suspend' })],
  ['RESTART', () => ({ kind: 'restart' })],
  ['SHUTDOWN', shutdown],
])

/** What drivers begin with, none of which is listed as a command. */
const talk: ReadonlyMap<string, Read> = new Map<string, Read>([
  ['SELECT', (reader) => orUnknown(reader.rest(), selectTalk)],
  ['RESET', said('RESET')],
  ['DISCARD', said('DISCARD ALL')],
  ['DEALLOCATE', said('DEALLOCATE')],
  ['CLOSE', said('CLOSE CURSOR')],
  ['UNLISTEN', said('UNLISTEN')],
  ['BEGIN', transaction('begin')],
  ['START', transaction('begin')],
  ['COMMIT', transaction('commit')],
  ['END', transaction('commit')],
  ['ROLLBACK', transaction('rollback')],
  ['ABORT', transaction('rollback')],
])

function readCommand(reader: Reader): ConsoleCommand {
  const known = [...commands.keys()]
  const word = reader.keyword([...known, ...talk.keys()], known)
  const read = commands.get(word) ?? talk.get(word)
  if (read === undefined) throw new Error(`no reader for ${word}`)
  return read(reader)
}

function show(reader: Reader): ConsoleCommand {
  const names = tables.map((name) => name.toUpperCase())
  const refused: readonly string[] = refusedTables.map((name) => name.toUpperCase())
  if (reader.isKeyword(...names)) return { kind: 'show', table: reader.keyword(names).toLowerCase() as ConsoleTable }
  if (reader.isKeyword(...refused)) return { kind: 'show-refused', table: reader.keyword(refused).toLowerCase() as RefusedTable }
  const parameter = showTalk(reader)
  if (parameter !== null) return { kind: 'small-talk', ...parameter }
  reader.keyword(names)
  throw new Error('no table of that name')
}

function target(reader: Reader): Target {
  if (reader.over) return { kind: 'all', name: '' }
  if (reader.takes('DATABASE')) return { kind: 'database', name: reader.name('a database') }
  if (reader.takes('CLUSTER')) return { kind: 'cluster', name: reader.name('a cluster') }
  return { kind: 'any', name: reader.name('a database or a cluster') }
}

function explainRoute(reader: Reader): ConsoleCommand {
  reader.keyword(['ROUTE'])
  const sql = reader.string('a statement')
  const database = reader.takes('IN') ? reader.name('a database') : null
  const user = reader.takes('AS') ? reader.name('a user') : null
  return { kind: 'explain-route', sql, database, user }
}

function ban(reader: Reader): ConsoleCommand {
  const node = reader.name('a node')
  return { kind: 'ban', node, forMs: reader.takes('FOR') ? reader.duration() : null }
}

function readOnly(reader: Reader): ConsoleCommand {
  reader.keyword(['ONLY'])
  const cluster = reader.isKeyword('ON', 'OFF') ? null : reader.name('a cluster')
  const on = reader.keyword(['ON', 'OFF']) === 'ON'
  return { kind: 'read-only', cluster, on, message: on && !reader.over ? reader.string('a message') : null }
}

function allowStale(reader: Reader): ConsoleCommand {
  reader.keyword(['STALE'])
  if (reader.takes('OFF')) return { kind: 'forbid-stale', cluster: onCluster(reader) }
  const maxMs = reader.duration()
  reader.keyword(['FOR'])
  const forMs = reader.duration()
  if (forMs > longestAllowStaleMs) throw new PointsmanError('console_syntax', { values: { what: 'ALLOW STALE lasts a day at most' } })
  return { kind: 'allow-stale', cluster: onCluster(reader), maxMs, forMs }
}

function onCluster(reader: Reader): string | null {
  if (reader.over) return null
  reader.keyword(['ON'])
  return reader.name('a cluster')
}

const modes = ['OFF', 'LOG', 'REFUSE'] as const

function virtual(reader: Reader): ConsoleCommand {
  const name = reader.name('a virtual partition or sharded set')
  const mode = reader.keyword(modes)
  const rollout = reader.over ? 100 : reader.number('a percentage from 0 to 100')
  if (rollout > 100 || (mode !== 'REFUSE' && rollout !== 100))
    throw new PointsmanError('console_syntax', { values: { what: 'a percentage from 0 to 100, of REFUSE alone' } })
  return { kind: 'virtual', name, mode: mode.toLowerCase() as VirtualMode, rollout }
}

function set(reader: Reader): ConsoleCommand {
  if (reader.takes('VIRTUAL')) return virtual(reader)
  const parameter = setTalk(reader)
  if (parameter !== null) return { kind: 'small-talk', ...parameter }
  const name = reader.name('a setting').toLowerCase()
  reader.keyword(['=', 'TO'])
  return { kind: 'set', name, value: reader.value() }
}

function clear(reader: Reader): ConsoleCommand {
  reader.keyword(['AUDIT'])
  return { kind: 'clear-audit' }
}

function shutdown(reader: Reader): ConsoleCommand {
  if (reader.over) return { kind: 'shutdown', mode: 'now' }
  return { kind: 'shutdown', mode: reader.keyword(['WAIT_FOR_SERVERS', 'WAIT_FOR_CLIENTS']) === 'WAIT_FOR_SERVERS' ? 'servers' : 'clients' }
}

function said(tag: string): Read {
  return (reader) => {
    reader.rest()
    return { kind: 'small-talk', tag, column: null, value: null }
  }
}

function transaction(op: 'begin' | 'commit' | 'rollback'): Read {
  return (reader) => {
    reader.rest()
    return { kind: 'transaction', op }
  }
}

function orUnknown(text: string, read: (text: string) => SmallTalk | null): ConsoleCommand {
  const found = read(text)
  if (found !== null) return { kind: 'small-talk', ...found }
  throw new PointsmanError('console_syntax', { values: { what: 'the console runs no SQL: expected one of its own commands' } })
}
