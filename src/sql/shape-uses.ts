// sql/shape-uses.ts — what is counted of one shape while it is known: plain numbers, added to in place. The shape itself never
// changes; this hangs on it so that counting a statement needs no look-up.

export interface ShapeUses {
  /** Of the shape: its text without literals. */
  readonly key: string
  count: number
  errors: number
  /** Milliseconds from the arrival of a statement to its last reply: of all together, and the longest. */
  ms: number
  maxMs: number
  /** Where the newest one ran; null: answered without a server, or not yet run. */
  cluster: string | null
  role: 'primary' | 'replica' | null
  /** The rule that decided; null: none has yet. */
  rule: string | null
}

export function unused(key = ''): ShapeUses {
  return { key, count: 0, errors: 0, ms: 0, maxMs: 0, cluster: null, role: null, rule: null }
}
