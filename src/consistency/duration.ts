// consistency/duration.ts — durations as people write them: `5s`, `200ms`, `1m`, `1.5h`. A bare number is refused,
// since nobody can tell its unit; only 0 needs none. The same in config, comments and SET.

const milliseconds: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A JSON-schema pattern of what parseDuration() reads. */
export const durationPattern: RegExp = /^(0|[0-9]{1,12}(\.[0-9]{1,6})? ?(ms|s|m|h|d))$/

/** Text → milliseconds; null if it is not a duration, or longer than a century. */
export function parseDuration(text: string): number | null {
  const trimmed = text.trim()
  if (!durationPattern.test(trimmed)) return null
  if (trimmed === '0') return 0
  const unit = /[a-z]+$/.exec(trimmed)?.[0] ?? ''
  const ms = Number.parseFloat(trimmed) * (milliseconds[unit] ?? Number.NaN)
  return ms <= 100 * 365 * 86_400_000 ? ms : null
}

/** Milliseconds → the shortest exact spelling: 5000 → `5s`, 1500 → `1500ms`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0'
  for (const unit of ['d', 'h', 'm', 's']) {
    const size = milliseconds[unit] ?? 1
    if (ms >= size && ms % size === 0) return `${String(ms / size)}${unit}`
  }
  return `${String(ms)}ms`
}
