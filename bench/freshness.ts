// bench/freshness.ts — what it costs to know how fresh an answer will be: nanoseconds per decision (requirement, one look
// at each replica, the proof on the leased connection) against a series that has been filled for an hour; microseconds per
// answer of a server that the monitor takes in; and, on real servers without clients, questions per second and node.
//
//   node --import=./scripts/typescript.mjs bench/freshness.ts [--idle 10]
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Config } from '../src/config/config.js'
import { validateConfig } from '../src/config/validate.js'
import { createFloors, type SessionFloors } from '../src/consistency/floors.js'
import { readPolicy, type ReadPolicy } from '../src/consistency/policy.js'
import type { Position } from '../src/consistency/position.js'
import { admits, mayAdmit, requirement, type ConnectionEvidence } from '../src/consistency/requirement.js'
import { emptySeries, extendSeries, type SampleSeries } from '../src/consistency/series.js'
import { startTopology } from '../src/embedded/topology.js'
import { connectNode } from '../src/monitor/connect-node.js'
import type { ConnectMonitor } from '../src/monitor/connection.js'
import { createMonitor } from '../src/monitor/create-monitor.js'
import { createObserver } from '../src/observe/observer.js'
import { median, table } from './table.js'

const { values: options } = parseArgs({ options: { idle: { type: 'string', default: '10' } } })
const hourMs = 3_600_000
const periodMs = 100
const decisions = 50_000
const rounds = 15

console.log(measureDecisions())
await measureIdle(Number(options.idle))

function measureDecisions(): string {
  const { series, addUs } = filled()
  const newest = series.samples.at(-1) ?? { sentAt: 0, lsn: 0n }
  const cluster = {
    id: 'main',
    system: 'system',
    timeline: 1,
    since: 0,
    exact: true,
    series,
    nodes: [node('a', newest.lsn, newest.sentAt), node('b', newest.lsn - 50n, newest.sentAt)],
  }
  const cases: readonly (readonly [name: string, policy: ReadPolicy, floors: SessionFloors])[] = [
    ['any', readPolicy({ consistency: 'any' }), createFloors()],
    ['bounded 2s', readPolicy({ consistency: 'bounded', maxStalenessMs: 2_000 }), createFloors()],
    ['bounded 30m', readPolicy({ consistency: 'bounded', maxStalenessMs: hourMs / 2 }), createFloors()],
    ['session, nothing written', readPolicy({ consistency: 'session' }), createFloors()],
    ['session with a floor', readPolicy({ consistency: 'session' }), written(newest.sentAt - 1_000)],
    ['session with a floor, 2s', readPolicy({ consistency: 'session', maxStalenessMs: 2_000 }), written(newest.sentAt - 1_000)],
    ['session, write not sampled', readPolicy({ consistency: 'session' }), written(newest.sentAt + 1_000)],
  ]
  const evidence: ConnectionEvidence = {
    node: 'a',
    openedAt: 0,
    inRecovery: true,
    position: 0n,
    postmasterStart: 'start',
    timeline: 1,
  }
  const lines = [['decision', 'ns', 'slowest round']]
  for (const [name, policy, floors] of cases) {
    const invokedAt = newest.sentAt + periodMs
    const work = (): number => {
      const asked = requirement(policy, floors, cluster, invokedAt)
      let fit = 0
      for (const one of cluster.nodes) if (mayAdmit(asked, one) && admits(asked, evidence, one.position)) fit += 1
      return fit
    }
    const times = Array.from({ length: rounds }, () => perCall(work))
    lines.push([name, median(times).toFixed(0), Math.max(...times).toFixed(0)])
  }
  const head = `A decision looks at two replicas; the series holds ${String(series.samples.length)} samples of one hour.`
  return `\n${head}\n\n${table(lines)}\n\nTaking in one answer of the primary: ${addUs.toFixed(1)} µs.\n`
}

/** Samples of an hour at the busy rate, and what the last hundred cost each. */
function filled(): { readonly series: SampleSeries; readonly addUs: number } {
  let series = emptySeries
  const add = (at: number): void => void (series = extendSeries(series, { sentAt: at, lsn: BigInt(at) * 100n }))
  for (let at = 0; at < hourMs; at += periodMs) add(at)
  const start = process.hrtime.bigint()
  for (let at = hourMs; at < hourMs + 100 * periodMs; at += periodMs) add(at)
  return { series, addUs: Number(process.hrtime.bigint() - start) / 1000 / 100 }
}

function node(id: string, lsn: bigint, sentAt: number): { readonly id: string; readonly position: Position } {
  return { id, position: { lsn, sentAt, connectedAt: 0, postmasterStart: 'start', timeline: 1 } }
}

/** A session that wrote at `at`. */
function written(at: number): SessionFloors {
  const floors = createFloors()
  floors.writeStarted('main')
  floors.writeEnded('main', at)
  return floors
}

/** Nanoseconds. What is worked out is looked at, or it would be left out. */
function perCall(work: () => number): number {
  let fit = 0
  const start = process.hrtime.bigint()
  for (let i = 0; i < decisions; i++) fit += work()
  const ns = Number(process.hrtime.bigint() - start) / decisions
  if (fit < 0) throw new RangeError('fewer than none')
  return ns
}

/** The monitor of a primary and two replicas that nobody uses, with every question it sends counted. */
async function measureIdle(seconds: number): Promise<void> {
  const topology = await startTopology({ clusters: { main: { replicas: 2 } } })
  const { nodes } = topology.cluster('main')
  const asked = new Map(nodes.map(({ address }) => [address, 0]))
  const now = (): number => performance.now()
  const monitor = createMonitor({
    config: configOf(topology.user, topology.password, [...asked.keys()]),
    observer: createObserver(),
    now,
    random: Math.random,
    connect: counting(connectNode(now), (id) => asked.set(id, (asked.get(id) ?? 0) + 1)),
  })
  try {
    await monitor.ready(10_000)
    // What the start asked for is over.
    await pause(2_000)
    for (const id of asked.keys()) asked.set(id, 0)
    const [cpu, loop] = [process.cpuUsage(), performance.eventLoopUtilization()]
    await pause(seconds * 1000)
    const { user, system } = process.cpuUsage(cpu)
    const { utilization } = performance.eventLoopUtilization(loop)
    const rates = [...asked.values()].map((count) => (count / seconds).toFixed(2)).join(', ')
    console.log(`Without clients, over ${String(seconds)} s: ${rates} queries per second, server by server;`)
    console.log(
      `${(((user + system) / seconds / 1e6) * 100).toFixed(1)} % of a core, event loop ${(utilization * 100).toFixed(1)} % busy.\n`,
    )
  } finally {
    await monitor.close()
    await topology.stop()
  }
}

function configOf(user: string, password: string, nodes: string[]): Config {
  const clusters = { main: { dbname: 'app', user, password, nodes, tls: { mode: 'disable' } } }
  const result = validateConfig({ version: 1, clusters, databases: { app: { default: 'main' } } }, { env: {}, readFile: () => '' })
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.config
}

function counting(connect: ConnectMonitor, count: (node: string) => void): ConnectMonitor {
  return async (node, cluster, login, signal) => {
    const connection = await connect(node, cluster, login, signal)
    return {
      ...connection,
      query: (sql) => {
        count(node.id)
        return connection.query(sql)
      },
    }
  }
}
