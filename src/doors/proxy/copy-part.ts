// doors/proxy/copy-part.ts — one cluster's share of a COPY … FROM STDIN (copy-in.ts): rows are gathered into messages, and what the server
// says of a line of its own is said of the client's line.
import type { ErrorFields } from '../../protocol/error-fields.js'
import type { CopyRow } from '../../protocol/copy-split.js'
import { Backend } from '../../protocol/message-types.js'
import { encodeCopyData, encodeCopyDone } from '../../protocol/query.js'
import type { OnePlan } from '../../routing/plan.js'
import type { ExpectReply } from '../../server/contract.js'
import { framesOf } from './broadcast.js'
import type { Diversion } from './diversion.js'
import type { End, Hold } from './hold.js'

/** Rows that leave together, in bytes. */
const together = 32 * 1024
/** Of so many rows it is known which line of the client's they were. */
const remembered = 65_536

interface CopyPartGiven extends Pick<CopyPart, 'wroteBefore'> {
  /** Lines that what every part begins with takes. */
  readonly headLines: number
  readonly onEnd: () => void
}

export class CopyPart implements Diversion {
  readonly plan: OnePlan
  readonly hold: Hold
  /** The transaction had written there before. */
  readonly wroteBefore: boolean
  /** Resolves when the server has said all. */
  readonly ended: Promise<End>
  end: End | null = null
  /** CopyInResponse; null: it has not come. */
  response: Uint8Array | null = null
  rows = 0
  /** What every part begins with has been written. */
  #begins = false
  #error: ErrorFields | null = null
  readonly #replies: Uint8Array[] = []
  /** Lines that what every part begins with takes. */
  readonly #headLines: number
  readonly #onEnd: () => void
  #resolve: (end: End) => void = () => undefined
  #begun: (() => void) | null = null
  #pieces: Uint8Array[] = []
  #size = 0
  #line = 0
  #lines: Uint32Array | null = null

  constructor(plan: OnePlan, hold: Hold, { wroteBefore, headLines, onEnd }: CopyPartGiven) {
    this.plan = plan
    this.hold = hold
    this.wroteBefore = wroteBefore
    this.#headLines = headLines
    this.#onEnd = onEnd
    this.ended = new Promise((resolve) => (this.#resolve = resolve))
  }

  /** Resolves when the server waits for rows, or has ended. */
  start(frame: Uint8Array): Promise<void> {
    const { hold } = this
    const last: ExpectReply = { act: 'forward', reply: 'query' }
    hold.diversion = this
    hold.whenEnded(last, (end) => {
      this.end = end
      this.#resolve(end)
      this.#begun?.()
      this.#onEnd()
    })
    const begun = new Promise<void>((resolve) => (this.#begun = resolve))
    hold.send([frame], [last])
    return begun
  }

  #begin(head: Uint8Array | null): void {
    if (this.#begins) return
    this.#begins = true
    if (head === null) return
    this.#line = this.#headLines
    this.#put(head)
  }

  /** `head`: what every part begins with. False: wait for drained(). */
  add({ bytes, line, lines }: CopyRow, head: Uint8Array | null): boolean {
    this.#begin(head)
    this.#line += lines
    this.#lines ??= new Uint32Array(2 * remembered)
    const at = 2 * (this.rows % remembered)
    this.#lines[at] = this.#line
    this.#lines[at + 1] = line
    this.rows += 1
    this.#put(Uint8Array.from(bytes))
    return this.#size < together || this.#flush()
  }

  #put(bytes: Uint8Array): void {
    this.#pieces.push(bytes)
    this.#size += bytes.length
  }

  #flush(): boolean {
    if (this.#size === 0) return true
    const data = encodeCopyData(Buffer.concat(this.#pieces))
    this.#pieces = []
    this.#size = 0
    return this.end !== null || this.hold.copyData(data, 0)
  }

  drained(): Promise<void> {
    return this.hold.drained()
  }

  /** `tail`: what every part ends with. */
  finish(head: Uint8Array | null, tail: Uint8Array | null): void {
    this.#begin(head)
    if (tail !== null) this.#put(tail)
    this.#flush()
    this.#stop(copyDone)
  }

  /** Takes all of it back. */
  fail(frame: Uint8Array): void {
    this.#pieces = []
    this.#size = 0
    this.#stop(frame)
  }

  #stop(frame: Uint8Array): void {
    if (!this.hold.copying || this.end !== null) return
    this.hold.copying = false
    this.hold.send([frame], [{ act: 'forward', reply: 'copy-end' }])
  }

  // ---- replies

  bytes(chunk: Uint8Array): boolean {
    this.#replies.push(Uint8Array.from(chunk))
    if (this.response !== null) return true
    this.response = framesOf(this.#replies).find((frame) => frame[0] === Backend.CopyInResponse) ?? null
    if (this.response !== null) this.#begun?.()
    return true
  }

  /** Its CommandComplete. */
  get complete(): Uint8Array {
    const found = framesOf(this.#replies).find((frame) => frame[0] === Backend.CommandComplete)
    if (found === undefined) throw new Error('a COPY has ended without a word')
    return found
  }

  failed(fields: ErrorFields): void {
    this.#error = fields
  }

  /** What it has failed with, told of the client's lines. */
  get errorFields(): ErrorFields | null {
    const error = this.#error
    const { where } = error ?? {}
    if (error === null || where === undefined) return error
    return {
      ...error,
      where: where.replace(/^(COPY .*?, line )(\d+)/m, (_, words: string, line: string) => `${words}${this.#clientLine(Number(line))}`),
    }
  }

  #clientLine(line: number): string {
    const lines = this.#lines
    const known = Math.min(this.rows, remembered)
    for (let row = 0; lines !== null && row < known; row++) if (lines[2 * row] === line) return String(lines[2 * row + 1])
    return `${String(line)} of those for cluster ${this.hold.cluster}`
  }

  rowsDescribed(): void {
    return undefined
  }

  parametersDescribed(): void {
    return undefined
  }
}

const copyDone = encodeCopyDone()
