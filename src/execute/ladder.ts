// execute/ladder.ts — what a read gets that no replica meets: the rungs of its policy's on_unmet, in order. Where operators
// allow older answers for a while (ALLOW STALE), that comes after waiting and before the primary is burdened.
//
//   wait ── [degraded] ── primary ── stale ── error
//
// `primary` is waited for only where nothing comes after it; a rung below it is there to be used.
import { PointsmanError } from '../errors/error.js'
import { readUnmet } from '../consistency/behind.js'
import type { LadderStep } from '../consistency/policy.js'
import type { Requirement } from '../consistency/requirement.js'
import type { PooledConnection } from '../pool/contract.js'
import type { NodeSnapshot } from '../topology/topology.js'
import { changedWithin } from './changed-within.js'
import type { Grant } from './contract.js'
import { primary, primaryOrFail } from './primary.js'
import { anyReplica, degradedReplica, replica, replicasOf } from './replicas.js'
import type { Search } from './search.js'

type Rung = LadderStep | { readonly step: 'degraded' }

/** A session whose own mark keeps sending it to the primary waits this long for the sample that ends that (CONSISTENCY §2.3 W0). */
const impatientMs = 50
/** Between the first two askings of a replica that a read waits for; doubles from there. */
const firstPauseMs = 2

/** Rejects with `read_unmet`, or with what the last rung rejects with. */
export async function climb<C extends PooledConnection>(search: Search<C>): Promise<Grant<C>> {
  const rungs = rungsOf(search, search.asked())
  for (const [index, rung] of rungs.entries()) {
    const allowed = rung.step === 'degraded' ? search.parts.switches.allowStale(search.cluster.id) : null
    if (rung.step === 'degraded' && allowed === null) continue
    const { policy, cluster } = search.request.plan
    search.parts.observer.emit('read.unmet', { cluster, policy: policy.consistency, step: rung.step })
    const grant = await (rung.step === 'degraded'
      ? degradedReplica(search, allowed?.maxMs ?? 0)
      : onRung(search, rung, index === rungs.length - 1))
    if (grant !== null) return grant
  }
  throw unmet(search)
}

function rungsOf<C extends PooledConnection>(search: Search<C>, asked: Requirement): readonly Rung[] {
  const { policy } = search.request.plan
  const rungs: Rung[] = [...policy.onUnmet]
  if (asked.kind === 'unmet' && rungs[0]?.step !== 'wait') {
    if (asked.impatient) rungs.unshift({ step: 'wait', ms: impatientMs })
    // Nobody waits for the answer, but the next read of this session should find the mark resolved.
    else void askNow(search)
  }
  if (policy.enforced) return rungs
  const afterWaiting = rungs.findIndex(({ step }) => step !== 'wait')
  return rungs.toSpliced(afterWaiting < 0 ? rungs.length : afterWaiting, 0, { step: 'degraded' })
}

function onRung<C extends PooledConnection>(search: Search<C>, rung: LadderStep, last: boolean): Promise<Grant<C> | null> {
  switch (rung.step) {
    case 'wait':
      return waited(search, rung.ms)
    case 'primary':
      return spilled(search, rung.limit, last)
    case 'stale':
      return anyReplica(search)
    case 'error':
      return Promise.reject(unmet(search))
  }
}

/**
 * Asks on the spot, and again after growing pauses or whenever the monitor publishes: a replica that streams is there a
 * few milliseconds after the first asking, long before the next sample that comes by itself. Sessions share the asking.
 */
async function waited<C extends PooledConnection>(search: Search<C>, ms: number): Promise<Grant<C> | null> {
  const { now, monitor } = search.parts
  const deadline = now() + ms
  for (let pause = firstPauseMs; ; pause *= 2) {
    await search.limited(askNow(search), Math.max(0, deadline - now()))
    const seen = monitor.current()
    const grant = await replica(search, 'wait')
    if (grant !== null) return grant
    const left = deadline - now()
    if (left <= 0) return null
    if (monitor.current() !== seen) continue
    // Where the server waits by itself it is asked again when it is there, and not before.
    await changedWithin(monitor, serverWaits(search, left) ? left : Math.min(pause, left), search.request.signal)
  }
}

function serverWaits<C extends PooledConnection>(search: Search<C>, ms: number): boolean {
  const asked = search.asked()
  const best = furthest(replicasOf(search), asked)
  return asked.kind === 'floor' && best !== null && search.parts.monitor.waitFor(search.cluster.id, best.id, asked.lsn, ms)
}

async function askNow<C extends PooledConnection>(search: Search<C>): Promise<void> {
  const { monitor } = search.parts
  const before = search.asked()
  if (before.kind === 'unmet') await monitor.sampleNow(search.cluster.id)
  const asked = search.asked()
  const best = furthest(replicasOf(search), asked)
  const checked = best === null ? null : monitor.checkNow(search.cluster.id, best.id)
  // What only a token says a replica may have already; if it says too much, the primary's next sample cuts it down.
  if (asked.kind === 'floor' && asked.claimed) await monitor.sampleNow(search.cluster.id)
  await checked
}

/** On the primary, as one of at most `limit`. Where nothing else is left it is waited for, or for a replica that comes to meet the read. */
async function spilled<C extends PooledConnection>(search: Search<C>, limit: number | null, last: boolean): Promise<Grant<C> | null> {
  const end = search.parts.load.spill(search.cluster.id, limit)
  if (end === null) return null
  let held = false
  try {
    const grant = last
      ? await primaryOrFail(search, 'primary', [end], () => replica(search, 'wait'))
      : await primary(search, 'primary', [end])
    held = grant?.route.role === 'primary'
    return grant
  } finally {
    if (!held) end()
  }
}

function unmet<C extends PooledConnection>(search: Search<C>): PointsmanError {
  const asked = search.asked()
  const best = furthest(replicasOf(search), asked)
  const { why, details, detail, hint } = readUnmet(search.snapshot, asked, best, search.parts.now())
  return new PointsmanError('read_unmet', { values: { cluster: search.cluster.id, why }, details, detail, hint, cause: search.lastError })
}

/** The replica that has come furthest: of those asked for by name, only that one. */
function furthest(nodes: readonly NodeSnapshot[], asked: Requirement): NodeSnapshot | null {
  const only = asked.kind === 'floor' ? (asked.same?.node ?? null) : null
  let best: NodeSnapshot | null = null
  for (const node of nodes) {
    if (only !== null && node.id !== only) continue
    if (best === null || (node.position?.lsn ?? -1n) > (best.position?.lsn ?? -1n)) best = node
  }
  return best
}
