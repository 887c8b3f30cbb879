// doors/library/route-hints.ts — per-query options take the place of a hint comment in the text: the same precedence, the
// same checks, the same words in the plan. Where the text has a comment too, the two must not differ.
import { parseDuration } from '../../consistency/duration.js'
import type { Hints, Understood } from '../../sql/statement.js'
import type { RouteOptions } from './public.js'

const levels: ReadonlySet<unknown> = new Set(['strong', 'session', 'bounded', 'any'])

/** The same text with the options added to its hints; the same object where there are none. */
export function withRouteOptions(understood: Understood, options: RouteOptions): Understood {
  const { consistency, maxStaleness, shardKey } = options
  if (consistency === undefined && maxStaleness === undefined && shardKey === undefined) return understood
  const problems: string[] = [...(understood.hints?.problems ?? [])]
  const said = read(options, problems)
  const text = understood.hints
  const merge = <T>(name: string, comment: T | null | undefined, option: T | null): T | null => {
    if (comment !== null && comment !== undefined && option !== null && comment !== option) {
      problems.push(`${name} is given twice with different values, in the text's comment and as an option`)
    }
    return option ?? comment ?? null
  }
  const hints: Hints = {
    consistency: merge('consistency', text?.consistency, said.consistency),
    maxStalenessMs: merge('max_staleness', text?.maxStalenessMs, said.maxStalenessMs),
    shardKey: merge('shard_key', text?.shardKey, said.shardKey),
    cluster: text?.cluster ?? null,
    stickyWrites: text?.stickyWrites ?? null,
    explain: text?.explain ?? false,
    problems,
  }
  return { ...understood, hints }
}

function read(options: RouteOptions, problems: string[]): Pick<Hints, 'consistency' | 'maxStalenessMs' | 'shardKey'> {
  const { consistency, shardKey } = options
  const bounded = typeof consistency === 'object'
  const staleness = bounded ? consistency.maxStaleness : options.maxStaleness
  const level = bounded ? 'bounded' : (consistency ?? null)
  if (level !== null && !levels.has(level)) problems.push('option consistency must be strong, session, bounded or any')
  return {
    consistency: levels.has(level) ? level : null,
    maxStalenessMs: staleness === undefined ? null : milliseconds(staleness, problems),
    shardKey: shardKey === undefined ? null : String(shardKey),
  }
}

function milliseconds(value: string | number, problems: string[]): number | null {
  const ms = typeof value === 'number' ? value : parseDuration(value)
  if (ms !== null && Number.isFinite(ms) && ms >= 0) return ms
  problems.push("option maxStaleness must be a duration such as '200ms' or '5s', or a number of milliseconds")
  return null
}
