// sql/transactions.ts — BEGIN, COMMIT, savepoints, two-phase commit, SET TRANSACTION and SET SESSION CHARACTERISTICS.
import type { TransactionFacts, TransactionOp } from './statement.js'
import { type Fields, as, fields, integer, list, stringConstant, text } from './tree.js'

const ops: ReadonlyMap<unknown, TransactionOp> = new Map<unknown, TransactionOp>([
  ['TRANS_STMT_BEGIN', 'begin'],
  ['TRANS_STMT_START', 'begin'],
  ['TRANS_STMT_COMMIT', 'commit'],
  ['TRANS_STMT_ROLLBACK', 'rollback'],
  ['TRANS_STMT_SAVEPOINT', 'savepoint'],
  ['TRANS_STMT_RELEASE', 'release'],
  ['TRANS_STMT_ROLLBACK_TO', 'rollback-to'],
  ['TRANS_STMT_PREPARE', 'prepare-transaction'],
  ['TRANS_STMT_COMMIT_PREPARED', 'commit-prepared'],
  ['TRANS_STMT_ROLLBACK_PREPARED', 'rollback-prepared'],
])

/** Throws on a kind that PostgreSQL 18 does not have: then the statement is not understood. */
export function transactionFacts(statement: Fields): TransactionFacts {
  const op = ops.get(statement['kind'])
  if (op === undefined) throw new Error('unknown kind of transaction statement')
  const name = text(statement['savepoint_name']) ?? text(statement['gid'])
  return Object.freeze({ op, name, ...modes(list(statement['options'])), chain: statement['chain'] === true, snapshot: false })
}

/** SET TRANSACTION, SET TRANSACTION SNAPSHOT and SET SESSION CHARACTERISTICS; null for any other SET. */
export function setTransaction(set: Fields): TransactionFacts | null {
  if (set['kind'] !== 'VAR_SET_MULTI') return null
  const snapshot = set['name'] === 'TRANSACTION SNAPSHOT'
  const op = set['name'] === 'SESSION CHARACTERISTICS' ? 'set-characteristics' : 'set-transaction'
  return Object.freeze({ op, name: null, ...modes(list(set['args'])), chain: false, snapshot })
}

type Modes = Pick<TransactionFacts, 'readOnly' | 'isolation' | 'deferrable'>
type Isolation = NonNullable<TransactionFacts['isolation']>
const isolations: ReadonlySet<string> = new Set<Isolation>(['read uncommitted', 'read committed', 'repeatable read', 'serializable'])

/** Later ones win, as PostgreSQL has it. */
function modes(options: readonly unknown[]): Modes {
  let found: Modes = { readOnly: null, isolation: null, deferrable: null }
  for (const option of options) {
    const element = as('DefElem', option)
    switch (element?.['defname']) {
      case 'transaction_isolation':
        found = { ...found, isolation: isolation(element['arg']) }
        break
      case 'transaction_read_only':
        found = { ...found, readOnly: truth(element['arg']) }
        break
      case 'transaction_deferrable':
        found = { ...found, deferrable: truth(element['arg']) }
        break
    }
  }
  return found
}

function isolation(arg: unknown): Isolation {
  const level = stringConstant(arg)?.text ?? ''
  if (!isolations.has(level)) throw new Error('unknown isolation level')
  return level as Isolation
}

function truth(arg: unknown): boolean {
  return integer(fields(as('A_Const', arg)?.['ival'])?.['ival']) !== 0
}
