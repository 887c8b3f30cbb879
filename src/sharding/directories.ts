// sharding/directories.ts — what is known of the directories (`by: directory`), as plan() asks for it. It is a cache that
// the runtime fills (runtime/directory-cache.ts): a plan that finds nothing there says which keys it lacks, and is made again.
import type { Sharded } from './sharded.js'

export interface Directories {
  /**
   * The logical shard of `key` (its columns as text); null: the directory has no such key, or no good shard for it;
   * undefined: it has not been asked, or its answer is too old.
   */
  find(sharded: Sharded, key: readonly string[]): number | null | undefined
}
