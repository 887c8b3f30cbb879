// monitor/poller.ts — asks one node, over one long-lived connection, where it stands: once a second when nobody cares, ten
// times when somebody does. At most one question is under way; whoever asks meanwhile joins the NEXT one, since only a
// question sent after his own moment tells him anything (CONSISTENCY §2.3 W0').
//
//   poll()  ──▶ [under way]            resolves with its answer
//   poll()  ──▶      └─▶ [next]        both of these with the next
//   poll()  ──▶           ┘
//
// A question that is not answered in time ends its connection: what state it is in is unknown, and so is the position.
import type { PositionProvider } from '../consistency/position-provider.js'
import type { ServerPosition } from '../consistency/position-query.js'
import { askPosition } from '../server/ask-position.js'
import type { NodeEvent } from '../topology/node-state.js'
import { attempt } from './attempt.js'
import type { MonitorConnection } from './connection.js'
import { TimeoutError, within } from './within.js'

export interface PollerParts {
  /** Opens a connection to the node. */
  readonly connect: (signal: AbortSignal) => Promise<MonitorConnection>
  /** Process-monotonic ms. */
  readonly now: () => number
  /** In [0, 1). */
  readonly random: () => number
  /** Changes when the clock cannot be trusted across this moment; an answer from across it is dropped. */
  readonly epoch: () => number
  /** Its timer does not keep the process alive. */
  readonly background: boolean
  /** Called with everything that is learnt, before the poll that learnt it resolves. */
  readonly report: (event: NodeEvent) => void
  readonly positions: PositionProvider
  /** The node is the proved primary, now. No other is written to, and a sample may be a write. */
  readonly isPrimary: () => boolean
  /** Ms between two polls, now. */
  readonly period: () => number
  /** Ms after which a connection is replaced, now. */
  readonly lifetime: () => number
}

interface Open {
  readonly connection: MonitorConnection
  readonly connectedAt: number
  readonly systemIdentifier: string
  readonly tellsTimeline: boolean
  /** Process-monotonic ms. */
  renewAt: number
  /** Its last answer told a timeline. A standby that is cut off tells none, and what it told is known by this connection only. */
  told: boolean
  /** It was a primary when last asked, and stays one while the connection lives. */
  primary: boolean
}

const CONNECT_MS = 2_000
const QUERY_MS = 1_000
/** A connection that could not be replaced in time goes on for so long. */
const RENEW_RETRY_MS = 10_000
const BACKOFF_MS = { first: 200, last: 2_000 } as const

/** Once per connection: which cluster's data this is, whether a standby's timeline may be seen, and the server's version. */
const helloQuery = `SELECT system_identifier::text, pg_catalog.pg_has_role('pg_read_all_stats', 'MEMBER')::text,
 pg_catalog.current_setting('server_version_num')
FROM pg_catalog.pg_control_system()`

export class Poller {
  readonly #parts: PollerParts
  readonly #stop = new AbortController()
  #open: Open | null = null
  #running: Promise<void> | null = null
  #next: Promise<void> | null = null
  #timer: NodeJS.Timeout | undefined
  #due = -Infinity
  #failures = 0
  #retryAt = -Infinity
  #version: number | null = null

  constructor(parts: PollerParts) {
    this.#parts = parts
    this.#schedule(0)
  }

  /** server_version_num as of the last connection; null: never connected. */
  get version(): number | null {
    return this.#version
  }

  /** Its connection is open. */
  get connected(): boolean {
    return this.#open !== null
  }

  /** Resolves when a question SENT after this call was answered, or could not be; never rejects. */
  poll(): Promise<void> {
    if (this.#stop.signal.aborted) return Promise.resolve()
    if (this.#running === null) {
      this.#running = this.#once().finally(() => {
        this.#running = null
        this.#schedule(this.#pause())
      })
      return this.#running
    }
    this.#next ??= this.#running.then(() => {
      this.#next = null
      return this.poll()
    })
    return this.#next
  }

  /** The period has become shorter. */
  hurry(): void {
    if (this.#running !== null) return
    const pause = this.#pause()
    if (this.#due - this.#parts.now() > pause) this.#schedule(pause)
  }

  /** The node was seen failing, or may be back: ask it now, whatever the back-off says. */
  retryNow(): void {
    this.#retryAt = -Infinity
    void this.poll()
  }

  stop(): void {
    this.#stop.abort(new Error('the monitor stops'))
    clearTimeout(this.#timer)
    this.#close()
  }

  #schedule(pause: number): void {
    if (this.#stop.signal.aborted) return
    clearTimeout(this.#timer)
    this.#due = this.#parts.now() + pause
    this.#timer = setTimeout(() => void this.poll(), pause)
    if (this.#parts.background) this.#timer.unref()
  }

  /** Jittered, so that many nodes and processes do not ask in step; never shorter than the period. */
  #pause(): number {
    const pause = this.#parts.period() * (1 + 0.2 * this.#parts.random())
    return this.#open === null ? Math.max(this.#retryAt - this.#parts.now(), Math.min(pause, BACKOFF_MS.first)) : pause
  }

  async #once(): Promise<void> {
    if (this.#open === null && this.#parts.now() < this.#retryAt) return
    let open = this.#open
    try {
      open = open === null ? await this.#connect() : await this.#renewed(open)
      await this.#ask(open)
      this.#failures = 0
    } catch (error) {
      // A connection that closed while it was asked has been counted by its onClosed.
      if (open === null || this.#open === open) this.#failed(error)
    }
  }

  /** One past its lifetime is replaced when the next has proved itself: until then it is as good as ever. */
  async #renewed(open: Open): Promise<Open> {
    const { now } = this.#parts
    if (now() < open.renewAt || (open.tellsTimeline && !open.told)) return open
    open.renewAt = now() + RENEW_RETRY_MS
    try {
      const next = await this.#connect()
      open.connection.close()
      return next
    } catch {
      return open
    }
  }

  async #connect(): Promise<Open> {
    const { connect, now, positions, lifetime, random } = this.#parts
    const connection = await attempt(this.#stop.signal, CONNECT_MS, connect)
    try {
      const connectedAt = now()
      const [row] = await within(connection.query(helloQuery), QUERY_MS, 'the first answer')
      if (typeof row?.[0] !== 'string') throw new RangeError('unreadable system identifier')
      if (positions.prepare !== null) await within(connection.query(positions.prepare), QUERY_MS, 'the first answer')
      this.#stop.signal.throwIfAborted()
      this.#version = Number(row[2])
      const open: Open = {
        connection,
        connectedAt,
        systemIdentifier: row[0],
        tellsTimeline: row[1] === 'true',
        renewAt: connectedAt + lifetime() * (1 - 0.2 * random()),
        told: false,
        primary: false,
      }
      this.#open = open
      connection.onClosed((reason) => {
        if (this.#open === open) this.#failed(new Error(reason))
      })
      return open
    } catch (error) {
      connection.close()
      throw error
    }
  }

  async #ask(open: Open): Promise<void> {
    const { now, epoch, positions, isPrimary } = this.#parts
    const before = epoch()
    const ask = (sql: string): ReturnType<MonitorConnection['query']> => within(open.connection.query(sql), QUERY_MS, 'an answer')
    const sample = positions.sample
    const answer = async (question: string): Promise<boolean> => {
      const sentAt = now()
      const server = await askPosition(ask, positions, question)
      open.primary = !server.inRecovery
      open.told = server.timeline !== null
      // Whoever waits must not take an answer for good that the clock makes worthless, or that a lost connection gave.
      if (this.#open !== open || epoch() !== before) return false
      // What a primary shows is no sample of it where that takes a write.
      const shown = sample !== null && question !== sample && open.primary ? { ...server, lsn: null } : server
      this.#report(open, sentAt, shown)
      return true
    }
    if (sample !== null && open.primary && isPrimary()) await answer(sample)
    else if ((await answer(positions.look)) && sample !== null && open.primary && isPrimary()) await answer(sample)
  }

  #report({ connectedAt, systemIdentifier, tellsTimeline }: Open, sentAt: number, server: ServerPosition): void {
    this.#parts.report({ kind: 'answer', answer: { sentAt, connectedAt, systemIdentifier, tellsTimeline, server } })
  }

  #failed(error: unknown): void {
    if (this.#stop.signal.aborted) return
    const late = error instanceof TimeoutError
    this.#close()
    const backoff = Math.min(BACKOFF_MS.last, BACKOFF_MS.first * 2 ** this.#failures)
    this.#failures += 1
    // The first retry follows at once: it tells a broken connection from a broken server.
    this.#retryAt = this.#failures === 1 ? -Infinity : this.#parts.now() + backoff * (0.75 + 0.5 * this.#parts.random())
    this.#parts.report({ kind: late ? 'miss' : 'lost', reason: error instanceof Error ? error.message : 'failed' })
    if (this.#running === null) this.#schedule(this.#failures === 1 ? 0 : this.#pause())
  }

  #close(): void {
    const open = this.#open
    this.#open = null
    open?.connection.close()
  }
}
