// doors/library/route-hints.ts — per-query options take the place of a hint comment in the text: the same precedence, the
// same checks, the same words in the plan. Where the text has a comment too, the two must not differ.
import { parseDuration } from '../../consistency/duration.js'
import type { Hints, Understood } from '../../sql/statement.js'
import type { RouteOptions } from './request-types.js'

const levels: ReadonlySet<unknown> = new Set(['strong', 'session', 'bounded', 'any'])

/**
 * The same text with the options added to its hints; the same object where there are none. `scope`: what the code around it
 * asks, where neither the options nor the text's comment say it. How fresh, as a whole, is one thing that is said.
 */
export function withRouteOptions(understood: Understood, options: RouteOptions, scope?: RouteOptions): Understood {
  const own = withOwnOptions(understood, options)
  if (scope === undefined) return own
  const hints = own.hints
  const fresh = hints === null || (hints.consistency === null && hints.maxStalenessMs === null)
  return withOwnOptions(own, {
    ...(fresh ? freshnessOf(scope) : {}),
    ...((hints?.shardKey ?? null) === null && scope.shardKey !== undefined ? { shardKey: scope.shardKey } : {}),
    ...((hints?.stickyWrites ?? null) === null && scope.stickyWrites !== undefined ? { stickyWrites: scope.stickyWrites } : {}),
  })
}

function freshnessOf({ consistency, maxStaleness }: RouteOptions): RouteOptions {
  return { ...(consistency === undefined ? {} : { consistency }), ...(maxStaleness === undefined ? {} : { maxStaleness }) }
}

function withOwnOptions(understood: Understood, options: RouteOptions): Understood {
  const { consistency, maxStaleness, shardKey, stickyWrites } = options
  if (consistency === undefined && maxStaleness === undefined && shardKey === undefined && stickyWrites === undefined) return understood
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
    stickyWrites: merge('sticky_writes', text?.stickyWrites, stickyWrites ?? null),
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
