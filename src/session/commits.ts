// session/commits.ts — whether a statement makes its transaction's work stand: where the connection is lost under it, nobody
// knows whether it does.
import type { Statement, Understood } from '../sql/statement.js'

export function commits({ detail }: Statement): boolean {
  return detail.kind === 'transaction' && (detail.transaction.op === 'commit' || detail.transaction.op === 'prepare-transaction')
}

/** Of a text that could not be read it may. */
export function mayCommit({ shape }: Understood): boolean {
  const { statements } = shape
  if (statements === null) return true
  for (const statement of statements) if (commits(statement)) return true
  return false
}
