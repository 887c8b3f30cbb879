// catalog/expand.ts — what stands behind the relations of a statement: the tables and functions of views and of
// row-security policies, all the way down. A cycle (possible through policies) is walked once.
import type { Catalog, RelationInfo } from './catalog.js'
import type { FunctionUse } from '../sql/statement.js'

export interface Expanded {
  /** The relations asked for and everything behind them, `schema.name`, each once, in order of discovery. */
  readonly keys: readonly string[]
  /** Those of `keys` that only a view or policy leads to → the relation that led there. */
  readonly behind: ReadonlyMap<string, string>
  /** Functions that views and policies call. */
  readonly functions: readonly FunctionUse[]
  /** Relations whose definition writes or could not be read. */
  readonly opaque: readonly { readonly key: string; readonly reason: 'writes' | 'unknown' }[]
}

/** Expands `roots` in the catalog of the cluster they live on. Keys that the catalog does not know are kept as they are. */
export function expand(catalog: Catalog | undefined, roots: readonly string[]): Expanded {
  const keys = new Set<string>()
  const behind = new Map<string, string>()
  const functions: FunctionUse[] = []
  const opaque: { key: string; reason: 'writes' | 'unknown' }[] = []
  const pending = [...roots]
  for (let key = pending.shift(); key !== undefined; key = pending.shift()) {
    if (keys.has(key)) continue
    keys.add(key)
    const info = catalog?.relations.get(key)
    if (info === undefined || info.behind === null) continue
    if (info.behind.writes || info.behind.unknown) opaque.push({ key, reason: info.behind.unknown ? 'unknown' : 'writes' })
    for (const use of info.behind.functions) functions.push({ name: { schema: use.schema, name: use.name }, args: use.args })
    for (const relation of info.behind.relations) {
      const next = `${relation.schema}.${relation.name}`
      if (keys.has(next)) continue
      if (!roots.includes(next)) behind.set(next, key)
      pending.push(next)
    }
  }
  return { keys: [...keys], behind, functions, opaque }
}

/** What a relation follows: the root of its partition tree, the table of a sequence, or itself. */
export function rootOf(info: RelationInfo | undefined, key: string): string {
  return info?.partitionRoot ?? info?.ownedBy ?? key
}
