// Leave to open server connections, shared by workers: never more than there are, nobody waits for ever, and what a dead
// worker had is there again. The workers here do as real ones do (doors/processes/permits.ts), at random moments.
import fc from 'fast-check'
import t from 'tap'
import { PermitBroker, turnMs } from '../../src/doors/processes/permit-broker.js'

class Workers {
  readonly broker: PermitBroker
  readonly busy = new Map<number, number>()
  readonly idle = new Map<number, number>()
  readonly waiting = new Map<number, number>()
  readonly owed = new Map<number, number>()
  readonly rested = new Set<number>()
  now = 0

  constructor() {
    this.broker = new PermitBroker({
      grant: (worker) => {
        add(this.waiting, worker, -1)
        add(this.busy, worker, 1)
      },
      reclaim: (worker, _key, which) => {
        if (which === 'rested') this.rested.add(worker)
        else if (!this.giveIdle(worker)) add(this.owed, worker, 1)
      },
      enough: (worker) => this.rested.delete(worker),
    })
  }

  get all(): number {
    return [...this.busy.values(), ...this.idle.values()].reduce((sum, n) => sum + n, 0)
  }

  want(worker: number, max: number): void {
    if (count(this.idle, worker) > 0) {
      add(this.idle, worker, -1)
      add(this.busy, worker, 1)
      return
    }
    add(this.waiting, worker, 1)
    this.broker.take(worker, 'key', max, this.now)
  }

  withdraw(worker: number): void {
    if (count(this.waiting, worker) === 0) return
    add(this.waiting, worker, -1)
    this.broker.withdraw(worker, 'key', this.now)
  }

  /** A statement is over: its connection goes to who waits here, back to the others, or lies idle. */
  done(worker: number): void {
    if (count(this.busy, worker) === 0) return
    add(this.busy, worker, -1)
    if (count(this.owed, worker) > 0) {
      add(this.owed, worker, -1)
      this.broker.give(worker, 'key', this.now)
    } else if (count(this.waiting, worker) > 0) {
      add(this.busy, worker, 1)
      this.withdraw(worker)
    } else add(this.idle, worker, 1)
  }

  giveIdle(worker: number): boolean {
    if (count(this.idle, worker) === 0) return false
    add(this.idle, worker, -1)
    // As over a channel: never within the order.
    queueMicrotask(() => this.broker.give(worker, 'key', this.now))
    return true
  }

  die(worker: number): void {
    for (const of of [this.busy, this.idle, this.waiting, this.owed]) of.delete(worker)
    this.rested.delete(worker)
    this.broker.gone(worker, this.now)
  }

  pass(ms: number): void {
    this.now += ms
    for (const worker of this.rested) this.giveIdle(worker)
    this.broker.tick(this.now)
  }
}

const workers = [1, 2, 3]
const act = fc.record({
  what: fc.constantFrom('want', 'want', 'done', 'done', 'withdraw', 'die', 'pass'),
  worker: fc.constantFrom(...workers),
})

t.test('never more than max, and whoever waits gets one', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.array(act, { maxLength: 60 }), async (max, acts) => {
      const all = new Workers()
      for (const { what, worker } of acts) {
        if (what === 'want') all.want(worker, max)
        else if (what === 'pass') all.pass(10)
        else all[what](worker)
        await Promise.resolve()
        if (all.all > max) throw new Error(`${String(all.all)} of ${String(max)} after ${what} ${String(worker)}`)
      }
      // Statements end, and nobody asks for more: each who waits is served.
      for (let turn = 0; turn < 400 && [...all.waiting.values()].some((n) => n > 0); turn++) {
        for (const worker of workers) all.done(worker)
        all.pass(turnMs)
        await Promise.resolve()
        if (all.all > max) throw new Error(`${String(all.all)} of ${String(max)}`)
      }
      if ([...all.waiting.values()].some((n) => n > 0)) throw new Error('somebody waits for ever')
    }),
    { numRuns: 300 },
  )
  t.pass()
})

t.test('two that always want all of it come to have half of it each', async (t) => {
  const all = new Workers()
  for (let n = 0; n < 8; n++) all.want(1, 4)
  t.equal(all.busy.get(1), 4)
  for (let n = 0; n < 8; n++) all.want(2, 4)
  for (let turn = 0; turn < 20; turn++) {
    for (const worker of [1, 2]) {
      if (count(all.busy, worker) === 0) continue
      all.done(worker)
      all.want(worker, 4)
    }
    all.pass(10)
    await Promise.resolve()
  }
  t.same([all.busy.get(1), all.busy.get(2)], [2, 2])
})

t.test('one connection, and two that always want it: they take turns', async (t) => {
  const all = new Workers()
  const served = new Map<number, number>()
  for (const worker of [1, 2]) for (let n = 0; n < 3; n++) all.want(worker, 1)
  for (let turn = 0; turn < 200; turn++) {
    for (const worker of [1, 2]) {
      if (count(all.busy, worker) === 0) continue
      add(served, worker, 1)
      all.done(worker)
      all.want(worker, 1)
    }
    all.pass(10)
    await Promise.resolve()
  }
  for (const worker of [1, 2]) t.ok(count(served, worker) > 50, `worker ${String(worker)}: ${String(served.get(worker))}`)
})

function count(of: ReadonlyMap<number, number>, worker: number): number {
  return of.get(worker) ?? 0
}

function add(to: Map<number, number>, worker: number, n: number): void {
  to.set(worker, count(to, worker) + n)
}
