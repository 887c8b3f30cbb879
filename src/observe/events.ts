// observe/events.ts — everything that happens, as typed events. Nothing here knows who listens; metrics/, the log and
// the console do. Emitting to nobody costs one length check.
import type { Crossing } from './crossing.js'
import type { Why } from './why.js'

/** What a statement touches, and whether it could run if everything were split as configured. */
export interface HomesTouched {
  /** `schema.name` of what the statement touches. */
  readonly tables: readonly string[]
  readonly crossing: Crossing | null
  /** The text without its literals. */
  readonly text: string
}

export interface Events {
  /** One per statement or batch, when its last reply has come. */
  'query.end': {
    readonly door: 'proxy' | 'library'
    readonly database: string
    readonly user: string
    readonly cluster: string | null
    readonly node: string | null
    readonly role: 'primary' | 'replica' | 'none'
    readonly owner: string | null
    readonly outcome: 'ok' | 'error' | 'refused' | 'lost' | 'canceled'
    readonly seconds: number
    readonly why: readonly Why[]
    readonly shape: number | null
    /** `consistency` of the read's policy; null: no read, or nothing was planned. */
    readonly policy: string | null
    /** Rung of the ladder (RouteTaken.step); null: no server was asked. */
    readonly step: string | null
    /** At most how stale the answer was, proved; null: not known, or no read. 0: the primary answered. */
    readonly boundSeconds: number | null
    /** Where it crosses homes, or its database has homes that are only tried yet; else null. */
    readonly homes: HomesTouched | null
  }
  'read.unmet': {
    readonly cluster: string
    readonly policy: string
    readonly step: 'wait' | 'primary' | 'stale' | 'error' | 'degraded'
  }
  'read.misrouted': { readonly cluster: string; readonly node: string; readonly shape: number | null }
  /** A statement that crosses homes: it was refused, or has run since they are only tried yet. */
  crossing: { readonly database: string; readonly kind: string }
  'node.state': { readonly cluster: string; readonly node: string; readonly state: string; readonly role: string; readonly reason: string }
  'node.staleness': { readonly cluster: string; readonly node: string; readonly seconds: number | null }
  'primary.changed': {
    readonly cluster: string
    readonly from: string | null
    readonly to: string | null
    readonly timeline: number | null
  }
  /** Another server claims to be the primary and gets nothing: an old one that came back, or one that should not be there. */
  'primary.fenced': { readonly cluster: string; readonly node: string; readonly reason: string }
  /** `lsn_source: flush` is not believed any more: a commit need not be on disk when it is acknowledged. Insert positions are used. */
  'position.fallback': { readonly cluster: string; readonly reason: string }
  /** After a promotion: writes acknowledged that the new primary may not have. `certain`: it is proved that it lacks them. */
  'writes.lost': {
    readonly cluster: string
    readonly possible: number
    readonly from: number
    readonly to: number
    readonly reason: string
  }
  /** How many replicas of a cluster can be used has changed; 0: the primary is alone. */
  'replicas.usable': { readonly cluster: string; readonly usable: number; readonly of: number }
  /** An operator's switch, or its expiry. `cluster` '*': of no single one; `detail` then names what it is of. */
  'switch.changed': {
    readonly cluster: string
    readonly switch: 'read_only' | 'allow_stale' | 'ban' | 'drain' | 'pause' | 'disable' | 'virtual'
    readonly on: boolean
    readonly detail: string
    readonly by: string
  }
  /** One read that may use the result cache. `shared`: an identical read was under way and its result was taken. */
  'cache.read': { readonly database: string; readonly cluster: string; readonly outcome: 'hit' | 'shared' | 'miss' | 'unfit' }
  /** The connection that listens for clients was lost: what is notified from here on may be missing. */
  'bus.lost': { readonly cluster: string; readonly node: string; readonly listeners: number; readonly reason: string }
  /** It listens (again). `from`, `to`: ISO times between which notifications may be missing; from null, 0 seconds: none are. */
  'bus.listening': {
    readonly cluster: string
    readonly node: string
    readonly channels: number
    readonly missedSeconds: number
    readonly from: string | null
    readonly to: string
  }
  /** A notification was read; `told`: how many clients hear its channel. */
  'bus.notification': { readonly cluster: string; readonly told: number }
  /** A client did not take its notifications, and is closed. */
  'bus.slow': { readonly database: string; readonly user: string; readonly bytes: number }
  /** A failure made on purpose. */
  chaos: { readonly what: 'kill' | 'delay' | 'pause'; readonly cluster: string; readonly node: string }
  'pool.wait': {
    readonly cluster: string
    readonly node: string
    readonly seconds: number
    readonly outcome: 'ok' | 'timeout' | 'full' | 'failed' | 'canceled'
  }
  'pool.opened': { readonly cluster: string; readonly node: string; readonly user: string }
  'pool.closed': { readonly cluster: string; readonly node: string; readonly user: string; readonly reason: string }
  'client.opened': { readonly database: string; readonly user: string; readonly address: string }
  'client.closed': { readonly database: string; readonly user: string; readonly reason: string; readonly seconds: number }
  /** A client was not let in: there are as many as there may be, in all, of its user or of its database. */
  'client.limited': { readonly limit: 'max_clients' | 'user' | 'database' }
  'client.refused': { readonly address: string; readonly sqlstate: string; readonly reason: string }
  'catalog.loaded': { readonly cluster: string; readonly relations: number; readonly functions: number; readonly generation: number }
  'config.reloaded': {
    readonly outcome: 'applied' | 'unchanged' | 'refused'
    readonly generation: number
    readonly problems: readonly string[]
  }
  /** Before and after each step of a transaction over several clusters (execute/two-phase.ts). `gid`: the key of its decision. */
  'two-phase.step': {
    readonly gid: string
    readonly step: 'prepare' | 'prepared' | 'decide' | 'decided' | 'commit' | 'committed' | 'rollback' | 'rolled back'
    readonly cluster: string
  }
  /** How a transaction over several clusters ended for its client. */
  'two-phase.end': { readonly database: string; readonly outcome: 'committed' | 'aborted' | 'unfinished' | 'unknown' }
  /** Recovery has ended what was left prepared. */
  'two-phase.recovered': { readonly database: string; readonly cluster: string; readonly outcome: 'commit' | 'aborted' }
  /** A command of the console that changes something, whatever became of it. `sqlstate` null: it was done. */
  'console.command': {
    readonly user: string
    readonly address: string
    /** Its words, without texts in quotes. */
    readonly command: string
    readonly sqlstate: string | null
  }
  /** What has no event of its own; never a secret, never a parameter value. */
  log: { readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly message: string; readonly fields: Readonly<Record<string, unknown>> }
}

export type EventName = keyof Events
export type Listener<N extends EventName> = (event: Events[N]) => void

/** Where events go out. */
export interface Observer {
  emit<N extends EventName>(name: N, event: Events[N]): void
  on<N extends EventName>(name: N, listener: Listener<N>): () => void
}
