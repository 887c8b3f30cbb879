// doors/proxy/console/collect.ts — the report of this process: read from the registries that stand there anyway.
import { sumTraffic, trafficSince, type Traffic } from '../../../observe/traffic.js'
import type { Runtime } from '../../../runtime/contract.js'
import type { ServerConnection } from '../../../server/contract.js'
import { bytesOf, type ClientReport } from '../client-report.js'
import type { Conversation } from '../conversation.js'
import type { Core } from '../core-contract.js'
import type { Login } from '../login.js'
import type { TrafficBook } from '../traffic-book.js'
import type {
  ClientTally,
  LaneReport,
  MemoryReport,
  PoolReport,
  ReportPart,
  ServerReport,
  ShapeReport,
  StatsReport,
  WorkerReport,
} from './reports.js'

/** A client, as the proxy has it. */
export interface ListedClient {
  readonly pid: number
  readonly login: Login
  readonly conversation: Conversation
  /** Process-monotonic ms. */
  readonly since: number
}

export interface CollectParts {
  readonly runtime: Runtime<ServerConnection>
  readonly core: Core
  readonly traffic: TrafficBook
  readonly clients: () => Iterable<ListedClient>
  readonly replications: (clock: { readonly monotonic: number; readonly unix: number }) => readonly ClientReport[]
  readonly lanes: () => readonly LaneReport[]
  readonly counts: () => { readonly clients: number; readonly loggingIn: number; readonly consoles: number }
  /** Process-monotonic ms. */
  readonly now: () => number
}

/** Shapes of one worker that SHOW SHAPES may show: those that took most time. */
const shapesShown = 200
/** A text is shown up to here. */
const textShown = 4_000

export function collect(parts: CollectParts, wanted: readonly ReportPart[]): WorkerReport {
  const report: { -readonly [P in keyof WorkerReport]: WorkerReport[P] } = {}
  for (const part of wanted) {
    switch (part) {
      case 'clients':
        report.clients = [...clientsOf(parts), ...parts.replications(clockOf(parts))]
        break
      case 'tally':
        report.tally = tallyOf(clientsOf(parts))
        break
      case 'servers':
        report.servers = serversOf(parts)
        break
      case 'pools':
        report.pools = poolsOf(parts)
        break
      case 'load':
        report.load = [...parts.runtime.snapshot().inFlight]
        break
      case 'stats':
        report.stats = statsOf(parts)
        break
      case 'lanes':
        report.lanes = parts.lanes().map((lane) => ({ ...lane }))
        break
      case 'shapes':
        report.shapes = shapesOf(parts)
        break
      case 'memory':
        report.memory = memoryOf(parts)
        break
      case 'audit':
        report.audit = [parts.runtime.audit.data()]
        break
      case 'counts':
        report.counts = parts.counts()
        break
    }
  }
  return report
}

function clockOf({ now }: CollectParts): { readonly monotonic: number; readonly unix: number } {
  return { monotonic: now(), unix: Date.now() }
}

/** Without replication connections: no pool has anything of theirs, and no PAUSE waits for them. */
function clientsOf(parts: CollectParts): readonly ClientReport[] {
  const clock = clockOf(parts)
  return [...parts.clients()].map(({ pid, login, conversation, since }) => conversation.report({ pid, socket: login.socket, since }, clock))
}

function tallyOf(clients: readonly ClientReport[]): readonly ClientTally[] {
  const tallies = new Map<string, { -readonly [P in keyof ClientTally]: ClientTally[P] }>()
  for (const { database, user, state, engaged, waitMs } of clients) {
    const key = JSON.stringify([database, user])
    const tally = tallies.get(key) ?? { database, user, idle: 0, active: 0, waiting: 0, engaged: 0, maxWaitMs: 0 }
    tallies.set(key, tally)
    tally[state] += 1
    if (engaged) tally.engaged += 1
    tally.maxWaitMs = Math.max(tally.maxWaitMs, waitMs)
  }
  return [...tallies.values()]
}

function serversOf({ runtime, lanes, now }: CollectParts): readonly ServerReport[] {
  const laned = new Set(lanes().map(poolKey))
  const unixMinus = Date.now() - now()
  const states = { idle: 'idle', lent: 'active', scrubbing: 'tested' } as const
  return runtime.connections().map(({ connection, phase, since, closeNeeded, cluster, node, user, dbname }) => ({
    cluster,
    node,
    user,
    dbname,
    role: connection.evidence.inRecovery || connection.node.subscriber ? 'replica' : 'primary',
    state: states[phase],
    pid: connection.backend.pid,
    tls: connection.secure,
    prepared: connection.statements.size,
    application: connection.parameters.get('application_name') ?? '',
    closeNeeded,
    connectedAt: unixMinus + connection.evidence.openedAt,
    since: unixMinus + since,
    lane: phase === 'lent' && laned.has(poolKey({ cluster, node, user, dbname })),
  }))
}

function poolKey({ cluster, node, user, dbname }: Pick<LaneReport, 'cluster' | 'node' | 'user' | 'dbname'>): string {
  return JSON.stringify([cluster, node, user, dbname])
}

function poolsOf({ runtime }: CollectParts): readonly PoolReport[] {
  return runtime.snapshot().pools.map((pool) => ({ ...pool }))
}

/** Bytes of clients that are connected are asked of their sockets: what is counted has those of the others. */
function statsOf({ traffic, clients }: CollectParts): readonly StatsReport[] {
  const { spanMs } = traffic
  const living = new Map<Traffic, { received: number; sent: number }>()
  for (const { login, conversation } of clients()) {
    const sum = living.get(conversation.traffic) ?? { received: 0, sent: 0 }
    const { received, sent } = bytesOf(login.socket)
    living.set(conversation.traffic, { received: sum.received + received, sent: sum.sent + sent })
  }
  return traffic.all().map(({ traffic: counted, since }) => {
    const total = { ...sumTraffic([counted]), ...added(counted, living.get(counted)) }
    return { database: counted.database, user: counted.user, total, recent: trafficSince(total, since), spanMs }
  })
}

function added(
  counted: Traffic,
  living: { readonly received: number; readonly sent: number } | undefined,
): { received: number; sent: number } {
  return { received: counted.received + (living?.received ?? 0), sent: counted.sent + (living?.sent ?? 0) }
}

function shapesOf({ core }: CollectParts): readonly ShapeReport[] {
  const used = [...core.shapes()].filter(({ uses }) => uses.count > 0)
  const slowest = used.sort((left, right) => right.uses.ms - left.uses.ms).slice(0, shapesShown)
  return slowest.map(({ id, key, uses }) => ({ id, text: key.slice(0, textShown), ...uses }))
}

function memoryOf({ core, runtime }: CollectParts): readonly MemoryReport[] {
  const { rss, heapTotal, heapUsed, external, arrayBuffers } = process.memoryUsage()
  return [
    { name: 'process', used: rss, total: rss },
    { name: 'heap', used: heapUsed, total: heapTotal },
    { name: 'external', used: external, total: external },
    { name: 'array_buffers', used: arrayBuffers, total: arrayBuffers },
    { name: 'shape_cache', used: core.stats().bytes, total: runtime.current().config.limits.shapeCacheBytes },
  ]
}
