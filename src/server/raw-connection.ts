// server/raw-connection.ts — a connection to a server that is logged in and then left to whoever asked for it: nothing that
// comes afterwards is read here. For replication, whose messages have no ledger.
import type { Socket } from 'node:net'
import type { Identity } from '../pool/contract.js'
import { decodeParameterStatus } from '../protocol/backend-messages.js'
import { serverEndPoint } from '../protocol/channel-binding.js'
import { decodeErrorFields } from '../protocol/error-fields.js'
import { FrameReader } from '../protocol/frame-reader.js'
import { Backend } from '../protocol/message-types.js'
import { encodeStartupMessage } from '../protocol/startup.js'
import { violation } from '../protocol/violation.js'
import type { Address } from './address.js'
import { sendCancel } from './cancel.js'
import type { Loss } from './contract.js'
import { dial, type Dialled } from './dial.js'
import { Login } from './login.js'
import { listenTo, stopListening } from './shared-reads.js'
import { lost, unreachable } from './unreachable.js'

export interface RawConnection {
  /** Paused, with no listener but one for errors; read by listenTo(). */
  readonly socket: Socket
  readonly parameters: ReadonlyMap<string, string>
  /** The server's process id. */
  readonly pid: number
  /** Resolves when the server has been told to cancel what this connection runs. */
  cancel(): Promise<void>
}

/** What a server says during a login is short. */
const longest = 64 * 1024

/** Rejects with the server's own error (ServerError) or as connectServer() does. `parameters`: of the startup message, beyond user and database. */
export async function openRaw(
  address: Address,
  identity: Identity,
  parameters: Iterable<readonly [string, string]>,
  signal: AbortSignal,
): Promise<RawConnection> {
  try {
    const dialled = await dial(address, signal)
    return await loggedIn(address, dialled, identity, [...parameters], signal)
  } catch (error) {
    throw unreachable(address, error)
  }
}

async function loggedIn(
  address: Address,
  { socket, tls }: Dialled,
  identity: Identity,
  parameters: readonly (readonly [string, string])[],
  signal: AbortSignal,
): Promise<RawConnection> {
  const { user, password, keys = null, dbname } = identity
  const certificate = tls?.getPeerX509Certificate()
  const binding = certificate === undefined ? null : serverEndPoint(certificate.raw)
  const write = (message: Uint8Array): void => void socket.write(message)
  const login = new Login({ user, password, keys, binding, write, onLost: (loss) => lost(address, loss) })
  const told = new Map<string, string>()
  const reader = new FrameReader({
    collect: (_type, length) => {
      if (length > longest) throw violation('a message of the server is too long')
      return length
    },
    part: () => undefined,
    frame: (type, chunk, start, end) => read(type, chunk.subarray(start, end), login, told),
  })
  const gone = (reason: string): void => login.lost(lossOf(reason))
  const onData = (chunk: Buffer): void => {
    try {
      reader.push(chunk)
    } catch (error) {
      gone(error instanceof Error ? error.message : String(error))
    }
  }
  const onClose = (): void => gone('the server closed the connection')
  const onAbort = (): void => gone(signal.reason instanceof Error ? signal.reason.message : 'given up')
  socket.on('error', () => undefined)
  listenTo(socket, onData)
  socket.on('close', onClose)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    socket.write(encodeStartupMessage([...parameters, ['user', user], ['database', dbname]]))
    socket.resume()
    const key = await login.done
    return { socket, parameters: told, pid: key.pid, cancel: () => sendCancel(address, key, tls !== null) }
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    socket.pause()
    stopListening(socket, onData)
    socket.off('close', onClose)
    signal.removeEventListener('abort', onAbort)
  }
}

function read(type: number, frame: Uint8Array, login: Login, told: Map<string, string>): void {
  switch (type) {
    case Backend.ParameterStatus:
      told.set(...decodeParameterStatus(frame))
      return
    case Backend.ErrorResponse:
      login.failed(decodeErrorFields(frame, false))
      return
    case Backend.NoticeResponse:
      return
    case Backend.ReadyForQuery:
      login.ready()
      return
    default:
      login.frame(type, frame)
  }
}

function lossOf(reason: string): Loss {
  return { reason, error: null, written: true, forwarded: false, torn: false, owed: true }
}
