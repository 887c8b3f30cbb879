// config/build-reads.ts — `reads`: the overrides that resolvePolicy() works with.
import { parseDuration } from '../consistency/duration.js'
import { firstUnreachable, parseLadderStep } from '../consistency/ladder.js'
import type { LadderStep, PolicyOverride } from '../consistency/policy.js'
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
    tables.set(table, { ...buildPolicy(context, place, policy, base), enforce: policy.enforce ?? false })
  }
  return { default: base, users, tables }
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
  }
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
