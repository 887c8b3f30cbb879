// pool/shape-book.ts — what was learned of statements by running them: how long each shape takes and how much it answers,
// with decay, so that what was slow once may become fast again, and the other way round. A shape proves itself on
// connections of its own before it may share one; what has kept others waiting is barred, for longer each time.
// Pure, and free of any door: times arrive as arguments (process-monotonic ms).
import { LRUCache } from 'lru-cache'
import type { LanesConfig } from '../config/config.js'

export type Barred = 'stalled' | 'too large' | 'writes'

/** One shape on one cluster. Whoever runs it often keeps the object; it is changed in place. */
export interface ShapeRecord {
  readonly cluster: string
  /** Shape.id. */
  readonly shape: number
  /** How often it was measured, since it was barred last. */
  runs: number
  /** Service time, a decaying mean that leans to the least, ms. */
  ms: number
  /** Bytes of its replies, a decaying mean that leans to the most. */
  bytes: number
  /** How often it was barred, of late. */
  bars: number
  barredUntil: number
  barred: Barred | null
  /** So many good runs until its batches may share a Sync with others' again. */
  alone: number
}

/** Runs on connections of its own before a shape may share one. */
export const proofRuns = 5
/**
 * Weight of a measurement that is below what was thought, and of one that is above. What is measured is the server's time and
 * the time that this process took to look: under load the least is nearer to the truth, and what is truly slow has no such runs.
 */
const weightBelow = 1 / 4
const weightAbove = 1 / 64
/** A shape is fast if its service time is below this share of `stall`. */
const fastShare = 1 / 2
/** After so many runs since it was barred last, that is forgotten: what it met was the machine's fault, not its own. */
const forgivenRuns = 1_000
/** The first bar; four times as long each time, as long as it is not forgiven. */
const firstBarMs = 50
const longestBarMs = 3_600_000
const maxRecords = 10_000
const aloneRuns = 256

export type LaneLimits = Pick<LanesConfig, 'stallMs' | 'maxResultBytes'>

export class ShapeBook {
  readonly #records = new LRUCache<string, ShapeRecord>({ max: maxRecords })

  /** The record of a shape; made where there is none. */
  of(cluster: string, shape: number): ShapeRecord {
    const key = `${String(shape)} ${cluster}`
    let record = this.#records.get(key)
    if (record === undefined) {
      record = { cluster, shape, runs: 0, ms: 0, bytes: 0, bars: 0, barredUntil: -Infinity, barred: null, alone: 0 }
      this.#records.set(key, record)
    }
    return record
  }

  all(): IterableIterator<ShapeRecord> {
    return this.#records.values()
  }
}

/** One more run that was answered: `ms` from being sent (or from reaching the head of its lane) to its end. */
export function measure(record: ShapeRecord, ms: number, bytes: number): void {
  record.runs += 1
  if (record.alone > 0) record.alone -= 1
  record.ms = record.runs === 1 ? ms : towards(record.ms, ms, weightBelow, weightAbove)
  record.bytes = record.runs === 1 ? bytes : towards(record.bytes, bytes, weightAbove, weightBelow)
}

/** Whether it may share a connection now. */
export function isProved(record: ShapeRecord, { stallMs, maxResultBytes }: LaneLimits, now: number): boolean {
  if (record.runs < proofRuns || record.ms > stallMs * fastShare || record.bytes > maxResultBytes) return false
  return record.barred === null || now >= record.barredUntil
}

/** It kept others waiting, or was none of what it was taken for. It proves itself anew when the bar is over. */
export function bar(record: ShapeRecord, reason: Barred, now: number): void {
  if (record.runs >= forgivenRuns) record.bars = 0
  record.barred = reason
  record.barredUntil = reason === 'writes' ? Infinity : now + Math.min(longestBarMs, firstBarMs * 4 ** Math.min(record.bars, 20))
  record.bars += 1
  record.runs = 0
  record.ms = 0
  record.bytes = 0
}

/** It failed where others shared its Sync, who had to be run again; or one of them was slow, and nobody knows which. */
export function keepAlone(record: ShapeRecord): void {
  record.alone = aloneRuns
}

function towards(value: number, measured: number, below: number, above: number): number {
  return value + (measured - value) * (measured < value ? below : above)
}
