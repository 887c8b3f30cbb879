// doors/proxy/simple-reply.ts — what is answered here, as a Query's reply.
import { describeFrames, executeFrames, type Answer } from './answer.js'
import type { Conversation } from './conversation.js'

/** All but its ReadyForQuery. */
export function reply(conversation: Conversation, given: Answer): void {
  const { output } = conversation
  if (given.columns !== null) output.write(describeFrames(given.columns))
  for (const frame of executeFrames(given)) output.write(frame)
}
