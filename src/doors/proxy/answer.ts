// doors/proxy/answer.ts — statements that no server sees: a deferred BEGIN and its end, the router's own settings, the
// last route. Each gives what a server would have given, so that both protocols can tell it in their own frames.
import { PointsmanError } from '../../errors/error.js'
import { encodeCommandComplete, emptyMessages } from '../../protocol/backend-messages.js'
import { encodeNoticeResponse, type ErrorFields } from '../../protocol/error-fields.js'
import { encodeDataRow, encodeRowDescription } from '../../protocol/rows.js'
import type { AnswerPlan } from '../../routing/plan.js'
import { routeSettingProblem, tokenSetting } from '../../session/route-settings.js'
import { settleStatement } from '../../session/session.js'
import { effective, resolveChange, settle, type Change, type ParameterText } from '../../session/settings.js'
import { defer, deferBegin, idle, recover } from '../../session/transaction.js'
import type { SettingChange, Statement, TransactionFacts, Understood } from '../../sql/statement.js'
import type { Conversation } from './conversation.js'
import { sessionToken, takeTokens, tokenSampled } from './tokens.js'

export interface Answer {
  readonly notice: ErrorFields | null
  /** null: it returns no rows. */
  readonly columns: readonly string[] | null
  readonly rows: readonly (readonly (string | null)[])[]
  /** null: an empty query, which has no tag. */
  readonly tag: string | null
}

const nothing: Answer = { notice: null, columns: null, rows: [], tag: null }

/** Frames of RowDescription, or NoData where `always` (a Describe must be answered). */
export function describeFrames(columns: readonly string[] | null): Uint8Array {
  return columns === null ? emptyMessages.noData : encodeRowDescription(columns.map((name) => ({ name })))
}

/** Frames of what Execute gives. */
export function executeFrames(answer: Answer): readonly Uint8Array[] {
  const frames: Uint8Array[] = answer.notice === null ? [] : [encodeNoticeResponse(answer.notice)]
  for (const row of answer.rows) frames.push(encodeDataRow(row))
  frames.push(answer.tag === null ? emptyMessages.emptyQueryResponse : encodeCommandComplete(answer.tag))
  return frames
}

/** Columns that the answer to `plan` will have, before it is run. */
export function columnsOf(plan: AnswerPlan): readonly string[] | null {
  const { answer } = plan
  switch (answer.what) {
    case 'show':
      return [answer.name]
    case 'set':
      return answer.change.viaFunction ? ['set_config'] : null
    case 'explain':
      return ['QUERY PLAN']
    default:
      return null
  }
}

/** What must be waited for before `plan` can be answered; null: nothing. Never rejects. */
export function answerable(conversation: Conversation, { answer: said }: AnswerPlan): Promise<void> | null {
  if (said.what === 'joint') return conversation.controlJoint(said)
  return said.what === 'show' && said.name === tokenSetting ? tokenSampled(conversation) : null
}

/** Does what `plan` says and gives what the client is told. Throws what a server would have raised. */
export function answer(conversation: Conversation, plan: AnswerPlan, understood: Understood, parameter: ParameterText): Answer {
  const said = plan.answer
  switch (said.what) {
    case 'begin-deferred':
      return begin(conversation, understood)
    case 'end-deferred':
      return end(conversation, said.tag)
    case 'deferred':
      return deferred(conversation, understood, said.tag === 'RESET' ? resetTag(understood) : said.tag, parameter)
    case 'show':
      return show(conversation, said.name)
    case 'set':
      takeTokens(conversation, understood, parameter)
      return set(conversation, said.change, understood, parameter)
    case 'explain':
      return { ...nothing, columns: ['QUERY PLAN'], rows: lines(conversation.core.printRoute(said.plan, null)), tag: 'EXPLAIN' }
    case 'joint':
      return { ...nothing, tag: conversation.joint.result() }
    case 'deallocate':
      return deallocate(conversation, said.name)
    case 'empty':
      return nothing
  }
}

function begin(conversation: Conversation, understood: Understood): Answer {
  const { session } = conversation
  const facts = transactionFacts(understood.shape.statements)
  const already = session.transaction.kind !== 'idle'
  if (!already && facts !== null) {
    session.transaction = deferBegin(understood.text, facts)
    session.settings = settle(session.settings, { kind: 'begin' })
  }
  const notice = already ? warning('25001', 'there is already a transaction in progress') : null
  // Two words for the same, and PostgreSQL answers each with its own. It stands alone here, so its shape begins with it.
  const tag = understood.shape.key.startsWith('start') ? 'START TRANSACTION' : 'BEGIN'
  return { ...nothing, notice, tag }
}

function end(conversation: Conversation, tag: 'COMMIT' | 'ROLLBACK'): Answer {
  const { session } = conversation
  session.settings = settle(session.settings, { kind: tag === 'ROLLBACK' ? 'rollback' : 'commit' })
  session.transaction = idle
  return { ...nothing, tag }
}

function deferred(conversation: Conversation, understood: Understood, tag: string, parameter: ParameterText): Answer {
  const { session } = conversation
  const [statement] = understood.shape.statements ?? []
  if (statement === undefined) return { ...nothing, tag }
  const facts = statement.detail.kind === 'transaction' ? statement.detail.transaction : null
  if (facts?.op === 'begin') return { ...nothing, notice: warning('25001', 'there is already a transaction in progress'), tag }
  if (facts?.op === 'rollback-to') return rollbackTo(conversation, facts.name ?? '')
  if (facts?.op === 'release') requireSavepoint(conversation, facts.name ?? '')
  session.settings = settleStatement(session.settings, statement, tag, parameter)
  session.transaction = defer(session.transaction, understood.text, facts)
  return { ...nothing, tag }
}

/** RESET, or SET … TO DEFAULT, which does the same. It stands alone, so its shape begins with the word. */
function resetTag(understood: Understood): 'RESET' | 'SET' {
  return understood.shape.key.startsWith('reset') ? 'RESET' : 'SET'
}

function requireSavepoint(conversation: Conversation, name: string): void {
  const { transaction } = conversation.session
  const known = transaction.kind === 'deferred' && transaction.waiting.some((item) => item.savepoint === name)
  if (!known) throw new PointsmanError('undefined_savepoint', { values: { name } })
}

/** What came after the savepoint was never sent, so it is forgotten; a transaction that failed goes on from there. */
function rollbackTo(conversation: Conversation, name: string): Answer {
  const { session } = conversation
  const recovered = recover(session.transaction, name)
  if (recovered === null) throw new PointsmanError('undefined_savepoint', { values: { name } })
  session.transaction = recovered
  session.settings = settle(session.settings, { kind: 'rollback-to', name })
  return { ...nothing, tag: 'ROLLBACK' }
}

/** What SHOW says of settings that nobody has set, where that is not nothing. */
const defaults: ReadonlyMap<string, string> = new Map([['pointsman.sticky_writes', 'on']])

function show(conversation: Conversation, name: string): Answer {
  return { ...nothing, columns: [name], rows: shown(conversation, name), tag: 'SHOW' }
}

function shown(conversation: Conversation, name: string): readonly (readonly (string | null)[])[] {
  if (name === 'pointsman.last_route') {
    const last = conversation.lastRoute
    return [[last === null ? 'no statement has been routed yet' : conversation.core.printTaken(last.plan, last.route)]]
  }
  if (name === tokenSetting) return [[sessionToken(conversation)]]
  return [[effective(conversation.session.settings, name) ?? defaults.get(name) ?? '']]
}

function set(conversation: Conversation, said: SettingChange, understood: Understood, parameter: ParameterText): Answer {
  const { session } = conversation
  const change = said.name === tokenSetting ? unkept(said) : resolveChange(said, parameter)
  if (change === null) throw new PointsmanError('invalid_parameter_value', { values: { what: `the value of "${said.name}" is not known` } })
  const problem = change.value === null ? null : routeSettingProblem(change.name, change.value)
  if (problem !== null) throw new PointsmanError('invalid_parameter_value', { values: { what: problem } })
  // Undo points exist only in a transaction, so outside one SET LOCAL does nothing but warn.
  const lost = change.local && session.transaction.kind === 'idle'
  if (!lost && change.name !== tokenSetting) session.settings = settle(session.settings, { kind: 'change', change })
  const notice = lost && !said.viaFunction ? warning('25P01', 'SET LOCAL can only be used in transaction blocks') : null
  if (said.viaFunction) return { notice, columns: ['set_config'], rows: [[change.value ?? '']], tag: 'SELECT 1' }
  return { ...nothing, notice, tag: change.value === null && said.value === null ? resetTag(understood) : 'SET' }
}

/** A token is not kept among the settings. */
function unkept({ name, scope, value }: SettingChange): Change {
  return { name, local: scope === 'local', value: value === null ? null : '' }
}

function deallocate(conversation: Conversation, name: string | null): Answer {
  const { prepared } = conversation.session
  if (name === null) prepared.clear()
  else if (!prepared.delete(name)) throw new PointsmanError('undefined_prepared_statement', { values: { name } })
  return { ...nothing, tag: name === null ? 'DEALLOCATE ALL' : 'DEALLOCATE' }
}

function transactionFacts(statements: readonly Statement[] | null): TransactionFacts | null {
  const [statement] = statements ?? []
  return statement?.detail.kind === 'transaction' ? statement.detail.transaction : null
}

function lines(text: string): readonly (readonly string[])[] {
  return text.split('\n').map((line) => [line])
}

function warning(code: string, message: string): ErrorFields {
  return { severity: 'WARNING', code, message }
}
