// test/support/answers-world.ts — one database that holds everything, and the same rows in 2, 3 and 8 shards and in 3 partitions,
// each cluster a database of its own on one server. The default clusters of the sharded ones have no rows of sharded tables, so an
// answer of theirs alone would be seen. Types made by CREATE TYPE have other OIDs on every second database.
import pg from 'pg'
import type { Config } from '../../src/config/config.js'
import type { ConfigInput } from '../../src/config/input.js'
import { validateConfig } from '../../src/config/validate.js'
import type { RunningTopology } from '../../src/embedded/topology.js'
import { readKey } from '../../src/sharding/key.js'
import { shardOf } from '../../src/sharding/shard-of.js'
import { answersRows, answersSchema } from './answers-schema.js'

const login = { user: 'app', password: 'app' } as const

/** What the servers of an AnswersWorld need: see withTopology. */
export const answersServers = {
  clusters: {
    main: {
      prepare: 'ALTER ROLE app CREATEDB; GRANT pg_monitor TO app',
      settings: { max_connections: '300', max_prepared_transactions: '20', fsync: 'off', autovacuum: 'off' },
    },
  },
} as const

/** Table → its shard key. */
export const shardKeys: Readonly<Record<string, string>> = {
  comments: 'image_id',
  votes: 'image_id',
  notes: 'tag',
  orders: 'o_orderkey',
  lineitem: 'l_orderkey',
}
const copies = ['countries', 'customer', 'part', 'supplier', 'partsupp', 'nation', 'region']
const partitions: Readonly<Record<string, readonly string[]>> = {
  media: ['comments', 'votes', 'notes'],
  shop: ['orders', 'lineitem', 'customer', 'part', 'supplier', 'partsupp', 'nation', 'region'],
}
const home = ['users']
const everything = [...Object.keys(shardKeys), ...copies, ...home]

/** The databases a client of the proxy can ask. */
export const layouts = ['two', 'three', 'eight', 'parts'] as const
export type Layout = (typeof layouts)[number]
const shardsOf: Readonly<Record<Exclude<Layout, 'parts'>, number>> = { two: 2, three: 3, eight: 8 }

/** JSON as the server wrote it: no number passes through a float. */
type Row = string

export class AnswersWorld {
  readonly #address: string
  readonly #host: string
  readonly #port: number
  readonly #clients = new Map<string, pg.Client>()
  readonly input: ConfigInput
  readonly config: Config

  private constructor(running: RunningTopology) {
    const { primary } = running.cluster('main')
    this.#address = primary.address
    this.#host = primary.host
    this.#port = primary.port
    this.input = this.#input()
    const result = validateConfig(this.input, { env: {}, readFile: () => '' })
    if (!result.ok) throw new Error(JSON.stringify(result.problems))
    this.config = result.config
  }

  /** Makes the databases and fills them. */
  static async make(running: RunningTopology): Promise<AnswersWorld> {
    const world = new AnswersWorld(running)
    await world.#createDatabases()
    await world.#fill()
    return world
  }

  /** Ends its connections. */
  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.end()))
  }

  #input(): ConfigInput {
    const clusters = layouts.flatMap(databasesOf)
    const of = (layout: string, n: number): string[] => Array.from({ length: n }, (_, i) => `${layout}_${String(i)}`)
    const sharded = (layout: string, n: number): object => {
      const there = of(layout, n)
      const hash = { clusters: there, shards: 16, by: 'hash' }
      return {
        default: `${layout}_main`,
        two_phase: true,
        reference: copies,
        reads: { default: { consistency: 'any' } },
        sharded: {
          images: {
            ...(n === 3
              ? {
                  clusters: there,
                  shards: 3,
                  by: 'range',
                  // Nothing is above: one of the three is empty.
                  ranges: [
                    { to: 8, shard: 0 },
                    { from: 8, to: 9000, shard: 1 },
                    { from: 9000, shard: 2 },
                  ],
                }
              : hash),
            key_type: 'bigint',
            tables: { comments: 'image_id', votes: 'image_id' },
          },
          tags: { ...hash, key_type: 'text', tables: { notes: 'tag' } },
          shop: { ...hash, key_type: 'bigint', tables: { orders: 'o_orderkey', lineitem: 'l_orderkey' } },
        },
      }
    }
    return {
      version: 1,
      auth: { method: 'trust', users: [{ name: 'app' }] },
      clusters: Object.fromEntries(
        clusters.map((id) => [
          id,
          { dbname: id, ...login, tls: { mode: 'disable' }, nodes: [this.#address], pool: { max: 6, wait: '20s' } },
        ]),
      ),
      databases: {
        ...Object.fromEntries(Object.entries(shardsOf).map(([layout, n]) => [layout, sharded(layout, n)])),
        parts: {
          default: 'parts_main',
          two_phase: true,
          reference: ['countries'],
          reads: { default: { consistency: 'any' } },
          partitions: Object.fromEntries(
            Object.entries(partitions).map(([name, tables]) => [name, { cluster: `parts_${name}`, owner: name, tables: [...tables] }]),
          ),
        },
      },
    }
  }

  /** A connection to one of the databases itself. */
  async direct(database: string): Promise<pg.Client> {
    const known = this.#clients.get(database)
    if (known !== undefined) return known
    const client = new pg.Client({ host: this.#host, port: this.#port, ...login, database })
    client.on('error', () => undefined)
    this.#clients.set(database, client)
    await client.connect()
    return client
  }

  async #createDatabases(): Promise<void> {
    const admin = await this.direct('app')
    const create = (name: string, from: string): Promise<unknown> =>
      admin.query(`CREATE DATABASE ${name} TEMPLATE ${from} STRATEGY file_copy`)
    await admin.query(`CREATE DATABASE even TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'`)
    await admin.query(`CREATE DATABASE odd TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'`)
    for (const name of ['even', 'odd']) {
      await (await this.direct(name)).query(answersSchema)
      await this.#end(name)
    }
    for (const layout of layouts) await create(wholeOf(layout), 'even')
    for (const layout of layouts) for (const [i, name] of databasesOf(layout).entries()) await create(name, i % 2 === 0 ? 'even' : 'odd')
  }

  async #end(database: string): Promise<void> {
    await this.#clients.get(database)?.end()
    this.#clients.delete(database)
  }

  async #fill(): Promise<void> {
    for (const layout of layouts) await (await this.direct(wholeOf(layout))).query(`${answersRows}; ANALYZE`)
    const whole = await this.direct(wholeOf('two'))
    for (const table of everything) {
      const { rows } = await whole.query<{ row: Row; key: string | null }>(
        `SELECT to_json(t)::text AS row, ${shardKeys[table] === undefined ? 'NULL' : `${shardKeys[table]}::text`} AS key FROM ${table} t`,
      )
      for (const layout of layouts) await this.#spread(layout, table, rows)
    }
    for (const layout of layouts) for (const name of databasesOf(layout)) await (await this.direct(name)).query('ANALYZE')
  }

  async #spread(layout: Layout, table: string, rows: readonly { readonly row: Row; readonly key: string | null }[]): Promise<void> {
    const byDatabase = new Map<string, Row[]>()
    for (const { row, key } of rows) {
      for (const name of this.homesOf(layout, table, key)) byDatabase.set(name, [...(byDatabase.get(name) ?? []), row])
    }
    for (const [name, mine] of byDatabase) {
      const client = await this.direct(name)
      await client.query(`INSERT INTO ${table} SELECT * FROM json_populate_recordset(NULL::${table}, $1)`, [`[${mine.join(',')}]`])
    }
  }

  /** Where a row belongs. */
  homesOf(layout: Layout, table: string, key: string | null): readonly string[] {
    if (layout === 'parts') {
      if (table === 'countries') return databasesOf(layout)
      const found = Object.entries(partitions).find(([, tables]) => tables.includes(table))
      return [`parts_${found === undefined ? 'main' : found[0]}`]
    }
    if (shardKeys[table] === undefined) return home.includes(table) ? [`${layout}_main`] : databasesOf(layout)
    const sharded = [...(this.config.databases.get(layout)?.sharded.values() ?? [])].find((one) =>
      [...one.tables.keys()].some((name) => name === table || name === `public.${table}`),
    )
    if (sharded === undefined) throw new Error(`${table} is not sharded`)
    const read = readKey(sharded.keyTypes[0] ?? 'bigint', key ?? '')
    const placed = read.kind === 'problem' ? read : shardOf(sharded, [read])
    if (placed.kind !== 'placement') throw new Error(JSON.stringify(placed))
    return [placed.cluster]
  }

  /** What is in a table: where everything is, and in one layout, all its homes together. Throws where a row is not at home. */
  async contents(table: string, layout: Layout): Promise<{ readonly whole: readonly string[]; readonly spread: readonly string[] }> {
    const key = shardKeys[table]
    const sql = `SELECT ${key === undefined ? 'NULL' : `${key}::text`} AS key, t::text AS row FROM ${table} t`
    const ask = async (name: string): Promise<readonly { key: string | null; row: string }[]> =>
      (await (await this.direct(name)).query<{ key: string | null; row: string }>(sql)).rows
    const rows = await ask(wholeOf(layout))
    const whole = rows.map(({ row }) => row).sort()
    const copied = this.homesOf(layout, table, rows[0]?.key ?? null).length > 1
    const spread: string[] = []
    for (const name of databasesOf(layout)) {
      const found = await ask(name)
      if (
        copied &&
        found
          .map(({ row }) => row)
          .sort()
          .join('\n') !== whole.join('\n')
      )
        throw new Error(`the copy of ${table} on ${name} differs`)
      if (!copied && found.some((row) => !this.homesOf(layout, table, row.key).includes(name)))
        throw new Error(`a row of ${table} is on ${name}, where it does not belong`)
      if (!copied) spread.push(...found.map(({ row }) => row))
    }
    return { whole, spread: copied ? whole : spread.sort() }
  }
}

/** The database with all rows that a layout is compared with. */
export function wholeOf(layout: Layout): string {
  return `whole_${layout}`
}

function databasesOf(layout: Layout): readonly string[] {
  if (layout === 'parts') return ['parts_main', 'parts_media', 'parts_shop']
  return [`${layout}_main`, ...Array.from({ length: shardsOf[layout] }, (_, i) => `${layout}_${String(i)}`)]
}
