// doors/proxy/error-reply.ts — whatever was thrown → the fields of an ErrorResponse. Errors of a server pass unchanged;
// our own carry their SQLSTATE and hint; anything else is a mistake of ours and says no more than that.
import { PointsmanError } from '../../errors/error.js'
import type { ErrorFields } from '../../protocol/error-fields.js'
import { ServerError } from '../../server/server-error.js'

/** `severity` FATAL where the connection is closed after it. */
export function errorFields(error: unknown, severity: 'ERROR' | 'FATAL' = 'ERROR'): ErrorFields {
  if (error instanceof ServerError) return { ...error.fields, severity }
  if (error instanceof PointsmanError) {
    const { code, message, hint, detail } = error
    const routine = error.key === 'cached_plan_changed' ? { routine: 'RevalidateCachedQuery' } : {}
    return { severity, code, message, ...(detail === undefined ? {} : { detail }), ...(hint === undefined ? {} : { hint }), ...routine }
  }
  return { severity, code: 'XX000', message: 'internal error in Pointsman' }
}

/** True for errors that no rule foresaw: they belong in the log. */
export function unforeseen(error: unknown): boolean {
  return !(error instanceof ServerError) && !(error instanceof PointsmanError)
}
