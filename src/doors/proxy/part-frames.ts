// doors/proxy/part-frames.ts — what a part of a write is sent where its text is ours: the client's values with the types that the whole
// statement gives them, in the extended protocol and without names.
import { encodeParameterDescription } from '../../protocol/backend-messages.js'
import { encodeDescribe, encodeExecute, encodeParse, encodeSync, type Bind } from '../../protocol/extended.js'
import { isOwnType } from '../../protocol/same-columns.js'
import type { Expect, ExpectReply } from '../../server/contract.js'
import type { BroadcastFrames } from './broadcast.js'
import type { ScatterAsk } from './scatter.js'

/** How the client has asked. */
export type PartAsk = Omit<ScatterAsk, 'onBegun'>

export interface Messages {
  readonly frames: readonly Uint8Array[]
  readonly expects: readonly Expect[]
}

export const describePortal: Uint8Array = encodeDescribe({ of: 'portal', name: '' })
export const executeFrame: Uint8Array = encodeExecute()
export const parsed: ExpectReply = { act: 'swallow', reply: 'parse' }
export const bound: ExpectReply = { act: 'swallow', reply: 'bind' }
const describeStatement = encodeDescribe({ of: 'statement', name: '' })
const described: ExpectReply = { act: 'swallow', reply: 'describe-statement' }
const syncFrame = encodeSync()

/** Ends with a Sync. */
export function group(all: readonly Messages[]): BroadcastFrames {
  const last: ExpectReply = { act: 'swallow', reply: 'sync' }
  return { frames: [...all.flatMap(({ frames }) => frames), syncFrame], expects: [...all.flatMap(({ expects }) => expects), last], last }
}

/** Asks what a whole statement looks like. */
export function parsing(text: string, types: readonly number[]): Messages {
  return { frames: [encodeParse('', text, types), describeStatement], expects: [parsed, described] }
}

/**
 * What a part is asked before its frames, where `types` are those of its parameters that are known: nothing, or what they are there. Each
 * server numbers types that are not PostgreSQL's own for itself.
 */
export function questionOf(text: string, ask: PartAsk | null, types: readonly number[] | null, part: number): BroadcastFrames | null {
  if (part === 0) return types === null ? group([parsing(text, ask?.types ?? [])]) : null
  return types?.some(isOwnType) === true
    ? group([
        parsing(
          text,
          (ask?.types ?? []).map((oid) => (isOwnType(oid) ? 0 : oid)),
        ),
      ])
    : null
}

/** The types that the client has declared, where they are those of all parameters; null: a server must be asked. */
export function declared(ask: PartAsk | null, parameters: number): readonly number[] | null {
  const types = ask?.types ?? []
  return types.length >= parameters && types.every((oid) => oid !== 0 && oid !== 705) ? types : null
}

export function valuesOf(bind: Bind | null): readonly ReturnType<Bind['parameter']>[] {
  return bind === null ? [] : Array.from({ length: bind.parameters }, (_, index) => bind.parameter(index + 1))
}

interface Told {
  readonly types: readonly number[]
  /** Of the whole statement. */
  readonly description: Uint8Array | null
  /** Of the portal. */
  readonly portal: readonly Uint8Array[]
}

/** What the client hears before the rows. */
export function toldBefore(ask: PartAsk, { types, description, portal }: Told): readonly Uint8Array[] {
  return ask.before.flatMap((each) => {
    if (each === 'portal') return portal
    if (each !== 'statement') return [each]
    return [encodeParameterDescription(types.slice(0, ask.parameters)), ...(description === null ? [] : [description])]
  })
}
