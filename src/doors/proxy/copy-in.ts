// doors/proxy/copy-in.ts — COPY … FROM STDIN into a sharded table: the client's rows are told apart (protocol/copy-split.ts), each by its
// key, and go to a COPY of the same text on the cluster where it lives. All of them are parts of one transaction.
//
//   BEGIN everywhere ─ COPY where rows go ─ rows … ─ CopyDone to each ─ COMMIT of all (joint.ts) ─ one COPY n
//                                             └─ an error, CopyFail: CopyFail to each, ROLLBACK of all
//
// Without two_phase all rows must be for one cluster: the first one tells which.
import { PointsmanError } from '../../errors/error.js'
import { encodeCommandComplete, decodeCommandComplete } from '../../protocol/backend-messages.js'
import { copySplit, type CopyRow, type CopySplit } from '../../protocol/copy-split.js'
import { encodeCopyFail } from '../../protocol/query.js'
import { Backend, Frontend } from '../../protocol/message-types.js'
import { violation } from '../../protocol/violation.js'
import type { BroadcastPlan, CopyRows, OnePlan } from '../../routing/plan.js'
import { ServerError } from '../../server/server-error.js'
import { directoryTries } from '../../sharding/directories.js'
import type { Key } from '../../sharding/key.js'
import { shardOf } from '../../sharding/shard-of.js'
import type { ClientFrame } from './client-input.js'
import type { Conversation } from './conversation.js'
import { CopyPart } from './copy-part.js'
import { copyKeys } from './copy-keys.js'
import type { End, Hold } from './hold.js'
import type { Request } from './request.js'

/** Runs it to its end and tells the client all but ReadyForQuery. Rejects with what it is to be told instead; nothing stands then. */
export function runCopyIn(
  conversation: Conversation,
  request: Request,
  plan: BroadcastPlan,
  copy: CopyRows,
  frame: Uint8Array,
): Promise<void> {
  return new CopyIn(conversation, request, plan, copy, frame).run()
}

class CopyIn {
  readonly #conversation: Conversation
  readonly #request: Request
  readonly #plan: BroadcastPlan
  readonly #copy: CopyRows
  readonly #frame: Uint8Array
  readonly #own: boolean
  readonly #split: CopySplit
  readonly #payload = new Payload()
  readonly #holds = new Map<string, Hold>()
  readonly #parts = new Map<string, CopyPart>()
  #told = false

  constructor(conversation: Conversation, request: Request, plan: BroadcastPlan, copy: CopyRows, frame: Uint8Array) {
    this.#conversation = conversation
    this.#request = request
    this.#plan = plan
    this.#copy = copy
    this.#frame = frame
    this.#own = conversation.session.transaction.kind === 'idle'
    const { mergeMemoryBytes } = conversation.generation.config.limits
    this.#split = copySplit(
      copy.form,
      copy.key.map(({ position }) => position),
      mergeMemoryBytes,
    )
  }

  async run(): Promise<void> {
    const conversation = this.#conversation
    const [first] = this.#plan.parts
    if (first === undefined) throw new Error('a COPY has no parts')
    let tag: string
    try {
      if (this.#own) conversation.joint.beginOwn()
      await this.#take()
      await this.#open(first)
      await this.#follow()
      tag = await this.#done()
      if (this.#own) await conversation.joint.end('commit')
    } catch (error) {
      await this.#breakOff()
      if (this.#own) await conversation.joint.takeBack()
      throw error
    }
    conversation.output.write(encodeCommandComplete(tag))
  }

  // ---- connections

  /** Where rows may be for several clusters the transaction comes to all of them before the first COPY keeps its connection busy. */
  async #take(): Promise<void> {
    const conversation = this.#conversation
    const [first, ...others] = this.#plan.parts
    if (!this.#copy.several || first === undefined) return
    const hold = await this.#hold(first)
    if (conversation.session.transaction.kind !== 'open') {
      hold.unnamed = null
      await hold.connection.query('SELECT')
      conversation.unused(hold)
    }
    for (const part of others) await this.#hold(part)
  }

  async #hold(plan: OnePlan): Promise<Hold> {
    const known = this.#holds.get(plan.cluster)
    if (known !== undefined) return known
    const hold = await this.#conversation.holdFor(plan, this.#request)
    this.#holds.set(plan.cluster, hold)
    return hold
  }

  async #open(plan: OnePlan): Promise<CopyPart> {
    const conversation = this.#conversation
    const hold = await this.#hold(plan)
    const wrote = hold.writing
    conversation.starting(hold, plan, this.#request)
    this.#request.repeatable = false
    this.#request.complete = false
    hold.unnamed = null
    const headLines = this.#copy.form.format === 'binary' ? 0 : 1
    const part = new CopyPart(plan, hold, { wroteBefore: wrote, headLines, onEnd: () => conversation.input.nudge() })
    this.#parts.set(plan.cluster, part)
    await part.start(this.#frame)
    this.#requireWell()
    if (!this.#told) this.#tell(part)
    return part
  }

  /** What the first server says of the rows holds for all. */
  #tell({ response }: CopyPart): void {
    const { columns, table } = this.#copy
    if (response?.[0] !== Backend.CopyInResponse) throw new Error('a server has begun a COPY without saying so')
    const found = Buffer.from(response).readUInt16BE(6)
    if (found !== columns) {
      const what = `COPY of ${table} has ${String(found)} columns there, and its catalog tells of ${String(columns)}`
      throw new PointsmanError('feature_not_supported', { values: { what }, hint: 'Name the columns.' })
    }
    this.#told = true
    this.#conversation.output.write(response)
  }

  /** Throws what has ended before its time. */
  #requireWell(): void {
    this.#conversation.requirePresent()
    for (const part of this.#parts.values()) if (part.end !== null) throw failure(part, part.end)
  }

  // ---- rows

  async #follow(): Promise<void> {
    for (;;) {
      const { type, bytes } = await this.#next()
      switch (type) {
        case Frontend.CopyData:
          for (const piece of this.#payload.of(bytes)) this.#split.give(piece)
          await this.#send()
          break
        case Frontend.CopyDone:
          this.#split.finish()
          await this.#send()
          return
        case Frontend.CopyFail:
          throw await this.#failed(bytes)
        case Frontend.Flush:
        case Frontend.Sync:
          break
        case Frontend.Terminate:
          this.#conversation.leave()
          break
        default: {
          const error = violation('unexpected message during COPY from stdin')
          this.#conversation.endWith(error)
          throw error
        }
      }
    }
  }

  async #next(): Promise<ClientFrame> {
    const { input } = this.#conversation
    for (;;) {
      this.#requireWell()
      const frame = input.shift()
      if (frame !== undefined) return frame
      if (input.ended) this.#conversation.leave()
      else await input.wait()
    }
  }

  async #send(): Promise<void> {
    for (let row = this.#split.next(); row !== null; row = this.#split.next()) {
      const cluster = this.#clusterOf(row)
      const part = this.#partOf(typeof cluster === 'string' ? cluster : await cluster, row)
      const to = part instanceof CopyPart ? part : await part
      if (to.add(row, this.#split.head)) continue
      await to.drained()
      this.#requireWell()
    }
  }

  #clusterOf(row: CopyRow): string | Promise<string> {
    const { sharded } = this.#copy
    const keys = copyKeys(this.#copy, row)
    const placed = shardOf(sharded, keys, this.#conversation.generation.directories)
    if (placed.kind === 'placement') return placed.cluster
    return placed.kind === 'lookup' ? this.#looked(keys, placed.key, row) : this.#unplaced(placed.problem, row)
  }

  async #looked(keys: readonly Key[], key: readonly string[], row: CopyRow): Promise<string> {
    const { directories } = this.#conversation.generation
    const { sharded } = this.#copy
    for (let tries = 0; tries < directoryTries; tries++) {
      await directories.ask({ sharded, keys: [key] }, this.#conversation.session.database)
      this.#requireWell()
      const placed = shardOf(sharded, keys, directories)
      if (placed.kind === 'placement') return placed.cluster
      if (placed.kind === 'problem') return this.#unplaced(placed.problem, row)
    }
    return this.#unplaced(`is not in the directory of ${sharded.name}`, row)
  }

  #unplaced(problem: string, { line }: CopyRow): never {
    const { key, table } = this.#copy
    const columns = key.map(({ column }) => column).join(', ')
    throw new PointsmanError('feature_not_supported', {
      values: { what: `the shard key ${columns} of ${table} ${problem}` },
      detail: `COPY ${table}, line ${String(line)}.`,
    })
  }

  #partOf(cluster: string, row: CopyRow): CopyPart | Promise<CopyPart> {
    return this.#parts.get(cluster) ?? this.#opened(cluster, row)
  }

  async #opened(cluster: string, row: CopyRow): Promise<CopyPart> {
    const { several } = this.#copy
    const [only] = this.#parts.values()
    if (!several && only !== undefined) {
      // What was begun before anything was known is taken back.
      if (!this.#own || only.rows > 0) throw this.#elsewhere(cluster, only.hold.cluster, row)
      await this.#breakOff()
      await this.#conversation.joint.takeBack()
      this.#conversation.requirePresent()
      this.#parts.clear()
      this.#holds.clear()
      this.#conversation.joint.beginOwn()
    }
    const plan = this.#plan.parts.find((part) => part.cluster === cluster)
    if (plan === undefined) throw this.#elsewhere(cluster, only?.hold.cluster ?? '', row)
    return this.#open(plan)
  }

  #elsewhere(cluster: string, before: string, { line }: CopyRow): PointsmanError {
    const { table } = this.#copy
    return new PointsmanError('feature_not_supported', {
      values: { what: `COPY into ${table}, whose rows are for several clusters (${before}, ${cluster}), needs two_phase` },
      hint: 'Give the database two_phase: true, or COPY the rows of each cluster by themselves: `pointsman shard` tells which they are.',
      detail: `COPY ${table}, line ${String(line)}.`,
    })
  }

  // ---- ends

  async #done(): Promise<string> {
    const parts = [...this.#parts.values()]
    for (const part of parts) part.finish(this.#split.head, this.#split.tail)
    await Promise.all(parts.map((part) => part.ended))
    for (const part of parts) if (part.end?.kind !== 'ready' || part.end.error !== null) throw failure(part, part.end as End)
    const copied = parts.map((part) => BigInt(/^COPY (\d+)$/.exec(decodeCommandComplete(part.complete))?.[1] ?? '0'))
    for (const part of parts) this.#settle(part)
    this.#parts.clear()
    return `COPY ${String(copied.reduce((sum, count) => sum + count, 0n))}`
  }

  /** What the server says to the client's CopyFail. */
  async #failed(frame: Uint8Array): Promise<unknown> {
    const [part] = this.#parts.values()
    if (part === undefined) throw new Error('a COPY has failed that was not begun')
    part.fail(frame)
    return failure(part, await part.ended)
  }

  /** Nothing of it is to stand. All have stopped before any of them is settled: what is in a COPY can be told nothing else. */
  async #breakOff(): Promise<void> {
    const parts = [...this.#parts.values()]
    for (const part of parts) part.fail(brokenOff)
    await Promise.all(parts.map((part) => part.ended))
    for (const part of parts) this.#settle(part)
    this.#parts.clear()
  }

  #settle(part: CopyPart): void {
    const { hold, plan, end } = part
    if (end === null) return
    hold.diversion = null
    // A COPY without rows has written nothing, unless a trigger has: the server is asked when it is committed.
    if (part.rows === 0 && !part.wroteBefore && end.kind === 'ready' && end.error === null) hold.writing = false
    if (end.kind === 'lost' && this.#own) this.#conversation.settlePart(hold, plan, this.#request, end)
    else this.#conversation.settle(hold, plan, this.#request, end)
  }
}

const brokenOff = encodeCopyFail('the rows on other clusters have failed')

function failure({ hold, errorFields }: CopyPart, end: End): unknown {
  if (end.kind === 'lost') return new PointsmanError('connection_lost', { values: { node: hold.route.node, cluster: hold.cluster } })
  return errorFields === null ? new Error('a COPY has ended before its time') : new ServerError(errorFields)
}

/** What CopyData messages hold, as pieces of them come. */
class Payload {
  /** Bytes of the message at hand that are still to come. */
  #rest = 0
  readonly #head = Buffer.alloc(5)
  #headed = 0

  of(bytes: Uint8Array): readonly Uint8Array[] {
    const pieces: Uint8Array[] = []
    let at = 0
    while (at < bytes.length) {
      if (this.#rest > 0) {
        const piece = bytes.subarray(at, at + this.#rest)
        this.#rest -= piece.length
        at += piece.length
        pieces.push(piece)
        continue
      }
      this.#head[this.#headed++] = bytes[at++] as number
      if (this.#headed < 5) continue
      this.#headed = 0
      this.#rest = this.#head.readUInt32BE(1) - 4
    }
    return pieces
  }
}
