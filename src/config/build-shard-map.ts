// config/build-shard-map.ts — logical shards → clusters: each shard of 0..shards-1 exactly once.
import type { Context } from './context.js'
import type { Path } from './locator.js'

type MapInput = Readonly<Record<string, readonly (string | number | undefined)[] | undefined>>

/** Contiguous runs in the clusters' order, as even as they can be. */
export function spread(shards: number, clusters: readonly string[]): readonly string[] {
  return Array.from({ length: shards }, (_, shard) => clusters[Math.floor((shard * clusters.length) / shards)] ?? '')
}

/** Index: shard; value: cluster. Shards that nobody has stay '' and are told as a problem. */
export function buildShardMap(
  context: Context,
  path: Path,
  input: MapInput,
  shards: number,
  clusters: readonly string[],
): readonly string[] {
  const map: string[] = Array.from({ length: shards }, () => '')
  let whole = true
  for (const [cluster, ranges] of Object.entries(input)) {
    if (!clusters.includes(cluster)) {
      whole = false
      context.findings.problem({
        path: [...path, cluster],
        at: 'key',
        found: cluster,
        allowed: clusters.join(', '),
        message: `${JSON.stringify(cluster)} is not among the clusters of these tables`,
      })
      continue
    }
    ranges?.forEach((range, index) => {
      const ok = range !== undefined && place(context, [...path, cluster, index], cluster, range, map)
      whole &&= ok
    })
    whole &&= ranges !== undefined
  }
  if (whole) tellMissing(context, path, map)
  return map
}

function place(context: Context, path: Path, cluster: string, range: string | number, map: string[]): boolean {
  const [from, to] = String(range).split('-').map(Number)
  const first = from ?? 0
  const last = to ?? first
  if (first > last || last >= map.length) {
    context.findings.problem({
      path,
      allowed: `shards from 0 to ${String(map.length - 1)}, the lower one first`,
      message: 'there are no such shards',
    })
    return false
  }
  const taken = Array.from({ length: last - first + 1 }, (_, offset) => first + offset).filter((shard) => map[shard] !== '')
  if (taken.length > 0) {
    const owner = map[taken[0] ?? 0] ?? ''
    context.findings.problem({ path, allowed: 'each shard once', message: `shard ${printShards(taken)} has a cluster already: ${owner}` })
    return false
  }
  map.fill(cluster, first, last + 1)
  return true
}

function tellMissing(context: Context, path: Path, map: readonly string[]): void {
  const missing = map.flatMap((cluster, shard) => (cluster === '' ? [shard] : []))
  if (missing.length === 0) return
  context.findings.problem({
    path,
    at: 'key',
    found: `no cluster for ${printShards(missing)}`,
    allowed: `every shard from 0 to ${String(map.length - 1)} exactly once`,
    message: 'the map leaves shards without a cluster',
  })
}

// 1, 2, 3, 7 → `1-3, 7`
function printShards(shards: readonly number[]): string {
  const runs: [number, number][] = []
  for (const shard of shards) {
    const last = runs.at(-1)
    if (last?.[1] === shard - 1) last[1] = shard
    else runs.push([shard, shard])
  }
  return runs.map(([from, to]) => (from === to ? String(from) : `${String(from)}-${String(to)}`)).join(', ')
}
