// doors/verify/check.ts — holds a history against CONSISTENCY §2.11. Pure: operations in, violations out.
//
// Owed to a read is what was acknowledged before it was invoked (minus the bound, where one was promised), as far as it
// survived: a failover may take asynchronous writes with it, which is counted but breaks no promise of freshness (§2.8).
// Since a register has one writer and its values only grow, "the write is visible" is `seen[register] >= value`.
import { firstIndex } from '../../consistency/first-index.js'
import type { Operation } from './history.js'

export type Invariant = 'I1' | 'I2' | 'I3' | 'bound' | 'strong' | 'I13' | 'I14' | 'once' | 'outcome' | 'lost' | 'defect'

export interface Violation {
  readonly invariant: Invariant
  /** In words, with the operation's id. */
  readonly what: string
  readonly operation: number | null
}

/** A write as it was found on the primary at the end. */
export interface Survivor {
  readonly database: string
  readonly register: number
  readonly value: number
  /** How often it ran. */
  readonly times: number
}

export interface CheckOptions {
  /** Acknowledged writes survive every fault (synchronous replication): a lost one is a violation. */
  readonly durable: boolean
}

export interface Verdict {
  readonly violations: readonly Violation[]
  /** Acknowledged writes that are not there at the end. */
  readonly lost: number
  /** Reads on the primary that had yet to show what a replica already had, by a write that nobody had been told of (§2.6). */
  readonly early: number
  /** By operation id: for how long, in ms, the oldest acknowledged write that the read did not show had been acknowledged. */
  readonly staleness: ReadonlyMap<number, number>
}

/** An internal error: no promise was broken, and none was kept. */
const internal = 'XX000'

/** What a door says of a bound may be rounded to whole milliseconds. */
const roundedMs = 0.5

interface Acknowledged {
  readonly at: number
  readonly value: number
}

/** Writes of one register that survived: all of them, and those that were acknowledged, oldest first. */
interface Register {
  readonly survivors: number[]
  readonly acknowledged: Acknowledged[]
}

/** Checks everything. `survivors` null: what survived could not be read, so nothing is known to be lost. */
export function check(history: readonly Operation[], survivors: readonly Survivor[] | null, options: CheckOptions): Verdict {
  return new Check(history, survivors, options).run()
}

class Check {
  readonly #history: readonly Operation[]
  readonly #survivors: readonly Survivor[] | null
  readonly #options: CheckOptions
  readonly #registers = new Map<string, Register>()
  readonly #violations: Violation[] = []
  readonly #staleness = new Map<number, number>()
  #lost = 0
  #early = 0

  constructor(history: readonly Operation[], survivors: readonly Survivor[] | null, options: CheckOptions) {
    this.#history = history.toSorted((a, b) => a.invoked - b.invoked)
    this.#survivors = survivors
    this.#options = options
  }

  run(): Verdict {
    this.#writes()
    for (const operation of this.#history) this.#alone(operation)
    for (const session of this.#sessions().values()) this.#session(session)
    return { violations: this.#violations, lost: this.#lost, early: this.#early, staleness: this.#staleness }
  }

  #register(database: string, register: number): Register {
    const key = `${database} ${String(register)}`
    let found = this.#registers.get(key)
    if (found === undefined) this.#registers.set(key, (found = { survivors: [], acknowledged: [] }))
    return found
  }

  #sessions(): ReadonlyMap<string, readonly Operation[]> {
    const sessions = new Map<string, Operation[]>()
    for (const operation of this.#history) {
      const key = `${operation.database} ${operation.session}`
      const own = sessions.get(key)
      if (own === undefined) sessions.set(key, [operation])
      else own.push(operation)
    }
    return sessions
  }

  // ---- what was written

  #writes(): void {
    const found = new Map((this.#survivors ?? []).map((one) => [writeKey(one.database, one.register, one.value), one]))
    for (const { register, value, times } of found.values()) {
      if (times > 1) this.#tell('once', null, `write ${String(value)} of register ${String(register)} ran ${String(times)} times`)
    }
    for (const operation of this.#history) {
      const { database, register, value, outcome, returned } = operation
      if (register === null || value === null) continue
      const survived = this.#survivors === null ? outcome === 'ok' : found.has(writeKey(database, register, value))
      if (survived && outcome === 'error')
        this.#tell('outcome', operation, `ended with ${String(operation.error)}, which says that it has no effect, but it is there`)
      if (!survived && outcome === 'ok') this.#loss(operation)
      if (!survived) continue
      const known = this.#register(database, register)
      known.survivors.push(value)
      if (outcome === 'ok') known.acknowledged.push({ at: returned, value })
    }
  }

  #loss(operation: Operation): void {
    this.#lost += 1
    if (this.#options.durable) this.#tell('lost', operation, 'was acknowledged and is not there, although replication is synchronous')
  }

  // ---- one operation by itself

  #alone(operation: Operation): void {
    const { seen, torn, outcome } = operation
    if (torn !== null) this.#tell('I13', operation, torn)
    if (operation.error === internal) this.#tell('defect', operation, 'ended with an internal error')
    this.#oneServer(operation)
    if (seen === null || outcome !== 'ok' || operation.kind === 'write') return
    const { consistency, maxStalenessMs } = operation.promised
    if (consistency === 'strong') this.#owes('strong', operation, operation.invoked, 'strong')
    if (maxStalenessMs !== null) this.#owes('I3', operation, operation.invoked - maxStalenessMs, `at most ${ms(maxStalenessMs)} old`)
    const { boundMs } = operation
    if (boundMs !== null)
      this.#owes('bound', operation, operation.invoked - boundMs - roundedMs, `said to be proved at most ${ms(boundMs)} old`)
    this.#staleness.set(operation.id, this.#stale(operation, seen))
  }

  /** Everything that was acknowledged to anybody before `time`. */
  #owes(invariant: Invariant, operation: Operation, time: number, why: string): void {
    operation.seen?.forEach((value, register) => {
      const { acknowledged } = this.#register(operation.database, register)
      const owed = acknowledged[firstIndex(acknowledged, ({ at }) => at >= time) - 1]
      if (owed === undefined || owed.value <= value) return
      const what = `shows ${String(value)} of register ${String(register)}, ${String(owed.value)} was acknowledged ${ms(operation.invoked - owed.at)} before; ${why}`
      this.#tell(invariant, operation, what)
    })
  }

  #stale({ database, invoked }: Operation, seen: readonly number[]): number {
    let most = 0
    seen.forEach((value, register) => {
      const { acknowledged } = this.#register(database, register)
      const missing = acknowledged[firstIndex(acknowledged, (write) => write.value > value)]
      if (missing !== undefined) most = Math.max(most, invoked - missing.at)
    })
    return most
  }

  #oneServer(operation: Operation): void {
    const servers = new Set(operation.servers)
    if (servers.size > 1) this.#tell('I14', operation, `its statements ran on ${[...servers].join(' and ')}`)
    let before = operation.seen
    for (const later of operation.later) {
      later.forEach((value, register) => {
        const first = before?.[register] ?? 0
        if (operation.snapshot ? value !== first : value < first)
          this.#tell('I14', operation, `register ${String(register)} went from ${String(first)} to ${String(value)} within the transaction`)
      })
      before = later
    }
    const { register, value, later } = operation
    const last = later.at(-1)
    if (register !== null && value !== null && last !== undefined && (last[register] ?? 0) < value)
      this.#tell('I14', operation, `does not show its own write ${String(value)} of register ${String(register)}`)
  }

  // ---- one session

  /** Operations of a session come one after another, so all that came before is owed. */
  #session(operations: readonly Operation[]): void {
    const written = new Map<number, number>()
    const seen: Seen[] = []
    for (const operation of operations) {
      const { promised, kind, outcome, database } = operation
      const keeps = kind !== 'write' && outcome === 'ok' && (promised.consistency === 'session' || promised.consistency === 'strong')
      if (keeps) {
        for (const [register, value] of written) this.#ownWrite(operation, register, value)
        this.#monotonic(operation, seen)
      }
      if (outcome === 'ok' && operation.register !== null && operation.value !== null && this.#survives(database, operation)) {
        written.set(operation.register, operation.value)
      }
      if (outcome === 'ok') this.#look(operation, seen)
    }
  }

  #survives(database: string, { register, value }: Operation): boolean {
    return register !== null && value !== null && this.#register(database, register).survivors.includes(value)
  }

  #ownWrite(operation: Operation, register: number, value: number): void {
    const shown = operation.seen?.[register] ?? 0
    if (shown < value)
      this.#tell('I1', operation, `shows ${String(shown)} of register ${String(register)}, its session wrote ${String(value)} before`)
  }

  #monotonic(operation: Operation, seen: readonly Seen[]): void {
    operation.seen?.forEach((value, register) => {
      const before = seen[register]
      if (before === undefined || before.value <= value) return
      const owed = this.#surviving(operation.database, register, before.value)
      if (owed <= value) return
      if (this.#earlier(operation, before, register, value)) this.#early += 1
      else
        this.#tell(
          'I2',
          operation,
          `shows ${String(value)} of register ${String(register)}, its session saw ${String(before.value)} in ${String(before.id)} on ${String(before.node)}`,
        )
    })
  }

  /** A replica shows a commit when it is replayed, the primary when it is acknowledged: no position can tell (§2.6). */
  #earlier(operation: Operation, before: Seen, register: number, value: number): boolean {
    if (operation.role !== 'primary' || before.role !== 'replica') return false
    const told = this.#register(operation.database, register).acknowledged.find((write) => write.value > value)
    return told === undefined || told.value > before.value || told.at >= operation.invoked
  }

  /** The newest of the values up to `value` that survived. */
  #surviving(database: string, register: number, value: number): number {
    const { survivors } = this.#register(database, register)
    return survivors[firstIndex(survivors, (one) => one > value) - 1] ?? 0
  }

  #look(operation: Operation, seen: Seen[]): void {
    const { seen: first, later, id, role, node } = operation
    for (const values of first === null ? later : [first, ...later]) {
      values.forEach((value, register) => {
        if (value > (seen[register]?.value ?? 0)) seen[register] = { value, id, role, node }
      })
    }
  }

  #tell(invariant: Invariant, operation: Operation | null, what: string): void {
    const who = operation === null ? '' : `${operation.kind} ${String(operation.id)} of ${operation.session} on ${String(operation.node)}: `
    this.#violations.push({ invariant, what: `${who}${what}`, operation: operation?.id ?? null })
  }
}

/** The newest value of a register that a session has seen, and where. */
interface Seen {
  readonly value: number
  readonly id: number
  readonly role: Operation['role']
  readonly node: string | null
}

function writeKey(database: string, register: number, value: number): string {
  return `${database} ${String(register)} ${String(value)}`
}

function ms(time: number): string {
  return `${time.toFixed(1)} ms`
}
