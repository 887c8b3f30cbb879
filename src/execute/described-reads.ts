// execute/described-reads.ts — what servers have said that merged reads look like, so that the next run need not ask before it runs. It is
// never believed: the first part describes the read again with its run, and no row goes out before that has turned out the same.
import { LRUCache } from 'lru-cache'
import { effective, type SettingsState } from '../session/settings.js'

const maxBytes = 4 * 1024 * 1024
/** Beside its key and what it holds. */
const aboutBytes = 1_000

/** What a description depends on; what is left out costs another question, never a wrong answer. */
export interface ReadAsked {
  readonly database: string
  readonly user: string
  /** Of the first part, which describes it. */
  readonly cluster: string
  readonly settings: SettingsState
  /** The client's and the parts'. */
  readonly query: { readonly original: string; readonly text: string }
  /** Of the parameters, as the client declares them. */
  readonly types: readonly number[]
}

export function keyOf({ database, user, cluster, settings, query: { original, text }, types }: ReadAsked): string {
  const looks = ['search_path', 'client_encoding', 'role'].map((name) => effective(settings, name) ?? '')
  return [database, user, cluster, ...looks, types.join(), original, text].join('\0')
}

/** `Described`: in the words of one door; `bytesOf`: what one holds, about. The least recently used go first. */
export class DescribedReads<Described extends object> {
  readonly #kept: LRUCache<string, Described>

  constructor(bytesOf: (described: Described) => number) {
    this.#kept = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: (described, key) => key.length * 2 + aboutBytes + bytesOf(described),
    })
  }

  get(key: string | null): Described | undefined {
    return key === null ? undefined : this.#kept.get(key)
  }

  keep(key: string | null, described: Described): void {
    if (key !== null) this.#kept.set(key, described)
  }

  forget(key: string | null): void {
    if (key !== null) this.#kept.delete(key)
  }
}

/** What a server says to a Bind whose formats were made for other columns: their number, or a type that has no such format. */
const misfits: ReadonlySet<string> = new Set(['08P01', '42883'])

/** An error that may be owed to a description that does not hold any more. */
export function isMisfit(sqlstate: string | null): boolean {
  return sqlstate !== null && misfits.has(sqlstate)
}
