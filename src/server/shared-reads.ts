// server/shared-reads.ts — all sockets of a process are read into one buffer. Node reads a socket within one call and tells of it
// within the same, so by the time the next one is read the bytes are where they belong: copied out, small as they are. Without
// this each read takes 64 KB of its own, gives most of it back, and goes through the machinery of a stream.
// A socket that gives much at a time has a buffer of its own while it does, which is handed on as it is where it is nearly full.
import { Socket, type OnReadOpts } from 'node:net'
import type { Duplex } from 'node:stream'

const size = 64 * 1024
/** A socket that gives so much at a time has a buffer of its own. */
const large = 16 * 1024
/** Reads of so much are not copied. Less would keep a buffer that is mostly empty for as long as its bytes are needed. */
const nearlyFull = 48 * 1024

const shared = Buffer.allocUnsafeSlow(size)

type Listener = (chunk: Buffer) => void

/** Where the bytes of one socket go. */
class Reads {
  listener: Listener | null = null
  /** What came while nobody listened. */
  early: Buffer | null = null
  #buffer = shared
  readonly options: OnReadOpts = { buffer: () => this.#buffer, callback: (bytes, buffer) => this.#came(bytes, buffer) }

  /** False: no more, until the socket is resumed. */
  #came(bytes: number, buffer: Uint8Array): boolean {
    const chunk = this.#taken(bytes, buffer)
    if (this.listener !== null) {
      this.listener(chunk)
      return true
    }
    this.early = this.early === null ? chunk : Buffer.concat([this.early, chunk])
    return false
  }

  /** `buffer`: that which was read into. It is not asked for again before a listener has returned, so one that threw has kept it. */
  #taken(bytes: number, buffer: Uint8Array): Buffer {
    const owned = buffer !== shared
    const given = owned && bytes >= nearlyFull
    if (bytes < large) this.#buffer = shared
    else if (given || !owned) this.#buffer = Buffer.allocUnsafeSlow(size)
    if (given) return Buffer.from(buffer.buffer, buffer.byteOffset, bytes)
    const chunk = Buffer.allocUnsafe(bytes)
    chunk.set(bytes === buffer.length ? buffer : buffer.subarray(0, bytes))
    return chunk
  }
}

const readers = new WeakMap<Duplex, Reads>()

/** For a socket that is to be made: to be given as its `onread`, then known() with the socket. */
export function newReads(): { readonly onread: OnReadOpts; readonly known: (socket: Socket) => void } {
  const reads = new Reads()
  return { onread: reads.options, known: (socket) => void readers.set(socket, reads) }
}

/** What Node keeps of a connection. */
interface Handled {
  readonly _handle?: { readonly useUserBuffer?: unknown } | null
}

/**
 * The same connection as a socket that is read into the shared buffer; the one given must not be used any more. Node has no public
 * way to ask for that of a connection that was accepted: where the present way is not there, the socket is given as it came.
 */
export function sharingReads(accepted: Socket, highWaterMark: number): Socket {
  const { _handle: handle } = accepted as unknown as Handled
  if (typeof handle?.useUserBuffer !== 'function' || accepted.readableLength > 0) return accepted
  const { onread, known } = newReads()
  const options = { handle, onread, readable: true, writable: true, highWaterMark }
  const socket = new Socket(options)
  if ((socket as unknown as Handled)._handle !== handle) return accepted
  known(socket)
  return socket
}

/** Gives what the socket reads to `listener`, the only one; its bytes are never changed afterwards. The socket flows when it is resumed. */
export function listenTo(socket: Duplex, listener: Listener): void {
  const reads = readers.get(socket)
  if (reads === undefined) {
    socket.on('data', listener)
    return
  }
  reads.listener = listener
  if (reads.early === null) return
  process.nextTick(() => {
    const { early } = reads
    if (early === null || reads.listener === null) return
    reads.early = null
    reads.listener(early)
  })
}

export function stopListening(socket: Duplex, listener: Listener): void {
  const reads = readers.get(socket)
  if (reads === undefined) socket.off('data', listener)
  else if (reads.listener === listener) reads.listener = null
}
