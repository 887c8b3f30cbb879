// consistency/position-provider.ts — how the position of a server is asked for, and how its answer is read, behind one
// interface (CONSISTENCY §2.10). `wal`: log positions, as streaming replicas have them. `heartbeat`: for servers whose log
// cannot be compared with the primary's. A position is a number that only grows and is a lower bound of what its server
// shows; series, floors and admission know nothing else of it.
//
//   CREATE TABLE pointsman_heartbeat (one boolean PRIMARY KEY DEFAULT true CHECK (one), beat bigint NOT NULL DEFAULT 0, timeline integer NOT NULL DEFAULT 0);
//   INSERT INTO pointsman_heartbeat DEFAULT VALUES;
//
// A sample of a heartbeat WRITES: the beat that commits after t_k stands behind everything acknowledged before t_k, and a
// replica that shows it shows all of that. Reading the row on the primary would prove nothing of what was committed since
// the last beat. The row carries the timeline of the primary that wrote it, so that beats of two timelines never compare.
import { ownTimeline, positionQuery, readPosition, readTimeline, startedAt, type ServerPosition } from './position-query.js'

type Rows = readonly (readonly (string | null)[])[]

export interface PositionProvider {
  /** Positions of providers with equal keys compare, others never. '' for WAL. */
  readonly key: string
  /** To be run once on each connection of the monitor, or null. */
  readonly prepare: string | null
  /** Changes nothing, whatever the server is. On a primary its position is no sample where there is a query for that. */
  readonly look: string
  /** Asked of a primary for a sample; null: `look` is one. */
  readonly sample: string | null
  /** Asks for the role alone, where the server has refused `look` or `sample`; null: they fail only if everything does. */
  readonly plain: string | null
  /** Reads the answer to any of them; `blind`: why the server refused the question that came before `plain`. Throws RangeError. */
  read(rows: Rows, blind: string | null): ServerPosition
}

/** Where positions of a cluster come from; ClusterConfig is one. */
export interface PositionSource {
  readonly position: { readonly kind: 'wal' } | { readonly kind: 'heartbeat'; readonly schema: string; readonly table: string }
  readonly dbname: string | null
}

const wal: PositionProvider = Object.freeze({
  key: '',
  prepare: null,
  look: positionQuery,
  sample: null,
  plain: null,
  read: (rows: Rows) => readPosition(rows[0]),
})

/** `node.subscriber`: its own role, timeline and system identifier do not count. */
export function positionProvider(cluster: PositionSource, node: { readonly subscriber: boolean }): PositionProvider {
  const { position } = cluster
  if (position.kind === 'wal') return wal
  const table = `${quoted(position.schema)}.${quoted(position.table)}`
  // Beats are those of one database: with many, there is no telling whose.
  const key = `heartbeat ${table} of ${cluster.dbname ?? 'no database'}`
  if (cluster.dbname === null)
    return { ...heartbeat(key, table, node.subscriber), look: role, sample: null, read: readNowhere(node.subscriber) }
  return heartbeat(key, table, node.subscriber)
}

/** In recovery, beat, postmaster start, a primary's timeline, a standby's receiver; then the row's timeline, tables not yet copied. */
const role = `SELECT r::text, NULL::text, ${startedAt}, CASE WHEN r THEN NULL ELSE ${ownTimeline} END,
 (r AND EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver WHERE received_tli IS NOT NULL))::text, NULL::text, '0'
FROM (SELECT pg_catalog.pg_is_in_recovery() AS r OFFSET 0) q`

function heartbeat(key: string, table: string, subscriber: boolean): PositionProvider {
  return {
    key,
    // A lock on the row must not look like a server that hangs, nor wait for standbys that are none of its business.
    prepare: "SET lock_timeout = '500ms'; SET synchronous_commit = local",
    look: look(table, subscriber),
    sample: subscriber ? null : beat(table),
    plain: role,
    read: (rows, blind) => readBeat(rows, subscriber, blind),
  }
}

/** A subscriber that still copies a table shows the beat and lacks the rest: its state counts only once all are followed. */
function look(table: string, subscriber: boolean): string {
  const copying = subscriber ? `(SELECT count(*) FROM pg_catalog.pg_subscription_rel WHERE srsubstate <> 'r')` : '0'
  return `SELECT r::text, h.beat::text, ${startedAt}, CASE WHEN r OR ${String(subscriber)} THEN NULL ELSE ${ownTimeline} END,
 (r AND EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver WHERE received_tli IS NOT NULL))::text, h.timeline::text, ${copying}::text
FROM (SELECT pg_catalog.pg_is_in_recovery() AS r OFFSET 0) q LEFT JOIN ${table} h ON true`
}

function beat(table: string): string {
  return `UPDATE ${table} SET beat = beat + 1, timeline = ('x' || ${ownTimeline})::bit(32)::integer
RETURNING pg_catalog.pg_is_in_recovery()::text, beat::text, ${startedAt}, ${ownTimeline}, 'false', timeline::text, '0'`
}

function readNowhere(subscriber: boolean): PositionProvider['read'] {
  return (rows) => readBeat(rows, subscriber, 'a heartbeat needs a cluster of one database (dbname)')
}

function readBeat(rows: Rows, subscriber: boolean, blind: string | null): ServerPosition {
  const [recovery, beats = null, postmasterStart, own = null, receiver, written = null, copying] = rows[0] ?? []
  if ((recovery !== 'true' && recovery !== 'false') || typeof postmasterStart !== 'string') throw new RangeError('unreadable position')
  const inRecovery = recovery === 'true' || subscriber
  const trouble = blind ?? troubleOf(rows.length, beats, copying)
  const lsn = trouble === null && beats !== null ? BigInt(beats) : null
  const timeline = inRecovery ? Number(written) : own === null ? 0 : readTimeline(own, false)
  return {
    inRecovery,
    lsn,
    postmasterStart,
    timeline: timeline > 0 ? timeline : null,
    replayedTimeline: null,
    receiving: receiver === 'true',
    commits: null,
    blind: trouble,
  }
}

function troubleOf(rows: number, beats: string | null, copying: string | null | undefined): string | null {
  if (rows > 1) return 'the heartbeat table has several rows'
  if (copying !== '0') return 'its subscriptions still copy tables'
  return beats === null ? 'the heartbeat table has no row' : null
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
