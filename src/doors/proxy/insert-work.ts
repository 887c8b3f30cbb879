// doors/proxy/insert-work.ts — INSERT … VALUES with rows of several clusters (routing/insert-rows.ts), as each of them is sent it: its own
// text, all of the client's parameters with the types that the whole statement gives them, and no name. The whole statement is parsed
// first by the server of the first part: what is wrong with it as a whole, only a server can say.
import { asGiven } from '../../execute/broadcast-answer.js'
import { encodeBind, encodeParse } from '../../protocol/extended.js'
import type { InsertRows } from '../../routing/plan.js'
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

export class InsertWork implements BroadcastWork {
  readonly #rows: InsertRows
  readonly #ask: PartAsk | null
  /** Of the client's parameters, as the client hears of them; null: no server has been asked yet. */
  #told: readonly number[] | null
  /** The same, as the part at hand numbers them. */
  #types: readonly number[] | null
  /** undefined: the whole has not been asked about yet. */
  #description: Uint8Array | null | undefined = undefined

  /** `ask`: how the client has asked; null: with a simple query. */
  constructor(rows: InsertRows, ask: PartAsk | null) {
    this.#rows = rows
    this.#ask = ask
    this.#told = declared(ask, rows.parameters)
    this.#types = this.#told
  }

  /** Parses all of it. */
  #whole(): Messages {
    return parsing(this.#rows.text, this.#ask?.types ?? [])
  }

  question(part: number): BroadcastFrames | null {
    return questionOf(this.#rows.text, this.#ask, this.#told, part)
  }

  frames(_hold: Hold, part: number): BroadcastFrames {
    const before = part === 0 && this.#description === undefined ? [this.#whole()] : []
    const text = this.#rows.parts[part]?.text ?? ''
    const values = valuesOf(this.#ask?.bind ?? null)
    const bind = encodeBind(
      '',
      '',
      values.map((value) => value?.bytes ?? null),
      values.map((value) => (value?.binary === true ? 1 : 0)),
      this.#ask?.bind?.results ?? [],
    )
    const own: Messages = {
      frames: [encodeParse('', text, this.#types ?? []), bind, describePortal, executeFrame],
      expects: [parsed, bound, { act: 'forward', reply: 'describe-portal' }, { act: 'forward', reply: 'execute' }],
    }
    return group([...before, own])
  }

  described(part: number, [description]: readonly Uint8Array[], parameters: readonly number[]): void {
    this.#types = parameters
    if (part > 0) return
    this.#description = description ?? null
    this.#told = parameters
  }

  before(first: Answered): readonly Uint8Array[] {
    if (this.#ask === null) return first.columns === null ? [] : [first.columns]
    return toldBefore(this.#ask, { types: this.#told ?? [], description: this.#description ?? null, portal: first.before })
  }

  rows(answers: readonly Answered[]): readonly Uint8Array[] {
    return asGiven(this.#rows.parts, answers)
  }
}
