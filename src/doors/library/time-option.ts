// doors/library/time-option.ts — durations as options take them: `'2s'`, or a number of milliseconds.
import { parseDuration } from '../../consistency/duration.js'

/** Throws TypeError for what is none. */
export function timeOption(name: string, value: string | number): number {
  const ms = typeof value === 'number' ? value : parseDuration(value)
  if (ms !== null && Number.isFinite(ms) && ms >= 0) return ms
  throw new TypeError(`option ${name} must be a duration such as '200ms' or '5s', or a number of milliseconds`)
}
