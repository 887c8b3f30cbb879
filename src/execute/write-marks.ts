// execute/write-marks.ts — what both doors note of a transaction that writes: before its first write is sent, and when it is
// over, whatever became of it. The session's floor waits for that end, and so do kept results.
import type { ResultCache } from '../cache/result-cache.js'
import type { SessionFloors } from '../consistency/floors.js'
import type { OnePlan } from '../routing/plan.js'

/** Of a connection that a client has. */
export interface WriteMarks {
  readonly cluster: string
  /** A write was sent whose transaction has not ended. */
  writing: boolean
  /** What the writes of the present transaction outdate (OnePlan.changes), each once; null: there were none. */
  changes: Set<readonly string[] | null> | null
  /** The session's floor waits for the end of that transaction: one of its writes was sticky. */
  marked: boolean
}

type Cache = Pick<ResultCache<unknown>, 'writeBegun' | 'writeEnded'>

/** Before a write is sent. In a transaction one sticky write makes all of it sticky. */
export function writeBegins(marks: WriteMarks, { sticky, changes }: OnePlan, cache: Cache, floors: SessionFloors): void {
  const { cluster } = marks
  marks.writing = true
  marks.changes ??= new Set()
  marks.changes.add(changes)
  cache.writeBegun(cluster, changes)
  if (!sticky || marks.marked) return
  marks.marked = true
  floors.writeStarted(cluster)
}

/** Its transaction is over, or nobody knows; to be told before its client hears of it. `now`: process-monotonic ms. */
export function writeEnds(marks: WriteMarks, cache: Cache, floors: SessionFloors, now: number): void {
  const { cluster } = marks
  marks.writing = false
  if (marks.changes !== null) for (const changes of marks.changes) cache.writeEnded(cluster, changes, now)
  marks.changes = null
  if (!marks.marked) return
  marks.marked = false
  floors.writeEnded(cluster, now)
}
