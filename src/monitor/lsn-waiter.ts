// monitor/lsn-waiter.ts — lets a server itself say when it has replayed a position: WAIT FOR LSN, from PostgreSQL 19 on, on
// a connection of its own, since the poller's must stay free. One such question at a time; who asks for more while it is
// under way is served by it first, and then asks again. The answer proves nothing by itself: the command does not know of
// timelines, and its connection may outlive what was asked. A normal check follows, and that decides.
import { formatLsn, type Lsn } from '../consistency/lsn.js'
import { attempt } from './attempt.js'
import type { MonitorConnection } from './connection.js'
import { within } from './within.js'

export interface WaiterParts {
  readonly connect: (signal: AbortSignal) => Promise<MonitorConnection>
  /** Process-monotonic ms. */
  readonly now: () => number
  /** The wait is over, well or not: the node is to be asked where it stands. */
  readonly over: () => void
}

/** The first server_version_num that has the command. */
export const waitsSince = 190_000

const CONNECT_MS = 1_000
/** What the server may take beyond the time it was given. */
const GRACE_MS = 1_000
/** After a failure polling does it alone for so long. */
const PAUSE_MS = 5_000

export class LsnWaiter {
  readonly #parts: WaiterParts
  readonly #stop = new AbortController()
  #connection: MonitorConnection | null = null
  #target: Lsn | null = null
  #retryAt = -Infinity

  constructor(parts: WaiterParts) {
    this.#parts = parts
  }

  /** True: `over` will be called about when `lsn` is replayed, or in `ms`. False: it will not, or only for a position beyond it. */
  waitFor(lsn: Lsn, ms: number): boolean {
    if (this.#stop.signal.aborted || ms < 1) return false
    if (this.#target !== null) return this.#target <= lsn
    if (this.#parts.now() < this.#retryAt) return false
    this.#target = lsn
    void this.#wait(lsn, Math.ceil(ms))
    return true
  }

  stop(): void {
    this.#stop.abort(new Error('the monitor stops'))
    this.#close()
  }

  async #wait(lsn: Lsn, ms: number): Promise<void> {
    try {
      const connection = this.#connection ?? (await this.#connect())
      const sql = `WAIT FOR LSN '${formatLsn(lsn)}' WITH (TIMEOUT '${String(ms)}ms', NO_THROW)`
      await within(connection.query(sql), ms + GRACE_MS, 'WAIT FOR LSN')
    } catch {
      this.#close()
      this.#retryAt = this.#parts.now() + PAUSE_MS
    }
    this.#target = null
    if (!this.#stop.signal.aborted) this.#parts.over()
  }

  async #connect(): Promise<MonitorConnection> {
    const connection = await attempt(this.#stop.signal, CONNECT_MS, this.#parts.connect)
    if (this.#stop.signal.aborted) connection.close()
    this.#stop.signal.throwIfAborted()
    this.#connection = connection
    connection.onClosed(() => {
      if (this.#connection === connection) this.#connection = null
    })
    return connection
  }

  #close(): void {
    const connection = this.#connection
    this.#connection = null
    connection?.close()
  }
}
