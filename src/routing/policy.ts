// routing/policy.ts — the policy of one read (DESIGN §3 "Precedence"): open transaction, comment, SET LOCAL, SET, user,
// table, database. Each table is resolved by itself and the strictest of them counts for the statement.
import { homeFor } from '../config/home-for.js'
import { formatDuration } from '../consistency/duration.js'
import type { PolicyOverride, ReadPolicy } from '../consistency/policy.js'
import { resolvePolicy, strictest } from '../consistency/resolve-policy.js'
import type { Hints } from '../sql/statement.js'
import type { Context } from './context.js'

const nothing: PolicyOverride = Object.freeze({})

/** `names`: what `reads.tables` may speak of. */
export function policyOf(context: Context, names: readonly string[]): ReadPolicy {
  const { reads } = context.database
  const { session } = context
  const above = [
    session.transaction.overrides,
    hintLevel(context.hints),
    session.local,
    session.session,
    reads.users.get(session.user) ?? nothing,
  ]
  let policy: ReadPolicy | null = null
  let unsaid = false
  for (const name of names) {
    const table = reads.tables.get(name)
    const partition = partitionReads(context, name)
    unsaid ||= table === undefined && partition === nothing
    if (table === undefined && partition === nothing) continue
    const own = resolvePolicy([...above, table ?? nothing, partition, reads.default], table?.enforce === true ? above.length : null)
    policy = policy === null ? own : strictest(policy, own)
  }
  const plain = unsaid || policy === null
  const rest = plain ? resolvePolicy([...above, reads.default]) : null
  if (rest === null || policy === null) return policy ?? rest ?? resolvePolicy([])
  return strictest(policy, rest)
}

/** What the partition of a table says, if it says anything. */
function partitionReads({ database }: Context, name: string): PolicyOverride {
  if (database.partitions.size === 0) return nothing
  const home = homeFor(database, name)
  const reads = home?.kind === 'partition' ? database.partitions.get(home.partition)?.reads : undefined
  return reads === undefined || Object.keys(reads).length === 0 ? nothing : reads
}

function hintLevel(hints: Hints | null): PolicyOverride {
  if (hints === null) return nothing
  return {
    ...(hints.consistency === null ? nothing : { consistency: hints.consistency }),
    ...(hints.maxStalenessMs === null ? nothing : { maxStalenessMs: hints.maxStalenessMs }),
  }
}

/** Only the primary can answer: `strong`, or no staleness at all (CONSISTENCY I4). */
export function needsPrimary(policy: ReadPolicy): boolean {
  return policy.consistency === 'strong' || policy.maxStalenessMs === 0
}

/** `session, at most 5s old` */
export function describePolicy(policy: ReadPolicy): string {
  if (policy.consistency === 'strong' && policy.maxStalenessMs !== 0) return 'strong'
  return policy.maxStalenessMs === null ? policy.consistency : `${policy.consistency}, at most ${formatDuration(policy.maxStalenessMs)} old`
}
