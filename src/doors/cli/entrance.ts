// doors/cli/entrance.ts — the ports of the program: where clients connect, and the admin port. Opened as the configuration
// says, or taken over from the process before (a restart), where they listen on at the same place.
import type { Server, Socket } from 'node:net'
import type { Config } from '../../config/config.js'
import { startAdminServer, type AdminOptions, type AdminServer } from '../admin/server.js'
import { Listeners, type ListenerAddress } from '../proxy/listeners.js'
import { CommandError, exit } from './io.js'

export interface EntranceParts {
  readonly config: Config
  readonly accept: (socket: Socket, local: boolean) => void
  /** Clients are passed on to other processes. */
  readonly paused: boolean
  /** A process before lives, and gives up what it has. */
  readonly replaces: boolean
  readonly admin: Omit<AdminOptions, 'host' | 'port' | 'handed'>
  readonly onError: (error: Error) => void
}

/** Sockets that listen, for another process; null: it listens elsewhere. */
export interface Handed {
  readonly tcp: Server | null
  readonly admin: Server | null
}

/** Where a configuration wants to listen, as two processes compare it. */
export interface Places {
  readonly tcp: string
  readonly admin: string | null
}

export function placesOf({ listen, admin }: Config): Places {
  return { tcp: `${listen.host}:${String(listen.port)}`, admin: admin === null ? null : `${admin.host}:${String(admin.port)}` }
}

export class Entrance {
  readonly #parts: EntranceParts
  #listeners: Promise<Listeners> | null = null
  #admin: Promise<AdminServer> | null = null
  #opened: { readonly listeners: Listeners; readonly admin: AdminServer | null } | null = null

  constructor(parts: EntranceParts) {
    this.#parts = parts
  }

  /** Takes over a socket that listens; within the call, since it accepts already. */
  adoptTcp(server: Server): void {
    // Where it fails, open() says so.
    this.#openTcp(server).catch(() => undefined)
  }

  adoptAdmin(server: Server): void {
    this.#openAdmin(server).catch(() => undefined)
  }

  /** Opens what was not taken over. Rejects with words for the user where a port is taken; nothing is open then. */
  async open(): Promise<void> {
    const { listen, admin } = this.#parts.config
    const listeners = await orInWords(this.#openTcp(null), 'listen', listen)
    try {
      this.#opened = { listeners, admin: admin === null ? null : await orInWords(this.#openAdmin(null), 'admin', admin) }
    } catch (error) {
      await listeners.stop(false)
      throw error
    }
  }

  get listening(): readonly ListenerAddress[] {
    return this.#opened?.listeners.addresses ?? []
  }

  get admin(): AdminServer | null {
    return this.#opened?.admin ?? null
  }

  /** What another process may have that wants to listen at these places. */
  handed(places: Places): Handed {
    const own = placesOf(this.#parts.config)
    return {
      tcp: places.tcp === own.tcp ? (this.#opened?.listeners.tcp ?? null) : null,
      admin: places.admin === own.admin ? (this.#opened?.admin?.server ?? null) : null,
    }
  }

  /** No new clients. `handedOver`: another process takes them. */
  async stop(handedOver: boolean): Promise<void> {
    await this.#opened?.listeners.stop(handedOver)
  }

  async close(): Promise<void> {
    await this.#opened?.admin?.close()
  }

  #openTcp(handed: Server | null): Promise<Listeners> {
    const { config, accept, paused, replaces, onError } = this.#parts
    this.#listeners ??= Listeners.open({ listen: config.listen, accept, paused, handed, replaces, onError })
    return this.#listeners
  }

  #openAdmin(handed: Server | null): Promise<AdminServer> {
    const { config, admin } = this.#parts
    this.#admin ??= startAdminServer({ ...admin, host: config.admin?.host ?? '', port: config.admin?.port ?? 0, handed })
    return this.#admin
  }
}

interface Place {
  readonly host: string
  readonly port: number
  readonly unix?: string | null
}

async function orInWords<T>(work: Promise<T>, what: string, { host, port, unix = null }: Place): Promise<T> {
  try {
    return await work
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined || !/^E[A-Z]+$/.test(code)) throw error
    throw new CommandError(exit.no, `cannot open ${what} on ${host}:${String(port)}${unix === null ? '' : `, or ${unix}`}: ${code}`)
  }
}
