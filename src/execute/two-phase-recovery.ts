// execute/two-phase-recovery.ts — ends what a crash has left prepared. Any process may, at any time, and several at once: each
// first decides (`aborted`, unless a decision stands), and only then acts as the decision says. What is younger than `grace`
// most likely has a coordinator that lives, and is left to it.
//
//   every cluster: what is prepared? ─▶ by transaction ─▶ old enough: decide ─▶ COMMIT or ROLLBACK PREPARED on each
//   every cluster: old decisions     ─▶ nothing prepared under them anywhere, and everybody was asked ─▶ forgotten
import { clustersOf } from '../config/clusters-of.js'
import type { Config, DatabaseConfig } from '../config/config.js'
import type { Observer } from '../observe/events.js'
import { decisionKey, endSql, forgetDecisions, oldDecisions, preparedSql, readPartName, type PartName } from '../session/decision.js'
import { alreadyEnded, decided, type OpenPrimary, type OwnConnection } from './two-phase.js'

/** A part of a transaction that is prepared, and older than `grace`. */
export interface InDoubt {
  readonly database: string
  readonly gid: string
  readonly cluster: string
  readonly decider: string
  readonly owner: string
  /** Since it was prepared, by the server's clock. */
  readonly ageSeconds: number
  /** Why it has not been ended yet; null: it was found just now. */
  readonly why: string | null
}

export interface RecoveryParts {
  readonly config: () => Config
  readonly open: OpenPrimary
  readonly observer: Observer
}

interface Found {
  readonly on: OwnConnection
  readonly name: PartName
  readonly gid: string
  readonly seconds: number
  readonly owner: string
  readonly mayEnd: boolean
}

/** Key and, as JSON, participants. */
type OldDecision = readonly (string | null)[]

export class TwoPhaseRecovery {
  readonly #parts: RecoveryParts
  #inDoubt: readonly InDoubt[] = []
  #passing: Promise<void> | null = null
  /** What was told of already, so that the log says it once. */
  #told = new Set<string>()

  constructor(parts: RecoveryParts) {
    this.#parts = parts
  }

  /** As the last pass left it. */
  get inDoubt(): readonly InDoubt[] {
    return this.#inDoubt
  }

  /** One look at every cluster of every database with two_phase. Never rejects; those who ask meanwhile share it. */
  pass(): Promise<void> {
    this.#passing ??= this.#pass().finally(() => (this.#passing = null))
    return this.#passing
  }

  async #pass(): Promise<void> {
    const databases = [...this.#parts.config().databases.values()].filter(({ twoPhase }) => twoPhase !== null)
    const left = await Promise.all(databases.map((database) => new DatabasePass(this.#parts, database).run()))
    this.#inDoubt = left.flat()
    const now = new Set(this.#inDoubt.map(({ gid }) => gid))
    for (const one of this.#inDoubt) if (!this.#told.has(one.gid)) this.#tell(one)
    this.#told = now
  }

  #tell({ database, gid, cluster, ageSeconds, why }: InDoubt): void {
    const fields = { database, cluster, gid, ageSeconds: Math.round(ageSeconds), why }
    this.#parts.observer.emit('log', { level: 'warn', message: 'a prepared transaction is in doubt and cannot be ended yet', fields })
  }
}

/** One database, once. */
class DatabasePass {
  readonly #parts: RecoveryParts
  readonly #database: DatabaseConfig
  readonly #clusters: readonly string[]
  readonly #open = new Map<string, OwnConnection>()
  /** Of each decider, the decisions that were old before anybody was looked at. */
  readonly #old = new Map<OwnConnection, readonly OldDecision[]>()
  readonly #found: Found[] = []
  readonly #left: InDoubt[] = []

  constructor(parts: RecoveryParts, database: DatabaseConfig) {
    this.#parts = parts
    this.#database = database
    this.#clusters = clustersOf(database)
  }

  async run(): Promise<readonly InDoubt[]> {
    try {
      // First the decisions: what is prepared under one was prepared before it, so that whoever looks afterwards sees it.
      await Promise.all(this.#clusters.map((cluster) => this.#reach(cluster)))
      await Promise.all([...this.#open].map(([cluster, connection]) => this.#look(cluster, connection)))
      await this.#endAll()
      await this.#forget()
    } finally {
      for (const connection of this.#open.values()) connection.close()
    }
    return this.#left
  }

  /** A cluster that cannot be asked is left out. */
  async #reach(cluster: string): Promise<void> {
    try {
      const connection = await this.#parts.open(cluster, this.#database.name)
      this.#open.set(cluster, connection)
      const text = oldDecisions(this.#database.name, (this.#database.twoPhase?.retentionMs ?? 0) / 1000)
      // Mostly the table is not there.
      const { rows } = await connection.query(text).catch(() => ({ rows: [] }))
      this.#old.set(connection, rows)
    } catch {
      this.#open.delete(cluster)
    }
  }

  async #look(cluster: string, connection: OwnConnection): Promise<void> {
    try {
      const { rows } = await connection.query(preparedSql)
      for (const [gid = null, seconds, owner, mayEnd] of rows) {
        const name = gid === null ? null : readPartName(gid)
        if (gid === null || name?.database !== this.#database.name) continue
        // Two clusters may be one server, and one database; and what was a cluster's may now be found on another one.
        if (this.#found.some((found) => found.gid === gid)) continue
        this.#found.push({ on: connection, name, gid, seconds: Number(seconds), owner: owner ?? '', mayEnd: mayEnd === 't' })
      }
    } catch {
      connection.close()
      this.#open.delete(cluster)
    }
  }

  async #endAll(): Promise<void> {
    const graceSeconds = (this.#database.twoPhase?.graceMs ?? 0) / 1000
    for (const parts of byDecision(this.#found)) {
      if (parts.every(({ seconds }) => seconds < graceSeconds)) continue
      await this.#end(parts)
    }
  }

  async #end(parts: readonly [Found, ...Found[]]): Promise<void> {
    const outcome = await this.#decide(parts[0].name)
    for (const part of parts) {
      if (outcome.kind === 'undecided') this.#leave(part, outcome.why)
      else await this.#endPart(part, outcome.kind)
    }
  }

  /** Without the table in which it was to be decided nobody knows whether it was: an empty one says nothing. */
  async #decide(name: PartName): Promise<{ readonly kind: 'commit' | 'aborted' } | { readonly kind: 'undecided'; readonly why: string }> {
    const { decider } = name
    const connection = this.#open.get(decider)
    if (connection === undefined)
      return { kind: 'undecided', why: `cluster ${decider}, where the decision is, cannot be asked, or is none of this database's` }
    try {
      return { kind: await decided(connection.query, name, this.#clusters) }
    } catch (error) {
      return { kind: 'undecided', why: inWords(error) }
    }
  }

  async #endPart(part: Found, outcome: 'commit' | 'aborted'): Promise<void> {
    const { cluster } = part.name
    if (!part.mayEnd) {
      this.#leave(part, `it is ${part.owner}'s, whom the cluster's user may not act for`)
      return
    }
    try {
      await part.on.query(endSql(part.gid, outcome))
    } catch (error) {
      if (!alreadyEnded(error)) this.#leave(part, inWords(error))
      return
    }
    const fields = { database: this.#database.name, cluster, gid: part.gid, outcome, ageSeconds: Math.round(part.seconds) }
    this.#parts.observer.emit('log', { level: 'warn', message: 'recovery has ended a prepared transaction', fields })
    this.#parts.observer.emit('two-phase.recovered', { database: this.#database.name, cluster, outcome })
  }

  #leave({ name, gid, owner, seconds }: Found, why: string): void {
    const { database, cluster, decider } = name
    this.#left.push({ database, gid, cluster, decider, owner, ageSeconds: seconds, why })
  }

  // ---- decisions that nobody needs any more

  async #forget(): Promise<void> {
    const kept = new Set(this.#found.map(({ name }) => decisionKey(name)))
    await Promise.all([...this.#open].map(([, connection]) => this.#forgetOn(connection, kept).catch(() => undefined)))
  }

  async #forgetOn(connection: OwnConnection, kept: ReadonlySet<string>): Promise<void> {
    const done = (this.#old.get(connection) ?? []).flatMap(([key = null, participants = null]) => {
      if (key === null || participants === null || kept.has(key)) return []
      const asked = (JSON.parse(participants) as readonly string[]).every((cluster) => this.#open.has(cluster))
      return asked ? [key] : []
    })
    if (done.length > 0) await connection.query(forgetDecisions(done))
  }
}

function byDecision(found: readonly Found[]): Iterable<readonly [Found, ...Found[]]> {
  const groups = new Map<string, [Found, ...Found[]]>()
  for (const one of found) {
    const key = decisionKey(one.name)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [one])
    else group.push(one)
  }
  return groups.values()
}

function inWords(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
