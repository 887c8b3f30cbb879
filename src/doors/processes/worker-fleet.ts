// doors/processes/worker-fleet.ts — the fleet as a worker sees it: everything goes by way of the supervisor, also what it
// asks itself, so that all workers hear things in one order.
import { CarriedStates, type Fleet, type FleetAnswer, type Json } from '../../runtime/fleet.js'
import type { Link } from './link.js'

type Handler = (body: Json) => Json | Promise<Json>

/** Longer than the supervisor waits for the slowest. */
const askMs = 15_000

export class WorkerFleet implements Fleet {
  readonly worker: number
  readonly workers: number
  readonly #link: Link
  readonly #handlers = new Map<string, Handler>()
  readonly #carried = new CarriedStates()

  constructor(link: Link, worker: number, workers: number) {
    this.#link = link
    this.worker = worker
    this.workers = workers
  }

  async ask(topic: string, body: Json): Promise<readonly FleetAnswer[]> {
    return (await this.#link.ask('fleet.ask', { topic, body }, askMs)) as unknown as readonly FleetAnswer[]
  }

  answer(topic: string, handler: Handler): void {
    if (this.#handlers.has(topic)) throw new Error(`${topic} is answered already`)
    this.#handlers.set(topic, handler)
  }

  carry(topic: string, state: Parameters<CarriedStates['add']>[1]): void {
    this.#carried.add(topic, state)
  }

  /** Takes over what the others carry; what was asked of this process meanwhile is done after that. */
  async join(): Promise<void> {
    this.#carried.take(await this.#link.ask('fleet.carried', null, askMs))
    this.#link.answer('fleet.give', () => this.#carried.give())
    this.#link.answer('fleet.take', (all) => {
      this.#carried.take(all)
      return null
    })
    this.#link.answer('fleet.asked', (asked) => {
      const { topic, body } = asked as { readonly topic: string; readonly body: Json }
      const handler = this.#handlers.get(topic)
      if (handler === undefined) throw new Error(`nobody answers ${topic}`)
      return handler(body)
    })
  }

  /** What is carried has changed: should all workers die at once, the supervisor still has it. */
  tellCarried(): void {
    this.#link.tell('fleet.state', this.#carried.give())
  }
}
