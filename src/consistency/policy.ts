// consistency/policy.ts — what a read asks of the server that answers it (DESIGN §3 `reads`).

/** strong: primary only · session: read your writes, monotonic · bounded: only `maxStalenessMs` · any: whatever is up. */
export type Consistency = 'strong' | 'session' | 'bounded' | 'any'

/** One rung of `on_unmet`. `wait` asks the best replica once, on the spot, then waits; `limit` is null for no limit. */
export type LadderStep =
  | { readonly step: 'wait'; readonly ms: number }
  | { readonly step: 'primary'; readonly limit: number | null }
  | { readonly step: 'stale' }
  | { readonly step: 'error' }

export interface ReadPolicy {
  readonly consistency: Consistency
  /** Milliseconds, or null for no bound. Adds to any consistency; with `bounded` it is never null. */
  readonly maxStalenessMs: number | null
  /** Tried in order; past the end the answer is an error. Never empty: the default is [primary]. */
  readonly onUnmet: readonly LadderStep[]
  /** Whether a replica that is cut off from its primary may answer. Bounds and floors count all the same. */
  readonly cutOff: 'serve' | 'refuse'
  /** A result may be given again for so many milliseconds, as long as its age meets this policy; null: never. */
  readonly cacheMs: number | null
  /** A READ ONLY transaction on a replica ends with an error when it is older than this, in milliseconds; null: no limit. */
  readonly maxTxAgeMs: number | null
  /** A table said `enforce`: neither hints nor the operators' switches weaken it. */
  readonly enforced: boolean
}

/** What one level of the precedence says; undefined leaves it to the next level. */
export interface PolicyOverride {
  readonly consistency?: Consistency
  readonly maxStalenessMs?: number
  readonly onUnmet?: readonly LadderStep[]
  readonly cutOff?: 'serve' | 'refuse'
  /** 0: not from the cache. */
  readonly cacheMs?: number
  /** 0: no limit. */
  readonly maxTxAgeMs?: number
}

const toPrimary: readonly LadderStep[] = Object.freeze([Object.freeze({ step: 'primary', limit: null } as const)])

/** The policy that nobody said anything about, with `parts` in place of the defaults: strong, no bound, on_unmet [primary]. */
export function readPolicy(parts: Partial<ReadPolicy> = {}): ReadPolicy {
  return Object.freeze({
    consistency: 'strong',
    maxStalenessMs: null,
    onUnmet: toPrimary,
    cutOff: 'serve',
    cacheMs: null,
    maxTxAgeMs: null,
    enforced: false,
    ...parts,
  })
}

/** What an open transaction's later statements take over from its first. */
export function asOverride(policy: ReadPolicy): PolicyOverride {
  const known = overrides.get(policy)
  if (known !== undefined) return known
  const made = makeOverride(policy)
  overrides.set(policy, made)
  return made
}

/** The same object for the same policy: it is a part of what plans are kept by. */
const overrides = new WeakMap<ReadPolicy, PolicyOverride>()

function makeOverride({ consistency, maxStalenessMs, onUnmet, cutOff, maxTxAgeMs }: ReadPolicy): PolicyOverride {
  return {
    consistency,
    ...(maxStalenessMs === null ? {} : { maxStalenessMs }),
    onUnmet,
    cutOff,
    cacheMs: 0,
    ...(maxTxAgeMs === null ? {} : { maxTxAgeMs }),
  }
}
