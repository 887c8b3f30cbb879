// doors/proxy/cursor-commands.ts — what a client does with cursors over several clusters, in both protocols: open one, fetch from it or
// pass over rows, close it. All is told to the client but ReadyForQuery.
import { PointsmanError } from '../../errors/error.js'
import { emptyMessages, encodeCommandComplete, encodeParameterDescription } from '../../protocol/backend-messages.js'
import { decodeBind, decodeBindHead, decodeExecute } from '../../protocol/extended.js'
import type { ScatterPlan } from '../../routing/plan.js'
import { readyByte } from '../../session/transaction.js'
import type { Conversation } from './conversation.js'
import { MergedCursor } from './merged-cursor.js'
import { MergedCursors, type CursorCommand, type OpenCursor } from './merged-cursors.js'
import type { Message } from './messages.js'
import type { Request } from './request.js'
import type { ScatterAsk, ScatterPortal } from './scatter.js'

/** What the unnamed portal is called on the servers, where statements of ours would destroy it. */
const unnamed = 'pointsman portal'

/** Opens a cursor or a portal of the client's name. Rejects with what the client is to be told. */
export async function openCursor(
  conversation: Conversation,
  request: Request,
  plan: ScatterPlan,
  ask: Pick<ScatterAsk, 'types' | 'bind'>,
  { name, closes }: ScatterPortal,
): Promise<MergedCursor> {
  if (name !== '') {
    conversation.cursors?.requireFree(name)
    // Cursors of one cluster and portals of the protocol share their names with it, as do those that functions open.
    await conversation.joint.reserve(
      name,
      plan.parts.map(({ cluster }) => cluster),
    )
  }
  const portal = name === '' ? { name: unnamed, closes: true } : { name, closes }
  const cursor = await MergedCursor.open(conversation, request, plan, ask, portal)
  conversation.cursors ??= new MergedCursors()
  conversation.cursors.add(name, cursor)
  return cursor
}

/** A simple query's command. */
export async function runCommand(conversation: Conversation, request: Request, command: CursorCommand): Promise<void> {
  requireOpen(conversation)
  if (command.kind === 'fetch' && command.shown) for (const frame of command.cursor.described('portal')) conversation.output.write(frame)
  await carryOut(conversation, request, command)
}

async function carryOut(conversation: Conversation, request: Request, command: CursorCommand): Promise<void> {
  const { output } = conversation
  if (command.kind === 'close') {
    await closeCursors(conversation, request, command.name)
    output.write(encodeCommandComplete('CLOSE CURSOR'))
    return
  }
  const given = await command.cursor.fetch(request, command.count, command.shown)
  output.write(encodeCommandComplete(`${command.shown ? 'FETCH' : 'MOVE'} ${String(given)}`))
}

/** null: all of them. */
export async function closeCursors(conversation: Conversation, request: Request, only: string | null): Promise<void> {
  const { cursors } = conversation
  for (const name of only === null ? (cursors?.names() ?? []) : [only]) {
    const cursor = cursors?.get(name)
    cursors?.delete(name)
    await cursor?.close(request)
    if (cursor !== undefined && name !== '') await conversation.joint.free(name, cursor.clusters)
  }
}

/** Execute of a portal; 0 or less: all rows. */
export async function executePortal(conversation: Conversation, request: Request, cursor: OpenCursor, maxRows: number): Promise<void> {
  const given = await cursor.fetch(request, maxRows > 0 ? maxRows : Infinity, true)
  conversation.output.write(
    given === maxRows && maxRows > 0 ? emptyMessages.portalSuspended : encodeCommandComplete(`SELECT ${String(given)}`),
  )
}

function requireOpen({ session }: Conversation): void {
  if (readyByte(session.transaction) === 'E') throw new PointsmanError('in_failed_transaction')
}

// ---- messages of the extended protocol

function commandOf(cursors: MergedCursors, { statement }: Message): CursorCommand | null {
  return statement === null ? null : cursors.command(statement.understood.text, statement.understood.shape.statements)
}

/** The portal that a message names is one of these. */
function portalOf(cursors: MergedCursors, message: Message): OpenCursor | null {
  const names = message.kind === 'execute' || ((message.kind === 'describe' || message.kind === 'close') && message.of === 'portal')
  return names ? (cursors.get(message.name) ?? null) : null
}

/** The first messages that are about one of the open cursors, and where others follow; null: none are. What binds the unnamed portal anew has done with the one before. */
export function ofCursors(
  cursors: MergedCursors,
  messages: readonly Message[],
  decoder: 'utf8' | 'latin1',
): { readonly from: number; readonly to: number } | null {
  let from = -1
  for (const [at, message] of messages.entries()) {
    if (from === -1) forgetUnnamed(cursors, message, decoder)
    const ours = portalOf(cursors, message) !== null || commandOf(cursors, message) !== null
    if (ours && from === -1) from = at
    if (!ours && from !== -1) return { from, to: at }
  }
  return from === -1 ? null : { from, to: messages.length }
}

function forgetUnnamed(cursors: MergedCursors, message: Message, decoder: 'utf8' | 'latin1'): void {
  if (message.kind === 'bind' && decodeBindHead(message.frame, decoder)?.portal === '') cursors.delete('')
}

/** Whether the message runs CLOSE ALL. */
export function closesAll({ kind, statement }: Message): boolean {
  const [only] = statement?.understood.shape.statements ?? []
  return kind === 'execute' && only?.detail.kind === 'close' && only.detail.name === null
}

/** Answers one message of those that ofCursors() has found. Rejects with what the client is to be told. */
export async function answerMessage(conversation: Conversation, request: Request, message: Message): Promise<void> {
  const { output, session } = conversation
  const cursors = conversation.cursors as MergedCursors
  if (message.kind === 'close') {
    if (readyByte(session.transaction) === 'E') cursors.delete(message.name)
    else await closeCursors(conversation, request, message.name)
    output.write(emptyMessages.closeComplete)
    return
  }
  requireOpen(conversation)
  const portal = portalOf(cursors, message)
  const command = portal === null ? commandOf(cursors, message) : null
  if (message.kind === 'parse') output.write(emptyMessages.parseComplete)
  else if (message.kind === 'bind') {
    forgetUnnamed(cursors, message, session.decoder)
    requireText(command, decodeBind(message.frame, session.decoder).results)
    output.write(emptyMessages.bindComplete)
  } else if (message.kind === 'describe') {
    if (portal === null && message.of === 'statement') output.write(encodeParameterDescription([]))
    const cursor = portal ?? (command?.kind === 'fetch' && command.shown ? command.cursor : null)
    for (const frame of cursor?.described('portal') ?? [emptyMessages.noData]) output.write(frame)
  } else {
    const { maxRows } = decodeExecute(message.frame, session.decoder)
    if (portal !== null) await executePortal(conversation, request, portal, maxRows)
    else if (command !== null && maxRows === 0) await carryOut(conversation, request, command)
    else throw notAgain('FETCH with a limit of rows for each Execute')
  }
}

/** The form of its rows was settled when it was declared. */
function requireText(command: CursorCommand | null, results: readonly number[]): void {
  if (command?.kind === 'fetch' && results.includes(1)) throw notAgain('rows of a cursor in binary format')
}

function notAgain(what: string): PointsmanError {
  return new PointsmanError('feature_not_supported', {
    values: { what: `${what} is not supported over several clusters` },
    hint: 'Fetch them as text, or bind a portal of your own and Execute it with a limit of rows.',
  })
}
