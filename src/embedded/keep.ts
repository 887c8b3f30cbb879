// embedded/keep.ts — servers that are kept between two runs. A manifest is written last, when everything stands; without it, or
// when it speaks of other servers than are wanted now, what is there is half made or out of date and is made anew.
import { createHash } from 'node:crypto'
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canEnter, type Account } from './account.js'
import type { TopologyDescription } from './description.js'
import { temporaryRoots } from './temporary.js'

const format = 1

/** What is on disk. Ports are those of the last run, in the order of the nodes. */
export interface Manifest {
  readonly format: number
  /** Of the description and the PostgreSQL version: others need other data. */
  readonly made: string
  readonly clusters: Readonly<Record<string, readonly number[]>>
}

/** Identifies what a description makes with a version of PostgreSQL. */
export function fingerprint(description: TopologyDescription, version: string): string {
  return createHash('sha256')
    .update(JSON.stringify([format, version.split('.')[0], description]))
    .digest('hex')
}

/**
 * The directory for the servers of a kept topology: inside `directory`, or, where the account cannot enter that (a clone
 * in root's home), one of the same meaning among the temporary files.
 */
export async function keptServersDir(account: Account, directory: string): Promise<string> {
  await openDirectory(directory)
  const inside = join(directory, 'servers')
  await openDirectory(inside)
  if (await canEnter(account, inside)) return inside
  const [root = '/tmp'] = await temporaryRoots(account)
  const digest = createHash('sha256').update(directory).digest('hex').slice(0, 16)
  const elsewhere = join(root, `pointsman-kept-${digest}`)
  await openDirectory(elsewhere)
  return elsewhere
}

/** The manifest of what was made before, or why there is none that can be used: null on the first run. */
export async function readManifest(directory: string, made: string): Promise<Manifest | string | null> {
  const text = await readFile(join(directory, 'manifest.json'), 'utf8').catch(() => null)
  if (text === null) return null
  try {
    const manifest = JSON.parse(text) as Manifest
    if (manifest.format !== format || manifest.made !== made) return 'they were made from another description'
    return manifest
  } catch {
    return 'their manifest cannot be read'
  }
}

export async function writeManifest(directory: string, made: string, clusters: Manifest['clusters']): Promise<void> {
  const manifest: Manifest = { format, made, clusters }
  const path = join(directory, 'manifest.json')
  await writeFile(`${path}.new`, `${JSON.stringify(manifest, null, 2)}\n`)
  await rename(`${path}.new`, path)
}

/** Removes all servers and what is known of them. */
export async function forget(directory: string, serversDir: string): Promise<void> {
  await rm(join(directory, 'manifest.json'), { force: true })
  await rm(serversDir, { recursive: true, force: true })
  await openDirectory(serversDir)
}

async function openDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true })
  await chmod(path, 0o755)
}
