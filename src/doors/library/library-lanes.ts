// doors/library/library-lanes.ts — the lanes of one router (docs/lanes.md): reads of pool.query() whose shape has proved fast and
// small share a few clients of pg's, under the same rules as the proxy's. Everything else takes a pooled client, which is
// where shapes prove themselves.
import type { LanesConfig } from '../../config/config.js'
import { Lanes, type LaneGroup, type LanesReport } from '../../pool/lanes.js'
import type { Pool } from '../../pool/pool.js'
import { isProved } from '../../pool/shape-book.js'
import type { SessionFloors } from '../../consistency/floors.js'
import type { Place } from '../../execute/place.js'
import type { Identity } from '../../pool/contract.js'
import type { OnePlan } from '../../routing/plan.js'
import type { Generation } from '../../runtime/contract.js'
import type { Settings } from '../../session/settings.js'
import type { Begun } from './begun.js'
import type { Core } from './core.js'
import { LaneRead, type LaneConfig, type LaneUser } from './lane-read.js'
import { laneValues, parameterSource } from './parameters.js'
import type { PgConnection } from './pg-connection.js'
import { canPipeline, pipelineLanes, type PipelineLane } from './pipeline-lane.js'
import type { PlainQuery } from './query-arguments.js'
import type { Answer } from './request.js'
import type { CarriedSession } from './request-context.js'
import { withRouteOptions } from './route-hints.js'

type LibraryLaneGroup = LaneGroup<PgConnection, LaneRead, PipelineLane>

/** pg and its extensions read much else of a query: what has it goes its own way. */
function isPlainKey(key: string): boolean {
  switch (key) {
    case 'text':
    case 'values':
    case 'name':
    case 'consistency':
    case 'maxStaleness':
    case 'shardKey':
    case 'stickyWrites':
      return true
    default:
      return false
  }
}
const noSettings: Settings = new Map()

export class LibraryLanes {
  readonly #core: Core
  readonly #lanes: Lanes<PgConnection, LaneRead, PipelineLane>
  /** What is asked of reads outside any session: what this process has written, and nothing that others read. */
  readonly #floors: SessionFloors
  readonly #stopping: AbortSignal
  /** Why this router's clients cannot share connections; null: they can. */
  #unfit: string | null = null
  /** The last ones, since most reads are like the one before. */
  #group: LibraryLaneGroup | null = null
  #groupPool: Pool<PgConnection> | null = null
  #identity: { readonly generation: Generation<PgConnection>; readonly cluster: string; readonly identity: Identity } | null = null

  constructor(core: Core, config: LanesConfig) {
    this.#core = core
    this.#floors = core.newFloors()
    this.#stopping = core.stopping.signal
    this.#lanes = new Lanes(config, { now: core.now, kind: pipelineLanes((reason) => this.#off(reason)) })
    core.observer.on('config.reloaded', () => {
      const now = core.runtime?.current().config.lanes
      if (now !== undefined) this.#lanes.configure(now)
    })
  }

  /** What is known of a statement outside any client, without waiting for anything; null: nothing yet. */
  begin(query: PlainQuery): Begun | null {
    const ground = this.#core.standing
    if (ground === null || query.onlyNamed) return null
    const startedAt = this.#core.now()
    const understood = withRouteOptions(ground.planner.understand(query.text), query.route, query.scope)
    const parameters = query.values.length === 0 ? null : parameterSource(this.#core.pg, query.values)
    return { ground, startedAt, understood, parameters, moved: null }
  }

  /** The answer of a read that a lane takes; null: it needs a connection of its own. */
  take(query: PlainQuery, begun: Begun, session: CarriedSession | null, user: LaneUser): Promise<Answer> | null {
    const { config } = this.#lanes
    this.#core.shapes.wanted = config.enabled && this.#unfit === null
    if (!config.enabled || this.#unfit !== null) return null
    const plan = this.#planOf(begun)
    if (plan === null) return null
    const record = this.#core.shapes.of(plan.cluster, begun.understood.shape.id)
    if (!isProved(record, config, begun.startedAt) || !this.#able()) return null
    const given = laneConfig(this.#core.pg, query)
    const place = given === null ? null : this.#placeOf(plan, begun, session)
    const group = place === null ? null : this.#groupOf(place)
    if (given === null || place === null || group === null) return null
    const { counts } = this.#lanes
    const read = new LaneRead({ core: this.#core, query, config: given, begun, plan, place, record, session, group, user, counts })
    if (!group.push(read, begun.startedAt)) return null
    read.begin()
    if (session === null) this.#core.warnings.readWithoutSession(plan)
    return read.result
  }

  /** Reads that are on lanes of this node. */
  inFlight(node: string): number {
    return this.#lanes.inFlight(node)
  }

  report(): LanesReport {
    const now = this.#core.now()
    let barred = 0
    for (const record of this.#core.shapes.book.all()) if (record.barred !== null && now < record.barredUntil) barred += 1
    return { lanes: this.#lanes.snapshot(), counts: { ...this.#lanes.counts }, barred }
  }

  /** Lanes go back to their pools. */
  close(): void {
    this.#lanes.close()
  }

  #planOf({ ground, understood, parameters }: Begun): OnePlan | null {
    const { generation, database, planner, fresh } = ground
    if (this.#core.runtime?.gate.open !== true) return null
    const { config } = generation
    const plan = planner.plan({ understood, parameters, session: fresh.view, config, database, catalogs: generation.catalogs() })
    return plan.kind === 'one' && plan.lane && plan.keptOn === null ? plan : null
  }

  #placeOf(plan: OnePlan, { ground, startedAt }: Begun, session: CarriedSession | null): Place<PgConnection> | null {
    const { generation } = ground
    const identity = this.#identityOf(generation, plan.cluster)
    const asked = { plan, identity, floors: this.#floors, invokedAt: startedAt, signal: this.#stopping }
    return generation.executor.place(session === null ? asked : { ...asked, floors: session.floors, affinity: session.affinity }, startedAt)
  }

  #identityOf(generation: Generation<PgConnection>, cluster: string): Identity {
    const last = this.#identity
    if (last?.generation === generation && last.cluster === cluster) return last.identity
    const identity = generation.identityFor(cluster, this.#core.login)
    this.#identity = { generation, cluster, identity }
    return identity
  }

  #groupOf({ pool }: Place<PgConnection>): LibraryLaneGroup | null {
    if (this.#group?.usable === true && this.#groupPool === pool) return this.#group
    this.#group = this.#lanes.group(pool, '', noSettings)
    this.#groupPool = pool
    return this.#group
  }

  #able(): boolean {
    if (!canPipeline(this.#core.pg.Client)) this.#off('this version of pg has no pipeline mode (8.23 and later have it)')
    return this.#unfit === null
  }

  #off(reason: string): void {
    this.#unfit = reason
    this.#core.warnings.once(`lanes are off: ${reason}`)
  }
}

/** null: not of a kind that shares a connection. Values are taken now, as pg would send them. */
function laneConfig(pg: Core['pg'], { config, text }: PlainQuery): LaneConfig | null {
  const prototype: unknown = Object.getPrototypeOf(config)
  if (prototype !== Object.prototype && prototype !== null) return null
  for (const key in config) if (!isPlainKey(key)) return null
  const { name, values } = config as { readonly name?: unknown; readonly values?: unknown }
  if (name !== undefined && typeof name !== 'string') return null
  if (values === undefined || values === null) return name === undefined ? { text } : { text, name }
  const sent = Array.isArray(values) ? laneValues(pg, values) : null
  if (sent === null) return null
  return name === undefined ? { text, values: sent } : { text, values: sent, name }
}
