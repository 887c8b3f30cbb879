// doors/proxy/joint.ts — one client's transaction that is open on several clusters: how another one joins it, and how all of them
// go through savepoints to one end. Between the statements each participant is an ordinary hold; what concerns all of them is
// said on each by ourselves, and answered once.
//
//   BEGIN ─ statement on A ─ statement on B: A tells its isolation, B begins, both get a lock_timeout ─ … ─ COMMIT
//                                                                                                            │
//      one has written: COMMIT on each, its own last          several have: runtime/two-phase.ts ◀──────────┘
import { PointsmanError } from '../../errors/error.js'
import type { Participant } from '../../execute/two-phase.js'
import type { AnswerPlan } from '../../routing/plan.js'
import type { Generation } from '../../runtime/contract.js'
import type { ServerConnection } from '../../server/contract.js'
import { quoted, quoteLiteral } from '../../session/quote.js'
import { isOwn, replayChanges, replaySql } from '../../session/replay.js'
import { effective, settle, type Settings, type SettingsState } from '../../session/settings.js'
import { idle, poison, withJoined } from '../../session/transaction.js'
import type { ClientState } from './client-state.js'
import type { Generations } from './generations.js'
import type { Hold } from './hold.js'
import { databaseOf } from './login.js'

type Control = Extract<AnswerPlan['answer'], { what: 'joint' }>

/** What it asks of the client's connections. */
interface JointHolds {
  readonly home: Hold | null
  on(cluster: string): Hold | undefined
  drop(hold: Hold, reason: string): void
  endWrite(hold: Hold, now: number): void
  /** The transaction has ended there, and everywhere. */
  endedOn(hold: Hold, failed: boolean): void
}

export class Joint {
  readonly #state: ClientState
  readonly #generations: Generations
  readonly #holds: JointHolds
  /** What became of the control that was carried out last. */
  #outcome: { readonly tag: string } | { readonly error: unknown } | null = null

  constructor(state: ClientState, generations: Generations, holds: JointHolds) {
    this.#state = state
    this.#generations = generations
    this.#holds = holds
  }

  // ---- joining

  /** Opens the transaction on `hold` too, as it stands. Rejects where that cannot be; then nothing is open there. */
  async join(hold: Hold): Promise<void> {
    const { session } = this.#state
    const first = this.#holds.home
    if (first === null) throw new PointsmanError('feature_not_supported', { values: { what: 'the transaction is open nowhere' } })
    requirePlain(session.settings)
    if (hold.connection.transaction === 'I') {
      const readOnly = await this.#ask(first)
      try {
        await this.#begin(hold, readOnly)
      } catch (error) {
        if (!hold.lost) await hold.connection.query('ROLLBACK').catch(() => undefined)
        throw error
      }
    } else await this.#catchUp(hold, session.settings)
    session.transaction = withJoined(session.transaction, hold.cluster)
  }

  /** Whether it is read-only. Refuses what sees one moment only, whatever set it so. */
  async #ask(first: Hold): Promise<boolean> {
    const sql = `SELECT pg_catalog.current_setting('transaction_isolation'), pg_catalog.current_setting('transaction_read_only'), ${this.#lockTimeout()}`
    first.unnamed = null
    const [row = []] = (await first.connection.query(sql)).rows
    const [isolation = null, readOnly] = row
    if (isolation === 'read committed' || isolation === 'read uncommitted') return readOnly === 'on'
    const what = `a transaction with isolation level ${isolation ?? '?'} cannot come to a second cluster`
    throw new PointsmanError('feature_not_supported', {
      values: { what },
      hint: 'Above READ COMMITTED all of it would have to see one moment, which two clusters do not have.',
    })
  }

  /** Where the session has none of its own: what PostgreSQL cannot see as a deadlock must end. */
  #lockTimeout(): string {
    const ms = this.#times?.lockTimeoutMs ?? 0
    const set = `pg_catalog.set_config('lock_timeout', ${quoteLiteral(String(ms))}, true)`
    return `CASE WHEN pg_catalog.current_setting('lock_timeout') = '0' THEN ${ms === 0 ? 'NULL' : set} END`
  }

  get #times(): { readonly lockTimeoutMs: number } | null {
    return databaseOf(this.#generations.current.config, this.#state.session.database)?.twoPhase ?? null
  }

  /** BEGIN, and every savepoint with the settings that stood when it was made, so that going back to one is the same everywhere. */
  async #begin(hold: Hold, readOnly: boolean): Promise<void> {
    const { settings } = this.#state.session
    const [start] = settings.undo
    const before = start?.values ?? settings.values
    hold.unnamed = null
    const outside = replayChanges(before, hold.settings.values)
    if (outside.length > 0) await hold.connection.query(replaySql(outside))
    const texts = [`BEGIN ISOLATION LEVEL READ COMMITTED, READ ${readOnly ? 'ONLY' : 'WRITE'}`, `SELECT ${this.#lockTimeout()}`]
    let stands: Standing = { values: before, locals: none }
    for (const point of [...settings.undo.slice(1), { savepoint: null, values: settings.values, locals: settings.locals }]) {
      texts.push(...changes(stands, point))
      stands = point
      if (point.savepoint !== null) texts.push(`SAVEPOINT ${quoted(point.savepoint)}`)
    }
    await hold.connection.query(texts.join('; '))
    hold.settings = { ...settings, defaults: none }
  }

  /** What was set since on another participant. */
  async #catchUp(hold: Hold, wanted: SettingsState): Promise<void> {
    const texts = changes(hold.settings, wanted)
    if (texts.length === 0) return
    hold.unnamed = null
    await hold.connection.query(texts.join('; '))
    hold.settings = { ...hold.settings, values: wanted.values, locals: wanted.locals }
  }

  // ---- failing

  /** One has failed: the locks of the others are let go too, as in one server. */
  failOthers(failed: Hold | null): void {
    for (const hold of this.#parts()) {
      if (hold === failed || hold.lost || hold.connection.transaction !== 'T') continue
      hold.unnamed = null
      void hold.connection.query(poison).catch(() => undefined)
    }
  }

  // ---- control

  /** Carries out what `plan` says on all participants. Never rejects: result() has what the client is told. */
  async run(control: Control): Promise<void> {
    this.#outcome = null
    try {
      this.#outcome = { tag: await this.#carryOut(control) }
    } catch (error) {
      this.#outcome = { error }
    }
  }

  /** The tag. Throws what the client is to be told instead. */
  result(): string {
    const outcome = this.#outcome
    this.#outcome = null
    if (outcome === null) throw new Error('a transaction on several clusters was answered before it was carried out')
    if ('error' in outcome) throw outcome.error
    return outcome.tag
  }

  #carryOut(control: Control): Promise<string> {
    const { op, name } = control
    switch (op) {
      case 'commit':
        return this.#failed ? this.#rollback() : this.#commit()
      case 'rollback':
        return this.#rollback()
      case 'savepoint':
        return this.#onAll(control, `SAVEPOINT ${quoted(name)}`, { kind: 'savepoint', name })
      case 'release':
        return this.#onAll(control, `RELEASE SAVEPOINT ${quoted(name)}`, { kind: 'release', name })
      case 'rollback-to':
        return this.#onAll(control, `ROLLBACK TO SAVEPOINT ${quoted(name)}; SELECT ${this.#lockTimeout()}`, { kind: 'rollback-to', name })
    }
  }

  get #failed(): boolean {
    const { transaction } = this.#state.session
    return transaction.kind === 'open' && transaction.status === 'E'
  }

  /** The holds of the transaction, its home first. */
  #parts(): readonly Hold[] {
    const { transaction } = this.#state.session
    if (transaction.kind !== 'open') return []
    const clusters = transaction.joined.length === 0 ? [transaction.home.cluster] : transaction.joined
    return clusters.map((cluster) => this.#holds.on(cluster)).filter((hold) => hold !== undefined)
  }

  async #onAll({ tag }: Control, sql: string, event: Parameters<typeof settle>[1]): Promise<string> {
    const { session } = this.#state
    const results = await Promise.allSettled(this.#parts().map((hold) => own(hold, sql)))
    const failed = results.find((one) => one.status === 'rejected')
    const { transaction } = session
    if (failed !== undefined) {
      this.failOthers(null)
      if (transaction.kind === 'open') session.transaction = { ...transaction, status: 'E' }
      throw failed.reason
    }
    for (const hold of this.#parts()) hold.settings = settle(hold.settings, event)
    session.settings = settle(session.settings, event)
    if (transaction.kind === 'open') session.transaction = { ...transaction, status: 'T' }
    return tag
  }

  async #rollback(): Promise<string> {
    await this.#engaged(async (parts) => {
      await Promise.all(parts.map((hold) => own(hold, 'ROLLBACK').catch(() => undefined)))
      return false
    })
    return 'ROLLBACK'
  }

  async #commit(): Promise<string> {
    requirePlain(this.#state.session.settings)
    await this.#engaged(async (parts) => {
      const wrote = await Promise.all(parts.map(hasWritten))
      const writers = parts.filter((_, index) => wrote[index])
      const [first, ...others] = writers
      // What has only read ends first: it has nothing to lose, and may still stop the rest.
      await Promise.all(parts.filter((hold) => !writers.includes(hold)).map((hold) => committed(hold)))
      if (first !== undefined && others.length === 0) await committed(first)
      else if (first !== undefined) await this.#commitTogether([first, ...others])
      return true
    })
    return 'COMMIT'
  }

  async #commitTogether([first, ...others]: readonly [Hold, ...Hold[]]): Promise<void> {
    const { runtime, session } = this.#state
    const ending = await runtime.twoPhase.commit(session.database, [participant(first), ...others.map(participant)])
    switch (ending.kind) {
      case 'committed':
        return
      case 'aborted':
        throw ending.error
      case 'unfinished':
        throw new PointsmanError('two_phase_unfinished', { values: { clusters: ending.clusters.join(', ') } })
      case 'unknown':
        throw new PointsmanError('two_phase_unknown', { values: { cluster: first.cluster }, cause: ending.error })
    }
  }

  /** Nobody else touches the participants while `work` ends their transaction; then they are given back. True: it stands. */
  async #engaged(work: (parts: readonly Hold[]) => Promise<boolean>): Promise<void> {
    const parts = this.#parts()
    // The client may leave meanwhile.
    const generation = this.#generations.current
    for (const hold of parts) hold.engaged = true
    let stands = false
    try {
      stands = await work(parts)
    } catch (error) {
      // Before anything was decided it takes all of it back; after that nothing is open any more.
      await Promise.all(parts.map(takenBack))
      stands = error instanceof PointsmanError && error.key === 'two_phase_unfinished'
      throw error
    } finally {
      this.#settle(parts, stands, generation)
    }
  }

  #settle(parts: readonly Hold[], stands: boolean, generation: Generation<ServerConnection>): void {
    const { now, bus, proved, session } = this.#state
    session.settings = settle(session.settings, { kind: stands ? 'commit' : 'rollback' })
    session.transaction = idle
    for (const hold of parts) {
      hold.engaged = false
      const { writing, cluster, definedSomething } = hold
      if (stands && writing && !hold.lost) generation.writeAcknowledged(cluster, now())
      this.#holds.endWrite(hold, now())
      if (definedSomething) {
        hold.definedSomething = false
        proved.changed(cluster)
        generation.catalogChanged(cluster)
      }
      // SET in a transaction that was prepared stands on its connection, whatever became of the transaction.
      const set = hold.settings.undo[0]?.values
      if (!stands && set !== undefined && set !== hold.settings.values) hold.closes ??= 'settings of a transaction that was not committed'
      if (hold.lost || hold.connection.transaction !== 'I') this.#lose(hold)
      else this.#holds.endedOn(hold, !stands)
    }
    bus?.settled(true, !stands, false)
  }

  /** The transaction has ended; what the session kept on that connection has gone with it. */
  #lose(hold: Hold): void {
    const kept = hold.pins.size > 0
    this.#holds.drop(hold, 'lost at the end of a transaction on several clusters')
    if (kept) this.#state.endWith(new PointsmanError('connection_lost', { values: { node: hold.route.node, cluster: hold.cluster } }))
  }
}

type Standing = Pick<SettingsState, 'values' | 'locals'>

const none: Settings = new Map()

/** Statements that make what stands in a transaction into what is wanted. */
function changes(stands: Standing, wanted: Standing): readonly string[] {
  const values = replayChanges(wanted.values, stands.values)
  const locals = [...wanted.locals].filter(([name, value]) => !isOwn(name) && stands.locals.get(name) !== value)
  return [
    ...(values.length === 0 ? [] : [replaySql(values)]),
    ...locals.map(([name, value]) => `SELECT pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, true)`),
  ]
}

/** Recovery acts as the cluster's user, and so must whoever prepares; a local default has no value that could be said elsewhere. */
function requirePlain(settings: SettingsState): void {
  for (const name of ['role', 'session_authorization']) {
    const value = effective(settings, name)
    if (value !== undefined && value !== 'none' && value !== '') throw unfit(`a session that has set ${name}`)
  }
  for (const [name, value] of settings.locals) if (value === '' && !isOwn(name)) throw unfit(`SET LOCAL ${name} TO DEFAULT`)
}

function unfit(what: string): PointsmanError {
  return new PointsmanError('feature_not_supported', {
    values: { what: `${what} cannot be part of a transaction on several clusters` },
    hint: 'Use a transaction for each cluster.',
  })
}

function own(hold: Hold, sql: string): ReturnType<Hold['connection']['query']> {
  hold.unnamed = null
  return hold.connection.query(sql)
}

async function takenBack(hold: Hold): Promise<void> {
  if (hold.connection.transaction !== 'I') await own(hold, 'ROLLBACK').catch(() => undefined)
}

function participant(hold: Hold): Participant {
  return { cluster: hold.cluster, run: (sql) => own(hold, sql) }
}

/** By what was sent; of what counts as a read the server is asked. */
async function hasWritten(hold: Hold): Promise<boolean> {
  if (hold.writing) return true
  const { rows } = await own(hold, 'SELECT pg_catalog.pg_current_xact_id_if_assigned()')
  return rows[0]?.[0] !== null
}

async function committed(hold: Hold): Promise<void> {
  let tag: string
  try {
    ;({ tag } = await own(hold, 'COMMIT'))
  } catch (error) {
    if (hold.lost && hold.writing) throw new PointsmanError('outcome_unknown', { values: { node: hold.route.node }, cause: error })
    throw error
  }
  if (tag === 'ROLLBACK')
    throw new PointsmanError('two_phase_aborted', { values: { why: `its part on cluster ${hold.cluster} had failed` } })
}
