// runtime/fleet.ts — the processes that serve one configuration, as each of them sees the others: `listen.workers` of them
// share the port, and what is asked of one must hold for all (SHOW adds up, READ ONLY holds everywhere). A process that is
// alone asks itself; nothing in it knows the difference.
//
//   ask(topic, body) ─▶ the handler of `topic` in EVERY process, this one included ─▶ their answers, by worker
//   carry(topic, …)  ─▶ what a process that is started later (a worker that replaces a dead one, the process after a
//                       restart) takes over from those that live, before it answers or serves anybody

/** What can be told to another process: plain data. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

export interface FleetAnswer {
  readonly worker: number
  readonly body: Json
}

/** State that operators set while the processes run. Times in it are durations, or of Date.now(): processes share no monotonic clock. */
export interface Carried {
  give(): Json
  /** Puts what give() of another process said in the place of what is here. Called before this process serves anybody. */
  take(body: Json): void
}

/** All that is carried, by topic. */
export class CarriedStates {
  readonly #states = new Map<string, Carried>()

  add(topic: string, state: Carried): void {
    this.#states.set(topic, state)
  }

  give(): Json {
    return Object.fromEntries([...this.#states].map(([topic, state]) => [topic, state.give()]))
  }

  /** What give() of another process said, or null for nothing; topics that nobody knows here are left. */
  take(all: Json): void {
    if (typeof all !== 'object' || all === null) return
    for (const [topic, body] of Object.entries(all as Readonly<Record<string, Json>>)) this.#states.get(topic)?.take(body)
  }
}

export interface Fleet {
  /** Counts from 1; a worker that replaces a dead one takes its number. */
  readonly worker: number
  /** How many there are to be; 1: this process is alone. */
  readonly workers: number
  /**
   * Asks every process, this one included; answers in the order of `worker`. A process that dies meanwhile is left out.
   * Rejects with an Error if a handler fails, or a process does not answer within 10 s: the others may have done what was
   * asked then. A process that has only just been started is asked too, and does it before it serves anybody, but is not waited for.
   */
  ask(topic: string, body: Json): Promise<readonly FleetAnswer[]>
  /** One handler for each topic; a second one throws. */
  answer(topic: string, handler: (body: Json) => Json | Promise<Json>): void
  carry(topic: string, state: Carried): void
}

/** The fleet of a process that is alone. */
export function createLoneFleet(carried: CarriedStates = new CarriedStates()): Fleet {
  const handlers = new Map<string, (body: Json) => Json | Promise<Json>>()
  return {
    worker: 1,
    workers: 1,
    ask: async (topic, body) => {
      const handler = handlers.get(topic)
      if (handler === undefined) throw new Error(`nobody answers ${topic}`)
      return [{ worker: 1, body: await handler(body) }]
    },
    answer: (topic, handler) => {
      if (handlers.has(topic)) throw new Error(`${topic} is answered already`)
      handlers.set(topic, handler)
    },
    carry: (topic, state) => carried.add(topic, state),
  }
}
