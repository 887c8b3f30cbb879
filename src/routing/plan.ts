// routing/plan.ts — the decision, as data that prints itself. A Plan is made once by plan() (routing/planner.ts);
// execution, EXPLAIN, logs, last_route, the library's result and the metric label all read this object.
import type { ReadPolicy } from '../consistency/policy.js'
import type { ErrorKey } from '../errors/catalogue.js'
import type { MergeSpec, PartQuery } from '../merge/contract.js'
import type { CopyForm } from '../protocol/copy-form.js'
import type { Crossing } from '../observe/crossing.js'
import type { Why } from '../observe/why.js'
import type { Sharded } from '../sharding/sharded.js'
import type { SettingChange } from '../sql/statement.js'

export type { Why }

/** See OnePlan.asks; `pins` asks for more. */
export type Asks = 'state' | 'pins'

interface PlanBase {
  readonly why: readonly Why[]
  /** Owner of what is touched, for metrics; null where nobody owns it. */
  readonly owner: string | null
  /** `schema.name` of every relation touched, views expanded. */
  readonly tables: readonly string[]
}

/** Runs on one server of one cluster. */
export interface OnePlan extends PlanBase {
  readonly kind: 'one'
  readonly cluster: string
  /** Logical shard, where a shard key decided; else null. */
  readonly shard: number | null
  /** `primary`: only there. `replica`: a replica that meets `policy`, else its ladder. */
  readonly role: 'primary' | 'replica'
  readonly policy: ReadPolicy
  /** It may change data: marks the session's write floor, is never repeated. A read on the primary has false. */
  readonly writes: boolean
  /** False: a write that does not mark the session's floor (`sticky_writes=off`). Says nothing of a read. */
  readonly sticky: boolean
  /** After this the connection may carry state nobody saw; scrub it before another client gets it. */
  readonly taints: string | null
  /** From here on the session keeps this server connection; the reason (`temporary table`, `listen`, …). */
  readonly pins: string | null
  /** The statement ends a reason to be pinned (DISCARD ALL, UNLISTEN *, …). */
  readonly unpins: string | null
  /**
   * What the server is asked once the transaction has ended: `state`: what the statement has left in the session unseen, to be
   * known before the connection is given back; `pins`: that, and whether what pins still stands. null: all is known.
   */
  readonly asks: Asks | null
  /** LISTEN or UNLISTEN, of which the door's bus is told when the transaction has committed (SessionView.bus). */
  readonly listens: boolean
  /** It notifies by what its text says: nobody else gets the connection before the notification is on its way. */
  readonly notifies: boolean
  /** currval() or lastval(): it asks for what the session itself has drawn from a sequence. */
  readonly readsSequences: boolean
  /** It asks what the session listens to, which the connection must therefore listen to as well. */
  readonly asksListening: boolean
  /** Changes of session settings that hold if the statement succeeds. */
  readonly settings: readonly SettingChange[]
  /** Cannot run inside a transaction block, so settings must be replayed in a group of their own. */
  readonly ownTransaction: boolean
  /** May be given to a shared lane (reads of built-ins only). */
  readonly lane: boolean
  /** Key values are not known yet (Parse or Describe without Bind): runs there for its description only, Execute plans again. */
  readonly provisional: boolean
  /** False: it sees no table (SET, SHOW, BEGIN, SELECT 1), so it does not move the session's read floor. */
  readonly readsData: boolean
  /** DDL: what the catalog says may be different when it has ended, so load it again. */
  readonly changesCatalog: boolean
  /**
   * Where a database has virtual homes: the home that it touches, as a transaction keeps it (`partition media`, `sharded comments
   * shard 7`); null: none, or there are no virtual homes.
   */
  readonly place: string | null
  /** It crosses virtual homes that are only logged, and runs as if nothing were split; null: it does not. */
  readonly crossing: Crossing | null
  /** The relations that its result depends on, where that may be kept and given again (`policy.cacheMs`); null: it must not. */
  readonly keptOn: readonly string[] | null
  /** The relations whose kept results it outdates, [] for a read; null: all of its cluster. */
  readonly changes: readonly string[] | null
}

/** Answered without a server. What exactly is the door's business; the kinds are closed. */
export interface AnswerPlan extends PlanBase {
  readonly kind: 'answer'
  readonly answer:
    | { readonly what: 'begin-deferred' }
    /** Nothing was sent since BEGIN: COMMIT, ROLLBACK end it here. */
    | { readonly what: 'end-deferred'; readonly tag: 'COMMIT' | 'ROLLBACK' }
    /** Kept with the deferred BEGIN and sent before the first statement: SET TRANSACTION, SET LOCAL, SAVEPOINT … */
    | { readonly what: 'deferred'; readonly tag: string }
    | {
        readonly what: 'show'
        readonly name:
          | 'pointsman.last_route'
          | 'pointsman.token'
          | 'pointsman.consistency'
          | 'pointsman.max_staleness'
          | 'pointsman.shard_key'
          | 'pointsman.cluster'
          | 'pointsman.sticky_writes'
        /** What the column is called: the setting's name for SHOW; for `SELECT current_setting('…')` as the text says. */
        readonly column: string
      }
    | { readonly what: 'set'; readonly change: SettingChange }
    /** Of a transaction that is open on several clusters: carried out on all of them. `name`: of the savepoint, or ''. */
    | {
        readonly what: 'joint'
        readonly op: 'commit' | 'rollback' | 'savepoint' | 'release' | 'rollback-to'
        readonly name: string
        readonly tag: string
      }
    | { readonly what: 'empty' }
    /** `/* pointsman: explain *​/`: the plan that the statement would have had. */
    | { readonly what: 'explain'; readonly plan: Plan }
    /** DEALLOCATE of a protocol-level statement. */
    | { readonly what: 'deallocate'; readonly name: string | null }
}

export interface RefusePlan extends PlanBase {
  readonly kind: 'refuse'
  readonly error: ErrorKey
  /** What happened. */
  readonly message: string
  /** What to do. */
  readonly hint: string
  /** It would run if the homes of its tables were one; absent: not known here (see crossingOf()). */
  readonly crossing?: Crossing
  /** It calls pointsman.unique_id(), which is replaced by what it gives where that can be done. */
  readonly uniqueIds?: true
  /** Nothing is wrong but that a directory must be asked for these keys first; then plan again (runtime/directory-cache.ts). */
  readonly lookup?: { readonly sharded: Sharded; readonly keys: readonly (readonly string[])[] }
}

/** One cluster that a scatter reads. */
export interface ScatterPart {
  readonly cluster: string
  /** Logical shards on it that the statement may concern, ascending. The part's text reads all rows of its tables there. */
  readonly shards: readonly number[]
}

/**
 * A read on several clusters whose rows are merged. Every part runs `query.text` with the client's parameters, on one server
 * of its cluster that meets `policy` there, each at its own moment. By itself (never in a batch with others), of a session whose
 * settings all parts are given; it changes nothing and keeps nothing in the session. Outside of a transaction it may be repeated as
 * long as no row has gone out; an open one comes to every part, to read there.
 *
 * Whoever runs it also sees to what no plan can know: the parts' sessions report the same TimeZone, DateStyle,
 * IntervalStyle and server_encoding (UTF8), else 0A000; and what of a part has not been read is ended with its connection's
 * state known (a closed portal, or a cancel).
 */
export interface ScatterPlan extends PlanBase {
  readonly kind: 'scatter'
  /** Name of the sharded set. */
  readonly sharded: string
  /** In the order of the set's clusters; two or more. */
  readonly parts: readonly ScatterPart[]
  readonly query: PartQuery
  readonly merge: MergeSpec
  /** As OnePlan.role, for every part. */
  readonly role: 'primary' | 'replica'
  readonly policy: ReadPolicy
  /** As OnePlan.taints, for every part. */
  readonly taints: string | null
  /** Key values are not known yet: good for Describe only; Execute plans again, and may find one cluster. */
  readonly provisional: boolean
  /** COPY … TO STDOUT: its rows go out in this form. */
  readonly copy?: CopyForm
  /** DECLARE of a cursor of this name: nothing of it goes out before FETCH. */
  readonly cursor?: string
}

/**
 * A write on several clusters, as one transaction of all of them (two-phase commit): its own, or the open one, which then comes to
 * every cluster. The text is the client's, the same everywhere.
 */
export interface BroadcastPlan extends PlanBase {
  readonly kind: 'broadcast'
  /** One for each cluster, in the order in which they run. */
  readonly parts: readonly OnePlan[]
  /** `sum`: the rows of all together. `same`: copies, of which each must say the same. */
  readonly combine: 'sum' | 'same'
  /** The sharded set or the table that it is for. */
  readonly of: string
  /** INSERT … VALUES, each part with its own rows. */
  readonly insert?: InsertRows
  /** COPY … FROM STDIN, whose rows are told apart as they come. */
  readonly copy?: CopyRows
  /** UPDATE that gives rows a shard key of another cluster. */
  readonly move?: MoveRows
}

/** How rows go to another cluster: all parts but the last give theirs up, the last takes them. */
export interface MoveRows {
  /** As the client has sent it. */
  readonly text: string
  /** How many parameters it has. */
  readonly parameters: number
  readonly returning: boolean
  /** The same UPDATE of no row: whether the client may. */
  readonly tried: string
  /** DELETE … RETURNING all columns. */
  readonly removed: string
  /** INSERT of one such row as the UPDATE changes it; its columns are the parameters after the client's own. */
  readonly inserted: string
  /** A row where the table is no longer what the catalog has told of it: then none of it may stand. */
  readonly changed: string
  /** The last part may have such rows of its own, which it updates first. */
  readonly stays: boolean
}

/** How the rows of an INSERT are parted. */
export interface InsertRows {
  /** With all rows, as the client has sent it. */
  readonly text: string
  /** How many parameters it has. */
  readonly parameters: number
  readonly returning: boolean
  /** For each of BroadcastPlan.parts. */
  readonly parts: readonly InsertPart[]
}

export interface InsertPart {
  /** With its parameters as they were numbered. */
  readonly text: string
  /** Which of the rows, ascending; from 0. */
  readonly rows: readonly number[]
}

/** How the rows of a COPY find their cluster. */
export interface CopyRows {
  readonly sharded: Sharded
  /** `schema.name` */
  readonly table: string
  readonly form: CopyForm
  readonly key: readonly CopyKey[]
  /** How many columns each row has. */
  readonly columns: number
  /** They may be for several clusters; false: all of them for one. */
  readonly several: boolean
}

/** A column of the key; `trims`: blanks at the end of its value may be cut off. */
export interface CopyKey {
  readonly column: string
  readonly position: number
  readonly trims: boolean
}

/** What a BroadcastPlan is made for. */
export interface BroadcastTo extends Pick<BroadcastPlan, 'combine' | 'of'> {
  readonly clusters: readonly string[]
}

export type Plan = OnePlan | AnswerPlan | RefusePlan | ScatterPlan | BroadcastPlan
