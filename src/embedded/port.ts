// embedded/port.ts — a TCP port for a server that must get the same one again after a restart. Ports that the system hands
// out for port 0 are also the local ends of outgoing connections, one of which may sit on it just then; so the port is
// taken from below that range and tried. Whoever starts a server still has to expect that somebody else was quicker.
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

const lowest = 16_000
const highest = 32_000

/** A TCP port of 127.0.0.1 that is free at this moment. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const port = randomInt(lowest, highest)
    if (await isFree(port)) return port
  }
  throw new Error(`no free TCP port between ${String(lowest)} and ${String(highest)}`)
}

/** Whether a server could listen on the port now. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => {
      resolve(false)
    })
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      probe.close(() => {
        resolve(true)
      })
    })
  })
}
