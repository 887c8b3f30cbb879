// doors/proxy/insert-work.ts — INSERT … VALUES with rows of several clusters (routing/insert-rows.ts), as each of them is sent it: its own
// text, all of the client's parameters with the types that the whole statement gives them, and no name. The whole statement is parsed
// first by the server of the first part: what is wrong with it as a whole, only a server can say.
import { encodeParameterDescription } from '../../protocol/backend-messages.js'
import { encodeBind, encodeDescribe, encodeExecute, encodeParse, encodeSync, type Bind } from '../../protocol/extended.js'
import type { InsertRows } from '../../routing/plan.js'
import type { Expect, ExpectReply } from '../../server/contract.js'
import type { Answered, BroadcastFrames, BroadcastWork } from './broadcast.js'
import type { Hold } from './hold.js'
import type { ScatterAsk } from './scatter.js'

const describeStatement = encodeDescribe({ of: 'statement', name: '' })
const describePortal = encodeDescribe({ of: 'portal', name: '' })
const executeFrame = encodeExecute()
const syncFrame = encodeSync()
const parsed: ExpectReply = { act: 'swallow', reply: 'parse' }
const bound: ExpectReply = { act: 'swallow', reply: 'bind' }
const described: ExpectReply = { act: 'swallow', reply: 'describe-statement' }

export class InsertWork implements BroadcastWork {
  readonly question: BroadcastFrames | null
  readonly #rows: InsertRows
  readonly #ask: Omit<ScatterAsk, 'onBegun'> | null
  /** Of all parameters; null: the server has not been asked yet. */
  #types: readonly number[] | null
  #description: Uint8Array | null = null

  /** `ask`: how the client has asked; null: with a simple query. */
  constructor(rows: InsertRows, ask: Omit<ScatterAsk, 'onBegun'> | null) {
    this.#rows = rows
    this.#ask = ask
    const types = ask?.types ?? []
    this.#types = types.length >= rows.parameters && types.every(isType) ? types : null
    this.question = this.#types === null ? group(this.#whole()) : null
  }

  /** Parses all of it. */
  #whole(): Messages {
    return { frames: [encodeParse('', this.#rows.text, this.#ask?.types ?? []), describeStatement], expects: [parsed, described] }
  }

  frames(_hold: Hold, part: number): BroadcastFrames {
    const before = part === 0 && this.question === null ? this.#whole() : nothing
    const text = this.#rows.parts[part]?.text ?? ''
    const values = valuesOf(this.#ask?.bind ?? null)
    const bind = encodeBind(
      '',
      '',
      values.map((value) => value?.bytes ?? null),
      values.map((value) => (value?.binary === true ? 1 : 0)),
      this.#ask?.bind?.results ?? [],
    )
    return group({
      frames: [...before.frames, encodeParse('', text, this.#types ?? []), bind, describePortal, executeFrame],
      expects: [...before.expects, parsed, bound, { act: 'forward', reply: 'describe-portal' }, { act: 'forward', reply: 'execute' }],
    })
  }

  described([description]: readonly Uint8Array[], parameters: readonly number[]): void {
    this.#description = description ?? null
    this.#types = parameters
  }

  before(first: Answered): readonly Uint8Array[] {
    const ask = this.#ask
    if (ask === null) return first.columns === null ? [] : [first.columns]
    return ask.before.flatMap((each) => {
      if (each === 'portal') return first.before
      if (each !== 'statement') return [each]
      return [
        encodeParameterDescription((this.#types ?? []).slice(0, ask.parameters)),
        ...(this.#description === null ? [] : [this.#description]),
      ]
    })
  }

  /** As the client has written them, where each has given one; else only those of one cluster are in order. */
  rows(answers: readonly Answered[]): readonly Uint8Array[] {
    const { parts } = this.#rows
    if (answers.some(({ rows }, part) => rows.length !== parts[part]?.rows.length)) return answers.flatMap(({ rows }) => rows)
    const all: Uint8Array[] = []
    for (const [part, { rows }] of answers.entries()) {
      for (const [index, row] of rows.entries()) all[parts[part]?.rows[index] ?? 0] = row
    }
    return all
  }
}

interface Messages {
  readonly frames: readonly Uint8Array[]
  readonly expects: readonly Expect[]
}

const nothing: Messages = { frames: [], expects: [] }

function group({ frames, expects }: Messages): BroadcastFrames {
  const last: ExpectReply = { act: 'swallow', reply: 'sync' }
  return { frames: [...frames, syncFrame], expects: [...expects, last], last }
}

function isType(oid: number): boolean {
  return oid !== 0 && oid !== 705
}

function valuesOf(bind: Bind | null): readonly ReturnType<Bind['parameter']>[] {
  return bind === null ? [] : Array.from({ length: bind.parameters }, (_, index) => bind.parameter(index + 1))
}
