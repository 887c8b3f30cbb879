// lsn_source: flush on real servers whose WAL writer is slow, so that an asynchronous commit stays off the disk for long: what the
// guard is for, that it holds, and what it notices.
import t from 'tap'
import { createFloors } from '../../src/consistency/floors.js'
import { readPolicy } from '../../src/consistency/policy.js'
import { mayAdmit, requirement } from '../../src/consistency/requirement.js'
import type { ClusterConfig } from '../../src/config/config.js'
import type { Maintenance } from '../../src/embedded/maintenance.js'
import { until } from '../../src/embedded/until.js'
import type { Monitor } from '../../src/monitor/contract.js'
import type { Events } from '../../src/observe/events.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'
import { clusterConfigs, now, watch, type Watched } from '../support/watched.js'

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 1,
      seed: 'CREATE TABLE counter (n bigint); INSERT INTO counter VALUES (0)',
      prepare: 'CREATE ROLE lazy LOGIN PASSWORD $$lazy$$; GRANT pg_monitor TO lazy',
      settings: { wal_writer_delay: '10s' },
    },
  },
})
const main = running.cluster('main')
const replica = main.replica()
const session = readPolicy({ consistency: 'session' })
const flush = clusterConfigs(running, (cluster: ClusterConfig) => ({ ...cluster, lsnSource: 'flush' }))

/** Samples are of what is on disk. */
async function flushed(watched: Watched): Promise<void> {
  await watched.monitor.ready(10_000)
  await until('the settings were looked through', async () => {
    await watched.monitor.sampleNow('main')
    return watched.cluster('main').primary !== null && watched.monitor.commitsWatched('main')
  })
}

/** Writes without waiting for the disk; whether the replica is good for this session at once, and whether it shows the write. */
async function lazily(
  sql: Maintenance,
  { monitor, cluster, node }: Watched,
  before: (monitor: Monitor) => void,
): Promise<[boolean, boolean]> {
  const floors = createFloors()
  floors.writeStarted('main')
  before(monitor)
  const [row] = await sql.query('UPDATE counter SET n = n + 1 RETURNING n::text AS n')
  floors.writeEnded('main', now())
  await monitor.sampleNow('main')
  await monitor.checkNow('main', replica.address)
  const good = mayAdmit(requirement(session, floors, cluster('main'), now()), node('main', replica.address))
  const [seen] = await replica.sql('SELECT n::text AS n FROM counter')
  return [good, seen?.['n'] === row?.['n']]
}

t.test('I8: an asynchronous commit breaks what flush positions promise, unless it is told of before it is sent', async (t) => {
  const watched = watch(t, flush)
  await flushed(watched)
  const told: Events['position.fallback'][] = []
  watched.observer.on('position.fallback', (event) => told.push(event))
  const sql = await main.primary.open()
  t.teardown(() => sql.close())
  await sql.query('SET synchronous_commit = off')
  const unguarded: [boolean, boolean][] = []
  for (let round = 0; round < 5; round++) unguarded.push(await lazily(sql, watched, () => undefined))
  t.ok(
    unguarded.some(([good, shown]) => good && !shown),
    `without it a session is sent to a replica that lacks its write: ${JSON.stringify(unguarded)}`,
  )
  t.ok((watched.cluster('main').primary?.insertAheadBytes ?? 0) > 0, 'what is not on disk is told')
  t.same(told, [])
  const guarded: [boolean, boolean][] = []
  for (let round = 0; round < 5; round++) {
    guarded.push(await lazily(sql, watched, (monitor) => monitor.asynchronousCommit('main', 'the test does')))
  }
  t.notOk(
    guarded.some(([good, shown]) => good && !shown),
    'with it never',
  )
  t.same(told, [{ cluster: 'main', reason: 'the test does' }])
  t.notOk(watched.monitor.commitsWatched('main'))
})

t.test('flush positions are used, and reached at once, while all commits wait for the disk', async (t) => {
  const watched = watch(t, flush)
  await flushed(watched)
  const open = await main.primary.open()
  t.teardown(() => open.close())
  await main.primary.sql('UPDATE counter SET n = n + 1')
  await main.waitCaughtUp()
  // The tail of an open transaction is written to the log and not to the disk.
  await open.query('BEGIN; UPDATE counter SET n = n')
  await watched.monitor.sampleNow('main')
  const { cluster, node, monitor } = watched
  await monitor.checkNow('main', replica.address)
  const last = cluster('main').series.samples.at(-1)
  t.ok((last?.insert ?? 0n) > (last?.lsn ?? 0n), 'the sample is of what is on disk, and says how far the log has come')
  t.ok((node('main', replica.address).position?.lsn ?? 0n) >= (last?.lsn ?? 0n))
  await open.query('ROLLBACK')
})

t.test('stored settings that allow it are found before flush positions are relied on', async (t) => {
  const cases: [string, string, RegExp][] = [
    ['ALTER ROLE lazy SET synchronous_commit = off', 'ALTER ROLE lazy RESET ALL', /role or database/],
    [
      "CREATE FUNCTION lazily() RETURNS int LANGUAGE sql SET synchronous_commit = 'off' AS 'SELECT 1'",
      'DROP FUNCTION lazily()',
      /function public\.lazily/,
    ],
    ["ALTER SYSTEM SET synchronous_commit = 'off'", 'ALTER SYSTEM RESET synchronous_commit', /synchronous_commit is/],
  ]
  for (const [make, unmake, words] of cases) {
    for (const each of [make, 'SELECT pg_reload_conf()']) await main.primary.sql(each)
    await until(
      'it is in force',
      async () =>
        (await main.primary.sql('SHOW synchronous_commit'))[0]?.['synchronous_commit'] === (make.includes('SYSTEM') ? 'off' : 'on'),
    )
    const watched = watch(t, flush)
    const told: string[] = []
    watched.observer.on('position.fallback', ({ reason }) => told.push(reason))
    await until('it is found', () => Promise.resolve(told.length > 0))
    t.match(told, [words])
    await watched.monitor.close()
    for (const each of [unmake, 'SELECT pg_reload_conf()']) await main.primary.sql(each)
  }
})

t.test('I8: sessions of both doors that commit asynchronously on a flush cluster see what they have written', async (t) => {
  const database = { default: 'main', reads: { default: { consistency: 'session' as const } } }
  const config = routerConfig(running, database, (_, cluster) => ({ ...cluster, lsn_source: 'flush' }))
  const { connect, observer } = await withProxy(t, config)
  const pool = router(t, config)
  let fallbacks = 0
  observer.on('position.fallback', () => (fallbacks += 1))
  const clients = { proxy: await connect(), library: await pool.connect() }
  t.teardown(() => clients.library.release())
  for (const [door, client] of Object.entries(clients)) {
    for (const how of ['waiting', 'SET', 'SET LOCAL'] as const) {
      if (how === 'SET') await client.query('SET synchronous_commit = off')
      if (how === 'SET LOCAL') await client.query('RESET synchronous_commit')
      for (let round = 0; round < 10; round++) {
        if (how === 'SET LOCAL') await client.query('BEGIN')
        const { rows } = await client.query<{ n: string }>('UPDATE counter SET n = n + 1 RETURNING n')
        if (how === 'SET LOCAL') await client.query('SET LOCAL synchronous_commit = off')
        if (how === 'SET LOCAL') await client.query('COMMIT')
        const read = await client.query<{ n: string }>('SELECT n FROM counter')
        if (read.rows[0]?.n !== rows[0]?.n) t.fail(`${door}, ${how}: read ${String(read.rows[0]?.n)}, wrote ${String(rows[0]?.n)}`)
      }
      if (door === 'proxy') t.equal(fallbacks, how === 'waiting' ? 0 : 1, how)
    }
  }
  t.match(await lastRoute(clients.proxy), /primary|replica/)
})
