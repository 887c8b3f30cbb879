// bench/proxy.ts — what stands between a client and PostgreSQL, side by side in one run: the server itself, a bare Node
// socket pipe, PgBouncer (transaction mode) and Pointsman, each in a process of its own, before the same primary. Reads and
// writes are split: Pointsman reads from a replica on the same machine. The peers take turns within every round, so that a slow
// minute of the machine hits them alike; ratios are of medians over rounds.
//
//   npm run bench                                    1, 16, 64, 256 clients × simple, extended, prepared
//   npm run bench -- --clients 64 --modes simple --rounds 5 --seconds 5 --load tpcb --scale 100
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startTopology, type RunningTopology } from '../src/embedded/topology.js'
import { measureUnderstanding } from './statement-cost.js'
import { freePort, listening, startPgBouncer, type Bouncer } from './pgbouncer.js'
import { pgbench, run, type Load, type Measured, type Target } from './pgbench.js'
import { median, spread, table } from './table.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const poolSize = 16

const { values: options } = parseArgs({
  options: {
    clients: { type: 'string', default: '1,16,64,256' },
    modes: { type: 'string', default: 'simple,extended,prepared' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    /** Before its rounds each peer has each load for so long, which is not counted: a process that has just begun is still compiling. */
    warm: { type: 'string', default: '2' },
    scale: { type: 'string', default: '10' },
    /** Of the primary: Pointsman reads from them, the others know the primary only. 0: Pointsman as a plain pooler. */
    replicas: { type: 'string', default: '1' },
    /** `select`: pgbench -S; `tpcb`: pgbench's default script; `connect`: -S with a connection per transaction. */
    load: { type: 'string', default: 'select' },
  },
})
const scripts: Readonly<Record<string, readonly string[]>> = { select: ['-S'], tpcb: ['-b', 'tpcb-like'], connect: ['-S', '-C'] }

interface Peer extends Target {
  readonly modes: readonly string[]
}

await main()

async function main(): Promise<void> {
  const children: ChildProcess[] = []
  const dir = await mkdtemp(join(tmpdir(), 'pointsman-bench-'))
  const clusters = { bench: { replicas: Number(options.replicas), settings: { max_connections: '400' } } }
  const topology = await startTopology({ clusters }, { onProgress: say })
  let bouncer: Bouncer | null = null
  try {
    const primary = topology.cluster('bench').nodes[0]
    if (primary === undefined) throw new Error('the bench has no server')
    await run('pgbench', ['-i', '-q', '-s', options.scale, '-h', '127.0.0.1', '-p', String(primary.port), '-U', 'app', 'app'], 'app')
    const upstream = { port: primary.port, database: 'app', user: 'app', password: 'app', poolSize }
    bouncer = await startPgBouncer(upstream)
    const peers: Peer[] = [
      { name: 'direct', port: primary.port, modes: ['simple', 'extended', 'prepared'] },
      { name: 'pipe', port: await startPipe(primary.port, children), modes: ['simple', 'extended', 'prepared'] },
    ]
    if (bouncer !== null)
      peers.push({ name: 'pgbouncer', port: bouncer.port, modes: ['simple', 'extended', ...(bouncer.prepared ? ['prepared'] : [])] })
    peers.push({
      name: 'pointsman',
      port: await startPointsman(topology, dir, children),
      modes: ['simple', 'extended', 'prepared'],
    })
    const found = await measureAll(peers)
    console.log(heading(bouncer))
    console.log(table(found.rates))
    console.log(`\nLatency in ms, medians over rounds: p50 / p99.\n\n${table(found.latencies)}`)
  } finally {
    for (const child of children) child.kill('SIGKILL')
    await bouncer?.stop()
    await topology.stop()
    await rm(dir, { recursive: true, force: true })
  }
  console.log(await measureUnderstanding())
}

function heading(bouncer: Bouncer | null): string {
  const peer =
    bouncer === null
      ? 'no PgBouncer at hand'
      : `PgBouncer ${bouncer.version}${bouncer.prepared ? '' : ' (no prepared statements before 1.21)'}`
  return [
    `\npgbench ${(scripts[options.load] ?? []).join(' ')}, ${options.rounds} rounds of ${options.seconds} s each after ${options.warm} s that do not count, scale ${options.scale}; ${peer}; ${String(poolSize)} server connections; ${options.replicas} replicas, which Pointsman reads from.`,
    'Throughput as a ratio to a direct connection in the same run; ± is half the spread between rounds.\n',
  ].join('\n')
}

async function measureAll(peers: readonly Peer[]): Promise<{ readonly rates: string[][]; readonly latencies: string[][] }> {
  const rates = [['mode', 'clients', ...peers.flatMap(({ name }) => [name, '±']), 'pointsman : pgbouncer', 'pointsman : pipe']]
  const latencies = [['mode', 'clients', ...peers.map(({ name }) => name)]]
  for (const mode of options.modes.split(',') as Load['mode'][]) {
    for (const clients of options.clients.split(',').map(Number)) {
      const rounds = await measure(peers, mode, clients)
      rates.push(row(mode, clients, rounds))
      latencies.push([mode, String(clients), ...[...rounds.values()].map(latency)])
    }
  }
  return { rates, latencies }
}

function latency(rounds: readonly Measured[]): string {
  if (rounds.length === 0) return '–'
  return `${median(rounds.map(({ p50 }) => p50)).toFixed(2)} / ${median(rounds.map(({ p99 }) => p99)).toFixed(2)}`
}

type Rounds = ReadonlyMap<string, readonly Measured[]>

async function measure(peers: readonly Peer[], mode: Load['mode'], clients: number): Promise<Rounds> {
  const found = new Map<string, Measured[]>(peers.map(({ name }) => [name, []]))
  const load: Load = {
    mode,
    clients,
    seconds: Number(options.seconds),
    database: 'app',
    user: 'app',
    password: 'app',
    script: scripts[options.load] ?? ['-S'],
  }
  const served = peers.filter(({ modes }) => modes.includes(mode))
  if (Number(options.warm) > 0) for (const peer of served) await pgbench(peer, { ...load, seconds: Number(options.warm) })
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const peer of served) {
      say(`${mode}, ${String(clients)} clients, round ${String(round + 1)}: ${peer.name}`)
      found.get(peer.name)?.push(await pgbench(peer, load))
    }
  }
  return found
}

function row(mode: string, clients: number, rounds: Rounds): string[] {
  const rate = (name: string): number => median((rounds.get(name) ?? []).map(({ tps }) => tps))
  const direct = rate('direct')
  const cells = [...rounds].flatMap(([name, measured]) =>
    measured.length === 0 ? ['–', ''] : [(rate(name) / direct).toFixed(2), `${(spread(measured.map(({ tps }) => tps)) * 100).toFixed(0)}%`],
  )
  const ratio = (other: string): string => (Number.isNaN(rate(other)) ? '–' : (rate('pointsman') / rate(other)).toFixed(2))
  return [mode, String(clients), ...cells, ratio('pgbouncer'), ratio('pipe')]
}

async function startPipe(target: number, children: ChildProcess[]): Promise<number> {
  const child = spawn(process.execPath, ['--import=./scripts/typescript.mjs', 'bench/pipe.ts', '0', String(target)], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  children.push(child)
  const [printed] = (await once(child.stdout, 'data')) as [Buffer]
  return Number(printed.toString())
}

async function startPointsman(topology: RunningTopology, dir: string, children: ChildProcess[]): Promise<number> {
  const port = await freePort()
  const file = join(dir, 'bench.yaml')
  const nodes = topology.cluster('bench').nodes.map(({ address }) => `"${address}"`)
  const cluster = `{ dbname: app, user: ${topology.user}, password: ${topology.password}, nodes: [${nodes.join(', ')}], pool: { max: ${String(poolSize)} } }`
  await writeFile(
    file,
    `version: 1
listen: { host: 127.0.0.1, port: ${String(port)} }
auth: { method: scram-sha-256, users: [{ name: app, password: app }] }
clusters: { main: ${cluster} }
databases: { app: { default: main, reads: { default: { consistency: session } } } }
log: { level: warn }
`,
  )
  const child = spawn(process.execPath, ['dist/bin.js', 'serve', '-c', file], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
  children.push(child)
  await listening(port, child)
  return port
}

function say(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`)
}
