// errors/catalogue.ts — every error that Pointsman itself raises: key → SQLSTATE, text, help, and whether sending the
// statement again is safe. docs/errors.md is generated from this table and a test holds the two equal.
// Rooms add their own rows here; keep them in the order of the SQLSTATE.

/** `safe`: nothing was sent, the same statement may be sent again. `unknown`: it may have run. `never`: it will fail again. */
export type Retry = 'safe' | 'unknown' | 'never'

/** One row. */
export interface CatalogueEntry {
  readonly sqlstate: string
  readonly retry: Retry
  readonly text: string
  readonly help: string
}

export const catalogue = {
  node_unreachable: {
    sqlstate: '08001',
    retry: 'safe',
    text: 'node {node} of cluster {cluster} cannot be reached: {why}',
    help: '',
  },
  connection_lost: {
    sqlstate: '08006',
    retry: 'unknown',
    text: 'the connection to node {node} of cluster {cluster} was lost',
    help: '',
  },
  outcome_unknown: {
    sqlstate: '08007',
    retry: 'unknown',
    text: 'the outcome of the write is unknown: the connection to node {node} was lost while it ran',
    help: 'Read back before you repeat it. Pointsman never repeats a write.',
  },
  two_phase_unfinished: {
    sqlstate: '08007',
    retry: 'never',
    text: 'the transaction is committed, but cluster {clusters} has not carried it out yet',
    help: 'Do not repeat it. Recovery ends it as soon as the cluster can be reached; SHOW IN_DOUBT at the console lists what is left.',
  },
  two_phase_unknown: {
    sqlstate: '08007',
    retry: 'unknown',
    text: 'the outcome of the transaction is unknown: cluster {cluster} was lost while it was decided',
    help: 'It will be whole or absent on all of its clusters. Read back before you repeat it.',
  },
  protocol_violation: { sqlstate: '08P01', retry: 'never', text: 'protocol violation: {what}', help: '' },
  feature_not_supported: { sqlstate: '0A000', retry: 'never', text: '{what}', help: '' },
  cached_plan_changed: { sqlstate: '0A000', retry: 'never', text: 'cached plan must not change result type', help: '' },
  value_out_of_range: { sqlstate: '22003', retry: 'never', text: '{what}', help: '' },
  datetime_out_of_range: { sqlstate: '22008', retry: 'never', text: '{what}', help: '' },
  negative_limit: { sqlstate: '2201W', retry: 'never', text: 'LIMIT must not be negative', help: '' },
  negative_offset: { sqlstate: '2201X', retry: 'never', text: 'OFFSET must not be negative', help: '' },
  invalid_parameter_value: { sqlstate: '22023', retry: 'never', text: '{what}', help: '' },
  hint_contradiction: { sqlstate: '22023', retry: 'never', text: '{what}', help: '' },
  copy_key_unreadable: { sqlstate: '22P02', retry: 'never', text: '{what}', help: '' },
  copy_malformed: { sqlstate: '22P04', retry: 'never', text: '{what}', help: '' },
  copy_key_null: { sqlstate: '23502', retry: 'never', text: 'the shard key {column} of {table} is NULL', help: '' },
  read_only_no_primary: {
    sqlstate: '25006',
    retry: 'safe',
    text: 'read-only: cluster {cluster} has no primary',
    help: 'Reads go on under their own policy; send the write again when the cluster has a primary.',
  },
  read_only_mode: {
    sqlstate: '25006',
    retry: 'safe',
    text: 'read-only: writes to cluster {cluster} are switched off: {why}',
    help: 'Reads go on; send the write again when the cluster takes writes.',
  },
  no_active_transaction: { sqlstate: '25P01', retry: 'never', text: '{what}', help: '' },
  in_failed_transaction: {
    sqlstate: '25P02',
    retry: 'never',
    text: 'current transaction is aborted, commands ignored until end of transaction block',
    help: '',
  },
  transaction_too_old: {
    sqlstate: '25P04',
    retry: 'safe',
    text: 'the read-only transaction on replica {node} is {age} old, max_tx_age is {limit}',
    help: 'What it shows may be too old by now: end it, and begin a new one.',
  },
  undefined_unnamed_statement: { sqlstate: '26000', retry: 'never', text: 'unnamed prepared statement does not exist', help: '' },
  undefined_prepared_statement: { sqlstate: '26000', retry: 'never', text: 'prepared statement "{name}" does not exist', help: '' },
  certificate_required: {
    sqlstate: '28000',
    retry: 'never',
    text: 'connection requires a valid client certificate',
    help: '',
  },
  certificate_failed: { sqlstate: '28000', retry: 'never', text: 'certificate authentication failed for user "{user}"', help: '' },
  no_rule: {
    sqlstate: '28000',
    retry: 'never',
    text: 'no pg_hba.conf entry for {who}',
    help: 'Here auth.rules of the configuration are what pg_hba.conf is to a server: none of them is for this client.',
  },
  rule_rejects: {
    sqlstate: '28000',
    retry: 'never',
    text: 'pg_hba.conf rejects connection for {who}',
    help: 'A rule of auth.rules says so.',
  },
  tls_required: {
    sqlstate: '28000',
    retry: 'never',
    text: 'connections to this server must use TLS',
    help: 'Set sslmode=require (or stricter) in the client.',
  },
  authentication_failed: { sqlstate: '28P01', retry: 'never', text: 'password authentication failed for user "{user}"', help: '' },
  verifier_differs: {
    sqlstate: '28P01',
    retry: 'never',
    text: 'the server has another SCRAM verifier for user "{user}" than the one the client proved its password with',
    help: 'Salt and iterations must be the same: copy rolpassword of pg_authid, or give the cluster a user and a password of its own.',
  },
  undefined_portal: { sqlstate: '34000', retry: 'never', text: 'portal "{name}" does not exist', help: '' },
  undefined_savepoint: { sqlstate: '3B001', retry: 'never', text: 'savepoint "{name}" does not exist', help: '' },
  unknown_database: { sqlstate: '3D000', retry: 'never', text: 'database "{database}" does not exist', help: '' },
  two_phase_aborted: {
    sqlstate: '40000',
    retry: 'safe',
    text: 'the transaction was rolled back on all of its clusters: {why}',
    help: 'Nothing of it stands: begin it again.',
  },
  insufficient_privilege: { sqlstate: '42501', retry: 'never', text: '{what}', help: '' },
  startup_option: { sqlstate: '42601', retry: 'never', text: 'invalid command-line argument for server process: {argument}', help: '' },
  console_syntax: { sqlstate: '42601', retry: 'never', text: '{what}', help: 'SHOW HELP lists the commands of the console.' },
  invalid_setting_name: { sqlstate: '42602', retry: 'never', text: '{what}', help: '' },
  undefined_setting: { sqlstate: '42704', retry: 'never', text: '{what}', help: '' },
  duplicate_cursor: { sqlstate: '42P03', retry: 'never', text: 'cursor "{name}" already exists', help: '' },
  duplicate_prepared_statement: { sqlstate: '42P05', retry: 'never', text: 'prepared statement "{name}" already exists', help: '' },
  too_many_connections: { sqlstate: '53300', retry: 'safe', text: '{what}', help: '' },
  too_many_statements: {
    sqlstate: '54000',
    retry: 'never',
    text: 'this client has prepared {limit} statements, which is all that it may have at once',
    help: 'Close (DEALLOCATE) those that are not needed any more. Texts with values in them want parameters instead.',
  },
  unique_id_exhausted: {
    sqlstate: '54000',
    retry: 'safe',
    text: 'pointsman.unique_id() is more than one second ahead of the clock',
    help: 'Too many ids were asked for at once, or the clock was set back: ask again in a moment.',
  },
  console_too_long: { sqlstate: '54000', retry: 'never', text: '{what}', help: '' },
  merge_memory: {
    sqlstate: '54000',
    retry: 'never',
    text: 'merging the rows of several clusters needs more than {limit} bytes of memory for {what} (limits.merge_memory)',
    help: 'Ask for fewer groups or values, sort by what the rows are grouped by, or raise limits.merge_memory.',
  },
  slow_listener: {
    sqlstate: '54000',
    retry: 'safe',
    text: 'this client does not take its notifications: {bytes} bytes wait for it (limits.listener_queue)',
    help: 'Connect again, LISTEN, and read what may have been missed. Do not keep transactions open while listening.',
  },
  database_disabled: {
    sqlstate: '55000',
    retry: 'safe',
    text: 'database "{database}" is not accepting connections now',
    help: 'An operator has disabled it for new clients.',
  },
  cursor_forward_only: {
    sqlstate: '55000',
    retry: 'never',
    text: 'cursor can only scan forward',
    help: 'A cursor over several shards merges its rows as they come: it cannot be declared with SCROLL.',
  },
  cursor_failed: { sqlstate: '55000', retry: 'never', text: 'portal "{name}" cannot be run', help: '' },
  console_state: { sqlstate: '55000', retry: 'never', text: '{what}', help: '' },
  unique_id_unready: {
    sqlstate: '55000',
    retry: 'never',
    text: 'pointsman.unique_id() gives nothing: {why}',
    help: 'Set identity.node of the configuration to a number that no other host has.',
  },
  two_phase_unprepared: {
    sqlstate: '55000',
    retry: 'never',
    text: 'the table pointsman.decisions is missing on cluster {cluster} and could not be made',
    help: '`pointsman check --live` prints what makes it.',
  },
  copies_differ: {
    sqlstate: '55000',
    retry: 'never',
    text: 'a write to {of} did not do the same on all of its clusters: {what}',
    help: 'Nothing of it stands. Make the copies equal first: /* pointsman: cluster=… */ writes one of them.',
  },
  sequence_undefined: {
    sqlstate: '55000',
    retry: 'never',
    text: 'currval or lastval is not yet defined in this session',
    help: '',
  },
  sequence_elsewhere: {
    sqlstate: '55000',
    retry: 'never',
    text: 'currval or lastval is not known any more: others have used the server connection on which this session has written',
    help: 'Use INSERT … RETURNING, or ask in the transaction that writes.',
  },
  read_unmet: {
    sqlstate: '55P03',
    retry: 'safe',
    text: 'no server of cluster {cluster} is proved fresh enough for this read: {why}',
    help: 'Allow `primary` or `stale` in on_unmet, or a larger max_staleness.',
  },
  replicas_behind: {
    sqlstate: '55P03',
    retry: 'safe',
    text: 'the replicas of cluster {cluster} are not proved to be within {max} of it: {why}',
    help: 'Wait longer before the next batch, or allow a larger lag.',
  },
  canceled: { sqlstate: '57014', retry: 'safe', text: 'canceling statement due to user request', help: '' },
  replica_lost: {
    sqlstate: '57P01',
    retry: 'safe',
    text: 'replica {node} of cluster {cluster} went away while this client was using it',
    help: 'Connect again: another server will answer.',
  },
  client_lifetime: {
    sqlstate: '57P01',
    retry: 'safe',
    text: 'this connection has reached listen.client_lifetime',
    help: 'Connect again: nothing was running, and nothing was lost.',
  },
  client_killed: {
    sqlstate: '57P01',
    retry: 'unknown',
    text: 'terminating connection due to administrator command',
    help: '',
  },
  restarted: {
    sqlstate: '57P01',
    retry: 'safe',
    text: 'Pointsman was restarted',
    help: 'Connect again: the process that serves new clients is ready. Nothing was running, and nothing was lost.',
  },
  shutting_down: { sqlstate: '57P01', retry: 'safe', text: 'Pointsman is shutting down', help: '' },
  cluster_unreachable: {
    sqlstate: '57P03',
    retry: 'safe',
    text: 'no server of cluster {cluster} can be reached: {why}',
    help: '',
  },
  users_unknown: {
    sqlstate: '57P03',
    retry: 'safe',
    text: 'the secrets of users cannot be looked up at the moment',
    help: 'The log of Pointsman says why.',
  },
  routing_changed: {
    sqlstate: '57P03',
    retry: 'safe',
    text: 'the configuration was changed while this statement waited, and its tables may be elsewhere now',
    help: 'Nothing was sent: send it again.',
  },
  bus_unavailable: {
    sqlstate: '57P03',
    retry: 'safe',
    text: 'LISTEN: no connection that listens on cluster {cluster} could be had: {why}',
    help: 'Nothing is listened to. Send LISTEN again.',
  },
  no_primary_for_read: {
    sqlstate: '57P03',
    retry: 'safe',
    text: 'cluster {cluster} has no primary, and nothing else may answer this statement',
    help: 'Send it again when the cluster has a primary, or let replicas answer: a weaker consistency, `stale` in on_unmet, or `cut_off: serve`.',
  },
  config_invalid: { sqlstate: 'F0000', retry: 'never', text: 'the configuration is not valid: {what}', help: '' },
  merge_impossible: {
    sqlstate: 'XX000',
    retry: 'never',
    text: 'the rows of several clusters cannot be merged: {what}',
    help: 'Please report it, with the statement.',
  },
} as const

export type ErrorKey = keyof typeof catalogue
