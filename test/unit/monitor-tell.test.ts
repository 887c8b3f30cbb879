// What the monitor tells of a cluster: who is fenced, how many replicas are left; each once, when it happens.
import t from 'tap'
import { tellChanges, type Told } from '../../src/monitor/tell.js'
import type { Events } from '../../src/observe/events.js'
import { createObserver } from '../../src/observe/observer.js'
import { Acknowledged } from '../../src/topology/acknowledged.js'
import { newCluster, type ClusterState } from '../../src/topology/cluster-state.js'
import type { ClusterSnapshot } from '../../src/topology/topology.js'
import { clusterSnapshot, nodeSnapshot } from '../support/snapshots.js'

const told = (state: Partial<ClusterState>, snapshot: Partial<ClusterSnapshot> = {}): Told => ({
  state: { ...newCluster('main', []), ...state },
  snapshot: clusterSnapshot(snapshot),
})

/** The events of one kind, as one after the other of `all` is told. */
function events<E extends keyof Events>(name: E, ...all: readonly Told[]): readonly Events[E][][] {
  const observer = createObserver()
  let heard: Events[E][] = []
  observer.on(name, (event) => heard.push(event))
  return all.slice(1).map((after, index) => {
    heard = []
    tellChanges(observer, all[index] ?? after, after, new Acknowledged())
    return heard
  })
}

t.test('primary.fenced: once for each reason, and again for who comes back', (t) => {
  const refused = (...entries: (readonly [string, string])[]): Told => told({ refused: new Map(entries) })
  const [old, other] = [['a', 'an old primary'] as const, ['a', 'another cluster'] as const]
  const fenced = events(
    'primary.fenced',
    refused(),
    refused(old),
    refused(old),
    refused(old, ['b', 'x']),
    refused(other),
    refused(),
    refused(old),
  )
  t.same(
    fenced.map((each) => each.map(({ cluster, node, reason }) => `${cluster} ${node} ${reason}`)),
    [['main a an old primary'], [], ['main b x'], ['main a another cluster'], [], ['main a an old primary']],
  )
  t.end()
})

t.test('replicas.usable: neither the primary counts nor who is unfit, or no replica; only a change is told', (t) => {
  const primary = nodeSnapshot('p', { role: 'primary' })
  const withThe = (...nodes: ReturnType<typeof nodeSnapshot>[]): Told => told({}, { nodes: [primary, ...nodes], primary })
  const [good, down] = [nodeSnapshot('r'), nodeSnapshot('s', { role: null, unfit: 'down' })]
  const strange = nodeSnapshot('s', { unfit: 'another cluster' })
  const rival = nodeSnapshot('s', { role: 'primary' })
  const usable = events(
    'replicas.usable',
    withThe(),
    withThe(good, down),
    withThe(good, strange),
    withThe(good, rival),
    withThe(good, nodeSnapshot('s')),
    withThe(good),
    withThe(),
  )
  t.same(
    usable.map((each) => each.map((event) => `${event.cluster} ${String(event.usable)}/${String(event.of)}`)),
    [['main 1/2'], [], [], ['main 2/2'], ['main 1/1'], ['main 0/0']],
  )
  t.end()
})
