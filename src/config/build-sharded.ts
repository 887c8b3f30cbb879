// config/build-sharded.ts — one set of tables that are spread over clusters by a key.
import type { KeyType, Sharded } from '../sharding/sharded.js'
import { clusterFrom } from './cluster-from.js'
import { columnsFrom } from './columns-from.js'
import type { Context } from './context.js'
import type { Partly, ShardedInput } from './input.js'
import { buildShardFunction } from './build-shard-function.js'
import { buildShardMap, spread } from './build-shard-map.js'
import type { Path } from './locator.js'
import { tableFrom } from './table-from.js'

export function buildSharded(context: Context, path: Path, name: string, given: Partly<ShardedInput>, known: ReadonlySet<string>): Sharded {
  const input = withClusters(context, path, given)
  const clusters = buildClusters(context, [...path, 'clusters'], input.clusters ?? [], known)
  const told = countShards(context, path, input, clusters)
  const shards = told ?? Math.max(1, clusters.length)
  const typed = [input.key_type].flat().filter((type) => type !== undefined)
  const keyTypes: readonly KeyType[] = typed.length === 0 ? ['bigint'] : typed
  // A type that is none was told: how many columns there are to be is not known then.
  const columns = typed.length === [input.key_type].flat().length ? typed.length : null
  const named = (input.clusters ?? []).filter((id) => id !== undefined)
  const map =
    input.map === undefined || told === null ? spread(shards, clusters) : buildShardMap(context, [...path, 'map'], input.map, shards, named)
  return {
    name,
    shards,
    map,
    clusters,
    function: buildShardFunction(context, path, input, { shards, keyTypes, columns, known }),
    keyTypes,
    owner: input.owner ?? null,
    ...(input.scatter === 'refuse' ? { scatter: 'refuse' } : {}),
    tables: buildTables(context, [...path, 'tables'], input.tables, columns),
  }
}

/** What is only tried names the one cluster where the tables still are. */
function withClusters(context: Context, path: Path, input: Partly<ShardedInput>): Partly<ShardedInput> {
  const { findings } = context
  if (input.virtual !== true && input.cluster !== undefined) {
    findings.problem({
      path: [...path, 'cluster'],
      at: 'key',
      allowed: 'clusters: [...]',
      message: '"cluster" means nothing without virtual: true',
    })
  }
  if (input.clusters !== undefined) return input
  if (input.virtual === true && input.cluster !== undefined) return { ...input, clusters: [input.cluster] }
  findings.missing({ path: [...path, 'clusters'], allowed: 'a list that is not empty', message: '"clusters" is missing' })
  return input
}

function buildClusters(
  context: Context,
  path: Path,
  inputs: readonly (string | undefined)[],
  known: ReadonlySet<string>,
): readonly string[] {
  const clusters: string[] = []
  inputs.forEach((id, index) => {
    if (id === undefined || clusterFrom(context, [...path, index], id, known) === null) return
    if (clusters.includes(id)) {
      context.findings.problem({
        path: [...path, index],
        allowed: 'each cluster once',
        message: `cluster ${JSON.stringify(id)} is listed twice`,
      })
      return
    }
    clusters.push(id)
  })
  return clusters
}

// null: what is written is no number of shards, so nothing can be checked against it.
function countShards(context: Context, path: Path, input: Partly<ShardedInput>, clusters: readonly string[]): number | null {
  const count = input.clusters?.length ?? 0
  if (input.shards === undefined) {
    if (context.findings.given([...path, 'shards'])) return null
    if (count > 0) {
      context.findings.warning({
        path: [...path, 'shards'],
        at: 'key',
        allowed: 'shards: 64, say: a number of logical shards, fixed for life',
        message: `"shards" is missing: it is taken to be ${String(count)}, the number of clusters, and the data can then never be spread over more`,
      })
    }
    return Math.max(1, count)
  }
  if (clusters.length > input.shards) {
    context.findings.problem({
      path: [...path, 'shards'],
      allowed: `at least ${String(clusters.length)}`,
      message: 'there are more clusters than shards',
    })
  }
  return input.shards
}

function buildTables(
  context: Context,
  path: Path,
  inputs: Partly<ShardedInput>['tables'] = {},
  columns: number | null,
): ReadonlyMap<string, readonly string[]> {
  const tables = new Map<string, readonly string[]>()
  const entries = Object.entries(inputs)
  if (entries.length === 0) return tables
  for (const [text, given] of entries) {
    const table = tableFrom(context, [...path, text], text, 'key')
    const keys = given === undefined ? null : columnsFrom(context, [...path, text], given, columns)
    if (table === null) continue
    if (tables.has(table))
      context.findings.problem({
        path: [...path, text],
        at: 'key',
        found: text,
        allowed: 'each table once',
        message: `table ${table} is listed twice`,
      })
    // A bad column was told; the table keeps its home, so that a second home is told too.
    tables.set(table, keys ?? Array<string>(columns ?? 1).fill(''))
  }
  return tables
}
