// errors/error.ts — the one error class. What an error says is fixed in the catalogue; the place that throws adds
// the particulars. `retry` tells the caller whether sending the same statement again is safe.
import { catalogue, type CatalogueEntry, type ErrorKey, type Retry } from './catalogue.js'

/** An error that Pointsman itself raises. `code` is its SQLSTATE, so a client of pg can treat it as a server error. */
export class PointsmanError extends Error {
  override readonly name = 'PointsmanError'
  readonly severity = 'ERROR'
  /** Key in the catalogue, stable across releases. */
  readonly key: ErrorKey
  /** SQLSTATE, five characters. */
  readonly code: string
  readonly retry: Retry
  readonly hint: string | undefined
  readonly detail: string | undefined

  constructor(key: ErrorKey, particulars: Particulars = {}) {
    const entry: CatalogueEntry = catalogue[key] // here every row is held to its shape
    super(fill(entry.text, particulars.values ?? {}), particulars.cause === undefined ? undefined : { cause: particulars.cause })
    this.key = key
    this.code = entry.sqlstate
    this.retry = entry.retry
    this.hint = particulars.hint ?? (entry.help === '' ? undefined : fill(entry.help, particulars.values ?? {}))
    this.detail = particulars.detail
  }
}

/** What the throwing place knows: values for the `{names}` in the catalogue's text, and what replaces or adds to it. */
export interface Particulars {
  readonly values?: Readonly<Record<string, string | number>>
  readonly detail?: string
  readonly hint?: string
  readonly cause?: unknown
}

/** Replaces `{name}` by its value. A name without a value stays as it stands, so that a mistake shows. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name]
    return value === undefined ? whole : String(value)
  })
}
