// Servers that go through recovery: a standby that comes back behind where it was (I9), by its postmaster's death and by that of one of its
// processes alone; and a primary that restarts in its place, whose log may end before where it was last seen.
import type { Test } from 'tap'
import t from 'tap'
import type { EmbeddedNode } from '../../src/embedded/node.js'
import { until } from '../../src/embedded/until.js'
import { countersSchema, keepBound, keepCounting, keepWatching, newCounting, type Ask, type Counting } from '../support/counters.js'
import { lastRoute, withProxy } from '../support/proxy.js'
import { router, routerConfig } from '../support/router.js'
import { withTopology } from '../support/topology.js'

const boundMs = 300

const running = await withTopology(t, {
  clusters: {
    main: {
      replicas: 1,
      seed: [...countersSchema, 'CREATE TABLE filler (pad text)', 'CREATE TABLE marks (n int)'],
      // No restartpoint moves the place from which recovery begins, and much log lies between it and where the server was.
      settings: { max_wal_size: '8GB', checkpoint_timeout: '1h', shared_buffers: '128MB', bgwriter_lru_maxpages: '0' },
    },
  },
})
const main = running.cluster('main')
const { primary } = main
const victim = main.replica(0)
const config = routerConfig(
  running,
  {
    default: 'main',
    reads: { default: { consistency: 'session' }, users: { strict: { consistency: 'session', on_unmet: ['wait 100ms', 'error'] } } },
  },
  (_id, cluster) => ({ ...cluster, pool: { max: 16, wait: '10s' }, failover: { wait: '20s' } }),
)
const proxy = await withProxy(t, { ...config, auth: { method: 'trust', users: [{ name: 'app' }, { name: 'strict' }] } })
const pool = router(t, config)
await pool.ready()

const bounded = `/* pointsman: consistency=bounded, max_staleness=${String(boundMs)}ms */ `

async function throughProxy(hint = ''): Promise<Ask> {
  const client = await proxy.connect()
  return async (sql) => {
    const { rows } = await client.query<{ n: string }>(hint + sql)
    return { n: Number(rows[0]?.n), node: /(\S+:\d+)/.exec(await lastRoute(client))?.[1] ?? '' }
  }
}

async function throughLibrary(t: Test, hint = ''): Promise<Ask> {
  const client = await pool.connect()
  client.on('error', () => undefined)
  t.teardown(() => client.release())
  return async (sql) => {
    const { rows, routed } = await client.query<{ n: string }>(hint + sql)
    return { n: Number(rows[0]?.n), node: routed?.node ?? '' }
  }
}

/** A writer, eight sessions and four bounded readers, half of them through each door. */
async function start(t: Test, counting: Counting): Promise<Promise<void>[]> {
  const work = [keepCounting(counting, () => primary)]
  for (let n = 0; n < 8; n++) {
    const ask = n % 2 === 0 ? await throughProxy() : await throughLibrary(t)
    work.push(keepWatching(counting, n, ask, n < 4))
  }
  for (let n = 0; n < 4; n++) {
    const ask = n % 2 === 0 ? await throughProxy(bounded) : await throughLibrary(t, bounded)
    work.push(keepBound(counting, ask, boundMs))
  }
  return work
}

async function replayed(node: EmbeddedNode): Promise<bigint> {
  const [row] = await node.sql("SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint AS at")
  return BigInt(row?.['at'] ?? 0)
}

/**
 * Breaks the standby, and has it stand still where it comes back: it would be through with its log in no time. Resolves with how far it
 * fell back, in bytes.
 */
async function fallBack(crash: () => Promise<void>, look: () => Promise<void>): Promise<bigint> {
  await primary.sql("INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
  await main.waitCaughtUp([victim])
  await look()
  const before = await replayed(victim)
  await crash()
  await until('it answers again, and stands still', () =>
    victim.pauseReplay().then(
      () => true,
      () => false,
    ),
  )
  return before - (await replayed(victim))
}

/** Both routers have asked it since, and would use it. */
function isBack(since: number): boolean {
  return [proxy.runtime.snapshot(), pool.snapshot()].every((snapshot) => {
    const node = snapshot?.topology.clusters.get('main')?.nodes.find(({ id }) => id === victim.address)
    return node?.unfit === null && node.position !== null && node.position.sentAt > since
  })
}

const crashes: Readonly<Record<string, () => Promise<void>>> = {
  'its postmaster': async () => {
    await victim.kill9()
    await victim.start()
  },
  'one of its processes': async () => {
    const session = await victim.open()
    const [row] = await session.query('SELECT pg_backend_pid() AS pid, pg_postmaster_start_time()::text AS since')
    await victim.killBackend(Number(row?.['pid']), 'kill')
    await until('it has begun anew', async () => !(await stands(session)))
  },
}

async function stands(session: { query(sql: string): Promise<unknown> }): Promise<boolean> {
  return session.query('SELECT 1').then(
    () => true,
    () => false,
  )
}

for (const [whose, crash] of Object.entries(crashes)) {
  t.test(`I9: a standby falls back when ${whose} is killed: no session sees less than it has seen`, async (t) => {
    const counting = newCounting()
    const work = await start(t, counting)
    await until('the victim answers', () => Promise.resolve((counting.by.get(victim.address) ?? 0) > 50))
    // Who reads on all the time has soon seen what the standby never had. These look once before it falls, and once when it is back.
    const sleepers = await Promise.all(Array.from({ length: 8 }, (_, n) => (n % 2 === 0 ? throughProxy() : throughLibrary(t))))
    const look = (): Promise<readonly number[]> => Promise.all(sleepers.map(async (ask) => (await ask('SELECT n FROM counter')).n))
    let fell = 0n
    for (let round = 1; round <= 5 && fell <= 0n; round++) {
      let before: readonly number[] = []
      fell = await fallBack(crash, async () => void (before = await look()))
      t.comment(`round ${String(round)}: it fell back by ${String(fell)} bytes`)
      const since = performance.now()
      await until('both routers know where it stands', () => Promise.resolve(isBack(since)))
      const after = await look()
      t.ok(
        after.every((n, index) => n >= (before[index] ?? 0)),
        `seen before: ${String(before)}; after: ${String(after)}`,
      )
      const then = counting.reads
      await until('much is read', () => Promise.resolve(counting.reads > then + 300))
      await victim.resumeReplay()
    }
    t.ok(fell > 0n, 'the standby came back behind where it was')
    await main.waitCaughtUp([victim])
    const then = counting.by.get(victim.address) ?? 0
    await until('the victim answers again', () => Promise.resolve((counting.by.get(victim.address) ?? 0) > then + 50))
    counting.going = false
    await Promise.all(work)
    t.comment(
      `${String(counting.reads)} reads, ${JSON.stringify(Object.fromEntries(counting.by))}, counted to ${String(counting.acked.length)}`,
    )
    t.same(counting.wrong, [])
    t.same(Object.fromEntries(counting.told), {})
  })
}

for (const [how, crash] of [
  ['crashes', () => primary.kill9()],
  ['is stopped at once', () => primary.stop('immediate')],
] as const) {
  t.test(`a primary that ${how} and starts again: writes wait for it, and sessions see what they saw`, async (t) => {
    const counting = newCounting(primary.address)
    const work = await start(t, counting)
    await until('all flows', () => Promise.resolve(counting.reads > 300))
    await crash()
    const outside = await proxy.connect()
    const writes = [outside.query('INSERT INTO marks VALUES (1)'), pool.query('INSERT INTO marks VALUES (1)')]
    await primary.start()
    await Promise.all(writes)
    const then = counting.reads
    await until('all flows again', () => Promise.resolve(counting.reads > then + 300))
    counting.going = false
    await Promise.all(work)
    t.comment(`told: ${JSON.stringify(Object.fromEntries(counting.told))}`)
    t.same(counting.wrong, [])
    // Writes that were under way; reads have moved, or waited.
    t.ok(
      [...counting.told.keys()].every((code) => code === '08007'),
      'nothing but outcomes that are unknown',
    )
  })
}

t.test(
  'a primary that loses an unwritten tail of its log: a session whose floor lay in it is not held to what no longer exists',
  async (t) => {
    await primary.sql("ALTER SYSTEM SET wal_writer_delay = '10s'")
    await primary.sql("ALTER SYSTEM SET wal_writer_flush_after = '64MB'")
    await primary.sql('SELECT pg_reload_conf()')
    const client = await proxy.connect({ user: 'strict' })
    const position = async (): Promise<bigint> => {
      const [row] = await primary.sql("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint AS at")
      return BigInt(row?.['at'] ?? 0)
    }
    let fell = 0n
    for (let round = 1; round <= 5 && fell <= 0n; round++) {
      await main.waitCaughtUp()
      await client.query('SET synchronous_commit = off')
      await client.query('INSERT INTO marks SELECT 2 FROM generate_series(1, 3000)')
      // Its floor is known: no replica has it, and the primary is not asked.
      await t.rejects(client.query('SELECT count(*) FROM marks'), { code: '55P03' })
      const before = await position()
      await primary.kill9()
      await primary.start()
      fell = before - (await position())
      t.comment(`round ${String(round)}: the log ends ${String(fell)} bytes before where it did`)
    }
    t.ok(fell > 0n, 'the tail was lost')
    await until('a replica answers it', async () =>
      client.query('SELECT count(*) FROM marks').then(
        () => true,
        () => false,
      ),
    )
    t.match(await lastRoute(client), /^replica/)
  },
)
