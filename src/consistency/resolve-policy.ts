// consistency/resolve-policy.ts — several levels of overrides → the one policy of a read (DESIGN §3 "Precedence").
// Each field takes the first answer in the order given; what nobody says is strong, without bound, on_unmet [primary].
// Everything here errs to the strict side: a policy that says `bounded` but nowhere a bound is strong.
import { readPolicy, type Consistency, type LadderStep, type PolicyOverride, type ReadPolicy } from './policy.js'

// How much a level promises by itself. A bound adds to any of them, so session with a bound covers bounded.
const rank: Readonly<Record<Consistency, number>> = { any: 0, bounded: 1, session: 2, strong: 3 }

/**
 * The policy of one table (or of a statement without tables). `levels`: most important first (transaction, comment,
 * SET LOCAL, SET, user, table, database). `enforcedFrom`: index of the first level that hints cannot weaken (the table's,
 * where it says `enforce`): the result is never less strict than what the levels from there on give alone; null: none.
 */
export function resolvePolicy(levels: readonly PolicyOverride[], enforcedFrom: number | null = null): ReadPolicy {
  const policy = firstAnswers(levels)
  return enforcedFrom === null ? policy : { ...strictest(policy, firstAnswers(levels.slice(enforcedFrom))), enforced: true }
}

function firstAnswers(levels: readonly PolicyOverride[]): ReadPolicy {
  const boundAt = levels.findIndex((level) => level.maxStalenessMs !== undefined)
  const saidAt = levels.findIndex((level) => level.consistency !== undefined)
  const maxStalenessMs = levels[boundAt]?.maxStalenessMs ?? null
  const said = levels[saidAt]?.consistency ?? 'strong'
  // A bound given alone, above the level that says strong (or above nobody saying anything), means bounded.
  const alone = boundAt !== -1 && (saidAt === -1 || boundAt < saidAt)
  const meant = said === 'strong' && alone ? 'bounded' : said
  const consistency = meant === 'bounded' && maxStalenessMs === null ? 'strong' : meant
  const ladder = levels.find((level) => level.onUnmet !== undefined && level.onUnmet.length > 0)?.onUnmet
  const cacheMs = levels.find((level) => level.cacheMs !== undefined)?.cacheMs ?? 0
  const maxTxAgeMs = levels.find((level) => level.maxTxAgeMs !== undefined)?.maxTxAgeMs ?? 0
  const cutOff = levels.find((level) => level.cutOff !== undefined)?.cutOff
  return readPolicy({
    consistency,
    maxStalenessMs,
    ...(ladder === undefined ? {} : { onUnmet: ladder }),
    ...(cutOff === undefined ? {} : { cutOff }),
    cacheMs: cacheMs === 0 ? null : cacheMs,
    maxTxAgeMs: maxTxAgeMs === 0 ? null : maxTxAgeMs,
  })
}

/** What satisfies both: the policy of a statement that reads several tables. */
export function strictest(a: ReadPolicy, b: ReadPolicy): ReadPolicy {
  const [strict, other] = rank[b.consistency] > rank[a.consistency] ? [b, a] : [a, b]
  const maxStalenessMs = tighter(a.maxStalenessMs, b.maxStalenessMs)
  return Object.freeze({
    consistency: strict.consistency,
    maxStalenessMs,
    onUnmet: bothAllow(strict.onUnmet, other.onUnmet),
    cutOff: a.cutOff === 'refuse' ? a.cutOff : b.cutOff,
    // Cached only where both allow it.
    cacheMs: a.cacheMs === null || b.cacheMs === null ? null : Math.min(a.cacheMs, b.cacheMs),
    maxTxAgeMs: tighter(a.maxTxAgeMs, b.maxTxAgeMs),
    enforced: a.enforced || b.enforced,
  })
}

function tighter(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b
  return Math.min(a, b)
}

// The stricter policy's ladder, with `stale` only where both allow it, and the smaller of two limits on the primary.
function bothAllow(ladder: readonly LadderStep[], other: readonly LadderStep[]): readonly LadderStep[] {
  const staleToo = other.some((step) => step.step === 'stale')
  const limit = other.find((step) => step.step === 'primary')?.limit ?? null
  const steps = ladder
    .filter((step) => step.step !== 'stale' || staleToo)
    .map((step) => (step.step === 'primary' ? { step: step.step, limit: tighter(step.limit, limit) } : step))
  return Object.freeze(steps.length === 0 ? [{ step: 'error' } as const] : steps)
}
