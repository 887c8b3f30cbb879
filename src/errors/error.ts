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
  /** Of `read_unmet`: how far behind the servers are, in numbers. */
  readonly details: ReadUnmet | undefined

  constructor(key: ErrorKey, particulars: Particulars = {}) {
    const entry: CatalogueEntry = catalogue[key] // here every row is held to its shape
    super(fill(entry.text, particulars.values ?? {}), particulars.cause === undefined ? undefined : { cause: particulars.cause })
    this.key = key
    this.code = entry.sqlstate
    this.retry = entry.retry
    this.hint = particulars.hint ?? (entry.help === '' ? undefined : fill(entry.help, particulars.values ?? {}))
    this.detail = particulars.detail
    this.details = particulars.details
  }
}

/** How far a read was from being met. Positions as PostgreSQL writes them; null: not known, or nothing is proved. */
export interface ReadUnmet {
  readonly cluster: string
  /** The replica that had come furthest. */
  readonly node: string | null
  readonly neededLsn: string | null
  readonly bestLsn: string | null
  readonly behindBytes: number | null
  /** At most how stale it was. */
  readonly staleMs: number | null
  /** About when it will be there, at the pace at which it has replayed of late. */
  readonly etaMs: number | null
}

/** What the throwing place knows: values for the `{names}` in the catalogue's text, and what replaces or adds to it. */
export interface Particulars {
  readonly values?: Readonly<Record<string, string | number>>
  readonly detail?: string
  readonly details?: ReadUnmet
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
