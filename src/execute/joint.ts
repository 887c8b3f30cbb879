// execute/joint.ts — one client's transaction that is open on several clusters: how another one joins it, and how all of them go
// through savepoints to one end. Between the statements each part is an ordinary connection of the client; what concerns all of them is
// said on each by ourselves, and answered once. Both doors use it, each with connections of its own kind.
//
//   BEGIN ─ statement on A ─ statement on B: A tells its isolation, B begins, both get a lock_timeout ─ … ─ COMMIT
//                                                                                                            │
//      one has written: COMMIT on each, its own last          several have: execute/two-phase.ts ◀──────────┘
import { PointsmanError } from '../errors/error.js'
import type { AnswerPlan } from '../routing/plan.js'
import { quoted, quoteLiteral } from '../session/quote.js'
import { isOwn, mirrored, ownless, replayChanges, replaySql } from '../session/replay.js'
import type { Session } from '../session/session.js'
import { effective, settle, type Settings, type SettingsState } from '../session/settings.js'
import { deferBegin, idle, poison, withJoined } from '../session/transaction.js'
import type { TransactionFacts } from '../sql/statement.js'
import type { RouteTaken } from './contract.js'
import type { Ending, Participant, Said } from './two-phase.js'

type Control = Extract<AnswerPlan['answer'], { what: 'joint' }>

/** A connection on which the transaction is open, or is to be. */
export interface JointPart {
  readonly cluster: string
  readonly route: Pick<RouteTaken, 'node'>
  /** The connection is gone. */
  readonly lost: boolean
  /** Of the last ReadyForQuery. */
  readonly status: 'I' | 'T' | 'E'
  /** A write was sent whose transaction has not ended. */
  readonly writing: boolean
  /** What stands on it, with its own undo; null: not known. */
  settings: SettingsState | null
  /** Sends a text of our own. Rejects as Participant.run does. */
  say(sql: string): Promise<Said>
}

/** A cursor over several clusters: where it has no portal of its own, an empty one keeps its name. `depth`: savepoints before it, BEGIN counted in. */
export interface ReservedName {
  readonly name: string
  readonly depth: number
}

/** What it asks of the client whose transaction it is. */
export interface JointOwner<Part extends JointPart> {
  readonly session: Session
  readonly home: Part | null
  /** 0: none. */
  readonly lockTimeoutMs: number
  /** What several clusters have written cannot be committed together: where the transaction comes to later, it only reads. */
  readonly apart?: boolean
  /** Absent: there are none. */
  readonly reserved?: readonly ReservedName[]
  on(cluster: string): Part | undefined
  /** Never rejects. */
  commit(participants: readonly [Participant, ...Participant[]]): Promise<Ending>
  /**
   * Nobody else touches the parts until what it gives is called, once: then the transaction has ended, on all of them and in the session,
   * and they may be given back. `spoilt`: whose settings are not what the session takes them for, and cannot be undone.
   */
  engage(parts: readonly Part[]): (stands: boolean, spoilt: ReadonlySet<Part>) => void
}

export class Joint<Part extends JointPart> {
  readonly #owner: JointOwner<Part>
  /** What became of the control that was carried out last. */
  #outcome: { readonly tag: string } | { readonly error: unknown } | null = null

  constructor(owner: JointOwner<Part>) {
    this.#owner = owner
  }

  // ---- joining

  /** Opens the transaction on `part` too, as it stands. Rejects where that cannot be; then nothing is open there. */
  async join(part: Part): Promise<void> {
    const { session, home } = this.#owner
    if (home === null) throw new PointsmanError('feature_not_supported', { values: { what: 'the transaction is open nowhere' } })
    requirePlain(session.settings)
    if (part.status === 'I') {
      const readOnly = await this.#ask(home)
      try {
        await this.#begin(part, readOnly || this.#owner.apart === true)
      } catch (error) {
        if (!part.lost) await part.say('ROLLBACK').catch(() => undefined)
        throw error
      }
    } else await this.#catchUp(part, session.settings)
    session.transaction = withJoined(session.transaction, part.cluster)
  }

  /** Whether it is read-only. Refuses what sees one moment only, whatever set it so. */
  async #ask(first: Part): Promise<boolean> {
    const sql = `SELECT pg_catalog.current_setting('transaction_isolation'), pg_catalog.current_setting('transaction_read_only'), ${this.#lockTimeout()}`
    const [row = []] = (await first.say(sql)).rows
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
    const { lockTimeoutMs: ms } = this.#owner
    const set = `pg_catalog.set_config('lock_timeout', ${quoteLiteral(String(ms))}, true)`
    return `CASE WHEN pg_catalog.current_setting('lock_timeout') = '0' THEN ${ms === 0 ? 'NULL' : set} END`
  }

  /** BEGIN, and every savepoint with the settings that stood when it was made, so that going back to one is the same everywhere. */
  async #begin(part: Part, readOnly: boolean): Promise<void> {
    const { settings } = this.#owner.session
    const [start] = settings.undo
    const before = start?.values ?? settings.values
    const outside = replayChanges(before, known(part).values)
    if (outside.length > 0) await part.say(replaySql(outside))
    part.settings = { ...known(part), values: ownless(before) }
    const texts = [`BEGIN ISOLATION LEVEL READ COMMITTED, READ ${readOnly ? 'ONLY' : 'WRITE'}`, `SELECT ${this.#lockTimeout()}`]
    let stands: Standing = { values: before, locals: none }
    const points = [...settings.undo.slice(1), { savepoint: null, values: settings.values, locals: settings.locals }]
    for (const [index, point] of points.entries()) {
      texts.push(...changes(stands, point))
      for (const { name, depth } of this.#owner.reserved ?? []) if (depth === index + 1) texts.push(reserves(name))
      stands = point
      if (point.savepoint !== null) texts.push(`SAVEPOINT ${quoted(point.savepoint)}`)
    }
    await part.say(texts.join('; '))
    part.settings = mirrored(settings)
  }

  /** What was set since on another part. */
  async #catchUp(part: Part, wanted: SettingsState): Promise<void> {
    const { values, locals } = mirrored(wanted)
    const texts = changes(known(part), { values, locals })
    if (texts.length === 0) return
    await part.say(texts.join('; '))
    part.settings = { ...known(part), values, locals }
  }

  // ---- names of cursors

  /** Keeps a name on all clusters of the transaction but those. Rejects with PostgreSQL's own 42P03 where it is taken. */
  async reserve(name: string, but: readonly string[]): Promise<void> {
    for (const part of this.#parts()) if (!but.includes(part.cluster)) await part.say(reserves(name))
  }

  /** Takes reserve() back. */
  async free(name: string, but: readonly string[]): Promise<void> {
    for (const part of this.#parts()) if (!but.includes(part.cluster)) await part.say(`CLOSE ${quoted(name)}`)
  }

  // ---- failing

  /** One has failed: the locks of the others are let go too, as in one server. Never rejects. */
  async failOthers(failed: Part | null): Promise<void> {
    const others = this.#parts().filter((part) => part !== failed && !part.lost && part.status === 'T')
    await Promise.all(others.map((part) => part.say(poison).catch(() => undefined)))
  }

  // ---- a transaction of our own

  /** A write on several clusters is one even where the client has begun none. */
  beginOwn(): void {
    const { session } = this.#owner
    session.transaction = deferBegin('BEGIN', plainBegin)
    session.settings = settle(session.settings, { kind: 'begin' })
  }

  /** Rejects with what the client is to be told. */
  async end(op: 'commit' | 'rollback'): Promise<void> {
    await this.run({ what: 'joint', op, name: '', tag: op.toUpperCase() })
    this.result()
  }

  /** Of beginOwn(), however far it has come. Never rejects. */
  async takeBack(): Promise<void> {
    const { session } = this.#owner
    if (session.transaction.kind === 'open') await this.end('rollback').catch(() => undefined)
    if (session.transaction.kind !== 'deferred') return
    session.transaction = idle
    session.settings = settle(session.settings, { kind: 'rollback' })
  }

  // ---- control

  /** Carries out what `plan` says on all parts. Never rejects: result() has what the client is told. */
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
    const { transaction } = this.#owner.session
    return transaction.kind === 'open' && transaction.status === 'E'
  }

  /** Those of the transaction, its home first. */
  #parts(): readonly Part[] {
    const { transaction } = this.#owner.session
    if (transaction.kind !== 'open') return []
    const clusters = transaction.joined.length === 0 ? [transaction.home.cluster] : transaction.joined
    return clusters.map((cluster) => this.#owner.on(cluster)).filter((part) => part !== undefined)
  }

  async #onAll({ tag }: Control, sql: string, event: Parameters<typeof settle>[1]): Promise<string> {
    const { session } = this.#owner
    const results = await Promise.allSettled(this.#parts().map((part) => part.say(sql)))
    const failed = results.find((one) => one.status === 'rejected')
    const { transaction } = session
    if (failed !== undefined) {
      await this.failOthers(null)
      if (transaction.kind === 'open') session.transaction = { ...transaction, status: 'E' }
      throw failed.reason
    }
    for (const part of this.#parts()) if (part.settings !== null) part.settings = settle(part.settings, event)
    session.settings = settle(session.settings, event)
    if (transaction.kind === 'open') session.transaction = { ...transaction, status: 'T' }
    return tag
  }

  async #rollback(): Promise<string> {
    await this.#engaged(async (parts) => {
      await Promise.all(parts.map((part) => part.say('ROLLBACK').catch(() => undefined)))
      return false
    })
    return 'ROLLBACK'
  }

  async #commit(): Promise<string> {
    requirePlain(this.#owner.session.settings)
    await this.#engaged(async (parts) => {
      const wrote = await Promise.all(parts.map(hasWritten))
      const writers = parts.filter((_, index) => wrote[index])
      const [first, ...others] = writers
      // What has only read ends first: it has nothing to lose, and may still stop the rest.
      await Promise.all(parts.filter((part) => !writers.includes(part)).map((part) => committed(part, false)))
      if (first !== undefined && others.length === 0) await committed(first, true)
      else if (first !== undefined) await this.#commitTogether([first, ...others])
      return true
    })
    return 'COMMIT'
  }

  async #commitTogether([first, ...others]: readonly [Part, ...Part[]]): Promise<void> {
    const ending = await this.#owner.commit([participant(first), ...others.map(participant)])
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

  /** Nobody else touches the parts while `work` ends their transaction; then they are given back. True: it stands. */
  async #engaged(work: (parts: readonly Part[]) => Promise<boolean>): Promise<void> {
    const parts = this.#parts()
    const over = this.#owner.engage(parts)
    let stands = false
    try {
      stands = await work(parts)
    } catch (error) {
      // Before anything was decided it takes all of it back; after that nothing is open any more.
      await Promise.all(parts.map(takenBack))
      stands = error instanceof PointsmanError && error.key === 'two_phase_unfinished'
      throw error
    } finally {
      const { session } = this.#owner
      session.settings = settle(session.settings, { kind: stands ? 'commit' : 'rollback' })
      session.transaction = idle
      over(stands, new Set(stands ? [] : parts.filter(hasSet)))
    }
  }
}

const plainBegin: TransactionFacts = {
  op: 'begin',
  name: null,
  readOnly: null,
  isolation: null,
  deferrable: null,
  chain: false,
  snapshot: false,
}

function reserves(name: string): string {
  return `DECLARE ${quoted(name)} NO SCROLL CURSOR FOR SELECT`
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

function known({ settings, cluster }: JointPart): SettingsState {
  if (settings === null) throw unfit(`the connection to cluster ${cluster}, whose settings are not known,`)
  return settings
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

async function takenBack(part: JointPart): Promise<void> {
  if (part.status !== 'I') await part.say('ROLLBACK').catch(() => undefined)
}

/** SET in a transaction that was prepared stands on its connection, whatever became of the transaction. */
function hasSet({ settings }: JointPart): boolean {
  const before = settings?.undo[0]?.values
  return before !== undefined && before !== settings?.values
}

function participant(part: JointPart): Participant {
  return { cluster: part.cluster, run: (sql) => part.say(sql) }
}

/** By what was sent; of what counts as a read the server is asked. */
async function hasWritten(part: JointPart): Promise<boolean> {
  if (part.writing) return true
  const { rows } = await part.say('SELECT pg_catalog.pg_current_xact_id_if_assigned()')
  return rows[0]?.[0] !== null
}

async function committed(part: JointPart, wrote: boolean): Promise<void> {
  requireThere(part)
  let tag: string
  try {
    ;({ tag } = await part.say('COMMIT'))
  } catch (error) {
    if (part.lost && wrote) throw new PointsmanError('outcome_unknown', { values: { node: part.route.node }, cause: error })
    throw error
  }
  if (tag === 'ROLLBACK')
    throw new PointsmanError('two_phase_aborted', { values: { why: `its part on cluster ${part.cluster} had failed` } })
}

/** Where it was lost before, COMMIT is not sent, and so nothing of it stands. */
function requireThere({ lost, route, cluster }: JointPart): void {
  if (lost) throw new PointsmanError('connection_lost', { values: { node: route.node, cluster } })
}
