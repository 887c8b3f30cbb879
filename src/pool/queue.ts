// pool/queue.ts — requests waiting for a connection, in the place of generic-pool's PriorityQueue. Databases take turns, and
// within each its users, by weight; one user's requests are served as they came. Who is at a bound of his own (pool/account.ts)
// takes no turn until there is room. A request that is over leaves at once: generic-pool would count it, and open for nobody.
//
//   queue ─ turns ─▶ database ─ turns ─▶ user ─▶ request ─▶ request ─▶ …      and all requests by age, for those who run out of time
import type { Account, Party, RoomWatcher } from './account.js'
import { Turns, type Taker } from './turns.js'

/** One that waits: what generic-pool makes for its own acquire(), a promise with a timeout; or ours, which is neither. */
export interface Waiting {
  readonly state: string
  resolve(connection: unknown): void
  reject(reason: unknown): void
}

/** What our own pool hands through generic-pool's `priority` argument. */
export interface Ticket<C> {
  /** The idle connection for which this is largest is handed out. */
  readonly prefer: ((connection: C) => number) | null
  /** Exactly this idle connection: it is taken out to be destroyed. */
  readonly take: C | null
}

export interface WaitEnds<C> {
  granted(wait: Wait<C>, connection: C): void
  failed(wait: Wait<C>, reason: unknown): void
}

/** One request in the queue, and its own place in it. */
export class Wait<C> implements Ticket<C>, Waiting {
  readonly state = 'PENDING'
  readonly take = null
  readonly prefer: ((connection: C) => number) | null
  readonly party: Party
  /** Its end ends the wait. */
  readonly signal: AbortSignal
  readonly since: number
  /** When it has waited long enough, ms of performance.now(). */
  readonly deadline: number
  /** null: it does not wait. This and what follows belongs to WaitQueue. */
  line: Line<C> | null = null
  before: Wait<C> | null = null
  behind: Wait<C> | null = null
  older: Wait<C> | null = null
  younger: Wait<C> | null = null
  readonly #ends: WaitEnds<C>

  constructor(
    party: Party,
    { prefer, signal }: { readonly prefer?: ((connection: C) => number) | undefined; readonly signal: AbortSignal },
    since: number,
    deadline: number,
    ends: WaitEnds<C>,
  ) {
    this.prefer = prefer ?? null
    this.party = party
    this.signal = signal
    this.since = since
    this.deadline = deadline
    this.#ends = ends
  }

  resolve(connection: unknown): void {
    this.#ends.granted(this, connection as C)
  }

  reject(reason: unknown): void {
    this.#ends.failed(this, reason)
  }
}

export interface WaitQueueParts {
  /** Connections that nobody has. */
  readonly idle: () => number
  /** Connections that are opened at once at most. */
  readonly openAtOnce: number
  /** Somebody who waits may have a connection now, and could not before. */
  readonly onRoom: () => void
}

/** More of those who are not there now are forgotten. */
const remembered = 1_000

export class WaitQueue<C> {
  readonly #parts: WaitQueueParts
  readonly #sections = new Map<Account, Section<C>>()
  readonly #turns = new Turns<Section<C>>()
  /** Served within the call that put it here, before anybody else. */
  #direct: Waiting | null = null
  #directTicket: Ticket<C> | null = null
  #oldest: Wait<C> | null = null
  #youngest: Wait<C> | null = null
  #waiting = 0

  constructor(parts: WaitQueueParts) {
    this.#parts = parts
  }

  /** All who wait. */
  get waiting(): number {
    return this.#waiting
  }

  /** Somebody waits for nothing but a connection. */
  get ready(): boolean {
    return this.#turns.size > 0
  }

  /**
   * For generic-pool, which opens as many connections as this is more than what it has idle or is opening: how many could take one
   * now, and not so many that it would open more than `openAtOnce`.
   */
  get length(): number {
    const direct = this.#direct === null ? 0 : 1
    if (this.#turns.size === 0) return direct
    const enough = this.#parts.idle() + this.#parts.openAtOnce
    let sum = 0
    for (const section of this.#turns.all) {
      sum += section.takers(enough - sum)
      if (sum >= enough) return direct + enough
    }
    return direct + sum
  }

  /** generic-pool's, for one that takes an idle connection there is, ahead of all. */
  enqueue(waiting: Waiting, ticket: Ticket<C>): void {
    this.#direct = waiting
    this.#directTicket = ticket
  }

  /** Whoever waits gets in line; `again`: one that was called up in vain, who keeps his place. */
  join(wait: Wait<C>, again = false): void {
    const section = this.#section(wait.party.database)
    const line = section.line(wait.party.user)
    wait.line = line
    line.add(wait, again)
    this.#age(wait, again)
    this.#waiting += 1
    if (line.length === 1) this.settle(line)
  }

  dequeue(): Waiting | undefined {
    if (this.#direct !== null) {
      const direct = this.#direct
      this.#direct = null
      this.#directTicket = null
      return direct
    }
    const section = this.#turns.first
    const wait = section?.turns.first?.first ?? null
    if (section === undefined || wait === null) return undefined
    section.turns.served()
    this.#turns.served()
    this.#remove(wait)
    return wait
  }

  /** Who is served next. */
  get first(): Ticket<C> | undefined {
    return this.#directTicket ?? this.#turns.first?.turns.first?.first ?? undefined
  }

  /** For generic-pool, which asks of a queue that is empty. */
  get tail(): Waiting | undefined {
    return this.#youngest ?? undefined
  }

  /** Who has waited longest. */
  get oldest(): Wait<C> | null {
    return this.#oldest
  }

  /** Who came last of those who, for their weight, have most in the queue; for whoever comes now there is no place. */
  lastOfMost(): Wait<C> | null {
    let most: Line<C> | null = null
    for (const section of this.#sections.values()) {
      for (const line of section.lines.values()) {
        if (line.length > 0 && (most === null || line.length / line.weight > most.length / most.weight)) most = line
      }
    }
    return most?.last ?? null
  }

  /** How much of the queue is this user's of this database, for its weight. */
  loadOf({ user, database }: Party): number {
    const line = this.#sections.get(database)?.lines.get(user)
    return line === undefined ? 0 : line.length / line.weight
  }

  /** Takes out generic-pool's own; false: it was served. */
  withdraw(ticket: Ticket<C>): boolean {
    if (this.#directTicket !== ticket) return false
    this.#direct?.reject(null)
    this.#direct = null
    this.#directTicket = null
    return true
  }

  /** Ends one wait; false if it was over already. */
  cancel(wait: Wait<C>, reason: unknown): boolean {
    if (wait.line === null) return false
    this.#remove(wait)
    wait.reject(reason)
    return true
  }

  /** Ends the waits that go with `signal`, which has fired. */
  cancelOf(signal: AbortSignal): void {
    for (const wait of this.#all()) if (wait.signal === signal) this.cancel(wait, signal.reason)
  }

  cancelAll(reason: unknown): void {
    for (const wait of this.#all()) this.cancel(wait, reason)
  }

  /** Whoever waits and has room takes turns; nobody else does. */
  settle(line: Line<C>): void {
    const { section } = line
    const wants = line.length > 0 && line.account.room > 0
    if (wants && line.place < 0) section.turns.enter(line)
    else if (!wants && line.place >= 0) section.turns.leave(line)
    this.settleSection(section)
  }

  settleSection(section: Section<C>): void {
    const wants = section.turns.size > 0 && section.account.room > 0
    if (wants && section.place < 0) this.#turns.enter(section)
    else if (!wants && section.place >= 0) this.#turns.leave(section)
  }

  /** A bound has moved. */
  roomChanged(): void {
    if (this.ready) this.#parts.onRoom()
  }

  #section(database: Account): Section<C> {
    let section = this.#sections.get(database)
    if (section === undefined) {
      section = new Section(this, database)
      this.#sections.set(database, section)
    }
    return section
  }

  #all(): readonly Wait<C>[] {
    const all: Wait<C>[] = []
    for (let wait = this.#oldest; wait !== null; wait = wait.younger) all.push(wait)
    return all
  }

  #age(wait: Wait<C>, again: boolean): void {
    wait.older = again ? null : this.#youngest
    wait.younger = again ? this.#oldest : null
    if (wait.older === null) this.#oldest = wait
    else wait.older.younger = wait
    if (wait.younger === null) this.#youngest = wait
    else wait.younger.older = wait
  }

  #remove(wait: Wait<C>): void {
    const { line, older, younger } = wait
    if (line === null) return
    if (older === null) this.#oldest = younger
    else older.younger = younger
    if (younger === null) this.#youngest = older
    else younger.older = older
    wait.older = null
    wait.younger = null
    wait.line = null
    line.remove(wait)
    this.#waiting -= 1
    if (line.length > 0) return
    this.settle(line)
    if (line.section.lines.size > remembered) line.section.lines.delete(line.account)
  }
}

/** Who waits of one database. */
class Section<C> implements Taker, RoomWatcher {
  readonly weight = 1
  start = 0
  after = 0
  order = 0
  place = -1
  readonly account: Account
  readonly turns: Turns<Line<C>> = new Turns<Line<C>>()
  readonly lines: Map<Account, Line<C>> = new Map<Account, Line<C>>()
  readonly #queue: WaitQueue<C>
  #busy = 0

  constructor(queue: WaitQueue<C>, account: Account) {
    this.#queue = queue
    this.account = account
  }

  line(user: Account): Line<C> {
    let line = this.lines.get(user)
    if (line === undefined) {
      line = new Line(this.#queue, this, user)
      this.lines.set(user, line)
    }
    return line
  }

  /** At most how many of them could take a connection now; counted no further than `enough`. */
  takers(enough: number): number {
    const most = Math.min(this.account.room, enough)
    let sum = 0
    for (const line of this.turns.all) {
      sum += Math.min(line.length, line.account.room)
      if (sum >= most) return most
    }
    return sum
  }

  /** A line of it is not empty any more, or is. */
  lineChanged(by: 1 | -1): void {
    this.#busy += by
    if (by === 1 && this.#busy === 1) this.account.watch(this)
    else if (this.#busy === 0) this.account.unwatch(this)
  }

  roomChanged(): void {
    this.#queue.settleSection(this)
    this.#queue.roomChanged()
  }
}

/** Who waits of one user of one database, as they came. */
class Line<C> implements Taker, RoomWatcher {
  start = 0
  after = 0
  order = 0
  place = -1
  length = 0
  first: Wait<C> | null = null
  last: Wait<C> | null = null
  readonly section: Section<C>
  readonly account: Account
  readonly #queue: WaitQueue<C>

  constructor(queue: WaitQueue<C>, section: Section<C>, account: Account) {
    this.#queue = queue
    this.section = section
    this.account = account
  }

  get weight(): number {
    return this.account.weight
  }

  add(wait: Wait<C>, inFront: boolean): void {
    wait.before = inFront ? null : this.last
    wait.behind = inFront ? this.first : null
    if (wait.before === null) this.first = wait
    else wait.before.behind = wait
    if (wait.behind === null) this.last = wait
    else wait.behind.before = wait
    this.length += 1
    if (this.length > 1) return
    this.account.watch(this)
    this.section.lineChanged(1)
  }

  remove(wait: Wait<C>): void {
    const { before, behind } = wait
    if (before === null) this.first = behind
    else before.behind = behind
    if (behind === null) this.last = before
    else behind.before = before
    wait.before = null
    wait.behind = null
    this.length -= 1
    if (this.length > 0) return
    this.account.unwatch(this)
    this.section.lineChanged(-1)
  }

  roomChanged(): void {
    this.#queue.settle(this)
    this.#queue.roomChanged()
  }
}
