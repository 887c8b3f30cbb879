// server/dial.ts — opens a socket to a server, with TLS as the cluster's config says (libpq's sslmode):
//   disable: never · prefer: where the server can · require: always, any certificate · verify-ca: a certificate of our CA ·
//   verify-full: and of this host name. As in libpq, `require` with a ca checks it like verify-ca. A Unix socket has no TLS.
// `negotiation: direct` (sslnegotiation) does not ask first: a round trip less, with servers of PostgreSQL 17 and later.
import { readFileSync } from 'node:fs'
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { encodeSslRequest } from '../protocol/startup.js'
import { violation } from '../protocol/violation.js'
import { isUnix, socketPath, type Address, type ClusterTls } from './address.js'
import { listenTo, newReads, stopListening } from './shared-reads.js'

const alpn = 'postgresql'

export interface Dialled {
  readonly socket: Socket
  /** The same socket where it has TLS, else null. */
  readonly tls: TLSSocket | null
}

/**
 * Rejects with the socket's error, a TLS error, or `signal.reason`. The socket is paused, without listeners of ours.
 * Without TLS it is read into the shared buffer: by listenTo(). `background`: it does not keep the process alive.
 */
export async function dial(address: Address, signal: AbortSignal, background = false): Promise<Dialled> {
  const socket = await open(address, signal, background)
  if (address.tls.mode === 'disable' || isUnix(address.node)) return { socket, tls: null }
  try {
    if (address.tls.negotiation === 'direct') {
      const tls = await secure(socket, address, signal)
      // A server that does not say what it speaks may be something else altogether.
      if (tls.alpnProtocol === alpn) return { socket: tls, tls }
      tls.destroy()
      throw new Error('the server does not speak TLS without being asked, or is no PostgreSQL server (no ALPN)')
    }
    const answer = await askForTls(socket, signal)
    if (answer) {
      const tls = await secure(socket, address, signal)
      return { socket: tls, tls }
    }
    if (address.tls.mode === 'prefer') return { socket, tls: null }
    throw new Error(`the server does not support TLS, but tls mode ${address.tls.mode} is set`)
  } catch (error) {
    socket.destroy()
    throw error
  }
}

function open({ node }: Address, signal: AbortSignal, background: boolean): Promise<Socket> {
  signal.throwIfAborted()
  const { onread, known } = newReads()
  const socket = isUnix(node)
    ? connect({ path: socketPath(node), onread })
    : connect({ host: node.host, port: node.port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000, onread })
  known(socket)
  if (background) socket.unref()
  return untilEvent(socket, 'connect', signal)
}

/** Resolves true for `S`, false for `N`. The server answers with exactly one byte; more would be injected before TLS. */
async function askForTls(socket: Socket, signal: AbortSignal): Promise<boolean> {
  socket.write(encodeSslRequest())
  const answer = await oneChunk(socket, signal)
  if (answer.length !== 1) throw violation('the server answered the TLS request with more than one byte')
  if (answer[0] === 0x53) return true
  if (answer[0] === 0x4e) return false
  throw violation('the server did not understand the TLS request')
}

function oneChunk(socket: Socket, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const ended = guard(socket, signal, reject)
    const heard = (chunk: Buffer): void => {
      stopListening(socket, heard)
      socket.pause()
      ended()
      resolve(chunk)
    }
    listenTo(socket, heard)
    socket.resume()
  })
}

async function secure(socket: Socket, address: Address, signal: AbortSignal): Promise<TLSSocket> {
  const tls = connectTls({ socket, ...tlsOptions(address.tls, address.node.host) })
  try {
    return await untilEvent(tls, 'secureConnect', signal)
  } catch (error) {
    tls.destroy()
    throw error
  }
}

/** Throws where a file named in the config cannot be read. */
export function tlsOptions(tls: ClusterTls, host: string): ConnectionOptions {
  const verifies = tls.mode === 'verify-ca' || tls.mode === 'verify-full' || (tls.mode === 'require' && tls.ca !== null)
  return {
    rejectUnauthorized: verifies,
    ...(tls.ca === null ? {} : { ca: pem(tls.ca) }),
    ...(tls.cert === null ? {} : { cert: pem(tls.cert) }),
    ...(tls.key === null ? {} : { key: pem(tls.key) }),
    // What the certificate is checked against: without it Node would check for "localhost".
    host,
    // SNI must not be an address (RFC 6066).
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(tls.mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
    minVersion: tls.minVersion ?? 'TLSv1.2',
    // Servers of PostgreSQL 17 and later say so too; older ones do not look at it.
    ALPNProtocols: [alpn],
  }
}

/** A PEM text, or the path of a file that holds it. */
function pem(textOrPath: string): string | Buffer {
  return textOrPath.includes('-----BEGIN') ? textOrPath : readFileSync(textOrPath)
}

/** Resolves at the event; rejects, and destroys the socket, at an error, a close, or the signal. */
function untilEvent<S extends Socket>(socket: S, event: string, signal: AbortSignal): Promise<S> {
  return new Promise((resolve, reject) => {
    const done = guard(socket, signal, (error) => {
      socket.destroy()
      reject(error)
    })
    socket.once(event, () => {
      done()
      resolve(socket)
    })
  })
}

/** Calls `fail` once at error, close or abort; the returned function takes all listeners off. */
export function guard(socket: Socket, signal: AbortSignal, fail: (error: Error) => void): () => void {
  const onError = (error: Error): void => end(error)
  const onClose = (): void => end(new Error('the server closed the connection'))
  const onAbort = (): void => end(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)))
  const done = (): void => {
    socket.off('error', onError)
    socket.off('close', onClose)
    signal.removeEventListener('abort', onAbort)
  }
  const end = (error: Error): void => {
    done()
    // A second error of a socket that is being thrown away must not be unhandled.
    socket.on('error', () => undefined)
    fail(error)
  }
  socket.on('error', onError)
  socket.on('close', onClose)
  signal.addEventListener('abort', onAbort, { once: true })
  return done
}
