// embedded/lock.ts — one owner at a time for servers that are kept. The lock is a listening Unix socket: it cannot be
// mistaken for a living owner's after a crash, as a process id in a file can.
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Gives the lock back. */
export type Unlock = () => Promise<void>

/**
 * Takes the lock of a directory, or returns null: another process has it.
 * @param directory whose lock; it need not exist
 */
export async function lock(directory: string): Promise<Unlock | null> {
  const path = lockPath(directory)
  for (let tries = 0; tries < 3; tries++) {
    const server = await listen(path)
    if (server !== null) {
      server.unref()
      return () =>
        new Promise((resolve) => {
          server.close(() => {
            resolve()
          })
        })
    }
    if (await answers(path)) return null
    await rm(path, { force: true }) // its owner died and left the file
  }
  return null
}

/** A path for a Unix socket may have 107 bytes at most, and a clone may lie deep. */
function lockPath(directory: string): string {
  const path = join(directory, 'lock')
  if (Buffer.byteLength(path) <= 100) return path
  return join(tmpdir(), `pointsman-${createHash('sha256').update(directory).digest('hex').slice(0, 16)}.lock`)
}

function listen(path: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null)
      else reject(error)
    })
    server.listen(path, () => {
      resolve(server)
    })
  })
}

function answers(path: string): Promise<boolean> {
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
