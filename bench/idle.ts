// bench/idle.ts — what a client that does nothing costs the proxy in memory: resident size before and after many have logged in
// and run a query each, with the clients in another process. Linux only (/proc).
//
//   node --import=./scripts/typescript.mjs bench/idle.ts --clients 10000 --dist dist
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startTopology } from '../src/embedded/topology.js'
import { freePort, listening } from './pgbouncer.js'

const root = fileURLToPath(new URL('..', import.meta.url))
/** Long enough for the collector to give back what only the logins took. */
const settleMs = 5_000

const { values: options } = parseArgs({
  options: { clients: { type: 'string', default: '10000' }, dist: { type: 'string', default: 'dist' } },
})

const children: ChildProcess[] = []
const dir = await mkdtemp(join(tmpdir(), 'pointsman-idle-'))
const topology = await startTopology({ clusters: { bench: {} } })
try {
  const port = await freePort()
  const file = join(dir, 'idle.yaml')
  const node = topology.cluster('bench').nodes[0]?.address ?? ''
  await writeFile(
    file,
    `version: 1
listen: { host: 127.0.0.1, port: ${String(port)}, max_clients: 20000 }
auth: { method: trust, users: [{ name: app }] }
clusters: { main: { dbname: app, user: ${topology.user}, password: ${topology.password}, nodes: ["${node}"], pool: { max: 16, wait: 60s } } }
databases: { app: { default: main } }
log: { level: warn }
`,
  )
  const proxy = start([resolve(root, options.dist, 'bin.js'), 'serve', '-c', file])
  await listening(port, proxy)
  // A hundred first, so that what is made once for all is not counted.
  await clients(port, 100)
  await pause(settleMs)
  const before = await residentBytes(proxy)
  await clients(port, Number(options.clients))
  await pause(settleMs)
  const after = await residentBytes(proxy)
  console.log(`${((after - before) / 1024 / Number(options.clients)).toFixed(1)} KB for each of ${options.clients} idle clients`)
} finally {
  for (const child of children) child.kill('SIGKILL')
  await topology.stop()
  await rm(dir, { recursive: true, force: true })
}

function start(args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  return child
}

async function clients(port: number, count: number): Promise<void> {
  const child = start(['--import=./scripts/typescript.mjs', 'bench/idle-clients.ts', String(port), String(count)])
  if (child.stdout === null) throw new Error('no output')
  const ended = once(child, 'exit').then(() => [Buffer.from('ended')])
  const [printed] = (await Promise.race([once(child.stdout, 'data'), ended])) as [Buffer]
  if (!printed.toString().startsWith('ready')) throw new Error('the clients did not come in')
}

async function residentBytes({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
}
