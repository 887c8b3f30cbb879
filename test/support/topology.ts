// test/support/topology.ts — real servers for a test: they end with the test that asked for them, also when it fails.
import type { Test } from 'tap'
import type { TopologyDescription } from '../../src/embedded/description.js'
import { startTopology, type RunningTopology } from '../../src/embedded/topology.js'

/**
 * Starts the servers of a description and stops them when `t` ends. Call it with the file's own `t` to share the servers among
 * all tests of the file: `const running = await withTopology(t, { clusters: { main: { replicas: 1, seed: '…' } } })`.
 */
export async function withTopology(t: Pick<Test, 'teardown'>, description: TopologyDescription): Promise<RunningTopology> {
  const running = await startTopology(description)
  t.teardown(() => running.stop())
  return running
}
