// config/schema.ts — the form of pointsman.yaml (DESIGN §3): which keys exist and what each may hold by itself. What
// several keys must be together is checked in build.ts. `pointsman schema` is generated from this, so descriptions and
// defaults are for people. Defaults are applied in build.ts; here they are only told.
import { z } from 'zod'
import { durationPattern } from '../consistency/duration.js'
import { ladderStepPattern } from '../consistency/ladder.js'
import type { ConfigInput } from './input.js'
import { noted } from './notes.js'
import type { ShardModule } from '../sharding/sharded.js'
import { nodePattern, sizePattern } from './quantities.js'

function text(description: string, allowed = 'a text that is not empty'): z.ZodType<string> {
  return noted(z.string().min(1), { allowed }, description)
}

function secret(description: string): z.ZodType<string> {
  return noted(z.string().min(1), { allowed: 'a text: "${VARIABLE}", "file:PATH" or the secret itself, quoted', secret: true }, description)
}

function duration(description: string, example: string): z.ZodType<string | 0> {
  const schema = z.union([z.string().regex(durationPattern), z.literal(0)])
  return noted(schema, { allowed: `a time with its unit (ms, s, m, h, d), such as ${example}, or 0` }, description)
}

function size(description: string, least: number): z.ZodType<string | number> {
  const schema = z.union([z.string().regex(sizePattern), z.int().min(0)])
  return noted(schema, { allowed: `a size such as 64KB, 16MB, 1GB, or bytes as a number, at least ${String(least)}` }, description)
}

function whole(from: number, to: number, description: string): z.ZodType<number> {
  return noted(z.int().min(from).max(to), { allowed: `a whole number from ${String(from)} to ${String(to)}` }, description)
}

function oneOf<const T extends readonly [string, ...string[]]>(
  values: T,
  description: string,
  later: readonly string[] = [],
): z.ZodType<T[number]> {
  return noted(
    // zod types an enum by an object of its values; what comes out is one of `values` all the same.
    z.enum(values) as unknown as z.ZodType<T[number]>,
    { allowed: `one of: ${values.join(', ')}`, later: (value) => typeof value === 'string' && later.includes(value) },
    description,
  )
}

function flag(description: string): z.ZodType<boolean> {
  return noted(z.boolean(), { allowed: 'true or false' }, description)
}

function listOf<S extends z.ZodType>(item: S, description: string, least = 0): z.ZodArray<S> {
  return noted(z.array(item).min(least), { allowed: least === 0 ? 'a list' : 'a list that is not empty' }, description)
}

function mapOf<S extends z.ZodType>(value: S, allowed: string, description: string): z.ZodRecord<z.ZodString, S> {
  return noted(z.record(z.string(), value), { allowed }, description)
}

function object<S extends z.ZodRawShape>(shape: S, description: string, laterKeys: readonly string[] = []): z.ZodObject<S, z.core.$strict> {
  return noted(z.strictObject(shape), { allowed: `a map with keys of: ${Object.keys(shape).join(', ')}`, laterKeys }, description)
}

function poolMode(description: string): z.ZodType<'transaction' | 'session' | 'statement'> {
  return oneOf(['transaction', 'session', 'statement'], description)
}

const listenTls = object(
  {
    cert: text('Certificate chain: path of a PEM file, or the PEM text.'),
    key: text('Private key: path of a PEM file, or the PEM text.'),
    ca: text('Authorities that client certificates are checked against.').optional(),
    mode: oneOf(['prefer', 'require'], 'require: clients without TLS are refused. Default: prefer.').optional(),
    min_version: oneOf(['TLSv1.2', 'TLSv1.3'], 'Default: TLSv1.2.').optional(),
  },
  'TLS towards clients.',
)

const listen = object(
  {
    host: text('Address to listen on. Default: 127.0.0.1.').optional(),
    port: whole(0, 65535, 'Default: 6432. 0: any free port.').optional(),
    unix: text('Path of a Unix socket to listen on as well.').optional(),
    tls: listenTls.optional(),
    max_clients: whole(1, 1_000_000, 'Clients at once; more get 53300. Default: 10000.').optional(),
    client_lifetime: duration(
      'Age at which a client is asked to connect anew, outside a transaction; 0: never. Default: never.',
      '1h',
    ).optional(),
    workers: whole(1, 64, 'Processes that share the port. Default: 1.').optional(),
    grace: duration('How long open transactions may take when the program is told to end. Default: 10s.', '10s').optional(),
    drain: duration(
      'After a restart, how long the process before serves the clients it has as if nothing had happened. Default: 60s.',
      '60s',
    ).optional(),
  },
  'Where clients connect.',
)

const admin = object(
  {
    host: text('Default: 127.0.0.1.').optional(),
    port: whole(0, 65535, 'Default: 6480. 0: any free port.').optional(),
    token: secret('Bearer token; needed where host is not loopback.').optional(),
  },
  'HTTP: /metrics, /healthz, /readyz. Off where this key is missing.',
)

const userLimits = {
  max_clients: whole(1, 1_000_000, 'Clients of this user at once; more get 53300. Default: no limit but listen.max_clients.').optional(),
  max_connections: whole(1, 100_000, 'Server connections lent to this user at once; who needs more waits. Default: no limit.').optional(),
  weight: whole(1, 1_000, 'Turns of this user, compared with others who wait for connections of one pool. Default: 1.').optional(),
}

const authUser = object(
  {
    name: text('The name clients log in with.'),
    password: secret('The password.').optional(),
    verifier: secret('Instead of a password: what pg_authid holds, a SCRAM verifier (SCRAM-SHA-256$…) or an md5 hash (md5…).').optional(),
    pool_mode: poolMode('Instead of the database’s.').optional(),
    ...userLimits,
  },
  'One user.',
)

const authQuery = object(
  {
    cluster: text('Whose servers are asked.'),
    sql: text(
      'Asked with the name of a user as $1; gives its name and its secret as in pg_authid. Default: a query of pg_authid.',
    ).optional(),
    user: text('Login that asks.'),
    password: secret('Its password.').optional(),
    dbname: text('Database on the servers. Default: the cluster’s, or else postgres.').optional(),
    cache: duration('How long an answer is kept; 0: not at all. Default: 30s.', '30s').optional(),
  },
  'Where the secrets of users come from that are not listed.',
)

const authRule = object(
  {
    address: text('local (the Unix socket), an address, or a range such as 10.0.0.0/8. Default: from anywhere.').optional(),
    users: listOf(text('A user name, or all.'), 'Who. Default: all.', 1).optional(),
    databases: listOf(text('A database name, all, or replication.'), 'What they connect to. Default: all.', 1).optional(),
    tls: flag('true: with TLS only. false: without only. Default: either.').optional(),
    method: oneOf(
      ['scram-sha-256', 'md5', 'cert', 'trust', 'reject'],
      'How they prove who they are; reject: not at all. Default: auth.method.',
    ).optional(),
    clientcert: oneOf(
      ['verify-ca', 'verify-full'],
      'A client certificate besides: of listen.tls.ca, and with verify-full the user’s own. Default: none.',
    ).optional(),
  },
  'One rule.',
)

const certificateUsers = noted(
  z.union([z.string().min(1), z.array(noted(z.string().min(1), { allowed: 'a user name' })).min(1)]),
  { allowed: 'a user name, or a list of them' },
  'The users that a certificate of this name may be.',
)

const auth = object(
  {
    method: oneOf(
      ['scram-sha-256', 'md5', 'cert', 'trust'],
      'How clients prove who they are; trust: on loopback only. Default: scram-sha-256.',
    ).optional(),
    users: listOf(authUser, 'Who may log in.').optional(),
    default_user: object(userLimits, 'Limits of users that are not listed, or are listed without one.').optional(),
    auth_query: authQuery.optional(),
    rules: listOf(
      authRule,
      'Who may come in from where, and how; the first that fits decides. Default: everybody by auth.method.',
      1,
    ).optional(),
    map: mapOf(
      certificateUsers,
      'a map of common name: user, or list of users',
      'Common name of a client certificate → the users it may be. Default: the user of that name.',
    ).optional(),
    failure_delay: duration('How long a failed login is held back; twice as long each time. Default: 500ms.', '500ms').optional(),
    admins: listOf(text('A user name.'), 'Users that may use every console command.').optional(),
    viewers: listOf(text('A user name.'), 'Users that may use SHOW on the console.').optional(),
    replication: listOf(text('A user name.'), 'Users that may open replication connections.').optional(),
  },
  'Who may connect.',
)

const clusterTls = object(
  {
    mode: oneOf(['disable', 'prefer', 'require', 'verify-ca', 'verify-full'], 'As libpq’s sslmode. Default: prefer.').optional(),
    ca: text('Authorities: path of a PEM file, or the PEM text. Default: the system’s.').optional(),
    cert: text('Client certificate: path of a PEM file, or the PEM text.').optional(),
    key: text('Key of the client certificate: path of a PEM file, or the PEM text.').optional(),
    negotiation: oneOf(['postgres', 'direct'], 'As libpq’s sslnegotiation; direct: PostgreSQL 17 and later. Default: postgres.').optional(),
    min_version: oneOf(['TLSv1.2', 'TLSv1.3'], 'Default: TLSv1.2.').optional(),
  },
  'TLS towards the servers.',
)

const node = noted(
  z.union([
    z.string().regex(nodePattern),
    object(
      {
        host: text('Host name or address.'),
        port: whole(1, 65535, 'Default: 5432.').optional(),
        weight: noted(
          z.number().gt(0).max(1000),
          { allowed: 'a number above 0, up to 1000' },
          'Share of the reads, relative to the others. Default: 1.',
        ).optional(),
        zone: text('Where it stands; shown, not used to choose.').optional(),
        subscriber: flag('A logical subscriber: always a replica. Needs position: { heartbeat: … }. Default: false.').optional(),
      },
      'One server.',
    ),
  ]),
  { allowed: '"host:port", or a map with keys of: host, port, weight, zone, subscriber' },
  'One server. Whether it is primary or replica is detected, never configured.',
)

const position = noted(
  z.union([
    z.literal('wal'),
    object({ heartbeat: text('A table with one row, which every sample raises; a bare name means public.<name>.') }, 'By a row.'),
  ]),
  { allowed: '"wal", or a map: { heartbeat: schema.table }' },
  'How positions are measured; heartbeat: for servers whose WAL positions cannot be compared. Default: wal.',
)

const cluster = object(
  {
    dbname: text('Database on the servers. Default: the name the client connected to.').optional(),
    user: text('Login to the servers. Default: the client’s own name and password.').optional(),
    password: secret('Password of user.').optional(),
    tls: clusterTls.optional(),
    monitor: object(
      { user: text('Login for measuring; a member of pg_monitor.'), password: secret('Its password.').optional() },
      'Who measures role, timeline and position. Default: the cluster’s user.',
    ).optional(),
    nodes: listOf(node, 'The primary and its replicas, in any order.', 1),
    pool: object(
      {
        max: whole(1, 10_000, 'Server connections per node and user. Default: 20.').optional(),
        wait: duration('How long a statement waits for a connection; then 53300. Default: 5s.', '5s').optional(),
        lifetime: duration('Age at which a connection is replaced. Default: 30m.', '30m').optional(),
        queue: whole(1, 1_000_000, 'Statements that may wait for a connection; more get 53300. Default: 10000.').optional(),
      },
      'Connections to the servers.',
    ).optional(),
    failover: object(
      { wait: duration('How long a write waits for a primary. Default: 10s.', '10s').optional() },
      'When there is no primary.',
    ).optional(),
    reset: oneOf(['tainted', 'always'], 'When a connection is scrubbed before the next client gets it. Default: tainted.').optional(),
    lsn_source: oneOf(
      ['insert', 'flush'],
      'Which position of the primary counts. flush: only where no commit is asynchronous. Default: insert.',
    ).optional(),
    position: position.optional(),
    protocol: oneOf(
      ['3.0', '3.2'],
      '3.2: long cancel keys, PostgreSQL 18 and later. Older servers negotiate down. Default: "3.0".',
    ).optional(),
    read_only: noted(
      z.union([
        z.boolean(),
        z
          .string()
          .min(1)
          .refine((text) => !/^(yes|no|on|off|true|false|y|n)$/i.test(text)),
      ]),
      { allowed: 'true, false, or the message for clients whose writes are refused' },
      'Refuses writes with 25006. Default: false.',
    ).optional(),
  },
  'One primary and its replicas.',
)

const virtualKeys = {
  virtual: flag('The tables are still on their old cluster, named here; the rules are tried on them. Default: false.').optional(),
  mode: oneOf(
    ['off', 'log', 'refuse'],
    'Of virtual: true. off: as if it were not here · log: what crosses runs and is counted · refuse: as if the split were made. Default: log.',
  ).optional(),
  rollout: noted(
    z.string().regex(/^(100|[1-9]?[0-9])%$/),
    { allowed: 'a share from 0% to 100%' },
    'Of mode: refuse. Share of the statement shapes that it holds for; the others are logged. Default: 100%.',
  ).optional(),
}

const shardRange = noted(
  z.union([z.int().min(0), z.string().regex(/^[0-9]{1,5}( ?- ?[0-9]{1,5})?$/)]),
  { allowed: 'a logical shard such as 7, or a range such as 0-31' },
  'A logical shard, or a range of them.',
)

const keyColumn = noted(
  z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(8)]),
  { allowed: 'the name of the shard key column, or a list of them' },
  'Column that holds the shard key; several for a key of several columns.',
)

const keyTypes = ['smallint', 'integer', 'bigint', 'text', 'varchar', 'uuid'] as const

const listValue = noted(z.union([z.string(), z.int()]), { allowed: 'a key value: a text or a whole number' }, 'A key value.')

const shardRangeOfKeys = object(
  {
    from: listValue.optional(),
    to: listValue.optional(),
    shard: whole(0, 65_535, 'The logical shard.'),
  },
  'A range of keys: from ≤ key < to. Without from: all below; without to: all above.',
)

const directory = object(
  {
    cluster: text('Where the table is.'),
    table: text('The table; a bare name means public.<name>.'),
    key: keyColumn,
    shard: text('Its column that holds the logical shard.'),
    ttl: duration('How long an answer is used without asking again. Default: 60s.', '60s').optional(),
    max_entries: whole(1, 10_000_000, 'Answers kept at most. Default: 100000.').optional(),
    channel: text('NOTIFY on it makes Pointsman forget the key that the payload names, or all where it is empty.').optional(),
  },
  'For by: directory. A table that says where a key lives.',
)

const sharded = object(
  {
    cluster: text('Of virtual: true, in the place of clusters: where the tables still are.').optional(),
    clusters: listOf(text('A cluster.'), 'Where the shards live.', 1).optional(),
    ...virtualKeys,
    shards: whole(1, 65_536, 'Logical shards, fixed for life. Default: the number of clusters, with a warning.').optional(),
    map: mapOf(
      listOf(shardRange, 'Its shards.'),
      'a map of cluster: [shards or ranges]',
      'Cluster → its logical shards. Default: spread in order.',
    ).optional(),
    by: oneOf(
      ['hash', 'list', 'range', 'directory', 'module'],
      'How a key finds its shard; hash is PostgreSQL’s own. Default: hash.',
    ).optional(),
    values: mapOf(
      listOf(listValue, 'Keys.', 1),
      'a map of shard: [keys]',
      'For by: list. Logical shard → the keys that live there.',
    ).optional(),
    ranges: listOf(shardRangeOfKeys, 'For by: range. Ranges of keys, without gaps.', 1).optional(),
    directory: directory.optional(),
    module: noted(
      z.union([z.string().min(1), z.custom<ShardModule['place']>((value) => typeof value === 'function')]),
      { allowed: 'the path of a JavaScript module' },
      'For by: module. A file that exports the function shardOf(key…), or has it as its default export.',
    ).optional(),
    key_type: noted(
      z.union([z.enum(keyTypes), z.array(z.enum(keyTypes)).min(1).max(8)]),
      { allowed: `one of: ${keyTypes.join(', ')}; or a list of them` },
      'Type of the shard key; several for a key of several columns.',
    ),
    owner: text('Who answers for the tables.').optional(),
    scatter: oneOf(
      ['merge', 'refuse'],
      'What happens to a SELECT that no key puts on one shard: merged where that is provably right, or always refused. Default: merge.',
    ).optional(),
    tables: mapOf(
      keyColumn,
      'a map of table: shard key column',
      'Table → its shard key column, or columns. Equal keys of these tables live together.',
    ),
  },
  'Tables spread over clusters by a key.',
)

const policyShape = {
  consistency: oneOf(
    ['strong', 'session', 'bounded', 'any'],
    'strong: primary · session: read your writes · bounded: only max_staleness · any.',
  ).optional(),
  max_staleness: duration('How old an answer may be.', '5s').optional(),
  on_unmet: noted(
    z.union([z.string().regex(ladderStepPattern), z.array(noted(z.string().regex(ladderStepPattern), { allowed: ladderWords() })).min(1)]),
    { allowed: `a list of: ${ladderWords()}` },
    'What to try, in order, when no replica is proved fresh enough. Default: [primary].',
  ).optional(),
  cut_off: oneOf(['serve', 'refuse'], 'Whether a replica that is cut off from its primary may answer. Default: serve.').optional(),
  cache: duration('How long a result may be given again, as far as its age meets this policy; 0: never. Default: never.', '60s').optional(),
  max_tx_age: duration('A READ ONLY transaction on a replica ends when it is older; 0: no limit. Default: no limit.', '30s').optional(),
}

function ladderWords(): string {
  return '"wait 30ms", "primary", "primary 50", "stale", "error"'
}

const policy = object(policyShape, 'What a read asks of the server that answers it.')

const partition = object(
  {
    cluster: text('Where the tables live.'),
    owner: text('Who answers for them.').optional(),
    tables: listOf(
      text('A table, or a pattern with *: billing_*, billing.*; a bare name means public.<name>.'),
      'The tables.',
      1,
    ).optional(),
    schemas: listOf(text('A schema.'), 'Schemas all of whose tables belong to it.', 1).optional(),
    users: listOf(text('A user name.'), 'Users whose statements may touch its tables; others get 42501. Default: all.', 1).optional(),
    reads: policy.optional(),
    ...virtualKeys,
  },
  'Tables that live on another cluster than the default.',
)

const tablePolicy = object(
  { ...policyShape, enforce: flag('No hint or setting weakens it. Default: false.').optional() },
  'What a read of this table asks.',
)

const reads = object(
  {
    default: policy.optional(),
    users: mapOf(policy, 'a map of user: policy', 'By user.').optional(),
    tables: mapOf(tablePolicy, 'a map of table: policy', 'By table; a bare name means public.<name>.').optional(),
  },
  'How old answers may be. Unset anywhere: strong.',
)

const twoPhase = object(
  {
    lock_timeout: duration(
      'How long a statement of such a transaction waits for a lock, where the session sets no lock_timeout of its own; 0: for ever. Default: 10s.',
      '10s',
    ).optional(),
    grace: duration('Age at which a prepared transaction is taken for one whose coordinator is gone. Default: 30s.', '30s').optional(),
    retention: duration('How long decisions are kept after all is done; at least twice `grace`. Default: 10m.', '10m').optional(),
  },
  'Two-phase commit, with times of its own.',
)

const database = object(
  {
    default: text('Cluster of every table not named below.'),
    owner: text('Who answers for the tables not named below.').optional(),
    partitions: mapOf(partition, 'a map of name: partition', 'Tables on other clusters.').optional(),
    sharded: mapOf(sharded, 'a map of name: sharded tables', 'Tables spread over clusters.').optional(),
    reference: listOf(text('A table.'), 'Tables with the same rows on every cluster.').optional(),
    coordinator: text('Cluster that sees all shards: reads that cannot be merged go there.').optional(),
    two_phase: noted(
      z.union([z.boolean(), twoPhase]),
      { allowed: 'true, false, or a map with keys of: lock_timeout, grace, retention' },
      'Transactions that write on several clusters, by two-phase commit. Default: false.',
    ).optional(),
    unparsed: oneOf(['primary', 'refuse'], 'What happens to text the parser does not understand. Default: primary.').optional(),
    pool_mode: poolMode('How long a client keeps a server connection. Default: transaction.').optional(),
    max_clients: whole(
      1,
      1_000_000,
      'Clients of this database at once; more get 53300. Default: no limit but listen.max_clients.',
    ).optional(),
    max_connections: whole(
      1,
      100_000,
      'Server connections lent for this database at once; who needs more waits. Default: no limit.',
    ).optional(),
    bus: oneOf(['own', 'all'], 'all: LISTEN hears every cluster of the database. Default: own, the default cluster.').optional(),
    functions: mapOf(
      oneOf(['read', 'write'], 'read: changes nothing. write: may change data.'),
      'a map of function: read or write',
      'Functions that the servers’ catalog labels wrongly: name or schema.name.',
    ).optional(),
    reads: reads.optional(),
  },
  'What clients connect to.',
)

const lanes = object(
  {
    enabled: flag('false: every request has a server connection of its own. Default: true.').optional(),
    depth: whole(1, 1024, 'Requests in flight on a lane. Default: 16.').optional(),
    stall: duration('Age at which a slow head closes its lane. Default: 20ms.', '20ms').optional(),
    max_result: size('Larger results do not use lanes. Default: 64KB.', 1).optional(),
    connections: whole(1, 256, 'Lanes per node, user, database and settings. Default: 4.').optional(),
  },
  'Pipelining of several clients over one server connection.',
)

const identity = object(
  {
    node: whole(
      0,
      1023,
      'Number of this host, of which each has its own: part of what pointsman.unique_id() gives. Default: none.',
    ).optional(),
  },
  'Who this is among others.',
)

const limits = object(
  {
    max_message_bytes: size('Largest message a client may send. Default: 1GB.', 65_536).optional(),
    max_parse_bytes: size('Longer statements are not parsed, so not understood. Default: 1MB.', 1024).optional(),
    shape_cache_bytes: size('Memory for what is known of statements. Default: 32MB.', 65_536).optional(),
    login: duration('Time a client has to log in. Default: 15s.', '15s').optional(),
    listener_queue: size('Notifications kept for a client that does not take them; more end it. Default: 8MB.', 65_536).optional(),
    merge_memory: size('Memory of one statement that is merged of several clusters; more is refused. Default: 64MB.', 65_536).optional(),
  },
  'Bounds on what clients may use.',
)

const tokens = object(
  { key: secret('Signs consistency tokens, and only signed ones are read; at least 16 characters. Default: not signed.').optional() },
  'Consistency tokens: SHOW pointsman.token, cookies, headers.',
)

const cache = object(
  {
    max_bytes: size('Memory for results, of all databases together; 0: none are kept. Default: 64MB.', 0).optional(),
    max_result: size('A larger result is not kept. Default: 1MB.', 0).optional(),
  },
  'The deliberate cache of results; which tables use it is said by `cache` in reads.',
)

const chaos = object(
  {
    i_know: flag('Must be true: failures are made on purpose.').optional(),
    kill: duration('Mean time between two server connections that are closed at random; 0: none. Default: none.', '10s').optional(),
    delay: object(
      {
        share: noted(z.number().min(0).max(1), { allowed: 'a share from 0 to 1, such as 0.1' }, 'Share of the answers.'),
        by: duration('How long they are held back, about.', '500ms'),
      },
      'Holds answers of the monitor’s queries back.',
    ).optional(),
    pause: object(
      {
        every: duration('Mean time between two pauses.', '1m'),
        for: duration('How long a replica is not used.', '5s'),
      },
      'Leaves a replica, drawn at random, unused for a while.',
    ).optional(),
    seed: whole(0, 2 ** 31 - 1, 'Seed of its random numbers. Default: a new one each start.').optional(),
  },
  'Failures on purpose, at random moments. Off where this key is missing.',
)

const log = object(
  {
    level: oneOf(['debug', 'info', 'warn', 'error', 'silent'], 'Default: info.').optional(),
    parameters: flag('Log parameter values and literals. Default: false.').optional(),
  },
  'The log: one JSON line per event.',
)

const shape = {
  version: noted(z.literal(1), { allowed: '1' }, 'Version of this format.'),
  listen: listen.optional(),
  admin: admin.optional(),
  auth: auth.optional(),
  clusters: mapOf(cluster, 'a map of id: cluster', 'Primaries with their replicas, by a name of your choice.'),
  databases: mapOf(database, 'a map of name: database', 'By the name clients connect to; "*" takes every name not listed.'),
  tokens: tokens.optional(),
  cache: cache.optional(),
  chaos: chaos.optional(),
  lanes: lanes.optional(),
  identity: identity.optional(),
  limits: limits.optional(),
  log: log.optional(),
}

/** What a Config is made from. Refuses unknown keys everywhere. */
export const configSchema: z.ZodType<ConfigInput> = object(shape, 'Configuration of Pointsman.')
