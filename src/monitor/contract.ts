// monitor/contract.ts — what execution and the runtime ask of the room that measures servers.
import type { Catalog } from '../catalog/catalog.js'
import type { Config } from '../config/config.js'
import type { Lsn } from '../consistency/lsn.js'
import type { Topology } from '../topology/topology.js'

export interface Monitor {
  /** `now`: process-monotonic ms at this very moment, where the caller has just looked. */
  current(now?: number): Topology
  /** Resolves with the next publication; rejects with `signal.reason`. */
  changed(signal: AbortSignal): Promise<void>
  /** Somebody asks this cluster for bounded or session reads: sample often for the next second. */
  wanted(cluster: string, now?: number): void
  /** One primary sample SENT after the call (joins at most one that is in flight by following it); published when it resolves. Never rejects. */
  sampleNow(cluster: string): Promise<void>
  /** One position of this node, SENT after the call, coalesced likewise. Never rejects. */
  checkNow(cluster: string, node: string): Promise<void>
  /**
   * Lets the node itself wait until it has replayed `lsn`, at most `ms`; when that is over it is checked, and published.
   * False: it cannot (before PostgreSQL 19, no WAL positions, or it waits for more), so polling must do.
   */
  waitFor(cluster: string, node: string, lsn: Lsn, ms: number): boolean
  /** A write was acknowledged, at `now` or before: counted, to say after a promotion how many may be lost. */
  writeAcknowledged(cluster: string, now: number): void
  /** `lsn_source: flush` is relied on, so asynchronous commits must be told of. */
  commitsWatched(cluster: string): boolean
  /** A commit on this cluster may be acknowledged before it is on disk; to be called BEFORE it is sent. */
  asynchronousCommit(cluster: string, reason: string): void
  /** A connection could not be opened, or broke: counts at once. */
  reportFailure(node: string, error: unknown): void
  /** Leaves a replica unused, and says why; null: used again. Measuring goes on. An unknown node changes nothing. */
  setAside(cluster: string, node: string, reason: string | null): void
  /** By cluster; a cluster whose catalog is not loaded yet is missing. */
  catalogs(): ReadonlyMap<string, Catalog>
  /** Loads the cluster's catalog again soon (DDL was seen). */
  catalogChanged(cluster: string): void
  /** Takes the next config: measured nodes and series that did not change are kept. */
  configure(config: Config): void
  /** Resolves when every cluster has been looked at once (up or not), or at the latest after `ms`. */
  ready(ms: number): Promise<void>
  close(): Promise<void>
}
