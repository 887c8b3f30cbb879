// doors/proxy/known-columns.ts — a client that was told the columns of a statement once may never ask again (row-shapes.ts): before it
// gets rows from a connection that has not told them, that connection is asked, in the middle of the batch.
import { PointsmanError } from '../../errors/error.js'
import { encodeFlush } from '../../protocol/extended.js'
import type { BatchMessages } from './batch-messages.js'
import type { BatchState, Step } from './batch-state.js'
import type { Conversation } from './conversation.js'
import type { Hold } from './hold.js'
import type { Message } from './messages.js'
import { fitsTold, rememberRows, unsureOf } from './row-shapes.js'
import { labelOf, Sending } from './sending.js'

const flushFrame = encodeFlush()

interface KnownColumnsParts {
  readonly conversation: Conversation
  readonly at: BatchState
  readonly messages: BatchMessages
  /** Sends steps of the batch, with no Sync. */
  readonly send: (hold: Hold, steps: readonly Step[]) => void
}

export class KnownColumns {
  readonly #conversation: Conversation
  readonly #at: BatchState
  readonly #messages: BatchMessages
  readonly #send: (hold: Hold, steps: readonly Step[]) => void

  constructor({ conversation, at, messages, send }: KnownColumnsParts) {
    this.#conversation = conversation
    this.#at = at
    this.#messages = messages
    this.#send = send
  }

  /** Our own question about columns: who waits for its answer. */
  #asked: { readonly label: string; readonly answer: (frame: Uint8Array | null) => void } | null = null

  /**
   * Resolves with what is still to be sent: what runs before a statement that is asked about is sent first, for a question looks
   * at the catalog, after which a BEGIN may not choose its isolation. Rejects with PostgreSQL's own error where rows would come
   * that are not as the client was told.
   */
  async sureOf(hold: Hold, steps: readonly Step[]): Promise<readonly Step[]> {
    const { statements } = hold.connection
    let left = steps
    for (const { messages, replies } of steps) {
      for (const message of unsureOf(messages, statements)) {
        const { statement } = message
        if (statement === null || replies.has(message)) continue
        const [before, after] = parted(left, message)
        if (before.some(runsSomething)) {
          this.#send(hold, before)
          left = after
        }
        // Anew: here it may have been prepared before the DDL.
        statements.discard(statement.key)
        const frame = await this.#ask(hold, message)
        // It has failed, and the client has heard of it; or the connection is lost.
        if (frame === null) return left
        if (!fitsTold(statement, frame)) throw new PointsmanError('cached_plan_changed')
      }
    }
    return left
  }

  /** What the connection's statement gives. null: it cannot be said any more. */
  #ask(hold: Hold, message: Extract<Message, { kind: 'bind' }>): Promise<Uint8Array | null> {
    return new Promise((resolve) => {
      const label = labelOf(message.index)
      const answer = (frame: Uint8Array | null): void => {
        this.#asked = null
        resolve(frame)
      }
      this.#asked = { label, answer }
      if (this.#at.request !== null) this.#at.request.complete = false
      const sending = new Sending(hold, this.#conversation.session)
      sending.ask(message, label)
      // Told only if the connection is lost.
      void hold.end(sending.last).then(() => resolve(null))
      hold.send([...sending.frames, flushFrame], sending.expects)
    })
  }

  /** Columns were told, or asked for by us. */
  readonly described = (hold: Hold, frame: Uint8Array, label: string | undefined): void => {
    const message = this.#messages.at(label)
    const statement = message?.statement ?? null
    if (message === undefined || statement === null || statement.name === '' || message.naming !== null) return
    const asked = this.#asked?.label === label ? this.#asked : null
    rememberRows(statement, hold.connection.statements, frame, asked === null)
    asked?.answer(frame)
  }

  /** The batch has failed: nothing is answered any more. */
  failed(): void {
    this.#asked?.answer(null)
  }
}

/** What comes before `message`, and the rest from there on. */
function parted(steps: readonly Step[], message: Message): readonly [before: readonly Step[], after: readonly Step[]] {
  const at = steps.findIndex(({ messages }) => messages.includes(message))
  const step = steps[at]
  if (step === undefined) return [steps, []]
  const { messages } = step
  const cut = messages.indexOf(message)
  const [head, tail] = [messages.slice(0, cut), messages.slice(cut)]
  return [
    [...steps.slice(0, at), { ...step, messages: head }],
    [{ ...step, messages: tail }, ...steps.slice(at + 1)],
  ]
}

function runsSomething({ messages, replies }: Step): boolean {
  return messages.some((message) => message.kind === 'execute' && !replies.has(message))
}
