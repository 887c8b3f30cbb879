// doors/proxy/batch-messages.ts — the messages of a batch by their index, which the replies and errors of servers are labelled with:
// what a completed one does to the session, what an error at one is called, and what is taken back when one has failed.
import type { Session } from '../../session/session.js'
import { batchError } from './batch-errors.js'
import type { Hold } from './hold.js'
import { rememberTypes, type Message } from './messages.js'
import { runningNaming } from './naming-replies.js'
import type { Running } from './request.js'

export class BatchMessages {
  readonly #session: Session
  /** Those that were routed, by their index. */
  readonly #routed: Message[] = []
  readonly #undo: { readonly index: number; readonly undo: () => void }[] = []

  constructor(session: Session) {
    this.#session = session
  }

  /** It was read. `undo` takes back what it has changed in the session. */
  read({ index }: Message, undo: (() => void) | null): void {
    if (undo !== null) this.#undo.push({ index, undo })
  }

  routed(messages: readonly Message[]): void {
    for (const message of messages) this.#routed[message.index] = message
  }

  at(label: string | undefined): Message | undefined {
    return label === undefined ? undefined : this.#routed[Number(label)]
  }

  /** That of this index and all after it never happened. */
  takeBack(from: number): void {
    for (const { index, undo } of this.#undo.toReversed()) if (index >= from) undo()
  }

  reset(): void {
    this.#undo.length = 0
    this.#routed.length = 0
  }

  /** Errors speak of the client's names, and of places in its texts. */
  readonly renamed = (frame: Uint8Array, label: string | undefined, hold: Hold): Uint8Array | null => {
    const message = this.at(label)
    return message === undefined ? null : batchError(frame, message, hold, this.#session.decoder)
  }

  readonly running = (label: string | undefined): Running | null => {
    const message = this.at(label)
    if (message?.kind !== 'execute') return null
    if (message.naming !== null) return runningNaming(message)
    const [statement] = message.statement?.understood.shape.statements ?? []
    const hints = message.statement?.understood.hints ?? null
    return statement === undefined ? null : { statement, parameter: (number) => message.portal?.text(number), hints }
  }

  readonly described = (oids: readonly number[], label: string | undefined): void => {
    const statement = this.at(label)?.statement ?? null
    if (statement !== null) rememberTypes(statement, oids)
  }
}
