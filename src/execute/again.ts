// execute/again.ts — when both doors send a statement once more, and as what. Only a read of which nothing was given out, outside
// a transaction; what else must hold (a reply half told, a stream begun) each door knows for itself.
import type { OnePlan } from '../routing/plan.js'
import { why } from '../routing/rules.js'

/** A read may be sent to this many servers in turn. */
export const maxAttempts = 4

/** What a replica's error asks for that says "not here" rather than "not at all"; null: it stands. */
export function rerunFor(sqlstate: string | null, role: 'primary' | 'replica'): 'primary' | 'elsewhere' | null {
  if (role === 'primary') return null
  if (sqlstate === '25006') return 'primary'
  // A conflict with recovery cancels what runs on a standby.
  return sqlstate === '40001' || sqlstate === '40P01' ? 'elsewhere' : null
}

/** A read that turned out to write: the primary, and no second try. */
export function asWrite(plan: OnePlan): OnePlan {
  const added = why('write', 'a replica refused it as a write (25006)')
  return { ...plan, role: 'primary', writes: true, keptOn: null, changes: null, why: [...plan.why, added] }
}

/**
 * Takes back the attempt that a lost connection cost, where it was open before the statement came: it says nothing of its server
 * now. A pool is full of those when a server dies, and there are only so many of them.
 */
export function forgive(
  request: { readonly startedAt: number; attempts: number },
  { connection }: { readonly connection: { readonly evidence: { readonly openedAt: number } } },
): void {
  if (connection.evidence.openedAt < request.startedAt) request.attempts -= 1
}
