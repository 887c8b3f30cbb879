// runtime/parties.ts — the users and databases of the process, each counted once whatever generations come and go. Where
// several processes serve one configuration, each allows its equal share.
import { Account, type Allowance, type Party } from '../pool/account.js'
import type { Config } from '../config/config.js'

export class Parties {
  readonly #workers: number
  readonly #users = new Map<string, Account>()
  /** By the name in the configuration: what `*` takes is one. */
  readonly #databases = new Map<string, Account>()
  #config: Config

  constructor(config: Config, workers: number) {
    this.#config = config
    this.#workers = workers
  }

  configure(config: Config): void {
    this.#config = config
    for (const [name, account] of this.#users) account.allow(this.#user(name))
    for (const [name, account] of this.#databases) account.allow(this.#database(name))
  }

  /** The same user of the same database is always the same two accounts. */
  of(user: string, database: string): Party {
    const entry = this.#config.databases.has(database) ? database : '*'
    return {
      user: found(this.#users, user, () => this.#user(user)),
      database: found(this.#databases, entry, () => this.#database(entry)),
    }
  }

  #user(name: string): Allowance {
    const { users, defaultLimits } = this.#config.auth
    const { maxConnections, weight } = users.get(name)?.limits ?? defaultLimits
    return { max: this.#share(maxConnections), weight }
  }

  #database(name: string): Allowance {
    return { max: this.#share(this.#config.databases.get(name)?.maxConnections ?? null), weight: 1 }
  }

  #share(max: number | null): number {
    return max === null ? Infinity : Math.ceil(max / this.#workers)
  }
}

function found(accounts: Map<string, Account>, name: string, allowed: () => Allowance): Account {
  let account = accounts.get(name)
  if (account === undefined) {
    account = new Account(name, allowed())
    accounts.set(name, account)
  }
  return account
}
