// server/server-error.ts — an error that a server sent, as it sent it, so that a door can pass it on unchanged.
import type { ErrorFields } from '../protocol/error-fields.js'

export class ServerError extends Error {
  override readonly name = 'ServerError'
  readonly fields: ErrorFields
  /** SQLSTATE. */
  readonly code: string
  readonly severity: string

  constructor(fields: ErrorFields) {
    super(fields.message)
    this.fields = fields
    this.code = fields.code
    this.severity = fields.severity
  }
}
