// doors/proxy/replications.ts — all replication connections of this process, from the login to the last byte.
import type { Observer } from '../../observe/events.js'
import { encodeBackendKeyData, encodeParameterStatus, encodeReadyForQuery } from '../../protocol/backend-messages.js'
import { encodeErrorResponse } from '../../protocol/error-fields.js'
import type { Runtime } from '../../runtime/contract.js'
import type { ServerConnection } from '../../server/contract.js'
import { sameSecret, type BackendKey } from './backend-keys.js'
import { replicationReport, type ClientReport } from './client-report.js'
import { errorFields } from './error-reply.js'
import type { CancelCall, Login } from './login.js'
import { ReplicationClient } from './replication.js'

export interface ReplicationsParts {
  readonly runtime: Runtime<ServerConnection>
  readonly observer: Observer
  /** Process-monotonic milliseconds. */
  readonly now: () => number
  /** A key that no other client has. */
  readonly key: (login: Login) => BackendKey
}

interface Entry {
  readonly secret: Uint8Array
  readonly client: ReplicationClient
  readonly login: Login
  /** Process-monotonic ms. */
  readonly since: number
}

export class Replications {
  readonly #parts: ReplicationsParts
  readonly #entries = new Map<number, Entry>()
  #closing: string | null = null

  constructor(parts: ReplicationsParts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#entries.size
  }

  has(pid: number): boolean {
    return this.#entries.has(pid)
  }

  /** Never rejects: what goes wrong is told to the client. The caller ends the socket. */
  async serve(login: Login, address: string): Promise<void> {
    const { observer, runtime, key, now } = this.#parts
    const { output, user, database } = login
    try {
      const client = await ReplicationClient.open(login, runtime.current())
      const { pid, secret } = key(login)
      const since = now()
      this.#entries.set(pid, { client, secret, login, since })
      for (const [name, value] of client.parameters) output.write(encodeParameterStatus(name, value))
      output.write(encodeBackendKeyData(pid, secret))
      output.write(encodeReadyForQuery('I'))
      observer.emit('client.opened', { database, user, address })
      const ended = client.run()
      if (this.#closing !== null) client.close(this.#closing)
      const reason = await ended
      this.#entries.delete(pid)
      observer.emit('client.closed', { database, user, reason, seconds: (now() - since) / 1000 })
    } catch (error) {
      const fields = errorFields(error, 'FATAL')
      observer.emit('client.refused', { address, sqlstate: fields.code, reason: fields.message })
      output.write(encodeErrorResponse(fields))
    }
  }

  /** False: it is none of these. */
  cancel({ pid, secret }: CancelCall): boolean {
    const entry = this.#entries.get(pid)
    if (entry === undefined || !sameSecret(secret, entry.secret)) return false
    entry.client.cancel()
    return true
  }

  /** As SHOW CLIENTS tells them. */
  reports(clock: Parameters<typeof replicationReport>[3]): readonly ClientReport[] {
    return [...this.#entries].map(([pid, { client, login, since }]) =>
      replicationReport({ pid, socket: login.socket, since }, login, client.link, clock),
    )
  }

  /** Ends those that pass; returns how many. */
  kill(test: (client: { readonly pid: number; readonly database: string }) => boolean): number {
    const killed = [...this.#entries].filter(([pid, { login }]) => test({ pid, database: login.database }))
    for (const [, { client }] of killed) client.close('killed')
    return killed.length
  }

  /** Ends them all, and those that come. */
  close(reason: string): void {
    this.#closing = reason
    for (const { client } of this.#entries.values()) client.close(reason)
  }
}
