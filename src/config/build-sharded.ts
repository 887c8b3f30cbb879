// config/build-sharded.ts — one set of tables that are spread over clusters by a key.
import type { KeyType, ShardBy, Sharded } from '../sharding/sharded.js'
import { clusterFrom } from './cluster-from.js'
import type { Context } from './context.js'
import type { Partly, ShardedInput } from './input.js'
import { buildListValues } from './build-list-values.js'
import { buildShardMap, spread } from './build-shard-map.js'
import type { Path } from './locator.js'
import { tableFrom } from './table-from.js'
import { parseName } from './table-name.js'

export function buildSharded(context: Context, path: Path, name: string, input: Partly<ShardedInput>, known: ReadonlySet<string>): Sharded {
  const clusters = buildClusters(context, [...path, 'clusters'], input.clusters ?? [], known)
  const told = countShards(context, path, input, clusters)
  const shards = told ?? Math.max(1, clusters.length)
  const keyType: KeyType = input.key_type ?? 'bigint'
  const named = (input.clusters ?? []).filter((id) => id !== undefined)
  const map =
    input.map === undefined || told === null ? spread(shards, clusters) : buildShardMap(context, [...path, 'map'], input.map, shards, named)
  return {
    name,
    shards,
    map,
    clusters,
    function: buildFunction(context, path, input, shards, keyType),
    keyType,
    owner: input.owner ?? null,
    tables: buildTables(context, [...path, 'tables'], input.tables),
  }
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

function buildFunction(context: Context, path: Path, input: Partly<ShardedInput>, shards: number, keyType: KeyType): ShardBy {
  if (input.by === 'list') return { by: 'list', values: buildListValues(context, path, input.values, shards, keyType) }
  if (input.values !== undefined) {
    context.findings.problem({
      path: [...path, 'values'],
      at: 'key',
      found: 'values',
      allowed: 'values only with by: list',
      message: '"values" means nothing here',
    })
  }
  return { by: 'hash' }
}

function buildTables(context: Context, path: Path, inputs: Readonly<Record<string, string | undefined>> = {}): ReadonlyMap<string, string> {
  const tables = new Map<string, string>()
  const entries = Object.entries(inputs)
  if (entries.length === 0) return tables
  for (const [text, column] of entries) {
    const table = tableFrom(context, [...path, text], text, 'key')
    const key = column === undefined ? null : columnFrom(context, [...path, text], column)
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
    tables.set(table, key ?? '')
  }
  return tables
}

function columnFrom(context: Context, path: Path, text: string): string | null {
  const name = parseName(text)
  if (typeof name !== 'string' && name.schema === null) return name.name
  const message = typeof name === 'string' ? `${JSON.stringify(text)} ${name}` : 'a column name has one part'
  context.findings.problem({ path, allowed: 'the name of the shard key column', message })
  return null
}
