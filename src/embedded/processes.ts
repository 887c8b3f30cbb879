// embedded/processes.ts — signals to a server and all its processes. PostgreSQL's children are in sessions of their own, so a
// process group does not reach them; the parent is stopped first, that it may neither see them go nor start new ones.
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { until } from './until.js'

const run = promisify(execFile)

/** Sends a signal to a postmaster and to every process it started, and resolves with those. */
export async function signalTree(postmaster: number, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<readonly number[]> {
  if (signal !== 'SIGCONT') await halt(postmaster)
  const started = await children(postmaster)
  for (const pid of started) send(pid, signal)
  send(postmaster, signal)
  return started
}

/** A signal takes its time: a process that is being forked while it arrives would be missed, and could still commit. */
async function halt(postmaster: number): Promise<void> {
  send(postmaster, 'SIGSTOP')
  if (process.platform !== 'linux') return
  await until(`process ${String(postmaster)} stands still`, async () => ['T', 't', '', 'Z', 'X'].includes((await stat(postmaster)).state))
}

/** Whether a process still does anything: one that has ended but that nobody has waited for does not. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return process.platform !== 'linux' || !['', 'Z', 'X'].includes((await stat(pid)).state)
}

/** The processes whose parent is `parent`. */
export async function children(parent: number): Promise<readonly number[]> {
  return process.platform === 'linux' ? childrenByProc(parent) : childrenByPs(parent)
}

async function childrenByProc(parent: number): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0)
  const found = await Promise.all(
    pids.map(async (pid) => {
      return (await stat(pid)).parent === parent ? pid : 0
    }),
  )
  return found.filter((pid) => pid > 0)
}

/** State and parent of a process; an empty state where there is none. */
async function stat(pid: number): Promise<{ state: string; parent: number }> {
  const text = await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => '')
  // The second field is the program's name in brackets, and may hold anything.
  const [state = '', parent] = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state, parent: Number(parent) }
}

async function childrenByPs(parent: number): Promise<readonly number[]> {
  const { stdout } = await run('ps', ['-axo', 'pid=,ppid='])
  const pairs = stdout.split('\n').map((line) => line.trim().split(/\s+/).map(Number))
  return pairs.flatMap(([pid, ppid]) => (ppid === parent && pid !== undefined ? [pid] : []))
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
