// The second admission: a node that is fit by what the monitor says may still give a connection that proves less. What is
// leased then goes back, and the next candidate is asked.
import t from 'tap'
import { createFloors } from '../../src/consistency/floors.js'
import { validateConfig } from '../../src/config/validate.js'
import type { Grant } from '../../src/execute/contract.js'
import { readPolicy } from '../../src/consistency/policy.js'
import { createExecutor, type ExecutorParts } from '../../src/execute/create-executor.js'
import { Load } from '../../src/execute/load.js'
import { Bans } from '../../src/execute/bans.js'
import { Switches } from '../../src/execute/switches.js'
import { createObserver } from '../../src/observe/observer.js'
import type { Evidence, PooledConnection } from '../../src/pool/contract.js'
import { one } from '../../src/routing/make.js'
import type { NodeSnapshot, Topology } from '../../src/topology/topology.js'
import { clusterSnapshot, nodeSnapshot } from '../support/snapshots.js'

const nodes = ['p:1', 'a:1', 'b:1']
const [primary, a, b] = nodes as [string, string, string]
const input = { version: 1, clusters: { main: { dbname: 'app', user: 'app', nodes } }, databases: { app: { default: 'main' } } }
const result = validateConfig(input, { env: {}, readFile: () => '' })
if (!result.ok) throw new Error(JSON.stringify(result.problems))
const { config } = result

const sampledAt = 100
const snapshots = nodes.map((id): NodeSnapshot => {
  const position = { lsn: 50n, sentAt: sampledAt, connectedAt: 0, postmasterStart: 'start', timeline: 1 }
  const role = id === primary ? 'primary' : 'replica'
  return nodeSnapshot(id, { role, roleProvedAt: sampledAt, position })
})
const topology: Topology = {
  generation: 1,
  clusters: new Map([
    [
      'main',
      clusterSnapshot({
        nodes: snapshots,
        primary: snapshots[0] ?? null,
        timeline: 1,
        series: { samples: [{ sentAt: sampledAt, lsn: 50n }] },
      }),
    ],
  ]),
}

/** A bounded read over connections with this evidence by node; says what became of every lease. */
async function read(
  evidence: Readonly<Record<string, Partial<Evidence>>>,
): Promise<{ readonly node: string; readonly ends: readonly string[] }> {
  const ends: string[] = []
  const pool = (node: string): { lease: () => Promise<Grant<PooledConnection>['lease']> } => ({
    lease: () =>
      Promise.resolve({
        connection: {
          evidence: {
            node,
            openedAt: 0,
            inRecovery: node !== primary,
            position: 0n,
            postmasterStart: 'start',
            timeline: 1,
            ...evidence[node],
          },
        } as PooledConnection,
        node,
        cluster: 'main',
        release: () => ends.push(`${node} released`),
        destroy: () => ends.push(`${node} destroyed`),
      }),
  })
  const executor = createExecutor<PooledConnection>({
    config,
    monitor: { current: () => topology, wanted: () => undefined } as unknown as ExecutorParts<PooledConnection>['monitor'],
    pools: { pool: (_cluster: unknown, { id }: { id: string }) => pool(id) } as unknown as ExecutorParts<PooledConnection>['pools'],
    load: new Load(),
    switches: new Switches(createObserver(), () => sampledAt),
    bans: new Bans(createObserver(), () => sampledAt),
    observer: createObserver(),
    now: () => sampledAt,
    random: () => 0,
  })
  const policy = readPolicy({ consistency: 'bounded', maxStalenessMs: 1000 })
  const grant = await executor.acquire({
    plan: one({ cluster: 'main', role: 'replica', readsData: true, policy, why: [] }),
    identity: { cluster: 'main', dbname: 'app', user: 'app', password: null, key: 'app' },
    floors: createFloors(),
    invokedAt: sampledAt,
    signal: new AbortController().signal,
  })
  return { node: grant.route.node, ends }
}

const openedLater: Partial<Evidence> = { openedAt: sampledAt + 1, position: 49n }

t.test('a connection opened after the sample that proves less itself: the next candidate', async (t) => {
  t.match(await read({}), { node: a, ends: [] })
  t.same(await read({ [a]: openedLater }), { node: b, ends: [`${a} released`] })
  t.same(await read({ [a]: { ...openedLater, position: 50n } }), { node: a, ends: [] }, 'what it read itself is enough')
  t.same(await read({ [a]: { postmasterStart: 'another start' } }), { node: b, ends: [`${a} released`] })
})

t.test('none of them proves enough: the ladder', async (t) => {
  t.same(await read({ [a]: openedLater, [b]: openedLater }), { node: primary, ends: [`${a} released`, `${b} released`] })
})

t.test('opened while its server was a primary: good for nobody', async (t) => {
  t.same(await read({ [a]: { inRecovery: false } }), { node: b, ends: [`${a} destroyed`] })
})
