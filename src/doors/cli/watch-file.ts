// doors/cli/watch-file.ts — tells when a file may have changed. Editors write a new file and rename it; Kubernetes swaps a
// symlink two directories up; network file systems tell nothing. So the directory is watched for speed, the file itself
// (through all symlinks) is looked at once a second for certainty, and nothing is told before it has been quiet for a
// moment, since a file may be seen half written.
import { statSync, watch, type BigIntStats, type FSWatcher } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'

export interface WatchOptions {
  readonly lookMs?: number
  /** How long the file must stay as it is. */
  readonly quietMs?: number
}

/**
 * Calls `changed` after each change of the file at `path` that is made once this has returned; the returned function ends it.
 * Who reads the file afterwards misses none. A missing file is no change.
 */
export function watchFile(path: string, changed: () => void, options: WatchOptions = {}): () => void {
  const { lookMs = 1000, quietMs = 150 } = options
  let seen = markNow(path)
  let pending: string | null = null
  let stopped = false
  let hurried = false
  let looking = Promise.resolve()
  let timer: NodeJS.Timeout | undefined

  function lookIn(ms: number): void {
    clearTimeout(timer)
    hurried = false
    if (!stopped) timer = setTimeout(soon, ms)
  }

  // Events may come without end (other files of the directory): they must not put the look off for ever.
  function hurry(): void {
    if (hurried) return
    lookIn(quietMs)
    hurried = true
  }

  function soon(): void {
    looking = looking.then(look)
  }

  async function look(): Promise<void> {
    const mark = await markOf(path)
    if (stopped) return
    const isNew = mark !== null && mark !== seen
    if (isNew && mark === pending) {
      seen = mark
      changed()
    }
    pending = isNew ? mark : null
    lookIn(isNew && seen !== mark ? quietMs : lookMs)
  }

  const watcher = watchDirectory(dirname(path), hurry)
  soon()
  return () => {
    stopped = true
    clearTimeout(timer)
    watcher?.close()
  }
}

function markNow(path: string): string | null {
  try {
    return marked(statSync(path, { bigint: true }))
  } catch {
    return null
  }
}

async function markOf(path: string): Promise<string | null> {
  return marked(await stat(path, { bigint: true }).catch(() => undefined))
}

function marked(found: BigIntStats | undefined): string | null {
  return found === undefined ? null : [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(' ')
}

// A directory that cannot be watched is looked at all the same.
function watchDirectory(directory: string, changed: () => void): FSWatcher | null {
  try {
    const watcher = watch(directory, { persistent: false }, changed)
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    return null
  }
}
