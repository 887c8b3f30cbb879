// doors/cli/shard-sql.ts — `pointsman shard --sql`: for each cluster of a sharded set, queries that give back the rows of its
// tables that shardOf() does not expect there. For `hash` the server itself says so (satisfies_hash_partition), by a table
// partitioned by the same types, so that the two are independent of each other.
import { keyText, type Key } from '../../sharding/key.js'
import type { KeyRange, KeyType, Sharded } from '../../sharding/sharded.js'
import { quoted } from '../../session/quote.js'
import { CommandError, exit } from './io.js'
import { literal } from './literal.js'

/** Lines of a script for psql, a part for each cluster. No row that a query gives back: all is where it belongs. */
export function shardSql(sharded: Sharded): readonly string[] {
  return sharded.clusters.flatMap((cluster) => [
    `-- ${sharded.name} on cluster ${cluster}: run it there, in the database that holds the tables.`,
    ...before(sharded),
    ...[...sharded.tables].map(([table, columns]) => {
      const named = columns.map(quoted)
      const shown = named.map((column, index) => `${column} AS key_${String(index + 1)}`).join(', ')
      const isNull = named.map((column) => `${column} IS NULL`).join(' OR ')
      const belongs = belongsHere(sharded, cluster, named)
      return `SELECT ${literal(table)} AS misplaced, ${shown} FROM ${quotedTable(table)} WHERE ${isNull} OR NOT (${belongs});`
    }),
  ])
}

function before({ name, function: { by }, keyTypes }: Sharded): readonly string[] {
  if (by !== 'hash') return []
  const like = quoted(likeName(name))
  const columns = keyTypes.map((type, index) => `k${String(index + 1)} ${type}`).join(', ')
  const keys = keyTypes.map((_, index) => `k${String(index + 1)}`).join(', ')
  return [`DROP TABLE IF EXISTS pg_temp.${like};`, `CREATE TEMPORARY TABLE ${like} (${columns}) PARTITION BY HASH (${keys});`]
}

function likeName(name: string): string {
  return `pointsman_like_${name}`.slice(0, 60)
}

/** True for a row whose key lies on one of the cluster's shards. */
function belongsHere(sharded: Sharded, cluster: string, columns: readonly string[]): string {
  const shards = sharded.map.flatMap((holder, shard) => (holder === cluster ? [shard] : []))
  const [column = ''] = columns
  const { function: placing } = sharded
  switch (placing.by) {
    case 'hash': {
      const like = literal(`pg_temp.${quoted(likeName(sharded.name))}`)
      const cast = columns.map((one, index) => `${one}::${sharded.keyTypes[index] ?? ''}`).join(', ')
      return `EXISTS (SELECT FROM unnest(ARRAY[${shards.join(', ')}]::int[]) AS s WHERE satisfies_hash_partition(${like}::regclass, ${String(sharded.shards)}, s, ${cast}))`
    }
    case 'list': {
      const keys = [...placing.values].flatMap(([key, shard]) => (shards.includes(shard) ? [key] : []))
      return keys.length === 0 ? 'false' : `${column} IN (${keys.map((key) => literal(key)).join(', ')})`
    }
    case 'range': {
      const ranges = placing.ranges.filter(({ shard }) => shards.includes(shard))
      return ranges.length === 0 ? 'false' : ranges.map((range) => `(${within(range, column, sharded.keyTypes[0] ?? 'text')})`).join(' OR ')
    }
    default:
      throw new CommandError(exit.usage, `--sql needs by: hash, list or range; ${sharded.name} is placed by ${placing.by}`)
  }
}

function within({ from, to }: KeyRange, column: string, type: KeyType): string {
  const compared = type === 'text' || type === 'varchar' ? `${column} COLLATE "C"` : column
  const end = (operator: string, key: Key | null): readonly string[] =>
    key === null ? [] : [`${compared} ${operator} ${literal(keyText(key))}`]
  const ends = [...end('>=', from), ...end('<', to)]
  return ends.length === 0 ? 'true' : ends.join(' AND ')
}

function quotedTable(table: string): string {
  const dot = table.indexOf('.')
  return `${quoted(table.slice(0, dot))}.${quoted(table.slice(dot + 1))}`
}
