// doors/cli/told.ts — what the parts of `check --live` tell each other.
import type { Path } from '../../config/locator.js'
import type { TableFacts } from './ask-server.js'

/** Something wrong, or surprising, told at a path of the config. */
export interface Told {
  readonly path: Path
  readonly found: string
  readonly allowed: string
  readonly message: string
}

/** Tables by `cluster/dbname`, then by `schema.table`; a cluster that could not be read is missing. */
export type Tables = ReadonlyMap<string, ReadonlyMap<string, TableFacts>>
