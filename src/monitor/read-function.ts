// monitor/read-function.ts — the body of a user's function → the tables and functions that it names. SQL is read as statements
// are; PL/pgSQL by PostgreSQL's own parser of it, and then the SQL within. What it builds and executes while it runs
// (EXECUTE) is not known beforehand: then the body is unknown, and what is known of it is told all the same.
import type { Body } from '../catalog/catalog.js'
import type { BodyRow } from '../catalog/build.js'
import { parseRoutine } from '../sql/parser.js'
import type { Statement } from '../sql/statement.js'
import type { ReadText } from './read-body.js'

export function readFunction(row: BodyRow, readText: ReadText): Body {
  const found = new Found()
  if (row.language === 'sql') found.add(readText(sqlOf(row.source)))
  else readRoutine(row.definition, readText, found)
  return found.body()
}

/** What pg_get_function_sqlbody() tells of a body in the standard's form, as plain statements. */
function sqlOf(source: string): string {
  const atomic = /^\s*BEGIN ATOMIC\s([\s\S]*)\bEND\s*$/.exec(source)
  if (atomic !== null) return atomic[1] ?? ''
  const returned = /^\s*RETURN\s([\s\S]*)$/.exec(source)
  return returned === null ? source : `SELECT ${returned[1] ?? ''}`
}

function readRoutine(definition: string | null, readText: ReadText, found: Found): void {
  try {
    if (definition === null) found.unknown = true
    else walk(parseRoutine(definition), readText, found)
  } catch {
    found.unknown = true
  }
}

const dynamic: ReadonlySet<string> = new Set(['PLpgSQL_stmt_dynexecute', 'PLpgSQL_stmt_dynfors', 'dynquery'])

function walk(value: unknown, readText: ReadText, found: Found): void {
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    if (dynamic.has(key)) found.unknown = true
    if (key === 'PLpgSQL_expr') readExpression(inner as { query?: unknown; parseMode?: unknown }, readText, found)
    else walk(inner, readText, found)
  }
}

/** As plpgsql.h numbers them; those beyond are assignments. */
const wholeStatement = 0
const typeName = 1
const expression = 2

function readExpression(
  { query, parseMode }: { readonly query?: unknown; readonly parseMode?: unknown },
  read: ReadText,
  found: Found,
): void {
  if (parseMode === typeName) return
  if (typeof query !== 'string') found.unknown = true
  else if (parseMode === wholeStatement) found.add(read(query))
  else found.add(read(`SELECT ${parseMode === expression ? query : assigned(query)}`))
}

function assigned(query: string): string {
  const [, value] = /^[^=]*?:?=([\s\S]*)$/.exec(query) ?? []
  return value ?? query
}

class Found {
  readonly #reads = new Map<string, Body['reads'][number]>()
  readonly #writes = new Map<string, Body['writes'][number]>()
  readonly #calls = new Map<string, Body['calls'][number]>()
  unknown = false

  /** null: it could not be read. */
  add(statements: readonly Statement[] | null): void {
    if (statements === null) {
      this.unknown = true
      return
    }
    for (const statement of statements) {
      const { kind } = statement.detail
      // What these run is told at another place, or not at all.
      if (kind === 'execute' || kind === 'do') this.unknown = true
      for (const { name, access } of statement.relations) {
        const uses = access === 'read' ? this.#reads : this.#writes
        uses.set(JSON.stringify(name), name)
      }
      for (const { name, args } of statement.functions) this.#calls.set(JSON.stringify([name, args]), { ...name, args })
    }
  }

  body(): Body {
    const { unknown } = this
    return { reads: [...this.#reads.values()], writes: [...this.#writes.values()], calls: [...this.#calls.values()], unknown }
  }
}
