// doors/proxy/move-work.ts — an UPDATE whose rows go to another cluster (routing/move-rows.ts), as each part is sent it. The rows come as
// bytes in PostgreSQL's binary form and go out again unread.
//
//   a cluster that loses rows: the UPDATE of no row (may the client?) ─ DELETE … RETURNING
//   the one that gets them:    the UPDATE of its own, if it may have such ─ INSERT of each ─▶ RETURNING of the client
import { PointsmanError } from '../../errors/error.js'
import { otherColumns } from '../../execute/scatter.js'
import { encodeCommandComplete } from '../../protocol/backend-messages.js'
import { encodeBind, encodeParse } from '../../protocol/extended.js'
import { Backend } from '../../protocol/message-types.js'
import { rowValues } from '../../protocol/row-form.js'
import { describedColumns } from '../../protocol/rows.js'
import { alikeColumns } from '../../protocol/same-columns.js'
import type { BroadcastPlan, MoveRows } from '../../routing/plan.js'
import type { ExpectReply } from '../../server/contract.js'
import type { Answered, BroadcastFrames, BroadcastWork } from './broadcast.js'
import type { Hold } from './hold.js'
import {
  bound,
  declared,
  describePortal,
  executeFrame,
  group,
  parsed,
  parsing,
  questionOf,
  toldBefore,
  valuesOf,
  type Messages,
  type PartAsk,
} from './part-frames.js'

type Row = readonly (Uint8Array | null)[]

const told: ExpectReply = { act: 'forward', reply: 'describe-portal' }
const runs: ExpectReply = { act: 'forward', reply: 'execute' }
const ended: ExpectReply = { act: 'swallow', reply: 'execute' }

export class MoveWork implements BroadcastWork {
  readonly #plan: BroadcastPlan
  readonly #move: MoveRows
  readonly #ask: PartAsk | null
  /** Of the client's parameters, as the client hears of them; null: no server has been asked yet. */
  #told: readonly number[] | null
  /** The same, as the part at hand numbers them. */
  #types: readonly number[] | null
  /** undefined: the whole has not been asked about yet. */
  #description: Uint8Array | null | undefined = undefined
  /** What the client is told of its portal: as the last part describes it, or, where no row has come there, the first. */
  #portal: readonly Uint8Array[] = []
  readonly #removed: Row[] = []
  #answers = 0
  /** What the last part has told. */
  #rows: readonly Uint8Array[] = []
  #stayed = 0

  /** `ask`: how the client has asked; null: with a simple query. */
  constructor(plan: BroadcastPlan, move: MoveRows, ask: PartAsk | null) {
    this.#plan = plan
    this.#move = move
    this.#ask = ask
    this.#told = declared(ask, move.parameters)
    this.#types = this.#told
  }

  #whole(): Messages {
    return parsing(this.#move.text, this.#ask?.types ?? [])
  }

  described(part: number, [description]: readonly Uint8Array[], parameters: readonly number[]): void {
    this.#types = parameters
    if (part > 0) return
    this.#description = description ?? null
    this.#told = parameters
  }

  question(part: number): BroadcastFrames | null {
    return questionOf(this.#move.text, this.#ask, this.#told, part)
  }

  /** No row has come, and the last has none of its own. */
  skips(part: number): boolean {
    return this.#isLast(part) && !this.#move.stays && this.#removed.length === 0
  }

  #isLast(part: number): boolean {
    return part === this.#plan.parts.length - 1
  }

  frames(_hold: Hold, part: number): BroadcastFrames {
    if (this.#isLast(part))
      return group([...(this.#move.stays ? [this.#whereItIs(this.#move.text, runs)] : []), ...this.#inserts(), this.#changed()])
    const before = part === 0 && this.#description === undefined ? [this.#whole()] : []
    return group([...before, this.#whereItIs(this.#move.tried, ended), this.#removal(), this.#changed()])
  }

  /** Asked last; see answered(). */
  #changed(): Messages {
    const frames = [encodeParse('', this.#move.changed, []), bindOf([], [], []), executeFrame]
    return { frames, expects: [parsed, bound, runs] }
  }

  /** The client's own values, as they came: what is wrong with them the server says. */
  #whereItIs(text: string, execute: ExpectReply): Messages {
    const values = valuesOf(this.#ask?.bind ?? null)
    const bind = bindOf(
      values.map((value) => value?.bytes ?? null),
      formatsOf(values),
      this.#ask?.bind?.results ?? [],
    )
    return {
      frames: [encodeParse('', text, this.#types ?? []), bind, describePortal, executeFrame],
      expects: [parsed, bound, told, execute],
    }
  }

  #removal(): Messages {
    const { values, formats, types } = this.#given()
    return {
      frames: [encodeParse('', this.#move.removed, types), bindOf(values, formats, [1]), executeFrame],
      expects: [parsed, bound, runs],
    }
  }

  #inserts(): readonly Messages[] {
    const { values, formats, types } = this.#given()
    const results = this.#ask?.bind?.results ?? []
    const parse: Messages = { frames: [encodeParse('', this.#move.inserted, types)], expects: [parsed] }
    const each = this.#removed.map((row, index): Messages => {
      const bind = bindOf([...values, ...row], [...formats, ...row.map(() => 1)], results)
      // One description is enough to compare.
      const describes = index === 0
      return {
        frames: [bind, ...(describes ? [describePortal] : []), executeFrame],
        expects: [bound, ...(describes ? [told] : []), runs],
      }
    })
    return each.length === 0 ? [] : [parse, ...each]
  }

  /** The parameters that the text has, others are wrong and have been told so. */
  #given(): { readonly values: Row; readonly formats: readonly number[]; readonly types: readonly number[] } {
    const { parameters } = this.#move
    const values = valuesOf(this.#ask?.bind ?? null).slice(0, parameters)
    return {
      values: values.map((value) => value?.bytes ?? null),
      formats: formatsOf(values),
      types: (this.#types ?? []).slice(0, parameters),
    }
  }

  answered(answer: Answered): void {
    const part = this.#answers++
    if (counted(answer.tag) > 0) throw changedMeanwhile(this.#plan.of, answer.cluster)
    if (part === 0 || this.#isLast(part)) this.#portal = answer.before
    if (!this.#isLast(part)) {
      for (const row of answer.rows) this.#removed.push(rowValues(row, 0, row.length))
      return
    }
    this.#rows = answer.rows
    this.#requireSame(answer)
    const [first, ...others] = answer.tags.slice(0, -1)
    this.#stayed = this.#move.stays ? counted(first) : 0
    const inserted = (this.#move.stays ? others : [first, ...others]).reduce((sum, tag) => sum + counted(tag), 0)
    if (inserted === this.#removed.length) return
    const what = `of ${String(this.#removed.length)} rows that were to go to cluster ${answer.cluster}, ${String(inserted)} arrived there`
    throw new PointsmanError('copies_differ', { values: { of: this.#plan.of, what } })
  }

  /** The client has been told by another cluster what it would get. */
  #requireSame({ columns, cluster, rows }: Answered): void {
    const told = this.#ask?.before.includes('statement') === true ? (this.#description ?? null) : null
    if (rows.length === 0 || told === null || columns === null) return
    if (!alikeColumns(describedColumns(columns), describedColumns(told))) throw otherColumns(cluster)
  }

  reply(): readonly Uint8Array[] {
    const ask = this.#ask
    const columns = this.#portal.filter((frame) => frame[0] === Backend.RowDescription)
    const before =
      ask === null ? columns : toldBefore(ask, { types: this.#told ?? [], description: this.#description ?? null, portal: this.#portal })
    return [...before, ...this.#rows, encodeCommandComplete(`UPDATE ${String(this.#stayed + this.#removed.length)}`)]
  }
}

function changedMeanwhile(of: string, cluster: string): PointsmanError {
  return new PointsmanError('feature_not_supported', {
    values: {
      what: `rows of ${of} cannot be moved, since the table on cluster ${cluster} was changed past Pointsman and is not yet read anew`,
    },
    hint: 'Send it again in a moment.',
  })
}

type Values = ReturnType<typeof valuesOf>

function formatsOf(values: Values): readonly number[] {
  return values.map((value) => (value?.binary === true ? 1 : 0))
}

function bindOf(values: Row, formats: readonly number[], results: readonly number[]): Buffer {
  return encodeBind('', '', values, formats, results)
}

/** `UPDATE 3`, `INSERT 0 3` → 3. */
function counted(tag: string | undefined): number {
  return Number(/\d+$/.exec(tag ?? '')?.[0] ?? 0)
}
