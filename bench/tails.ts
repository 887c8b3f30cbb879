// bench/tails.ts — what throughput does not tell: results and COPY of 100 MB, what thousands of idle clients do to the latency of the
// others, and what a slow query among fast ones does. Ratios and quantiles of one run, the peers taking turns.
//
//   node --import=./scripts/typescript.mjs bench/tails.ts [--only large,idle,slow] [--rounds 3] [--idle 10000] [--dist dist]
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startTopology } from '../src/embedded/topology.js'
import { freePort, listening, startPgBouncer } from './pgbouncer.js'
import { pgbench, run, type Target } from './pgbench.js'
import { median, spread, table } from './table.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const poolSize = 16
const rowsOf100MB = 100_000
const fastClients = 64

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: 'large,idle,slow' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    idle: { type: 'string', default: '10000' },
    dist: { type: 'string', default: 'dist' },
  },
})
const rounds = Number(options.rounds)
const load = { mode: 'simple', seconds: Number(options.seconds), database: 'app', user: 'app', password: 'app', script: ['-S'] } as const

const children: ChildProcess[] = []
const dir = await mkdtemp(join(tmpdir(), 'pointsman-tails-'))
const topology = await startTopology({ clusters: { bench: { settings: { max_connections: '400' } } } })
const { primary } = topology.cluster('bench')
const bouncer = await startPgBouncer({ port: primary.port, database: 'app', user: 'app', password: 'app', poolSize })
try {
  await run('pgbench', ['-i', '-q', '-s', '10', '-h', '127.0.0.1', '-p', String(primary.port), '-U', 'app', 'app'], 'app')
  const peers: Target[] = [
    { name: 'direct', port: primary.port },
    ...(bouncer === null ? [] : [{ name: 'pgbouncer', port: bouncer.port }]),
    { name: 'pointsman', port: await startPointsman() },
  ]
  const wanted = options.only.split(',')
  if (wanted.includes('large')) console.log(await large(peers))
  if (wanted.includes('slow')) console.log(await slow(peers))
  if (wanted.includes('idle')) console.log(await idle(peers.at(-1) as Target))
} finally {
  for (const child of children) child.kill('SIGKILL')
  await bouncer?.stop()
  await topology.stop()
  await rm(dir, { recursive: true, force: true })
}

// ---- 100 MB

async function large(peers: readonly Target[]): Promise<string> {
  const rows = `SELECT repeat('x', 1000) FROM generate_series(1, ${String(rowsOf100MB)})`
  const file = join(dir, 'rows.txt')
  await writeFile(file, `${'x'.repeat(1000)}\n`.repeat(rowsOf100MB))
  await psql(peers[0] as Target, ['-c', 'CREATE UNLOGGED TABLE taken (line text)'])
  const loads: Readonly<Record<string, readonly string[]>> = {
    'result of 100 MB': ['-o', '/dev/null', '-c', rows],
    'COPY TO of 100 MB': ['-o', '/dev/null', '-c', `COPY (${rows}) TO STDOUT`],
    'COPY FROM of 100 MB': ['-c', 'TRUNCATE taken', '-c', `\\copy taken FROM ${file}`],
  }
  const lines = [['', ...peers.flatMap(({ name }) => [name, '±'])]]
  for (const [name, args] of Object.entries(loads)) {
    const rates = new Map<Target, number[]>(peers.map((peer) => [peer, []]))
    for (let round = 0; round < rounds; round++) {
      for (const peer of peers) {
        const start = performance.now()
        await psql(peer, args)
        rates.get(peer)?.push(1 / (performance.now() - start))
      }
    }
    const direct = median(rates.get(peers[0] as Target) ?? [])
    lines.push([
      name,
      ...[...rates.values()].flatMap((each) => [(median(each) / direct).toFixed(2), `${(spread(each) * 100).toFixed(0)}%`]),
    ])
  }
  return `\nThroughput as a ratio to a direct connection in the same run, psql being the client.\n\n${table(lines)}`
}

function psql({ port }: Target, args: readonly string[]): Promise<string> {
  return run('psql', ['-X', '-q', '-A', '-t', '-h', '127.0.0.1', '-p', String(port), '-U', 'app', ...args, 'app'], 'app')
}

// ---- a slow query among fast ones

async function slow(peers: readonly Target[]): Promise<string> {
  const lines = [[`${String(fastClients)} fast clients`, 'p50 alone', 'p99 alone', 'p50 beside', 'p99 beside', 'p99 × ']]
  for (const peer of peers) {
    const found = { alone: [] as number[], beside: [] as number[], p50: [] as number[], p50beside: [] as number[] }
    for (let round = 0; round < rounds; round++) {
      const alone = await pgbench(peer, { ...load, clients: fastClients })
      const beside = await besideSlow(peer)
      found.alone.push(alone.p99)
      found.p50.push(alone.p50)
      found.beside.push(beside.p99)
      found.p50beside.push(beside.p50)
    }
    const ms = (values: readonly number[]): string => median(values).toFixed(2)
    const times = (median(found.beside) / median(found.alone)).toFixed(2)
    lines.push([peer.name, ms(found.p50), ms(found.alone), ms(found.p50beside), ms(found.beside), times])
  }
  return `\nLatency in ms of fast queries alone, and beside one that takes about a second, again and again.\n\n${table(lines)}`
}

async function besideSlow(peer: Target): Promise<{ readonly p50: number; readonly p99: number }> {
  const stop = new AbortController()
  const slowly = (async (): Promise<void> => {
    while (!stop.signal.aborted) await psql(peer, ['-c', 'SELECT sum(g) FROM generate_series(1, 6000000) g'])
  })()
  try {
    return await pgbench(peer, { ...load, clients: fastClients })
  } finally {
    stop.abort()
    await slowly
  }
}

// ---- idle clients

async function idle(peer: Target): Promise<string> {
  const active = { ...load, clients: 100 }
  const alone: number[] = []
  const beside: number[] = []
  for (let round = 0; round < rounds; round++) alone.push((await pgbench(peer, active)).p99)
  const crowd = start(['--import=./scripts/typescript.mjs', 'bench/idle-clients.ts', String(peer.port), options.idle])
  const [printed] = (await once(crowd.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
  if (!printed.toString().startsWith('ready')) throw new Error('the idle clients did not come in')
  for (let round = 0; round < rounds; round++) beside.push((await pgbench(peer, active)).p99)
  const [one, other] = [median(alone), median(beside)]
  return `\np99 of 100 clients: ${one.toFixed(2)} ms alone, ${other.toFixed(2)} ms beside ${options.idle} idle ones (${(other / one).toFixed(2)} ×)`
}

function start(args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  return child
}

async function startPointsman(): Promise<number> {
  const port = await freePort()
  const file = join(dir, 'tails.yaml')
  await writeFile(
    file,
    `version: 1
listen: { host: 127.0.0.1, port: ${String(port)}, max_clients: 20000 }
auth: { method: trust, users: [{ name: app }] }
clusters: { main: { dbname: app, user: ${topology.user}, password: ${topology.password}, nodes: ["${primary.address}"], pool: { max: ${String(poolSize)}, wait: 60s } } }
databases: { app: { default: main, reads: { default: { consistency: session } } } }
log: { level: warn }
`,
  )
  await listening(port, start([resolve(root, options.dist, 'bin.js'), 'serve', '-c', file]))
  return port
}
