// test/support/program.ts — programs of PostgreSQL (psql, pgbench, pg_dump) run to their end, as people run them, with nothing of this
// machine's own settings.
import { spawn, type ChildProcess } from 'node:child_process'
import { findCommand } from './commands.js'

export interface Outcome {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** A program on its way. */
export interface Started {
  readonly child: ChildProcess
  readonly outcome: Promise<Outcome>
}

/** Starts a program as `app` against a port; `input` goes to its stdin. */
export function startProgram(name: string, port: number, args: readonly string[], input = ''): Started {
  const path = findCommand(name)
  if (path === null) throw new Error(`${name} is not installed`)
  return start(path, args, port, input)
}

/** Runs a program to its end. */
export function runProgram(name: string, port: number, args: readonly string[], input = ''): Promise<Outcome> {
  return startProgram(name, port, args, input).outcome
}

function start(path: string, args: readonly string[], port: number, input: string): Started {
  const child = spawn(path, args, { env: programEnvironment(port), stdio: ['pipe', 'pipe', 'pipe'] })
  const outcome = new Promise<Outcome>((resolve, reject) => {
    const texts = { out: '', err: '' }
    child.stdout.on('data', (data: Buffer) => (texts.out += data.toString()))
    child.stderr.on('data', (data: Buffer) => (texts.err += data.toString()))
    child.stdin.on('error', () => undefined)
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, ...texts }))
  })
  child.stdin.end(input)
  return { child, outcome }
}

/** Where libpq connects to, and nothing that could differ between machines. */
export function programEnvironment(port: number): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '',
    PGHOST: '127.0.0.1',
    PGPORT: String(port),
    PGUSER: 'app',
    PGPASSWORD: 'app',
    PGDATABASE: 'app',
    PGTZ: 'UTC',
    LC_ALL: 'C',
    PAGER: 'cat',
    TERM: 'dumb',
    HOME: '/nonexistent',
    INPUTRC: '/dev/null',
  }
}

/** What psql says to a script, line by line in the order it is said; `args` before it. */
export async function psql(port: number, script: string, args: readonly string[] = []): Promise<string> {
  const path = findCommand('psql') ?? 'psql'
  const { out, code } = await start('/bin/sh', ['-c', 'exec "$0" "$@" 2>&1', path, '-X', ...args], port, `${script}\n`).outcome
  if (code !== 0) throw new Error(`psql ended with ${String(code)}: ${out}`)
  return out
}
