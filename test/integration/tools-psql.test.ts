// psql through the proxy: what a person sees who connects, and that psql cannot tell the difference from a direct connection.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { main as command } from '../../src/doors/cli/main.js'
import { until } from '../../src/embedded/until.js'
import { findCommand, skipWithout } from '../support/commands.js'
import { programEnvironment, psql } from '../support/program.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { withTopology } from '../support/topology.js'

const skip = skipWithout('psql')

t.test('psql', { skip }, async (t) => {
  const comments = 'CREATE TABLE comments (image_id bigint, body text)'
  const running = await withTopology(t, {
    clusters: {
      main: {
        replicas: 1,
        seed: [
          'CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL); INSERT INTO users SELECT g, $$user $$ || g FROM generate_series(1, 50) g',
          'CREATE VIEW named AS SELECT name FROM users; CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql RETURN n * 2',
          "COMMENT ON TABLE users IS 'people'; CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE INDEX users_name ON users (name)",
        ],
      },
      media: { seed: 'CREATE TABLE images (id int PRIMARY KEY, user_id int); INSERT INTO images SELECT g, g FROM generate_series(1, 9) g' },
      comments_0: { seed: comments },
      comments_1: { seed: comments },
    },
  })
  const main = running.cluster('main')
  const { primary } = main
  const login = { dbname: 'app', user: 'app', password: 'app', tls: { mode: 'disable' as const } }
  const nodes = (id: string): string[] => running.cluster(id).nodes.map((node) => node.address)
  const input = {
    version: 1 as const,
    clusters: Object.fromEntries(['main', 'media', 'comments_0', 'comments_1'].map((id) => [id, { ...login, nodes: nodes(id) }])),
    databases: {
      app: {
        default: 'main',
        partitions: { media: { cluster: 'media', tables: ['images'] } },
        sharded: {
          comments: {
            clusters: ['comments_0', 'comments_1'],
            shards: 64,
            by: 'hash' as const,
            key_type: 'bigint' as const,
            tables: { comments: 'image_id' },
          },
        },
        reads: { default: { consistency: 'session' as const, max_staleness: '5s', on_unmet: ['wait 30ms', 'primary'] } },
      },
    },
  }
  const { port, connect } = await withProxy(t, input)
  const first = await connect()
  await until('reads are on the replica', async () => {
    await first.query('SELECT count(*) FROM users')
    return (await lastRoute(first)).startsWith('replica')
  })

  t.test('reads on the replica, writes on the primary, and the read after the write sees it', async (t) => {
    const said = await psql(
      port,
      `SELECT name FROM users WHERE id = 1;
SHOW pointsman.last_route;
UPDATE users SET name = 'Ada' WHERE id = 1;
SHOW pointsman.last_route;
SELECT name FROM users WHERE id = 1;
SHOW pointsman.last_route;`,
      ['-At'],
    )
    const lines = said.trim().split('\n')
    t.equal(lines.length, 6, said)
    t.equal(lines[0], 'user 1')
    t.match(lines[1], new RegExp(`^replica ${main.replica().address} of main .*public.users lives on cluster main; read: session`))
    t.equal(lines[2], 'UPDATE 1')
    t.match(lines[3], new RegExp(`^primary ${primary.address} of main .*write: UPDATE`))
    t.equal(lines[4], 'Ada')
    t.match(lines[5], /^(primary|replica) .*read: session, at most 5s old/)
  })

  t.test('tables of a partition, rows of a shard, and the same shard by every door', async (t) => {
    const said = await psql(
      port,
      `SELECT count(*) FROM images;
SHOW pointsman.last_route;
INSERT INTO comments VALUES (7, 'seven');
SELECT body FROM comments WHERE image_id = 7;
SHOW pointsman.last_route;`,
      ['-At'],
    )
    const lines = said.trim().split('\n')
    t.same([lines[0], lines[2], lines[3]], ['9', 'INSERT 0 1', 'seven'], said)
    t.match(lines[1], /of media .*partition: public.images belongs to media/)
    const [, cluster, shard] = /of (comments_[01]) shard (\d+) /.exec(lines[4] ?? '') ?? []
    t.ok(cluster, lines[4] ?? '')
    t.same(await running.cluster(cluster ?? '').primary.sql('SELECT body FROM comments'), [{ body: 'seven' }])

    const pointsman = commandLine(t, JSON.stringify(input))
    t.match(await pointsman('explain', 'SELECT * FROM comments WHERE image_id = 7'), `of ${String(cluster)} shard ${String(shard)}`)
    t.match(await pointsman('shard', 'comments', '7'), `shard ${String(shard)} of 64, cluster ${String(cluster)}`)
  })

  t.test('what crosses homes is refused with 0A000, the reason and a way out', async (t) => {
    const refused = async (sql: string) => psql(port, `\\set VERBOSITY verbose\n${sql};\nSELECT 'goes on'`.concat(';'), ['-At'])
    const join = await refused('SELECT * FROM users JOIN images ON images.user_id = users.id')
    t.match(join, /ERROR:  0A000: public\.users \(cluster main.*and public\.images \(partition media.*\n.*HINT:  \S.*\ngoes on\n$/)
    t.match(await refused('SELECT max(image_id) - min(image_id) FROM comments'), /ERROR:  0A000: .*comments.*\n.*HINT:  .*\ngoes on\n$/)
    t.match(
      await refused('BEGIN; SELECT 1 FROM users LIMIT 0; SELECT 1 FROM images; SELECT 2; ROLLBACK'),
      /ERROR:  0A000: .*HINT.*ERROR:  25P02.*ROLLBACK\ngoes on\n$/s,
    )
  })

  t.test('its own commands say what they say on a direct connection', async (t) => {
    const script = [
      ...[
        '\\d',
        '\\dt',
        '\\d users',
        '\\d+ users',
        '\\d named',
        '\\d users_name',
        '\\df',
        '\\df+ twice',
        '\\dT',
        '\\dv',
        '\\dn+',
        '\\dp',
        '\\dx',
      ],
      ...['\\l', '\\du', '\\dd', '\\ddp', '\\drds', '\\dconfig work_mem', '\\sf twice', '\\encoding', '\\d nowhere', '\\db', '\\dRp'],
      ...['SELECT 1 AS a, 2 AS b \\gset', '\\echo :a :b :SERVER_VERSION_NUM', 'SELECT id, name FROM users \\gdesc'],
      ...[
        "SELECT format('SELECT %s', g) FROM generate_series(1, 3) g \\gexec",
        'SELECT id % 2, id % 3, id FROM users WHERE id < 5 \\crosstabview',
      ],
      ...['\\set FETCH_COUNT 7', 'SELECT id FROM users ORDER BY id LIMIT 20;', '\\unset FETCH_COUNT', 'SELECT $1::int + 1 \\bind 5 \\g'],
      ...['BEGIN;', 'SAVEPOINT a;', 'SELECT 1/0;', 'SELECT 1;', 'ROLLBACK TO a;', 'SELECT count(*) FROM users;', 'COMMIT;'],
      ...['\\set ON_ERROR_ROLLBACK on', 'BEGIN;', 'SELECT 1/0;', "SELECT 'survives';", 'COMMIT;', '\\set ON_ERROR_ROLLBACK off'],
      ...[
        '\\set AUTOCOMMIT off',
        'SELECT 1;',
        'ROLLBACK;',
        '\\set AUTOCOMMIT on',
        'SELECT 1 \\; SELECT 2;',
        ';',
        '-- nothing',
        '/* nothing */;',
      ],
      ...[
        'CREATE TEMP TABLE mine (a int, b text);',
        '\\copy mine from stdin',
        '1\tx',
        '2\ty',
        '\\.',
        '\\copy mine to stdout',
        'DROP TABLE mine;',
      ],
      ...["DO $$ BEGIN RAISE NOTICE 'hello'; END $$;", 'PREPARE p(int) AS SELECT name FROM users WHERE id = $1;', 'EXECUTE p(5);'],
      ...[
        'EXPLAIN (COSTS off) SELECT * FROM users WHERE id = 3;',
        'SET search_path = pg_catalog;',
        'SHOW search_path;',
        'SELECT * FROM users;',
      ],
      ...['RESET search_path;', 'SELEC;', 'SELECT nonsense FROM users;', 'SELECT 1 FROM nowhere;', 'VACUUM users;', 'SHOW nothing;'],
      ...[
        'BEGIN;',
        'DECLARE c CURSOR FOR SELECT id FROM users ORDER BY id;',
        'FETCH 3 FROM c;',
        'COMMIT;',
        'DELETE FROM users WHERE id = 0 RETURNING *;',
      ],
    ].join('\n')
    await main.waitCaughtUp()
    t.equal(await psql(port, script), await psql(primary.port, script))
  })

  // As typed on a terminal; what appears must come from psql's own queries to the server.
  const typed: readonly (readonly [keys: string, appears: RegExp])[] = [
    ['SELECT * FROM us\t', /SELECT \* FROM users /],
    ['\\d us\t', /\\d users/],
    ['SELECT * FROM users WHERE \t\t', /id +name/],
    ['UPDATE na\t', /UPDATE named /],
    ['SET sea\t', /SET search_path /i],
    ['\\df tw\t', /\\df twice/],
    ['ALTER TABLE users DROP COLUMN na\t', /COLUMN name/],
  ]
  t.test('completion by the tab key', { skip: skipWithout('script') }, async (t) => {
    for (const to of [primary.port, port]) {
      const terminal = new Terminal(t, to)
      await terminal.saw(/app=[#>] $/)
      for (const [keys, appears] of typed) {
        terminal.type(keys)
        await terminal.saw(appears)
        terminal.type('\u0003')
        await terminal.saw(/app=[#>] $/)
      }
      terminal.type('\\q\n')
      t.equal(await terminal.ended, 0)
    }
  })

  t.test('nothing is left of a client that has gone', async (t) => {
    await psql(port, 'SET work_mem = $$7MB$$; CREATE TEMP TABLE left_over (a int); SELECT pg_advisory_lock(7); LISTEN gone;')
    const gone = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' UNION ALL SELECT 1 FROM pg_class WHERE relname = 'left_over'"
    await until('locks and tables are gone', async () => (await primary.sql(gone)).length === 0)
    t.equal(await psql(port, 'BEGIN; SHOW work_mem; SELECT * FROM pg_listening_channels(); COMMIT', ['-Atq']), '4MB\n')
    const open = "SELECT 1 FROM pg_stat_activity WHERE usename = 'app' AND state LIKE 'idle in transaction%'"
    t.same(await primary.sql(open), [])
  })
})

function commandLine(t: Test, config: string): (name: string, ...args: string[]) => Promise<string> {
  const cwd = t.testdir({ 'p.yaml': config })
  return async (name, ...args) => {
    const lines: string[] = []
    const say = (text: string): void => void lines.push(text)
    const code = await command([name, '-c', join(cwd, 'p.yaml'), ...args], { out: say, err: say, env: {}, cwd, terminal: false })
    if (code !== 0) throw new Error(lines.join('\n'))
    return lines.join('\n')
  }
}

/** psql on a terminal: `script` makes one. */
class Terminal {
  readonly ended: Promise<number | null>
  readonly #child: ReturnType<typeof spawn>
  #text = ''
  #ended = false

  constructor(t: Test, port: number) {
    this.#child = spawn(findCommand('script') ?? '', ['-qec', 'exec psql -X', '/dev/null'], {
      env: programEnvironment(port),
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    this.#child.stdout?.on('data', (data: Buffer) => (this.#text += data.toString()))
    this.#child.stdin?.on('error', () => undefined)
    this.ended = new Promise((resolve) => this.#child.on('close', resolve))
    void this.ended.then(() => (this.#ended = true))
    t.teardown(() => this.#child.kill('SIGKILL'))
  }

  /** What was there before is forgotten. */
  type(keys: string): void {
    this.#text = ''
    this.#child.stdin?.write(keys)
  }

  async saw(pattern: RegExp): Promise<void> {
    const told = (): string => this.#text.replaceAll(/[\u0007\r]/g, '')
    await until(`psql shows ${String(pattern)}`, () => Promise.resolve(this.#ended || pattern.test(told()))).catch((error: unknown) => {
      throw new Error(`it shows ${JSON.stringify(told())}`, { cause: error })
    })
  }
}
