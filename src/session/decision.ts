// session/decision.ts — two-phase commit as values: the names under which transactions are prepared, and the statements that
// decide them. The decision is a row in ONE participant's own database (the decider's), its primary key the transaction's name:
//
//   coordinator   PREPARE everywhere ── INSERT commit  ──▶ won: COMMIT PREPARED everywhere    lost: ROLLBACK PREPARED
//   recovery      finds it prepared ─── INSERT aborted ──▶ won: ROLLBACK PREPARED everywhere  lost: as the row says
//
// Whoever inserts first has decided, and nobody can decide twice. A name says where its decision is, so that whoever finds a
// prepared transaction needs nothing else to end it; and which table that was, since an empty one in its place, of another server
// or made anew, does not say that nothing was decided.
import { quoteLiteral } from './quote.js'

/** The name of one participant's part. */
export interface PartName {
  /** As the configuration calls it. */
  readonly database: string
  /** Cluster whose database holds the decision. */
  readonly decider: string
  /** The table of decisions there, as placeSql tells it. */
  readonly place: string
  readonly unique: string
  /** Cluster of this part. */
  readonly cluster: string
}

/** What all parts of one transaction have in common. */
export type DecisionName = Omit<PartName, 'cluster'>

const mark = 'pointsman'
/** PostgreSQL takes names of up to 199 bytes. */
const maxName = 199

/** Everything a name may hold, its separator apart. */
function field(text: string): string {
  return encodeURIComponent(text)
}

/** The key of its decision. */
export function decisionKey({ database, decider, place, unique }: DecisionName): string {
  return [mark, database, decider, place, unique].map(field).join(':')
}

/** As in PREPARE TRANSACTION. Throws RangeError where it would be too long. */
export function partName(name: PartName): string {
  const text = `${decisionKey(name)}:${field(name.cluster)}`
  if (text.length > maxName) throw new RangeError(`the names of database and clusters are too long for a prepared transaction: ${text}`)
  return text
}

/** null: not one of ours. */
export function readPartName(text: string): PartName | null {
  const parts = text.split(':')
  const [head, database, decider, place, unique, cluster] = parts
  if (parts.length !== 6 || head !== mark || database === undefined || decider === undefined || cluster === undefined) return null
  if (!place || !unique) return null
  const decoded = decodeURIComponent
  try {
    return { database: decoded(database), decider: decoded(decider), place: decoded(place), unique, cluster: decoded(cluster) }
  } catch {
    return null
  }
}

/** What makes the table; `check --live` prints it. */
export const decisionsDdl: readonly string[] = [
  'CREATE SCHEMA IF NOT EXISTS pointsman',
  `CREATE TABLE IF NOT EXISTS pointsman.decisions (
  gid text PRIMARY KEY,
  outcome text NOT NULL CHECK (outcome IN ('commit', 'aborted')),
  participants text[] NOT NULL,
  decided_at timestamptz NOT NULL DEFAULT pg_catalog.now()
)`,
]

const place = `(SELECT pg_catalog.concat(system_identifier, '.', d.oid, '.') FROM pg_catalog.pg_control_system(), pg_catalog.pg_database d
 WHERE d.datname = pg_catalog.current_database()) || pg_catalog.to_regclass('pointsman.decisions')::pg_catalog.oid::pg_catalog.text`

/** One row: what tells this table of decisions from any other, wherever and whenever that is made; NULL: there is none. */
export const placeSql: string = `SELECT ${place}`

/** On disk, and with a synchronous standby, before anybody goes on; whatever the session has said. */
const durably = 'SET LOCAL synchronous_commit = on'
const writing = `SET LOCAL transaction_read_only = off; ${durably}`

function textArray(texts: readonly string[]): string {
  return `ARRAY[${texts.map(quoteLiteral).join(', ')}]::pg_catalog.text[]`
}

/**
 * One row: it is decided. None: the decider's own part is not prepared any more, or the table is another one. 23505: recovery
 * was first. The part is asked for so that a coordinator that wakes up after its `aborted` was forgotten finds that there is
 * nothing left to commit.
 */
export function commitDecision(name: DecisionName, participants: readonly string[]): string {
  const part = quoteLiteral(partName({ ...name, cluster: name.decider }))
  return `${insertion(name, 'commit', participants)}
 AND EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts WHERE gid = ${part} AND database = pg_catalog.current_database())
 RETURNING outcome`
}

/** One row: it is aborted. None: it was decided before, see decisionOf(), or the table is another one. Waits for an insert that is under way. */
export function abortDecision(name: DecisionName, participants: readonly string[]): string {
  return `${insertion(name, 'aborted', participants)} ON CONFLICT (gid) DO NOTHING RETURNING outcome`
}

function insertion(name: DecisionName, outcome: 'commit' | 'aborted', participants: readonly string[]): string {
  return `${writing}; INSERT INTO pointsman.decisions (gid, outcome, participants)
 SELECT ${quoteLiteral(decisionKey(name))}, '${outcome}', ${textArray(participants)} WHERE ${place} = ${quoteLiteral(name.place)}`
}

export function decisionOf(key: string): string {
  return `SELECT outcome FROM pointsman.decisions WHERE gid = ${quoteLiteral(key)}`
}

export function prepareSql(part: string): string {
  return `${durably}; PREPARE TRANSACTION ${quoteLiteral(part)}`
}

export function endSql(part: string, outcome: 'commit' | 'aborted'): string {
  return `${outcome === 'commit' ? 'COMMIT' : 'ROLLBACK'} PREPARED ${quoteLiteral(part)}`
}

/** Prepared in this database under a name of ours: name, age in seconds, owner, whether the present user may end it. */
export const preparedSql: string = `SELECT gid, extract(epoch FROM pg_catalog.clock_timestamp() - prepared)::pg_catalog.float8, owner,
 owner = current_user OR (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() AND gid LIKE '${mark}:%' ORDER BY prepared`

/** Decisions of a database that are older than `seconds`, oldest first: name and the clusters that took part. */
export function oldDecisions(database: string, seconds: number): string {
  const prefix = `${field(mark)}:${field(database)}:`
  return `SELECT gid, pg_catalog.array_to_json(participants)::pg_catalog.text FROM pointsman.decisions
 WHERE pg_catalog.starts_with(gid, ${quoteLiteral(prefix)}) AND decided_at < pg_catalog.now() - pg_catalog.make_interval(secs => ${String(seconds)})
 ORDER BY decided_at LIMIT 1000`
}

export function forgetDecisions(keys: readonly string[]): string {
  return `DELETE FROM pointsman.decisions WHERE gid = ANY (${textArray(keys)})`
}
