// What lets a commit be acknowledged before it is on disk, as the doors see it; and what is believed of flush positions then.
import t from 'tap'
import { validateConfig } from '../../src/config/validate.js'
import type { Config } from '../../src/config/config.js'
import { positionQuery, type ServerPosition } from '../../src/consistency/position-query.js'
import { until } from '../../src/embedded/until.js'
import { asynchronousQuery } from '../../src/monitor/commit-query.js'
import type { ConnectMonitor } from '../../src/monitor/connection.js'
import { createMonitor } from '../../src/monitor/create-monitor.js'
import { FlushGuard } from '../../src/monitor/flush-guard.js'
import { createObserver } from '../../src/observe/observer.js'
import { asynchronousCommit } from '../../src/session/asynchronous-commit.js'
import { settle, startSettings } from '../../src/session/settings.js'
import { understanding } from '../support/understanding.js'

const understand = await understanding()
const said = (text: string): string | null => asynchronousCommit(understand(text), startSettings(new Map()))

t.test('I8: statements that set it, or may', (t) => {
  const yes = [
    'SET synchronous_commit = off',
    'SET LOCAL synchronous_commit TO OFF',
    "SET SESSION synchronous_commit = 'false'",
    'SET synchronous_commit = 0',
    "BEGIN; SET LOCAL synchronous_commit = 'off'; INSERT INTO t VALUES (1); COMMIT",
    "SELECT set_config('synchronous_commit', 'off', true)",
    "SELECT set_config('Synchronous_Commit', $1, false)",
    'SELECT set_config($1, $2, false)',
    "PREPARE p AS SELECT set_config('synchronous_commit', 'off', false)",
    'DO $$ BEGIN SET LOCAL synchronous_commit = off; END $$',
    "ALTER ROLE app SET synchronous_commit = 'off'",
    'CREATE FUNCTION f() RETURNS int LANGUAGE sql SET synchronous_commit = off AS $$ SELECT 1 $$',
    'not sql at all, but it says synchronous_commit',
  ]
  for (const text of yes) t.ok(said(text), text)
  const no = [
    'SET synchronous_commit = on',
    'SET LOCAL synchronous_commit = remote_apply',
    'RESET synchronous_commit',
    'RESET ALL',
    'SHOW synchronous_commit',
    "SELECT 'synchronous_commit'",
    "INSERT INTO t VALUES ('synchronous_commit')",
    'SET work_mem = 1',
    "SELECT set_config('work_mem', $1, false)",
    'not sql at all',
  ]
  for (const text of no) t.equal(said(text), null, text)
  t.end()
})

t.test('I8: settings that stand', (t) => {
  const insert = understand('INSERT INTO t VALUES (1)')
  const at = (value: string): string | null => asynchronousCommit(insert, startSettings(new Map([['synchronous_commit', value]])))
  t.ok(at('off'))
  t.ok(at('OFF'))
  t.equal(at('local'), null)
  t.equal(asynchronousCommit(insert, null), null)
  const local = settle(settle(startSettings(new Map()), { kind: 'begin' }), {
    kind: 'change',
    change: { name: 'synchronous_commit', local: true, value: 'off' },
  })
  t.ok(asynchronousCommit(insert, local))
  t.equal(asynchronousCommit(insert, settle(local, { kind: 'rollback' })), null)
  t.end()
})

const server = (asynchronous = false): ServerPosition => ({
  inRecovery: false,
  lsn: 900n,
  postmasterStart: 'p',
  timeline: 1,
  replayedTimeline: null,
  receiving: false,
  commits: { insert: 900n, flush: 500n, ahead: 400, asynchronous },
  blind: null,
})

t.test('I8: the flush position counts only once the settings were looked through, and never again after a doubt', (t) => {
  const guard = new FlushGuard()
  t.equal(guard.position(server()).lsn, 900n, 'not looked yet')
  t.notOk(guard.looked(null))
  t.equal(guard.position(server()).lsn, 500n)
  t.equal(guard.anew().position(server()).lsn, 900n, 'another database has not been looked through')
  t.equal(guard.position(server(true)).lsn, 900n, 'nor where the one who asks commits so himself')
  t.ok(guard.seen('a session'), 'told once')
  t.notOk(guard.seen('another'))
  t.equal(guard.position(server()).lsn, 900n)
  t.notOk(guard.looked(null))
  t.equal(guard.position(server()).lsn, 900n, 'for good')
  t.equal(guard.anew().broken, 'a session')
  const warned = new FlushGuard()
  t.ok(warned.looked('a role'))
  t.equal(warned.broken, 'a role')
  t.end()
})

t.test('I8: another dbname: its functions have not been looked through, so its flush position does not count yet', async (t) => {
  const connect: ConnectMonitor = (_node, _cluster, { dbname }) =>
    Promise.resolve({
      query: (sql) => {
        if (sql.includes('pg_control_system')) return Promise.resolve([['7', 'true', '180000']])
        if (sql === positionQuery)
          return Promise.resolve([['false', '0/900', 'start', '00000001', '8192', '16777216', null, '0/500', 'on']])
        return sql === asynchronousQuery && dbname === 'app' ? Promise.resolve([]) : Promise.reject(new Error('not now'))
      },
      close: () => undefined,
      onClosed: () => undefined,
    })
  const configured = (dbname: string): Config => {
    const main = { dbname, user: 'app', nodes: ['a:1'], lsn_source: 'flush' }
    const input = { version: 1, clusters: { main }, databases: { app: { default: 'main' } } }
    const result = validateConfig(input, { env: {}, readFile: () => '' })
    if (!result.ok) throw new Error(JSON.stringify(result.problems))
    return result.config
  }
  const parts = { observer: createObserver(), now: () => performance.now(), random: () => 0, connect, background: true }
  const monitor = createMonitor({ ...parts, config: configured('app') })
  t.teardown(() => monitor.close())
  const sampled = async (): Promise<bigint | undefined> => {
    await monitor.sampleNow('main')
    return monitor.current().clusters.get('main')?.series.samples.at(-1)?.lsn
  }
  await until('it was looked through', async () => (await sampled()) === 0x500n)
  monitor.configure(configured('other'))
  await monitor.checkNow('main', 'a:1')
  t.equal(await sampled(), 0x900n)
})
