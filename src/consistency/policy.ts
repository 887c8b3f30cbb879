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
}

/** What one level of the precedence says; undefined leaves it to the next level. */
export interface PolicyOverride {
  readonly consistency?: Consistency
  readonly maxStalenessMs?: number
  readonly onUnmet?: readonly LadderStep[]
}
