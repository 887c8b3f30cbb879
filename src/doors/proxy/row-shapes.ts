// doors/proxy/row-shapes.ts — the columns that a client was told of a named statement. It may run the statement later without asking
// again, on another connection, after DDL: a server that had described it would say that the cached plan must not change its
// result type, but that connection has never described anything. So what it gives is compared before it is used.
//
//   told to the client ──┬── what the connection's statement gives: the same      it runs
//                        ├── not known: Describe (unseen), and wait               once for each connection and statement
//                        └── something else: prepared anew; if that is no better  0A000, as PostgreSQL has it
// The unnamed statement is left out: it is described and used within two messages.
import { frameLength } from '../../protocol/frame-reader.js'
import { Backend } from '../../protocol/message-types.js'
import { sameColumns } from '../../protocol/same-columns.js'
import type { PreparedNames } from '../../server/contract.js'
import type { ClientStatement } from '../../session/session.js'
import type { Message } from './messages.js'

const told = new WeakMap<ClientStatement, Uint8Array>()

/** The client is told these columns, or the connection has them: remembered for both. */
export function rememberRows(statement: ClientStatement, names: PreparedNames, frame: Uint8Array, client: boolean): void {
  const before = told.get(statement)
  const known = names.rowsOf(statement.key)
  // The same object for both, so that comparing them costs nothing.
  const kept = [before, known].find((other) => other !== undefined && other !== null && Buffer.compare(other, frame) === 0)
  const rows = kept ?? Uint8Array.from(frame)
  if (known !== rows) names.rows(statement.key, rows)
  if (client && before !== rows) told.set(statement, rows)
}

/** As rememberRows(), of a reply as the client gets it, or the first part of one. False: nothing was said of columns yet. */
export function rememberReply(statement: ClientStatement, names: PreparedNames, reply: Uint8Array): boolean {
  const rows = told.get(statement)
  // What a connection has prepared gives these columns or an error.
  if (rows !== undefined && names.rowsOf(statement.key) === rows) return true
  for (let at = 0; at < reply.length; at += frameLength(reply, at)) {
    const type = reply[at]
    if (type === Backend.ParseComplete || type === Backend.BindComplete) continue
    const described = type === Backend.RowDescription || type === Backend.NoData
    if (described) rememberRows(statement, names, reply.subarray(at, at + frameLength(reply, at)), true)
    return true
  }
  return false
}

/** The first Bind of each statement that is run without being described, and whose columns here are not known to be those that the client knows. */
export function unsureOf(messages: readonly Message[], names: PreparedNames): readonly Extract<Message, { kind: 'bind' }>[] {
  let unsure: readonly Extract<Message, { kind: 'bind' }>[] = none
  for (const message of messages) {
    if (message.kind !== 'bind' || message.statement === null || message.statement.name === '' || message.naming !== null) continue
    const { statement } = message
    // In this order: a pipeline may have many of the same.
    if (hasRowsAsTold(statement, names) || isAmong(unsure, statement) || isDescribed(statement, messages)) continue
    unsure = [...unsure, message]
  }
  return unsure
}

function isAmong(binds: readonly Message[], statement: ClientStatement): boolean {
  for (const bind of binds) if (bind.statement === statement) return true
  return false
}

function isDescribed(statement: ClientStatement, messages: readonly Message[]): boolean {
  for (const message of messages) if (message.kind === 'describe' && message.statement === statement) return true
  return false
}

const none: readonly never[] = []

/** What it gives on this connection is as the client was told. Without rows there is nothing that could be another. */
export function hasRowsAsTold(statement: ClientStatement, names: PreparedNames): boolean {
  const rows = told.get(statement)
  if (rows === undefined || rows[0] === Backend.NoData) return true
  const here = names.rowsOf(statement.key, statement.since)
  return here === rows || (here !== null && names.get(statement.key) !== undefined && sameColumns(here, rows))
}

/** Whether the columns that the connection's statement has are those that the client was told. */
export function fitsTold(statement: ClientStatement, frame: Uint8Array): boolean {
  const rows = told.get(statement)
  return rows === undefined || sameColumns(rows, frame)
}
