// audit/log-lines.ts — PostgreSQL's server log → the statements in it, with the session that each came from: csvlog, jsonlog, or
// plain text with any log_line_prefix that tells the process in brackets (the default) or a session id. What logs no
// statement is passed over; so is the time that parsing and binding took, since the execution is a line of its own.

export interface LoggedStatement {
  readonly text: string
  /** null: the log does not tell. */
  readonly session: string | null
  readonly database: string | null
}

export function loggedStatements(log: string): readonly LoggedStatement[] {
  const start = log.trimStart()
  if (start.startsWith('{')) return fromJson(log)
  return isCsv(start) ? fromCsv(log) : fromText(log)
}

const message = /^(?:duration: [0-9.]+ ms\s+)?(?:statement|execute [^:]*): ([\s\S]*)$/

function statementIn(text: unknown): string | null {
  return typeof text === 'string' ? (message.exec(text)?.[1] ?? null) : null
}

function fromJson(log: string): readonly LoggedStatement[] {
  return log.split('\n').flatMap((line) => {
    const row = objectIn(line)
    const text = statementIn(row?.['message'])
    if (row === null || text === null) return []
    return [{ text, session: textOf(row['session_id']) ?? textOf(row['pid']), database: textOf(row['dbname']) }]
  })
}

function objectIn(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : null
  } catch {
    return null
  }
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : null
}

// The columns of csvlog: time, user, database, pid, client, session id, line, …, severity, state, message, …
const csvDatabase = 2
const csvSession = 5
const csvMessage = 13

/** Nothing but a time before the first comma, then user and database in quotes and the process: statements have commas, too. */
function isCsv(start: string): boolean {
  return /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [^\s,]+,(?:"(?:[^"]|"")*")?,(?:"(?:[^"]|"")*")?,\d+,/.test(start)
}

function fromCsv(log: string): readonly LoggedStatement[] {
  return csvRows(log).flatMap((row) => {
    const text = statementIn(row[csvMessage])
    return text === null ? [] : [{ text, session: row[csvSession] ?? null, database: row[csvDatabase] ?? null }]
  })
}

function csvRows(log: string): readonly (readonly string[])[] {
  const rows: string[][] = []
  let row: string[] = []
  const field = /("(?:[^"]|"")*"|[^,\n"]*)(,|\r?\n|$)/y
  while (field.lastIndex < log.length) {
    const found = field.exec(log)
    if (found === null) break
    const [, raw = '', end = ''] = found
    row.push(raw.startsWith('"') ? raw.slice(1, -1).replaceAll('""', '"') : raw)
    if (end !== ',') {
      rows.push(row)
      row = []
    }
  }
  return rows
}

function fromText(log: string): readonly LoggedStatement[] {
  const found: { text: string; session: string | null; database: null }[] = []
  let open = false
  for (const line of log.split('\n')) {
    // What goes on stands behind a tab.
    const last = found.at(-1)
    if (line.startsWith('\t')) {
      if (open && last !== undefined) last.text += `\n${line.slice(1)}`
      continue
    }
    const [, prefix = '', words] = /^(.*?)LOG: {2}(.*)$/.exec(line) ?? []
    const text = statementIn(words)
    open = text !== null
    if (text === null) continue
    const session = /\[(\d+)\]/.exec(prefix)?.[1] ?? /\b([0-9a-f]{8}\.[0-9a-f]+)\b/.exec(prefix)?.[1] ?? null
    found.push({ text, session, database: null })
  }
  return found
}
