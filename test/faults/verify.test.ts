// `pointsman verify` as people run it, for a short while: every fault is injected once, and no promise is broken. I1, I2, I3,
// I13 and I14 on real servers, through both doors.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { main } from '../../src/doors/cli/main.js'
import { faultKinds } from '../../src/doors/verify/faults.js'
import type { Operation } from '../../src/doors/verify/history.js'
import { withTopology } from '../support/topology.js'

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function verify(cwd: string, ...args: readonly string[]): Promise<Ran> {
  const said = { out: '', err: '' }
  const code = await main(['verify', ...args], {
    out: (text) => (said.out += `${text}\n`),
    err: (text) => (said.err += `${text}\n`),
    env: {},
    cwd,
    terminal: false,
  })
  return { code, ...said }
}

interface Told {
  readonly reads: number
  readonly writes: number
  readonly lost: number
  readonly violations: readonly { readonly what: string }[]
  readonly faults: Readonly<Record<string, number>>
  readonly policies: readonly { readonly policy: string; readonly door: string; readonly reads: number; readonly writes: number }[]
}

t.test('I1, I2, I3, I13, I14: no violation while servers are killed, cut off, frozen and replaced', async (t) => {
  const cwd = t.testdir()
  const { code, out, err } = await verify(cwd, '--for', '5s', '--seed', '3', '--out', 'history.ndjson', '--json')
  const report = JSON.parse(out) as Told
  t.same(report.violations, [])
  t.equal(code, 0, err)
  t.equal(report.lost, 0, 'commits wait for a replica')
  t.same(Object.keys(report.faults).sort(), [...faultKinds].sort())
  t.ok(report.reads > 200 && report.writes > 20, `${String(report.reads)} reads, ${String(report.writes)} writes`)
  const doors = report.policies.map(({ door, policy, reads, writes }) => ({ of: `${policy} ${door}`, done: reads + writes, writes }))
  const idle = doors.filter(({ of, done, writes }) => done === 0 || (writes === 0 && !/^(any|bounded 5s|long result) /.test(of)))
  t.same(idle, [], 'every policy was read and written by, through both doors')
  const history = readFileSync(join(cwd, 'history.ndjson'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Operation)
  t.ok(history.length >= report.reads + report.writes, 'every operation is in the file')
  t.ok(
    history.some(({ session, door }) => door === 'proxy' && history.some((one) => one.session === session && one.door === 'library')),
    'sessions went from door to door',
  )
})

t.test('servers of a config are not broken, and are left as they were', async (t) => {
  const running = await withTopology(t, { clusters: { main: { replicas: 1 }, side: {} } })
  const side = running.cluster('side').primary.address
  const nodes = running.cluster('main').nodes.map(({ address }) => address)
  const config = (database = '') => `version: 1
listen: { port: 6432 }
auth: { users: [{ name: app, password: app }] }
clusters:
  main: { dbname: app, user: app, password: app, nodes: ${JSON.stringify(nodes)} }
  side: { dbname: app, user: app, password: app, nodes: ["${side}"] }
databases:
  app: { default: main, owner: core, partitions: { media: { cluster: side, owner: media, tables: [images] } }${database} }
`
  const cwd = t.testdir({ 'p.yaml': config() })
  const { code, out } = await verify(cwd, '-c', 'p.yaml', '--for', '1s', '--out', 'h.ndjson')
  t.equal(code, 0, out)
  t.match(out, /servers: those of .*p\.yaml, in app \(cluster main\); nothing is broken there/)
  t.match(out, /faults: none\n/)
  t.match(out, /\nverify: \d+ reads, \d+ writes, 0 violations\n$/)
  const { primary } = running.cluster('main')
  const schemas = "SELECT 1 FROM pg_namespace WHERE nspname = 'pointsman_verify'"
  t.same(await primary.sql(schemas), [])

  if (existsSync('/dev/full')) {
    const full = await verify(cwd, '-c', 'p.yaml', '--for', '100ms', '--out', '/dev/full')
    t.equal(full.code, 1)
    t.match(full.err, /the history is not whole: cannot write \/dev\/full: ENOSPC/)
    t.match(full.out, /, 0 violations\n$/, 'the report is told all the same')
  }

  await primary.sql('CREATE SCHEMA pointsman_verify')
  const there = await verify(cwd, '-c', 'p.yaml', '--for', '1s', '--out', 'h.ndjson')
  t.equal(there.code, 1)
  t.match(there.err, /cannot make schema pointsman_verify in database app: .*another run may be under way/)
  t.equal((await primary.sql(schemas)).length, 1, 'what it did not make it does not drop')
  await primary.sql('DROP SCHEMA pointsman_verify; REVOKE CREATE ON DATABASE app FROM PUBLIC; ALTER DATABASE app OWNER TO postgres')
  const refused = await verify(cwd, '-c', 'p.yaml', '--for', '1s', '--out', 'h.ndjson')
  t.equal(refused.code, 1)
  t.match(refused.err, /cannot make schema pointsman_verify in database app: permission denied/)
})

t.test('what cannot be run is usage', async (t) => {
  const cwd = t.testdir({ 'p.yaml': 'version: 1' })
  for (const [args, words] of [
    [['--for', 'long'], /--for long: a duration/],
    [['--seed', 'x'], /--seed x: a whole number/],
    [['--faults', 'flood'], /--faults flood: all, none, or a list of pause-replay/],
    [['-c', 'p.yaml', '--faults', 'promote'], /servers of a config are not broken/],
  ] as const) {
    const { code, err } = await verify(cwd, ...args)
    t.equal(code, 2, args.join(' '))
    t.match(err, words)
  }
})
