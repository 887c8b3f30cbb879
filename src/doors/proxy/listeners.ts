// doors/proxy/listeners.ts — the sockets that clients connect to: TCP, and a Unix socket where the configuration has one.
// They can be handed to another process (a restart), without a moment in which nobody listens:
//
//  · TCP: the other process gets the very socket; who waits in its queue is accepted by whichever is left;
//  · Unix: the other process puts a socket of its own in the place of the file, which is one rename; who has connected to the
//    old one by then is accepted by the process that has it.
import { randomBytes } from 'node:crypto'
import { chmod, rename, unlink } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { ListenConfig } from '../../config/config.js'

export interface ListenerParts {
  readonly listen: Pick<ListenConfig, 'host' | 'port' | 'unix'>
  /** `local`: it came over the Unix socket. */
  readonly accept: (socket: Socket, local: boolean) => void
  /** Nothing is read of them: they are passed on to other processes. */
  readonly paused?: boolean
  /** The TCP socket of the process before, if it listens where this one shall. */
  readonly handed?: Server | null
  /** A process that lives has the file of the Unix socket, and gives it up. */
  readonly replaces?: boolean
  readonly onError: (error: Error) => void
}

export interface ListenerAddress {
  readonly host: string
  /** 0 for a Unix socket, whose path is `host`. */
  readonly port: number
}

/** Result bytes kept for a client that does not read before its server is paused. */
export const highWaterMark: number = 128 * 1024
const socketMode = 0o777
/** Turns of the event loop after which whoever had connected is accepted. */
const lastTurns = 3

export class Listeners {
  readonly #parts: ListenerParts
  readonly tcp: Server
  readonly #unix: Server | null
  #stopping: Promise<void> | null = null

  private constructor(parts: ListenerParts, tcp: Server, unix: Server | null) {
    this.#parts = parts
    this.tcp = tcp
    this.#unix = unix
  }

  /** Rejects with the system's error if a port or a path is taken. */
  static async open(parts: ListenerParts): Promise<Listeners> {
    const { listen, handed = null } = parts
    const tcp = await opened(parts, false, handed ?? { host: listen.host, port: listen.port })
    try {
      return new Listeners(parts, tcp, listen.unix === null ? null : await openUnix(parts, listen.unix))
    } catch (error) {
      tcp.close()
      throw error
    }
  }

  get addresses(): readonly ListenerAddress[] {
    const address = this.tcp.address()
    const tcp = typeof address === 'string' || address === null ? [] : [{ host: address.address, port: address.port }]
    const { unix } = this.#parts.listen
    return this.#unix === null || unix === null ? tcp : [...tcp, { host: unix, port: 0 }]
  }

  /** Accepts nobody any more. `handedOver`: another process has the file of the Unix socket now, so it stays. */
  stop(handedOver: boolean): Promise<void> {
    this.#stopping ??= this.#stop(handedOver)
    return this.#stopping
  }

  async #stop(handedOver: boolean): Promise<void> {
    const { unix } = this.#parts.listen
    if (this.#unix !== null && unix !== null && !handedOver) await unlink(unix).catch(() => undefined)
    // They have connected to a socket that is nowhere to be found any more: who is refused here would be refused for good.
    if (this.#unix !== null) for (let turn = 0; turn < lastTurns; turn++) await setImmediate()
    // Not awaited: it would wait for the clients too.
    this.tcp.close()
    this.#unix?.close()
  }
}

type Where = Server | { readonly host: string; readonly port: number } | { readonly path: string }

async function opened(parts: ListenerParts, local: boolean, where: Where): Promise<Server> {
  const { accept, paused = false, onError } = parts
  const server = createServer({ noDelay: true, keepAlive: true, highWaterMark, pauseOnConnect: paused }, (socket) => accept(socket, local))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    // Within this call: a socket that was handed over accepts already.
    server.listen(where, () => {
      server.off('error', reject)
      resolve()
    })
  })
  server.on('error', onError)
  return server
}

/** A socket file that a dead process left behind is replaced; a living one answers, and the path counts as taken. */
async function openUnix(parts: ListenerParts, path: string): Promise<Server> {
  if (parts.replaces !== true && (await answers(path))) {
    throw Object.assign(new Error(`a process listens on ${path}`), { code: 'EADDRINUSE' })
  }
  // Under a name of its own: what Node removes when it closes is that name, and never the file of another process.
  const own = join(dirname(path), `.pm${randomBytes(4).toString('hex')}`)
  const server = await opened(parts, true, { path: own })
  try {
    await chmod(own, socketMode)
    await rename(own, path)
    return server
  } catch (error) {
    server.close()
    throw error
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
