// runtime/contract.ts — what a door sees of the running system. A Generation is everything that one Config made;
// reload() puts the next one in place by a single assignment, and a session keeps the one it entered until its
// transaction ends. What did not change (pools, measured nodes) is carried over, not made again.
import type { Catalog } from '../catalog/catalog.js'
import type { Config, Problem } from '../config/config.js'
import type { Executor } from '../execute/executor.js'
import type { Bans } from '../execute/bans.js'
import type { Gate } from '../execute/gate.js'
import type { Switches } from '../execute/switches.js'
import type { Identity, PooledConnection } from '../pool/contract.js'
import type { LoginKeys } from '../server/login-keys.js'
import type { PoolName, SetPoolConnection } from '../pool/set.js'
import type { ClusterLag } from '../topology/lag.js'
import type { Topology } from '../topology/topology.js'
import type { TwoPhaseKeeper } from './two-phase.js'
import type { LiveAudit } from './audit.js'
import type { DirectoryCache } from './directory-cache.js'
import type { UniqueIds } from './unique-ids.js'

export interface Generation<C extends PooledConnection> {
  /** Counts from 1. */
  readonly number: number
  readonly config: Config
  readonly executor: Executor<C>
  topology(): Topology
  /** One sample of the cluster's primary SENT after the call, shared by all who ask at once; published when it resolves. Never rejects. */
  sampleNow(cluster: string): Promise<void>
  /** Resolves with the next change of the topology; rejects with `signal.reason`. */
  changed(signal: AbortSignal): Promise<void>
  /** By cluster; a cluster whose catalog is not loaded yet is missing. */
  catalogs(): ReadonlyMap<string, Catalog>
  /** What is known of directories (`by: directory`), for plan(), and how more becomes known. */
  readonly directories: Pick<DirectoryCache, 'find' | 'ask'>
  /**
   * Login to `cluster` for a client of `database`: the cluster's own user and password, or else the client's; the
   * cluster's dbname, or else the client's. Throws RangeError for a cluster the config does not have.
   */
  identityFor(cluster: string, client: ClientLogin): Identity
  /** DDL ran on this cluster (OnePlan.changesCatalog): what its catalog says is loaded again soon. */
  catalogChanged(cluster: string): void
  /** A write of a client was acknowledged on this cluster, at `now` (process-monotonic ms) or before. */
  writeAcknowledged(cluster: string, now: number): void
  /** asynchronousCommit() is to be called for this cluster. */
  commitsWatched(cluster: string): boolean
  /** What is sent next may be acknowledged before it is on disk (session/asynchronous-commit.ts): called BEFORE it is sent. */
  asynchronousCommit(cluster: string, reason: string): void
  /** A session holds this generation while it has work under way in it; leave() ends one hold. The old one drains at 0. */
  enter(): void
  leave(): void
}

/** Who asks. `password` is null where the client proved itself without one that could be passed on. */
export interface ClientLogin {
  /** The database name the client connected to. */
  readonly database: string
  readonly user: string
  readonly password: string | null
  /** What stands for the password where it is not known. */
  readonly keys?: LoginKeys | null
}

export type ReloadResult =
  | { readonly outcome: 'applied'; readonly generation: number; readonly changes: readonly string[] }
  | { readonly outcome: 'unchanged'; readonly generation: number }
  /** The old generation stays. */
  | { readonly outcome: 'refused'; readonly generation: number; readonly problems: readonly Problem[] }

export interface PoolSnapshot {
  readonly cluster: string
  readonly node: string
  readonly user: string
  readonly dbname: string
  /** Connections lent, connections ready to lend, connections being opened or scrubbed, requests waiting. */
  readonly busy: number
  readonly idle: number
  readonly opening: number
  readonly waiting: number
  readonly max: number
  /** How long the first in the queue has waited, ms; 0 if nobody waits. */
  readonly longestWaitMs: number
  /** Of a generation or node that is gone: its leases finish, then it closes. */
  readonly draining: boolean
}

export interface RuntimeSnapshot {
  readonly generation: number
  /** Older generations that sessions still hold. */
  readonly draining: number
  readonly pools: readonly PoolSnapshot[]
  readonly topology: Topology
  /** Statements under way by node id. */
  readonly inFlight: ReadonlyMap<string, number>
}

export interface Runtime<C extends PooledConnection> {
  /** The present generation; ask anew for every request that is not inside a transaction. */
  current(): Generation<C>
  /** Takes a validated config and emits `config.reloaded`; new nodes prove one connection before the swap. A refused config changes nothing. */
  reload(config: Config, proved?: boolean): Promise<ReloadResult>
  /** reload() of what the present configuration becomes, once reloads under way are over; asks no node. */
  alter(change: (config: Config) => Config): Promise<ReloadResult>
  /** What reload() would refuse this config for; nothing changes. `reload(config, true)` then asks no more. */
  prove(config: Config): Promise<readonly Problem[]>
  /** A config that could not even be read: nothing changes, and `config.reloaded` says why. */
  refuse(problems: readonly Problem[]): ReloadResult
  snapshot(): RuntimeSnapshot
  /** What operators decide while it runs; the generations share it. */
  readonly switches: Switches
  /** What waits because it was paused, and which databases take no new clients. */
  readonly gate: Gate
  /** Servers that operators have taken out of reading. */
  readonly bans: Bans
  /** Transactions over several clusters: their commit, and what a crash has left of them. */
  readonly twoPhase: Pick<TwoPhaseKeeper, 'commit' | 'inDoubt' | 'recover'>
  /** Ids of this process. */
  readonly uniqueIds: Pick<UniqueIds, 'take' | 'ready' | 'isReady' | 'now'>
  /** What is known of directories: it may be forgotten, so that they are asked again. */
  readonly directories: Pick<DirectoryCache, 'forget'>
  /** What crosses homes, as traffic has shown it since the start. */
  readonly audit: Pick<LiveAudit, 'data' | 'clear'>
  /** Every server connection that is open. */
  connections(): readonly SetPoolConnection<C>[]
  /** Closes what is open now in these pools: idle connections at once, lent ones when they come back. */
  renew(test: (pool: PoolName) => boolean, reason: string): void
  /** What is under way on a node beside its leases: requests that share one connection. */
  countShared(inFlight: (node: string) => number): void
  /** How far the cluster's replicas are behind, measured more closely from here on; null: there is no such cluster. */
  lag(cluster: string): ClusterLag | null
  /** No new leases; waits up to `graceMs` for those that are out, then closes what is left. */
  close(graceMs: number): Promise<void>
}
