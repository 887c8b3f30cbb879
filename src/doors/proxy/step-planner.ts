// doors/proxy/step-planner.ts — where the messages of one step of a batch go: what runs is planned together; what is only
// described is described where it would run; what needs no server is answered here.
import { PointsmanError } from '../../errors/error.js'
import { emptyMessages, encodeParameterDescription } from '../../protocol/backend-messages.js'
import { copiesAlone, one } from '../../routing/make.js'
import type { AnswerPlan, OnePlan, Plan, ScatterPlan } from '../../routing/plan.js'
import type { ClientStatement, Session } from '../../session/session.js'
import { isJoint, readyByte } from '../../session/transaction.js'
import { answer, columnsOf, describeFrames, executeFrames } from './answer.js'
import type { BatchState, Step } from './batch-state.js'
import type { Conversation } from './conversation.js'
import type { Planned } from './core-contract.js'
import type { Hold } from './hold.js'
import { describing } from './join-plans.js'
import { problemOf } from './message-problems.js'
import { unknownParameters, type Message, type Portal } from './messages.js'
import { answersNaming, namingReplies, plannedNaming } from './naming-replies.js'
import { giveSignal } from './own-signal.js'
import type { Request } from './request.js'
import { clientTypes } from './prepared-ids.js'
import { takeTokens, tokenParameters } from './tokens.js'

export class StepPlanner {
  readonly #conversation: Conversation
  readonly #batch: BatchState
  /** The plan that has been carried out already. */
  #carried: AnswerPlan | null = null

  constructor(conversation: Conversation, batch: BatchState) {
    this.#conversation = conversation
    this.#batch = batch
  }

  /** Outside a transaction what only described, or has only read on a replica, can go on elsewhere: it holds no lock and nothing to take back. */
  movable(hold: Hold): boolean {
    return this.#conversation.session.transaction.kind === 'idle' && (this.#batch.onlyDescribed || hold.route.role === 'replica')
  }

  /** What was sent so far may end with a Sync of ours: it goes on elsewhere, or has only described in a transaction that stays open. */
  endable(hold: Hold): boolean {
    return this.movable(hold) || (this.#batch.onlyDescribed && this.#conversation.session.transaction.kind !== 'idle')
  }

  /** What a transaction on several clusters is told is carried out before its step is answered; for everything else nothing is done. */
  async carriedOut(messages: readonly Message[]): Promise<void> {
    this.#carried = null
    const conversation = this.#conversation
    const planned = conversation.planning.hasDirectories ? this.#runs(messages) : null
    if (planned !== null) await conversation.planning.directoriesAsked(planned, this.#view())
    if (!isJoint(conversation.session.transaction)) return
    const known = messages.filter((message) => message.kind === 'execute' && message.statement !== null && !answersNaming(message))
    const [first, ...others] = known.map(plannedExecute)
    if (first === undefined) return
    const plan = conversation.planning.plan([first, ...others], this.#view())
    if (plan.kind !== 'answer' || plan.answer.what !== 'joint') return
    await conversation.controlJoint(plan.answer)
    this.#carried = plan
  }

  /** Whether a directory must be asked first for what these messages run. */
  lacks(messages: readonly Message[]): boolean {
    const planned = this.#runs(messages)
    return planned !== null && this.#conversation.planning.lacksKeys(planned, this.#view())
  }

  #runs(messages: readonly Message[]): readonly [Planned, ...Planned[]] | null {
    const executed = messages.filter((message) => message.kind === 'execute' && message.statement !== null && !answersNaming(message))
    const [first, ...others] = executed.map(plannedExecute)
    return first === undefined ? null : [first, ...others]
  }

  /** Where the messages belong, and which of them are answered here. Throws what is to be refused. */
  route(messages: readonly Message[], request: Request): Step {
    const usual = this.#carried === null ? alone(messages) : null
    return (usual === null ? null : this.#routeAlone(usual, messages, request)) ?? this.#routeAny(messages, request)
  }

  /** One statement runs, and nothing about it is out of the ordinary, as is so with nearly all; null: it is looked at again. */
  #routeAlone({ statement, portal }: Alone, messages: readonly Message[], request: Request): Step | null {
    const conversation = this.#conversation
    const { understood } = statement
    request.shape = understood.shape.id
    request.uses = understood.shape.uses
    const failed = conversation.planning.failedPlan()
    if (failed !== null) return { messages, plan: failed, replies: none, runs: true }
    const plan = conversation.planning.plan([{ understood, parameters: portal.parameters }], this.#view())
    if (plan.kind === 'one' && plan.settings.length === 0) {
      request.plan = plan
      return { messages, plan, replies: none, runs: true }
    }
    this.#carried = plan.kind === 'answer' ? plan : null
    return null
  }

  #routeAny(messages: readonly Message[], request: Request): Step {
    const conversation = this.#conversation
    const executed = messages.filter((message) => message.kind === 'execute')
    const [shape] = executed.length > 0 ? executed : messages
    const { id, uses } = shape?.statement?.understood.shape ?? { id: request.shape, uses: request.uses }
    request.shape = id
    request.uses = uses
    const failed = conversation.planning.failedPlan()
    if (messages.some(({ naming }) => naming !== null) && readyByte(conversation.session.transaction) === 'E') {
      throw new PointsmanError('in_failed_transaction')
    }
    if (failed !== null) return { messages, plan: failed, replies: new Map(), runs: true }
    const known = executed.filter((message) => message.statement !== null && !answersNaming(message))
    const [first, ...others] = known.map(plannedExecute)
    if (first === undefined) {
      if (executed.every(answersNaming)) return this.#routeDescriptions(messages, request)
      const plan = this.#batch.hold === null ? conversation.planning.homePlan(true) : null
      return { messages, plan, replies: namingReplies(messages), runs: true }
    }
    const plan = this.#carried ?? conversation.planning.plan([first, ...others], this.#view())
    this.#carried = null
    request.plan = plan
    const begins = plan.kind === 'refuse' ? this.#beginsApart(messages, known) : null
    if (begins !== null) return { messages, plan: null, replies: none, runs: true, begins }
    if (plan.kind === 'refuse') throw new PointsmanError(plan.error, { values: { what: plan.message }, hint: plan.hint })
    if ((plan.kind === 'scatter' || plan.kind === 'broadcast') && plan.copy !== undefined) throw copiesAlone()
    if (plan.kind === 'scatter') return { messages, plan: null, replies: none, runs: true, scatter: plan }
    if (plan.kind === 'broadcast') return { messages, plan: null, replies: none, runs: true, broadcast: plan }
    if (plan.kind === 'one' && plan.settings.length > 0) for (const message of known) takeTokensOf(conversation, message)
    for (const message of known) if (message.statement?.own !== undefined) giveSignal(conversation, message)
    if (plan.kind !== 'one') return this.#answered(messages, known[0] as Message, plan)
    const runs = !known.every((message) => message.naming?.kind === 'prepare')
    // What a name stands for, and which parameters are ours, is known to this client alone: no lane learns of it.
    const on = known.some(({ naming, statement }) => naming !== null || statement?.ids !== undefined) ? { ...plan, lane: false } : plan
    return { messages, plan: runs ? on : describing(on), replies: this.#strangers(messages, plan), runs }
  }

  /** BEGIN, and with it a statement for several clusters (as JDBC sends them): the last message of the BEGIN; null: nothing like that. */
  #beginsApart(messages: readonly Message[], known: readonly Message[]): number | null {
    const { session } = this.#conversation
    const [begin, next] = known
    const [statement, another] = begin?.statement?.understood.shape.statements ?? []
    if (begin === undefined || next === undefined || statement?.detail.kind !== 'transaction' || another !== undefined) return null
    if (statement.detail.transaction.op !== 'begin' || session.transaction.kind !== 'idle' || this.#batch.hold !== null) return null
    const at = messages.indexOf(begin)
    if (messages.slice(0, at).some((message) => message.kind !== 'close' && message.statement !== begin.statement)) return null
    const { view } = session
    const open = { ...view, transaction: { ...view.transaction, status: 'open' as const } }
    const { kind } = this.#conversation.planning.plan([plannedExecute(next)], open)
    return kind === 'scatter' || kind === 'broadcast' ? at : null
  }

  /** Once the batch runs somewhere, what follows in it finds itself in that server's implicit transaction. */
  #view(): Session['view'] {
    const { view } = this.#conversation.session
    const hold = this.#batch.hold
    if (hold === null || view.transaction.home !== null || this.movable(hold)) return view
    const { cluster, node, role } = hold.route
    const { place } = hold
    const joined = this.endable(hold) ? view.transaction.joined : null
    return { ...view, transaction: { ...view.transaction, status: 'open', home: { cluster, node, role, place }, joined } }
  }

  /** The one statement that runs is answered here, or all are empty; what else is in the step goes with it. */
  #answered(messages: readonly Message[], execute: Message, plan: AnswerPlan): Step {
    const { statement, portal } = execute as Extract<Message, { kind: 'execute' }>
    const replies = namingReplies(messages)
    // Of several that run none but empty ones are answered.
    const empty = plan.answer.what === 'empty'
    for (const message of messages) {
      if (message === execute || (empty && message.kind === 'execute' && !answersNaming(message))) {
        const given = answer(this.#conversation, plan, (statement as ClientStatement).understood, (number) => portal?.text(number))
        replies.set(message, executeFrames(given))
      } else if (message.statement === statement || message.statement === null) replies.set(message, localReply(message, plan))
    }
    const rest = messages.filter((message) => !replies.has(message))
    const described = rest.length === 0 ? null : this.#routeDescriptions(rest, this.#batch.request as Request)
    for (const [message, frames] of described?.replies ?? []) replies.set(message, frames)
    return { messages, plan: described?.plan ?? null, replies, runs: false }
  }

  /** Nothing runs: each statement is described where it would run. */
  #routeDescriptions(messages: readonly Message[], request: Request): Step {
    const replies = namingReplies(messages)
    let plan: OnePlan | null = null
    const plans = new Map<ClientStatement, Plan>()
    for (const message of messages) {
      if (replies.has(message)) continue
      if (message.statement === null) {
        if (!this.#needsServer(message)) replies.set(message, [emptyMessages.closeComplete])
        else if (this.#batch.hold === null) plan ??= this.#conversation.planning.homePlan(false)
        continue
      }
      const planned =
        plans.get(message.statement) ?? this.#conversation.planning.plan([plannedDescription(message.statement, message)], this.#view())
      plans.set(message.statement, planned)
      if (planned.kind === 'refuse') throw new PointsmanError(planned.error, { values: { what: planned.message }, hint: planned.hint })
      if (planned.kind !== 'answer' && 'copy' in planned) throw copiesAlone()
      if (planned.kind === 'answer') replies.set(message, localReply(message, planned))
      else
        plan ??= describing(
          planned.kind === 'scatter'
            ? onFirst(planned, this.#conversation.home?.cluster)
            : planned.kind === 'broadcast'
              ? (planned.parts[0] as OnePlan)
              : planned,
        )
    }
    if (plan !== null && this.#accepted(messages, plan.cluster, replies)) plan = null
    request.plan ??= plan
    if (plan !== null) for (const [message, frames] of this.#strangers(messages, plan)) replies.set(message, frames)
    return { messages, plan, replies, runs: false }
  }

  /** What is left for a server is to accept statements that it has accepted before: that is answered here. */
  #accepted(messages: readonly Message[], cluster: string, replies: Map<Message, readonly Uint8Array[]>): boolean {
    if (this.#batch.hold !== null) return false
    const left = messages.filter((message) => !replies.has(message))
    if (!left.every((message) => message.kind === 'parse' && message.statement.name !== '' && message.naming === null)) return false
    const proofs = left.map((message) => this.#conversation.planning.proofOf(cluster, message.statement as ClientStatement))
    const { proved } = this.#conversation
    if (!proofs.every((proof) => proof !== null && proved.has(proof))) {
      // One at a time: of several the server may have accepted some, and some may belong elsewhere.
      if (proofs.length === 1) this.#batch.proof = proofs[0] ?? null
      return false
    }
    for (const message of left) replies.set(message, [emptyMessages.parseComplete])
    return true
  }

  /** A portal can be closed or described only where it is open. */
  #needsServer(message: Message): boolean {
    return (message.kind === 'close' || message.kind === 'describe') && message.of === 'portal' && this.#onServer
  }

  /** Portals may be open, in the batch at hand, in the open transaction or WITH HOLD; DECLARE makes such as no Bind has named. */
  get #onServer(): boolean {
    return this.#batch.hold !== null || this.#conversation.home !== null || this.#conversation.session.pins.size > 0
  }

  /** A Parse that is not used in its step, of a statement that belongs elsewhere, is left until it is. */
  #strangers(messages: readonly Message[], plan: OnePlan): Map<Message, readonly Uint8Array[]> {
    const replies = namingReplies(messages)
    const parses = messages.filter((message) => message.kind === 'parse').filter((message) => !replies.has(message))
    if (parses.length < 2) return replies
    for (const message of parses) {
      const used = messages.some((other) => other !== message && other.statement === message.statement)
      if (used || message.statement.name === '') continue
      const planned = this.#conversation.planning.plan([plannedDescription(message.statement, message)], this.#view())
      if (planned.kind !== 'one' || planned.cluster !== plan.cluster) replies.set(message, [emptyMessages.parseComplete])
    }
    return replies
  }

  /** What PostgreSQL would raise for the message by itself; a portal that we have not seen bound may be open on the server. */
  problemOf(message: Message, at: number): ReturnType<typeof problemOf> {
    const portal = message.kind === 'execute' || (message.kind === 'describe' && message.of === 'portal')
    return portal && this.#onServer ? null : problemOf(message, at)
  }
}

const none: ReadonlyMap<Message, readonly Uint8Array[]> = new Map()

/** Any of its servers can say what the statement as it was sent gives; that of the open transaction rather than another. */
function onFirst({ parts, role, policy, owner, tables, why }: ScatterPlan, home: string | undefined): OnePlan {
  const cluster = (parts.find((part) => part.cluster === home) ?? parts[0])?.cluster ?? ''
  return one({ cluster, role, policy, owner, tables, why, provisional: true })
}

interface Alone {
  readonly statement: ClientStatement
  readonly portal: Portal
}

/** The one that runs, of messages of which no other looks at names, tokens or statements that are not used; null: there is more to it. */
function alone(messages: readonly Message[]): Alone | null {
  let found: Alone | null = null
  let parses = 0
  for (const message of messages) {
    if (message.naming !== null) return null
    if (message.kind === 'parse') parses += 1
    if (message.kind !== 'execute') continue
    const { statement, portal } = message
    if (found !== null || statement === null || portal === null || statement.own !== undefined || statement.ids !== undefined) return null
    found = { statement, portal }
  }
  return parses < 2 ? found : null
}

function plannedExecute(message: Message): Planned {
  const { statement, portal, naming } = message as Extract<Message, { kind: 'execute' }>
  const { understood } = statement as ClientStatement
  return plannedNaming(understood, naming) ?? { understood, parameters: (portal as Portal).parameters }
}

function plannedDescription(statement: ClientStatement, message: Message): Planned {
  const named = plannedNaming(statement.understood, message.naming)
  if (named !== null) return named
  const portal = message.kind === 'bind' || message.kind === 'describe' ? message.portal : null
  return { understood: statement.understood, parameters: portal?.parameters ?? unknownParameters }
}

/** What is asked for may bring tokens. */
function takeTokensOf(conversation: Conversation, message: Message): void {
  const { statement, portal, naming } = message as Extract<Message, { kind: 'execute' }>
  if (statement === null) return
  if (naming === null) return takeTokens(conversation, statement.understood, tokenParameters(portal))
  const planned = plannedNaming(statement.understood, naming)
  if (planned !== null && naming.kind === 'execute') takeTokens(conversation, planned.understood, planned.text)
}

function localReply(message: Message, plan: AnswerPlan): readonly Uint8Array[] {
  switch (message.kind) {
    case 'parse':
      return [emptyMessages.parseComplete]
    case 'bind':
      return [emptyMessages.bindComplete]
    case 'describe': {
      const columns = describeFrames(columnsOf(plan))
      return message.of === 'portal'
        ? [columns]
        : [encodeParameterDescription(message.statement === null ? [] : clientTypes(message.statement)), columns]
    }
    case 'close':
      return [emptyMessages.closeComplete]
    case 'execute':
      return []
  }
}
