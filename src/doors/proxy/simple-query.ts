// doors/proxy/simple-query.ts — one Query message: answered here, refused, or sent as it came to one server.
import { PointsmanError } from '../../errors/error.js'
import { decodeQuery } from '../../protocol/query.js'
import { asWrite } from '../../execute/again.js'
import type { AnswerPlan, OnePlan, Plan } from '../../routing/plan.js'
import type { ExpectReply } from '../../server/contract.js'
import { mayCommit } from '../../session/commits.js'
import type { ParameterText } from '../../session/settings.js'
import type { Understood } from '../../sql/statement.js'
import { answer, answerable, describeFrames, executeFrames, type Answer } from './answer.js'
import { fromCache } from './cached-read.js'
import type { Conversation } from './conversation.js'
import type { End, Hold } from './hold.js'
import type { Request, Running } from './request.js'
import { takeTokens } from './tokens.js'

const noParameter: ParameterText = () => undefined

/** Runs one Query to its ReadyForQuery; null: it is there already. Throws or rejects with 08P01 only. */
export function runQuery(conversation: Conversation, frame: Uint8Array): Promise<void> | null {
  const text = decodeQuery(frame, conversation.session.decoder)
  const request = conversation.begin()
  try {
    if (conversation.ending !== null) {
      conversation.finish(request)
      return null
    }
    const understood = conversation.core.understand(text)
    request.shape = understood.shape.id
    // The protocol says so: a simple query destroys the unnamed statement.
    conversation.session.prepared.delete('')
    return new SimpleQuery(conversation, request, understood, frame).run()
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
class SimpleQuery {
  readonly #conversation: Conversation
  readonly #request: Request
  readonly #understood: Understood
  readonly #frame: Uint8Array

  constructor(conversation: Conversation, request: Request, understood: Understood, frame: Uint8Array) {
    this.#conversation = conversation
    this.#request = request
    this.#understood = understood
    this.#frame = frame
  }

  run(): Promise<void> | null {
    const conversation = this.#conversation
    const request = this.#request
    const plan: Plan = conversation.failedPlan() ?? conversation.plan([{ understood: this.#understood, parameters: null }])
    request.plan = plan
    switch (plan.kind) {
      case 'answer':
        return this.#answer(plan)
      case 'refuse':
        throw new PointsmanError(plan.error, { values: { what: plan.message }, hint: plan.hint })
      case 'one':
        if (plan.settings.length > 0) takeTokens(conversation, this.#understood, noParameter)
        return plan.keptOn === null ? this.#runOn(plan) : this.#cached(plan)
    }
  }

  /** From the cache, or else on a server. */
  #cached(plan: OnePlan): Promise<void> | null {
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
        await this.#runOn(plan)
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

  #runOn(plan: OnePlan): Promise<void> {
    const hold = this.#conversation.holdFor(plan, this.#request)
    return hold instanceof Promise ? this.#runLater(plan, hold) : this.#send(plan, hold).then((end) => this.#ended(plan, hold, end))
  }

  async #runLater(plan: OnePlan, held: Promise<Hold>): Promise<void> {
    try {
      const hold = await held
      return await this.#ended(plan, hold, await this.#send(plan, hold))
    } catch (error) {
      await refused(this.#conversation, this.#request, error)
    }
  }

  /** Sends the frame as it came. */
  #send(plan: OnePlan, hold: Hold): Promise<End> {
    const request = this.#request
    this.#conversation.starting(hold, plan, request)
    request.complete = true
    request.running = counted(this.#understood)
    request.commits = mayCommit(this.#understood)
    hold.unnamed = null
    const expect: ExpectReply = { act: 'forward', reply: 'query' }
    const ended = hold.end(expect)
    hold.send([this.#frame], [expect])
    return ended
  }

  /** Done, or sent again elsewhere while that is allowed. Never throws: what goes wrong is told to the client. */
  #ended(plan: OnePlan, hold: Hold, end: End): Promise<void> | undefined {
    const conversation = this.#conversation
    const request = this.#request
    try {
      if (conversation.settle(hold, plan, request, end)) {
        const next = request.rerun === 'primary' ? asWrite(plan) : plan
        request.plan = next
        return this.#runOn(next)
      }
      if (end.kind === 'lost' || end.withheld) conversation.ready()
    } catch (error) {
      return refused(conversation, request, error)
    }
    conversation.finish(request)
    return undefined
  }
}

function reply(conversation: Conversation, given: Answer): void {
  const { output } = conversation
  if (given.columns !== null) output.write(describeFrames(given.columns))
  for (const frame of executeFrames(given)) output.write(frame)
}

/** Every statement of a Query ends with one CommandComplete, in order. */
function counted(understood: Understood): () => Running | null {
  const statements = understood.shape.statements ?? []
  let index = 0
  return () => {
    const statement = statements[index++]
    return statement === undefined ? null : { statement, parameter: noParameter }
  }
}
