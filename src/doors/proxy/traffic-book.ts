// doors/proxy/traffic-book.ts — what is counted of all clients, by database and user, and how it stood one and two periods
// ago, so that averages can be told. Who connects finds his entry once; counting is then an addition.
import { noTraffic, sumTraffic, Traffic, type TrafficCounts } from '../../observe/traffic.js'

/** Averages are of the last period and what has passed of the present one, as PgBouncer's stats_period has it. */
export const periodMs = 60_000
/** Names of databases are the clients' own where `*` takes them: past this many their counts go together. */
const maxEntries = 5_000
const others = '(others)'

interface Entry {
  readonly traffic: Traffic
  older: TrafficCounts
  newer: TrafficCounts
}

/** A database and user. `since`: as it stood at the beginning of the time that averages are of. */
export interface CountedTraffic {
  readonly traffic: Traffic
  readonly since: TrafficCounts
}

export class TrafficBook {
  readonly #entries = new Map<string, Entry>()
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout
  /** Process-monotonic ms. */
  #olderAt: number
  #newerAt: number

  constructor(now: () => number) {
    this.#now = now
    this.#olderAt = now()
    this.#newerAt = this.#olderAt
    this.#timer = setInterval(() => this.#turn(), periodMs).unref()
  }

  of(database: string, user: string): Traffic {
    const key = JSON.stringify([database, user])
    const known = this.#entries.get(key)
    if (known !== undefined) return known.traffic
    if (this.#entries.size >= maxEntries && database !== others) return this.of(others, others)
    const traffic = new Traffic(database, user)
    const start = noTraffic
    this.#entries.set(key, { traffic, older: start, newer: start })
    return traffic
  }

  all(): readonly CountedTraffic[] {
    return [...this.#entries.values()].map(({ traffic, older }) => ({ traffic, since: older }))
  }

  /** How long the time is that averages are of, in ms. */
  get spanMs(): number {
    return this.#now() - this.#olderAt
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #turn(): void {
    this.#olderAt = this.#newerAt
    this.#newerAt = this.#now()
    for (const entry of this.#entries.values()) {
      entry.older = entry.newer
      entry.newer = sumTraffic([entry.traffic])
    }
  }
}
