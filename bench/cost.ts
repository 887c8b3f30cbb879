// bench/cost.ts — what one transaction costs the process between client and server, in CPU time. Throughput on a machine that
// is shared says little; the CPU time that a process is charged for says the same in every minute. Linux only (/proc).
//
//   node --import=./scripts/typescript.mjs bench/cost.ts --dist dist,/before/dist --loads select/simple/64,tpcb/simple/64
//   … --profile FILE.svg                           also writes a flame graph of the first build under the first load
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startTopology } from '../src/embedded/topology.js'
import { flameGraph, shares } from './flame-graph.js'
import { freePort, listening, startPgBouncer } from './pgbouncer.js'
import { pgbench, run, type Load, type Target } from './pgbench.js'
import { median, table } from './table.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const poolSize = 16
/** USER_HZ, as Linux has it everywhere. */
const ticksPerSecond = 100
const scripts: Readonly<Record<string, readonly string[]>> = { select: ['-S'], tpcb: [], connect: ['-S', '-C'] }

const { values: options } = parseArgs({
  options: {
    /** Builds of Pointsman, compared in one run. */
    dist: { type: 'string', default: 'dist' },
    /** load/mode/clients. */
    loads: { type: 'string', default: 'select/simple/64,select/extended/64,select/prepared/64,tpcb/simple/64' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    scale: { type: 'string', default: '10' },
    /** More keys of the configuration, as YAML. */
    config: { type: 'string', default: '' },
    profile: { type: 'string' },
    'no-peers': { type: 'boolean', default: false },
  },
})

interface Peer extends Target {
  readonly pid: number
  /** Takes prepared statements. */
  readonly prepared: boolean
}

const children: ChildProcess[] = []

await main()

async function main(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'pointsman-cost-'))
  const topology = await startTopology({ clusters: { bench: { settings: { max_connections: '400' } } } })
  const primary = topology.cluster('bench').nodes[0]
  if (primary === undefined) throw new Error('the bench has no server')
  let bouncer: Awaited<ReturnType<typeof startPgBouncer>> = null
  try {
    await run('pgbench', ['-i', '-q', '-s', options.scale, '-h', '127.0.0.1', '-p', String(primary.port), '-U', 'app', 'app'], 'app')
    const builds = options.dist.split(',')
    const pointsman = (dist: string, flags: readonly string[] = []): Promise<Peer> =>
      startPointsman({ dist, dir, node: primary.address, user: topology.user, password: topology.password, flags })
    const peers: Peer[] = []
    for (const dist of builds) peers.push(await pointsman(dist))
    if (!options['no-peers']) {
      bouncer = await startPgBouncer({ port: primary.port, database: 'app', user: 'app', password: 'app', poolSize })
      if (bouncer !== null) peers.push({ name: 'pgbouncer', port: bouncer.port, pid: bouncer.pid, prepared: bouncer.prepared })
      peers.push(await startPipe(primary.port))
      // Of PostgreSQL's own processes nothing is counted.
      peers.push({ name: 'direct', port: primary.port, pid: 0, prepared: true })
    }
    console.log(table(await measureAll(peers)))
    if (options.profile !== undefined)
      await profile(await pointsman(builds[0] ?? 'dist', ['--cpu-prof', `--cpu-prof-dir=${dir}`]), dir, options.profile)
  } finally {
    for (const child of children) child.kill('SIGKILL')
    await bouncer?.stop()
    await topology.stop()
    await rm(dir, { recursive: true, force: true })
  }
}

async function measureAll(peers: readonly Peer[]): Promise<string[][]> {
  const rows = [['load', ...peers.map(({ name }) => `${name} µs user + system (tps)`)]]
  for (const named of options.loads.split(',')) {
    const load = loadOf(named)
    const found = peers.map(() => ({ user: [] as number[], system: [] as number[], tps: [] as number[] }))
    for (let round = 0; round < Number(options.rounds); round++) {
      for (const [index, peer] of peers.entries()) {
        if (load.mode === 'prepared' && !peer.prepared) continue
        const before = await cpuTime(peer.pid)
        const { tps, transactions } = await pgbench(peer, load)
        const after = await cpuTime(peer.pid)
        found[index]?.user.push(((after.user - before.user) * 1e6) / transactions)
        found[index]?.system.push(((after.system - before.system) * 1e6) / transactions)
        found[index]?.tps.push(tps)
      }
    }
    const last = median(found.at(-1)?.tps ?? [])
    rows.push([named, ...found.map(cell(last))])
  }
  return rows
}

/** CPU microseconds in the process and in the kernel, of the best round (others on the machine only ever add to it), and throughput as a ratio to the last peer's. */
function cell(last: number): (measured: { user: number[]; system: number[]; tps: number[] }) => string {
  return ({ user, system, tps }) =>
    tps.length === 0 ? '–' : `${Math.min(...user).toFixed(1)} + ${Math.min(...system).toFixed(1)} (${(median(tps) / last).toFixed(2)})`
}

function loadOf(named: string): Load {
  const [script = 'select', mode = 'simple', clients = '64'] = named.split('/')
  const login = { database: 'app', user: 'app', password: 'app' }
  return {
    ...login,
    mode: mode as Load['mode'],
    clients: Number(clients),
    seconds: Number(options.seconds),
    script: scripts[script] ?? ['-S'],
  }
}

/** One load under the profiler; the flame graph goes to `file`, the shares by part to the terminal. */
async function profile(peer: Peer, dir: string, file: string): Promise<void> {
  const [first = ''] = options.loads.split(',')
  await pgbench(peer, loadOf(first))
  const child = children.find(({ pid }) => pid === peer.pid)
  child?.kill('SIGTERM')
  if (child !== undefined) await once(child, 'exit')
  const [written] = (await readdir(dir)).filter((name) => name.endsWith('.cpuprofile'))
  if (written === undefined) throw new Error('no profile was written')
  const recorded = await readFile(join(dir, written), 'utf8')
  await writeFile(`${file}.cpuprofile`, recorded)
  await writeFile(file, flameGraph(recorded, `pointsman serve, pgbench ${first}`))
  console.log(table(shares(recorded)))
}

interface CpuTime {
  readonly user: number
  readonly system: number
}

/** CPU seconds of a process so far; 0 for none. */
async function cpuTime(pid: number): Promise<CpuTime> {
  if (pid === 0) return { user: 0, system: 0 }
  const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { user: Number(fields[11]) / ticksPerSecond, system: Number(fields[12]) / ticksPerSecond }
}

async function startPipe(target: number): Promise<Peer> {
  const child = spawn(process.execPath, ['--import=./scripts/typescript.mjs', 'bench/pipe.ts', '0', String(target)], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  children.push(child)
  const [printed] = (await once(child.stdout, 'data')) as [Buffer]
  return { name: 'pipe', port: Number(printed.toString()), pid: child.pid ?? 0, prepared: true }
}

interface Build {
  readonly dist: string
  readonly dir: string
  readonly node: string
  readonly user: string
  readonly password: string
  readonly flags: readonly string[]
}

async function startPointsman({ dist, dir, node, user, password, flags }: Build): Promise<Peer> {
  const port = await freePort()
  const file = join(dir, `${String(port)}.yaml`)
  await writeFile(
    file,
    `version: 1
listen: { host: 127.0.0.1, port: ${String(port)}, max_clients: 20000 }
auth: { method: scram-sha-256, users: [{ name: app, password: app }] }
clusters: { main: { dbname: app, user: ${user}, password: ${password}, nodes: ["${node}"], pool: { max: ${String(poolSize)} } } }
databases: { app: { default: main, reads: { default: { consistency: session } } } }
log: { level: warn }
${options.config.replaceAll('\\n', '\n')}
`,
  )
  const args = [...flags, resolve(root, dist, 'bin.js'), 'serve', '-c', file]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  children.push(child)
  await listening(port, child)
  return { name: dist, port, pid: child.pid ?? 0, prepared: true }
}
