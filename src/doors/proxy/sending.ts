// doors/proxy/sending.ts — messages of a batch made into frames for one connection. The client's statement names never reach a
// server; each distinct text has a name of ours on each connection, and what a connection lacks is parsed there just before it
// is used.
//
//   client   P(a) B(a) D E S          to the server   P(ours) B(ours) D E S      the connection has none of it
//                                                     ·       B(ours) D E S      it has: ParseComplete comes from us
//                                     swallowed ──▶   P(ours) B(ours) D E S      only B(a) D E S came: the Parse is ours
import { emptyMessages, encodeCommandComplete } from '../../protocol/backend-messages.js'
import { encodeClose, encodeDescribe, renameBind, renameParse } from '../../protocol/extended.js'
import type { Expect, ExpectReply } from '../../server/contract.js'
import { pinReasons } from '../../session/pin-reasons.js'
import type { ClientStatement, Session } from '../../session/session.js'
import type { Hold } from './hold.js'
import type { Message } from './messages.js'
import { executing, putPrepare, type Naming } from './named.js'

const prepareComplete = encodeCommandComplete('PREPARE')

const labels: readonly string[] = Array.from({ length: 64 }, (_, index) => String(index))

/** What the ledger calls the message with this index. */
export function labelOf(index: number): string {
  return labels[index] ?? String(index)
}

/** The frames of a step for one connection, and what the ledger expects for them. */
export class Sending {
  readonly frames: Uint8Array[] = []
  readonly expects: Expect[] = []
  readonly #hold: Hold
  readonly #session: Session

  constructor(hold: Hold, session: Session) {
    this.#hold = hold
    this.#session = session
  }

  put(frames: readonly Uint8Array[], expect: Expect): void {
    for (const frame of frames) this.frames.push(frame)
    this.expects.push(expect)
  }

  #one(frame: Uint8Array, expect: Expect): void {
    this.frames.push(frame)
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
        return this.#parse(message, label)
      case 'bind':
        return this.#bind(message.statement, message, label)
      case 'describe':
        return this.#describe(message, label)
      case 'execute':
        if (message.naming?.kind === 'prepare') return this.#define(message.naming.definition, label)
        return this.#one(message.frame, { act: 'forward', reply: 'execute', label })
      case 'close':
        if (message.of === 'portal') this.#closePortal(message, label)
        // Ours stays on the connection for whoever prepares the same.
        else this.expects.push({ act: 'synthesize', bytes: emptyMessages.closeComplete })
    }
  }

  /** A cursor WITH HOLD is a portal, too: without it nothing may keep the connection. */
  #closePortal({ frame }: Message, label: string): void {
    if (this.#hold.pins.has(pinReasons.cursor)) this.#hold.asks = 'pins'
    this.put([frame], { act: 'forward', reply: 'close', label })
  }

  #parse(message: Extract<Message, { kind: 'parse' }>, label: string): void {
    const statement = this.#own(message.statement, message.naming, label)
    if (statement.name === '') {
      this.#hold.unnamed = statement
      this.put([statement === message.statement ? message.frame : statement.frame], { act: 'forward', reply: 'parse', label })
    } else if (this.#hold.connection.statements.get(statement.key, statement.since) !== undefined) {
      this.expects.push({ act: 'synthesize', bytes: emptyMessages.parseComplete })
    } else this.#prepare(statement, 'forward', label)
  }

  /** The statement as it is sent here: where it says EXECUTE it must use the name that this connection has for what it executes. */
  #own(statement: ClientStatement, naming: Naming | null, label: string): ClientStatement {
    if (naming?.kind !== 'execute' || naming.definition === null) return statement
    return executing(statement, naming.span, this.#known(naming.definition, label), this.#session.decoder)
  }

  /** Describes what a Bind is about, unseen. */
  ask({ statement }: Extract<Message, { kind: 'bind' }>, label: string): void {
    const name = statement === null ? '' : this.#known(statement, label)
    this.put([encodeDescribe({ of: 'statement', name })], { act: 'swallow', reply: 'describe-statement', label })
  }

  /** Describes a portal, unseen. */
  describe(name: string, label: string): void {
    this.put([encodeDescribe({ of: 'portal', name })], { act: 'swallow', reply: 'describe-portal', label })
  }

  /** Of the message put last. */
  get last(): ExpectReply {
    return this.expects.at(-1) as ExpectReply
  }

  /** Runs a PREPARE. */
  #define(definition: ClientStatement, label: string): void {
    this.#known(definition, label)
    this.expects.push({ act: 'synthesize', bytes: prepareComplete })
  }

  /** Parses the statement under a name of ours; what the connection forgets for it is closed. */
  #prepare(statement: ClientStatement, act: 'forward' | 'swallow', label: string): string {
    const { name, close } = this.#hold.connection.statements.add(statement.key)
    this.#hold.traffic.serverParses += 1
    for (const old of close) this.put([encodeClose({ of: 'statement', name: old })], { act: 'swallow', reply: 'close', closes: old })
    if (statement.named === null) this.put([renameParse(statement.frame, name)], { act, reply: 'parse', prepares: statement.key, label })
    else putPrepare(statement, name, this.#session.decoder, label, (frames, expect) => this.put(frames, expect))
    return name
  }

  /** The name under which the server knows the statement now. */
  #known(statement: ClientStatement, label: string): string {
    if (statement.name !== '')
      return this.#hold.connection.statements.get(statement.key, statement.since) ?? this.#prepare(statement, 'swallow', label)
    if (this.#hold.unnamed !== statement) {
      this.#hold.unnamed = statement
      this.put([statement.frame], { act: 'swallow', reply: 'parse', label })
    }
    return ''
  }

  #bind(statement: ClientStatement | null, { frame, naming }: Message, label: string): void {
    const name = statement === null ? '' : this.#known(this.#own(statement, naming, label), label)
    const expect: Expect = { act: 'forward', reply: 'bind', label }
    if (name === '') this.#one(frame, expect)
    else this.put(renameBind(frame, name), expect)
  }

  #describe(message: Extract<Message, { kind: 'describe' }>, label: string): void {
    if (message.of === 'portal') return this.#one(message.frame, { act: 'forward', reply: 'describe-portal', label })
    const name = message.statement === null ? '' : this.#known(this.#own(message.statement, message.naming, label), label)
    const ids = message.statement?.ids
    const told = ids === undefined ? {} : { parameters: ids.parameters }
    this.put([encodeDescribe({ of: 'statement', name })], { act: 'forward', reply: 'describe-statement', label, ...told })
  }
}
