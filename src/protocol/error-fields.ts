// protocol/error-fields.ts — the fields of ErrorResponse and NoticeResponse (PG manual 54.8). Only those that decisions
// and messages need have names here; every field survives a decode and encode round trip.

/** Severity, SQLSTATE and message are always there; the rest as the server sent it. */
export interface ErrorFields {
  /** Not localised: ERROR, FATAL, PANIC, WARNING, NOTICE, DEBUG, INFO, LOG. */
  readonly severity: string
  /** SQLSTATE, five characters. */
  readonly code: string
  readonly message: string
  readonly detail?: string
  readonly hint?: string
  /** 1-based position in the query text, in characters. */
  readonly position?: string
  readonly where?: string
  readonly schema?: string
  readonly table?: string
  readonly column?: string
  readonly dataType?: string
  readonly constraint?: string
  /** All fields by their one-letter code, the localised severity `S` among them. */
  readonly all?: ReadonlyMap<string, string>
}
