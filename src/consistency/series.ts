// consistency/series.ts — placeholder contract; see CONSISTENCY §2.5. Owned by the consistency room.
import type { Lsn } from './lsn.js'

/** One primary sample: its position at `sentAt` or later was at least `lsn`. */
export interface Sample {
  readonly sentAt: number
  readonly lsn: Lsn
}

/** Monotone samples of one primary on one timeline, oldest first. */
export interface SampleSeries {
  readonly samples: readonly Sample[]
}
