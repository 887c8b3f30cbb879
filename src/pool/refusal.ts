// pool/refusal.ts — what those hear for whom there is no connection: how full the pool and its queue are, whose bound it was,
// and what may be done about it.
import { PointsmanError } from '../errors/error.js'
import type { Account, Party } from './account.js'

interface Names {
  readonly node: string
  readonly cluster: string
  /** Login to the server. */
  readonly user: string
}

interface Limits {
  readonly max: number
  readonly waitMs: number
  readonly queue: number
}

interface Numbers {
  readonly busy: number
  readonly opening: number
  readonly waiting: number
  readonly longestWaitMs: number
  /** Of the last opening, if that failed. */
  readonly lastError: string | null
}

/** A connection that is pinned comes back with its client's leaving, or when what pins it is gone: that is no matter of time. */
const whoKeeps = 'Who keeps one beyond a transaction, and why, is told by SHOW CLIENTS (pins).'

/** It has waited for as long as it may. */
export function outOfTime(names: Names, limits: Limits, numbers: Numbers, party: Party): PointsmanError {
  const bound = boundOf(party)
  const after = `within ${String(limits.waitMs)} ms`
  if (bound !== null) {
    return refused(
      `${bound}, and none of them was given back ${after}`,
      `Raise its max_connections, or hold connections for less time. ${whoKeeps}`,
    )
  }
  return refused(
    `${pool(names)} is full: ${state(limits, numbers)}, nothing came free ${after}${failure(numbers)}`,
    `Raise pool.max or pool.wait of the cluster, or hold connections for less time. ${whoKeeps}`,
  )
}

/** There is no place in the queue. */
export function queueFull(names: Names, limits: Limits, numbers: Numbers): PointsmanError {
  const oldest = `the oldest for ${String(Math.round(numbers.longestWaitMs))} ms`
  return refused(
    `the queue of ${pool(names)} is full: ${state(limits, numbers)} (pool.queue ${String(limits.queue)}), ${oldest}${failure(numbers)}`,
    `Try again later; raise pool.max or pool.queue of the cluster, or hold connections for less time. ${whoKeeps}`,
  )
}

function pool({ node, cluster, user }: Names): string {
  return `the pool of node ${node} of cluster ${cluster} for user ${user}`
}

function state({ max }: Limits, { busy, opening, waiting }: Numbers): string {
  return `${String(busy)} of ${String(max)} connections lent, ${String(opening)} opening, ${String(waiting)} waiting`
}

function failure({ lastError }: Numbers): string {
  return lastError === null ? '' : `; the last attempt to open one failed: ${lastError}`
}

/** Whose bound was in the way; null: nobody's. */
function boundOf({ user, database }: Party): string | null {
  if (user.room === 0) return held('user', user)
  return database.room === 0 ? held('database', database) : null
}

function held(kind: string, { name, held, max }: Account): string {
  return `${kind} "${name}" has ${String(held)} server connections, and may have ${String(max)} at once (max_connections)`
}

function refused(what: string, hint: string): PointsmanError {
  return new PointsmanError('too_many_connections', { values: { what }, hint })
}
