// embedded/copy.ts — a base backup by hand (the package has no pg_basebackup): files are copied while the server runs, between
// pg_backup_start and pg_backup_stop of one session; the label that the latter gives makes the copy recover to a
// consistent point. WAL is not copied: the replica streams it from where the backup began.
import { copyFile, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { give, ownDirectory, type Account } from './account.js'
import type { Maintenance } from './maintenance.js'
import { writeOwned } from './settings.js'

// As pg_basebackup does: contents that belong to the running server, not to the data.
const emptied = new Set(['pg_wal', 'pg_dynshmem', 'pg_notify', 'pg_replslot', 'pg_serial', 'pg_snapshots', 'pg_stat_tmp', 'pg_subtrans'])
const left = new Set(['postmaster.pid', 'postmaster.opts', 'backup_label', 'tablespace_map', 'standby.signal', 'current_logfiles'])

/** Copies the data directory of the server behind `session` to a new one, ready to start as its replica. */
export async function copyRunning(account: Account, session: Maintenance, from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true })
  await session.query("SELECT pg_backup_start('pointsman', true)")
  await copyDirectory(account, from, to, true)
  for (const name of ['archive_status', 'summaries']) await ownDirectory(account, join(to, 'pg_wal', name))
  const [stopped] = await session.query('SELECT labelfile FROM pg_backup_stop(false)')
  await writeOwned(account, join(to, 'backup_label'), stopped?.['labelfile'] ?? '')
}

/** Files at once: a busy owner gets to each of its answers late, and there are a thousand files. */
const together = 32

async function copyDirectory(account: Account, from: string, to: string, top: boolean): Promise<void> {
  await ownDirectory(account, to)
  const files: string[] = []
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const { name } = entry
    if (top && left.has(name)) continue
    if (name.startsWith('pgsql_tmp') || name.startsWith('pg_internal.init')) continue
    if (entry.isFile()) files.push(name)
    else if (entry.isDirectory() && top && emptied.has(name)) await ownDirectory(account, join(to, name))
    else if (entry.isDirectory()) await copyDirectory(account, join(from, name), join(to, name), false)
  }
  for (let first = 0; first < files.length; first += together) {
    const some = files.slice(first, first + together)
    await Promise.all(some.map((name) => copyOne(account, join(from, name), join(to, name))))
  }
}

/** A file that vanished meanwhile belonged to something dropped: WAL knows. */
async function copyOne(account: Account, source: string, target: string): Promise<void> {
  try {
    await copyFile(source, target)
    await give(account, target)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
