// doors/proxy/batch.ts — the extended protocol: messages are collected up to Sync or Flush, planned together and sent to
// one server. The client's statement names never reach a server; each distinct text has a name of ours on each connection,
// and what a connection lacks is parsed there just before it is used.
//
//   client   P(a) B(a) D E S          to the server   P(ours) B(ours) D E S      the connection has none of it
//                                                     ·       B(ours) D E S      it has: ParseComplete comes from us
//                                     swallowed ──▶   P(ours) B(ours) D E S      only B(a) D E S came: the Parse is ours
import { PointsmanError } from '../../errors/error.js'
import { emptyMessages, encodeParameterDescription } from '../../protocol/backend-messages.js'
import { encodeErrorResponse } from '../../protocol/error-fields.js'
import { encodeClose, encodeDescribe, encodeFlush, encodeParse, encodeSync, renameBind, renameParse } from '../../protocol/extended.js'
import { asWrite } from '../../execute/again.js'
import { changesOf, policyOf, stickyOf } from '../../routing/batch.js'
import type { AnswerPlan, OnePlan, Plan } from '../../routing/plan.js'
import type { Expect, ExpectReply } from '../../server/contract.js'
import { mayCommit } from '../../session/commits.js'
import type { ClientStatement, Session } from '../../session/session.js'
import { poison } from '../../session/transaction.js'
import { cachedBatch } from './cached-batch.js'
import { fromCache } from './cached-read.js'
import { answer, columnsOf, describeFrames, executeFrames } from './answer.js'
import type { Conversation, Planned } from './conversation.js'
import { errorFields } from './error-reply.js'
import type { End, Hold } from './hold.js'
import { MessageReader, rememberTypes, unknownParameters, type Message, type Portal } from './messages.js'
import type { Proof } from './proved-statements.js'
import type { Request, Running } from './request.js'
import { asksToken, takeTokens, tokenParameters, tokenSampled } from './tokens.js'

/** A batch longer than this is sent in steps, as if the client had flushed. */
const stepBytes = 1024 * 1024
/** What was sent is kept up to this, so that a read can be sent again elsewhere. */
const repeatBytes = 4 * 1024 * 1024

const flushFrame = encodeFlush()
const syncFrame = encodeSync()

/** What is done with a step's messages: sent to one server, with what is answered here in its place between them. */
interface Step {
  readonly messages: readonly Message[]
  /** null: nothing needs a server. */
  readonly plan: OnePlan | null
  /** Replies of ours, by message; messages that are not here are the server's. */
  readonly replies: ReadonlyMap<Message, readonly Uint8Array[]>
  /** Runs something, rather than only describing it. */
  readonly runs: boolean
}

export class Batch {
  readonly #conversation: Conversation
  readonly #reader: MessageReader
  #request: Request | null = null
  #fresh: Message[] = []
  #freshBytes = 0
  #count = 0
  readonly #undo: { readonly index: number; readonly undo: () => void }[] = []
  /** Until Sync everything is skipped: something failed here. */
  #failed = false
  /** The server connection that this batch has been sent to. */
  #hold: Hold | null = null
  #plan: OnePlan | null = null
  /** Nothing has run yet: only descriptions were asked for, so it may still go elsewhere. */
  #onlyDescribed = true
  #steps: Step[] = []
  #sentBytes = 0
  readonly #labels = new Map<string, Message>()
  /** What this batch proves if it succeeds. */
  #proof: Proof | null = null

  constructor(conversation: Conversation) {
    this.#conversation = conversation
    this.#reader = new MessageReader(conversation.session, (text) => conversation.core.understand(text))
  }

  /** Messages have come whose Sync has not. */
  get open(): boolean {
    return this.#request !== null || this.#fresh.length > 0 || this.#failed
  }

  /** Takes Parse, Bind, Describe, Execute or Close. Throws 08P01 on a malformed one. */
  add(type: number, frame: Uint8Array): Promise<void> | null {
    if (this.#failed) return null
    const { message, undo } = this.#reader.read(type, frame, this.#count++)
    if (undo !== null) this.#undo.push({ index: message.index, undo })
    this.#fresh.push(message)
    this.#freshBytes += frame.length
    return this.#freshBytes > stepBytes ? this.#step() : null
  }

  async flush(): Promise<void> {
    // Nothing to flush, and nothing begins: psycopg flushes after its Sync, and may send a simple query next.
    if (!this.open) return
    if (!this.#failed) await this.#step()
    const hold = this.#hold
    if (hold !== null && !hold.lost && !hold.send([flushFrame], [])) await hold.drained()
  }

  /**
   * A Query or FunctionCall before the batch's Sync. True: it may run, for the batch has only prepared and described (asyncpg
   * ends that with a Flush) and has ended unseen. After a failure everything up to Sync is skipped. Where something ran,
   * nothing tells what should become of it; whoever sends a Query waits for a ReadyForQuery that no Sync will bring, so the
   * client is sent away rather than left waiting.
   */
  async interrupted(): Promise<boolean> {
    if (!this.#failed) await this.#step()
    if (this.#failed) return false
    const conversation = this.#conversation
    if (!this.#onlyDescribed) {
      const what = 'a simple query within a batch of the extended protocol that has run something is not supported'
      conversation.endWith(new PointsmanError('feature_not_supported', { values: { what }, hint: 'Send Sync first.' }))
      return false
    }
    const request = (this.#request ??= this.#begin())
    if (this.#hold === null) conversation.endLocal(false)
    else await this.#endUnseen(this.#hold, request)
    if (this.#skips()) return false
    if (conversation.session.transaction.kind === 'idle') this.#reader.forgetPortals()
    this.#reset()
    conversation.finish(request)
    return true
  }

  /** A method, because the compiler believes that what was false before an await stays so. */
  #skips(): boolean {
    return this.#failed || this.#conversation.ending !== null
  }

  /** The server connection that waits for this batch's CopyData, if one does. */
  get copying(): Hold | null {
    return this.#hold?.copying === true ? this.#hold : null
  }

  /** Sync: the end of the batch, whatever became of it. */
  sync(): Promise<void> | null {
    const request = this.#requested()
    const unusual = this.#failed || this.#hold !== null || this.#conversation.ending !== null || this.#fresh.some(tokenAsked)
    if (unusual || this.#fresh.some((message) => errorOf(message) !== null)) return this.#through(request, () => this.#syncUnusual(request))
    try {
      return this.#syncUsual(request)
    } catch (error) {
      return this.#broken(request, error)
    }
  }

  /** All of the batch has come, it goes to one server, and nothing but its end is waited for. null: it was answered here. */
  #syncUsual(request: Request): Promise<void> | null {
    const messages = this.#fresh
    this.#fresh = []
    this.#freshBytes = 0
    const step = this.#route(messages, request)
    if (step.plan === null) {
      this.#answerHere(step, true)
      this.#close(request)
      return null
    }
    const read = step.plan.keptOn === null || step.replies.size > 0 ? null : cachedBatch(messages, this.#conversation.now())
    const given = read === null ? false : fromCache(this.#conversation, request, step.plan, read)
    if (given instanceof Promise) return this.#through(request, () => this.#unlessGiven(step, request, given))
    if (!given) return this.#runUsual(step, request)
    this.#close(request)
    return null
  }

  /** The reply of another, or a server's. */
  async #unlessGiven(step: Step, request: Request, given: Promise<boolean>): Promise<void> {
    if (await given) return
    this.#enter(step)
    await this.#runToSync(step, request)
  }

  #runUsual(step: Step, request: Request): Promise<void> {
    this.#enter(step)
    const hold = this.#attach(request)
    if (hold instanceof Promise) return this.#through(request, () => this.#runToSync(step, request, hold))
    return this.#sendToSync(hold, [step]).then((end) => this.#concluded(hold, request, end))
  }

  #concluded(hold: Hold, request: Request, end: End): Promise<void> | undefined {
    try {
      if (this.#ended(hold, request, end)) return this.#through(request, () => this.#repeat(request))
    } catch (error) {
      return this.#broken(request, error)
    }
    this.#close(request)
    return undefined
  }

  async #syncUnusual(request: Request): Promise<void> {
    if (!this.#failed) await this.#step(true)
    else if (this.#hold !== null) await this.#finish(this.#hold, request)
    else this.#endLocal()
  }

  /** Whatever `work` meets: the client hears of it, and the batch ends. */
  async #through(request: Request, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      return this.#broken(request, error)
    }
    this.#close(request)
  }

  async #broken(request: Request, error: unknown): Promise<void> {
    try {
      await this.#refuse(error)
      if (this.#hold !== null) await this.#finish(this.#hold, request)
      else this.#endLocal()
    } finally {
      this.#close(request)
    }
  }

  #close(request: Request): void {
    if (this.#conversation.session.transaction.kind === 'idle') this.#reader.forgetPortals()
    this.#reset()
    this.#conversation.finish(request)
  }

  /** What the client prepared in a batch that never came to its end is forgotten with it. */
  #reset(): void {
    this.#request = null
    this.#fresh = []
    this.#freshBytes = 0
    this.#count = 0
    this.#undo.length = 0
    this.#failed = false
    this.#hold = null
    this.#plan = null
    this.#onlyDescribed = true
    this.#steps = []
    this.#sentBytes = 0
    this.#proof = null
    this.#labels.clear()
  }

  /** What comes now is asked for as of now, however long ago the batch has begun. */
  #requested(): Request {
    const begun = this.#request
    if (begun === null) return (this.#request = this.#begin())
    begun.invokedAt = this.#conversation.now()
    return begun
  }

  #begin(): Request {
    const request = this.#conversation.begin()
    request.running = (label) => this.#running(label)
    request.onFailed = (label) => this.#undoFrom(label)
    request.onStalePlan = () => this.#stalePlan()
    request.onDescribed = (oids, label) => this.#described(oids, label)
    return request
  }

  // ---- steps

  /** Plans and sends what has come since the last step. `last`: the Sync goes with it. */
  async #step(last = false): Promise<void> {
    const messages = this.#fresh
    this.#fresh = []
    this.#freshBytes = 0
    const request = this.#requested()
    try {
      if (this.#conversation.ending !== null) return
      const problem = messages.map((message, at) => this.#problemOf(message, at)).find((found) => found !== null)
      const sound = problem === undefined ? messages : messages.slice(0, problem.at)
      const runs = sound.some((message) => message.kind === 'execute')
      if (sound.some(tokenAsked)) await this.#tokenResolved()
      if (problem === undefined || runs) await this.#take(sound, request, last && problem === undefined)
      if (problem !== undefined) throw problem.error
    } catch (error) {
      if (last) throw error
      await this.#refuse(error)
    }
  }

  /** The answer may need what only a sample tells. */
  async #tokenResolved(): Promise<void> {
    await tokenSampled(this.#conversation)
    this.#conversation.requirePresent()
  }

  async #take(messages: readonly Message[], request: Request, last: boolean): Promise<void> {
    const step = this.#route(messages, request)
    if (step.plan === null && this.#hold === null) {
      this.#answerHere(step, last)
      return
    }
    await this.#moveIfNeeded(step, request)
    if (this.#failed) {
      // What was moved away from had failed: all up to Sync is skipped.
      if (last) this.#endLocal()
      return
    }
    this.#enter(step)
    if (last) await this.#runToSync(step, request)
    else await this.#sendStep(step, request)
  }

  #answerHere({ messages, replies }: Step, last: boolean): void {
    for (const message of messages) for (const frame of replies.get(message) ?? []) this.#conversation.output.write(frame)
    if (last) this.#endLocal()
  }

  #enter(step: Step): void {
    this.#onlyDescribed &&= !step.runs
    this.#steps.push(step)
    for (const message of step.messages) this.#sentBytes += message.frame.length
    if (step.plan !== null) this.#plan = this.#plan === null ? step.plan : joined(this.#plan, step.plan)
  }

  /** A batch that has only asked for descriptions ends unseen where it is, and goes on where it must run. */
  async #moveIfNeeded(step: Step, request: Request): Promise<void> {
    const hold = this.#hold
    if (hold === null || step.plan === null) return
    if (fits(hold, step.plan) && this.#isFresh(hold, step, step.plan, request)) return
    if (!this.#movable(hold)) throw elsewhere(hold, step.plan)
    await this.#endUnseen(hold, request)
  }

  /**
   * A replica was proved fresh enough for what it was taken for. What is bound later may ask for more, and may come at any time:
   * asyncpg prepares with a Flush, and runs when it likes. A portal that is open stays where it is.
   */
  #isFresh(hold: Hold, { messages }: Step, plan: OnePlan, request: Request): boolean {
    const asksAnew = hold.route.role === 'replica' && this.#movable(hold) && messages.some(({ kind }) => kind === 'bind')
    return !asksAnew || this.#conversation.meets(hold, plan, request)
  }

  /** Outside a transaction what only described, or has only read on a replica, can go on elsewhere: it holds no lock and nothing to take back. */
  #movable(hold: Hold): boolean {
    return this.#conversation.session.transaction.kind === 'idle' && (this.#onlyDescribed || hold.route.role === 'replica')
  }

  /** Ends what was sent so far with a Sync of ours. */
  async #endUnseen(hold: Hold, request: Request): Promise<void> {
    const expect: ExpectReply = { act: 'swallow', reply: 'sync' }
    const ended = hold.end(expect)
    hold.send([syncFrame], [expect])
    const end = await ended
    request.repeatable = false
    request.attempts = Number.POSITIVE_INFINITY
    this.#conversation.settle(hold, this.#plan as OnePlan, request, end)
    request.attempts = 0
    if (end.kind === 'lost') this.#failed = true
    this.#hold = null
    this.#plan = null
    this.#steps = []
    this.#sentBytes = 0
  }

  async #sendStep(step: Step, request: Request): Promise<void> {
    const hold = await this.#attach(request)
    if (!this.#compileAndSend(hold, [step], null)) await hold.drained()
  }

  /** Sends the step with its Sync and waits for the end; again, from the batch's beginning, while that is allowed. */
  async #runToSync(step: Step, request: Request, attached: Hold | Promise<Hold> = this.#attach(request)): Promise<void> {
    const hold = await attached
    if (this.#ended(hold, request, await this.#sendToSync(hold, [step]))) await this.#repeat(request)
  }

  #sendToSync(hold: Hold, steps: readonly Step[]): Promise<End> {
    const expect: ExpectReply = { act: 'forward', reply: 'sync' }
    const ended = hold.end(expect)
    this.#compileAndSend(hold, steps, expect)
    return ended
  }

  /** A Sync for what was sent in earlier steps. */
  async #finish(hold: Hold, request: Request): Promise<void> {
    const expect: ExpectReply = { act: 'forward', reply: 'sync' }
    const ended = hold.end(expect)
    hold.send([syncFrame], [expect])
    if (!this.#ended(hold, request, await ended)) return
    await this.#repeat(request)
  }

  async #repeat(request: Request): Promise<void> {
    const hold = await this.#attach(request)
    if (this.#ended(hold, request, await this.#sendToSync(hold, this.#steps))) await this.#repeat(request)
  }

  /** True: to be sent again. */
  #ended(hold: Hold, request: Request, end: End): boolean {
    const plan = this.#plan as OnePlan
    this.#hold = null
    const again = this.#conversation.settle(hold, plan, request, end)
    if (this.#proof !== null && end.kind === 'ready' && end.error === null) this.#conversation.proved.add(this.#proof)
    if (again) {
      if (request.rerun === 'primary') this.#plan = asWrite(plan)
      if (request.rerun === 'prepare') this.#forgetPrepared(hold)
      return true
    }
    if (end.kind === 'lost' || end.withheld) this.#conversation.ready()
    return false
  }

  /** The server connection for the batch, taken at its first need. */
  #attach(request: Request): Hold | Promise<Hold> {
    const plan = this.#plan as OnePlan
    request.plan = plan
    if (this.#hold !== null) this.#conversation.requireAllowed(plan, this.#hold)
    const hold = this.#hold ?? this.#conversation.holdFor(plan, request)
    return hold instanceof Promise ? hold.then((held) => this.#attached(held, plan, request)) : this.#attached(hold, plan, request)
  }

  #attached(hold: Hold, plan: OnePlan, request: Request): Hold {
    this.#hold = hold
    this.#conversation.starting(hold, plan, request)
    if (this.#sentBytes > repeatBytes) request.repeatable = false
    request.commits = this.#steps.some((step) => step.messages.some(committing))
    return hold
  }

  #compileAndSend(hold: Hold, steps: readonly Step[], sync: ExpectReply | null): boolean {
    const sending = new Sending(hold)
    for (const step of steps) for (const message of step.messages) sending.add(message, step.replies.get(message))
    if (sync !== null) {
      sending.put([syncFrame], sync)
      // Earlier steps were flushed: their replies are waited for, one by one.
      if (this.#request !== null) this.#request.complete = this.#steps.length === 1
    }
    return hold.send(sending.frames, sending.expects)
  }

  /**
   * Who asks for the columns in this batch may get other ones. Who does not (asyncpg) would take the new rows for the old: it
   * hears PostgreSQL's error, which tells it to prepare anew, and the statement is forgotten here so that it can.
   */
  #stalePlan(): boolean {
    if (this.#steps.some((step) => step.messages.some((message) => message.kind === 'describe'))) return true
    if (this.#hold !== null) this.#forgetPrepared(this.#hold)
    return false
  }

  #forgetPrepared(hold: Hold): void {
    for (const step of this.#steps) {
      for (const message of step.messages) if (message.statement !== null) hold.connection.statements.forget(message.statement.key)
    }
  }

  // ---- deciding

  #route(messages: readonly Message[], request: Request): Step {
    const conversation = this.#conversation
    for (const message of messages) this.#labels.set(labelOf(message.index), message)
    const executed = messages.filter((message) => message.kind === 'execute')
    const [shape] = executed.length > 0 ? executed : messages
    request.shape = shape?.statement?.understood.shape.id ?? request.shape
    const failed = conversation.failedPlan()
    if (failed !== null) return { messages, plan: failed, replies: new Map(), runs: true }
    const known = executed.filter((message) => message.statement !== null)
    const [first, ...others] = known.map(plannedExecute)
    if (first === undefined) {
      if (executed.length === 0) return this.#routeDescriptions(messages, request)
      return { messages, plan: this.#hold === null ? conversation.homePlan(true) : null, replies: new Map(), runs: true }
    }
    const plan = conversation.plan([first, ...others], this.#view())
    request.plan = plan
    if (plan.kind === 'refuse') throw new PointsmanError(plan.error, { values: { what: plan.message }, hint: plan.hint })
    if (plan.kind === 'one' && plan.settings.length > 0) {
      for (const { statement, portal } of known) {
        if (statement !== null) takeTokens(conversation, statement.understood, tokenParameters(portal))
      }
    }
    if (plan.kind === 'one') return { messages, plan, replies: this.#strangers(messages, plan), runs: true }
    return this.#answered(messages, known[0] as Message, plan)
  }

  /** Once the batch runs somewhere, what follows in it finds itself in that server's implicit transaction. */
  #view(): Session['view'] {
    const { view } = this.#conversation.session
    const hold = this.#hold
    if (hold === null || view.transaction.home !== null || this.#movable(hold)) return view
    const { cluster, node, role } = hold.route
    return { ...view, transaction: { ...view.transaction, status: 'open', home: { cluster, node, role } } }
  }

  /** The one statement that runs is answered here; what else is in the step goes with it. */
  #answered(messages: readonly Message[], execute: Message, plan: AnswerPlan): Step {
    const { statement, portal } = execute as Extract<Message, { kind: 'execute' }>
    const replies = new Map<Message, readonly Uint8Array[]>()
    for (const message of messages) {
      if (message === execute) {
        const given = answer(this.#conversation, plan, (statement as ClientStatement).understood, (number) => portal?.text(number))
        replies.set(message, executeFrames(given))
      } else if (message.statement === statement || message.statement === null) replies.set(message, localReply(message, plan))
    }
    const rest = messages.filter((message) => !replies.has(message))
    const described = rest.length === 0 ? null : this.#routeDescriptions(rest, this.#request as Request)
    for (const [message, frames] of described?.replies ?? []) replies.set(message, frames)
    return { messages, plan: described?.plan ?? null, replies, runs: false }
  }

  /** Nothing runs: each statement is described where it would run. */
  #routeDescriptions(messages: readonly Message[], request: Request): Step {
    const replies = new Map<Message, readonly Uint8Array[]>()
    let plan: OnePlan | null = null
    const plans = new Map<ClientStatement, Plan>()
    for (const message of messages) {
      if (message.statement === null) {
        if (!this.#needsServer(message)) replies.set(message, [emptyMessages.closeComplete])
        else if (this.#hold === null) plan ??= this.#conversation.homePlan(false)
        continue
      }
      const planned =
        plans.get(message.statement) ?? this.#conversation.plan([plannedDescription(message.statement, message)], this.#view())
      plans.set(message.statement, planned)
      if (planned.kind === 'refuse') throw new PointsmanError(planned.error, { values: { what: planned.message }, hint: planned.hint })
      if (planned.kind === 'answer') replies.set(message, localReply(message, planned))
      else plan ??= describing(planned)
    }
    if (plan !== null && this.#accepted(messages, plan.cluster, replies)) plan = null
    request.plan ??= plan
    if (plan !== null) for (const [message, frames] of this.#strangers(messages, plan)) replies.set(message, frames)
    return { messages, plan, replies, runs: false }
  }

  /** What is left for a server is to accept statements that it has accepted before: that is answered here. */
  #accepted(messages: readonly Message[], cluster: string, replies: Map<Message, readonly Uint8Array[]>): boolean {
    if (this.#hold !== null) return false
    const left = messages.filter((message) => !replies.has(message))
    if (!left.every((message) => message.kind === 'parse' && message.statement.name !== '')) return false
    const proofs = left.map((message) => this.#conversation.proofOf(cluster, message.statement as ClientStatement))
    const { proved } = this.#conversation
    if (!proofs.every((proof) => proof !== null && proved.has(proof))) {
      // One at a time: of several the server may have accepted some, and some may belong elsewhere.
      if (proofs.length === 1) this.#proof = proofs[0] ?? null
      return false
    }
    for (const message of left) replies.set(message, [emptyMessages.parseComplete])
    return true
  }

  /** A portal can be closed or described only where it is open. */
  #needsServer(message: Message): boolean {
    return (message.kind === 'close' || message.kind === 'describe') && message.of === 'portal' && this.#onServer
  }

  /** Portals may be open, in the batch at hand or in the open transaction; DECLARE makes such as no Bind has named. */
  get #onServer(): boolean {
    return this.#hold !== null || this.#conversation.home !== null
  }

  /** A Parse that is not used in its step, of a statement that belongs elsewhere, is left until it is. */
  #strangers(messages: readonly Message[], plan: OnePlan): Map<Message, readonly Uint8Array[]> {
    const replies = new Map<Message, readonly Uint8Array[]>()
    const parses = messages.filter((message) => message.kind === 'parse')
    if (parses.length < 2) return replies
    for (const message of parses) {
      const used = messages.some((other) => other !== message && other.statement === message.statement)
      if (used || message.statement.name === '') continue
      const planned = this.#conversation.plan([plannedDescription(message.statement, message)], this.#view())
      if (planned.kind !== 'one' || planned.cluster !== plan.cluster) replies.set(message, [emptyMessages.parseComplete])
    }
    return replies
  }

  #problemOf(message: Message, at: number): ReturnType<typeof problemOf> {
    const portal = message.kind === 'execute' || (message.kind === 'describe' && message.of === 'portal')
    return portal && this.#onServer ? null : problemOf(message, at)
  }

  // ---- effects and failures

  #running(label: string | undefined): Running | null {
    const message = label === undefined ? undefined : this.#labels.get(label)
    if (message?.kind !== 'execute') return null
    const [statement] = message.statement?.understood.shape.statements ?? []
    return statement === undefined ? null : { statement, parameter: (number) => message.portal?.text(number) }
  }

  #described(oids: readonly number[], label: string | undefined): void {
    const statement = label === undefined ? null : (this.#labels.get(label)?.statement ?? null)
    if (statement !== null) rememberTypes(statement, oids)
  }

  /** The server failed at a message: it and all after it never happened. */
  #undoFrom(label: string | undefined): void {
    const index = label === undefined ? Number.POSITIVE_INFINITY : Number(label)
    for (const entry of this.#undo.toReversed()) if (entry.index >= index) entry.undo()
    if (Number.isFinite(index)) this.#failed = true
  }

  /** An error of ours in the middle of a batch: what has run in it must not stand. */
  async #refuse(error: unknown): Promise<void> {
    const conversation = this.#conversation
    const request = this.#request as Request
    this.#failed = true
    const sent = this.#steps.reduce((sum, step) => sum + step.messages.length, 0)
    for (const entry of this.#undo.toReversed()) if (entry.index >= sent) entry.undo()
    const hold = this.#hold
    if (hold === null || hold.lost) {
      await conversation.refuse(request, error)
      return
    }
    request.outcome = 'refused'
    request.repeatable = false
    request.onPoisoned = () => {
      conversation.output.write(encodeErrorResponse(errorFields(error)))
    }
    hold.unnamed = null
    hold.send([encodeParse('', poison), flushFrame], [{ act: 'swallow', reply: 'parse', label: poison }])
  }

  /** Sync of a batch that no server saw. */
  #endLocal(): void {
    this.#conversation.endLocal(this.#failed)
    this.#conversation.ready()
  }
}

/** The frames of a step for one connection, and what the ledger expects for them. */
class Sending {
  readonly frames: Uint8Array[] = []
  readonly expects: Expect[] = []
  readonly #hold: Hold

  constructor(hold: Hold) {
    this.#hold = hold
  }

  put(frames: readonly Uint8Array[], expect: Expect): void {
    this.frames.push(...frames)
    this.expects.push(expect)
  }

  add(message: Message, reply: readonly Uint8Array[] | undefined): void {
    if (reply !== undefined) {
      for (const bytes of reply) this.expects.push({ act: 'synthesize', bytes })
      return
    }
    const label = labelOf(message.index)
    switch (message.kind) {
      case 'parse':
        return this.#parse(message.statement, message.frame, label)
      case 'bind':
        return this.#bind(message.statement, message.frame, label)
      case 'describe':
        return this.#describe(message, label)
      case 'execute':
        return this.put([message.frame], { act: 'forward', reply: 'execute', label })
      case 'close':
        if (message.of === 'portal') this.put([message.frame], { act: 'forward', reply: 'close', label })
        // Ours stays on the connection for whoever prepares the same.
        else this.expects.push({ act: 'synthesize', bytes: emptyMessages.closeComplete })
    }
  }

  #parse(statement: ClientStatement, frame: Uint8Array, label: string): void {
    if (statement.name === '') {
      this.#hold.unnamed = statement
      this.put([frame], { act: 'forward', reply: 'parse', label })
    } else if (this.#hold.connection.statements.get(statement.key) !== undefined) {
      this.expects.push({ act: 'synthesize', bytes: emptyMessages.parseComplete })
    } else this.#prepare(statement, 'forward', label)
  }

  /** Parses the statement under a name of ours; what the connection forgets for it is closed. */
  #prepare(statement: ClientStatement, act: 'forward' | 'swallow', label: string): string {
    const { name, close } = this.#hold.connection.statements.add(statement.key)
    for (const old of close) this.put([encodeClose({ of: 'statement', name: old })], { act: 'swallow', reply: 'close', closes: old })
    this.put([renameParse(statement.frame, name)], { act, reply: 'parse', prepares: statement.key, label })
    return name
  }

  /** The name under which the server knows the statement now. */
  #known(statement: ClientStatement, label: string): string {
    if (statement.name !== '') return this.#hold.connection.statements.get(statement.key) ?? this.#prepare(statement, 'swallow', label)
    if (this.#hold.unnamed !== statement) {
      this.#hold.unnamed = statement
      this.put([statement.frame], { act: 'swallow', reply: 'parse', label })
    }
    return ''
  }

  #bind(statement: ClientStatement | null, frame: Uint8Array, label: string): void {
    const name = statement === null ? '' : this.#known(statement, label)
    this.put(name === '' ? [frame] : renameBind(frame, name), { act: 'forward', reply: 'bind', label })
  }

  #describe(message: Extract<Message, { kind: 'describe' }>, label: string): void {
    if (message.of === 'portal') return this.put([message.frame], { act: 'forward', reply: 'describe-portal', label })
    const name = message.statement === null ? '' : this.#known(message.statement, label)
    this.put([encodeDescribe({ of: 'statement', name })], { act: 'forward', reply: 'describe-statement', label })
  }
}

function tokenAsked(message: Message): boolean {
  return message.kind === 'execute' && message.statement !== null && asksToken(message.statement.understood)
}

const labels: readonly string[] = Array.from({ length: 64 }, (_, index) => String(index))

function labelOf(index: number): string {
  return labels[index] ?? String(index)
}

/** What PostgreSQL would raise for a message by itself, and at which of them it stands. */
function problemOf(message: Message, at: number): { readonly at: number; readonly error: PointsmanError } | null {
  const error = errorOf(message)
  return error === null ? null : { at, error }
}

function errorOf(message: Message): PointsmanError | null {
  switch (message.kind) {
    case 'parse':
      return message.duplicate ? new PointsmanError('duplicate_prepared_statement', { values: { name: message.statement.name } }) : null
    case 'bind':
      return message.statement === null ? unknownStatement(message.name) : null
    case 'describe':
      if (message.of === 'portal') return message.portal === null ? unknownPortal(message.name) : null
      return message.statement === null ? unknownStatement(message.name) : null
    case 'execute':
      return message.portal === null ? unknownPortal(message.name) : null
    case 'close':
      return null
  }
}

function unknownStatement(name: string): PointsmanError {
  return new PointsmanError('undefined_prepared_statement', { values: { name } })
}

function unknownPortal(name: string): PointsmanError {
  return new PointsmanError('undefined_portal', { values: { name } })
}

function plannedExecute(message: Message): Planned {
  const { statement, portal } = message as Extract<Message, { kind: 'execute' }>
  return { understood: (statement as ClientStatement).understood, parameters: (portal as Portal).parameters }
}

function plannedDescription(statement: ClientStatement, message: Message): Planned {
  const portal = message.kind === 'bind' || message.kind === 'describe' ? message.portal : null
  return { understood: statement.understood, parameters: portal?.parameters ?? unknownParameters }
}

/** A description changes nothing, wherever it is asked for. */
function describing(plan: OnePlan): OnePlan {
  return {
    ...plan,
    writes: false,
    taints: null,
    pins: null,
    unpins: null,
    readsData: false,
    changesCatalog: false,
    keptOn: null,
    changes: [],
  }
}

function localReply(message: Message, plan: AnswerPlan): readonly Uint8Array[] {
  switch (message.kind) {
    case 'parse':
      return [emptyMessages.parseComplete]
    case 'bind':
      return [emptyMessages.bindComplete]
    case 'describe': {
      const columns = describeFrames(columnsOf(plan))
      return message.of === 'portal' ? [columns] : [encodeParameterDescription(message.statement?.types ?? []), columns]
    }
    case 'close':
      return [emptyMessages.closeComplete]
    case 'execute':
      return []
  }
}

function fits(hold: Hold, plan: OnePlan): boolean {
  return hold.cluster === plan.cluster && (plan.role === 'replica' || hold.route.role === 'primary')
}

/** Both in one: what either of them is. */
function joined(before: OnePlan, next: OnePlan): OnePlan {
  return {
    ...next,
    role: before.role === 'primary' ? 'primary' : next.role,
    policy: policyOf([before, next]),
    writes: before.writes || next.writes,
    sticky: stickyOf([before, next]),
    taints: before.taints ?? next.taints,
    pins: next.pins ?? before.pins,
    unpins: next.unpins ?? before.unpins,
    settings: [...before.settings, ...next.settings],
    readsData: before.readsData || next.readsData,
    changesCatalog: before.changesCatalog || next.changesCatalog,
    keptOn: null,
    changes: changesOf([before, next]),
  }
}

function elsewhere(hold: Hold, plan: OnePlan): PointsmanError {
  return new PointsmanError('feature_not_supported', {
    values: {
      what: `the batch has begun on the ${hold.route.role} of cluster ${hold.cluster}, and this statement belongs on the ${plan.role} of cluster ${plan.cluster}`,
    },
    hint: 'Send Sync between statements that belong to different servers.',
  })
}

function committing(message: Message): boolean {
  return message.kind === 'execute' && message.statement !== null && mayCommit(message.statement.understood)
}
