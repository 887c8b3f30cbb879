// doors/proxy/sequences.ts — currval() and lastval() answer from the memory of one server connection. Shared connections have
// the memory of whoever wrote there last, so they are asked only where nothing else can be in it:
//
//   in the transaction, or the time on one connection, in which this session has written       if its memory was empty before that,
//   on the one connection on which all of its writes ran, if it can be had                      or nobody else has written there
//   else                                                                                        55000, and from then on
//
// writes of that user begin with an empty memory, and keep their connection for a moment, for the question that usually follows.
import { PointsmanError } from '../../errors/error.js'
import type { OnePlan } from '../../routing/plan.js'
import type { ServerConnection } from '../../server/contract.js'
import type { Hold } from './hold.js'

/** Several sessions have written on a connection. */
const several = {}
/** `database\0user` of those who have asked, by runtime. */
const askers = new WeakMap<object, Set<string>>()
/** How long a connection is kept for the question after a write. */
export const lingerMs: number = 200

/** Whose they are. `runtime` is where it is remembered who has asked. */
export interface SequenceOwner {
  readonly database: string
  readonly user: string
  readonly runtime: object
}

export class Sequences {
  readonly #owner: SequenceOwner
  readonly #who: string
  readonly #askers: Set<string>
  /** Where this session has written. */
  #on: ServerConnection | null = null
  #elsewhere = false

  constructor(owner: SequenceOwner) {
    this.#owner = owner
    this.#who = `${owner.database}\0${owner.user}`
    const known = askers.get(owner.runtime)
    this.#askers = known ?? new Set()
    if (known === undefined) askers.set(owner.runtime, this.#askers)
  }

  /** Before a write of this session is sent. */
  wrote(hold: Hold): void {
    const { connection } = hold
    if (!hold.wrote) hold.draws = connection.wroteFor === null
    hold.wrote = true
    if (connection.wroteFor !== this) connection.wroteFor = connection.wroteFor === null ? this : several
    if (this.#on === connection) return
    this.#elsewhere = this.#on !== null
    this.#on = connection
  }

  /** DISCARD ALL, DISCARD SEQUENCES. */
  forget(): void {
    this.#on = null
    this.#elsewhere = false
  }

  /** For a connection to ask: the one that knows before all others. */
  prefer(connection: ServerConnection): number {
    return this.#knows(connection) ? 1 : 0
  }

  #knows(connection: ServerConnection): boolean {
    return !this.#elsewhere && this.#on === connection && connection.wroteFor === this
  }

  /** What the connection remembers was drawn by this session, and by nobody else; nor has the session drawn elsewhere what it would miss. */
  #remembers({ connection, wrote, draws }: Hold): boolean {
    return this.#knows(connection) || (wrote && draws && connection.wroteFor === this)
  }

  /** This user's writes are kept together with what asks for their sequences. */
  get keeps(): boolean {
    return this.#askers.size > 0 && this.#askers.has(this.#who)
  }

  /** Before `plan` is the first to write: the connection remembers what others have drawn, or what is not the session's last. */
  mustForget(hold: Hold, plan: OnePlan): boolean {
    if (!plan.writes || hold.wrote || !(this.keeps || plan.readsSequences)) return false
    const { wroteFor } = hold.connection
    return wroteFor !== null && (wroteFor !== this || this.#elsewhere)
  }

  /**
   * Throws 55000 where an answer could be another session's, or not the last of this one. The first that writes may ask for what it
   * has drawn itself: everything is discarded before it, so PostgreSQL has the 55000 for what this session has drawn elsewhere.
   */
  require(hold: Hold, plan: OnePlan): void {
    if (this.#remembers(hold)) return
    if (plan.writes && !hold.wrote) {
      if (this.#on !== null) this.#askers.add(this.#who)
      return
    }
    // The next write here begins anew, also where the connection is kept: what is drawn from then on can be asked for.
    hold.wrote = false
    const { size } = this.#askers
    this.#askers.add(this.#who)
    if (this.#on === null) throw new PointsmanError('sequence_undefined')
    throw new PointsmanError(
      'sequence_elsewhere',
      size === this.#askers.size
        ? {}
        : { detail: `It will be: connections of ${this.#owner.user} are kept for a moment after each write from now on.` },
    )
  }
}
