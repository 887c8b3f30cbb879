// server/reply-reader.ts — reads what a server sends, against the ledger, and gives each byte to whoever it belongs to.
// The common case costs nothing per row: runs of DataRows, and the small frames around them, leave as one slice per chunk.
//
// Acknowledgements (ParseComplete … RowDescription) are held while an execution is still to come:
// PostgreSQL buffers them likewise, so no client can tell; and a read that fails has forwarded nothing, and may be moved.
import {
  decodeCommandComplete,
  decodeParameterDescription,
  decodeParameterStatus,
  decodeReadyForQuery,
  encodeParameterDescription,
} from '../protocol/backend-messages.js'
import { decodeErrorFields, type ErrorFields } from '../protocol/error-fields.js'
import type { FrameHandler } from '../protocol/frame-reader.js'
import { Backend, backendName } from '../protocol/message-types.js'
import { violation } from '../protocol/violation.js'
import type { ExpectReply, ReplyKind, ReplySink, TransactionStatus } from './contract.js'
import { endsGroup, type Entry, type Ledger, type Owed } from './ledger.js'

/** Frames that decisions need are never longer than this; an ErrorResponse is inspected up to here and passed on beyond it. */
const INSPECTED = 64 * 1024
const LONGEST_STATUS = 1024 * 1024
/** Replies to our own queries are collected: one row may have this many bytes. */
const LONGEST_COLLECTED = 64 * 1024 * 1024
/** Acknowledgements held; beyond it they are given. */
const LONGEST_HELD = 256 * 1024

/** What the connection itself must know and do. */
export interface ReplyContext {
  readonly ledger: Ledger
  sink(): ReplySink | null
  /** The sink asked for a pause. */
  pause(): void
  status(status: TransactionStatus): void
  parameter(name: string, value: string): void
  /** FATAL or PANIC: the reason of the close that follows. */
  fatal(fields: ErrorFields): void
  /** CommandComplete of anything: DISCARD ALL and its like change what is known of the connection. */
  tag(tag: string): void
  /** Nothing is owed any more. */
  settled(): void
}

export class ReplyReader implements FrameHandler {
  readonly #context: ReplyContext
  readonly #ledger: Ledger
  /** What is to be given: closed slices, then the run chunk[start, end). */
  #slices: Uint8Array[] = []
  #chunk: Uint8Array | null = null
  #start = 0
  #end = 0
  #pending = 0
  /** Only acknowledgements are pending, and nothing of this group was given. */
  #holding = true
  #forwarded = false
  /** The sink withheld this group's error: the rest of the group is dropped. */
  #withholding = false
  /** Whose the parts are that come: the head's, or the rest of a long error or notice that is given or dropped. */
  #rest: 'head' | 'give' | 'drop' = 'head'

  constructor(context: ReplyContext) {
    this.#context = context
    this.#ledger = context.ledger
  }

  /** Bytes of the group at hand were given to the sink. */
  get forwarded(): boolean {
    return this.#forwarded
  }

  /** Parts that come now are given to the sink. */
  get passes(): boolean {
    return this.#rest === 'give' || (this.#rest === 'head' && !this.#drops(this.#ledger.head()))
  }

  /** To be called when a chunk was read, and when something was appended to the ledger. */
  flush(): void {
    if (!this.#holding || this.#pending > LONGEST_HELD || !this.#mayHold()) this.#give()
  }

  /** Entries at the head that no message was sent for. */
  advance(): void {
    for (let head = this.#ledger.head(); head !== undefined; head = this.#ledger.head()) {
      if (head.act === 'synthesize') {
        if (!this.#withholding) this.#append(head.bytes, 0, head.bytes.length)
      } else if (head.reply !== 'copy-end') return
      this.#ledger.shift()
    }
  }

  /** Forgets what is held: it will not be given. */
  drop(): void {
    this.#slices = []
    this.#chunk = null
    this.#pending = 0
  }

  collect(type: number, length: number): number {
    switch (type) {
      case Backend.DataRow:
      case Backend.CopyData:
        return this.#passes(type, length)
      case Backend.ErrorResponse:
      case Backend.NoticeResponse:
        return Math.min(length, INSPECTED)
      case Backend.FunctionCallResponse:
        return this.#passes(type, length)
      default:
        if (length > LONGEST_STATUS) throw violation(`${backendName(type) ?? 'a message of unknown type'} is too long`)
        return length
    }
  }

  part(chunk: Uint8Array, start: number, end: number): void {
    if (!this.passes) return
    this.#holding = false
    this.#append(chunk, start, end)
  }

  frame(type: number, chunk: Uint8Array, start: number, end: number, length: number): void {
    this.#rest = 'head'
    switch (type) {
      case Backend.CommandComplete:
        this.#commandComplete(chunk, start, end)
        return
      case Backend.ReadyForQuery:
        this.#ready(chunk, start, end)
        return
      case Backend.ErrorResponse:
        this.#error(chunk, start, end, length)
        return
      case Backend.NoticeResponse:
        this.#notice(chunk, start, end, length)
        return
      case Backend.ParameterStatus:
        this.#parameterStatus(chunk.subarray(start, end))
        return
      case Backend.NotificationResponse:
        this.#giveUnlessHeld()
        return this.#context.sink()?.notification?.(chunk.subarray(start, end))
      default:
        this.#reply(type, chunk, start, end)
        return
    }
  }

  /** 0: passed on; all of it for a collector. */
  #passes(type: number, length: number): number {
    const head = this.#ledger.head()
    if (head === undefined || head.act === 'synthesize') throw this.#unexpected(type)
    if (head.act === 'collect') {
      if (length > LONGEST_COLLECTED) throw violation('a row of a reply to a query of ours is too long')
      return length
    }
    if (replies[head.reply][type] !== 'stays') throw this.#unexpected(type)
    return 0
  }

  #reply(type: number, chunk: Uint8Array, start: number, end: number): void {
    const head = this.#ledger.head()
    if (head === undefined || head.act === 'synthesize') throw this.#unexpected(type)
    if (head.act === 'collect') {
      head.collector.frame(type, chunk.subarray(start, end))
      return
    }
    const effect = replies[head.reply][type]
    if (effect === undefined) throw this.#unexpected(type)
    if (!acknowledges.has(type) && head.act === 'forward') this.#holding = false
    if (type === Backend.ParameterDescription && head.parameters !== undefined)
      this.#shortened(head, head.parameters, chunk.subarray(start, end))
    else this.#forward(head, chunk, start, end)
    this.#tell(type, head, chunk, start, end)
    if (effect === 'ends') this.#shift()
  }

  #shortened(head: ExpectReply, parameters: number, frame: Uint8Array): void {
    const told = encodeParameterDescription(decodeParameterDescription(frame).slice(0, parameters))
    this.#forward(head, told, 0, told.length)
  }

  /** What a sink wants to know of a frame that is forwarded or swallowed all the same. */
  #tell(type: number, head: ExpectReply, chunk: Uint8Array, start: number, end: number): void {
    const direction = copies[type]
    if (direction !== undefined) {
      if (direction === 'in') this.#ledger.copyInStarted()
      this.#context.sink()?.copyStarted?.(direction, head)
    } else if (type === Backend.RowDescription || type === Backend.NoData) {
      if (head.reply !== 'query') this.#context.sink()?.rowsDescribed?.(chunk.subarray(start, end), head)
    } else if (type === Backend.ParameterDescription) {
      const sink = this.#context.sink()
      if (sink?.parameterDescription !== undefined) sink.parameterDescription(decodeParameterDescription(chunk.subarray(start, end)), head)
    }
  }

  #commandComplete(chunk: Uint8Array, start: number, end: number): void {
    const head = this.#ledger.head()
    if (head === undefined || head.act === 'synthesize') throw this.#unexpected(Backend.CommandComplete)
    const frame = chunk.subarray(start, end)
    const tag = decodeCommandComplete(frame)
    this.#context.tag(tag)
    if (head.act === 'collect') {
      head.collector.frame(Backend.CommandComplete, frame)
      return
    }
    const effect = replies[head.reply][Backend.CommandComplete]
    if (effect === undefined) throw this.#unexpected(Backend.CommandComplete)
    if (head.act === 'forward') this.#holding = false
    this.#forward(head, chunk, start, end)
    this.#context.sink()?.commandComplete?.(tag, head)
    if (effect === 'ends') this.#shift()
  }

  #error(chunk: Uint8Array, start: number, end: number, length: number): void {
    const cut = end - start < length
    const fields = decodeErrorFields(chunk.subarray(start, end), cut)
    if (fields.severity === 'FATAL' || fields.severity === 'PANIC') this.#context.fatal(fields)
    if (cut) this.#rest = 'drop'
    const head = this.#ledger.head()
    // Owed by nobody: a server that ends an idle connection says why.
    if (head === undefined || head.act === 'synthesize') return
    if (head.act === 'collect') head.collector.failed(fields)
    else if (!this.#withholding) this.#serverError(fields, head, chunk.subarray(start, end), cut)
    if (endsGroup(head)) this.#ledger.copyEnded()
    else this.#ledger.fail()
  }

  /** Asks the sink; a withheld error takes the acknowledgements held with it. One that was cut is not replaced. */
  #serverError(fields: ErrorFields, head: ExpectReply, frame: Uint8Array, cut: boolean): void {
    this.#giveUnlessHeld()
    const verdict = this.#context.sink()?.error(fields, head, frame) ?? 'withhold'
    if (verdict === 'withhold') {
      this.#withholding = true
      this.drop()
      return
    }
    this.#holding = false
    const given = verdict === 'forward' || cut ? frame : verdict
    this.#append(given, 0, given.length)
    if (cut) this.#rest = 'give'
  }

  #ready(chunk: Uint8Array, start: number, end: number): void {
    const status = decodeReadyForQuery(chunk.subarray(start, end))
    const head = this.#ledger.head()
    const owed = head ?? this.#ledger.strayReady()
    if (owed === null || owed.act === 'synthesize' || !endsGroup(owed)) throw this.#unexpected(Backend.ReadyForQuery)
    this.#context.status(status)
    if (!this.#withholding && (owed.act === 'collect' || owed.readyHeld !== true)) this.#forward(owed, chunk, start, end)
    if (head !== undefined) this.#ledger.shift()
    this.#give()
    this.#beginGroup()
    this.#settle()
    if (owed.act === 'collect') owed.collector.ready(status)
    else this.#context.sink()?.ready(status, owed)
    this.advance()
  }

  #beginGroup(): void {
    this.#holding = true
    this.#forwarded = false
    this.#withholding = false
  }

  #settle(): void {
    if (this.#ledger.size > 0) return
    this.#ledger.settle()
    this.#context.settled()
  }

  #notice(chunk: Uint8Array, start: number, end: number, length: number): void {
    const head = this.#ledger.head()
    const cut = end - start < length
    const drops = this.#drops(head)
    if (cut) this.#rest = drops ? 'drop' : 'give'
    if (!drops) {
      // What an execution says while it runs is for now: PostgreSQL flushes notices too.
      if (executes(head) && !isFarewell(chunk.subarray(start, end), cut)) this.#holding = false
      this.#append(chunk, start, end)
    } else if (head === undefined && !cut) this.#context.sink()?.notice?.(chunk.subarray(start, end))
  }

  #parameterStatus(frame: Uint8Array): void {
    const [name, value] = decodeParameterStatus(frame)
    this.#context.parameter(name, value)
    this.#giveUnlessHeld()
    this.#context.sink()?.parameterStatus?.(name, value)
  }

  #shift(): void {
    this.#ledger.shift()
    this.advance()
  }

  #forward(head: Owed, chunk: Uint8Array, start: number, end: number): void {
    if (!this.#drops(head)) this.#append(chunk, start, end)
  }

  #drops(head: Entry | undefined): boolean {
    return this.#withholding || head === undefined || head.act === 'swallow' || head.act === 'collect'
  }

  /** Acknowledgements may wait only for something that is sure to come: an execution, or the rest of a simple query. */
  #mayHold(): boolean {
    const head = this.#ledger.head()
    return !this.#forwarded && (this.#ledger.executes > 0 || (head !== undefined && head.act !== 'synthesize' && head.reply === 'query'))
  }

  #append(chunk: Uint8Array, start: number, end: number): void {
    this.#pending += end - start
    if (this.#chunk === chunk && this.#end === start) {
      this.#end = end
      return
    }
    this.#closeRun()
    this.#chunk = chunk
    this.#start = start
    this.#end = end
  }

  #closeRun(): void {
    const chunk = this.#chunk
    if (chunk === null) return
    this.#slices.push(this.#start === 0 && this.#end === chunk.length ? chunk : chunk.subarray(this.#start, this.#end))
    this.#chunk = null
  }

  #giveUnlessHeld(): void {
    if (!this.#holding) this.#give()
  }

  /** Hands everything pending to the sink. */
  #give(): void {
    if (this.#pending === 0) return
    this.#closeRun()
    const slices = this.#slices
    this.drop()
    this.#holding = false
    const sink = this.#context.sink()
    if (sink === null) return
    this.#forwarded = true
    for (const slice of slices) if (!sink.bytes(slice)) this.#context.pause()
  }

  #unexpected(type: number): Error {
    const head = this.#ledger.head()
    const owed = head === undefined ? 'nothing is owed' : `the reply to ${head.act === 'synthesize' ? 'nothing' : head.reply} is owed`
    return violation(`the server sent ${backendName(type) ?? 'a message of unknown type'} where ${owed}`)
  }
}

function executes(head: Entry | undefined): boolean {
  return (
    head !== undefined &&
    head.act !== 'synthesize' &&
    (head.reply === 'execute' || head.reply === 'query' || head.reply === 'function-call')
  )
}

type Effect = 'stays' | 'ends'

const copying: Readonly<Record<number, Effect>> = {
  [Backend.CopyInResponse]: 'stays',
  [Backend.CopyOutResponse]: 'stays',
  [Backend.CopyBothResponse]: 'stays',
  [Backend.CopyData]: 'stays',
  [Backend.CopyDone]: 'stays',
  [Backend.DataRow]: 'stays',
}
const described: Readonly<Record<number, Effect>> = { [Backend.RowDescription]: 'ends', [Backend.NoData]: 'ends' }

/** Which frames a reply is made of, and which of them ends it. ReadyForQuery and ErrorResponse have rules of their own. */
const replies: Readonly<Record<ReplyKind, Readonly<Record<number, Effect>>>> = {
  parse: { [Backend.ParseComplete]: 'ends' },
  bind: { [Backend.BindComplete]: 'ends' },
  close: { [Backend.CloseComplete]: 'ends' },
  'describe-statement': { ...described, [Backend.ParameterDescription]: 'stays' },
  'describe-portal': described,
  execute: {
    ...copying,
    [Backend.CommandComplete]: 'ends',
    [Backend.PortalSuspended]: 'ends',
    [Backend.EmptyQueryResponse]: 'ends',
  },
  query: { ...copying, [Backend.RowDescription]: 'stays', [Backend.CommandComplete]: 'stays', [Backend.EmptyQueryResponse]: 'stays' },
  'function-call': { [Backend.FunctionCallResponse]: 'stays' },
  sync: {},
  'copy-end': {},
}

const acknowledges: ReadonlySet<number> = new Set([
  Backend.ParseComplete,
  Backend.BindComplete,
  Backend.CloseComplete,
  Backend.ParameterDescription,
  Backend.RowDescription,
  Backend.NoData,
])

const copies: Readonly<Record<number, 'in' | 'out' | 'both'>> = {
  [Backend.CopyInResponse]: 'in',
  [Backend.CopyOutResponse]: 'out',
  [Backend.CopyBothResponse]: 'both',
}

/**
 * A server that stops at once, or of which another process crashed, says so in a warning and closes. Held like what came
 * before it: a read of which nothing else was given is sent elsewhere, and nobody need know.
 */
function isFarewell(frame: Uint8Array, cut: boolean): boolean {
  const { severity, code } = decodeErrorFields(frame, cut)
  return severity === 'WARNING' && (code === '57P01' || code === '57P02')
}
