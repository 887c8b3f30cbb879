// Which nodes a monitor of heartbeats writes to: only the one that is proved to be the primary. Servers are scripted here.
import t from 'tap'
import type { Config } from '../../src/config/config.js'
import { validateConfig } from '../../src/config/validate.js'
import { until as untilAsync } from '../../src/embedded/until.js'
import type { ConnectMonitor } from '../../src/monitor/connection.js'
import { createMonitor } from '../../src/monitor/create-monitor.js'
import { createObserver } from '../../src/observe/observer.js'

const until = (what: string, holds: () => boolean): Promise<void> => untilAsync(what, () => Promise.resolve(holds()))

function configured(dbname: string, ...nodes: string[]): Config {
  const main = { dbname, user: 'app', nodes, position: { heartbeat: 'public.heartbeat' } }
  const input = { version: 1, clusters: { main }, databases: { app: { default: 'main' } } }
  const result = validateConfig(input, { env: {}, readFile: () => '' })
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.config
}

t.test(
  'a heartbeat is written on the proved primary only: not on an old one that is back, nor on a promoted one before it is believed',
  async (t) => {
    const config = configured('app', 'old:1', 'new:1')
    /** By node: its timeline as a primary; null: it is a replica; absent: it is gone. */
    const servers = new Map<string, number | null>([
      ['old:1', 1],
      ['new:1', null],
    ])
    const written: string[] = []
    const asked: string[] = []
    const closers = new Map<string, (reason: string) => void>()
    const connect: ConnectMonitor = ({ id }) => {
      if (!servers.has(id)) return Promise.reject(new Error('it is gone'))
      return Promise.resolve({
        query: (sql) => {
          const timeline = servers.get(id)
          if (timeline === undefined) return Promise.reject(new Error('it is gone'))
          if (sql.includes('pg_control_system')) return Promise.resolve([['7', 'true', '180000']])
          if (sql.startsWith('SET')) return Promise.resolve([])
          const writes = sql.startsWith('UPDATE')
          if (!writes && !sql.includes('beat')) return Promise.reject(new Error('no catalog here'))
          if (writes) written.push(`${id} on ${String(monitor.current().clusters.get('main')?.primary?.id)}`)
          else asked.push(id)
          const own = timeline === null ? null : `0000000${String(timeline)}`
          const row = [String(timeline === null), String(written.length), 'start', own, String(timeline === null), '1', '0']
          return Promise.resolve([row])
        },
        close: () => undefined,
        onClosed: (listener) => void closers.set(id, listener),
      })
    }
    const now = (): number => performance.now()
    const monitor = createMonitor({ config, observer: createObserver(), now, random: () => 0, connect, background: true })
    t.teardown(() => monitor.close())
    const cluster = () => {
      monitor.wanted('main')
      return monitor.current().clusters.get('main')
    }
    await until('the first is sampled', () => cluster()?.primary?.id === 'old:1' && (cluster()?.series.samples.length ?? 0) > 1)

    servers.delete('old:1')
    closers.get('old:1')?.('it is gone')
    servers.set('new:1', 2)
    await until('the promoted one is sampled', () => cluster()?.primary?.id === 'new:1' && (cluster()?.series.samples.length ?? 0) > 1)

    servers.set('old:1', 1)
    asked.length = 0
    await until(
      'the old one is back',
      () =>
        cluster()
          ?.nodes.find(({ id }) => id === 'old:1')
          ?.unfit?.includes('old primary') === true,
    )
    await monitor.checkNow('main', 'old:1')
    t.ok(asked.includes('old:1'), 'it is asked who it is')
    t.same([...new Set(written)], ['old:1 on old:1', 'new:1 on new:1'])
  },
)

t.test('beats of another database do not compare: with another dbname everything starts anew', async (t) => {
  const beats = new Map([
    ['app', '5'],
    ['other', '900'],
  ])
  const connect: ConnectMonitor = (_node, _cluster, { dbname }) =>
    Promise.resolve({
      query: (sql) => {
        if (sql.includes('pg_control_system')) return Promise.resolve([['7', 'true', '180000']])
        if (sql.startsWith('SET')) return Promise.resolve([])
        if (sql.includes('beat')) return Promise.resolve([['false', beats.get(dbname) ?? null, 'start', '00000001', 'false', '1', '0']])
        return Promise.reject(new Error('no catalog here'))
      },
      close: () => undefined,
      onClosed: () => undefined,
    })
  const parts = { observer: createObserver(), now: () => performance.now(), random: () => 0, connect, background: true }
  const monitor = createMonitor({ ...parts, config: configured('app', 'a:1') })
  t.teardown(() => monitor.close())
  const cluster = () => monitor.current().clusters.get('main')
  const newest = () => cluster()?.series.samples.at(-1)?.lsn
  await until('the first database beats', () => newest() === 5n)
  const { system } = cluster() ?? {}
  monitor.configure(configured('other', 'a:1'))
  await until('the other one beats', () => newest() === 900n)
  t.same(
    cluster()?.series.samples.filter(({ lsn }) => lsn < 900n),
    [],
  )
  t.not(cluster()?.system, system, 'nor are tokens of the one taken for those of the other')
})
