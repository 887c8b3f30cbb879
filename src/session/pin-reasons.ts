// session/pin-reasons.ts — why a session keeps its server connection beyond the transaction, in the words that SHOW CLIENTS,
// EXPLAIN and docs/sessions.md use.

/** What the server can be asked for: the pin ends when it says that nothing of the kind is left. */
export const pinReasons = {
  temporary: 'temporary table',
  lock: 'advisory lock',
  cursor: 'cursor',
  settings: 'set_config',
} as const

/** Not what a statement did, but `pool_mode: session`. */
export const sessionMode = 'pool_mode: session'

/** What DISCARD ALL does not undo: a connection that was ever pinned for it is closed, and never lent again. */
export const lastingReasons: ReadonlySet<string> = new Set(['load', 'backup', 'replication slot', 'random seed'])
