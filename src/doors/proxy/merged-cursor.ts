// doors/proxy/merged-cursor.ts — one cursor, or one portal with a limit of rows, over several clusters. Each part keeps a portal of its
// own in the transaction, which has fixed what it sees; rows are asked of it by the number, so that between two fetches all connections
// are free for other statements. What has come and was not fetched yet waits in the merger, bounded by limits.merge_memory.
//
//   fetch(n): merger gives? ─▶ client        nothing left without more rows ─▶ Execute(portal, some) on the parts that it waits for
import { PointsmanError } from '../../errors/error.js'
import { lossError } from '../../execute/loss-error.js'
import { requireWholeFloats } from '../../execute/scatter.js'
import { encodeClose, encodeExecute, encodeSync } from '../../protocol/extended.js'
import { dataRows } from '../../protocol/row-form.js'
import type { ScatterPlan } from '../../routing/plan.js'
import type { ExpectReply } from '../../server/contract.js'
import { ServerError } from '../../server/server-error.js'
import { effective } from '../../session/settings.js'
import type { Conversation } from './conversation.js'
import type { End } from './hold.js'
import type { OpenCursor } from './merged-cursors.js'
import type { Request } from './request.js'
import { failedLast, ScatterPart, settlePart, type PartOwner } from './scatter-part.js'
import { openScatter, told, type OpenScatter, type ScatterAsk, type ScatterPortal } from './scatter.js'

type Row = readonly (Uint8Array | null)[]

/** Rows that leave together. */
const rowsAtOnce = 512
/** Bytes that one part is to send at a time, by what its rows were so far. */
const bytesAtOnce = 128 * 1024
const [fewest, first, most] = [8, 32, 10_000]

/** How values are written: rows that came before such a change would look other than those after it. */
const forms = [
  'DateStyle',
  'IntervalStyle',
  'TimeZone',
  'bytea_output',
  'extra_float_digits',
  'client_encoding',
  'xmlbinary',
  'lc_monetary',
]

const syncFrame = encodeSync()

export class MergedCursor implements PartOwner, OpenCursor {
  readonly #plan: ScatterPlan
  depth: number
  readonly #conversation: Conversation
  readonly #portal: string
  readonly #open: OpenScatter
  readonly #forms: readonly (string | undefined)[]
  #failed = false
  /** Rows were fetched, and the last fetch has not come to the end. */
  #onRow = false
  #running: readonly ScatterPart[] = []
  #settled: (() => void) | null = null
  #failure: { readonly error: unknown } | null = null
  #bytes = 0
  #rows = 0
  /** Bytes of the round at hand. */
  #round = 0

  private constructor(conversation: Conversation, plan: ScatterPlan, portal: string, open: OpenScatter) {
    this.#conversation = conversation
    this.#plan = plan
    this.#portal = portal
    this.#open = open
    this.depth = conversation.session.settings.undo.length
    this.#forms = formsOf(conversation)
  }

  /** Binds its portals. Rejects with what the client is to be told. */
  static async open(
    conversation: Conversation,
    request: Request,
    plan: ScatterPlan,
    ask: Pick<ScatterAsk, 'types' | 'bind'>,
    portal: ScatterPortal,
  ): Promise<MergedCursor> {
    const open = await openScatter(conversation, request, plan, ask, portal)
    return new MergedCursor(conversation, plan, portal.name, open)
  }

  get clusters(): readonly string[] {
    return this.#open.plans.map(({ cluster }) => cluster)
  }

  /** `statement`: parameters too. */
  described(of: 'statement' | 'portal'): readonly Uint8Array[] {
    return told(of, this.#open.form)
  }

  /** What is told of a step back, which it does not survive. */
  goesBack(): PointsmanError {
    const failed = this.#failed
    this.#failed = true
    return new PointsmanError(failed ? 'cursor_failed' : 'cursor_forward_only', { values: { name: this.#portal } })
  }

  /**
   * The next `count` rows at most, to the client; not `shown`: they are passed over. Resolves with how many there were. Rejects with
   * what the client is to be told, and the transaction has failed then.
   */
  async fetch(request: Request, count: number, shown: boolean): Promise<number> {
    const conversation = this.#conversation
    request.plan = this.#plan
    request.route = this.#open.route
    request.repeatable = false
    request.complete = false
    if (this.#failed) throw new PointsmanError('cursor_failed', { values: { name: this.#portal } })
    // To show the row again where it stands would be a step back; MOVE only tells that it stands on one.
    if (count === 0 && this.#onRow && shown) throw this.goesBack()
    if (count === 0) return this.#onRow ? 1 : 0
    requireWholeFloats(conversation.session.settings.values)
    this.#requireForms()
    try {
      const given = await this.#fetched(request, count, shown)
      this.#onRow = given === count
      return given
    } catch (error) {
      this.#failed = true
      throw error
    }
  }

  async #fetched(request: Request, count: number, shown: boolean): Promise<number> {
    const { merger } = this.#open
    let given = 0
    while (given < count) {
      const { rows, state } = merger.read(Math.min(count - given, rowsAtOnce))
      given += rows.length
      if (shown && rows.length > 0) await this.#give(rows)
      if (state === 'done') break
      if (state === 'waiting') await this.#more(request, count - given)
    }
    return given
  }

  async #give(rows: readonly Row[]): Promise<void> {
    const { output } = this.#conversation
    if (output.write(dataRows(rows))) return
    const drained = new Promise<void>((resolve) => (output.onDrain = resolve))
    await this.#conversation.unlessCanceled(drained).finally(() => (output.onDrain = null))
  }

  #requireForms(): void {
    const now = formsOf(this.#conversation)
    const changed = forms.find((_, i) => now[i] !== this.#forms[i])
    if (changed === undefined) return
    throw new PointsmanError('feature_not_supported', {
      values: { what: `${changed} has changed since the cursor was opened, and some of its rows have been written as before` },
      hint: 'Close the cursor and open it again.',
    })
  }

  /** Asks the parts that the merger waits for. */
  async #more(request: Request, left: number): Promise<void> {
    const { merger, plans } = this.#open
    const rows = this.#rowsToAsk(left)
    const parts: ScatterPart[] = []
    for (const [index, plan] of plans.entries()) {
      if (!merger.needs(index)) continue
      parts.push(new ScatterPart(index, plan, await this.#conversation.holdFor(plan, request), this))
    }
    if (parts.length === 0) throw new Error('a merger waits for nobody')
    request.route = this.#open.route
    this.#round = 0
    const frames = [encodeExecute(this.#portal, rows), syncFrame]
    await this.#exchanged(request, parts, frames, { act: 'forward', reply: 'execute' })
    for (const part of parts) if (!part.suspended) merger.end(part.index)
  }

  /** Groups and distinct rows are made of all that there is, whatever is wanted of them. */
  #rowsToAsk(left: number): number {
    const { group, distinct } = this.#plan.merge
    const some = this.#rows === 0 ? first : Math.min(Math.max(Math.floor((bytesAtOnce * this.#rows) / this.#bytes), fewest), most)
    return group !== null || distinct !== null ? some : Math.min(some, Math.max(left, fewest))
  }

  async #exchanged(request: Request, parts: readonly ScatterPart[], frames: readonly Uint8Array[], reply: ExpectReply): Promise<void> {
    const conversation = this.#conversation
    this.#failure = null
    this.#running = parts
    const all = new Promise<void>((resolve) => (this.#settled = resolve))
    for (const part of parts) {
      conversation.starting(part.hold, part.plan, request)
      request.repeatable = false
      part.hold.unnamed = null
      const sync: ExpectReply = { act: 'swallow', reply: 'sync' }
      part.run(frames, [reply, sync], sync)
    }
    await all
    for (const part of failedLast(parts)) if (part.end !== null) settlePart(conversation, request, part, part.end)
    conversation.requirePresent()
    const failure = this.#failure as { readonly error: unknown } | null
    if (failure !== null) throw failure.error
  }

  /** Closes its portals, where they are still open. */
  async close(request: Request): Promise<void> {
    this.#failed = true
    const parts: ScatterPart[] = []
    for (const [index, plan] of this.#open.plans.entries())
      parts.push(new ScatterPart(index, plan, await this.#conversation.holdFor(plan, request), this))
    const frames = [encodeClose({ of: 'portal', name: this.#portal }), syncFrame]
    await this.#exchanged(request, parts, frames, { act: 'swallow', reply: 'close' })
  }

  // ---- of the parts

  came(part: ScatterPart, rows: readonly Row[]): boolean {
    let bytes = 0
    for (const row of rows) for (const value of row) bytes += 8 + (value?.length ?? 0)
    this.#round += bytes
    this.#bytes += bytes
    this.#rows += rows.length
    const limit = this.#conversation.generation.config.limits.mergeMemoryBytes
    if (this.#round > limit) this.failed(part, new PointsmanError('merge_memory', { values: { limit, what: 'rows of a cursor' } }))
    else this.#open.merger.push(part.index, rows)
    return true
  }

  failed(_part: ScatterPart, error: unknown): void {
    this.#failure ??= { error }
    for (const part of this.#running) if (part.running) part.unwanted()
  }

  ended(part: ScatterPart, end: End): void {
    if (end.kind === 'lost') this.failed(part, lossError(part.hold.route, false, {}))
    else if (end.error !== null) this.failed(part, new ServerError(end.error))
    if (this.#running.every(({ running }) => !running)) this.#settled?.()
  }
}

function formsOf({ session }: Conversation): readonly (string | undefined)[] {
  return forms.map((name) => effective(session.settings, name))
}
