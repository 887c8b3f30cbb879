// doors/library/loss.ts — what the user hears when the connection under a statement is gone: an error of the catalogue, also where pg
// itself tells it (to a cursor or a stream), with whatever pg or the system said as its cause.
import type { PointsmanError } from '../../errors/error.js'
import type { RouteTaken } from '../../execute/contract.js'
import { lossError } from '../../execute/loss-error.js'
import { sqlstateOf } from '../../pool/failure.js'

/** What is asked of the connection that is lost. */
interface Lost {
  readonly route: RouteTaken
  readonly connection: { readonly usable: boolean }
}

/** `unknown`: a write may have run. */
export function lossOf(hold: Pick<Lost, 'route'>, unknown: boolean, cause: unknown): PointsmanError {
  return lossError(hold.route, unknown, cause === undefined ? {} : { cause })
}

/** pg's own `query_timeout`. */
export function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout'
}

/** From now on a submittable hears `lossOf()` where pg would tell it what a socket said. What a server said stands. */
export function nameLoss(submittable: { handleError(error: Error, connection?: unknown): void }, hold: Lost, unknown: () => boolean): void {
  const tell = submittable.handleError.bind(submittable)
  submittable.handleError = (error, connection) => {
    tell(hold.connection.usable || sqlstateOf(error) !== null ? error : lossOf(hold, unknown(), error), connection)
  }
}
