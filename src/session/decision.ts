// session/decision.ts — two-phase commit as values: the names under which transactions are prepared, and the statements that
// decide them. The decision is a row in ONE participant's own database (the decider's), its primary key the transaction's name:
//
//   coordinator   PREPARE everywhere ── INSERT commit  ──▶ won: COMMIT PREPARED everywhere    lost: ROLLBACK PREPARED
//   recovery      finds it prepared ─── INSERT aborted ──▶ won: ROLLBACK PREPARED everywhere  lost: as the row says
//
// Whoever inserts first has decided, and nobody can decide twice. A name says where its decision is, so that whoever finds a
// prepared transaction needs nothing else to end it.
import { quoteLiteral } from './quote.js'

/** The name of one participant's part. */
export interface PartName {
  /** As the configuration calls it. */
  readonly database: string
  /** Cluster whose database holds the decision. */
  readonly decider: string
  readonly unique: string
  /** Cluster of this part. */
  readonly cluster: string
}

const mark = 'pointsman'
/** PostgreSQL takes names of up to 199 bytes. */
const maxName = 199

/** Everything a name may hold, its separator apart. */
function field(text: string): string {
  return encodeURIComponent(text)
}

/** What all parts of one transaction have in common: the key of its decision. */
export function decisionKey({ database, decider, unique }: Omit<PartName, 'cluster'>): string {
  return [mark, database, decider, unique].map(field).join(':')
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
  const [head, database, decider, unique, cluster] = parts
  if (parts.length !== 5 || head !== mark || database === undefined || decider === undefined || !unique || cluster === undefined)
    return null
  try {
    return { database: decodeURIComponent(database), decider: decodeURIComponent(decider), unique, cluster: decodeURIComponent(cluster) }
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

/** A decision is on disk, and with a synchronous standby, before anybody acts on it. All of one text is one transaction. */
const durably = 'SET LOCAL transaction_read_only = off; SET LOCAL synchronous_commit = on'

function textArray(texts: readonly string[]): string {
  return `ARRAY[${texts.map(quoteLiteral).join(', ')}]::pg_catalog.text[]`
}

/**
 * One row: it is decided. None: the decider's own part is not prepared any more. 23505: recovery was first. The part is asked
 * for so that a coordinator that wakes up after its `aborted` was forgotten finds that there is nothing left to commit.
 */
export function commitDecision(key: string, deciderPart: string, participants: readonly string[]): string {
  return `${durably}; INSERT INTO pointsman.decisions (gid, outcome, participants)
 SELECT ${quoteLiteral(key)}, 'commit', ${textArray(participants)}
 WHERE EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts WHERE gid = ${quoteLiteral(deciderPart)} AND database = pg_catalog.current_database())
 RETURNING outcome`
}

/** One row: it is aborted. None: it was decided before, see decisionOf(). Waits for an insert that is under way. */
export function abortDecision(key: string, participants: readonly string[]): string {
  return `${durably}; INSERT INTO pointsman.decisions (gid, outcome, participants)
 VALUES (${quoteLiteral(key)}, 'aborted', ${textArray(participants)}) ON CONFLICT (gid) DO NOTHING RETURNING outcome`
}

export function decisionOf(key: string): string {
  return `SELECT outcome FROM pointsman.decisions WHERE gid = ${quoteLiteral(key)}`
}

export function prepareSql(part: string): string {
  return `PREPARE TRANSACTION ${quoteLiteral(part)}`
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
