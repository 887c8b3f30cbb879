// doors/proxy/named-query.ts — one Query that names prepared statements. DEALLOCATE is answered here; a PREPARE alone is run
// unseen, under a name of ours that may stay on the connection; everything else is sent as a text with our names in it, behind
// what the connection lacks of what it uses.
//
//   parts ─▶ plan ─▶ connection ─▶ [what it lacks] ─▶ the text ─▶ end     once more where the server had lost what we prepared
import { PointsmanError } from '../../errors/error.js'
import { asWrite } from '../../execute/again.js'
import { encodeCommandComplete } from '../../protocol/backend-messages.js'
import { encodeClose, encodeSync, renameParse } from '../../protocol/extended.js'
import { cannotBroadcast, cannotMerge } from '../../routing/make.js'
import type { AnswerPlan, OnePlan, Plan } from '../../routing/plan.js'
import type { Expect, ExpectReply } from '../../server/contract.js'
import { mayCommit } from '../../session/commits.js'
import type { ClientStatement } from '../../session/session.js'
import { poison, readyByte } from '../../session/transaction.js'
import type { Understood } from '../../sql/statement.js'
import { answer, answerable } from './answer.js'
import type { Conversation } from './conversation.js'
import type { Planned } from './core-contract.js'
import { describing } from './join-plans.js'
import { duplicateStatement, encodeQueryBytes, fullWith, putPrepare, unknownStatement, type Naming } from './named.js'
import { asksIds, listedBy, nameOf, neededBy, partsOf, textFor, type NamedPart, type NamedText } from './named-text.js'
import { argsOf, renamedError, textOf } from './named-errors.js'
import { renameIn } from './renaming.js'
import { isRoutingChange } from './generations.js'
import type { End, Hold } from './hold.js'
import type { Request, Running } from './request.js'
import { reply } from './simple-reply.js'
import { onlyAlone } from './prepared-ids.js'
import { takeTokens } from './tokens.js'
import { executeWithIds } from './unique-ids.js'

const syncFrame = encodeSync()
const prepareComplete = encodeCommandComplete('PREPARE')

/** Runs it to its ReadyForQuery, and finishes the request. Never rejects. */
export async function runNamedQuery(conversation: Conversation, request: Request, understood: Understood): Promise<void> {
  try {
    const given = executeWithIds(conversation, understood)
    await new NamedQuery(conversation, request, given === null ? understood : await given).run()
  } catch (error) {
    await conversation.refuse(request, error)
    conversation.ready()
  } finally {
    conversation.finish(request)
  }
}

class NamedQuery {
  readonly #conversation: Conversation
  readonly #request: Request
  readonly #understood: Understood
  readonly #parts: readonly NamedPart[]
  /** The only statement of the text; null: there are several. */
  readonly #only: NamedPart | null
  /** Of the attempt at hand. */
  #sent: NamedText = { renames: [], names: new Map() }

  constructor(conversation: Conversation, request: Request, understood: Understood) {
    this.#conversation = conversation
    this.#request = request
    this.#understood = understood
    this.#parts = partsOf(conversation.session, understood, (text) => conversation.core.understand(text))
    const [first, another] = this.#parts
    this.#only = another === undefined ? (first ?? null) : null
  }

  async run(): Promise<void> {
    const conversation = this.#conversation
    const { session } = conversation
    const [first] = this.#parts
    // What ends the failed transaction goes on as usual.
    if (readyByte(session.transaction) === 'E' && first?.naming !== null) throw new PointsmanError('in_failed_transaction')
    const only = this.#only
    if (only !== null) raise(only, session.prepared)
    else if (this.#parts.some(asksIds)) throw onlyAlone()
    if (this.#parts.every(({ naming }) => naming?.kind === 'deallocate')) {
      this.#deallocateAll()
      return
    }
    for (;;) {
      try {
        await this.#planned()
        return
      } catch (error) {
        // What a PAUSE held back while tables moved elsewhere is planned again: nothing of it was sent.
        if (!isRoutingChange(error)) throw error
      }
    }
  }

  async #planned(): Promise<void> {
    const conversation = this.#conversation
    const only = this.#only
    const [begins, ...others] = this.#parts.map(({ planned }) => planned)
    await conversation.planning.directoriesAsked([begins as Planned, ...others])
    const plan = alone(this.#plan())
    this.#request.plan = plan
    if (plan.kind === 'refuse') throw new PointsmanError(plan.error, { values: { what: plan.message }, hint: plan.hint })
    if (plan.kind === 'answer') return this.#answer(plan)
    if (plan.kind === 'scatter') throw cannotMerge(plan)
    if (plan.kind === 'broadcast') throw cannotBroadcast(plan)
    if (plan.settings.length > 0) for (const { planned, parameter } of this.#parts) takeTokens(conversation, planned.understood, parameter)
    await this.#runOn(only?.naming?.kind === 'prepare' ? describing(plan) : plan)
  }

  #plan(): Plan {
    const [first, ...others] = this.#parts.map(({ planned }) => planned)
    return this.#conversation.planning.failedPlan() ?? this.#conversation.planning.plan([first as Planned, ...others])
  }

  /** One by one: each stands, whatever becomes of the next. */
  #deallocateAll(): void {
    const { output } = this.#conversation
    for (const part of this.#parts) {
      raise(part, this.#conversation.session.prepared)
      this.#settle(part)
      output.write(encodeCommandComplete(nameOf(part.naming) === null ? 'DEALLOCATE ALL' : 'DEALLOCATE'))
    }
    this.#conversation.ready()
  }

  async #answer(plan: AnswerPlan): Promise<void> {
    const conversation = this.#conversation
    const only = this.#only
    if (only === null) {
      const what = 'what Pointsman answers itself, together with PREPARE, EXECUTE or DEALLOCATE,'
      throw new PointsmanError('feature_not_supported', { values: { what }, hint: 'Send it by itself.' })
    }
    await answerable(conversation, plan)
    conversation.requirePresent()
    reply(conversation, answer(conversation, plan, only.planned.understood, only.parameter))
    conversation.ready()
  }

  async #runOn(first: OnePlan): Promise<void> {
    const conversation = this.#conversation
    const request = this.#request
    for (let plan = first; ;) {
      const hold = await conversation.holdFor(plan, request)
      conversation.starting(hold, plan, request)
      request.complete = false
      const lacking = await this.#bring(hold)
      const end = lacking ?? (await this.#send(hold))
      if (!conversation.settle(hold, plan, request, end)) {
        if (lacking !== null || end.kind === 'lost' || end.withheld) conversation.ready()
        return
      }
      if (request.rerun === 'prepare') for (const { key } of neededBy(this.#parts)) hold.connection.statements.discard(key)
      if (request.rerun === 'primary') plan = asWrite(plan)
      request.plan = plan
    }
  }

  /** Prepares what the text uses and the connection lacks. null: it stands there; else how that failed. */
  async #bring(hold: Hold): Promise<End | null> {
    const lost = await this.#bringListed(hold)
    if (lost !== null) return lost
    const group = new Group(hold)
    for (const statement of neededBy(this.#parts)) this.#add(group, statement)
    if (group.expects.length === 0) return null
    const [only, another] = neededBy(this.#parts)
    if (only !== undefined && another === undefined) this.#told(only)
    const end = await group.send({ act: 'swallow', reply: 'sync' })
    return end.kind === 'ready' && end.error === null ? null : end
  }

  /**
   * Prepares what the text tells of and the connection lacks, each by itself: what cannot be prepared any more (its table is gone,
   * or elsewhere) is told of without what only a server knows. So is all that lacks in a transaction, which an error would end.
   */
  async #bringListed(hold: Hold): Promise<End | null> {
    const listed = listedBy(this.#parts)
    if (listed.size === 0 || hold.status !== 'I' || this.#conversation.session.transaction.kind !== 'idle') return null
    const ends: Promise<End>[] = []
    for (const statement of listed) {
      const group = new Group(hold)
      this.#add(group, statement)
      if (group.expects.length > 0) ends.push(group.send({ act: 'swallow', reply: 'sync' }, poison))
    }
    return (await Promise.all(ends)).find(({ kind }) => kind === 'lost') ?? null
  }

  /** What the server says of a PREPARE it says of the client's own. */
  #told(definition: ClientStatement): void {
    const { decoder } = this.#conversation.session
    this.#request.renamed = (frame, _label, hold) =>
      renamedError(frame, decoder, textOf(definition, hold.connection.statements.get(definition.key)), null)
  }

  #add(group: Group, statement: ClientStatement): void {
    const { hold } = group
    const { statements } = hold.connection
    if (statements.get(statement.key, statement.since) !== undefined) return
    hold.traffic.serverParses += 1
    const { name, close } = statements.add(statement.key)
    for (const old of close) group.put([encodeClose({ of: 'statement', name: old })], { act: 'swallow', reply: 'close', closes: old })
    if (statement.named === null) {
      group.put([renameParse(statement.frame, name)], { act: 'swallow', reply: 'parse', prepares: statement.key })
    } else putPrepare(statement, name, this.#conversation.session.decoder, null, (frames, expect) => group.put(frames, expect))
  }

  #send(hold: Hold): Promise<End> {
    const conversation = this.#conversation
    const request = this.#request
    const only = this.#only
    request.running = this.#counted(hold)
    if (only?.naming?.kind === 'prepare') {
      this.#told(only.naming.definition)
      const group = new Group(hold)
      this.#add(group, only.naming.definition)
      group.put([], { act: 'synthesize', bytes: prepareComplete })
      return group.send(conversation.expectEnd('sync')).then((end) => {
        if (end.kind === 'ready' && end.error === null) this.#settle(only)
        return end
      })
    }
    const { decoder } = conversation.session
    const { text } = this.#understood
    const { statements, parameters } = hold.connection
    const sent = textFor(this.#parts, statements, parameters.get('server_version') ?? '')
    this.#sent = sent
    request.complete = true
    request.executes = only !== null
    request.commits = mayCommit(this.#understood)
    const prepared = only?.before ?? null
    const behind =
      prepared === null
        ? null
        : { prepared: textOf(prepared, hold.connection.statements.get(prepared.key)), args: argsOf(only as NamedPart) }
    request.renamed = (frame) => renamedError(frame, decoder, { text, renames: sent.renames, beside: null }, behind)
    hold.unnamed = null
    const expect = conversation.expectEnd('query')
    const ended = hold.end(expect)
    hold.send([encodeQueryBytes(renameIn(text, sent.renames), decoder)], [expect])
    return ended
  }

  /** Every statement of a Query ends with one CommandComplete, in order. */
  #counted(hold: Hold): (label: string | undefined) => Running | null {
    let index = 0
    if (this.#only?.naming?.kind === 'prepare') return () => null
    return () => {
      const part = this.#parts[index++]
      if (part === undefined) return null
      if (part.naming !== null && part.naming.kind !== 'execute') {
        this.#kept(hold, part, part.naming)
        this.#settle(part)
        return null
      }
      const [statement] = part.planned.understood.shape.statements ?? []
      return statement === undefined ? null : { statement, parameter: part.parameter, hints: part.planned.understood.hints }
    }
  }

  /** What the connection has from now on, or no longer. */
  #kept(hold: Hold, part: NamedPart, naming: Naming): void {
    const { statements } = hold.connection
    const name = this.#sent.names.get(part)
    if (name === undefined) return
    if (naming.kind === 'prepare') statements.adopt(naming.definition.key, name)
    else if (part.before !== null && statements.get(part.before.key) === name) statements.forget(part.before.key)
  }

  /** What the client's names mean from now on. */
  #settle({ naming }: NamedPart): void {
    const { prepared } = this.#conversation.session
    if (naming?.kind === 'prepare') prepared.set(naming.definition.name, naming.definition)
    if (naming?.kind !== 'deallocate') return
    if (naming.name !== null) prepared.delete(naming.name)
    else prepared.clear()
  }
}

/** What stands in its text is known to this client alone: no lane learns of it. */
function alone(plan: Plan): Plan {
  return plan.kind === 'one' ? { ...plan, lane: false } : plan
}

/** What PostgreSQL would raise for a statement by itself. */
function raise({ naming, before }: NamedPart, prepared: ReadonlyMap<string, ClientStatement>): void {
  const name = nameOf(naming)
  if (naming === null || name === null) return
  if (naming.kind === 'prepare' && before !== null) throw duplicateStatement(name)
  const full = naming.kind === 'prepare' ? fullWith(prepared) : null
  if (full !== null) throw full
  if (naming.kind !== 'prepare' && before === null) throw unknownStatement(name)
}

/** Messages of ours that go together. */
class Group {
  readonly hold: Hold
  readonly frames: Uint8Array[] = []
  readonly expects: Expect[] = []

  constructor(hold: Hold) {
    this.hold = hold
  }

  put(frames: readonly Uint8Array[], expect: Expect): void {
    this.frames.push(...frames)
    this.expects.push(expect)
  }

  /** `label`: of all that is sent; of `poison` nobody hears how it fails. */
  send(sync: ExpectReply, label: string | null = null): Promise<End> {
    const ended = this.hold.end(sync)
    const expects =
      label === null ? this.expects : this.expects.map((expect) => (expect.act === 'synthesize' ? expect : { ...expect, label }))
    this.hold.send([...this.frames, syncFrame], [...expects, sync])
    return ended
  }
}
