// doors/proxy/proved-statements.ts — statements that a server has accepted in a Parse. The next client that prepares the same gets its
// ParseComplete from here: a connection is needed only where it is used, and is parsed there then. So a client that waits for one
// Parse while others of its own thread hold all connections in transactions (as pgbench and many single-threaded drivers do)
// does not wait for ever.
// A proof holds for one config, one catalog and the same settings. Where DDL has just run elsewhere, the client hears of it from
// Bind or Execute: what it would have heard, had it prepared a moment earlier.
import { LRUCache } from 'lru-cache'
import type { Settings } from '../../session/settings.js'
import { isOwn } from '../../session/replay.js'

/** Where a statement was, or is to be, prepared. */
export interface Place {
  /** Of the configuration. */
  readonly generation: number
  readonly cluster: string
  /** What is known of the cluster's tables: another object after they have changed. */
  readonly catalog: object | undefined
  readonly database: string
  readonly user: string
  readonly settings: Settings
}

/** What a successful Parse proves; made before it is sent, so that a change meanwhile makes it void. */
export interface Proof {
  readonly key: string
  readonly generation: number
  readonly catalog: object | undefined
  readonly changes: number
}

const maxBytes = 4 * 1024 * 1024
const proofBytes = 200

export class ProvedStatements {
  readonly #proofs = new LRUCache<string, Proof>({ maxSize: maxBytes, sizeCalculation: (_, key) => key.length * 2 + proofBytes })
  /** DDL seen, by cluster. */
  readonly #changes = new Map<string, number>()
  readonly #texts = new WeakMap<Settings, string>()

  /** `statement`: its text and parameter types. */
  proof({ generation, cluster, catalog, database, user, settings }: Place, statement: string): Proof {
    const key = [cluster, database, user, this.#textOf(settings), statement].join('\0')
    return { key, generation, catalog, changes: this.#changes.get(cluster) ?? 0 }
  }

  has({ key, generation, catalog, changes }: Proof): boolean {
    const found = this.#proofs.get(key)
    return found?.generation === generation && found.catalog === catalog && found.changes === changes
  }

  add(proof: Proof): void {
    this.#proofs.set(proof.key, proof)
  }

  /** DDL ran on the cluster: nothing is proved there any more. */
  changed(cluster: string): void {
    this.#changes.set(cluster, (this.#changes.get(cluster) ?? 0) + 1)
  }

  #textOf(settings: Settings): string {
    let text = this.#texts.get(settings)
    if (text === undefined) {
      const that = [...settings].filter(([name]) => name !== 'application_name' && !isOwn(name))
      text = JSON.stringify(that.sort(([left], [right]) => (left < right ? -1 : 1)))
      this.#texts.set(settings, text)
    }
    return text
  }
}
