// config/config.ts — the frozen, validated configuration (DESIGN §3). The only way to get one is validateConfig()
// (config/validate.ts), for YAML and library options alike; all durations are milliseconds, all sizes bytes.
import type { PolicyOverride } from '../consistency/policy.js'
import type { Sharded } from '../sharding/sharded.js'
import type { AddressRange } from './address-range.js'

export interface Config {
  readonly version: 1
  readonly listen: ListenConfig
  readonly admin: AdminConfig | null
  readonly auth: AuthConfig
  readonly clusters: ReadonlyMap<string, ClusterConfig>
  /** By the name clients connect to; `*` takes every other name. */
  readonly databases: ReadonlyMap<string, DatabaseConfig>
  readonly tokens: TokensConfig
  readonly cache: CacheConfig
  /** null: nothing is broken on purpose. */
  readonly chaos: ChaosConfig | null
  readonly lanes: LanesConfig
  readonly identity: IdentityConfig
  readonly limits: LimitsConfig
  readonly log: LogConfig
}

export interface ListenConfig {
  readonly host: string
  readonly port: number
  /** Path of a Unix socket to listen on as well, or null. */
  readonly unix: string | null
  /** PEM texts, not paths: files were read when the config was, so a renewed certificate shows as a change. */
  readonly tls: ListenTls | null
  readonly maxClients: number
  /** A client is asked to connect anew after about this long, once it is outside a transaction; null: never. */
  readonly clientLifetimeMs: number | null
  /** Processes that share the port. */
  readonly workers: number
  /** How long open transactions may take when the program is told to end. */
  readonly graceMs: number
  /** After a restart, how long the process before serves its clients as if nothing had happened. */
  readonly drainMs: number
}

export interface ListenTls {
  readonly cert: string
  readonly key: string
  /** Authorities of client certificates; null: none are asked for. */
  readonly ca: string | null
  readonly mode: 'prefer' | 'require'
  readonly minVersion: TlsVersion
}

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3'

export interface IdentityConfig {
  /** Number of this host, 0 to 1023; null: it has none. */
  readonly node: number | null
}

export interface TokensConfig {
  /** Signs consistency tokens, and only signed ones are read; null: not signed. */
  readonly key: string | null
}

/** The deliberate cache of results. Which tables use it, and for how long, is said in `reads`. */
export interface CacheConfig {
  /** Memory for results, of all databases together. */
  readonly maxBytes: number
  /** A larger result is not kept. */
  readonly maxResultBytes: number
}

/** Failures made on purpose, each at a mean rate with random intervals. null or 0: not this one. */
export interface ChaosConfig {
  /** Mean ms between two server connections closed at random. */
  readonly killEveryMs: number | null
  /** Share of monitor answers (0 to 1) that are held back by about `delayMs`. */
  readonly delayShare: number
  readonly delayMs: number
  /** Mean ms between two pauses, in each of which one replica, drawn at random, is not used for `pauseMs`. */
  readonly pauseEveryMs: number | null
  readonly pauseMs: number
  /** Seed of its random numbers, so that a run can be had again; null: a new one each start. */
  readonly seed: number | null
}

export interface AdminConfig {
  readonly host: string
  readonly port: number
  readonly token: string | null
}

/** Pipelining of several clients over one server connection (DESIGN §7). */
export interface LanesConfig {
  readonly enabled: boolean
  /** Requests in flight on one lane. */
  readonly depth: number
  /** A request that has kept its lane waiting for this long is slow. */
  readonly stallMs: number
  /** A reply beyond this is streamed by itself, and its shape leaves the lanes. */
  readonly maxResultBytes: number
  /** Lanes per node, user, database and settings. */
  readonly connections: number
}

export interface LimitsConfig {
  /** Largest message a client may send. */
  readonly maxMessageBytes: number
  /** Statements longer than this are not parsed: not understood. */
  readonly maxParseBytes: number
  readonly shapeCacheBytes: number
  /** A client must finish its startup and login within this. */
  readonly loginMs: number
  /** Notifications (bytes) kept for a client that does not take them; beyond it the client is closed. */
  readonly listenerQueueBytes: number
  /** What one statement may hold while the rows of several clusters are merged (groups, distinct values); beyond it is refused. */
  readonly mergeMemoryBytes: number
}

export interface LogConfig {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  /** Log parameter values and literals; off unless asked. */
  readonly parameters: boolean
}

export type AuthMethod = 'scram-sha-256' | 'md5' | 'cert' | 'trust'

export interface AuthConfig {
  readonly method: AuthMethod
  readonly users: ReadonlyMap<string, UserConfig>
  /** Where the secrets of users come from who are not in `users`, or have none there; null: from nowhere. */
  /** Of users that are not listed. */
  readonly defaultLimits: UserLimits
  readonly authQuery: AuthQueryConfig | null
  /** The first that fits a client decides; none fits: it is refused. Never empty. */
  readonly rules: readonly AuthRule[]
  /** Common name of a client certificate → the users it may be. A name that is not here may be the user of that name. */
  readonly map: ReadonlyMap<string, readonly string[]>
  /** How long the first failed login of a user from an address is held back; each further one twice as long. 0: not at all. */
  readonly failureDelayMs: number
  readonly admins: readonly string[]
  readonly viewers: readonly string[]
  /** Users that may open replication connections. */
  readonly replication: readonly string[]
}

/** null: whatever it is. */
export interface AuthRule {
  /** `local`: the Unix socket. */
  readonly address: 'local' | AddressRange | null
  readonly users: readonly string[] | null
  /** `replication` means connections for physical replication, which null does not. */
  readonly databases: readonly string[] | null
  readonly tls: boolean | null
  readonly method: AuthMethod | 'reject'
  /** Asked for besides the method. `verify-ca`: a certificate of `listen.tls.ca`; `verify-full`: and one that is the user's. */
  readonly clientCert: 'verify-ca' | 'verify-full' | null
}

export interface AuthQueryConfig {
  readonly cluster: string
  /** One parameter, the name of the user; gives its name and its secret as in pg_authid, or no row. */
  readonly sql: string
  readonly user: string
  readonly password: string | null
  /** null: the cluster's, or else `postgres`. */
  readonly dbname: string | null
  /** How long an answer is kept. */
  readonly cacheMs: number
}

/** `transaction`: until the transaction ends. `session`: until the client leaves. `statement`: as transaction, and BEGIN is refused. */
export type PoolMode = 'transaction' | 'session' | 'statement'

export interface UserConfig {
  readonly name: string
  readonly password: string | null
  /** As in pg_authid: a SCRAM verifier (`SCRAM-SHA-256$…`) or an md5 hash (`md5…`), or null. */
  readonly verifier: string | null
  /** null: its database's. */
  readonly poolMode: PoolMode | null
  readonly limits: UserLimits
}

/** Of one user, over all processes. null: no limit. */
export interface UserLimits {
  readonly maxClients: number | null
  /** Server connections that it may have at once. */
  readonly maxConnections: number | null
  /** Its turns, compared with those of others who wait for the same pool. */
  readonly weight: number
}

export type SslMode = 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'

export interface ClusterConfig {
  readonly id: string
  /** null: the client's own database name. */
  readonly dbname: string | null
  /** null: the client's own name and password. */
  readonly user: string | null
  readonly password: string | null
  /** PEM texts, not paths; `ca` null: the system's own authorities. */
  readonly tls: {
    readonly mode: SslMode
    readonly ca: string | null
    readonly cert: string | null
    readonly key: string | null
    /** `direct`: TLS from the first byte (PostgreSQL 17 and later), without asking. Default: postgres. */
    readonly negotiation?: 'postgres' | 'direct'
    /** Default: TLSv1.2. */
    readonly minVersion?: TlsVersion
  }
  readonly monitor: { readonly user: string; readonly password: string | null } | null
  readonly nodes: readonly NodeConfig[]
  readonly pool: PoolConfig
  readonly failover: { readonly waitMs: number }
  readonly reset: 'tainted' | 'always'
  /** `insert`: always right. `flush`: reached earlier by replicas, right only where no commit is asynchronous. */
  readonly lsnSource: 'insert' | 'flush'
  readonly position: PositionConfig
  /** Version asked for towards its servers; they may answer with an older one. */
  readonly protocol: '3.0' | '3.2'
  /** Writes are refused with 25006 and this message; null: they are not. */
  readonly readOnly: string | null
}

/** How positions are measured. `wal`: streaming replication. `heartbeat`: a row that each sample raises (CONSISTENCY §2.10). */
export type PositionConfig = { readonly kind: 'wal' } | { readonly kind: 'heartbeat'; readonly schema: string; readonly table: string }

export interface PoolConfig {
  /** Server connections per node and user. */
  readonly max: number
  readonly waitMs: number
  readonly lifetimeMs: number
  /** Statements that may wait for a connection, per node and login, in each process. */
  readonly queue: number
}

export interface NodeConfig {
  /** `host:port`, the identity of a node across reloads. */
  readonly id: string
  readonly host: string
  readonly port: number
  readonly weight: number
  readonly zone: string | null
  /** A logical subscriber: always a replica, although it is not in recovery. Needs `position: heartbeat`. */
  readonly subscriber: boolean
}

export interface DatabaseConfig {
  readonly name: string
  /** Cluster of every table not named below. */
  readonly default: string
  readonly owner: string | null
  readonly partitions: ReadonlyMap<string, PartitionConfig>
  readonly sharded: ReadonlyMap<string, Sharded>
  /** `schema.table` of every routed table: what it is. Tables not here live in `default`. */
  readonly homes: ReadonlyMap<string, TableHome>
  /** Homes of tables by pattern and by schema, for those not in `homes`; the first that fits counts. See homeFor(). */
  readonly patterns: readonly TablePattern[]
  /** What is only tried yet, by its label: `partition media`, `sharded comments`. Empty: nothing is. */
  readonly virtual: ReadonlyMap<string, Virtual>
  /** A cluster that sees the rows of all shards: what cannot be merged is read there. Absent: there is none. */
  readonly coordinator?: string
  /** Transactions may write on several clusters; null: they may not. */
  readonly twoPhase: TwoPhaseConfig | null
  readonly unparsed: 'primary' | 'refuse'
  /** How long a client keeps a server connection, where its user does not say otherwise. */
  readonly poolMode: PoolMode
  /** Over all processes; null: no limit. */
  readonly maxClients: number | null
  /** Server connections that its clients may have at once, over all processes; null: no limit. */
  readonly maxConnections: number | null
  /** `own`: LISTEN without a cluster means the default one. `all`: every cluster of the database. */
  readonly bus: 'own' | 'all'
  /** Overrides for functions the catalog mislabels: `schema.name` or `name` → read-only or not. */
  readonly functions: ReadonlyMap<string, 'read' | 'write'>
  readonly reads: ReadsConfig
}

export interface TwoPhaseConfig {
  /** 0: none. */
  readonly lockTimeoutMs: number
  /** Older prepared transactions are decided by whoever finds them. */
  readonly graceMs: number
  readonly retentionMs: number
}

export interface PartitionConfig {
  readonly name: string
  readonly cluster: string
  readonly owner: string | null
  /** Those that are named; patterns and schemas are in DatabaseConfig.patterns. */
  readonly tables: readonly string[]
  /** Users that may touch its tables; null: all. */
  readonly users: readonly string[] | null
  /** What reads of its tables ask, where their table does not say it. */
  readonly reads: PolicyOverride
}

/** `*` stands for any characters of the schema, or of the name. */
export interface TablePattern {
  readonly schema: string
  readonly name: string
  readonly home: TableHome
}

/** `off`: as if it were not configured. `log`: what crosses runs, and is counted. `refuse`: as if the split were made. */
export type VirtualMode = 'off' | 'log' | 'refuse'

/** A split that is not made: the tables are where they were. */
export interface Virtual {
  readonly mode: VirtualMode
  /** Of mode `refuse`: percentage of the statement shapes that it holds for; the others are logged. */
  readonly rollout: number
  /** Who has switched it to this mode since the configuration was read; null: nobody has. */
  readonly by: string | null
}

export type TableHome =
  | { readonly kind: 'partition'; readonly partition: string; readonly cluster: string; readonly owner: string | null }
  | { readonly kind: 'sharded'; readonly sharded: Sharded; readonly keyColumns: readonly string[]; readonly owner: string | null }
  /** The same rows on every cluster of the database. */
  | { readonly kind: 'reference' }

export interface ReadsConfig {
  readonly default: PolicyOverride
  readonly users: ReadonlyMap<string, PolicyOverride>
  /** By `schema.table`. `enforce`: no hint or setting weakens it. */
  readonly tables: ReadonlyMap<string, PolicyOverride & { readonly enforce: boolean }>
}

/** One thing wrong with a configuration. Line and column count from 1; null where there is no text (library options). */
export interface Problem {
  readonly line: number | null
  readonly column: number | null
  /** `databases.app.partitions.media.cluster` */
  readonly path: string
  /** What was found, as it would be written in YAML. Never a secret. */
  readonly found: string
  readonly allowed: string
  readonly message: string
}
