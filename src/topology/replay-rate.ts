// topology/replay-rate.ts — how fast a replica replays, seen from its positions: only between two of them with nothing
// lost between, and only while it had something to replay, or its idle time would pass for slowness.
import type { Position } from '../consistency/position.js'
import { lastSampleAtOrBefore, type SampleSeries } from '../consistency/series.js'
import type { NodeState } from './node-state.js'

/** A rate from so long ago, in ms, counts for a third of what it did. */
const MEMORY_MS = 2_000
/** The same while it stands still: paused, or held by a conflict, it soon has no pace at all. */
const STILL_MEMORY_MS = 250
/** Slower than this, in bytes per ms, is standing still. */
const SLOWEST = 0.001

/** Bytes per ms after one more answer; null: never seen behind since it was started. */
export function replayRate(before: NodeState, after: NodeState, series: SampleSeries): number | null {
  const [old, now] = [before.position, after.position]
  if (now === null || after.evidence?.role !== 'replica') return null
  if (old === null || !sameRun(old, now)) return null
  const known = before.replayRate
  const ms = now.sentAt - old.sentAt
  if (ms <= 0 || now.lsn < old.lsn || !behind(series, old)) return known
  const seen = Number(now.lsn - old.lsn) / ms
  // It arrived somewhere in between: so fast at least.
  if (!behind(series, now)) return known === null ? seen : Math.max(known, seen)
  if (known === null || known === 0) return seen
  const rate = known + (1 - Math.exp(-ms / (seen === 0 ? STILL_MEMORY_MS : MEMORY_MS))) * (seen - known)
  return rate < SLOWEST ? 0 : rate
}

function sameRun(a: Position, b: Position): boolean {
  return a.connectedAt === b.connectedAt && a.postmasterStart === b.postmasterStart && a.timeline === b.timeline
}

/** The primary was further already when this was asked. */
function behind(series: SampleSeries, position: Position): boolean {
  return (lastSampleAtOrBefore(series, position.sentAt)?.lsn ?? 0n) > position.lsn
}
