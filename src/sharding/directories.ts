// sharding/directories.ts — what is known of the directories (`by: directory`), as plan() asks for it. It is a cache that
// the runtime fills (runtime/directory-cache.ts): a plan that finds nothing there says which keys it lacks, and is made again.
import type { Sharded } from './sharded.js'

const used = new WeakMap<ReadonlyMap<string, Sharded>, boolean>()

/** Whether any of these sets is placed by a directory. */
export function hasDirectories(sharded: ReadonlyMap<string, Sharded>): boolean {
  if (sharded.size === 0) return false
  const known = used.get(sharded)
  if (known !== undefined) return known
  const found = [...sharded.values()].some((one) => one.function.by === 'directory')
  used.set(sharded, found)
  return found
}

/** How often a plan is made again because of what a directory was just asked: a key may be forgotten meanwhile. */
export const directoryTries = 4

export interface Directories {
  /**
   * The logical shard of `key` (its columns as text); null: the directory has no such key, or no good shard for it;
   * undefined: it has not been asked, or its answer is too old.
   */
  find(sharded: Sharded, key: readonly string[]): number | null | undefined
}
