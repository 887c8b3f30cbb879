// server/cancel.ts — asks a server to cancel what a connection runs. The request goes over a socket of its own; the server
// signals the backend before it closes that socket, so its end of file is the moment after which no new cancel can hit.
import { encodeCancelRequest } from '../protocol/startup.js'
import type { Address } from './address.js'
import type { BackendKey } from './contract.js'
import { dial, guard } from './dial.js'

const TIMEOUT_MS = 5_000

/** Resolves at the end of file. Rejects after 5 s, or where the server cannot be reached. */
export async function sendCancel(address: Address, key: BackendKey, secure: boolean): Promise<void> {
  const signal = AbortSignal.timeout(TIMEOUT_MS)
  // Never in the clear where the connection itself is not.
  const tls = secure
    ? address.tls.mode === 'prefer'
      ? { ...address.tls, mode: 'require' as const }
      : address.tls
    : { ...address.tls, mode: 'disable' as const }
  const { socket } = await dial({ ...address, tls }, signal)
  await new Promise<void>((resolve, reject) => {
    let sent = false
    const finish = (error?: Error): void => {
      done()
      socket.destroy()
      if (error === undefined) resolve()
      else reject(error)
    }
    // Once sent, a reset is as good as an end of file: the server has closed either way.
    const done = guard(socket, signal, (error) => finish(sent && !signal.aborted ? undefined : error))
    socket.on('end', () => finish())
    socket.resume()
    socket.write(encodeCancelRequest(key.pid, key.secret), () => {
      sent = true
    })
  })
}
