// bench/soak.ts — whether memory stays flat: mixed requests, errors and clients that vanish, through the proxy in a process of its
// own; after every 50,000 requests what it takes is told, and at the end whether it is flat.
//
//   npm run bench:soak -- --requests 1000000 [--clients 32] [--snapshots DIRECTORY]
//
// The process collects before it tells, so that what is told is what is kept, not what has not been swept. Caches fill first, and
// texts that are never seen again fill them to their bounds: the verdict is on what the heap grew by in the second half, and it
// ends with 1 where that is more than a plateau's noise. `--snapshots`: of the heap, at half and at the end, to see what has grown.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { writeHeapSnapshot } from 'node:v8'
import { startTopology } from '../src/embedded/topology.js'
import { createObserver } from '../src/observe/observer.js'
import { createProxy } from '../src/doors/proxy/proxy.js'
import { createRuntime } from '../src/runtime/create-runtime.js'
import { seededRandom } from '../src/runtime/seeded-random.js'
import { createConnect } from '../src/server/connect-server.js'
import type { ServerConnection } from '../src/server/contract.js'
import { validateConfig } from '../src/config/validate.js'
import { WireClient } from '../test/support/wire-client.js'
import { table } from './table.js'

const { values: options } = parseArgs({
  options: {
    requests: { type: 'string', default: '300000' },
    clients: { type: 'string', default: '32' },
    seed: { type: 'string', default: '1' },
    snapshots: { type: 'string' },
    /** Only for the process that is the proxy: the server's address. */
    serve: { type: 'string' },
  },
})

/** Requests between two lines of the table. */
const step = 50_000
/** What a heap that does not grow may differ by between two halves, in bytes per million requests. */
const noise = 3 * 1024 * 1024
/** Connections that the proxy ended, which it may where the machine stood still; each is told. */
let lost = 0

interface Memory {
  readonly rss: number
  readonly heapUsed: number
  readonly external: number
  readonly clients: number
}

if (options.serve === undefined) await main()
else await serve(options.serve)

// ---- the proxy's process

async function serve(address: string): Promise<void> {
  const result = validateConfig(
    {
      version: 1,
      listen: { host: '127.0.0.1', port: 0 },
      auth: { method: 'trust', users: [{ name: 'app' }] },
      clusters: {
        main: { dbname: 'app', user: 'app', password: 'app', nodes: [address], tls: { mode: 'disable' }, pool: { max: 16, wait: '60s' } },
      },
      databases: { app: { default: 'main' } },
    },
    { env: {}, readFile: () => '' },
  )
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  const { config } = result
  const now = (): number => performance.now()
  const observer = createObserver()
  const connect = (cluster: { readonly id: string }) =>
    createConnect((id) => (id === cluster.id ? config.clusters.get(id) : undefined), { now })
  const runtime = await createRuntime<ServerConnection>({ config, observer, connect, now, random: Math.random })
  const proxy = await createProxy({ runtime, observer, now })
  process.on('message', ({ snapshot }: { readonly snapshot: string | null }) => {
    globalThis.gc?.()
    if (snapshot !== null) writeHeapSnapshot(snapshot)
    process.send?.({ ...process.memoryUsage(), clients: proxy.clients().length })
  })
  process.on('disconnect', () => process.exit())
  process.send?.({ port: proxy.addresses[0]?.port ?? 0 })
}

// ---- the clients' process

async function main(): Promise<void> {
  const seed = `CREATE TABLE accounts (id int PRIMARY KEY, balance int); INSERT INTO accounts SELECT i, 0 FROM generate_series(1, 10000) i`
  const topology = await startTopology({ clusters: { main: { seed } } })
  let proxy: ChildProcess | null = null
  try {
    const file = fileURLToPath(import.meta.url)
    const loader = new URL('../scripts/typescript.mjs', import.meta.url).href
    proxy = fork(file, ['--serve', topology.cluster('main').primary.address], { execArgv: ['--expose-gc', `--import=${loader}`] })
    const [{ port }] = (await once(proxy, 'message')) as [{ readonly port: number }]
    await soak(port, proxy)
  } finally {
    proxy?.kill('SIGKILL')
    await topology.stop()
  }
}

async function soak(port: number, proxy: ChildProcess): Promise<void> {
  const steps = Math.max(4, Math.ceil(Number(options.requests) / step))
  const half = Math.floor(steps / 2)
  const clients = Number(options.clients)
  const told: Memory[] = []
  for (let at = 0; at < steps; at++) {
    const random = (me: number): (() => number) => seededRandom(Number(options.seed) * 1_000_003 + at * step + me)
    await Promise.all(Array.from({ length: clients }, (_, me) => client(port, random(me), Math.ceil(step / clients))))
    const memory = await ask(proxy, at + 1 === half ? 'half' : at + 1 === steps ? 'end' : null)
    told.push(memory)
    const { rss, heapUsed, external, clients: left } = memory
    console.log(
      `${String((at + 1) * step)} requests: heap ${mb(heapUsed)}, rss ${mb(rss)}, external ${mb(external)}, ${String(left)} clients`,
    )
  }
  const slope = { heap: growth(told.slice(half).map(({ heapUsed }) => heapUsed)), rss: growth(told.slice(half).map(({ rss }) => rss)) }
  const rows = Object.entries(slope).map(([what, bytes]): [string, string] => [what, mb(bytes)])
  console.log(`\n${table([['kept', 'growth per million requests, second half'], ...rows])}`)
  const flat = slope.heap < noise
  console.log(`\nverdict: ${flat ? 'flat' : 'it grows'}, ${String(lost)} connections lost`)
  if (!flat || lost > 0) process.exitCode = 1
}

/** Bytes per million requests: the slope of the line that fits best. */
function growth(values: readonly number[]): number {
  const middle = (values.length - 1) / 2
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const over = values.reduce((sum, value, at) => sum + (at - middle) * (value - mean), 0)
  const under = values.reduce((sum, _value, at) => sum + (at - middle) ** 2, 0)
  return ((under === 0 ? 0 : over / under) / step) * 1e6
}

function mb(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`
}

async function ask(proxy: ChildProcess, moment: string | null): Promise<Memory> {
  const answer = once(proxy, 'message') as Promise<[Memory]>
  const { snapshots } = options
  proxy.send({ snapshot: moment === null || snapshots === undefined ? null : join(snapshots, `${moment}.heapsnapshot`) })
  return (await answer)[0]
}

/** Asks `count` times; now and then it vanishes in the middle, and another takes its place. */
async function client(port: number, random: () => number, count: number): Promise<void> {
  const ends: (() => unknown)[] = []
  const enter = (): Promise<WireClient> => WireClient.login({ teardown: (end: () => unknown) => void ends.push(end) }, port)
  let wire = await enter()
  for (let done = 0; done < count; done++) {
    const id = String(1 + Math.floor(random() * 10_000))
    const expected = request(wire, random(), id)
    if (random() >= 0.002 && (await isAnswered(wire, expected))) continue
    wire.destroy()
    ends.length = 0
    wire = await enter()
  }
  wire.destroy()
}

async function isAnswered(wire: WireClient, expected: number): Promise<boolean> {
  try {
    await wire.until('ReadyForQuery', expected)
    return true
  } catch (error) {
    lost += 1
    console.log(error instanceof Error ? error.message : error)
    return false
  }
}

/** Sends one request; how many ReadyForQuery it will have. */
function request(wire: WireClient, kind: number, id: string): number {
  const bind = `Bind "" "" 0 1 "${id}" 0`
  if (kind < 0.3) wire.query(`SELECT balance FROM accounts WHERE id = ${id}`)
  else if (kind < 0.6) wire.send('Parse "" "SELECT balance FROM accounts WHERE id = $1" 0', bind, 'Describe P ""', 'Execute "" 0', 'Sync')
  else if (kind < 0.7) wire.query(`UPDATE accounts SET balance = balance + 1 WHERE id = ${id}`)
  else if (kind < 0.75) {
    wire.query('BEGIN')
    wire.query(`UPDATE accounts SET balance = balance - 1 WHERE id = ${id}`)
    wire.query(kind < 0.73 ? 'COMMIT' : 'ROLLBACK')
    return 3
  } else if (kind < 0.8) wire.query(`SELECT 1/0, ${id}`)
  // Texts that are never seen again: every cache must have a bound.
  else if (kind < 0.85) wire.query(`SELECT ${id} AS "column ${id}", ${String(kind)} AS "${String(kind)}"`)
  else if (kind < 0.9) wire.send(`Parse "" "SELECT 'x${id}', $1::int" 0`, `Bind "" "" 0 1 "no number" 0`, 'Execute "" 0', 'Sync')
  else if (kind < 0.93) wire.send(`Parse "s${id}" "SELECT ${id}" 0`, `Bind "" "s${id}" 0 0 0`, 'Execute "" 0', `Close S "s${id}"`, 'Sync')
  else if (kind < 0.96) wire.query(`SET work_mem = '${String(4096 + (Number(id) % 7) * 64)}kB'; SHOW work_mem`)
  else if (kind < 0.98) wire.query(`SELEKT ${id}`)
  else wire.query(`COPY (SELECT * FROM accounts WHERE id < 50) TO STDOUT`)
  return 1
}
