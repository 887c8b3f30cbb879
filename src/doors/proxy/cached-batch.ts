// doors/proxy/cached-batch.ts — which batches may use the result cache: one statement run once, to its last row, in the forms
// that drivers send it. Anything else simply runs.
//
//   node-postgres, psycopg, JDBC, pgx    [Parse] Bind Describe(portal) Execute Sync
//   Npgsql                               Parse Describe(statement) Bind Execute Sync
//   asyncpg                              Bind Execute Sync
import { decodeExecute } from '../../protocol/extended.js'
import type { ClientStatement } from '../../session/session.js'
import type { CachedRead } from './cached-read.js'
import type { Message } from './messages.js'

const forms = /^P?s?Bd?E$/

/** Since when each statement has been run; see CachedRead.notBefore. */
const firstRun = new WeakMap<ClientStatement, number>()

/** null: not of a form that is kept. */
export function cachedBatch(messages: readonly Message[], now: number): CachedRead | null {
  const [first] = messages
  const statement = first?.statement ?? null
  const form = messages.map(letterOf).join('')
  if (statement === null || !forms.test(form) || messages.some((message) => message.statement !== statement)) return null
  const bind = messages.find((message) => message.kind === 'bind')
  const values = bind === undefined ? null : unnamedPortal(bind.frame)
  if (values === null) return null
  return {
    understood: statement.understood,
    form: ['batch', form.replace('P', ''), statement.types.join(','), values],
    statement,
    parses: first?.kind === 'parse',
    notBefore: described(form) ? -Infinity : firstRunOf(statement, now),
  }
}

function letterOf(message: Message): string {
  // What a name stands for is the client's own business.
  if (message.naming !== null) return '?'
  switch (message.kind) {
    case 'parse':
      return message.problem === null ? 'P' : '?'
    case 'bind':
      return 'B'
    case 'describe':
      return message.of === 'statement' ? 's' : message.name === '' ? 'd' : '?'
    case 'execute':
      return message.name === '' && decodeExecute(message.frame).maxRows === 0 ? 'E' : '?'
    case 'close':
      return '?'
  }
}

/** Formats, values and result formats of a Bind of the unnamed portal, as they came; null: of another portal. */
function unnamedPortal(frame: Uint8Array): string | null {
  if (frame[5] !== 0) return null
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
  return bytes.toString('latin1', bytes.indexOf(0, 6) + 1)
}

function described(form: string): boolean {
  return form.includes('s') || form.includes('d')
}

/**
 * Who does not ask for the columns goes by those that he was told before. A reply from before that may have others: where
 * somebody else has altered the table, and nobody here knows of it yet.
 */
function firstRunOf(statement: ClientStatement, now: number): number {
  const known = firstRun.get(statement)
  if (known !== undefined) return known
  firstRun.set(statement, now)
  return now
}
