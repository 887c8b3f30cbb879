// doors/proxy/console/tables-stats.ts — what is counted: by database, by shape, by lane, and how many there are of everything.
import { sumTraffic, type TrafficCounts } from '../../../observe/traffic.js'
import { columns, type Cell } from './cells.js'
import { databaseOfPool } from './names.js'
import type { StatsReport } from './reports.js'
import { grouped, sum, told, type Shown, type TableSpec } from './shown.js'

/** Of one database, of all workers. */
interface Stats {
  readonly total: TrafficCounts
  readonly recent: TrafficCounts
  readonly spanMs: number
}

function statsOf(reports: readonly StatsReport[]): Stats {
  return {
    total: sumTraffic(reports.map(({ total }) => total)),
    recent: sumTraffic(reports.map(({ recent }) => recent)),
    spanMs: Math.max(1, ...reports.map(({ spanMs }) => spanMs)),
  }
}

function byDatabase(shown: Shown): readonly (readonly [database: string, stats: Stats])[] {
  const reports = told(shown, 'stats').map(([, report]) => report)
  return [...grouped(reports, ({ database }) => database)].map(([database, group]) => [database, statsOf(group)])
}

function totals({ total }: Stats): readonly number[] {
  const { assignments, xacts, queries, received, sent, xactMs, queryMs, waitMs, clientParses, serverParses, binds } = total
  return [assignments, xacts, queries, received, sent, micros(xactMs), micros(queryMs), micros(waitMs), clientParses, serverParses, binds]
}

/** Counts and bytes by second; times by what they are of. */
function averages({ recent, spanMs }: Stats): readonly number[] {
  const { assignments, xacts, queries, received, sent, xactMs, queryMs, waitMs, clientParses, serverParses, binds } = recent
  const rate = (count: number): number => Math.round((count * 1_000) / spanMs)
  const mean = (ms: number, count: number): number => (count === 0 ? 0 : Math.round((ms * 1_000) / count))
  const counts = [rate(assignments), rate(xacts), rate(queries), rate(received), rate(sent)]
  return [
    ...counts,
    mean(xactMs, xacts),
    mean(queryMs, queries),
    mean(waitMs, assignments),
    rate(clientParses),
    rate(serverParses),
    rate(binds),
  ]
}

function micros(ms: number): number {
  return Math.round(ms * 1_000)
}

const names = ['server_assignment_count', 'xact_count', 'query_count']
const times = ['xact_time', 'query_time', 'wait_time', 'client_parse_count', 'server_parse_count', 'bind_count']
const totalNames = [...names, 'received', 'sent', ...times].map((name) => `total_${name}`)
const averageNames = [...names, 'recv', 'sent', ...times].map((name) => `avg_${name}`)
const plainNames = [...names, 'bytes_received', 'bytes_sent', ...times]

function numeric(all: readonly string[]): string {
  return all.map((name) => `${name}:numeric`).join(' ')
}

export const stats: TableSpec = {
  columns: columns(`database ${numeric(totalNames)} ${numeric(averageNames)}`),
  parts: ['stats'],
  rows: (shown) => byDatabase(shown).map(([database, one]) => [database, ...totals(one), ...averages(one)]),
}

export const statsTotals: TableSpec = {
  columns: columns(`database ${numeric(plainNames)}`),
  parts: ['stats'],
  rows: (shown) => byDatabase(shown).map(([database, one]) => [database, ...totals(one)]),
}

export const statsAverages: TableSpec = {
  columns: statsTotals.columns,
  parts: ['stats'],
  rows: (shown) => byDatabase(shown).map(([database, one]) => [database, ...averages(one)]),
}

export const totalsOfAll: TableSpec = {
  columns: columns('name value:numeric'),
  parts: ['stats'],
  rows: (shown) => {
    const all = statsOf(told(shown, 'stats').map(([, report]) => report))
    const row =
      (values: readonly number[]) =>
      (name: string, index: number): readonly Cell[] => [name, values[index] ?? 0]
    return [...totalNames.map(row(totals(all))), ...averageNames.map(row(averages(all)))]
  },
}

export const lists: TableSpec = {
  columns: columns('list items:int4'),
  parts: ['tally', 'pools', 'counts'],
  rows: (shown) => {
    const { config } = shown
    const pools = told(shown, 'pools').map(([, pool]) => pool)
    const counts = shown.reports.map(({ report }) => report.counts)
    return [
      ['databases', config.databases.size],
      ['users', config.auth.users.size],
      ['peers', 0],
      ['pools', new Set(pools.map((pool) => JSON.stringify([databaseOfPool(config, pool), pool.user]))).size],
      ['peer_pools', 0],
      ['free_clients', 0],
      ['used_clients', sum(counts.map((count) => count?.clients ?? 0))],
      ['login_clients', sum(counts.map((count) => count?.loggingIn ?? 0))],
      ['free_servers', 0],
      ['used_servers', sum(pools.map(({ busy, idle, opening }) => busy + idle + opening))],
      ['dns_names', 0],
      ['dns_zones', 0],
      ['dns_queries', 0],
      ['dns_pending', 0],
      ['console_clients', sum(counts.map((count) => count?.consoles ?? 0))],
      ['workers', shown.reports.length],
    ]
  },
}

export const lanes: TableSpec = {
  columns: columns('cluster node database user settings state in_flight:int4 waiting:int4 served:int8 age:int8 worker:int4'),
  parts: ['lanes'],
  rows: (shown) =>
    told(shown, 'lanes').map(([worker, { cluster, node, dbname, user, settings, state, inFlight, waiting, served, age }]) => [
      cluster,
      node,
      dbname,
      user,
      settings.join(', '),
      state,
      inFlight,
      waiting,
      served,
      Math.round(age),
      worker,
    ]),
}

/** Shapes of all workers, by their texts. */
const shapesShown = 100

export const shapes: TableSpec = {
  columns: columns(`calls:int8 total_time:int8 avg_time:int8 max_time:int8 errors:int8 cluster role rule query`),
  parts: ['shapes'],
  rows: (shown) => {
    const byText = grouped(
      told(shown, 'shapes').map(([, shape]) => shape),
      ({ text }) => text,
    )
    const rows = [...byText].map(([text, group]) => {
      const [first] = group
      const calls = sum(group.map(({ count }) => count))
      const ms = sum(group.map((shape) => shape.ms))
      const longest = micros(Math.max(...group.map(({ maxMs }) => maxMs)))
      const errors = sum(group.map((shape) => shape.errors))
      const route = [first?.cluster ?? null, first?.role ?? null, first?.rule ?? null]
      return { ms, cells: [calls, micros(ms), micros(ms / Math.max(1, calls)), longest, errors, ...route, text] }
    })
    return rows
      .sort((left, right) => right.ms - left.ms)
      .slice(0, shapesShown)
      .map(({ cells }) => cells)
  },
}

export const mem: TableSpec = {
  columns: columns('name size:int8 used:int8 free:int8 memtotal:int8 worker:int4'),
  parts: ['memory'],
  rows: (shown) =>
    told(shown, 'memory').map(([worker, { name, used, total }]) => [name, 1, used, Math.max(0, total - used), total, worker]),
}
