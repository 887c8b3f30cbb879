// doors/proxy/prepared-ids.ts — what is prepared and calls pointsman.unique_id() has parameters of ours in the place of the calls, behind
// all of the client's (sql/unique-ids.ts). Its client does not hear of them: each Bind brings ids of its own, on whatever connection it runs.
//
//   Parse   INSERT INTO t (id, body) VALUES (pointsman.unique_id(), $1)   ─▶   … VALUES ($2::pg_catalog.int8, $1)
//   Bind    'a'                                                            ─▶   'a', '7281…'
import { PointsmanError } from '../../errors/error.js'
import { appendParameters } from '../../protocol/append-parameters.js'
import { decodeBind } from '../../protocol/extended.js'
import { violation } from '../../protocol/violation.js'
import type { UniqueIds } from '../../runtime/unique-ids.js'
import type { ClientStatement, Session } from '../../session/session.js'
import type { Understood } from '../../sql/statement.js'
import { asksUniqueIds, withIdParameters, type IdBits, type WithIdParameters } from '../../sql/unique-ids.js'

/** Ids of this process. */
export type Ids = Pick<UniqueIds, 'ready' | 'isReady' | 'now'>

/** Of a text: by how many parameters were declared, which is the client's to say. */
const known = new WeakMap<Understood, Map<number, WithIdParameters | null>>()
const mostDeclared = 4

/** null: it asks for none, or is refused where it is planned. `declared`: parameters whose types the client has given. */
export function preparedWithIds(session: Session, given: Understood, declared: number): WithIdParameters | null {
  if (!asksUniqueIds(given) || !session.view.understood) return null
  session.asksIds = true
  const made = known.get(given) ?? new Map<number, WithIdParameters | null>()
  known.set(given, made)
  const before = made.get(declared)
  if (before !== undefined) return before
  const found = withIdParameters(given.text, declared)
  if (made.size === mostDeclared) made.clear()
  made.set(declared, found)
  return found
}

const int8Oid = 20

/** The types of all parameters, ours among them. */
export function typesWithIds(types: readonly number[], { parameters, bits }: WithIdParameters): readonly number[] {
  return [...Array.from({ length: parameters }, (_, index) => types[index] ?? 0), ...bits.map(() => int8Oid)]
}

/** What the client knows of them. */
export function clientTypes({ types, ids }: ClientStatement): readonly number[] {
  return ids === undefined ? types : types.slice(0, ids.parameters)
}

/** A Bind with new ids. Throws what is wrong with it. */
export function bindWithIds(ids: Ids, { parameters, bits }: WithIdParameters, frame: Uint8Array): Uint8Array {
  const given = decodeBind(frame, 'latin1').parameters
  // Told by the server it would have other numbers.
  if (given !== parameters)
    throw violation(`Bind has ${String(given)} parameters, and its prepared statement requires ${String(parameters)}`)
  return appendParameters(frame, ids.now(bits))
}

/** What must be waited for before a Bind of `statement`; null: nothing. Why there are no ids the Bind tells. */
export function idsToAwait(ids: Ids, statement: ClientStatement | undefined): Promise<void> | null {
  return statement?.ids === undefined || ids.isReady ? null : readyFor(ids, statement.ids.bits).catch(() => undefined)
}

export async function readyFor(ids: Ids, bits: readonly IdBits[]): Promise<void> {
  if (!ids.isReady) await ids.ready(bits.includes(53) ? 53 : 64)
}

/** EXECUTE of what asks for ids where none can be brought. */
export function onlyAlone(): PointsmanError {
  return new PointsmanError('feature_not_supported', {
    values: {
      what: 'PREPARE or EXECUTE of a statement that calls pointsman.unique_id(), other than by itself in a simple query, is not supported',
    },
    hint: 'Send it alone as a simple query, or prepare and bind the statement with the protocol.',
  })
}
