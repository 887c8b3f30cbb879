// routing/caching.ts — what the result cache must know of a plan: whether its result may be given again, on which relations
// that result depends, and which relations a write changes. Here only what the text, the session and the catalog say is
// decided; whether a kept result is fresh enough for a read is cache/admission.ts. What cannot be told is not kept, and
// changes everything.
import { isSystemSchema } from '../catalog/builtins.js'
import type { Catalog, RelationInfo } from '../catalog/catalog.js'
import { expand } from '../catalog/expand.js'
import type { Statement } from '../sql/statement.js'
import type { AccessFacts } from './access.js'
import type { Context } from './context.js'
import type { Routed } from './destination.js'
import type { OnePlan } from './plan.js'

type Decided = Pick<OnePlan, 'cluster' | 'role' | 'policy' | 'provisional' | 'taints' | 'pins' | 'unpins' | 'settings'>

/** Only these are known to change nothing but what they name, as long as nothing taints. */
const tells: ReadonlySet<Statement['detail']['kind']> = new Set([
  'select',
  'insert',
  'update',
  'delete',
  'merge',
  'copy',
  'declare',
  'prepare',
  'lock',
])
const kept: ReadonlySet<RelationInfo['kind']> = new Set(['table', 'partitioned', 'view', 'materialized'])

/** The relations that a result depends on; null: it must not be given again. */
export function keptOn(context: Context, routed: Routed, facts: AccessFacts, plan: Decided): readonly string[] | null {
  const { statement, outer } = routed
  const { detail } = statement
  if (plan.policy.cacheMs === null || plan.role !== 'replica' || plan.provisional || facts.effect !== 'read' || facts.varies) return null
  if (outer !== statement || detail.kind !== 'select' || detail.into !== null || detail.settings?.length !== 0) return null
  if (plan.taints !== null || plan.pins !== null || plan.unpins !== null || plan.settings.length > 0) return null
  if (!standsAlone(context)) return null
  const catalog = context.catalogs.get(plan.cluster)
  const known = facts.tables.length > 0 && facts.tables.every((key) => isKept(catalog, key))
  return known ? facts.tables : null
}

/** Outside a transaction, and no state of this session can show in the answer. */
function standsAlone({ session, inBatch }: Context): boolean {
  const { transaction, pins, understood, temporary } = session
  return !inBatch && transaction.status === 'idle' && pins.size === 0 && temporary.size === 0 && understood
}

function isKept(catalog: Catalog | undefined, key: string): boolean {
  const info = catalog?.relations.get(key)
  return info !== undefined && kept.has(info.kind) && !isSystemSchema(info.schema)
}

/** The relations that may show something else after this write; null: any of its cluster. */
export function changedBy(context: Context, routed: Routed, cluster: string, taints: string | null): readonly string[] | null {
  const { detail } = routed.statement
  if (taints !== null || !tells.has(detail.kind)) return null
  // A new table may stand before another of its name.
  if (detail.kind === 'select' && detail.into !== null) return null
  const catalog = context.catalogs.get(cluster)
  const written = routed.touched.filter((one) => one.access === 'write' && one.home.kind !== 'temporary').map((one) => one.key)
  const changed = new Set<string>()
  for (const key of expand(catalog, written).keys) {
    const info = catalog?.relations.get(key)
    if (info === undefined || isSystemSchema(info.schema)) return null
    changed.add(key)
    for (const other of info.changesWith) changed.add(other)
  }
  return Object.freeze([...changed])
}
