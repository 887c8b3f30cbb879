// doors/proxy/broadcast.ts — a write on several clusters (routing/broadcast.ts): the client's own frames go to one after the other within one
// transaction of all of them, their replies are kept here, and one reply is made of them when the transaction stands.
//
//   BEGIN (ours, unless one is open) ─ part ─ part ─ … ─ COMMIT of all (joint.ts) ─ one reply
//                                        └─ an error: ROLLBACK of all (ours), or the open transaction fails everywhere
import { PointsmanError } from '../../errors/error.js'
import { formsOf, requireAlike, summed, type PartAnswer } from '../../execute/broadcast-answer.js'
import { decodeCommandComplete, encodeCommandComplete } from '../../protocol/backend-messages.js'
import { Backend } from '../../protocol/message-types.js'
import { FrameReader } from '../../protocol/frame-reader.js'
import { describedColumns } from '../../protocol/rows.js'
import { alikeColumns } from '../../protocol/same-columns.js'
import type { BroadcastPlan, OnePlan } from '../../routing/plan.js'
import type { Expect, ExpectReply } from '../../server/contract.js'
import { ServerError } from '../../server/server-error.js'
import type { Conversation } from './conversation.js'
import type { Diversion } from './diversion.js'
import type { Hold } from './hold.js'
import type { Request } from './request.js'

/** The client's frames for one connection; `last`: what ends them. */
export interface BroadcastFrames {
  readonly frames: readonly Uint8Array[]
  readonly expects: readonly Expect[]
  readonly last: ExpectReply
}

/** What the client asks for, as it goes to several. */
export interface BroadcastWork {
  /** For one connection. `part`: of which of the plan's parts. */
  frames(hold: Hold, part: number): BroadcastFrames
  /** What a part is asked before its frames; null: nothing. */
  question?(part: number): BroadcastFrames | null
  /** What came before the rows of the first of them, or to its question; of another one, what came to the question. */
  described?(part: number, descriptions: readonly Uint8Array[], parameters: readonly number[]): void
  /** What the client is told before the rows. Absent: what the first of them has told. */
  before?(first: Answered): readonly Uint8Array[]
  /** The rows of all, in their order. Absent: one after the other. */
  rows?(answers: readonly Answered[]): readonly Uint8Array[]
  /** The next part has answered. */
  answered?(answer: Answered): void
  /** There is nothing for this part to do. */
  skips?(part: number): boolean
  /** All that the client is told. Absent: one answer made of them all. */
  reply?(): readonly Uint8Array[]
}

/** What one cluster has answered. */
export interface Answered extends PartAnswer<Uint8Array> {
  /** ParseComplete, BindComplete, ParameterDescription, RowDescription or NoData, notices. */
  readonly before: readonly Uint8Array[]
  readonly columns: Uint8Array | null
  /** What the server has said of the rows as they come; null: nothing. */
  readonly form: Uint8Array | null
  /** Of all that ran there; the last one's is `tag`. */
  readonly tags: readonly string[]
  readonly after: readonly Uint8Array[]
}

/**
 * Runs it to its end and tells the client all but ReadyForQuery. Rejects with what it is to be told instead; nothing stands then.
 */
export async function runBroadcast(conversation: Conversation, request: Request, plan: BroadcastPlan, work: BroadcastWork): Promise<void> {
  const { session } = conversation
  const own = session.transaction.kind === 'idle'
  if (own) conversation.joint.beginOwn()
  let reply: readonly Uint8Array[] = []
  try {
    reply = await everywhere(conversation, request, plan, work, own)
    if (own) await conversation.joint.end('commit')
  } catch (error) {
    if (own) await conversation.joint.takeBack()
    throw error
  }
  for (const frame of reply) conversation.output.write(frame)
}

async function everywhere(
  conversation: Conversation,
  request: Request,
  plan: BroadcastPlan,
  work: BroadcastWork,
  own: boolean,
): Promise<readonly Uint8Array[]> {
  const limit = conversation.generation.config.limits.mergeMemoryBytes
  const answers: Answered[] = []
  let bytes = 0
  for (const [index, part] of plan.parts.entries()) {
    if (work.skips?.(index) === true) continue
    const hold = await conversation.holdFor(part, request)
    const exchange = async (frames: BroadcastFrames): Promise<Kept> => {
      conversation.starting(hold, part, request)
      request.repeatable = false
      request.complete = false
      hold.unnamed = null
      return exchanged(conversation, request, { hold, part, own, frames, kept: new Kept(limit - bytes) })
    }
    const question = work.question?.(index) ?? null
    const asked = question === null ? null : await exchange(question)
    if (asked !== null) work.described?.(index, asked.descriptions, asked.parameters)
    const kept = await exchange(work.frames(hold, index))
    if (index === 0 && asked === null) work.described?.(0, kept.descriptions, kept.parameters)
    bytes += kept.size
    if (kept.full) throw new PointsmanError('merge_memory', { values: { limit, what: 'what is returned' } })
    const answer = read(part.cluster, kept, formsOf(hold.connection.parameters))
    answers.push(answer)
    work.answered?.(answer)
  }
  return work.reply?.() ?? together(plan, work, answers)
}

interface Group {
  readonly hold: Hold
  readonly part: OnePlan
  readonly own: boolean
  readonly frames: BroadcastFrames
  readonly kept: Kept
}

/** One group of frames to its end. Rejects where it fails. */
async function exchanged(conversation: Conversation, request: Request, { hold, part, own, frames, kept }: Group): Promise<Kept> {
  hold.diversion = kept
  const ended = hold.end(frames.last)
  hold.send(frames.frames, frames.expects)
  const end = await ended
  hold.diversion = null
  // An open transaction ends with its connection, and its client; ours is simply taken back.
  if (end.kind === 'lost' && own) conversation.settlePart(hold, part, request, end)
  else conversation.settle(hold, part, request, end)
  if (end.kind === 'lost') throw new PointsmanError('connection_lost', { values: { node: hold.route.node, cluster: part.cluster } })
  if (end.error !== null) throw new ServerError(end.error)
  return kept
}

/** Holds the reply of one connection. */
class Kept implements Diversion {
  readonly chunks: Uint8Array[] = []
  /** In the order in which they were asked for. */
  readonly descriptions: Uint8Array[] = []
  /** Of the portal: with the formats that were asked for. */
  portal: Uint8Array | null = null
  parameters: readonly number[] = []
  readonly #limit: number
  size = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get full(): boolean {
    return this.size > this.#limit
  }

  bytes(chunk: Uint8Array): boolean {
    this.size += chunk.length
    // More is not needed: it is refused when it has ended.
    if (!this.full) this.chunks.push(chunk)
    return true
  }

  failed(): void {
    return undefined
  }

  rowsDescribed(frame: Uint8Array, { reply }: ExpectReply): void {
    const description = Uint8Array.from(frame)
    this.descriptions.push(description)
    if (reply === 'describe-portal') this.portal = description
  }

  parametersDescribed(oids: readonly number[]): void {
    this.parameters = oids
  }
}

export function framesOf(chunks: readonly Uint8Array[]): readonly Uint8Array[] {
  const frames: Uint8Array[] = []
  const reader = new FrameReader({
    collect: (_, length) => length,
    frame: (_, chunk, start, end) => void frames.push(chunk.subarray(start, end)),
    part: () => undefined,
  })
  for (const chunk of chunks) reader.push(chunk)
  return frames
}

function read(cluster: string, { chunks, portal }: Kept, forms: string): Answered {
  const before: Uint8Array[] = []
  const rows: Uint8Array[] = []
  const after: Uint8Array[] = []
  let columns: Uint8Array | null = null
  const tags: string[] = []
  for (const frame of framesOf(chunks)) {
    if (frame[0] === Backend.ReadyForQuery) continue
    if (frame[0] === Backend.DataRow) rows.push(frame)
    else if (frame[0] === Backend.CommandComplete) tags.push(decodeCommandComplete(frame))
    else if (tags.length > 0) after.push(frame)
    else {
      if (frame[0] === Backend.RowDescription) columns = frame
      before.push(frame)
    }
  }
  return { cluster, before, columns, form: portal ?? columns, rows, tag: tags.at(-1) ?? '', tags, after, forms }
}

// ---- one reply of several

function together(plan: BroadcastPlan, work: BroadcastWork, answers: readonly Answered[]): readonly Uint8Array[] {
  const [first] = answers
  if (first === undefined) throw new Error('a write on several clusters has no parts')
  requireAlike<Uint8Array, Answered>(plan, answers, { sameColumns: alike, textOf: (row) => Buffer.from(row).toString('latin1') })
  const { combine } = plan
  const rows = combine === 'same' ? first.rows : (work.rows?.(answers) ?? answers.flatMap((answer) => answer.rows))
  return [...(work.before?.(first) ?? first.before), ...rows, encodeCommandComplete(summed(answers, combine)), ...first.after]
}

function alike(left: Answered, right: Answered): boolean {
  return alikeColumns(columnsOf(left), columnsOf(right))
}

function columnsOf({ form }: Answered): ReturnType<typeof describedColumns> {
  return form === null ? [] : describedColumns(form)
}
