// config/diff.ts — what differs between two configs, by the identity of nodes, clusters and databases, so that the
// runtime keeps everything that does not.
import { isDeepStrictEqual } from 'node:util'
import type { ClusterConfig, Config } from './config.js'

export interface NamedChanges {
  readonly added: readonly string[]
  readonly removed: readonly string[]
  readonly changed: readonly string[]
}

export interface ClusterChange {
  readonly nodes: NamedChanges
  /** Keys of the cluster that differ, `nodes` left out: `password`, `pool`, … */
  readonly keys: readonly string[]
  /** Connections cannot be kept: another database, login or TLS. */
  readonly reconnect: boolean
}

export interface ConfigDiff {
  readonly unchanged: boolean
  readonly clusters: NamedChanges
  /** Of every cluster in `clusters.changed`. */
  readonly cluster: ReadonlyMap<string, ClusterChange>
  readonly databases: NamedChanges
  readonly users: NamedChanges
  /** Differ otherwise: `auth`, `admin`, `tokens`, `cache`, `chaos`, `lanes`, `limits`, `log`, `listen.max_clients`, `listen.tls`. */
  readonly others: readonly string[]
  /** Changes that only a restart can make: `listen.host`, `listen.port`, `listen.unix`, `admin.host`, … They are not applied. */
  readonly notLive: readonly string[]
}

export function diffConfig(old: Config, next: Config): ConfigDiff {
  const clusters = named(old.clusters, next.clusters)
  const diff = {
    clusters,
    cluster: new Map(clusters.changed.map((id) => [id, clusterChange(old.clusters.get(id), next.clusters.get(id))])),
    databases: named(old.databases, next.databases),
    users: named(old.auth.users, next.auth.users),
    others: others(old, next),
    notLive: notLive(old, next),
  }
  return { unchanged: isDeepStrictEqual(old, next), ...diff }
}

/** The diff in a few words each, for the log and RELOAD: `node 10.0.0.2:5432 of main added`. */
export function describeDiff(diff: ConfigDiff): readonly string[] {
  const nodes = [...diff.cluster].flatMap(([id, change]) => [
    ...words('node', change.nodes).map((text) => `cluster ${id}: ${text}`),
    ...(change.keys.length === 0 ? [] : [`cluster ${id}: ${change.keys.map(asWritten).join(', ')} changed`]),
  ])
  const whole = { ...diff.clusters, changed: [] }
  return [
    ...words('cluster', whole),
    ...nodes,
    ...words('database', diff.databases),
    ...words('user', diff.users),
    ...diff.others.map((key) => `${key} changed`),
    ...diff.notLive.map((key) => `${key} changed: needs a restart, not applied`),
  ]
}

function words(kind: string, changes: NamedChanges): readonly string[] {
  return (['added', 'removed', 'changed'] as const).flatMap((what) => changes[what].map((name) => `${kind} ${name} ${what}`))
}

// lsnSource → lsn_source
function asWritten(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function named(old: ReadonlyMap<string, unknown>, next: ReadonlyMap<string, unknown>): NamedChanges {
  return {
    added: [...next.keys()].filter((key) => !old.has(key)),
    removed: [...old.keys()].filter((key) => !next.has(key)),
    changed: [...next.keys()].filter((key) => old.has(key) && !isDeepStrictEqual(old.get(key), next.get(key))),
  }
}

function clusterChange(old: ClusterConfig | undefined, next: ClusterConfig | undefined): ClusterChange {
  const byId = (cluster: ClusterConfig | undefined): ReadonlyMap<string, unknown> => new Map(cluster?.nodes.map((node) => [node.id, node]))
  const all = Object.keys({ ...old, ...next }) as (keyof ClusterConfig)[]
  const keys = all.filter((key) => key !== 'nodes' && !isDeepStrictEqual(old?.[key], next?.[key]))
  return {
    nodes: named(byId(old), byId(next)),
    keys,
    reconnect: keys.some((key) => key === 'dbname' || key === 'user' || key === 'password' || key === 'tls'),
  }
}

function others(old: Config, next: Config): readonly string[] {
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['listen.max_clients', old.listen.maxClients, next.listen.maxClients],
    ['listen.client_lifetime', old.listen.clientLifetimeMs, next.listen.clientLifetimeMs],
    ['listen.grace', old.listen.graceMs, next.listen.graceMs],
    ['listen.drain', old.listen.drainMs, next.listen.drainMs],
    ['listen.tls', old.listen.tls, next.listen.tls],
    ['auth.method', old.auth.method, next.auth.method],
    ['auth.default_user', old.auth.defaultLimits, next.auth.defaultLimits],
    ['auth.auth_query', old.auth.authQuery, next.auth.authQuery],
    ['auth.rules', old.auth.rules, next.auth.rules],
    ['auth.map', old.auth.map, next.auth.map],
    ['auth.failure_delay', old.auth.failureDelayMs, next.auth.failureDelayMs],
    ['auth.admins', old.auth.admins, next.auth.admins],
    ['auth.viewers', old.auth.viewers, next.auth.viewers],
    ['admin.token', old.admin?.token, next.admin?.token],
    ['tokens', old.tokens, next.tokens],
    ['cache', old.cache, next.cache],
    ['chaos', old.chaos, next.chaos],
    ['lanes', old.lanes, next.lanes],
    ['limits', old.limits, next.limits],
    ['log', old.log, next.log],
  ]
  return pairs.filter(([, before, after]) => !isDeepStrictEqual(before, after)).map(([key]) => key)
}

function notLive(old: Config, next: Config): readonly string[] {
  const listen = (['host', 'port', 'unix', 'workers'] as const)
    .filter((key) => old.listen[key] !== next.listen[key])
    .map((key) => `listen.${key}`)
  if ((old.admin === null) !== (next.admin === null)) return [...listen, 'admin']
  return [...listen, ...(['host', 'port'] as const).filter((key) => old.admin?.[key] !== next.admin?.[key]).map((key) => `admin.${key}`)]
}
