// doors/proxy/console/command.ts — what may be said to the console, as data, with one line of explanation for each form.

import type { VirtualMode } from '../../../config/config.js'

export const tables = [
  'help',
  'pools',
  'node_pools',
  'clients',
  'servers',
  'sockets',
  'active_sockets',
  'nodes',
  'clusters',
  'databases',
  'users',
  'stats',
  'stats_totals',
  'stats_averages',
  'totals',
  'lists',
  'lanes',
  'shapes',
  'tables',
  'audit',
  'audit_tables',
  'audit_data',
  'in_doubt',
  'switches',
  'state',
  'config',
  'mem',
  'peers',
  'peer_pools',
  'version',
] as const
export type ConsoleTable = (typeof tables)[number]

/** PgBouncer has them, Pointsman has nothing to show there. */
export const refusedTables = ['fds', 'dns_hosts', 'dns_zones'] as const
export type RefusedTable = (typeof refusedTables)[number]

/** What a command is of, as it was said: `any` is a database where there is one of that name, or else a cluster. */
export interface Target {
  readonly kind: 'all' | 'any' | 'database' | 'cluster'
  readonly name: string
}

/** Commands that every worker carries out. `cluster` null: all of them. */
export type Action =
  /** `message` null: a message of ours. */
  | { readonly kind: 'read-only'; readonly cluster: string | null; readonly on: boolean; readonly message: string | null }
  | { readonly kind: 'allow-stale'; readonly cluster: string | null; readonly maxMs: number; readonly forMs: number }
  | { readonly kind: 'forbid-stale'; readonly cluster: string | null }
  | { readonly kind: 'resume'; readonly target: Target }
  | { readonly kind: 'pause'; readonly target: Target }
  | { readonly kind: 'reconnect'; readonly target: Target }
  | { readonly kind: 'enable' | 'disable'; readonly database: string }
  /** `database` null: all of them. */
  | { readonly kind: 'kill'; readonly database: string | null }
  | { readonly kind: 'kill-client'; readonly id: number }
  | { readonly kind: 'ban'; readonly node: string; readonly forMs: number | null }
  | { readonly kind: 'unban'; readonly node: string }
  /** `name` null: nothing is drained any more. */
  | { readonly kind: 'drain'; readonly name: string | null }
  | { readonly kind: 'set'; readonly name: string; readonly value: string }
  | { readonly kind: 'clear-audit' }
  | { readonly kind: 'virtual'; readonly name: string; readonly mode: VirtualMode; readonly rollout: number }

export type ConsoleCommand =
  | Action
  | { readonly kind: 'show'; readonly table: ConsoleTable }
  | { readonly kind: 'show-refused'; readonly table: RefusedTable }
  /** `database` and `user` null: the first of the configuration. */
  | { readonly kind: 'explain-route'; readonly sql: string; readonly database: string | null; readonly user: string | null }
  | { readonly kind: 'wait-close'; readonly target: Target }
  | { readonly kind: 'reload' }
  | { readonly kind: 'suspend' }
  | { readonly kind: 'restart' }
  | { readonly kind: 'shutdown'; readonly mode: 'now' | 'servers' | 'clients' }
  /** What drivers say at their start, answered as a server would and of no effect here. */
  | { readonly kind: 'small-talk'; readonly tag: string; readonly column: string | null; readonly value: string | null }
  | { readonly kind: 'transaction'; readonly op: 'begin' | 'commit' | 'rollback' }

/** Every form with one line of explanation, for SHOW HELP and the docs. */
export const commandForms: readonly (readonly [form: string, does: string])[] = [
  ['SHOW HELP', 'these commands'],
  ['SHOW POOLS', 'clients and server connections by database and user'],
  ['SHOW NODE_POOLS', 'server connections by server and login'],
  ['SHOW CLIENTS', 'every client: state, transaction, why it keeps a server connection, which one it has'],
  ['SHOW SERVERS', 'every server connection: state, process id, age, client, prepared statements'],
  ['SHOW SOCKETS', 'clients and server connections in one list'],
  ['SHOW ACTIVE_SOCKETS', 'those of them that are at work'],
  ['SHOW NODES', 'every server: role, state, proved lag, position, why it is not used'],
  ['SHOW CLUSTERS', 'every cluster: primary, timeline, usable replicas, switches'],
  ['SHOW DATABASES', 'every database of the configuration: where it leads, its limits, whether it is paused'],
  ['SHOW USERS', 'every user of the configuration, and its connections'],
  ['SHOW STATS', 'transactions, queries, bytes and times by database: totals and averages'],
  ['SHOW STATS_TOTALS', 'the totals alone'],
  ['SHOW STATS_AVERAGES', 'the averages of the last period alone'],
  ['SHOW TOTALS', 'the same of all databases together'],
  ['SHOW LISTS', 'how many there are of everything'],
  ['SHOW LANES', 'shared connections of fast reads'],
  ['SHOW SHAPES', 'the statements that took most time: counts, times, route'],
  ['SHOW TABLES', 'every table of every database: its home, its owner, and why nobody owns it'],
  ['SHOW AUDIT', 'what crosses partitions and shards, as traffic has shown it: counts, an example, the way out'],
  ['SHOW AUDIT_TABLES', 'the share of the statements of each table that would run if everything were split'],
  ['SHOW AUDIT_DATA', 'both as JSON, for pointsman audit --live'],
  ['SHOW IN_DOUBT', 'transactions over several clusters that a crash has left prepared and recovery cannot end yet'],
  ['SHOW SWITCHES', 'what operators have switched on, and what the configuration has'],
  ['SHOW STATE', 'active, paused or suspended'],
  ['SHOW CONFIG', 'the configuration, without secrets'],
  ['SHOW MEM', 'memory by its use'],
  ['SHOW PEERS', 'nobody: workers of one process tree need no peering'],
  ['SHOW PEER_POOLS', 'none, for the same reason'],
  ['SHOW VERSION', 'the version of Pointsman'],
  ["EXPLAIN ROUTE 'sql' [IN database] [AS user]", 'where a statement would go, and why'],
  ['RELOAD', 'reads the configuration again'],
  ['PAUSE [database|cluster]', 'new work waits; answers when what runs has ended and the server connections are closed'],
  ['RESUME [database|cluster]', 'what waits goes on, in its order'],
  ['RECONNECT [database|cluster]', 'server connections are closed as soon as nobody uses them, and opened anew'],
  ['WAIT_CLOSE [database|cluster]', 'answers when those of RECONNECT or a reload are closed'],
  ['DISABLE database', 'no new clients'],
  ['ENABLE database', 'new clients again'],
  ['KILL [database]', 'cuts off its clients and pauses it'],
  ['KILL_CLIENT id', 'cuts off one client'],
  ['BAN node [FOR 10m]', 'no reads on that replica, as long as somebody else can answer them'],
  ['UNBAN node', 'reads again'],
  ['DRAIN node|cluster', 'nothing new there; answers when no connection to it is left'],
  ['DRAIN OFF', 'everything is used again'],
  ["READ ONLY [cluster] ON ['message']", 'writes are refused with 25006 and the message; what has begun to write may finish'],
  ['READ ONLY [cluster] OFF', 'writes go through again'],
  [
    'ALLOW STALE 60s FOR 10m [ON cluster]',
    'reads that nothing meets may be answered by a replica proved to be at most so old, for so long',
  ],
  ['ALLOW STALE OFF [ON cluster]', 'ends that at once'],
  ['SET VIRTUAL partition OFF', 'a virtual partition or sharded set is as if it were not configured, until the next reload'],
  ['SET VIRTUAL partition LOG', 'what crosses it runs and is counted'],
  ['SET VIRTUAL partition REFUSE [25]', 'what crosses it is refused, of that percentage of the statement shapes'],
  ['CLEAR AUDIT', 'what SHOW AUDIT and SHOW AUDIT_TABLES count begins anew'],
  ['SET log_level = debug', 'debug, info, warn, error or silent, until the next reload'],
  ['SUSPEND', 'refused: a restart takes its place'],
  ['RESTART', 'a new process takes over, and no client is refused'],
  ['SHUTDOWN [WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS]', 'ends: at once, after the transactions, or after the last client'],
]
