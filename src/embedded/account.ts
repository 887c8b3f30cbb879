// embedded/account.ts — who the servers run as. PostgreSQL refuses to run as root, so root lends its servers to an
// ordinary account that exists everywhere; an ordinary user runs them itself.
import { execFile } from 'node:child_process'
import { chmod, chown, mkdir } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The account that servers run under. `uid` null: the one this process has. */
export interface Account {
  readonly name: string
  readonly uid: number | null
  readonly gid: number | null
}

/** Chooses the account: this process's own, or, for root, `postgres` or else `nobody`. */
export async function serverAccount(): Promise<Account> {
  if (process.getuid?.() !== 0) return { name: 'self', uid: null, gid: null }
  for (const name of ['postgres', 'nobody', 'daemon']) {
    const ids = await identify(name)
    if (ids !== null) return { name, ...ids }
  }
  throw new Error('PostgreSQL does not run as root, and neither of the users postgres, nobody and daemon exists: make one of them')
}

async function identify(name: string): Promise<{ uid: number; gid: number } | null> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])])
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
  } catch {
    return null
  }
}

/** Options that make `spawn` and `execFile` run as the account, from a directory that it can enter. */
export function asAccount(account: Account): { readonly cwd: string; readonly uid?: number; readonly gid?: number } {
  return account.uid === null || account.gid === null ? { cwd: '/' } : { cwd: '/', uid: account.uid, gid: account.gid }
}

/** Whether the account can enter a directory, asked of the system itself: every parent counts. */
export async function canEnter(account: Account, directory: string): Promise<boolean> {
  try {
    await run('/bin/sh', ['-c', 'cd "$1"', 'sh', directory], asAccount(account))
    return true
  } catch {
    return false
  }
}

/** Makes a directory that belongs to the account and to nobody else. */
export async function ownDirectory(account: Account, directory: string): Promise<void> {
  await mkdir(directory, { recursive: true })
  await chmod(directory, 0o700)
  await give(account, directory)
}

/** Hands a file or directory to the account. */
export async function give(account: Account, path: string): Promise<void> {
  if (account.uid !== null && account.gid !== null) await chown(path, account.uid, account.gid)
}
