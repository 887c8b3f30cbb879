// consistency/series.ts — what is known of one primary's past: at `sentAt` (or later) its position was `lsn`, so every
// write acknowledged before `sentAt` ends at or before `lsn` (CONSISTENCY §2.5). A replica that has replayed `lsn` is
// therefore at most `now − sentAt` stale. `sentAt` is our clock BEFORE the query was sent: whatever the network and the
// event loop do after it can only make a sample too strict, never too kind. Leaving samples out is safe for the same reason.
//
//   |…one per 10 s…|……one per second……|all of the last 2 s| now
import { firstIndex } from './first-index.js'
import type { Lsn } from './lsn.js'

/** One primary sample: its position at `sentAt` or later was at least `lsn`. */
export interface Sample {
  /** Process-monotonic ms. */
  readonly sentAt: number
  /** Normalised insert position; with `lsn_source: flush` what was safe on disk; or a heartbeat. */
  readonly lsn: Lsn
  /** Nothing that was acknowledged lies beyond it, however it was committed; left out where that is `lsn`. */
  readonly insert?: Lsn
}

/** Monotone samples of one primary on one timeline, oldest first. */
export interface SampleSeries {
  readonly samples: readonly Sample[]
}

export const emptySeries: SampleSeries = Object.freeze({ samples: Object.freeze([]) })

const DENSE_MS = 2_000
const BY_SECOND_MS = 120_000
const KEPT_MS = 3_600_000

/**
 * The series with one more sample. One that was not sent after the last is left out. A position that went back (a primary
 * that crashed with an unwritten tail) starts the series anew: what was known before it says nothing of what survived.
 */
export function extendSeries(series: SampleSeries, sample: Sample): SampleSeries {
  const last = series.samples.at(-1)
  if (last !== undefined && sample.sentAt <= last.sentAt) return series
  if (last !== undefined && sample.lsn < last.lsn) return { samples: [sample] }
  return { samples: [...thin(series.samples, sample.sentAt), sample] }
}

/** Keeps the first sample of each second, then of each ten seconds; the buckets are fixed, so that a kept sample stays kept. */
function thin(samples: readonly Sample[], now: number): readonly Sample[] {
  const first = samples[0]
  if (first === undefined || now - first.sentAt <= DENSE_MS) return samples
  let bucket = NaN
  return samples.filter(({ sentAt }) => {
    const age = now - sentAt
    if (age <= DENSE_MS) return true
    if (age > KEPT_MS) return false
    const width = age <= BY_SECOND_MS ? 1_000 : 10_000
    const mine = Math.floor(sentAt / width) * width
    if (mine === bucket) return false
    bucket = mine
    return true
  })
}

/** The first sample sent at `time` or later: a replica that has replayed it misses nothing acknowledged before `time`. */
export function firstSampleAtOrAfter(series: SampleSeries, time: number): Sample | null {
  return series.samples[firstIndex(series.samples, (sample) => sample.sentAt >= time)] ?? null
}

/** The first sample sent later than `time`: what covers something that ended at `time`. */
export function firstSampleAfter(series: SampleSeries, time: number): Sample | null {
  return series.samples[firstIndex(series.samples, (sample) => sample.sentAt > time)] ?? null
}

/** The last sample sent at `time` or earlier: what the primary had come to by then, at least. */
export function lastSampleAtOrBefore(series: SampleSeries, time: number): Sample | null {
  return series.samples[firstIndex(series.samples, (sample) => sample.sentAt > time) - 1] ?? null
}

/** The last sample that a server at `lsn` has reached: it misses nothing acknowledged before that was sent. Same timeline only. */
export function lastSampleReached(series: SampleSeries, lsn: Lsn): Sample | null {
  return series.samples[firstIndex(series.samples, (sample) => sample.lsn > lsn) - 1] ?? null
}

/** At most how stale, in ms, a replica at `lsn` is at `now`; null where no sample proves anything. Same timeline only. */
export function boundOf(series: SampleSeries, lsn: Lsn, now: number): number | null {
  const proof = lastSampleReached(series, lsn)
  return proof === null ? null : Math.max(0, now - proof.sentAt)
}
