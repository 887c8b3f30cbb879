// doors/proxy/scatter-part.ts — one of the servers that a scatter read is on: its replies are cut into rows for whoever merges them,
// and it is held back while nobody wants more.
import { otherColumns } from '../../execute/scatter.js'
import type { ErrorFields } from '../../protocol/error-fields.js'
import { FrameReader, type FrameHandler } from '../../protocol/frame-reader.js'
import { Backend } from '../../protocol/message-types.js'
import { rowValues } from '../../protocol/row-form.js'
import { describedColumns, type DescribedColumn } from '../../protocol/rows.js'
import { alikeColumns } from '../../protocol/same-columns.js'
import type { OnePlan } from '../../routing/plan.js'
import type { ExpectReply } from '../../server/contract.js'
import type { Conversation } from './conversation.js'
import type { Diversion } from './diversion.js'
import type { End, Hold } from './hold.js'
import type { Request } from './request.js'

type Row = readonly (Uint8Array | null)[]

export interface PartOwner {
  /** True: it may go on sending. */
  came(part: ScatterPart, rows: readonly Row[]): boolean
  /** `error`: what the client is to be told of it. */
  failed(part: ScatterPart, error: unknown): void
  ended(part: ScatterPart, end: End): void
  /** One more of its statements is described. */
  statementDescribed?(part: ScatterPart): void
}

/** Replies that have come for what was asked of one server. */
export class ScatterPart implements Diversion, FrameHandler {
  readonly index: number
  readonly plan: OnePlan
  readonly hold: Hold
  /** What it should answer in; null: any. */
  columns: readonly DescribedColumn[] | null = null
  /** Descriptions in the order in which they were asked for. */
  readonly descriptions: Uint8Array[] = []
  parameters: readonly number[] = []
  error: ErrorFields | null = null
  end: End | null = null
  /** It has stopped for the number of rows that was asked for. */
  suspended = false
  /** Its rows are wanted; else they are read and dropped. */
  wanted = true
  /** The server's socket is paused. */
  #paused = false
  readonly #owner: PartOwner
  readonly #reader = new FrameReader(this)
  #rows: Row[] = []

  constructor(index: number, plan: OnePlan, hold: Hold, owner: PartOwner) {
    this.index = index
    this.plan = plan
    this.hold = hold
    this.#owner = owner
    hold.diversion = this
  }

  /** Sends a group; its end is told to the owner. */
  run(frames: readonly Uint8Array[], expects: readonly ExpectReply[], sync: ExpectReply): void {
    this.hold.whenEnded(sync, (end) => {
      this.end = end
      this.#owner.ended(this, end)
    })
    this.hold.send(frames, expects)
  }

  get running(): boolean {
    return this.end === null
  }

  get paused(): boolean {
    return this.#paused
  }

  resume(): void {
    this.#paused = false
    this.hold.resume()
  }

  /** What it still has to say is of no use. */
  unwanted(): void {
    this.wanted = false
    this.resume()
  }

  bytes(chunk: Uint8Array): boolean {
    if (!this.wanted) return true
    try {
      this.#reader.push(chunk)
      const rows = this.#rows
      this.#rows = []
      this.#paused = rows.length > 0 && !this.#owner.came(this, rows) && this.wanted
    } catch (error) {
      this.#owner.failed(this, error)
    }
    return !this.#paused
  }

  collect(_type: number, length: number): number {
    return length
  }

  frame(type: number, chunk: Uint8Array, start: number, end: number): void {
    if (type === Backend.DataRow) this.#rows.push(rowValues(chunk, start, end))
    else if (type === Backend.PortalSuspended) this.suspended = true
  }

  part(): void {
    return undefined
  }

  failed(fields: ErrorFields): void {
    this.error = fields
  }

  rowsDescribed(frame: Uint8Array, { reply }: ExpectReply): void {
    if (reply !== 'describe-portal') {
      this.descriptions.push(Uint8Array.from(frame))
      this.#owner.statementDescribed?.(this)
    } else if (this.columns !== null && !alikeColumns(this.columns, describedColumns(frame)))
      this.#owner.failed(this, otherColumns(this.hold.cluster))
  }

  parametersDescribed(oids: readonly number[]): void {
    this.parameters = oids
  }
}

/** Gives the connection of a part that has ended back to where the session is. */
export function settlePart(conversation: Conversation, request: Request, { hold, plan }: ScatterPart, end: End): void {
  hold.diversion = null
  if (end.kind === 'lost' && conversation.session.transaction.kind === 'open') {
    // The transaction is gone with it, and the client is told so.
    conversation.settle(hold, plan, request, end)
    return
  }
  // What the client hears of its error is told for all parts together.
  conversation.settlePart(hold, plan, request, end.kind === 'lost' ? end : { ...end, error: null, withheld: false })
}

/** In the order in which they are settled within a transaction: what has failed takes it on the others with it, which must owe nothing then. */
export function failedLast(parts: readonly ScatterPart[]): readonly ScatterPart[] {
  const rank = ({ end }: ScatterPart): number => (end?.kind === 'lost' ? 2 : end?.error !== null ? 1 : 0)
  return parts.toSorted((a, b) => rank(a) - rank(b))
}
