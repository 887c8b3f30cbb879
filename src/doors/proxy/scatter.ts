// doors/proxy/scatter.ts — a read on several clusters, merged as its rows come (routing/scatter*.ts has decided how):
//
//   take a connection of each cluster, in the plan's order ─▶ the first one describes ─▶ all run ─▶ rows ─▶ merger ─▶ client
//         ▲                                                                             │
//         └──────── again, elsewhere: a server was lost, and nothing has gone out ◀─────┘
//
// Outside of a transaction the description of an earlier run is taken (execute/described-reads.ts). The first part gives it anew with its
// run: rows wait until it has, and if it is another one all is asked again, from the description on.
//
// Connections are always taken in the order of the set's clusters, so that two clients cannot wait for each other. A part whose
// rows are not wanted any more is canceled if it does not end by itself.
//
// Within a transaction all of this happens on the connections where it is open, which it comes to (Holds.take) once the first one
// has described the read. Nothing is tried again there, nor canceled but where it fails: that would end the transaction.
import { forgive, maxAttempts, rerunFor } from '../../execute/again.js'
import { isMisfit, keyOf } from '../../execute/described-reads.js'
import { lossError } from '../../execute/loss-error.js'
import type { RouteTaken } from '../../execute/contract.js'
import { mayGoFirst, partPlan, requireSameForm, requireWholeFloats, scatterRoute, sessionForm } from '../../execute/scatter.js'
import { Merger } from '../../merge/merger.js'
import { partFormats } from '../../merge/formats.js'
import type { MergeParameter } from '../../merge/parameters.js'
import { encodeCommandComplete, encodeParameterDescription } from '../../protocol/backend-messages.js'
import {
  encodeBind,
  encodeClose,
  encodeDescribe,
  encodeExecute,
  encodeFlush,
  encodeParse,
  encodeSync,
  type Bind,
} from '../../protocol/extended.js'
import { copyHead, copyTail, copyWriter } from '../../protocol/copy-encode.js'
import type { CopyForm } from '../../protocol/copy-form.js'
import { encodeCopyDone, encodeCopyResponse } from '../../protocol/query.js'
import { dataRows, described } from '../../protocol/row-form.js'
import { violation } from '../../protocol/violation.js'
import { describedColumns, type DescribedColumn } from '../../protocol/rows.js'
import type { OnePlan, ScatterPlan } from '../../routing/plan.js'
import type { ExpectReply } from '../../server/contract.js'
import { ServerError } from '../../server/server-error.js'
import type { Conversation } from './conversation.js'
import type { Core, DescribedRead } from './core-contract.js'
import type { End } from './hold.js'
import { avoid } from './holds.js'
import type { Request } from './request.js'
import { failedLast, ScatterPart, settlePart, type PartOwner } from './scatter-part.js'

/** What the client is told before its rows, in this order; the server says what is in the descriptions. */
export type Before = Uint8Array | 'statement' | 'portal'

/** How the client has asked. */
export interface ScatterAsk {
  /** Of its Parse. */
  readonly types: readonly number[]
  /** Parameters of the client's, where others of ours are behind them. */
  readonly parameters?: number | undefined
  /** null: a simple query. */
  readonly bind: Bind | null
  readonly before: readonly Before[]
  /** `before` is on its way: what the client has prepared stands. */
  readonly onBegun: () => void
}

/** Rows that leave together. */
const rowsAtOnce = 512
/** A part that is not wanted any more may end by itself for so long. */
const patienceMs = 50

/** Runs it to its CommandComplete. Rejects with what the client is to be told. */
export async function runScatter(conversation: Conversation, request: Request, plan: ScatterPlan, ask: ScatterAsk): Promise<void> {
  const scatter = new Scatter(conversation, request, plan, ask)
  request.plan = plan
  request.repeatable = false
  request.complete = false
  while (await scatter.attempt());
}

/** The portal that each part keeps, instead of running to its end. `closes`: one of that name that was bound before goes first. */
export interface ScatterPortal {
  readonly name: string
  readonly closes: boolean
}

/** A merged read that is open on all of its parts, of which nothing has been fetched. */
export interface OpenScatter {
  readonly form: Form
  readonly merger: Merger
  /** What each part runs as. */
  readonly plans: readonly OnePlan[]
  readonly route: RouteTaken | null
}

/** Binds it on every part, within a transaction. Rejects with what the client is to be told. */
export async function openScatter(
  conversation: Conversation,
  request: Request,
  plan: ScatterPlan,
  ask: Pick<ScatterAsk, 'types' | 'bind'>,
  portal: ScatterPortal,
): Promise<OpenScatter> {
  const scatter = new Scatter(conversation, request, plan, { ...ask, before: [], onBegun: () => undefined }, portal)
  request.plan = plan
  request.repeatable = false
  request.complete = false
  while (await scatter.attempt());
  return scatter.open
}

export interface Form {
  /** As the client is told. */
  readonly description: Uint8Array
  readonly parameters: readonly number[]
  readonly part: readonly DescribedColumn[]
  readonly client: readonly DescribedColumn[]
}

class Scatter implements PartOwner {
  readonly #conversation: Conversation
  readonly #request: Request
  readonly #plan: ScatterPlan
  readonly #ask: ScatterAsk
  /** null: it runs to its end. */
  readonly #portal: ScatterPortal | null
  #form: Form | null = null
  #parts: ScatterPart[] = []
  #routes: RouteTaken[] = []
  #merger: Merger | null = null
  #attempts = 0
  /** A transaction is open, or about to be. */
  #within = false
  /** A read that a replica refused as a write runs on primaries. */
  #onPrimaries = false
  /** What goes to the client before the first row; null: it has gone. */
  #before: Uint8Array[] | null = null
  #rows = 0
  #write: (rows: readonly (readonly (Uint8Array | null)[])[]) => Uint8Array = dataRows
  /** The client is behind. */
  #behind = false
  /** All that the client gets has been written, or the reason why it gets no more is known. */
  #over = false
  #failure: { readonly error: unknown } | null = null
  #again = false
  #timer: NodeJS.Timeout | null = null
  #ended: (() => void) | null = null
  readonly #key: string
  /** What it runs by, while no part has said that it still holds. */
  #unproved: DescribedRead | null = null
  /** What was known did not hold. */
  #asksAnew = false

  constructor(conversation: Conversation, request: Request, plan: ScatterPlan, ask: ScatterAsk, portal: ScatterPortal | null = null) {
    this.#portal = portal
    this.#conversation = conversation
    this.#request = request
    this.#plan = plan
    this.#ask = ask
    const { database, user, settings } = conversation.session
    const cluster = plan.parts[0]?.cluster ?? ''
    this.#key = keyOf({ database, user, cluster, settings, query: plan.query, types: ask.types })
  }

  /** True: nothing has gone out, and it is to be tried again. */
  async attempt(): Promise<boolean> {
    this.#reset()
    try {
      requireWholeFloats(this.#conversation.session.settings.values)
      const form = this.#within ? await this.#describedWithin() : await this.#describedApart()
      if (form !== null) await this.#run(form)
    } finally {
      this.#clear()
    }
    this.#conversation.requirePresent()
    if (this.#again) return true
    if (this.#failure !== null) throw this.#failure.error
    return false
  }

  async #describedApart(): Promise<Form | null> {
    await this.#take(this.#plan.parts)
    this.#requireSameForm()
    const known = this.#asksAnew ? undefined : this.#kept.get(this.#key)
    return (known === undefined ? null : this.#asKnown(known)) ?? (await this.#describe())
  }

  get #kept(): Core['described'] {
    return this.#conversation.core.described
  }

  /** null: what is asked now does not fit what was known. */
  #asKnown(known: DescribedRead): Form | null {
    try {
      const form = this.#formOf(known)
      this.#prepare(form)
      this.#unproved = known
      return form
    } catch {
      return null
    }
  }

  /** With the first statement on it a transaction is open; only then can it come to others. */
  async #describedWithin(): Promise<Form | null> {
    await this.#take(this.#plan.parts.slice(0, 1))
    const form = await this.#describe()
    if (form === null) return null
    await this.#take(this.#plan.parts.slice(1))
    this.#requireSameForm()
    return form
  }

  #requireSameForm(): void {
    requireSameForm(this.#parts.map(({ hold }) => ({ cluster: hold.cluster, parameters: hold.connection.parameters })))
  }

  #reset(): void {
    this.#attempts += 1
    this.#within = this.#conversation.session.transaction.kind !== 'idle'
    this.#parts = []
    this.#routes = []
    this.#merger = null
    this.#over = false
    this.#failure = null
    this.#again = false
    this.#before = null
    this.#form = null
    this.#unproved = null
  }

  #clear(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    for (const part of this.#parts) if (part.running) this.#unused(part)
  }

  #unused({ hold }: ScatterPart): void {
    hold.diversion = null
    // Where the transaction is open it stays; a loss is heard by whoever sends something there next.
    if (!this.#within) this.#conversation.unused(hold)
  }

  // ---- connections

  async #take(parts: ScatterPlan['parts']): Promise<void> {
    const conversation = this.#conversation
    const request = this.#request
    for (const { cluster } of parts) {
      const plan = partPlan(this.#plan, cluster, this.#onPrimaries)
      request.attempts = this.#attempts - 1
      const hold = await conversation.holdFor(plan, request)
      this.#parts.push(new ScatterPart(this.#parts.length, plan, hold, this))
      if (request.route !== null) this.#routes.push(request.route)
    }
    request.attempts = this.#attempts
    request.route = scatterRoute(this.#plan, this.#routes)
  }

  // ---- what it looks like

  /** Asked of the first part. null: it has failed. */
  async #describe(): Promise<Form | null> {
    const [first] = this.#parts
    if (first === undefined) throw new Error('a scatter read has no parts')
    const sync: ExpectReply = { act: 'swallow', reply: 'sync' }
    this.#begin(first)
    const ended = new Promise<End>((resolve) => first.hold.whenEnded(sync, resolve))
    first.hold.send([...this.#describing(), syncFrame], [...describes, sync])
    const end = await ended
    if (this.#isBad(first, end)) {
      first.end = end
      this.#settle(first, end)
      return null
    }
    if (this.#within) this.#conversation.settlePart(first.hold, first.plan, this.#request, end)
    const [original, part] = first.descriptions
    if (original === undefined || part === undefined) throw new Error('a server has described less than it was asked for')
    first.descriptions.length = 0
    const read = { original, part, parameters: first.parameters }
    this.#kept.keep(this.#key, read)
    const form = this.#formOf(read)
    this.#prepare(form)
    return form
  }

  #formOf({ original, part, parameters }: DescribedRead): Form {
    const { merge } = this.#plan
    const columns = describedColumns(part)
    const description = merge.described === 'part' ? described(part, new Array<number>(columns.length - merge.hidden).fill(0)) : original
    const client = describedColumns(description)
    const formats = formatsOf(this.#asked, client.length)
    const asked = partFormats(
      merge,
      columns.length,
      formats.map((format) => (format === 1 ? 1 : 0)),
    )
    return {
      description,
      parameters,
      part: columns.map((column, index) => ({ ...column, format: asked[index] ?? 0 })),
      client: client.map((column, index) => ({ ...column, format: formats[index] ?? 0 })),
    }
  }

  /** The client's statement, then what the parts run. */
  #describing(): readonly Uint8Array[] {
    const { types } = this.#ask
    const { original, text } = this.#plan.query
    return [encodeParse('', original, types), describeStatement, encodeParse('', text, types), describeStatement]
  }

  statementDescribed(part: ScatterPart): void {
    const known = this.#unproved
    const [original, here] = part.descriptions
    if (known === null || original === undefined || here === undefined) return
    const { parameters } = part
    const same =
      Buffer.compare(known.original, original) === 0 &&
      Buffer.compare(known.part, here) === 0 &&
      known.parameters.join() === parameters.join()
    if (!same) return this.#stale()
    this.#unproved = null
    this.#advance()
  }

  /** What was known does not hold, or may not: nothing has gone out, and the next attempt begins with the question. */
  #stale(): void {
    if (this.#over) return
    this.#kept.forget(this.#key)
    this.#unproved = null
    this.#asksAnew = true
    this.#again = true
    this.#attempts -= 1
    this.#fail(new Error('it is to be described anew'))
  }

  /** Formats of the result. What DECLARE is bound with says nothing of its rows. */
  get #asked(): readonly number[] {
    if (this.#plan.copy?.format === 'binary') return [1]
    return this.#plan.cursor === undefined ? (this.#ask.bind?.results ?? []) : []
  }

  #begin({ hold, plan }: ScatterPart): void {
    this.#conversation.starting(hold, plan, this.#request)
    this.#request.repeatable = false
    hold.unnamed = null
  }

  // ---- rows

  /** All that is made of the description. Throws what the client is to be told where it cannot be. */
  #prepare(form: Form): void {
    const { bind } = this.#ask
    requireCount(bind, form.parameters)
    this.#merger = new Merger({
      spec: this.#plan.merge,
      columns: form.part,
      client: form.client,
      parameters: parametersOf(bind, form.parameters),
      session: sessionForm(this.#parts[0]?.hold.connection.parameters ?? new Map<string, string>()),
      parts: this.#plan.parts.length,
      memory: this.#conversation.generation.config.limits.mergeMemoryBytes,
    })
    const { copy } = this.#plan
    this.#before = copy === undefined ? this.#ask.before.flatMap((each) => told(each, form)) : beforeCopy(copy, form)
    if (copy !== undefined) this.#write = copyWriter(copy, namesOf(form))
    this.#form = form
  }

  async #run(form: Form): Promise<void> {
    const { types, bind } = this.#ask
    const parameters = parametersOf(bind, form.parameters)
    const text = encodeParse('', this.#plan.query.text, types)
    const name = this.#portal?.name ?? ''
    const results = form.part.map(({ format }) => format)
    const values = parameters.map(({ value }) => value)
    const bound = encodeBind(
      name,
      '',
      values,
      parameters.map(({ format }) => format),
      results,
    )
    const all = new Promise<void>((resolve) => (this.#ended = resolve))
    for (const part of this.#parts) {
      this.#begin(part)
      part.columns = form.part
      const sync: ExpectReply = { act: 'swallow', reply: 'sync' }
      const closes = this.#portal?.closes === true
      const runs = this.#portal === null
      const proves = this.#unproved !== null && part.index === 0
      const atOnce = proves && mayGoFirst(this.#plan.merge, this.#merger)
      part.run(
        [
          ...(closes ? [encodeClose({ of: 'portal', name })] : []),
          ...(proves ? this.#describing() : [text]),
          ...(atOnce ? [flushFrame] : []),
          ...[bound, encodeDescribe({ of: 'portal', name })],
          ...(runs ? [executeFrame, syncFrame] : [syncFrame]),
        ],
        [
          ...(closes ? [swallow.close] : []),
          ...(proves ? describes : [swallow.parse]),
          ...[swallow.bind, swallow.portal],
          ...(runs ? [executes, sync] : [sync]),
        ],
        sync,
      )
    }
    if (this.#portal === null) this.#advance()
    await all
  }

  /** What attempt() has opened. */
  get open(): OpenScatter {
    if (this.#form === null || this.#merger === null) throw new Error('a merged read is not open')
    return { form: this.#form, merger: this.#merger, plans: this.#parts.map(({ plan }) => plan), route: this.#request.route }
  }

  came(part: ScatterPart, rows: readonly (readonly (Uint8Array | null)[])[]): boolean {
    const merger = this.#merger
    if (merger === null || this.#over) return true
    merger.push(part.index, rows)
    this.#advance()
    return merger.wants(part.index)
  }

  /** Gives what can go out, and lets those go on that are waited for. */
  #advance(): void {
    const merger = this.#merger
    if (merger === null || this.#over || this.#behind || this.#unproved !== null) return
    try {
      for (;;) {
        const { rows, state } = merger.read(rowsAtOnce)
        const keepsUp = rows.length === 0 || this.#give(rows)
        if (state === 'done') return this.#complete()
        if (!keepsUp) return
        if (state === 'waiting') break
      }
    } catch (error) {
      return this.#fail(error)
    }
    for (const part of this.#parts) if (part.paused && merger.wants(part.index)) part.resume()
  }

  /** False: the client is behind. */
  #give(rows: readonly (readonly (Uint8Array | null)[])[]): boolean {
    this.#tellBefore()
    this.#rows += rows.length
    const { output } = this.#conversation
    if (output.write(this.#write(rows))) return true
    this.#behind = true
    output.onDrain = (): void => {
      output.onDrain = null
      this.#behind = false
      this.#advance()
    }
    return false
  }

  #tellBefore(): void {
    const before = this.#before
    if (before === null) return
    this.#before = null
    this.#ask.onBegun()
    for (const frame of before) this.#conversation.output.write(frame)
  }

  #complete(): void {
    this.#tellBefore()
    const { copy } = this.#plan
    const { output } = this.#conversation
    const tail = copy === undefined ? null : copyTail(copy)
    if (tail !== null) output.write(tail)
    if (copy !== undefined) output.write(encodeCopyDone())
    output.write(encodeCommandComplete(`${copy === undefined ? 'SELECT' : 'COPY'} ${String(this.#rows)}`))
    this.#stop()
  }

  // ---- ends

  failed(_part: ScatterPart, error: unknown): void {
    if (this.#unproved === null) this.#fail(error)
    else this.#stale()
  }

  #fail(error: unknown): void {
    if (this.#over) return
    this.#failure = { error }
    this.#stop()
  }

  /** Nothing more goes out: what still runs is not wanted. */
  #stop(): void {
    this.#over = true
    this.#conversation.output.onDrain = null
    const left = this.#parts.filter(({ running }) => running)
    for (const part of left) part.unwanted()
    if (left.length > 0 && !(this.#within && this.#failure === null))
      this.#timer ??= setTimeout(() => this.#cancel(), this.#failure === null ? patienceMs : 0)
  }

  #cancel(): void {
    for (const { running, hold } of this.#parts) {
      if (!running || !hold.owed) continue
      hold.canceled = true
      hold.connection.cancel().catch(() => undefined)
    }
  }

  ended(part: ScatterPart, end: End): void {
    if (!this.#over && !this.#isBad(part, end) && this.#portal === null) {
      this.#merger?.end(part.index)
      this.#advance()
    }
    if (!this.#within) this.#settle(part, end)
    if (this.#parts.some(({ running }) => running)) return
    if (this.#within) this.#settleAll()
    this.#ended?.()
  }

  #settleAll(): void {
    for (const part of failedLast(this.#parts)) if (part.end !== null) this.#settle(part, part.end)
  }

  /** True: this is the end of the attempt. */
  #isBad(part: ScatterPart, end: End): boolean {
    const { hold } = part
    if (end.kind === 'ready' && end.error === null) return false
    const code = end.kind === 'ready' ? (end.error?.code ?? null) : null
    if (this.#unproved !== null && isMisfit(code)) {
      this.#stale()
      return true
    }
    const rerun = end.kind === 'lost' ? 'elsewhere' : rerunFor(code, hold.route.role)
    if (end.kind === 'lost') this.#forgive(part)
    const open = this.#conversation.session.transaction.kind === 'open'
    if (rerun !== null && !open && !this.#begun && this.#attempts < maxAttempts) {
      this.#again = true
      this.#onPrimaries ||= rerun === 'primary'
      if (rerun === 'elsewhere') avoid(this.#request, hold)
    }
    const error = end.kind === 'lost' ? lossError(hold.route, false, {}) : end.error === null ? null : new ServerError(end.error)
    this.#fail(error ?? new Error('a part has failed for no reason'))
    return true
  }

  /** A connection that was lost before anything was asked says nothing of its server now. */
  #forgive({ hold }: ScatterPart): void {
    const counted = { startedAt: this.#request.startedAt, attempts: this.#attempts }
    forgive(counted, hold)
    this.#attempts = counted.attempts
  }

  /** Something has gone to the client. */
  get #begun(): boolean {
    return this.#rows > 0
  }

  #settle(part: ScatterPart, end: End): void {
    settlePart(this.#conversation, this.#request, part, end)
  }
}

function namesOf({ client }: Form): readonly string[] {
  return client.map(({ name }) => name)
}

function beforeCopy(copy: CopyForm, form: Form): Uint8Array[] {
  const head = copyHead(copy, namesOf(form))
  return [encodeCopyResponse('out', copy.format === 'binary', form.client.length), ...(head === null ? [] : [head])]
}

const syncFrame = encodeSync()
const flushFrame = encodeFlush()
const describeStatement = encodeDescribe({ of: 'statement', name: '' })
const executeFrame = encodeExecute()
const executes: ExpectReply = { act: 'forward', reply: 'execute' }
const swallow: Readonly<Record<'parse' | 'bind' | 'statement' | 'portal' | 'close', ExpectReply>> = {
  close: { act: 'swallow', reply: 'close' },
  parse: { act: 'swallow', reply: 'parse' },
  bind: { act: 'swallow', reply: 'bind' },
  statement: { act: 'swallow', reply: 'describe-statement' },
  portal: { act: 'swallow', reply: 'describe-portal' },
}

const describes: readonly ExpectReply[] = [swallow.parse, swallow.statement, swallow.parse, swallow.statement]

export function told(each: Before, { description, parameters, client }: Form): readonly Uint8Array[] {
  if (each === 'statement') return [encodeParameterDescription(parameters), description]
  if (each !== 'portal') return [each]
  return [
    described(
      description,
      client.map(({ format }) => format),
    ),
  ]
}

/** One for each column, as Bind may say it. */
function formatsOf(results: readonly number[], count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => (results.length === 1 ? results[0] : results[index]) ?? 0)
}

/** As a server would say, which is not asked where LIMIT 0 leaves nothing to ask for. */
function requireCount(bind: Bind | null, oids: readonly number[]): void {
  const given = bind?.parameters ?? oids.length
  if (given !== oids.length)
    throw violation(`bind message supplies ${String(given)} parameters, but the statement requires ${String(oids.length)}`)
}

function parametersOf(bind: Bind | null, oids: readonly number[]): readonly MergeParameter[] {
  if (bind === null) return []
  return Array.from({ length: bind.parameters }, (_, index) => {
    const value = bind.parameter(index + 1)
    return { oid: oids[index] ?? 0, format: value?.binary === true ? 1 : 0, value: value?.bytes ?? null }
  })
}
