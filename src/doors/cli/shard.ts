// doors/cli/shard.ts — `pointsman shard`: which shard a key lives on, by the same shardOf() that statements go through.
import type { Config } from '../../config/config.js'
import { parseName, tableKey } from '../../config/table-name.js'
import { readKey } from '../../sharding/key.js'
import { shardOf } from '../../sharding/shard-of.js'
import type { Sharded } from '../../sharding/sharded.js'
import { anyConfig, goodConfig } from './config-file.js'
import { CommandError, exit, type ExitCode, type Io } from './io.js'

export interface ShardOptions {
  readonly config?: string
  readonly database?: string
  readonly json?: boolean
}

interface Found {
  readonly key: string
  readonly shard: number | null
  readonly cluster: string | null
  readonly problem: string | null
}

export function shard(name: string, keys: readonly string[], options: ShardOptions, io: Io): ExitCode {
  const { config } = goodConfig(anyConfig(options.config, io), io)
  const sharded = findSharded(config, name, options.database)
  const found = keys.map((key) => find(sharded, key))
  if (options.json === true) io.out(JSON.stringify({ sharded: sharded.name, shards: sharded.shards, keys: found }, null, 2))
  else for (const one of found) print(sharded, one, io)
  return found.every((one) => one.problem === null) ? exit.done : exit.no
}

function find(sharded: Sharded, text: string): Found {
  const key = readKey(sharded.keyType, text)
  const placed = key.kind === 'problem' ? key : shardOf(sharded, key)
  if (placed.kind === 'problem') return { key: text, shard: null, cluster: null, problem: placed.problem }
  return { key: text, shard: placed.shard, cluster: placed.cluster, problem: null }
}

function print(sharded: Sharded, found: Found, io: Io): void {
  if (found.problem !== null) io.err(`${sharded.name} ${found.key}: the key ${found.problem}`)
  else io.out(`${sharded.name} ${found.key}: shard ${String(found.shard)} of ${String(sharded.shards)}, cluster ${found.cluster ?? ''}`)
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
