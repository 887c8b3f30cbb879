// execute/create-executor.ts — from a plan to a leased connection that is proved to be good for it.
//
//   write, strong ─▶ primary.ts: the proved primary, waiting for one in turn up to failover.wait
//   read ─▶ replicas.ts: one that meets the policy: asked of the node, then of the leased connection
//             none ─▶ ladder.ts: the rungs of on_unmet, in order
//
// Every round looks at the newest topology and asks the requirement anew, so that choosing again is the only retry.
import type { Lease, PooledConnection } from '../pool/contract.js'
import type { AcquireRequest, Grant, GrantWaiter } from './contract.js'
import type { Executor } from './executor.js'
import { climb } from './ladder.js'
import type { ExecutorParts } from './parts.js'
import { place } from './place.js'
import { primaryAtOnce, primaryOf, primaryOrFail } from './primary.js'
import { readOnlyRefusal } from './read-only.js'
import { admittedNow, meets, onlyPrimaries, replica, replicaAtOnce } from './replicas.js'
import { Search, type Still } from './search.js'
import { WaitingLines } from './waiting-line.js'

export type { ExecutorParts }

/** The executor of one generation. */
export function createExecutor<C extends PooledConnection>(parts: ExecutorParts<C>): Executor<C> {
  const lines = new WaitingLines(parts.monitor)
  const search = (request: AcquireRequest<C>, still: Still | null): Search<C> => {
    const { cluster: id } = request.plan
    const cluster = parts.config.clusters.get(id)
    if (cluster === undefined) throw new RangeError(`no cluster ${id} in the configuration`)
    return new Search(parts, cluster, lines, request, still)
  }
  const look = (now = parts.now()): Still => ({ topology: parts.monitor.current(now), now })
  return {
    acquire: async (request) => {
      request.signal.throwIfAborted()
      return run(search(request, null))
    },
    // One look for the whole decision: cheaper, and nothing in it may change under way.
    tryAcquire: (request) => atOnce(search(request, look())),
    take: (request, waiter) => {
      const searched = search(request, look())
      const grant = request.signal.aborted ? null : atOnce(searched)
      if (grant === null) soon(searched, waiter)
      return grant
    },
    place: (request, now) => place(search(request, look(now))),
    meets: (request, lease) => meets(search(request, look()), lease),
    refusal: (plan) => (plan.writes ? readOnlyRefusal(parts.config.clusters.get(plan.cluster), parts.switches) : null),
  }
}

/** A server that has not answered by then is taken for one that is not there, ms. */
const lookMs = 1_000

async function run<C extends PooledConnection>(search: Search<C>): Promise<Grant<C>> {
  if (search.request.plan.role === 'primary' || search.asked().kind === 'primary') return primaryOrFail(search, 'first')
  search.tellWanted()
  const grant = await replica(search, 'first')
  if (grant !== null) return grant
  await lookAround(search)
  // A primary all by itself is no spill: there is nobody to spare it, or to wait for.
  return onlyPrimaries(search) ? primaryOrFail(search, 'first') : climb(search)
}

/**
 * A token may come from a process that saw a promotion earlier than this one, whose primary is then an old one and lacks what
 * the token speaks of. Every server is asked before that primary is; a token that is wrong costs its owner this one look.
 */
async function lookAround<C extends PooledConnection>(search: Search<C>): Promise<void> {
  const asked = search.asked()
  if (asked.kind !== 'unmet' || !asked.elsewhere) return
  const looks = search.nodes().map(({ id }) => search.parts.monitor.checkNow(search.cluster.id, id))
  await search.limited(
    Promise.all(looks).then(() => undefined),
    lookMs,
  )
}

/** run() without anything that waits. */
function atOnce<C extends PooledConnection>(search: Search<C>): Grant<C> | null {
  if (search.request.plan.role === 'primary') return primaryAtOnce(search)
  const asked = search.asked()
  if (asked.kind === 'primary') return primaryAtOnce(search)
  search.tellWanted()
  if (!onlyPrimaries(search)) return replicaAtOnce(search, asked)
  return asked.kind === 'unmet' && asked.elsewhere ? null : primaryAtOnce(search)
}

/** After atOnce() gave nothing: waits for the one pool that it would have taken a connection of; where it was not that, all of run(). */
function soon<C extends PooledConnection>(search: Search<C>, waiter: GrantWaiter<C>): void {
  const { full, request } = search
  search.waits()
  if (full === null || request.signal.aborted) {
    later(search, waiter)
    return
  }
  const { node, fits } = full
  const leased = (lease: Lease<C>): void => {
    // Asked again, of what is known now: it may have waited for long.
    const grant = node.role === 'primary' ? primaryOf(search, lease) : admittedNow(search, lease)
    if (grant === null) later(search, waiter)
    else waiter.granted(grant)
  }
  search.leaseSoon(node, fits, leased, (error) => {
    if (error === null) later(search, waiter)
    else waiter.failed(error)
  })
}

function later<C extends PooledConnection>(search: Search<C>, waiter: GrantWaiter<C>): void {
  const { signal } = search.request
  if (signal.aborted) waiter.failed(signal.reason)
  else
    void run(search).then(
      (grant) => waiter.granted(grant),
      (error: unknown) => waiter.failed(error),
    )
}
