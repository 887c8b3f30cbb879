// How far a cluster's replicas are behind, and what /check makes of it.
import t from 'tap'
import { check } from '../../src/doors/admin/check.js'
import { lagOf } from '../../src/topology/lag.js'
import type { ClusterSnapshot, NodeSnapshot } from '../../src/topology/topology.js'

function node(id: string, role: 'primary' | 'replica', lsn: bigint | null, over: Partial<NodeSnapshot> = {}): NodeSnapshot {
  const position = lsn === null ? null : { lsn, sentAt: 1_000, connectedAt: 0, postmasterStart: 's', timeline: 1 }
  return { id, role, position, unfit: null, limited: null, ...over } as NodeSnapshot
}

function cluster(nodes: readonly NodeSnapshot[], over: Partial<ClusterSnapshot> = {}): ClusterSnapshot {
  const samples = [
    { sentAt: 100, lsn: 50n },
    { sentAt: 900, lsn: 100n },
  ]
  const primary = nodes.find(({ role }) => role === 'primary') ?? null
  return { id: 'main', nodes, primary, timeline: 1, series: { samples }, ...over } as ClusterSnapshot
}

const p = node('p', 'primary', 100n)
const down = node('b', 'replica', null, { unfit: 'down: refused', role: null })

t.test('the worst of those that serve', (t) => {
  const worst = (nodes: readonly NodeSnapshot[], over: Partial<ClusterSnapshot> = {}): number | null =>
    lagOf(cluster(nodes, over), 1_000).worstMs
  t.equal(worst([p]), 0, 'a primary alone')
  t.equal(worst([p, node('a', 'replica', 100n)]), 100)
  t.equal(worst([p, node('a', 'replica', 100n), node('b', 'replica', 60n)]), 900)
  t.equal(worst([p, node('a', 'replica', 100n), down]), 100, 'who is down holds nobody up')
  t.equal(worst([p, down]), null, 'but all of them down is not known')
  t.equal(worst([p, node('a', 'replica', 100n), node('b', 'replica', null)]), null, 'who serves unmeasured does')
  t.equal(worst([p, node('a', 'replica', 10n)]), null, 'behind everything that is known')
  t.equal(worst([node('a', 'replica', 100n)]), null, 'no primary')
  t.equal(worst([p, node('a', 'replica', 100n, { position: { lsn: 100n, timeline: 2 } as never })]), null, 'another timeline')
  t.end()
})

t.test('/check', async (t) => {
  const lag = (id: string) => (id === 'main' ? lagOf(cluster([p, node('a', 'replica', 60n), down]), 1_000) : null)
  const ask = (query: string) => check(new URLSearchParams(query), lag)
  t.same(await ask('cluster=main&max_lag=900ms'), {
    status: 200,
    body: {
      cluster: 'main',
      ok: true,
      worst_seconds: 0.9,
      nodes: [
        { node: 'p', role: 'primary', lag_seconds: 0, ignored: null },
        { node: 'a', role: 'replica', lag_seconds: 0.9, ignored: null },
        { node: 'b', role: null, lag_seconds: null, ignored: 'down: refused' },
      ],
    },
  })
  t.match(await ask('cluster=main&max_lag=899ms'), { status: 503, body: { ok: false } })
  for (const query of [
    '',
    'cluster=main',
    'max_lag=1s',
    'cluster=x&max_lag=1s',
    'cluster=main&max_lag=1',
    'cluster=main&max_lag=0',
    'cluster=main&max_lag=1s&a=b',
    'cluster=main&cluster=main&max_lag=1s',
  ]) {
    t.match(await ask(query), { status: 400, body: { error: String } }, query)
  }
})
