// doors/proxy/simple-query.ts — one Query message: answered here, refused, or sent as it came to one server.
import { PointsmanError } from '../../errors/error.js'
import { decodeQuery } from '../../protocol/query.js'
import type { OnePlan, Plan } from '../../routing/plan.js'
import type { ExpectReply } from '../../server/contract.js'
import type { ParameterText } from '../../session/settings.js'
import type { Understood } from '../../sql/statement.js'
import { answer, describeFrames, executeFrames, type Answer } from './answer.js'
import type { Conversation } from './conversation.js'
import type { Request, Running } from './request.js'

const noParameter: ParameterText = () => undefined

/** Runs one Query to its ReadyForQuery. Throws 08P01 only. */
export async function runQuery(conversation: Conversation, frame: Uint8Array): Promise<void> {
  const text = decodeQuery(frame, conversation.session.decoder)
  const request = conversation.begin()
  try {
    if (conversation.ending !== null) return
    const understood = conversation.core.understand(text)
    request.shape = understood.shape.id
    // The protocol says so: a simple query destroys the unnamed statement.
    conversation.session.prepared.delete('')
    if (await route(conversation, request, understood, frame)) conversation.ready()
  } catch (error) {
    await conversation.refuse(request, error)
    conversation.ready()
  } finally {
    conversation.finish(request)
  }
}

/** True: the client is still owed its ReadyForQuery. */
async function route(conversation: Conversation, request: Request, understood: Understood, frame: Uint8Array): Promise<boolean> {
  const plan: Plan = conversation.failedPlan() ?? conversation.plan([{ understood, parameters: null }])
  request.plan = plan
  switch (plan.kind) {
    case 'answer':
      reply(conversation, answer(conversation, plan, understood, noParameter))
      return true
    case 'refuse':
      throw new PointsmanError(plan.error, { values: { what: plan.message }, hint: plan.hint })
    case 'one':
      return send(conversation, request, plan, understood, frame)
  }
}

function reply(conversation: Conversation, given: Answer): void {
  const { output } = conversation
  if (given.columns !== null) output.write(describeFrames(given.columns))
  for (const frame of executeFrames(given)) output.write(frame)
}

/** Sends the frame as it came; again elsewhere while that is allowed. */
async function send(
  conversation: Conversation,
  request: Request,
  plan: OnePlan,
  understood: Understood,
  frame: Uint8Array,
): Promise<boolean> {
  let current = plan
  for (;;) {
    const hold = await conversation.holdFor(current, request)
    conversation.starting(hold, current, request)
    request.complete = true
    request.running = counted(understood)
    request.commits = understood.shape.statements?.some(endsTransaction) ?? true
    hold.unnamed = null
    const expect: ExpectReply = { act: 'forward', reply: 'query' }
    const ended = hold.end(expect)
    hold.send([frame], [expect])
    const end = await ended
    if (!conversation.settle(hold, current, request, end)) return end.kind === 'lost' || end.withheld
    if (request.rerun === 'primary') current = asWrite(current)
    request.plan = current
  }
}

/** A read that turned out to write: the primary, and no second try. */
export function asWrite(plan: OnePlan): OnePlan {
  const added = { rule: 'write', detail: 'a replica refused it as a write' }
  return { ...plan, role: 'primary', writes: true, why: [...plan.why, added] }
}

function endsTransaction(statement: NonNullable<Understood['shape']['statements']>[number]): boolean {
  const { detail } = statement
  return detail.kind === 'transaction' && (detail.transaction.op === 'commit' || detail.transaction.op === 'prepare-transaction')
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
