// config/build-reads.ts — `reads`: the overrides that resolvePolicy() works with.
import { parseDuration } from '../consistency/duration.js'
import { firstUnreachable, parseLadderStep } from '../consistency/ladder.js'
import type { LadderStep, PolicyOverride } from '../consistency/policy.js'
import { resolvePolicy } from '../consistency/resolve-policy.js'
import { ms } from './build-doors.js'
import type { ReadsConfig } from './config.js'
import type { Context } from './context.js'
import type { Partly, PolicyInput, ReadsInput } from './input.js'
import type { Path } from './locator.js'
import { tableFrom } from './table-from.js'

export function buildReads(context: Context, path: Path, input: Partly<ReadsInput> = {}): ReadsConfig {
  const base = buildPolicy(context, [...path, 'default'], input.default ?? {}, {})
  const users = new Map<string, PolicyOverride>()
  for (const [name, policy] of Object.entries(input.users ?? {})) {
    if (policy !== undefined) users.set(name, buildPolicy(context, [...path, 'users', name], policy, base))
  }
  const tables = new Map<string, PolicyOverride & { readonly enforce: boolean }>()
  for (const [name, policy] of Object.entries(input.tables ?? {})) {
    const place = [...path, 'tables', name]
    const table = tableFrom(context, place, name, 'key')
    if (policy === undefined || table === null) continue
    if (tables.has(table))
      context.findings.problem({
        path: place,
        at: 'key',
        found: name,
        allowed: 'each table once',
        message: `table ${table} is listed twice`,
      })
    tables.set(table, { ...buildTablePolicy(context, place, policy, base), enforce: policy.enforce ?? false })
  }
  return { default: base, users, tables }
}

/** Of tables that are named, or of a partition's. */
export function buildTablePolicy(context: Context, path: Path, input: Partly<PolicyInput>, below: PolicyOverride): PolicyOverride {
  const built = buildPolicy(context, path, input, below)
  warnUnusedCache(context, path, built, below)
  return built
}

// `below`: what the database's default says, which fills what this level leaves out.
function buildPolicy(context: Context, path: Path, input: Partly<PolicyInput>, below: PolicyOverride): PolicyOverride {
  const staleness = input.max_staleness === undefined ? null : parseDuration(String(input.max_staleness))
  const ladder = buildLadder(context, [...path, 'on_unmet'], input.on_unmet)
  if (input.consistency === 'bounded' && input.max_staleness === undefined && below.maxStalenessMs === undefined) {
    context.findings.missing({
      path: [...path, 'max_staleness'],
      allowed: 'max_staleness: 5s, or another consistency',
      message: 'consistency: bounded needs max_staleness',
    })
  }
  return {
    ...(input.consistency === undefined ? {} : { consistency: input.consistency }),
    ...(staleness === null ? {} : { maxStalenessMs: staleness }),
    ...(ladder === null ? {} : { onUnmet: ladder }),
    ...(input.cut_off === undefined ? {} : { cutOff: input.cut_off }),
    ...(input.cache === undefined ? {} : { cacheMs: ms(input.cache, 0) }),
    ...maxTxAge(context, [...path, 'max_tx_age'], input.max_tx_age),
  }
}

function maxTxAge(context: Context, path: Path, input: string | 0 | undefined): Pick<PolicyOverride, 'maxTxAgeMs'> {
  if (input === undefined) return {}
  const value = ms(input, 0)
  if (value > 0 && value < 10) {
    context.findings.problem({ path, allowed: 'at least 10ms, or 0 for no limit', message: 'no transaction could end within this' })
  }
  return { maxTxAgeMs: value }
}

// Results of reads that need the primary are never kept.
function warnUnusedCache(context: Context, path: Path, policy: PolicyOverride, below: PolicyOverride): void {
  if ((policy.cacheMs ?? 0) === 0 || resolvePolicy([policy, below]).consistency !== 'strong') return
  context.findings.warning({
    path: [...path, 'cache'],
    at: 'key',
    allowed: 'cache with consistency: session, bounded or any',
    message: 'reads here are strong, so their results are never kept',
  })
}

function buildLadder(
  context: Context,
  path: Path,
  input: string | readonly (string | undefined)[] | undefined,
): readonly LadderStep[] | null {
  if (input === undefined) return null
  const texts = typeof input === 'string' ? [input] : input
  const steps = texts.flatMap((text) => (text === undefined ? [] : (parseLadderStep(text) ?? [])))
  const dead = texts.includes(undefined) ? -1 : firstUnreachable(steps)
  if (dead !== -1) {
    context.findings.problem({
      path: typeof input === 'string' ? path : [...path, dead],
      allowed: '"stale", "error" and "primary" without a number only as the last step',
      message: `this step is never reached: ${JSON.stringify(texts[dead - 1])} before it always gives the answer`,
    })
  }
  return steps.length === 0 ? null : steps
}
