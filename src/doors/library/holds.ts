// doors/library/holds.ts — the server connections that a client has at the moment, one per cluster: leased, brought to where the client
// believes to be, kept while a transaction or a pin stands on them, and given back.
import type { EventEmitter } from 'node:events'
import type { SessionFloors } from '../../consistency/floors.js'
import type { PointsmanError } from '../../errors/error.js'
import type { AcquireRequest } from '../../execute/contract.js'
import { Joint, type JointOwner } from '../../execute/joint.js'
import { objection } from '../../execute/objection.js'
import { writeEnds } from '../../execute/write-marks.js'
import type { OnePlan } from '../../routing/plan.js'
import { fit, mirrored, ownless, replayChanges, replaySql } from '../../session/replay.js'
import type { Session } from '../../session/session.js'
import { connectionSettings, settle, type Settings } from '../../session/settings.js'
import { fail, idle, isJoint, lose, poison } from '../../session/transaction.js'
import { NotWanted, type Moved } from './begun.js'
import type { Core, Ground } from './core.js'
import { Hold, Refused, type LeaseListener } from './hold.js'
import type { PgConnection } from './pg-connection.js'
import type { CarriedSession } from './request-context.js'

/** The statement that a connection is for. */
export interface HoldFor {
  readonly ground: Ground
  readonly startedAt: number
  readonly avoid: ReadonlySet<string>
  readonly moved: Moved | null
}

export interface HoldsParts {
  readonly core: Core
  readonly floors: SessionFloors
  readonly listener: EventEmitter | null
  readonly leases: LeaseListener | null
  /** Whose reads and writes these are; null: nobody's in particular. */
  readonly session: CarriedSession | null
}

const nothing: Settings = new Map()

export class Holds {
  /** The client's; null: it keeps nothing. */
  session: Session | null = null
  /** In which the statement at hand was planned. */
  ground: Ground | null = null
  readonly #parts: HoldsParts
  readonly #held = new Map<string, Hold>()
  #joint: Joint<Hold> | null = null

  constructor(parts: HoldsParts) {
    this.#parts = parts
  }

  /** Of a transaction on several clusters; few clients ever have one. */
  get joint(): Joint<Hold> {
    this.#joint ??= new Joint(jointOwner(this, this.#parts.core, (hold, stands, spoilt) => this.#endedOn(hold, stands, spoilt)))
    return this.#joint
  }

  get size(): number {
    return this.#held.size
  }

  all(): readonly Hold[] {
    return [...this.#held.values()]
  }

  on(cluster: string): Hold | undefined {
    return this.#held.get(cluster)
  }

  /** The connection of the open transaction, or null. */
  get home(): Hold | null {
    const transaction = this.session?.transaction
    return transaction?.kind === 'open' ? (this.#held.get(transaction.home.cluster) ?? null) : null
  }

  // ---- taking

  /** What speaks against sending `plan` now; null: nothing. */
  objection(request: HoldFor, plan: OnePlan): PointsmanError | null {
    const { executor } = request.ground.generation
    const held = this.#held.get(plan.cluster) ?? null
    return objection(executor, plan, held, this.session?.transaction ?? idle, this.#parts.core.now)
  }

  /** The one that there is, or another. */
  async take(request: HoldFor, plan: OnePlan): Promise<Hold> {
    const kept = this.#held.get(plan.cluster)
    if (kept !== undefined) return kept
    const hold = await this.lease(request, plan)
    this.#held.set(plan.cluster, hold)
    return hold
  }

  /** One that is the caller's alone. */
  async lease(request: HoldFor, plan: OnePlan): Promise<Hold> {
    const { core, floors, listener, leases, session } = this.#parts
    const { login, now, stopping } = core
    const { generation } = request.ground
    const wanted = this.#wanted()
    const { executor } = generation
    const { signal } = stopping
    const asked: AcquireRequest<PgConnection> = {
      plan,
      identity: generation.identityFor(plan.cluster, login),
      floors,
      invokedAt: request.startedAt,
      prefer: ({ settings }) => (settings === null ? -1 : fit(wanted, settings.values)),
      avoid: request.avoid,
      signal,
      ...(session === null ? {} : { affinity: session.affinity }),
    }
    // Usually one is idle, and there is nothing to wait for.
    const grant = (signal.aborted ? null : executor.tryAcquire(asked)) ?? (await executor.acquire(asked))
    const hold = new Hold(grant, listener, now(), leases)
    if (request.moved?.granted() === false) {
      hold.release()
      throw new NotWanted()
    }
    return hold
  }

  /** The settings that the client believes to stand, what was set since a deferred BEGIN left out: that comes with its texts. */
  #wanted(): Settings {
    const { session } = this
    if (session === null) return nothing
    const { settings, transaction } = session
    return transaction.kind === 'deferred' ? (settings.undo[0]?.values ?? settings.values) : settings.values
  }

  /** Brings the connection to where the client believes to be. Rejects with the server's error. */
  async prepare(hold: Hold): Promise<void> {
    const { session } = this
    const wanted = this.#wanted()
    const deferred = session?.transaction.kind === 'deferred' && hold.status === 'I' ? session.transaction : null
    const changes = replayChanges(wanted, hold.settings?.values ?? nothing)
    if (changes.length > 0) {
      await say(hold, replaySql(changes))
      hold.settings = { ...(hold.settings ?? connectionSettings(nothing)), values: ownless(wanted) }
    }
    if (deferred === null || session === null) return
    await say(hold, deferred.waiting.map(({ text }) => text).join('\n;\n'))
    hold.settings = mirrored(session.settings)
  }

  // ---- giving back

  release(hold: Hold): void {
    this.#held.delete(hold.cluster)
    hold.release()
  }

  /** With a reason connections are closed instead. */
  end(destroy: string | null): void {
    for (const hold of this.#held.values()) {
      this.writeEnded(hold)
      hold.taint ??= hold.pins.size > 0 ? 'its client kept session state there' : null
      if (destroy === null) hold.release()
      else hold.destroy(destroy)
    }
    this.#held.clear()
  }

  /** Its transaction is over, whatever became of it. */
  writeEnded(hold: Hold): void {
    const { core, floors } = this.#parts
    writeEnds(hold, core.cache, floors, core.now())
  }

  /** The connection is gone. `ends`: what was asked for was the transaction's end; `again`: the client does not hear of it. */
  lost(hold: Hold, { ends, again }: { readonly ends: boolean; readonly again: boolean }): void {
    const { session } = this
    this.#drop(hold)
    if (session === null) return
    const { transaction } = session
    const part = transaction.kind === 'open' && (transaction.home.cluster === hold.cluster || transaction.joined.includes(hold.cluster))
    if (part || (transaction.kind === 'deferred' && !again)) {
      // What asked for its end has it.
      session.transaction = ends ? idle : lose(transaction)
      // Of one that was still deferred a savepoint may be gone back to.
      if (session.transaction.kind === 'idle' || transaction.kind === 'open')
        session.settings = settle(session.settings, { kind: 'rollback' })
    }
    if (part) for (const cluster of transaction.joined) this.#abandon(cluster)
    this.#showPins()
  }

  #drop(hold: Hold): void {
    this.#held.delete(hold.cluster)
    this.writeEnded(hold)
    hold.destroy('the connection was lost')
  }

  /** Its part of a transaction that is lost is taken back before anybody else gets the connection. */
  #abandon(cluster: string): void {
    const hold = this.#held.get(cluster)
    if (hold === undefined) return
    this.writeEnded(hold)
    hold.taint ??= 'left in a transaction'
    this.release(hold)
  }

  // ---- transactions on several clusters

  /** The transaction is open on other clusters, or is about to be. */
  isJoint({ cluster }: Pick<OnePlan, 'cluster'>): boolean {
    const transaction = this.session?.transaction
    return transaction?.kind === 'open' && (transaction.home.cluster !== cluster || transaction.joined.length > 0)
  }

  /** A connection on which the transaction is open as well. Rejects with what the user is to be told; the transaction has failed then. */
  async takeJoint(request: HoldFor, plan: OnePlan): Promise<Hold> {
    let hold: Hold | null = null
    try {
      hold = await this.take(request, plan)
      await this.joint.join(hold)
      return hold
    } catch (error) {
      const gone = [hold, this.home].find((one) => one?.lost === true && this.#isPart(one))
      if (gone) this.lost(gone, { ends: false, again: false })
      if (hold !== null && this.#held.get(hold.cluster) === hold && !this.#isPart(hold)) {
        if (hold.lost) this.#drop(hold)
        else this.release(hold)
      }
      await this.failTransaction()
      throw asTold(error)
    }
  }

  #isPart({ cluster }: Hold): boolean {
    const transaction = this.session?.transaction
    return transaction?.kind === 'open' && (transaction.home.cluster === cluster || transaction.joined.includes(cluster))
  }

  /** A statement has failed on `hold`: so has the transaction on its other clusters. */
  async failOthers(hold: Hold): Promise<void> {
    if (isJoint(this.session?.transaction ?? idle)) await this.joint.failOthers(hold)
  }

  /** A refusal makes the open transaction a failed one, on its servers too, as any error in it would. */
  async failTransaction(): Promise<void> {
    const { session } = this
    if (session === null) return
    const { transaction } = session
    session.transaction = fail(transaction)
    const { home } = this
    if (transaction.kind !== 'open' || transaction.status !== 'T' || home === null) return
    if (isJoint(transaction)) await this.joint.failOthers(home)
    await home.say(poison).catch(() => undefined)
    if (!home.lost) session.transaction = { ...transaction, status: 'E' }
  }

  #endedOn(hold: Hold, stands: boolean, spoilt: boolean): void {
    hold.definedSomething = false
    if (hold.lost || hold.status !== 'I') return this.#drop(hold)
    this.writeEnded(hold)
    if (hold.settings !== null) hold.settings = spoilt ? null : settle(hold.settings, { kind: stands ? 'commit' : 'rollback' })
    if (hold.pins.size === 0) this.release(hold)
  }

  // ---- pins

  pin(hold: Hold, reason: string): void {
    hold.taint ??= reason
    if (this.session === null || hold.pins.has(reason)) return
    hold.pins.add(reason)
    this.#showPins()
  }

  unpin(hold: Hold, reason: string): void {
    if (reason === 'all' || reason === 'DISCARD ALL') hold.pins.clear()
    else hold.pins.delete(reason)
    this.#showPins()
  }

  #showPins(): void {
    const pins = [...this.#held.values()].flatMap(({ cluster, pins: [reason] }) =>
      reason === undefined ? [] : [[cluster, reason] as const],
    )
    if (this.session !== null) this.session.pins = new Map(pins)
  }
}

function jointOwner(holds: Holds, core: Core, endedOn: (hold: Hold, stands: boolean, spoilt: boolean) => void): JointOwner<Hold> {
  return {
    get session() {
      if (holds.session === null) throw new Error('a transaction on several clusters of no session')
      return holds.session
    },
    get home() {
      return holds.home
    },
    get lockTimeoutMs() {
      return holds.ground?.database.twoPhase?.lockTimeoutMs ?? 0
    },
    on: (cluster) => holds.on(cluster),
    commit: async (participants) => (await core.ready()).runtime.twoPhase.commit(core.login.database, participants),
    engage: (parts) => {
      const generation = holds.ground?.generation
      return (stands, spoilt) => {
        for (const hold of parts) {
          if (stands && hold.writing && !hold.lost) generation?.writeAcknowledged(hold.cluster, core.now())
          if (hold.definedSomething) generation?.catalogChanged(hold.cluster)
          endedOn(hold, stands, spoilt.has(hold))
        }
      }
    },
  }
}

/** What the user is told of an error: where it was a server's, in the server's own words. */
export function asTold(error: unknown): unknown {
  return error instanceof Refused ? error.told : error
}

async function say(hold: Hold, sql: string): Promise<void> {
  hold.connection.begin()
  await hold.connection.client.query(sql)
}
