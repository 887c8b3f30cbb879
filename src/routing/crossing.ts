// routing/crossing.ts — what a refusal says of homes: which kind of crossing it is, between whom, and the way out. The audit,
// the metric and the log of virtual partitions read this; nothing decides by it.
import type { DatabaseConfig } from '../config/config.js'
import { homeFor } from '../config/home-for.js'
import type { Crossing, CrossingEnd, CrossingKind } from '../observe/crossing.js'
import type { Statement } from '../sql/statement.js'
import { homeLabel, type Touched } from './homes.js'
import type { RefusePlan } from './plan.js'
import type { Rule } from './rules.js'

/** Refusals that there would be none of, were everything on one server. */
const byRule: Partial<Readonly<Record<Rule, CrossingKind>>> = {
  'two-homes': 'transaction',
  'other-cluster': 'transaction',
  'partition-user': 'user',
  'many-clusters': 'command',
  'reference-write': 'command',
  broadcast: 'shard_key',
  'two-phase': 'transaction',
  'shard-key-missing': 'shard_key',
  'shard-key-unreadable': 'shard_key',
  'several-shards': 'shard_key',
  'not-merged': 'shard_key',
  'shard-key-update': 'shard_key',
  'sharded-unsupported': 'shard_key',
}

/** null: it is refused for another reason. */
export function crossingOf(plan: RefusePlan, database: DatabaseConfig): Crossing | null {
  if (plan.crossing !== undefined) return plan.crossing
  if (plan.lookup !== undefined) return null
  const rule = plan.why.at(-1)?.rule as Rule | undefined
  const kind = rule === undefined ? undefined : byRule[rule]
  return kind === undefined ? null : crossingAs(kind, plan, database)
}

/** What it says, as a crossing of that kind. */
export function crossingAs(kind: CrossingKind, plan: RefusePlan, database: DatabaseConfig): Crossing {
  const [first = null, second = first] = plan.tables
  return { kind, from: endOf(first, database), to: endOf(second, database), reason: plan.message, way: plan.hint }
}

function endOf(table: string | null, database: DatabaseConfig): CrossingEnd {
  const home = table === null ? undefined : homeFor(database, table)
  if (home === undefined) return { home: `cluster ${database.default}`, owner: database.owner, object: table }
  return { home: homeLabel(home), owner: 'owner' in home ? home.owner : null, object: table }
}

/** How a statement that touches both brings them together. */
export function meeting(statement: Statement, a: Touched, b: Touched): CrossingKind {
  const via = a.via ?? b.via
  if (via !== undefined) return via.kind
  const { detail } = statement
  if (detail.kind === 'ddl') return ofDefinition(detail.what)
  const levels = (one: Touched): ReadonlySet<number> =>
    new Set(statement.entries.filter((entry) => same(entry.relation, one)).map((entry) => entry.level))
  const [first, second] = [levels(a), levels(b)]
  if (first.size === 0 || second.size === 0) return detail.kind === 'lock' || detail.kind === 'utility' ? 'command' : 'subquery'
  return [...first].some((level) => second.has(level)) ? 'join' : 'subquery'
}

function ofDefinition(what: string): CrossingKind {
  if (what.includes('view')) return 'view'
  if (what.includes('trigger')) return 'trigger'
  return what === 'create table' || what === 'alter table' ? 'foreign_key' : 'command'
}

function same(relation: { readonly schema: string | null; readonly name: string }, { name }: Touched): boolean {
  return relation.name === name.name && relation.schema === name.schema
}
