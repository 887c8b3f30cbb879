// doors/library/scatter.ts — a read on several clusters through the application's pg, merged into one result of its own kind:
//
//   a connection of each cluster, in the plan's order ─▶ settings ─▶ the first one describes ─▶ all run ─▶ merger ─▶ Result
//         ▲                                                                                  │
//         └──────────────── again, elsewhere: a server was lost, and a query gives nothing before its end
//
// The description of an earlier run is taken (execute/described-reads.ts); the first part gives it anew with its run, and rows wait until
// it has turned out the same: else all is asked again, from the description on.
//
// Connections are always taken in the order of the set's clusters, so that two clients cannot wait for each other. Parts that are
// not wanted any more (LIMIT is reached, another part has failed) are canceled if they do not end by themselves.
import type { SessionFloors } from '../../consistency/floors.js'
import { PointsmanError } from '../../errors/error.js'
import { forgive, maxAttempts, rerunFor } from '../../execute/again.js'
import type { RouteTaken } from '../../execute/contract.js'
import { isMisfit, keyOf } from '../../execute/described-reads.js'
import { readEnd } from '../../execute/read-end.js'
import {
  mayGoFirst,
  otherColumns,
  partPlan,
  requireSameForm,
  requireWholeFloats,
  scatterRoute,
  sessionForm,
} from '../../execute/scatter.js'
import type { Row } from '../../merge/columns.js'
import { Merger } from '../../merge/merger.js'
import type { MergeParameter } from '../../merge/parameters.js'
import type { DescribedColumn } from '../../protocol/rows.js'
import { alikeColumns } from '../../protocol/same-columns.js'
import { sqlstateOf } from '../../pool/failure.js'
import type { OnePlan, ScatterPlan } from '../../routing/plan.js'
import { cancelOn } from './cancel-on.js'
import type { Core, Ground } from './core.js'
import type { Hold } from './hold.js'
import { isTimeout, lossOf } from './loss.js'
import { sentValues } from './parameters.js'
import type { PgResult } from './pg-client.js'
import type { PgModule } from './public.js'
import type { PlainQuery } from './query-arguments.js'
import { rawConfig, resultClassOf, typesOf, type ResultBuilder, type ResultClass, type TypeSource } from './raw-rows.js'
import { describeOn, pauseReading, resumeReading, runOn, type DescribedRead, type PgField } from './scatter-part.js'

export interface ScatterParts {
  readonly core: Core
  readonly ground: Ground
  readonly floors: SessionFloors
  readonly plan: ScatterPlan
  readonly query: PlainQuery
  readonly startedAt: number
  /** Servers that were lost to it. */
  readonly avoid: Set<string>
  /** A connection for one part, with nothing sent on it yet. */
  readonly take: (plan: OnePlan) => Promise<Hold>
  /** Brings it to where the client believes to be. Rejects with the server's error. */
  readonly prepare: (hold: Hold) => Promise<void>
  /** Where it runs now. */
  readonly onRoute: (route: RouteTaken | null) => void
}

/** Rows that are read from the merger at once. */
const rowsAtOnce = 512
/** A part that is not wanted any more may end by itself for so long. */
const patienceMs = 50

/** Runs it, on other servers where one is lost. Rejects with what the user is to be told. */
export async function readScattered(parts: ScatterParts): Promise<PgResult> {
  const result = resultFor(parts.core.pg, parts.query.config, 'a read')
  const counted = { startedAt: parts.startedAt, attempts: 0 }
  let onPrimaries = false
  let asksAnew = false
  for (;;) {
    counted.attempts += 1
    const attempt = new Attempt(parts, result, { onPrimaries, asksAnew })
    try {
      return await attempt.run()
    } catch (error) {
      const { again } = attempt
      if (attempt.stale && !asksAnew) {
        asksAnew = true
        counted.attempts -= 1
        continue
      }
      if (again?.lost === true) forgive(counted, again.hold)
      if (again === null || counted.attempts >= maxAttempts) throw error
      if (again.where === 'primary') onPrimaries = true
      else parts.avoid.add(again.hold.route.node)
    } finally {
      await attempt.end()
    }
  }
}

/** How results are made as pg makes them; `what` has rows of several clusters. Throws 0A000. */
export function resultFor(pg: PgModule, config: object, what: string): ResultClass {
  const found = resultClassOf(pg)
  if (found !== null && rawConfig(config) !== null) return found
  throw new PointsmanError('feature_not_supported', {
    values: { what: `${what} on several clusters in binary format, or with types that are no type parsers, is not supported` },
    hint: 'Leave out binary, and give types as { getTypeParser }.',
  })
}

interface Part {
  readonly index: number
  readonly hold: Hold
  /** Something was asked of it that has not ended. */
  running: boolean
  paused: boolean
  canceled: Promise<void> | null
}

interface Again {
  readonly where: 'primary' | 'elsewhere'
  readonly hold: Hold
  readonly lost: boolean
}

interface Trying {
  /** A replica has refused it as a write. */
  readonly onPrimaries: boolean
  /** What was known of it did not hold. */
  readonly asksAnew: boolean
}

interface Begun {
  readonly form: Form
  readonly made: ResultBuilder
}

interface Form {
  readonly columns: readonly DescribedColumn[]
  readonly fields: readonly PgField[]
  readonly parameters: readonly MergeParameter[]
  readonly values: readonly unknown[]
}

class Attempt {
  /** Why, and without whom, it may be tried again. */
  again: Again | null = null
  /** What was known of it does not hold, or may not; nothing has come of it. */
  stale = false
  /** What it runs by, while no part has said that it still holds. */
  #unproved: DescribedRead | null = null
  readonly #parts: ScatterParts
  readonly #result: ResultClass
  readonly #trying: Trying
  readonly #on: Part[] = []
  #merger: Merger | null = null
  #made: ResultBuilder | null = null
  #rows = 0
  /** All rows are there, or it has failed. */
  #over = false
  #failure: { readonly error: unknown } | null = null
  #timer: NodeJS.Timeout | null = null
  #settled: (() => void) | null = null

  constructor(parts: ScatterParts, result: ResultClass, trying: Trying) {
    this.#parts = parts
    this.#result = result
    this.#trying = trying
  }

  async run(): Promise<PgResult> {
    await this.#take()
    const { form, made } = this.#asKnown() ?? (await this.#asked())
    await this.#read(form)
    if (this.#failure !== null) throw this.#failure.error
    return Object.assign(made, { command: 'SELECT', rowCount: this.#rows })
  }

  /** Gives back every connection, once what runs there has ended. */
  async end(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    await Promise.all(this.#on.map((part) => this.#giveBack(part)))
  }

  async #giveBack({ hold, canceled }: Part): Promise<void> {
    resumeReading(hold.connection.client)
    if (canceled !== null) await canceled
    const status = await hold.connection.settled()
    if (status === null) {
      hold.destroy('the connection was lost')
      return
    }
    const { floors, startedAt, core } = this.#parts
    if (this.#failure === null) floors.readEnded(hold.cluster, readEnd(hold, startedAt, core.now()))
    hold.release()
  }

  // ---- connections

  async #take(): Promise<void> {
    const { plan, take, prepare, onRoute } = this.#parts
    for (const [index, { cluster }] of plan.parts.entries()) {
      const hold = await take(partPlan(plan, cluster, this.#trying.onPrimaries))
      hold.taint ??= plan.taints
      this.#on.push({ index, hold, running: false, paused: false, canceled: null })
    }
    const holds = this.#on.map(({ hold }) => hold)
    const { why } = plan
    onRoute(
      scatterRoute(
        plan,
        holds.map(({ route }) => ({ ...route, why })),
      ),
    )
    // All end before any error is told: a connection that still runs something is not given back.
    const prepared = await Promise.allSettled(holds.map((hold) => prepare(hold)))
    for (const [index, outcome] of prepared.entries()) {
      const hold = holds[index]
      if (outcome.status === 'rejected' && hold !== undefined) throw await this.#errorOf(hold, outcome.reason)
    }
    requireSameForm(holds.map(({ cluster, connection }) => ({ cluster, parameters: connection.parameters })))
    requireUnicode(holds)
    for (const { settings } of holds) if (settings !== null) requireWholeFloats(settings.values)
  }

  // ---- what it looks like

  get #key(): string | null {
    const { core, plan } = this.#parts
    const [first] = this.#on
    const settings = first?.hold.settings ?? null
    if (first === undefined || settings === null) return null
    const { database, user } = core.login
    return keyOf({ database, user, cluster: first.hold.cluster, settings, query: plan.query, types: [] })
  }

  /** By the description of an earlier run. null: there is none, or what is asked now does not fit it. */
  #asKnown(): Begun | null {
    const known = this.#trying.asksAnew ? undefined : this.#parts.core.described.get(this.#key)
    if (known === undefined) return null
    try {
      const form = this.#formOf(known)
      const made = this.#begin(form)
      this.#unproved = known
      return { form, made }
    } catch {
      return null
    }
  }

  async #asked(): Promise<Begun> {
    const read = await this.#describe()
    this.#parts.core.described.keep(this.#key, read)
    const form = this.#formOf(read)
    return { form, made: this.#begin(form) }
  }

  async #describe(): Promise<DescribedRead> {
    const [first] = this.#on
    const { plan } = this.#parts
    if (first === undefined) throw new Error('a scatter read has no parts')
    const descriptions: (readonly PgField[])[] = []
    let oids: readonly number[] = []
    const failed = await new Promise<Error | null>((resolve) => {
      describeOn(
        first.hold,
        [plan.query.original, plan.query.text],
        { parameters: (told) => (oids = told), described: (fields) => descriptions.push(fields), ended: resolve },
        this.#timeout,
      )
    })
    if (failed !== null) throw await this.#errorOf(first.hold, failed)
    const [original, part] = descriptions
    if (original === undefined || part === undefined) throw new Error('a server has described less than it was asked for')
    return { original, part, oids }
  }

  #formOf({ original, part, oids }: DescribedRead): Form {
    const { core, plan, query } = this.#parts
    const values = sentValues(core.pg, query.values)
    const { described, hidden } = plan.merge
    return {
      columns: part.map(columnOf),
      fields: described === 'part' ? part.slice(0, part.length - hidden) : original,
      parameters: values.map((value, index) => parameterOf(oids[index] ?? 0, value)),
      values,
    }
  }

  #begin({ columns, fields, parameters }: Form): ResultBuilder {
    const { plan, ground, query } = this.#parts
    const first = this.#on[0]?.hold.connection
    const { rowMode, types } = query.config as { readonly rowMode?: unknown; readonly types?: TypeSource | null }
    this.#merger = new Merger({
      spec: plan.merge,
      columns,
      client: fields.map(columnOf),
      parameters,
      session: sessionForm(first?.parameters ?? new Map<string, string>()),
      parts: this.#on.length,
      memory: ground.generation.config.limits.mergeMemoryBytes,
    })
    const own = first === undefined ? null : typesOf(first.client)
    this.#made = new this.#result(rowMode, types ?? own ?? (this.#parts.core.pg as unknown as { readonly types: TypeSource }).types)
    this.#made.addFields(fields.map((field) => ({ ...field, format: 'text' })))
    return this.#made
  }

  // ---- rows

  async #read({ columns, values }: Form): Promise<void> {
    const { query } = this.#parts.plan
    const atOnce = mayGoFirst(this.#parts.plan.merge, this.#merger)
    const describing = { ...query, describes: [query.original, query.text], atOnce }
    const all = new Promise<void>((resolve) => (this.#settled = resolve))
    for (const part of this.#on) {
      part.running = true
      const told: (readonly PgField[])[] = []
      const proves = this.#unproved !== null && part.index === 0
      let oids: readonly number[] = []
      runOn(
        part.hold,
        proves ? describing : query,
        values,
        {
          parameters: (said) => (oids = said),
          described: (fields) => {
            told.push(fields)
            if (proves && told.length === 2) this.#prove(told, oids)
            if (proves && told.length <= 2) return
            if (!alikeColumns(columns, fields.map(columnOf))) this.#wrong(otherColumns(part.hold.cluster))
          },
          rows: (rows) => this.#came(part, rows),
          ended: (error) => void this.#ended(part, error),
        },
        this.#timeout,
      )
    }
    this.#advance()
    await all
  }

  #prove([original = [], part = []]: readonly (readonly PgField[])[], oids: readonly number[]): void {
    const known = this.#unproved
    if (known === null) return
    const same = sameFields(known.original, original) && sameFields(known.part, part) && known.oids.join() === oids.join()
    if (!same) return this.#forget()
    this.#unproved = null
    this.#advance()
  }

  #forget(): void {
    if (this.#over) return
    this.#parts.core.described.forget(this.#key)
    this.#unproved = null
    this.stale = true
    this.#fail(new Error('it is to be described anew'))
  }

  /** What came does not go together with what it runs by. */
  #wrong(error: unknown): void {
    if (this.#unproved === null) this.#fail(error)
    else this.#forget()
  }

  get #timeout(): unknown {
    return (this.#parts.query.config as { readonly query_timeout?: unknown }).query_timeout
  }

  #came(part: Part, rows: readonly (readonly (string | null)[])[]): void {
    const merger = this.#merger
    if (merger === null || this.#over) return
    try {
      merger.push(
        part.index,
        rows.map((row) => row.map((value) => (value === null ? null : Buffer.from(value)))),
      )
    } catch (error) {
      return this.#wrong(error)
    }
    this.#advance()
    if (this.#isOver() || !part.running || merger.wants(part.index)) return
    part.paused = true
    pauseReading(part.hold.connection.client)
  }

  /** Makes rows of what can be read, and lets those go on that are waited for. */
  #advance(): void {
    const merger = this.#merger
    if (merger === null || this.#over || this.#unproved !== null) return
    try {
      for (let state = 'more'; state !== 'waiting';) {
        const read = merger.read(rowsAtOnce)
        for (const row of read.rows) this.#give(row)
        state = read.state
        if (state === 'done') return this.#stop()
      }
    } catch (error) {
      return this.#fail(error)
    }
    for (const part of this.#on) if (part.paused && merger.wants(part.index)) resume(part)
  }

  #give(row: Row): void {
    this.#rows += 1
    this.#made?.addRow(this.#made.parseRow(row.map(textOf)))
  }

  // ---- ends

  #fail(error: unknown): void {
    if (this.#over) return
    this.#failure = { error }
    this.#stop()
  }

  #isOver(): boolean {
    return this.#over
  }

  /** What still runs is not wanted any more. */
  #stop(): void {
    this.#over = true
    const left = this.#on.filter(({ running }) => running)
    for (const part of left) resume(part)
    if (left.length > 0) this.#timer ??= setTimeout(() => this.#cancel(), this.#failure === null ? patienceMs : 0)
  }

  #cancel(): void {
    const { config } = this.#parts.ground.generation
    for (const part of this.#on) if (part.running) part.canceled ??= cancelOn(part.hold, config)
  }

  async #ended(part: Part, error: Error | null): Promise<void> {
    if (error === null) {
      if (!this.#over) this.#merger?.end(part.index)
      part.running = false
      this.#advance()
    } else {
      const told = await this.#errorOf(part.hold, error)
      part.running = false
      if (this.#unproved !== null && isMisfit(sqlstateOf(error))) this.#forget()
      else this.#fail(told)
    }
    if (this.#on.every(({ running }) => !running)) this.#settled?.()
  }

  /** What the user is told; notes whether it may be tried again. Resolves when the connection's state is known. */
  async #errorOf(hold: Hold, error: unknown): Promise<unknown> {
    if (isTimeout(error)) {
      // pg gave up on it, the server did not.
      hold.connection.close()
      return error
    }
    const lost = (await hold.connection.settled()) === null
    const where = lost ? 'elsewhere' : rerunFor(sqlstateOf(error), hold.route.role)
    if (where !== null && !this.#over) this.again = { where, hold, lost }
    return lost ? lossOf(hold, false, error) : error
  }
}

function resume(part: Part): void {
  part.paused = false
  resumeReading(part.hold.connection.client)
}

/** pg makes strings of what comes: of other bytes, which a database without an encoding may hold, two could become one. */
function requireUnicode(holds: readonly Hold[]): void {
  const other = holds.find(({ connection: { parameters } }) => parameters.get('server_encoding') === 'SQL_ASCII')
  if (other === undefined) return
  throw new PointsmanError('feature_not_supported', {
    values: { what: `the encoding of the database on cluster ${other.cluster} is SQL_ASCII, so that its rows cannot be merged` },
    hint: 'Read it through the proxy, or give it the encoding UTF8.',
  })
}

function sameFields(left: readonly PgField[], right: readonly PgField[]): boolean {
  return left.length === right.length && left.every((field, index) => sameField(field, right[index]))
}

/** All that pg reads of a description, and the user may look at. */
function sameField(left: PgField, right: PgField | undefined): boolean {
  return right !== undefined && JSON.stringify(left) === JSON.stringify(right)
}

/** Values come as text. */
export function columnOf({ name, dataTypeID, dataTypeModifier }: PgField): DescribedColumn {
  return { name, oid: dataTypeID, modifier: dataTypeModifier, format: 0 }
}

function parameterOf(oid: number, value: string | Uint8Array | null): MergeParameter {
  if (typeof value === 'string') return { oid, format: 0, value: Buffer.from(value) }
  return { oid, format: value === null ? 0 : 1, value }
}

function textOf(value: Uint8Array | null): string | null {
  return value === null ? null : Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')
}
