// doors/processes/permits.ts — a worker's side of the server connections that all workers share: its pools ask here, here
// the supervisor's broker is asked (permit-broker.ts), and what the broker wants back is found in the pools.
import type { NodeConfig } from '../../config/config.js'
import { PermitUnwanted, type CloseIdle, type Identity, type Permits } from '../../pool/contract.js'
import type { Json } from '../../runtime/fleet.js'
import type { Link } from './link.js'

interface Pending {
  readonly wanted: () => boolean
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

interface Account {
  readonly members: Set<CloseIdle>
  readonly pending: Pending[]
  /** Permits that this worker has. */
  held: number
  /** So many of the connections that come back are to be closed. */
  owed: number
  /** Somebody else waits for one that has been idle for a while. */
  rested: boolean
}

const lookMs = 50
/** Idle for this long: it can be spared. */
const restedMs = 250

export class WorkerPermits {
  readonly #link: Link
  readonly #workers: number
  readonly #accounts = new Map<string, Account>()
  #timer: NodeJS.Timeout | null = null

  constructor(link: Link, workers: number) {
    this.#link = link
    this.#workers = workers
    link.answer('permit.granted', (body) => this.#granted(body as string))
    link.answer('permit.now', (body) => this.#giveNow(body as string))
    link.answer('permit.rested', (body) => this.#setRested(body as string, true))
    link.answer('permit.enough', (body) => this.#setRested(body as string, false))
  }

  /** As pools ask for it. */
  readonly of = (node: NodeConfig, identity: Identity, max: number, closeIdle: CloseIdle): Permits => {
    const key = JSON.stringify([identity.cluster, node.id, identity.dbname, identity.user])
    const account = this.#account(key)
    account.members.add(closeIdle)
    return {
      share: max / this.#workers,
      take: (wanted, signal) => this.#take(key, account, max, wanted, signal),
      give: () => this.#give(key, account),
      owed: () => {
        if (account.owed === 0) return false
        account.owed -= 1
        return true
      },
      leave: () => {
        account.members.delete(closeIdle)
        if (account.members.size === 0 && account.held === 0) this.#accounts.delete(key)
      },
    }
  }

  #account(key: string): Account {
    const known = this.#accounts.get(key)
    if (known !== undefined) return known
    const account: Account = { members: new Set(), pending: [], held: 0, owed: 0, rested: false }
    this.#accounts.set(key, account)
    return account
  }

  #take(key: string, account: Account, max: number, wanted: () => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => this.#withdraw(key, account, pending, signal.reason)
      const pending: Pending = {
        wanted,
        resolve: () => {
          signal.removeEventListener('abort', end)
          resolve()
        },
        reject: (error) => {
          signal.removeEventListener('abort', end)
          reject(error)
        },
      }
      if (signal.aborted) {
        reject(signal.reason as Error)
        return
      }
      signal.addEventListener('abort', end, { once: true })
      account.pending.push(pending)
      this.#link.tell('permit.take', { key, max })
      this.#look()
    })
  }

  #withdraw(key: string, account: Account, pending: Pending, why: unknown): void {
    const index = account.pending.indexOf(pending)
    if (index < 0) return
    account.pending.splice(index, 1)
    this.#link.tell('permit.withdraw', key)
    pending.reject(why as Error)
  }

  /** A grant and a withdrawal may cross: what nobody waits for goes back. */
  #granted(key: string): Json {
    const account = this.#account(key)
    account.held += 1
    const pending = account.pending.shift()
    if (pending === undefined) this.#give(key, account)
    else if (pending.wanted()) pending.resolve()
    else {
      this.#give(key, account)
      pending.reject(new PermitUnwanted())
    }
    return null
  }

  #give(key: string, account: Account): void {
    account.held -= 1
    account.owed = Math.min(account.owed, account.held)
    this.#link.tell('permit.give', key)
  }

  #giveNow(key: string): Json {
    const account = this.#account(key)
    if (!closedIdle(account, 0) && account.owed < account.held) account.owed += 1
    return null
  }

  #setRested(key: string, rested: boolean): Json {
    this.#account(key).rested = rested
    if (rested) this.#look()
    return null
  }

  /** Every now and then, as long as anybody waits. */
  #look(): void {
    this.#timer ??= setInterval(() => this.#lookNow(), lookMs).unref()
  }

  #lookNow(): void {
    let open = false
    for (const [key, account] of this.#accounts) {
      for (const pending of account.pending.filter(({ wanted }) => !wanted())) this.#withdraw(key, account, pending, new PermitUnwanted())
      if (account.rested) closedIdle(account, restedMs)
      open ||= account.rested || account.pending.length > 0
    }
    if (open || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }
}

function closedIdle({ members }: Account, idleMs: number): boolean {
  for (const close of members) if (close(idleMs)) return true
  return false
}
