// bench/pgbench.ts — one run of pgbench, read back as numbers.
import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Target {
  readonly name: string
  readonly port: number
}

export interface Load {
  readonly mode: 'simple' | 'extended' | 'prepared'
  readonly clients: number
  readonly seconds: number
  readonly database: string
  readonly user: string
  readonly password: string
  readonly script: readonly string[]
}

export interface Measured {
  /** Transactions per second, without connection time. */
  readonly tps: number
  /** Mean latency, ms. */
  readonly latency: number
  /** Of a sample of the transactions, ms. */
  readonly p50: number
  readonly p99: number
  readonly failed: number
  readonly transactions: number
}

/** Runs pgbench against a port of this machine. Rejects with pgbench's own words if it fails. */
export async function pgbench(target: Target, load: Load): Promise<Measured> {
  const dir = await mkdtemp(join(tmpdir(), 'pointsman-pgbench-'))
  try {
    return await measured(target, load, dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** One transaction in so many has its latency written down: all would cost pgbench too much. */
const sampled = ['-l', '--sampling-rate=0.1']

async function measured(target: Target, load: Load, dir: string): Promise<Measured> {
  const threads = Math.min(2, load.clients)
  const args = [
    ...sampled,
    `--log-prefix=${join(dir, 'log')}`,
    '-n',
    '-M',
    load.mode,
    '-c',
    String(load.clients),
    '-j',
    String(threads),
    '-T',
    String(load.seconds),
    ...load.script,
  ]
  const out = await run('pgbench', [...args, '-h', '127.0.0.1', '-p', String(target.port), '-U', load.user, load.database], load.password)
  const latencies = await latenciesIn(dir)
  return {
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    tps: numberAfter(out, /^tps = ([\d.]+)/m),
    latency: numberAfter(out, /^latency average = ([\d.]+) ms/m),
    failed: numberAfter(out, /^number of failed transactions: (\d+)/m),
    transactions: numberAfter(out, /^number of transactions actually processed: (\d+)/m),
  }
}

/** Ascending, ms. pgbench writes a line for each: client, transaction, microseconds, … */
async function latenciesIn(dir: string): Promise<readonly number[]> {
  const texts = await Promise.all((await readdir(dir)).map((name) => readFile(join(dir, name), 'utf8')))
  const lines = texts.flatMap((text) => text.split('\n').filter((line) => line !== ''))
  return lines.map((line) => Number(line.split(' ')[2]) / 1000).sort((a, b) => a - b)
}

function quantile(ascending: readonly number[], share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? Number.NaN
}

/** Runs a command with PGPASSWORD set; resolves with its standard output, rejects with its standard error. */
export function run(command: string, args: readonly string[], password = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...process.env, PGPASSWORD: password }, stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    let err = ''
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(out)
      else reject(new Error(`${command} ${args.join(' ')} ended with ${String(code)}: ${err.slice(-2000)}`))
    })
  })
}

function numberAfter(text: string, pattern: RegExp): number {
  const found = pattern.exec(text)?.[1]
  if (found === undefined) throw new Error(`pgbench printed nothing like ${String(pattern)}:\n${text}`)
  return Number(found)
}
