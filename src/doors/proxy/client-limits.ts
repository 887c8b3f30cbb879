// doors/proxy/client-limits.ts — how many clients there may be: in all, of a user, of a database. Clients are spread evenly over
// the processes that share the port, so each of them takes its equal share of every limit.
import type { Config } from '../../config/config.js'
import { PointsmanError } from '../../errors/error.js'
import type { Observer } from '../../observe/events.js'
import { consoleDatabase } from './console-rights.js'

/** A client's place, until it leaves. */
export interface Seat {
  leave(): void
}

export class ClientLimits {
  readonly #workers: number
  readonly #observer: Observer
  #all = 0
  readonly #users = new Map<string, number>()
  readonly #databases = new Map<string, number>()

  constructor(workers: number, observer: Observer) {
    this.#workers = workers
    this.#observer = observer
  }

  /** Throws 53300. Whoever comes to the console counts as a client, but no user's own limit keeps him away. */
  admit(config: Config, user: string, database: string): Seat {
    const { maxClients } = config.listen
    if (this.#all >= this.#share(maxClients)) {
      this.#refuse('max_clients', `sorry, too many clients already (max_clients ${String(maxClients)})`)
    }
    if (database === consoleDatabase) return this.#seat(() => undefined)
    const ofUser = (config.auth.users.get(user)?.limits ?? config.auth.defaultLimits).maxClients
    if (ofUser !== null && (this.#users.get(user) ?? 0) >= this.#share(ofUser)) {
      this.#refuse('user', `too many connections for role "${user}" (max_clients ${String(ofUser)})`)
    }
    const entry = config.databases.has(database) ? database : '*'
    const ofDatabase = config.databases.get(entry)?.maxClients ?? null
    if (ofDatabase !== null && (this.#databases.get(entry) ?? 0) >= this.#share(ofDatabase)) {
      this.#refuse('database', `too many connections for database "${database}" (max_clients ${String(ofDatabase)})`)
    }
    add(this.#users, user, 1)
    add(this.#databases, entry, 1)
    return this.#seat(() => {
      add(this.#users, user, -1)
      add(this.#databases, entry, -1)
    })
  }

  #seat(left: () => void): Seat {
    this.#all += 1
    return {
      leave: () => {
        this.#all -= 1
        left()
      },
    }
  }

  #share(max: number): number {
    return Math.ceil(max / this.#workers)
  }

  #refuse(limit: 'max_clients' | 'user' | 'database', what: string): never {
    this.#observer.emit('client.limited', { limit })
    throw new PointsmanError('too_many_connections', { values: { what } })
  }
}

function add(counts: Map<string, number>, name: string, by: number): void {
  const count = (counts.get(name) ?? 0) + by
  if (count === 0) counts.delete(name)
  else counts.set(name, count)
}
