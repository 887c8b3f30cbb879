// test/support/snapshots.ts — what the monitor publishes, made by hand: a healthy replica, a cluster without a primary. A
// field that is added to the snapshots breaks the build here and nowhere else.
import type { ClusterSnapshot, NodeSnapshot } from '../../src/topology/topology.js'

/** A replica of `main` that is up, with `over` in place of what is said here. */
export function nodeSnapshot(id: string, over: Partial<NodeSnapshot> = {}): NodeSnapshot {
  return {
    id,
    cluster: 'main',
    host: id,
    port: 1,
    weight: 1,
    zone: null,
    health: 'up',
    role: 'replica',
    position: null,
    roleProvedAt: 0,
    receiving: null,
    replayRate: null,
    insertAheadBytes: null,
    unfit: null,
    limited: null,
    ...over,
  }
}

/** The cluster `main` with nothing known of it, with `over` in place of what is said here. */
export function clusterSnapshot(over: Partial<ClusterSnapshot> = {}): ClusterSnapshot {
  return {
    id: 'main',
    system: null,
    since: -Infinity,
    exact: true,
    contested: false,
    headlessSince: null,
    nodes: [],
    primary: null,
    timeline: null,
    series: { samples: [] },
    ...over,
  }
}
