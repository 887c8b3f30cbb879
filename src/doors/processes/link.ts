// doors/processes/link.ts — one end of the channel between two processes of the program: questions with answers, messages
// without, and sockets that go along. The other end may die at any moment: what is owed then is answered with an error.
import type { ChildProcess } from 'node:child_process'
import type { Server, Socket } from 'node:net'
import type { Json } from '../../runtime/fleet.js'

/** A socket may come along with it. */
export type LinkHandler = (body: Json, handle: Server | Socket | null) => Json | Promise<Json>

type Call =
  | { readonly kind: 'tell'; readonly topic: string; readonly body: Json }
  | { readonly kind: 'ask'; readonly id: number; readonly topic: string; readonly body: Json }

type Wire =
  | Call
  | { readonly kind: 'answer'; readonly id: number; readonly body: Json }
  | { readonly kind: 'failed'; readonly id: number; readonly message: string }

interface Owed {
  readonly resolve: (body: Json) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout | null
}

export class Link {
  readonly #end: ChildProcess | NodeJS.Process
  readonly #handlers = new Map<string, LinkHandler>()
  readonly #owed = new Map<number, Owed>()
  readonly #goneListeners: (() => void)[] = []
  /** Came before anybody had said what to do with it. */
  readonly #early: { readonly call: Call; readonly handle: Server | Socket | null }[] = []
  #next = 1
  #gone = false

  constructor(end: ChildProcess | NodeJS.Process) {
    this.#end = end
    const on = end as NodeJS.EventEmitter
    on.on('message', (wire: Wire, handle: Server | Socket | undefined) => this.#take(wire, handle ?? null))
    on.once('disconnect', () => this.#lost())
    // What a send finds out is told by its callback, or by the end of the channel.
    if (end !== process) on.on('error', () => this.#lost())
  }

  get gone(): boolean {
    return this.#gone
  }

  /** Whatever comes for a topic before this is said waits. */
  answer(topic: string, handler: LinkHandler): void {
    this.#handlers.set(topic, handler)
    const early = this.#early.splice(0)
    for (const { call, handle } of early) this.#serve(call, handle)
  }

  tell(topic: string, body: Json, handle: Server | Socket | null = null): void {
    this.#send({ kind: 'tell', topic, body }, handle)
  }

  /** Rejects if the other process is gone, goes, fails, or does not answer within `ms` (null: however long it takes). */
  ask(topic: string, body: Json, ms: number | null): Promise<Json> {
    return new Promise((resolve, reject) => {
      if (this.#gone) {
        reject(new Gone())
        return
      }
      const id = this.#next++
      const late = (): void => this.#settle(id, (owed) => owed.reject(new Error(`no answer to ${topic} within ${String(ms)} ms`)))
      this.#owed.set(id, { resolve, reject, timer: ms === null ? null : setTimeout(late, ms).unref() })
      this.#send({ kind: 'ask', id, topic, body }, null)
    })
  }

  onGone(listener: () => void): void {
    if (this.#gone) listener()
    else this.#goneListeners.push(listener)
  }

  /** The other process lives on. */
  close(): void {
    if (this.#end.connected) this.#end.disconnect()
  }

  #send(wire: Wire, handle: Server | Socket | null): void {
    if (this.#gone || !this.#end.connected) {
      if (handle !== null && 'destroy' in handle) handle.destroy()
      return
    }
    // Without a callback a channel that closes meanwhile would throw.
    this.#end.send?.(wire, handle ?? undefined, undefined, () => undefined)
  }

  #take(wire: Wire, handle: Server | Socket | null): void {
    switch (wire.kind) {
      case 'answer':
        this.#settle(wire.id, ({ resolve }) => resolve(wire.body))
        return
      case 'failed':
        this.#settle(wire.id, ({ reject }) => reject(new Error(wire.message)))
        return
      case 'tell':
      case 'ask':
        this.#serve(wire, handle)
    }
  }

  #serve(call: Call, handle: Server | Socket | null): void {
    const handler = this.#handlers.get(call.topic)
    if (handler === undefined) {
      this.#early.push({ call, handle })
      return
    }
    // Called at once: a listening socket that came along accepts already.
    const result = attempt(() => handler(call.body, handle))
    if (call.kind !== 'ask') {
      void result.catch(() => undefined)
      return
    }
    result.then(
      (body) => this.#send({ kind: 'answer', id: call.id, body }, null),
      (error: unknown) =>
        this.#send({ kind: 'failed', id: call.id, message: error instanceof Error ? error.message : String(error) }, null),
    )
  }

  #settle(id: number, with_: (owed: Owed) => void): void {
    const owed = this.#owed.get(id)
    if (owed === undefined) return
    this.#owed.delete(id)
    if (owed.timer !== null) clearTimeout(owed.timer)
    with_(owed)
  }

  #lost(): void {
    if (this.#gone) return
    this.#gone = true
    for (const id of [...this.#owed.keys()]) this.#settle(id, ({ reject }) => reject(new Gone()))
    for (const listener of this.#goneListeners.splice(0)) listener()
  }
}

/** The other process is not there any more. */
export class Gone extends Error {
  override readonly name = 'Gone'

  constructor() {
    super('the other process is gone')
  }
}

/** An error that is thrown at once is one like any other. */
async function attempt<T>(work: () => T | Promise<T>): Promise<T> {
  return work()
}
