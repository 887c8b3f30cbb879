// config/surroundings.ts — what a configuration may refer to outside itself. Passed in, so that reading a config is pure.
import type { ShardModule } from '../sharding/sharded.js'

export interface Surroundings {
  /** Environment variables, for `${VAR}`. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** The text of a file, for `file:` and TLS; relative paths are the caller's to resolve. Throws if it cannot be read. */
  readonly readFile: (path: string) => string
  /**
   * The function of a module (`by: module`), which whoever reads the config has loaded before, since that takes time; or why
   * there is none, as the end of a sentence. Absent: no modules are loaded here.
   */
  readonly module?: (path: string) => ShardModule['place'] | string
}

/** Why a file could not be read, short: `ENOENT`. */
export function readFailure(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : 'it cannot be read'
}
