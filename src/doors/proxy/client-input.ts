// doors/proxy/client-input.ts — what comes from one client: first startup packets, then frames. Frames wait in a queue
// while a request runs; past a limit the socket is paused, so a client that pipelines without reading is held back by
// TCP. CopyData is never collected: it passes in the pieces the socket gave.
import type { Duplex } from 'node:stream'
import { FrameReader, type FrameHandler } from '../../protocol/frame-reader.js'
import { Frontend, frontendName } from '../../protocol/message-types.js'
import { mayBeginStartup, readStartupPacket, type StartupPacket } from '../../protocol/startup.js'
import { violation } from '../../protocol/violation.js'
import { listenTo, stopListening } from '../../server/shared-reads.js'

/** The first byte of a TLS handshake. No startup packet begins with it: it would be 300 MB long. */
const TLS_HANDSHAKE = 0x16
/** Bytes waiting in the queue beyond which the socket is paused. */
const QUEUE_HIGH = 1024 * 1024
const QUEUE_LOW = 256 * 1024
/** Before the login is done nobody may send more than passwords need. */
const LOGIN_MESSAGE_BYTES = 64 * 1024

export interface ClientFrame {
  readonly type: number
  /** A whole frame; for CopyData a piece of one or of several. */
  readonly bytes: Uint8Array
  /** Bytes of the last frame in `bytes` that are still to come: only a piece of CopyData leaves any. */
  readonly rest: number
}

export class ClientInput implements FrameHandler {
  #socket: Duplex
  /** Startup packets not yet read; null once frames are spoken. */
  #startup: Buffer | null = Buffer.alloc(0)
  /** A startup packet was read: what follows is one too. */
  #spoken = false
  readonly #reader: FrameReader
  #limit = LOGIN_MESSAGE_BYTES
  readonly #queue: ClientFrame[] = []
  #head = 0
  #queued = 0
  #paused = false
  #ended = false
  #problem: Error | null = null
  #wake: (() => void)[] = []
  /** Given what came where it may be a batch by itself, and nothing is before it; true: it was taken, and is not to be read here. */
  onBatch: ((bytes: Buffer) => boolean) | null = null
  /** Called when something came, or ended. */
  onInput: (() => void) | null = null
  #gone = false
  #onGone: (() => void) | null = null
  readonly #onData = (chunk: Buffer): void => this.#take(chunk)
  readonly #onEnd = (): void => this.#end()
  readonly #onClose = (): void => {
    this.#gone = true
    this.#end()
    this.#onGone?.()
  }

  constructor(socket: Duplex) {
    this.#socket = socket
    this.#reader = new FrameReader(this)
    this.#attach()
  }

  /** Called when the client's end of the connection is gone; at once where it is: it may have left while it was logged in. */
  set onGone(listener: () => void) {
    this.#onGone = listener
    if (this.#gone) listener()
  }

  /** Frames from here on may be as long as this. */
  set maxMessageBytes(bytes: number) {
    this.#limit = bytes
  }

  /** Lets go of the plain socket, so that TLS can be spoken on it. Throws if bytes came ahead of it: nobody vouches for those. */
  detach(): void {
    if ((this.#startup?.length ?? 0) > 0) throw violation('data sent before the TLS handshake')
    stopListening(this.#socket, this.#onData)
    this.#socket.off('end', this.#onEnd)
    this.#socket.off('close', this.#onClose)
  }

  /** Lets go of the plain socket and gives what came: the beginning of a TLS handshake. */
  takeHandshake(): Buffer {
    const bytes = this.#startup ?? Buffer.alloc(0)
    this.#startup = Buffer.alloc(0)
    this.#spoken = true
    this.detach()
    return bytes
  }

  /** Goes on reading from `socket`, which now speaks TLS. */
  reattach(socket: Duplex): void {
    this.#socket = socket
    this.#attach()
  }

  #attach(): void {
    listenTo(this.#socket, this.#onData)
    this.#socket.resume()
    this.#socket.on('end', this.#onEnd)
    this.#socket.on('close', this.#onClose)
  }

  /** The next packet before frames are spoken; null: the client is gone. Throws 08P01. */
  async startupPacket(): Promise<StartupPacket | { readonly kind: 'direct-tls' | 'unreadable' } | null> {
    for (;;) {
      if (this.#problem !== null) throw this.#problem
      if (this.#startup?.[0] === TLS_HANDSHAKE && !this.#spoken) return { kind: 'direct-tls' }
      if (this.#startup !== null && !mayBeginStartup(this.#startup)) return { kind: 'unreadable' }
      const read = this.#startup === null ? null : readStartupPacket(this.#startup)
      if (read !== null) {
        this.#spoken = true
        this.#startup = this.#startup?.subarray(read.length) ?? null
        if (read.packet.kind === 'startup') this.#speakFrames()
        return read.packet
      }
      if (this.#ended) return null
      await this.wait()
    }
  }

  /** The next frame, if one is there. Throws 08P01 when all frames before the offending bytes have been taken. */
  shift(): ClientFrame | undefined {
    const frame = this.#queue[this.#head]
    if (frame === undefined) {
      if (this.#problem !== null) throw this.#problem
      return undefined
    }
    this.#head += 1
    this.#queued -= frame.bytes.length
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0
      this.#head = 0
    }
    if (this.#paused && this.#queued <= QUEUE_LOW) {
      this.#paused = false
      this.#socket.resume()
    }
    return frame
  }

  /**
   * The frames up to the next Sync, as they stand in memory, where they begin with Parse or Bind, are at most `most`, and came in one
   * piece; else null. They stay: drop() takes them.
   */
  peekBatch(most: number): { readonly bytes: Buffer; readonly frames: number } | null {
    const first = this.#queue[this.#head]
    if (first === undefined || !beginsBatch(first.type)) return null
    const { buffer, byteOffset } = first.bytes
    let end = byteOffset
    for (let count = 1; count <= most; count++) {
      const frame = this.#queue[this.#head + count - 1]
      if (frame?.bytes.buffer !== buffer || frame.bytes.byteOffset !== end) return null
      end += frame.bytes.length
      if (frame.type === Frontend.Sync) return { bytes: Buffer.from(buffer, byteOffset, end - byteOffset), frames: count }
    }
    return null
  }

  /** Takes so many frames at once. */
  drop(frames: number): void {
    for (let count = 0; count < frames; count++) this.shift()
  }

  /** The next frame; null: the client is gone. */
  async next(): Promise<ClientFrame | null> {
    for (;;) {
      const frame = this.shift()
      if (frame !== undefined) return frame
      if (this.#ended) return null
      await this.wait()
    }
  }

  /** True when nothing will come any more; frames may still wait. */
  get ended(): boolean {
    return this.#ended && this.#head === this.#queue.length
  }

  /** Resolves when something came, or ended. */
  wait(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve))
  }

  /** Ends every wait(), though nothing came. Not within the call: whoever nudges is in the middle of something. */
  nudge(): void {
    queueMicrotask(() => this.#awake())
  }

  collect(type: number, length: number): number {
    if (frontendName(type) === undefined) throw violation(`invalid frontend message type ${String(type)}`)
    if (type === Frontend.CopyData && this.#limit !== LOGIN_MESSAGE_BYTES) return 0
    if (length > this.#limit) throw violation(`message of ${String(length)} bytes is longer than the ${String(this.#limit)} allowed`)
    return length
  }

  frame(type: number, chunk: Uint8Array, start: number, end: number): void {
    this.#push({ type, bytes: chunk.subarray(start, end), rest: 0 })
  }

  part(chunk: Uint8Array, start: number, end: number): void {
    this.#push({ type: Frontend.CopyData, bytes: chunk.subarray(start, end), rest: this.#reader.passing })
  }

  #push(frame: ClientFrame): void {
    this.#queue.push(frame)
    this.#queued += frame.bytes.length
  }

  #take(chunk: Buffer): void {
    if (this.#problem !== null) return
    if (this.#isBatch(chunk) && this.onBatch?.(chunk) === true) return
    if (this.#startup !== null) this.#startup = this.#startup.length === 0 ? chunk : Buffer.concat([this.#startup, chunk])
    else this.#read(chunk)
    if (this.#queued > QUEUE_HIGH && !this.#paused) {
      this.#paused = true
      this.#socket.pause()
    }
    this.#awake()
  }

  /** Whether it may be one, and nothing is before it. */
  #isBatch(chunk: Buffer): boolean {
    const first = this.onBatch === null ? undefined : chunk[0]
    return first !== undefined && beginsBatch(first) && this.#queue.length === 0 && this.#reader.aligned && chunk.length <= this.#limit
  }

  #read(chunk: Uint8Array): void {
    try {
      this.#reader.push(chunk)
    } catch (error) {
      // What follows cannot be cut into frames any more: it is dropped unread until the socket is closed.
      this.#problem = error instanceof Error ? error : new Error(String(error))
    }
  }

  #speakFrames(): void {
    const rest = this.#startup
    this.#startup = null
    if (rest !== null && rest.length > 0) this.#read(rest)
  }

  #end(): void {
    this.#ended = true
    this.#awake()
  }

  #awake(): void {
    if (this.#wake.length > 0) {
      const waiting = this.#wake
      this.#wake = []
      for (const resolve of waiting) resolve()
    }
    this.onInput?.()
  }
}

function beginsBatch(type: number): boolean {
  return type === Frontend.Bind || type === Frontend.Parse
}
