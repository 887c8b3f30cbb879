// routing/input.ts — everything that plan() reads. Values only: same input, same plan.
import type { Catalog } from '../catalog/catalog.js'
import type { Config, DatabaseConfig } from '../config/config.js'
import type { Directories } from '../sharding/directories.js'
import type { SessionView } from '../session/view.js'
import type { Understood } from '../sql/statement.js'

/** One parameter as Bind gave it. `oid`: its type as Parse declared it; absent or 0: left to the server. */
export type ParameterValue = { readonly text: string; readonly oid?: number } | { readonly binary: Uint8Array; readonly oid: number }

/** Parameters on demand, so that only those that decide are ever decoded. */
export interface ParameterSource {
  /** `$n`; null: SQL NULL; undefined: not known yet (Parse or Describe without Bind). */
  get(n: number): ParameterValue | null | undefined
}

/**
 * `session`, `config`, `database` and `catalogs` are immutable: plans are cached by their identity, so a change is a new
 * object. `parameters` null: the statement came without any (simple protocol).
 */
export interface PlanInput {
  readonly understood: Understood
  readonly parameters: ParameterSource | null
  readonly session: SessionView
  readonly config: Config
  readonly database: DatabaseConfig
  /** By cluster id. A cluster that is not here has not been loaded: nothing there is provably read-only. */
  readonly catalogs: ReadonlyMap<string, Catalog>
  /** What is known of directories (`by: directory`); absent: nothing, so that each key is a refusal with `lookup`. */
  readonly directories?: Directories
}
