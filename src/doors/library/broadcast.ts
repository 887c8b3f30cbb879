// doors/library/broadcast.ts — a write on several clusters (routing/broadcast.ts, insert-rows.ts) through the application's pg: each is sent its
// text with the values, one after the other within one transaction of all (execute/joint.ts), and one result is made of what they answer.
import { PointsmanError } from '../../errors/error.js'
import { asGiven, formsOf, requireAlike, summed, type PartAnswer } from '../../execute/broadcast-answer.js'
import { alikeColumns, isOwnType } from '../../protocol/same-columns.js'
import type { BroadcastPlan } from '../../routing/plan.js'
import type { Core } from './core.js'
import type { Hold } from './hold.js'
import { sentValues } from './parameters.js'
import type { PgResult } from './pg-client.js'
import type { PlainQuery } from './query-arguments.js'
import { typesOf, type ResultClass, type TypeSource } from './raw-rows.js'
import { columnOf, resultFor } from './scatter.js'
import { describeOn, runOn, type PgField, type TextRow } from './scatter-part.js'

interface Answered extends PartAnswer<TextRow> {
  /** null: it returns nothing. */
  readonly fields: readonly PgField[] | null
  /** Parsers of the connection that it came on. */
  readonly types: TypeSource | null
}

type Sent = { readonly ok: true; readonly result: undefined } | { readonly ok: false; readonly error: unknown }

const done: Sent = { ok: true, result: undefined }

/** Whether this is a write that the library can do: no rows are sent to it, nor moved between clusters. */
export function canBroadcast(plan: BroadcastPlan): boolean {
  return plan.copy === undefined && plan.move === undefined
}

export class BroadcastWrite {
  readonly #core: Core
  readonly #plan: BroadcastPlan
  readonly #query: PlainQuery
  readonly #result: ResultClass
  readonly #values: readonly unknown[]
  /** The most bytes that may be returned. */
  readonly #limit: number
  readonly #answers: Answered[] = []
  #bytes = 0
  /** Of an INSERT that is parted: the oids of all of its parameters, on the server at hand. */
  #types: readonly number[] = []

  /** Throws where pg has no such values, and 0A000 where a result of several could not be made as pg makes it. */
  constructor(core: Core, plan: BroadcastPlan, query: PlainQuery, limit: number) {
    this.#core = core
    this.#plan = plan
    this.#query = query
    this.#result = resultFor(core.pg, query.config, 'a write')
    this.#values = sentValues(core.pg, query.values)
    this.#limit = limit
  }

  /** Runs one of the plan's parts, in their order. */
  async send(hold: Hold, index: number): Promise<Sent> {
    const { insert } = this.#plan
    // Each server numbers types that are not PostgreSQL's own for itself.
    if (insert !== undefined && (index === 0 || this.#types.some(isOwnType))) {
      const failed = await this.#describe(hold, insert.text)
      if (failed !== null) return { ok: false, error: failed }
    }
    const text = insert === undefined ? this.#query.text : (insert.parts[index]?.text ?? '')
    const error = await this.#run(hold, text)
    return error === null ? done : { ok: false, error }
  }

  /** What is wrong with all of an INSERT only a server can say, and what types its parameters have. */
  #describe(hold: Hold, text: string): Promise<Error | null> {
    return new Promise((ended) => {
      const parameters = (oids: readonly number[]): void => void (this.#types = oids)
      describeOn(hold, [text], { parameters, described: () => undefined, ended }, this.#timeout)
    })
  }

  async #run(hold: Hold, text: string): Promise<Error | null> {
    const { connection, cluster } = hold
    const rows: TextRow[] = []
    let fields: readonly PgField[] | null = null
    let tag = ''
    const error = await new Promise<Error | null>((ended) => {
      runOn(
        hold,
        { text, types: this.#types },
        this.#values,
        {
          described: (told) => (fields = told),
          rows: (told) => {
            for (const row of told) this.#count(row)
            // More is not needed: it is refused when it has ended.
            if (!this.#isFull) rows.push(...told)
          },
          completed: (told) => (tag = told),
          ended,
        },
        this.#timeout,
      )
    })
    if (error === null) {
      this.#answers.push({ cluster, rows, tag, forms: formsOf(connection.parameters), fields, types: typesOf(connection.client) })
    }
    return error
  }

  get #timeout(): unknown {
    return (this.#query.config as { readonly query_timeout?: unknown }).query_timeout
  }

  #count(row: TextRow): void {
    for (const value of row) this.#bytes += 8 + (value?.length ?? 0)
  }

  get #isFull(): boolean {
    return this.#bytes > this.#limit
  }

  /** Of all parts. Throws where they do not go together, and where they return too much. */
  result(): PgResult {
    if (this.#isFull) throw new PointsmanError('merge_memory', { values: { limit: this.#limit, what: 'what is returned' } })
    const { combine, insert } = this.#plan
    const answers = this.#answers
    requireAlike<TextRow, Answered>(this.#plan, answers, { sameColumns: alike, textOf: (row) => JSON.stringify(row) })
    const [first] = answers
    const { rowMode, types } = this.#query.config as { readonly rowMode?: unknown; readonly types?: TypeSource | null }
    const ofPg = (this.#core.pg as unknown as { readonly types: TypeSource }).types
    const made = new this.#result(rowMode, types ?? first?.types ?? ofPg)
    if (first !== undefined && first.fields !== null) {
      made.addFields(first.fields.map((field) => ({ ...field, format: 'text' })))
      const rows =
        combine === 'same' ? first.rows : insert === undefined ? answers.flatMap((each) => each.rows) : asGiven(insert.parts, answers)
      for (const row of rows) made.addRow(made.parseRow(row))
    }
    return Object.assign(made, readTag(summed(answers, combine)))
  }
}

function alike({ fields: left }: Answered, { fields: right }: Answered): boolean {
  return alikeColumns((left ?? []).map(columnOf), (right ?? []).map(columnOf))
}

/** As pg reads it. */
function readTag(tag: string): Pick<PgResult, 'command' | 'oid' | 'rowCount'> {
  const [, command = null, one, two] = /^([A-Za-z]+)(?: (\d+))?(?: (\d+))?/.exec(tag) ?? []
  const count = two ?? one
  return { command, oid: two === undefined ? null : Number(one), rowCount: count === undefined ? null : Number(count) }
}
