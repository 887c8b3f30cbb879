// test/support/shards.ts — rows where a sharded set has them, beside all of them on one server that answers are held against.
import type pg from 'pg'
import type { ConfigInput } from '../../src/config/input.js'
import { validateConfig } from '../../src/config/validate.js'
import { readKey } from '../../src/sharding/key.js'
import { shardOf } from '../../src/sharding/shard-of.js'

export type TextRow = Readonly<Record<string, string | null>>

/** Puts every row on its shard of that set of database `app`, and all of them on `main`. Keys are bigint. */
export async function fillShards(
  config: ConfigInput,
  set: string,
  connect: (cluster: string) => Promise<pg.Client>,
  tables: Readonly<Record<string, { readonly key: string; readonly rows: readonly TextRow[] }>>,
): Promise<void> {
  const result = validateConfig(config, { env: {}, readFile: () => '' })
  const sharded = result.ok ? result.config.databases.get('app')?.sharded.get(set) : undefined
  if (sharded === undefined) throw new Error('not sharded')
  const clusterOf = (text: string): string => {
    const key = readKey('bigint', text)
    const placed = key.kind === 'problem' ? key : shardOf(sharded, [key])
    if (placed.kind !== 'placement') throw new Error(JSON.stringify(placed))
    return placed.cluster
  }
  for (const cluster of ['main', ...sharded.clusters]) {
    const connection = await connect(cluster)
    for (const [table, { key, rows }] of Object.entries(tables)) {
      const mine = rows.filter((row) => cluster === 'main' || clusterOf(row[key] ?? '') === cluster)
      const columns = Object.keys(rows[0] ?? {}).join(', ')
      await connection.query(`INSERT INTO ${table} (${columns}) SELECT ${columns} FROM json_populate_recordset(NULL::${table}, $1)`, [
        JSON.stringify(mine),
      ])
    }
  }
}
