// sql/prepared.ts — statements that SQL itself prepares and runs by name: PREPARE, EXECUTE (alone, explained, or in CREATE TABLE AS)
// and DEALLOCATE. Who shares server connections must call them by another name there, so here is where the name stands in
// the text; the tree does not say it, so it is found among the words as the normaliser reads them, and compared with the tree's.
import { wordSpans, type WordSpan } from './normalise.js'
import type { Detail, Shape, Statement, Understood } from './statement.js'

/** Half-open offsets into a text. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** The statement concerns a prepared statement that it names, or all of them (prepared-list.ts). */
export function namesPrepared({ detail, executes, relations }: Statement): boolean {
  if (executes !== null || detail.kind === 'prepare' || detail.kind === 'deallocate') return true
  return tellsRows(detail) && relations.some(isList)
}

/** What a query in it reads goes to the client, or somewhere where the client can read it. */
export function tellsRows(detail: Detail): boolean {
  const { kind } = detail
  return queries.has(kind) || (kind === 'ddl' && detail.what === 'create table as')
}

const queries: ReadonlySet<string> = new Set<Detail['kind']>(['select', 'insert', 'update', 'delete', 'merge', 'copy', 'declare'])

function isList({ name: { schema, name } }: Statement['relations'][number]): boolean {
  return name === 'pg_prepared_statements' && (schema === null || schema === 'pg_catalog')
}

/** Where the one statement of `understood` names a prepared statement. null: it names none (DEALLOCATE ALL), or it cannot be said. */
export function preparedName({ shape, text }: Understood): Span | null {
  const [statement, another] = shape.statements ?? []
  const name = statement === undefined || another !== undefined ? null : nameIn(statement)
  if (statement === undefined || name === null) return null
  const words = wordSpans(text)
  const found = words[indexOfName(statement, text, words)]
  return found === undefined || !spells(text.slice(found.start, found.end), name) ? null : { start: found.start, end: found.end }
}

function nameIn({ detail, executes }: Statement): string | null {
  if (executes !== null) return executes.name
  return detail.kind === 'prepare' || detail.kind === 'deallocate' ? detail.name : null
}

function indexOfName({ detail, executes }: Statement, text: string, words: readonly WordSpan[]): number {
  if (detail.kind === 'deallocate') return words.length - 1
  if (detail.kind === 'prepare' || detail.kind === 'execute') return 1
  const is = (span: WordSpan | undefined, word: string): boolean =>
    span?.depth === 0 && text.slice(span.start, span.end).toLowerCase() === word
  const executing = (span: WordSpan, at: number): boolean => is(span, 'execute') && (creates({ detail }) ? is(words[at - 1], 'as') : true)
  // A table may be called `as` or `execute`: behind the EXECUTE of CREATE TABLE AS no other can follow, and before that of EXPLAIN none.
  const at = creates({ detail }) ? words.findLastIndex(executing) : words.findIndex(executing)
  return executes === null || at < 0 ? -1 : at + 1
}

function creates({ detail }: Pick<Statement, 'detail'>): boolean {
  return detail.kind === 'ddl' || (detail.kind === 'explain' && creates(detail.inner))
}

const longest = 63

/** Whether this is how `name` may be written. */
function spells(written: string, name: string): boolean {
  const quoted = written.startsWith('"')
  // U&"…": its escapes are the parser's business, and nothing else begins so.
  if (!quoted && written.includes('"')) return true
  const read = quoted ? written.slice(1, -1).replaceAll('""', '"') : written.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
  return read === name || (Buffer.byteLength(read) > longest && Buffer.from(read).subarray(0, longest).toString().startsWith(name))
}

const inners = new WeakMap<Shape, Shape>()

/** The statement that a PREPARE prepares, as if it had been sent itself; the values are those of the PREPARE's text. null: it is no PREPARE. */
export function preparedBy(understood: Understood): Understood | null {
  const { shape } = understood
  const [statement] = shape.statements ?? []
  if (statement?.detail.kind !== 'prepare') return null
  let inner = inners.get(shape)
  if (inner === undefined) {
    inner = Object.freeze({ ...shape, statements: Object.freeze([statement.detail.inner]), names: false })
    inners.set(shape, inner)
  }
  return Object.freeze({ ...understood, shape: inner })
}
