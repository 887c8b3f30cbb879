// bench/library.ts — what the library costs over a plain pg.Pool of the same size, before the same primary and in the same process. The
// two take turns within every round, so that a slow minute of the machine hits both alike; ratios are of medians over rounds.
//
// `routing` is what lies between pool.query() and pg's own client, which then puts the query into bytes: reading its arguments, understanding
// and planning it, choosing a server and a connection. Timed for each query of rounds of their own, one at a time; the median, in µs.
//
//   node --import=./scripts/typescript.mjs bench/library.ts [--rounds 5] [--queries 4000] [--clients 1,64]
import { parseArgs } from 'node:util'
import pg from 'pg'
import { startTopology } from '../src/embedded/topology.js'
import { createRouter } from '../src/index.js'
import { median, spread, table } from './table.js'

const { values: options } = parseArgs({
  options: {
    clients: { type: 'string', default: '1,64' },
    rounds: { type: 'string', default: '5' },
    /** Per round, pool and row of the table. */
    queries: { type: 'string', default: '4000' },
  },
})
const size = 16
const rows = 10_000

/** What one query is, by name of the row. */
const loads: Readonly<Record<string, (id: number) => pg.QueryConfig>> = {
  values: (id) => ({ text: 'SELECT balance FROM accounts WHERE id = $1', values: [id] }),
  literal: (id) => ({ text: `SELECT balance FROM accounts WHERE id = ${String(id)}` }),
  named: (id) => ({ name: 'balance', text: 'SELECT balance FROM accounts WHERE id = $1', values: [id] }),
}

await main()

async function main(): Promise<void> {
  const seed = `CREATE TABLE accounts (id int PRIMARY KEY, balance int); INSERT INTO accounts SELECT i, 0 FROM generate_series(1, ${String(rows)}) i`
  const topology = await startTopology({ clusters: { bench: { seed } } })
  const { host, port, address } = topology.cluster('bench').primary
  const login = { user: topology.user, password: topology.password }
  const plain = new pg.Pool({ host, port, database: 'app', ...login, max: size })
  const routed = createRouter({
    pg,
    config: {
      version: 1,
      clusters: { bench: { dbname: 'app', ...login, nodes: [address], pool: { max: size }, tls: { mode: 'disable' } } },
      databases: { app: { default: 'bench', reads: { default: { consistency: 'session' } } } },
    },
  })
  try {
    const lines = [['query', 'clients', 'pg.Pool', '±', 'Pointsman', '±', 'µs more per query', 'routing', "pg.Pool's"]]
    for (const name of Object.keys(loads)) {
      for (const clients of options.clients.split(',').map(Number)) lines.push(await compare(name, clients, plain, routed))
    }
    console.log(
      `\n${options.rounds} rounds of ${options.queries} queries each, ${String(size)} server connections. Throughput as a ratio to`,
    )
    console.log(`pg.Pool's in the same run; ± is half the spread between rounds; routing in µs.\n\n${table(lines)}`)
  } finally {
    await Promise.all([plain.end(), routed.end()])
    await topology.stop()
  }
}

async function compare(name: string, clients: number, plain: pg.Pool, routed: pg.Pool): Promise<string[]> {
  const load = loads[name]
  if (load === undefined) throw new Error(`no load ${name}`)
  const rates: Record<'plain' | 'routed', number[]> = { plain: [], routed: [] }
  // The first round warms up both, and does not count.
  for (let round = 0; round <= Number(options.rounds); round++) {
    const found = { plain: await perSecond(plain, clients, load), routed: await perSecond(routed, clients, load) }
    if (round === 0) continue
    rates.plain.push(found.plain)
    rates.routed.push(found.routed)
  }
  const [base, ours] = [median(rates.plain), median(rates.routed)]
  const more = (1e6 / ours - 1e6 / base).toFixed(0)
  const routing = clients === 1 ? await comparedRouting(plain, routed, load) : ['', '']
  return [name, String(clients), '1.00', percent(rates.plain), (ours / base).toFixed(2), percent(rates.routed), more, ...routing]
}

/** Of Pointsman, and of pg.Pool. */
async function comparedRouting(plain: pg.Pool, routed: pg.Pool, load: (id: number) => pg.QueryConfig): Promise<string[]> {
  const found: Record<'plain' | 'routed', number[]> = { plain: [], routed: [] }
  for (let round = 0; round < Number(options.rounds); round++) {
    found.routed.push(await untilSent(routed, load))
    found.plain.push(await untilSent(plain, load))
  }
  return [median(found.routed).toFixed(1), median(found.plain).toFixed(1)]
}

/** µs until pg's client is asked, the median over a round of queries. */
async function untilSent(pool: pg.Pool, load: (id: number) => pg.QueryConfig): Promise<number> {
  const client = pg.Client.prototype as { query: (...args: unknown[]) => unknown }
  const { query } = client
  let sentAt = 0n
  client.query = function (...args) {
    sentAt = process.hrtime.bigint()
    return query.apply(this, args)
  }
  try {
    const times: number[] = []
    for (let left = Number(options.queries) >> 2; left > 0; left--) {
      const config = load(1 + (left % rows))
      const askedAt = process.hrtime.bigint()
      await pool.query(config)
      times.push(Number(sentAt - askedAt) / 1000)
    }
    return median(times)
  } finally {
    client.query = query
  }
}

/** Queries per second with so many of them under way at any time. */
async function perSecond(pool: pg.Pool, clients: number, load: (id: number) => pg.QueryConfig): Promise<number> {
  const queries = Number(options.queries)
  let left = queries
  const client = async (): Promise<void> => {
    while (left-- > 0) await pool.query(load(1 + (left % rows)))
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: clients }, client))
  return queries / ((performance.now() - start) / 1000)
}

function percent(values: readonly number[]): string {
  return `${(spread(values) * 100).toFixed(0)}%`
}
