// embedded/standing.ts — what the files of a server that does not run say of its part in a cluster: whether it follows
// another, and on which timeline it is. A promotion takes the signal of the one away and leaves the history of the other.
import { access, readdir } from 'node:fs/promises'
import { join } from 'node:path'

export interface Standing {
  readonly follows: boolean
  /** The newest that it knows; 1 before the first promotion. */
  readonly timeline: number
}

/** @throws Error when there is no data directory */
export async function readStanding(dataDir: string): Promise<Standing> {
  const [follows, log] = await Promise.all([exists(join(dataDir, 'standby.signal')), readdir(join(dataDir, 'pg_wal'))])
  const timelines = log.flatMap((name) => /^([0-9A-F]{8})\.history$/.exec(name)?.[1] ?? []).map((hex) => parseInt(hex, 16))
  return { follows, timeline: Math.max(1, ...timelines) }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
