// doors/proxy/backend-keys.ts — the PID and the secret that a client is given to cancel with (BackendKeyData). No process of
// the system has that PID: it is a number of ours, which says in its low bits which worker made it, so that a cancel, which
// comes over a connection of its own and may reach any worker, finds its way.
import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import { greatestServerPid } from '../../session/client-pids.js'

export interface BackendKey {
  /** Positive, below 2^31. */
  readonly pid: number
  readonly secret: Uint8Array
}

/** Workers count from 1, and there are fewer than this. */
const maxWorkers = 128
/** Above what any process can have (session/client-pids.ts). */
const leastPid = 2 * greatestServerPid
/** As long as PostgreSQL's own up to protocol 3.0. */
const secretBytes = 4

/** A key of `worker` with a PID for which `isTaken` does not hold. */
export function createBackendKey(worker: number, isTaken: (pid: number) => boolean, bytes: number = secretBytes): BackendKey {
  for (;;) {
    const pid = randomInt(leastPid / maxWorkers, 2 ** 31 / maxWorkers) * maxWorkers + worker
    if (!isTaken(pid)) return { pid, secret: randomBytes(bytes) }
  }
}

/** The worker that gave this PID to a client. */
export function workerOfKey(pid: number): number {
  return pid % maxWorkers
}

/** Takes the same time wherever they differ. */
export function sameSecret(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
