// routing/context.ts — everything about a plan that is not the statement: config, catalogs, session and the hints of the
// text, with the few questions that every rule asks of them.
import type { Catalog } from '../catalog/catalog.js'
import type { NameSpace } from '../catalog/resolve.js'
import { clustersOf } from '../config/clusters-of.js'
import type { Config, DatabaseConfig } from '../config/config.js'
import type { SessionView } from '../session/view.js'
import type { Hints } from '../sql/statement.js'

export interface Context {
  /** Labels of virtual homes that are taken for what they are in truth: tables of their cluster. */
  readonly collapsed: ReadonlySet<string>
  readonly config: Config
  readonly database: DatabaseConfig
  readonly catalogs: ReadonlyMap<string, Catalog>
  readonly session: SessionView
  readonly hints: Hints | null
  /** One of several statements that go together: nothing is answered or deferred on the way. */
  readonly inBatch: boolean
  /** Clusters of the database, the default first. */
  readonly clusters: readonly string[]
  readonly names: NameSpace
}

export function createContext(given: Omit<Context, 'clusters' | 'names'>): Context {
  const clusters = clustersOf(given.database)
  const exists = (key: string): boolean =>
    given.database.homes.has(key) || clusters.some((cluster) => given.catalogs.get(cluster)?.relations.has(key) === true)
  const hasSchema = (schema: string): boolean => {
    const within = (key: string): boolean => key.startsWith(`${schema}.`)
    if (given.database.patterns.some((pattern) => pattern.schema === schema)) return true
    const known = [given.database.homes.keys(), ...clusters.map((cluster) => given.catalogs.get(cluster)?.relations.keys() ?? [])]
    return known.some((keys) => [...keys].some(within))
  }
  const names: NameSpace = { searchPath: given.session.searchPath, temporary: given.session.temporary, exists, hasSchema }
  return { ...given, clusters, names }
}

/** The cluster that a hint, SET LOCAL or SET supplies, in that order. */
export function suppliedCluster(context: Context): string | null {
  return context.hints?.cluster ?? context.session.local.cluster ?? context.session.session.cluster ?? null
}

/** What a hint, SET LOCAL or SET says of `sticky_writes`, in that order; it is on where nobody says. */
export function stickyWrites({ hints, session }: Context): boolean {
  return hints?.stickyWrites ?? session.local.stickyWrites ?? session.session.stickyWrites ?? true
}

/** The shard key (as text) that a hint, SET LOCAL or SET supplies, in that order. */
export function suppliedKey(hints: Hints | null, session: SessionView): string | null {
  return hints?.shardKey ?? session.local.shardKey ?? session.session.shardKey ?? null
}
