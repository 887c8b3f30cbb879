// doors/proxy/client-state.ts — what all parts of one client's conversation share: values, and who else is there. Each part
// (generations, told, holds, settling, departure) keeps its own state to itself; what two of them need stands here.
import type { Bus } from '../../bus/bus.js'
import type { ResultCache } from '../../cache/result-cache.js'
import { clustersOf } from '../../config/clusters-of.js'
import { createFloors, type SessionFloors } from '../../consistency/floors.js'
import type { PolicyOverride } from '../../consistency/policy.js'
import type { Observer } from '../../observe/events.js'
import type { Traffic } from '../../observe/traffic.js'
import { encodeErrorResponse, type ErrorFields } from '../../protocol/error-fields.js'
import type { ClientLogin, Runtime } from '../../runtime/contract.js'
import type { ServerConnection } from '../../server/contract.js'
import { sessionMode } from '../../session/pin-reasons.js'
import { ofProxy, Session, type Greeting } from '../../session/session.js'
import type { TransactionMode } from '../../session/transaction.js'
import { ClientBus } from './client-bus.js'
import type { ClientInput } from './client-input.js'
import type { ClientOutput } from './client-output.js'
import type { Core } from './core-contract.js'
import { errorFields } from './error-reply.js'
import type { LaneParts } from './lane-parts.js'
import { databaseOf, poolModeOf, type Login } from './login.js'
import type { MergedCursors } from './merged-cursors.js'
import type { ProvedStatements } from './proved-statements.js'
import type { Reply } from './recording.js'
import type { Request } from './request.js'
import { Sequences } from './sequences.js'

export interface ConversationParts {
  readonly login: Login
  readonly password: string | null
  readonly greeting: Greeting
  readonly runtime: Runtime<ServerConnection>
  readonly observer: Observer
  readonly core: Core
  /** Of all clients. */
  readonly proved: ProvedStatements
  /** Of all clients. */
  readonly cache: ResultCache<Reply>
  /** Of all clients. */
  readonly notifications: Bus
  /** Of all clients of this user in this database. */
  readonly traffic: Traffic
  /** null: every request has a server connection of its own. */
  readonly lanes: LaneParts | null
  readonly now: () => number
}

export class ClientState {
  readonly login: ClientLogin
  readonly runtime: Runtime<ServerConnection>
  readonly session: Session
  readonly input: ClientInput
  readonly output: ClientOutput
  readonly proved: ProvedStatements
  readonly cache: ResultCache<Reply>
  readonly observer: Observer
  readonly lanes: LaneParts | null
  readonly now: () => number
  readonly floors: SessionFloors = createFloors()
  readonly traffic: Traffic
  /** Process-monotonic ms at which the newest request came, and at which the transaction at hand began (null: none). */
  requestedAt = 0
  begunAt: number | null = null
  /** Since when it waits for a server connection, process-monotonic ms; null: it does not. */
  waitingSince: number | null = null
  /** What it waits for is the end of a PAUSE. */
  paused = false
  /** The request at hand. */
  request: Request | null = null
  /** Of the transaction as the statement at hand finds it. */
  mode: TransactionMode | null = null
  overrides: PolicyOverride = {}
  /** Set once: the client is told and closed when the request at hand returns. */
  ending: ErrorFields | null = null
  readonly notifications: Bus
  /** Clusters on whose primary this client keeps its server connection from the first statement to its end, with the reason. */
  readonly kept: ReadonlyMap<string, string>
  /** As the client was told it; 0: not yet. */
  pid = 0
  /** Open cursors over several clusters, by name; null: there are none. They end with their transaction. */
  cursors: MergedCursors | null = null
  /** What it listens to; null: it has never sent LISTEN. */
  bus: ClientBus | null = null
  /** Called when `ending` was set while no request runs. */
  onEnding: (() => void) | null = null

  /** A server is being asked what this client has left on it: nothing new is begun before it has said. */
  inspecting: Promise<void> | null = null

  readonly sequences: Sequences

  constructor(parts: ConversationParts) {
    const { login, greeting } = parts
    this.login = { database: login.database, user: login.user, password: parts.password, keys: login.keys }
    this.runtime = parts.runtime
    this.input = login.input
    this.output = login.output
    this.proved = parts.proved
    this.cache = parts.cache
    this.notifications = parts.notifications
    this.observer = parts.observer
    this.traffic = parts.traffic
    this.lanes = parts.lanes
    this.now = parts.now
    const { config } = parts.runtime.current()
    const database = databaseOf(config, login.database)
    const pooling = poolModeOf(config, login.database, login.user)
    this.session = new Session({
      database: login.database,
      user: login.user,
      settings: login.settings,
      greeting,
      pooling,
      ...ofProxy,
    })
    this.sequences = new Sequences({ database: login.database, user: login.user, runtime: parts.runtime })
    const kept = pooling === 'session' && database !== undefined ? clustersOf(database) : []
    this.kept = new Map(kept.map((cluster) => [cluster, sessionMode]))
    this.session.pins = this.kept
  }

  /** LISTEN or UNLISTEN is about to be sent. */
  listens(): void {
    this.bus ??= new ClientBus(this.notifications, this, () => this.onEnding?.())
  }

  /** A request has come. */
  requested(now: number): void {
    this.requestedAt = now
    this.begunAt ??= now
  }

  /** A request has ended. */
  answered(request: Request, now: number): void {
    const { traffic } = this
    const ms = now - request.startedAt
    traffic.queries += 1
    traffic.queryMs += ms
    countUse(request, ms)
    if (this.session.transaction.kind !== 'idle' || this.begunAt === null) return
    traffic.xacts += 1
    traffic.xactMs += now - this.begunAt
    this.begunAt = null
  }

  /** The client is told `error` and closed when the present request returns. */
  endWith(error: unknown): void {
    this.ending ??= errorFields(error, 'FATAL')
  }

  tell(fields: ErrorFields): void {
    this.output.write(encodeErrorResponse(fields))
  }
}

function countUse({ uses, plan, route, outcome }: Request, ms: number): void {
  if (uses === null) return
  uses.count += 1
  uses.ms += ms
  if (ms > uses.maxMs) uses.maxMs = ms
  if (outcome !== 'ok') uses.errors += 1
  uses.cluster = route?.cluster ?? null
  uses.role = route?.role ?? null
  uses.rule = plan?.why.at(-1)?.rule ?? null
}
