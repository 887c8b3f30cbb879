// test/support/answers-compare.ts — one statement, asked of the server that holds everything and of the proxy: equal, refused, or
// unequal. Rows are compared as lists where ORDER BY leaves no choice, by their sort keys where it leaves one, else as multisets;
// names, types, typmods and formats of columns, tags and SQLSTATEs are compared too.
import type pg from 'pg'
import Cursor from 'pg-cursor'
import { parseStatements } from '../../src/sql/parser.js'

export interface Question {
  readonly kind: string
  readonly sql: string
  readonly values: readonly (string | null)[]
  /** Positions of the columns that ORDER BY sorts by, where it leaves a choice; null: it leaves none, or there is no ORDER BY. */
  readonly ties: readonly number[] | null
}

export type Verdict =
  | { readonly verdict: 'answered' }
  /** The same SQLSTATE from both. */
  | { readonly verdict: 'failed'; readonly why: string }
  | { readonly verdict: 'refused'; readonly why: string }
  | { readonly verdict: 'unequal'; readonly why: string }

/** How it is asked. */
export const ways = ['simple', 'extended', 'binary', 'prepared', 'transaction', 'cursor', 'portal'] as const
export type Way = (typeof ways)[number]

interface Answer {
  readonly columns: string
  readonly tag: string
  readonly rows: readonly (readonly (string | null)[])[]
}

interface Failure {
  readonly code: string
  readonly message: string
}

const asText = { getTypeParser: () => (value: unknown) => value }

/** Whether the rows come in an order. */
export function isSorted(sql: string): boolean {
  const [statement] = parseStatements(sql)
  return statement?.node.fields['sortClause'] !== undefined
}

/** One question to one server. What is no SELECT is asked as it is where a way is for reads. */
export async function ask(client: pg.Client, question: Question, way: Way): Promise<Answer | Failure> {
  const reads = parseStatements(question.sql)[0]?.node.tag === 'SelectStmt' && !question.kind.includes('write')
  switch (way) {
    case 'cursor':
      return reads ? within(client, () => fetched(client, question)) : asked(client, question, 'simple')
    case 'portal':
      return reads ? limited(client, question) : asked(client, question, 'simple')
    case 'transaction':
      return reads ? within(client, () => asked(client, question, 'extended')) : asked(client, question, 'simple')
    default:
      return asked(client, question, way)
  }
}

/** By a portal of the protocol, three rows at a time, flushed and not synced. */
async function limited(client: pg.Client, { sql, values }: Question): Promise<Answer | Failure> {
  const cursor = client.query(new Cursor<(string | null)[]>(sql, [...values], { rowMode: 'array', types: asText }))
  const read = (): Promise<{ readonly rows: (string | null)[][]; readonly result: pg.QueryResult }> =>
    new Promise((resolve, reject) => {
      cursor.read(3, (error: Error | undefined, rows, result) => (error ? reject(error) : resolve({ rows, result })))
    })
  try {
    const all: (string | null)[][] = []
    for (;;) {
      const { rows, result } = await read()
      all.push(...rows)
      if (rows.length === 3) continue
      await cursor.close()
      return { columns: columnsOf(result.fields), tag: `${result.command} ${String(result.rowCount)}`, rows: all }
    }
  } catch (error) {
    return failureOf(error)
  }
}

async function within(client: pg.Client, work: () => Promise<Answer | Failure>): Promise<Answer | Failure> {
  await client.query('BEGIN')
  const answer = await work()
  await client.query('code' in answer ? 'ROLLBACK' : 'COMMIT')
  return answer
}

/** By a cursor: a few rows, one, some, then all. */
async function fetched(client: pg.Client, question: Question): Promise<Answer | Failure> {
  const declared = await asked(client, { ...question, sql: `DECLARE "the rows" NO SCROLL CURSOR FOR ${question.sql}` }, 'extended')
  if ('code' in declared) return declared
  const rows: Answer['rows'][] = []
  let columns = ''
  for (const count of ['2', 'NEXT', 'FORWARD 7', 'ALL']) {
    const part = await asked(
      client,
      { ...question, sql: `FETCH ${count} FROM "the rows"`, values: [] },
      count === 'NEXT' ? 'extended' : 'simple',
    )
    if ('code' in part) return part
    rows.push(part.rows)
    columns = part.columns
  }
  const closed = await asked(client, { ...question, sql: 'CLOSE "the rows"', values: [] }, 'simple')
  return 'code' in closed
    ? closed
    : { columns, tag: `${declared.tag} ${rows.map(({ length }) => length).join(' ')} ${closed.tag}`, rows: rows.flat() }
}

async function asked(client: pg.Client, { sql, values }: Question, way: Way): Promise<Answer | Failure> {
  const extended = way !== 'simple' || values.length > 0
  const query = {
    text: sql,
    ...(extended ? { values: [...values], queryMode: 'extended' } : {}),
    ...(way === 'prepared' ? { name: sql.slice(0, 40) + String(hash(sql)) } : {}),
    binary: way === 'binary',
    types: asText,
    rowMode: 'array',
  }
  try {
    const answer = await client.query(query as unknown as pg.QueryArrayConfig<(string | null)[]>)
    return { columns: columnsOf(answer.fields), tag: `${answer.command} ${String(answer.rowCount)}`, rows: answer.rows }
  } catch (error) {
    return failureOf(error)
  }
}

function columnsOf(fields: readonly pg.FieldDef[]): string {
  const columns = fields.map(({ name, dataTypeID, dataTypeModifier, format }) =>
    [name, dataTypeID < 16384 ? dataTypeID : 'own', dataTypeModifier, format].join(' '),
  )
  return columns.join(', ')
}

function failureOf(error: unknown): Failure {
  const { code, message } = error as { code?: string; message: string }
  return { code: code ?? 'none', message }
}

function hash(text: string): number {
  let value = 0
  for (let i = 0; i < text.length; i++) value = (value * 31 + text.charCodeAt(i)) % 1_000_000_007
  return value
}

/** What ours is, beside the other. */
export function judge(question: Question, whole: Answer | Failure, ours: Answer | Failure): Verdict {
  if ('code' in ours) {
    if ('code' in whole && whole.code === ours.code) return { verdict: 'failed', why: ours.code }
    if (ours.code === '0A000') return { verdict: 'refused', why: ours.message }
    return unequal(`whole: ${short(whole)}\nours: ${short(ours)}`)
  }
  if ('code' in whole) return unequal(`whole: ${short(whole)}\nours: ${short(ours)}`)
  if (whole.columns !== ours.columns) return unequal(`columns\nwhole: ${whole.columns}\nours: ${ours.columns}`)
  if (whole.tag !== ours.tag) return unequal(`tags\nwhole: ${whole.tag} ${short(whole)}\nours: ${ours.tag} ${short(ours)}`)
  const difference = compareRows(question, whole, ours)
  return difference === null ? { verdict: 'answered' } : unequal(difference)
}

function unequal(why: string): Verdict {
  return { verdict: 'unequal', why }
}

function short(answer: Answer | Failure): string {
  return 'code' in answer ? `${answer.code} ${answer.message}` : JSON.stringify(answer).slice(0, 2000)
}

function compareRows({ sql, ties }: Question, whole: Answer, ours: Answer): string | null {
  const sorted = isSorted(sql)
  if (sorted && ties !== null) {
    const keys = (answer: Answer): string[] => answer.rows.map((row) => JSON.stringify(ties.map((at) => row[at])))
    const found = firstDifference(keys(whole), keys(ours))
    // Which of the tied rows a LIMIT keeps is open.
    if (found !== null || /\b(limit|fetch|offset|distinct on)\b/i.test(sql)) return found
  }
  const lines = (answer: Answer): string[] => answer.rows.map((row) => JSON.stringify(row))
  return sorted && ties === null ? firstDifference(lines(whole), lines(ours)) : firstDifference(lines(whole).sort(), lines(ours).sort())
}

function firstDifference(whole: readonly string[], ours: readonly string[]): string | null {
  const at = whole.findIndex((line, i) => line !== ours[i])
  if (at === -1 && whole.length === ours.length) return null
  return `row ${String(at)}\nwhole: ${whole[at] ?? ''}\nours: ${ours[at] ?? ''}`
}
