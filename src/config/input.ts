// config/input.ts — pointsman.yaml as it is written, as a type: what the library's `config` option takes. schema.ts is
// held to it by the compiler. Durations and sizes are texts with units here; config.ts has them as numbers.

import type { KeyType, ShardModule } from '../sharding/sharded.js'

type Duration = string | 0
type Size = string | number

export type PoolModeInput = 'transaction' | 'session' | 'statement'

export interface PolicyInput {
  consistency?: 'strong' | 'session' | 'bounded' | 'any' | undefined
  max_staleness?: Duration | undefined
  on_unmet?: string | string[] | undefined
  cut_off?: 'serve' | 'refuse' | undefined
  cache?: Duration | undefined
  max_tx_age?: Duration | undefined
}

export interface TablePolicyInput extends PolicyInput {
  enforce?: boolean | undefined
}

export interface NodeInput {
  host: string
  port?: number | undefined
  weight?: number | undefined
  zone?: string | undefined
  subscriber?: boolean | undefined
}

export interface ClusterInput {
  dbname?: string | undefined
  user?: string | undefined
  password?: string | undefined
  tls?: ClusterTlsInput | undefined
  monitor?: { user: string; password?: string | undefined } | undefined
  nodes: (string | NodeInput)[]
  pool?: { max?: number | undefined; wait?: Duration | undefined; lifetime?: Duration | undefined; queue?: number | undefined } | undefined
  failover?: { wait?: Duration | undefined } | undefined
  reset?: 'tainted' | 'always' | undefined
  lsn_source?: 'insert' | 'flush' | undefined
  position?: 'wal' | { heartbeat: string } | undefined
  read_only?: boolean | string | undefined
  protocol?: '3.0' | '3.2' | undefined
}

export interface ClusterTlsInput {
  mode?: 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full' | undefined
  ca?: string | undefined
  cert?: string | undefined
  key?: string | undefined
  negotiation?: 'postgres' | 'direct' | undefined
  min_version?: 'TLSv1.2' | 'TLSv1.3' | undefined
}

export interface PartitionInput extends VirtualInput {
  cluster: string
  owner?: string | undefined
  tables?: string[] | undefined
  schemas?: string[] | undefined
  users?: string[] | undefined
  reads?: PolicyInput | undefined
}

export interface VirtualInput {
  virtual?: boolean | undefined
  mode?: 'off' | 'log' | 'refuse' | undefined
  rollout?: string | undefined
}

export interface ShardedInput extends VirtualInput {
  cluster?: string | undefined
  clusters?: string[] | undefined
  shards?: number | undefined
  map?: Record<string, (string | number)[]> | undefined
  by?: 'hash' | 'list' | 'range' | 'directory' | 'module' | undefined
  values?: Record<string, (string | number)[]> | undefined
  ranges?: ShardRangeInput[] | undefined
  directory?: DirectoryInput | undefined
  /** In the library also the function itself. */
  module?: string | ShardModule['place'] | undefined
  key_type: KeyType | KeyType[]
  scatter?: 'merge' | 'refuse' | undefined
  owner?: string | undefined
  tables: Record<string, string | string[]>
}

export interface ShardRangeInput {
  from?: string | number | undefined
  to?: string | number | undefined
  shard: number
}

export interface DirectoryInput {
  cluster: string
  table: string
  key: string | string[]
  shard: string
  ttl?: Duration | undefined
  max_entries?: number | undefined
  channel?: string | undefined
}

export interface ReadsInput {
  default?: PolicyInput | undefined
  users?: Record<string, PolicyInput> | undefined
  tables?: Record<string, TablePolicyInput> | undefined
}

export interface TwoPhaseInput {
  lock_timeout?: Duration | undefined
  grace?: Duration | undefined
  retention?: Duration | undefined
}

export interface DatabaseInput {
  default: string
  owner?: string | undefined
  partitions?: Record<string, PartitionInput> | undefined
  sharded?: Record<string, ShardedInput> | undefined
  reference?: string[] | undefined
  coordinator?: string | undefined
  two_phase?: boolean | TwoPhaseInput | undefined
  unparsed?: 'primary' | 'refuse' | undefined
  pool_mode?: PoolModeInput | undefined
  max_clients?: number | undefined
  max_connections?: number | undefined
  bus?: 'own' | 'all' | undefined
  functions?: Record<string, 'read' | 'write'> | undefined
  reads?: ReadsInput | undefined
}

export interface ListenInput {
  host?: string | undefined
  port?: number | undefined
  unix?: string | undefined
  tls?: ListenTlsInput | undefined
  max_clients?: number | undefined
  client_lifetime?: Duration | undefined
  workers?: number | undefined
  grace?: Duration | undefined
  drain?: Duration | undefined
}

export interface ListenTlsInput {
  cert: string
  key: string
  ca?: string | undefined
  mode?: 'prefer' | 'require' | undefined
  min_version?: 'TLSv1.2' | 'TLSv1.3' | undefined
}

export interface AdminInput {
  host?: string | undefined
  port?: number | undefined
  token?: string | undefined
}

export interface UserLimitsInput {
  max_clients?: number | undefined
  max_connections?: number | undefined
  weight?: number | undefined
}

export interface UserInput extends UserLimitsInput {
  name: string
  pool_mode?: PoolModeInput | undefined
  password?: string | undefined
  verifier?: string | undefined
}

export interface AuthQueryInput {
  cluster: string
  sql?: string | undefined
  user: string
  password?: string | undefined
  dbname?: string | undefined
  cache?: Duration | undefined
}

export interface AuthRuleInput {
  address?: string | undefined
  users?: string[] | undefined
  databases?: string[] | undefined
  tls?: boolean | undefined
  method?: 'scram-sha-256' | 'md5' | 'cert' | 'trust' | 'reject' | undefined
  clientcert?: 'verify-ca' | 'verify-full' | undefined
}

export interface AuthInput {
  method?: 'scram-sha-256' | 'md5' | 'cert' | 'trust' | undefined
  users?: UserInput[] | undefined
  default_user?: UserLimitsInput | undefined
  auth_query?: AuthQueryInput | undefined
  rules?: AuthRuleInput[] | undefined
  map?: Record<string, string | string[]> | undefined
  failure_delay?: Duration | undefined
  admins?: string[] | undefined
  viewers?: string[] | undefined
  replication?: string[] | undefined
}

export interface TokensInput {
  key?: string | undefined
}

export interface CacheInput {
  max_bytes?: Size | undefined
  max_result?: Size | undefined
}

export interface ChaosInput {
  i_know?: boolean | undefined
  kill?: Duration | undefined
  delay?: { share: number; by: Duration } | undefined
  pause?: { every: Duration; for: Duration } | undefined
  seed?: number | undefined
}

export interface LanesInput {
  enabled?: boolean | undefined
  depth?: number | undefined
  stall?: Duration | undefined
  max_result?: Size | undefined
  connections?: number | undefined
}

export interface LimitsInput {
  max_message_bytes?: Size | undefined
  max_parse_bytes?: Size | undefined
  shape_cache_bytes?: Size | undefined
  login?: Duration | undefined
  listener_queue?: Size | undefined
  merge_memory?: Size | undefined
}

export interface LogInput {
  level?: 'debug' | 'info' | 'warn' | 'error' | 'silent' | undefined
  parameters?: boolean | undefined
}

export interface IdentityInput {
  node?: number | undefined
}

export interface ConfigInput {
  version: 1
  listen?: ListenInput | undefined
  admin?: AdminInput | undefined
  auth?: AuthInput | undefined
  clusters: Record<string, ClusterInput>
  databases: Record<string, DatabaseInput>
  tokens?: TokensInput | undefined
  cache?: CacheInput | undefined
  chaos?: ChaosInput | undefined
  lanes?: LanesInput | undefined
  identity?: IdentityInput | undefined
  limits?: LimitsInput | undefined
  log?: LogInput | undefined
}

/** The same with everything that did not pass the schema left out, so that what remains can be checked further. */
export type Partly<T> = T extends readonly (infer E)[]
  ? readonly (Partly<E> | undefined)[]
  : T extends (...args: never) => unknown
    ? T
    : T extends object
      ? { readonly [K in keyof T]?: Partly<T[K]> | undefined }
      : T
