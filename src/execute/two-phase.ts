// execute/two-phase.ts — the end of a transaction that has written on several clusters: prepared everywhere, decided in one place,
// then committed everywhere (session/decision.ts has the names and statements, and why nobody can decide twice).
//
//   prepare ─▶ prepared (all) ─▶ decide ─▶ decided ─▶ commit ─▶ committed (all)
//      │ one failed                 │ recovery was first
//      └────────▶ rolled back ◀─────┘
//
// Between the steps anything may die: what is then left prepared is ended by recovery (two-phase-recovery.ts). Each step is an
// event, before and after, so that a test can let it die there.
import { PointsmanError } from '../errors/error.js'
import type { Events, Observer } from '../observe/events.js'
import {
  abortDecision,
  commitDecision,
  decisionKey,
  decisionOf,
  decisionsDdl,
  endSql,
  partName,
  placeSql,
  prepareSql,
  type DecisionName,
} from '../session/decision.js'

export interface Said {
  readonly rows: readonly (readonly (string | null)[])[]
  readonly tag: string
}

/** One participant: the connection on which its part of the transaction is open. */
export interface Participant {
  readonly cluster: string
  /** Rejects with an error whose `severity` is ERROR where the server refused it; with anything else nobody knows what became of it. */
  readonly run: (sql: string) => Promise<Said>
}

/** A connection of its own to a cluster's primary, with the login that prepares. */
export interface OwnConnection {
  readonly query: (sql: string) => Promise<Said>
  readonly close: () => void
}
export type OpenPrimary = (cluster: string, database: string) => Promise<OwnConnection>

export interface TwoPhaseParts {
  /** As the configuration calls it. */
  readonly database: string
  /** Never used twice, of letters and digits. */
  readonly unique: string
  readonly open: OpenPrimary
  /** Of the cluster that decides; see decisionsPlace(). */
  readonly place: (cluster: string) => Promise<string>
  readonly observer: Observer
  /** Process-monotonic ms. */
  readonly now: () => number
  /** What has not been prepared by everybody within this many ms is not committed any more: recovery may have taken it. */
  readonly limitMs: number
  /** A participant that is lost is tried again for this long. */
  readonly waitMs: number
}

export type Ending =
  | { readonly kind: 'committed' }
  /** Nothing of it stands, or will. */
  | { readonly kind: 'aborted'; readonly error: unknown }
  /** It is committed, and these clusters have not heard of it: recovery tells them. */
  | { readonly kind: 'unfinished'; readonly clusters: readonly string[] }
  /** The decision was sent, and nobody could be asked whether it stands. */
  | { readonly kind: 'unknown'; readonly error: unknown }

/** Ends the transaction of two or more participants that have written. Never rejects. */
export async function commitTogether(participants: readonly [Participant, ...Participant[]], parts: TwoPhaseParts): Promise<Ending> {
  const { database, unique } = parts
  const [{ cluster: decider }] = participants
  let name: DecisionName
  try {
    name = { database, decider, place: await parts.place(decider), unique }
    for (const { cluster } of participants) partName({ ...name, cluster })
  } catch (error) {
    return { kind: 'aborted', error }
  }
  return new TwoPhaseCommit(participants, parts, name).run()
}

/** The server has said no; else it may have done it. */
export function refusedByServer(error: unknown): boolean {
  return error instanceof Error && !(error instanceof PointsmanError) && (error as { readonly severity?: unknown }).severity === 'ERROR'
}

/** Somebody else has ended it. */
export function alreadyEnded(error: unknown): boolean {
  return refusedByServer(error) && codeOf(error) === '42704'
}

export function codeOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

const firstPauseMs = 20
const longestPauseMs = 500

class TwoPhaseCommit {
  readonly #participants: readonly [Participant, ...Participant[]]
  readonly #parts: TwoPhaseParts
  readonly #name: DecisionName
  readonly #begun: number

  constructor(participants: readonly [Participant, ...Participant[]], parts: TwoPhaseParts, name: DecisionName) {
    this.#participants = participants
    this.#parts = parts
    this.#name = name
    this.#begun = parts.now()
  }

  async run(): Promise<Ending> {
    const failed = await this.#prepareAll()
    if (failed !== null) return this.#abort(failed.error)
    const decided = await this.#decide()
    if (decided === 'commit') return this.#commitAll()
    return decided.known ? this.#abort(decided.error) : { kind: 'unknown', error: decided.error }
  }

  #step(step: Events['two-phase.step']['step'], cluster: string): void {
    this.#parts.observer.emit('two-phase.step', { gid: decisionKey(this.#name), step, cluster })
  }

  #part(cluster: string): string {
    return partName({ ...this.#name, cluster })
  }

  // ---- first phase

  /** null: all are prepared. */
  async #prepareAll(): Promise<{ readonly error: unknown } | null> {
    const all = await Promise.all(this.#participants.map((participant) => this.#prepare(participant)))
    // A server's own words before those for a lost connection.
    const failures = all.filter((one) => one !== null)
    return failures.find(({ error }) => refusedByServer(error)) ?? failures[0] ?? null
  }

  async #prepare({ cluster, run }: Participant): Promise<{ readonly error: unknown } | null> {
    try {
      const sql = prepareSql(this.#part(cluster))
      this.#step('prepare', cluster)
      const { tag } = await run(sql)
      // Where no transaction is open it makes a ROLLBACK, and no error.
      if (!tag.startsWith('PREPARE')) return { error: aborted(`its part on cluster ${cluster} had failed`) }
      this.#step('prepared', cluster)
      return null
    } catch (error) {
      return { error: codeOf(error) === '25P02' ? aborted(`its part on cluster ${cluster} had failed`) : error }
    }
  }

  // ---- the decision

  async #decide(): Promise<'commit' | { readonly known: boolean; readonly error: unknown }> {
    if (this.#parts.now() - this.#begun > this.#parts.limitMs)
      return { known: true, error: aborted('it took longer to prepare than two_phase.grace allows') }
    this.#step('decide', this.#name.decider)
    try {
      const [{ run }] = this.#participants
      const { rows } = await run(commitDecision(this.#name, this.#clusters))
      if (rows.length === 0) return { known: true, error: aborted(overtaken) }
    } catch (error) {
      if (codeOf(error) === '23505' || lacksTable(error)) return { known: true, error: aborted(overtaken) }
      return refusedByServer(error) ? { known: true, error } : this.#askedAgain(error)
    }
    this.#step('decided', this.#name.decider)
    return 'commit'
  }

  get #clusters(): readonly string[] {
    return this.#participants.map(({ cluster }) => cluster)
  }

  /** The connection was lost under the decision: it is aborted where it does not stand. */
  async #askedAgain(lost: unknown): Promise<'commit' | { readonly known: boolean; readonly error: unknown }> {
    const { decider } = this.#name
    const outcome = await this.#patiently(decider, async ({ query }) => decided(query, this.#name, this.#clusters))
    if (outcome === 'commit') {
      this.#step('decided', decider)
      return 'commit'
    }
    return { known: outcome === 'aborted', error: lost }
  }

  // ---- second phase

  async #commitAll(): Promise<Ending> {
    const all = await Promise.all(this.#participants.map((participant) => this.#commit(participant)))
    const left = this.#participants.filter((_, index) => all[index] === false).map(({ cluster }) => cluster)
    return left.length === 0 ? { kind: 'committed' } : { kind: 'unfinished', clusters: left }
  }

  /** False: it could not be told. */
  async #commit({ cluster, run }: Participant): Promise<boolean> {
    const sql = endSql(this.#part(cluster), 'commit')
    this.#step('commit', cluster)
    const done =
      (await ends(run, sql)) ||
      (await this.#patiently(cluster, async ({ query }) => {
        if (!(await ends(query, sql))) throw new Error('not committed yet')
        return true
      })) === true
    if (done) this.#step('committed', cluster)
    return done
  }

  /** One try for each: what is lost is left to recovery, which nobody waits for. */
  async #abort(error: unknown): Promise<Ending> {
    await Promise.all(
      this.#participants.map(async ({ cluster, run }) => {
        this.#step('rollback', cluster)
        if (await ends(run, endSql(this.#part(cluster), 'aborted'))) this.#step('rolled back', cluster)
      }),
    )
    return { kind: 'aborted', error }
  }

  /** What `work` gives on a connection of its own, tried until it does; null: not within waitMs. */
  async #patiently<T>(cluster: string, work: (connection: OwnConnection) => Promise<T>): Promise<T | null> {
    const { open, now, waitMs, database } = this.#parts
    const deadline = now() + waitMs
    for (let pause = firstPauseMs; ; pause = Math.min(2 * pause, longestPauseMs)) {
      try {
        const connection = await open(cluster, database)
        try {
          return await work(connection)
        } finally {
          connection.close()
        }
      } catch {
        if (now() + pause > deadline) return null
        await new Promise((resolve) => setTimeout(resolve, pause))
      }
    }
  }
}

/** True: it has ended so, by this or by somebody else. */
async function ends(run: Participant['run'], sql: string): Promise<boolean> {
  try {
    await run(sql)
    return true
  } catch (error) {
    return alreadyEnded(error)
  }
}

/** Decides that it is aborted, unless it is decided; gives what is decided. Rejects where that cannot be known. */
export async function decided(
  query: OwnConnection['query'],
  name: DecisionName,
  clusters: readonly string[],
): Promise<'commit' | 'aborted'> {
  const { rows } = await query(abortDecision(name, clusters))
  if (rows.length > 0) return 'aborted'
  const [row] = (await query(decisionOf(decisionKey(name)))).rows
  if (row === undefined) throw new Error(`pointsman.decisions on cluster ${name.decider} is not the table that its decision belongs to`)
  return row[0] === 'commit' ? 'commit' : 'aborted'
}

/** pointsman.decisions is not there. */
function lacksTable(error: unknown): boolean {
  return refusedByServer(error) && (codeOf(error) === '42P01' || codeOf(error) === '3F000')
}

/** Others may be making it at the same moment. */
const madeByOthers: ReadonlySet<string> = new Set(['23505', '42P06', '42P07'])

/** Which table of decisions a cluster has (placeSql); where it has none, it is made. Rejects with two_phase_unprepared. */
export async function decisionsPlace({ query }: OwnConnection, cluster: string): Promise<string> {
  const asked = async (): Promise<string | null> => (await query(placeSql)).rows[0]?.[0] ?? null
  const found = await asked()
  if (found !== null) return found
  await createDecisions(query, cluster)
  const made = await asked()
  if (made === null) throw new PointsmanError('two_phase_unprepared', { values: { cluster } })
  return made
}

async function createDecisions(run: Participant['run'], cluster: string): Promise<void> {
  for (const sql of decisionsDdl) {
    try {
      await run(`SET LOCAL transaction_read_only = off; ${sql}`)
    } catch (error) {
      if (refusedByServer(error) && madeByOthers.has(codeOf(error))) continue
      throw new PointsmanError('two_phase_unprepared', {
        values: { cluster },
        detail: error instanceof Error ? error.message : '',
        cause: error,
      })
    }
  }
}

const overtaken = 'recovery has taken it for one whose coordinator is gone, or pointsman.decisions was dropped or made anew'

function aborted(why: string): PointsmanError {
  return new PointsmanError('two_phase_aborted', { values: { why } })
}
