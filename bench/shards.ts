// bench/shards.ts — what shards cost and bring: statements bound to one shard against the same table unsharded, both through Pointsman;
// and reads of all shards, merged, against one server that holds every row. Ratios of one run, taking turns.
//
//   npm run bench:shards -- [--rows 10000000] [--shards 4] [--clients 16] [--rounds 5] [--seconds 4]
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { startTopology } from '../src/embedded/topology.js'
import { freePort, listening } from './pgbouncer.js'
import { pgbench } from './pgbench.js'
import { median, spread, table } from './table.js'

const root = fileURLToPath(new URL('..', import.meta.url))

const { values: options } = parseArgs({
  options: {
    rows: { type: 'string', default: '10000000' },
    shards: { type: 'string', default: '4' },
    clients: { type: 'string', default: '16' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
  },
})
const [rows, rounds] = [Number(options.rows), Number(options.rounds)]
const shards = Array.from({ length: Number(options.shards) }, (_, index) => `shard_${String(index)}`)
const whole = 'whole'

const settings = { shared_buffers: '512MB', max_wal_size: '4GB', synchronous_commit: 'off', max_parallel_workers_per_gather: '0' }
const topology = await startTopology({ clusters: Object.fromEntries([whole, ...shards].map((id) => [id, { settings }])) })
const dir = await mkdtemp(join(tmpdir(), 'pointsman-shards-'))
const children: ChildProcess[] = []
try {
  await Promise.all([fill(whole, null), ...shards.map((id, index) => fill(id, index))])
  const port = await startPointsman()
  console.log(await keyed(port))
  console.log(await merged(port))
} finally {
  for (const child of children) child.kill('SIGKILL')
  await topology.stop()
  await rm(dir, { recursive: true, force: true })
}

/** The rows of one shard as PostgreSQL's own hash partitioning has them; null: all. */
async function fill(cluster: string, shard: number | null): Promise<void> {
  const client = await connect(topology.cluster(cluster).primary.port, 'app')
  const mine = shard === null ? '' : `WHERE satisfies_hash_partition('parent'::regclass, ${String(shards.length)}, ${String(shard)}, g)`
  await client.query('CREATE TABLE parent (id bigint) PARTITION BY HASH (id)')
  await client.query('CREATE TABLE items (id bigint, n int NOT NULL, body text)')
  await client.query(
    `INSERT INTO items SELECT g, (g * 7919) % 1000003, 'item ' || g FROM generate_series(1::bigint, ${String(rows)}) g ${mine}`,
  )
  await client.query('ALTER TABLE items ADD PRIMARY KEY (id)')
  await client.query('DROP TABLE parent')
  await client.query('VACUUM (ANALYZE, FREEZE) items')
  await client.end()
}

async function connect(port: number, database: string): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'app', password: 'app', database })
  await client.connect()
  return client
}

async function startPointsman(): Promise<number> {
  const port = await freePort()
  const file = join(dir, 'shards.yaml')
  const clusters = [whole, ...shards].map((id) => {
    const { address } = topology.cluster(id).primary
    return `  ${id}: { dbname: app, user: ${topology.user}, password: ${topology.password}, nodes: ["${address}"], pool: { max: 16 } }`
  })
  await writeFile(
    file,
    `version: 1
listen: { host: 127.0.0.1, port: ${String(port)} }
auth: { method: scram-sha-256, users: [{ name: app, password: app }] }
clusters:
${clusters.join('\n')}
databases:
  unsharded: { default: ${whole} }
  routed:
    default: ${whole}
    sharded:
      items: { clusters: [${whole}], shards: 64, by: hash, key_type: bigint, tables: { items: id } }
  sharded:
    default: ${whole}
    sharded:
      items: { clusters: [${shards.join(', ')}], shards: ${String(shards.length)}, by: hash, key_type: bigint, tables: { items: id } }
log: { level: warn }
`,
  )
  const child = spawn(process.execPath, ['dist/bin.js', 'serve', '-c', file], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
  children.push(child)
  await listening(port, child)
  return port
}

// ---- bound to one shard

async function keyed(port: number): Promise<string> {
  const scripts: Readonly<Record<string, string>> = {
    'SELECT by key': `\\set id random(1, ${String(rows)})\nSELECT n FROM items WHERE id = :id;\n`,
    'UPDATE by key': `\\set id random(1, ${String(rows)})\nUPDATE items SET n = n + 1 WHERE id = :id;\n`,
  }
  const databases = ['unsharded', 'routed', 'sharded'] as const
  const lines = [['', 'clients', 'unsharded', '±', 'by key, the same server', '±', `by key, ${String(shards.length)} servers`, '±']]
  for (const [name, script] of Object.entries(scripts)) {
    const file = join(dir, 'script.sql')
    await writeFile(file, script)
    const rates: Record<(typeof databases)[number], number[]> = { unsharded: [], routed: [], sharded: [] }
    for (let round = 0; round < rounds; round++) {
      for (const database of databases) {
        const login = { user: 'app', password: 'app', database }
        const load = {
          mode: 'simple',
          clients: Number(options.clients),
          seconds: Number(options.seconds),
          ...login,
          script: ['-f', file],
        } as const
        rates[database].push((await pgbench({ name: database, port }, load)).tps)
      }
    }
    const base = median(rates.unsharded)
    const cells = databases.map((database) => rates[database]).flatMap((each) => [(median(each) / base).toFixed(2), percent(each)])
    lines.push([name, options.clients, ...cells])
  }
  return `\nStatements of one shard: throughput as a ratio to the same table unsharded, both through Pointsman.\n\n${table(lines)}`
}

// ---- merged

async function merged(port: number): Promise<string> {
  const reads = [
    'SELECT count(*) FROM items',
    'SELECT * FROM items ORDER BY n DESC, id LIMIT 10',
    'SELECT * FROM items ORDER BY id LIMIT 10',
    'SELECT n % 10 AS k, count(*), sum(n) FROM items GROUP BY n % 10 ORDER BY 1',
    'SELECT avg(n) FROM items WHERE n > 500000',
  ]
  const clients = {
    one: await connect(topology.cluster(whole).primary.port, 'app'),
    merged: await connect(port, 'sharded'),
  }
  const lines = [[`${String(rows)} rows, ${String(shards.length)} shards`, 'one server, ms', '±', 'merged, ms', '±', 'times faster']]
  for (const sql of reads) {
    const took: Record<'one' | 'merged', number[]> = { one: [], merged: [] }
    for (let round = 0; round <= rounds; round++) {
      for (const name of ['one', 'merged'] as const) {
        const start = performance.now()
        await clients[name].query(sql)
        // The first round warms up all servers.
        if (round > 0) took[name].push(performance.now() - start)
      }
    }
    const [one, many] = [median(took.one), median(took.merged)]
    lines.push([sql, one.toFixed(1), percent(took.one), many.toFixed(1), percent(took.merged), (one / many).toFixed(2)])
  }
  await Promise.all(Object.values(clients).map((client) => client.end()))
  return `\nReads of all rows: one server (asked directly, no parallel workers) and its rows on ${String(shards.length)} shards of the same machine.\n\n${table(lines)}`
}

function percent(values: readonly number[]): string {
  return `${(spread(values) * 100).toFixed(0)}%`
}
