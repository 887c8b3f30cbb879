// doors/proxy/client-bus.ts — what one client listens to, where it shares server connections. LISTEN and UNLISTEN are sent to a
// server, which says what is wrong with them; what they mean is kept here until their transaction has committed, and told to
// the bus then. A client that listens gets its ReadyForQuery from here, once the bus listens and has caught up: so it hears
// before its next query whatever was acknowledged to a sender before, its own notifications too, as PostgreSQL has it.
//
//   LISTEN a ─▶ pending ─COMMIT─▶ committed ─end of request─▶ bus.listen() ─▶ notifications ─▶ ReadyForQuery
//                  └─ROLLBACK, ROLLBACK TO─▶ forgotten
import type { Bus } from '../../bus/bus.js'
import type { Listener } from '../../bus/contract.js'
import { clustersOf } from '../../config/clusters-of.js'
import { PointsmanError } from '../../errors/error.js'
import type { Observer } from '../../observe/events.js'
import type { ErrorFields } from '../../protocol/error-fields.js'
import type { ClientLogin, Runtime } from '../../runtime/contract.js'
import type { ServerConnection } from '../../server/contract.js'
import type { Session } from '../../session/session.js'
import type { Hints, Statement } from '../../sql/statement.js'
import type { ClientOutput } from './client-output.js'
import { errorFields } from './error-reply.js'
import { databaseOf } from './login.js'

/** `cluster` null: not said. `channel` null: all. */
interface Change {
  readonly what: 'listen' | 'unlisten'
  readonly cluster: string | null
  readonly channel: string | null
}

/** How many of the pending changes were there at a savepoint. */
interface Mark {
  readonly name: string
  readonly pending: number
}

/** What of a client's state has to do with notifications (client-state.ts). */
export interface ListeningClient {
  readonly runtime: Runtime<ServerConnection>
  readonly login: ClientLogin
  readonly session: Pick<Session, 'database' | 'user' | 'view' | 'transaction' | 'decoder'>
  readonly output: ClientOutput
  readonly observer: Observer
  /** null: nothing runs. */
  readonly request: object | null
  readonly ending: ErrorFields | null
  endWith(error: unknown): void
  tell(fields: ErrorFields): void
}

/** A client that does not take the reason why it is closed is cut off. */
const farewellMs = 2_000

export class ClientBus implements Listener {
  readonly #bus: Bus
  readonly #state: ListeningClient
  readonly #endNow: () => void
  #pending: Change[] = []
  #marks: Mark[] = []
  #committed: Change[] = []
  /** Notifications that wait for the end of what the client does, or for the client to read. */
  #queue: Uint8Array[] = []
  #queued = 0
  /** A ReadyForQuery is owed to the client. */
  #owes = false
  /** What ran on a server may have let others notify, or was a notification. */
  #behind = false
  #draining = false
  #left = false

  /** `endNow`: the client is to be closed though nothing runs. */
  constructor(bus: Bus, state: ListeningClient, endNow: () => void) {
    this.#bus = bus
    this.#state = state
    this.#endNow = endNow
  }

  // ---- what the client says

  /** A CommandComplete came. `hints`: of its text. */
  completed(statement: Statement, tag: string, hints: Hints | null): void {
    const { detail } = statement
    switch (detail.kind) {
      case 'listen':
        this.#pending.push({ what: 'listen', cluster: this.#supplied(hints), channel: detail.channel })
        return
      case 'unlisten':
        this.#pending.push({ what: 'unlisten', cluster: hints?.cluster ?? null, channel: detail.channel })
        return
      case 'discard':
        if (detail.what === 'all') this.#pending.push({ what: 'unlisten', cluster: null, channel: null })
        return
      case 'transaction':
        this.#controlled(detail.transaction.op, detail.transaction.name, tag)
        return
      default:
    }
  }

  #supplied(hints: Hints | null): string | null {
    const { local, session } = this.#state.session.view
    return hints?.cluster ?? local.cluster ?? session.cluster ?? null
  }

  #controlled(op: string, name: string | null, tag: string): void {
    switch (op) {
      case 'savepoint':
        this.#marks.push({ name: name ?? '', pending: this.#pending.length })
        return
      case 'release':
        this.#marks.length = Math.max(0, this.#markOf(name))
        return
      case 'rollback-to': {
        // A savepoint that is not known here stood before the first of them.
        const at = this.#markOf(name)
        this.#pending.length = this.#marks[at]?.pending ?? 0
        this.#marks.length = at + 1
        return
      }
      case 'commit':
        this.#ended(tag === 'ROLLBACK')
        return
      case 'rollback':
      case 'prepare-transaction':
        this.#ended(true)
    }
  }

  #markOf(name: string | null): number {
    return this.#marks.findLastIndex((mark) => mark.name === name)
  }

  #ended(failed: boolean): void {
    if (!failed) this.#committed.push(...this.#pending)
    this.#pending = []
    this.#marks = []
  }

  // ---- the end of a request

  /** The server said ReadyForQuery. `held`: the client has not been given it. */
  settled(idle: boolean, failed: boolean, held: boolean): void {
    if (idle) this.#ended(failed)
    this.#owes ||= held
    this.#behind ||= idle && held
  }

  /** The client is to get a ReadyForQuery. */
  owe(): void {
    this.#owes = true
  }

  /** Resolves when the client may be told ReadyForQuery; null: it has been told already. Never rejects. */
  pay(ready: () => void): Promise<void> | null {
    if (!this.#owes) {
      if (this.#queue.length > 0) this.#flush()
      return null
    }
    this.#owes = false
    return this.#settle().then(() => {
      this.#flush()
      ready()
      this.#flush()
    })
  }

  async #settle(): Promise<void> {
    const changes = this.#committed
    this.#committed = []
    for (const change of changes) await this.#apply(change)
    if (!this.#behind) return
    this.#behind = false
    await this.#bus.caughtUp(this)
  }

  async #apply(change: Change): Promise<void> {
    if (this.#left) return
    const { what, channel } = change
    if (what === 'unlisten' || channel === null) {
      this.#bus.unlisten(this, change.cluster, channel)
      return
    }
    try {
      await Promise.all(this.#clusters(change.cluster).map((cluster) => this.#listen(cluster, channel)))
    } catch (error) {
      this.#state.tell(errorFields(error))
    }
  }

  #clusters(named: string | null): readonly string[] {
    const { config } = this.#state.runtime.current()
    const database = databaseOf(config, this.#state.session.database)
    if (database === undefined) return []
    if (named !== null) return [named]
    return database.bus === 'all' ? clustersOf(database) : [database.default]
  }

  async #listen(cluster: string, channel: string): Promise<void> {
    const generation = this.#state.runtime.current()
    const waitMs = generation.config.clusters.get(cluster)?.pool.waitMs ?? 0
    await this.#bus.listen(this, generation.identityFor(cluster, this.#state.login), [channel], waitMs)
  }

  /** Channels on a cluster. */
  channelsOn(cluster: string): readonly string[] {
    return this.#bus.channelsOf(this, cluster)
  }

  /**
   * The bus tells it of this channel, so what a server connection tells is the same again; or the bus is about to. What the client
   * has notified (`itself`) in the very transaction in which it began to listen only its server connection tells.
   */
  hears(cluster: string, channel: string, itself: boolean): boolean {
    if (this.#bus.hears(this, cluster, channel)) return true
    const changes = [...this.#pending, ...this.#committed]
    if (changes.length === 0) return false
    return !itself || !changes.some((change) => change.channel === channel && this.#clusters(change.cluster).includes(cluster))
  }

  /** A server connection of the client's told it what the bus does not, in the client's encoding. */
  toldByServer(frame: Uint8Array): void {
    this.#queue.push(frame)
    this.#queued += frame.length
    if (this.#idle) this.#flush()
  }

  leave(): void {
    this.#left = true
    this.#queue = []
    this.#bus.unlisten(this, null, null)
  }

  // ---- what the bus says

  notified(frame: Uint8Array): void {
    const { ending, output } = this.#state
    if (ending !== null) return
    const own = this.#recoded(frame)
    if (this.#queue.length === 0 && this.#idle && !output.behind) {
      output.write(own)
      return
    }
    this.#queue.push(own)
    this.#queued += own.length
    if (this.#queued > this.#state.runtime.current().config.limits.listenerQueueBytes) this.#tooSlow()
    else if (output.behind) void this.#whenRead()
  }

  ended(error: PointsmanError): void {
    this.#state.endWith(error)
    this.#endNow()
  }

  /** Between two requests, outside a transaction: nothing of the client's is under way. */
  get #idle(): boolean {
    const { request, session } = this.#state
    return request === null && !this.#owes && session.transaction.kind === 'idle'
  }

  async #whenRead(): Promise<void> {
    if (this.#draining) return
    this.#draining = true
    await this.#state.output.caughtUp()
    this.#draining = false
    if (this.#idle) this.#flush()
  }

  #flush(): void {
    if (this.#state.session.transaction.kind !== 'idle' || this.#state.ending !== null) return
    const { output } = this.#state
    let sent = 0
    for (const frame of this.#queue) {
      if (output.behind) break
      output.write(frame)
      this.#queued -= frame.length
      sent += 1
    }
    this.#queue.splice(0, sent)
    if (this.#queue.length > 0) void this.#whenRead()
  }

  #tooSlow(): void {
    const { session, observer, output } = this.#state
    observer.emit('bus.slow', { database: session.database, user: session.user, bytes: this.#queued })
    this.ended(new PointsmanError('slow_listener', { values: { bytes: this.#queued } }))
    this.leave()
    this.#queued = 0
    // It may never read, and then it never hears of it.
    setTimeout(() => output.cutOff(), farewellMs).unref()
  }

  /** The bus speaks UTF-8; who speaks another encoding gets what can be said in it. */
  #recoded(frame: Uint8Array): Uint8Array {
    if (this.#state.session.decoder === 'utf8' || isAscii(frame)) return frame
    const head = frame.subarray(0, 9)
    const text = Buffer.from(frame.buffer, frame.byteOffset + 9, frame.byteLength - 9).toString('utf8')
    const body = Buffer.from(text.replace(/[^\u0000-\u00ff]/gu, '?'), 'latin1')
    const own = Buffer.concat([head, body])
    own.writeInt32BE(own.length - 1, 1)
    return own
  }
}

/** Of the text: what stands before it is a type byte, a length and a PID. */
function isAscii(frame: Uint8Array): boolean {
  for (let at = 9; at < frame.length; at++) if ((frame[at] ?? 0) > 0x7f) return false
  return true
}
