// doors/verify/faults.ts — what happens to servers in life, done to embedded ones while clients work: one fault at a time, in
// an order that a seed gives, each undone before the next, with healthy stretches between them.
import { setTimeout as sleep } from 'node:timers/promises'
import type { EmbeddedCluster } from '../../embedded/cluster.js'
import type { EmbeddedNode } from '../../embedded/node.js'
import { until } from '../../embedded/until.js'

export const faultKinds = [
  'pause-replay',
  'kill-replica',
  'kill-replica-backend',
  'cut-link',
  'freeze-replica',
  'restart-replica',
  'kill-primary',
  'promote',
] as const
export type FaultKind = (typeof faultKinds)[number]

export interface FaultParts {
  readonly cluster: EmbeddedCluster
  readonly kinds: readonly FaultKind[]
  /** In [0, 1). */
  readonly random: () => number
  /** How long a fault stands, ms. */
  readonly hold: readonly [least: number, most: number]
  /** How long nothing is wrong between two, ms. */
  readonly rest: readonly [least: number, most: number]
  /** A fault begins; `null`: it has been undone. */
  readonly standing: (fault: FaultKind | null) => void
  /** Resolves when both doors know all servers as usable again. */
  readonly recovered: () => Promise<void>
  /** No fault begins any more. */
  readonly stop: AbortSignal
}

export interface FaultReport {
  readonly injected: ReadonlyMap<FaultKind, number>
}

/** Injects until it is stopped; then what stands is undone. Every kind is injected once, even if that takes longer. */
export async function injectFaults(parts: FaultParts): Promise<FaultReport> {
  const { kinds, random, rest, stop, standing, recovered } = parts
  const injected = new Map<FaultKind, number>()
  const enough = (): boolean => stop.aborted && kinds.every((kind) => injected.has(kind))
  const between = ([least, most]: readonly [number, number]): number => least + random() * (most - least)
  while (!enough()) {
    for (const kind of shuffled(kinds, random)) {
      if (enough()) break
      await sleep(between(rest))
      standing(kind)
      await inject(kind, parts, () => between(parts.hold))
      injected.set(kind, (injected.get(kind) ?? 0) + 1)
      await recovered()
      standing(null)
    }
    if (kinds.length === 0) await sleep(1_000, undefined, { signal: stop }).catch(() => undefined)
  }
  return { injected }
}

async function inject(kind: FaultKind, { cluster, random }: FaultParts, hold: () => number): Promise<void> {
  const replica = cluster.replicas[Math.floor(random() * cluster.replicas.length)]
  if (replica === undefined) throw new Error(`cluster ${cluster.id} has no replica`)
  const { primary } = cluster
  switch (kind) {
    case 'pause-replay':
      return held(
        () => replica.pauseReplay(),
        hold(),
        () => replica.resumeReplay(),
      )
    case 'kill-replica':
      return held(
        () => replica.kill9(),
        hold() / 2,
        () => replica.start(),
      )
    case 'kill-replica-backend':
      return killBackend(replica)
    case 'cut-link':
      return held(
        () => replica.cutLink(),
        hold(),
        () => replica.restoreLink(),
      )
    case 'freeze-replica':
      return held(
        () => replica.freeze(),
        hold() / 2,
        () => replica.thaw(),
      )
    case 'restart-replica':
      return replica.restart('fast')
    case 'kill-primary':
      return held(
        () => primary.kill9(),
        hold() / 4,
        () => primary.start(),
      )
    case 'promote':
      return failOver(cluster, hold() / 4)
  }
}

/** Does it, and undoes it `ms` later. */
async function held(begin: () => Promise<void>, ms: number, undo: () => Promise<void>): Promise<void> {
  await begin()
  await sleep(ms)
  await undo()
}

/** The server under it goes through recovery, with the same postmaster. */
async function killBackend(node: EmbeddedNode): Promise<void> {
  let pid = 0
  await until(`somebody is connected to ${node.id}`, async () => {
    const [row] = await node.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename <> 'postgres' LIMIT 1")
    pid = Number(row?.['pid'] ?? 0)
    return pid > 0
  })
  await node.killBackend(pid, 'kill')
  await until(`${node.id} answers again`, () =>
    node
      .sql('SELECT 1')
      .then(() => true)
      .catch(() => false),
  )
}

/** The primary is gone; the replica that has received most takes its place, and the old one comes back as a copy. */
async function failOver(cluster: EmbeddedCluster, delay: number): Promise<void> {
  const old = cluster.primary
  const followers = cluster.replicas.filter((node) => node.upstream === old)
  await old.kill9()
  await sleep(delay)
  const next = await furthest(followers)
  await next.promote()
  await Promise.all(followers.filter((node) => node !== next).map((node) => node.follow(next)))
  await old.rebuild(next)
}

async function furthest(nodes: readonly EmbeddedNode[]): Promise<EmbeddedNode> {
  const received = await Promise.all(
    nodes.map(async (node) => {
      const [row] = await node.sql(
        "SELECT pg_wal_lsn_diff(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')::text AS bytes",
      )
      return { node, bytes: BigInt(row?.['bytes'] ?? '0') }
    }),
  )
  const [first, ...others] = received
  if (first === undefined) throw new Error('there is no replica to promote')
  return others.reduce((best, one) => (one.bytes > best.bytes ? one : best), first).node
}

function shuffled<T>(items: readonly T[], random: () => number): readonly T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}
