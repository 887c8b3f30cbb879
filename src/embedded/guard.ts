// embedded/guard.ts — servers never outlive their owner, also when it is killed without a word. Each server is the child of
// a small shell that holds a pipe to the owner; the system closes that pipe when the owner is gone, however it went, and
// the shell then stops its server. Being the parent, the shell cannot mistake a reused process id for its server.
// Shells and servers are in sessions of their own, so that Ctrl-C in a terminal reaches only the owner.
//
//   owner ──pipe──▶ sh ──parent──▶ postgres ──▶ its processes
//         ──pipe──▶ janitor: removes directories after the last server
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { asAccount, type Account } from './account.js'

// $1 the log, $2 the signal that stops the server, the rest its command. Fast shutdown (INT) may wait; QUIT does not; KILL ends it.
const guardScript = `
log=$1; stop=$2; shift 2
exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- &
server=$!
echo "$server"
gone() { n=0; while kill -0 "$server" 2>/dev/null; do n=$((n+1)); [ "$n" -gt "$1" ] && return 1; sleep 0.1; done; }
( read -r _ <&3
  kill -CONT "$server"; kill "-$stop" "$server"; gone 50 || { kill -QUIT "$server"; gone 50 || kill -KILL "$server"; }
) >/dev/null 2>&1 &
watcher=$!
exec 3<&- >&-
wait "$server"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
`

// $1 the directory above the servers' directories, the rest what to remove once they have ended.
const janitorScript = `
read -r _
servers=$1; shift
n=0
while [ "$n" -lt 200 ]; do
  busy=
  for file in "$servers"/*/data/postmaster.pid; do
    [ -e "$file" ] || continue
    read -r pid <"$file" && kill -0 "$pid" 2>/dev/null && busy=yes
  done
  [ -z "$busy" ] && break
  n=$((n+1)); sleep 0.1
done
rm -rf -- "$@"
`

/** A server that runs, as its owner sees it. */
export interface Guarded {
  /** The postmaster's process id. */
  readonly pid: number
  /** True until the server has ended. */
  readonly running: () => boolean
  /** Resolves with the exit code once the server has ended. */
  readonly ended: () => Promise<number>
}

/** What a guard runs and where its output goes. */
export interface GuardedCommand {
  readonly command: string
  readonly args: readonly string[]
  readonly log: string
  /** How to stop it when the owner is gone: INT (clean) where data are kept, QUIT (at once) where they are thrown away. */
  readonly stop: 'INT' | 'QUIT'
}

/** Starts a program that ends when this process does. */
export async function startGuarded(account: Account, what: GuardedCommand): Promise<Guarded> {
  const args = ['-c', guardScript, 'pointsman-guard', what.log, what.stop, what.command, ...what.args]
  const shell = spawn('/bin/sh', args, { ...asAccount(account), detached: true, stdio: ['pipe', 'pipe', 'ignore'] })
  const exited = exit(shell)
  let running = true
  void exited.then(() => {
    running = false
    shell.stdin.destroy()
  })
  const lines = createInterface({ input: shell.stdout })
  const first = once(lines, 'line') as Promise<[string]>
  const pid = await Promise.race([first.then(([line]) => Number(line)), exited.then(() => 0)])
  if (pid === 0) throw new Error('the shell that guards a server did not start')
  lines.close()
  letGo(shell)
  const ended = (): Promise<number> => {
    if (running) shell.ref() // who waits for it is kept alive by it
    return exited
  }
  return { pid, running: () => running, ended }
}

/** Removes directories when this process ends: after the last of the servers below `servers`, and however it ends. */
export function startJanitor(servers: string, remove: readonly string[]): () => Promise<void> {
  const shell = spawn('/bin/sh', ['-c', janitorScript, 'pointsman-janitor', servers, ...remove], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const ended = exit(shell)
  letGo(shell)
  return async () => {
    shell.ref()
    shell.stdin.end()
    await ended
  }
}

function exit(shell: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    shell.on('error', () => {
      resolve(-1)
    })
    shell.on('exit', (code) => {
      resolve(code ?? -1)
    })
  })
}

/** A guarded program does not keep its owner alive. */
function letGo(shell: ChildProcess): void {
  shell.unref()
  for (const stream of [shell.stdin, shell.stdout]) {
    if (stream !== null && 'unref' in stream && typeof stream.unref === 'function') (stream.unref as () => void)()
  }
  shell.stdin?.on('error', () => undefined)
}
