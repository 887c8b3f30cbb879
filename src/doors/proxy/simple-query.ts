// doors/proxy/simple-query.ts — one Query message: answered here, refused, or sent as it came to one server.
import { PointsmanError } from '../../errors/error.js'
import { encodeCommandComplete } from '../../protocol/backend-messages.js'
import { decodeQuery } from '../../protocol/query.js'
import { asWrite } from '../../execute/again.js'
import type { AnswerPlan, OnePlan, Plan, RefusePlan, ScatterPlan, BroadcastPlan } from '../../routing/plan.js'
import type { ExpectReply } from '../../server/contract.js'
import { mayCommit } from '../../session/commits.js'
import type { ParameterText } from '../../session/settings.js'
import { readyByte } from '../../session/transaction.js'
import type { Understood } from '../../sql/statement.js'
import { answer, answerable } from './answer.js'
import { fromCache } from './cached-read.js'
import type { Conversation } from './conversation.js'
import { closeCursors, openCursor, runCommand } from './cursor-commands.js'
import { isRoutingChange } from './generations.js'
import type { End, Hold } from './hold.js'
import type { HoldWaiter } from './acquisition.js'
import type { LaneWork } from './lane-seat.js'
import type { CursorCommand } from './merged-cursors.js'
import { parked, type Parked } from './parked.js'
import { encodeQueryBytes } from './named.js'
import { runNamedQuery } from './named-query.js'
import { partedWork } from './parted-work.js'
import { ownQuery } from './own-calls.js'
import type { Request, Running } from './request.js'
import { reply } from './simple-reply.js'
import { runBroadcast, type BroadcastWork } from './broadcast.js'
import { runCopyIn } from './copy-in.js'
import { runScatter } from './scatter.js'
import { takeTokens } from './tokens.js'
import { giveUniqueIds } from './unique-ids.js'

const noParameter: ParameterText = () => undefined

/** Runs one Query to its ReadyForQuery; null: it is there already; `parked`: Conversation.onUnparked tells. Throws or rejects with 08P01 only. */
export function runQuery(conversation: Conversation, frame: Uint8Array): Promise<void> | Parked | null {
  const text = decodeQuery(frame, conversation.session.decoder)
  const request = conversation.begin()
  try {
    if (conversation.ending !== null) {
      conversation.finish(request)
      return null
    }
    const given = conversation.core.understand(text)
    const own = ownQuery(conversation, given)
    const understood = own === null ? given : conversation.core.understand(own.text)
    request.shape = understood.shape.id
    request.uses = understood.shape.uses
    // The protocol says so: a simple query destroys the unnamed statement.
    conversation.session.prepared.delete('')
    if (understood.shape.names) return runNamedQuery(conversation, request, understood)
    return new SimpleQuery(conversation, request, understood, own?.frame ?? frame).run()
  } catch (error) {
    return refused(conversation, request, error)
  }
}

async function refused(conversation: Conversation, request: Request, error: unknown): Promise<void> {
  try {
    await conversation.refuse(request, error)
    conversation.ready()
  } finally {
    conversation.finish(request)
  }
}

/** One Query on its way. The usual one waits for a single thing, its end on the server. */
class SimpleQuery implements LaneWork, HoldWaiter {
  readonly #conversation: Conversation
  readonly #request: Request
  #understood: Understood
  #frame: Uint8Array
  #plan: OnePlan | null = null
  /** Told when nothing is waited for any more, or what still is. */
  #over: (pending: Promise<void> | null) => void = (pending) => this.#conversation.onUnparked?.(pending)

  constructor(conversation: Conversation, request: Request, understood: Understood, frame: Uint8Array) {
    this.#conversation = conversation
    this.#request = request
    this.#understood = understood
    this.#frame = frame
  }

  run(): Promise<void> | Parked | null {
    const conversation = this.#conversation
    if (conversation.cursors !== null) {
      conversation.cursors.delete('')
      const { text, shape } = this.#understood
      const command = conversation.cursors.command(text, shape.statements)
      if (command !== null) return this.#ofCursor(command)
    }
    const plan: Plan =
      conversation.planning.failedPlan() ?? conversation.planning.plan([{ understood: this.#understood, parameters: null }])
    if (plan.kind === 'refuse' && plan.lookup !== undefined) return this.#afterDirectories()
    if (plan.kind === 'refuse' && plan.uniqueIds === true && conversation.session.view.understood) return this.#withUniqueIds(plan)
    return this.#runAs(plan)
  }

  #runAs(plan: Plan): Promise<void> | Parked | null {
    const conversation = this.#conversation
    const request = this.#request
    request.plan = plan
    switch (plan.kind) {
      case 'answer':
        return this.#answer(plan)
      case 'refuse':
        throw new PointsmanError(plan.error, { values: { what: plan.message }, hint: plan.hint })
      case 'scatter':
        return this.#scattered(plan)
      case 'broadcast':
        return this.#everywhere(plan)
      case 'one':
        if (plan.settings.length > 0) takeTokens(conversation, this.#understood, noParameter)
        if (plan.lane && conversation.lane?.take(this, plan, request) === true) return parked
        return plan.keptOn === null ? this.#runOn(plan) : this.#cached(plan)
    }
  }

  async #ofCursor(command: CursorCommand): Promise<void> {
    const conversation = this.#conversation
    const request = this.#request
    try {
      if (command.kind === 'close' && command.name === null) {
        if (readyByte(conversation.session.transaction) !== 'E') {
          await closeCursors(conversation, request, null)
          conversation.cursors = null
        }
        await this.#afterDirectories()
        return
      }
      await runCommand(conversation, request, command)
      conversation.ready()
    } catch (error) {
      return refused(conversation, request, error)
    }
    conversation.finish(request)
  }

  /** What it calls is put in its place first. */
  async #withUniqueIds(plan: RefusePlan): Promise<void> {
    const conversation = this.#conversation
    try {
      const given = await giveUniqueIds(conversation, this.#understood.text)
      if (given === null) throw new PointsmanError(plan.error, { values: { what: plan.message }, hint: plan.hint })
      this.#understood = conversation.core.understand(given)
      this.#frame = encodeQueryBytes(given, conversation.session.decoder)
    } catch (error) {
      return refused(conversation, this.#request, error)
    }
    return this.#afterDirectories()
  }

  /** The directory says where the key lives; what follows is as if it had always been known, but on no lane. */
  async #afterDirectories(): Promise<void> {
    const conversation = this.#conversation
    const planned = [{ understood: this.#understood, parameters: null }] as const
    try {
      await conversation.planning.directoriesAsked(planned)
      const plan = conversation.planning.plan(planned)
      await new Promise<void>((resolve, reject) => {
        this.#over = (pending): void => (pending === null ? resolve() : void pending.then(resolve, reject))
        const next = this.#runAs(plan.kind === 'one' ? { ...plan, lane: false } : plan)
        if (next === null) resolve()
        else if (next !== parked) next.then(resolve, reject)
      })
    } catch (error) {
      return refused(conversation, this.#request, error)
    }
  }

  // ---- on a lane

  readonly head = null

  fits(): boolean {
    return true
  }

  compile(_names: unknown, _slot: unknown, frames: Uint8Array[]): void {
    frames.push(this.#frame)
  }

  forget(): void {
    return undefined
  }

  /** What a Query may ask on a lane names no prepared statement. */
  renamed(reply: Uint8Array): Uint8Array {
    return reply
  }

  /** Nothing of a Query outlives its failure. */
  failed(): void {
    return undefined
  }

  end(): void {
    this.#conversation.finish(this.#request)
  }

  again(writes: boolean): Promise<void> | null {
    const conversation = this.#conversation
    const request = this.#request
    try {
      const plan = conversation.planning.plan([{ understood: this.#understood, parameters: null }])
      if (plan.kind !== 'one') throw new Error('a statement on a lane has another kind of plan now')
      request.plan = writes ? asWrite(plan) : plan
      return this.#awaited(request.plan)
    } catch (error) {
      return refused(conversation, request, error)
    }
  }

  // ---- on a connection of its own

  /** From the cache, or else on a server. */
  #cached(plan: OnePlan): Promise<void> | Parked | null {
    const read = { understood: this.#understood, form: ['query'], statement: null, parses: false, notBefore: -Infinity }
    const given = fromCache(this.#conversation, this.#request, plan, read)
    if (given instanceof Promise) return this.#cachedLater(plan, given)
    if (!given) return this.#runOn(plan)
    this.#conversation.finish(this.#request)
    return null
  }

  async #cachedLater(plan: OnePlan, given: Promise<boolean>): Promise<void> {
    try {
      if (!(await given)) {
        await this.#awaited(plan)
        return
      }
    } catch (error) {
      return refused(this.#conversation, this.#request, error)
    }
    this.#conversation.finish(this.#request)
  }

  #answer(plan: AnswerPlan): Promise<void> | null {
    const conversation = this.#conversation
    const waiting = answerable(conversation, plan)
    if (waiting !== null) return this.#answerAfter(plan, waiting)
    reply(conversation, answer(conversation, plan, this.#understood, noParameter))
    conversation.ready()
    conversation.finish(this.#request)
    return null
  }

  async #answerAfter(plan: AnswerPlan, waiting: Promise<void>): Promise<void> {
    const conversation = this.#conversation
    await waiting
    try {
      conversation.requirePresent()
      reply(conversation, answer(conversation, plan, this.#understood, noParameter))
      conversation.ready()
    } catch (error) {
      return refused(conversation, this.#request, error)
    }
    conversation.finish(this.#request)
  }

  // ---- on several servers

  get #sameEverywhere(): BroadcastWork {
    const last: ExpectReply = { act: 'forward', reply: 'query' }
    return { frames: () => ({ frames: [this.#frame], expects: [last], last }) }
  }

  async #everywhere(plan: BroadcastPlan): Promise<void> {
    const conversation = this.#conversation
    const request = this.#request
    try {
      if (plan.copy !== undefined) await runCopyIn(conversation, request, plan, plan.copy, this.#frame)
      else await runBroadcast(conversation, request, plan, partedWork(plan, null) ?? this.#sameEverywhere)
      conversation.ready()
    } catch (error) {
      // Of a COPY the client may have been told to begin.
      return plan.copy === undefined ? this.#unsent(error) : refused(conversation, request, error)
    }
    conversation.finish(request)
  }

  async #scattered(plan: ScatterPlan): Promise<void> {
    const conversation = this.#conversation
    const request = this.#request
    try {
      if (plan.cursor === undefined)
        await runScatter(conversation, request, plan, { types: [], bind: null, before: ['portal'], onBegun: () => undefined })
      else {
        await openCursor(conversation, request, plan, { types: [], bind: null }, { name: plan.cursor, closes: false })
        conversation.output.write(encodeCommandComplete('DECLARE CURSOR'))
      }
      conversation.ready()
    } catch (error) {
      return this.#unsent(error)
    }
    conversation.finish(request)
  }

  /** What a PAUSE held back while tables moved elsewhere is planned again: nothing of it was sent. */
  #unsent(error: unknown): Promise<void> {
    return isRoutingChange(error) ? this.#afterDirectories() : refused(this.#conversation, this.#request, error)
  }

  // ---- on a connection of its own

  #runOn(plan: OnePlan): Parked {
    this.#start(plan)
    return parked
  }

  #awaited(plan: OnePlan): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#over = (pending): void => (pending === null ? resolve() : void pending.then(resolve, reject))
      try {
        this.#start(plan)
      } catch (error) {
        this.notHeld(error)
      }
    })
  }

  #start(plan: OnePlan): void {
    this.#plan = plan
    const hold = this.#conversation.holdSoon(plan, this.#request, this)
    if (hold !== null) this.#send(plan, hold)
  }

  held(hold: Hold): void {
    try {
      this.#send(this.#plan as OnePlan, hold)
    } catch (error) {
      this.notHeld(error)
    }
  }

  notHeld(error: unknown): void {
    const over = this.#over
    over(this.#unsent(error))
  }

  /** Sends the frame as it came. */
  #send(plan: OnePlan, hold: Hold): void {
    const request = this.#request
    this.#conversation.starting(hold, plan, request)
    request.complete = true
    request.running = counted(this.#understood)
    request.commits = mayCommit(this.#understood)
    hold.unnamed = null
    const expect = this.#conversation.expectEnd('query')
    hold.whenEnded(expect, (end) => this.#ended(plan, hold, end))
    hold.send([this.#frame], [expect])
  }

  /** Done, or sent again elsewhere while that is allowed. Never throws: what goes wrong is told to the client. */
  #ended(plan: OnePlan, hold: Hold, end: End): void {
    const conversation = this.#conversation
    const request = this.#request
    try {
      if (conversation.settle(hold, plan, request, end)) {
        const next = request.rerun === 'primary' ? asWrite(plan) : plan
        request.plan = next
        this.#start(next)
        return
      }
      if (end.kind === 'lost' || end.withheld) conversation.ready()
    } catch (error) {
      this.notHeld(error)
      return
    }
    conversation.finish(request)
    this.#over(null)
  }
}

/** Every statement of a Query ends with one CommandComplete, in order. */
function counted(understood: Understood): () => Running | null {
  const statements = understood.shape.statements ?? []
  let index = 0
  return () => {
    const statement = statements[index++]
    return statement === undefined ? null : { statement, parameter: noParameter, hints: understood.hints }
  }
}
