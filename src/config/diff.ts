// config/diff.ts — what differs between two configs, by the identity of nodes, clusters and databases, so that the
// runtime keeps everything that does not.
import { isDeepStrictEqual } from 'node:util'
import type { AuthConfig, ClusterConfig, Config, ListenConfig } from './config.js'

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
  /** Differ otherwise: `auth`, `admin`, `tokens`, `cache`, `chaos`, `lanes`, `identity`, `limits`, `log`, `listen.max_clients`, `listen.tls`. */
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

/** Under which name each is told; those of `notLive` and those that are told by name are left out. Whoever adds one adds it here. */
const listenKeys: Readonly<Record<Exclude<keyof ListenConfig, (typeof listenRestarts)[number]>, string>> = {
  maxClients: 'max_clients',
  clientLifetimeMs: 'client_lifetime',
  graceMs: 'grace',
  drainMs: 'drain',
  tls: 'tls',
}
const authKeys: Readonly<Record<Exclude<keyof AuthConfig, 'users'>, string>> = {
  method: 'method',
  defaultLimits: 'default_user',
  authQuery: 'auth_query',
  rules: 'rules',
  map: 'map',
  failureDelayMs: 'failure_delay',
  admins: 'admins',
  viewers: 'viewers',
  replication: 'replication',
}
type Told = 'version' | 'listen' | 'admin' | 'auth' | 'clusters' | 'databases'
const wholeKeys: Readonly<Record<Exclude<keyof Config, Told>, string>> = {
  tokens: 'tokens',
  cache: 'cache',
  chaos: 'chaos',
  lanes: 'lanes',
  identity: 'identity',
  limits: 'limits',
  log: 'log',
}

function others(old: Config, next: Config): readonly string[] {
  return [
    ...differing(old.listen, next.listen, listenKeys, 'listen.'),
    ...differing(old.auth, next.auth, authKeys, 'auth.'),
    ...(old.admin?.token === next.admin?.token ? [] : ['admin.token']),
    ...differing(old, next, wholeKeys, ''),
  ]
}

function differing<K extends string>(
  old: Readonly<Record<K, unknown>>,
  next: Readonly<Record<K, unknown>>,
  names: Readonly<Record<K, string>>,
  before: string,
): readonly string[] {
  const keys = Object.keys(names) as K[]
  return keys.filter((key) => !isDeepStrictEqual(old[key], next[key])).map((key) => `${before}${names[key]}`)
}

const listenRestarts = ['host', 'port', 'unix', 'workers'] as const
const adminRestarts = ['host', 'port'] as const

/** What `notLive` may tell of. */
export const restartKeys: ReadonlySet<string> = new Set([
  ...listenRestarts.map((key) => `listen.${key}`),
  ...adminRestarts.map((key) => `admin.${key}`),
])

function notLive(old: Config, next: Config): readonly string[] {
  const listen = listenRestarts.filter((key) => old.listen[key] !== next.listen[key]).map((key) => `listen.${key}`)
  if ((old.admin === null) !== (next.admin === null)) return [...listen, 'admin']
  return [...listen, ...adminRestarts.filter((key) => old.admin?.[key] !== next.admin?.[key]).map((key) => `admin.${key}`)]
}
