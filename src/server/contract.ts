// server/contract.ts — one PostgreSQL connection as the proxy, the monitor and the pool see it. Bytes pass through
// untouched; the connection keeps the **reply ledger**, so nobody else has to guess when an exchange is over:
//
//   exchange.send(frames, expects)      ledger: [parse][bind][synthesize][execute][sync]
//        │                                          ▲ head: what the next reply frame belongs to
//        ▼                                          │
//     socket  ──────────────▶ server ───────▶ reply frames ──▶ sink.bytes() | swallowed | sink.error() …
import type { NodeConfig } from '../config/config.js'
import type { ErrorFields } from '../protocol/error-fields.js'
import type { PooledConnection } from '../pool/contract.js'

/** The byte of the last ReadyForQuery: idle, in a transaction, in a failed transaction. */
export type TransactionStatus = 'I' | 'T' | 'E'

/**
 * Which reply a sent message is owed. Flush, CopyData and Terminate are owed none and need no entry.
 * `query` and `function-call` end with their own ReadyForQuery. `copy-end` marks a CopyDone or CopyFail: it is owed nothing,
 * but must be told, since a server in copy-in mode ignores every Sync that it reads before it.
 */
export type ReplyKind =
  'parse' | 'bind' | 'describe-statement' | 'describe-portal' | 'execute' | 'close' | 'sync' | 'query' | 'function-call' | 'copy-end'

/** One entry of the ledger, in the order of the messages sent. Entries are never changed: constants may be shared. */
export type Expect = ExpectReply | ExpectNothing

export interface ExpectReply {
  /** `forward`: its frames go to sink.bytes(). `swallow`: they are read and dropped (its errors are still told). */
  readonly act: 'forward' | 'swallow'
  readonly reply: ReplyKind
  /** Of a `parse`: the key in `statements` it prepares. Forgotten there by the connection if the Parse fails or is skipped. */
  readonly prepares?: string
  /** Of a `close`: the server-side statement name it closes. If the Close is skipped, `statements` hands the name out again. */
  readonly closes?: string
  /** Of a `describe-statement`: whoever asks is told of so many parameters; those behind them are ours. */
  readonly parameters?: number
  /** Its ReadyForQuery is read and told in ready(), and not given: whoever waits for it gets one of ours. */
  readonly readyHeld?: true
  /** For the sink alone: told back in error() and ready(). */
  readonly label?: string
}

/** No message was sent: `bytes` (whole backend frames) go to the client when the entry reaches the head. Dropped where an error skips it. */
export interface ExpectNothing {
  readonly act: 'synthesize'
  readonly bytes: Uint8Array
}

/** Why and when a connection was lost. */
export interface Loss {
  readonly reason: string
  /** The server's last FATAL or PANIC, where it said one. */
  readonly error: ErrorFields | null
  /** Bytes of a group whose ReadyForQuery has not come had been handed to the socket: it may have run. */
  readonly written: boolean
  /** Bytes of that group's replies had been given to sink.bytes(). */
  readonly forwarded: boolean
  /** What was given to sink.bytes() ends within a frame: nothing that follows could be understood. */
  readonly torn: boolean
  /** A reply was owed: something was in flight. */
  readonly owed: boolean
}

/** The one consumer of a connection. Called synchronously while a chunk is read; must not throw. */
export interface ReplySink {
  /**
   * Replies to pass on: many frames, or a part of one; a slice of what the socket gave, never changed afterwards.
   * Return false to pause the server's socket until exchange.resume(); what is left of the present chunk still comes.
   * Acknowledgements (ParseComplete … RowDescription) that stand before an `execute` are held, as PostgreSQL itself
   * holds them, until its first frame comes: so a failed or lost read has forwarded nothing, and may be sent elsewhere.
   */
  bytes(chunk: Uint8Array): boolean
  /** ReadyForQuery, after all bytes before it (and its own frame, if its entry says forward) were given. */
  ready(status: TransactionStatus, expect: ExpectReply): void
  /**
   * An ErrorResponse, before its frame is given. `forward` gives the frame (also for a swallowed entry); `withhold`
   * drops it, the acknowledgements held, and everything up to and including the ReadyForQuery that ends its group:
   * ready() is still called. `expect` is the entry that failed. Another `frame` in place of the one that came is given instead.
   */
  error(fields: ErrorFields, expect: ExpectReply, frame: Uint8Array): 'forward' | 'withhold' | Uint8Array
  /** The tag of a CommandComplete, as soon as it is read: its bytes, where forwarded, may be given a little later. */
  commandComplete?(tag: string, expect: ExpectReply): void
  /** Never part of bytes(): what the client is told is the sink's business. */
  parameterStatus?(name: string, value: string): void
  /** A whole NotificationResponse frame; never part of bytes(). May come at any time. */
  notification?(frame: Uint8Array): void
  /** A NoticeResponse outside of any reply (a notice inside a forwarded reply is part of bytes()). */
  notice?(frame: Uint8Array): void
  /** Parameter types of a statement, from a `describe-statement` that is forwarded or swallowed. */
  parameterDescription?(oids: readonly number[], expect: ExpectReply): void
  /** A RowDescription or NoData of a `describe-statement` or `describe-portal`, forwarded or swallowed; a slice of what the socket gave. */
  rowsDescribed?(frame: Uint8Array, expect: ExpectReply): void
  copyStarted?(direction: 'in' | 'out' | 'both', expect: ExpectReply): void
  /** All that the socket gave has been read: whoever hears the end of a group here may use the connection, or give it back. */
  chunkRead?(): void
  /** The socket took what was written: send() or write() had returned false. */
  drain?(): void
  /** The connection is gone; nothing is called after this. */
  closed(loss: Loss): void
}

export interface Exchange {
  /**
   * Writes original frames (slices in order, not necessarily aligned to frames) and appends to the ledger. All that is
   * sent within one turn of the event loop goes out in one write. False: wait for sink.drain() before sending more.
   * Nothing is written on a connection that was lost; closed() has been or will be called.
   */
  send(frames: readonly Uint8Array[], expects: readonly Expect[]): boolean
  /** Bytes that are owed no reply of their own: CopyData, or the rest of a frame whose beginning send() took. */
  write(bytes: Uint8Array): boolean
  /** Ends the pause that bytes() asked for. */
  resume(): void
  /** Bytes were given to the sink since the last ReadyForQuery (of any act). */
  readonly forwarded: boolean
  /** Bytes were handed to the socket since the last time nothing was owed. */
  readonly written: boolean
  /** Ledger entries still open; 0: every reply has come. */
  readonly owed: number
  /** Detaches the sink. If replies are still owed the connection is closed: its state is unknown. */
  end(): void
}

/** The one consumer of a connection that reads its bytes itself (a lane). Called synchronously; what data() throws ends the connection. */
export interface RawSink {
  /** What the socket gave; never changed afterwards. */
  data(chunk: Uint8Array): void
  /** The connection is gone; nothing is called after this. */
  closed(loss: Loss): void
}

export interface RawWire {
  /** Written at once: whoever has several pieces joins them. */
  write(bytes: Uint8Array): void
  pause(): void
  resume(): void
  /** A FATAL or PANIC was read: the reason of the close that follows. */
  fatal(fields: ErrorFields): void
  /** Detaches the sink. Nothing may be owed any more. */
  end(): void
}

export interface SimpleResult {
  readonly columns: readonly string[]
  /** Values as text; rows of the last statement that returned any. */
  readonly rows: readonly (readonly (string | null)[])[]
  /** Command tag of the last statement, e.g. `SELECT 1`. */
  readonly tag: string
}

/** Prepared statements known on one connection: a bounded LRU of key → server-side name. Names are never used twice. */
export interface PreparedNames {
  readonly size: number
  /**
   * The server-side name, or undefined; counts as a use. The key must hold the text and the parameter type oids. One that was
   * prepared before `since` (definitionsSeen() when the client prepared it; default: 0) is given up.
   */
  get(key: string, since?: number): string | undefined
  /** Names a statement about to be parsed. `close`: names whose Close must be sent (swallowed) before or with it. */
  add(key: string): { readonly name: string; readonly close: readonly string[] }
  /** A name for a statement that is prepared without add(); see adopt(). */
  reserve(): string
  /** What was prepared under a reserved name: kept for the key, or closed with the next add() where that cannot be. */
  adopt(key: string, name: string): void
  /** The columns that the connection's statement gives, as told with rows(): a RowDescription or NoData; null: not known. `since`: see get(). */
  rowsOf(key: string, since?: number): Uint8Array | null
  rows(key: string, frame: Uint8Array): void
  /** Takes the key out without closing it on the server (its Close is the caller's own, or its Parse failed). */
  forget(key: string): void
  /** Takes the key out; it is closed on the server with the next add(). */
  discard(key: string): void
  /** Everything forgotten, as after DISCARD ALL or DEALLOCATE ALL (the connection itself does this when it sees their tags). */
  clear(): void
}

/** What a CancelRequest must hold. */
export interface BackendKey {
  readonly pid: number
  readonly secret: Uint8Array
}

export interface ServerConnection extends PooledConnection {
  readonly cluster: string
  readonly node: NodeConfig
  /** Live ParameterStatus values. */
  readonly parameters: ReadonlyMap<string, string>
  /** Equal wherever `parameters` are equal, and only there. */
  readonly parametersKey: string
  readonly backend: BackendKey
  /** The last ReadyForQuery's byte. */
  readonly transaction: TransactionStatus
  /** What has been SET on this connection; kept by the session room, cleared by scrub() and by a DISCARD ALL that passes. */
  readonly settings: Map<string, string>
  readonly statements: PreparedNames
  /** Whose writes may have drawn from sequences here: null: nobody's since it was opened or discarded. Kept by the door. */
  wroteFor: object | null
  /** TLS towards the server. */
  readonly secure: boolean
  /** Attaches the one consumer. Throws if another is attached or the connection is not usable. */
  exchange(sink: ReplySink): Exchange
  /**
   * Hands over the bytes themselves: no ledger is kept, and whoever takes them counts the replies. Throws if there is another
   * consumer, or if the connection is not idle.
   */
  raw(sink: RawSink): RawWire
  /**
   * A simple query of our own, in its turn behind what was sent before, also while an exchange is attached (which sees
   * neither its rows nor its error). Not inside a group of extended messages whose Sync has not been sent. Rejects with ServerError (the server's own fields) or PointsmanError.
   */
  query(sql: string): Promise<SimpleResult>
  /** One empty round trip. */
  sync(): Promise<void>
  /**
   * Opens a socket to the same server, TLS as this connection has it, sends CancelRequest and resolves at its end of file.
   * Rejects if that could not be done in time.
   */
  cancel(): Promise<void>
  /** Resolves when no cancel is in flight; after a cancel, one empty round trip has followed it. Await it before lending the connection to another client. */
  quiesce(): Promise<void>
  /** Sends Terminate if it can, and closes the socket. */
  close(): void
}
