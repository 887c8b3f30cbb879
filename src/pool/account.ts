// pool/account.ts — on whose behalf connections are lent: a client's user, and the database that it named. Both are counted
// over all pools of the process, and both may be bounded; who is at his bound waits without keeping anybody else waiting.

/** What is allowed. */
export interface Allowance {
  /** Connections at once; Infinity: as many as there are. */
  readonly max: number
  /** Turns, compared with others of the same pool. Above 0. */
  readonly weight: number
}

/** Somebody who waits for this one's connections. */
export interface RoomWatcher {
  /** There is room now, or there is none any more. */
  roomChanged(): void
}

export class Account {
  readonly name: string
  #max = Infinity
  #weight = 1
  #held = 0
  /** Requests in the lines of lanes. */
  inLine = 0
  readonly #watchers = new Set<RoomWatcher>()

  constructor(name: string, { max, weight }: Allowance = { max: Infinity, weight: 1 }) {
    this.name = name
    this.#max = max
    this.#weight = weight
  }

  /** Connections that it has now. */
  get held(): number {
    return this.#held
  }

  get max(): number {
    return this.#max
  }

  get weight(): number {
    return this.#weight
  }

  /** How many connections more it may have; not below 0. */
  get room(): number {
    return Math.max(0, this.#max - this.#held)
  }

  /** After a reload: what it holds it keeps. */
  allow({ max, weight }: Allowance): void {
    const had = this.#held < this.#max
    this.#max = max
    this.#weight = weight
    if (had !== this.#held < max) this.#tell()
  }

  take(): void {
    this.#held += 1
    if (this.#held === this.#max) this.#tell()
  }

  give(): void {
    this.#held -= 1
    if (this.#held === this.#max - 1) this.#tell()
  }

  watch(watcher: RoomWatcher): void {
    this.#watchers.add(watcher)
  }

  unwatch(watcher: RoomWatcher): void {
    this.#watchers.delete(watcher)
  }

  #tell(): void {
    for (const watcher of this.#watchers) watcher.roomChanged()
  }
}

/** A user of a database. */
export interface Party {
  readonly user: Account
  readonly database: Account
}

/** Whoever is bounded by nothing: the process itself, and clients of whom nothing is known. */
export const nobody: Party = Object.freeze({ user: new Account(''), database: new Account('') })
