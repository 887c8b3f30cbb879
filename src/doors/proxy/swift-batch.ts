// doors/proxy/swift-batch.ts — a batch that a lane can take as it came: one plain statement, bound to the unnamed portal and run to its
// end. It is looked at where it stands in memory and goes to the lane in one piece; nothing is made for its messages.
//
//   client   P? B D? E S ──▶ read (swift-frames.ts) ──▶ statement known? plan known, for a lane? ──▶ the lane takes it
//                                │ anything else                                                       │ it cannot answer
//                                └──────────▶ the long way (batch.ts), message by message  ◀───────────┘
//
// Whatever the long way treats in a way of its own is left to it: named Parse, texts about names or the client's own process,
// transactions, LISTEN, kept results, encodings other than UTF-8. What a plan depends on is compared by identity.
import { asWrite } from '../../execute/again.js'
import type { LaneSlot } from '../../pool/lane-request.js'
import { encodeClose, renameParse } from '../../protocol/extended.js'
import type { ParameterSource } from '../../routing/input.js'
import type { OnePlan, Plan } from '../../routing/plan.js'
import type { PreparedNames } from '../../server/contract.js'
import type { ClientStatement } from '../../session/session.js'
import type { SessionView } from '../../session/view.js'
import type { Understood } from '../../sql/statement.js'
import type { Batch } from './batch.js'
import type { Conversation } from './conversation.js'
import type { LaneSeat, LaneWork } from './lane-seat.js'
import { fullWith } from './named.js'
import { batchReply } from './named-errors.js'
import { portalOf } from './messages.js'
import type { Request } from './request.js'
import { hasRowsAsTold, rememberReply } from './row-shapes.js'
import { isSeen, type SeenParse, type SeenParses } from './seen-parses.js'
import { SwiftFrames } from './swift-frames.js'

/** A plan, and all that it was made from. */
interface Memo {
  readonly understood: Understood
  readonly view: SessionView
  readonly config: object
  readonly catalogs: object
  /** null: not for a lane, or it depends on what is bound. */
  readonly plan: OnePlan | null
  readonly keyed: boolean
}

/** Statements of a client that it uses in turn. */
const maxMemos = 8

export class SwiftBatch implements LaneWork {
  readonly head = null
  readonly #conversation: Conversation
  readonly #lane: LaneSeat
  readonly #batch: Batch
  readonly #parses: SeenParses
  readonly #frames = new SwiftFrames()
  #memos: Memo[] = []
  #nextMemo = 0
  /** The Parse, and the named statement, that came last. */
  #lastParse: SeenParse | null = null
  #lastNamed: { readonly name: Buffer; readonly statement: ClientStatement } | null = null
  /** Of the batch at hand. */
  #statement: ClientStatement | null = null
  #parsed = false
  #request: Request | null = null
  #plan: OnePlan | null = null

  constructor(conversation: Conversation, lane: LaneSeat, batch: Batch, parses: SeenParses) {
    this.#conversation = conversation
    this.#lane = lane
    this.#batch = batch
    this.#parses = parses
  }

  /** A lane takes it: Conversation.onUnparked tells when it has ended. False: nothing has happened. */
  take(bytes: Buffer): boolean {
    const { session } = this.#conversation
    const frames = this.#frames
    if (session.transaction.kind !== 'idle' || session.decoder !== 'utf8' || !frames.read(bytes)) return false
    const statement = frames.bind > 0 ? this.#parse() : this.#known()
    const taken = statement !== null && this.#takeFor(statement)
    if (!taken) this.#clear()
    return taken
  }

  // ---- which statement

  /** The one that the batch parses itself, as the long way would enter it under the client's names. */
  #parse(): ClientStatement | null {
    const { bytes, bind } = this.#frames
    if (this.#lastParse === null || !isSeen(this.#lastParse, bytes, bind)) this.#lastParse = this.#parses.of(bytes, bind)
    const seen = this.#lastParse
    if (seen?.plain !== true || fullWith(this.#conversation.session.prepared) !== null) return null
    const { text, types, key, frame, understood } = seen
    // Without a name it is parsed by whoever runs it: nothing that stands prepared is taken for it, however old.
    return { name: '', text, types, key, frame, understood, named: null, since: 0 }
  }

  #known(): ClientStatement | null {
    const { prepared } = this.#conversation.session
    const frames = this.#frames
    const last = this.#lastNamed
    if (last !== null && frames.names(last.name) && prepared.get(last.statement.name) === last.statement) return last.statement
    const name = frames.name()
    const statement = prepared.get(name.toString()) ?? null
    if (statement === null || !isPlain(statement)) return null
    if (statement.name !== '') this.#lastNamed = { name, statement }
    return statement
  }

  // ---- where it goes

  #takeFor(statement: ClientStatement): boolean {
    const conversation = this.#conversation
    const { understood } = statement
    const memo = this.#memoOf(understood)
    const now = conversation.now()
    if (memo !== null && !memo.keyed && (memo.plan === null || !this.#lane.wants(memo.plan, understood.shape.id, now))) return false
    const request = conversation.begin(now)
    const plan = memo?.plan ?? this.#planned(statement)
    if (plan !== null && this.#goes(statement, plan, request)) return true
    conversation.abandon()
    return false
  }

  #goes(statement: ClientStatement, plan: OnePlan, request: Request): boolean {
    const { shape } = statement.understood
    const parsed = this.#frames.bind > 0
    request.shape = shape.id
    request.uses = shape.uses
    request.plan = plan
    this.#statement = statement
    this.#parsed = parsed
    this.#request = request
    this.#plan = plan
    if (!this.#lane.take(this, plan, request)) return false
    if (parsed) this.#conversation.session.prepared.set('', statement)
    return true
  }

  /** null: there is none, or what it was made from is not as it was. */
  #memoOf(understood: Understood): Memo | null {
    const { session, upcoming } = this.#conversation
    for (const memo of this.#memos) {
      if (memo.understood !== understood) continue
      return memo.view === session.view && memo.config === upcoming.config && memo.catalogs === upcoming.catalogs() ? memo : null
    }
    return null
  }

  /** null: no lane may take it, or the long way shall say what is wrong with it. */
  #planned(statement: ClientStatement): OnePlan | null {
    const conversation = this.#conversation
    if (conversation.ending !== null) return null
    const { understood } = statement
    const { session, generation } = conversation
    const { view } = session
    const catalogs = generation.catalogs()
    const bound = new Bound(statement, this.#frames.bindFrame())
    const planned = planOf(conversation, understood, bound)
    const plan = planned?.kind === 'one' && planned.lane && planned.keptOn === null ? planned : null
    // Where commits are watched each request is to be looked at.
    const keyed = plan !== null && (bound.asked || generation.commitsWatched(plan.cluster))
    this.#remember({ understood, view, config: generation.config, catalogs, plan: keyed ? null : plan, keyed })
    return plan
  }

  #remember(memo: Memo): void {
    const before = this.#memos.findIndex(({ understood }) => understood === memo.understood)
    if (before >= 0) this.#memos[before] = memo
    else {
      this.#memos[this.#nextMemo] = memo
      this.#nextMemo = (this.#nextMemo + 1) % maxMemos
    }
  }

  // ---- on a lane

  /** Whoever asks for the columns hears of them; who does not must get those that he was told. */
  fits(names: PreparedNames): boolean {
    const statement = this.#statement
    return statement === null || statement.name === '' || this.#frames.described || hasRowsAsTold(statement, names)
  }

  compile(names: PreparedNames, slot: LaneSlot, frames: Uint8Array[]): void {
    const statement = this.#statement
    if (statement === null) return
    slot.batch = true
    if (statement.name !== '') {
      const name = names.get(statement.key, statement.since) ?? this.#prepare(statement, names, slot, frames)
      frames.push(this.#frames.renamed(name))
      return
    }
    // Others have used the unnamed one since: it is parsed in every group.
    if (!this.#parsed) {
      slot.skip += 1
      frames.push(statement.frame)
    }
    frames.push(this.#frames.bytes)
  }

  #prepare(statement: ClientStatement, names: PreparedNames, slot: LaneSlot, frames: Uint8Array[]): string {
    const { name, close } = names.add(statement.key)
    this.#conversation.traffic.serverParses += 1
    for (const old of close) frames.push(encodeClose({ of: 'statement', name: old }))
    slot.skip += close.length + 1
    slot.prepares = statement.key
    frames.push(renameParse(statement.frame, name))
    return name
  }

  forget(names: PreparedNames): void {
    const statement = this.#statement
    if (statement !== null && statement.name !== '') names.discard(statement.key)
  }

  /** The statement is the client's if its Parse was acknowledged; its portal ends with the batch in any case. */
  failed(parsed: boolean): void {
    const { prepared } = this.#conversation.session
    if (this.#parsed && !parsed && prepared.get('') === this.#statement) prepared.delete('')
  }

  renamed(reply: Uint8Array, names: PreparedNames): Uint8Array {
    return this.#statement === null ? reply : batchReply(reply, this.#statement, names, 'utf8')
  }

  told(reply: Uint8Array, names: PreparedNames): boolean {
    const statement = this.#statement
    return statement === null || statement.name === '' || !this.#frames.described || rememberReply(statement, names, reply)
  }

  end(): void {
    const request = this.#request
    const { traffic } = this.#conversation
    traffic.binds += 1
    if (this.#parsed) traffic.clientParses += 1
    this.#clear()
    if (request !== null) this.#conversation.finish(request)
  }

  /** The long way, off lanes. */
  again(writes: boolean): Promise<void> | null {
    const frames = this.#frames.cut()
    const request = this.#request
    const plan = this.#plan
    this.#clear()
    return request === null || plan === null ? null : this.#batch.resume(frames, request, writes ? asWrite(plan) : plan)
  }

  #clear(): void {
    this.#frames.clear()
    this.#statement = null
    this.#parsed = false
    this.#request = null
    this.#plan = null
  }
}

/** What is bound, and whether the plan depends on it. */
class Bound implements ParameterSource {
  asked = false
  readonly #parameters: ParameterSource

  constructor(statement: ClientStatement, frame: Uint8Array) {
    this.#parameters = portalOf(statement, null, frame, 'utf8').parameters
  }

  get(number: number): ReturnType<ParameterSource['get']> {
    this.asked = true
    return this.#parameters.get(number)
  }
}

/** null: what is wrong with it the long way tells. */
function planOf(conversation: Conversation, understood: Understood, parameters: ParameterSource): Plan | null {
  try {
    return conversation.planning.plan([{ understood, parameters }])
  } catch {
    return null
  }
}

/** It stands for nothing but itself. */
function isPlain({ named, own, ids, understood }: ClientStatement): boolean {
  return named === null && own === undefined && ids === undefined && !understood.shape.names
}
