// doors/proxy/conversation.ts — what simple queries and batches share: the session, the server connections it has at the
// moment, and how a statement is sent, settled, sent again or given up.
//
//   plan ─▶ take ─▶ prepare (settings, deferred BEGIN) ─▶ send ─▶ end ─▶ settle ─▶ kept (transaction, pin) or released
//             ▲                                            │
//             └──────────── once more elsewhere ◀──────────┘  only while nothing was forwarded and nothing written
//
// client-state: shared values · generations · planning: where statements go · told: parameters · holds: take, release, pins ·
// preparing: settings, BEGIN · settling: begin and end of a request, errors, losses · effects: of a statement on the session ·
// presence, departure: waiting, cancel, leave
import type { ResultCache } from '../../cache/result-cache.js'
import type { SessionFloors } from '../../consistency/floors.js'
import { PointsmanError } from '../../errors/error.js'
import type { Observer } from '../../observe/events.js'
import type { Traffic } from '../../observe/traffic.js'
import { encodeReadyForQuery } from '../../protocol/backend-messages.js'
import type { ErrorFields } from '../../protocol/error-fields.js'
import { notificationHead, withNotifier } from '../../protocol/notification.js'
import type { OnePlan, Plan } from '../../routing/plan.js'
import { boundSeconds, policyName } from '../../execute/measured.js'
import type { Joint } from '../../execute/joint.js'
import { homesTouched } from '../../execute/homes-touched.js'
import type { RouteTaken } from '../../execute/contract.js'
import type { Generation } from '../../runtime/contract.js'
import type { UniqueIds } from '../../runtime/unique-ids.js'
import type { ExpectReply, Loss, ServerConnection, TransactionStatus } from '../../server/contract.js'
import { ServerError } from '../../server/server-error.js'
import type { Session } from '../../session/session.js'
import type { Signal } from '../../session/client-pids.js'
import { settle } from '../../session/settings.js'
import { deferBegin, fail, idle, poison, readyByte } from '../../session/transaction.js'
import type { TransactionFacts } from '../../sql/statement.js'
import type { ClientInput } from './client-input.js'
import type { ClientOutput } from './client-output.js'
import { clientReport, type ClientReport, type ReportedClient } from './client-report.js'
import type { HoldWaiter } from './acquisition.js'
import { ClientState, type ConversationParts } from './client-state.js'
import type { Core } from './core-contract.js'
import { Departure } from './departure.js'
import { completed } from './effects.js'
import { errorFields, unforeseen } from './error-reply.js'
import { Generations } from './generations.js'
import type { End, Hold, HoldOwner } from './hold.js'
import { Holds } from './holds.js'
import { LaneSeat } from './lane-seat.js'
import type { MergedCursors } from './merged-cursors.js'
import { databaseOf } from './login.js'
import { Planning } from './planning.js'
import { Presence } from './presence.js'
import type { ProvedStatements } from './proved-statements.js'
import type { Reply } from './recording.js'
import { Request } from './request.js'
import type { SeenParses } from './seen-parses.js'
import { Settling } from './settling.js'
import { Told } from './told.js'

const readyFrames: Readonly<Record<TransactionStatus, Uint8Array>> = {
  I: encodeReadyForQuery('I'),
  T: encodeReadyForQuery('T'),
  E: encodeReadyForQuery('E'),
}

/** Expectations are never changed, so one of each is enough; the ends of two requests of one client are never owed at once. */
const forwardQuery: ExpectReply = { act: 'forward', reply: 'query' }
const forwardSync: ExpectReply = { act: 'forward', reply: 'sync' }

const readOnlyBegin: TransactionFacts = {
  op: 'begin',
  name: null,
  readOnly: true,
  isolation: 'read committed',
  deferrable: null,
  chain: false,
  snapshot: false,
}

export class Conversation implements HoldOwner {
  readonly session: Session
  readonly input: ClientInput
  readonly output: ClientOutput
  readonly core: Core
  readonly proved: ProvedStatements
  readonly cache: ResultCache<Reply>
  readonly observer: Observer
  readonly now: () => number
  readonly floors: SessionFloors
  /** Parameters as the client was last told. */
  readonly told: Told
  /** The last statement that had a route, for SHOW pointsman.last_route. */
  lastRoute: { readonly plan: Plan; readonly route: RouteTaken | null } | null = null
  /** Pumps CopyData to the server; set by the client's loop. */
  onCopyIn: ((hold: Hold) => void) | null = null
  /** The shared connections that this client's requests may go to; null: there are none. */
  readonly lane: LaneSeat | null
  /** Of all clients that may use lanes. */
  readonly parses: SeenParses | null
  /** A request that was parked has ended, or is waited for. */
  onUnparked: ((pending: Promise<void> | null) => void) | null = null
  /** Where its statements go. */
  readonly planning: Planning
  readonly #state: ClientState
  readonly #generations: Generations
  readonly #presence = new Presence()
  readonly #holds: Holds
  readonly #departure: Departure
  readonly #settling: Settling

  constructor(parts: ConversationParts) {
    const state = new ClientState(parts)
    const generations = new Generations(state)
    const presence = this.#presence
    const told = new Told(state, generations, parts.greeting.parameters)
    const holds = new Holds({ state, generations, presence, told, owner: this })
    this.#state = state
    this.#generations = generations
    this.#holds = holds
    this.#departure = new Departure(state, presence, holds)
    const { lanes } = parts
    const ready = (): void => this.ready()
    const onEnd = (pending: Promise<void> | null): void => this.onUnparked?.(pending)
    this.lane = lanes === null ? null : new LaneSeat({ ...lanes, state, generations, holds, presence, told, ready, onEnd })
    this.parses = lanes?.parses ?? null
    this.#settling = new Settling({ state, generations, presence, holds, departure: this.#departure })
    this.planning = new Planning({ state, generations, presence, holds, core: parts.core })
    this.told = told
    this.core = parts.core
    this.session = state.session
    this.input = state.input
    this.output = state.output
    this.proved = state.proved
    this.cache = state.cache
    this.observer = state.observer
    this.now = state.now
    this.floors = state.floors
  }

  /** See ClientState.cursors. */
  get cursors(): MergedCursors | null {
    return this.#state.cursors
  }

  set cursors(cursors: MergedCursors | null) {
    this.#state.cursors = cursors
  }

  // ---- one request

  begin(now: number = this.now()): Request {
    this.#generations.enter()
    this.#state.requested(now)
    return (this.#state.request = new Request(now))
  }

  /** What begin() gave is not to be run after all: nothing has come of it. */
  abandon(): void {
    this.#state.request = null
    this.#leaveGeneration()
  }

  finish(request: Request): void {
    this.#state.request = null
    if (this.cursors !== null && this.session.transaction.kind !== 'open') this.cursors = null
    request.recording?.close()
    const { plan, route } = request
    if (plan !== null && plan.kind !== 'answer') this.lastRoute = { plan, route }
    const now = this.now()
    this.#state.answered(request, now)
    this.#report(request, now)
    this.#leaveGeneration()
  }

  #leaveGeneration(): void {
    if (this.#holds.size === 0 && this.session.transaction.kind !== 'open') this.#generations.leave()
  }

  get busy(): boolean {
    return this.#state.request !== null
  }

  /** Nothing of this client's is open anywhere: it may be closed without loss. */
  get settled(): boolean {
    return this.#state.request === null && this.session.transaction.kind === 'idle'
  }

  get generation(): Generation<ServerConnection> {
    return this.#generations.current
  }

  /** The generation that the next request will be in. */
  get upcoming(): Generation<ServerConnection> {
    return this.#generations.upcoming
  }

  /** Nothing is owed to the client, awaited for it, or told it beside its replies. */
  get free(): boolean {
    const { ending, inspecting, bus } = this.#state
    return ending === null && inspecting === null && bus === null && !this.output.behind
  }

  #report(request: Request, now: number): void {
    const { plan, route, shape, outcome } = request
    this.observer.emit('query.end', {
      door: 'proxy',
      database: this.session.database,
      user: this.session.user,
      cluster: route?.cluster ?? null,
      node: route?.node ?? null,
      role: route?.role ?? 'none',
      owner: plan?.owner ?? null,
      outcome,
      seconds: (now - request.startedAt) / 1000,
      why: plan?.why ?? [],
      shape,
      policy: policyName(plan),
      step: route?.step ?? null,
      boundSeconds: boundSeconds(plan, route),
      homes: homesTouched(plan, request.uses?.key ?? '', () => databaseOf(this.#generations.current.config, this.session.database)),
    })
  }

  // ---- for those who watch

  get traffic(): Traffic {
    return this.#state.traffic
  }

  /** As SHOW CLIENTS tells it. */
  report(client: ReportedClient, clock: Parameters<typeof clientReport>[3]): ClientReport {
    return clientReport(client, this.#state, this.#holds, clock)
  }

  /** How long it has waited for a server connection; 0: it does not wait. */
  get waitSeconds(): number {
    const { waitingSince } = this.#state
    return waitingSince === null ? 0 : Math.max(0.000_001, (this.now() - waitingSince) / 1_000)
  }

  /** A part of a reply has reached the client, and the rest has not. */
  get answering(): boolean {
    for (const hold of this.#holds.all()) if (hold.owed && hold.forwarded) return true
    return false
  }

  /** Ids of this process. */
  get uniqueIds(): Pick<UniqueIds, 'ready' | 'isReady' | 'now'> {
    return this.#state.runtime.uniqueIds
  }

  /** A transaction has written, somewhere, and has not ended. */
  get hasWritten(): boolean {
    for (const hold of this.#holds.all()) if (hold.writing) return true
    return false
  }

  /** Called when `ending` was set while no request runs. */
  set onEnding(listener: () => void) {
    this.#state.onEnding = listener
  }

  /** Who does to other clients what this one asks for; false: there is no such client. Throws 42501. */
  onSignal: ((signal: Signal) => boolean) | null = null

  /** See onSignal. */
  signal(signal: Signal): boolean {
    return this.onSignal?.(signal) ?? false
  }

  /** The PID that this client was told. */
  set pid(pid: number) {
    this.#state.pid = pid
    this.session.pid = pid
  }

  /** Somebody has begun to listen: whom the server processes work for is to be known from here on. */
  tellOwners(): void {
    this.#holds.tellOwners()
  }

  // ---- telling the client

  get ending(): ErrorFields | null {
    return this.#state.ending
  }

  ready(): void {
    const { bus } = this.#state
    if (bus !== null) bus.owe()
    else if (this.ending === null) this.output.write(readyFrames[readyByte(this.session.transaction)])
  }

  /** What a Query or Sync of the client is owed. */
  expectEnd(reply: 'query' | 'sync'): ExpectReply {
    const { bus, request } = this.#state
    if (bus === null || request === null) return reply === 'query' ? forwardQuery : forwardSync
    request.readyHeld = true
    return { act: 'forward', reply, readyHeld: true }
  }

  /** Before the client's next message is looked at: resolves when it has been told what it is still owed; null: it has. */
  payReady(): Promise<void> | null {
    const { bus } = this.#state
    if (bus === null) return null
    return bus.pay(() => {
      if (this.ending === null) this.output.write(readyFrames[readyByte(this.session.transaction)])
    })
  }

  /** The client is told `error` and closed when the present request returns. */
  endWith(error: unknown): void {
    this.#state.endWith(error)
  }

  // ---- failing

  /** An error of ours: told, and the transaction fails as it would have on a server. The caller tells ReadyForQuery. */
  async refuse(request: Request, error: unknown): Promise<void> {
    request.outcome = outcomeOf(error)
    if (unforeseen(error)) this.#log(error)
    await this.#failTransaction()
    if (this.ending === null) this.#state.tell(errorFields(error))
  }

  /** Makes the open transaction a failed one, on the server too. */
  async #failTransaction(): Promise<void> {
    const { transaction } = this.session
    this.session.transaction = fail(transaction)
    if (transaction.kind !== 'open' || transaction.status !== 'T') return
    const hold = this.home
    if (hold === null) return
    if (transaction.joined.length > 0) void this.joint.failOthers(hold)
    await hold.connection.query(poison).catch(() => undefined)
    hold.unnamed = null
    if (hold.lost) return
    this.session.transaction = { ...transaction, status: 'E' }
  }

  /** A batch that only we answered has ended: outside a transaction its settings stand now, or never did. */
  endLocal(failed: boolean): void {
    if (this.session.transaction.kind !== 'idle' || this.session.settings.undo.length === 0) return
    this.session.settings = settle(this.session.settings, { kind: failed ? 'rollback' : 'commit' })
  }

  #log(error: unknown): void {
    const fields = { error: error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error) }
    this.observer.emit('log', { level: 'error', message: 'a request failed for a reason no rule foresaw', fields })
  }

  /** Resolves when it is known what the last statements have left on their servers; null: it is. */
  get inspecting(): Promise<void> | null {
    return this.#state.inspecting
  }

  // ---- server connections (holds.ts, settling.ts)

  /** The server connection of the open transaction, if one is open on a server. */
  get home(): Hold | null {
    return this.#holds.home
  }

  /** Of a transaction that is open on several clusters. */
  get joint(): Joint<Hold> {
    return this.#holds.joint
  }

  /** A transaction of ours, for what is read bit by bit outside of one. */
  beginReading(): void {
    this.session.transaction = deferBegin('BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY', readOnlyBegin)
    this.session.settings = settle(this.session.settings, { kind: 'begin' })
  }

  /** Its end, whatever has become of it. Never rejects. */
  async endReading(): Promise<void> {
    const { session } = this
    this.cursors = null
    if (session.transaction.kind === 'open') {
      // Nothing was written: what an end of it could fail with concerns nobody.
      await this.joint.end('rollback').catch(() => undefined)
    }
    if (session.transaction.kind !== 'deferred') return
    session.transaction = idle
    session.settings = settle(session.settings, { kind: 'rollback' })
  }

  /** Carries out what is said of a transaction on several clusters, and on its cursors. Never rejects: answer() has what the client is told. */
  async controlJoint(control: Parameters<Joint<Hold>['run']>[0]): Promise<void> {
    await this.joint.run(control)
    const { transaction, settings } = this.session
    if (this.cursors === null) return
    if (transaction.kind !== 'open') this.cursors = null
    else if (transaction.status === 'T') this.cursors.wentTo(control.op, settings.undo.length)
  }

  /** See Holds.take. */
  holdFor(plan: OnePlan, request: Request): Hold | Promise<Hold> {
    return this.#holds.take(plan, request)
  }

  /** See Holds.takeSoon. */
  holdSoon(plan: OnePlan, request: Request, waiter: HoldWaiter): Hold | null {
    return this.#holds.takeSoon(plan, request, waiter)
  }

  requireAllowed(plan: OnePlan, held: Hold | null): void {
    this.#holds.requireAllowed(plan, held)
  }

  meets(hold: Hold, plan: OnePlan, request: Request): boolean {
    return this.#holds.meets(hold, plan, request)
  }

  /** Before anything of `plan` is written. */
  starting(hold: Hold, plan: OnePlan, request: Request): void {
    this.#settling.starting(hold, plan, request)
  }

  /** See Settling.settle. */
  settle(hold: Hold, plan: OnePlan, request: Request, end: End): boolean {
    return this.#settling.settle(hold, plan, request, end)
  }

  /** One server of a read on several; what became of the read is told by whoever runs it. */
  settlePart(hold: Hold, plan: OnePlan, request: Request, end: End): void {
    if (end.kind === 'lost') this.#settling.partLost(hold, end.loss)
    else this.#settling.settle(hold, plan, request, end)
  }

  /** It was taken, and is not needed after all. */
  unused(hold: Hold): void {
    this.#settling.unused(hold)
  }

  // ---- what a Hold asks of its owner

  failed(hold: Hold, fields: ErrorFields, expect: ExpectReply, frame: Uint8Array): 'forward' | 'withhold' | Uint8Array {
    return this.#settling.failed(hold, fields, expect, frame)
  }

  completed(hold: Hold, tag: string, expect: ExpectReply): void {
    const running = this.#state.request?.running?.(expect.label) ?? null
    if (running !== null) completed(this.#state, hold, tag, running)
  }

  rowsDescribed(hold: Hold, frame: Uint8Array, expect: ExpectReply): void {
    this.#state.request?.onRows?.(hold, frame, expect.label)
  }

  parametersDescribed(oids: readonly number[], expect: ExpectReply): void {
    this.#state.request?.onDescribed?.(oids, expect.label)
  }

  parameterChanged(hold: Hold, name: string, value: string): void {
    this.told.changed(hold, name, value)
  }

  copyIn(hold: Hold): void {
    this.#departure.copyBegins(hold)
    this.onCopyIn?.(hold)
  }

  notified(hold: Hold, frame: Uint8Array): void {
    const { pid, channel } = notificationHead(frame)
    const { bus, notifications, pid: own } = this.#state
    const itself = pid === hold.connection.backend.pid
    if (bus?.hears(hold.cluster, channel, itself) === true) return
    const told = withNotifier(frame, itself ? own : notifications.owners.of(hold.route.node, pid))
    if (bus === null) this.output.write(told)
    else bus.toldByServer(told)
  }

  lostIdle(hold: Hold, loss: Loss): void {
    if (this.#settling.lostIdle(hold, loss)) this.#state.onEnding?.()
  }

  // ---- cancel and leave

  /** Throws where the client has left: nothing may be begun for it any more. */
  requirePresent(): void {
    this.#presence.require()
  }

  /** Waits for what others do, until this client cancels or leaves. */
  unlessCanceled<T>(work: Promise<T>): Promise<T> {
    return this.#presence.unlessCanceled(work)
  }

  /** As a CancelRequest asks: whatever runs or waits ends with 57014. */
  cancel(): void {
    this.lane?.cancel()
    this.#departure.cancel()
  }

  /** The client is gone: nothing of its must stay behind on any server connection. */
  leave(): void {
    this.#departure.leave()
    this.lane?.leave()
    if (!this.busy) this.#generations.leave()
  }

  /** The client's loop has ended, if need be in the middle of a batch. */
  close(): void {
    this.#departure.leave()
    this.lane?.leave()
    this.#state.request = null
    this.#generations.leave()
  }
}

function outcomeOf(error: unknown): Request['outcome'] {
  if (error instanceof ServerError) return error.code === '57014' ? 'canceled' : 'error'
  if (!(error instanceof PointsmanError)) return 'error'
  return error.key === 'canceled' ? 'canceled' : 'refused'
}
