// doors/processes/permit-broker.ts — who may open one more server connection, so that all workers together never have more
// than `pool.max` to a node for a user. Pure: what happened comes in, what is to be said goes out.
//
//   free ones                      ─▶ granted at once, to whoever asks first
//   none free, somebody has more   ─▶ the richest gives one back: an idle one now, else the next that is returned to its pool
//   none free, all have about the  ─▶ one that has been idle for a while is given back, by whoever has such
//   same
//   the asker has none at all      ─▶ after a moment the richest gives up the next one, also its last: they take turns
//
// A worker that dies gives back all it had.

export interface BrokerOrders {
  /** One connection more may be opened. */
  grant(worker: number, key: string): void
  /** `now`: an idle one, or else the next that comes back to its pool. `rested`: one that has been idle for a while, when there is one. */
  reclaim(worker: number, key: string, which: 'now' | 'rested'): void
  /** Nobody needs what reclaim(…, 'rested') asked for any more. */
  enough(worker: number, key: string): void
}

interface Request {
  readonly worker: number
  readonly since: number
}

interface Account {
  max: number
  readonly held: Map<number, number>
  readonly waiting: Request[]
  /** Told to give one back, and has not yet. */
  readonly owing: Map<number, number>
  readonly asked: Set<number>
}

/** After this a worker without any connection gets the next one, ms. */
export const turnMs = 50

export class PermitBroker {
  readonly #orders: BrokerOrders
  readonly #accounts = new Map<string, Account>()

  constructor(orders: BrokerOrders) {
    this.#orders = orders
  }

  /** Somebody waits for a permit: tick() is to be called every now and then. */
  get waiting(): boolean {
    for (const { waiting } of this.#accounts.values()) if (waiting.length > 0) return true
    return false
  }

  /** Permits that are out, by key. */
  held(key: string): number {
    return total(this.#accounts.get(key)?.held)
  }

  take(worker: number, key: string, max: number, now: number): void {
    const account = this.#account(key, max)
    account.waiting.push({ worker, since: now })
    this.#settle(key, account, now)
  }

  /** One request is withdrawn, if it has not been granted. */
  withdraw(worker: number, key: string, now: number): void {
    const account = this.#accounts.get(key)
    const index = account?.waiting.findLastIndex((request) => request.worker === worker) ?? -1
    if (account === undefined || index < 0) return
    account.waiting.splice(index, 1)
    this.#settle(key, account, now)
  }

  give(worker: number, key: string, now: number): void {
    const account = this.#accounts.get(key)
    if (account === undefined) return
    lower(account.held, worker)
    lower(account.owing, worker)
    this.#settle(key, account, now)
  }

  gone(worker: number, now: number): void {
    for (const [key, account] of this.#accounts) {
      account.held.delete(worker)
      account.owing.delete(worker)
      account.asked.delete(worker)
      const staying = account.waiting.filter((request) => request.worker !== worker)
      account.waiting.splice(0, account.waiting.length, ...staying)
      this.#settle(key, account, now)
    }
  }

  tick(now: number): void {
    for (const [key, account] of this.#accounts) if (account.waiting.length > 0) this.#settle(key, account, now)
  }

  #account(key: string, max: number): Account {
    const known = this.#accounts.get(key)
    if (known !== undefined) {
      known.max = max
      return known
    }
    const account: Account = { max, held: new Map(), waiting: [], owing: new Map(), asked: new Set() }
    this.#accounts.set(key, account)
    return account
  }

  #settle(key: string, account: Account, now: number): void {
    while (account.waiting.length > 0 && total(account.held) < account.max) this.#grant(key, account)
    if (account.waiting.length > 0) this.#reclaim(key, account, now)
    else this.#contented(key, account)
  }

  /** First the one that has least; of equals the first that came. */
  #grant(key: string, account: Account): void {
    const { waiting, held } = account
    let best = 0
    for (const [index, { worker }] of waiting.entries()) if (count(held, worker) < count(held, waiting[best]?.worker)) best = index
    const [request] = waiting.splice(best, 1)
    if (request === undefined) return
    held.set(request.worker, count(held, request.worker) + 1)
    this.#orders.grant(request.worker, key)
  }

  #reclaim(key: string, account: Account, now: number): void {
    const { waiting, held, owing } = account
    let coming = total(owing)
    for (const { worker, since } of waiting) {
      // Whoever is to give one may hold it for long; somebody else may have one to spare.
      if (now - since >= turnMs) this.#askAround(key, account, worker)
      if (coming > 0) {
        coming--
        continue
      }
      const richest = this.#richest(account, worker)
      if (richest === null) continue
      const [of, has] = richest
      const mine = count(held, worker)
      const starves = mine === 0 && now - since >= turnMs
      if (has > mine + 1 || starves) {
        owing.set(of, count(owing, of) + 1)
        this.#orders.reclaim(of, key, 'now')
      } else this.#askAround(key, account, worker)
    }
  }

  /** Whoever has most besides `worker`, with what it owes taken off. */
  #richest({ held, owing }: Account, worker: number): readonly [worker: number, has: number] | null {
    let richest: readonly [number, number] | null = null
    for (const [of, n] of held) {
      const has = n - count(owing, of)
      if (of !== worker && has > (richest?.[1] ?? 0)) richest = [of, has]
    }
    return richest
  }

  #askAround(key: string, account: Account, worker: number): void {
    for (const of of account.held.keys()) {
      if (of === worker || account.asked.has(of)) continue
      account.asked.add(of)
      this.#orders.reclaim(of, key, 'rested')
    }
  }

  #contented(key: string, account: Account): void {
    for (const worker of account.asked) this.#orders.enough(worker, key)
    account.asked.clear()
    if (account.held.size === 0) this.#accounts.delete(key)
  }
}

function count(of: ReadonlyMap<number, number>, worker: number | undefined): number {
  return worker === undefined ? Infinity : (of.get(worker) ?? 0)
}

function total(of: ReadonlyMap<number, number> | undefined): number {
  let sum = 0
  for (const n of of?.values() ?? []) sum += n
  return sum
}

function lower(of: Map<number, number>, worker: number): void {
  const left = (of.get(worker) ?? 0) - 1
  if (left > 0) of.set(worker, left)
  else of.delete(worker)
}
