// execute/stale-statement.ts — an error that says that what a connection had prepared is of no use any more, to whoever it was prepared
// for earlier: it may be prepared anew.

/** Where PostgreSQL finds that a plan would give other columns; its message is in the server's language. */
const raisedIn = 'RevalidateCachedQuery'

/** The statement is not there, or its plan would give other columns. */
export function isStaleStatement(code: string | null, routine: unknown): boolean {
  return code === '26000' || (code === '0A000' && routine === raisedIn)
}
