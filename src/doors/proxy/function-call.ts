// doors/proxy/function-call.ts — FunctionCall, the protocol's old fast path (large objects use it). Which function an oid
// names is not looked up: it counts as a write, and the connection is scrubbed afterwards.
import { one } from '../../routing/make.js'
import { why } from '../../routing/rules.js'
import type { OnePlan } from '../../routing/plan.js'
import type { ExpectReply } from '../../server/contract.js'
import { databaseOf } from './login.js'
import type { Conversation } from './conversation.js'

/** Runs one FunctionCall to its ReadyForQuery. */
export async function runFunctionCall(conversation: Conversation, frame: Uint8Array): Promise<void> {
  const request = conversation.begin()
  try {
    if (conversation.ending !== null) return
    const plan = conversation.planning.failedPlan() ?? planOf(conversation)
    request.plan = plan
    const hold = await conversation.holdFor(plan, request)
    conversation.starting(hold, plan, request)
    const expect: ExpectReply = { act: 'forward', reply: 'function-call' }
    const ended = hold.end(expect)
    hold.send([frame], [expect])
    const end = await ended
    // A write is sent again only if nothing of it was written; the client may do that as well.
    if (conversation.settle(hold, plan, request, end)) throw new Error('a function call lost its connection before it was sent')
    if (end.kind === 'lost' || end.withheld) conversation.ready()
  } catch (error) {
    await conversation.refuse(request, error)
    conversation.ready()
  } finally {
    conversation.finish(request)
  }
}

function planOf(conversation: Conversation): OnePlan {
  const { home } = conversation.session.view.transaction
  const cluster = home?.cluster ?? databaseOf(conversation.generation.config, conversation.session.database)?.default ?? ''
  const role = home?.role ?? 'primary'
  const said = why('not-understood', 'a function call of the old fast path')
  return one({ cluster, role, writes: role === 'primary', readsData: true, taints: 'function call', why: [said] })
}
