// doors/proxy/named-errors.ts — an error of a server about statements that it knows by names of ours, as the client would have got
// it: quoted names are the client's again, and a position is one in the text that the client sent for what failed: the EXECUTE,
// or the PREPARE that it runs.
import { decodeErrorFields } from '../../protocol/error-fields.js'
import { editErrorResponse } from '../../protocol/edit-error.js'
import { frameLength } from '../../protocol/frame-reader.js'
import { Backend } from '../../protocol/message-types.js'
import type { PreparedNames } from '../../server/contract.js'
import type { ClientStatement } from '../../session/session.js'
import type { Execution } from '../../sql/statement.js'
import type { WithIdParameters } from '../../sql/unique-ids.js'
import { characters, positionIn, renameIn, type Renamed } from './renaming.js'

/** A text of the client's, and what has another name on the server: within the text, or (of a Parse) beside it. */
export interface SentText {
  readonly text: string
  readonly renames: readonly Renamed[]
  readonly beside: Pick<Renamed, 'from' | 'to'> | null
}

/** `prepared`: the PREPARE of what the text executes, where a position may lie in that; `args`: what the EXECUTE gives. */
export interface Behind {
  readonly prepared: SentText
  readonly args: Execution['args']
}

export type Encoding = 'utf8' | 'latin1'

const ours = '"pointsman_'

/** It speaks of a statement by a name of ours. */
export function namesOurs(message: string): boolean {
  return message.includes(ours)
}

/** Of a text. null: it stays as it came. */
export function renamedError(frame: Uint8Array, encoding: Encoding, sent: SentText, behind: Behind | null): Uint8Array | null {
  // Of one that is very long only the beginning was kept: it goes as it comes.
  if (frameLength(frame, 0) > frame.length) return null
  const { code, position, message } = decodeErrorFields(frame)
  const pairs = namesOurs(message) ? [...pairsOf(sent), ...(behind === null ? [] : pairsOf(behind.prepared))] : []
  if (pairs.length === 0 && position === undefined) return null
  const at = position === undefined ? '' : String(placed(Number(position), code, sent, behind))
  return editErrorResponse(frame, encoding, (letter, value) => {
    if (letter === 'P') return at
    return letter === 'M' ? pairs.reduce((text, { from, to }) => text.replaceAll(`"${to}"`, `"${from}"`), value) : value
  })
}

function pairsOf({ renames, beside }: SentText): readonly Pick<Renamed, 'from' | 'to'>[] {
  const named = renames.filter(({ bare }) => bare !== true)
  return beside === null ? named : [...named, beside]
}

function placed(position: number, code: string, sent: SentText, behind: Behind | null): number {
  const inside = behind !== null && (position > characters(renameIn(sent.text, sent.renames)) || !speaksOfArguments(code, behind.args))
  const { text, renames } = inside ? behind.prepared : sent
  return positionIn(text, renames, position)
}

/** Of arguments that are plain values only their input can fail, or their coercion. */
function speaksOfArguments(code: string, args: Execution['args']): boolean {
  return args.some(({ kind }) => kind === 'other') || code.startsWith('22') || code === '42804'
}

/** Of a lane: the whole reply to a batch of this statement, with the error in it as the client would have got it. */
export function batchReply(reply: Uint8Array, statement: ClientStatement, names: PreparedNames, encoding: Encoding): Uint8Array {
  for (let at = 0; at < reply.length;) {
    const end = at + frameLength(reply, at)
    const edited =
      reply[at] === Backend.ErrorResponse
        ? renamedError(reply.subarray(at, end), encoding, textOf(statement, names.get(statement.key)), null)
        : null
    if (edited !== null) return Buffer.concat([reply.subarray(0, at), edited, reply.subarray(end)])
    at = end
  }
  return reply
}

/** What was sent for a statement that stands on a server under the name `to`. */
export function textOf({ text: sent, ids, named, name: from }: ClientStatement, to: string | undefined): SentText {
  const text = ids?.said ?? sent
  const renames = ids === undefined ? noRenames : idsIn(ids)
  if (to === undefined) return { text, renames, beside: null }
  return named === null ? { text, renames, beside: { from, to } } : { text, renames: [{ ...named, from, to }, ...renames], beside: null }
}

const noRenames: readonly Renamed[] = []

/** Parameters of ours where the client's text has calls. */
function idsIn({ said, replaced }: WithIdParameters): readonly Renamed[] {
  return replaced.map(({ start, end, to }) => ({ start, end, from: said.slice(start, end), to, bare: true }))
}

export function argsOf({ understood }: Pick<ClientStatement, 'understood'>): Execution['args'] {
  const [first] = understood.shape.statements ?? []
  return first?.executes?.args ?? []
}
