// embedded/former.ts — servers of an owner that was killed may still be on their way out when the next owner comes. It waits for them,
// and takes away the lock files of those that were killed themselves, whose process ids may belong to others by now.
import { readdir, readFile, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { isAlive } from './processes.js'
import { until } from './until.js'

/**
 * Returns once no server runs in a directory of servers.
 * @throws Error when one goes on running
 */
export async function awaitFormerServers(serversDir: string): Promise<void> {
  for (const node of await readdir(serversDir)) {
    const lockFile = join(serversDir, node, 'data', 'postmaster.pid')
    await until(`the server that already runs in ${serversDir}/${node} has ended`, async () => !(await runs(lockFile)))
    await rm(lockFile, { force: true })
  }
}

/** A server writes its process id into its lock file, and in the fourth and fifth line where it listens. */
async function runs(lockFile: string): Promise<boolean> {
  const lines = (await readFile(lockFile, 'utf8').catch(() => '')).split('\n')
  const [pid = '', , , port = '', socketDir = ''] = lines
  return Number(pid) > 0 && (await isAlive(Number(pid))) && (await listens(`${socketDir}/.s.PGSQL.${port}`))
}

function listens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => {
      resolve(false)
    })
  })
}
