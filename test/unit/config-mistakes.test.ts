// Every mistake that the config knows, each in a file of its own, with the line and column it must be told at.
import t from 'tap'
import type { Problem } from '../../src/config/config.js'
import { parseConfigText } from '../../src/config/yaml.js'
import { makeAuthority } from '../support/certificates.js'

const [own, other] = [makeAuthority(), makeAuthority()]
const files: Readonly<Record<string, string>> = {
  'ca.pem': own.cert,
  'key.pem': own.key,
  'other.pem': other.key,
  'torn.pem': '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n',
  'not.pem': 'hello',
  secret: 's3cret\n',
  empty: '\n',
}
const surroundings = {
  env: { SECRET: 'hunter2', EMPTY: '' },
  readFile: (path: string): string => {
    const content = files[path]
    if (content === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
    return content
  },
}
const parse = (text: string) => parseConfigText(text, surroundings)

const clusters = `clusters:
  main: { user: app, nodes: ["h:1"] }
  two: { user: app, nodes: ["h:2"] }
`
const base = `version: 1\n${clusters}databases:\n  app: { default: main }\n`
const database = (text: string) => `version: 1\n${clusters}databases:\n  app:\n    default: main\n${text}`
const sharded = (text: string) => database(`    sharded:\n      s:\n${text}`)
const root = (text: string) => `${text}\n${base}`
const cluster = (text: string) => `version: 1\nclusters:\n  main: ${text}\ndatabases:\n  app: { default: main }\n`

/** [what, text, line:column, part of the message or found]; the file must have exactly this one problem. */
const mistakes: [string, string, string, RegExp][] = [
  ['an empty file', '', '1:1', /the file is empty/],
  ['a file of comments', '# nothing\n', '1:1', /the file is empty/],
  ['a list', '- 1\n', '1:1', /must be a map/],
  ['no version', base.replace('version: 1\n', ''), '1:1', /"version" is missing/],
  ['another version', base.replace('version: 1', 'version: 2'), '1:10', /"version" must be 1/],
  ['a key that does not exist', root('listne: {}'), '1:1', /unknown key "listne"; did you mean "listen"\?/],
  ['a key that does not exist, deep', root('listen: { host: localhost, prot: 1 }'), '1:28', /unknown key "prot"; did you mean "port"\?/],
  ['a port out of range', root('listen: { port: 65536 }'), '1:17', /whole number from 0 to 65535/],
  ['a port as text', root('listen: { port: "5432" }'), '1:17', /whole number/],
  ['no workers', root('listen: { workers: 0 }'), '1:20', /must be a whole number from 1 to 64/],
  ['more workers than anybody has', root('listen: { workers: 65 }'), '1:20', /must be a whole number from 1 to 64/],
  ['a drain without a unit', root('listen: { drain: 60 }'), '1:18', /must be a time with its unit/],
  ['TLS without a key', root('listen: { tls: { cert: ca.pem } }'), '1:11', /"key" is missing/],
  [
    'a certificate that is not there',
    root('listen: { tls: { cert: nope.pem, key: key.pem } }'),
    '1:24',
    /cannot read the file: ENOENT.*nope\.pem/,
  ],
  ['a certificate that is none', root('listen: { tls: { cert: not.pem, key: key.pem } }'), '1:24', /no PEM block/],
  ['trust off loopback', root('listen: { host: 0.0.0.0 }\nauth: { method: trust }'), '2:17', /trust is allowed on loopback only/],
  ['a certificate that cannot be read', root('listen: { tls: { cert: torn.pem, key: key.pem } }'), '1:24', /no certificate can be read/],
  ['a key that is none', root('listen: { tls: { cert: ca.pem, key: ca.pem } }'), '1:37', /no private key can be read/],
  [
    'the key of another certificate',
    root('listen: { tls: { cert: ca.pem, key: other.pem } }'),
    '1:37',
    /does not belong to the certificate/,
  ],
  [
    'authorities that are none',
    root('listen: { tls: { cert: ca.pem, key: key.pem, ca: torn.pem } }'),
    '1:50',
    /no certificate can be read/,
  ],
  [
    'a version of TLS that is too old',
    root('listen: { tls: { cert: ca.pem, key: key.pem, min_version: TLSv1 } }'),
    '1:59',
    /TLSv1.2, TLSv1.3/,
  ],
  ['auth by certificate without TLS', root('auth: { method: cert }'), '1:17', /listen.tls.ca is missing/],
  [
    'auth by certificate without authorities',
    root('listen: { tls: { cert: ca.pem, key: key.pem } }\nauth: { rules: [{ method: cert }] }'),
    '2:27',
    /listen.tls.ca is missing/,
  ],
  [
    'a certificate without TLS',
    root('listen: { tls: { cert: ca.pem, key: key.pem, ca: ca.pem } }\nauth: { rules: [{ tls: false, clientcert: verify-full }] }'),
    '2:43',
    /for clients without TLS/,
  ],
  [
    'a rule with trust off loopback',
    root('listen: { host: 0.0.0.0 }\nauth: { rules: [{ method: trust }] }'),
    '2:27',
    /trust is allowed on loopback/,
  ],
  [
    'a rule with trust for a network',
    root('listen: { host: 0.0.0.0 }\nauth: { rules: [{ address: 127.0.0.0/7, method: trust }] }'),
    '2:28',
    /this is no address and no range/,
  ],
  [
    'a rule with trust for others too',
    root('listen: { host: 0.0.0.0 }\nauth: { rules: [{ address: 126.0.0.0/7, method: trust }] }'),
    '2:49',
    /trust is allowed on loopback/,
  ],
  ['an address that is none', root('auth: { rules: [{ address: 10.0.0.256 }] }'), '1:28', /this is no address and no range/],
  ['a range with bits behind its prefix', root('auth: { rules: [{ address: 10.1.2.3/8 }] }'), '1:28', /this is no address and no range/],
  ['no rules', root('auth: { rules: [] }'), '1:16', /not empty/],
  [
    'auth_query of a cluster that is not there',
    root('auth: { auth_query: { cluster: tow, user: a } }'),
    '1:32',
    /there is no cluster "tow"/,
  ],
  ['auth_query without a login', root('auth: { auth_query: { cluster: two } }'), '1:9', /"user" is missing/],
  ['a delay that nobody would wait for', root('auth: { failure_delay: 1m }'), '1:24', /wait too long/],
  ['admin off loopback without token', root('admin: { host: 10.0.0.1 }'), '1:1', /needs a token/],
  ['a pool mode that there is not', database('    pool_mode: sesion\n'), '8:16', /one of: transaction, session, statement/],
  [
    'a pool mode of a user',
    root('auth:\n  users:\n    - { name: a, password: x, pool_mode: 1 }'),
    '3:42',
    /one of: transaction, session, statement/,
  ],
  ['a bus that there is not', database('    bus: some\n'), '8:10', /one of: own, all/],
  ['a protocol as a number', cluster('{ nodes: ["h:1"], user: a, protocol: 3.2 }'), '3:46', /one of: 3\.0, 3\.2/],
  ['a queue that holds nothing', root('limits: { listener_queue: 1KB }'), '1:27', /"listener_queue" is out of range/],
  ['replication as a flag', root('auth: { replication: true }'), '1:22', /must be a list/],
  ['a user twice', root('auth:\n  users:\n    - { name: a, password: x }\n    - { name: a, password: y }'), '4:15', /listed twice/],
  ['a user without password', root('auth:\n  users:\n    - { name: a }'), '3:7', /no password and no verifier/],
  [
    'a user with both',
    root(`auth:\n  users:\n    - { name: a, password: x, verifier: "SCRAM-SHA-256$4096:c2FsdA==$${'A'.repeat(43)}=:${'A'.repeat(43)}=" }`),
    '3:31',
    /not both/,
  ],
  [
    'a verifier that is none',
    root('auth:\n  users:\n    - { name: a, verifier: md5abc }'),
    '3:28',
    /neither a SCRAM verifier nor an md5 hash/,
  ],
  [
    'an md5 hash without md5',
    root(`auth:\n  users:\n    - { name: a, verifier: md5${'0'.repeat(32)} }`),
    '3:28',
    /can only be used with md5/,
  ],
  ['a secret that is unset', root('auth:\n  users:\n    - { name: a, password: "${NOPE}" }'), '3:28', /"NOPE" is not set.*\$\{NOPE\}/],
  ['a secret that is empty', root('admin: { token: "${EMPTY}" }'), '1:17', /"EMPTY" is not set/],
  ['a secret file that is not there', root('admin: { token: "file:nope" }'), '1:17', /ENOENT.*file:nope/],
  ['a secret file that is empty', root('admin: { token: "file:empty" }'), '1:17', /secret is unset/],
  ['a password that is a number', root('auth:\n  users:\n    - { name: a, password: 12345678 }'), '3:28', /\(hidden\)/],
  ['users that are texts', root('auth:\n  users: ["app:hunter2"]'), '2:11', /must be a map.*\(hidden\)/],
  ['no databases', `version: 1\n${clusters}databases: {}\n`, '5:12', /"databases" is empty/],
  ['a cluster without nodes', cluster('{ user: app, nodes: [] }'), '3:29', /not empty/],
  ['a cluster that is empty', cluster(''), '3:3', /must be a map/],
  ['a node that is none', cluster('{ user: app, nodes: ["a:b:c"] }'), '3:30', /must be "host:port"/],
  ['a node with a port too large', cluster('{ user: app, nodes: ["a:70000"] }'), '3:30', /not host:port/],
  ['a node twice', cluster('{ user: app, nodes: ["a:5432", { host: a }] }'), '3:40', /listed twice/],
  ['a weight of zero', cluster('{ user: app, nodes: [{ host: a, weight: 0 }] }'), '3:49', /above 0/],
  ['a wait without unit', cluster('{ user: app, nodes: [a], pool: { wait: 5 } }'), '3:48', /with its unit/],
  ['a password without user', cluster('{ password: x, monitor: { user: m }, nodes: [a] }'), '3:11', /needs its user/],
  ['nobody to measure with', cluster('{ nodes: [a] }'), '3:3', /cannot measure/],
  ['direct TLS that may be none', cluster('{ user: a, nodes: [a], tls: { negotiation: direct } }'), '3:52', /TLS cannot be optional/],
  ['a client certificate without key', cluster('{ user: a, nodes: [a], tls: { cert: ca.pem } }'), '3:32', /"key" is missing/],
  ['an sslmode that does not exist', cluster('{ user: a, nodes: [a], tls: { mode: verify } }'), '3:45', /verify-full/],
  ['a database of the console’s name', database('').replace('app:', 'pointsman:'), '6:3', /taken by the console/],
  ['an unknown cluster', base.replace('default: main', 'default: mian'), '6:19', /unknown cluster "mian"; did you mean "main"\?/],
  [
    'an unknown cluster of a partition',
    database('    partitions:\n      p: { cluster: x, tables: [a] }\n'),
    '9:21',
    /unknown cluster "x".*main, two/,
  ],
  [
    'a table in two partitions',
    database('    partitions:\n      p: { cluster: two, tables: [a] }\n      q: { cluster: two, tables: [public.a] }\n'),
    '10:35',
    /two homes: partition p and partition q/,
  ],
  [
    'a table in a partition and reference',
    database('    partitions:\n      p: { cluster: two, tables: [a] }\n    reference: [a]\n'),
    '10:17',
    /two homes: partition p and reference/,
  ],
  ['a table twice', database('    reference: [a, b, a]\n'), '8:23', /listed twice in reference/],
  ['a table name with capitals', database('    reference: [Users]\n'), '8:17', /capital letters/],
  ['a table name of three parts', database('    reference: [a.b.c]\n'), '8:17', /more than two parts/],
  ['a table name that is none', database('    reference: ["a b"]\n'), '8:17', /is not a name/],
  [
    'two-phase commit without a login for recovery',
    database('    two_phase: true\n    partitions:\n      p: { cluster: two, tables: [a] }\n').replace(
      'two: { user: app, ',
      'two: { monitor: { user: m }, ',
    ),
    '8:16',
    /has no "user"/,
  ],
  ['two-phase commit with words', database('    two_phase: sometimes\n'), '8:16', /must be true, false, or a map/],
  ['two-phase commit that forgets too early', database('    two_phase: { grace: 60s, retention: 90s }\n'), '8:41', /could be forgotten/],
  ['two-phase commit that cannot wait', database('    two_phase: { grace: 10ms }\n'), '8:25', /taken for one whose coordinator is gone/],
  ['lanes that are neither on nor off', root('lanes: { enabled: 3 }'), '1:19', /must be/],
  ['lanes that close at once', root('lanes: { stall: 0.5ms }'), '1:17', /closed as soon as it is used/],
  ['a function kind that does not exist', database('    functions: { f: stable }\n'), '8:21', /one of: read, write/],
  [
    'a missing shard key',
    sharded('        clusters: [two]\n        shards: 2\n        key_type: bigint\n        tables: { t: }\n'),
    '13:19',
    /name of the shard key column/,
  ],
  [
    'shard keys as a list',
    sharded('        clusters: [two]\n        shards: 2\n        key_type: bigint\n        tables: [t]\n'),
    '13:17',
    /table: shard key column/,
  ],
  [
    'no sharded tables',
    sharded('        clusters: [two]\n        shards: 2\n        key_type: bigint\n        tables: {}\n'),
    '13:17',
    /"tables" is empty/,
  ],
  [
    'a key type that does not exist',
    sharded('        clusters: [two]\n        shards: 2\n        key_type: citext\n        tables: { t: k }\n'),
    '12:19',
    /one of: smallint/,
  ],
  ['no key type', sharded('        clusters: [two]\n        shards: 2\n        tables: { t: k }\n'), '9:7', /"key_type" is missing/],
  [
    'a function for shards that there is not',
    sharded('        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: guess\n        tables: { t: k }\n'),
    '13:13',
    /must be one of: hash, list, range, directory, module/,
  ],
  [
    'ranges without ranges',
    sharded('        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: range\n        tables: { t: k }\n'),
    '9:7',
    /by: range needs ranges/,
  ],
  [
    'ranges of another function',
    sharded(
      '        clusters: [two]\n        shards: 2\n        key_type: bigint\n        ranges: [{ shard: 0 }]\n        tables: { t: k }\n',
    ),
    '13:9',
    /"ranges" means nothing here.*only with by: range/,
  ],
  [
    'ranges that overlap',
    sharded(
      '        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: range\n        ranges: [{ to: 10, shard: 0 }, { from: 9, shard: 1 }]\n        tables: { t: k }\n',
    ),
    '14:40',
    /overlaps with ranges\[0\]/,
  ],
  [
    'two ranges without a beginning',
    sharded(
      '        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: range\n        ranges: [{ to: 10, shard: 0 }, { to: 11, shard: 1 }]\n        tables: { t: k }\n',
    ),
    '14:40',
    /overlaps with ranges\[0\]/,
  ],
  [
    'ranges with a gap',
    sharded(
      '        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: range\n        ranges: [{ from: 11, shard: 0 }, { to: 10, shard: 1 }]\n        tables: { t: k }\n',
    ),
    '14:18',
    /gap between ranges\[1\] and this/,
  ],
  [
    'an empty range',
    sharded(
      '        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: range\n        ranges: [{ from: 10, to: 10, shard: 0 }]\n        tables: { t: k }\n',
    ),
    '14:18',
    /the range is empty/,
  ],
  [
    'a range to no key',
    sharded(
      '        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: range\n        ranges: [{ to: x, shard: 0 }]\n        tables: { t: k }\n',
    ),
    '14:24',
    /cannot be read as bigint/,
  ],
  [
    'a range to no shard',
    sharded(
      '        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: range\n        ranges: [{ shard: 2 }]\n        tables: { t: k }\n',
    ),
    '14:27',
    /there is no such shard/,
  ],
  [
    'ranges of a key of two columns',
    sharded(
      '        clusters: [two]\n        shards: 2\n        key_type: [bigint, text]\n        by: range\n        ranges: [{ shard: 0 }]\n        tables: { t: [a, b] }\n',
    ),
    '13:13',
    /takes a key of one column/,
  ],
  [
    'a key of two columns by one',
    sharded('        clusters: [two]\n        shards: 2\n        key_type: [bigint, text]\n        tables: { t: k }\n'),
    '13:22',
    /has 2 columns by key_type, and 1 here/,
  ],
  [
    'a key of one column by two',
    sharded('        clusters: [two]\n        shards: 2\n        key_type: bigint\n        tables: { t: [a, b] }\n'),
    '13:22',
    /has 1 column by key_type, and 2 here/,
  ],
  [
    'a key column twice',
    sharded('        clusters: [two]\n        shards: 2\n        key_type: [bigint, text]\n        tables: { t: [a, a] }\n'),
    '13:22',
    /column a is listed twice/,
  ],
  [
    'a key type that there is not, in a list',
    sharded('        clusters: [two]\n        shards: 2\n        key_type: [bigint, numeric]\n        tables: { t: [a, b] }\n'),
    '12:19',
    /smallint, integer, bigint/,
  ],
  [
    'a directory without its map',
    sharded('        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: directory\n        tables: { t: k }\n'),
    '9:7',
    /by: directory needs directory/,
  ],
  [
    'a directory on no cluster',
    sharded(
      '        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: directory\n        directory: { cluster: three, table: d, key: k, shard: s }\n        tables: { t: k }\n',
    ),
    '14:31',
    /three/,
  ],
  [
    'a directory with another key',
    sharded(
      '        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: directory\n        directory: { cluster: two, table: d, key: [a, b], shard: s }\n        tables: { t: k }\n',
    ),
    '14:51',
    /has 1 column by key_type, and 2 here/,
  ],
  [
    'a directory without the shard',
    sharded(
      '        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: directory\n        directory: { cluster: two, table: d, key: k }\n        tables: { t: k }\n',
    ),
    '14:9',
    /"shard" is missing/,
  ],
  [
    'a directory that is never kept',
    sharded(
      '        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: directory\n        directory: { cluster: two, table: d, key: k, shard: s, ttl: 0 }\n        tables: { t: k }\n',
    ),
    '14:69',
    /"ttl" must not be 0/,
  ],
  [
    'a module without its path',
    sharded('        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: module\n        tables: { t: k }\n'),
    '9:7',
    /by: module needs module/,
  ],
  [
    'a module where none is loaded',
    sharded(
      '        clusters: [two]\n        shards: 2\n        key_type: bigint\n        by: module\n        module: ./shards.mjs\n        tables: { t: k }\n',
    ),
    '14:17',
    /cannot be loaded here/,
  ],
  [
    'more clusters than shards',
    sharded('        clusters: [main, two]\n        shards: 1\n        key_type: bigint\n        tables: { t: k }\n'),
    '11:17',
    /more clusters than shards/,
  ],
  [
    'a cluster twice',
    sharded('        clusters: [two, two]\n        shards: 2\n        key_type: bigint\n        tables: { t: k }\n'),
    '10:25',
    /listed twice/,
  ],
  [
    'a map with a hole',
    sharded(
      '        clusters: [main, two]\n        shards: 8\n        map: { main: [0-2], two: [5-7] }\n        key_type: bigint\n        tables: { t: k }\n',
    ),
    '12:9',
    /no cluster for 3-4/,
  ],
  [
    'a map with an overlap',
    sharded(
      '        clusters: [main, two]\n        shards: 8\n        map: { main: [0-4], two: [4-7] }\n        key_type: bigint\n        tables: { t: k }\n',
    ),
    '12:35',
    /shard 4 has a cluster already/,
  ],
  [
    'a map past the end',
    sharded(
      '        clusters: [main, two]\n        shards: 8\n        map: { main: [0-4], two: [5-8] }\n        key_type: bigint\n        tables: { t: k }\n',
    ),
    '12:35',
    /no such shards/,
  ],
  [
    'a map of a foreign cluster',
    sharded(
      '        clusters: [two]\n        shards: 2\n        map: { main: [0], two: [1] }\n        key_type: bigint\n        tables: { t: k }\n',
    ),
    '12:16',
    /not among the clusters/,
  ],
  [
    'list without values',
    sharded('        clusters: [two]\n        shards: 2\n        by: list\n        key_type: bigint\n        tables: { t: k }\n'),
    '9:7',
    /needs values/,
  ],
  [
    'values without list',
    sharded('        clusters: [two]\n        shards: 2\n        values: { 0: [1] }\n        key_type: bigint\n        tables: { t: k }\n'),
    '12:9',
    /means nothing here/,
  ],
  [
    'a value on two shards',
    sharded(
      '        clusters: [two]\n        shards: 2\n        by: list\n        values: { 0: [1], 1: ["01"] }\n        key_type: bigint\n        tables: { t: k }\n',
    ),
    '13:31',
    /lives on shard 0 already/,
  ],
  [
    'a value of another type',
    sharded(
      '        clusters: [two]\n        shards: 2\n        by: list\n        values: { 0: [x] }\n        key_type: bigint\n        tables: { t: k }\n',
    ),
    '13:23',
    /cannot be read as bigint/,
  ],
  [
    'values of a shard that does not exist',
    sharded(
      '        clusters: [two]\n        shards: 2\n        by: list\n        values: { 2: [1] }\n        key_type: bigint\n        tables: { t: k }\n',
    ),
    '13:19',
    /no such shard/,
  ],
  ['bounded without bound', database('    reads: { default: { consistency: bounded } }\n'), '8:14', /needs max_staleness/],
  ['a table bounded without bound', database('    reads: { tables: { t: { consistency: bounded } } }\n'), '8:24', /needs max_staleness/],
  ['a bound without unit', database('    reads: { default: { max_staleness: 5 } }\n'), '8:40', /with its unit/],
  ['a bound in minutes spelled out', database('    reads: { default: { max_staleness: 5 minutes } }\n'), '8:40', /with its unit/],
  ['a step after primary', database('    reads: { default: { on_unmet: [primary, stale] } }\n'), '8:45', /never reached: "primary"/],
  ['a step that does not exist', database('    reads: { default: { on_unmet: [wait, primary] } }\n'), '8:36', /"wait 30ms"/],
  ['an empty ladder', database('    reads: { default: { on_unmet: [] } }\n'), '8:35', /a list of/],
  [
    'a consistency that does not exist',
    database('    reads: { default: { consistency: eventual } }\n'),
    '8:38',
    /one of: strong, session, bounded, any/,
  ],
  ['clients that live for no time', root('listen: { client_lifetime: 10ms }'), '1:28', /at least 1s/],
  ['a short token key', root('tokens: { key: short }'), '1:16', /at least 16 characters.*|too short/],
  ['a token key that is no text', root('tokens: { key: 1234567890123456 }'), '1:16', /\(hidden\)/],
  ['a result larger than the cache', root('cache: { max_bytes: 1MB, max_result: 2MB }'), '1:38', /larger than the whole cache/],
  ['chaos by accident', root('chaos: { kill: 10s }'), '1:1', /only from somebody who says so/],
  ['chaos that nobody knows of', root('chaos: { i_know: false, kill: 10s }'), '1:18', /only from somebody who says so/],
  ['chaos without a pause between', root('chaos: { i_know: true, kill: 1ms }'), '1:30', /at least 10ms/],
  ['a share above all', root('chaos: { i_know: true, delay: { share: 1.5, by: 1s } }'), '1:40', /from 0 to 1/],
  ['a pause of unknown length', root('chaos: { i_know: true, pause: { every: 1m } }'), '1:24', /"for" is missing/],
  ['a position source that does not exist', cluster('{ user: a, nodes: [a], lsn_source: write }'), '3:44', /one of: insert, flush/],
  ['a position that does not exist', cluster('{ user: a, nodes: [a], position: lsn }'), '3:42', /"wal", or a map/],
  ['a heartbeat without a table', cluster('{ user: a, nodes: [a], position: { heartbeat: "a b" } }'), '3:55', /is not a name/],
  [
    'a position source for a heartbeat',
    cluster('{ user: a, nodes: [a], position: { heartbeat: h }, lsn_source: flush }'),
    '3:60',
    /means nothing with a heartbeat/,
  ],
  ['a subscriber without heartbeat', cluster('{ user: a, nodes: [a, { host: b, subscriber: true }] }'), '3:54', /needs a heartbeat/],
  [
    'read-only for a word that YAML does not take for false',
    cluster('{ user: a, nodes: [a], read_only: no }'),
    '3:43',
    /true, false, or the message/,
  ],
  ['read-only for a number', cluster('{ user: a, nodes: [a], read_only: 1 }'), '3:43', /true, false, or the message/],
  ['a cut-off that does not exist', database('    reads: { default: { cut_off: stop } }\n'), '8:34', /one of: serve, refuse/],
  ['a cache without unit', database('    reads: { tables: { t: { cache: 60 } } }\n'), '8:36', /with its unit/],
  ['no time for transactions', database('    reads: { default: { max_tx_age: 1ms } }\n'), '8:37', /at least 10ms/],
  ['a size out of range', root('limits: { max_message_bytes: 1KB }'), '1:30', /out of range/],
  ['a size that is none', root('limits: { max_parse_bytes: lots }'), '1:28', /a size such as/],
  ['no time to log in', root('limits: { login: 1ms }'), '1:18', /nobody could log in/],
  ['a key twice', root('admin: {}\nadmin: {}'), '2:1', /stands twice.*found: admin/],
  ['two documents', `${base}---\n${base}`, '8:1', /several documents/],
  ['an unknown anchor', root('log: *hunter2'), '1:6', /anchor/],
  ['a text that must be quoted', root('log: { level: @info }'), '1:15', /must be quoted/],
  ['tabs', 'version: 1\nlog:\n\tlevel: info\n', '3:1', /tabs|indent/],
]

const printed = (problem: Problem) => `${problem.message} (found: ${problem.found}; allowed: ${problem.allowed})`

t.test('the base of all mistakes is right', async (t) => {
  t.ok(parse(base).ok)
  t.ok(parse(database('')).ok)
})

for (const [what, text, place, says] of mistakes) {
  t.test(what, async (t) => {
    const result = parse(text)
    t.notOk(result.ok)
    if (result.ok) return
    t.equal(result.problems.length, 1, result.problems.map((one) => `${String(one.line)} ${one.path} ${one.message}`).join('\n'))
    const [problem] = result.problems
    if (problem === undefined) return
    t.equal(`${String(problem.line)}:${String(problem.column)}`, place)
    t.match(printed(problem), says)
    t.notMatch(JSON.stringify(problem), /hunter2|12345678/, 'no secret is told')
  })
}

t.test('eight different mistakes give eight problems, by line', async (t) => {
  const text = `version: 1
listen: { prot: 6432 }
admin: { host: 0.0.0.0 }
auth:
  users:
    - { name: app, password: "\${NOPE}" }
clusters:
  main: { user: app, nodes: ["h:1", "h:1"] }
databases:
  app:
    default: mian
    partitions:
      media: { cluster: main, tables: [images] }
    sharded:
      comments:
        clusters: [main]
        shards: 4
        key_type: bigint
        tables: { images: id, comments: }
    reads: { default: { max_staleness: 5 } }
`
  const result = parse(text)
  t.notOk(result.ok)
  if (result.ok) return
  t.same(
    result.problems.map((problem) => [problem.line, problem.path]),
    [
      [2, 'listen.prot'],
      [3, 'admin.token'],
      [6, 'auth.users[0].password'],
      [8, 'clusters.main.nodes[1]'],
      [11, 'databases.app.default'],
      [19, 'databases.app.sharded.comments.tables.images'],
      [19, 'databases.app.sharded.comments.tables.comments'],
      [20, 'databases.app.reads.default.max_staleness'],
    ],
  )
})

t.test('warnings do not refuse', async (t) => {
  const result = parse(
    sharded('        clusters: [two, main]\n        key_type: bigint\n        tables: { t: k }\n') +
      'auth:\n  admins: [ops]\n  users: [{ name: app, password: x }]\n',
  )
  t.ok(result.ok)
  t.same(
    result.warnings.map((one) => [one.line, one.path]),
    [
      [9, 'databases.app.sharded.s.shards'],
      [14, 'auth.admins[0]'],
    ],
  )
  t.match(parse(base).warnings, [{ path: 'clusters.two', message: /no database uses/ }])
  const asked =
    '{ clusters: [main], shards: 2, by: directory, key_type: text, tables: { t: k }, directory: { cluster: two, table: d, key: k, shard: s } }'
  for (const use of ['coordinator: two', `sharded: { s: ${asked} }`]) t.same(parse(database(`    ${use}\n`)).warnings, [], use)
  const unused = parse(database('    reads: { tables: { t: { cache: 60s }, u: { cache: 60s, consistency: any }, v: { cache: 0 } } }\n'))
  t.match(unused.warnings[1], { path: 'databases.app.reads.tables.t.cache', message: /never kept/ })
  t.equal(unused.warnings.length, 2, 'the other is that of an unused cluster')
})
