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
  /** Called once, before this process serves anybody. */
  take(body: Json): void
}

export interface Fleet {
  /** Counts from 1; a worker that replaces a dead one takes its number. */
  readonly worker: number
  /** How many there are to be; 1: this process is alone. */
  readonly workers: number
  /**
   * Asks every process, this one included; answers in the order of `worker`. A process that dies meanwhile is left out.
   * Rejects with an Error if a handler fails, if a process has none for the topic, or does not answer within 10 s: the
   * others may have done what was asked then.
   */
  ask(topic: string, body: Json): Promise<readonly FleetAnswer[]>
  /** One handler for each topic; a second one throws. */
  answer(topic: string, handler: (body: Json) => Json | Promise<Json>): void
  carry(topic: string, state: Carried): void
}

/** The fleet of a process that is alone. */
export function createLoneFleet(): Fleet {
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
    carry: () => undefined,
  }
}
