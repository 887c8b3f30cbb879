// doors/cli/named-files.ts — the files that a configuration names (certificates, keys, secrets), each watched for as long as
// the configuration names it: a renewed certificate is taken without a word to this process.
import { watchFile, type WatchOptions } from './watch-file.js'

export class NamedFiles {
  readonly #changed: () => void
  readonly #options: WatchOptions
  readonly #watched = new Map<string, () => void>()

  constructor(changed: () => void, options: WatchOptions = {}) {
    this.#changed = changed
    this.#options = options
  }

  /** From here on these are watched and no others. True: some were not before, and may have changed since they were read. */
  follow(paths: readonly string[]): boolean {
    for (const [path, stop] of this.#watched) {
      if (paths.includes(path)) continue
      stop()
      this.#watched.delete(path)
    }
    const fresh = [...new Set(paths)].filter((path) => !this.#watched.has(path))
    for (const path of fresh) this.#watched.set(path, watchFile(path, this.#changed, this.#options))
    return fresh.length > 0
  }

  stop(): void {
    this.follow([])
  }
}
