// doors/proxy/batch.ts — the extended protocol: messages are collected up to Sync or Flush, planned together (step-planner.ts)
// and sent to one server under names of ours (sending.ts).
import { PointsmanError } from '../../errors/error.js'
import { emptyMessages, encodeCommandComplete } from '../../protocol/backend-messages.js'
import { encodeErrorResponse } from '../../protocol/error-fields.js'
import { Frontend } from '../../protocol/message-types.js'
import { decodeBindHead, encodeFlush, encodeParse, encodeSync } from '../../protocol/extended.js'
import { asWrite } from '../../execute/again.js'
import type { BroadcastPlan, OnePlan, ScatterPlan } from '../../routing/plan.js'
import type { ExpectReply } from '../../server/contract.js'
import { mayCommit } from '../../session/commits.js'
import { isJoint, poison, readyByte } from '../../session/transaction.js'
import { BatchLane, type BatchOnLane } from './batch-lane.js'
import { BatchMessages } from './batch-messages.js'
import { BatchState, type Step } from './batch-state.js'
import { cachedBatch } from './cached-batch.js'
import { fromCache } from './cached-read.js'
import type { Conversation } from './conversation.js'
import { answerMessage, closeCursors, closesAll, executePortal, ofCursors, openCursor } from './cursor-commands.js'
import { errorFields } from './error-reply.js'
import { isRoutingChange } from './generations.js'
import type { End, Hold } from './hold.js'
import { elsewhere, fits, joined } from './join-plans.js'
import { errorOf } from './message-problems.js'
import { KnownColumns } from './known-columns.js'
import { MessageReader, type Message } from './messages.js'
import { parked, type Parked } from './parked.js'
import type { Request } from './request.js'
import { unsureOf } from './row-shapes.js'
import { runBroadcast, type BroadcastFrames, type BroadcastWork } from './broadcast.js'
import { partedWork } from './parted-work.js'
import { runScatter } from './scatter.js'
import { askAgain, boundBeforeWrites, scatterAsk, type BatchAsk } from './scatter-batch.js'
import { labelOf, Sending } from './sending.js'
import { StepPlanner } from './step-planner.js'
import { asksToken, tokenSampled } from './tokens.js'

/** A batch longer than this is sent in steps, as if the client had flushed. */
const stepBytes = 1024 * 1024
/** What was sent is kept up to this, so that a read can be sent again elsewhere. */
const repeatBytes = 4 * 1024 * 1024

const flushFrame = encodeFlush()
const syncFrame = encodeSync()

export class Batch implements BatchOnLane {
  readonly #conversation: Conversation
  readonly #reader: MessageReader
  readonly #at = new BatchState()
  readonly #planner: StepPlanner
  readonly #lane: BatchLane
  #fresh: Message[] = []
  #freshBytes = 0
  #count = 0
  /** So many of its messages have been answered here or sent. */
  #handled = 0
  readonly #messages: BatchMessages
  readonly #columns: KnownColumns
  /** Until Sync everything is skipped: something failed here. */
  #failed = false

  constructor(conversation: Conversation) {
    this.#conversation = conversation
    this.#lane = new BatchLane(this, conversation.traffic)
    this.#planner = new StepPlanner(conversation, this.#at)
    this.#messages = new BatchMessages(conversation.session)
    const send = (hold: Hold, steps: readonly Step[]): void => void this.#compileAndSend(hold, steps, null)
    this.#columns = new KnownColumns({ conversation, at: this.#at, messages: this.#messages, send })
    this.#reader = new MessageReader(conversation.session, (text) => conversation.core.understand(text), conversation.uniqueIds)
  }

  /** Messages have come whose Sync has not. */
  get open(): boolean {
    return this.#at.request !== null || this.#fresh.length > 0 || this.#failed
  }

  /** Takes Parse, Bind, Describe, Execute or Close. Throws 08P01 on a malformed one. */
  add(type: number, frame: Uint8Array): Promise<void> | null {
    if (this.#failed) return null
    const ids = type === Frontend.Bind ? this.#reader.idsAwaited(frame) : null
    if (ids !== null) return ids.then(() => this.#added(type, frame) ?? undefined)
    return this.#added(type, frame)
  }

  #added(type: number, frame: Uint8Array): Promise<void> | null {
    this.#read(type, frame)
    return this.#freshBytes > stepBytes ? this.#step() : null
  }

  #read(type: number, frame: Uint8Array): void {
    const { message, undo } = this.#reader.read(type, frame, this.#count++)
    if (type === Frontend.Bind) this.#conversation.traffic.binds += 1
    else if (type === Frontend.Parse) this.#conversation.traffic.clientParses += 1
    this.#messages.read(message, undo)
    this.#fresh.push(message)
    this.#freshBytes += frame.length
  }

  async flush(): Promise<void> {
    // Nothing to flush, and nothing begins: psycopg flushes after its Sync, and may send a simple query next.
    if (!this.open) return
    if (!this.#failed) await this.#step()
    const hold = this.#at.hold
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
    if (!this.#at.onlyDescribed) {
      const what = 'a simple query within a batch of the extended protocol that has run something is not supported'
      conversation.endWith(new PointsmanError('feature_not_supported', { values: { what }, hint: 'Send Sync first.' }))
      return false
    }
    const request = (this.#at.request ??= this.#begin())
    if (this.#at.hold === null) conversation.endLocal(false)
    else await this.#endUnseen(this.#at.hold, request)
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
    return this.#at.hold?.copying === true ? this.#at.hold : null
  }

  /** Sync: the end of the batch, whatever became of it. */
  sync(): Promise<void> | Parked | null {
    const request = this.#requested()
    const unusual =
      this.#failed ||
      this.#conversation.cursors !== null ||
      this.#at.own ||
      this.#at.hold !== null ||
      this.#conversation.ending !== null ||
      this.#fresh.some(tokenAsked) ||
      this.#controls()
    const lacks = !unusual && this.#conversation.planning.hasDirectories && this.#planner.lacks(this.#fresh)
    if (unusual || lacks || this.#fresh.some((message) => errorOf(message) !== null))
      return this.#through(request, () => this.#syncUnusual(request))
    try {
      return this.#syncUsual(request)
    } catch (error) {
      return this.#broken(request, error)
    }
  }

  /** All of the batch has come, it goes to one server, and nothing but its end is waited for. null: it was answered here. */
  #syncUsual(request: Request): Promise<void> | Parked | null {
    const messages = this.#fresh
    this.#fresh = []
    this.#freshBytes = 0
    const step = this.#route(messages, request)
    if (step.begins !== undefined) return this.#through(request, () => this.#apart(step, request, true))
    if (step.scatter !== undefined) return this.#through(request, () => this.#onSeveral(step, request, true))
    if (step.broadcast !== undefined) return this.#through(request, () => this.#onSeveral(step, request, true))
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

  #runUsual(step: Step, request: Request): Promise<void> | Parked {
    this.#enter(step)
    if (this.#takesLane(step, request)) return parked
    const hold = this.#attach(request)
    if (hold instanceof Promise) return this.#through(request, () => this.#runToSync(step, request, hold))
    if (unsureOf(step.messages, hold.connection.statements).length > 0) {
      return this.#through(request, () => this.#runToSync(step, request, hold))
    }
    return this.#sendToSync(hold, [step]).then((end) => this.#concluded(hold, request, end))
  }

  // ---- on a lane

  #takesLane({ plan, messages, replies }: Step, request: Request): boolean {
    const { lane } = this.#conversation
    if (lane === null || plan?.lane !== true || replies.size > 0) return false
    request.plan = plan
    return this.#lane.take(messages) && lane.take(this.#lane, plan, request)
  }

  get decoder(): 'utf8' | 'latin1' {
    return this.#conversation.session.decoder
  }

  laneFailed(index: number): void {
    this.#undoFrom(labelOf(index))
  }

  laneEnded(): void {
    this.#close(this.#at.request as Request)
  }

  laneAgain(writes: boolean): Promise<void> {
    const request = this.#at.request as Request
    if (writes && this.#at.plan !== null) this.#at.plan = asWrite(this.#at.plan)
    return this.#through(request, () => this.#repeat(request))
  }

  /** A whole batch that a lane had taken unread (swift-batch.ts), as `plan` says: runs on a connection of its own. */
  resume(frames: readonly Uint8Array[], request: Request, plan: OnePlan): Promise<void> {
    this.#at.request = this.#equipped(request)
    return this.#through(request, () => {
      for (const frame of frames) this.#read(frame[0] ?? 0, frame)
      const messages = this.#fresh
      this.#fresh = []
      this.#freshBytes = 0
      this.#messages.routed(messages)
      this.#enter({ messages, plan, replies: new Map(), runs: true })
      return this.#repeat(request)
    })
  }

  // ---- on a connection of its own

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
    else if (this.#at.hold !== null) await this.#finish(this.#at.hold, request)
    else await this.#endAll()
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
      if (this.#at.hold !== null) await this.#finish(this.#at.hold, request)
      else await this.#endAll()
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
    this.#at.reset()
    this.#fresh = []
    this.#freshBytes = 0
    this.#count = 0
    this.#handled = 0
    this.#failed = false
    this.#messages.reset()
  }

  /** What comes now is asked for as of now, however long ago the batch has begun. */
  #requested(): Request {
    const begun = this.#at.request
    if (begun === null) return (this.#at.request = this.#begin())
    begun.invokedAt = this.#conversation.now()
    return begun
  }

  #begin(): Request {
    return this.#equipped(this.#conversation.begin())
  }

  #equipped(request: Request): Request {
    request.running = this.#messages.running
    request.onFailed = (label) => this.#undoFrom(label)
    request.renamed = this.#messages.renamed
    request.onRows = this.#columns.described
    request.onStalePlan = () => this.#stalePlan()
    request.onDescribed = this.#messages.described
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
      const problem = messages.map((message, at) => this.#planner.problemOf(message, at)).find((found) => found !== null)
      const sound = problem === undefined ? messages : messages.slice(0, problem.at)
      if (sound.some(tokenAsked)) await this.#tokenResolved()
      await this.#planner.carriedOut(sound)
      // What came before stands as far as PostgreSQL lets it stand: what was prepared does.
      if (problem === undefined || sound.length > 0) await this.#take(sound, request, last && problem === undefined)
      if (problem !== undefined) throw problem.error
    } catch (error) {
      if (last) throw error
      await this.#refuse(error)
    }
  }

  /** The transaction is open on several clusters, and something that runs may be about all of them. */
  #controls(): boolean {
    return isJoint(this.#conversation.session.transaction) && this.#fresh.some(({ kind }) => kind === 'execute')
  }

  /** The answer may need what only a sample tells. */
  async #tokenResolved(): Promise<void> {
    await tokenSampled(this.#conversation)
    this.#conversation.requirePresent()
  }

  async #take(messages: readonly Message[], request: Request, last: boolean): Promise<void> {
    if (this.#conversation.cursors !== null && (await this.#ofCursors(messages, request, last))) return
    const step = this.#route(messages, request)
    if (this.#at.own && step.runs)
      throw new PointsmanError('feature_not_supported', {
        values: { what: 'a statement beside a portal over several clusters that is open before one Sync' },
        hint: 'BEGIN a transaction first.',
      })
    if (step.begins !== undefined) return this.#apart(step, request, last)
    if (step.scatter !== undefined || step.broadcast !== undefined) return this.#onSeveral(step, request, last)
    if (step.plan === null && this.#at.hold === null) {
      this.#answerHere(step, last && !this.#at.own)
      if (last && this.#at.own) await this.#endAll()
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

  /** What a PAUSE held back while tables moved elsewhere is planned again: nothing of it was sent. */
  async #onSeveral(step: Step, request: Request, last: boolean): Promise<void> {
    try {
      await (step.scatter === undefined ? this.#broadcast(step, request, last) : this.#scatter(step, request, last))
    } catch (error) {
      if (!isRoutingChange(error)) throw error
      askAgain(step.messages)
      await this.#planner.carriedOut(step.messages)
      await this.#take(step.messages, request, last)
    }
  }

  /** A read on several clusters: what the batch has only described elsewhere ends unseen. */
  async #scatter({ messages, scatter }: Step, request: Request, last: boolean): Promise<void> {
    const conversation = this.#conversation
    const plan = scatter as ScatterPlan
    const asked = scatterAsk(messages, conversation.session.decoder)
    if (asked.portal.bound && conversation.hasWritten) throw boundBeforeWrites()
    const hold = this.#at.hold
    if (hold !== null && !this.#planner.endable(hold)) throw elsewhere(hold, null)
    if (hold !== null) await this.#endUnseen(hold, request)
    if (!this.#failed) {
      const onBegun = (): void => void (this.#handled += messages.length)
      if (plan.cursor !== undefined) await this.#declare(plan, plan.cursor, asked, request)
      else if (asked.maxRows > 0 || this.#stays(asked)) await this.#openPortal(plan, asked, request, onBegun)
      else await runScatter(conversation, request, plan, { ...asked.ask, onBegun })
      for (const message of messages)
        if (message.kind === 'close' && message.of === 'portal') await closeCursors(conversation, request, message.name)
      for (const frame of asked.after) conversation.output.write(frame)
    }
    if (last) await this.#endAll()
  }

  // ---- cursors over several clusters

  async #declare(plan: ScatterPlan, name: string, { ask }: BatchAsk, request: Request): Promise<void> {
    const conversation = this.#conversation
    const cursor = await openCursor(conversation, request, plan, ask, { name, closes: false })
    for (const each of ask.before) {
      const [parameters] = each === 'statement' ? cursor.described('statement') : []
      const frames = each === 'statement' ? [parameters ?? emptyMessages.noData, emptyMessages.noData] : [emptyMessages.noData]
      for (const frame of typeof each === 'string' ? frames : [each]) conversation.output.write(frame)
    }
    conversation.output.write(encodeCommandComplete('DECLARE CURSOR'))
  }

  /** A portal with a name is there until its transaction ends, though it has run. */
  #stays({ portal }: BatchAsk): boolean {
    return portal.name !== '' && this.#conversation.session.transaction.kind !== 'idle'
  }

  /** Outside of a transaction it is open until Sync. */
  async #openPortal(plan: ScatterPlan, { ask, portal, maxRows }: BatchAsk, request: Request, onBegun: () => void): Promise<void> {
    const conversation = this.#conversation
    if (conversation.session.transaction.kind === 'idle') {
      this.#at.own = true
      conversation.beginReading()
    }
    const cursor = await openCursor(conversation, request, plan, ask, { name: portal.name, closes: portal.bound })
    onBegun()
    for (const each of ask.before)
      for (const frame of typeof each === 'string' ? cursor.described(each) : [each]) conversation.output.write(frame)
    await executePortal(conversation, request, cursor, maxRows)
  }

  /** True: the messages are answered, or have been handed on. */
  async #ofCursors(messages: readonly Message[], request: Request, last: boolean): Promise<boolean> {
    const conversation = this.#conversation
    const { decoder } = conversation.session
    if (readyByte(conversation.session.transaction) !== 'E' && messages.some(closesAll)) {
      await closeCursors(conversation, request, null)
      conversation.cursors = null
      return false
    }
    const { cursors } = conversation
    if (cursors === null) return false
    const found = ofCursors(cursors, messages, decoder)
    if (found === null) return false
    const { from, to } = found
    if (from > 0) await this.#take(messages.slice(0, from), request, false)
    const hold = this.#at.hold
    if (hold !== null && !this.#planner.endable(hold)) throw elsewhere(hold, null)
    if (hold !== null) await this.#endUnseen(hold, request)
    for (const message of messages.slice(from, to)) {
      if (this.#failed) break
      await answerMessage(conversation, request, message)
      this.#handled += 1
    }
    if (to < messages.length && !this.#failed) await this.#take(messages.slice(to), request, last)
    else if (last) await this.#endAll()
    return true
  }

  async #apart({ messages, begins }: Step, request: Request, last: boolean): Promise<void> {
    const cut = (begins ?? 0) + 1
    await this.#take(messages.slice(0, cut), request, false)
    await this.#take(messages.slice(cut), request, last)
  }

  /** The end of a batch that no server waits for, with the transaction that was ours. */
  async #endAll(): Promise<void> {
    if (this.#at.own) await this.#conversation.endReading()
    this.#at.own = false
    this.#endLocal()
  }

  /** A write on several clusters: each is sent the messages as one batch, with a Sync of ours. */
  async #broadcast({ messages, broadcast }: Step, request: Request, last: boolean): Promise<void> {
    const conversation = this.#conversation
    const plan = broadcast as BroadcastPlan
    requireAlone(messages)
    const parted = plan.insert ?? plan.move
    const { ask, after } =
      parted === undefined
        ? { ask: null, after: [] }
        : scatterAsk(messages, conversation.session.decoder, { what: 'a write', limits: !parted.returning, earlier: false })
    const hold = this.#at.hold
    if (hold !== null && !this.#planner.movable(hold)) throw elsewhere(hold, null)
    if (hold !== null) await this.#endUnseen(hold, request)
    if (!this.#failed) {
      const same: BroadcastWork = { frames: (on) => this.#everyTime(on, messages) }
      await runBroadcast(conversation, request, plan, partedWork(plan, ask) ?? same)
      for (const frame of after) conversation.output.write(frame)
      this.#handled += messages.length
    }
    if (last) this.#endLocal()
  }

  #everyTime(hold: Hold, messages: readonly Message[]): BroadcastFrames {
    const sending = new Sending(hold, this.#conversation.session)
    for (const message of messages) {
      sending.add(message, undefined)
      // The client may not ask; what several give must be compared.
      if (message.kind === 'bind') sending.describe(decodeBindHead(message.frame, this.decoder)?.portal ?? '', labelOf(message.index))
    }
    const end: ExpectReply = { act: 'swallow', reply: 'sync' }
    sending.put([syncFrame], end)
    return { frames: sending.frames, expects: sending.expects, last: end }
  }

  #answerHere({ messages, replies }: Step, last: boolean): void {
    this.#handled += messages.length
    for (const message of messages) for (const frame of replies.get(message) ?? []) this.#conversation.output.write(frame)
    if (last) this.#endLocal()
  }

  #enter(step: Step): void {
    this.#handled += step.messages.length
    this.#at.onlyDescribed &&= !step.runs
    this.#at.steps.push(step)
    for (const message of step.messages) this.#at.sentBytes += message.frame.length
    if (step.plan !== null) this.#at.plan = this.#at.plan === null ? step.plan : joined(this.#at.plan, step.plan)
  }

  /** A batch that has only asked for descriptions ends unseen where it is, and goes on where it must run. */
  async #moveIfNeeded(step: Step, request: Request): Promise<void> {
    const hold = this.#at.hold
    if (hold === null || step.plan === null) return
    if (fits(hold, step.plan) && this.#isFresh(hold, step, step.plan, request)) return
    if (!this.#planner.movable(hold)) throw elsewhere(hold, step.plan)
    await this.#endUnseen(hold, request)
  }

  /**
   * A replica was proved fresh enough for what it was taken for. What is bound later may ask for more, and may come at any time:
   * asyncpg prepares with a Flush, and runs when it likes. A portal that is open stays where it is.
   */
  #isFresh(hold: Hold, { messages }: Step, plan: OnePlan, request: Request): boolean {
    const asksAnew = hold.route.role === 'replica' && this.#planner.movable(hold) && messages.some(({ kind }) => kind === 'bind')
    return !asksAnew || this.#conversation.meets(hold, plan, request)
  }

  /** Ends what was sent so far with a Sync of ours. */
  async #endUnseen(hold: Hold, request: Request): Promise<void> {
    const expect: ExpectReply = { act: 'swallow', reply: 'sync' }
    const ended = hold.end(expect)
    hold.send([syncFrame], [expect])
    const end = await ended
    request.repeatable = false
    request.attempts = Number.POSITIVE_INFINITY
    this.#conversation.settle(hold, this.#at.plan as OnePlan, request, end)
    request.attempts = 0
    if (end.kind === 'lost') this.#failed = true
    this.#at.leaveServer()
  }

  async #sendStep(step: Step, request: Request): Promise<void> {
    const hold = await this.#orPlannedAgain(this.#attach(request), step, request, false)
    if (hold === null) return
    const left = await this.#columns.sureOf(hold, [step])
    if (!this.#compileAndSend(hold, left, null)) await hold.drained()
  }

  /** Sends the step with its Sync and waits for the end; again, from the batch's beginning, while that is allowed. */
  async #runToSync(step: Step, request: Request, attached: Hold | Promise<Hold> = this.#attach(request)): Promise<void> {
    const hold = await this.#orPlannedAgain(attached, step, request, true)
    if (hold === null) return
    const left = await this.#columns.sureOf(hold, [step])
    if (this.#ended(hold, request, await this.#sendToSync(hold, left))) await this.#repeat(request)
  }

  /** null: a PAUSE held the batch's first step back while tables moved elsewhere; it was planned again, and has run. */
  async #orPlannedAgain(attached: Hold | Promise<Hold>, { messages }: Step, request: Request, last: boolean): Promise<Hold | null> {
    try {
      return await attached
    } catch (error) {
      if (!isRoutingChange(error) || this.#at.steps.length !== 1) throw error
      this.#at.leaveServer()
      this.#handled -= messages.length
      await this.#planner.carriedOut(messages)
      await this.#take(messages, request, last)
      return null
    }
  }

  #sendToSync(hold: Hold, steps: readonly Step[]): Promise<End> {
    const expect = this.#conversation.expectEnd('sync')
    const ended = hold.end(expect)
    this.#compileAndSend(hold, steps, expect)
    return ended
  }

  /** A Sync for what was sent in earlier steps. */
  async #finish(hold: Hold, request: Request): Promise<void> {
    const expect = this.#conversation.expectEnd('sync')
    const ended = hold.end(expect)
    hold.send([syncFrame], [expect])
    if (!this.#ended(hold, request, await ended)) return
    await this.#repeat(request)
  }

  async #repeat(request: Request): Promise<void> {
    const hold = await this.#attach(request)
    const left = await this.#columns.sureOf(hold, this.#at.steps)
    if (this.#ended(hold, request, await this.#sendToSync(hold, left))) await this.#repeat(request)
  }

  /** True: to be sent again. */
  #ended(hold: Hold, request: Request, end: End): boolean {
    const plan = this.#at.plan as OnePlan
    this.#at.hold = null
    const again = this.#conversation.settle(hold, plan, request, end)
    if (this.#at.proof !== null && end.kind === 'ready' && end.error === null) this.#conversation.proved.add(this.#at.proof)
    if (again) {
      if (request.rerun === 'primary') this.#at.plan = asWrite(plan)
      if (request.rerun === 'prepare') this.#forgetPrepared(hold)
      return true
    }
    if (end.kind === 'lost' || end.withheld) this.#conversation.ready()
    return false
  }

  /** The server connection for the batch, taken at its first need. */
  #attach(request: Request): Hold | Promise<Hold> {
    const plan = this.#at.plan as OnePlan
    request.plan = plan
    if (this.#at.hold !== null) this.#conversation.requireAllowed(plan, this.#at.hold)
    const hold = this.#at.hold ?? this.#conversation.holdFor(plan, request)
    return hold instanceof Promise ? hold.then((held) => this.#attached(held, plan, request)) : this.#attached(hold, plan, request)
  }

  #attached(hold: Hold, plan: OnePlan, request: Request): Hold {
    this.#at.hold = hold
    this.#conversation.starting(hold, plan, request)
    if (this.#at.sentBytes > repeatBytes) request.repeatable = false
    request.commits = this.#at.steps.some((step) => step.messages.some(committing))
    return hold
  }

  #compileAndSend(hold: Hold, steps: readonly Step[], sync: ExpectReply | null): boolean {
    const sending = new Sending(hold, this.#conversation.session)
    for (const step of steps) for (const message of step.messages) sending.add(message, step.replies.get(message))
    if (sync !== null) {
      sending.put([syncFrame], sync)
      // What was sent earlier was flushed: its replies are waited for, one by one.
      if (this.#at.request !== null) this.#at.request.complete = this.#at.steps.length === 1 && steps[0] === this.#at.steps[0]
    }
    return hold.send(sending.frames, sending.expects)
  }

  /**
   * Who asks for the columns in this batch may get other ones. Who does not (asyncpg) would take the new rows for the old: it
   * hears PostgreSQL's error, which tells it to prepare anew, and the statement is forgotten here so that it can.
   */
  #stalePlan(): boolean {
    if (this.#at.steps.some((step) => step.messages.some((message) => message.kind === 'describe'))) return true
    if (this.#at.hold !== null) this.#forgetPrepared(this.#at.hold)
    return false
  }

  #forgetPrepared(hold: Hold): void {
    for (const step of this.#at.steps) {
      for (const { statement, naming } of step.messages) {
        if (statement !== null) hold.connection.statements.forget(statement.key)
        if (naming?.kind === 'execute' && naming.definition !== null) hold.connection.statements.forget(naming.definition.key)
      }
    }
  }

  #route(messages: readonly Message[], request: Request): Step {
    this.#messages.routed(messages)
    return this.#planner.route(messages, request)
  }

  // ---- effects and failures

  /** The server failed at a message: it and all after it never happened. */
  #undoFrom(label: string | undefined): void {
    this.#columns.failed()
    const index = label === undefined ? Number.POSITIVE_INFINITY : Number(label)
    this.#messages.takeBack(index)
    if (Number.isFinite(index)) this.#failed = true
  }

  /** An error of ours in the middle of a batch: what has run in it must not stand. */
  async #refuse(error: unknown): Promise<void> {
    const conversation = this.#conversation
    const request = this.#at.request as Request
    this.#failed = true
    this.#messages.takeBack(this.#handled)
    const hold = this.#at.hold
    if (hold === null || hold.lost) {
      await conversation.refuse(request, error)
      return
    }
    request.outcome = 'refused'
    request.repeatable = false
    request.onPoisoned = () => encodeErrorResponse(errorFields(error))
    hold.unnamed = null
    hold.send([encodeParse('', poison), flushFrame], [{ act: 'swallow', reply: 'parse', label: poison }])
  }

  /** Sync of a batch that no server saw. */
  #endLocal(): void {
    this.#conversation.endLocal(this.#failed)
    this.#conversation.ready()
  }
}

/** One statement, bound and run to its end, with whatever prepares and describes it. */
function requireAlone(messages: readonly Message[]): void {
  const executes = messages.filter((message) => message.kind === 'execute')
  const [execute] = executes
  const bind = messages.find((message) => message.kind === 'bind')
  const others = messages.some(({ kind, statement, naming }) => naming !== null || (kind !== 'close' && statement !== execute?.statement))
  if (executes.length === 1 && bind !== undefined && !others) return
  throw new PointsmanError('feature_not_supported', {
    values: {
      what: 'a write on several clusters goes by itself: Bind and Execute of one statement, together and with no others before Sync',
    },
    hint: 'Send Sync between the statements.',
  })
}

function tokenAsked(message: Message): boolean {
  return message.kind === 'execute' && message.statement !== null && asksToken(message.statement.understood)
}

function committing(message: Message): boolean {
  return message.kind === 'execute' && message.statement !== null && mayCommit(message.statement.understood)
}
