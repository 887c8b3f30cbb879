// runtime/control.ts — what an operator may ask of the processes as a whole, through the console: whoever runs them (`pointsman
// serve`) brings it along. All of it is of every worker: a worker passes on to the others, or to who started it, what it is asked.
import type { LogConfig } from '../config/config.js'

export interface ReloadAnswer {
  readonly outcome: 'applied' | 'unchanged' | 'refused'
  /** In words, of a config that was refused. */
  readonly problems: readonly string[]
}

/** null where there is nobody who could do it. */
export interface ProcessControl {
  /** Reads the configuration, secrets and certificates again; resolves when it is in place, or refused. */
  readonly reload: (() => Promise<ReloadAnswer>) | null
  /** A new process takes over the port; resolves when it listens. Rejects with words where it could not. */
  readonly restart: (() => Promise<void>) | null
  /** `now`: open transactions may end within the usual grace. `servers`: however long they take. `clients`: the last client too. */
  readonly shutdown: ((mode: 'now' | 'servers' | 'clients') => void) | null
  /** Of this process; until the next reload. */
  readonly setLogLevel: ((level: LogConfig['level']) => void) | null
}
