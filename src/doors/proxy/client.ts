// doors/proxy/client.ts — one client from its first ReadyForQuery to its last byte: takes frames in order and hands each
// request to what runs it. While a request runs nothing else is read, except CopyData for a server that waits for it.
import { type PointsmanError } from '../../errors/error.js'
import { encodeErrorResponse } from '../../protocol/error-fields.js'
import { encodeSync } from '../../protocol/extended.js'
import { Frontend } from '../../protocol/message-types.js'
import { encodeCopyFail } from '../../protocol/query.js'
import { violation } from '../../protocol/violation.js'
import { Batch } from './batch.js'
import type { ClientFrame } from './client-input.js'
import type { Conversation } from './conversation.js'
import { errorFields } from './error-reply.js'
import { runFunctionCall } from './function-call.js'
import type { Hold } from './hold.js'
import { parked, type Parked } from './parked.js'
import { runQuery } from './simple-query.js'
import { SwiftBatch } from './swift-batch.js'

/** Parse, Bind, Describe, Execute, Sync. */
const swiftFrames = 5

export class Client {
  readonly #conversation: Conversation
  readonly #batch: Batch
  /** null: there are no lanes. */
  readonly #swift: SwiftBatch | null
  /** Grows with every request, so that a pump knows when its request is over. */
  #turn = 0
  #dispatching = false
  /** Why it is to go as soon as nothing of its is open. */
  #leaving: PointsmanError | null = null
  /** Something is awaited before the next frame is looked at. */
  #waiting = false
  #done: ((reason: string) => void) | null = null
  readonly #next = (): void => {
    this.#dispatching = false
    this.#waiting = false
    this.#advance()
  }
  readonly #goOn = (pending: Promise<void> | null): void => (pending === null ? this.#next() : void pending.then(this.#next, this.#failed))
  /** A parked request has ended, or `pending` is still waited for. */
  #onUnparked = this.#goOn
  readonly #failed = (error: unknown): void => {
    this.#dispatching = false
    this.#finish(this.#sendAway(error))
  }

  constructor(conversation: Conversation) {
    this.#conversation = conversation
    this.#batch = new Batch(conversation)
    const { lane, parses } = conversation
    this.#swift = lane === null || parses === null ? null : new SwiftBatch(conversation, lane, this.#batch, parses)
    conversation.onCopyIn = (hold): void => {
      if (this.#dispatching) void this.#pump(hold)
    }
    conversation.onUnparked = (pending): void => this.#onUnparked(pending)
    conversation.onEnding = (): void => conversation.input.nudge()
  }

  /** Serves the client until it leaves or is sent away; resolves with the reason. */
  run(): Promise<string> {
    const { input } = this.#conversation
    input.onGone = (): void => this.#conversation.leave()
    return new Promise((resolve) => {
      this.#done = resolve
      input.onInput = (): void => this.#advance()
      if (this.#swift !== null) input.onBatch = (bytes): boolean => this.#batchCame(bytes)
      this.#advance()
    })
  }

  /** What may be a whole batch has come, and nothing waits before it. True: it is on a lane. */
  #batchCame(bytes: Buffer): boolean {
    if (this.#waiting || this.#done === null || this.#leaving !== null || !this.#conversation.free) return false
    try {
      this.#waiting = this.#swiftly(bytes)
    } catch (error) {
      this.#waiting = true
      this.#failed(error)
    }
    return this.#waiting
  }

  #swiftly(bytes: Buffer): boolean {
    if (this.#batch.open || this.#swift?.take(bytes) !== true) return false
    this.#dispatching = true
    this.#turn += 1
    return true
  }

  /** Takes frames until something must be waited for. Entered again by what is waited for, never by itself. */
  #advance(): void {
    if (this.#waiting || this.#done === null) return
    this.#waiting = true
    try {
      for (;;) {
        const step = this.#step()
        if (step === undefined) break
        if (step === parked) return
        if (typeof step === 'string') return this.#finish(step)
        if (step !== null) return void step.then(this.#next, this.#failed)
      }
    } catch (error) {
      return this.#failed(error)
    }
    this.#waiting = false
  }

  /** null: go on at once; undefined: there is nothing to do; a text: why this is the end. */
  #step(): Promise<void> | Parked | string | null | undefined {
    const { input, output, inspecting } = this.#conversation
    const owed = this.#conversation.payReady()
    if (owed !== null) return owed
    const end = this.#ending()
    if (end !== null) return end
    // Nothing new is begun for a client that does not read what it asked for before.
    if (output.behind) return output.caughtUp()
    if (inspecting !== null) return inspecting
    if (this.#swift !== null && !this.#batch.open) {
      const whole = input.peekBatch(swiftFrames)
      if (whole !== null && this.#swiftly(whole.bytes)) {
        input.drop(whole.frames)
        return parked
      }
    }
    const frame = input.shift()
    if (frame === undefined) return input.ended ? 'the client closed the connection' : undefined
    return frame.type === Frontend.Terminate ? 'the client said goodbye' : this.#dispatch(frame)
  }

  #finish(reason: string): void {
    const done = this.#done
    this.#done = null
    this.#conversation.input.onInput = null
    this.#conversation.input.onBatch = null
    this.#conversation.close()
    done?.(reason)
  }

  /** Told to go, by `why`, as soon as nothing of its is open. */
  drain(why: PointsmanError): void {
    this.#leaving = why
    this.#conversation.input.nudge()
  }

  /** Cut off at once, whatever runs. In the middle of a result no error could be understood: then the end of the connection tells. */
  kill(why: PointsmanError): void {
    if (this.#done === null) return
    if (this.#conversation.answering) this.#conversation.output.silence()
    this.#conversation.endWith(why)
    this.#finish(this.#sendAway(why))
  }

  cancel(): void {
    this.#conversation.cancel()
  }

  /** null: it may stay. */
  #ending(): string | null {
    const { ending, output, settled } = this.#conversation
    if (ending !== null) {
      output.write(encodeErrorResponse(ending))
      return ending.message
    }
    if (this.#leaving !== null && settled && !this.#batch.open) return this.#sendAway(this.#leaving)
    return null
  }

  #sendAway(error: unknown): string {
    const fields = errorFields(error, 'FATAL')
    this.#conversation.output.write(encodeErrorResponse(fields))
    return fields.message
  }

  #dispatch(frame: ClientFrame): Promise<void> | Parked | null {
    this.#dispatching = true
    this.#turn += 1
    const pending = this.#handle(frame)
    if (pending === null) this.#dispatching = false
    return pending
  }

  #handle(frame: ClientFrame): Promise<void> | Parked | null {
    const { type, bytes } = frame
    switch (type) {
      case Frontend.Query:
        return this.#batch.open ? this.#interrupt(type, bytes) : runQuery(this.#conversation, bytes)
      case Frontend.FunctionCall:
        return this.#batch.open ? this.#interrupt(type, bytes) : runFunctionCall(this.#conversation, bytes)
      case Frontend.Parse:
      case Frontend.Bind:
      case Frontend.Describe:
      case Frontend.Execute:
      case Frontend.Close:
        return this.#batch.add(type, bytes)
      case Frontend.Flush:
        return this.#batch.flush()
      case Frontend.Sync:
        return this.#batch.sync()
      case Frontend.CopyData:
      case Frontend.CopyDone:
      case Frontend.CopyFail:
        // Outside of a copy they are what a failed copy left behind, and mean nothing.
        return this.#copy(this.#batch.copying, frame)
      default:
        throw violation('a message out of place')
    }
  }

  /** A Query or FunctionCall before the Sync of a batch. */
  async #interrupt(type: number, bytes: Uint8Array): Promise<void> {
    if (!(await this.#batch.interrupted())) return
    const pending = type === Frontend.Query ? runQuery(this.#conversation, bytes) : runFunctionCall(this.#conversation, bytes)
    if (pending === parked) await this.#unparked()
    else await pending
  }

  /** Resolves when the parked request has ended. */
  #unparked(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onUnparked = (pending): void => {
        this.#onUnparked = this.#goOn
        if (pending === null) resolve()
        else pending.then(resolve, reject)
      }
    })
  }

  async #copy(hold: Hold | null, { type, bytes, rest }: ClientFrame): Promise<void> {
    if (hold?.copying !== true) return
    if (type === Frontend.CopyData) {
      if (!hold.copyData(bytes, rest)) await hold.drained()
      return
    }
    hold.copying = false
    hold.send([bytes], [{ act: 'forward', reply: 'copy-end' }])
  }

  /** Feeds a server in copy-in mode while the request that started it is awaited. */
  async #pump(hold: Hold): Promise<void> {
    const { input } = this.#conversation
    const turn = this.#turn
    const inBatch = this.#batch.open
    hold.lacksSync = inBatch
    try {
      while (this.#dispatching && this.#turn === turn && !hold.ended && (inBatch || hold.copying)) {
        const frame = input.shift()
        if (frame === undefined) {
          if (input.ended) return
          await input.wait()
        } else if (await this.#pumped(hold, frame, inBatch)) return
      }
    } catch (error) {
      this.#breakOff(hold, error, inBatch)
    }
  }

  /** True: this was the last frame of the copy. */
  async #pumped(hold: Hold, frame: ClientFrame, inBatch: boolean): Promise<boolean> {
    switch (frame.type) {
      case Frontend.CopyData:
      case Frontend.CopyDone:
      case Frontend.CopyFail:
        await this.#copy(hold, frame)
        return false
      case Frontend.Flush:
        return false
      case Frontend.Sync:
        // A server in copy-in mode ignores Sync.
        if (hold.copying || !inBatch) return false
        this.#sync(hold)
        return true
      case Frontend.Terminate:
        this.#conversation.leave()
        return true
      default:
        throw violation('unexpected message during COPY from stdin')
    }
  }

  #sync(hold: Hold): void {
    const expect = this.#conversation.expectEnd('sync')
    void hold.end(expect)
    hold.send([encodeSync()], [expect])
  }

  /** What came cannot be part of a copy: it is failed on the server, and the client is sent away when it has ended. */
  #breakOff(hold: Hold, error: unknown, inBatch: boolean): void {
    this.#conversation.endWith(error)
    if (hold.copying) {
      hold.copying = false
      hold.send([encodeCopyFail('the client broke the protocol')], [{ act: 'forward', reply: 'copy-end' }])
    }
    // Also where the copy was over: the server ignored the Sync that it read before the data.
    if (inBatch) this.#sync(hold)
  }
}
