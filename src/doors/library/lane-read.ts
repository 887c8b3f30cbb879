// doors/library/lane-read.ts — one read on its way over a lane: it has its result from there, or is run on a connection of its own
// as if it had never been there.
//
//   take() ──▶ on a lane ── result ──▶ settled
//                 │ stalled: a connection of its own is waited for, while the result may still come
//                 ├── granted first ──▶ let go of there, and run on that connection
//                 └── result first ───▶ settled; the connection goes back unused
import { boundSeconds, policyName } from '../../execute/measured.js'
import { homesTouched } from '../../execute/homes-touched.js'
import { rerunFor } from '../../execute/again.js'
import { fitsPlace, outlived, routeTo, type Place } from '../../execute/place.js'
import type { RouteTaken } from '../../execute/contract.js'
import { isStaleStatement } from '../../execute/stale-statement.js'
import type { LaneNewcomer } from '../../pool/lane-kind.js'
import { sqlstateOf } from '../../pool/failure.js'
import type { LaneCounts } from '../../pool/lanes.js'
import { bar, type ShapeRecord } from '../../pool/shape-book.js'
import type { OnePlan } from '../../routing/plan.js'
import { withRoute } from './answers.js'
import { NotWanted, type Begun, type Moved } from './begun.js'
import type { Core } from './core.js'
import type { PgResult } from './pg-client.js'
import type { PgConnection } from './pg-connection.js'
import type { PlainQuery, Query } from './query-arguments.js'
import type { Answer } from './request.js'
import type { CarriedSession } from './request-context.js'

/** What pg is given of a query that may share a connection. */
export interface LaneConfig {
  readonly text: string
  readonly values?: readonly unknown[]
  readonly name?: string
}

/** What it may know of its lane. */
interface ReadLane {
  readonly node: string
  readonly cluster: string
  readonly connection: Pick<PgConnection, 'evidence'>
  /** A name stands for one text on a connection, and pg refuses another one. */
  knowsNameAs(name: string, text: string): boolean
  retire(reason: string): void
}

/** Where it stands, on a lane or in line. */
interface ReadLanes {
  leaveLine(read: LaneRead): boolean
  laneOf(read: LaneRead): { drop(read: LaneRead): void } | null
}

/** How a read is run on a connection of its own, and what is to be done when it has been answered. */
export interface LaneUser {
  elsewhere(query: Query, session: CarriedSession | null, begun: Begun): Promise<Answer>
  onEnd(): void
}

export interface LaneReadParts {
  readonly core: Core
  readonly query: PlainQuery
  readonly config: LaneConfig
  readonly begun: Begun
  readonly plan: OnePlan
  readonly place: Place<PgConnection>
  readonly record: ShapeRecord
  readonly session: CarriedSession | null
  readonly group: ReadLanes
  readonly user: LaneUser
  readonly counts: Pick<LaneCounts, 'misrouted'>
}

const nowhere: ReadonlySet<string> = new Set()

/** Rejects. As pg does: what led to the query is worth more than what led to its reply. */
async function failedThere(error: unknown): Promise<never> {
  // By then whoever asked waits for this promise, and is found from here.
  await Promise.resolve()
  await Promise.resolve()
  if (error instanceof Error) Error.captureStackTrace(error)
  throw error
}

export class LaneRead implements LaneNewcomer<ReadLane> {
  queuedAt = 0
  readonly config: LaneConfig
  readonly record: ShapeRecord
  readonly result: Promise<Answer>
  readonly #parts: LaneReadParts
  #resolve!: (answer: Answer | Promise<Answer>) => void
  #reject!: (error: unknown) => void
  #endSession: (() => void) | undefined
  /** Its result may still come from a lane: it is on one, or in line. */
  #onLane = true
  /** A connection of its own is waited for, or has it. */
  #moving = false
  #over = false
  #writes = false
  #avoid = nowhere

  constructor(parts: LaneReadParts) {
    this.#parts = parts
    this.config = parts.config
    this.record = parts.record
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** It has been taken. */
  begin(): void {
    const { core, begun, session } = this.#parts
    core.alive.begin()
    begun.ground.generation.enter()
    this.#endSession = session?.begin()
  }

  // ---- what a lane asks and tells

  fits(lane: ReadLane): boolean {
    const { name, text } = this.config
    if (!fitsPlace(this.#parts.place, lane.connection.evidence)) return false
    return name === undefined || name === '' || lane.knowsNameAs(name, text)
  }

  outlived({ connection }: ReadLane): boolean {
    return outlived(this.#parts.place, connection.evidence)
  }

  /** `now`: process-monotonic ms. */
  answered(result: PgResult, lane: ReadLane, now: number): void {
    const route = this.#came(lane, 'ok', now)
    this.#settle()
    this.#resolve(withRoute(result, route))
  }

  failed(error: unknown, lane: ReadLane, now: number): void {
    const code = sqlstateOf(error)
    if (this.#notHere(error, code, lane)) return this.#elsewhere()
    this.#came(lane, code === '57014' ? 'canceled' : 'error', now)
    this.#settle()
    this.#resolve(failedThere(error))
  }

  /** The error says "not on this connection" rather than "not at all". */
  #notHere(error: unknown, code: string | null, lane: ReadLane): boolean {
    const { core, place, begun } = this.#parts
    if (code === '25006') {
      this.#writes = true
      bar(this.record, 'writes', core.now())
      this.#parts.counts.misrouted += 1
      core.observer.emit('read.misrouted', { cluster: lane.cluster, node: lane.node, shape: begun.understood.shape.id })
      return true
    }
    // What somebody else had prepared under this name, earlier, is of no use any more.
    const { name } = this.config
    if (name !== undefined && isStaleStatement(code, (error as { readonly routine?: unknown }).routine)) {
      lane.retire('a prepared statement is of no use any more')
      return true
    }
    if (rerunFor(code, place.role) === null) return false
    this.#avoid = new Set(this.#avoid).add(place.node.id)
    return true
  }

  missed({ why }: { readonly why: 'lost' | 'crowded' }): void {
    const { place } = this.#parts
    if (why === 'lost' && place.role === 'replica') this.#avoid = new Set(this.#avoid).add(place.node.id)
    this.#elsewhere()
  }

  stalled(): void {
    if (this.#onLane && !this.#moving && !this.#over) this.#run()
  }

  // ---- a connection of its own

  #elsewhere(): void {
    this.#onLane = false
    // Else it is on its way there already.
    if (!this.#moving) this.#run()
  }

  #run(): void {
    this.#moving = true
    const writes = this.#writes
    const moved: Moved = {
      avoid: this.#avoid,
      writes,
      granted: () => this.#granted(writes),
      silent: () => this.#over || this.#onLane || this.#writes !== writes,
    }
    const { user, query, session, begun } = this.#parts
    user.elsewhere(query, session, { ...begun, moved }).then(
      (answer) => {
        this.#settle()
        this.#resolve(answer)
      },
      (error: unknown) => this.#failedElsewhere(error),
    )
  }

  /** `writes`: as what it was to run there. Since then a server may have told that it is a write. */
  #granted(writes: boolean): boolean {
    if (this.#over || this.#writes !== writes) return false
    if (this.#onLane) {
      this.#onLane = false
      if (!this.#parts.group.leaveLine(this)) this.#parts.group.laneOf(this)?.drop(this)
    }
    return true
  }

  #failedElsewhere(error: unknown): void {
    if (this.#over) return
    this.#moving = false
    // None to be had: what comes from the lane is all there is.
    if (this.#onLane) return
    if (error instanceof NotWanted) return this.#run()
    this.#settle()
    this.#reject(error)
  }

  // ---- ends

  /** Its result is here. */
  #came({ connection }: ReadLane, outcome: 'ok' | 'error' | 'canceled', now: number): RouteTaken {
    const { core, place, plan, begun, session } = this.#parts
    const { startedAt, understood } = begun
    const { evidence } = connection
    this.#onLane = false
    const route = routeTo(place, evidence, plan, startedAt)
    if (session !== null && plan.readsData) {
      const { openedAt, postmasterStart } = evidence
      const read = { node: route.node, role: route.role, openedAt, postmasterStart, startedAt: Math.max(startedAt, openedAt), endedAt: now }
      session.floors.readEnded(plan.cluster, read)
    }
    core.observer.emit('query.end', {
      door: 'library',
      database: core.login.database,
      user: core.login.user,
      cluster: route.cluster,
      node: route.node,
      role: route.role,
      owner: plan.owner,
      outcome,
      seconds: (now - startedAt) / 1000,
      why: plan.why,
      shape: understood.shape.id,
      policy: policyName(plan),
      step: route.step,
      boundSeconds: boundSeconds(plan, route),
      homes: homesTouched(plan, understood.shape.key, () => undefined),
    })
    return route
  }

  #settle(): void {
    if (this.#over) return
    this.#over = true
    this.#endSession?.()
    const { core, begun, user } = this.#parts
    begun.ground.generation.leave()
    core.alive.end()
    user.onEnd()
  }
}
