// doors/proxy/named.ts — what SQL says by name of prepared statements: PREPARE, EXECUTE, DEALLOCATE. As in PostgreSQL they share
// their names with those of the protocol, and the names are the client's own: on a server connection the same statement has a
// name of ours, which stands in the text in place of the client's.
//
//   PREPARE p (int) AS …   ──▶   PREPARE "pointsman_7" (int) AS …    on each connection that is to run it
//   EXECUTE p (1)          ──▶   EXECUTE "pointsman_7" (1)
//   DEALLOCATE p                 the client's name goes; ours stays for whoever prepares the same
import { PointsmanError } from '../../errors/error.js'
import { encodeClose, encodeExecute, encodeBind } from '../../protocol/extended.js'
import { FrameWriter } from '../../protocol/frame-writer.js'
import { Frontend } from '../../protocol/message-types.js'
import { typeOid } from '../../routing/executed.js'
import type { Expect } from '../../server/contract.js'
import { definitionsSeen } from '../../server/definitions.js'
import type { ClientStatement, Session } from '../../session/session.js'
import { preparedBy, preparedName, type Span } from '../../sql/prepared.js'
import type { Understood } from '../../sql/statement.js'
import { preparedWithIds, typesWithIds } from './prepared-ids.js'

/** What one statement says of a prepared one. `definition` of an EXECUTE: what the name stands for now; null: for nothing. */
export type Naming =
  | { readonly kind: 'prepare'; readonly definition: ClientStatement; readonly span: Span }
  | { readonly kind: 'execute'; readonly name: string; readonly span: Span; readonly definition: ClientStatement | null }
  /** null: all. */
  | { readonly kind: 'deallocate'; readonly name: string | null; readonly span: Span | null }

/** A name that no statement of ours has: what is asked of it does not exist. */
export const nobody = 'pointsman_0'

/** null: it names no prepared statement. Throws 0A000 where the name cannot be told from the text. */
export function namingOf(
  session: Session,
  understood: Understood,
  understand: (text: string) => Understood,
  prepared: ReadonlyMap<string, ClientStatement> = session.prepared,
): Naming | null {
  if (!understood.shape.names) return null
  const [statement] = understood.shape.statements ?? []
  if (statement === undefined) return null
  const { detail, executes } = statement
  if (executes !== null) {
    const { name } = executes
    return { kind: 'execute', name, span: spanOf(understood), definition: prepared.get(name) ?? null }
  }
  if (detail.kind === 'deallocate') return { kind: 'deallocate', name: detail.name, span: detail.name === null ? null : spanOf(understood) }
  if (detail.kind !== 'prepare') return null
  const span = spanOf(understood)
  const ids = preparedWithIds(session, understood, 0)
  const whole = ids === null ? understood : understand(ids.text)
  const declared = detail.types.map(typeOid)
  const definition = definitionOf(session, whole, span, detail.name, ids === null ? declared : typesWithIds(declared, ids))
  return { kind: 'prepare', span, definition: ids === null ? definition : { ...definition, ids } }
}

function spanOf(understood: Understood): Span {
  const span = preparedName(understood)
  if (span !== null) return span
  const what = 'a prepared statement whose name is written in this way'
  throw new PointsmanError('feature_not_supported', { values: { what }, hint: 'Write it as a plain or a quoted name.' })
}

const noFrame = new Uint8Array(0)

function definitionOf(session: Session, understood: Understood, named: Span, name: string, types: readonly number[]): ClientStatement {
  const { text } = understood
  const key = `PREPARE\0${session.encodingKey}${text.slice(0, named.start)}\0${text.slice(named.end)}`
  return { name, text, types, key, frame: noFrame, understood: preparedBy(understood) ?? understood, named, since: definitionsSeen() }
}

/** The text with a name of ours where the client's stood; always quoted, so that it may stand where quotes stood. */
export function withName(text: string, { start, end }: Span, name: string): string {
  return `${text.slice(0, start)}"${name}"${text.slice(end)}`
}

export function duplicateStatement(name: string): PointsmanError {
  return new PointsmanError('duplicate_prepared_statement', { values: { name } })
}

/** A client that only ever prepares: it is told before it has all the memory there is. */
const maxStatements = 10_000

export function fullWith(prepared: ReadonlyMap<string, ClientStatement>): PointsmanError | null {
  return prepared.size < maxStatements ? null : new PointsmanError('too_many_statements', { values: { limit: String(maxStatements) } })
}

export function unknownStatement(name: string): PointsmanError {
  return name === ''
    ? new PointsmanError('undefined_unnamed_statement')
    : new PointsmanError('undefined_prepared_statement', { values: { name } })
}

// ---- on a connection

type Put = (frames: readonly Uint8Array[], expect: Expect) => void

/** Puts what makes a PREPARE's statement stand on a connection as `name`: the PREPARE itself, by the extended protocol, unseen. */
export function putPrepare(
  { text, named, key }: ClientStatement,
  name: string,
  decoder: 'utf8' | 'latin1',
  label: string | null,
  put: Put,
): void {
  const by = label === null ? {} : { label }
  const helper = `${name}p`
  const sql = named === null ? text : withName(text, named, name)
  put([encodeParseBytes(helper, Buffer.from(sql, decoder))], { act: 'swallow', reply: 'parse', ...by })
  put([encodeBind(helper, helper, [])], { act: 'swallow', reply: 'bind', ...by })
  put([encodeExecute(helper)], { act: 'swallow', reply: 'execute', prepares: key, ...by })
  put([encodeClose({ of: 'portal', name: helper })], { act: 'swallow', reply: 'close', ...by })
  put([encodeClose({ of: 'statement', name: helper })], { act: 'swallow', reply: 'close', closes: helper, ...by })
}

/** A Parse with this text, in the client's encoding. */
export function encodeParseBytes(name: string, sql: Uint8Array, types: readonly number[] = []): Buffer {
  const frame = new FrameWriter(Frontend.Parse, sql.length + name.length + 4 + 4 * types.length).cstring(name).bytes(sql).byte(0)
  frame.int16(types.length)
  for (const type of types) frame.uint32(type)
  return frame.end()
}

/** A Query with this text, in the client's encoding. */
export function encodeQueryBytes(sql: string, decoder: 'utf8' | 'latin1'): Buffer {
  const bytes = Buffer.from(sql, decoder)
  return new FrameWriter(Frontend.Query, bytes.length + 1).bytes(bytes).byte(0).end()
}

/** The last one made for each statement: a connection mostly has the same name for the same thing. */
const made = new WeakMap<ClientStatement, { readonly name: string; readonly statement: ClientStatement }>()

/** A statement that says EXECUTE, as it must be sent where what it executes is called `name`. */
export function executing(statement: ClientStatement, span: Span, name: string, decoder: 'utf8' | 'latin1'): ClientStatement {
  const known = made.get(statement)
  if (known?.name === name) return known.statement
  const text = withName(statement.text, span, name)
  const frame = encodeParseBytes('', Buffer.from(text, decoder), statement.types)
  const renamed = { ...statement, text, frame, key: `EXECUTE\0${statement.types.join(',')}\0${text}` }
  made.set(statement, { name, statement: renamed })
  return renamed
}
