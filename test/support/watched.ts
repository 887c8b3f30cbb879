// test/support/watched.ts — a monitor over embedded servers, and waiting for what it finds out.
import type { Test } from 'tap'
import type { ClusterConfig, Config, NodeConfig } from '../../src/config/config.js'
import type { EmbeddedCluster } from '../../src/embedded/cluster.js'
import type { EmbeddedNode } from '../../src/embedded/node.js'
import type { RunningTopology } from '../../src/embedded/topology.js'
import { createMonitor, type MonitorParts } from '../../src/monitor/create-monitor.js'
import type { Monitor } from '../../src/monitor/contract.js'
import { createObserver } from '../../src/observe/observer.js'
import type { Observer } from '../../src/observe/events.js'
import type { ClusterSnapshot, NodeSnapshot } from '../../src/topology/topology.js'

export const now = (): number => performance.now()

export function nodeConfig(node: EmbeddedNode): NodeConfig {
  return { id: node.address, host: node.host, port: node.port, weight: 1, zone: null, subscriber: false }
}

/** The configuration of the topology's clusters; `change` edits each. */
export function clusterConfigs(
  running: RunningTopology,
  change: (cluster: ClusterConfig) => ClusterConfig = (it) => it,
): Pick<Config, 'clusters'> {
  const clusters = [...running.clusters.values()].map((cluster) => [cluster.id, change(clusterConfig(running, cluster))] as const)
  return { clusters: new Map(clusters) }
}

function clusterConfig(running: RunningTopology, cluster: EmbeddedCluster): ClusterConfig {
  return {
    id: cluster.id,
    dbname: cluster.dbname,
    user: running.user,
    password: running.password,
    tls: { mode: 'disable', ca: null, cert: null, key: null },
    monitor: null,
    nodes: cluster.nodes.map(nodeConfig),
    pool: { max: 5, waitMs: 5_000, lifetimeMs: 60_000, queue: 10_000 },
    failover: { waitMs: 10_000 },
    reset: 'tainted',
    lsnSource: 'insert',
    position: { kind: 'wal' },
    readOnly: null,
    protocol: '3.0',
  }
}

export interface Watched {
  readonly monitor: Monitor
  readonly observer: Observer
  /** The present snapshot of a cluster. */
  readonly cluster: (id: string) => ClusterSnapshot
  readonly node: (id: string, address: string) => NodeSnapshot
  /** Resolves as soon as the condition holds after some publication; the limit only ends a wait that is in vain. */
  readonly until: (what: string, condition: () => boolean) => Promise<void>
}

/** Starts a monitor that ends with the test. Only the clusters of `config` are looked at. */
export function watch(t: Pick<Test, 'teardown'>, config: Pick<Config, 'clusters'>, parts: Partial<MonitorParts> = {}): Watched {
  const observer = parts.observer ?? createObserver()
  const monitor = createMonitor({ random: Math.random, now, ...parts, observer, config: config as Config })
  t.teardown(() => monitor.close())
  const cluster = (id: string): ClusterSnapshot => {
    const found = monitor.current().clusters.get(id)
    if (found === undefined) throw new Error(`no cluster ${id}`)
    return found
  }
  return {
    monitor,
    observer,
    cluster,
    node: (id, address) => {
      const found = cluster(id).nodes.find((node) => node.id === address)
      if (found === undefined) throw new Error(`no node ${address}`)
      return found
    },
    until: async (what, condition) => {
      const patience = AbortSignal.timeout(30_000)
      while (!condition()) {
        await monitor.changed(patience).catch(() => {
          throw new Error(`waited in vain until ${what}: ${describe(monitor)}`)
        })
      }
    },
  }
}

function describe(monitor: Monitor): string {
  return JSON.stringify([...monitor.current().clusters.values()], (_, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  )
}
