// doors/proxy/console/reports.ts — what one process tells of itself, as plain data: SHOW asks every worker for the parts that
// its table needs, and adds them up.
import type { AuditBookData } from '../../../audit/contract.js'
import type { TrafficCounts } from '../../../observe/traffic.js'
import type { LaneSnapshot } from '../../../pool/lanes.js'
import type { PoolSnapshot } from '../../../runtime/contract.js'
import type { ClientReport } from '../client-report.js'

export type ReportPart = 'clients' | 'tally' | 'servers' | 'pools' | 'load' | 'stats' | 'lanes' | 'shapes' | 'memory' | 'counts' | 'audit'

/* eslint-disable @typescript-eslint/consistent-type-definitions -- types, not interfaces: only those are known to be plain data */

/** Clients of one user in one database. */
export type ClientTally = {
  readonly database: string
  readonly user: string
  readonly idle: number
  readonly active: number
  readonly waiting: number
  readonly engaged: number
  readonly maxWaitMs: number
}

export type ServerReport = {
  readonly cluster: string
  readonly node: string
  readonly user: string
  readonly dbname: string
  readonly role: 'primary' | 'replica'
  readonly state: 'active' | 'idle' | 'tested'
  readonly pid: number
  readonly tls: boolean
  readonly prepared: number
  readonly application: string
  readonly closeNeeded: boolean
  /** Unix time, ms. */
  readonly connectedAt: number
  readonly since: number
  /** Its pool has lanes: it is one if no client has it. */
  readonly lane: boolean
}

export type PoolReport = Pick<PoolSnapshot, keyof PoolSnapshot>

/** `recent`: what came in the last `spanMs`. */
export type StatsReport = {
  readonly database: string
  readonly user: string
  readonly total: TrafficCounts
  readonly recent: TrafficCounts
  readonly spanMs: number
}

export type ShapeReport = {
  readonly id: number
  readonly text: string
  readonly count: number
  readonly errors: number
  readonly ms: number
  readonly maxMs: number
  readonly cluster: string | null
  readonly role: string | null
  readonly rule: string | null
}

export type LaneReport = Pick<LaneSnapshot, keyof LaneSnapshot>

export type MemoryReport = {
  readonly name: string
  readonly used: number
  readonly total: number
}

export type WorkerReport = {
  readonly clients?: readonly ClientReport[]
  readonly tally?: readonly ClientTally[]
  readonly servers?: readonly ServerReport[]
  readonly pools?: readonly PoolReport[]
  /** Statements under way, by node. */
  readonly load?: readonly (readonly [node: string, inFlight: number])[]
  readonly stats?: readonly StatsReport[]
  readonly lanes?: readonly LaneReport[]
  readonly shapes?: readonly ShapeReport[]
  readonly memory?: readonly MemoryReport[]
  /** One, of what this process has seen. */
  readonly audit?: readonly AuditBookData[]
  readonly counts?: { readonly clients: number; readonly loggingIn: number; readonly consoles: number }
}

export interface Reported {
  readonly worker: number
  readonly report: WorkerReport
}
