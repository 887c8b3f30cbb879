// monitor/commit-query.ts — where the settings of a server let commits be acknowledged before they are on disk: what
// `lsn_source: flush` rules out (CONSISTENCY §2.2). It sees what is stored; what a session sets by itself the doors see.
import { waitingForDisk } from '../consistency/position-query.js'

const waits = `(${waitingForDisk.map((value) => `'${value}'`).join(', ')})`

/** No row: nothing of the kind. Else one row, in words. No privilege needed. */
export const asynchronousQuery: string = `SELECT words FROM (
 SELECT 'synchronous_commit is ' || pg_catalog.current_setting('synchronous_commit') AS words
  WHERE pg_catalog.lower(pg_catalog.current_setting('synchronous_commit')) NOT IN ${waits}
 UNION ALL
 SELECT 'a role or database has synchronous_commit set to ' || pg_catalog.split_part(setting, '=', 2)
  FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) AS setting
  WHERE pg_catalog.split_part(setting, '=', 1) = 'synchronous_commit' AND pg_catalog.lower(pg_catalog.split_part(setting, '=', 2)) NOT IN ${waits}
 UNION ALL
 SELECT 'the function ' || n.nspname || '.' || p.proname || ' may change synchronous_commit'
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE p.oid >= 16384 AND (p.prosrc ILIKE '%synchronous_commit%' OR EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) AS setting
   WHERE pg_catalog.split_part(setting, '=', 1) = 'synchronous_commit' AND pg_catalog.lower(pg_catalog.split_part(setting, '=', 2)) NOT IN ${waits}))
) found LIMIT 1`
