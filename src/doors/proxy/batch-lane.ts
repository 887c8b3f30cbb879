// doors/proxy/batch-lane.ts — a batch as a lane takes it: one statement, bound to the unnamed portal and run to its end, and the
// Sync. Statements have names of ours there too, which all clients of the lane share.
//
//   client   P? B D? E S      to the lane   B(ours) D? E S              prepared there: a ParseComplete comes from us
//                                           P(ours) B(ours) D? E S      not yet: its ParseComplete is the client's, or dropped
import { emptyMessages } from '../../protocol/backend-messages.js'
import { encodeClose, encodeSync, renameBind, renameParse } from '../../protocol/extended.js'
import type { Traffic } from '../../observe/traffic.js'
import type { LaneSlot } from '../../pool/lane-request.js'
import type { PreparedNames } from '../../server/contract.js'
import type { ClientStatement } from '../../session/session.js'
import type { LaneWork } from './lane-seat.js'
import type { Message } from './messages.js'
import { batchReply } from './named-errors.js'
import { rememberReply, unsureOf } from './row-shapes.js'

export interface BatchOnLane {
  readonly decoder: 'utf8' | 'latin1'
  /** `index`: of the message from where on nothing has happened. */
  laneFailed(index: number): void
  laneEnded(): void
  laneAgain(writes: boolean): Promise<void>
}

const syncFrame = encodeSync()
/** In a Bind, Execute: the byte after the header; of a portal without a name it is the name's end. */
const nameAt = 5

export class BatchLane implements LaneWork {
  head: Uint8Array | null = null
  readonly #owner: BatchOnLane
  readonly #traffic: Traffic
  #messages: readonly Message[] = []
  /** The client's Parse was sent. */
  #parses = false

  constructor(owner: BatchOnLane, traffic: Traffic) {
    this.#owner = owner
    this.#traffic = traffic
  }

  /** False: a lane does not take such batches. */
  take(messages: readonly Message[]): boolean {
    if (!isPlain(messages)) return false
    this.#messages = messages
    return true
  }

  fits(names: PreparedNames): boolean {
    return unsureOf(this.#messages, names).length === 0
  }

  compile(names: PreparedNames, slot: LaneSlot, frames: Uint8Array[]): void {
    this.head = null
    this.#parses = false
    slot.batch = true
    let parsed: ClientStatement | null = null
    for (const message of this.#messages) {
      if (message.kind === 'parse') {
        parsed = message.statement
        this.#parse(message, names, slot, frames)
      } else if (message.kind === 'bind' && message.statement !== null) {
        bind(message.frame, this.#known(message.statement, parsed, names, slot, frames), frames)
      } else frames.push(message.frame)
    }
    frames.push(syncFrame)
  }

  #parse({ statement, frame }: Extract<Message, { kind: 'parse' }>, names: PreparedNames, slot: LaneSlot, frames: Uint8Array[]): void {
    this.#parses = true
    if (statement.name === '') frames.push(frame)
    else if (names.get(statement.key, statement.since) === undefined) this.#prepare(statement, names, slot, frames)
    else {
      this.#parses = false
      this.head = emptyMessages.parseComplete
    }
  }

  /** The name under which the statement is known there; what it takes for that is sent first. */
  #known(statement: ClientStatement, parsed: ClientStatement | null, names: PreparedNames, slot: LaneSlot, frames: Uint8Array[]): string {
    if (statement.name !== '') {
      const name = names.get(statement.key, statement.since)
      if (name !== undefined) return name
      slot.skip += 1
      return this.#prepare(statement, names, slot, frames)
    }
    // Others have used the unnamed one since: it is parsed in every group.
    if (parsed !== statement) {
      slot.skip += 1
      frames.push(statement.frame)
    }
    return ''
  }

  #prepare(statement: ClientStatement, names: PreparedNames, slot: LaneSlot, frames: Uint8Array[]): string {
    const { name, close } = names.add(statement.key)
    this.#traffic.serverParses += 1
    for (const old of close) frames.push(encodeClose({ of: 'statement', name: old }))
    slot.skip += close.length
    slot.prepares = statement.key
    frames.push(renameParse(statement.frame, name))
    return name
  }

  forget(names: PreparedNames): void {
    for (const { statement } of this.#messages) if (statement !== null && statement.name !== '') names.discard(statement.key)
  }

  failed(parsed: boolean): void {
    const [first, second] = this.#messages
    const at = this.#parses && !parsed ? first : first?.kind === 'parse' ? second : first
    this.#owner.laneFailed(at?.index ?? 0)
  }

  renamed(reply: Uint8Array, names: PreparedNames): Uint8Array {
    const bound = this.#messages.find(({ kind }) => kind === 'bind')?.statement ?? null
    return bound === null ? reply : batchReply(reply, bound, names, this.#owner.decoder)
  }

  told(reply: Uint8Array, names: PreparedNames): boolean {
    const bound = this.#messages.find(({ kind }) => kind === 'bind')?.statement ?? null
    const described = bound !== null && bound.name !== '' && this.#messages.some(({ kind }) => kind === 'describe')
    return !described || rememberReply(bound, names, reply)
  }

  end(): void {
    this.#owner.laneEnded()
  }

  again(writes: boolean): Promise<void> {
    return this.#owner.laneAgain(writes)
  }
}

function bind(frame: Uint8Array, name: string, frames: Uint8Array[]): void {
  if (name === '') frames.push(frame)
  else frames.push(...renameBind(frame, name))
}

/** Parse?, Bind, Describe of the portal?, Execute without a limit: all of one statement, and of the unnamed portal. */
function isPlain(messages: readonly Message[]): boolean {
  let at = 0
  let statement: ClientStatement | null = null
  const first = messages[at]
  if (first?.kind === 'parse') {
    statement = first.statement
    at += 1
  }
  const bound = messages[at++]
  if (bound?.kind !== 'bind' || bound.statement?.named !== null || bound.frame[nameAt] !== 0) return false
  if (statement !== null && statement !== bound.statement) return false
  const described = messages[at]
  if (described?.kind === 'describe') {
    if (described.of !== 'portal' || described.name !== '') return false
    at += 1
  }
  const executed = messages[at++]
  if (executed?.kind !== 'execute' || executed.name !== '' || at !== messages.length) return false
  return !limited(executed.frame) && messages.every(({ naming }) => naming === null)
}

/** The last four bytes of an Execute: how many rows at most, 0 for all. */
function limited(frame: Uint8Array): boolean {
  const end = frame.length
  return frame[end - 1] !== 0 || frame[end - 2] !== 0 || frame[end - 3] !== 0 || frame[end - 4] !== 0
}
