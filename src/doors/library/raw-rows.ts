// doors/library/raw-rows.ts — a result as the server wrote it, before type parsers have made values of it. It is what the
// result cache keeps: every receiver has its own values made by its own parsers, and may change them as it likes.
import type { PgClient, PgResult } from './pg-client.js'
import type { PgModule } from './public.js'

/** As pg's `types`: by type oid and format. */
export interface TypeSource {
  getTypeParser(oid: number, format?: string): (value: unknown) => unknown
}

/** The slice of pg's own Result that makes values. */
export interface ResultBuilder extends PgResult {
  addFields(fields: readonly object[]): void
  parseRow(row: readonly unknown[]): unknown
  addRow(row: unknown): void
}
export type ResultClass = new (rowMode: unknown, types: TypeSource) => ResultBuilder

export interface RawRows {
  readonly result: ResultClass
  readonly fields: readonly object[]
  readonly rows: readonly (readonly (string | null)[])[]
  readonly command: string | null
  readonly rowCount: number | null
  /** Parsers of the connection that it came on, for who brings none. */
  readonly types: TypeSource
}

/** Values as the server wrote them. */
export const rawTypes: TypeSource = { getTypeParser: () => (value) => value }

/** The query, answered with what the server wrote. null: it says how values are read in a way that cannot be left for later. */
export function rawConfig(config: object): object | null {
  const { types, binary } = config as { readonly types?: unknown; readonly binary?: unknown }
  if (binary === true || (types !== undefined && types !== null && !isTypeSource(types))) return null
  return Object.assign(Object.create(config) as object, { types: rawTypes, rowMode: 'array' })
}

function isTypeSource(types: unknown): types is TypeSource {
  return typeof (types as { getTypeParser?: unknown }).getTypeParser === 'function'
}

/** pg's own class of results. null: this pg shows too little of how it makes values. */
export function resultClassOf(pg: PgModule): ResultClass | null {
  const { Result, Query } = pg as { readonly Result?: unknown; readonly Query?: new (config: object) => { readonly _result?: object } }
  const found = typeof Result === 'function' ? Result : Query === undefined ? undefined : new Query({ text: '' })._result?.constructor
  const { addFields, parseRow, addRow } = (found?.prototype ?? {}) as Partial<ResultBuilder>
  const shows = typeof addFields === 'function' && typeof parseRow === 'function' && typeof addRow === 'function'
  return shows ? (found as ResultClass) : null
}

/** The parsers of a connection's own, over the application's. */
export function typesOf(client: PgClient): TypeSource | null {
  const { _types: types } = client as { readonly _types?: unknown }
  return types !== undefined && types !== null && isTypeSource(types) ? types : null
}

/** What came back for rawConfig(). */
export function rawRows({ fields, rows, command, rowCount }: PgResult, result: ResultClass, types: TypeSource): RawRows {
  return { result, fields: fields as object[], rows: rows as (string | null)[][], command, rowCount, types }
}

/** Every value is text: bytes of a binary format would be shared by all who get them. */
export function isText({ fields }: RawRows): boolean {
  return fields.every((field) => (field as { readonly format?: unknown }).format === 'text')
}

/** What it takes in memory, roughly. */
export function sizeOf({ rows, fields }: RawRows): number {
  let bytes = 256 * (fields.length + 1)
  for (const row of rows) for (const value of row) bytes += 24 + (value === null ? 0 : 2 * value.length)
  return bytes
}

/** As pg would have made it of the same rows for this query. */
export function resultOf(kept: RawRows, config: object): PgResult {
  const { types, rowMode } = config as { readonly types?: TypeSource | null; readonly rowMode?: unknown }
  const made = new kept.result(rowMode, types ?? kept.types)
  made.addFields(kept.fields.map((field) => Object.assign(Object.create(Object.getPrototypeOf(field) as object | null) as object, field)))
  for (const row of kept.rows) made.addRow(made.parseRow(row))
  made.command = kept.command
  made.rowCount = kept.rowCount
  return made
}

/** What a result with values came to in bytes, roughly. */
export function sizeOfResult({ rows }: PgResult): number {
  let bytes = 0
  for (const row of rows) for (const value of Object.values(row as object)) bytes += sizeOfValue(value)
  return bytes
}

function sizeOfValue(value: unknown): number {
  if (typeof value === 'string' || value instanceof Uint8Array) return value.length
  if (typeof value !== 'object' || value === null || value instanceof Date) return 8
  return Object.values(value).reduce<number>((sum, one) => sum + sizeOfValue(one), 8)
}
