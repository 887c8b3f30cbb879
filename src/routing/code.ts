// routing/code.ts — the tables that a statement reaches through code of users: the functions that it calls, and the triggers of
// what it writes, as far as their bodies tell (catalog/ Body). They decide where it may run as its own tables do. Names
// that nobody knows are left out: a body may make tables of its own.
import { candidates } from '../catalog/judge.js'
import type { Body, Catalog, FunctionInfo, TriggerEvent } from '../catalog/catalog.js'
import type { FunctionUse, Name, Statement } from '../sql/statement.js'
import type { Context } from './context.js'
import { touchOne, type Touched } from './homes.js'
import type { RefusePlan } from './plan.js'

type Via = NonNullable<Touched['via']>

const none: readonly Touched[] = Object.freeze([])

export function touchedByCode(context: Context, statement: Statement, touched: readonly Touched[]): readonly Touched[] | RefusePlan {
  const { homes, patterns } = context.database
  if (homes.size === 0 && patterns.length === 0) return none
  const walk = new CodeWalk(context)
  for (const use of statement.functions) if (use.name.schema !== 'pg_catalog') walk.call(use, null)
  for (const one of touched) if (one.access === 'write') walk.triggersOf(one, eventsOf(statement, one))
  return walk.refused ?? walk.touched
}

const anyEvent: readonly TriggerEvent[] = ['insert', 'update', 'delete', 'truncate']

/** What the statement does to a table that it writes; where a CTE writes, it may meet anything. */
function eventsOf({ detail, innerWrites }: Statement, { name }: Touched): readonly TriggerEvent[] {
  if (innerWrites !== undefined) return anyEvent
  const ofTarget = (target: Name | null, events: readonly TriggerEvent[]): readonly TriggerEvent[] =>
    target?.name === name.name && target.schema === name.schema ? events : anyEvent
  switch (detail.kind) {
    case 'insert':
      return ofTarget(detail.insert.target, detail.insert.conflictAssigns.length > 0 ? ['insert', 'update'] : ['insert'])
    case 'update':
      return ofTarget(detail.assigns.target, ['update'])
    case 'delete':
      return ofTarget(detail.target, ['delete'])
    case 'copy':
      return ofTarget(detail.target, ['insert'])
    default:
      return anyEvent
  }
}

class CodeWalk {
  readonly #context: Context
  readonly #seen = new Set<FunctionInfo>()
  readonly touched: Touched[] = []
  refused: RefusePlan | null = null

  constructor(context: Context) {
    this.#context = context
  }

  /** `via` null: the statement calls it itself. */
  call(use: FunctionUse, via: Via | null): void {
    const { clusters, catalogs, session } = this.#context
    for (const cluster of clusters) {
      const catalog = catalogs.get(cluster)
      if (catalog === undefined) continue
      for (const info of candidates(catalog, session.searchPath, use)) this.#enter(info, via)
    }
  }

  triggersOf({ key, root }: Touched, events: readonly TriggerEvent[]): void {
    const { clusters, catalogs } = this.#context
    for (const cluster of clusters) {
      const catalog = catalogs.get(cluster)
      for (const trigger of catalog?.triggers ?? []) {
        if (trigger.table !== key && trigger.table !== root) continue
        if (!trigger.events.some((event) => events.includes(event))) continue
        const via: Via = { kind: 'trigger', name: `${trigger.name} on ${trigger.table}` }
        for (const info of functionsNamed(catalog, trigger.function)) this.#enter(info, via)
      }
    }
  }

  #enter(info: FunctionInfo, via: Via | null): void {
    if (info.body === undefined || this.#seen.has(info)) return
    this.#seen.add(info)
    const own: Via = via ?? { kind: 'function', name: `${info.schema}.${info.name}` }
    this.#names(info.body, own)
    for (const { schema, name, args } of info.body.calls) this.call({ name: { schema, name }, args }, own)
  }

  #names(body: Body, via: Via): void {
    const uses = [
      ...body.writes.map((name) => ({ name, access: 'write' as const })),
      ...body.reads.map((name) => ({ name, access: 'read' as const })),
    ]
    for (const use of uses) {
      const found = touchOne(this.#context, use, false)
      if ('kind' in found) this.refused ??= found
      else if (found.known && found.home.kind !== 'temporary') this.touched.push({ ...found, via })
    }
  }
}

function functionsNamed(
  catalog: Catalog | undefined,
  { schema, name }: { readonly schema: string; readonly name: string },
): readonly FunctionInfo[] {
  return (catalog?.functions.get(name) ?? []).filter((info) => info.schema === schema)
}
