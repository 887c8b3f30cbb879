// routing/rules.ts — the closed vocabulary of `why`: every rule that can decide a route, with one line of explanation.
// docs/routing.md lists the same table and a test holds the two equal; the metric label `why` takes these names only.
import type { Why } from '../observe/why.js'

export const rules = {
  // Where it goes.
  default: 'The tables live on the default cluster.',
  partition: 'The tables belong to a vertical partition.',
  'shard-key': 'The shard key in the statement names the shard.',
  'shard-hint': 'The statement lacks a shard key; `pointsman.shard_key` (hint or setting) supplies it.',
  'shard-any': 'The key is not known yet (Parse without Bind) or matches nothing, so any shard gives the right answer.',
  scatter: 'No key puts the read on one shard: the clusters of the sharded set are all read, and their rows are merged.',
  coordinator: 'The read cannot be merged from several clusters: the coordinator, which sees all rows, answers.',
  reference: 'Only reference tables are read: every cluster has the same rows.',
  'system-catalog': 'Only system catalogs are read: those of the default cluster, unless `cluster` says otherwise.',
  'no-table': 'The statement touches no table.',
  'cluster-hint': 'The statement lacks a home; `pointsman.cluster` (hint or setting) supplies it.',
  temporary: 'A temporary table of this session is used, so it runs where that table is.',
  broadcast: 'A write that concerns several clusters, as one transaction of all of them (two-phase commit).',
  'two-phase': 'The transaction is open on several clusters; it ends with a two-phase commit.',
  'unknown-table': 'A relation is in no catalog: it is taken for one of the default cluster, and the statement for a write.',
  // Which role, and why not a replica.
  read: 'It provably changes nothing: a replica that meets the policy may answer.',
  strong: 'The policy is `strong` (or allows no staleness at all): the primary answers.',
  write: 'Its grammar changes data.',
  lock: 'It locks rows or tables, which a replica cannot.',
  ddl: 'It defines, changes or drops something.',
  utility: 'A maintenance command.',
  procedure: 'DO or CALL runs code that cannot be inspected.',
  copy: 'COPY into a table, or to or from a file of the server.',
  'volatile-function': 'A user-defined function that it calls is volatile.',
  'unknown-function': 'A function that it calls is not in the catalog.',
  'writing-builtin': 'A function of PostgreSQL that it calls changes something.',
  'function-override': 'The config says what a function does.',
  operator: 'An operator hides a volatile function, or is not in the catalog.',
  type: 'A type or cast hides a volatile function, or is not in the catalog.',
  'volatile-cast': 'An implicit cast runs a volatile function, so nothing is provably read-only.',
  view: 'What stands behind a view or a row-security policy writes, or could not be read.',
  'foreign-table': 'A foreign table leads somewhere that is not watched.',
  'server-state': 'It asks about the server itself, and people ask about the primary.',
  'session-state': 'It belongs to the session: a cursor, a prepared statement, a subscription, a lock.',
  'no-catalog': 'The catalog of the cluster has not been loaded, so nothing is provably read-only.',
  setting: 'It changes or shows a setting.',
  'transaction-control': 'It begins, ends or shapes a transaction.',
  begin: 'It opens or is the first statement of a read-write transaction, which lives on one primary.',
  transaction: 'The open transaction stays on its server.',
  serializable: 'SERIALIZABLE or an imported snapshot needs the primary.',
  pinned: 'The session is pinned to a connection of that primary.',
  'not-understood': 'The parser did not understand the text: it counts as a write.',
  'session-not-understood': 'The session lexes text in another way than the parser does: every statement counts as a write.',
  batch: 'Several statements go together to one destination.',
  // Answered by Pointsman itself.
  empty: 'There is no statement in the text.',
  'begin-deferred': 'BEGIN waits for the first statement, which shows where the transaction belongs.',
  deferred: 'It is kept with the deferred BEGIN.',
  'end-deferred': 'The transaction ends before anything was sent.',
  show: 'A setting of Pointsman is shown.',
  set: 'A setting of Pointsman is changed.',
  'explain-hint': 'The hint `explain` asks for the plan instead of the result.',
  deallocate: 'The prepared statement belongs to the protocol, not to a server session.',
  // Refused.
  hint: 'A hint or setting is unreadable or contradicts the statement.',
  unparsed: 'The text is not understood and the database says `unparsed: refuse`.',
  'two-homes': 'The tables live in different homes.',
  'partition-user': 'The partition is for other users.',
  'virtual-crossing': 'It crosses partitions or shards that are only tried yet (`mode: log`), and runs as if nothing were split.',
  'other-cluster': 'The transaction is open on another cluster.',
  'failed-transaction': 'The transaction has failed; only its end is accepted.',
  'reference-write': 'A write to a reference table concerns every cluster.',
  'many-clusters': 'The command concerns more than one cluster.',
  'unresolved-name': 'search_path is not known, so a table name cannot be resolved.',
  'shard-key-missing': 'The statement does not bind the shard key of every sharded table it touches.',
  'shard-key-unreadable': 'The shard key is NULL or cannot be read as the key type.',
  'several-shards': 'The keys live on several shards.',
  'not-merged': 'Rows of several shards are needed, and what the clusters would answer cannot be provably merged.',
  'shard-key-update': 'It would change a shard key, which would move the row.',
  'unique-id': 'It calls pointsman.unique_id(), which Pointsman itself replaces by an id.',
  'sharded-unsupported': 'This kind of statement is not supported on a sharded table.',
} as const

export type Rule = keyof typeof rules

/** One entry of a plan's `why`. `detail` holds names, never values. */
export function why(rule: Rule, detail: string): Why {
  return Object.freeze({ rule, detail })
}
