// test/support/router.ts — a library router over embedded servers, that ends with the test.
import pg from 'pg'
import type { Test } from 'tap'
import type { ClusterInput, ConfigInput, DatabaseInput } from '../../src/config/input.js'
import type { RunningTopology } from '../../src/embedded/topology.js'
import { createRouter, type RoutedPool, type RouterOptions } from '../../src/index.js'

/** The configuration of the running clusters; `change` edits each. */
export function routerConfig(
  running: RunningTopology,
  database: DatabaseInput,
  change: (id: string, cluster: ClusterInput) => ClusterInput = (_id, cluster) => cluster,
): ConfigInput {
  const clusters = [...running.clusters.values()].map((cluster): [string, ClusterInput] => [
    cluster.id,
    change(cluster.id, {
      dbname: cluster.dbname,
      user: running.user,
      password: running.password,
      tls: { mode: 'disable' },
      nodes: cluster.nodes.map((node) => node.address),
      pool: { max: 5, wait: '5s' },
    }),
  ])
  return { version: 1, clusters: Object.fromEntries(clusters), databases: { app: database } }
}

export function router(t: Pick<Test, 'teardown'>, config: ConfigInput, options: Partial<RouterOptions> = {}): RoutedPool {
  const pool = createRouter({ pg, config, ...options })
  t.teardown(() => (pool.ending ? undefined : pool.end()))
  return pool
}
