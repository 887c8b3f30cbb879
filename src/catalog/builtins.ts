// catalog/builtins.ts — what PostgreSQL's own labels do not tell: which of its volatile functions are harmless on a
// replica, which "stable" ones write, and whose answers are about the server they run on. Everything not named here is
// judged by pg_proc. Taken from the catalog of PostgreSQL 18; names that older servers lack do no harm.

function words(text: string): ReadonlySet<string> {
  return new Set(text.trim().split(/\s+/))
}

/** Volatile by label, yet they change nothing: any server may run them. */
export const harmlessVolatile: ReadonlySet<string> = words(`
  array_sample array_shuffle bernoulli clock_timestamp current_query gen_random_uuid pg_collation_actual_version
  pg_database_collation_actual_version pg_database_size pg_indexes_size pg_jit_available pg_partition_ancestors
  pg_partition_tree pg_relation_size pg_sleep pg_sleep_for pg_sleep_until pg_table_size pg_tablespace_size
  pg_total_relation_size random random_normal system timeofday uuidv4 uuidv7
`)

/**
 * Harmless, but never on a connection that others share at the same moment: they take time by design, or tell settings, of which
 * such a connection has some of its own.
 */
export const notShared: ReadonlySet<string> = words('pg_sleep pg_sleep_for pg_sleep_until current_setting')

/**
 * Stable by label, but they assign a transaction id, read a table that their arguments name, or read a value as a type that
 * their arguments name: what guards the table or checks the domain is then run unseen.
 */
export const writesThoughStable: ReadonlySet<string> = words(`
  txid_current pg_current_xact_id database_to_xml database_to_xmlschema database_to_xml_and_xmlschema schema_to_xml
  schema_to_xmlschema schema_to_xml_and_xmlschema table_to_xml table_to_xmlschema table_to_xml_and_xmlschema
  pg_input_is_valid pg_input_error_info domain_in domain_recv array_in array_recv record_in record_recv range_in range_recv
  multirange_in multirange_recv
`)

/** Their answer is about the server or the connection they run on; people ask about the primary. They write nothing. */
export const serverState: ReadonlySet<string> = words(`
  currval lastval inet_client_addr inet_client_port inet_server_addr inet_server_port pg_available_wal_summaries pg_backend_pid
  pg_blocking_pids pg_conf_load_time pg_control_checkpoint pg_control_init pg_control_recovery pg_control_system pg_current_logfile
  pg_current_snapshot pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn pg_current_xact_id_if_assigned
  pg_cursor pg_get_aios pg_get_backend_memory_contexts pg_get_loaded_modules pg_get_multixact_members pg_get_replication_slots
  pg_get_sequence_data pg_get_shmem_allocations pg_get_shmem_allocations_numa pg_get_wait_events pg_get_wal_replay_pause_state
  pg_get_wal_resource_managers pg_get_wal_summarizer_state pg_hba_file_rules pg_ident_file_mappings pg_is_in_recovery
  pg_is_wal_replay_paused pg_isolation_test_session_is_blocked pg_last_committed_xact pg_last_wal_receive_lsn
  pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_listening_channels pg_lock_status pg_ls_archive_statusdir pg_ls_dir
  pg_ls_logdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_summariesdir pg_ls_tmpdir pg_ls_waldir
  pg_my_temp_schema pg_notification_queue_usage pg_postmaster_start_time pg_prepared_statement pg_prepared_xact
  pg_read_binary_file pg_read_file pg_replication_origin_progress pg_safe_snapshot_blocking_pids pg_sequence_last_value
  pg_show_all_file_settings pg_show_all_settings pg_show_replication_origin_status pg_stat_file pg_stat_have_stats
  pg_wal_summary_contents pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_xact_status txid_current_if_assigned
  txid_current_snapshot txid_status
`)

/**
 * Volatile, and they write, yet leave nothing behind in the session that another client could meet. Every other volatile
 * built-in may: those that set a setting or take a lock, and those that run SQL given as text or kept in a view.
 */
export const leavesNoState: ReadonlySet<string> = words(`
  brin_desummarize_range brin_summarize_new_values brin_summarize_range currtid2 gin_clean_pending_list lo_creat lo_create lo_export
  lo_from_bytea lo_get lo_import lo_put lo_unlink nextval pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared
  pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_cancel_backend pg_create_restore_point pg_current_xact_id pg_export_snapshot
  pg_import_system_collations pg_log_backend_memory_contexts pg_log_standby_snapshot pg_notify pg_promote pg_reload_conf
  pg_rotate_logfile pg_switch_wal pg_terminate_backend pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared
  pg_wal_replay_pause pg_wal_replay_resume setval txid_current
`)

/** Change the server they run on rather than its data, so no read-only transaction stops them: the primary is meant, never a replica. */
export const actsOnServer: ReadonlySet<string> = words(`
  pg_advisory_lock pg_advisory_lock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_cancel_backend
  pg_copy_logical_replication_slot pg_copy_physical_replication_slot pg_create_logical_replication_slot
  pg_create_physical_replication_slot pg_drop_replication_slot pg_export_snapshot pg_log_backend_memory_contexts
  pg_log_standby_snapshot pg_logical_slot_get_binary_changes pg_logical_slot_get_changes pg_promote pg_reload_conf
  pg_replication_slot_advance pg_rotate_logfile pg_stat_reset pg_stat_reset_backend_stats pg_stat_reset_replication_slot
  pg_stat_reset_shared pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters pg_stat_reset_slru
  pg_stat_reset_subscription_stats pg_sync_replication_slots pg_terminate_backend pg_try_advisory_lock
  pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared pg_wal_replay_pause pg_wal_replay_resume
`)

const serverStateRelations = words(`
  pg_aios pg_backend_memory_contexts pg_cursors pg_file_settings pg_hba_file_rules pg_ident_file_mappings pg_locks
  pg_prepared_statements pg_prepared_xacts pg_sequences pg_settings pg_shmem_allocations pg_shmem_allocations_numa pg_wait_events
`)
// pg_stats and pg_stats_ext are column statistics, replicated like any table; pg_statistic likewise.
const columnStatistics = words('pg_stats pg_stats_ext pg_stats_ext_exprs pg_statistic pg_statistic_ext pg_statistic_ext_data')

/** True if a relation of pg_catalog shows the server it is read on rather than what is replicated. */
export function showsServerState(name: string): boolean {
  if (columnStatistics.has(name)) return false
  return serverStateRelations.has(name) || /^pg_(stat|statio|replication)_/.test(name)
}

/** True if a built-in function of this name answers about its server. */
export function answersServerState(name: string): boolean {
  return serverState.has(name) || name.startsWith('pg_stat_get_')
}

/** Names of pg_operator. An operator neither here nor in the catalog is unknown. */
export const operators: ReadonlySet<string> = words(`
  !! !~ !~* !~~ !~~* # ## #- #> #>> % & && &< &<| &> * *< *<= *<> *= *> *>= + - -> ->> -|- / < <-> << <<= <<| <= <> != <@ <^
  = > >= >> >>= >^ ? ?# ?& ?- ?-| ?| ?|| @ @-@ @> @? @@ @@@ ^ ^@ | |&> |/ |>> || ||/ ~ ~* ~<=~ ~<~ ~= ~>=~ ~>~ ~~ ~~*
`)

/** Names of pg_type. A type neither here nor in the catalog is unknown. */
export const types: ReadonlySet<string> = words(`
  aclitem bit bool box bpchar bytea char cid cidr circle cstring date datemultirange daterange float4 float8 gtsvector inet int2
  int2vector int4 int4multirange int4range int8 int8multirange int8range interval json jsonb jsonpath line lseg macaddr macaddr8
  money name numeric nummultirange numrange oid oidvector path pg_lsn pg_node_tree pg_snapshot point polygon record refcursor
  regclass regcollation regconfig regdictionary regnamespace regoper regoperator regproc regprocedure regrole regtype text tid
  time timestamp timestamptz timetz tsmultirange tsquery tsrange tstzmultirange tstzrange tsvector txid_snapshot unknown uuid
  varbit varchar void xid xid8 xml cardinal_number character_data sql_identifier time_stamp yes_or_no
  anyarray anyelement anycompatible anycompatiblearray anyenum anyrange anymultirange
`)

/** The relations of information_schema. */
export const informationRelations: ReadonlySet<string> = words(`
  _pg_foreign_data_wrappers _pg_foreign_servers _pg_foreign_table_columns _pg_foreign_tables _pg_user_mappings
  administrable_role_authorizations applicable_roles attributes character_sets check_constraint_routine_usage check_constraints
  collation_character_set_applicability collations column_column_usage column_domain_usage column_options column_privileges
  column_udt_usage columns constraint_column_usage constraint_table_usage data_type_privileges domain_constraints
  domain_udt_usage domains element_types enabled_roles foreign_data_wrapper_options foreign_data_wrappers
  foreign_server_options foreign_servers foreign_table_options foreign_tables information_schema_catalog_name key_column_usage
  parameters referential_constraints role_column_grants role_routine_grants role_table_grants role_udt_grants role_usage_grants
  routine_column_usage routine_privileges routine_routine_usage routine_sequence_usage routine_table_usage routines schemata
  sequences sql_features sql_implementation_info sql_parts sql_sizing table_constraints table_privileges tables transforms
  triggered_update_columns triggers udt_privileges usage_privileges user_defined_types user_mapping_options user_mappings
  view_column_usage view_routine_usage view_table_usage views
`)

/** Schemas that come with the server. */
export function isSystemSchema(schema: string): boolean {
  return schema === 'pg_catalog' || schema === 'information_schema' || schema === 'pg_toast'
}
