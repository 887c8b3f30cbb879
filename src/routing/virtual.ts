// routing/virtual.ts — partitions and shards that are only tried. A statement is planned with their rules live; where that is
// refused, and homes that are only logged are the reason, it is planned again with those taken for what they are, tables of
// one server, and the plan says what it crossed. A rollout holds for a share of the shapes, the same ones everywhere.
import type { DatabaseConfig } from '../config/config.js'
import type { Crossing } from '../observe/crossing.js'
import { crossingAs, crossingOf } from './crossing.js'
import type { OnePlan, Plan, RefusePlan } from './plan.js'
import { why } from './rules.js'

/** Labels of virtual homes, as they stand for one shape. */
export interface Standing {
  /** As if they were not configured. */
  readonly off: ReadonlySet<string>
  /** Those, and the ones whose crossings are only logged. */
  readonly relaxed: ReadonlySet<string>
}

const nothing: ReadonlySet<string> = new Set()
export const nothingVirtual: Standing = { off: nothing, relaxed: nothing }

export function standing({ virtual }: DatabaseConfig, shapeKey: string): Standing {
  if (virtual.size === 0) return nothingVirtual
  const off = new Set<string>()
  const relaxed = new Set<string>()
  for (const [label, { mode, rollout }] of virtual) {
    if (mode === 'off') off.add(label)
    if (mode !== 'refuse' || percentile(`${label} ${shapeKey}`) >= rollout) relaxed.add(label)
  }
  return { off, relaxed }
}

/** 0 to 99, of the text alone (FNV-1a): every process and both doors find the same. */
function percentile(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash ^= hash >>> 15
  return ((Math.imul(hash, 0x85ebca6b) >>> 8) & 0xffff) % 100
}

/** What comes of a strict plan and, where that is refused, of the relaxed one. */
export function tried(database: DatabaseConfig, strict: Plan, relaxed: () => Plan): Plan {
  if (strict.kind === 'scatter') return orStrict(strict, relaxed())
  if (strict.kind !== 'refuse' || strict.lookup !== undefined) return strict
  const run = relaxed()
  if (run.kind !== 'one') return run
  return logged(run, strict, crossingOf(strict, database) ?? crossingAs('session', strict, database))
}

/** One server has all of it yet, and needs no merging. */
function orStrict(strict: Plan, run: Plan): Plan {
  return run.kind === 'one' ? run : strict
}

const made = new WeakMap<OnePlan, { readonly reason: string; readonly plan: OnePlan }>()

/** The same object for the same two, as long as they alternate with no others: who counts does so by identity. */
function logged(run: OnePlan, strict: RefusePlan, crossing: Crossing): OnePlan {
  const known = made.get(run)
  if (known?.reason === strict.message) return known.plan
  const plan = Object.freeze({
    ...run,
    crossing,
    why: Object.freeze([why('virtual-crossing', `${crossing.kind}: ${strict.message}`), ...run.why]),
  })
  made.set(run, { reason: strict.message, plan })
  return plan
}
