// doors/proxy/effects.ts — what a statement that has ended does to the session, and to what is known of the connection it ran
// on: settings, the mode of the transaction, temporary tables, prepared names.
import { somethingDefined } from '../../server/definitions.js'
import { settleStatement } from '../../session/session.js'
import { settle, type SettingsState } from '../../session/settings.js'
import { modeAfter, setsConstraints } from '../../session/transaction.js'
import type { Statement } from '../../sql/statement.js'
import type { ClientState } from './client-state.js'
import type { Hold } from './hold.js'
import type { Running } from './request.js'

/** A CommandComplete with `tag` came for `running`. */
export function completed(state: ClientState, hold: Hold, tag: string, { statement, parameter, hints }: Running): void {
  if (state.bus !== null) state.bus.completed(statement, tag, hints)
  if (!touchesSession(statement)) return
  const { session } = state
  hold.settings = effectOf(hold.settings, statement, tag, parameter)
  session.settings = effectOf(session.settings, statement, tag, parameter)
  const { detail } = statement
  if (hold.definedSomething && detail.kind === 'transaction' && detail.transaction.op === 'rollback-to') somethingDefined()
  if (state.mode !== null) state.mode = modeAfter(state.mode, statement)
  if (detail.kind === 'ddl' && detail.temporary) {
    session.addTemporary(statement.relations.filter(({ access }) => access === 'define').map(({ name }) => name.name))
  }
  if (detail.kind === 'select' && detail.into?.temporary === true) session.addTemporary([detail.into.name.name])
  if (detail.kind === 'discard' && detail.what === 'all') session.prepared.clear()
  if (detail.kind === 'discard' && (detail.what === 'all' || detail.what === 'sequences')) state.sequences.forget()
  if (detail.kind === 'deallocate' && detail.name === null) session.prepared.clear()
}

/** Only these kinds change what session/ keeps. */
function touchesSession(statement: Statement): boolean {
  const { detail } = statement
  switch (detail.kind) {
    case 'set':
    case 'transaction':
    case 'discard':
    case 'deallocate':
      return true
    case 'select':
      return (detail.settings !== null && detail.settings.length > 0) || detail.into?.temporary === true
    case 'ddl':
      return detail.temporary
    case 'utility':
      return setsConstraints(detail)
    default:
      return false
  }
}

/** Opens an undo point for a change outside a transaction: an error later in the same group takes it back. */
function effectOf(state: SettingsState, statement: Statement, tag: string, parameter: Running['parameter']): SettingsState {
  return settleStatement(settle(state, { kind: 'begin' }), statement, tag, parameter)
}
