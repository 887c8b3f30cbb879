// doors/cli/shard.ts — `pointsman shard`: which shard a key lives on, by the same shardOf() that statements go through; with
// --sql, a query for the servers themselves that gives back every row that lies where shardOf() would not look for it.
import type { Config } from '../../config/config.js'
import { parseName, tableKey } from '../../config/table-name.js'
import { readKeys } from '../../sharding/read-keys.js'
import { shardOf } from '../../sharding/shard-of.js'
import type { Sharded } from '../../sharding/sharded.js'
import { anyConfig, goodConfig } from './config-file.js'
import { CommandError, exit, type ExitCode, type Io } from './io.js'
import { shardSql } from './shard-sql.js'

export interface ShardOptions {
  readonly config?: string
  readonly database?: string
  readonly json?: boolean
  readonly sql?: boolean
}

interface Found {
  /** The columns of a key of several, or the one. */
  readonly key: string | readonly string[]
  readonly shard: number | null
  readonly cluster: string | null
  readonly problem: string | null
}

export async function shard(name: string, texts: readonly string[], options: ShardOptions, io: Io): Promise<ExitCode> {
  const { config } = await goodConfig(anyConfig(options.config, io), io)
  const sharded = findSharded(config, name, options.database)
  if (options.sql === true) {
    for (const line of shardSql(sharded)) io.out(line)
    return exit.done
  }
  const found = keysOf(sharded, texts).map((key) => find(sharded, key))
  if (options.json === true) io.out(JSON.stringify({ sharded: sharded.name, shards: sharded.shards, keys: found }, null, 2))
  else for (const one of found) print(sharded, one, io)
  return found.every((one) => one.problem === null) ? exit.done : exit.no
}

/** Arguments as keys: as many for each as the key has columns. */
function keysOf(sharded: Sharded, texts: readonly string[]): readonly (readonly string[])[] {
  const columns = sharded.keyTypes.length
  if (texts.length === 0 || texts.length % columns !== 0) {
    const what = columns === 1 ? 'at least one key' : `${String(columns)} arguments for each key: ${sharded.keyTypes.join(', ')}`
    throw new CommandError(exit.usage, `${sharded.name} needs ${what}`)
  }
  return Array.from({ length: texts.length / columns }, (_, index) => texts.slice(index * columns, (index + 1) * columns))
}

function find(sharded: Sharded, texts: readonly string[]): Found {
  const keys = readKeys(sharded, texts)
  const placed = 'kind' in keys ? keys : shardOf(sharded, keys)
  const key = texts.length === 1 ? (texts[0] ?? '') : texts
  if (placed.kind === 'placement') return { key, shard: placed.shard, cluster: placed.cluster, problem: null }
  return { key, shard: null, cluster: null, problem: placed.kind === 'problem' ? placed.problem : unasked(sharded) }
}

/** This command asks no server. */
function unasked(sharded: Sharded): string {
  const { function: placing } = sharded
  const where = placing.by === 'directory' ? `${placing.directory.table} on cluster ${placing.directory.cluster}` : 'a directory'
  return `is placed by ${where}: ask it there`
}

function print(sharded: Sharded, found: Found, io: Io): void {
  const key = [found.key].flat().join(' ')
  if (found.problem !== null) io.err(`${sharded.name} ${key}: the key ${found.problem}`)
  else io.out(`${sharded.name} ${key}: shard ${String(found.shard)} of ${String(sharded.shards)}, cluster ${found.cluster ?? ''}`)
}

// By the name under `sharded`, or by one of its tables.
function findSharded(config: Config, name: string, database: string | undefined): Sharded {
  if (database !== undefined && !config.databases.has(database))
    throw new CommandError(exit.usage, `the config has no database ${database}`)
  const all = [...config.databases.values()]
    .filter((one) => database === undefined || one.name === database)
    .flatMap((one) => [...one.sharded.values()].map((sharded) => ({ database: one.name, sharded })))
  const table = tableOf(name)
  const matches = all.filter(({ sharded }) => sharded.name === name)
  const found = matches.length > 0 ? matches : all.filter(({ sharded }) => table !== null && sharded.tables.has(table))
  const [first, second] = found
  if (first === undefined) {
    const names = all.map(({ sharded }) => sharded.name).join(', ')
    throw new CommandError(exit.usage, `nothing sharded is named ${name}; there is: ${names === '' ? 'nothing' : names}`)
  }
  if (second !== undefined) {
    throw new CommandError(
      exit.usage,
      `${name} is sharded in several databases: say --database ${found.map((one) => one.database).join(' or ')}`,
    )
  }
  return first.sharded
}

function tableOf(name: string): string | null {
  const parsed = parseName(name)
  return typeof parsed === 'string' ? null : tableKey(parsed)
}
