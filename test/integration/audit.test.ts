// The audit on the sample application: all twelve crossings that were planted are found, and nothing else, whether its traffic
// goes through the proxy, through the library, or only its server's log is read; and what the report says of them.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import t from 'tap'
import { main } from '../../src/doors/cli/main.js'
import { createRouter } from '../../src/index.js'
import type { AuditReport } from '../../src/audit/report.js'
import type { Finding } from '../../src/audit/contract.js'
import { serverAccount } from '../../src/embedded/account.js'
import { findBinaries } from '../../src/embedded/binaries.js'
import { until } from '../../src/embedded/until.js'
import { findCommand, skipWithout } from '../support/commands.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { planted, runSampleApp, sampleSchema, sampleSplit } from '../support/sample-app.js'
import { withTopology } from '../support/topology.js'

const extension =
  'CREATE EXTENSION pg_stat_statements; GRANT EXECUTE ON FUNCTION pg_stat_statements_reset TO app; CREATE ROLE weak LOGIN PASSWORD $$app$$'
const withStatistics = await hasExtension('pg_stat_statements')
const topology = await withTopology(t, {
  clusters: {
    main: {
      seed: sampleSchema,
      ...(withStatistics ? { prepare: extension } : {}),
      settings: { log_statement: 'all', ...(withStatistics ? { shared_preload_libraries: 'pg_stat_statements' } : {}) },
    },
  },
})
const primary = topology.cluster('main').primary
const clusters = { main: { dbname: 'app', user: 'app', password: 'app', nodes: [primary.address] } }
const base = { version: 1 as const, clusters, databases: { app: sampleSplit } }
const directory = t.testdir({})
mkdirSync(directory, { recursive: true })

/** Whether the servers of the tests have it. */
async function hasExtension(name: string): Promise<boolean> {
  const { postgres } = await findBinaries(await serverAccount())
  const above = dirname(dirname(postgres))
  return ['so', 'dylib', 'dll'].some((end) => ['lib/postgresql', 'lib'].some((at) => existsSync(join(above, at, `${name}.${end}`))))
}

function pairs(findings: readonly Pick<Finding, 'kind' | 'from' | 'to'>[]): readonly string[] {
  return findings.map(({ kind, from, to }) => `${kind}: ${from.object ?? from.home} → ${to.object ?? to.home}`).sort()
}

const expected = planted.map(([kind, from, to]) => `${kind}: ${from} → ${to}`).sort()

async function command(args: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const texts = { out: '', err: '' }
  const io = {
    out: (text: string) => void (texts.out += `${text}\n`),
    err: (text: string) => void (texts.err += `${text}\n`),
    env: {},
    cwd: directory,
    terminal: false,
  }
  return { code: await main(args, io), ...texts }
}

t.test('traffic through the proxy, the catalog, and the report', async (t) => {
  const input = {
    ...base,
    auth: {
      method: 'scram-sha-256' as const,
      users: [
        { name: 'app', password: 'app' },
        { name: 'ops', password: 'ops' },
      ],
      admins: ['ops'],
    },
  }
  const { connect, port } = await withProxy(t, input)
  const client = await connect()
  await runSampleApp(client)
  writeFileSync(join(directory, 'live.yaml'), JSON.stringify({ ...input, listen: { port } }))
  const { code, out, err } = await command(['audit', '-c', 'live.yaml', '--live', '--json', '--html', 'audit.html'])
  t.equal(code, 0, err)
  const report = JSON.parse(out) as AuditReport
  t.same(pairs(report.findings), expected, 'all twelve, and nothing else')
  t.equal(new Set(report.findings.map(({ kind }) => kind)).size, 8)
  const view = report.findings.find(({ kind }) => kind === 'view')
  t.match(view, {
    count: 1,
    sources: ['catalog', 'traffic'],
    example: 'public.gallery',
    from: { owner: 'core-team' },
    to: { owner: 'media-team' },
  })
  const share = report.tables.find(({ table }) => table === 'public.logins')
  t.match(share, { statements: 2, routed: 2 })
  t.notMatch(out, /image 3|untitled|moved/, 'no literal and no parameter')

  const html = readFileSync(join(directory, 'audit.html'), 'utf8')
  t.equal(html.match(/<article /g)?.length, 12)
  t.notMatch(html, /https?:\/\/|<script|url\(/, 'it needs nothing from anywhere')

  const ops = await connect({ user: 'ops', password: 'ops', database: 'pointsman' })
  const shown = await ops.query<Record<string, string>>('SHOW AUDIT')
  t.equal(shown.rows.length, 10, 'what traffic has shown: all but the foreign keys')
  const tables = await ops.query<Record<string, string | null>>('SHOW TABLES')
  t.match(
    tables.rows.find((row) => row['table'] === 'public.image_tags'),
    { home: 'partition media', owner: 'media-team', unowned: null },
  )

  await client.query("SELECT nextval('images_id_seq')")
  t.match(await lastRoute(client), /partition: public.images_id_seq belongs to media/, 'a sequence is where its table is')

  await ops.query('SET VIRTUAL media REFUSE')
  await t.rejects(client.query('SELECT u.name, i.title FROM users u JOIN images i ON i.user_id = u.id WHERE u.id = $1', [3]), {
    code: '0A000',
  })
  await t.resolves(client.query('SELECT title FROM images WHERE id = 4'), 'what stays on its side runs')
  await ops.query('SET VIRTUAL media REFUSE 0')
  await t.resolves(
    client.query('SELECT u.name, i.title FROM users u JOIN images i ON i.user_id = u.id WHERE u.id = $1', [3]),
    'of no share of the shapes',
  )
  await ops.query('SET VIRTUAL media OFF')
  await t.resolves(
    client.query('SELECT u.name, i.title FROM users u JOIN images i ON i.user_id = u.id WHERE u.id = $1', [3]),
    'the way back',
  )
  await t.rejects(ops.query('SET VIRTUAL nothing OFF'), /does not exist/)
  await ops.query('SET VIRTUAL media LOG')
  await ops.query('CLEAR AUDIT')
  t.same((await ops.query('SHOW AUDIT')).rows, [])
})

t.test('the page in a browser', { skip: skipWithout('chromium') }, async (t) => {
  // A frame as wide as a telephone, looked into by a page beside it: the page itself runs no script.
  writeFileSync(
    join(directory, 'frame.html'),
    `<!doctype html><iframe src="audit.html" style="width: 360px; height: 800px"></iframe><pre></pre><script>
      document.querySelector('iframe').onload = ({ target }) => {
        const page = target.contentDocument
        const shown = (selector) => [...page.querySelectorAll(selector)].filter((one) => one.checkVisibility() && one.offsetHeight > 0).length
        const { scrollWidth, clientWidth } = page.documentElement
        const links = [...page.querySelectorAll('a')].map((one) => one.getAttribute('href').slice(1))
        const dead = links.filter((one) => page.getElementById(one) === null)
        const said = { articles: shown('article'), ways: shown('article p:last-child strong'), examples: shown('article pre'),
          tables: shown('#tables tbody tr'), owners: shown('#owners a'), links: links.length, dead, tooWide: scrollWidth > clientWidth }
        document.querySelector('pre').textContent = JSON.stringify(said)
      }
    </script>`,
  )
  const open = async (file: string): Promise<{ readonly stdout: string; readonly stderr: string }> => {
    const own = ['--headless', '--no-sandbox', '--disable-gpu', '--allow-file-access-from-files', '--enable-logging=stderr', '--dump-dom']
    const profile = `--user-data-dir=${join(directory, 'chromium')}`
    return promisify(execFile)(findCommand('chromium') ?? '', [...own, profile, `file://${join(directory, file)}`], {
      maxBuffer: 10_000_000,
    })
  }
  const whole = await open('audit.html')
  t.equal(whole.stdout.match(/<article /g)?.length, 12)
  t.match(whole.stdout, /default-src 'none'/)
  // Whatever it would fetch, its policy forbids, which the console tells.
  t.notMatch(whole.stderr, /CONSOLE/, 'nothing is fetched, nothing fails')
  const framed = await open('frame.html')
  t.notMatch(framed.stderr, /CONSOLE/)
  const said = JSON.parse(/<pre>(.*)<\/pre>/.exec(framed.stdout)?.[1] ?? '{}') as unknown
  t.same(said, { articles: 12, ways: 12, examples: 12, tables: 11, owners: 3, links: 3, dead: [], tooWide: false })
})

t.test("the server's own log", async (t) => {
  const client = new pg.Client({ host: '127.0.0.1', port: primary.port, user: 'app', password: 'app', database: 'app' })
  await client.connect()
  t.teardown(() => client.end())
  const before = (await primary.log(1_000_000)).length
  await runSampleApp(client)
  const logged = async (): Promise<string> => (await primary.log(1_000_000)).slice(before)
  await until('the log is written', async () => (await logged()).includes('UPDATE comments SET body'))
  writeFileSync(join(directory, 'postgresql.log'), await logged())
  writeFileSync(join(directory, 'p.yaml'), JSON.stringify(base))
  const { code, out, err } = await command(['audit', '-c', 'p.yaml', '--log', 'postgresql.log', '--json'])
  t.equal(code, 0, err)
  const report = JSON.parse(out) as AuditReport
  t.same(pairs(report.findings), expected, 'the same twelve')
  t.equal(report.statements.notUnderstood, 0)

  const written = await command(['audit', '-c', 'p.yaml', '--log', 'postgresql.log', '--write-baseline', 'accepted.yaml'])
  t.match(written.err, /12 of 12 entries in accepted.yaml lack their issue/)
  t.equal((await command(['audit', '-c', 'p.yaml', '--log', 'postgresql.log', '--baseline', 'accepted.yaml'])).code, 1)
  const filled = readFileSync(join(directory, 'accepted.yaml'), 'utf8').replaceAll('issue: ""', 'issue: https://issues/1')
  const until2099 = filled.replaceAll('expires: ""', 'expires: 2099-01-01')
  writeFileSync(join(directory, 'accepted.yaml'), until2099)
  const same = await command(['audit', '-c', 'p.yaml', '--log', 'postgresql.log', '--baseline', 'accepted.yaml'])
  t.equal(same.code, 0, same.out)
  writeFileSync(join(directory, 'expired.yaml'), filled.replaceAll('expires: ""', 'expires: 2020-01-01'))
  t.equal((await command(['audit', '-c', 'p.yaml', '--log', 'postgresql.log', '--baseline', 'expired.yaml'])).code, 1)
  const less = until2099.replace(/ {2}- id:[\s\S]*?(?= {2}- id:)/, '')
  writeFileSync(join(directory, 'less.yaml'), less)
  t.equal((await command(['audit', '-c', 'p.yaml', '--log', 'postgresql.log', '--baseline', 'less.yaml'])).code, 1, 'something is new')
  const catalogOnly = await command(['audit', '-c', 'p.yaml', '--baseline', 'accepted.yaml'])
  t.equal(catalogOnly.code, 0, 'what was not looked for is not gone')
  t.match(catalogOnly.out, /0 new, 0 expired, 0 to be removed/)
})

t.test('pg_stat_statements', { skip: withStatistics ? false : 'pg_stat_statements is not installed' }, async (t) => {
  const client = new pg.Client({ host: '127.0.0.1', port: primary.port, user: 'app', password: 'app', database: 'app' })
  await client.connect()
  t.teardown(() => client.end())
  await client.query('SELECT pg_stat_statements_reset()')
  await runSampleApp(client)
  await runSampleApp(client)
  await client.query("SELECT name FROM users WHERE id IN (7, 8, 9) AND name NOT IN (SELECT title FROM images WHERE title LIKE 'secret%')")
  writeFileSync(join(directory, 'p.yaml'), JSON.stringify(base))
  const { code, out, err } = await command(['audit', '-c', 'p.yaml', '--statements', '--json'])
  t.equal(code, 0, err)
  const report = JSON.parse(out) as AuditReport
  const lists = 'subquery: public.users → public.images'
  const known = [...expected.filter((one) => !one.startsWith('transaction')), lists].sort()
  t.same(pairs(report.findings), known, 'all but the transactions, which it does not know')
  const joined = report.findings.find(({ kind, from }) => kind === 'join' && from.object === 'public.users')
  t.match(joined, { count: 2, sources: ['statements'] })
  t.ok(report.statements.notUnderstood <= 1, 'what PostgreSQL 18 makes of the SET of the catalog: SET search_path = $1')
  t.notMatch(out, /secret/, 'no literal')
  writeFileSync(join(directory, 'weak.yaml'), JSON.stringify({ ...base, clusters: { main: { ...clusters.main, user: 'weak' } } }))
  const weak = await command(['audit', '-c', 'weak.yaml', '--statements'])
  t.match(weak.err, /^pointsman: \d+ statements of others on cluster main are not seen: GRANT pg_read_all_stats TO weak/m)
})

t.test('the library', async (t) => {
  const router = createRouter({ pg, config: base, database: 'app' })
  t.teardown(() => router.end())
  const client = await router.connect()
  await runSampleApp(client)
  client.release()
  t.equal(router.audit()?.findings.length, 10)
})

t.test('what stands in the catalog besides: policies, keys that do not hold the shard key', async (t) => {
  const client = new pg.Client({ host: '127.0.0.1', port: primary.port, user: 'app', password: 'app', database: 'app' })
  await client.connect()
  t.teardown(() => client.end())
  await client.query(`
    ALTER TABLE image_tags ENABLE ROW LEVEL SECURITY;
    CREATE POLICY of_users ON image_tags USING (EXISTS (SELECT FROM users));
    ALTER TABLE comments ADD COLUMN parent_image bigint, ADD COLUMN parent bigint;
    ALTER TABLE comments ADD CONSTRAINT parent FOREIGN KEY (parent_image, parent) REFERENCES comments (image_id, id);
    ALTER TABLE comment_votes ADD CONSTRAINT voted FOREIGN KEY (comment_id, image_id) REFERENCES comments (id, image_id);
    CREATE FUNCTION is_user(bigint) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT EXISTS (SELECT FROM users WHERE id = $1)';
    ALTER TABLE images ADD CONSTRAINT of_a_user CHECK (is_user(user_id));
    ALTER TABLE users ADD CONSTRAINT sound CHECK (is_user(id) IS NOT NULL);
    CREATE FUNCTION newest() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(title) FROM images); END';
    ALTER TABLE logins ADD COLUMN seen text DEFAULT newest();
    CREATE RULE tagged AS ON INSERT TO image_tags DO ALSO INSERT INTO logins (user_id) VALUES (1);
    CREATE RULE stays AS ON DELETE TO image_tags DO ALSO UPDATE images SET comment_count = 0 WHERE id = OLD.image_id;
    CREATE UNIQUE INDEX by_user ON comments (user_id, id, lower(body)) INCLUDE (image_id);
    CREATE UNIQUE INDEX "by <key>" ON comments (user_id, image_id)`)
  writeFileSync(join(directory, 'p.yaml'), JSON.stringify(base))
  const { out } = await command(['audit', '-c', 'p.yaml', '--json'])
  const { findings } = JSON.parse(out) as AuditReport
  const before = new Set(['foreign_key', 'view', 'function', 'trigger'].flatMap((kind) => expected.filter((one) => one.startsWith(kind))))
  t.same(
    pairs(findings).filter((one) => !before.has(one)),
    [
      'foreign_key: public.comments → public.comments',
      'function: public.images → public.users',
      'function: public.logins → public.images',
      'shard_key: public.comments → public.comments',
      'trigger: public.image_tags → public.logins',
      'view: public.image_tags → public.users',
    ],
  )
  const examples = findings.map(({ example }) => example)
  for (const example of [
    'by_user of public.comments',
    'public.is_user in a definition of public.images',
    'public.newest in a definition of public.logins',
    'rule tagged on public.image_tags',
  ])
    t.ok(examples.includes(example), example)
})

t.test('what cannot be done is said', async (t) => {
  writeFileSync(join(directory, 'p.yaml'), JSON.stringify(base))
  writeFileSync(join(directory, 'empty.log'), 'nothing of a log\n')
  const said = async (...args: readonly string[]): Promise<string> => {
    const { code, err } = await command(['audit', '-c', 'p.yaml', ...args])
    return `${String(code)} ${err}`
  }
  t.match(await said('--no-catalog'), /^2 .*nothing to look at/)
  t.match(await said('--log', 'empty.log'), /^1 .*no statement was found in empty\.log/)
  t.match(await said('--html', 'no/such/audit.html'), /^2 .*cannot be written/)
  t.match(await said('--expires', '2027-02-30'), /^2 .*write a day/)
})
