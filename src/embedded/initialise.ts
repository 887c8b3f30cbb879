// embedded/initialise.ts — makes a data directory: a new PostgreSQL cluster with a system identifier of its own. The locale is
// PostgreSQL's own C.UTF-8, the same on every machine.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { asAccount, type Account } from './account.js'
import type { Binaries } from './binaries.js'
import { superuser } from './settings.js'

const run = promisify(execFile)

export async function initialise(account: Account, binaries: Binaries, dataDir: string): Promise<void> {
  const locale = ['--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C']
  const args = ['-D', dataDir, '-U', superuser, '--auth=trust', '--no-sync', '--no-instructions', ...locale]
  // Without these the terminal's or the user's own settings reach in.
  const env = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', TZ: 'UTC' }
  try {
    await run(binaries.initdb, args, { ...asAccount(account), env })
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string }
    throw new Error(`initdb failed: ${stderr === undefined || stderr === '' ? message : stderr.trim()}`, { cause: error })
  }
}
