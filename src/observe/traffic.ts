// observe/traffic.ts — what clients have done, counted by database and user: plain numbers on one object that each client
// holds, so that counting is an addition in place. Who shows them (console, metrics) adds them up and takes differences.

/** Milliseconds, bytes and counts since the start. */
export interface TrafficCounts {
  readonly assignments: number
  readonly xacts: number
  readonly queries: number
  readonly received: number
  readonly sent: number
  readonly xactMs: number
  readonly queryMs: number
  readonly waitMs: number
  readonly clientParses: number
  readonly serverParses: number
  readonly binds: number
}

export const trafficFields: readonly (keyof TrafficCounts)[] = [
  'assignments',
  'xacts',
  'queries',
  'received',
  'sent',
  'xactMs',
  'queryMs',
  'waitMs',
  'clientParses',
  'serverParses',
  'binds',
]

/** Of all clients of one user in one database. */
export class Traffic implements TrafficCounts {
  readonly database: string
  readonly user: string
  /** A server connection was given to a client. */
  assignments = 0
  xacts = 0
  /** Requests: a Query message, or a batch up to its Sync. */
  queries = 0
  /** Bytes of clients that have left; those of the living are asked of their sockets. */
  received = 0
  sent = 0
  xactMs = 0
  queryMs = 0
  /** Spent waiting for a server connection. */
  waitMs = 0
  clientParses = 0
  serverParses = 0
  binds = 0

  constructor(database: string, user: string) {
    this.database = database
    this.user = user
  }
}

export const noTraffic: TrafficCounts = Object.freeze(new Traffic('', ''))

export function sumTraffic(all: readonly TrafficCounts[]): TrafficCounts {
  return combined(all, (total, one) => total + one)
}

export function trafficSince(now: TrafficCounts, before: TrafficCounts): TrafficCounts {
  return combined([now, before], (late, early) => late - early)
}

function combined(all: readonly TrafficCounts[], reduce: (left: number, right: number) => number): TrafficCounts {
  const [first = noTraffic, ...rest] = all
  const total: Record<keyof TrafficCounts, number> = { ...noTraffic }
  for (const field of trafficFields) total[field] = rest.reduce((sum, one) => reduce(sum, one[field]), first[field])
  return total
}
