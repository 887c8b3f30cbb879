// pool/lanes.ts — the lanes of a process: by pool (node, login, database) and by the settings that matter. A group of lanes
// opens them as they are needed, gives each request to the one with the least in flight, and lets them go when nobody comes.
// They are leases of the pool like any other, so `pool.max` counts them; at most half of it may be lanes.
//
//   request ──▶ a lane about to write, or the one with the least in flight ──▶ or in line, as long as the lanes move ──▶ or false: a connection of its own
import type { LanesConfig } from '../config/config.js'
import { nobody, type Account } from './account.js'
import { laneSettingNames, laneSettings } from '../session/lane-key.js'
import type { Settings } from '../session/settings.js'
import type { Lease, PooledConnection } from './contract.js'
import type { LaneKind, LaneNewcomer, LaneOwner, LaneState, SharedLane } from './lane-kind.js'
import type { Pool } from './pool.js'

/** Requests of a group within a second before lanes are worth opening. */
const warmRequests = 16
const warmMs = 1_000
/** Idle longer than this: the connection goes back. */
const idleMs = 2_000
/** The same, where others wait for a connection. */
const wantedMs = 50
/** After an opening that failed. */
const retryMs = 1_000
const tickMs = 5
/**
 * Where this process does not get its turn in time, the servers beside it do not either, and what it reads it reads late: so much
 * longer, by how late it was of late, nobody is called slow.
 */
const lateShare = 3
/** What is left at each tick of the worst lateness: half of it after about a second. */
const lateDecay = 0.9965
/** Of a group, for each of its lanes. */
const lineOfLane = 256

/** What the lanes have done since the start. */
export interface LaneCounts {
  served: number
  /** Batches that had no Sync of their own. */
  joined: number
  stalled: number
  moved: number
  large: number
  canceled: number
  missed: number
  misrouted: number
}

/** One lane, as SHOW LANES tells it. */
export interface LaneSnapshot {
  readonly cluster: string
  readonly node: string
  readonly user: string
  readonly dbname: string
  /** Settings that its sessions have in common, by name. */
  readonly settings: readonly string[]
  readonly state: LaneState
  readonly inFlight: number
  /** In line for any lane of its group. */
  readonly waiting: number
  readonly served: number
  /** Seconds. */
  readonly age: number
}

/** All of them. */
export interface LanesReport {
  readonly lanes: readonly LaneSnapshot[]
  readonly counts: Readonly<LaneCounts>
  /** Shapes that may not share a connection for now. */
  readonly barred: number
}

export interface LanesParts<C extends PooledConnection, R, L> {
  /** Process-monotonic milliseconds. */
  readonly now: () => number
  readonly kind: LaneKind<C, R, L>
}

export class Lanes<C extends PooledConnection, R extends LaneNewcomer<L>, L extends SharedLane<R>> {
  readonly counts: LaneCounts = { served: 0, joined: 0, stalled: 0, moved: 0, large: 0, canceled: 0, missed: 0, misrouted: 0 }
  readonly #parts: LanesParts<C, R, L>
  readonly #pools = new Map<Pool<C>, PoolLanes<C, R, L>>()
  /** Retired, with requests that are still to be answered or told that what stands before them is slow. */
  readonly #leaving = new Set<PoolLanes<C, R, L>>()
  /** Pools that tell when they close. */
  readonly #heard = new WeakSet<Pool<C>>()
  #config: LanesConfig
  #timer: NodeJS.Timeout | null = null
  #lookedAt = -Infinity
  #late = 0
  readonly #look = (): void => this.#check()
  #closed = false

  constructor(config: LanesConfig, parts: LanesParts<C, R, L>) {
    this.#config = config
    this.#parts = parts
  }

  get config(): LanesConfig {
    return this.#config
  }

  /** After a reload: lanes made under other limits go when they are idle. */
  configure(config: LanesConfig): void {
    if (JSON.stringify(config) === JSON.stringify(this.#config)) return
    this.#config = config
    for (const pool of [...this.#pools.keys()]) this.#leave(pool, 'the configuration has changed')
  }

  /** The lanes for sessions with these settings; the same object as long as it is `usable`. */
  group(pool: Pool<C>, key: string, settings: Settings): LaneGroup<C, R, L> | null {
    if (this.#closed || pool.draining) return null
    let lanes = this.#pools.get(pool)
    if (lanes === undefined) {
      lanes = new PoolLanes(pool, this.#config, this.counts, this.#parts)
      this.#pools.set(pool, lanes)
      this.#hear(pool)
    }
    this.#timer ??= setInterval(() => setImmediate(this.#look), tickMs).unref()
    return lanes.group(key, settings)
  }

  #hear(pool: Pool<C>): void {
    if (this.#heard.has(pool)) return
    this.#heard.add(pool)
    pool.onDraining(() => this.#leave(pool, 'the pool is closing'))
  }

  #leave(pool: Pool<C>, reason: string): void {
    const lanes = this.#pools.get(pool)
    if (lanes === undefined) return
    this.#pools.delete(pool)
    this.#leaving.add(lanes)
    lanes.retire(reason)
  }

  /** Requests that are on lanes of this node. */
  inFlight(node: string): number {
    let sum = 0
    for (const lanes of this.#pools.values()) if (lanes.node === node) sum += lanes.inFlight()
    for (const lanes of this.#leaving) if (lanes.node === node) sum += lanes.inFlight()
    return sum
  }

  snapshot(): readonly LaneSnapshot[] {
    return [...this.#pools.values(), ...this.#leaving].flatMap((pool) => pool.snapshot(this.#parts.now()))
  }

  /** All lanes go when what is in flight on them is answered. */
  close(): void {
    this.#closed = true
    for (const pool of [...this.#pools.keys()]) this.#leave(pool, 'shutting down')
  }

  /** In the check phase, once what the sockets had was read: a pause of this process is nobody's stall. */
  #check(): void {
    const now = this.#parts.now()
    const late = this.#lookedAt === -Infinity ? 0 : now - this.#lookedAt - tickMs
    this.#lookedAt = now
    this.#late = Math.max(late, this.#late * lateDecay)
    const patience = this.#config.stallMs + this.#late * lateShare
    let busy = false
    for (const [pool, lanes] of this.#pools) {
      if (lanes.check(now, patience)) busy = true
      else this.#pools.delete(pool)
    }
    for (const lanes of this.#leaving) {
      lanes.check(now, patience)
      if (lanes.size > 0) busy = true
      else this.#leaving.delete(lanes)
    }
    if (!busy) this.#stop()
  }

  #stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#lookedAt = -Infinity
  }
}

/** The lanes of one pool. */
class PoolLanes<C extends PooledConnection, R extends LaneNewcomer<L>, L extends SharedLane<R>> {
  readonly #pool: Pool<C>
  readonly #config: LanesConfig
  readonly #counts: LaneCounts
  readonly #parts: LanesParts<C, R, L>
  readonly #groups = new Map<string, LaneGroup<C, R, L>>()

  constructor(pool: Pool<C>, config: LanesConfig, counts: LaneCounts, parts: LanesParts<C, R, L>) {
    this.#pool = pool
    this.#config = config
    this.#counts = counts
    this.#parts = parts
  }

  group(key: string, settings: Settings): LaneGroup<C, R, L> {
    let group = this.#groups.get(key)
    if (group === undefined) {
      const room = (): boolean => this.#room()
      group = new LaneGroup({ pool: this.#pool, settings, config: this.#config, counts: this.#counts, room, ...this.#parts })
      this.#groups.set(key, group)
    }
    return group
  }

  /** Half of the pool at most. The first is given its turn among those who wait: it serves more of them; the others are not. */
  #room(): boolean {
    const { busy, idle, opening, max } = this.#pool.counts()
    const lanes = this.size
    if (lanes >= Math.floor(this.#pool.share / 2)) return false
    return lanes === 0 || (!this.#pool.wanted && (idle > 0 || busy + opening < max))
  }

  get node(): string {
    return this.#pool.node.id
  }

  /** Lanes, open and opening. */
  get size(): number {
    let sum = 0
    for (const group of this.#groups.values()) sum += group.size
    return sum
  }

  inFlight(): number {
    let sum = 0
    for (const group of this.#groups.values()) sum += group.inFlight
    return sum
  }

  /** `patience`: what is older, in ms, is slow. False: there is nothing left to look at. */
  check(now: number, patience: number): boolean {
    const { wanted } = this.#pool
    for (const [key, group] of this.#groups) {
      if (!group.check(now, patience, wanted)) {
        group.retire('nobody comes')
        this.#groups.delete(key)
      }
    }
    return this.#groups.size > 0
  }

  retire(reason: string): void {
    for (const group of this.#groups.values()) group.retire(reason)
  }

  snapshot(now: number): readonly LaneSnapshot[] {
    return [...this.#groups.values()].flatMap((group) => group.snapshot(now))
  }
}

interface GroupParts<C extends PooledConnection, R, L> extends LanesParts<C, R, L> {
  readonly pool: Pool<C>
  readonly settings: Settings
  readonly config: LanesConfig
  readonly counts: LaneCounts
  readonly room: () => boolean
}

/** The lanes of one pool and one set of settings. */
export class LaneGroup<C extends PooledConnection, R extends LaneNewcomer<L>, L extends SharedLane<R>> implements LaneOwner<L> {
  readonly limits: LanesConfig
  readonly now: () => number
  readonly #parts: GroupParts<C, R, L>
  #lanes: L[] = []
  readonly #connections = new WeakMap<L, C>()
  /** In line, from #next on. */
  #line: (R | null)[] = []
  #next = 0
  #opening = 0
  #retryAt = -Infinity
  /** Requests since #since. */
  #asked = 0
  #since = -Infinity
  /** When the last reply came. */
  #movedAt = -Infinity
  #usable = true
  /** Who came first. */
  #user: Account | null = null
  /** Others have come, too. */
  #shared = false

  constructor(parts: GroupParts<C, R, L>) {
    this.#parts = parts
    this.limits = parts.config
    this.now = parts.now
  }

  /** Open and opening. */
  get size(): number {
    return this.#lanes.length + this.#opening
  }

  /** On its lanes, and in line for one. */
  get inFlight(): number {
    let sum = this.#line.length - this.#next
    for (const lane of this.#lanes) sum += lane.inFlight
    return sum
  }

  /** False: ask Lanes for another one. */
  get usable(): boolean {
    return this.#usable
  }

  /** Takes the request on. False: it needs a connection of its own. */
  push(request: R, now: number): boolean {
    if (!this.#usable) return false
    this.#asked += 1
    const { user } = request.party ?? nobody
    this.#user ??= user
    if (user !== this.#user) this.#shared = true
    const lane = this.#best(request)
    if (lane === null) return this.#inLine(request, now)
    // One more, where even the idlest has something to do.
    if (lane.inFlight > 0 && lane.gathers !== true) this.#grow(now)
    lane.push(request, now)
    return true
  }

  #best(request: R): L | null {
    let best: L | null = null
    for (const lane of this.#lanes) {
      const { gathers } = lane
      if (lane.open && (gathers === true || best === null || lane.inFlight < best.inFlight) && request.fits(lane)) {
        // Where lanes never gather none is better than an idle one, and the others need not be looked at.
        if (gathers === true || (gathers === undefined && lane.inFlight === 0)) return lane
        best = lane
      }
    }
    return best
  }

  #inLine(request: R, now: number): boolean {
    this.#grow(now)
    const fitting = this.#lanes.some((lane) => lane.moving && request.fits(lane))
    if (!fitting) this.#retireOutlived(request)
    const room = lineOfLane * this.#lanes.length
    if (!fitting || this.#line.length - this.#next >= room) return false
    // Beyond half of it, who has no place takes turns with the others for a connection of his own.
    const { user } = request.party ?? nobody
    if (this.#shared && user.inLine >= room / 2) return false
    user.inLine += 1
    request.queuedAt = now
    this.#line.push(request)
    return true
  }

  /** After a failover they would stand in the way of those that fit, for as long as lanes may be idle. */
  #retireOutlived(request: R): void {
    for (const lane of [...this.#lanes]) if (request.outlived?.(lane) === true) lane.retire('its server has another role since')
  }

  /** Takes it out of the line. False: it is not there. */
  leaveLine(request: R): boolean {
    const at = this.#line.indexOf(request, this.#next)
    if (at < 0) return false
    this.#outOfLine(request)
    this.#line[at] = null
    return true
  }

  #outOfLine({ party }: R): void {
    ;(party ?? nobody).user.inLine -= 1
  }

  /** Finds the lane that a request is on. */
  laneOf(request: R): L | null {
    return this.#lanes.find((lane) => lane.has(request)) ?? null
  }

  // ---- what a lane tells

  moved(lane: L, now: number = this.now()): void {
    this.#movedAt = now
    while (lane.open && this.#next < this.#line.length) {
      const request = this.#line[this.#next] ?? null
      request?.comesUp?.()
      const fits = request === null || request.fits(lane)
      // It waits for another lane, as long as one that will do is there.
      if (!fits && this.#lanes.some((other) => other.moving && request.fits(other))) return
      this.#next += 1
      if (request === null) continue
      this.#outOfLine(request)
      if (fits) lane.push(request, this.#movedAt)
      else request.missed({ why: 'crowded' })
    }
    if (this.#next === this.#line.length && this.#next > 0) {
      this.#line.length = 0
      this.#next = 0
    } else if (this.#next > 1024) {
      this.#line = this.#line.slice(this.#next)
      this.#next = 0
    }
  }

  ended(lane: L): void {
    this.#lanes = this.#lanes.filter((one) => one !== lane)
    if (this.#lanes.length === 0) this.#dismissLine()
  }

  served(): void {
    this.#parts.counts.served += 1
  }

  count(what: 'joined' | 'stalled' | 'moved' | 'large' | 'canceled' | 'missed', by: number): void {
    this.#parts.counts[what] += by
  }

  // ---- opening and closing

  #grow(now: number): void {
    const { config, room } = this.#parts
    if (now - this.#since > warmMs) {
      this.#since = now
      this.#asked = 1
    }
    if (this.#asked < warmRequests && this.#lanes.length === 0) return
    if (this.#opening > 0 || this.size >= config.connections || now < this.#retryAt || !room()) return
    void this.#open()
  }

  async #open(): Promise<void> {
    this.#opening += 1
    try {
      const { pool, settings, kind } = this.#parts
      const wanted = laneSettings(settings)
      const lease = await pool.lease({ prefer: (it) => kind.suits(it, wanted), signal: AbortSignal.timeout(retryMs) })
      await this.#made(lease, wanted)
    } catch {
      // Whoever needs a connection hears of it; lanes are only there when they are there.
      this.#retryAt = this.now() + retryMs
    } finally {
      this.#opening -= 1
    }
  }

  /** The lease ends here, or is the lane's. */
  async #made(lease: Lease<C>, wanted: Settings): Promise<void> {
    const { kind } = this.#parts
    try {
      const joins = await kind.prepare(lease.connection, wanted)
      // Its answer may have been the last thing that the server said.
      if (!lease.connection.usable) throw new Error('no lane')
      if (this.#usable) {
        const lane = kind.open(lease, this, joins)
        this.#connections.set(lane, lease.connection)
        this.#lanes.push(lane)
        return
      }
    } catch (error) {
      lease.destroy('it could not be made a lane')
      throw error
    }
    lease.release('it was to be a lane')
  }

  retire(reason: string): void {
    this.#usable = false
    for (const lane of [...this.#lanes]) lane.retire(reason)
    this.#dismissLine()
  }

  /** `wanted`: others wait for a connection of this pool. False: it has been idle for long, and nothing stands here. */
  check(now: number, patience: number, wanted: boolean): boolean {
    const { pool } = this.#parts
    for (const lane of [...this.#lanes]) {
      lane.check(now, patience)
      const idle = lane.inFlight === 0
      const connection = this.#connections.get(lane)
      if (connection !== undefined && pool.closeNeeded(connection)) lane.retire('its connection is to be closed')
      else if (idle && now - lane.idleSince > (wanted ? wantedMs : idleMs)) lane.retire('nobody comes')
      else if (now - lane.openedAt > pool.lifetimeMs * lifeShare) lane.retire('at the end of its lifetime')
    }
    const waits = this.#line.length > this.#next
    if (waits && (now - this.#movedAt > patience || !this.#lanes.some((lane) => lane.moving))) this.#dismissLine()
    return this.#lanes.length > 0 || this.#opening > 0 || now - this.#since < idleMs
  }

  #dismissLine(): void {
    const line = this.#line.slice(this.#next)
    this.#line = []
    this.#next = 0
    for (const request of line) {
      if (request === null) continue
      this.#outOfLine(request)
      request.missed({ why: 'crowded' })
    }
  }

  snapshot(now: number): readonly LaneSnapshot[] {
    const { pool, settings } = this.#parts
    const { cluster, user, dbname } = pool.identity
    const names = laneSettingNames(settings)
    return this.#lanes.map((lane) => ({
      cluster,
      node: lane.node,
      user,
      dbname,
      settings: names,
      state: lane.state,
      inFlight: lane.inFlight,
      waiting: this.#line.length - this.#next,
      served: lane.served,
      age: (now - lane.openedAt) / 1000,
    }))
  }
}

/** Before the pool itself would end it, so that it comes back in time. */
const lifeShare = 0.75
