// consistency/behind.ts — why no replica meets a read, in numbers: what is needed, how far the best one has come, how far
// that is behind in bytes and, where it is proved, in time, and about when it will be there at the pace of its replay.
import type { ReadUnmet } from '../errors/error.js'
import { formatLsn } from './lsn.js'
import { stalenessOf, type ClusterView, type Position } from './position.js'
import type { Requirement } from './requirement.js'

/** The replica that has come furthest, as topology's NodeSnapshot tells it. */
export interface BestReplica {
  readonly id: string
  readonly position: Position | null
  /** Bytes per ms; null: not known. */
  readonly replayRate: number | null
}

export interface Unmet {
  readonly details: ReadUnmet
  /** `the best, b:5432, is 4096 bytes behind …` */
  readonly why: string
  readonly detail: string
  readonly hint: string
}

/** `best` null: no replica can be reached. `now`: process-monotonic ms. */
export function readUnmet(cluster: ClusterView, asked: Requirement, best: BestReplica | null, now: number): Unmet {
  const details = measure(cluster, asked, best, now)
  return { details, why: reason(asked, best, details), detail: detail(details), hint: hint(details) }
}

function measure(cluster: ClusterView, asked: Requirement, best: BestReplica | null, now: number): ReadUnmet {
  const position = best?.position ?? null
  const needed = asked.kind === 'floor' ? asked.lsn : null
  const comparable = position !== null && asked.kind === 'floor' && position.timeline === asked.timeline
  const bytes = comparable && needed !== null && needed > position.lsn ? Number(needed - position.lsn) : null
  const rate = best?.replayRate ?? null
  return {
    cluster: cluster.id,
    node: best?.id ?? null,
    neededLsn: needed === null ? null : formatLsn(needed),
    bestLsn: position === null ? null : formatLsn(position.lsn),
    behindBytes: bytes,
    staleMs: stalenessOf(cluster, position, now),
    etaMs: bytes === null || rate === null || rate <= 0 ? null : Math.ceil(bytes / rate),
  }
}

function reason(asked: Requirement, best: BestReplica | null, { neededLsn, bestLsn, behindBytes, staleMs }: ReadUnmet): string {
  if (asked.kind === 'unmet') return asked.reason
  if (best === null || asked.kind !== 'floor') return 'no replica can be reached'
  if (best.position === null) return `the position of ${best.id} is unknown`
  if (best.position.timeline !== asked.timeline) return `${best.id} is not known to be on timeline ${String(asked.timeline)}`
  if (behindBytes === null) return `no connection to ${best.id} is proved to be at ${String(neededLsn)}`
  const time = staleMs === null ? '' : ` (at most ${duration(staleMs)})`
  return `the best, ${best.id}, is at ${String(bestLsn)}, ${String(behindBytes)} bytes${time} short of the ${String(neededLsn)} that is needed`
}

function detail({ node, neededLsn, bestLsn, behindBytes, staleMs, etaMs }: ReadUnmet): string {
  const facts = [
    `needed: ${neededLsn ?? 'not known yet'}`,
    `best replica: ${node ?? 'none'}`,
    `at: ${bestLsn ?? 'unknown'}`,
    `behind: ${behindBytes === null ? 'unknown' : `${String(behindBytes)} bytes`}`,
    `stale: ${staleMs === null ? 'unknown' : `at most ${duration(staleMs)}`}`,
    `estimated wait: ${etaMs === null ? 'unknown' : duration(etaMs)}`,
  ]
  return facts.join('; ')
}

function hint({ etaMs }: ReadUnmet): string {
  const way = 'Allow `primary` or `stale` in on_unmet, or a larger max_staleness.'
  return etaMs === null ? way : `Try again in about ${duration(etaMs)}. ${way}`
}

function duration(ms: number): string {
  return ms < 1_000 ? `${String(Math.ceil(ms))} ms` : `${(ms / 1_000).toFixed(1)} s`
}
