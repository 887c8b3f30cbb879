// doors/proxy/lane-seat.ts — one client's place on the lanes: takes a request there where it may go, gives its reply to the
// client, and where the lane cannot answer it lets the request run on a connection of its own, as if it had never been there.
//
//   take() ──▶ on a lane ── reply ──▶ told, over
//                 │ stalled: a connection of its own is asked for, while the reply may still come
//                 ├── granted first ──▶ let go of there, and run on that connection
//                 └── reply first ────▶ told; what was asked for is given back
import { encodeReadyForQuery } from '../../protocol/backend-messages.js'
import type { ErrorFields } from '../../protocol/error-fields.js'
import { PointsmanError } from '../../errors/error.js'
import { rerunFor } from '../../execute/again.js'
import { endedByServer, lossError } from '../../execute/loss-error.js'
import { fitsPlace, outlived, routeTo, type Place } from '../../execute/place.js'
import type { AcquireRequest, RouteTaken } from '../../execute/contract.js'
import { isStaleStatement } from '../../execute/stale-statement.js'
import { nobody, type Party } from '../../pool/account.js'
import type { WireLaneGroup } from '../../pool/wire-lanes.js'
import type { LaneMiss, LaneOf, LaneRequest, LaneSlot } from '../../pool/lane-request.js'
import { bar, isProved, type ShapeRecord } from '../../pool/shape-book.js'
import type { OnePlan } from '../../routing/plan.js'
import type { Loss, PreparedNames, ServerConnection } from '../../server/contract.js'
import { ServerError } from '../../server/server-error.js'
import { laneKey } from '../../session/lane-key.js'
import type { Settings } from '../../session/settings.js'
import type { ClientState } from './client-state.js'
import { errorFields } from './error-reply.js'
import type { Generations } from './generations.js'
import type { Hold } from './hold.js'
import type { Holds } from './holds.js'
import type { LaneParts } from './lane-parts.js'
import { namesOurs } from './named-errors.js'
import type { Presence } from './presence.js'
import type { Request } from './request.js'
import type { Told } from './told.js'

/** One request, as its kind (a Query, a batch) knows it. */
export interface LaneWork {
  /** What was prepared on the connection is as this client knows it. */
  fits(names: PreparedNames): boolean
  /** Its frames for a lane's connection; the acknowledgements that the client does not get are counted in the slot. */
  compile(names: PreparedNames, slot: LaneSlot, frames: Uint8Array[]): void
  /** What the client gets before the server's reply, or null; known once compiled. */
  readonly head: Uint8Array | null
  /** What it has prepared on the connection is of no use any more. */
  forget(names: PreparedNames): void
  /** The client got an error; `parsed`: of what comes after its Parse. */
  failed(parsed: boolean): void
  /** The whole reply, whose error speaks of a statement by a name of ours, as the client would have got it. */
  renamed(reply: Uint8Array, names: PreparedNames): Uint8Array
  /** The client gets this reply, or the next part of it. False: what it says of columns, which later requests rely on, is still to come. */
  told?(reply: Uint8Array, names: PreparedNames): boolean
  /** The client has its reply, ReadyForQuery included. */
  end(): void
  /** To be run on a connection of its own; `writes`: the server refused it as a write. null: it has ended. */
  again(writes: boolean): Promise<void> | null
}

export interface LaneSeatParts extends LaneParts {
  readonly state: ClientState
  readonly generations: Generations
  readonly holds: Holds
  readonly presence: Presence
  readonly told: Told
  /** Tells ReadyForQuery. */
  readonly ready: () => void
  /** The request has ended, or `pending` is what is still waited for. */
  readonly onEnd: (pending: Promise<void> | null) => void
}

export class LaneSeat implements LaneRequest {
  queuedAt = 0
  party: Party = nobody
  record: ShapeRecord
  readonly #parts: LaneSeatParts
  /** A reply may still come from a lane: the request is on it, or in line. */
  #onLane = false
  /** A connection of its own is being waited for. */
  #acquiring = false
  /** The client has been told all that it gets. */
  #over = false
  #streaming = false
  /** Of a reply that goes on as it comes: its columns are known. */
  #told = false
  /** A server refused it as a write. */
  #writes = false
  #work: LaneWork | null = null
  #request: Request | null = null
  #plan: OnePlan | null = null
  #place: Place<ServerConnection> | null = null
  #route: RouteTaken | null = null
  /** The lanes that the last request went to. */
  #group: WireLaneGroup | null = null
  #groupPool: unknown = null
  #groupValues: Settings | null = null
  #groupKey = ''

  constructor(parts: LaneSeatParts) {
    this.#parts = parts
    this.record = nothing
  }

  /** Nothing is against a lane that is known beforehand. */
  wants(plan: OnePlan, shape: number, now: number): boolean {
    const { state, holds, lanes } = this.#parts
    // Who listens is told before ReadyForQuery what was notified, for which a lane has no place.
    if (!plan.lane || plan.keptOn !== null || state.bus !== null || !lanes.config.enabled) return false
    if (holds.size > 0 || !state.runtime.gate.open) return false
    return isProved(this.#recordOf(plan.cluster, shape), lanes.config, now)
  }

  /** Puts the request on a lane. False: it needs a connection of its own. */
  take(work: LaneWork, plan: OnePlan, request: Request): boolean {
    const { state, generations } = this.#parts
    if (request.shape === null || !this.wants(plan, request.shape, request.startedAt)) return false
    const asked = this.#asked(plan, request)
    const place = generations.current.executor.place(asked)
    const group = place === null ? null : this.#groupOf(place)
    if (place === null || group === null) return false
    this.#work = work
    this.#request = request
    this.#plan = plan
    this.#place = place
    this.#onLane = true
    this.party = asked.identity.party ?? nobody
    if (group.push(this, request.startedAt)) {
      state.traffic.assignments += 1
      return true
    }
    this.#clear()
    return false
  }

  #recordOf(cluster: string, shape: number): ShapeRecord {
    const { record } = this
    if (record.shape !== shape || record.cluster !== cluster) this.record = this.#parts.book.of(cluster, shape)
    return this.record
  }

  #asked(plan: OnePlan, request: Request): AcquireRequest<ServerConnection> {
    const { state, generations, presence } = this.#parts
    return {
      plan,
      identity: generations.identityOn(plan.cluster),
      floors: state.floors,
      invokedAt: request.invokedAt,
      signal: presence.signal,
    }
  }

  #groupOf({ pool }: Place<ServerConnection>): WireLaneGroup | null {
    const { values } = this.#parts.state.session.settings
    const same = this.#group?.usable === true && this.#groupPool === pool
    if (same && this.#groupValues === values) return this.#group
    const key = laneKey(values)
    if (!same || this.#groupKey !== key) this.#group = this.#parts.lanes.group(pool, key, values)
    this.#groupPool = pool
    this.#groupValues = values
    this.#groupKey = key
    return this.#group
  }

  // ---- what a lane asks and tells

  fits({ connection }: LaneOf): boolean {
    if (this.#place === null || !fitsPlace(this.#place, connection.evidence)) return false
    return this.#work?.fits(connection.statements) === true
  }

  outlived({ connection }: LaneOf): boolean {
    return this.#place !== null && outlived(this.#place, connection.evidence)
  }

  /** Since it was put in line the topology may have changed: another primary, another timeline. */
  comesUp(): void {
    const place = this.#place
    const plan = this.#plan
    const request = this.#request
    if (place === null || plan === null || request === null) return
    const { current } = this.#parts.generations
    if (current.topology().clusters.get(plan.cluster) === place.snapshot) return
    const now = current.executor.place(this.#asked(plan, request))
    this.#place = now?.pool === place.pool ? now : null
  }

  compile(names: PreparedNames, slot: LaneSlot, frames: Uint8Array[]): void {
    this.#work?.compile(names, slot, frames)
  }

  answered(reply: Uint8Array, ready: boolean, lane: LaneOf): void {
    const { output } = this.#parts.state
    const head = this.#work?.head ?? null
    this.#came(lane)
    this.#seen(lane)
    this.#work?.told?.(reply, lane.connection.statements)
    if (head !== null) output.write(head)
    output.write(ready ? reply : withReady(reply))
    this.#settled()
  }

  failed(error: ErrorFields, parsed: boolean, reply: Uint8Array, lane: LaneOf): void {
    if (this.#notHere(error, lane)) return this.#runElsewhere()
    const request = this.#request
    if (request !== null) request.outcome = outcomeOf(error)
    this.#work?.failed(parsed)
    const renamed = namesOurs(error.message) ? this.#work?.renamed(reply, lane.connection.statements) : undefined
    this.answered(renamed ?? reply, true, lane)
  }

  /** The error says "not on this connection" rather than "not at all". */
  #notHere({ code, routine }: ErrorFields, { node, cluster, connection }: LaneOf): boolean {
    if (code === '25006') {
      const { state, lanes } = this.#parts
      this.#writes = true
      bar(this.record, 'writes', state.now())
      lanes.counts.misrouted += 1
      state.observer.emit('read.misrouted', { cluster, node, shape: this.#request?.shape ?? null })
      return true
    }
    // The plan of a statement that was prepared for somebody, earlier: the client never saw that.
    if (isStaleStatement(code, routine)) {
      this.#work?.forget(connection.statements)
      return true
    }
    return rerunFor(code, this.#place?.role ?? 'primary') !== null
  }

  streamed(part: Uint8Array, last: boolean, error: ErrorFields | null, lane: LaneOf): boolean {
    const { output } = this.#parts.state
    if (!this.#streaming) {
      this.#streaming = true
      const head = this.#work?.head ?? null
      this.#came(lane)
      if (head !== null) output.write(head)
    }
    if (!this.#told) this.#told = this.#work?.told?.(part, lane.connection.statements) ?? true
    const keepsUp = output.write(part)
    if (last) {
      output.onDrain = null
      this.#seen(lane)
      if (this.#request !== null && error !== null) this.#request.outcome = outcomeOf(error)
      this.#settled()
    } else if (!keepsUp) output.onDrain = (): void => lane.resume()
    return keepsUp
  }

  broken(loss: Loss, torn: boolean, lane: LaneOf): void {
    const { state } = this.#parts
    this.#seen(lane)
    state.output.onDrain = null
    if (this.#request !== null) this.#request.outcome = 'lost'
    if (torn) state.output.silence()
    if (this.#route !== null) state.endWith(lostError(this.#route, loss))
    this.#settled()
  }

  missed(miss: LaneMiss): void {
    const place = this.#place
    if (miss.why === 'lost' && place?.role === 'replica' && this.#request !== null)
      this.#request.avoid = new Set(this.#request.avoid).add(place.node.id)
    this.#runElsewhere()
  }

  stalled(): void {
    if (!this.#onLane || this.#acquiring || this.#streaming || this.#plan === null || this.#request === null) return
    try {
      const held = this.#parts.holds.take(this.#plan, this.#request)
      this.#acquiring = true
      if (!(held instanceof Promise)) return this.#granted(held)
      held.then(
        (hold) => this.#granted(hold),
        (error: unknown) => this.#notGranted(error),
      )
    } catch {
      // None to be had: what comes from the lane is all there is.
      this.#acquiring = false
    }
  }

  #granted(hold: Hold): void {
    this.#acquiring = false
    if (this.#over || this.#writes) this.#parts.holds.release(hold)
    if (this.#over) return this.#end()
    this.#letGo()
    this.#again()
  }

  #notGranted(error: unknown): void {
    this.#acquiring = false
    if (this.#over) this.#end()
    else if (!this.#onLane && error instanceof PointsmanError && error.key === 'canceled') this.#canceled()
    else if (!this.#onLane) this.#again()
  }

  // ---- what the client wants

  /** As a CancelRequest asks. What waits for a connection is the holds' business. */
  cancel(): void {
    if (!this.#onLane || this.#over) return
    const lane = this.#group?.laneOf(this) ?? null
    if (lane?.cancel(this) === 'sent') return
    if (lane === null) this.#group?.leaveLine(this)
    this.#canceled()
  }

  /** Nothing of it runs anywhere. */
  #canceled(): void {
    const { state, ready } = this.#parts
    this.#onLane = false
    if (this.#request !== null) this.#request.outcome = 'canceled'
    state.tell(errorFields(new PointsmanError('canceled')))
    ready()
    this.#settled()
  }

  /** The client is gone: its reply is dropped. */
  leave(): void {
    if (this.#work === null || this.#over) return
    this.#letGo()
    if (this.#request !== null) this.#request.outcome = 'canceled'
    this.#settled()
  }

  // ---- ends

  /** Its reply is here. */
  #came({ connection, cluster }: LaneOf): void {
    const { told } = this.#parts
    const place = this.#place
    const plan = this.#plan
    const request = this.#request
    this.#onLane = false
    if (place === null || plan === null || request === null) return
    this.#route = routeTo(place, connection.evidence, plan, request.invokedAt)
    told.comesToLane(connection, cluster, place.role)
  }

  /** What it shows, later reads of the session must show too. */
  #seen({ connection, cluster }: LaneOf): void {
    const { floors, now } = this.#parts.state
    const route = this.#route
    if (route === null || this.#request === null || this.#plan?.readsData !== true) return
    const { openedAt, postmasterStart } = connection.evidence
    const startedAt = Math.max(this.#request.startedAt, openedAt)
    floors.readEnded(cluster, { node: route.node, role: route.role, openedAt, postmasterStart, startedAt, endedAt: now() })
  }

  #letGo(): void {
    if (!this.#onLane && !this.#streaming) return
    this.#onLane = false
    if (this.#group?.leaveLine(this) !== true) this.#group?.laneOf(this)?.drop(this)
  }

  #runElsewhere(): void {
    this.#onLane = false
    // Else it is on its way there already.
    if (!this.#acquiring) this.#again()
  }

  #again(): void {
    const work = this.#work
    const writes = this.#writes
    this.#clear()
    if (work !== null) this.#parts.onEnd(work.again(writes))
  }

  #settled(): void {
    this.#over = true
    this.#onLane = false
    if (this.#acquiring) this.#parts.presence.stopWaiting()
    else this.#end()
  }

  #end(): void {
    const work = this.#work
    const request = this.#request
    if (request !== null && this.#route !== null) {
      request.plan = this.#plan
      request.route = this.#route
    }
    this.#clear()
    work?.end()
    this.#parts.onEnd(null)
  }

  #clear(): void {
    this.#work = null
    this.#request = null
    this.#plan = null
    this.#place = null
    this.#route = null
    this.#onLane = false
    this.#over = false
    this.#streaming = false
    this.#told = false
    this.#writes = false
  }
}

const readyIdle = encodeReadyForQuery('I')

/** In one piece, which is copied once. */
function withReady(reply: Uint8Array): Uint8Array {
  const made = Buffer.allocUnsafe(reply.length + readyIdle.length)
  made.set(reply)
  for (let at = 0, to = reply.length; at < readyIdle.length;) made[to++] = readyIdle[at++] ?? 0
  return made
}

const nothing: ShapeRecord = {
  cluster: '',
  shape: -1,
  runs: 0,
  ms: 0,
  bytes: 0,
  bars: 0,
  barredUntil: Infinity,
  barred: null,
  alone: 0,
}

function outcomeOf({ code }: ErrorFields): Request['outcome'] {
  return code === '57014' ? 'canceled' : 'error'
}

function lostError(route: RouteTaken, { error }: Loss): PointsmanError | ServerError {
  if (error !== null && route.role === 'primary' && endedByServer(error.code)) return new ServerError(error)
  return lossError(route, false, error === null ? {} : { detail: `The server said: ${error.message} (${error.code})` })
}
