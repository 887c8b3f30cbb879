// embedded/temporary.ts — directories for what is thrown away. The account that servers run under must be able to enter
// them, which a TMPDIR inside root's home does not allow.
import { chmod, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { canEnter, type Account } from './account.js'

/** Directories for temporary files that the account can enter, the system's own choice first. */
export async function temporaryRoots(account: Account): Promise<readonly string[]> {
  const roots: string[] = []
  for (const root of new Set([tmpdir(), '/tmp', '/var/tmp'])) if (await canEnter(account, root)) roots.push(root)
  if (roots.length === 0) throw new Error(`the user ${account.name} can enter none of the directories for temporary files`)
  return roots
}

/** Makes a new directory that the account can enter. `short`: for Unix sockets, whose paths may have 107 bytes at most. */
export async function temporaryDirectory(account: Account, prefix: string, short = false): Promise<string> {
  const roots = await temporaryRoots(account)
  const root = short ? (roots.find((path) => path.length < 60) ?? '/tmp') : (roots[0] ?? '/tmp')
  const made = await mkdtemp(join(root, prefix))
  await chmod(made, 0o711)
  return made
}
