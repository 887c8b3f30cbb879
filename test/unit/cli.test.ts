import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { main } from '../../src/doors/cli/main.js'
import { readKey } from '../../src/sharding/key.js'
import { shardOf } from '../../src/sharding/shard-of.js'

const good = `version: 1
clusters:
  main: { user: app, password: "\${PW}", nodes: ["127.0.0.1:1"] }
  c0: { user: app, nodes: ["127.0.0.1:1"] }
  c1: { user: app, nodes: ["127.0.0.1:1"] }
databases:
  app:
    default: main
    partitions: { media: { cluster: c0, owner: media, tables: [images] } }
    sharded:
      comments: { clusters: [c0, c1], shards: 64, key_type: bigint, tables: { comments: image_id } }
`

function inDirectory(t: Test, files: Parameters<Test['testdir']>[0], env: Record<string, string> = { PW: 'hunter2' }) {
  const cwd = t.testdir(files)
  return async (...args: string[]) => {
    const out: string[] = []
    const err: string[] = []
    const io = { out: (text: string) => void out.push(text), err: (text: string) => void err.push(text), env, cwd, terminal: false }
    return { code: await main(args, io), out: out.join('\n'), err: err.join('\n') }
  }
}

t.test('a good config', async (t) => {
  const run = inDirectory(t, { 'p.yaml': good })
  const { code, out, err } = await run('check', '-c', 'p.yaml')
  t.equal(code, 0)
  t.equal(out, 'p.yaml: ok, 3 clusters, 3 nodes, 1 database')
  t.equal(err, '')
})

t.test('a bad config: every problem as file:line:column, exit 1', async (t) => {
  const run = inDirectory(t, { 'p.yaml': good.replace('default: main', 'default: mian').replace('shards: 64', 'shards: 1') })
  const { code, out, err } = await run('check', '-c', 'p.yaml')
  t.equal(code, 1)
  t.equal(out, '')
  t.match(err, /^p\.yaml:8:14: databases\.app\.default: unknown cluster "mian"; did you mean "main"\?/m)
  t.match(err, /^p\.yaml:11:47: databases\.app\.sharded\.comments\.shards: there are more clusters than shards/m)
  t.match(err, /^p\.yaml: 2 problems$/m)
  const json = await run('check', '-c', 'p.yaml', '--json')
  t.equal(json.code, 1)
  t.match(JSON.parse(json.out), { ok: false, file: 'p.yaml', problems: [{ line: 8, column: 14, found: 'mian' }, { line: 11 }] })
})

t.test('warnings are told and pass', async (t) => {
  const run = inDirectory(t, { 'p.yaml': good.replace('shards: 64, ', '') })
  const { code, err } = await run('check', '-c', 'p.yaml')
  t.equal(code, 0)
  t.match(err, /^p\.yaml:11:7: warning: .*"shards" is missing/m)
})

t.test('files of the config are found beside it; POINTSMAN_CONFIG names it', async (t) => {
  const secret = good.replace('"${PW}"', '"file:secret"')
  const run = inDirectory(t, {}, { POINTSMAN_CONFIG: 'sub/p.yaml' })
  mkdirSync(join(t.testdirName, 'sub'))
  writeFileSync(join(t.testdirName, 'sub/p.yaml'), secret)
  t.equal((await run('check')).code, 1)
  writeFileSync(join(t.testdirName, 'sub/secret'), 'x\n')
  t.equal((await run('check')).code, 0)
})

t.test('without a config, and with one that is not there', async (t) => {
  const run = inDirectory(t, {})
  for (const command of [['check'], ['shard', 'comments', '7'], ['explain', 'SELECT 1']]) {
    const { code, err } = await run(...command)
    t.equal(code, 2)
    t.match(err, /give -c FILE/)
  }
  const { code, err } = await run('check', '-c', 'nope.yaml')
  t.equal(code, 2)
  t.match(err, /cannot read nope\.yaml: ENOENT/)
})

t.test('the demo’s config is found where it is kept', async (t) => {
  const run = inDirectory(t, { '.pointsman': { 'demo.yaml': good } })
  t.equal((await run('shard', 'comments', '7')).code, 0)
})

t.test('shard names what shardOf names', async (t) => {
  const run = inDirectory(t, { 'p.yaml': good })
  const { code, out } = await run('shard', '-c', 'p.yaml', 'comments', '7', ' 0x2A ')
  t.equal(code, 0)
  const map = Array.from({ length: 64 }, (_, shard) => (shard < 32 ? 'c0' : 'c1'))
  const expected = ['7', '42'].map((text) => {
    const key = readKey('bigint', text)
    if (key.kind === 'problem') throw new Error(key.problem)
    return shardOf(
      {
        name: 'x',
        shards: 64,
        map,
        clusters: ['c0', 'c1'],
        function: { by: 'hash' },
        keyTypes: ['bigint'],
        owner: null,
        tables: new Map(),
      },
      [key],
    )
  })
  t.match(
    out.split('\n'),
    expected.map((one) => (one.kind === 'placement' ? `shard ${String(one.shard)} of 64, cluster ${one.cluster}` : '?')),
  )
  t.equal((await run('shard', '-c', 'p.yaml', 'public.comments', '7')).out, (await run('shard', '-c', 'p.yaml', 'comments', '7')).out)
  const bad = await run('shard', '-c', 'p.yaml', 'comments', '7', 'x', '--json')
  t.equal(bad.code, 1)
  t.match(JSON.parse(bad.out), {
    shards: 64,
    keys: [
      { key: '7', problem: null },
      { key: 'x', shard: null, problem: /bigint/ },
    ],
  })
  const unknown = await run('shard', '-c', 'p.yaml', 'users', '7')
  t.equal(unknown.code, 2)
  t.match(unknown.err, /there is: comments/)
  t.equal((await run('shard', '-c', 'p.yaml', 'comments', '--', '-7')).code, 0)
})

t.test('explain agrees with shard, and says that it had no catalog', async (t) => {
  const run = inDirectory(t, { 'p.yaml': good })
  const cluster = /cluster (\w+)/.exec((await run('shard', '-c', 'p.yaml', 'comments', '7')).out)?.[1]
  const { code, out } = await run('explain', '-c', 'p.yaml', '--no-catalog', 'SELECT * FROM comments WHERE image_id = $1', '--param', '7')
  t.equal(code, 0)
  t.match(out, new RegExp(`of ${String(cluster)}\\b`))
  t.match(out, /note: no catalog of /)
  const json = JSON.parse((await run('explain', '-c', 'p.yaml', '--no-catalog', '--json', 'SELECT * FROM images')).out) as Record<
    string,
    unknown
  >
  t.match(json, { kind: 'one', cluster: 'c0', tables: ['public.images'], withoutCatalogOf: ['main', 'c0'] })
  const refused = await run('explain', '-c', 'p.yaml', '--no-catalog', 'SELECT * FROM users JOIN images USING (id)')
  t.equal(refused.code, 1)
  t.match(refused.out, /0A000/)
})

t.test('explain plans for clients of the proxy', async (t) => {
  const run = inDirectory(t, {
    'p.yaml': good.replace(/^( +)default: main$/m, '$1default: main\n$1two_phase: true\n$1pool_mode: statement'),
  })
  const explained = (sql: string): ReturnType<typeof run> => run('explain', '-c', 'p.yaml', '--no-catalog', '--json', sql)
  const listen = await explained('LISTEN news')
  t.equal(listen.code, 0, listen.err)
  t.notMatch(listen.out, /pins|keeps/)
  t.match((await explained('BEGIN')).out, /statement pooling mode/)
})

t.test('explain asks nobody for long: servers that are down are said to be', async (t) => {
  const run = inDirectory(t, { 'p.yaml': good })
  const { code, out } = await run('explain', '-c', 'p.yaml', 'SELECT 1')
  t.equal(code, 0)
  t.match(out, /note: no catalog of main/)
})

t.test('check --live tells servers that cannot be asked', async (t) => {
  const run = inDirectory(t, { 'p.yaml': good })
  const { code, out, err } = await run('check', '-c', 'p.yaml', '--live')
  t.equal(code, 1)
  t.match(err, /^p\.yaml:3:\d+: clusters\.main\.nodes\[0\]: 127\.0\.0\.1:1 cannot be asked as user app/m)
  t.match(out, /main\s+127\.0\.0\.1:1\s+unknown/)
  t.notMatch(err + out, /hunter2/)
})

t.test('settings of explain are checked', async (t) => {
  const run = inDirectory(t, { 'p.yaml': good })
  const explain = (...more: string[]) => run('explain', '-c', 'p.yaml', '--no-catalog', 'SELECT * FROM users', ...more)
  t.equal((await explain('--set', 'pointsman.consistency=never')).code, 2)
  t.equal((await explain('--set', 'nothing')).code, 2)
  t.equal((await explain('--database', 'other')).code, 2)
  t.match((await explain('--set', 'search_path=nowhere')).out, /nowhere\.users|users/)
})

t.test('the schema is the file’s', async (t) => {
  const { code, out } = await inDirectory(t, {})('schema')
  t.equal(code, 0)
  const file = readFileSync(new URL('../../config/pointsman.schema.json', import.meta.url), 'utf8')
  t.same(JSON.parse(out), JSON.parse(file))
})

t.test('usage: help, version, and what is not there', async (t) => {
  const run = inDirectory(t, {})
  const help = await run('--help')
  t.equal(help.code, 0)
  for (const command of ['serve', 'check', 'explain', 'shard', 'schema', 'verify', 'audit', 'coordinator']) {
    t.match(help.out, new RegExp(`^  ${command}`, 'm'))
    const one = await run(command, '--help')
    t.equal(one.code, 0)
    t.match(one.out, /Examples:/)
  }
  t.match((await run('--version')).out, /^\d+\.\d+\.\d+/)
  const unknown = await run('chekc')
  t.equal(unknown.code, 2)
  t.match(unknown.err, /unknown command 'chekc'.*\n.*check/)
  t.equal((await run()).code, 2)
  t.equal((await run('shard', 'comments')).code, 2)
  t.equal((await run('check', '--nope')).code, 2)
})
