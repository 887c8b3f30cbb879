// merge/problems.ts — what the merge refuses or fails with. No error ever holds a value of a row.
import { PointsmanError } from '../errors/error.js'

/** A refusal (0A000): `what` is the whole sentence, `hint` the way out. */
export function refused(what: string, hint?: string): PointsmanError {
  return new PointsmanError('feature_not_supported', { values: { what }, ...(hint === undefined ? {} : { hint }) })
}

/** A part sent a value of `type` in a form that is not known here, such as a date in another DateStyle than ISO. */
export function cannotRead(type: string): PointsmanError {
  return refused(
    `cannot merge: a value of type ${type} came in a form that is not known here`,
    'DateStyle must be ISO, IntervalStyle postgres and bytea_output hex; or ask for the binary format.',
  )
}

/** As the server's own error of a result that its type cannot hold. */
export function outOfRange(what: string): PointsmanError {
  return new PointsmanError('value_out_of_range', { values: { what } })
}

/** Likewise, of dates and intervals. */
export function intervalOutOfRange(): PointsmanError {
  return new PointsmanError('datetime_out_of_range', { values: { what: 'interval out of range' } })
}

/** What the parts sent is not what was planned for: better no answer than a wrong one. */
export function broken(what: string): PointsmanError {
  return new PointsmanError('merge_impossible', { values: { what } })
}
