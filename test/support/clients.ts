// test/support/clients.ts — programs written for drivers (test/clients/{node,python,go,java}) run as they are: once on the primary
// itself, once through the proxy, where other clients with other settings change the connections under them. A program prints
// `ok NAME: WHAT IT SAW` or `not ok NAME: WHY` for each of its cases and `done` at its end. Both runs must say the same, so what
// fails in this environment is told from what fails through the proxy.
import { spawn } from 'node:child_process'
import type { Test } from 'tap'
import type { DatabaseInput } from '../../src/config/input.js'
import { programEnvironment } from './program.js'
import { withProxy, type RunningProxy } from './proxy.js'
import { routerConfig } from './router.js'
import { withTopology } from './topology.js'

/** How a program is started. */
export interface ClientProgram {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** Ends a program that hangs: with an idle machine they take a few seconds. */
const hangMs = 120_000

/** Servers and a proxy for the programs of a test file. */
export async function withClients(t: Pick<Test, 'teardown'>): Promise<(t: Test, program: ClientProgram) => Promise<void>> {
  const running = await withTopology(t, { clusters: { main: { replicas: 1 } } })
  const { primary } = running.cluster('main')
  // A commit waits until the replica has it, so that a program may write on one connection and read on another.
  await primary.sql('ALTER SYSTEM SET synchronous_commit = remote_apply')
  await primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
  await primary.sql('SELECT pg_reload_conf()')
  const anew = (): Promise<unknown> => primary.sql('DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION app')
  const database: DatabaseInput = { default: 'main', reads: { default: { consistency: 'session', on_unmet: ['wait 2s', 'primary'] } } }
  const proxy = await withProxy(t, routerConfig(running, database))
  return async (t, program) => {
    await anew()
    const direct = await run(program, primary.port)
    if (!t.match(direct.at(-1), 'done', 'it comes to its end on a direct connection')) t.comment(direct.join('\n'))
    await anew()
    const stop = disturb(proxy)
    const through = await run(program, proxy.port).finally(stop)
    t.match(through.at(-1), 'done', 'and through the proxy')
    for (const [index, line] of through.entries()) if (line !== 'done') t.equal(line, direct[index], name(line))
    for (const line of direct) t.notMatch(line, /^not ok/, name(line))
    t.equal(through.length, direct.length)
  }
}

function name(line: string): string {
  return line.replace(/:.*/, '')
}

/** The lines that a program says. */
async function run({ command, args, env }: ClientProgram, port: number): Promise<readonly string[]> {
  const { PGHOST, PGUSER, PGPASSWORD, PGDATABASE, ...others } = programEnvironment(port)
  const url = `postgres://${PGUSER ?? ''}:${PGPASSWORD ?? ''}@${PGHOST ?? ''}:${String(port)}/${PGDATABASE ?? ''}`
  const child = spawn(command, args, {
    env: { ...others, PATH: process.env['PATH'] ?? '', DATABASE_URL: url, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (data: Buffer) => (out += data.toString()))
  child.stderr.on('data', (data: Buffer) => (err += data.toString()))
  const timer = setTimeout(() => child.kill('SIGKILL'), hangMs)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  }).finally(() => clearTimeout(timer))
  const lines = out.split('\n').filter((line) => line !== '')
  return code === 0 && lines.at(-1) === 'done' ? lines : [...lines, `not ok: it ended with ${String(code)}: ${err}`]
}

/** Two clients that take connections for a moment and leave settings on them, until told to stop. */
function disturb(proxy: RunningProxy): () => Promise<void> {
  let stopped = false
  const work = ["SET TIME ZONE 'Asia/Tokyo'; SET DateStyle = 'German'", "SET search_path = pg_catalog; SET work_mem = '3MB'"].map(
    async (settings) => {
      const client = await proxy.connect()
      await client.query(settings)
      while (!stopped) await client.query('BEGIN; SELECT pg_sleep(0.005); ROLLBACK')
      await client.end()
    },
  )
  return async () => {
    stopped = true
    await Promise.all(work)
  }
}
