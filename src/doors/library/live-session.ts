// doors/library/live-session.ts — one request's (one user's, one job's) session: floors of its own, which no other session
// adds to or reads. Only what runs outside any session is told of its writes, since such statements see the whole process'.
import { createFloors, type SessionFloors } from '../../consistency/floors.js'
import { importToken } from '../../consistency/token-exchange.js'
import { clustersOf } from '../../config/clusters-of.js'
import type { Affinity } from '../../execute/contract.js'
import { tokenOf, tokenResolved } from '../../runtime/session-token.js'
import type { Core } from './core.js'
import type { CarriedSession } from './request-context.js'

/** What is not resolved by then is said in a way that costs its next reader a little time instead. */
const tokenMs = 250

export class LiveSession implements CarriedSession {
  readonly floors: SessionFloors
  /** Reads side by side gather on one replica: spread over several they would have to wait for samples of each of them. */
  readonly affinity: Affinity
  readonly #core: Core
  readonly #own = createFloors()
  readonly #leaning = new Map<string, string>()
  #underWay = 0
  #read = false

  constructor(core: Core) {
    this.#core = core
    this.floors = {
      ...this.#own,
      writeEnded: (cluster, now) => {
        this.#own.writeEnded(cluster, now)
        core.written.writeEnded(cluster, now)
      },
      readEnded: (cluster, read) => {
        this.#read = true
        this.#own.readEnded(cluster, read)
      },
    }
    this.affinity = {
      replica: (cluster) => this.#leaning.get(cluster) ?? null,
      underWay: () => this.#underWay,
      chose: (cluster, node) => void this.#leaning.set(cluster, node),
    }
  }

  belongsTo(core: Core): boolean {
    return core === this.#core
  }

  get wrote(): boolean {
    return this.#own.written.size > 0
  }

  /** It has seen something that a later read must not fall behind. */
  get moved(): boolean {
    return this.#read || this.wrote
  }

  import(text: string | null | undefined): boolean {
    if (text === null || text === undefined) return true
    const { config, database } = this.#core.home()
    const known = this.#core.runtime?.current().topology().clusters
    return importToken(this.#own, text, {
      clusters: clustersOf(database),
      key: config.tokens.key,
      now: this.#core.now(),
      known: config.clusters,
      system: (cluster) => known?.get(cluster)?.system ?? null,
    }).ok
  }

  async token(): Promise<string> {
    const { runtime } = await this.#core.ready()
    const generation = runtime.current()
    const bearer = { floors: this.#own, database: this.#core.home(generation.config).database, generation }
    const sampled = tokenResolved(bearer, tokenMs)
    if (sampled !== null) await this.#core.alive.during(() => sampled)
    return tokenOf(bearer)
  }

  begin(): () => void {
    this.#underWay++
    return () => {
      this.#underWay--
    }
  }
}
